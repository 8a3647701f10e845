"""The rule that recommends a model, and the errors of its scores."""

from __future__ import annotations

import numpy as np
import pytest

from stress.measure.choice import Candidate, chosen, judged_confidence, missed, scores


def test_the_rule() -> None:
    """Facts before scores, a score before none."""
    few, many = Candidate("few", 1, -5.0), Candidate("many", 2, 9.0)
    better, drawn = Candidate("better", 1, -4.0), Candidate("drawn", 0, None)
    assert chosen([many, few]) == few
    assert chosen([many, few, better]) == better
    assert chosen([drawn, many, few]) == few
    assert chosen([drawn, Candidate("other", 1, None)]) == drawn


def test_what_is_missed() -> None:
    """Outside of the interval; a fact that a history does not have is not missed."""
    value = np.array([1.0, 2.0, 3.0, np.nan])
    lower, upper = np.array([1.0, 2.5, 0.0, np.nan]), np.array([2.0, 3.0, 2.9, np.nan])
    assert missed(value, lower, upper).tolist() == [False, True, True, False]
    assert judged_confidence(0.95, 5) == pytest.approx(0.99)


def test_scores_are_paired() -> None:
    """What two models have in common does not blur their difference."""
    rng = np.random.default_rng(1)
    common = 5 * rng.standard_normal(4_000)
    noise = 0.1 * rng.standard_normal(4_000)
    found = scores({"gbm": common - 0.02 + noise, "garch": common}, 0.95)
    best, other = found["garch"], found["gbm"]
    assert best.behind == 0
    assert np.isnan(best.behind_interval).all()
    assert other.behind == pytest.approx(-0.02 + noise.mean())
    half = np.diff(other.behind_interval)[0] / 2
    assert half == pytest.approx(1.96 * 0.1 / np.sqrt(4_000), rel=0.1)
    assert np.diff(best.interval)[0] > 30 * half
    assert scores({}, 0.95) == {}


def test_the_error_of_a_correlated_score() -> None:
    """An AR(1) of weight .5 has (1 + .5) / (1 - .5) times the variance of its mean."""
    rng = np.random.default_rng(2)
    shocks = rng.standard_normal(20_000)
    series = np.empty_like(shocks)
    series[0] = shocks[0]
    for place in range(1, len(series)):
        series[place] = 0.5 * series[place - 1] + shocks[place]
    (score,) = scores({"gbm": series}, 0.95).values()
    expected = 2 * 1.96 * np.sqrt(series.var() * 3 / len(series))
    assert np.diff(score.interval)[0] == pytest.approx(expected, rel=0.08)
