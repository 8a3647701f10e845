"""Progress on stderr: a line that is redrawn on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from typing import TextIO

__all__ = ["Progress", "Silent"]

_REDRAW, _PLAIN = 0.2, 15.0
"""Seconds between two lines on a terminal and elsewhere."""


class Silent:
    """Says nothing."""

    def update(self, done: int) -> None:
        """Note that ``done`` paths are finished."""

    def skip(self, done: int) -> None:
        """Note that ``done`` paths are there, the last of them from a run before."""

    def close(self) -> None:
        """Finish the line."""


class Progress(Silent):
    """Paths done, paths a second and time left.

    Parameters
    ----------
    total
        Number of paths.
    stream
        Where to write.
    unit
        What is counted, where it is not paths.
    """

    def __init__(self, total: int, stream: TextIO | None = None, *, unit: str = "paths") -> None:
        self._total, self._stream, self._unit = total, stream or sys.stderr, unit
        self._terminal = self._stream.isatty()
        self._start = self._last = time.monotonic()
        self._skipped = 0

    def skip(self, done: int) -> None:
        """Note that ``done`` paths are there, the last of them from a run before."""
        self._skipped = done

    def update(self, done: int) -> None:
        """Note that ``done`` paths are finished; write if it is time to."""
        now = time.monotonic()
        if now - self._last < (_REDRAW if self._terminal else _PLAIN) and done < self._total:
            return
        self._last = now
        line = self._line(done, now - self._start)
        self._stream.write(f"\r{line:<70}" if self._terminal else line + "\n")
        self._stream.flush()

    def close(self) -> None:
        """Finish the line on a terminal."""
        if self._terminal:
            self._stream.write("\n")

    def _line(self, done: int, seconds: float) -> str:
        rate = max(done - self._skipped, 0) / seconds if seconds > 0 else 0.0
        left = (self._total - done) / rate if rate > 0 else 0.0
        share = f"{done:,} of {self._total:,} {self._unit}"
        return f"{share}, {rate:,.0f} {self._unit}/s, {_clock(left)} left"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
