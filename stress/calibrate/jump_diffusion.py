"""Merton's jump diffusion with common and own jumps, by maximum likelihood.

A bar's returns are a mixture of normal laws (Merton 1976; Press 1967), one for each combination of
common jumps and assets that jump by themselves. Combinations are let to two common jumps and two
assets a bar, or to one of each where bars are so short that more are never met; an asset jumps by
itself at most once a bar. A common jump moves every asset by its exposure, which is taken as its
volatility over the mean volatility and not estimated; own jumps have mean 0.

What a history says and what not: the variance that jumps bring, and the common share of it, are
known well. Rate and size are not, one by one: many small jumps look like few larger ones, the more
so the longer the bar. Their standard errors say so; those of the well-known combinations are given
apart, as ``jump_share`` (of an asset's variance) and ``common_share`` (of its jumps' variance).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.special import logsumexp

from stress.calibrate.sample import (
    Estimate,
    Parameters,
    Sample,
    by_asset,
    covariance_from_score,
)
from stress.types import Floats

__all__ = ["fit_jump_diffusion", "jump_covariance", "log_score"]

_MOST_RATE = 0.3
"""Most jumps a bar that are looked at: beyond it they are no jumps but the bar's own law."""

_LEAST_SIZE = 0.5
"""Least standard deviation of a jump, in standard deviations of a bar."""

_OFTEN = 0.05
"""Jumps a bar, at 30 a year for each asset, from which two at once are allowed for."""

_MOST_BARS = 12_000
"""Bars that the information is taken from: of a longer history the last ones, scaled to it all."""


@dataclass(frozen=True)
class _Law:
    """Numbers per bar, in units where every return has deviation 1 and every exposure is 1.

    Attributes
    ----------
    mean
        (assets,) of the diffusion.
    root
        (assets, assets) lower triangular root of the diffusion's covariance.
    rate, centre, deviation
        Of common jumps.
    rates, deviations
        (assets,) of own jumps.
    """

    mean: Floats
    root: Floats
    rate: float
    centre: float
    deviation: float
    rates: Floats
    deviations: Floats

    @property
    def own(self) -> bool:
        return len(self.mean) > 1


@dataclass(frozen=True)
class _Cases:
    """Combinations of jumps: common counts (cases,), own jumps (cases, assets) 0 or 1."""

    common: Floats
    own: Floats


def fit_jump_diffusion(sample: Sample) -> Estimate:
    """Estimate jumps of the market and of each asset from the common returns."""
    unit = sample.common.std(axis=0)
    returns = sample.common / unit
    cases = _cases(len(sample.assets), sample.years)
    law = _likeliest(returns, cases)
    table = _table(sample, unit, law)
    parameters = _parameters(sample, unit, law, table)
    errors, more = _described(sample, unit, returns, law, cases)
    size = len(sample.assets)
    return Estimate(
        table=table,
        standard_errors=errors,
        parameters=parameters,
        scores=_log_density(returns, law, cases) - np.log(unit).sum(),
        count=size + size * (size + 1) // 2 + 3 + (2 * size if law.own else 0),
        notes=_notes(sample, law),
        more=more,
    )


def log_score(returns: Floats, parameters: Parameters, *, going_on: bool = False) -> Floats:
    """Return the (bars,) log densities of (bars, assets) log returns; bars are independent."""
    table, years = parameters.table, parameters.years
    size = len(parameters.assets)
    common = _of(table.get("common"))
    own = [_of(table.get("own", {}).get(asset)) for asset in parameters.assets]
    exposure = parameters.numbers("exposure")
    diffusion = parameters.covariance - jump_covariance(parameters.assets, table) * years
    # in units of the exposure, where a common jump moves every asset alike
    scaled = diffusion / np.outer(exposure, exposure)
    law = _Law(
        mean=parameters.mean / exposure - common["rate"] * years * common["mean"],
        root=np.linalg.cholesky(scaled),
        rate=common["rate"] * years,
        centre=common["mean"],
        deviation=common["deviation"],
        rates=np.array([jumps["rate"] * years for jumps in own]),
        deviations=np.array([jumps["deviation"] for jumps in own]) / exposure,
    )
    density = _log_density(returns / exposure, law, _cases(size, years))
    return density - np.log(exposure).sum()


