"""Rules of the tables ``market.<model>`` of the price models' parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import isfinite
from os import PathLike
from typing import Any, TypeAlias, get_args

from stress.data.tables import suggestion
from stress.errors import InputError, ending
from stress.scenario.durations import duration_seconds
from stress.scenario.fields import Table
from stress.scenario.matrices import check_correlation
from stress.scenario.models import (
    MODEL_TABLES,
    Garch,
    Historical,
    JumpDiffusion,
    Jumps,
    Regime,
    RegimeState,
    by_asset,
)
from stress.scenario.problems import shown, validated
from stress.scenario.schema import Calibration, Market, Scenario
from stress.types import ModelName

__all__ = ["check_estimates", "check_model", "check_model_assets"]

_SLACK = 1e-6
"""What the printing of probabilities in a file may cost their sum."""

_KEYS: Mapping[str, tuple[str, ...]] = {
    "merton": ("mean", "deviation"),
    "kou": ("up_probability", "up_mean", "down_mean"),
}
"""What a law of jump sizes reads besides the rate."""

File: TypeAlias = str | PathLike[str] | None


def check_model_assets(market: Market, file: File) -> None:
    """Refuse a table of the model that names an asset the market does not have."""
    if market.table is not None:
        _check_assets(market.table, f"market.{market.model}", market.assets, file)


def check_estimates(calibration: Calibration, file: File) -> None:
    """Refuse estimates of a calibration that are no table of their model."""
    for name, estimates in calibration.models.items():
        model, key = MODEL_TABLES.get(name), f"models.{name}"
        if model is None:
            raise InputError(
                "no model has such a table",
                file=file,
                key=key,
                remedy=suggestion(name, list(MODEL_TABLES)),
            )
        try:
            table = validated(model, estimates, None)
        except InputError as error:
            key = f"{key}.{error.key}"
            raise InputError(error.rule, file=file, key=key, remedy=error.remedy) from None
        _check_assets(table, key, calibration.assets, file)
        for number, state in enumerate(getattr(table, "states", ())):
            if state.correlation:
                place = f"{key}.states[{number}].correlation"
                check_correlation(state.correlation, calibration.assets, file, place)


def _check_assets(table: Table, key: str, assets: Sequence[str], file: File) -> None:
    for place, names in _named(table, key):
        for name in names:
            if name not in assets:
                raise InputError(
                    "unknown asset",
                    file=file,
                    key=f"{place}.{name}",
                    remedy=f"{suggestion(name, assets)} (or add it to the assets)",
                )


def _named(table: Table, key: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield each table by asset with its key."""
    for name in by_asset(type(table)):
        yield f"{key}.{name}", getattr(table, name)
    if isinstance(table, Regime):
        for number, state in enumerate(table.states):
            yield f"{key}.states[{number}].volatility", state.volatility


def check_model(scenario: Scenario) -> None:
    """Check the table of the model of a complete market, and its interval against the step.

    Raises
    ------
    InputError
        There are parameters that no model reads, the interval is not a whole number of steps, a
        variance has no mean, probabilities do not
        sum to 1, a regime lacks an asset, jumps have other keys than their law reads, or a drift is
        stated that the history's own takes the place of.
    """
    market, file = scenario.market, scenario.source
    table = market.table
    if market.parameters and market.model in get_args(ModelName):
        raise InputError(
            f'has no effect with model "{market.model}"',
            file=file,
            key="market.parameters",
            remedy="remove the table: it is read by models that other distributions register",
        )
    if table is None:
        return
    interval = getattr(table, "interval", None)
    if interval is not None:
        _check_interval(scenario, interval)
    for check in _CHECKS.get(market.model, ()):
        check(market, table, file)


def _check_interval(scenario: Scenario, interval: str) -> None:
    market, simulation = scenario.market, scenario.simulation
    steps = duration_seconds(interval) / duration_seconds(simulation.step)
    if steps.denominator == 1:
        return
    key = f"market.{market.model}.interval"
    step = f'simulation.step, "{simulation.step}"'
    if steps < 1:
        raise InputError(
            f'"{interval}" is shorter than {step}',
            file=scenario.source,
            key=key,
            remedy=f'state the interval, "{simulation.step}" or a multiple of it, or shorten the '
            "step",
        )
    raise InputError(
        f'"{interval}" must be a whole number of steps, it is {float(steps):.6g} of {step}',
        file=scenario.source,
        key=key,
        remedy="change one of them so that the step divides the interval",
    )


def _check_weights(market: Market, table: Garch, file: File) -> None:
    """Refuse GARCH weights under which a variance is negative or has no mean."""
    key = f"market.{market.model}"
    for asset in market.assets:
        alpha, gamma, beta = table.alpha[asset], table.gamma[asset], table.beta[asset]
        if alpha + gamma < 0:
            raise InputError(
                f"alpha + gamma must be at least 0, got {alpha:g} + {gamma:g}",
                file=file,
                key=f"{key}.gamma.{asset}",
                remedy=f"use at least {-alpha:g}",
            )
        if alpha + gamma / 2 + beta >= 1:
            raise InputError(
                f"alpha + gamma / 2 + beta must be below 1, got {alpha:g} + {gamma:g} / 2 + "
                f"{beta:g}: the variance would have no mean",
                file=file,
                key=f"{key}.beta.{asset}",
                remedy="lower alpha, gamma or beta",
            )


