"""When accounts are liquidated: counts on a grid of steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from stress.measure.kept import Arrays
from stress.measure.moments import Estimate
from stress.measure.sparse import account_slices
from stress.stats.probability import wilson
from stress.stats.timing import time_quantiles
from stress.types import Array, Integers

__all__ = ["LiquidationTimes", "TimeGrid"]

_SHOWN = 64
"""Points of a curve over the horizon: more than a figure shows, few enough for every account."""
_CELLS = 1 << 25
"""Most counters kept; a book beyond it gets a coarser grid of times."""
_FEWEST = 30
"""Fewest liquidations from which quantiles of their times are given."""


@dataclass(frozen=True)
class TimeGrid:
    """Steps at which things are counted and shown.

    Attributes
    ----------
    counted
        (times,) steps, ascending from 0 to the horizon: a liquidation counts at the first of them
        that is not before it.
    shown
        (shown,) steps of the curves, a subset of ``counted``.
    step_days
        Length of a step in days.
    """

    counted: Integers
    shown: Integers
    step_days: float

    @classmethod
    def build(cls, steps: int, accounts: int, step_days: float) -> TimeGrid:
        """Return the grid for a horizon of ``steps`` and a number of accounts."""
        most = max(_SHOWN, _CELLS // max(accounts, 1))
        stride = -(-steps // most)
        counted = np.unique(np.append(np.arange(0, steps, stride), steps))
        shown = np.linspace(0, len(counted) - 1, min(len(counted), _SHOWN + 1))
        return cls(counted, counted[np.unique(np.round(shown).astype(int))], step_days)

    def places(self, steps: Integers) -> Integers:
        """Return (horizon + 1,) the index of the first of some ascending steps not before each."""
        return np.searchsorted(steps, np.arange(self.counted[-1] + 1))


class LiquidationTimes:
    """Counts of liquidations by account and time.

    Parameters
    ----------
    accounts
        Number of accounts.
    grid
        Where to count.
    """

    def __init__(self, accounts: int, grid: TimeGrid) -> None:
        self.grid = grid
        # an account is liquidated once a path at most
        self.counts = np.zeros((accounts, len(grid.counted)), np.int32)
        self._place = grid.places(grid.counted)

    def update(self, account: Integers, step: Integers) -> None:
        """Add (liquidations,) one a path: of which account, at which step."""
        cell = account * self.counts.shape[1] + self._place[step]
        distinct, count = np.unique(cell, return_counts=True)
        self.counts.reshape(-1)[distinct] += count.astype(self.counts.dtype)

    def arrays(self) -> Arrays:
        """Return the counters that are not 0 and where they stand: most are."""
        cell = np.flatnonzero(self.counts)
        # a book with more counters has a coarser grid: the places fit 32 bits
        return {"cell": cell.astype(np.uint32), "count": self.counts.reshape(-1)[cell]}

    def restore(self, arrays: Mapping[str, Array]) -> None:
        """Take back what ``arrays`` returned."""
        self.counts.reshape(-1)[arrays["cell"]] = arrays["count"]

    def merge(self, other: LiquidationTimes) -> None:
        """Add the counts of other paths."""
        self.counts += other.counts

    def by_step(self, paths: int, confidence: float) -> Estimate:
        """Return (accounts, shown) probabilities of a liquidation by each shown step."""
        places = np.searchsorted(self.grid.counted, self.grid.shown)
        trials = max(paths, 1)
        # of so many paths there are only so many shares
        shares = np.arange(trials + 1) / trials
        intervals = wilson(shares, np.array(float(trials)), confidence)
        value = np.empty((len(self.counts), len(places)))
        interval = np.empty((*value.shape, 2))
        for some in account_slices(len(self.counts)):
            events = self.counts[some].cumsum(axis=1)[:, places]
            value[some], interval[some] = shares[events], intervals[events]
        return Estimate(value, interval)

    def quantiles(self, levels: tuple[float, ...], confidence: float) -> Estimate:
        """Return (accounts, quantiles) of the time to liquidation given liquidation, in days."""
        days = self.grid.counted * self.grid.step_days
        value = np.empty((len(self.counts), len(levels)))
        interval = np.empty((*value.shape, 2))
        for some in account_slices(len(self.counts)):
            for number, level in enumerate(levels):
                value[some, number], interval[some, number] = time_quantiles(
                    self.counts[some], days, level, confidence, _FEWEST
                )
        return Estimate(value, interval)
