"""Intervals of probabilities from hits or from weights between 0 and 1."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri

from stress.stats.confidence import design_effect, independent
from stress.types import Floats

__all__ = ["mean_interval", "normal_quantile", "probability_interval", "wilson"]

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
    binomial = mean * (1 - mean)
    biased = np.asarray(variance, float) * (trials - 1) / max(trials, 1)
    expected = np.minimum(mean, 1 - mean) * independent(float(trials), confidence)
    # five are five however the mean was rounded
    trusted = (expected >= _FEW_HITS - 1e-9) & (biased > 0)
    gain = np.where(trusted, binomial / np.where(biased > 0, biased, 1.0), 1.0)
    return wilson(mean, trials * np.maximum(gain, 1.0), confidence)


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
