"""Intervals over windows that overlap: coverage by simulation, and plain numbers unchanged."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

from stress.calibrate.rows import Windows
from stress.stats.confidence import Confidence, design_effect, shared
from stress.stats.probability import mean_interval, probability_interval, wilson
from stress.stats.tail import expected_shortfall, quantile_ranks, tail_size, value_at_risk
from stress.stats.timing import time_quantiles

LENGTH, WINDOWS, STUDIES = 7, 1_200, 600
"""Bars of a window, windows of a series, series."""

TWO_SIDED = 0.95


@pytest.fixture(scope="module")
def sums() -> np.ndarray:
    """Return (studies, windows) sums over windows of independent normals, one bar apart."""
    bars = np.random.default_rng(12).standard_normal((STUDIES, WINDOWS + LENGTH - 1))
    running = np.cumsum(np.pad(bars, ((0, 0), (1, 0))), axis=1)
    return running[:, LENGTH:] - running[:, :-LENGTH]


OVERLAPPING = Confidence(TWO_SIDED, LENGTH)
DEVIATION = np.sqrt(LENGTH)
TRUTH = 0.9331927987311419
"""Phi(1.5)."""


def covered(bounds: np.ndarray, truth: float) -> float:
    return float(((bounds[..., 0] <= truth) & (truth <= bounds[..., 1])).mean())


class TestCoverage:
    """Of the nominal 95 percent; one study in twenty misses, so 600 tell 93 from 95."""

    def test_of_a_mean(self, sums: np.ndarray) -> None:
        arguments = (sums.mean(axis=1), sums.var(axis=1, ddof=1), WINDOWS)
        assert 0.925 < covered(mean_interval(*arguments, OVERLAPPING), 0.0) < 0.975
        # as if they were independent they cover as little as the design effect says
        assert covered(mean_interval(*arguments, TWO_SIDED), 0.0) < 0.65

    def test_of_a_probability(self, sums: np.ndarray) -> None:
        share = (sums < 1.5 * DEVIATION).mean(axis=1)
        assert covered(wilson(share, np.array(WINDOWS), OVERLAPPING), TRUTH) > 0.92
        hits = probability_interval(
            share, share * (1 - share) * WINDOWS / (WINDOWS - 1), WINDOWS, OVERLAPPING
        )
        np.testing.assert_allclose(hits, wilson(share, np.array(WINDOWS), OVERLAPPING))
        assert covered(wilson(share, np.array(WINDOWS), TWO_SIDED), TRUTH) < 0.75

    def test_of_a_quantile(self, sums: np.ndarray) -> None:
        keep = tail_size(WINDOWS, TRUTH, OVERLAPPING)
        tail = np.sort(sums, axis=1)[:, ::-1][:, :keep]
        value, bounds = value_at_risk(tail, WINDOWS, TRUTH, OVERLAPPING)
        assert covered(bounds, 1.5 * DEVIATION) > 0.93
        assert ((bounds[:, 0] <= value) & (value <= bounds[:, 1])).all()

    def test_of_a_shortfall(self, sums: np.ndarray) -> None:
        level = 0.85
        tail = np.sort(sums, axis=1)[:, ::-1]
        _, bounds = expected_shortfall(tail, WINDOWS, level, OVERLAPPING)
        # phi(z) / (1 - level) at z = Phi^-1(level)
        truth = DEVIATION * 1.5543857
        assert 0.9 < covered(bounds, truth) < 0.98

    def test_of_strides(self) -> None:
        """The design effect of windows every three of seven bars, and of named ones."""
        bars = np.random.default_rng(13).standard_normal((20_000, 43))
        running = np.cumsum(np.pad(bars, ((0, 0), (1, 0))), axis=1)
        for first, stride in ((np.arange(0, 37, 3), 3), (np.array([0, 2, 11, 12, 30]), 0)):
            found = running[:, first + 7] - running[:, first]
            windows = Windows(first, 7, stride, 0)
            effect = found.mean(axis=1).var() / (7 / len(first))
            # the ends of a short series make its own a little smaller than length over stride
            assert windows.design_effect == pytest.approx(effect, rel=0.12 if stride else 0.05)


class TestPlainNumbers:
    """A confidence without a design effect changes no digit."""

    @pytest.mark.parametrize("plain", [0.95, Confidence(0.95)])
    def test_keep_their_digits(self, plain: float) -> None:
        assert design_effect(plain) == 1.0
        assert quantile_ranks(10_000, 0.99, plain) == (9_900, 9_880, 9_920)
        found = wilson(np.array([0.0, 0.01]), np.array(1_000.0), plain)
        np.testing.assert_allclose(found, [[0.0, 0.00382676], [0.00544075, 0.01830947]], atol=5e-9)
        half = 1.959963984540054 * np.sqrt(2.0 / 50)
        found = mean_interval(np.array(1.0), np.array(2.0), 50, plain)
        np.testing.assert_array_equal(found, [1 - half, 1 + half])

    def test_of_several_statements(self) -> None:
        assert shared(0.95, 5) == pytest.approx(0.99)
        assert not isinstance(shared(0.95, 5), Confidence)
        each = shared(Confidence(0.95, 3.0), 5)
        assert float(each) == pytest.approx(0.99)
        assert design_effect(each) == 3.0

    def test_survive_copies(self) -> None:
        for other in (copy.copy(OVERLAPPING), pickle.loads(pickle.dumps(OVERLAPPING))):
            assert other == OVERLAPPING
            assert design_effect(other) == LENGTH


class TestWorth:
    def test_ranks_are_those_of_fewer_spread_over_all(self) -> None:
        """700 windows of 7 are worth 100: the 30th to the 51st of these."""
        estimate, lower, upper = quantile_ranks(700, 0.4, Confidence(0.95, 7.0))
        _, few_lower, few_upper = quantile_ranks(100, 0.4, 0.95)
        assert (estimate, lower, upper) == (280, 7 * few_lower, 7 * few_upper)

    def test_too_few_say_nothing(self) -> None:
        found = mean_interval(np.array(0.0), np.array(1.0), 10, Confidence(0.95, 7.0))
        assert np.isnan(found).all()
        assert quantile_ranks(70, 0.95, Confidence(0.95, 7.0))[2] == 71

    def test_few_independent_hits_do_not_earn_trust(self) -> None:
        """Ten hits of overlapping windows are worth two: their weights' variance is not used."""
        mean, variance = np.array(0.01), np.array(1e-6)
        alone = probability_interval(mean, variance, 1_000, 0.95)
        together = probability_interval(mean, variance, 1_000, Confidence(0.95, 5.0))
        assert np.ptp(alone) < 0.001
        np.testing.assert_allclose(together, wilson(mean, np.array(200.0), 0.95), rtol=1e-12)

    def test_times_of_events_that_come_together(self) -> None:
        counts = np.full((1, 10), 21)
        times = np.arange(1.0, 11.0)
        _, narrow = time_quantiles(counts, times, 0.5, 0.95, 30)
        _, wide = time_quantiles(counts, times, 0.5, Confidence(0.95, 7.0), 30)
        assert wide[0, 0] < narrow[0, 0] <= narrow[0, 1] < wide[0, 1]
        _, unknown = time_quantiles(counts, times, 0.5, Confidence(0.95, 7.1), 30)
        assert np.isnan(unknown).all()
