"""First passage as the runner drives it: compile, start a block of paths, fold it into measures."""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from typing import Any

import jax.numpy as jnp
import numpy as np

from stress.engine.passage import first_passage
from stress.errors import InputError
from stress.market import ModelSource, knows_extremes
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
        If bridges are asked for between the nodes of a model that states no variance between them,
        or extremes of one that knows none.
    """

    def __init__(self, job: Job, block: int) -> None:
        _require_variance(job)
        _require_extremes(job)
        self._job = job
        seed = jnp.asarray(job.scenario.simulation.seed, jnp.uint32)
        worlds = tuple(world.world for world in job.worlds.values())
        self._arguments = (job.price, worlds, job.rules, seed)
        self._kernel = compiled(
            first_passage, job.model, *self._arguments, block=block, schedule=job.schedule
        )
        self._fan = Fan(job, block)
        self._at_closes = _at_closes(job, block) if job.schedule.monitoring == "extremes" else None

    def under(self, market: ModelSource) -> PassageDriver:
        """Return the same kernels, not compiled again, for another market of the same shapes."""
        other = copy(self)
        other._job = replace(self._job, market=market)
        return other

    def start(self, numbers: Integers) -> Any:
        """Begin with a block of paths."""
        model = self._job.market.block(numbers)
        closes = None
        if self._at_closes is not None:
            price, _, rules, seed = self._arguments
            closes = self._at_closes(model, price, (self._job.main.world,), rules, seed, numbers)
        fan = self._fan.start(model, numbers)
        return self._kernel(model, *self._arguments, numbers), fan, closes

    def absorb(self, measured: Measured, started: Any, count: int) -> None:
        """Fold the first ``count`` paths of a block into the measures."""
        job, ((outcomes, mark_end), ratios, closes) = self._job, started
        blocks: dict[Mode, AccountBlock] = {}
        for (mode, world), pools in zip(job.worlds.items(), outcomes, strict=True):
            blocks[mode] = account_block(pools, world.ownership, world.tolerance_usd, count)
            measured.worlds[mode].update(blocks[mode])
        measured.compare(job, blocks)
        main = list(job.worlds).index(job.main_mode)
        self._fan.absorb(measured.fan, ratios, np.asarray(outcomes[main].step), count)
        if measured.closes is not None and closes is not None:
            held, ((pools,), _) = job.main, closes
            block = account_block(pools, held.ownership, held.tolerance_usd, count)
            measured.closes.update(block)
        if measured.influence is not None:
            measured.influence.update(blocks[job.main_mode])
        if measured.detail is not None:
            measured.detail.update(blocks[job.main_mode], np.asarray(mark_end)[:, :count])

    def finish(self, measured: Measured) -> None:
        """Do nothing: every path is in the measures."""


def _at_closes(job: Job, block: int) -> Any:
    """Return the kernel that looks at the main world at the end of each step only."""
    schedule = replace(job.schedule, monitoring="step", least_excess=False)
    worlds = (job.main.world,)
    seed = jnp.asarray(job.scenario.simulation.seed, jnp.uint32)
    arguments = (job.model, job.price, worlds, job.rules, seed)
    return compiled(first_passage, *arguments, block=block, schedule=schedule)


def _require_extremes(job: Job) -> None:
    if job.schedule.monitoring == "extremes" and not knows_extremes(job.model):
        raise InputError(
            'the market has no highs and lows inside a step, which "extremes" needs',
            key="simulation.monitoring",
            remedy='use "step", or market.model = "historical" of a history with the columns high '
            "and low, whose interval is simulation.step",
        )


def _require_variance(job: Job) -> None:
    if job.schedule.monitoring != "bridge":
        return
    if not bool(jnp.isfinite(job.model.covariance_root).all()):
        raise InputError(
            'the market has no variance inside a step, which "bridge" needs',
            key="simulation.monitoring",
            remedy='use "step"',
        )
