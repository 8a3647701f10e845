"""Blocks of paths made by hand: who was liquidated when, and what it cost."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from stress.measure.block import AccountBlock
from stress.measure.timing import TimeGrid
from stress.measure.world import Request

__all__ = ["block", "request"]


def block(step: ArrayLike, loss: ArrayLike | None = None) -> AccountBlock:
    """Return a block from (accounts, paths) first liquidations, -1 for never, and losses in USD.

    Every liquidation leaves a deficit of a dollar and closes a hundred dollars of the only asset.
    """
    steps = np.asarray(step)
    hit = (steps >= 0).astype(float)
    losses = np.zeros(steps.shape) if loss is None else np.asarray(loss, float)
    return AccountBlock(
        step=steps,
        liquidated=hit,
        called=hit,
        bankrupt=hit > 0,
        loss=losses,
        deficit=hit.sum(axis=0),
        closed=100.0 * hit.sum(axis=0),
        closed_by_asset=100.0 * hit.sum(axis=0)[None],
        least_excess=np.zeros((0, steps.shape[1])),
        equity=-losses,
    )


def request(paths: int, steps: int = 10, confidence: float = 0.95) -> Request:
    """Return a request for so many paths of daily steps."""
    return Request(
        levels=(0.5, 0.9),
        quantiles=(0.5,),
        confidence=confidence,
        paths=paths,
        grid=TimeGrid.build(steps, 4, 1.0),
        precision="float64",
    )
