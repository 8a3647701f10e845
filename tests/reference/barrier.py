"""One position under geometric Brownian motion: exact liquidation probabilities.

The price is ``S_t = S_0 exp(nu t + sigma W_t)`` with ``nu = drift - sigma^2/2``, so that
``E[S_T] = S_0 exp(drift T)``. Time is in years, volatility and drift are annual. A barrier below
the price belongs to a long position, one above it to a short one; a barrier at the price has been
reached.

Everything is computed in the distance from the log price to the log barrier, which starts at
``d = |ln(barrier / price)| > 0``, moves as a Brownian motion with drift ``m`` (positive: away
from the barrier) and is killed at 0.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Literal

import numpy as np
import scipy.sparse
from numpy.typing import ArrayLike, NDArray
from scipy.fft import next_fast_len
from scipy.special import log_ndtr, ndtr

Floats = NDArray[np.float64]

PANEL = 3.0  # width of a quadrature panel in standard deviations of one step
NODES = 16  # Gauss-Legendre nodes a panel: 16 on 3 deviations leave an error near 1e-15
REACH = 10.0  # standard deviations that are followed; beyond lies less than 1e-22 of the mass


def tier_amounts(tiers: Sequence[tuple[float, float]]) -> list[float]:
    """Deductions ``c_k = c_{k-1} + floor_k (rate_k - rate_{k-1})`` that make the margin continuous.

    ``tiers`` holds (floor in quote currency, rate), first floor 0. Source: the maintenance amount
    of exchange tier tables, which is defined by continuity of ``rate_k n - c_k`` at the floors.
    """
    amounts = [0.0]
    for (_, lower), (floor, upper) in itertools.pairwise(tiers):
        amounts.append(amounts[-1] + floor * (upper - lower))
    return amounts


def liquidation_price(
    side: Literal["long", "short"],
    entry: float,
    quantity: float,
    wallet: float,
    tiers: Sequence[tuple[float, float]],
) -> float:
    """Mark at which ``wallet + q (S - entry)`` equals the maintenance margin of ``|q| S``.

    In tier k: ``long (entry - (wallet + c_k)/Q) / (1 - rate_k)``, ``short (entry + (wallet +
    c_k)/Q) / (1 + rate_k)`` with ``Q = |quantity|``; the tier is the one in which the solution's
    own notional lies. Returns 0.0 where no positive price liquidates (a fully paid long).
    Source: the excess is linear in the price inside a tier.
    """
    sign = {"long": 1.0, "short": -1.0}[side]
    size = abs(quantity)
    tops = [floor for floor, _ in tiers[1:]] + [np.inf]
    for (floor, rate), amount, top in zip(tiers, tier_amounts(tiers), tops, strict=True):
        price = (entry - sign * (wallet + amount) / size) / (1.0 - sign * rate)
        if floor < size * price <= top:
            return float(price)
    return 0.0


def log_first_passage(distance: float, drift: float, volatility: float, years: ArrayLike) -> Floats:
    """Logarithm of P(min over [0, T] of ``distance + drift t + volatility W_t`` <= 0).

    ``P = Phi((-d - m T)/s) + exp(-2 m d / sigma^2) Phi((-d + m T)/s)``, ``s = sigma sqrt(T)``: both
    terms are positive, so their logarithms add without cancellation. ``years`` has any shape
    and must be positive. Source: reflection principle with Girsanov's theorem; Harrison 1985,
    Brownian Motion and Stochastic Flow Systems, eq. 1.8.11.
    """
    horizon = np.asarray(years, dtype=np.float64)
    if distance <= 0.0:
        return np.zeros_like(horizon)
    deviation = volatility * np.sqrt(horizon)
    ended = log_ndtr((-distance - drift * horizon) / deviation)
    returned = -2.0 * drift * distance / volatility**2 + log_ndtr(
        (-distance + drift * horizon) / deviation
    )
    return np.asarray(np.minimum(np.logaddexp(ended, returned), 0.0))


def _away(price: float, barrier: float, volatility: float, drift: float) -> tuple[float, float]:
    """Distance ``|ln(barrier/price)|`` and the log drift away from the barrier (a year)."""
    if barrier <= 0.0:
        return np.inf, drift - volatility**2 / 2.0
    log = float(np.log(price / barrier))
    side = 1.0 if log >= 0.0 else -1.0
    return abs(log), side * (drift - volatility**2 / 2.0)


def continuous(
    price: float, barrier: float, volatility: float, drift: float, years: float
) -> float:
    """P(the barrier is reached by ``years``) under continuous monitoring.

    As a function of ``years`` this is the distribution function of the liquidation time. Relative
    accuracy near 1e-13 down to the smallest doubles. Source: ``log_first_passage``.
    """
    distance, away = _away(price, barrier, volatility, drift)
    if np.isinf(distance):
        return 0.0
    return float(np.exp(log_first_passage(distance, away, volatility, years)))


def passage_density(
    price: float, barrier: float, volatility: float, drift: float, times: ArrayLike
) -> Floats:
    """Density (a year) of the first passage at ``times``, an array of any shape, in years.

    ``d / (sigma sqrt(2 pi t^3)) exp(-(d + m t)^2 / (2 sigma^2 t))``: inverse Gaussian. Source:
    Karatzas and Shreve 1991, eq. 3.5.12.
    """
    distance, away = _away(price, barrier, volatility, drift)
    t = np.asarray(times, dtype=np.float64)
    scale = distance / (volatility * np.sqrt(2.0 * np.pi * t**3))
    return scale * np.exp(-((distance + away * t) ** 2) / (2.0 * volatility**2 * t))


def discrete_distribution(
    price: float, barrier: float, volatility: float, drift: float, years: float, checks: int
) -> Floats:
    """P(found beyond the barrier at or before check k), k = 1..checks, equally spaced; (checks,).

    In units of one step's deviation the surviving density obeys ``f_{k+1}(y) = int_0^inf f_k(x)
    phi(y - x - m) dx`` and step k+1 kills ``int_0^inf f_k(x) Phi(-x - m) dx``. The integrals are
    composite Gauss-Legendre; only positive terms are added, so small probabilities keep their
    digits. Source: Broadie, Glasserman and Kou 1997 (the problem); repeated convolution as in
    AitSahlia and Lai 1997.
    """
    distance, away = _away(price, barrier, volatility, drift)
    step = volatility * np.sqrt(years / checks)
    start, shift = distance / step, away * (years / checks) / step
    reach = start + max(shift, 0.0) * checks + REACH * np.sqrt(checks)
    nodes, weights = _panels(reach)
    transition = _transition(nodes, weights, shift)
    killing = weights * ndtr(-nodes - shift)
    density = np.exp(-((nodes - start - shift) ** 2) / 2.0) / np.sqrt(2.0 * np.pi)
    killed = [float(ndtr(-start - shift))]
    for _ in range(checks - 1):
        killed.append(float(killing @ density))
        density = transition @ density
    return np.cumsum(killed)


def discrete(
    price: float, barrier: float, volatility: float, drift: float, years: float, checks: int
) -> float:
    """P(the price is beyond the barrier at one of ``checks`` equally spaced checks, the last at T).

    Source: ``discrete_distribution``.
    """
    return float(discrete_distribution(price, barrier, volatility, drift, years, checks)[-1])


def _panels(reach: float) -> tuple[Floats, Floats]:
    """Composite Gauss-Legendre nodes and weights on [0, reach], both (panels * NODES,)."""
    count = int(np.ceil(reach / PANEL))
    points, weights = np.polynomial.legendre.leggauss(NODES)
    left = PANEL * np.arange(count)[:, None]
    return (left + PANEL * (points + 1.0) / 2.0).ravel(), np.tile(weights * PANEL / 2.0, count)


def _transition(nodes: Floats, weights: Floats, shift: float) -> scipy.sparse.csr_array:
    """Matrix of ``f -> int f(x) phi(y - x - shift) dx`` at the nodes, banded at REACH deviations.

    Entry (j, i) moves mass from ``nodes[i]`` to ``nodes[j]``; shape (nodes, nodes).
    """
    first = np.searchsorted(nodes, nodes - shift - REACH)
    last = np.searchsorted(nodes, nodes - shift + REACH)
    counts = last - first
    rows = np.repeat(np.arange(nodes.size), counts)
    offset = np.arange(rows.size) - np.repeat(np.cumsum(counts) - counts, counts)
    columns = np.repeat(first, counts) + offset
    moved = nodes[rows] - nodes[columns] - shift
    values = np.exp(-(moved**2) / 2.0) / np.sqrt(2.0 * np.pi) * weights[columns]
    return scipy.sparse.csr_array((values, (rows, columns)), shape=(nodes.size, nodes.size))


def discrete_transform(
    price: float, barrier: float, volatility: float, drift: float, years: float, checks: int
) -> float:
    """The probability of ``discrete`` by Fourier and Hilbert transforms, absolute error near 1e-13.

    With ``fhat(xi) = int e^{i xi x} f(x) dx`` one step is ``g = fhat exp(i xi m - xi^2/2)`` and
    killing below the barrier b is ``fhat = g/2 + (i/2) e^{i xi b} H[e^{-i eta b} g](xi)``; survival
    is ``fhat(0)``. H is the Hilbert transform by sinc expansion. Source: Feng and Linetsky 2008,
    Mathematical Finance 18(3), the backward induction for barrier options (unit: one step's
    deviation), here run forward on the density.
    """
    distance, away = _away(price, barrier, volatility, drift)
    step = volatility * np.sqrt(years / checks)
    start, shift = distance / step, away * (years / checks) / step
    span = start + abs(shift) * checks + REACH * np.sqrt(checks)
    spacing = np.pi / (2.0 * span)
    half = int(np.ceil(REACH / spacing))
    xi = spacing * np.arange(-half, half + 1)
    propagate = np.exp(1j * xi * shift - xi**2 / 2.0)
    phase = np.exp(-1j * xi * start)  # the barrier lies at b = -start
    transform = np.ones_like(propagate)
    for _ in range(checks):
        moved = transform * propagate
        transform = moved / 2.0 + 0.5j * phase * _hilbert(moved / phase)
    return float(1.0 - transform[half].real)


def _hilbert(values: NDArray[np.complex128]) -> NDArray[np.complex128]:
    """Hilbert transform on a uniform grid: ``sum over k - j odd of 2 g_j / (pi (k - j))``; (n,).

    The weight is (1 - cos(pi (k - j))) / (pi (k - j)), the sinc expansion of Feng and Linetsky
    2008, summed by FFT.
    """
    size = values.size
    length = next_fast_len(3 * size)
    lag = np.arange(-(size - 1), size)
    odd = lag % 2 != 0
    kernel = np.zeros(lag.size)
    kernel[odd] = 2.0 / (np.pi * lag[odd])
    product = np.fft.fft(values, length) * np.fft.fft(kernel, length)
    return np.fft.ifft(product)[size - 1 : 2 * size - 1]


def corridor(
    price: float, low: float, high: float, volatility: float, drift: float, years: float
) -> float:
    """P(the price leaves (low, high) by ``years``), monitored continuously; absolute error 1e-14.

    With ``D = ln(high/low)``, ``x0 = ln(price/low)``, ``s = sigma sqrt(T)``: ``P(stay) = sum_k {
    e^{2kD nu/sigma^2} [Phi((D-c_k)/s) - Phi(-c_k/s)] - e^{(2kD-2x0) nu/sigma^2} [Phi((D-d_k)/s) -
    Phi(-d_k/s)] }``, ``c_k = x0 + 2kD + nu T``, ``d_k = -x0 + 2kD + nu T``. Source: method of
    images with Girsanov's theorem; Borodin and Salminen 2002, Handbook of Brownian Motion, part
    II, chapter 2, formulas 1.15.
    """
    width, start = float(np.log(high / low)), float(np.log(price / low))
    if not 0.0 < start < width:
        return 1.0
    nu, deviation = drift - volatility**2 / 2.0, volatility * np.sqrt(years)
    furthest = int(np.ceil((REACH * deviation + abs(nu) * years) / (2.0 * width))) + 2
    images = 2.0 * width * np.arange(-furthest, furthest + 1, dtype=np.float64)
    kept = _image(images, start, width, nu, volatility, years)
    lost = _image(images - 2.0 * start, start, width, nu, volatility, years)
    return float(1.0 - np.sum(kept - lost))


def _image(
    moved: Floats, start: float, width: float, nu: float, volatility: float, years: float
) -> Floats:
    """Mass in (0, width) of sources moved by ``moved`` from ``start``, with Girsanov's weight.

    ``e^{moved nu / sigma^2} [Phi((width - c)/s) - Phi(-c/s)]``, ``c = start + moved + nu T``; the
    difference is taken in the tail where it does not cancel. Shape of ``moved``.
    """
    deviation = volatility * np.sqrt(years)
    centre = start + moved + nu * years
    above = np.where(centre > width / 2.0, 1.0, -1.0)
    near = log_ndtr(above * (width - centre) / deviation)
    far = log_ndtr(above * -centre / deviation)
    weight = moved * nu / volatility**2
    return np.asarray(above * (np.exp(near + weight) - np.exp(far + weight)))