def _check_regimes(market: Market, table: Regime, file: File) -> None:
    states, count = table.states, len(table.states)
    if count < 2:
        raise InputError(
            f"two regimes or more are needed, got {count}",
            file=file,
            key="market.regime.states",
            remedy="add a regime, or use another model",
        )
    names = [state.name for state in states]
    for number, state in enumerate(states):
        if names.index(state.name) < number:
            raise InputError(
                f'regime "{state.name}" stands there twice',
                file=file,
                key=f"market.regime.states[{number}].name",
                remedy="name every regime once",
            )
        _check_state(market, state, f"market.regime.states[{number}]", file)
    _check_transition(table, count, file)
    _check_chances(table.initial, count, "market.regime.initial", file)


def _check_state(market: Market, state: RegimeState, key: str, file: File) -> None:
    absent = [asset for asset in market.assets if asset not in state.volatility]
    if absent:
        raise InputError(
            f'no volatility of {ending(absent)} in regime "{state.name}"',
            file=file,
            key=f"{key}.volatility",
            remedy=f"add {absent[0]} to it",
        )
    if state.correlation:
        check_correlation(state.correlation, market.assets, file, f"{key}.correlation")


def _check_transition(table: Regime, count: int, file: File) -> None:
    key = "market.regime.transition"
    if not table.transition:
        raise InputError(
            "is missing",
            file=file,
            key=key,
            remedy="add it: one row a regime, the probabilities of the next one",
        )
    if len(table.transition) != count:
        raise InputError(
            f"must be {count} x {count} for {count} regimes, got {len(table.transition)} rows",
            file=file,
            key=key,
            remedy="give one row and one column a regime, in the order of states",
        )
    for number, row in enumerate(table.transition):
        _check_chances(row, count, f"{key}[{number}]", file)


def _check_chances(chances: Sequence[float], count: int, key: str, file: File) -> None:
    """Refuse what is no probability of each regime."""
    if len(chances) != count:
        raise InputError(
            f"must have {count} probabilities, one a regime, got {len(chances)}",
            file=file,
            key=key,
            remedy="give one a regime, in the order of states",
        )
    for number, chance in enumerate(chances):
        if not 0 <= chance <= 1:
            raise InputError(
                f"must be from 0 to 1, got {chance:g}",
                file=file,
                key=f"{key}[{number}]",
                remedy="correct the probability",
            )
    total = sum(chances)
    if abs(total - 1) > _SLACK:
        raise InputError(
            f"must sum to 1, got {total:.9g}",
            file=file,
            key=key,
            remedy="correct the probabilities",
        )


def _check_jumps(market: Market, table: JumpDiffusion, file: File) -> None:
    key = "market.jump-diffusion"
    if table.common is not None:
        _check_law(table.common, table.sizes, f"{key}.common", file)
        _check_reach(table, market.assets, file)
    for asset, jumps in table.own.items():
        _check_law(jumps, table.sizes, f"{key}.own.{asset}", file)
        _check_mean(jumps.up_mean, f"{key}.own.{asset}.up_mean", file)


def _check_law(jumps: Jumps, sizes: str, key: str, file: File) -> None:
    """Refuse jumps that lack a key of their law, or state one of the other law."""
    other = "kou" if sizes == "merton" else "merton"
    for name in _KEYS[other]:
        value = getattr(jumps, name)
        if value is not None:
            raise InputError(
                f'has no effect with sizes = "{sizes}", got {shown(value)}',
                file=file,
                key=f"{key}.{name}",
                remedy=f'remove it, or set market.jump-diffusion.sizes = "{other}"',
            )
    for name in _KEYS[sizes]:
        if getattr(jumps, name) is None:
            raise InputError(
                f'is missing, which sizes = "{sizes}" needs',
                file=file,
                key=f"{key}.{name}",
                remedy=f"add it: {Jumps.model_fields[name].description}",
            )


def _check_mean(mean: float | None, key: str, file: File) -> None:
    if mean is not None and mean >= 1:
        raise InputError(
            f"must be below 1, got {mean:g}: the price would have no mean",
            file=file,
            key=key,
            remedy="lower it, such as to 0.05",
        )


def _check_reach(table: JumpDiffusion, assets: Sequence[str], file: File) -> None:
    """Refuse common jumps whose multiple by an exposure leaves a price without a mean."""
    jumps = table.common
    assert jumps is not None
    _check_mean(jumps.up_mean, "market.jump-diffusion.common.up_mean", file)
    for asset in assets:
        exposure = table.exposure.get(asset, 1.0)
        mean = jumps.up_mean if exposure > 0 else jumps.down_mean
        if mean is not None and abs(exposure) * mean >= 1:
            raise InputError(
                f"times the mean size of a common jump up must be below 1, got {exposure:g} * "
                f"{mean:g}: the price would have no mean",
                file=file,
                key=f"market.jump-diffusion.exposure.{asset}",
                remedy="lower the exposure or the mean size",
            )


def _check_drift(market: Market, table: Any, file: File) -> None:
    """Refuse a drift beside a mean return that is kept."""
    if table.demean:
        return
    for asset, drift in market.drift.items():
        if drift and isfinite(drift):
            raise InputError(
                f"has no effect with market.{market.model}.demean = false, got {drift:g}",
                file=file,
                key=f"market.drift.{asset}",
                remedy="remove it, or set demean = true: then drift takes the place of the "
                "history's mean return",
            )


def _check_windows(market: Market, table: Historical, file: File) -> None:
    if table.starts and table.stride is not None:
        raise InputError(
            "has no effect where starts are given",
            file=file,
            key="market.historical.stride",
            remedy="remove stride or starts",
        )


_CHECKS: Mapping[str, tuple[Callable[[Market, Any, File], None], ...]] = {
    "jump-diffusion": (_check_jumps,),
    "garch": (_check_weights,),
    "regime": (_check_regimes,),
    "bootstrap": (_check_drift,),
    "filtered-historical": (_check_drift, _check_weights),
    "historical": (_check_drift, _check_windows),
}
"""The rules of each model's table, beyond those of its single keys."""
