"""The skewed t of the generalised hyperbolic family, by maximum likelihood.

X = m + g W + sqrt(W) Z with Z normal of covariance S, and W inverse gamma (nu/2, nu/2): the EM
algorithm of McNeil, Frey and Embrechts, "Quantitative Risk Management" (2005), algorithm 3.14, with
the degrees of freedom by maximising the exact density (ECME). Its density: their section 3.2.3.
Standard errors are from the observed information: the gradient of the log-likelihood is the mean of
the complete one (Fisher's identity), and is differenced.

``skewness`` is g over the standard deviation of a bar's return under the fit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import digamma, gammaln, kve

from stress.calibrate.sample import (
    Estimate,
    Parameters,
    Sample,
    by_asset,
    covariance_from_score,
)
from stress.calibrate.student_t import t_scatter
from stress.types import Floats

__all__ = ["fit_skewed_t", "log_score"]

_LEAST, _MOST = 4.5, 100.0
"""Degrees of freedom that are looked at: the covariance is finite above 4 and its skewed part takes
over near it (at 4.5 the mixing variable's variance is 13, which leaves an asset no more skewness
than 0.28); beyond 100 the law cannot be told from a normal one."""

_FLOOR = 1e-8
"""Least squared length of g in units of S: the density's limit without skewness is met to 1e-8."""

_MOST_ROUNDS, _SETTLED = 400, 1e-7
"""EM rounds, and the gain in log-likelihood a bar at which they end."""


@dataclass(frozen=True)
class _Law:
    """Location, skewness, scatter and degrees of freedom: m, g (assets,), S (assets, assets)."""

    mean: Floats
    skew: Floats
    scatter: Floats
    freedom: float


def fit_skewed_t(sample: Sample) -> Estimate:
    """Estimate degrees of freedom, and each asset's skewness, from the common returns."""
    returns = sample.common
    # thinking in standard deviations keeps every parameter near 1
    unit = returns.std(axis=0)
    law = _likeliest(returns / unit)
    table, errors, notes = _described(sample, returns / unit, law)
    parameters = _parameters(sample, unit, law, table)
    size = len(sample.assets)
    return Estimate(
        table=table,
        standard_errors=errors,
        parameters=parameters,
        scores=log_score(returns, parameters),
        count=2 * size + size * (size + 1) // 2 + 1,
        notes=notes,
    )


def log_score(returns: Floats, parameters: Parameters, *, going_on: bool = False) -> Floats:
    """Return the (bars,) log densities of (bars, assets) log returns; bars are independent."""
    freedom = float(parameters.table["degrees_of_freedom"])
    expected, variance = _moments(freedom)
    skew = parameters.numbers("skewness") * parameters.deviation
    scatter = (parameters.covariance - variance * np.outer(skew, skew)) / expected
    law = _Law(parameters.mean - expected * skew, skew, scatter, freedom)
    return _log_density(returns, law)


def admissible(skewness: Floats, correlation: Floats, freedom: float) -> float:
    """Return the share of a skewness that a correlation has room for, at most 1.

    What is left for the normal part must be positive definite: b' C^-1 b var W < 1.
    """
    _, variance = _moments(freedom)
    taken = variance * float(skewness @ np.linalg.solve(correlation, skewness))
    return float(min(1.0, np.sqrt(0.98 / taken))) if taken > 0 else 1.0


def _moments(freedom: float) -> tuple[float, float]:
    """Mean and variance of the mixing variable."""
    return (
        freedom / (freedom - 2),
        2 * freedom**2 / ((freedom - 2) ** 2 * (freedom - 4)),
    )


def _log_bessel(order: float, at: Floats) -> Floats:
    return np.log(kve(order, at)) - at


def _distances(returns: Floats, law: _Law) -> tuple[Floats, Floats, float]:
    """Return S^-1 (x - m) (bars, assets), its product with x - m (bars,), and g' S^-1 g."""
    centred = returns - law.mean
    inverse = np.linalg.inv(law.scatter)
    pulled = centred @ inverse
    length = max(float(law.skew @ inverse @ law.skew), _FLOOR)
    return pulled, (pulled * centred).sum(axis=1), length


