"""Markov switching between multivariate normal laws of one mean, by the EM algorithm.

Filter: Hamilton, "A new approach to the economic analysis of nonstationary time series and the
business cycle", Econometrica 57 (1989); smoothing and EM: Rabiner, Proceedings of the IEEE 77
(1989). The likelihood has many maxima: EM starts from a few, and the highest one is kept. States
are sorted by volatility. Standard errors are from the observed information: the gradient of the
log-likelihood is the mean of the complete one (Fisher's identity), and is differenced.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stress.calibrate.sample import (
    Estimate,
    Parameters,
    Sample,
    by_asset,
    covariance_from_score,
    normal_log_density,
)
from stress.types import Floats

__all__ = ["filtered_probabilities", "fit_regime", "log_score", "stationary"]

_STARTS, _FIRST_ROUNDS = 4, 15
"""Starting points of EM, and rounds that each is given before the best one goes on alone."""

_MOST_ROUNDS, _SETTLED = 500, 1e-8
"""EM rounds, and the gain in log-likelihood a bar at which they end."""

_MOST_BARS = 6000
"""Bars that the information is taken from: of a longer history the last ones, scaled to it all."""

_LEAST_BARS = 3
"""Bars a state must have for every asset: fewer do not make a covariance."""


@dataclass(frozen=True)
class _Chain:
    """Mean (assets,), covariances (states, assets, assets), transition (states, states)."""

    mean: Floats
    covariances: Floats
    transition: Floats

    @property
    def states(self) -> int:
        return len(self.transition)


def filtered_probabilities(
    returns: Floats,
    mean: Floats,
    covariances: Floats,
    transition: Floats,
    initial: Floats | None = None,
) -> Floats:
    """Return how probable each regime is in each bar given the bars before it.

    Parameters
    ----------
    returns
        (bars, assets) log returns of consecutive bars. A bar with a NaN says nothing.
    mean
        (assets,) of a bar.
    covariances
        (states, assets, assets) of a bar.
    transition
        (states, states), one row a present regime.
    initial
        (states,) probabilities in the first bar; stationary if not given.

    Returns
    -------
    predicted
        (bars + 1, states), the last row of the next bar.
    """
    chain = _Chain(mean, covariances, transition)
    predicted, _, _ = _forward(_log_densities(returns, chain), chain, initial)
    return predicted


def stationary(transition: Floats) -> Floats:
    """Return the (states,) stationary probabilities of a chain."""
    size = len(transition)
    equations = np.vstack([transition.T - np.eye(size), np.ones(size)])
    found = np.linalg.lstsq(equations, np.append(np.zeros(size), 1.0), rcond=None)[0]
    clipped = np.clip(found, 0.0, 1.0)
    return clipped / clipped.sum()


def fit_regime(sample: Sample, states: int = 2, seed: int = 0) -> Estimate:
    """Estimate regimes from the common returns.

    Parameters
    ----------
    states
        How many regimes.
    seed
        Of the starting points.
    """
    unit = sample.common.std(axis=0)
    returns = sample.common / unit
    chain = _likeliest(returns, states, np.random.default_rng(seed))
    covariance = _covariance(returns, chain)
    predicted, _, scores = _forward(_log_densities(returns, chain), chain, None)
    table, errors = _described(sample, unit, chain, covariance, predicted[-1])
    size = len(sample.assets)
    return Estimate(
        table=table,
        standard_errors=errors,
        parameters=_parameters(sample, unit, chain, table),
        scores=scores - np.log(unit).sum(),
        count=size + states * size * (size + 1) // 2 + states * (states - 1),
        notes=_notes(table, chain),
    )


def log_score(returns: Floats, parameters: Parameters, *, going_on: bool = False) -> Floats:
    """Return each bar's log density given the bars before it, (bars,).

    Parameters
    ----------
    returns
        (bars, assets) log returns of consecutive bars.
    going_on
        Whether they follow on the history of the estimate, so that ``initial`` holds for the first
        bar; else the stationary probabilities do.
    """
    deviations = np.array(
        [
            [state["volatility"][asset] for asset in parameters.assets]
            for state in parameters.table["states"]
        ]
    ) * np.sqrt(parameters.years)
    correlations = np.array([state["correlation"] for state in parameters.table["states"]])
    covariances = correlations * deviations[:, :, None] * deviations[:, None, :]
    transition = np.array(parameters.table["transition"])
    chain = _Chain(parameters.mean, covariances, transition)
    initial = np.array(parameters.table["initial"]) if going_on else None
    _, _, scores = _forward(_log_densities(returns, chain), chain, initial)
    return scores


def _log_densities(returns: Floats, chain: _Chain) -> Floats:
    """Return (bars, states); 0 in a bar with a NaN."""
    known: NDArray[np.bool_] = np.asarray(np.isfinite(returns).all(axis=1))
    centred = np.where(known[:, None], returns - chain.mean, 0.0)
    densities = [normal_log_density(centred, covariance) for covariance in chain.covariances]
    return np.where(known[:, None], np.stack(densities, axis=1), 0.0)


def _forward(
    log_densities: Floats, chain: _Chain, initial: Floats | None
) -> tuple[Floats, Floats, Floats]:
    """Return predicted (bars + 1, states), filtered (bars, states) and scores (bars,)."""
    bars, states = log_densities.shape
    top = log_densities.max(axis=1)
    density = np.exp(log_densities - top[:, None])
    predicted, filtered = np.empty((bars + 1, states)), np.empty((bars, states))
    total = np.empty(bars)
    predicted[0] = stationary(chain.transition) if initial is None else initial
    for bar in range(bars):
        joint = predicted[bar] * density[bar]
        total[bar] = joint.sum()
        filtered[bar] = joint / total[bar]
        predicted[bar + 1] = filtered[bar] @ chain.transition
    return predicted, filtered, np.log(total) + top


def _smoothed(log_densities: Floats, chain: _Chain) -> tuple[Floats, Floats, float]:
    """Return smoothed probabilities (bars, states), moves (states, states), log-likelihood."""
    predicted, filtered, scores = _forward(log_densities, chain, None)
    smoothed = np.empty_like(filtered)
    smoothed[-1] = filtered[-1]
    back = chain.transition.T.copy()
    for bar in range(len(filtered) - 2, -1, -1):
        smoothed[bar] = filtered[bar] * ((smoothed[bar + 1] / predicted[bar + 1]) @ back)
    ahead = smoothed[1:] / predicted[1:-1]
    moves = chain.transition * (filtered[:-1].T @ ahead)
    return smoothed, moves, float(scores.sum())


def _likeliest(returns: Floats, states: int, generator: np.random.Generator) -> _Chain:
    best, best_value = None, -np.inf
    for _ in range(_STARTS):
        chain, value = _climb(returns, _start(returns, states, generator), _FIRST_ROUNDS)
        if value > best_value:
            best, best_value = chain, value
    assert best is not None
    chain, _ = _climb(returns, best, _MOST_ROUNDS)
    order = np.argsort([np.trace(covariance) for covariance in chain.covariances])
    return _Chain(chain.mean, chain.covariances[order], chain.transition[np.ix_(order, order)])


def _start(returns: Floats, states: int, generator: np.random.Generator) -> _Chain:
    """Covariances of the sample, shrunk and stretched, and regimes that last."""
    covariance = np.atleast_2d(np.cov(returns, rowvar=False))
    multiples = np.exp(np.sort(generator.uniform(-1.5, 1.5, states)))
    stay = generator.uniform(0.8, 0.98)
    transition = np.full((states, states), (1 - stay) / max(states - 1, 1))
    np.fill_diagonal(transition, stay if states > 1 else 1.0)
    return _Chain(returns.mean(axis=0), multiples[:, None, None] * covariance, transition)


def _climb(returns: Floats, chain: _Chain, rounds: int) -> tuple[_Chain, float]:
    value = -np.inf
    for _ in range(rounds):
        smoothed, moves, found = _smoothed(_log_densities(returns, chain), chain)
        if found - value < _SETTLED * len(returns):
            value = found
            break
        value = found
        chain = _improved(returns, chain, smoothed, moves)
    return chain, value


def _improved(returns: Floats, chain: _Chain, smoothed: Floats, moves: Floats) -> _Chain:
    """Return the chain after the maximising half of an EM round."""
    weights = smoothed.sum(axis=0)
    precisions = np.linalg.inv(chain.covariances)
    pulled = np.einsum("kij,kj->i", precisions, smoothed.T @ returns)
    mean = np.linalg.solve(np.einsum("k,kij->ij", weights, precisions), pulled)
    centred = returns - mean
    size = returns.shape[1]
    covariances = chain.covariances.copy()
    for state in range(chain.states):
        # a state that a handful of bars make would shrink onto them, where the density is infinite
        if weights[state] > _LEAST_BARS * size + 2:
            covariances[state] = (centred * smoothed[:, state, None]).T @ centred / weights[state]
    transition = np.maximum(moves, 1e-12)
    return _Chain(mean, covariances, transition / transition.sum(axis=1, keepdims=True))


def _apart(states: int) -> NDArray[np.bool_]:
    """Return where a transition matrix is off its diagonal, (states, states)."""
    return np.asarray(np.eye(states) == 0)


def _pack(chain: _Chain) -> Floats:
    corner = np.tril_indices(len(chain.mean))
    apart = _apart(chain.states)
    scatter = [covariance[corner] for covariance in chain.covariances]
    return np.concatenate([chain.mean, *scatter, chain.transition[apart]])


def _unpack(packed: Floats, like: _Chain) -> _Chain:
    size, states = len(like.mean), like.states
    corner = np.tril_indices(size)
    entries = len(corner[0])
    covariances = np.zeros((states, size, size))
    for state in range(states):
        lower = np.zeros((size, size))
        lower[corner] = packed[size + state * entries : size + (state + 1) * entries]
        covariances[state] = lower + np.tril(lower, -1).T
    transition = np.zeros((states, states))
    transition[_apart(states)] = packed[size + states * entries :]
    np.fill_diagonal(transition, 1 - transition.sum(axis=1))
    return _Chain(packed[:size], covariances, transition)


def _gradient(returns: Floats, chain: _Chain) -> Floats:
    """Return the gradient of the log-likelihood by ``_pack``'s parameters."""
    smoothed, moves, _ = _smoothed(_log_densities(returns, chain), chain)
    centred = returns - chain.mean
    corner = np.tril_indices(len(chain.mean))
    by_mean = np.zeros(len(chain.mean))
    slopes = []
    for state, covariance in enumerate(chain.covariances):
        precision = np.linalg.inv(covariance)
        weight = smoothed[:, state]
        by_mean += precision @ (weight @ centred)
        second = (centred * weight[:, None]).T @ centred
        slope = 0.5 * precision @ (second - weight.sum() * covariance) @ precision
        # an entry off the diagonal stands twice
        slopes.append((2 * slope - np.diag(np.diag(slope)))[corner])
    rates = moves / chain.transition
    by_transition = rates - np.diag(rates)[:, None]
    return np.concatenate([by_mean, *slopes, by_transition[_apart(chain.states)]])


