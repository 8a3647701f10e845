"""First passage of a jump diffusion: the scheme in discrete time, and continuous time.

Everything is about one distance, that of the log price to a log barrier: it starts at
``distance``, moves as ``drift t + volatility B_t`` plus jumps, ``rate`` a year of independent
sizes, and is killed where it is not positive. Time is in years. For a barrier above the price the
sizes are mirrored.

``scheme`` is the law of a simulation in steps: in each a Brownian motion, watched all the time or
at its end, and then all jumps of the step at once. ``continuous`` lets jumps fall when they like.
No two of the methods share more than the sizes.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import expm
from scipy.special import ndtr
from scipy.stats import poisson

from tests.reference.barrier import _hilbert

__all__ = ["Kou", "Merton", "Sizes", "continuous", "scheme", "transform"]

Floats: TypeAlias = NDArray[np.float64]

PANEL = 3.0  # width of a quadrature panel in standard deviations of one step's Brownian part
NODES = 16  # Gauss-Legendre nodes a panel
REACH = 9.0  # standard deviations of everything that are followed; beyond lies less than 1e-15


@dataclass(frozen=True)
class Merton:
    """Normal sizes."""

    mean: float
    deviation: float

    @property
    def mirrored(self) -> Merton:
        """The law of minus the size."""
        return Merton(-self.mean, self.deviation)

    @property
    def square(self) -> float:
        """E[J^2]."""
        return self.mean**2 + self.deviation**2

    @property
    def growth(self) -> float:
        """E[exp(J)] - 1."""
        return float(np.expm1(self.mean + self.deviation**2 / 2))

    def characteristic(self, xi: Floats) -> NDArray[np.complex128]:
        """E[exp(i xi J)]."""
        return np.exp(1j * xi * self.mean - (xi * self.deviation) ** 2 / 2)


@dataclass(frozen=True)
class Kou:
    """Double exponential sizes: up with ``up``, by an exponential of mean ``rise``, else down."""

    up: float
    rise: float
    fall: float

    @property
    def mirrored(self) -> Kou:
        """The law of minus the size."""
        return Kou(1 - self.up, self.fall, self.rise)

    @property
    def square(self) -> float:
        """E[J^2]."""
        return 2 * (self.up * self.rise**2 + (1 - self.up) * self.fall**2)

    @property
    def growth(self) -> float:
        """E[exp(J)] - 1."""
        return self.up / (1 - self.rise) + (1 - self.up) / (1 + self.fall) - 1

    def characteristic(self, xi: Floats) -> NDArray[np.complex128]:
        """E[exp(i xi J)]."""
        return self.up / (1 - 1j * xi * self.rise) + (1 - self.up) / (1 + 1j * xi * self.fall)


Sizes: TypeAlias = Merton | Kou


def scheme(
    distance: float,
    drift: float,
    volatility: float,
    rate: float,
    sizes: Sizes,
    years: float,
    steps: int,
    *,
    bridge: bool,
) -> float:
    """P(killed within ``steps`` steps), jumps at their ends.

    The density of the survivors is carried from step to step on composite Gauss-Legendre nodes.
    ``bridge``: the Brownian part is killed inside a step too, by images: ``phi(y - x - m) -
    exp(-2 m x / s^2) phi(y + x - m)``, m and s its mean and deviation.
    """
    mean, deviation = drift * years / steps, volatility * np.sqrt(years / steps)
    spread = np.sqrt(volatility**2 * years + (rate * years + 1) * sizes.square)
    reach = distance + max(drift * years, 0.0) + REACH * spread
    law = poisson.pmf(np.arange(200), rate * years / steps)
    law = law[: 1 + np.flatnonzero(law > 1e-17)[-1]]
    if isinstance(sizes, Merton):
        nodes, weights = _panels(0.0, reach, PANEL * deviation)
        terms = (mean, deviation, law, sizes, bridge)
        density = _merton_move(nodes, np.array([distance]), *terms)[:, 0]
        move = _merton_move(nodes, nodes, *terms)
        for _ in range(steps - 1):
            density = move @ (weights * density)
        return float(1 - weights @ density)
    # sums of jumps may pass below 0 and come back: the jumps act on the whole line
    width = PANEL * deviation
    below = -width * np.ceil((40 * sizes.fall + REACH * deviation) / width)
    line, weights = _panels(below, reach, width)
    inside = line > 0
    jump = _kou_jump(line, weights, width, sizes)
    density = _brownian(line, np.array([distance]), mean, deviation, bridge)[:, 0]
    density = _after_jumps(density, jump, law)[inside]
    move = _brownian(line, line[inside], mean, deviation, bridge)
    for _ in range(steps - 1):
        density = _after_jumps(move @ (weights[inside] * density), jump, law)[inside]
    return float(1 - weights[inside] @ density)


def _brownian(to: Floats, start: Floats, mean: float, deviation: float, bridge: bool) -> Floats:
    """Density of one step's Brownian part, (to, start)."""
    to, start = to[:, None], start[None]

    def normal(moved: Floats) -> Floats:
        return np.exp(-((moved / deviation) ** 2) / 2) / (deviation * np.sqrt(2 * np.pi))

    free = normal(to - start - mean)
    if not bridge:
        return free
    image = np.exp(-2 * mean * start / deviation**2) * normal(to + start - mean)
    return np.where(to > 0, free - image, 0.0)


