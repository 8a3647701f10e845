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
    events = counts.sum(axis=1)
    running = np.cumsum(counts).reshape(counts.shape)
    side = (1 - confidence) / 2
    estimate = order_rank(events, level)
    # windows that overlap have the same event: as many count as are worth one each
    counted = np.floor(independent(events.astype(float), confidence))
    effect = design_effect(confidence)
    # many rows have as many events: the inverse is slow
    distinct, of = np.unique(counted, return_inverse=True)
    lower = np.floor(np.nan_to_num(binom.ppf(side, distinct, level))[of] * effect)
    upper = np.nan_to_num(binom.ppf(1 - side, distinct, level))[of] + 1
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
    """Return (rows,) the time at which a row's events reach a rank; any where they never do.

    ``running`` counts the events of all rows so far, row after row, so that it ascends throughout:
    a row's begin where those of the row before end.
    """
    before = np.append(0, running[:-1, -1])
    place = np.searchsorted(running.reshape(-1), before + np.maximum(rank, 1))
    return times[np.clip(place - np.arange(len(running)) * len(times), 0, len(times) - 1)]