def _covariance(returns: Floats, chain: _Chain) -> Floats:
    """Return the (parameters, parameters) covariance of ``_pack``'s parameters."""
    packed = _pack(chain)
    part = returns[-_MOST_BARS:]
    size, states = len(chain.mean), chain.states
    probable = stationary(chain.transition)
    bars = np.maximum(probable * len(part), 1.0)
    known = np.empty(len(packed))
    known[:size] = 1 / np.sqrt(len(part))
    corner = np.tril_indices(size)
    entries = len(corner[0])
    for state, covariance in enumerate(chain.covariances):
        spread = np.sqrt(np.diag(covariance))
        at = size + state * entries
        known[at : at + entries] = np.outer(spread, spread)[corner] / np.sqrt(bars[state])
    apart = _apart(states)
    odds = chain.transition[apart]
    rows = np.nonzero(apart)[0]
    known[size + states * entries :] = np.minimum(
        np.sqrt(odds * (1 - odds) / bars[rows]), 0.5 * np.minimum(odds, 1 - odds)
    )
    found = covariance_from_score(
        lambda at: _gradient(part, _unpack(at, chain)), packed, np.maximum(known, 1e-9)
    )
    return found * len(part) / len(returns)


def _described(
    sample: Sample, unit: Floats, chain: _Chain, covariance: Floats, ahead: Floats
) -> tuple[dict[str, Any], dict[str, Any]]:
    size, states = len(sample.assets), chain.states
    entries = size * (size + 1) // 2
    annual = unit / np.sqrt(sample.years)
    names = _names(states)
    described, errors = [], []
    for state, matrix in enumerate(chain.covariances):
        at = size + state * entries
        part = covariance[at : at + entries, at : at + entries]
        deviation = np.sqrt(np.diag(matrix))
        correlation = matrix / np.outer(deviation, deviation)
        np.fill_diagonal(correlation, 1.0)
        spread, apart = _errors_of(matrix, part)
        described.append(
            {
                "name": names[state],
                "volatility": by_asset(sample.assets, deviation * annual),
                "correlation": correlation.tolist(),
            }
        )
        errors.append(
            {
                "name": names[state],
                "volatility": by_asset(sample.assets, spread * annual),
                "correlation": apart.tolist(),
            }
        )
    moves = np.zeros((states, states))
    loose = covariance[size + states * entries :, size + states * entries :]
    moves[_apart(states)] = np.sqrt(np.diag(loose))
    # the probability to stay is one less the sum of a row's others
    for state in range(states):
        own = slice(state * (states - 1), (state + 1) * (states - 1))
        moves[state, state] = np.sqrt(max(float(loose[own, own].sum()), 0.0))
    table = {
        "interval": sample.interval,
        "states": described,
        "transition": chain.transition.tolist(),
        "initial": (ahead / ahead.sum()).tolist(),
    }
    return table, {"states": errors, "transition": moves.tolist()}