def _panels(low: float, high: float, width: float) -> tuple[Floats, Floats]:
    """Composite Gauss-Legendre nodes and weights, panels of one width from ``low`` on."""
    panels = int(np.ceil((high - low) / width - 1e-9))
    points, weights = np.polynomial.legendre.leggauss(NODES)
    left = low + width * np.arange(panels)[:, None]
    return (left + width * (points + 1) / 2).ravel(), np.tile(weights * width / 2, panels)


def _merton_move(
    to: Floats,
    start: Floats,
    mean: float,
    deviation: float,
    law: Floats,
    sizes: Merton,
    bridge: bool,
) -> Floats:
    """Density of a step of the survivors with its jumps, (to, start): a sum over their number.

    The Brownian part ends at u > 0, and k jumps lead from u to y: two normals, whose product
    integrates to a normal times the probability that u is positive given y.
    """
    y, x = to[:, None], start[None]

    def with_jumps(number: int, moved: Floats) -> Floats:
        jumping = number * sizes.deviation**2
        total = deviation**2 + jumping
        off = y - moved - number * sizes.mean
        free = np.exp(-(off**2) / (2 * total)) / np.sqrt(2 * np.pi * total)
        if not bridge or number == 0:
            return free
        centre = (moved * jumping + (y - number * sizes.mean) * deviation**2) / total
        return free * ndtr(centre / np.sqrt(deviation**2 * jumping / total))

    density = np.zeros((to.size, start.size))
    for number, chance in enumerate(law):
        density += chance * with_jumps(number, x + mean)
        if bridge:
            image = np.exp(-2 * mean * x / deviation**2)
            density -= chance * image * with_jumps(number, mean - x)
    return density


def _after_jumps(density: Floats, jump: Floats, law: Floats) -> Floats:
    """Density after the jumps of a step, whose number has the ``law``."""
    total = law[0] * density
    for chance in law[1:]:
        density = jump @ density
        total = total + chance * density
    return total


