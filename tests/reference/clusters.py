"""Moments and first passage where variance changes from bar to bar: regimes and GARCH.

A bar's demeaned log return is ``e``; the variance of a bar is known at its beginning, or is a
mixture. A position is followed as in ``barrier``: its distance to the log barrier moves as a
Brownian motion inside a bar and is killed at 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtri, log_ndtr, ndtr

__all__ = [
    "Gjr",
    "Moments",
    "gjr_moments",
    "gjr_passage",
    "occupation",
    "regime_passage",
]

Floats = NDArray[np.float64]


def occupation(transition: Floats, initial: Floats, bars: int, state: int) -> tuple[Floats, Floats]:
    """Law of the number of bars, of ``bars``, that a Markov chain spends in a state.

    Returns the (bars + 1,) probabilities and, with the present state told apart, (states, bars +
    1): a recursion over bars that carries (present state, count).
    """
    states = len(initial)
    law = np.zeros((states, bars + 1))
    for k in range(states):
        law[k, int(k == state)] = initial[k]
    for _ in range(bars - 1):
        after = np.zeros_like(law)
        for here in range(states):
            for there in range(states):
                moved = transition[here, there] * law[here]
                if there == state:
                    after[there, 1:] += moved[:-1]
                else:
                    after[there] += moved
        law = after
    return law.sum(axis=0), law


def _killed(start: Floats, end: Floats, drift: float, deviation: Floats) -> Floats:
    """Density of a killed Brownian motion after a unit of time, by the method of images.

    ``p(x, y) = n(y - x - m) - exp(-2 m x / s^2) n(y + x - m)``: at 0 both terms are equal.
    """
    straight = -(((end - start - drift) / deviation) ** 2) / 2
    image = -(((end + start - drift) / deviation) ** 2) / 2 - 2 * drift * start / deviation**2
    return (np.exp(straight) - np.exp(image)) / (deviation * np.sqrt(2 * np.pi))


def _survival(start: Floats, drift: float, deviation: Floats) -> Floats:
    """Probability that it is not killed: the integral of the density over ``y > 0``."""
    image = -2 * drift * start / deviation**2 + log_ndtr((drift - start) / deviation)
    return ndtr((start + drift) / deviation) - np.exp(image)


def _panels(edges: Sequence[float], nodes: int) -> tuple[Floats, Floats]:
    """Gauss-Legendre nodes and weights on panels between edges."""
    x, w = np.polynomial.legendre.leggauss(nodes)
    low, high = np.array(edges[:-1])[:, None], np.array(edges[1:])[:, None]
    half = (high - low) / 2
    return ((low + half) + half * x).ravel(), (half * w).ravel()


def regime_passage(
    distance: float,
    drift: float,
    deviations: Sequence[float],
    transition: Floats,
    initial: Floats,
    bars: int,
) -> float:
    """P(the distance reaches 0 within some bars) under a chain of regimes, watched continuously.

    Parameters
    ----------
    distance
        Of the log price to the log barrier.
    drift
        Of the distance in a bar, positive away from the barrier.
    deviations
        Of a bar's return in each regime.

    The density of what is alive is carried through the bars on quadrature nodes, one a regime.
    """
    reach = distance + 9 * max(deviations) * np.sqrt(bars) + abs(drift) * bars
    width = min(deviations) / 2
    edges = np.linspace(0.0, reach, 2 + int(reach / width))
    y, weight = _panels(edges.tolist(), 8)
    arriving = np.asarray(initial, float)
    alive = [
        chance * _killed(np.array(distance), y, drift, np.array(s))
        for chance, s in zip(arriving, deviations, strict=True)
    ]
    for _ in range(bars - 1):
        before = np.array(alive)
        alive = []
        for there, s in enumerate(deviations):
            density = (transition[:, there, None] * before).sum(axis=0) * weight
            alive.append(density @ _killed(y[:, None], y[None, :], drift, np.array(s)))
    return float(1 - sum(density @ weight for density in alive))


@dataclass(frozen=True)
class Gjr:
    """GJR-GARCH(1,1) of one asset: variances of a bar; t innovations of variance 1."""

    variance: float  # unconditional
    first: float  # of the first bar
    alpha: float
    gamma: float
    beta: float
    nu: float

    @property
    def persistence(self) -> float:
        """``alpha + gamma / 2 + beta``: the innovations are symmetric."""
        return self.alpha + self.gamma / 2 + self.beta

    @property
    def omega(self) -> float:
        """Constant that makes the unconditional variance what it is."""
        return self.variance * (1 - self.persistence)

    @property
    def kurtosis(self) -> float:
        """Fourth moment of an innovation, Student's t scaled to variance 1."""
        return 3 * (self.nu - 2) / (self.nu - 4)

    @property
    def square_factor(self) -> float:
        """``E[(A x^2 + beta)^2]`` with ``A = alpha + gamma 1[x < 0]``, independent of ``x^2``."""
        a2 = self.alpha**2 + self.alpha * self.gamma + self.gamma**2 / 2
        cross = 2 * self.beta * (self.alpha + self.gamma / 2)
        return a2 * self.kurtosis + cross + self.beta**2


