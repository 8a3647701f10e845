"""The margin-ratio fan: ratios at fundamental prices, infinite once a pool is liquidated.

It looks at every pool at many times, so it keeps to some accounts and some paths of the run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax.numpy as jnp
import numpy as np

from stress.engine.block import Schedule
from stress.engine.panels import World
from stress.engine.ratios import margin_ratios
from stress.measure.fan import FanMeasure
from stress.measure.world import Grouping
from stress.runner.plan import device_count, fan_accounts, fan_paths
from stress.runner.prepare import Job, WorldJob
from stress.runner.spread import Kernel, Models, Spread, Work, on_host
from stress.types import Array, Integers

__all__ = ["Fan", "FanWork", "fan_accounts_of", "fan_grouping", "only_pools"]


@dataclass(frozen=True)
class FanWork:
    """The fan of a job's main world, to be compiled with the other kernels of a run.

    Attributes
    ----------
    work
        Its kernel.
    paths
        Paths that it is of, from the first.
    schedule
        Its times are the ends of this schedule's blocks.
    pools, first
        (sampled pools,) indices of its pools, (sampled accounts,) each account's first of them.
    """

    work: Work
    paths: int
    schedule: Schedule
    pools: Integers
    first: Integers

    @classmethod
    def of(cls, job: Job, main: Spread) -> FanWork:
        """Return the fan of a job, on as many of the devices as it is worth."""
        accounts = fan_accounts_of(job.main)
        paths, together = fan_paths(len(accounts))
        block = min(together, main.block)
        spread = main.fewer(device_count(paths, block, main.devices), block)
        pools = np.flatnonzero(np.isin(job.main.pools.account, accounts))
        seed = jnp.asarray(job.scenario.simulation.seed, jnp.uint32)
        work = Work(
            function=margin_ratios,
            spread=spread,
            models=Models(job.market, spread),
            before=(job.price, only_pools(job.main.world, pools, len(job.main.pools.cash)), seed),
            schedule=job.fan_schedule,
        )
        first = np.searchsorted(job.main.pools.account[pools], accounts)
        return cls(work, paths, job.fan_schedule, pools, first)


@dataclass(frozen=True)
class Fan:
    """The fan, ready to run."""

    plan: FanWork
    kernel: Kernel

    def start(self, numbers: Integers) -> list[Any]:
        """Begin with those of these consecutive paths that the fan is of."""
        first, width = int(numbers[0]), self.kernel.spread.width
        last = min(first + len(numbers), self.plan.paths)
        started = []
        for begin in range(first, last, width):
            some = np.arange(begin, begin + width, dtype=np.uint32)
            started += self.kernel(self.plan.work.models.block(some), some)
        return started

    def absorb(
        self, measures: Sequence[FanMeasure], started: list[Any], steps: list[Array]
    ) -> None:
        """Fold what was begun into the measures.

        Parameters
        ----------
        measures
            One for each of the ``steps``.
        started
            As ``start`` returned it for consecutive paths.
        steps
            (pools, paths) arrays that say when pools are liquidated, of the same paths in their
            order, as far as they count.
        """
        # the world's order is rounded up: what is behind its pools stands for nobody
        pools = len(self.plan.pools)
        ratios = np.concatenate([on_host(each)[:, :pools] for each in started], axis=2)
        first = 0
        for measure, when in zip(measures, steps, strict=True):
            drawn = ratios[:, :, first : first + when.shape[1]]
            first += when.shape[1]
            if drawn.shape[2]:
                gone = _liquidated_by(when[self.plan.pools, : drawn.shape[2]], self.plan.schedule)
                measure.update(np.where(gone, np.inf, drawn), self.plan.first)


def fan_accounts_of(world: WorldJob) -> Integers:
    """Return the accounts that the fan is of, ascending: evenly spaced among those of each group.

    Of a book that is not large these are all that exist.
    """
    grouping = world.grouping
    existing = np.flatnonzero(grouping.exists)
    by_group = existing[np.argsort(grouping.member[existing], kind="stable")]
    start, chosen = 0, []
    for size, count in zip(grouping.accounts, fan_accounts(grouping.accounts), strict=True):
        chosen.append(by_group[start + np.arange(count) * size // max(count, 1)])
        start += size
    return np.sort(np.concatenate(chosen))


def fan_grouping(world: WorldJob) -> Grouping:
    """Return the groups of the accounts that the fan is of."""
    accounts, grouping = fan_accounts_of(world), world.grouping
    return Grouping(grouping.member[accounts], grouping.groups, grouping.exists[accounts])


def only_pools(world: World, pools: Integers, count: int) -> World:
    """Return the world of some pools, in their order; the same world where these are all."""
    if len(pools) == count:
        return world
    places = np.asarray(world.order)[pools]
    panels, dealt, start = [], [], 0
    for panel in world.panels:
        here = np.flatnonzero((places >= start) & (places < start + panel.pools))
        if len(here):
            panels.append(panel.take(jnp.asarray(places[here] - start, jnp.int32)))
            dealt.append(here)
        start += panel.pools
    back = np.argsort(np.concatenate(dealt), kind="stable")
    return replace(world, panels=tuple(panels), order=jnp.asarray(back, jnp.int32))


def _liquidated_by(step: Array, schedule: Schedule) -> Array:
    """Return (blocks + 1, pools, paths) whether a pool is liquidated by the end of each block."""
    ends = np.arange(schedule.blocks + 1) * schedule.block
    return (step >= 0) & (step <= ends[:, None, None])
