"""The fan of margin ratios over time, from counts in narrow bins."""

from __future__ import annotations

import numpy as np

from stress.measure.world import Grouping
from stress.stats.tail import order_rank
from stress.types import Array, Floats

__all__ = ["FanMeasure"]

_LOW, _HIGH, _PER_DECADE = -3.0, 1.0, 100
"""Bins of the decimal logarithm of the ratio: a quantile is known to 2.3 percent of itself."""


class FanMeasure:
    """Quantiles over accounts and paths of the margin ratio at thinned times, by group.

    An account's ratio is the largest of its pools'; after a liquidation it is infinite.

    Parameters
    ----------
    grouping
        Groups of the accounts.
    times
        Number of times.
    """

    def __init__(self, grouping: Grouping, times: int) -> None:
        self.grouping = grouping
        # below the lowest bin, the bins, above the highest
        self._bins = int((_HIGH - _LOW) * _PER_DECADE) + 2
        self.counts = np.zeros((grouping.groups, times, self._bins), np.int64)
        self.paths = 0

    def update(self, ratio: Floats, first: Array) -> None:
        """Add (times, pools, paths) ratios; ``first`` is (accounts,) each account's first pool."""
        largest = np.maximum.reduceat(ratio, first, axis=1)[:, self.grouping.exists]
        member = self.grouping.member[self.grouping.exists]
        with np.errstate(divide="ignore"):
            place = np.floor((np.log10(largest) - _LOW) * _PER_DECADE) + 1
        cell = np.clip(place, 0, self._bins - 1).astype(np.int64)
        times = np.arange(ratio.shape[0])[:, None, None]
        flat = (member[None, :, None] * ratio.shape[0] + times) * self._bins + cell
        counts = np.bincount(flat.ravel(), minlength=self.counts.size)
        self.counts += counts.reshape(self.counts.shape)
        self.paths += ratio.shape[2]

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
        middle = 10 ** (_LOW + (np.arange(self._bins) - 0.5) / _PER_DECADE)
        middle[0], middle[-1] = 0.0, np.inf
        found = [
            (running < order_rank(running[..., -1:], quantile)).sum(axis=2)
            for quantile in quantiles
        ]
        return middle[np.minimum(np.stack(found, axis=2), self._bins - 1)]
