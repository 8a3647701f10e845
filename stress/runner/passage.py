"""First passage as the runner drives it: compile, start a block of paths, fold it into measures."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from stress.engine.passage import first_passage
from stress.errors import InputError
from stress.measure.block import AccountBlock, account_block
from stress.runner.fan import Fan, compiled
from stress.runner.measured import Measured
from stress.runner.prepare import Job
from stress.types import Integers, Mode

__all__ = ["PassageDriver"]


class PassageDriver:
    """First passage of all worlds of a job, compiled for blocks of ``block`` paths.

    Raises
    ------
    InputError
        If bridges are asked for between the nodes of a model that states no variance between them.
    """

    def __init__(self, job: Job, block: int) -> None:
        _require_variance(job)
        self._job = job
        seed = jnp.asarray(job.scenario.simulation.seed, jnp.uint32)
        worlds = tuple(world.world for world in job.worlds.values())
        self._arguments = (job.price, worlds, job.rules, seed)
        self._kernel = compiled(
            first_passage, job.model, *self._arguments, block=block, schedule=job.schedule
        )
        self._fan = Fan(job, block)

    def start(self, numbers: Integers) -> Any:
        """Begin with a block of paths."""
        model = self._job.market.block(numbers)
        return self._kernel(model, *self._arguments, numbers), self._fan.start(model, numbers)

    def absorb(self, measured: Measured, started: Any, count: int) -> None:
        """Fold the first ``count`` paths of a block into the measures."""
        job, ((outcomes, mark_end), ratios) = self._job, started
        blocks: dict[Mode, AccountBlock] = {}
        for (mode, world), pools in zip(job.worlds.items(), outcomes, strict=True):
            blocks[mode] = account_block(pools, world.ownership, world.tolerance_usd, count)
            measured.worlds[mode].update(blocks[mode])
        measured.compare(job, blocks)
        main = list(job.worlds).index(job.main_mode)
        self._fan.absorb(measured.fan, ratios, np.asarray(outcomes[main].step), count)
        if measured.detail is not None:
            measured.detail.update(blocks[job.main_mode], np.asarray(mark_end)[:, :count])

    def finish(self, measured: Measured) -> None:
        """Do nothing: every path is in the measures."""


def _require_variance(job: Job) -> None:
    if job.schedule.monitoring != "bridge":
        return
    if not bool(jnp.isfinite(job.model.covariance_root).all()):
        raise InputError(
            'the market has no variance inside a step, which "bridge" needs',
            key="simulation.monitoring",
            remedy='use "step"',
        )
