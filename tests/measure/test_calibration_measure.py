"""Intervals from few draws: what they hold, and what both errors together come to."""

from __future__ import annotations

import numpy as np
import pytest

from stress.measure.calibration import CalibrationMeasure, draws_needed
from stress.measure.moments import Estimate, Moments
from stress.measure.timing import TimeGrid
from stress.measure.world import Findings, Grouping, Request, WorldMeasure

ACCOUNTS, PATHS = 3, 40


def world(hit: float, loss: float) -> WorldMeasure:
    """Return a world of three accounts, the last of which does not exist, with these means."""
    grouping = Grouping(np.zeros(ACCOUNTS, np.int64), 1, np.array([True, True, False]))
    grid = TimeGrid.build(10, ACCOUNTS, 1.0)
    request = Request((0.9,), (0.5,), 0.9, PATHS, grid, "float64")
    measure = WorldMeasure(grouping, 1, request)
    measure.by_account["liquidation"] = Moments(PATHS, np.array([hit, hit / 2, 0.7]), np.zeros(3))
    measure.book = {name: Moments(PATHS, np.array(hit), np.array(0.0)) for name in measure.book}
    ramp = loss * np.arange(1, PATHS + 1)
    zeros = np.zeros(PATHS)
    measure.path_table.update(
        liquidated_accounts=zeros,
        liquidated_notional=zeros,
        total_loss=ramp,
        net_loss=zeros,
        uncovered_loss=zeros,
        fund_draw=zeros,
        fund_exhausted=zeros > 0,
    )
    return measure


def main(value: float, half: float) -> Findings:
    def one(size: int | None = None, scale: float = 1.0) -> Estimate:
        numbers = np.full(() if size is None else size, scale * value)
        return Estimate(numbers, np.stack([numbers - half, numbers + half], axis=-1))

    book = ("liquidation_probability", "any_liquidation_probability", "expected_total_loss")
    return {
        "accounts": {"liquidation_probability": one(ACCOUNTS)},
        "book": {**{name: one() for name in book}, "total_loss_value_at_risk": one(1)},
    }


def test_bounds() -> None:
    """19 draws are what 90 % needs: their interval goes from the least to the largest."""
    assert draws_needed(0.9) == 19
    measure = CalibrationMeasure(0.9)
    hits = np.random.default_rng(1).permutation(np.linspace(0.1, 0.28, 19))
    for hit in hits:
        measure.update(world(hit, 10 * hit))
    found = measure.finish(main(0.2, 0.03))
    name = "liquidation_probability_calibration_interval"
    np.testing.assert_allclose(found["accounts"][name][0], [0.1, 0.28], rtol=1e-12)
    np.testing.assert_allclose(found["accounts"][name][1], [0.05, 0.14], rtol=1e-12)
    assert np.isnan(found["accounts"][name][2]).all()
    np.testing.assert_allclose(found["book"][name], [0.1, 0.28], rtol=1e-12)
    # losses are a multiple of 1, 2, ... 40: their mean is that of 20.5, their 90 % quantile 36
    found_loss = found["book"]["expected_total_loss_calibration_interval"]
    np.testing.assert_allclose(found_loss, [20.5, 20.5 * 2.8], rtol=1e-12)
    at_risk = found["book"]["total_loss_value_at_risk_calibration_interval"]
    np.testing.assert_allclose(at_risk, [[36.0, 36.0 * 2.8]], rtol=1e-12)
    both = found["book"]["liquidation_probability_combined_interval"]
    expected = [0.2 - np.hypot(0.03, 0.1), 0.2 + np.hypot(0.03, 0.08)]
    np.testing.assert_allclose(both, expected, rtol=1e-12)


def test_draws_on_one_side_widen_that_side_only() -> None:
    measure = CalibrationMeasure(0.9)
    for hit in (0.3, 0.4):
        measure.update(world(hit, 1.0))
    found = measure.finish(main(0.2, 0.03))
    both = found["book"]["liquidation_probability_combined_interval"]
    np.testing.assert_allclose(both, [0.17, 0.2 + np.hypot(0.03, 0.2)], rtol=1e-12)


@pytest.mark.parametrize(("confidence", "draws"), [(0.95, 39), (0.9, 19), (0.5, 3), (0.99, 199)])
def test_as_many_draws_hold_the_next_one_as_often(confidence: float, draws: int) -> None:
    """One draw more falls between the least and the largest of n with (n - 1) / (n + 1)."""
    assert draws_needed(confidence) == draws
    assert (draws - 1) / (draws + 1) == pytest.approx(confidence)
