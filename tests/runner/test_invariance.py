"""What must not change a number: how many paths, in which pieces, in which order, how often."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

import stress
from stress.engine.passage import first_passage
from stress.measure.block import AccountBlock, account_block
from stress.measure.fan import FanMeasure
from stress.measure.moments import Estimate
from stress.measure.paired import PairedMeasure
from stress.measure.world import Findings, WorldMeasure
from stress.runner import drive
from stress.runner.prepare import Job, prepare
from stress.runner.spread import Models, Spread, Work, compiled, on_host
from stress.scenario.load import load_scenario
from stress.scenario.schema import Scenario
from stress.types import Integers, Mode
from tests.strategies import Account, random_book, write_book

KINDS = ("cross_coins", "cross_several", "isolated_alone", "stated_leverage", "idle", "broken")
SEED = 71
BLOCK = 64
CHANGES = {
    "book.compare": ["cross", "isolated"],
    "simulation.detail": True,
    "simulation.seed": SEED,
    "simulation.paths": 300,
    "simulation.levels": [0.8, 0.9],
}
"""One shape for the whole file: the kernels of three worlds are compiled once."""


@pytest.fixture(scope="module")
def accounts() -> dict[str, Account]:
    return random_book(SEED, KINDS)


@pytest.fixture(scope="module")
def scenario(tmp_path_factory: pytest.TempPathFactory, accounts: dict[str, Account]) -> Scenario:
    return write_book(tmp_path_factory.mktemp("book"), accounts, CHANGES)


@pytest.fixture(scope="module")
def tree(scenario: Scenario) -> xr.DataTree:
    return stress.run(scenario)


@pytest.fixture(scope="module")
def job(scenario: Scenario) -> Job:
    return prepare(scenario)


def same(found: xr.DataTree, expected: xr.DataTree, *groups: str) -> None:
    """Compare variables, dimensions and coordinates of groups, digit by digit."""
    for group in groups:
        xr.testing.assert_identical(found[group].to_dataset(), expected[group].to_dataset())


def first_paths(tree: xr.DataTree, group: str, count: int) -> xr.Dataset:
    return tree[group].to_dataset().isel(path=slice(count))


class TestNumberOfPaths:
    def test_prices(self, scenario: Scenario) -> None:
        few, many = (stress.simulate_prices(scenario, paths=paths) for paths in (3, 200))
        assert many.shape == (200, 41, 4)
        xr.testing.assert_identical(few, many[:3])
        again = scenario.model_copy(
            update={"simulation": scenario.simulation.model_copy(update={"seed": SEED + 1})}
        )
        assert (stress.simulate_prices(again, paths=3)[:, 1:] != few[:, 1:]).all()

    def test_at_least_one(self, scenario: Scenario) -> None:
        for paths in (0, -1):
            with pytest.raises(stress.InputError, match="must be at least 1"):
                stress.simulate_prices(scenario, paths=paths)

    def test_prices_are_those_of_the_run(self, scenario: Scenario, tree: xr.DataTree) -> None:
        """The market knows nothing of the book: its marks are those that anybody can ask for."""
        end = stress.simulate_prices(scenario)[:, -1]
        np.testing.assert_array_equal(tree["detail"]["mark_end"], end)

    def test_results(self, scenario: Scenario, tree: xr.DataTree) -> None:
        """The first of many paths are those of a run of these alone."""
        fewer = stress.run(scenario, paths=260)
        for group in ("detail", "paths"):
            found = fewer[group].to_dataset()
            assert found.sizes["path"] == 260
            xr.testing.assert_identical(found, first_paths(tree, group, 260))

    @pytest.mark.slow
    def test_one_path(self, scenario: Scenario, tree: xr.DataTree) -> None:
        one = stress.run(scenario, paths=1)
        xr.testing.assert_identical(one["detail"].to_dataset(), first_paths(tree, "detail", 1))


def other_blocks(paths: int, block: int, start: int = 0) -> Iterator[tuple[Integers, int]]:
    """Yield blocks of which only the first forty paths count."""
    for first in range(start, paths, 40):
        numbers = np.arange(first, first + block, dtype=np.uint32)
        yield numbers, min(40, paths - first)


class TestChunking:
    def test_other_blocks(
        self, scenario: Scenario, tree: xr.DataTree, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Where a block ends changes no path; sums over paths change by rounding only."""
        monkeypatch.setattr(drive, "path_blocks", other_blocks)
        other = stress.run(scenario)
        same(other, tree, "detail", "paths", "distribution")
        for group in ("accounts", "groups", "book", "assets"):
            xr.testing.assert_allclose(
                other[group].to_dataset(), tree[group].to_dataset(), rtol=1e-12, atol=1e-9
            )
        for name in ("liquidation_probability_by_step", "value_at_risk"):
            np.testing.assert_array_equal(other["accounts"][name], tree["accounts"][name])

    def test_a_path_does_not_know_its_neighbours(self, job: Job, tree: xr.DataTree) -> None:
        """Any sixty-four numbers in any order give each path what it has in its own block."""
        numbers = np.random.default_rng(SEED).permutation(300)[:BLOCK].astype(np.uint32)
        (block, *_), marks = outcome(job, numbers)
        detail = tree["detail"].isel(path=numbers)
        np.testing.assert_array_equal(block.step.T, detail["liquidation_step"])
        np.testing.assert_array_equal(block.equity.T, detail["equity_end"])
        np.testing.assert_array_equal(block.least_excess.T, detail["least_excess"])
        np.testing.assert_array_equal(marks.T, detail["mark_end"])


