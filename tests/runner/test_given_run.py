"""A run along given paths: simulated prices written, read again, and followed to the same fates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import stress
from stress.data.given import open_given
from stress.market.given import GivenPaths, GivenSource
from stress.runner.prepare import prepare
from stress.scenario.schema import Scenario
from tests.strategies import ASSETS, Account, random_book, write_book

KINDS = ("cross_single", "cross_coins", "mixed", "broken")
PATHS = 100
"""One whole block and a part of another."""


@pytest.fixture(scope="module")
def accounts() -> dict[str, Account]:
    return random_book(31, KINDS)


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory, accounts: dict[str, Account]) -> Scenario:
    changes = {"simulation.paths": PATHS, "simulation.detail": True}
    return write_book(tmp_path_factory.mktemp("simulated"), accounts, changes)


@pytest.fixture(scope="module")
def prices(simulated: Scenario) -> xr.DataArray:
    return stress.simulate_prices(simulated)


@pytest.fixture(scope="module")
def expected(simulated: Scenario) -> xr.DataTree:
    return stress.run(simulated)


def given(
    folder: Path, accounts: dict[str, Account], prices: xr.DataArray, **keys: Any
) -> Scenario:
    """Return the scenario of the same book along the paths in a file."""
    prices.to_netcdf(folder / "paths.nc")
    changes = {"paths": PATHS, "detail": True, **keys}
    return write_book(
        folder,
        accounts,
        {f"simulation.{key}": value for key, value in changes.items()}
        | {"market.model": "given", "market.file": "paths.nc"},
    )


@pytest.fixture(scope="module")
def scenario(
    tmp_path_factory: pytest.TempPathFactory, accounts: dict[str, Account], prices: xr.DataArray
) -> Scenario:
    return given(tmp_path_factory.mktemp("given"), accounts, prices)


@pytest.fixture(scope="module")
def tree(scenario: Scenario) -> xr.DataTree:
    return stress.run(scenario)


class TestRoundTrip:
    def test_prices(self, scenario: Scenario, prices: xr.DataArray) -> None:
        """What is read is what was written; any number of paths of it."""
        found = stress.simulate_prices(scenario)
        xr.testing.assert_allclose(found, prices, rtol=1e-15)
        xr.testing.assert_identical(stress.simulate_prices(scenario, paths=70), found[:70])

    def test_fates(self, tree: xr.DataTree, expected: xr.DataTree) -> None:
        """Every account is liquidated at the same step of the same path, or never."""
        found, wanted = tree["detail"], expected["detail"]
        assert (wanted["liquidation_step"] > 0).any()
        for name in ("liquidation_step", "bankrupt"):
            np.testing.assert_array_equal(found[name], wanted[name])
        for name in ("equity_end", "mark_end", "least_excess"):
            np.testing.assert_allclose(found[name], wanted[name], rtol=1e-9, atol=1e-6)

    def test_single_precision(
        self, tmp_path: Path, accounts: dict[str, Account], prices: xr.DataArray
    ) -> None:
        """A file and a run of float32: the prices are theirs to its rounding."""
        scenario = given(tmp_path, accounts, prices.astype("float32"), precision="float32")
        np.testing.assert_allclose(stress.simulate_prices(scenario), prices, rtol=5e-7)


class TestBlocks:
    def test_a_block_can_be_read_again(self, scenario: Scenario, prices: xr.DataArray) -> None:
        """In any order; beyond the last path that path stands for the others."""
        market = prepare(scenario).market
        for numbers in (np.arange(64, 128), np.arange(64), np.arange(64, 128)):
            model = market.block(numbers.astype(np.uint32))
            assert isinstance(model, GivenPaths)
            rows = prices.values[np.minimum(numbers, PATHS - 1)]
            start = prices.values[0, 0]
            np.testing.assert_allclose(
                model.levels, np.log(rows / start).transpose(1, 2, 0), atol=1e-15
            )

    def test_fewer_paths(self, scenario: Scenario, tree: xr.DataTree) -> None:
        """The first of them, and none of the others is looked at."""
        found = stress.run(scenario, paths=70)["detail"].to_dataset()
        xr.testing.assert_identical(found, tree["detail"].to_dataset().isel(path=slice(70)))

    def test_more_paths(self, scenario: Scenario) -> None:
        with pytest.raises(stress.InputError, match="the file holds 100; run with --paths 100"):
            stress.run(scenario, paths=101)

    def test_one_path_of_a_late_block(
        self, tmp_path: Path, accounts: dict[str, Account], prices: xr.DataArray
    ) -> None:
        spoiled = prices.copy()
        spoiled[90, 7, 2] = np.nan
        scenario = given(tmp_path, accounts, spoiled)
        with pytest.raises(stress.InputError, match="price of TEN on path 90 at step 7"):
            stress.run(scenario)
        assert stress.run(scenario, paths=90)["detail"].sizes["path"] == 90


class TestInsteadOfTheScenarios:
    def test_a_source(self, simulated: Scenario, scenario: Scenario, tree: xr.DataTree) -> None:
        """``market`` takes what gives a model a block, as well as one model for all paths."""
        setting = prepare(simulated).setting
        assert scenario.market.file is not None
        file = open_given(
            scenario.market.file,
            assets=ASSETS,
            price=setting.price,
            steps=setting.steps,
            step_days=0.25,
            paths=PATHS,
        )
        source = GivenSource(file.read, setting.price, "float64")
        found = stress.run(simulated, market=source)
        xr.testing.assert_identical(found["detail"].to_dataset(), tree["detail"].to_dataset())

    def test_no_bridges(self, simulated: Scenario, scenario: Scenario) -> None:
        """Nothing is known between two given prices."""
        bridged = simulated.simulation.model_copy(update={"monitoring": "bridge", "detail": False})
        with pytest.raises(stress.InputError, match="no variance inside a step"):
            stress.run(
                simulated.model_copy(update={"simulation": bridged}),
                market=prepare(scenario).market,
            )

    def test_a_model(self, simulated: Scenario, expected: xr.DataTree) -> None:
        found = stress.run(simulated, market=prepare(simulated).model)
        xr.testing.assert_identical(found["detail"].to_dataset(), expected["detail"].to_dataset())
