"""Names become arrays in the order of the market's assets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from stress.scenario.build import build_setting, load_book
from stress.scenario.checks import steps as scenario_steps
from stress.scenario.load import load_scenario


def test_arrays_are_in_the_order_of_the_assets(case: Any) -> None:
    case.use_calibration()
    case.set("market.assets", ["ETH", "BTC"])
    case.set("market.drift", {"BTC": -0.1})
    setting = build_setting(load_scenario(case.write()))
    assert setting.assets == ("ETH", "BTC")
    np.testing.assert_array_equal(setting.price, [2_500, 60_000])
    np.testing.assert_array_equal(setting.volatility, [0.7, 0.55])
    np.testing.assert_array_equal(setting.drift, [0, -0.1])
    np.testing.assert_array_equal(setting.correlation, [[1, 0.8], [0.8, 1]])
    np.testing.assert_array_equal(setting.haircut, [0, 0.05])
    assert setting.price.dtype == np.float64
    assert (setting.fee, setting.warning) == (0.005, 0.8)
    assert setting.steps == 288
    assert setting.step_years == pytest.approx(1 / (365 * 288), rel=1e-15)
    assert setting.horizon_years == pytest.approx(1 / 365, rel=1e-15)


def test_tiers_are_padded_without_changing_the_maximum(case: Any) -> None:
    setting = build_setting(load_scenario(case.write()))
    np.testing.assert_array_equal(setting.tier_floor, [[0, 300_000], [0, np.inf]])
    np.testing.assert_array_equal(setting.tier_rate, [[0.004, 0.005], [0.02, 0.02]])
    # continuity: 300,000 (0.005 - 0.004)
    np.testing.assert_allclose(setting.tier_amount, [[0, 300], [0, 0]], rtol=1e-12)
    np.testing.assert_array_equal(setting.requirement_rate, setting.tier_rate)
    np.testing.assert_array_equal(setting.requirement_amount, setting.tier_amount)
    notional = 300_000.0
    low, high = setting.tier_rate[0] * notional - setting.tier_amount[0]
    assert low == pytest.approx(high, rel=1e-12)


def test_the_margin_level_is_the_requirement_and_tiers_stay(case: Any) -> None:
    case.set("venue.trigger", {"margin_level": 0.15})
    setting = build_setting(load_scenario(case.write()))
    np.testing.assert_array_equal(setting.requirement_rate, [[0.15], [0.15]])
    np.testing.assert_array_equal(setting.requirement_amount, [[0], [0]])
    assert setting.tier_rate.shape == (2, 2)


def test_an_asset_held_as_coins_only_needs_no_tiers(case: Any) -> None:
    case.drop("venue.tiers.default")
    case.files["positions.csv"] = "account,asset,quantity,entry_price\nbob,BTC,1,60000\n"
    case.files["collateral.csv"] = "account,asset,quantity\nbob,ETH,1\n"
    scenario = load_scenario(case.write())
    book, notices = load_book(scenario)
    np.testing.assert_array_equal(build_setting(scenario).tier_rate[1], [0, 0])
    assert book.coin_quantity.tolist() == [1.0]
    assert notices == ("1 account has no position and cannot be liquidated: alice",)


def test_the_venue_is_in_the_order_of_the_assets(case: Any) -> None:
    case.set("venue.impact", {"kind": "linear", "depth_1pct": {"ETH": 4e7, "BTC": 6e7}})
    case.set("venue.impact.relaxation", "36.5d")
    case.set("venue.fund.balance", 1_000)
    case.set("venue.funding", {"rate": {"ETH": 1e-4}, "interval": "1h"})
    case.set("venue.decision", {"kind": "sharded", "shards": {"ETH": 2, "BTC": 5}, "lag": 3})
    case.set("venue.deleveraging.kind", "socialised")
    venue = build_setting(load_scenario(case.write())).venue
    np.testing.assert_array_equal(venue.depth_1pct, [6e7, 4e7])
    np.testing.assert_array_equal(venue.funding_rate, [0, 1e-4])
    np.testing.assert_array_equal(venue.shard, [1, 0])
    assert venue.shard.dtype == np.int64
    assert (venue.order, venue.amount, venue.rounds) == ("largest-loss", "restore", 8)
    assert (venue.step_fraction, venue.buffer) == (0.25, 0.05)
    assert (venue.impact, venue.impact_coefficient, venue.permanent) == ("linear", 1.0, 0.3)
    assert (venue.depth_elasticity, venue.fund, venue.funding_steps) == (0.0, 1_000.0, 12)
    assert venue.relaxation_years == pytest.approx(0.1, rel=1e-15)
    assert (venue.deleveraging, venue.decision) == ("socialised", "sharded")
    assert (venue.latency, venue.lag) == (0, 3)


def test_a_venue_that_is_not_stated_is_neutral(case: Any) -> None:
    venue = build_setting(load_scenario(case.write())).venue
    assert (venue.impact, venue.fund, venue.funding_steps) == ("none", 0.0, 0)
    assert (venue.deleveraging, venue.decision, venue.latency) == ("none", "leader", 0)
    assert np.isnan(venue.adv).all() and np.isnan(venue.depth_1pct).all()
    np.testing.assert_array_equal(venue.funding_rate, [0, 0])
    np.testing.assert_array_equal(venue.shard, [0, 0])


def test_the_laws_agree_on_a_move_of_one_percent(case: Any) -> None:
    case.set("venue.impact", {"coefficient": 0.8, "adv": {"BTC": 22e9}, "depth_1pct": {"ETH": 4e7}})
    setting = build_setting(load_scenario(case.write()))
    venue, sigma_day = setting.venue, setting.volatility / np.sqrt(365)
    np.testing.assert_array_equal(venue.adv[0], 22e9)
    np.testing.assert_array_equal(venue.depth_1pct[1], 4e7)
    move = 0.8 * sigma_day * np.sqrt(venue.depth_1pct / venue.adv)
    np.testing.assert_allclose(move, 0.01, rtol=1e-14)
    # both stated: each law keeps its own
    case.set("venue.impact.depth_1pct.BTC", 6e7)
    venue = build_setting(load_scenario(case.write())).venue
    assert (venue.adv[0], venue.depth_1pct[0]) == (22e9, 6e7)


def test_funding_beyond_the_run_is_none_and_said(case: Any) -> None:
    case.set("venue.funding", {"rate": {"BTC": 1e-4}, "interval": "2d"})
    scenario = load_scenario(case.write())
    venue = build_setting(scenario).venue
    assert venue.funding_steps == 0
    np.testing.assert_array_equal(venue.funding_rate, [0, 0])
    assert load_book(scenario)[1] == (
        'no funding is paid: its interval, "2d", is longer than the run, "1d"',
    )
    case.set("venue.funding.interval", "1d")
    scenario = load_scenario(case.write())
    assert build_setting(scenario).venue.funding_steps == scenario_steps(scenario) == 288
    assert load_book(scenario)[1] == ()


def test_the_printing_of_a_matrix_is_forgiven(case: Any) -> None:
    case.set("market.correlation", [[1.0, 0.8 + 5e-10], [0.8, 1 - 5e-10]])
    correlation = build_setting(load_scenario(case.write())).correlation
    np.testing.assert_array_equal(correlation, correlation.T)
    np.testing.assert_array_equal(np.diag(correlation), 1)