def jump_covariance(assets: tuple[str, ...], table: Mapping[str, Any]) -> Floats:
    """Return the (assets, assets) covariance a year that a table's jumps (merton) bring."""
    exposure = np.array([table["exposure"][asset] for asset in assets])
    common = _of(table.get("common"))
    own = [_of(table.get("own", {}).get(asset)) for asset in assets]
    second = common["rate"] * (common["mean"] ** 2 + common["deviation"] ** 2)
    return second * np.outer(exposure, exposure) + np.diag(
        [jumps["rate"] * (jumps["mean"] ** 2 + jumps["deviation"] ** 2) for jumps in own]
    )


def _of(jumps: Mapping[str, float] | None) -> Mapping[str, float]:
    return jumps or {"rate": 0.0, "mean": 0.0, "deviation": 1.0}


def _cases(size: int, years: float) -> _Cases:
    together = 2 if 30 * years * size > _OFTEN else 1
    owners = (
        [()]
        if size == 1
        else [
            chosen for count in range(together + 1) for chosen in combinations(range(size), count)
        ]
    )
    own = np.zeros((len(owners), size))
    for row, chosen in enumerate(owners):
        own[row, list(chosen)] = 1
    counts = np.arange(together + 1.0)
    return _Cases(np.repeat(counts, len(own)), np.tile(own, (len(counts), 1)))


def _log_weights(law: _Law, cases: _Cases) -> tuple[Floats, Floats, Floats]:
    """Return the log probabilities (cases,) and their slopes by the logs of the rates.

    The slopes are (cases,) for the common rate and (cases, assets) for the own ones.
    """
    factorial = np.maximum(cases.common, 1.0)
    log = cases.common * np.log(max(law.rate, 1e-300)) - law.rate - np.log(factorial)
    by_rate = cases.common - law.rate
    some = -np.expm1(-law.rates)
    rates = np.maximum(law.rates, 1e-300)
    log = log + cases.own @ np.log(np.maximum(some, 1e-300)) - (1 - cases.own) @ law.rates
    by_rates = np.where(cases.own > 0, rates * np.exp(-rates) / np.maximum(some, 1e-300), -rates)
    # what the cases leave out is shared out among them
    log = log - logsumexp(log)
    weight = np.exp(log)
    return log, by_rate - weight @ by_rate, by_rates - weight @ by_rates


def _log_joint(returns: Floats, law: _Law, cases: _Cases) -> tuple[Floats, Floats]:
    """Return the joint log densities (bars, cases), and the precisions (cases, assets, assets)."""
    size = returns.shape[1]
    covariances = (
        (law.root @ law.root.T)[None]
        + (cases.common * law.deviation**2)[:, None, None]
        + np.eye(size) * (cases.own * law.deviations**2)[:, None, :]
    )
    precisions = np.linalg.inv(covariances)
    _, log_determinant = np.linalg.slogdet(covariances)
    log_weight, _, _ = _log_weights(law, cases)
    distance = np.empty((len(returns), len(cases.common)))
    for count in np.unique(cases.common):
        chosen = np.flatnonzero(cases.common == count)
        # one matrix product for all cases: sum of precision times the products of the returns
        products = _products(returns - law.mean - count * law.centre)
        distance[:, chosen] = products @ precisions[chosen].reshape(len(chosen), -1).T
    constant = log_weight - 0.5 * log_determinant - 0.5 * size * np.log(2 * np.pi)
    return constant - 0.5 * distance, precisions


def _products(centred: Floats) -> Floats:
    """Return (bars, assets * assets) products of each bar's returns with one another."""
    return (centred[:, :, None] * centred[:, None, :]).reshape(len(centred), -1)


def _log_density(returns: Floats, law: _Law, cases: _Cases) -> Floats:
    joint, _ = _log_joint(returns, law, cases)
    return np.asarray(logsumexp(joint, axis=1))


