"""The margin-ratio fan: ratios at fundamental prices, infinite once a pool is liquidated."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from stress.engine.block import Schedule
from stress.engine.ratios import margin_ratios
from stress.market import PriceModel
from stress.measure.fan import FanMeasure
from stress.runner.prepare import Job
from stress.types import Array, Integers

__all__ = ["Fan", "compiled"]

_PATHS = 512
"""Paths of the fan, which needs every pool at many times."""


class Fan:
    """The fan of the main world, compiled for blocks of ``block`` paths."""

    def __init__(self, job: Job, block: int) -> None:
        seed = jnp.asarray(job.scenario.simulation.seed, jnp.uint32)
        self._arguments = (job.price, job.main.world, seed)
        self._schedule, self._first = job.fan_schedule, job.main.ownership.first
        self._kernel = compiled(
            margin_ratios, job.model, *self._arguments, block=block, schedule=self._schedule
        )

    def start(self, model: PriceModel, numbers: Integers) -> Any:
        """Begin with a block of paths; None where the fan has enough."""
        if numbers[0] >= _PATHS:
            return None
        return self._kernel(model, *self._arguments, numbers)

    def absorb(self, measure: FanMeasure, ratios: Any, steps: Array, count: int) -> None:
        """Fold a block into the measure; ``steps`` (pools, paths) say when pools are liquidated."""
        if ratios is None:
            return
        ratio = np.where(_liquidated_by(steps, self._schedule), np.inf, np.asarray(ratios))
        measure.update(ratio[:, :, :count], self._first)


def compiled(
    kernel: Any, *arguments: Any, block: int, schedule: Schedule, after: tuple[Any, ...] = ()
) -> Any:
    """Return a kernel compiled for blocks of ``block`` paths; ``after`` stand behind the paths."""
    paths = jax.ShapeDtypeStruct((block,), jnp.uint32)
    return kernel.lower(*arguments, paths, *after, schedule=schedule).compile()


def _liquidated_by(step: Array, schedule: Schedule) -> Array:
    """Return (blocks + 1, pools, paths) whether a pool is liquidated by the end of each block."""
    ends = np.arange(schedule.blocks + 1) * schedule.block
    return (step >= 0) & (step <= ends[:, None, None])
