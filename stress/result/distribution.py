"""Histograms over paths, so that a report need not hold every path."""

from __future__ import annotations

import numpy as np

from stress.measure.moments import Estimate
from stress.measure.world import Findings
from stress.types import Array, Floats

__all__ = ["loss_distribution"]

_BINS = 80
_NARROWEST = 1e-9
"""Share of the largest number below which a range is rounding and is not cut into bins."""


def loss_distribution(paths: dict[str, Estimate | Array]) -> Findings:
    """Return edges and counts from the per-path table.

    Of total and net loss, and where they are there of fund draw, cascade loss and the cascade
    multiplier, the last over the paths that have one.
    """
    found: dict[str, Estimate | Array] = {}
    for column in ("total_loss", "net_loss", "fund_draw", "cascade_loss", "cascade_multiplier"):
        if column in paths:
            counts, edges = _histogram(np.asarray(paths[column]))
            found[f"{column}_edges"], found[f"{column}_paths"] = edges, counts
    return {"distribution": found}


def _histogram(numbers: Array) -> tuple[Array, Floats]:
    finite = numbers[np.isfinite(numbers)]
    low, high = (finite.min(), finite.max()) if len(finite) else (0.0, 1.0)
    least = _NARROWEST * max(abs(low), abs(high))
    if high - low <= least:
        # as NumPy does where all numbers are equal; bins of a rounding error it refuses
        low, high = low - max(least, 0.5), high + max(least, 0.5)
    return np.histogram(finite, bins=_BINS, range=(low, high))