def outcome(job: Job, numbers: Integers) -> tuple[list[AccountBlock], np.ndarray]:
    """Return what becomes of every world's accounts on some paths, and the marks at the end."""
    worlds = tuple(world.world for world in job.worlds.values())
    # asked for as a run asks for it, so that it is compiled once
    spread = Spread.over(jax.devices()[:2], BLOCK)
    twice = np.concatenate([numbers, numbers])
    models = Models(job.market, spread)
    before = (job.price, worlds, job.rules, jnp.asarray(SEED, jnp.uint32))
    (kernel,) = compiled(Work(first_passage, spread, models, before, job.schedule))
    outcomes, marks = on_host(kernel(models.block(twice), twice)[0])
    blocks = [
        account_block(pools, world.ownership, world.tolerance_usd, BLOCK)
        for pools, world in zip(outcomes, job.worlds.values(), strict=True)
    ]
    return blocks, marks


def block_of(job: Job, number: int) -> dict[Mode, AccountBlock]:
    first = number * BLOCK
    blocks, _ = outcome(job, np.arange(first, first + BLOCK, dtype=np.uint32))
    return dict(zip(job.worlds, blocks, strict=True))


COUNTED = ("accounts", "liquidation_probability_by_step", "liquidation_time_quantile")
"""Variables of /accounts and /groups that come from counts: they merge exactly."""


def check_findings(found: Findings, expected: Findings) -> None:
    """Compare estimates: counts and kept losses exactly, sums to rounding."""
    for group, variables in expected.items():
        assert found[group].keys() == variables.keys()
        for name, value in variables.items():
            here = found[group][name]
            if isinstance(value, Estimate):
                assert isinstance(here, Estimate)
                pairs = [(here.value, value.value), (here.interval, value.interval)]
            else:
                pairs = [(here, value)]
            exact = (
                group == "paths"
                or (group == "accounts" and name in COUNTED)
                or name.endswith("value_at_risk")
            )
            tolerance = 0.0 if exact else 1e-12
            for one, two in pairs:
                np.testing.assert_allclose(one, two, rtol=tolerance, atol=tolerance, err_msg=name)


BLOCKS = 5


@pytest.fixture(scope="module")
def blocks(job: Job) -> list[dict[Mode, AccountBlock]]:
    """Return the blocks of the run, the last one whole."""
    return [block_of(job, number) for number in range(BLOCKS)]


class TestMerging:
    def measures(self, job: Job) -> dict[Mode, WorldMeasure]:
        return {
            mode: WorldMeasure(world.grouping, len(job.setting.assets), job.request)
            for mode, world in job.worlds.items()
        }

    def test_worlds(self, job: Job, blocks: list[dict[Mode, AccountBlock]]) -> None:
        """Two halves measured apart and merged give what one pass over all paths gives."""
        whole, first, second = (self.measures(job) for _ in range(3))
        for number, block in enumerate(blocks):
            half = first if number < BLOCKS // 2 else second
            for mode in job.worlds:
                whole[mode].update(block[mode])
                half[mode].update(block[mode])
        for mode in job.worlds:
            first[mode].merge(second[mode])
            check_findings(first[mode].finish(), whole[mode].finish())

    def test_paired(self, job: Job, blocks: list[dict[Mode, AccountBlock]]) -> None:
        grouping = job.worlds["isolated"].grouping
        whole, first, second = (PairedMeasure(grouping) for _ in range(3))
        for number, block in enumerate(blocks):
            half = first if number < BLOCKS // 2 else second
            for measure in (whole, half):
                measure.update(block["cross"], block["isolated"])
        first.merge(second)
        check_findings(first.finish(0.95), whole.finish(0.95))

    def test_fan(self, job: Job) -> None:
        """Counts: exactly the same."""
        grouping, times = job.main.grouping, 3
        rng = np.random.default_rng(SEED)
        pools = len(job.main.pools.cash)
        parts = [10 ** rng.uniform(-4, 2, (times, pools, 8)) for _ in range(2)]
        whole, first, second = (FanMeasure(grouping, times) for _ in range(3))
        for part, half in zip(parts, (first, second), strict=True):
            half.update(part, job.main.ownership.first)
            whole.update(part, job.main.ownership.first)
        first.merge(second)
        np.testing.assert_array_equal(first.counts, whole.counts)
        assert first.paths == whole.paths == 16


