"""The main world of a job on noise from outside, whichever of the engines it needs.

Of the cascade only the venue itself is run, without the variants that a run compares it with.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax.numpy as jnp
import numpy as np

from stress.engine.cascade import cascade
from stress.engine.passage import first_passage
from stress.market import Constant, ModelSource, PriceModel
from stress.market.explicit import explicit
from stress.market.overlay import OverlaidSource
from stress.market.rekeyed import Rekeyed
from stress.market.steered import Steered
from stress.measure.block import AccountBlock, account_block, variant_blocks
from stress.runner.plan import device_count
from stress.runner.prepare import Job
from stress.runner.resampling import ResamplingSource
from stress.runner.spread import Models, Spread, Work, compiled, on_host
from stress.sampling.splitting import Noise
from stress.types import Integers
from stress.venue.build import build_holdings, build_rules, build_variant

__all__ = ["Driven", "can_be_driven"]

_NOBODY = np.zeros(1, np.uint32)
"""Path numbers, where the model is the same for all."""


def can_be_driven(source: ModelSource) -> bool:
    """Return whether all that sets the paths of a market apart is random numbers."""
    if isinstance(source, OverlaidSource):
        return can_be_driven(source.source)
    if isinstance(source, ResamplingSource):
        return source.windows is None
    return isinstance(source, Constant)


class Driven:
    """The main world of a job, compiled for blocks of paths whose noise is given.

    Parameters
    ----------
    job
        Its market ``can_be_driven``.
    spread
        The devices, and at most how many paths each takes at a time.
    paths
        How many are wanted together, about: more devices than they fill are not used.

    Attributes
    ----------
    shape
        Steps, and normals a step: those of the assets and what else the price model makes of
        normals.
    """

    def __init__(self, job: Job, spread: Spread, paths: int) -> None:
        self._job = job
        # two devices at least share them: one alone rounds otherwise (``runner.plan``)
        block = min(spread.block, _power_of_two(paths // 2))
        self.spread = spread.fewer(device_count(paths, block, spread.devices), block)
        self._model, extra = explicit(job.market.block(_NOBODY))
        self._seed = jnp.asarray(job.scenario.simulation.seed, jnp.uint32)
        self.shape = (job.schedule.steps, len(job.setting.assets) + extra)
        (self._kernel,) = compiled(self._work())

    def blocks(self, noise: Noise) -> Iterator[AccountBlock]:
        """Yield what becomes of the accounts, a device's block of paths after the other."""
        width = self.spread.width
        for first in range(0, len(noise), width):
            count = min(width, len(noise) - first)
            # the last paths stand in for those that a full block lacks
            padded = noise.take(first + np.minimum(np.arange(width), count - 1))
            outcomes = self._start(padded)
            for outcome, own in zip(outcomes, self.spread.counts(count), strict=True):
                if own:
                    yield self._block(on_host(outcome), own)

    def _start(self, noise: Noise) -> list[Any]:
        numbers = np.arange(len(noise))
        dealt = self.spread.deal([self._on(noise.take(own)) for own in self.spread.apart(numbers)])
        own = (0,) if self._job.main.cascade else ()
        return self._kernel(dealt, noise.bridge, *own)

    def _on(self, noise: Noise) -> Rekeyed:
        """Return the market's model on the noise of one block of paths."""
        dtype = np.dtype(self._job.schedule.precision)
        normals = np.ascontiguousarray(noise.normals.transpose(1, 2, 0), dtype)
        steered = Steered(self._model, jnp.asarray(normals))
        return Rekeyed(steered, self._seed, jnp.asarray(np.ascontiguousarray(noise.draws.T)))

    def _work(self) -> Work:
        job = self._job
        world, schedule = job.main, job.schedule
        models = Models(_Shaped(self), self.spread)
        if world.cascade is None:
            passing = (job.price, (world.world,), job.rules, self._seed)
            return Work(first_passage, self.spread, models, passing, schedule)
        precision = schedule.precision
        holdings, _ = build_holdings(
            job.book,
            world.pools,
            job.setting,
            precision,
            deficit_counted=world.tolerance_usd,
            most_groups=0,
        )
        variant = build_variant(job.setting, precision, job.setting.venue.impact)
        rules = build_rules(job.setting, (variant,), precision)
        before = (job.price, holdings, rules, self._seed)
        behind = (job.environment,)
        return Work(cascade, self.spread, models, before, schedule, own=1, behind=behind)

    def _block(self, outcome: Any, count: int) -> AccountBlock:
        job, world = self._job, self._job.main
        if world.cascade is None:
            pools = outcome[0][0].of(len(world.pools.cash))
            return account_block(pools, world.ownership, world.tolerance_usd, count)
        steps = job.schedule.steps
        (block,) = variant_blocks(
            outcome, world.ownership, job.book.reserve, steps=steps, variants=1, paths=count
        )
        return block


class _Shaped:
    """A source of models with the right shapes, for compilation only."""

    def __init__(self, driven: Driven) -> None:
        self._driven = driven

    def block(self, numbers: Integers) -> PriceModel:
        """Return the model of paths on which nothing happens."""
        paths, (steps, rows) = len(numbers), self._driven.shape
        nothing = np.zeros((paths, steps, rows), np.float32)
        return self._driven._on(Noise(nothing, np.zeros((paths, steps), np.uint32), numbers))


def _power_of_two(count: int) -> int:
    return 1 << max(count, 1).bit_length() - 1