def _errors_of(matrix: Floats, covariance: Floats) -> tuple[Floats, Floats]:
    """Return the errors of a covariance's deviations (assets,) and correlations, by derivatives."""
    size = len(matrix)
    place = np.zeros((size, size), np.int64)
    corner = np.tril_indices(size)
    place[corner] = np.arange(len(corner[0]))
    deviation = np.sqrt(np.diag(matrix))
    spread = np.sqrt(covariance[np.diag(place), np.diag(place)]) / (2 * deviation)
    errors = np.zeros((size, size))
    for one in range(size):
        for other in range(one):
            correlation = matrix[one, other] / (deviation[one] * deviation[other])
            slope = np.array(
                [
                    1 / (deviation[one] * deviation[other]),
                    -correlation / (2 * matrix[one, one]),
                    -correlation / (2 * matrix[other, other]),
                ]
            )
            rows = [place[one, other], place[one, one], place[other, other]]
            variance = slope @ covariance[np.ix_(rows, rows)] @ slope
            errors[one, other] = errors[other, one] = np.sqrt(max(float(variance), 0.0))
    return spread, errors


def _names(states: int) -> list[str]:
    if states == 2:
        return ["calm", "stress"]
    return ["calm", *(f"middle-{number}" for number in range(1, states - 1)), "stress"]


def _parameters(sample: Sample, unit: Floats, chain: _Chain, table: dict[str, Any]) -> Parameters:
    probable = stationary(chain.transition)
    covariance = np.einsum("k,kij->ij", probable, chain.covariances)
    deviation = np.sqrt(np.diag(covariance))
    return Parameters(
        assets=sample.assets,
        mean=chain.mean * unit,
        deviation=deviation * unit,
        correlation=covariance / np.outer(deviation, deviation),
        years=sample.years,
        table=table,
    )


def _notes(table: dict[str, Any], chain: _Chain) -> tuple[str, ...]:
    notes = []
    for state, share in zip(table["states"], stationary(chain.transition), strict=True):
        if share < 0.02:
            notes.append(
                f"regime {state['name']} holds {share:.2%} of the time: what is said of it rests on"
                " few bars"
            )
    return tuple(notes)
