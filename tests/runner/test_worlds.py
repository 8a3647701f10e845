"""Which worlds are simulated, and under which names their numbers stand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import stress
from stress.runner.prepare import prepare
from stress.types import Mode
from tests.strategies import random_book, write_book

CROSS = ("cross_single",)
BOTH = ("cross_single", "isolated_alone")


def compared(folder: Path, kinds: tuple[str, ...], mode: Mode, *compare: Mode) -> stress.Scenario:
    changes = {"book.mode": mode, "book.compare": list(compare), "simulation.paths": 100}
    return write_book(folder, random_book(81, kinds, copies=6), changes)


@pytest.mark.parametrize(
    ("kinds", "worlds", "simulated"),
    [
        (CROSS, ("as-booked", "cross", "isolated"), {"as-booked", "isolated"}),
        (CROSS, ("cross", "as-booked"), {"cross"}),
        (CROSS, ("isolated", "cross", "as-booked"), {"isolated", "cross"}),
        (CROSS, ("as-booked", "isolated"), {"as-booked", "isolated"}),
        (BOTH, ("as-booked", "cross", "isolated"), {"as-booked", "cross", "isolated"}),
        (BOTH, ("cross", "as-booked"), {"cross", "as-booked"}),
    ],
)
def test_no_world_is_simulated_twice(
    tmp_path: Path, kinds: tuple[str, ...], worlds: tuple[Mode, ...], simulated: set[Mode]
) -> None:
    """Where nothing is isolated, as booked is cross; every world asked for has one that runs."""
    job = prepare(compared(tmp_path, kinds, *worlds))
    assert set(job.worlds) == simulated
    assert set(job.alias) == set(worlds)
    for world, stand_in in job.alias.items():
        assert stand_in in simulated
        assert (world == "isolated") == (stand_in == "isolated")
    assert next(iter(job.worlds)) == job.alias[worlds[0]]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> xr.DataTree:
    folder = tmp_path_factory.mktemp("book")
    return stress.run(compared(folder, CROSS, "as-booked", "cross", "isolated"))


def test_an_alias_has_the_numbers_of_its_world(tree: xr.DataTree) -> None:
    """Under its own prefix, digit by digit; so has the main world."""
    for group in ("accounts", "groups", "book", "paths"):
        node = tree[group]
        prefixed = [name for name in node.data_vars if str(name).startswith("cross_")]
        prefixed = [name for name in prefixed if "minus" not in str(name)]
        assert prefixed
        for name in prefixed:
            own = str(name).removeprefix("cross_")
            np.testing.assert_array_equal(node[name], node[own])
            np.testing.assert_array_equal(node[f"as_booked_{own}"], node[own])


def test_isolated_is_another_world(tree: xr.DataTree) -> None:
    """One position each: the counterpart of a cross pool is the same pool, in other digits.

    The margin of the counterpart is the equity less the profit, which is the cash but for rounding.
    """
    node = tree["accounts"]
    np.testing.assert_array_equal(
        node["isolated_liquidation_probability"], node["liquidation_probability"]
    )
    np.testing.assert_array_equal(node["cross_minus_isolated"], 0.0)
    np.testing.assert_allclose(node["isolated_expected_loss"], node["expected_loss"], rtol=1e-9)


def test_the_mode_option_changes_the_main_world(tmp_path: Path, tree: xr.DataTree) -> None:
    """It leaves the list of compared worlds and its numbers stand without a prefix."""
    scenario = compared(tmp_path, CROSS, "as-booked", "cross", "isolated")
    other = stress.run(scenario, mode="cross")
    assert other.attrs["mode"] == "cross"
    assert other.attrs["compare"] == "isolated"
    for name in ("liquidation_probability", "expected_loss", "cross_minus_isolated"):
        np.testing.assert_array_equal(other["accounts"][name], tree["accounts"][name])


def test_nothing_compared(tmp_path: Path) -> None:
    """Without a compared world there is no prefix and no difference."""
    plain = stress.run(compared(tmp_path, CROSS, "as-booked"))
    for node in plain.subtree:
        for name in node.data_vars:
            assert not str(name).startswith(("cross_", "isolated_", "as_booked_"))
