"""Quantiles of a time on a grid, from counts."""

from __future__ import annotations

import numpy as np
import pytest

from stress.stats.timing import time_quantiles

TIMES = np.array([0.0, 1.0, 2.0, 3.0])


def test_by_hand() -> None:
    """Ten events at 0, 1, 1, 1, 2, 2, 2, 2, 3, 3: the median is the fifth."""
    counts = np.array([[1, 3, 4, 2]])
    value, interval = time_quantiles(counts, TIMES, 0.5, 0.95, 1)
    assert value.tolist() == [2.0]
    # of ten, ranks 2 and 9 bound a median
    assert interval.tolist() == [[1.0, 3.0]]


@pytest.mark.parametrize(("level", "expected"), [(0.1, 0.0), (0.11, 1.0), (0.4, 1.0), (0.81, 3.0)])
def test_other_levels(level: float, expected: float) -> None:
    """The order statistic of rank ceil(level * events)."""
    assert time_quantiles(np.array([[1, 3, 4, 2]]), TIMES, level, 0.95, 1)[0] == expected


def test_a_whole_rank_is_not_rounded_up() -> None:
    """Seven of a hundred events at once: the 7 % quantile is theirs."""
    counts = np.array([[7, 93, 0, 0]])
    assert time_quantiles(counts, TIMES, 0.07, 0.95, 1)[0] == 0.0


def test_too_few_events() -> None:
    """Rows below the fewest are NaN, others are not; a row without any event does no harm."""
    counts = np.array([[0, 29, 0, 0], [0, 30, 0, 0], [0, 0, 0, 0]])
    value, interval = time_quantiles(counts, TIMES, 0.5, 0.95, 30)
    assert np.isnan(value[[0, 2]]).all()
    assert np.isnan(interval[[0, 2]]).all()
    assert (value[1], *interval[1]) == (1.0, 1.0, 1.0)


@pytest.mark.parametrize("level", [0.05, 0.5, 0.95])
@pytest.mark.parametrize("events", [30, 50, 200])
def test_coverage(level: float, events: int) -> None:
    """2,000 samples of a uniform time on a fine grid: at least 95 % of intervals, less four errors.

    Thirty events are the fewest that quantiles are given from, and too few for an order statistic
    beyond the 5 % quantile: the bound is then the end of the grid.
    """
    generator = np.random.default_rng(20_261_121)
    cells, samples = 500, 2_000
    drawn = generator.integers(1, cells + 1, size=(samples, events))
    counts = np.zeros((samples, cells + 1), np.int64)
    np.add.at(counts, (np.arange(samples)[:, None], drawn), 1)
    times = np.arange(cells + 1) / cells
    _, interval = time_quantiles(counts, times, level, 0.95, 30)
    held = (interval[:, 0] <= level) & (level <= interval[:, 1])
    assert held.mean() > 0.95 - 4 * np.sqrt(0.05 * 0.95 / samples)
