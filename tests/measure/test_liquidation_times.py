"""Counts of liquidations on a grid of steps, thinned where a book is large."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stress.measure.timing import LiquidationTimes, TimeGrid


class TestGrid:
    """Which steps are counted and shown."""

    def test_few_steps_are_all_there(self) -> None:
        """Ten steps, and the start."""
        grid = TimeGrid.build(10, 3_000, 0.5)
        assert grid.counted.tolist() == list(range(11))
        assert grid.shown.tolist() == list(range(11))

    def test_many_steps_are_counted_and_some_are_shown(self) -> None:
        """A week of five minutes: every step counts, 65 are drawn."""
        grid = TimeGrid.build(2_016, 3_000, 5 / 1_440)
        assert grid.counted.tolist() == list(range(2_017))
        assert len(grid.shown) == 65
        assert (grid.shown[0], grid.shown[-1]) == (0, 2_016)

    def test_large_books_get_a_coarser_grid(self) -> None:
        """A million accounts: 64 cells of a month of minutes, and the horizon among them."""
        grid = TimeGrid.build(43_200, 1_000_000, 1 / 1_440)
        assert grid.counted.tolist() == [*range(0, 43_200, 675), 43_200]

    def test_the_horizon_is_counted_where_no_stride_meets_it(self) -> None:
        """The last cell is the shorter one."""
        grid = TimeGrid.build(101, 1_000_000, 1.0)
        assert grid.counted.tolist() == [*range(0, 101, 2), 101]

    @settings(deadline=None)
    @given(steps=st.integers(1, 50_000), accounts=st.integers(0, 5_000_000))
    def test_always(self, steps: int, accounts: int) -> None:
        """From 0 to the horizon, ascending, bounded in memory; what is shown is counted."""
        grid = TimeGrid.build(steps, accounts, 1.0)
        assert (grid.counted[0], grid.counted[-1]) == (0, steps)
        assert np.all(np.diff(grid.counted) > 0)
        assert len(grid.counted) <= max(65, 2**25 // max(accounts, 1) + 2)
        assert len(grid.counted) >= min(steps, 33)
        assert np.isin(grid.shown, grid.counted).all()
        assert (grid.shown[0], grid.shown[-1]) == (0, steps)
        assert np.all(np.diff(grid.shown) > 0)
        assert len(grid.shown) <= 65


class TestCounts:
    """Probabilities and quantiles from counts."""

    GRID = TimeGrid(np.array([0, 4, 8, 10]), np.array([0, 8, 10]), 0.25)

    def counted(self) -> LiquidationTimes:
        """Return two accounts on eight paths, in two blocks."""
        times = LiquidationTimes(2, self.GRID)
        times.update(np.array([0, 0, 0]), np.array([0, 1, 4]))
        times.update(np.array([0, 0, 0, 0, 1]), np.array([5, 8, 9, 10, 10]))
        return times

    def test_a_liquidation_counts_at_the_next_counted_step(self) -> None:
        """1 and 4 at 4, 5 and 8 at 8, 9 and 10 at 10: never too early."""
        assert self.counted().counts.tolist() == [[1, 2, 2, 2], [0, 0, 0, 1]]

    def test_by_step(self) -> None:
        """Cumulated at the shown steps only, with Wilson's interval of the paths."""
        found = self.counted().by_step(8, 0.95)
        assert found.value == pytest.approx(np.array([[0.125, 0.625, 0.875], [0, 0, 0.125]]))
        assert found.interval[1, 0] == pytest.approx([0.0, 3.8414588 / 11.8414588])

    def test_merge(self) -> None:
        """Counts of other paths are added."""
        times = self.counted()
        times.merge(self.counted())
        assert times.counts.tolist() == [[2, 4, 4, 4], [0, 0, 0, 2]]

    @settings(deadline=None)
    @given(
        rows=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 10)), min_size=1, max_size=60),
        cuts=st.lists(st.integers(1, 59), max_size=3),
        merged=st.integers(0, 4),
    )
    def test_as_a_list(self, rows: list[tuple[int, int]], cuts: list[int], merged: int) -> None:
        """Any blocks, some of them merged: what a list of all steps says."""
        edges = sorted({0, len(rows), *(cut for cut in cuts if cut < len(rows))})
        parts = [rows[low:high] for low, high in pairwise(edges)]
        whole, rest = LiquidationTimes(5, self.GRID), LiquidationTimes(5, self.GRID)
        for number, part in enumerate(parts):
            account, step = np.array(part).T
            (whole if number < merged else rest).update(account, step)
        whole.merge(rest)
        steps = [[step for owner, step in rows if owner == account] for account in range(5)]
        found = whole.by_step(60, 0.95).value
        for own, curve in zip(steps, found, strict=True):
            assert curve.tolist() == [
                sum(step <= shown for step in own) / 60 for shown in (0, 8, 10)
            ]

    def test_quantiles_in_days(self) -> None:
        """Thirty liquidations are enough, twenty-nine are not."""
        times = LiquidationTimes(2, self.GRID)
        times.update(np.zeros(30, int), np.repeat([4, 8, 10], 10))
        times.update(np.ones(29, int), np.full(29, 4))
        found = times.quantiles((0.25, 0.5, 0.9), 0.95)
        assert found.value[0].tolist() == [1.0, 2.0, 2.5]
        assert np.isnan(found.value[1]).all()
        assert np.isnan(found.interval[1]).all()
        assert found.interval.shape == (2, 3, 2)
        # of thirty, ranks 10 and 21 bound a median
        assert found.interval[0, 1].tolist() == [1.0, 2.5]
