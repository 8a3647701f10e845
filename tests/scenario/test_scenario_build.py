"""Names become arrays in the order of the market's assets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from stress.scenario.build import build_setting, load_book
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


def test_the_printing_of_a_matrix_is_forgiven(case: Any) -> None:
    case.set("market.correlation", [[1.0, 0.8 + 5e-10], [0.8, 1 - 5e-10]])
    correlation = build_setting(load_scenario(case.write())).correlation
    np.testing.assert_array_equal(correlation, correlation.T)
    np.testing.assert_array_equal(np.diag(correlation), 1)
