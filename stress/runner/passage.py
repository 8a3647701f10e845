"""First passage as the runner drives it: compile, start blocks of paths, fold them in."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from typing import Any

import jax.numpy as jnp

from stress.engine.block import Schedule
from stress.engine.passage import first_passage
from stress.errors import InputError
from stress.market import ModelSource, knows_extremes
from stress.measure.block import AccountBlock, account_block
from stress.runner.fan import Fan, FanWork
from stress.runner.measured import Measured
from stress.runner.prepare import Job, WorldJob
from stress.runner.spread import Models, Spread, Work, compiled, on_host
from stress.types import Array, Integers, Mode

__all__ = ["PassageDriver", "check_monitoring"]


class PassageDriver:
    """First passage of all worlds of a job, compiled for blocks of paths on every device.

    Raises
    ------
    InputError
        If bridges are asked for between the nodes of a model that states no variance between them,
        or extremes of one that knows none.
    """

    def __init__(self, job: Job, spread: Spread) -> None:
        check_monitoring(job)
        self._job, self.spread = job, spread
        self._models = Models(job.market, spread)
        fan = FanWork.of(job, spread)
        works = [self._work(tuple(job.worlds.values()), job.schedule), fan.work]
        if job.schedule.monitoring == "extremes":
            at_closes = replace(job.schedule, monitoring="step", least_excess=False)
            works.append(self._work((job.main,), at_closes))
        self._kernel, drawn, *others = compiled(*works)
        self._fan: Fan | None = Fan(fan, drawn)
        self._at_closes = others[0] if others else None

    def _work(self, held: tuple[WorldJob, ...], schedule: Schedule) -> Work:
        job = self._job
        seed = jnp.asarray(job.scenario.simulation.seed, jnp.uint32)
        return Work(
            function=first_passage,
            spread=self.spread,
            models=self._models,
            before=(job.price, tuple(world.world for world in held), job.rules, seed),
            schedule=schedule,
        )

    def under(self, market: ModelSource) -> PassageDriver:
        """Return the same kernels, not compiled again, for another market of the same shapes.

        Its fan is not drawn.
        """
        other = copy(self)
        other._job = replace(self._job, market=market)
        other._models = Models(market, self.spread)
        other._fan = None
        return other

    def start(self, numbers: Integers) -> Any:
        """Begin with a block of paths on each device."""
        model = self._models.block(numbers)
        outcomes = self._kernel(model, numbers)
        closes = self._at_closes(model, numbers) if self._at_closes else [None] * len(outcomes)
        return outcomes, self._fan.start(numbers) if self._fan else [], closes

    def absorb(self, measures: Sequence[Measured], started: Any, count: int) -> None:
        """Fold the first ``count`` paths in: each device's into the next of the measures."""
        outcomes, drawn, closes = started
        counts = [own for own in self.spread.counts(count) if own]
        steps = [
            self._absorb_block(measured, outcome, close, own)
            for measured, outcome, close, own in zip(
                measures, outcomes[: len(counts)], closes[: len(counts)], counts, strict=True
            )
        ]
        if drawn and self._fan is not None:
            self._fan.absorb([measured.fan for measured in measures], drawn, steps)

    def _absorb_block(self, measured: Measured, outcome: Any, close: Any, count: int) -> Array:
        """Fold in one device's block; return when the main world's pools were liquidated."""
        job, (outcomes, mark_end) = self._job, on_host(outcome)
        blocks: dict[Mode, AccountBlock] = {}
        for (mode, world), rounded_up in zip(job.worlds.items(), outcomes, strict=True):
            pools = rounded_up.of(len(world.pools.cash))
            blocks[mode] = account_block(pools, world.ownership, world.tolerance_usd, count)
            measured.worlds[mode].update(blocks[mode])
        measured.compare(job, blocks)
        if measured.closes is not None and close is not None:
            held, ((pools,), _) = job.main, on_host(close)
            pools = pools.of(len(held.pools.cash))
            block = account_block(pools, held.ownership, held.tolerance_usd, count)
            measured.closes.update(block)
        if measured.influence is not None:
            measured.influence.update(blocks[job.main_mode])
        if measured.events is not None:
            measured.events.update(blocks[job.main_mode])
        if measured.liquidations is not None:
            measured.liquidations.update(blocks[job.main_mode])
        if measured.detail is not None:
            measured.detail.update(blocks[job.main_mode], mark_end[:, :count])
        main = outcomes[list(job.worlds).index(job.main_mode)]
        steps: Array = main.of(len(job.main.pools.cash)).step[:, :count]
        if measured.attribution is not None:
            own = blocks[job.main_mode]
            measured.attribution.update(own, job.setting.fee * own.closed, steps=steps)
        return steps

    def finish(self, measured: Measured) -> None:
        """Do nothing: every path is in the measures."""


def check_monitoring(job: Job) -> None:
    """Refuse a look between the steps of a market that does not say what happens there.

    Raises
    ------
    InputError
        As ``PassageDriver`` does.
    """
    _require_variance(job)
    _require_extremes(job)


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
