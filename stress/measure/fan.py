"""The fan of margin ratios over time, from counts in narrow bins."""

from __future__ import annotations

import numpy as np

from stress.measure.world import Grouping
from stress.stats.tail import order_rank
from stress.types import Array, Floats, Integers

__all__ = ["FanMeasure"]

_LOW, _HIGH, _PER_DECADE = -3.0, 1.0, 100
"""Bins of the decimal logarithm of the ratio: a quantile is known to 2.3 percent of itself."""
_DROPPED = 14
"""Last binary places of a float32 that a cell of the table leaves out: 512 cells an octave are
narrower than bins, so that a cell holds one edge at most."""


class FanMeasure:
    """Quantiles over accounts and paths of the margin ratio at thinned times, by group.

    An account's ratio is the largest of its pools'; after a liquidation it is infinite.

    Parameters
    ----------
    grouping
        Groups of the accounts: all, or a sample of them.
    times
        Number of times.
    """

    KEPT = ("counts", "paths")

    def __init__(self, grouping: Grouping, times: int) -> None:
        self.grouping = grouping
        self._binned = _Bins()
        self.counts = np.zeros((grouping.groups, times, self._binned.count), np.int64)
        self.paths = 0

    def update(self, ratio: Floats, first: Array) -> None:
        """Add (times, pools, paths) ratios; ``first`` is (accounts,) each account's first pool.

        Pools and accounts are those of ``grouping``.
        """
        for time, pools in enumerate(ratio):
            largest = pools if len(first) == len(pools) else np.maximum.reduceat(pools, first)
            self.counts[:, time] += self._count(largest)
        self.paths += ratio.shape[2]

    def _count(self, ratio: Floats) -> Integers:
        """Return (groups, bins) how many of the (accounts, paths) ratios there are."""
        exists, bins = self.grouping.exists, self._binned.count
        member = self.grouping.member
        if not exists.all():
            ratio, member = ratio[exists], member[exists]
        cell = self._binned.place(ratio) + (member * bins)[:, None]
        counts = np.bincount(cell.reshape(-1), minlength=self.grouping.groups * bins)
        return counts.reshape(self.grouping.groups, bins)

    def merge(self, other: FanMeasure) -> None:
        """Add the counts of later paths."""
        self.counts += other.counts
        self.paths += other.paths

    def finish(self, quantiles: tuple[float, ...]) -> Floats:
        """Return (groups, times, quantiles) margin ratios.

        Infinite where liquidated, 0 without positions; else the middle of the bin of the order
        statistic.
        """
        running = self.counts.cumsum(axis=2)
        middle = self._binned.middle
        found = [
            (running < order_rank(running[..., -1:], quantile)).sum(axis=2)
            for quantile in quantiles
        ]
        return middle[np.minimum(np.stack(found, axis=2), len(middle) - 1)]


class _Bins:
    """Below the lowest edge, between two edges, above the highest: where a ratio belongs.

    A positive float32 read as a whole number is larger the larger it is, and its first binary
    places are a cell of a table: how many edges lie below the cell, and the next edge, which the
    ratio is compared with. That takes no logarithm.
    """

    def __init__(self) -> None:
        number = np.arange(int((_HIGH - _LOW) * _PER_DECADE) + 1)
        exact = 10 ** (_LOW + number / _PER_DECADE)
        edges = exact.astype(np.float32)
        # the least float32 that is not below the edge
        edges = np.where(edges < exact, np.nextafter(edges, np.float32(np.inf)), edges)
        self.count = len(edges) + 1
        self.middle = 10 ** (_LOW + (np.arange(self.count) - 0.5) / _PER_DECADE)
        self.middle[0], self.middle[-1] = 0.0, np.inf
        cells = edges.view(np.int32) >> _DROPPED
        self._first = int(cells[0]) - 1
        cell = np.arange(self._first, cells[-1] + 2)
        self._below = np.searchsorted(cells, cell)
        # nothing compares with NaN
        self._edge = np.append(edges, np.float32(np.nan))[self._below]
        self._edge[0] = np.nan

    def place(self, ratio: Floats) -> Integers:
        """Return the bin of every ratio."""
        single = np.ascontiguousarray(ratio, dtype=np.float32)
        cell = (single.view(np.int32) >> _DROPPED) - self._first
        place: Integers = self._below.take(cell, mode="clip")
        place += single >= self._edge.take(cell, mode="clip")
        return place
