"""Intervals of a difference: of two estimates that stand apart, and of two on the same paths.

Sources: Newcombe, Statistics in Medicine 17 (1998) 873, method 10, for two independent proportions;
Zou and Donner, Statistics in Medicine 27 (2008) 1693, for any two parameters with intervals of
their own ("MOVER", the method of variance estimates recovery), correlated or not; Hong and Liu,
Management Science 55 (2009), for the influence of one path on an expected shortfall.
"""

from __future__ import annotations

import numpy as np

from stress.stats.confidence import independent
from stress.stats.probability import (
    exact_probability_interval,
    mean_interval,
    normal_quantile,
    wilson,
)
from stress.stats.tail import FEWEST_BEYOND, expected_shortfall, value_at_risk
from stress.types import Array, Floats

__all__ = [
    "paired_mean",
    "paired_probability",
    "paired_quantile",
    "paired_shortfall",
    "recovered_difference",
]


def recovered_difference(
    one: Floats,
    one_bounds: Floats,
    other: Floats,
    other_bounds: Floats,
    correlation: Floats | float = 0.0,
) -> tuple[Floats, Floats]:
    """Return other minus one with an interval recovered from the intervals of the two.

    With d the difference, (l, u) the bounds and r the correlation of the two estimates, the lower
    bound is ``d - sqrt(a^2 + b^2 - 2 r a b)`` with a = other - l_other and b = u_one - one, and the
    upper one likewise (Zou and Donner 2008, equations 8 and 9). Of two proportions with Wilson's
    intervals and r = 0 it is Newcombe's hybrid score interval.

    Parameters
    ----------
    one, other
        (...) estimates.
    one_bounds, other_bounds
        (..., 2) their intervals. Where one is wider than the confidence asks for, so is the result.
    correlation
        (...) of the two estimates: 0 where they are independent, -1 where nothing is known of it,
        which is the widest.

    Returns
    -------
    (...) differences and (..., 2) intervals; NaN where an interval is, infinite where one is.
    """
    value = np.asarray(other, float) - np.asarray(one, float)
    below, above = np.asarray(other) - other_bounds[..., 0], other_bounds[..., 1] - other
    beneath, over = np.asarray(one) - one_bounds[..., 0], one_bounds[..., 1] - one
    lower = value - _root(below, over, correlation)
    upper = value + _root(above, beneath, correlation)
    return value, np.stack([lower, upper], axis=-1)


def _root(one: Floats, other: Floats, correlation: Floats | float) -> Floats:
    """Return the standard deviation of a difference of two, from those of the two."""
    endless = np.isinf(one) | np.isinf(other)
    a, b = np.where(endless, 0.0, one), np.where(endless, 0.0, other)
    # what cancels may round to below 0
    squared = np.maximum(a * a + b * b - 2 * correlation * a * b, 0.0)
    return np.where(endless, np.inf, np.sqrt(squared))


def paired_probability(
    only_one: Array, only_other: Array, trials: int, confidence: float, *, exact: bool = False
) -> tuple[Floats, Floats]:
    """Return the difference of two probabilities on the same paths, other minus one.

    Paths on which both are hit, or neither, say nothing. The difference is that of the shares of
    the other two kinds of paths, whose correlation is that of two counts of a multinomial law; its
    interval is recovered from theirs. So few paths that differ, or none, still leave an interval.

    Parameters
    ----------
    only_one, only_other
        (...) number of paths on which only one, or only the other, is hit.
    trials
        Number of paths.
    confidence
        Between 0 and 1; with a design effect (``stats.confidence``) the paths count for less.
    exact
        By the intervals of Clopper and Pearson instead of Wilson's, for a confidence near 1.

    Returns
    -------
    (...) differences and (..., 2) intervals.
    """
    lost, gained = np.asarray(only_one) / trials, np.asarray(only_other) / trials
    bounds = [_share_bounds(share, trials, confidence, exact=exact) for share in (lost, gained)]
    with np.errstate(invalid="ignore", divide="ignore"):
        odds = lost / (1 - lost) * gained / (1 - gained)
    correlation = -np.sqrt(np.where(np.isfinite(odds), odds, 0.0))
    return recovered_difference(lost, bounds[0], gained, bounds[1], np.maximum(correlation, -1.0))


