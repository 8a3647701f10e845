"""The upper tail of many losses: only what the lowest level needs is kept."""

from __future__ import annotations

import numpy as np

from stress.measure.moments import Estimate
from stress.stats.tail import expected_shortfall, tail_size, value_at_risk
from stress.types import Floats

__all__ = ["UpperTail"]

_ROWS = 256
"""Rows finished together: sorting in float64 takes several copies of what is kept."""


class UpperTail:
    """The ``keep`` largest of a stream of numbers, row by row.

    A buffer of half as many columns again is filled and then cut back, so that a number costs the
    same however many paths there are. What is kept is a set: the order of blocks does not matter.

    Parameters
    ----------
    rows
        Number of rows (accounts).
    trials
        Number of paths that will come.
    levels, confidence
        What will be asked for.
    dtype
        Floating point type of the numbers kept; that of the run.
    """

    def __init__(
        self, rows: int, trials: int, levels: tuple[float, ...], confidence: float, dtype: str
    ) -> None:
        self.trials, self.levels, self.confidence = trials, levels, confidence
        self.keep = tail_size(trials, min(levels), confidence)
        self._buffer = np.empty((rows, min(self.keep + self.keep // 2 + 1, trials)), dtype)
        self._filled = 0

    def update(self, numbers: Floats) -> None:
        """Add (rows, paths) numbers."""
        done = 0
        while done < numbers.shape[1]:
            space = self._buffer.shape[1] - self._filled
            if space == 0:
                self._cut()
                continue
            part = numbers[:, done : done + space]
            self._buffer[:, self._filled : self._filled + part.shape[1]] = part
            self._filled += part.shape[1]
            done += part.shape[1]

    def merge(self, other: UpperTail) -> None:
        """Add what another tail of the same run has kept."""
        self.update(other._buffer[:, : other._filled])

    def _cut(self) -> None:
        drop = self._filled - self.keep
        if drop > 0:
            self._buffer[:, : self._filled].partition(drop, axis=1)
            self._buffer[:, : self.keep] = self._buffer[:, drop : self._filled]
            self._filled = self.keep

    def finish(self) -> tuple[Estimate, Estimate]:
        """Return value at risk and expected shortfall, (rows, levels) with (rows, levels, 2).

        NaN where no number came.
        """
        self._cut()
        rows, levels = len(self._buffer), len(self.levels)
        at_risk, shortfall = (
            Estimate(np.full((rows, levels), np.nan), np.full((rows, levels, 2), np.nan))
            for _ in range(2)
        )
        for first in range(0, rows if self._filled else 0, _ROWS):
            some = slice(first, first + _ROWS)
            ascending = np.sort(self._buffer[some, : self._filled].astype(np.float64), axis=1)
            for number, level in enumerate(self.levels):
                asked = (ascending[:, ::-1], self.trials, level, self.confidence)
                at_risk.value[some, number], at_risk.interval[some, number] = value_at_risk(*asked)
                value, interval = expected_shortfall(*asked)
                shortfall.value[some, number], shortfall.interval[some, number] = value, interval
        return at_risk, shortfall
