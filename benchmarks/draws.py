"""NumPy alone: the row that every other one is divided by, as a row."""

from __future__ import annotations

from typing import Any

from benchmarks.jobs import size_of
from benchmarks.row import Row, draw_seconds, timed

__all__ = ["row"]


def row(name: str, size: dict[str, Any]) -> Row:
    """Measure the draw against itself: how far from 1 it is says how noisy the machine is."""
    of = size_of(size)
    each = of.assets * of.steps
    return timed(
        name,
        lambda: draw_seconds(of.paths * each),
        note="SFC64, one thread, float32",
        paths=of.paths,
        each=each,
    )
