"""Who an expected shortfall is made of: Euler contributions from the paths of its tail."""

from __future__ import annotations

import numpy as np

from stress.stats.confidence import independent
from stress.stats.probability import normal_quantile
from stress.stats.tail import FEWEST_BEYOND, order_rank, quantile_ranks
from stress.types import Floats, Integers

__all__ = ["euler_contributions", "tail_weights", "worst_first"]

_FEWEST_LOSING = 5
"""Paths of the tail on which a part must be other than 0 for an interval of it to be given: from
fewer its spread is not known."""


def worst_first(total: Floats, number: Integers) -> Integers:
    """Return the order of (paths,) losses from the largest; equal ones by the number of the path.

    So which path stands at the quantile does not depend on the order in which paths came.
    """
    return np.lexsort((number, -total))


def tail_weights(trials: int, level: float) -> Floats:
    """Return the weights with which the worst paths make up the expected shortfall.

    ``ES = v + sum (L - v)+ / (n (1 - level))`` with v the sample quantile is the sum of the losses
    beyond v, each over ``n (1 - level)``, and of v times what the weights lack of 1.

    Returns
    -------
    (paths beyond the quantile and the one at it,) weights, which add up to 1; the worst path first.
    """
    beyond = trials - int(order_rank(np.array(trials), level))
    each = 1 / (trials * (1 - level))
    return np.append(np.full(beyond, each), 1 - beyond * each)


def euler_contributions(
    parts: Floats, trials: int, level: float, confidence: float
) -> tuple[Floats, Floats]:
    """Return what each part of a loss contributes to its expected shortfall, and the interval.

    The contribution of a part X of the loss L is ``E[X | L >= v]`` (Tasche 1999, "Risk
    contributions and performance measurement", section 5). It is taken over the very paths and with
    the very weights of ``stats.tail.expected_shortfall``, so that parts that add up to the loss on
    every path add up to its expected shortfall.

    The standard error is that of the mean of ``(X - e) 1{L >= v} / (1 - level)`` over the paths, e
    the mean of X where L is at the quantile: what X does there is what a quantile that is a little
    wrong brings in or leaves out (Hong and Liu 2009). With one part, L itself, it is the standard
    error of the expected shortfall. e is the mean over the paths between the ends of the quantile's
    own interval.

    Parameters
    ----------
    parts
        (paths, parts) of the worst paths, the worst first, at least ``stats.tail.tail_size``.
    trials
        Paths that they were taken from.
    level, confidence
        Between 0 and 1.

    Returns
    -------
    (parts,) contributions and (parts, 2) intervals: NaN where the part is other than 0 on fewer
    than 5 paths of the tail, infinite with fewer than 20 paths beyond the quantile.
    """
    weights = tail_weights(trials, level)
    tail = parts[: len(weights)]
    value = weights @ tail
    counted = independent(float(trials), confidence)
    bounds = np.empty((len(value), 2))
    if counted * (1 - level) < FEWEST_BEYOND - 1e-9:
        bounds[:] = -np.inf, np.inf
    else:
        _, lower, upper = quantile_ranks(trials, level, confidence)
        near = parts[max(trials - upper, 0) : trials - max(lower, 1) + 1]
        apart = tail - near.mean(axis=0)
        mean, second = apart.sum(axis=0) / trials, (apart**2).sum(axis=0) / trials
        variance = np.maximum(second - mean**2, 0.0) / (counted - 1)
        half = normal_quantile(confidence) * np.sqrt(variance) / (1 - level)
        bounds[:] = np.stack([value - half, value + half], axis=-1)
    bounds[(tail != 0).sum(axis=0) < _FEWEST_LOSING] = np.nan
    return value, bounds