def _share_bounds(share: Floats, trials: int, confidence: float, *, exact: bool) -> Floats:
    if not exact:
        return wilson(share, np.array(float(trials)), confidence)
    variance = share * (1 - share) * trials / max(trials - 1, 1)
    return exact_probability_interval(share, variance, trials, confidence)


def paired_mean(one: Floats, other: Floats, confidence: float) -> tuple[Floats, Floats]:
    """Return the mean of (paths,) differences, other minus one, with its normal interval (2,)."""
    apart = np.asarray(other, float) - np.asarray(one, float)
    mean, paths = apart.mean(), len(apart)
    variance = apart.var(ddof=1) if paths > 1 else np.array(0.0)
    return mean, mean_interval(mean, variance, paths, confidence)


def paired_quantile(
    one: Floats, other: Floats, level: float, confidence: float
) -> tuple[Floats, Floats]:
    """Return the difference of two quantiles of losses on the same paths, other minus one.

    Recovered from the two order-statistic intervals. The correlation of the estimates is that of
    "the loss is beyond its quantile", which is what a sample quantile is linear in for many paths
    (Bahadur 1966).

    Parameters
    ----------
    one, other
        (paths,) losses.
    level, confidence
        Between 0 and 1.

    Returns
    -------
    The difference and its (2,) interval, infinite where the sample is too small for a bound.
    """
    paths = len(one)
    found = [value_at_risk(_descending(loss), paths, level, confidence) for loss in (one, other)]
    beyond = [loss > value for loss, (value, _) in zip((one, other), found, strict=True)]
    return recovered_difference(*found[0], *found[1], _correlation(*beyond))


def _correlation(one: Array, other: Array) -> float:
    """Return the correlation of two series of events; 0 where one never or always happens."""
    p, q, both = one.mean(), other.mean(), (one & other).mean()
    spread = np.sqrt(p * (1 - p) * q * (1 - q))
    return float((both - p * q) / spread) if spread > 0 else 0.0


def paired_shortfall(
    one: Floats, other: Floats, level: float, confidence: float
) -> tuple[Floats, Floats]:
    """Return the difference of two expected shortfalls on the same paths, other minus one.

    What a path adds to an expected shortfall is, up to a constant, ``(L - v)+ / (1 - level)`` with
    v the quantile, whose own error does not count to first order (Hong and Liu 2009). The standard
    error of the difference is that of the mean over paths of the difference of the two, so that it
    is 0 of a run and itself, and that of ``stats.tail.expected_shortfall`` of a run and nothing.

    Parameters and returns as ``paired_quantile``; the bounds are infinite with fewer than 20 paths
    expected beyond the quantile.
    """
    paths, excess, value = len(one), [], []
    for loss in (one, other):
        tail = _descending(loss)
        quantile, _ = value_at_risk(tail, paths, level, confidence)
        value.append(expected_shortfall(tail, paths, level, confidence)[0])
        excess.append(np.maximum(loss - quantile, 0.0))
    difference = value[1] - value[0]
    counted = independent(float(paths), confidence)
    if counted * (1 - level) < FEWEST_BEYOND - 1e-9:
        return difference, np.array([-np.inf, np.inf])
    spread = (excess[1] - excess[0]).std() / (1 - level)
    half = normal_quantile(confidence) * spread / np.sqrt(counted - 1)
    return difference, np.stack([difference - half, difference + half], axis=-1)


def _descending(loss: Floats) -> Floats:
    return np.sort(np.asarray(loss, float))[::-1]
