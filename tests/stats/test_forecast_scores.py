"""Scores of probability forecasts by hand, and the coverage of the block bootstrap."""

from __future__ import annotations

import numpy as np
import pytest

from stress.stats.forecast_scores import (
    block_length,
    block_weights,
    brier,
    co_exceedance,
    exceedances_per_row,
    ratio_interval,
    reliability,
)


def test_brier_by_hand() -> None:
    """(0.3 - 1)^2 and (0.2 - 0)^2."""
    assert brier(np.array([0.3, 0.2]), np.array([True, False])) == pytest.approx([0.49, 0.04])


class TestBlocks:
    """Blocks of windows."""

    def test_every_resampled_series_is_whole(self) -> None:
        """As many rows as there are, whatever the block."""
        for rows, block in ((10, 3), (7, 7), (5, 1)):
            weights = block_weights(rows, block, 50)
            assert weights.shape == (50, rows)
            assert (weights.sum(axis=1) == rows).all()

    def test_rows_are_drawn_equally_often(self) -> None:
        """Around the end to the beginning: no row is rarer for standing at an end."""
        assert block_weights(20, 6, 20_000).mean(axis=0) == pytest.approx(1.0, abs=0.05)

    def test_overlap_makes_blocks_longer(self) -> None:
        """Twice the overlap; never longer than the series."""
        assert block_length(1000) == 10
        assert block_length(1000, 7) == 14
        assert block_length(10, 7) == 10

    def test_interval_of_a_mean_of_dependent_rows(self) -> None:
        """Sums over seven draws each: the blocks hold the overlap, single rows would not."""
        random = np.random.default_rng(0)
        covered = {1: 0, 14: 0}
        for _ in range(200):
            draws = random.standard_normal(306)
            rows = np.convolve(draws, np.ones(7), mode="valid")
            for block in covered:
                bounds = ratio_interval(
                    rows, np.ones(len(rows)), block_weights(len(rows), block, 300), 0.95
                )
                covered[block] += bounds[0] < 0 < bounds[1]
        assert covered[14] > 170
        assert covered[1] < 140


class TestReliability:
    """What came of forecasts of about the same probability."""

    def test_by_hand(self) -> None:
        """Two bins: 1 of 3 and 1 of 1."""
        forecast = np.array([[0.1, 0.2], [0.3, 0.9]])
        outcome = np.array([[False, False], [True, True]])
        found = reliability(
            forecast, outcome, np.array([0.0, 0.5, 1.0]), overlap=1, confidence=0.95
        )
        assert found.forecasts.tolist() == [3, 1]
        assert found.mean_forecast == pytest.approx([0.2, 0.9])
        assert found.frequency == pytest.approx([1 / 3, 1.0])
        assert (found.interval[:, 0] <= found.frequency).all()
        assert (found.interval[:, 1] >= found.frequency).all()

    def test_edges(self) -> None:
        """A bin holds its lower edge, the last one also certainty; an empty bin is NaN."""
        found = reliability(
            np.array([[0.0], [0.5], [1.0]]),
            np.array([[False], [True], [True]]),
            np.array([0.0, 0.25, 0.5, 1.0]),
            overlap=1,
            confidence=0.9,
        )
        assert found.forecasts.tolist() == [1, 0, 2]
        assert np.isnan(found.frequency[1])
        assert np.isnan(found.interval[1]).all()

    def test_a_bin_without_a_hit_is_not_sure(self) -> None:
        """Wilson's bound of the windows that do not overlap: 70 rows of 7 are ten."""
        found = reliability(
            np.full((70, 1), 0.01),
            np.zeros((70, 1), bool),
            np.array([0.0, 1.0]),
            overlap=7,
            confidence=0.95,
        )
        assert found.interval[0, 0] == 0.0
        assert found.interval[0, 1] == pytest.approx(0.27753, abs=1e-5)


class TestCoExceedance:
    """Joint tails."""

    def test_as_one(self) -> None:
        """Columns that are the same are always beyond together."""
        one = np.random.default_rng(1).standard_normal((200, 1))
        beyond = exceedances_per_row(np.repeat(one, 3, axis=1), 0.05, upper=False)
        both, single = co_exceedance(beyond, 3)
        assert both.sum() / single.sum() == pytest.approx(1.0)
        assert beyond.sum() == 3 * 10

    def test_independent(self) -> None:
        """The probability itself."""
        values = np.random.default_rng(2).standard_normal((100_000, 4))
        for upper in (False, True):
            both, single = co_exceedance(exceedances_per_row(values, 0.05, upper=upper), 4)
            assert both.sum() / single.sum() == pytest.approx(0.05, abs=0.005)

    def test_pairs_one_by_one(self) -> None:
        """The mean over pairs, counted pair by pair."""
        random = np.random.default_rng(3)
        values = random.standard_normal((400, 3)) + random.standard_normal((400, 1))
        lowest = values <= np.sort(values, axis=0)[19]
        pairs = [
            (lowest[:, one] & lowest[:, other]).sum() / 20
            for one in range(3)
            for other in range(one)
        ]
        both, single = co_exceedance(exceedances_per_row(values, 0.05, upper=False), 3)
        assert both.sum() / single.sum() == pytest.approx(np.mean(pairs))

    def test_coverage_of_the_interval(self) -> None:
        """The block bootstrap holds the truth nearly as often as it says."""
        random = np.random.default_rng(4)

        def draw(rows: int) -> np.ndarray:
            mixing = np.sqrt(4 / random.chisquare(4, (rows, 1)))
            common = random.standard_normal((rows, 1))
            return mixing * (0.8 * common + 0.6 * random.standard_normal((rows, 5)))

        both, single = co_exceedance(exceedances_per_row(draw(400_000), 0.05, upper=False), 5)
        truth = both.sum() / single.sum()
        weights = block_weights(500, block_length(500), 400)
        covered = 0
        for _ in range(300):
            both, single = co_exceedance(exceedances_per_row(draw(500), 0.05, upper=False), 5)
            low, high = ratio_interval(both, single, weights, 0.95)
            covered += low < truth < high
        # measured: 0.9 or so; with 25 rows in a tail the percentiles are a little narrow
        assert covered > 0.85 * 300
