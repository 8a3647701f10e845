"""Histograms of the losses over paths, so that a report need not hold every path."""

from __future__ import annotations

import numpy as np

from stress.measure.moments import Estimate
from stress.measure.world import Findings
from stress.types import Array

__all__ = ["loss_distribution"]

_BINS = 80


def loss_distribution(paths: dict[str, Estimate | Array]) -> Findings:
    """Return edges and counts of total and net loss, from the per-path table."""
    found: dict[str, Estimate | Array] = {}
    for loss in ("total_loss", "net_loss"):
        counts, edges = np.histogram(np.asarray(paths[loss]), bins=_BINS)
        found[f"{loss}_edges"], found[f"{loss}_paths"] = edges, counts
    return {"distribution": found}
