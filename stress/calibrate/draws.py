"""Parameters as likely as the estimated ones: one draw of all of them from their standard errors.

Positive numbers are drawn log-normally, probabilities on the logit scale, others normally, each
with the estimate as its median and each by itself: what errors have in common is not kept in the
file, so that combinations which are known better than their parts (alpha + beta, rate times squared
size) spread more than the history says. Correlations are drawn from a Wishart law with the
calibration's effective number of observations. What has no standard error stays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from stress.calibrate.regime import stationary
from stress.calibrate.room import with_room
from stress.calibrate.sample import Parameters
from stress.types import Floats

__all__ = ["Drawn", "drawn", "drawn_correlation"]

_Table = Mapping[str, Any]

_WIDEST = 1.5
"""Most standard deviation of a log or logit: a factor of 4.5 either way is no knowledge at all."""

_MOST_PERSISTENCE = 0.999
_MOST_FREEDOM = 200.0


@dataclass(frozen=True)
class Drawn:
    """One draw: volatility (assets,), correlation (assets, assets) and the model's own table."""

    volatility: Floats
    correlation: Floats
    table: dict[str, Any]


def drawn(
    model: str,
    assets: tuple[str, ...],
    table: _Table,
    standard_errors: _Table,
    *,
    volatility: Floats,
    volatility_error: Floats,
    correlation: Floats,
    observations: float,
    generator: np.random.Generator,
) -> Drawn:
    """Return one draw of all parameters of a model.

    Parameters
    ----------
    model, assets
        Its name, and the assets in the order of the arrays.
    table, standard_errors
        Its own numbers and their errors, with the keys of the scenario's table; values by asset may
        hold other assets, too. What the errors lack is not drawn.
    volatility, volatility_error
        (assets,) annual.
    correlation
        (assets, assets) positive definite.
    observations
        Effective number of observations of the correlation; infinity leaves it as it is.
    """
    width = np.minimum(volatility_error / volatility, _WIDEST)
    total = volatility * np.exp(width * generator.standard_normal(len(assets)))
    whole = drawn_correlation(correlation, observations, generator)
    own = dict(table)
    draw = _DRAWS.get(model)
    if draw is not None and standard_errors:
        own = draw(own, standard_errors, generator)
        if model == "regime":
            _draw_correlations(own, observations, generator)
    parameters = Parameters(
        assets=assets,
        mean=np.zeros(len(assets)),
        deviation=total,
        correlation=whole,
        # a year, for the volatilities are annual
        years=1.0,
        table=own,
    )
    return Drawn(total, whole, dict(with_room(model, parameters)[0].table))


def drawn_correlation(
    correlation: Floats, observations: float, generator: np.random.Generator
) -> Floats:
    """Return the correlation of a sample of normal vectors, by Bartlett's decomposition.

    Parameters
    ----------
    observations
        How many vectors; need not be whole, and at least two more than assets are taken.
    """
    size = len(correlation)
    if size == 1 or not np.isfinite(observations):
        return correlation
    freedom = max(observations, size + 2.0)
    lower = np.tril(generator.standard_normal((size, size)), -1)
    lower[np.diag_indices(size)] = np.sqrt(generator.chisquare(freedom - np.arange(size)))
    root = np.linalg.cholesky(correlation) @ lower
    sample = root @ root.T
    spread = np.sqrt(np.diag(sample))
    found = sample / np.outer(spread, spread)
    found = (found + found.T) / 2
    np.fill_diagonal(found, 1.0)
    return found


def _positive(value: float, error: float, generator: np.random.Generator) -> float:
    if value <= 0:
        return value
    return float(value * np.exp(min(error / value, _WIDEST) * generator.standard_normal()))


def _probability(value: float, error: float, generator: np.random.Generator) -> float:
    if not 0 < value < 1:
        return value
    width = min(error / (value * (1 - value)), _WIDEST)
    logit = np.log(value / (1 - value)) + width * generator.standard_normal()
    return float(1 / (1 + np.exp(-logit)))


def _any(value: float, error: float, generator: np.random.Generator) -> float:
    return float(value + error * generator.standard_normal())


def _freedom(least: float) -> Callable[[float, float, np.random.Generator], float]:
    def draw(value: float, error: float, generator: np.random.Generator) -> float:
        above = _positive(value - least, error, generator)
        # the estimate itself may be beyond: normal returns have no degrees of freedom
        return float(min(least + max(above, 0.01), max(_MOST_FREEDOM, value)))

    return draw


