"""The models under test: estimated at a refit, their state carried on to every origin.

What a run would use is what is tested: the estimators of ``stress.calibrate``, the tables of the
scenario, the builders of ``stress.runner`` and the kernels of the engine. Parameters stay those of
the last refit; the volatility of ``garch`` and ``filtered-historical`` and the probabilities of
``regime`` are those of the origin, from the bars since.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import jax.numpy as jnp
import numpy as np

from stress.backtest.load import Task
from stress.backtest.plan import Plan, past
from stress.calibrate.filter import settled_constant
from stress.calibrate.fit import MODELS, Fitted, fit
from stress.calibrate.garch import filtered_variance
from stress.calibrate.regime import filtered_probabilities
from stress.calibrate.sample import by_asset
from stress.engine.block import Schedule
from stress.engine.paths import price_paths
from stress.errors import InputError
from stress.market import ModelSource
from stress.market.filtered_historical import FilteredHistorical
from stress.runner.clock import Clock
from stress.runner.market import market_source
from stress.runner.plan import time_block
from stress.runner.resampling import ResamplingSource
from stress.scenario.build import asset_array, correlation_matrix
from stress.scenario.fields import Table
from stress.scenario.market import complete_market
from stress.scenario.models import Garch as GarchTable
from stress.scenario.models import Jumps, merged
from stress.scenario.problems import validated
from stress.scenario.schema import Market
from stress.types import Floats, ModelName

__all__ = ["CONDITIONAL", "Forecaster", "estimate", "simulate"]

CONDITIONAL: tuple[ModelName, ...] = ("garch", "regime", "filtered-historical")
"""Models whose forecast depends on the bars since the last refit."""


_TRIALS, _LOWER = 20, 0.9
"""How often, and to what share, jump rates are lowered to make room for them."""

_LEAST = 1e-14
"""Least constant of a variance's recursion."""


@dataclass(frozen=True)
class Forecaster:
    """One model with the parameters of one refit.

    Attributes
    ----------
    market
        Complete, with what was estimated.
    row
        Last row of the history that it was estimated from.
    clock
        Of the simulation.
    mean
        (assets,) mean log return of a bar in that history.
    source
        What gives the price model at the refit.
    omega
        (assets,) constant by which a variance is carried on; None where none is.
    """

    market: Market
    row: int
    clock: Clock
    mean: Floats
    source: ModelSource
    omega: Floats | None = None

    def at(self, since: Floats) -> ModelSource:
        """Return the source of the model at an origin.

        Parameters
        ----------
        since
            (bars, assets) log returns since the refit, none at the refit itself.
        """
        update = _UPDATES.get(self.market.model)
        return self.source if update is None or not len(since) else update(self, since)


def estimate(
    task: Task, plan: Plan, row: int, model: ModelName, before: Forecaster | None = None
) -> Forecaster:
    """Estimate a model from what is known at the close of a row.

    Parameters
    ----------
    before
        An earlier estimate, for a model that is slow to estimate: volatility and correlation are
        new, its jumps are carried over in units of the volatility.

    Raises
    ------
    InputError
        The history does not allow it.
    """
    history = past(task.history, row, plan.lookback)
    clock = Clock(plan.step_years, plan.steps, task.table.paths, task.precision)
    returns = np.diff(np.log(history.close), axis=0)
    mean = returns.mean(axis=0)
    if before is not None:
        market, source = _carried(task, fit(history, ["gbm"]), clock, before)
        return Forecaster(market, row, clock, mean, source)
    # what all models share is enough for the one that is nothing but the history
    fitted = fit(history, [model if model in MODELS else "gbm"])
    market = _market(task, fitted, model, fitted.models.get(model, {}))
    source = market_source(market, clock, history)
    constant = _constant(market, source, returns - mean, clock)
    return Forecaster(market, row, clock, mean, source, constant)


def _constant(market: Market, source: ModelSource, centred: Floats, clock: Clock) -> Floats | None:
    """Return the (assets,) constant by which a model's variance is carried on, None without one.

    Of ``garch`` the one that ends where the estimate says the variance ends; of
    ``filtered-historical`` that of its filter (``stress.calibrate.filter``).
    """
    if market.filtered_historical is not None:
        return settled_constant(centred, *_filter_weights(source))
    table = market.garch
    if table is None:
        return None
    weights, nothing = _weights(market, table), np.zeros(centred.shape[1])
    # the variance is linear in the constant
    base = filtered_variance(centred, *weights, omega=nothing)[-1]
    unit = filtered_variance(centred, *weights, omega=nothing + 1.0)[-1] - base
    last = asset_array(table.initial_volatility, market.assets) ** 2 * clock.step_years
    return np.maximum((last - base) / unit, _LEAST)


def _weights(market: Market, table: GarchTable) -> tuple[Floats, Floats, Floats]:
    return (
        asset_array(table.alpha, market.assets),
        asset_array(table.gamma, market.assets),
        asset_array(table.beta, market.assets),
    )


def _filter_weights(source: ModelSource) -> tuple[Floats, Floats, Floats]:
    """Return alpha, gamma and beta as the filter has them: beta may have been lowered."""
    model = _filtered_model(source)
    alpha, gamma, beta = (
        np.asarray(each, np.float64) for each in (model.alpha, model.gamma, model.beta)
    )
    return alpha, gamma, beta


def _filtered_model(source: ModelSource) -> FilteredHistorical:
    assert isinstance(source, ResamplingSource)
    assert isinstance(source.model, FilteredHistorical)
    return source.model


