"""From the market of a scenario to its price model: names become arrays, one builder a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypedDict

import numpy as np

from stress.data.given import open_given
from stress.data.prices import PriceHistory
from stress.errors import InputError
from stress.market import Constant, ModelSource
from stress.market.garch import Garch
from stress.market.gbm import GeometricBrownianMotion
from stress.market.given import GivenSource
from stress.market.jump_diffusion import (
    DoubleExponentialSizes,
    JumpDiffusion,
    JumpSizes,
    NormalSizes,
)
from stress.market.regime import RegimeSwitching
from stress.market.skewed_t import SkewedT
from stress.market.student_t import StudentT
from stress.runner.clock import Clock
from stress.runner.registered import registered_source
from stress.runner.resampling import resampling_source
from stress.scenario.build import asset_array, correlation_matrix
from stress.scenario.durations import YEAR_SECONDS, duration_seconds
from stress.scenario.models import Jumps
from stress.scenario.schema import Market
from stress.types import RESAMPLING, Floats, Precision

__all__ = ["Clock", "bar_steps", "market_source"]


def market_source(market: Market, clock: Clock, history: PriceHistory | None = None) -> ModelSource:
    """Return what gives each block of paths its price model, without overlays.

    Parameters
    ----------
    market
        Complete, as ``load_scenario`` leaves it.
    clock
        The time grid.
    history
        What a model that draws from one draws from, instead of the file that it names.

    Raises
    ------
    InputError
        If a file that the model reads cannot be used, or its parameters contradict each other.
    """
    if market.model in RESAMPLING:
        return resampling_source(market, clock, history)
    return _BUILDERS.get(market.model, registered_source)(market, clock)


def bar_steps(market: Market, clock: Clock) -> int:
    """Return how many steps the interval of the market's model has.

    Raises
    ------
    InputError
        They are no whole number, or the interval is shorter than a step.
    """
    interval = market.table.interval  # type: ignore[union-attr]
    step_seconds = clock.step_years * YEAR_SECONDS
    count = float(duration_seconds(interval)) / step_seconds
    steps = round(count)
    # a step comes as a rounded number of years
    if steps >= 1 and abs(count - steps) < 1e-9 * steps:
        return steps
    remedy = f"state an interval that is a multiple of {step_seconds:.12g} s"
    if count > 1:
        remedy = f"change simulation.step, or {remedy}"
    raise InputError(
        f'must be a whole number of steps, got "{interval}", which is {count:.6g} steps',
        key=f"market.{market.model}.interval",
        remedy=remedy,
    )


class _Shared(TypedDict):
    """What the builders of all models ask for, by the names of their parameters."""

    volatility: Floats
    drift: Floats
    correlation: Floats
    step_years: float
    precision: Precision


def _shared(market: Market, clock: Clock) -> _Shared:
    return {
        "volatility": asset_array(market.volatility, market.assets),
        "drift": asset_array(market.drift, market.assets),
        "correlation": correlation_matrix(market.correlation),
        "step_years": clock.step_years,
        "precision": clock.precision,
    }


def _gbm(market: Market, clock: Clock) -> ModelSource:
    return Constant(GeometricBrownianMotion.build(**_shared(market, clock)))


def _given(market: Market, clock: Clock) -> ModelSource:
    assert market.file is not None  # the scenario's checks
    price = asset_array(market.price, market.assets)
    file = open_given(
        market.file,
        assets=market.assets,
        price=price,
        steps=clock.steps,
        step_days=365.0 * clock.step_years,
        paths=clock.paths,
    )
    return GivenSource(file.read, price, clock.precision)


def _garch(market: Market, clock: Clock) -> ModelSource:
    table = market.garch
    assert table is not None  # complete
    model = Garch.build(
        **_shared(market, clock),
        bar_steps=bar_steps(market, clock),
        degrees_of_freedom=table.degrees_of_freedom,
        alpha=asset_array(table.alpha, market.assets),
        gamma=asset_array(table.gamma, market.assets),
        beta=asset_array(table.beta, market.assets),
        initial_volatility=asset_array(table.initial_volatility, market.assets),
    )
    return Constant(model)


def _regime(market: Market, clock: Clock) -> ModelSource:
    table = market.regime
    assert table is not None  # complete
    model = RegimeSwitching.build(
        **_shared(market, clock),
        bar_steps=bar_steps(market, clock),
        volatilities=np.array(
            [asset_array(state.volatility, market.assets) for state in table.states]
        ),
        correlations=[
            correlation_matrix(state.correlation or market.correlation) for state in table.states
        ],
        transition=np.array(table.transition, dtype=np.float64),
        initial=np.array(table.initial, dtype=np.float64),
    )
    return Constant(model)


def _student_t(market: Market, clock: Clock) -> ModelSource:
    table = market.student_t
    assert table is not None  # complete
    model = StudentT.build(
        **_shared(market, clock),
        degrees_of_freedom=table.degrees_of_freedom,
        bar_steps=bar_steps(market, clock),
    )
    return Constant(model)


def _skewed_t(market: Market, clock: Clock) -> ModelSource:
    table = market.skewed_t
    assert table is not None  # complete
    steps = bar_steps(market, clock)
    try:
        model = SkewedT.build(
            **_shared(market, clock),
            degrees_of_freedom=table.degrees_of_freedom,
            skewness=asset_array(table.skewness, market.assets),
            bar_steps=steps,
        )
    except ValueError as problem:
        raise InputError(str(problem), key="market.skewed-t.skewness") from problem
    return Constant(model)


def _jump_diffusion(market: Market, clock: Clock) -> ModelSource:
    table = market.jump_diffusion
    assert table is not None  # complete
    assert table.common is not None
    processes = [table.common, *(table.own[asset] for asset in market.assets)]
    sizes = _merton(processes) if table.sizes == "merton" else _kou(processes)
    try:
        model = JumpDiffusion.build(
            **_shared(market, clock),
            rate=_of_all(processes, "rate"),
            exposure=asset_array(table.exposure, market.assets),
            sizes=sizes,
        )
    except ValueError as problem:
        raise InputError(str(problem), key="market.jump-diffusion") from problem
    return Constant(model)


def _merton(processes: Sequence[Jumps]) -> JumpSizes:
    return NormalSizes(_of_all(processes, "mean"), _of_all(processes, "deviation"))


def _kou(processes: Sequence[Jumps]) -> JumpSizes:
    return DoubleExponentialSizes(
        _of_all(processes, "up_probability"),
        _of_all(processes, "up_mean"),
        _of_all(processes, "down_mean"),
    )


def _of_all(processes: Sequence[Jumps], key: str) -> Floats:
    """Return (processes,) a number of the law of the sizes."""
    return np.array([getattr(jumps, key) for jumps in processes], dtype=np.float64)


_BUILDERS: Mapping[str, Callable[[Market, Clock], ModelSource]] = {
    **dict.fromkeys(RESAMPLING, resampling_source),
    "gbm": _gbm,
    "garch": _garch,
    "given": _given,
    "jump-diffusion": _jump_diffusion,
    "regime": _regime,
    "skewed-t": _skewed_t,
    "student-t": _student_t,
}
"""One row a model of the project. A builder reads ``market.table``, which is complete."""