def _log_density(returns: Floats, law: _Law) -> Floats:
    size, freedom = returns.shape[1], law.freedom
    pulled, distance, length = _distances(returns, law)
    order = (freedom + size) / 2
    at = np.sqrt((freedom + distance) * length)
    _, log_determinant = np.linalg.slogdet(law.scatter)
    constant = (
        (1 - order) * np.log(2.0)
        - gammaln(freedom / 2)
        - 0.5 * size * np.log(np.pi * freedom)
        - 0.5 * log_determinant
    )
    return (
        constant
        + _log_bessel(order, at)
        + order * np.log(at)
        + pulled @ law.skew
        - order * np.log1p(distance / freedom)
    )


def _mixing(returns: Floats, law: _Law) -> tuple[Floats, Floats, Floats]:
    """Return the (bars,) means of W, 1/W and log W given the returns."""
    _, distance, length = _distances(returns, law)
    order = -(law.freedom + returns.shape[1]) / 2
    chi = law.freedom + distance
    at, ratio = np.sqrt(chi * length), np.sqrt(chi / length)
    middle = _log_bessel(order, at)
    mean = ratio * np.exp(_log_bessel(order + 1, at) - middle)
    inverse = np.exp(_log_bessel(order - 1, at) - middle) / ratio
    step = 1e-4
    slope = (_log_bessel(order + step, at) - _log_bessel(order - step, at)) / (2 * step)
    return mean, inverse, np.log(ratio) + slope


def _likeliest(returns: Floats) -> _Law:
    mean, scatter = t_scatter(returns, 6.0)
    law = _Law(mean, 0.02 * (returns.mean(axis=0) - mean) - 1e-3, scatter, 6.0)
    settled = -np.inf
    for count in range(_MOST_ROUNDS):
        law = _round(returns, law)
        # the degrees of freedom change slowly: every round of them is worth several of the others
        if count % 3 == 0:
            law = _with_freedom(returns, law)
            value = float(_log_density(returns, law).mean())
            if count > 6 and value - settled < 3 * _SETTLED:
                break
            settled = value
    return _with_freedom(returns, law)


def _round(returns: Floats, law: _Law) -> _Law:
    """One EM round: location, skewness and scatter at given degrees of freedom."""
    mixing, inverse, _ = _mixing(returns, law)
    average, weight = mixing.mean(), inverse.mean()
    centre = returns.mean(axis=0)
    pulled = (inverse[:, None] * returns).mean(axis=0)
    skew = (weight * centre - pulled) / (weight * average - 1)
    mean = (pulled - skew) / weight
    centred = returns - mean
    scatter = (centred * inverse[:, None]).T @ centred / len(returns)
    scatter = scatter - average * np.outer(skew, skew)
    return _Law(mean, skew, scatter, law.freedom)


def _with_freedom(returns: Floats, law: _Law) -> _Law:
    def misfit(log_freedom: float) -> float:
        moved = _Law(law.mean, law.skew, law.scatter, float(np.exp(log_freedom)))
        return -float(_log_density(returns, moved).mean())

    bounds = (float(np.log(_LEAST)), float(np.log(_MOST)))
    found = minimize_scalar(misfit, bounds=bounds, method="bounded", options={"xatol": 1e-4})
    return _Law(law.mean, law.skew, law.scatter, float(np.exp(found.x)))


def _parameters(sample: Sample, unit: Floats, law: _Law, table: dict[str, object]) -> Parameters:
    expected, variance = _moments(law.freedom)
    covariance = expected * law.scatter + variance * np.outer(law.skew, law.skew)
    deviation = np.sqrt(np.diag(covariance))
    return Parameters(
        assets=sample.assets,
        mean=(law.mean + expected * law.skew) * unit,
        deviation=deviation * unit,
        correlation=covariance / np.outer(deviation, deviation),
        years=sample.years,
        table=table,
    )


