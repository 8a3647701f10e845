"""Intervals of probabilities from hits or from weights between 0 and 1."""

from __future__ import annotations

import numpy as np
from scipy.special import betaincinv, ndtri

from stress.stats.confidence import design_effect, independent
from stress.types import Floats

__all__ = [
    "exact_probability_interval",
    "mean_interval",
    "normal_quantile",
    "probability_interval",
    "wilson",
]

_FEW_HITS = 5.0
"""Below this many expected hits, or misses, the variance of weights is not trusted: the rare path
that makes it up is probably not in the sample."""


def normal_quantile(confidence: float) -> float:
    """Return z such that a standard normal lies within -z..z with this probability."""
    return float(ndtri(0.5 + confidence / 2))


def wilson(estimate: Floats, trials: Floats, confidence: float) -> Floats:
    """Return Wilson's score interval of a probability.

    Parameters
    ----------
    estimate
        (...) share of hits, between 0 and 1.
    trials
        (...) number of independent trials, or the effective number.
    confidence
        Between 0 and 1; with a design effect (``stats.confidence``) the trials count for less.

    Returns
    -------
    (..., 2) lower and upper bound. Its coverage averages to the nominal one and it is never empty:
    no hit in n trials gives an upper bound near z^2 / n (Wilson 1927; Brown, Cai and DasGupta 2001,
    who measure it).
    """
    counted = independent(np.asarray(trials, float), confidence)
    p, n = np.broadcast_arrays(np.asarray(estimate, float), counted)
    z = normal_quantile(confidence)
    shrink = 1.0 / (1.0 + z**2 / n)
    centre = shrink * (p + z**2 / (2 * n))
    half = shrink * z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    # at p = 0 and p = 1 the bound is p itself, but for rounding
    lower = np.where(p <= 0, 0.0, np.clip(centre - half, 0.0, 1.0))
    upper = np.where(p >= 1, 1.0, np.clip(centre + half, 0.0, 1.0))
    return np.stack([lower, upper], axis=-1)


def probability_interval(mean: Floats, variance: Floats, trials: int, confidence: float) -> Floats:
    """Return the interval of a probability estimated by the mean of hits or survival weights.

    Weights vary less than hits of the same mean: ``p (1 - p)`` over their sample variance says how
    many trials each is worth, and Wilson's interval is taken at that effective number. Hits give
    the interval of the plain count.

    Parameters
    ----------
    mean, variance
        (...) mean and sample variance (n - 1) over paths of numbers between 0 and 1.
    trials
        Number of paths.
    confidence
        Between 0 and 1.

    Returns
    -------
    (..., 2) lower and upper bound.
    """
    mean = np.clip(mean, 0.0, 1.0)
    return wilson(mean, _worth(mean, variance, trials, confidence), confidence)


def exact_probability_interval(
    mean: Floats, variance: Floats, trials: int, confidence: float
) -> Floats:
    """Return the same interval by Clopper and Pearson (1934), for a high confidence.

    Wilson's coverage is right on average over probabilities, and at a confidence near 1, as when
    many statements shall hold together, it is far below for rare events: a single hit lifts his
    lower bound over the truth. This one covers hits of every probability at least as often as it
    says; it is wider.

    Parameters and result as ``probability_interval``.
    """
    mean = np.clip(mean, 0.0, 1.0)
    worth = np.asarray(_worth(mean, variance, trials, confidence), float)
    counted = independent(worth, confidence)
    hits, tail = mean * counted, (1 - confidence) / 2
    # a bound is that of at least one hit, or one miss, for which the beta function is defined
    some, other = np.maximum(hits, 1e-300), np.maximum(counted - hits, 1e-300)
    lower = np.where(hits > 0, betaincinv(some, counted - hits + 1, tail), 0.0)
    upper = np.where(hits < counted, betaincinv(hits + 1, other, 1 - tail), 1.0)
    return np.stack([np.minimum(lower, mean), np.maximum(upper, mean)], axis=-1)


def _worth(mean: Floats, variance: Floats, trials: int, confidence: float) -> Floats:
    """Return how many hits or misses numbers between 0 and 1 are worth, at least as many."""
    binomial = mean * (1 - mean)
    biased = np.asarray(variance, float) * (trials - 1) / max(trials, 1)
    expected = np.minimum(mean, 1 - mean) * independent(float(trials), confidence)
    # five are five however the mean was rounded
    trusted = (expected >= _FEW_HITS - 1e-9) & (biased > 0)
    gain = np.where(trusted, binomial / np.where(biased > 0, biased, 1.0), 1.0)
    worth: Floats = trials * np.maximum(gain, 1.0)
    return worth


def mean_interval(mean: Floats, variance: Floats, trials: int, confidence: float) -> Floats:
    """Return (..., 2) the normal interval of a mean over independent paths.

    Parameters
    ----------
    mean, variance
        (...) mean and sample variance (n - 1) over paths.
    trials
        Number of paths; one path, or what is worth less than two, gives NaN bounds.
    """
    counted = independent(float(trials), confidence)
    if counted < 2:
        return np.full((*np.shape(mean), 2), np.nan)
    half = normal_quantile(confidence) * np.sqrt(np.asarray(variance) / counted)
    if counted < trials:
        # a sample variance over paths that resemble each other is too small by its mean's own
        half = half * np.sqrt((1 - 1 / trials) / (1 - design_effect(confidence) / trials))
    return np.stack([mean - half, mean + half], axis=-1)
