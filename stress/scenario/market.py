"""The market of a scenario made complete: from its calibration, its history and the defaults."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from stress.calibrate.gbm import (
    annualised_volatility,
    bar_interval,
    common_returns,
    one_bar_returns,
)
from stress.data.prices import read_prices
from stress.errors import InputError
from stress.scenario.models import (
    MODEL_TABLES,
    JumpDiffusion,
    Jumps,
    Regime,
    RegimeState,
    chosen,
    merged,
)
from stress.scenario.schema import Calibration, Market
from stress.types import Floats

__all__ = ["complete_market"]

_ByAsset = dict[str, float]

_STRESS_WEIGHT = 0.5
"""How far the default stress regime's correlation goes toward all assets moving as one."""
_STRESS_CORRELATION = 0.95
_STRESS_MULTIPLE = 1.8
_TO_STRESS, _TO_CALM = 0.02, 0.10
"""Default regimes, a day: a sixth of the time in stress, ten days at a time, 1.8 times as wild."""

_COMMON_RATE, _OWN_RATE = 15.0, 30.0
_COMMON_MEAN, _COMMON_DEVIATION, _OWN_DEVIATION = -0.06, 0.085, 0.057
"""Default jumps a year, and their sizes per unit of annual volatility: common jumps make up a
sixth of the variance and own ones a tenth."""

_LEAST_ROOM = 1e-6
"""Least eigenvalue of a correlation that leaves room for a default to share it out."""
_KEPT_DIFFUSION = 0.9
"""How much of that room the default jumps take."""


def complete_market(market: Market, calibration: Calibration | None, source: Path | None) -> Market:
    """Return a market with what it does not state taken from elsewhere.

    What it states wins, then comes the calibration, then the history that a resampling model draws
    from, then the defaults.

    Raises
    ------
    InputError
        The calibration or the history does not know an asset, or the history cannot be used.
    """
    estimated: Mapping[str, Any] = {}
    if calibration is not None:
        market = _with_calibration(market, calibration, source)
        estimated = _estimates(market, calibration, source)
    if market.history is not None:
        market = _with_history(market)
    if not market.correlation and (len(market.assets) == 1 or market.model == "given"):
        # given paths bring their own: what stands here is read by nobody
        market = market.model_copy(update={"correlation": _identity(len(market.assets))})
    drift = {asset: market.drift.get(asset, 0.0) for asset in market.assets}
    return _with_table(market.model_copy(update={"drift": drift}), estimated, source)


def _with_calibration(market: Market, calibration: Calibration, source: Path | None) -> Market:
    update: dict[str, Any] = {"as_of": market.as_of or calibration.as_of}
    for key in ("price", "volatility", "drift"):
        both = {**getattr(calibration, key), **getattr(market, key)}
        update[key] = {asset: both[asset] for asset in market.assets if asset in both}
    if not market.correlation and calibration.correlation:
        update["correlation"] = _chosen_correlation(market, calibration, source)
    return market.model_copy(update=update)


def _chosen_correlation(
    market: Market, calibration: Calibration, source: Path | None
) -> tuple[tuple[float, ...], ...]:
    for asset in market.assets:
        if asset not in calibration.assets:
            raise InputError(
                f"{market.calibration} has no correlation of {asset}",
                file=source,
                key="market.calibration",
                remedy="state market.correlation for all assets, or leave the asset out",
            )
    order = [calibration.assets.index(asset) for asset in market.assets]
    return tuple(tuple(calibration.correlation[i][j] for j in order) for i in order)


def _estimates(market: Market, calibration: Calibration, source: Path | None) -> dict[str, Any]:
    """Return what the calibration knows of the market's model and assets and is not stated."""
    stated = market.table.model_fields_set if market.table else set()
    table = calibration.models.get(market.model, {})
    whole = {key: value for key, value in table.items() if key != "states" or key not in stated}
    try:
        return chosen(whole, market.assets, calibration.assets)
    except KeyError as error:
        raise InputError(
            f"{market.calibration} has no regimes of {error.args[0]}",
            file=source,
            key="market.calibration",
            remedy="state market.regime.states for all assets, or leave the asset out",
        ) from None


