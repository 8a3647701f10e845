"""Quantiles of a discrete time from counts."""

from __future__ import annotations

import numpy as np
from scipy.stats import binom

from stress.types import Floats, Integers

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
        Rows with fewer events get NaN.

    Returns
    -------
    (rows,) the order statistic of rank ceil(level * events), and (rows, 2) the order statistics
    that bound it, as in ``tail.quantile_ranks``.
    """
    running = np.cumsum(counts, axis=1)
    events = running[:, -1]
    side = (1 - confidence) / 2
    ranks = np.stack(
        [
            np.ceil(events * level),
            binom.ppf(side, events, level),
            binom.ppf(1 - side, events, level) + 1,
        ]
    )
    ranks = np.clip(np.nan_to_num(ranks), 1, np.maximum(events, 1))
    found = np.empty(ranks.shape)
    for row, totals in enumerate(running):
        found[:, row] = np.searchsorted(totals, ranks[:, row], side="left")
    value = times[np.minimum(found.astype(int), len(times) - 1)]
    value = np.where(events >= fewest, value, np.nan)
    return value[0], np.stack([value[1], value[2]], axis=-1)
