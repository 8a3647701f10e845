"""Intervals of probabilities against printed values, and weights against hits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from stress.stats.probability import (
    exact_probability_interval,
    mean_interval,
    normal_quantile,
    probability_interval,
    wilson,
)


class TestWilson:
    """Wilson's score interval."""

    @pytest.mark.parametrize(
        ("hits", "trials", "lower", "upper"),
        [
            (0, 1000, 0.0, 0.00382676),
            (10, 1000, 0.00544075, 0.01830947),
            (990, 1000, 1 - 0.01830947, 1 - 0.00544075),
            (1000, 1000, 1 - 0.00382676, 1.0),
        ],
    )
    def test_printed_values(self, hits: int, trials: int, lower: float, upper: float) -> None:
        """To the last digit printed."""
        found = wilson(np.array(hits / trials), np.array(float(trials)), 0.95)
        assert found == pytest.approx([lower, upper], abs=5e-9)

    def test_ends_are_exact(self) -> None:
        """No hit bounds from 0, all hits to 1: not from a rounding beside them."""
        found = wilson(np.array([0.0, 1.0]), np.array([37.0, 37.0]), 0.9)
        assert found[0, 0] == 0.0
        assert found[1, 1] == 1.0

    @settings(deadline=None)
    @given(
        hits=st.integers(0, 500), more=st.integers(0, 500), confidence=st.sampled_from([0.8, 0.99])
    )
    def test_bounds_solve_the_score_equation(self, hits: int, more: int, confidence: float) -> None:
        """``|estimate - bound| = z sqrt(bound (1 - bound) / n)`` inside (0, 1)."""
        trials = hits + more + 1
        estimate, z = hits / trials, normal_quantile(confidence)
        for bound in wilson(np.array(estimate), np.array(float(trials)), confidence):
            if 0 < bound < 1:
                expected = z * np.sqrt(bound * (1 - bound) / trials)
                assert abs(estimate - bound) == pytest.approx(expected, rel=1e-6, abs=1e-12)

    def test_shapes(self) -> None:
        """One more axis, the bounds, at the end; trials broadcast."""
        assert wilson(np.full((3, 2), 0.5), np.array(10.0), 0.95).shape == (3, 2, 2)

    def test_normal_quantile(self) -> None:
        """The table's 1.95996 and 2.57583."""
        assert normal_quantile(0.95) == pytest.approx(1.959963984540054, rel=1e-12)
        assert normal_quantile(0.99) == pytest.approx(2.575829303548901, rel=1e-12)


