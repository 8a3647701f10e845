"""When accounts are liquidated: counts on a grid of steps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stress.measure.moments import Estimate
from stress.stats.probability import wilson
from stress.stats.timing import time_quantiles
from stress.types import Floats, Integers

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
        self.counts = np.zeros((accounts, len(grid.counted)), np.int64)

    def update(self, step: Integers) -> None:
        """Add (accounts, paths) liquidation steps, -1 for never."""
        account, path = np.nonzero(step >= 0)
        when = np.searchsorted(self.grid.counted, step[account, path])
        np.add.at(self.counts, (account, when), 1)

    def merge(self, other: LiquidationTimes) -> None:
        """Add the counts of other paths."""
        self.counts += other.counts

    def by_step(self, paths: int, confidence: float) -> Estimate:
        """Return (accounts, shown) probabilities of a liquidation by each shown step."""
        places = np.searchsorted(self.grid.counted, self.grid.shown)
        share = self.counts.cumsum(axis=1)[:, places] / max(paths, 1)
        return Estimate(share, wilson(share, np.array(float(max(paths, 1))), confidence))

    def quantiles(self, levels: tuple[float, ...], confidence: float) -> Estimate:
        """Return (accounts, quantiles) of the time to liquidation given liquidation, in days."""
        days = self.grid.counted * self.grid.step_days
        found = [time_quantiles(self.counts, days, q, confidence, _FEWEST) for q in levels]
        values: list[Floats] = [value for value, _ in found]
        intervals: list[Floats] = [interval for _, interval in found]
        return Estimate(np.stack(values, axis=1), np.stack(intervals, axis=1))