def _entries(
    table: _Table,
    errors: _Table,
    how: Mapping[str, Callable[[float, float, np.random.Generator], float]],
    generator: np.random.Generator,
) -> dict[str, Any]:
    """Return a table with its numbers, alone or by asset, drawn where an error is given."""
    found = dict(table)
    for key, draw in how.items():
        if key not in errors or table.get(key) is None:
            continue
        if isinstance(table[key], Mapping):
            found[key] = {
                asset: draw(value, errors[key][asset], generator) if asset in errors[key] else value
                for asset, value in table[key].items()
            }
        else:
            found[key] = draw(table[key], errors[key], generator)
    return found


def _student_t(table: _Table, errors: _Table, generator: np.random.Generator) -> dict[str, Any]:
    return _entries(table, errors, {"degrees_of_freedom": _freedom(2.0)}, generator)


def _skewed_t(table: _Table, errors: _Table, generator: np.random.Generator) -> dict[str, Any]:
    how = {"degrees_of_freedom": _freedom(4.0), "skewness": _any}
    return _entries(table, errors, how, generator)


def _jump_diffusion(
    table: _Table, errors: _Table, generator: np.random.Generator
) -> dict[str, Any]:
    how = {"rate": _positive, "mean": _any, "deviation": _positive}
    found = dict(table)
    if table.get("common") and "common" in errors:
        found["common"] = _entries(table["common"], errors["common"], how, generator)
    own = errors.get("own", {})
    found["own"] = {
        asset: _entries(jumps, own.get(asset, {}), how, generator)
        for asset, jumps in table["own"].items()
    }
    return found


def _garch(table: _Table, errors: _Table, generator: np.random.Generator) -> dict[str, Any]:
    how = {
        "degrees_of_freedom": _freedom(2.0),
        "alpha": _positive,
        "gamma": _any,
        "beta": _probability,
    }
    found = _entries(table, errors, how, generator)
    for asset in found["alpha"]:
        alpha, beta = found["alpha"][asset], found["beta"][asset]
        gamma = max(found["gamma"][asset], -alpha)
        news = alpha + gamma / 2
        # news alone may be too much of a draw: then there is no room for memory at all
        share = min(1.0, _MOST_PERSISTENCE / news) if news > 0 else 1.0
        found["alpha"][asset], found["gamma"][asset] = share * alpha, share * gamma
        found["beta"][asset] = min(beta, max(_MOST_PERSISTENCE - share * news, 0.0))
    return found


def _regime(table: _Table, errors: _Table, generator: np.random.Generator) -> dict[str, Any]:
    found = dict(table)
    found["states"] = [
        _entries(state, wide, {"volatility": _positive}, generator)
        for state, wide in zip(table["states"], errors["states"], strict=True)
    ]
    if "transition" in errors:
        found["transition"] = _moves(table["transition"], errors["transition"], generator)
    return found


def _moves(transition: Any, errors: Any, generator: np.random.Generator) -> list[list[float]]:
    moves = np.array(
        [
            [_probability(value, error, generator) for value, error in zip(row, wide, strict=True)]
            for row, wide in zip(transition, errors, strict=True)
        ]
    )
    np.fill_diagonal(moves, 0.0)
    leaving = moves.sum(axis=1, keepdims=True)
    moves /= np.maximum(leaving / _MOST_PERSISTENCE, 1.0)
    np.fill_diagonal(moves, 1 - moves.sum(axis=1))
    return [[float(value) for value in row] for row in moves]


def _draw_correlations(
    table: dict[str, Any], observations: float, generator: np.random.Generator
) -> None:
    """Draw each regime's correlation from the bars that it has, in place."""
    shares = stationary(np.array(table["transition"]))
    for state, share in zip(table["states"], shares, strict=True):
        if state.get("correlation"):
            matrix = drawn_correlation(
                np.array(state["correlation"]), share * observations, generator
            )
            state["correlation"] = [[float(value) for value in row] for row in matrix]


_DRAWS: Mapping[str, Callable[[_Table, _Table, np.random.Generator], dict[str, Any]]] = {
    "student-t": _student_t,
    "skewed-t": _skewed_t,
    "jump-diffusion": _jump_diffusion,
    "garch": _garch,
    "regime": _regime,
    "filtered-historical": _garch,
}
