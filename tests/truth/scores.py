"""Standardised errors of estimates whose truth is known, and how such numbers should look."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import chi2

from stress.stats.probability import normal_quantile

__all__ = [
    "binomial_scores",
    "check_each",
    "check_standard_normal",
    "mean_scores",
    "weight_errors",
    "weight_scores",
]

Floats = NDArray[np.float64]

LARGEST = 3.5
"""Size that one in two thousand standard normals exceeds."""


def weight_errors(estimate: Floats, interval: Floats, confidence: float) -> Floats:
    """Return the standard errors that the intervals of probabilities were made from.

    Wilson's interval of p at n trials has half width ``z sqrt(p (1 - p) / n + z^2 / (4 n^2)) / (1 +
    z^2 / n)``; squared, it is a quadratic equation in ``z^2 / n``, whose positive root gives the
    effective n and with it ``sqrt(p (1 - p) / n)``.

    Parameters
    ----------
    estimate, interval
        (...) probabilities and (..., 2) their intervals.
    confidence
        Of the intervals.
    """
    z = normal_quantile(confidence)
    half = (interval[..., 1] - interval[..., 0]) / 2
    binomial = estimate * (1 - estimate)
    a, b, c = half**2 - 0.25, 2 * half**2 - binomial, half**2
    ratio = (-b - np.sqrt(b**2 - 4 * a * c)) / (2 * a)
    return np.asarray(np.sqrt(binomial * ratio) / z)


def weight_scores(
    estimate: Floats, interval: Floats, truth: ArrayLike, confidence: float = 0.95
) -> Floats:
    """Return the standardised errors of probabilities, by the errors in their intervals."""
    return np.asarray((estimate - truth) / weight_errors(estimate, interval, confidence))


def binomial_scores(estimate: Floats, truth: ArrayLike, trials: int) -> Floats:
    """Return the standardised errors of shares of hits, by the deviation that the truth implies."""
    expected = np.asarray(truth)
    return np.asarray((estimate - expected) / np.sqrt(expected * (1 - expected) / trials))


def mean_scores(
    estimate: Floats, interval: Floats, truth: ArrayLike, confidence: float = 0.95
) -> Floats:
    """Return the standardised errors of means, by the standard errors in their intervals."""
    half = (interval[..., 1] - interval[..., 0]) / 2
    return np.asarray((estimate - truth) * normal_quantile(confidence) / half)


def check_each(scores: Floats, names: Sequence[str]) -> None:
    """Fail where a standardised error is larger than chance allows, and say which."""
    far = {
        name: round(float(score), 2)
        for name, score in zip(names, scores, strict=True)
        if not abs(score) < LARGEST
    }
    assert not far, f"standardised errors beyond {LARGEST}: {far}"


def check_standard_normal(scores: Floats, names: Sequence[str]) -> None:
    """Fail unless independent standardised errors look like a standard normal sample.

    Each below 3.5 in size; their mean within 3 / sqrt(n) of 0, so that no bias hides in wide
    intervals; their sum of squares between the quantiles of chi-squared that one in a thousand
    leaves, so that the intervals are neither too narrow nor too wide.
    """
    check_each(scores, names)
    count = scores.size
    mean, squares = float(scores.mean()), float((scores**2).sum())
    assert abs(mean) < 3 / np.sqrt(count), f"mean of {count} standardised errors: {mean:.3f}"
    low, high = chi2.ppf([0.0005, 0.9995], count)
    assert low < squares < high, f"sum of squares {squares:.1f} not in {low:.1f}..{high:.1f}"