def _with_history(market: Market) -> Market:
    """Return the market with price, volatility and correlation of its history where it has none."""
    complete = all(
        asset in stated for asset in market.assets for stated in (market.price, market.volatility)
    )
    if complete and market.correlation:
        return market
    assert market.history is not None
    history = read_prices(market.history).choose(market.assets)
    bar = bar_interval(history)
    returns, _ = one_bar_returns(history, bar)
    volatility, _ = annualised_volatility(history, returns, bar)
    last = [close[np.isfinite(close)][-1] for close in np.transpose(history.close)]
    update: dict[str, Any] = {
        "price": {**_by_asset(market, np.array(last)), **market.price},
        "volatility": {**_by_asset(market, volatility), **market.volatility},
    }
    if not market.correlation:
        matrix = np.atleast_2d(np.corrcoef(common_returns(history, returns), rowvar=False))
        update["correlation"] = _rows(matrix)
    return market.model_copy(update=update)


def _by_asset(market: Market, values: Floats) -> _ByAsset:
    return dict(zip(market.assets, map(float, values), strict=True))


def _rows(matrix: Floats) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(map(float, row)) for row in matrix)


def _identity(size: int) -> tuple[tuple[float, ...], ...]:
    return _rows(np.eye(size))


def _with_table(market: Market, estimated: Mapping[str, Any], source: Path | None) -> Market:
    """Return the market with the complete table of its model."""
    table = MODEL_TABLES.get(market.model)
    if table is None:
        return market
    stated = market.table.model_dump(exclude_unset=True) if market.table else {}
    whole = table.model_validate(merged(stated, estimated))
    fill = _FILL.get(market.model)
    complete = market.volatility and all(asset in market.volatility for asset in market.assets)
    if fill is not None and complete and market.correlation:
        whole = whole.model_copy(update=fill(market, whole))
    return market.model_copy(update={market.model.replace("-", "_"): whole})


def _fill_skewness(market: Market, table: Any) -> dict[str, Any]:
    return {"skewness": _else(table.skewness, market.assets, -0.2)}


def _fill_garch(market: Market, table: Any) -> dict[str, Any]:
    return {**_fill_weights(market, table), "initial_volatility": _else_own(market, table)}


def _fill_weights(market: Market, table: Any) -> dict[str, Any]:
    defaults = {"alpha": 0.05, "gamma": 0.05, "beta": 0.9}
    return {
        key: _else(getattr(table, key), market.assets, value) for key, value in defaults.items()
    }


def _else_own(market: Market, table: Any) -> _ByAsset:
    stated = table.initial_volatility
    return {asset: stated.get(asset, market.volatility[asset]) for asset in market.assets}


def _else(stated: Mapping[str, float], assets: tuple[str, ...], default: float) -> _ByAsset:
    return {asset: stated.get(asset, default) for asset in assets}


def _fill_jumps(market: Market, table: JumpDiffusion) -> dict[str, Any]:
    mean = float(np.mean([market.volatility[asset] for asset in market.assets]))
    room = 1.0 if table.common or table.own else _room_for_jumps(market, mean)

    def jumps(rate: float, centre: float, deviation: float) -> Jumps:
        if table.sizes == "merton":
            return Jumps(rate=room * rate, mean=centre, deviation=deviation)
        # the same mean and mean square, or nearly so
        size = float(np.hypot(centre, deviation)) / np.sqrt(2)
        up = 0.5 + centre / (2 * size)
        return Jumps(rate=room * rate, up_probability=up, up_mean=size, down_mean=size)

    own = {
        asset: table.own.get(
            asset, jumps(_OWN_RATE, 0.0, _OWN_DEVIATION * market.volatility[asset])
        )
        for asset in market.assets
    }
    exposure = {
        asset: table.exposure.get(asset, market.volatility[asset] / mean) for asset in market.assets
    }
    common = table.common or jumps(_COMMON_RATE, _COMMON_MEAN * mean, _COMMON_DEVIATION * mean)
    return {"common": common, "exposure": exposure, "own": own}