def _kou_jump(line: Floats, weights: Floats, width: float, sizes: Kou) -> Floats:
    """Matrix that maps a density at the nodes to that after one jump.

    The density of a jump is not smooth at 0: inside a panel the integral up to a node, and from it,
    is that of the polynomial through the panel's nodes.
    """
    panel = np.arange(line.size) // NODES
    away = line[:, None] - line[None]
    matrix = np.zeros((line.size, line.size))
    for chance, size, sign in ((sizes.up, sizes.rise, 1.0), (1 - sizes.up, sizes.fall, -1.0)):
        earlier = sign * (panel[:, None] - panel[None]) > 0
        decayed = np.exp(-np.where(earlier, sign * away, 0.0) / size) / size
        part = np.where(earlier, decayed * weights[None], 0.0)
        local = _local(width, size)
        local = local if sign > 0 else local[::-1, ::-1]
        for first in range(0, line.size, NODES):
            part[first : first + NODES, first : first + NODES] = local
        matrix += chance * part
    return matrix


def _local(width: float, size: float) -> Floats:
    """Matrix of ``f -> int_left^y f(u) exp(-(y - u) / size) / size du`` at the nodes of a panel."""
    points, weights = np.polynomial.legendre.leggauss(NODES)
    vandermonde = np.polynomial.legendre.legvander(points, NODES - 1)
    rows = []
    for point in points:
        half = (point + 1) / 2
        inner = -1 + half * (points + 1)
        kernel = np.exp(-(point - inner) * width / 2 / size) / size * weights * half * width / 2
        rows.append(kernel @ np.polynomial.legendre.legvander(inner, NODES - 1))
    return np.linalg.solve(vandermonde.T, np.array(rows).T).T


def transform(
    distance: float,
    drift: float,
    volatility: float,
    rate: float,
    sizes: Sizes,
    years: float,
    steps: int,
) -> float:
    """P(killed at one of ``steps`` looks), by Fourier and Hilbert transforms; error near 1e-10.

    Source: Feng and Linetsky 2008, Mathematical Finance 18(3): one step multiplies the transform of
    the survivors' density by the characteristic function of an increment, and killing below the
    barrier b is ``g / 2 + (i / 2) exp(i xi b) H[exp(-i eta b) g]``.
    """
    dt = years / steps
    deviation = volatility * np.sqrt(dt)
    spread = np.sqrt(volatility**2 * years + (rate * years + 1) * sizes.square)
    span = distance + abs(drift) * years + 3 * REACH * spread
    spacing = np.pi / (2 * span)
    half = int(np.ceil(REACH / deviation / spacing))
    xi = spacing * np.arange(-half, half + 1)
    jumps = rate * dt * (sizes.characteristic(xi) - 1)
    increment = np.exp(1j * xi * drift * dt - (xi * deviation) ** 2 / 2 + jumps)
    phase = np.exp(-1j * xi * distance)  # the barrier lies at -distance
    law = np.ones_like(increment)
    for _ in range(steps):
        moved = law * increment
        law = moved / 2 + 0.5j * phase * _hilbert(moved / phase)
    return float(1 - law[half].real)


def continuous(
    distance: float, drift: float, volatility: float, rate: float, sizes: Sizes, years: float
) -> float:
    """P(killed by ``years``), watched and jumping all the time."""
    if isinstance(sizes, Merton):
        return _equation(distance, drift, volatility, rate, sizes, years)
    return _laplace(distance, drift, volatility, rate, sizes, years)