class TestWeights:
    """Means of numbers between 0 and 1."""

    def test_hits_give_the_interval_of_the_count(self) -> None:
        """Hits are weights of 0 and 1: nothing is gained or lost."""
        hits = np.repeat([1.0, 0.0], [40, 360])
        found = probability_interval(hits.mean(), hits.var(ddof=1), 400, 0.95)
        assert found == pytest.approx(wilson(np.array(0.1), np.array(400.0), 0.95), rel=1e-12)

    def test_weights_are_worth_more_trials(self) -> None:
        """A quarter of the variance of hits is worth four times the trials."""
        weights = np.repeat([0.4, 0.0], [200, 200])  # mean .2, variance .04, of hits .16
        found = probability_interval(weights.mean(), weights.var(ddof=1), 400, 0.95)
        assert found == pytest.approx(wilson(np.array(0.2), np.array(1600.0), 0.95), rel=1e-12)

    def test_few_hits_are_not_trusted(self) -> None:
        """Below five hits to expect, the path that makes up the variance may be missing."""
        found = probability_interval(np.array(0.004), np.array(1e-9), 1000, 0.95)
        assert found == pytest.approx(wilson(np.array(0.004), np.array(1000.0), 0.95), rel=1e-12)

    def test_no_hit(self) -> None:
        """Nothing seen is not nothing: the rule of three."""
        found = probability_interval(np.array(0.0), np.array(0.0), 1000, 0.95)
        assert found == pytest.approx([0.0, 0.00382676], abs=5e-9)

    def test_correlated_accounts_on_a_path(self) -> None:
        """A mean over accounts that fall together is worth no more than one of them."""
        together = np.repeat([1.0, 0.0], [100, 300])
        apart = np.repeat([0.5, 0.0], [200, 200])
        wide = probability_interval(together.mean(), together.var(ddof=1), 400, 0.95)
        narrow = probability_interval(apart.mean(), apart.var(ddof=1), 400, 0.95)
        assert np.ptp(wide) > 1.6 * np.ptp(narrow)
        assert wide == pytest.approx(wilson(np.array(0.25), np.array(400.0), 0.95), rel=1e-12)

    @settings(deadline=None)
    @given(
        weights=st.lists(st.floats(0.0, 1.0), min_size=2, max_size=50),
        confidence=st.floats(0.5, 0.999),
    )
    def test_never_wider_than_hits_and_never_outside(
        self, weights: list[float], confidence: float
    ) -> None:
        """Inside [0, 1], around the estimate, no wider than as many hits would give."""
        numbers = np.array(weights)
        mean = numbers.mean()
        low, high = probability_interval(mean, numbers.var(ddof=1), len(weights), confidence)
        assert 0.0 <= low <= mean + 1e-12
        assert mean - 1e-12 <= high <= 1.0
        plain = wilson(mean, np.array(float(len(weights))), confidence)
        assert high - low <= np.ptp(plain) + 1e-12

    def test_one_path(self) -> None:
        """One path says almost nothing, and says so."""
        low, high = probability_interval(np.array(1.0), np.array(0.0), 1, 0.95)
        assert (low, high) == pytest.approx((0.20654931, 1.0), abs=5e-9)


class TestExact:
    """Clopper and Pearson's interval, for hits."""

    @pytest.mark.parametrize(
        ("hits", "trials", "low", "high"),
        [(0, 1_000, 0.0, 0.00368208), (10, 1_000, 0.00480551, 0.01831325), (4, 4, 0.39763536, 1)],
    )
    def test_known_values(self, hits: int, trials: int, low: float, high: float) -> None:
        """No hit: ``1 - (alpha / 2)^(1 / n)``; the others from tables."""
        share = np.array(hits / trials)
        variance = share * (1 - share) * trials / (trials - 1)
        found = exact_probability_interval(share, variance, trials, 0.95)
        assert found == pytest.approx([low, high], abs=1e-8)

    def test_rare_hits_at_a_high_confidence(self) -> None:
        """The chance that any count leaves the truth outside is as small as it says."""
        trials, confidence = 200, 0.998
        share = np.arange(trials + 1) / trials
        variance = share * (1 - share) * trials / (trials - 1)
        bounds = exact_probability_interval(share, variance, trials, confidence)
        score = probability_interval(share, variance, trials, confidence)
        for truth in np.geomspace(1e-5, 0.5, 40):
            law = binom.pmf(np.arange(trials + 1), trials, truth)
            outside = (truth < bounds[:, 0]) | (truth > bounds[:, 1])
            assert law[outside].sum() <= 1 - confidence + 1e-12
        # what Wilson's bounds would do
        law = binom.pmf(np.arange(trials + 1), trials, 4e-4)
        assert law[score[:, 0] > 4e-4].sum() > 0.07


class TestMean:
    """The normal interval of a mean."""

    def test_by_hand(self) -> None:
        """1, 2, 3, 4: mean 2.5, variance 5/3."""
        half = 1.959963984540054 * np.sqrt(5 / 3 / 4)
        found = mean_interval(np.array(2.5), np.array(5 / 3), 4, 0.95)
        assert found == pytest.approx([2.5 - half, 2.5 + half], rel=1e-12)

    def test_one_path_has_no_error(self) -> None:
        """Not a width of 0: unknown."""
        assert np.isnan(mean_interval(np.zeros(3), np.zeros(3), 1, 0.95)).all()