def _value_and_gradient(packed: Floats, returns: Floats, cases: _Cases) -> tuple[float, Floats]:
    """Return the log-likelihood and its gradient by ``_pack``'s parameters."""
    size = returns.shape[1]
    law = _unpack(packed, size)
    joint, precisions = _log_joint(returns, law, cases)
    density = logsumexp(joint, axis=1)
    share = np.exp(joint - density[:, None])
    by_mean, by_centre, by_spread = np.zeros(size), 0.0, 0.0
    by_scatter, by_deviations = np.zeros((size, size)), np.zeros(size)
    counts = share.sum(axis=0)
    for count in np.unique(cases.common):
        chosen = np.flatnonzero(cases.common == count)
        centred = returns - law.mean - count * law.centre
        first = share[:, chosen].T @ centred
        second = (share[:, chosen].T @ _products(centred)).reshape(-1, size, size)
        precision = precisions[chosen]
        pull = np.einsum("kij,kj->i", precision, first)
        slopes = 0.5 * (precision @ second @ precision - counts[chosen, None, None] * precision)
        by_mean += pull
        by_centre += count * pull.sum()
        by_scatter += slopes.sum(axis=0)
        by_spread += count * slopes.sum()
        by_deviations += (cases.own[chosen] * np.einsum("kii->ki", slopes)).sum(axis=0)
    _, by_rate, by_rates = _log_weights(law, cases)
    by_root = np.tril(2 * by_scatter @ law.root)
    by_root[np.diag_indices(size)] *= np.diag(law.root)
    common = [
        float(counts @ by_rate),
        by_centre,
        by_spread * 2 * law.deviation**2,
    ]
    own = [counts @ by_rates, by_deviations * 2 * law.deviations**2] if size > 1 else []
    gradient = np.concatenate([by_mean, by_root[np.tril_indices(size)], common, *own])
    return float(density.sum()), gradient


def _pack(law: _Law) -> Floats:
    """Mean, root (logs on its diagonal), log rate, centre, log deviation, own logs."""
    root = law.root.copy()
    corner = np.diag_indices(len(root))
    root[corner] = np.log(root[corner])
    common = [np.log(law.rate), law.centre, np.log(law.deviation)]
    own = [np.log(law.rates), np.log(law.deviations)] if law.own else []
    return np.concatenate([law.mean, root[np.tril_indices(len(root))], common, *own])


def _unpack(packed: Floats, size: int) -> _Law:
    entries = size * (size + 1) // 2
    root = np.zeros((size, size))
    root[np.tril_indices(size)] = packed[size : size + entries]
    root[np.diag_indices(size)] = np.exp(np.diag(root))
    rate, centre, deviation = packed[size + entries : size + entries + 3]
    own = packed[size + entries + 3 :]
    return _Law(
        mean=packed[:size],
        root=root,
        rate=float(np.exp(rate)),
        centre=float(centre),
        deviation=float(np.exp(deviation)),
        rates=np.exp(own[:size]) if size > 1 else np.zeros(1),
        deviations=np.exp(own[size:]) if size > 1 else np.ones(1),
    )


def _likeliest(returns: Floats, cases: _Cases) -> _Law:
    size = returns.shape[1]
    covariance = np.atleast_2d(np.cov(returns, rowvar=False))
    start = _Law(
        mean=returns.mean(axis=0),
        root=np.linalg.cholesky(0.6 * covariance),
        rate=0.03,
        centre=-0.1,
        deviation=2.0,
        rates=np.full(size, 0.03),
        deviations=np.full(size, 2.0),
    )
    packed = _pack(start)
    free = (None, None)
    rates, sizes = (np.log(1e-5), np.log(_MOST_RATE)), (np.log(_LEAST_SIZE), np.log(30.0))
    own = [*[rates] * size, *[sizes] * size] if start.own else []
    bounds = [*[free] * (len(packed) - 3 - len(own)), rates, (-10.0, 10.0), sizes, *own]

    def misfit(at: Floats) -> tuple[float, Floats]:
        value, gradient = _value_and_gradient(at, returns, cases)
        return -value / len(returns), -gradient / len(returns)

    found = minimize(
        misfit,
        packed,
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        options={"maxiter": 400, "ftol": 1e-10, "gtol": 1e-6},
    )
    return _unpack(found.x, size)


def _table(sample: Sample, unit: Floats, law: _Law) -> dict[str, Any]:
    mean = float(unit.mean())
    table: dict[str, Any] = {
        "sizes": "merton",
        "common": {
            "rate": law.rate / sample.years,
            "mean": law.centre * mean,
            "deviation": law.deviation * mean,
        },
        "exposure": by_asset(sample.assets, unit / mean),
        "own": {},
    }
    for row, asset in enumerate(sample.assets):
        rate = float(law.rates[row]) / sample.years if law.own else 0.0
        deviation = float(law.deviations[row] * unit[row])
        table["own"][asset] = {"rate": rate, "mean": 0.0, "deviation": deviation}
    return table


