"""Quantiles and shortfalls: ranks against a table, small samples by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from stress.stats.tail import expected_shortfall, quantile_ranks, tail_size, value_at_risk

Z = 1.959963984540054
TEN = np.arange(10.0, 0.0, -1.0)[None]
"""The losses 1 to 10, largest first."""


class TestRanks:
    """Which order statistics bound a quantile."""

    @pytest.mark.parametrize(
        ("trials", "level", "ranks"),
        [
            (10_000, 0.99, (9_900, 9_880, 9_920)),
            (100_000, 0.999, (99_900, 99_880, 99_920)),
            (10, 0.95, (10, 8, 11)),
            (4, 0.5, (2, 0, 5)),
        ],
    )
    def test_known(self, trials: int, level: float, ranks: tuple[int, int, int]) -> None:
        """11 of 10 and 0 of 4 say that the sample is too small for that bound."""
        assert quantile_ranks(trials, level, 0.95) == ranks

    @pytest.mark.parametrize("level", [0.07, 0.29, 0.57, 0.95])
    def test_a_whole_rank_is_not_rounded_up(self, level: float) -> None:
        """100 * 0.07 is 7.000000000000001 to a computer."""
        assert quantile_ranks(100, level, 0.95)[0] == round(100 * level)

    @settings(deadline=None)
    @given(
        trials=st.integers(1, 5_000),
        level=st.floats(0.01, 0.999),
        confidence=st.sampled_from([0.8, 0.95, 0.999]),
    )
    def test_coverage(self, trials: int, level: float, confidence: float) -> None:
        """Below rank l with at most half the error, at or above rank u likewise."""
        estimate, lower, upper = quantile_ranks(trials, level, confidence)
        side = (1 - confidence) / 2 * (1 + 1e-9)
        assert binom.cdf(lower - 1, trials, level) <= side
        assert binom.sf(upper - 1, trials, level) <= side
        assert 0 <= lower <= estimate <= upper <= trials + 1
        assert 1 <= tail_size(trials, level, confidence) <= trials


class TestValueAtRisk:
    """Order statistics of a known sample."""

    def test_by_hand(self) -> None:
        """The 95th percentile of ten numbers is the largest, and nothing bounds it from above."""
        value, interval = value_at_risk(TEN, 10, 0.95, 0.95)
        assert value.tolist() == [10.0]
        assert interval.tolist() == [[8.0, np.inf]]

    def test_nothing_bounds_it_from_below(self) -> None:
        """Four observations are too few for either bound of a median."""
        value, interval = value_at_risk(np.array([[4.0, 3.0, 2.0, 1.0]]), 4, 0.5, 0.95)
        assert value.tolist() == [2.0]
        assert interval.tolist() == [[-np.inf, np.inf]]

    def test_tail_is_enough(self) -> None:
        """Nothing below the kept tail is looked at."""
        sample = np.sort(np.random.default_rng(5).normal(size=(2, 1_000)), axis=1)[:, ::-1]
        kept = sample[:, : tail_size(1_000, 0.9, 0.95)]
        assert kept.shape[1] < 130
        for estimate in (value_at_risk, expected_shortfall):
            whole, part = estimate(sample, 1_000, 0.9, 0.95), estimate(kept, 1_000, 0.9, 0.95)
            assert np.array_equal(whole[0], part[0])
            assert np.array_equal(whole[1], part[1])


class TestExpectedShortfall:
    """The mean beyond the quantile."""

    def test_whole_observations(self) -> None:
        """Beyond 80 % of 1 to 100 lie 81 to 100; the excesses over 80 have second moment 28.7."""
        losses = np.arange(100.0, 0.0, -1.0)[None]
        value, interval = expected_shortfall(losses, 100, 0.8, 0.95)
        assert value == pytest.approx([90.5])
        half = Z * np.sqrt((28.7 - 2.1**2) / 99) / 0.2
        assert interval == pytest.approx(np.array([[90.5 - half, 90.5 + half]]))

    def test_too_few_for_an_upper_bound(self) -> None:
        """Two observations beyond the quantile say nothing of how far the tail reaches."""
        value, interval = expected_shortfall(TEN, 10, 0.8, 0.95)
        assert value == pytest.approx([9.5])
        assert interval.tolist() == value_at_risk(TEN, 10, 0.8, 0.95)[1].tolist()
        assert interval.tolist() == [[5.0, np.inf]]

    def test_part_of_an_observation(self) -> None:
        """The worst quarter of ten: 10, 9 and half of 8."""
        assert expected_shortfall(TEN, 10, 0.75, 0.95)[0] == pytest.approx([(10 + 9 + 4) / 2.5])

    def test_constant_loss(self) -> None:
        """A loss that is always the same is its own shortfall, without error."""
        value, interval = expected_shortfall(np.full((1, 500), 7.0), 500, 0.9, 0.95)
        assert value.tolist() == [7.0]
        assert interval.tolist() == [[7.0, 7.0]]

    def test_one_path(self) -> None:
        """A value, and nothing to bound it from above."""
        value, interval = expected_shortfall(np.array([[3.0]]), 1, 0.99, 0.95)
        assert value.tolist() == [3.0]
        assert interval[0, 1] == np.inf

    @settings(deadline=None)
    @given(
        losses=st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=60), level=st.floats(0.05, 0.99)
    )
    def test_order(self, losses: list[float], level: float) -> None:
        """Between the quantile and the largest loss; losses may be negative."""
        tail = np.sort(np.array(losses))[::-1][None]
        quantile, _ = value_at_risk(tail, len(losses), level, 0.95)
        shortfall, _ = expected_shortfall(tail, len(losses), level, 0.95)
        assert quantile[0] <= shortfall[0] <= tail[0, 0] + 1e-9 * np.abs(tail).max() / (1 - level)