@dataclass(frozen=True)
class Moments:
    """Of a bar's demeaned return e, and of its square with that of the bar before."""

    second: float
    fourth: float
    squares: float  # E[e^2 e_before^2]

    @property
    def kurtosis(self) -> float:
        """Fourth moment over the square of the second."""
        return self.fourth / self.second**2


def gjr_moments(case: Gjr, bars: int | None) -> Moments:
    """Exact moments at a bar, the first being 1 (``squares`` needs 2); of all time where None.

    ``E h' = omega + p E h`` and ``E h'^2 = omega^2 + 2 omega p E h + q E h^2`` with ``q`` the
    factor of squares; their fixed points are the unconditional moments (Bollerslev 1986 for gamma =
    0), which exist for ``q < 1``.
    """
    p, q, omega = case.persistence, case.square_factor, case.omega
    if bars is None:
        h = before = case.variance
        h2 = before2 = omega**2 * (1 + p) / ((1 - p) * (1 - q))
    else:
        h = before = case.first
        h2 = before2 = case.first**2
        for _ in range(bars - 1):
            before, before2 = h, h2
            h, h2 = omega + p * h, omega**2 + 2 * omega * p * h + q * h2
    k = case.kurtosis
    squares = omega * before + ((p - case.beta) * k + case.beta) * before2
    return Moments(h, k * h2, squares)


def _mixing(nu: float) -> tuple[Floats, Floats]:
    """Nodes and weights of ``(nu - 2) / chi2_nu``, on panels of its normal score."""
    z, weight = _panels(np.linspace(-8.0, 8.0, 33).tolist(), 12)
    weight = weight * np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    # the upper tail of chi2 is the lower one of the mixing variable
    return (nu - 2) / chdtri(nu, ndtr(z)), weight


def gjr_passage(case: Gjr, distance: float, drift: float, side: int, bars: int) -> float:
    """P(the distance reaches 0 within one or two bars), watched continuously.

    Parameters
    ----------
    distance, drift
        As in ``regime_passage``.
    side
        1 for a long, whose distance grows with the price, -1 for a short.

    In the first bar the variance is ``first`` times a mixing variable, in the second it follows
    from where the first bar ended. Both mixtures are quadratures.
    """
    mix, chance = _mixing(case.nu)
    if bars == 1:
        alive = _survival(np.array(distance), drift, np.sqrt(case.first * mix))
        return float(1 - alive @ chance)
    scale, centre = np.sqrt(case.first), distance + drift
    out = scale * np.concatenate([np.linspace(0, 8, 81)[1:], 8 * 1.3 ** np.arange(1, 28)])
    below = centre - out[out < centre][::-1]
    y, weight = _panels([0.0, *below, centre, *(centre + out)], 12)
    first = _killed(np.array(distance), y[:, None], drift, scale * np.sqrt(mix)) @ chance
    fell = side * (y - centre) < 0
    a = case.alpha + case.gamma * fell
    variance = case.omega + a * (y - centre) ** 2 + case.beta * case.first
    second = _survival(y[:, None], drift, np.sqrt(variance[:, None] * mix)) @ chance
    return float(1 - (first * second) @ weight)