class TestOrderOfAccounts:
    def test_no_account_notices(
        self, tmp_path: Path, accounts: dict[str, Account], tree: xr.DataTree
    ) -> None:
        """Accounts upside down: each keeps its numbers; only sums over them round otherwise."""
        turned = stress.run(write_book(tmp_path, dict(reversed(accounts.items())), CHANGES))
        assert list(turned["accounts"]["account"].values) == list(accounts)[::-1]
        for group in ("accounts", "margin", "detail"):
            found, expected = (one[group].to_dataset().sortby("account") for one in (turned, tree))
            if group == "detail":
                found, expected = (one.drop_vars(SUMMED) for one in (found, expected))
            xr.testing.assert_identical(found, expected)
        for name in SUMMED:
            np.testing.assert_allclose(turned["detail"][name], tree["detail"][name], rtol=1e-12)


SUMMED = ["uncovered_loss", "fund_end", "closed_notional"]
"""Variables of /detail that are sums over accounts."""


class TestAgain:
    def test_resolved_scenario(self, tmp_path: Path, tree: xr.DataTree) -> None:
        """The resolved scenario is complete: run again it gives every digit again."""
        file = tmp_path / "scenario.toml"
        file.write_text(tree.attrs["scenario_toml"], "utf-8")
        again = stress.run(load_scenario(file))
        same(again, tree, *tree.children)
        changing = {
            "created_at",
            "compile_seconds",
            "duration_seconds",
            "account_path_steps_per_second",
        }
        assert again.attrs.keys() == tree.attrs.keys()
        for name in tree.attrs.keys() - changing:
            assert again.attrs[name] == tree.attrs[name], name

    def test_another_seed_is_another_run(self, scenario: Scenario, tree: xr.DataTree) -> None:
        other = stress.run(scenario, seed=SEED + 1)
        marks = (one["detail"]["mark_end"].values for one in (other, tree))
        assert (next(marks) != next(marks)).all()


class TestCrossMinusIsolated:
    def test_sign_and_pairing(
        self, job: Job, blocks: list[dict[Mode, AccountBlock]], tree: xr.DataTree
    ) -> None:
        """The mean over paths of cross less isolated on the same path, with its own interval."""

        def hits(mode: Mode) -> np.ndarray:
            return np.concatenate([block[mode].hit for block in blocks], axis=1)[:, :300]

        difference = hits("cross").astype(float) - hits("isolated")
        exists = job.worlds["isolated"].pools.exists
        assert exists.any()
        assert not exists.all()
        node: Any = tree["accounts"]
        found = node["cross_minus_isolated"].values
        np.testing.assert_allclose(found[exists], difference.mean(axis=1)[exists], atol=1e-15)
        assert np.isnan(found[~exists]).all()
        apart = node["cross_liquidation_probability"] - node["isolated_liquidation_probability"]
        np.testing.assert_allclose(found, apart, atol=1e-15)
        # where one position of an account fails alone, the whole would often have stood
        assert (found[exists] < 0).sum() > 3
        half = 1.959963984540054 * difference.std(axis=1, ddof=1) / np.sqrt(300)
        interval = np.stack([found - half, found + half], axis=1)
        np.testing.assert_allclose(node["cross_minus_isolated_interval"], interval, atol=1e-12)

    def test_book(self, job: Job, tree: xr.DataTree) -> None:
        """Over the accounts that exist in both worlds."""
        exists = job.worlds["isolated"].pools.exists
        expected = tree["accounts"]["cross_minus_isolated"].values[exists].mean()
        assert float(tree["book"]["cross_minus_isolated"]) == pytest.approx(expected, abs=1e-14)
