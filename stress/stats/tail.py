"""Quantiles and shortfalls from the upper tail of a sample, with their intervals."""

from __future__ import annotations

from math import ceil

import numpy as np
from scipy.stats import binom

from stress.stats.confidence import design_effect, independent
from stress.stats.probability import normal_quantile
from stress.types import Floats, Integers

__all__ = [
    "FEWEST_BEYOND",
    "expected_shortfall",
    "order_rank",
    "quantile_ranks",
    "tail_size",
    "value_at_risk",
]


def quantile_ranks(trials: int, level: float, confidence: float) -> tuple[int, int, int]:
    """Return the ranks (1 is the smallest) of a quantile's estimate and of its interval.

    The number of observations not above the true quantile is binomial, so the interval between two
    order statistics covers it with a known probability whatever the distribution (David and
    Nagaraja 2003, section 7.1). A rank of 0 or ``trials + 1`` means that the sample is too small
    for that bound. Where paths have a design effect the ranks are those among as many independent
    ones as they are worth, spread over all.

    Returns
    -------
    (estimate, lower, upper)
    """
    estimate = int(order_rank(np.array(trials), level))
    tail, counted = (1 - confidence) / 2, int(independent(float(trials), confidence))
    lower = int(binom.ppf(tail, counted, level))
    upper = int(binom.ppf(1 - tail, counted, level)) + 1
    if counted < trials:
        effect = design_effect(confidence)
        beyond = upper > counted
        lower = min(int(lower * effect), estimate)
        upper = trials + 1 if beyond else max(min(ceil(upper * effect), trials), estimate)
    return estimate, lower, upper


FEWEST_BEYOND = 20
"""Observations beyond a quantile from which a normal interval of their mean is given: at 95 percent
it was measured to cover 92 percent with 20, 87 to 90 with 10, on normal and lognormal losses."""


def order_rank(trials: Integers, level: float) -> Integers:
    """Return the rank ceil(trials * level), at least 1 where there is an observation.

    A product such as 100 * 0.07 that is a whole number but for rounding is not rounded up.
    """
    rank = np.ceil(np.asarray(trials) * level - 1e-9)
    return np.minimum(np.maximum(rank, 1), trials).astype(np.int64)


def tail_size(trials: int, level: float, confidence: float) -> int:
    """Return how many of the largest observations the estimates at ``level`` need."""
    _, lower, _ = quantile_ranks(trials, level, confidence)
    return min(trials, trials - max(lower, 1) + 1)


def value_at_risk(
    tail: Floats, trials: int, level: float, confidence: float
) -> tuple[Floats, Floats]:
    """Return the quantile of a loss at a level and its order-statistic interval.

    Parameters
    ----------
    tail
        (..., kept) the largest losses in descending order, at least ``tail_size`` of them.
    trials
        Number of observations that they were taken from.
    level, confidence
        Between 0 and 1.

    Returns
    -------
    (...) estimate and (..., 2) interval; a bound that the sample is too small for is infinite.
    """
    estimate, lower, upper = quantile_ranks(trials, level, confidence)
    shape = tail.shape[:-1]
    low = tail[..., trials - lower] if lower >= 1 else np.full(shape, -np.inf)
    high = tail[..., trials - upper] if upper <= trials else np.full(shape, np.inf)
    return tail[..., trials - estimate], np.stack([low, high], axis=-1)


def expected_shortfall(
    tail: Floats, trials: int, level: float, confidence: float
) -> tuple[Floats, Floats]:
    """Return the mean loss beyond the quantile at a level and its interval.

    ``ES = v + E[(L - v)+] / (1 - level)`` with v the sample quantile; its standard error is that of
    the mean excess, ``sd((L - v)+) / ((1 - level) sqrt(n))``, because the derivative in v vanishes
    at the quantile (Rockafellar and Uryasev 2000; Hong and Liu 2009).

    With fewer than 20 observations expected beyond the quantile the normal interval covers too
    little: there the lower bound is the quantile's, and the upper one is infinite.

    Parameters and returns as ``value_at_risk``.
    """
    quantile, bounds = value_at_risk(tail, trials, level, confidence)
    beyond = np.maximum(tail - quantile[..., None], 0.0)
    mean = beyond.sum(axis=-1) / trials
    second = (beyond**2).sum(axis=-1) / trials
    shortfall = quantile + mean / (1 - level)
    counted = independent(float(trials), confidence)
    if counted * (1 - level) < FEWEST_BEYOND - 1e-9:
        return shortfall, np.stack([bounds[..., 0], np.full(shortfall.shape, np.inf)], axis=-1)
    variance = np.maximum(second - mean**2, 0.0) / (counted - 1)
    half = normal_quantile(confidence) * np.sqrt(variance) / (1 - level)
    return shortfall, np.stack([shortfall - half, shortfall + half], axis=-1)
