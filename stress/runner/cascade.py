"""The cascade as the runner drives it: every world with its variants, and one path replayed."""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from typing import Any

import jax.numpy as jnp
import numpy as np

from stress.engine.cascade import cascade
from stress.market import ModelSource
from stress.measure.block import AccountBlock, variant_blocks
from stress.measure.replay import replay_findings
from stress.measure.world import Findings
from stress.runner.fan import Fan, compiled
from stress.runner.measured import Measured
from stress.runner.prepare import CascadeJob, Job, VariantName, WorldJob
from stress.stats.tail import order_rank
from stress.types import Integers, Mode

__all__ = ["REPLAYED", "CascadeDriver"]

REPLAYED = 0.99
"""Level of the total loss of the path that is replayed."""

_Blocks = dict[VariantName, AccountBlock]


class CascadeDriver:
    """The cascades of all worlds of a job, compiled for blocks of ``block`` paths."""

    def __init__(self, job: Job, block: int) -> None:
        self._job, self._block = job, block
        self._seed = jnp.asarray(job.scenario.simulation.seed, jnp.uint32)
        after = (jnp.asarray(0, jnp.int32), job.environment)
        self._kernels = {
            mode: compiled(
                cascade,
                job.model,
                *self._arguments(world),
                block=block,
                schedule=job.schedule,
                after=after,
            )
            for mode, world in job.worlds.items()
        }
        self._fan = Fan(job, block)

    def _arguments(self, world: WorldJob) -> tuple[Any, ...]:
        held = _cascade_of(world)
        return (self._job.price, held.holdings, held.rules, self._seed)

    def under(self, market: ModelSource) -> CascadeDriver:
        """Return the same kernels, not compiled again, for another market of the same shapes."""
        other = copy(self)
        other._job = replace(self._job, market=market)
        return other

    def start(self, numbers: Integers) -> Any:
        """Begin with a block of paths."""
        model = self._job.market.block(numbers)
        outcomes = {mode: self._run(mode, model, numbers, watched=0) for mode in self._job.worlds}
        return outcomes, self._fan.start(model, numbers)

    def _run(self, mode: Mode, model: Any, numbers: Integers, *, watched: int) -> Any:
        column = jnp.asarray(watched, jnp.int32)
        arguments = self._arguments(self._job.worlds[mode])
        return self._kernels[mode](model, *arguments, numbers, column, self._job.environment)

    def absorb(self, measured: Measured, started: Any, count: int) -> None:
        """Fold the first ``count`` paths of a block into the measures."""
        job, (outcomes, ratios) = self._job, started
        blocks: dict[Mode, _Blocks] = {}
        for mode, world in job.worlds.items():
            blocks[mode] = self._blocks(world, outcomes[mode], count)
            own = blocks[mode]["own"]
            measured.worlds[mode].update(own)
            if "calm" in blocks[mode]:
                measured.cascade[mode].update(own, blocks[mode]["calm"])
            measured.risk[mode].update(outcomes[mode].fates.loser, own.loss)
        measured.compare(job, {mode: of["own"] for mode, of in blocks.items()})
        main = outcomes[job.main_mode]
        self._absorb_main(measured, blocks[job.main_mode], main, count)
        variants = _cascade_of(job.main).variants
        calm = variants.index("calm") if "calm" in variants else 0
        steps = np.asarray(main.fates.step)[:, calm * self._block : (calm + 1) * self._block]
        self._fan.absorb(measured.fan, ratios, steps, count)

    def _blocks(self, world: WorldJob, outcome: Any, count: int) -> _Blocks:
        variants = _cascade_of(world).variants
        blocks = variant_blocks(
            outcome,
            world.ownership,
            self._job.book.reserve,
            steps=self._job.schedule.steps,
            variants=len(variants),
            paths=count,
        )
        return dict(zip(variants, blocks, strict=True))

    def _absorb_main(self, measured: Measured, blocks: _Blocks, outcome: Any, count: int) -> None:
        """Fold in what is measured of the main world only."""
        own = blocks["own"]
        if measured.course is not None:
            measured.course.update(outcome.course, count)
        if measured.laws is not None:
            laws = [own, blocks["other-law"]]
            by_name = laws if self._job.setting.venue.impact == "linear" else laws[::-1]
            measured.laws.update(by_name, blocks["calm"])
        if measured.caused is not None:
            variants = _cascade_of(self._job.main).variants
            measured.caused.update(
                outcome.fates,
                without=variants.index("calm"),
                variants=len(variants),
                paths=count,
            )
        if measured.decisions is not None:
            without = None
            if "calm" in blocks:
                without = (blocks["calm-leader"], blocks["calm"])
            measured.decisions.update(blocks["leader"], own, without)
        if measured.influence is not None:
            measured.influence.update(own)
        if measured.detail is not None:
            measured.detail.update(own, np.asarray(outcome.marks)[:, :count])

    def finish(self, measured: Measured) -> None:
        """Replay the path at the 99th percentile of total loss."""
        loss = measured.worlds[self._job.main_mode].path_table.finish()["total_loss"]
        if not len(loss):
            return
        rank = int(order_rank(np.array(len(loss)), REPLAYED))
        path = int(np.argsort(loss, kind="stable")[rank - 1])
        measured.replayed_path, measured.replay = path, self._replay(path)

    def _replay(self, path: int) -> Findings:
        first = path // self._block * self._block
        numbers = np.arange(first, first + self._block, dtype=np.uint32)
        model = self._job.market.block(numbers)
        column = path - first
        outcome = self._run(self._job.main_mode, model, numbers, watched=column)
        return replay_findings(outcome, self._job.main.ownership, column)


def _cascade_of(world: WorldJob) -> CascadeJob:
    assert world.cascade is not None  # a driver of cascades is only made where there are any
    return world.cascade