def _room_for_jumps(market: Market, mean: float) -> float:
    """Return what the default rates are multiplied by, at most 1, to leave a diffusion.

    Jumps that all assets share need a correlation, jumps of one asset a want of it.
    """
    common = _COMMON_RATE * (_COMMON_MEAN**2 + _COMMON_DEVIATION**2)
    own = _OWN_RATE * _OWN_DEVIATION**2
    size = len(market.assets)
    # per unit of variance, where every exposure is its asset's volatility over the mean
    jumping = common * np.ones((size, size)) + own * np.eye(size)
    values, vectors = np.linalg.eigh(np.array(market.correlation))
    if values[0] <= _LEAST_ROOM:
        return 0.0
    root = vectors / np.sqrt(values)
    most = 1 / float(np.linalg.eigvalsh(root.T @ jumping @ root)[-1])
    return min(1.0, _KEPT_DIFFUSION * most)


def _fill_regime(market: Market, table: Regime) -> dict[str, Any]:
    if table.states:
        return {"initial": table.initial or _stationary(table.transition)}
    transition = table.transition or ((1 - _TO_STRESS, _TO_STRESS), (_TO_CALM, 1 - _TO_CALM))
    stationary = _stationary(transition)
    if len(stationary) != 2:
        # a transition between other regimes than the default ones: the checks refuse it
        return {}
    calm = 1 / np.sqrt(stationary[0] + stationary[1] * _STRESS_MULTIPLE**2)
    correlations = _calm_and_stress(np.array(market.correlation), stationary[0] * calm**2)
    states = tuple(
        RegimeState(
            name=name,
            volatility={
                asset: float(multiple * calm * market.volatility[asset]) for asset in market.assets
            },
            correlation=_rows(matrix),
        )
        for (name, multiple), matrix in zip(
            (("calm", 1.0), ("stress", _STRESS_MULTIPLE)), correlations, strict=True
        )
    )
    return {
        "states": states,
        "transition": transition,
        "initial": table.initial or stationary,
    }


def _calm_and_stress(whole: Floats, share: float) -> tuple[Floats, Floats]:
    """Return the correlations of calm and of stress that together make the stated one.

    Stress goes as far toward all assets moving as one, at most half-way, as leaves a correlation to
    calm, which makes ``share`` of the variance.
    """
    together = np.full(whole.shape, _STRESS_CORRELATION)
    np.fill_diagonal(together, 1.0)
    for weight in np.linspace(_STRESS_WEIGHT, 0.0, 51):
        stress = (1 - weight) * whole + weight * together
        calm = (whole - (1 - share) * stress) / share
        if np.linalg.eigvalsh(calm)[0] > _LEAST_ROOM:
            return calm, stress
    return whole, whole


def _stationary(transition: tuple[tuple[float, ...], ...]) -> tuple[float, ...]:
    """Return the stationary probabilities of a chain; none where the rows are not square."""
    size = len(transition)
    if not size or any(len(row) != size for row in transition):
        return ()
    equations = np.vstack([np.array(transition).T - np.eye(size), np.ones(size)])
    found = np.linalg.lstsq(equations, np.append(np.zeros(size), 1.0), rcond=None)[0]
    return tuple(map(float, np.clip(found, 0.0, 1.0)))


_FILL: Mapping[str, Callable[[Market, Any], dict[str, Any]]] = {
    "skewed-t": _fill_skewness,
    "jump-diffusion": _fill_jumps,
    "garch": _fill_garch,
    "regime": _fill_regime,
    "filtered-historical": _fill_weights,
}
"""What fills in the values by asset that a model's table does not state."""
