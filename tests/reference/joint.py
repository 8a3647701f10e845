"""Two isolated positions on two correlated geometric Brownian motions: joint liquidation.

In units of its own volatility the distance of asset i to its barrier is ``k_i + m_i t + W_i``,
``k_i = |ln(barrier_i / price_i)| / sigma_i``, with ``m_i = nu_i / sigma_i`` for a barrier below the
price (a long) and ``-nu_i / sigma_i`` for one above (a short), ``nu_i = drift_i - sigma_i^2 / 2``;
the correlation changes its sign when the sides differ. A linear map makes the two motions
independent and turns the quadrant into a wedge of angle ``alpha = arccos(-rho)``, in which the
killed kernel is known. Sources: He, Keirstead and Rebholz 1998 (Double Lookbacks); Zhou 2001 (An
Analysis of Default Correlations and Multiple Defaults); Metzler 2010 (On the first passage problem
for correlated Brownian motion), whose forms correct those of Iyengar 1985.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ive

from . import barrier

Floats = NDArray[np.float64]
Pair = tuple[float, float]

REACH = 10.0  # standard deviations of the radius around the start that carry mass above 1e-20
NEGLIGIBLE = 1e-19  # a Bessel order is dropped when its scaled value stays below this
RADIAL = (32, 16)  # panels and Gauss-Legendre nodes of the radius
SINGLE = 1e-12  # a distance below this counts as having arrived


class Joint(NamedTuple):
    """Probabilities by the horizon: first, second, at least one, both."""

    first: float
    second: float
    any: float
    both: float


class Wedge(NamedTuple):
    """Start ``(radius, theta)`` and drift ``(g_x, g_y)`` of the planar motion; opening angle.

    The ray theta = 0 is the barrier of the second asset, theta = alpha that of the first.
    Lengths are in square roots of years.
    """

    radius: float
    theta: float
    alpha: float
    drift: Pair


def joint(
    prices: Pair,
    barriers: Pair,
    volatilities: Pair,
    drifts: Pair,
    correlation: float,
    years: float,
) -> Joint:
    """P(first), P(second), P(any) and P(both) barriers reached by ``years``, drift included.

    ``any = 1 - neither`` and ``both = first + second - any``; absolute error near 1e-11.
    ``drifts`` are those of the price, ``E[S_T] = S_0 exp(drift T)``; |correlation| < 1. Source:
    ``neither`` below, and ``barrier.continuous`` for the single probabilities.
    """
    single = [
        barrier.continuous(*terms, years)
        for terms in zip(prices, barriers, volatilities, drifts, strict=True)
    ]
    distances, slopes, effective = _distances(prices, barriers, volatilities, drifts, correlation)
    if min(distances) <= SINGLE:
        missed = 0.0
    elif max(distances) == np.inf:
        missed = 1.0 - max(single)
    else:
        missed = neither(wedge(distances, slopes, effective), years)
    return Joint(single[0], single[1], 1.0 - missed, sum(single) - (1.0 - missed))


def _distances(
    prices: Pair, barriers: Pair, volatilities: Pair, drifts: Pair, correlation: float
) -> tuple[Pair, Pair, float]:
    """Scaled distances (years^1/2), drifts away from the barriers (years^-1/2), correlation."""
    distances, slopes = [], []
    for price, level, sigma, drift in zip(prices, barriers, volatilities, drifts, strict=True):
        side = 1.0 if level <= price else -1.0
        distances.append(abs(np.log(price / level)) / sigma if level > 0.0 else np.inf)
        slopes.append(side * (drift - sigma**2 / 2.0) / sigma)
        correlation *= side
    return (distances[0], distances[1]), (slopes[0], slopes[1]), correlation


def wedge(distances: Pair, slopes: Pair, correlation: float) -> Wedge:
    """The wedge of two distances ``k_i + m_i t + W_i`` with the given correlation of the W_i.

    ``alpha = arccos(-rho)``, ``r0^2 = (k1^2 + k2^2 - 2 rho k1 k2)/(1 - rho^2)``, ``theta0 =
    atan2(k2 sqrt(1 - rho^2), k1 - rho k2)``, ``g = ((m1 - rho m2)/sqrt(1 - rho^2), m2)``. Source:
    Metzler 2010, section 2.
    """
    root = np.sqrt(1.0 - correlation**2)
    across, along = (distances[0] - correlation * distances[1]) / root, distances[1]
    drift = ((slopes[0] - correlation * slopes[1]) / root, slopes[1])
    return Wedge(
        radius=float(np.hypot(across, along)),
        theta=float(np.arctan2(along, across)),
        alpha=float(np.arccos(-correlation)),
        drift=(float(drift[0]), float(drift[1])),
    )


def neither(start: Wedge, years: float) -> float:
    """P(the planar motion stays in the wedge until ``years``), by quadrature of the killed kernel.

    ``int int exp(g.(z - z0) - |g|^2 T/2) p(r, theta) dtheta dr`` with ``p = 2r/(alpha T)
    e^{-(r^2 + r0^2)/(2T)} sum_n sin(n pi theta/alpha) sin(n pi theta0/alpha) I_{n pi/alpha}(r
    r0/T)``. The exponent of the scaled Bessel function joins the others, ``-(r - r0)^2/(2T)``, so
    that nothing overflows. Source: Zhou 2001; Metzler 2010 (kernel), Girsanov's theorem (drift).
    """
    radii, radial_weights = _radii(start, years)
    argument = radii * start.radius / years
    orders = _orders(start, float(argument.max()))
    angles, angular_weights = _angles(start, years, orders.size)
    frequency = orders * np.pi / start.alpha
    bessel = ive(frequency[None, :], argument[:, None]) * np.sin(frequency * start.theta)
    kernel = bessel @ np.sin(frequency[:, None] * angles[None, :])
    tilt = _tilt(start, years, radii, angles)
    density = 2.0 * radii[:, None] / (start.alpha * years) * kernel * np.exp(tilt)
    return float(radial_weights @ density @ angular_weights)


def _tilt(start: Wedge, years: float, radii: Floats, angles: Floats) -> Floats:
    """``-(r - r0)^2/(2T) + g.(z - z0) - |g|^2 T/2``, shape (radii, angles)."""
    across = radii[:, None] * np.cos(angles) - start.radius * np.cos(start.theta)
    along = radii[:, None] * np.sin(angles) - start.radius * np.sin(start.theta)
    (g_across, g_along) = start.drift
    spread = -((radii - start.radius) ** 2) / (2.0 * years)
    girsanov = g_across * across + g_along * along - (g_across**2 + g_along**2) * years / 2.0
    return np.asarray(spread[:, None] + girsanov)


def _radii(start: Wedge, years: float) -> tuple[Floats, Floats]:
    """Nodes and weights of the radius, both (panels * nodes,), in ``u = sqrt(r)``.

    The root softens ``r^{1 + pi/alpha}``, which is not smooth at the apex.
    """
    reach = _reach(start, years)
    low, high = np.sqrt(max(start.radius - reach, 0.0)), np.sqrt(start.radius + reach)
    points, weights = np.polynomial.legendre.leggauss(RADIAL[1])
    edges = np.linspace(low, high, RADIAL[0] + 1)
    width = (edges[1] - edges[0]) / 2.0
    root = (edges[:-1, None] + width * (points + 1.0)).ravel()
    return root**2, 2.0 * root * np.tile(weights * width, RADIAL[0])


def _orders(start: Wedge, argument: float) -> Floats:
    """The n = 1, 2, ... whose scaled Bessel function of order ``n pi/alpha`` is not negligible.

    ``I_v(x) e^{-x}`` grows with x for fixed v, so the largest argument decides.
    """
    furthest = int(np.ceil((10.0 * np.sqrt(argument) + 40.0) * start.alpha / np.pi)) + 8
    orders = np.arange(1, furthest + 1, dtype=np.float64)
    needed = ive(orders * np.pi / start.alpha, argument) > NEGLIGIBLE
    return orders[: max(int(needed.sum()), 1) + 2]


def _angles(start: Wedge, years: float, orders: int) -> tuple[Floats, Floats]:
    """Gauss-Legendre nodes and weights on the part of (0, alpha) within reach, both (nodes,).

    The killed kernel lies below the free one, so angles whose distance from the start, at least ``2
    sqrt(r r0) sin(|theta - theta0|/2)``, exceeds the reach carry nothing; there the sum over n
    would leave only its rounding. The nodes are enough for the fastest sine.
    """
    reach = _reach(start, years)
    nearest = np.sqrt(max(start.radius - reach, 0.0) * start.radius)
    window = 2.0 * np.arcsin(min(1.0, reach / max(2.0 * nearest, reach)))
    low, high = max(0.0, start.theta - window), min(start.alpha, start.theta + window)
    points, weights = np.polynomial.legendre.leggauss(2 * orders + 48)
    width = (high - low) / 2.0
    return low + width * (points + 1.0), weights * width


def _reach(start: Wedge, years: float) -> float:
    """Distance from the start beyond which the motion, drift included, has no mass."""
    return float((REACH + np.hypot(*start.drift) * np.sqrt(years)) * np.sqrt(years))


def neither_without_drift(start: Wedge, years: float) -> float:
    """P(neither) for zero drift of both distances, the closed series; ``start.drift`` is ignored.

    ``2 r0/sqrt(2 pi T) sum_{n odd} sin(n pi theta0/alpha)/n [I_{(n pi/alpha - 1)/2}(z) + I_{(n
    pi/alpha + 1)/2}(z)] e^{-z}``, ``z = r0^2/(4T)``. Source: Zhou 2001; Metzler 2010.
    """
    z = start.radius**2 / (4.0 * years)
    furthest = int(np.ceil((20.0 * np.sqrt(z) + 80.0) * start.alpha / np.pi)) + 8
    n = np.arange(1, furthest + 1, 2, dtype=np.float64)
    order = n * np.pi / start.alpha / 2.0
    terms = np.sin(n * np.pi * start.theta / start.alpha) / n
    bessel = ive(order - 0.5, z) + ive(order + 0.5, z)
    return float(2.0 * start.radius / np.sqrt(2.0 * np.pi * years) * np.sum(terms * bessel))
