"""The upper tail of many losses: only what the lowest level needs is kept."""

from __future__ import annotations

import numpy as np

from stress.measure.moments import Estimate
from stress.stats.tail import expected_shortfall, tail_size, value_at_risk
from stress.types import Floats

__all__ = ["UpperTail"]


class UpperTail:
    """The ``keep`` largest of a stream of numbers, row by row.

    A buffer of twice that many columns is filled and then cut back, so that a number costs the same
    however many paths there are. What is kept is a set, so the order of blocks does not matter.

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
        self._buffer = np.empty((rows, min(2 * self.keep, trials)), dtype)
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
        """Return value at risk and expected shortfall, (rows, levels) with (rows, levels, 2)."""
        self._cut()
        tail = -np.sort(-self._buffer[:, : self._filled], axis=1).astype(np.float64)
        at_risk = [
            value_at_risk(tail, self.trials, level, self.confidence) for level in self.levels
        ]
        shortfall = [
            expected_shortfall(tail, self.trials, level, self.confidence) for level in self.levels
        ]
        return _by_level(at_risk), _by_level(shortfall)


def _by_level(estimates: list[tuple[Floats, Floats]]) -> Estimate:
    values, intervals = zip(*estimates, strict=True)
    return Estimate(np.stack(values, axis=1), np.stack(intervals, axis=1))