def _carried(
    task: Task, fitted: Fitted, clock: Clock, before: Forecaster
) -> tuple[Market, ModelSource]:
    """Return a jump diffusion of today's volatility and correlation with the jumps of before.

    Where the new correlation leaves them no room, their rates are lowered until it does.
    """
    old, table = before.market, before.market.jump_diffusion
    assert table is not None
    assert table.common is not None
    now = by_asset(old.assets, fitted.volatility)
    growth = {asset: now[asset] / old.volatility[asset] for asset in old.assets}
    mean = float(np.mean(list(now.values())) / np.mean([old.volatility[a] for a in old.assets]))
    for trial in range(_TRIALS):
        less = _LOWER**trial
        numbers = {
            "sizes": table.sizes,
            "common": _grown(table.common, mean, less),
            "own": {asset: _grown(table.own[asset], growth[asset], less) for asset in old.assets},
        }
        market = _market(task, fitted, "jump-diffusion", numbers)
        try:
            return market, market_source(market, clock)
        except InputError:
            if trial == _TRIALS - 1:
                raise
    raise AssertionError


def _grown(jumps: Jumps, size: float, rate: float) -> dict[str, Any]:
    """Return jumps with other sizes and another rate."""
    stated = jumps.model_dump(exclude_none=True)
    factors = {key: 1.0 if key == "up_probability" else size for key in stated} | {"rate": rate}
    return {key: factors[key] * value for key, value in stated.items()}


def simulate(source: ModelSource, task: Task, plan: Plan, first: int) -> Floats:
    """Return (paths, bars + 1, assets) prices over those at the origin, time 0 included.

    Path numbers begin at ``first`` and wrap around, so that every origin has paths of its own.
    Historical windows are as many as there are, whatever ``backtest.paths`` says.
    """
    schedule = Schedule(
        steps=plan.steps,
        block=time_block(plan.steps),
        monitoring="step",
        precision=task.precision,
    )
    dtype = jnp.dtype(task.precision)
    price, seed = jnp.ones(len(task.assets), dtype), jnp.asarray(task.seed, jnp.uint32)
    paths = task.table.paths
    total = paths
    if isinstance(source, ResamplingSource) and source.windows is not None:
        total, first = len(source.windows.first), 0
    parts = []
    for begin in range(0, total, paths):
        numbers = ((first + begin + np.arange(paths)) % 2**32).astype(np.uint32)
        found = price_paths(source.block(numbers), price, seed, numbers, schedule=schedule)
        parts.append(np.asarray(found)[: total - begin])
    return np.concatenate(parts) if len(parts) > 1 else parts[0]


def _market(task: Task, fitted: Fitted, model: ModelName, estimated: Mapping[str, Any]) -> Market:
    """Return the complete market of one model; what the scenario states of it wins."""
    stated = task.market
    own: Mapping[str, Any] = {}
    if model == stated.model and stated.table is not None:
        own = stated.table.model_dump(exclude_unset=True)
    table = merged(own, estimated)
    raw: dict[str, Any] = {
        "model": model,
        "assets": stated.assets,
        "price": by_asset(stated.assets, fitted.price),
        "volatility": by_asset(stated.assets, fitted.volatility),
        "correlation": tuple(tuple(map(float, row)) for row in fitted.correlation),
        "drift": stated.drift,
    }
    if model != "gbm":
        raw[model] = table
    return complete_market(validated(Market, raw, None), None, None)


def _with(market: Market, **update: Any) -> Market:
    """Return the market with other entries in the table of its model."""
    table = market.table
    assert isinstance(table, Table)
    name = market.model.replace("-", "_")
    return market.model_copy(update={name: table.model_copy(update=update)})


def _garch(one: Forecaster, since: Floats) -> ModelSource:
    market, table = one.market, one.market.garch
    assert table is not None
    years = one.clock.step_years
    variance = filtered_variance(
        since - one.mean,
        *_weights(market, table),
        omega=one.omega,
        start=asset_array(table.initial_volatility, market.assets) ** 2 * years,
    )[-1]
    now = by_asset(market.assets, np.sqrt(variance / years))
    return market_source(_with(market, initial_volatility=now), one.clock)


def _filtered_historical(one: Forecaster, since: Floats) -> ModelSource:
    model = _filtered_model(one.source)
    variance = filtered_variance(
        since - one.mean,
        *_filter_weights(one.source),
        omega=one.omega,
        start=np.asarray(model.initial, np.float64),
    )[-1]
    # the rows that are drawn from stay those of the refit, so that no kernel is compiled again
    now = replace(model, initial=jnp.asarray(variance, model.initial.dtype))
    assert isinstance(one.source, ResamplingSource)
    return replace(one.source, model=now)


def _regime(one: Forecaster, since: Floats) -> ModelSource:
    market, table = one.market, one.market.regime
    assert table is not None
    years = one.clock.step_years
    deviations = [
        asset_array(state.volatility, market.assets) * np.sqrt(years) for state in table.states
    ]
    matrices = [
        correlation_matrix(state.correlation or market.correlation) for state in table.states
    ]
    covariances = np.array(
        [
            matrix * np.outer(deviation, deviation)
            for matrix, deviation in zip(matrices, deviations, strict=True)
        ]
    )
    predicted = filtered_probabilities(
        since, one.mean, covariances, np.array(table.transition), np.array(table.initial)
    )[-1]
    return market_source(_with(market, initial=tuple(map(float, predicted))), one.clock)


_UPDATES: Mapping[str, Callable[[Forecaster, Floats], ModelSource]] = {
    "garch": _garch,
    "regime": _regime,
    "filtered-historical": _filtered_historical,
}
