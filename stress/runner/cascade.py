"""The cascade as the runner drives it: every world with its variants, and one path replayed."""

from __future__ import annotations

from collections.abc import Sequence
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
from stress.runner.fan import Fan, FanWork
from stress.runner.measured import Measured
from stress.runner.prepare import CascadeJob, Job, VariantName, WorldJob
from stress.runner.spread import Models, Spread, Work, compiled, on_host
from stress.stats.tail import order_rank
from stress.types import Array, Floats, Integers, Mode

__all__ = ["REPLAYED", "CascadeDriver"]

REPLAYED = 0.99
"""Level of the total loss of the path that is replayed."""

_Blocks = dict[VariantName, AccountBlock]


class CascadeDriver:
    """The cascades of all worlds of a job, compiled for blocks of paths on every device."""

    def __init__(self, job: Job, spread: Spread) -> None:
        self._job, self.spread = job, spread
        self._models = Models(job.market, spread)
        fan = FanWork.of(job, spread)
        works = (self._work(world) for world in job.worlds.values())
        *kernels, drawn = compiled(*works, fan.work)
        self._kernels = dict(zip(job.worlds, kernels, strict=True))
        self._fan: Fan | None = Fan(fan, drawn)

    def _work(self, world: WorldJob) -> Work:
        job, held = self._job, _cascade_of(world)
        seed = jnp.asarray(job.scenario.simulation.seed, jnp.uint32)
        return Work(
            function=cascade,
            spread=self.spread,
            models=self._models,
            before=(job.price, held.holdings, held.rules, seed),
            schedule=job.schedule,
            own=1,
            behind=(job.environment,),
        )

    def under(self, market: ModelSource) -> CascadeDriver:
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
        outcomes = {mode: kernel(model, numbers, 0) for mode, kernel in self._kernels.items()}
        return outcomes, self._fan.start(numbers) if self._fan else []

    def absorb(self, measures: Sequence[Measured], started: Any, count: int) -> None:
        """Fold the first ``count`` paths in: each device's into the next of the measures."""
        outcomes, drawn = started
        counts = [own for own in self.spread.counts(count) if own]
        steps = []
        for device, (measured, own) in enumerate(zip(measures, counts, strict=True)):
            block = {mode: on_host(each[device]) for mode, each in outcomes.items()}
            steps.append(self._absorb_block(measured, block, own))
        if drawn and self._fan is not None:
            self._fan.absorb([measured.fan for measured in measures], drawn, steps)

    def _absorb_block(self, measured: Measured, outcomes: dict[Mode, Any], count: int) -> Array:
        """Fold in one device's block; return when pools were liquidated without forced flow."""
        job = self._job
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
        first = (variants.index("calm") if "calm" in variants else 0) * self.spread.block
        steps: Array = main.fates.step[:, first : first + count]
        return steps

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
        if measured.events is not None:
            measured.events.update(own)
        if measured.liquidations is not None:
            measured.liquidations.update(own)
        if measured.attribution is not None:
            fees = self._fees(blocks, outcome, count)
            calm = (blocks["calm"], fees["calm"]) if "calm" in blocks else None
            steps = np.asarray(outcome.fates.step)[:, :count]
            measured.attribution.update(own, fees["own"], calm, steps)
        if measured.detail is not None:
            measured.detail.update(own, np.asarray(outcome.marks)[:, :count])

    def _fees(self, blocks: _Blocks, outcome: Any, count: int) -> dict[VariantName, Floats]:
        """Return (paths,) liquidation fees under each variant: deficits less what they drained."""
        drain = np.asarray(outcome.tally.drain, np.float64)
        fees: dict[VariantName, Floats] = {}
        for place, (variant, block) in enumerate(blocks.items()):
            first = place * self.spread.block
            deficits = block.fund_draw + block.socialised + block.uncovered
            fees[variant] = deficits - drain[first : first + count]
        return fees

    def finish(self, measured: Measured) -> None:
        """Replay the path at the 99th percentile of total loss."""
        loss = measured.worlds[self._job.main_mode].path_table.finish()["total_loss"]
        if not len(loss):
            return
        rank = int(order_rank(np.array(len(loss)), REPLAYED))
        path = int(np.argsort(loss, kind="stable")[rank - 1])
        measured.replayed_path, measured.replay = path, self._replay(path)

    def _replay(self, path: int) -> Findings:
        """Return the group ``replay`` of a path: its own round of paths is simulated again."""
        first = path // self.spread.width * self.spread.width
        numbers = np.arange(first, first + self.spread.width, dtype=np.uint32)
        device, column = divmod(path - first, self.spread.block)
        kernel = self._kernels[self._job.main_mode]
        outcome = kernel(self._models.block(numbers), numbers, column)[device]
        return replay_findings(on_host(outcome), self._job.main.ownership, column)


def _cascade_of(world: WorldJob) -> CascadeJob:
    assert world.cascade is not None  # a driver of cascades is only made where there are any
    return world.cascade
