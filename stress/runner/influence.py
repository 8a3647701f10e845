"""The measure of a row's influence, where the paths of a job draw from a history."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from stress.market.resampled import drawn_rows
from stress.measure.influence import DataRows, InfluenceMeasure
from stress.runner.prepare import Job
from stress.runner.resampling import resampling_of
from stress.types import Array, Integers

__all__ = ["influence_measure"]


def influence_measure(job: Job, first: int = 0) -> InfluenceMeasure | None:
    """Return the measure of the paths from ``first`` on; None where no rows are drawn."""
    source = resampling_of(job.market)
    draw = source.draw if source else None
    if source is None or draw is None:
        return None
    seed = jnp.asarray(job.scenario.simulation.seed, jnp.uint32)
    bar_steps = source.rows.bar_steps
    bars = -(-job.schedule.steps // bar_steps)

    def drawn(numbers: Integers) -> Array:
        return np.asarray(drawn_rows(draw, seed, numbers, bars=bars, bar_steps=bar_steps))

    rows = DataRows.build(drawn, source.rows.ends, len(job.book.accounts))
    return InfluenceMeasure(job.main.grouping, rows, first)