def _equation(
    distance: float,
    drift: float,
    volatility: float,
    rate: float,
    sizes: Merton,
    years: float,
    points: int = 160,
) -> float:
    """Solve Merton's backward integro-differential equation, exactly in time.

    ``v_t = drift v' + volatility^2 / 2 v'' + rate (E[v(x + J)] - v)`` on [0, far], v = 1 where x <=
    0 and 0 beyond; Chebyshev collocation and a matrix exponential. Source: Trefethen 2000,
    Spectral Methods in MATLAB, chapters 6 and 12.
    """
    spread = np.sqrt(volatility**2 * years + (rate * years + 1) * sizes.square)
    far = distance + abs(drift) * years + 7 * spread
    angle = np.pi * np.arange(points + 1) / points
    x = far * (1 - np.cos(angle)) / 2
    ends = np.where((np.arange(points + 1) % points) == 0, 2.0, 1.0)
    ends *= (-1.0) ** np.arange(points + 1)
    apart = x[:, None] - x[None] + np.eye(points + 1)
    derivative = ends[:, None] / ends[None] / apart
    derivative -= np.diag(derivative.sum(axis=1))
    # Clenshaw-Curtis weights by integrating the Chebyshev polynomials
    degrees = np.arange(points + 1)
    integral = np.where(
        degrees % 2 == 0, 2 / (1.0 - degrees.astype(float) ** 2 + (degrees == 1)), 0
    )
    weights = np.linalg.solve(np.cos(np.outer(degrees, np.pi - angle)), integral) * far / 2
    moved = (x[None] - x[:, None] - sizes.mean) / sizes.deviation
    landing = weights * np.exp(-(moved**2) / 2) / (sizes.deviation * np.sqrt(2 * np.pi))
    killed = ndtr((-x - sizes.mean) / sizes.deviation)
    whole = drift * derivative + volatility**2 / 2 * derivative @ derivative
    whole += rate * (landing - np.eye(points + 1))
    inner = slice(1, points)
    # v(0) = 1 and v(far) = 0 are known: a column of the matrix becomes a constant
    constant = whole[inner, 0] + rate * killed[inner]
    system = np.zeros((points, points))
    system[:-1, :-1], system[:-1, -1] = whole[inner, inner], constant
    values = np.concatenate([[1.0], expm(system * years)[:-1, -1], [0.0]])
    # barycentric interpolation
    terms = ends * np.where((degrees % points) == 0, 0.25, 1.0)
    gap = distance - x
    if np.any(gap == 0):
        return float(values[gap == 0][0])
    return float((terms / gap) @ values / (terms / gap).sum())


def _laplace(
    distance: float, drift: float, volatility: float, rate: float, sizes: Kou, years: float
) -> float:
    """Invert the transform of Kou and Wang 2003 (Advances in Applied Probability 35(2), theorem 3).

    For an upper barrier b: ``E exp(-a tau) = (e1 - b1) / e1 b2 / (b2 - b1) exp(-b b1) + (b2 - e1) /
    e1 b1 / (b2 - b1) exp(-b b2)`` with b1, b2 the roots with positive real part of ``x mu + x^2 s^2
    / 2 + rate (p e1 / (e1 - x) + q e2 / (e2 + x) - 1) = a``; inverted by Euler summation (Abate and
    Whitt 1995, ORSA Journal on Computing 7(1)), error near 1e-8.
    """
    mu, p, e1, e2 = -drift, 1 - sizes.up, 1 / sizes.fall, 1 / sizes.rise

    def distribution(a: complex) -> complex:
        up, down = np.poly1d([-1, e1]), np.poly1d([1, e2])
        level = np.poly1d([volatility**2 / 2, mu, -rate - a])
        equation = level * up * down + rate * (p * e1 * down + (1 - p) * e2 * up)
        b1, b2 = sorted((r for r in equation.roots if r.real > 0), key=abs)
        first = (e1 - b1) / e1 * b2 / (b2 - b1) * np.exp(-distance * b1)
        second = (b2 - e1) / e1 * b1 / (b2 - b1) * np.exp(-distance * b2)
        return complex((first + second) / a)

    euler, terms, average = 18.4, 40, 14
    values = []
    total = 0.5 * distribution(complex(euler / (2 * years))).real
    for k in count(1):
        a = complex(euler, 2 * np.pi * k) / (2 * years)
        total += (-1) ** k * distribution(a).real
        if k >= terms:
            values.append(total)
        if len(values) > average:
            break
    binomial = np.array([1.0])
    for _ in range(average):
        binomial = np.convolve(binomial, [0.5, 0.5])
    return float(np.exp(euler / 2) / years * binomial @ np.array(values))
