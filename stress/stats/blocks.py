"""Circular block bootstrap: rows of a series in blocks that go around its end (Politis 1992)."""

from __future__ import annotations

import numpy as np

from stress.types import Integers

__all__ = ["block_rows"]


def block_rows(rows: int, block: int, random: np.random.Generator, draws: int) -> Integers:
    """Return (draws, rows) the rows of resampled series, in blocks of ``block`` that follow on.

    Every row stands equally often in them.
    """
    starts = random.integers(0, rows, (draws, -(-rows // block)))
    chosen = (starts[:, :, None] + np.arange(block)) % rows
    return chosen.reshape(draws, -1)[:, :rows]
