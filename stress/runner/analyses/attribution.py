"""Who and what the total loss is made of; by asset with the prices of the worst paths again."""

from __future__ import annotations

from collections.abc import Iterator

import jax.numpy as jnp
import numpy as np

from stress.engine.block import Schedule
from stress.engine.paths import price_paths
from stress.measure.attribution import AttributionMeasure, Exposure
from stress.measure.moments import Estimate
from stress.measure.world import Findings
from stress.runner.plan import path_block, path_blocks, time_block
from stress.runner.prepare import Job
from stress.types import Array, Floats, Integers

__all__ = ["attribution"]


def attribution(job: Job, measure: AttributionMeasure) -> Findings:
    """Return who and what the total loss of the main world is made of.

    Parameters
    ----------
    measure
        Of the main world, with all paths.
    """
    found = measure.finish()
    if measure.by_account:
        found["attribution"] |= _by_asset(job, measure)
    return found


def _by_asset(job: Job, measure: AttributionMeasure) -> dict[str, Estimate | Array]:
    """Split the worst paths by asset: what positions lost until they were liquidated, and the rest.

    The engines do not tell profits of assets apart. Prices do not depend on the book, so those of
    the worst paths are drawn again.
    """
    number, total, parts, steps = measure.worst.finish()
    exposure = Exposure.of(job.book, job.main.pools, job.setting.haircut)
    lost = np.zeros((len(number), len(job.setting.assets)))
    for first, prices in _prices(job, number):
        for place, path in enumerate(prices, start=first):
            lost[place] = exposure.lost(path, steps[place], parts[place] > 0)
    after = total - lost.sum(axis=1)
    both = measure.contributions(np.column_stack([lost, after]))
    assets = slice(0, lost.shape[1])
    return {
        "asset_contribution": Estimate(both.value[assets], both.interval[assets]),
        "after_liquidation_contribution": Estimate(both.value[-1], both.interval[-1]),
    }


def _prices(job: Job, number: Integers) -> Iterator[tuple[int, Floats]]:
    """Yield (paths, steps + 1, assets) fundamental prices of some paths, a block at a time.

    With each block comes the place of its first path among those that are asked for.
    """
    simulation = job.scenario.simulation
    schedule = Schedule(
        steps=job.schedule.steps,
        block=time_block(job.schedule.steps),
        monitoring="step",
        precision=simulation.precision,
    )
    seed = jnp.asarray(simulation.seed, jnp.uint32)
    block = path_block(next(iter(job.price.devices())).platform)
    for places, count in path_blocks(len(number), block):
        # the last block is filled up with the last path
        some = number[np.minimum(places, len(number) - 1)].astype(np.uint32)
        model = job.market.block(some)
        prices = price_paths(model, job.price, seed, some, schedule=schedule)
        yield int(places[0]), np.asarray(prices, np.float64)[:count]
