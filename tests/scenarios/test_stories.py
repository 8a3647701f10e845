"""What the shipped cascades are there to show: small runs, and the sign of each story.

The paths are few, so only what is far from any doubt at this size is asserted; horizons are those
of the files where nothing else is said, since a cascade needs time to begin.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import stress
from stress.book.ladder import MOVES, liquidation_ladder
from stress.scenario.build import build_setting, load_book
from stress.types import Mode

SCENARIOS = Path(__file__).resolve().parents[2] / "scenarios"
PATHS = 64
"""One block of paths: fewer take as long."""


@cache
def result(name: str, mode: Mode | None = None, horizon: str | None = None) -> xr.DataTree:
    """Run a shipped scenario with few paths; its worlds and variants are those of the file."""
    scenario = stress.load_scenario(SCENARIOS / f"{name}.toml", paths=PATHS, mode=mode)
    if horizon is not None:
        simulation = scenario.simulation.model_copy(update={"horizon": horizon})
        scenario = scenario.model_copy(update={"simulation": simulation})
    return stress.run(scenario)


def book(name: str) -> dict[str, float]:
    """Return the estimates of the whole book without labels."""
    tree = result(name)["book"].to_dataset()
    return {
        str(key): float(value)
        for key, value in tree.data_vars.items()
        if value.ndim == 0 and np.issubdtype(value.dtype, np.number)
    }


@pytest.mark.parametrize(
    ("name", "asset", "side"),
    [
        ("cascade_long_crowd", "SOL", -1),
        ("fund_exhaustion", "AVAX", -1),
        ("hedged_squeeze", "AVAX", 1),
    ],
)
def test_a_crowded_asset_feeds_its_own_cascade(name: str, asset: str, side: int) -> None:
    """Nobody stands within a percent of liquidation, and a move of a few percent changes that."""
    scenario = stress.load_scenario(SCENARIOS / f"{name}.toml")
    setting = build_setting(scenario)
    ladder = liquidation_ladder(load_book(scenario)[0], setting, scenario.book.mode)
    assert ladder.reproduction_number.max() == 0
    along = ladder.reproduction_number_along[setting.assets.index(asset)]
    near = np.abs(MOVES) < 0.06
    assert along[near & (side * MOVES > 0)].max() > 2
    assert along[near & (side * MOVES < 0)].max() < 0.5


@pytest.mark.parametrize(
    ("name", "least"),
    [
        pytest.param("cascade_long_crowd", 1.15, marks=pytest.mark.slow),
        pytest.param("hedged_squeeze", 1.5, marks=pytest.mark.slow),
    ],
)
def test_forced_flow_feeds_on_itself(name: str, least: float) -> None:
    found = book(name)
    assert found["expected_cascade_loss"] > 0.1 * found["expected_total_loss"]
    assert found["cascade_multiplier"] > least
    law = result(name)["impact"].to_dataset()
    assert (law["expected_cascade_loss_interval"].sel(bound="lower") > 0).all()
    change = result(name)["accounts"]["liquidation_probability_change"]
    assert float(change.mean()) > 0.05


@pytest.mark.slow
def test_the_hedged_are_liquidated_by_the_buying_of_the_shorts() -> None:
    groups = result("hedged_squeeze")["groups"].to_dataset()
    caused, extra = groups["caused_liquidations"], groups["feedback_liquidations"]
    hedged = caused.sel(group="hedged")
    assert float(hedged.sel(other_group="shorts")) > 0.6 * float(extra.sel(group="hedged")) > 3
    assert float(extra.sel(group="bystanders")) < 0.5
    overshoot = result("hedged_squeeze")["assets"]["price_overshoot_mean"]
    assert float(overshoot.sel(asset="AVAX")) > 5 * float(overshoot.sel(asset="BTC"))


@pytest.mark.slow  # two worlds are two kernels: as much to compile as two other tests
def test_cross_margin_liquidates_fewer_baskets_and_loses_more() -> None:
    found = book("correlated_basket_cascade")
    assert found["cross_minus_isolated"] < -0.1
    for loss in ("expected_total_loss", "expected_cascade_loss"):
        assert found[loss] > found[f"isolated_{loss}"] > 0


@pytest.mark.slow
def test_an_empty_fund_is_paid_for_by_the_winners() -> None:
    found = book("fund_exhaustion")
    assert found["fund_exhaustion_probability"] > 0.2
    assert found["expected_deleveraged_notional"] > 5e5
    assert found["expected_socialised_loss"] == 0
    limits = result("fund_exhaustion")["limits"].to_dataset()
    assert bool(limits["breached"].all())


@pytest.mark.slow  # three decision rules in one kernel
def test_shards_close_what_a_leader_would_not() -> None:
    found = book("leader_or_shards")
    assert found["expected_false_liquidations"] > 10
    assert found["expected_over_closed_notional"] > 0.1 * found["expected_liquidated_notional"]
    decision = result("leader_or_shards")["decision"].to_dataset()
    for name in ("liquidation_probability", "expected_liquidated_notional"):
        assert float(decision[f"{name}_difference_interval"].sel(bound="lower")) > 0


@pytest.mark.slow
def test_planned_risk_is_not_what_stands_behind_a_trade() -> None:
    """Planned is 1 percent; isolated it is a few, and a stop loses about what it says."""
    tree = result("practice_account", "isolated", "7d")
    positions = tree["positions"].to_dataset()
    np.testing.assert_allclose(positions["planned_risk"], 0.01, rtol=0.003)
    by_margin = positions["account"].to_numpy() == "margin"
    effective = positions["effective_risk_mean"].to_numpy()
    assert ((effective[by_margin] > 0.01) & (effective[by_margin] < 0.05)).all()
    assert np.isnan(effective[~by_margin]).all()
    shortfall = tree["accounts"]["value_at_risk"].sel(account="stops", level=0.95)
    assert 500 < float(shortfall) < 800