def _described(
    sample: Sample, returns: Floats, law: _Law
) -> tuple[dict[str, object], dict[str, object], tuple[str, ...]]:
    bound = law.freedom < 1.005 * _LEAST
    covariance = _covariance(returns, law, free=not bound)
    slopes = _slopes(law)
    errors = np.sqrt(np.maximum(np.einsum("ij,jk,ik->i", slopes, covariance, slopes), 0.0))
    notes = []
    if bound:
        notes.append(
            f"degrees of freedom are held at {_LEAST}, below which the covariance of a skewed t"
            " breaks down: the returns have heavier tails than this model can have"
        )
    table: dict[str, object] = {
        "interval": sample.interval,
        "degrees_of_freedom": law.freedom,
        "skewness": by_asset(sample.assets, _skewness(law)),
    }
    described: dict[str, object] = {
        "degrees_of_freedom": 0.0 if bound else float(errors[-1]),
        "skewness": by_asset(sample.assets, errors[:-1]),
    }
    return table, described, tuple(notes)


def _skewness(law: _Law) -> Floats:
    expected, variance = _moments(law.freedom)
    return law.skew / np.sqrt(expected * np.diag(law.scatter) + variance * law.skew**2)


def _pack(law: _Law) -> Floats:
    corner = np.tril_indices(len(law.mean))
    return np.concatenate([law.mean, law.skew, law.scatter[corner], [law.freedom]])


def _unpack(packed: Floats, size: int) -> _Law:
    scatter = np.zeros((size, size))
    scatter[np.tril_indices(size)] = packed[2 * size : -1]
    scatter = scatter + np.tril(scatter, -1).T
    return _Law(packed[:size], packed[size : 2 * size], scatter, float(packed[-1]))


def _gradient(returns: Floats, law: _Law) -> Floats:
    """Return the gradient of the log-likelihood by ``_pack``'s parameters."""
    mixing, inverse, log_mixing = _mixing(returns, law)
    count = len(returns)
    precision = np.linalg.inv(law.scatter)
    centred = returns - law.mean
    total = centred.sum(axis=0)
    by_mean = precision @ (inverse @ centred - count * law.skew)
    by_skew = precision @ (total - mixing.sum() * law.skew)
    second = (
        (centred * inverse[:, None]).T @ centred
        - np.outer(total, law.skew)
        - np.outer(law.skew, total)
        + mixing.sum() * np.outer(law.skew, law.skew)
    )
    slope = 0.5 * precision @ (second - count * law.scatter) @ precision
    # an entry off the diagonal stands twice
    slope = 2 * slope - np.diag(np.diag(slope))
    half = law.freedom / 2
    by_freedom = 0.5 * (np.log(half) + 1 - digamma(half) - log_mixing - inverse).sum()
    corner = np.tril_indices(len(law.mean))
    return np.concatenate([by_mean, by_skew, slope[corner], [by_freedom]])


def _covariance(returns: Floats, law: _Law, *, free: bool) -> Floats:
    """Return the (parameters, parameters) covariance; zero for degrees of freedom at a bound."""
    size, packed = len(law.mean), _pack(law)
    kept = np.arange(len(packed) - (0 if free else 1))
    known = np.ones(len(packed)) * 0.1 / np.sqrt(len(returns))
    known[-1] *= law.freedom

    def score(chosen: Floats) -> Floats:
        moved = packed.copy()
        moved[kept] = chosen
        return _gradient(returns, _unpack(moved, size))[kept]

    covariance = np.zeros((len(packed), len(packed)))
    covariance[np.ix_(kept, kept)] = covariance_from_score(score, packed[kept], known[kept])
    return covariance


def _slopes(law: _Law) -> Floats:
    """Return the derivatives of (skewness, degrees of freedom) by ``_pack``'s parameters."""
    packed, size = _pack(law), len(law.mean)

    def described(at: Floats) -> Floats:
        moved = _unpack(at, size)
        return np.append(_skewness(moved), moved.freedom)

    step = 1e-5
    moves = step * np.eye(len(packed))
    columns = [(described(packed + move) - described(packed - move)) / (2 * step) for move in moves]
    return np.stack(columns, axis=1)
