"""From the market of a scenario to its price model: names become arrays, one builder a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from stress.data.given import open_given
from stress.market import Constant, ModelSource
from stress.market.gbm import GeometricBrownianMotion
from stress.market.given import GivenSource
from stress.scenario.build import correlation_matrix
from stress.scenario.schema import Market
from stress.types import Floats, ModelName, Precision

__all__ = ["Clock", "market_source"]


@dataclass(frozen=True)
class Clock:
    """The time grid that a market is simulated on, and in which precision.

    Attributes
    ----------
    step_years
        Length of a step in years of 365 days.
    steps
        Number of steps.
    paths
        Number of paths; only given paths are refused for want of them.
    precision
        Floating point type of the paths.
    """

    step_years: float
    steps: int
    paths: int
    precision: Precision


def market_source(market: Market, clock: Clock) -> ModelSource:
    """Return what gives each block of paths its price model, without overlays.

    Parameters
    ----------
    market
        Complete, as ``load_scenario`` leaves it.
    clock
        The time grid.

    Raises
    ------
    InputError
        If a file that the model reads cannot be used, or its parameters contradict each other.
    """
    return _BUILDERS[market.model](market, clock)


def _array(values: Mapping[str, float], market: Market) -> Floats:
    return np.array([values[asset] for asset in market.assets], dtype=np.float64)


def _gbm(market: Market, clock: Clock) -> ModelSource:
    model = GeometricBrownianMotion.build(
        volatility=_array(market.volatility, market),
        drift=_array(market.drift, market),
        correlation=correlation_matrix(market.correlation),
        step_years=clock.step_years,
        precision=clock.precision,
    )
    return Constant(model)


def _given(market: Market, clock: Clock) -> ModelSource:
    assert market.file is not None  # the scenario's checks
    price = _array(market.price, market)
    file = open_given(
        market.file,
        assets=market.assets,
        price=price,
        steps=clock.steps,
        step_days=365.0 * clock.step_years,
        paths=clock.paths,
    )
    return GivenSource(file.read, price, clock.precision)


_BUILDERS: Mapping[ModelName, Callable[[Market, Clock], ModelSource]] = {
    "gbm": _gbm,
    "given": _given,
}
"""One row a model. A builder reads ``market.table``, which is complete."""
