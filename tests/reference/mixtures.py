"""Normal variance mixtures with an inverse gamma: probabilities by quadrature over the mixing.

``W = (nu - 2) / chi2_nu`` has mean 1. The integrals are trapezoidal sums in the logarithm of the
gamma variable, whose density falls off faster than any power on both sides: the error is rounding.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln, kve, log_ndtr, ndtr

from tests.reference.barrier import log_first_passage

__all__ = ["both_below", "mixing", "passage", "passage_of_two", "skewed_below", "sum_below"]

Floats = NDArray[np.float64]


def mixing(degrees_of_freedom: float, points: int = 2_000) -> tuple[Floats, Floats]:
    """Return values of W and their probabilities, both (points,)."""
    shape = degrees_of_freedom / 2
    # 12 deviations, or where the power law on the left has come down to 1e-17
    near = np.log(np.maximum(shape - 12 * np.sqrt(shape), 1e-300))
    low = np.maximum(-(40.0 + gammaln(shape + 1)) / shape, near)
    high = np.log(shape + 12 * np.sqrt(shape) + 60)
    log_gamma = np.linspace(low, high, points)
    density = np.exp(shape * log_gamma - np.exp(log_gamma) - gammaln(shape))
    return (shape - 1) / np.exp(log_gamma), density * (log_gamma[1] - log_gamma[0])


def passage(
    distance: float, drift: float, volatility: float, degrees_of_freedom: float, years: float
) -> float:
    """P(the distance to a barrier is ever 0), one W for the whole time: variance W volatility^2."""
    scales, weights = mixing(degrees_of_freedom)
    hit = [
        np.exp(log_first_passage(distance, drift, volatility * np.sqrt(scale), years))
        for scale in scales
    ]
    return float(weights @ np.array(hit))


def passage_of_two(
    distance: float,
    drift: float,
    volatility: float,
    degrees_of_freedom: float,
    years: tuple[float, float],
) -> float:
    """P(the distance to a barrier is ever 0) in two bars, each with a W of its own.

    Given W the first bar ends at ``y = x + m + s u``, u normal, and has not touched 0 with
    probability ``1 - exp(-2 x y / s^2)``; the second starts at y.
    """
    scales, weights = mixing(degrees_of_freedom, 400)
    first, second = (drift * length for length in years)
    near, far = (volatility * np.sqrt(scales * length) for length in years)
    points, lengths = np.polynomial.legendre.leggauss(100)
    low = np.clip(-(distance + first) / near, -9, 9)
    u = low[:, None] + (9 - low[:, None]) * (points + 1) / 2
    chance = np.exp(-(u**2) / 2) / np.sqrt(2 * np.pi) * (9 - low[:, None]) * lengths / 2
    y = np.maximum(distance + first + near[:, None] * u, 0)
    safe = -np.expm1(-2 * distance * y / near[:, None] ** 2)
    hit = np.zeros_like(y)
    for deviation, weight in zip(far, weights, strict=True):
        back = -2 * second * y / deviation**2 + log_ndtr((second - y) / deviation)
        hit += weight * (ndtr((-y - second) / deviation) + np.exp(np.minimum(back, 0)))
    then = float(weights @ (chance * safe * hit).sum(axis=1))
    return passage(distance, drift, volatility, degrees_of_freedom, years[0]) + then


def both_below(first: float, second: float, correlation: float, degrees_of_freedom: float) -> float:
    """P(sqrt(W) Z_1 < first, sqrt(W) Z_2 < second).

    The bivariate normal is ``Phi(h) Phi(k) + int_0^asin(rho) exp(-(h^2 + k^2 - 2 h k sin t) / (2
    cos^2 t)) dt / (2 pi)`` (Plackett 1954; Genz 2004).
    """
    scales, weights = mixing(degrees_of_freedom)
    h, k = first / np.sqrt(scales), second / np.sqrt(scales)
    points, lengths = np.polynomial.legendre.leggauss(40)
    angle = np.arcsin(correlation) * (points + 1) / 2
    lengths = lengths * np.arcsin(correlation) / 2
    exponent = (h**2 + k**2)[:, None] - 2 * (h * k)[:, None] * np.sin(angle)
    tied = np.exp(-exponent / (2 * np.cos(angle) ** 2)) @ lengths / (2 * np.pi)
    return float(weights @ (ndtr(h) * ndtr(k) + tied))


def skewed_below(value: ArrayLike, skewness: float, degrees_of_freedom: float) -> Floats:
    """P(X < value) of the skewed t of mean 0 and variance 1, for an array of values."""
    scales, weights = mixing(degrees_of_freedom)
    centre = degrees_of_freedom / (degrees_of_freedom - 2)
    rest = 1 - skewness**2 * 2 * centre**2 / (degrees_of_freedom - 4)
    off = np.asarray(value)[..., None] - skewness * centre * (scales - 1)
    return np.asarray(ndtr(off / np.sqrt(rest * scales)) @ weights)


def sum_below(value: float, degrees_of_freedom: float, terms: int) -> float:
    """P(the sum of independent sqrt(W) Z is < value), ``terms`` of them.

    By inversion of the characteristic function, ``K_a(x) x^a / (Gamma(a) 2^(a-1))`` with ``a =
    nu / 2`` and ``x = sqrt(nu - 2) |xi|`` (Hurst 1995); Gil-Pelaez.
    """
    order = degrees_of_freedom / 2
    xi = (np.arange(40_000) + 0.5) * 1e-3
    x = np.sqrt(degrees_of_freedom - 2) * xi
    log_law = np.log(kve(order, x)) - x + order * np.log(x)
    log_law -= gammaln(order) + (order - 1) * np.log(2)
    return float(0.5 + (np.sin(xi * value) / xi * np.exp(terms * log_law)).sum() * 1e-3 / np.pi)
