"""Histograms of the losses over paths, so that a report need not hold every path."""

from __future__ import annotations

import numpy as np

from stress.measure.world import Findings
from stress.types import Floats

__all__ = ["loss_distribution"]

_BINS = 80


def loss_distribution(paths: dict[str, Floats]) -> Findings:
    """Return edges and counts of total and net loss, from the per-path table."""
    found: dict[str, Floats] = {}
    for loss in ("total_loss", "net_loss"):
        counts, edges = np.histogram(paths[loss], bins=_BINS)
        found[f"{loss}_edges"], found[f"{loss}_paths"] = edges, counts
    return {"distribution": found}
