"""A cross-margin account with two positions on correlated geometric Brownian motions.

Inside one tier bracket the excess of equity over maintenance margin is linear in the marks, ``E =
c0 + w1 S1 + w2 S2`` with ``w_i = q_i - rate_i |q_i|`` and ``c0 = wallet - sum q_i entry_i + sum
amount_i``. The account is liquidated when E first falls below 0, watched continuously.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.interpolate import make_interp_spline
from scipy.sparse.linalg import splu

from . import barrier

Floats = NDArray[np.float64]
Pair = tuple[float, float]

REACH = 6.0  # standard deviations of the grid around the start; 1e-9 of the mass lies beyond
COARSE = (48, 24, 24)  # intervals of distance and of the tangent, time steps; coarsest of 3 levels
DAMPED = 2  # first time steps that are two implicit Euler half steps each


@dataclass(frozen=True)
class CrossPair:
    """The account: each pair is (first, second) asset; money in quote currency, time in years.

    ``rates`` and ``amounts`` are the tier's maintenance rate and deduction, one bracket a position;
    ``drifts`` are those of the price, ``E[S_T] = S_0 exp(drift T)``; |correlation| < 1.
    """

    quantities: Pair
    wallet: float
    volatilities: Pair
    correlation: float
    years: float
    rates: Pair = (0.005, 0.005)
    amounts: Pair = (0.0, 0.0)
    prices: Pair = (1.0, 1.0)
    entries: Pair = (1.0, 1.0)
    drifts: Pair = (0.0, 0.0)

    @property
    def slopes(self) -> Floats:
        """``w_i = q_i - rate_i |q_i|``, the excess gained a unit of price; (2,)."""
        quantities = np.asarray(self.quantities)
        return np.asarray(quantities - np.asarray(self.rates) * np.abs(quantities))

    @property
    def constant(self) -> float:
        """``c0 = wallet - sum q_i entry_i + sum amount_i``."""
        return float(self.wallet - np.dot(self.quantities, self.entries) + np.sum(self.amounts))

    @property
    def excess(self) -> float:
        """E at the start."""
        return float(self.constant + self.slopes @ np.asarray(self.prices))

    @property
    def log_drifts(self) -> Floats:
        """``drift_i - sigma_i^2 / 2``; (2,)."""
        return np.asarray(self.drifts) - np.asarray(self.volatilities) ** 2 / 2.0


def ratio_case(pair: CrossPair) -> float:
    """P(liquidated by the horizon), exact, for ``c0 = 0`` and slopes of opposite sign.

    ``E > 0 <=> ln(w_l S_l / (|w_s| S_s)) > 0`` with l the asset of positive slope: a Brownian
    motion of drift ``nu_l - nu_s`` and variance ``s1^2 + s2^2 - 2 rho s1 s2`` a year. Source: the
    change of variables of Margrabe 1978 with the reflection principle (``log_first_passage``).
    """
    slopes, volatilities = pair.slopes, np.asarray(pair.volatilities)
    scale = float(np.abs(slopes) @ np.asarray(pair.prices))
    if slopes[0] * slopes[1] >= 0.0 or abs(pair.constant) > 1e-12 * scale:
        raise ValueError(f"needs c0 = 0 and opposite slopes, got {pair.constant} and {slopes}")
    signs = np.sign(slopes)
    distance = float(signs @ np.log(np.abs(slopes) * np.asarray(pair.prices)))
    drift = float(signs @ pair.log_drifts)
    variance = volatilities @ volatilities - 2.0 * pair.correlation * np.prod(volatilities)
    logarithm = barrier.log_first_passage(distance, drift, float(np.sqrt(variance)), pair.years)
    return float(np.exp(logarithm))


def pde(pair: CrossPair, coarse: tuple[int, int, int] = COARSE) -> float:
    """P(liquidated by the horizon) for any wallet, by finite differences on three grids.

    Log prices are made independent, ``z = (log prices - start) / deviations``, and turned so that
    one axis, ``n``, raises the excess in both assets. In ``xi = n.z - a(eta)``, ``eta = t.z``, the
    boundary ``E = 0`` is the line ``xi = 0`` and the backward equation reads ``V_T = (1 + a'^2)/2
    V_xixi - a' V_xieta + V_etaeta/2 + (m_n - a' m_t - a''/2) V_xi + m_t V_eta``, V = 1 at ``xi =
    0``, V = 0 at maturity. Crank-Nicolson after damping steps (Rannacher 1984), and Richardson
    extrapolation over grids halved twice; half a second. Relative error below 1e-5 for
    probabilities above 1e-4, except where the boundary has a sharp corner on the scale of the
    moves (both long or both short with a correlation near -1, or a year's horizon), which asks for
    a finer second entry of ``coarse``. Source: Ito's formula for the change of variables.
    """
    if pair.excess <= 0.0:
        return 1.0
    if not _reachable(pair):
        return 0.0
    values = [_solve(pair, tuple(count * 2**level for count in coarse)) for level in range(3)]
    once = [fine + (fine - rough) / 3.0 for rough, fine in itertools.pairwise(values)]
    return once[1] + (once[1] - once[0]) / 15.0


def _reachable(pair: CrossPair) -> bool:
    """Whether E is negative anywhere: always with opposite slopes, else by the sign of c0."""
    signs = np.sign(pair.slopes)
    if np.any(signs == 0.0):
        raise ValueError("needs two positions; a single one is barrier.continuous")
    return bool(signs.sum() == 0.0 or pair.constant * signs[0] < 0.0)


@dataclass(frozen=True)
class _Frame:
    """Turned coordinates: log price i is ``ln S_i + normal_i nu + tangent_i eta``, all (2,)."""

    normal: Floats
    tangent: Floats
    drift: Pair  # of nu and of eta, a year
    pair: CrossPair

    def terms(self, nu: Floats, eta: Floats) -> Floats:
        """``w_i S_i`` at the given coordinates; (2, points)."""
        moved = np.multiply.outer(self.normal, nu) + np.multiply.outer(self.tangent, eta)
        start = self.pair.slopes * np.asarray(self.pair.prices)
        return np.asarray(start[:, None] * np.exp(moved))


def _frame(pair: CrossPair) -> _Frame:
    """The axis along ``L^{-1} sign(w)``, on which both assets raise the excess, and its normal.

    ``L`` is the Cholesky factor of the correlation; nu and eta have unit variance a year.
    """
    rho = pair.correlation
    factor = np.array([[1.0, 0.0], [rho, np.sqrt(1.0 - rho**2)]])
    axis = np.linalg.solve(factor, np.sign(pair.slopes))
    axis /= np.linalg.norm(axis)
    across = np.array([-axis[1], axis[0]])
    volatilities = np.asarray(pair.volatilities)
    drift = np.linalg.solve(factor, pair.log_drifts / volatilities)
    return _Frame(
        normal=volatilities * (factor @ axis),
        tangent=volatilities * (factor @ across),
        drift=(float(axis @ drift), float(across @ drift)),
        pair=pair,
    )


def _boundary(frame: _Frame, eta: Floats) -> tuple[Floats, Floats, Floats]:
    """``a``, ``a'``, ``a''`` at ``eta``: E vanishes at nu = a(eta); each (eta,).

    E rises along nu, so the root is bracketed and bisected; the derivatives are implicit, ``a' =
    -E_eta/E_nu``, ``a'' = -(E_etaeta + 2 a' E_nueta + a'^2 E_nunu)/E_nu``.
    """
    root = _increasing_root(lambda nu: frame.pair.constant + frame.terms(nu, eta).sum(0), eta)
    terms = frame.terms(root, eta)
    n, t = frame.normal, frame.tangent
    slope = -(t @ terms) / (n @ terms)
    bend = (t**2) @ terms + 2.0 * slope * ((n * t) @ terms) + slope**2 * ((n**2) @ terms)
    return root, slope, -bend / (n @ terms)


def _increasing_root(function: Callable[[Floats], Floats], like: Floats) -> Floats:
    """Root of an increasing function, elementwise, by doubling the bracket and bisecting."""
    low, high = -np.ones_like(like), np.ones_like(like)
    while np.any(function(low) > 0.0):
        low = np.where(function(low) > 0.0, 2.0 * low, low)
    while np.any(function(high) < 0.0):
        high = np.where(function(high) < 0.0, 2.0 * high, high)
    for _ in range(100):
        middle = (low + high) / 2.0
        below = function(middle) < 0.0
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return (low + high) / 2.0


def _solve(pair: CrossPair, counts: tuple[int, ...]) -> float:
    """P at the start on one grid of ``counts`` (distance intervals, tangent intervals, steps)."""
    frame, reach = _frame(pair), REACH * np.sqrt(pair.years)
    eta = np.linspace(-reach, reach, counts[1] + 1)
    boundary, slope, bend = _boundary(frame, eta)
    distance = -boundary[counts[1] // 2]
    steepest = np.interp([-reach / 2.0, 0.0, reach / 2.0], eta, slope)
    top = distance + reach * np.sqrt(1.0 + np.max(steepest**2))
    xi = np.linspace(0.0, top, counts[0] + 1)
    operator, source = _operator(frame, xi, eta, slope, bend)
    values = _march(operator, source, pair.years / counts[2], counts[2])
    middle = values.reshape(eta.size, xi.size - 2)[counts[1] // 2]
    profile = np.concatenate([[1.0], middle, [0.0]])
    return float(make_interp_spline(xi, profile, k=5)(distance))


def _operator(
    frame: _Frame, xi: Floats, eta: Floats, slope: Floats, bend: Floats
) -> tuple[sparse.csc_array, Floats]:
    """The space operator on the inner nodes (eta-major) and its source from V = 1 at ``xi = 0``.

    V = 0 at the far end of xi; mirrored at both ends of eta.
    """
    first_xi, second_xi = _differences(xi)
    first_eta, second_eta = _differences(eta)
    for edge, inward in ((0, 1), (-1, -2)):
        first_eta[edge] = 0.0
        second_eta[edge, inward] *= 2.0
    advance = frame.drift[0] - slope * frame.drift[1] - bend / 2.0
    parts = [
        (np.diag((1.0 + slope**2) / 2.0), second_xi),
        (-slope[:, None] * first_eta, first_xi),
        (np.diag(advance), first_xi),
        (second_eta / 2.0 + frame.drift[1] * first_eta, np.eye(xi.size)),
    ]
    inner = slice(1, -1)
    operator = sum(sparse.kron(a, sparse.csr_array(b[inner, inner])) for a, b in parts)
    source = sum(np.kron(a @ np.ones(eta.size), b[inner, 0]) for a, b in parts)
    return sparse.csc_array(operator), np.asarray(source)


def _differences(grid: Floats) -> tuple[Floats, Floats]:
    """Central first and second difference matrices on a uniform grid; each (nodes, nodes)."""
    size, width = grid.size, grid[1] - grid[0]
    up, down = np.eye(size, k=1), np.eye(size, k=-1)
    return (up - down) / (2.0 * width), (up + down - 2.0 * np.eye(size)) / width**2


def _march(operator: sparse.csc_array, source: Floats, step: float, steps: int) -> Floats:
    """V after ``steps`` from V = 0: damping half steps, then Crank-Nicolson; one factorisation.

    An implicit Euler half step and a Crank-Nicolson step have the same matrix ``1 - step/2 L``.
    """
    solver = splu(sparse.csc_array(sparse.eye_array(source.size) - step / 2.0 * operator))
    values = np.zeros_like(source)
    for _ in range(2 * DAMPED):
        values = solver.solve(values + step / 2.0 * source)
    for _ in range(steps - DAMPED):
        explicit = values + step / 2.0 * (operator @ values)
        values = solver.solve(explicit + step * source)
    return np.asarray(values)
