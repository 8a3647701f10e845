"""The upper tail of many losses: only what the lowest level needs is kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from stress.measure.kept import Arrays
from stress.measure.moments import Estimate
from stress.measure.sparse import account_slices
from stress.stats.tail import expected_shortfall, tail_size, value_at_risk
from stress.types import Array, Floats

__all__ = ["UpperTail"]

_CELLS = 1 << 21
"""Most numbers that are sorted at a time."""

_ROOM = 32
"""Least columns besides those that must be kept: a cut costs a partition of the row."""


class UpperTail:
    """The ``keep`` largest of a stream of numbers, row by row.

    A row's numbers are collected in a buffer of about half as many columns again, and cut back to
    the largest when it is full. From then on only what is above the least of those comes in, which
    on average is ``keep`` of as many as came: a row is cut the more rarely the more paths it has
    seen. What is kept is a set: neither the order of blocks nor where they end matters.

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
    keep
        How many; as many as the levels need of so many paths by default.
    """

    def __init__(
        self,
        rows: int,
        trials: int,
        levels: tuple[float, ...],
        confidence: float,
        dtype: str,
        keep: int | None = None,
    ) -> None:
        self.trials, self.levels, self.confidence = trials, levels, confidence
        self.keep = tail_size(trials, min(levels), confidence) if keep is None else keep
        room = max(self.keep // 2 + 1, _ROOM)
        # the rest of a row is -inf, which changes none of its largest
        self._buffer = np.full((rows, self.keep + room), -np.inf, dtype)
        self._filled = np.zeros(rows, np.int32)
        self._floor = np.full(rows, -np.inf, dtype)
        # nothing larger was left out by the parts that were merged
        self._left_out = np.full(rows, -np.inf, dtype)

    def update(self, numbers: Floats, first: int = 0) -> None:
        """Add (some rows, paths) numbers of consecutive rows from ``first`` on."""
        room = self._buffer.shape[1] - self.keep
        for some in account_slices(len(numbers)):
            for column in range(0, numbers.shape[1], room):
                part = numbers[some, column : column + room]
                self._add(part.astype(self._buffer.dtype, copy=False), first + some.start)

    def _add(self, numbers: Floats, first: int) -> None:
        """Add numbers of some rows, no more columns than a cut makes room for."""
        rows, paths = numbers.shape
        floor = self._floor[first : first + rows, None]
        # written so that NaN comes in
        place = np.flatnonzero(~(numbers <= floor))
        row = place // paths
        count = np.bincount(row, minlength=rows)
        filled = self._filled[first : first + rows]
        self._cut(first + np.flatnonzero(filled + count > self._buffer.shape[1]))
        rank = np.arange(len(place)) - (np.cumsum(count) - count)[row]
        self._buffer[first + row, filled[row] + rank] = numbers.reshape(-1)[place]
        filled += count.astype(filled.dtype)

    def arrays(self) -> Arrays:
        """Return what is kept, and what is at least as large as everything left out."""
        self._cut(np.flatnonzero(self._filled > self.keep))
        width = int(self._filled.max(initial=0))
        return {"largest": self._buffer[:, :width], "floor": self._floor}

    def restore(self, arrays: Mapping[str, Array]) -> None:
        """Take back what ``arrays`` returned."""
        self.update(arrays["largest"])
        self._floor = arrays["floor"]

    def merge(self, other: UpperTail) -> None:
        """Add what another tail of the same run has kept."""
        kept = other.arrays()
        self.update(kept["largest"])
        self._left_out = np.maximum(self._left_out, kept["floor"])

    def _cut(self, rows: Array) -> None:
        """Cut some rows back to their largest."""
        drop = self._buffer.shape[1] - self.keep
        for some in account_slices(len(rows)):
            held = np.partition(self._buffer[rows[some]], drop, axis=1)
            self._floor[rows[some]] = held[:, drop]
            held[:, : self.keep] = held[:, drop:].copy()
            held[:, self.keep :] = -np.inf
            self._buffer[rows[some]] = held
            self._filled[rows[some]] = self.keep

    def finish(self) -> tuple[Estimate, Estimate]:
        """Return value at risk and expected shortfall, (rows, levels) with (rows, levels, 2).

        NaN where no number came.

        Raises
        ------
        ArithmeticError
            If a part that was merged has left out what is among the largest of all.
        """
        rows, levels = len(self._buffer), len(self.levels)
        at_risk, shortfall = (
            Estimate(np.full((rows, levels), np.nan), np.full((rows, levels, 2), np.nan))
            for _ in range(2)
        )
        for some in self._sorted_together(rows if self._filled.any() else 0):
            ascending = np.sort(self._buffer[some].astype(np.float64), axis=1)
            descending = ascending[:, : -self.keep - 1 : -1]
            if (self._left_out[some] > descending[:, -1]).any():
                raise ArithmeticError("a part of the paths kept too few of its largest losses")
            for number, level in enumerate(self.levels):
                asked = (descending, self.trials, level, self.confidence)
                at_risk.value[some, number], at_risk.interval[some, number] = value_at_risk(*asked)
                value, interval = expected_shortfall(*asked)
                shortfall.value[some, number], shortfall.interval[some, number] = value, interval
        return at_risk, shortfall

    def _sorted_together(self, rows: int) -> Iterator[slice]:
        """Yield slices of rows whose sorted copies are small beside what is kept of many paths."""
        together = max(_CELLS // self._buffer.shape[1], 1)
        for some in account_slices(rows):
            for first in range(some.start, some.stop, together):
                yield slice(first, min(first + together, some.stop))
