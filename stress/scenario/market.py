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
from stress.scenario.models import MODEL_TABLES, JumpDiffusion, Jumps, Regime, merged
from stress.scenario.problems import validated
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
        estimated = calibration.models.get(market.model, {})
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
    chosen = [calibration.assets.index(asset) for asset in market.assets]
    return tuple(tuple(calibration.correlation[i][j] for j in chosen) for i in chosen)


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
    chosen = table.model_validate(_of_assets(merged(stated, estimated), market.assets))
    fill = _FILL.get(market.model)
    complete = market.volatility and all(asset in market.volatility for asset in market.assets)
    if fill is not None and complete and market.correlation:
        chosen = chosen.model_copy(update=fill(market, chosen))
    return market.model_copy(update={market.model.replace("-", "_"): chosen})


def _of_assets(table: dict[str, Any], assets: tuple[str, ...]) -> dict[str, Any]:
    """Drop what a calibration says of assets that the market does not have."""
    return table


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

    def jumps(rate: float, centre: float, deviation: float) -> Jumps:
        if table.sizes == "merton":
            return Jumps(rate=rate, mean=centre, deviation=deviation)
        # the same mean and mean square, or nearly so
        size = float(np.hypot(centre, deviation)) / np.sqrt(2)
        up = 0.5 + centre / (2 * size)
        return Jumps(rate=rate, up_probability=up, up_mean=size, down_mean=size)

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


def _fill_regime(market: Market, table: Regime) -> dict[str, Any]:
    if table.states:
        return {"initial": table.initial or _stationary(table.transition)}
    share = _TO_STRESS / (_TO_STRESS + _TO_CALM)
    calm = 1 / np.sqrt(1 - share + share * _STRESS_MULTIPLE**2)
    together = np.full((len(market.assets),) * 2, _STRESS_CORRELATION)
    np.fill_diagonal(together, 1.0)
    stress = (1 - _STRESS_WEIGHT) * np.array(market.correlation) + _STRESS_WEIGHT * together
    transition = ((1 - _TO_STRESS, _TO_STRESS), (_TO_CALM, 1 - _TO_CALM))
    states = tuple(
        {
            "name": name,
            "volatility": {
                asset: float(multiple * calm * market.volatility[asset]) for asset in market.assets
            },
            "correlation": matrix,
        }
        for name, multiple, matrix in (
            ("calm", 1.0, market.correlation),
            ("stress", _STRESS_MULTIPLE, _rows(stress)),
        )
    )
    whole = validated(Regime, {"states": states, "transition": transition}, None)
    return {
        "states": whole.states,
        "transition": whole.transition,
        "initial": table.initial or _stationary(transition),
    }


def _stationary(transition: tuple[tuple[float, ...], ...]) -> tuple[float, ...]:
    """Return the stationary probabilities of a chain."""
    matrix = np.array(transition)
    size = len(matrix)
    equations = np.vstack([matrix.T - np.eye(size), np.ones(size)])
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
