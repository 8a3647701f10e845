"""Quantiles of a discrete time from counts."""

from __future__ import annotations

import numpy as np
from scipy.stats import binom

from stress.stats.confidence import design_effect, independent
from stress.stats.tail import order_rank
from stress.types import Array, Floats, Integers

__all__ = ["time_quantiles"]


def time_quantiles(
    counts: Integers, times: Floats, level: float, confidence: float, fewest: int
) -> tuple[Floats, Floats]:
    """Return a quantile of the time of an event, given the event, and its interval.

    Parameters
    ----------
    counts
        (rows, times) how often the event fell on each time.
    times
        (times,) ascending.
    level, confidence
        Between 0 and 1.
    fewest
        Rows with fewer independent events get NaN.

    Returns
    -------
    (rows,) the order statistic of rank ceil(level * events), and (rows, 2) the order statistics
    that bound it, as in ``tail.quantile_ranks``; the first or last of ``times`` where there are too
    few events for a bound.
    """
    running = np.cumsum(counts, axis=1)
    events = running[:, -1]
    side = (1 - confidence) / 2
    estimate = order_rank(events, level)
    # windows that overlap have the same event: as many count as are worth one each
    counted = np.floor(independent(events.astype(float), confidence))
    effect = design_effect(confidence)
    lower = np.floor(np.nan_to_num(binom.ppf(side, counted, level)) * effect)
    upper = np.nan_to_num(binom.ppf(1 - side, counted, level)) + 1
    upper = np.where(upper > counted, events + 1, np.ceil(upper * effect))
    # beyond the smallest or largest event there is only the start or the horizon to name
    values = [
        np.where(
            rank < 1, times[0], np.where(rank > events, times[-1], _at_rank(running, times, rank))
        )
        for rank in (estimate, lower, upper)
    ]
    known = [np.where(counted >= fewest, value, np.nan) for value in values]
    return known[0], np.stack(known[1:], axis=-1)


def _at_rank(running: Integers, times: Floats, rank: Array) -> Floats:
    """Return (rows,) the time at which a running count reaches a rank."""
    place = [np.searchsorted(row, wanted) for row, wanted in zip(running, rank, strict=True)]
    return times[np.minimum(place, len(times) - 1)]
