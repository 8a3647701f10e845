"""What a reader must know about each price model, in sentences."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from stress.scenario.schema import Market
from stress.types import ModelName

__all__ = ["market_words"]


def market_words(market: Market) -> tuple[str, ...]:
    """Return sentences on the price model of a complete market."""
    words = _WORDS.get(market.model)
    if words is None:
        return (f'Prices follow the registered model "{market.model}".',)
    return words(market, market.table)


def _gbm(market: Market, table: Any) -> tuple[str, ...]:
    return (
        "Prices follow correlated geometric Brownian motion with constant volatility: no jumps, "
        "no fat tails, no clustering. Real markets fall faster and more together.",
    )


def _given(market: Market, table: Any) -> tuple[str, ...]:
    return ("Fundamental prices are those of the file that the scenario names.",)


def _student_t(market: Market, table: Any) -> tuple[str, ...]:
    return (
        f"Returns over {table.interval} follow a multivariate t with "
        f"{table.degrees_of_freedom:.3g} degrees of freedom: one draw an interval makes all assets "
        "wild or calm together. Falls and rises are alike, and wild intervals do not cluster.",
    )


def _skewed_t(market: Market, table: Any) -> tuple[str, ...]:
    return (
        f"Returns over {table.interval} follow a skewed multivariate t with "
        f"{table.degrees_of_freedom:.3g} degrees of freedom: the draw that makes all assets wild "
        "also moves their mean, so that joint crashes are likelier than joint rallies. Wild "
        "intervals do not cluster.",
    )


def _jump_diffusion(market: Market, table: Any) -> tuple[str, ...]:
    law = "normal" if table.sizes == "merton" else "double exponential"
    return (
        f"Prices diffuse and jump: {table.common.rate:.3g} common jumps a year, in which every "
        f"asset takes part by its exposure, and own jumps of each asset, with {law} sizes. Jumps "
        "fall at the end of a step and do not cluster; volatility is that of both together.",
    )


def _garch(market: Market, table: Any) -> tuple[str, ...]:
    return (
        f"Volatility follows GJR-GARCH(1,1) from one {table.interval} to the next, with "
        f"t innovations ({table.degrees_of_freedom:.3g} degrees of freedom) of constant "
        "correlation; inside an interval it stands still.",
    )


def _regime(market: Market, table: Any) -> tuple[str, ...]:
    names = ", ".join(state.name for state in table.states)
    return (
        f"The market switches between regimes ({names}) of volatility and correlation, at most "
        f"once in {table.interval}; inside a regime returns are normal.",
    )


def _bootstrap(market: Market, table: Any) -> tuple[str, ...]:
    return (
        "Returns are blocks of whole rows of the history, drawn with replacement: what never "
        f"happened in it cannot happen. {_mean(table)}",
    )


def _filtered_historical(market: Market, table: Any) -> tuple[str, ...]:
    return (
        "Returns are rows of the history, each divided by the volatility that a GARCH filter saw "
        f"then and multiplied by the one it forecasts now. {_mean(table)}",
    )


def _historical(market: Market, table: Any) -> tuple[str, ...]:
    return (
        "Each path is a window of the history. Windows that overlap say less than independent "
        f"paths, and intervals count them for less. {_mean(table)}",
    )


def _mean(table: Any) -> str:
    if table.demean:
        return "The mean return of the history is taken out."
    return "The mean return of the history stays in: it is a forecast."


_WORDS: Mapping[ModelName | str, Callable[[Market, Any], tuple[str, ...]]] = {
    "gbm": _gbm,
    "given": _given,
    "student-t": _student_t,
    "skewed-t": _skewed_t,
    "jump-diffusion": _jump_diffusion,
    "garch": _garch,
    "regime": _regime,
    "bootstrap": _bootstrap,
    "filtered-historical": _filtered_historical,
    "historical": _historical,
}
