"""One forecast: quantiles and shortfalls of the window, and the need of every book."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stress.backtest.books import Exposure, needs
from stress.backtest.load import Requirement
from stress.types import Array, Floats

__all__ = ["PORTFOLIO", "SIDES", "Forecast", "forecast", "losses", "window_returns"]

PORTFOLIO = "equal weights"
"""The series behind the assets: the mean of their simple returns."""

SIDES = ("long", "short")
"""Who loses: longs in the left tail of the returns, shorts in the right one."""


@dataclass(frozen=True)
class Forecast:
    """What a model says at an origin.

    Attributes
    ----------
    returns
        (paths, series) simple returns over the window.
    value_at_risk, expected_shortfall
        (sides, levels, series) of the loss over the window, a share of the price at the origin.
    need
        (paths, books) what each book needs within the liquidation window.
    """

    returns: Floats
    value_at_risk: Floats
    expected_shortfall: Floats
    need: Floats


def forecast(
    relative: Floats,
    *,
    window: int,
    liquidation_window: int,
    levels: Sequence[float],
    books: Sequence[Exposure],
    notional: float,
    requirement: Requirement,
) -> Forecast:
    """Return what simulated prices say.

    Parameters
    ----------
    relative
        (paths, bars + 1, assets) prices over those at the origin.
    window, liquidation_window
        Lengths in bars.
    levels
        Of value at risk.
    books, notional, requirement
        As ``needs``.
    """
    returns = window_returns(relative[:, window])
    quantiles = [_tail(np.sort(loss, axis=0), levels) for loss in losses(returns)]
    need = needs(books, relative[:, : liquidation_window + 1], notional, requirement)
    return Forecast(
        returns,
        np.stack([value for value, _ in quantiles]),
        np.stack([shortfall for _, shortfall in quantiles]),
        need,
    )


def window_returns(relative: Floats) -> Floats:
    """Return (..., series) simple returns: the assets', and their mean.

    ``relative`` is (..., assets) prices over those at the window's beginning.
    """
    simple = np.asarray(relative, np.float64) - 1
    return np.concatenate([simple, simple.mean(axis=-1, keepdims=True)], axis=-1)


def losses(returns: Floats) -> Array:
    """Return (sides, ...) losses of a long and of a short."""
    return np.stack([-returns, returns])


def _tail(ordered: Floats, levels: Sequence[float]) -> tuple[Floats, Floats]:
    """Return (levels, series) quantiles and the mean losses beyond, of (paths, series) ascending.

    The quantile stands at rank level (n + 1): a next draw of the same law exceeds it with
    probability 1 - level even where there are few paths.
    """
    count = len(ordered)
    values, shortfalls = [], []
    for level in levels:
        rank = min(max(level * (count + 1), 1.0), float(count))
        low = int(rank)
        share = rank - low
        value = ordered[low - 1] + share * (ordered[min(low, count - 1)] - ordered[low - 1])
        beyond = np.maximum(ordered[low - 1 :] - value, 0.0).sum(axis=0) / count
        values.append(value)
        shortfalls.append(value + beyond / (1 - level))
    return np.stack(values), np.stack(shortfalls)
