"""A price model that another distribution registers: loaded, built from the market's numbers."""

from __future__ import annotations

from typing import Any

from stress.errors import InputError
from stress.market import Constant, ModelSource
from stress.market.registered import Numbers
from stress.runner.clock import Clock
from stress.scenario.build import asset_array, correlation_matrix
from stress.scenario.registered import GROUP, registered_model
from stress.scenario.schema import Market

__all__ = ["registered_source"]

_MODEL = ("assets", "covariance_root", "init", "step")
"""What every price model has."""


def registered_source(market: Market, clock: Clock) -> ModelSource:
    """Return the source of a registered model.

    Raises
    ------
    InputError
        It cannot be imported, refuses its parameters, or gives no price model of these assets.
    """
    built = _built(market.model, _numbers(market, clock))
    if isinstance(built, ModelSource):
        return built
    absent = [name for name in _MODEL if not hasattr(built, name)]
    if absent:
        rule = f"gives an object of type {type(built).__name__} without {absent[0]}"
        raise _fault(market.model, rule)
    if built.assets != len(market.assets):
        rule = f"gives a model of {built.assets} assets, the market has {len(market.assets)}"
        raise _fault(market.model, rule)
    return Constant(built)


def _built(name: str, numbers: Numbers) -> Any:
    point = registered_model(name)
    if point is None:
        raise _fault(name, f"is registered no more (entry points {GROUP})")
    try:
        build = point.load()
    except (ImportError, AttributeError) as error:
        raise _fault(name, f"cannot be imported from {point.value}: {error}") from error
    try:
        return build(numbers)
    except (ValueError, KeyError) as error:
        text = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise InputError(
            f'model "{name}" refuses them: {text}',
            key="market.parameters",
            remedy="see the documentation of the distribution that registers it",
        ) from error


def _fault(name: str, rule: str) -> InputError:
    remedy = "correct the distribution that registers it, or choose another model"
    return InputError(f'"{name}" {rule}', key="market.model", remedy=remedy)


def _numbers(market: Market, clock: Clock) -> Numbers:
    price, volatility, drift = (
        asset_array(values, market.assets)
        for values in (market.price, market.volatility, market.drift)
    )
    return Numbers(
        assets=market.assets,
        price=price,
        volatility=volatility,
        drift=drift,
        correlation=correlation_matrix(market.correlation),
        step_years=clock.step_years,
        steps=clock.steps,
        precision=clock.precision,
        parameters=market.parameters,
    )