def _parameters(sample: Sample, unit: Floats, law: _Law, table: dict[str, Any]) -> Parameters:
    scaled = law.root @ law.root.T * np.outer(unit, unit)
    covariance = scaled + jump_covariance(sample.assets, table) * sample.years
    deviation = np.sqrt(np.diag(covariance))
    return Parameters(
        assets=sample.assets,
        mean=(law.mean + law.rate * law.centre) * unit,
        deviation=deviation,
        correlation=covariance / np.outer(deviation, deviation),
        years=sample.years,
        table=table,
    )


def _shares(packed: Floats, size: int) -> Floats:
    """Return (2 assets,): jumps' share of each variance, and the common share of the jumps'."""
    law = _unpack(packed, size)
    common = law.rate * (law.centre**2 + law.deviation**2)
    own = law.rates * law.deviations**2 if law.own else np.zeros(size)
    diffusion = np.diag(law.root @ law.root.T)
    return np.concatenate([(common + own) / (common + own + diffusion), common / (common + own)])


def _described(
    sample: Sample, unit: Floats, returns: Floats, law: _Law, cases: _Cases
) -> tuple[dict[str, Any], dict[str, Any]]:
    size, packed = len(sample.assets), _pack(law)
    part = returns[-_MOST_BARS:]
    covariance = covariance_from_score(
        lambda at: _value_and_gradient(at, part, cases)[1],
        packed,
        np.full(len(packed), 1.0) * 2 / np.sqrt(len(part)),
    ) * (len(part) / len(returns))
    step = 1e-5
    slopes = np.stack(
        [
            (_shares(packed + move, size) - _shares(packed - move, size)) / (2 * step)
            for move in step * np.eye(len(packed))
        ],
        axis=1,
    )
    shares = _shares(packed, size)
    wide = np.sqrt(np.maximum(np.einsum("ij,jk,ik->i", slopes, covariance, slopes), 0.0))
    # exposures are sample volatilities: what goes by their square has their error, too
    kurtosis = ((returns - returns.mean(axis=0)) ** 4).mean(axis=0)
    exposed = 2 * shares[:size] * np.sqrt((kurtosis - 1) / (4 * len(returns)))
    wide[:size] = np.hypot(wide[:size], exposed)
    # beyond a factor e^2 an error only says that nothing is known
    spread = np.minimum(np.sqrt(np.maximum(np.diag(covariance), 0.0)), 2.0)
    at = size + size * (size + 1) // 2
    mean = float(unit.mean())
    errors: dict[str, Any] = {
        "common": {
            "rate": float(law.rate / sample.years * spread[at]),
            "mean": float(mean * spread[at + 1]),
            "deviation": float(law.deviation * mean * spread[at + 2]),
        }
    }
    if law.own:
        own = spread[at + 3 :]
        errors["own"] = {
            asset: {
                "rate": float(law.rates[row] / sample.years * own[row]),
                "deviation": float(law.deviations[row] * unit[row] * own[size + row]),
            }
            for row, asset in enumerate(sample.assets)
        }
    more = {
        "jump_share": by_asset(sample.assets, shares[:size]),
        "jump_share_standard_error": by_asset(sample.assets, wide[:size]),
        "common_share": by_asset(sample.assets, shares[size:]),
        "common_share_standard_error": by_asset(sample.assets, wide[size:]),
    }
    return errors, more


def _notes(sample: Sample, law: _Law) -> tuple[str, ...]:
    notes = [
        f"bars of {sample.interval} do not tell rate and size of jumps apart: what is known is the"
        " jumps' share of the variance and the common share of it (jump_share, common_share)"
    ]
    if not law.own:
        notes.append("one asset: its jumps are all called common")
    bound = [
        asset
        for asset, rate in zip(sample.assets, law.rates, strict=True)
        if law.own and rate > 0.99 * _MOST_RATE
    ]
    if law.rate > 0.99 * _MOST_RATE:
        bound.append("the market")
    if bound:
        notes.append(
            f"jumps of {', '.join(bound)} come at the most that is looked at, {_MOST_RATE} a bar:"
            " they stand for the law of every bar, not for jumps"
        )
    return tuple(notes)
