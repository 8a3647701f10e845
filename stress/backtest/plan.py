"""Which windows are forecast, from which bars, with parameters of when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np

from stress.backtest.load import Task, moment
from stress.calibrate.gbm import bar_interval, say
from stress.data.prices import PriceHistory
from stress.errors import InputError
from stress.scenario.durations import YEAR_SECONDS, duration_seconds
from stress.types import Integers, ModelName

__all__ = ["FEWEST_APART", "FEWEST_BARS", "FEWEST_WINDOWS", "SLOW", "Plan", "make_plan", "past"]

SLOW: tuple[ModelName, ...] = ("jump-diffusion",)
"""Models whose own numbers are estimated every ``refit_slow``."""

FEWEST_BARS = 100
"""Returns from which a first estimate is made."""

FEWEST_WINDOWS = 20
"""Windows below which no test of a tail says anything."""

FEWEST_APART = 3
"""Liquidation windows that do not overlap, below which there is nothing to count."""


@dataclass(frozen=True)
class Plan:
    """The walk. All numbers of bars are rows of the history.

    Attributes
    ----------
    bar
        Length of a bar.
    step_years
        The same in years of 365 days.
    window, liquidation_window
        Lengths in bars.
    origins
        (windows,) row of the last bar that is known when each window begins.
    refits
        (windows,) row of the last bar that the parameters in force were estimated from.
    slow_refits
        (windows,) the same of what the models in ``SLOW`` are slow to estimate.
    lookback
        Bars that an estimate looks back; None: all.
    stride
        Every how many windows liquidation windows follow each other without overlap.
    liquidations
        How many of the windows, from the first, have a whole liquidation window behind them.
    """

    bar: np.timedelta64
    step_years: float
    window: int
    liquidation_window: int
    origins: Integers
    refits: Integers
    slow_refits: Integers
    lookback: int | None
    stride: int
    liquidations: int

    @property
    def steps(self) -> int:
        """Bars that are simulated at each origin."""
        return max(self.window, self.liquidation_window)


def make_plan(task: Task) -> Plan:
    """Return the walk through a history.

    Raises
    ------
    InputError
        The bars are not even, a length is no whole number of them, or the history is too short
        before ``first`` or after it.
    """
    history, table = task.history, task.table
    bar = bar_interval(history)
    _check_even(task, bar)
    window = _bars(task, "window", table.window, bar)
    liquidation_window = _bars(task, "liquidation_window", table.liquidation_window, bar)
    refit = _bars(task, "refit", table.refit, bar)
    slow = max(refit, _bars(task, "refit_slow", table.refit_slow, bar))
    lookback = None if table.lookback is None else _bars(task, "lookback", table.lookback, bar)
    start = _start(task, table.first, lookback)
    last = len(history.timestamps) - 1
    origins = np.arange(start, last - window + 1, window)
    if len(origins) < FEWEST_WINDOWS:
        raise InputError(
            f"leaves {len(origins)} windows of {table.window} until {history.timestamps[-1]}Z, "
            f"needed are {FEWEST_WINDOWS}",
            file=task.file,
            key="backtest.first",
            remedy="begin earlier, or give a longer history",
        )
    stride = -(-liquidation_window // window)
    liquidations = int((origins + liquidation_window <= last).sum())
    if liquidations < FEWEST_APART * stride:
        raise InputError(
            f"of {table.liquidation_window} leaves {-(-liquidations // stride)} windows that do "
            f"not overlap, needed are {FEWEST_APART}",
            file=task.file,
            key="backtest.liquidation_window",
            remedy="shorten it, begin earlier, or give a longer history",
        )
    return Plan(
        bar=bar,
        step_years=float(bar / np.timedelta64(1, "ms")) / 1000 / YEAR_SECONDS,
        window=window,
        liquidation_window=liquidation_window,
        origins=origins,
        refits=_refits(origins, refit),
        slow_refits=_slow_refits(_refits(origins, refit), slow),
        lookback=lookback,
        stride=stride,
        liquidations=liquidations,
    )


def past(history: PriceHistory, row: int, lookback: int | None) -> PriceHistory:
    """Return what is known at the close of a row: nothing after it, nothing before the lookback."""
    first = 0 if lookback is None else max(0, row - lookback)
    return history.choose(None, history.timestamps[first], history.timestamps[row])


def _refits(origins: Integers, refit: int) -> Integers:
    """Return the row of the last estimate at each origin."""
    rows, last = [], int(origins[0])
    for origin in origins.tolist():
        if origin - last >= refit:
            last = origin
        rows.append(last)
    return np.array(rows)


def _slow_refits(refits: Integers, slow: int) -> Integers:
    """Return the refits again, but only every so many bars another one."""
    rows, last = [], int(refits[0])
    for row in refits.tolist():
        if row - last >= slow:
            last = row
        rows.append(last)
    return np.array(rows)


def _start(task: Task, first: datetime, lookback: int | None) -> int:
    """Return the row of the last bar before the first that is forecast."""
    history, key = task.history, "backtest.first"
    begin = moment(first)
    row = int(np.searchsorted(history.timestamps, begin)) - 1
    if lookback is not None and lookback < FEWEST_BARS:
        raise InputError(
            f"must hold {FEWEST_BARS} bars, got {lookback}",
            file=task.file,
            key="backtest.lookback",
            remedy="look further back",
        )
    if row < FEWEST_BARS:
        raise InputError(
            f"only {max(row, 0)} returns of all {len(task.assets)} assets lie before "
            f"{str(begin)[:10]} (they begin at {history.timestamps[0]}Z), needed are {FEWEST_BARS}",
            file=task.file,
            key=key,
            remedy="begin later, give a longer history, or leave out the assets that begin late",
        )
    return row


def _bars(task: Task, key: str, text: str, bar: np.timedelta64) -> int:
    length = duration_seconds(text) / (int(bar / np.timedelta64(1, "ms")) / 1000)
    if abs(length - round(length)) > 1e-9 or round(length) < 1:
        raise InputError(
            f'must be a whole number of bars, got "{text}", and a bar of the history is {say(bar)}',
            file=task.file,
            key=f"backtest.{key}",
            remedy=f"write a multiple of {say(bar)}",
        )
    return round(length)


def _check_even(task: Task, bar: np.timedelta64) -> None:
    times = task.history.timestamps
    uneven = np.flatnonzero(np.diff(times) != bar)
    # what was left out before the walk begins costs one return; inside it, a window would be longer
    uneven = uneven[times[uneven + 1] >= moment(task.table.first)]
    if uneven.size:
        row = int(uneven[0])
        raise InputError(
            f"bars of {say(bar)} are missing between {times[row]}Z and {times[row + 1]}Z for at "
            "least one asset",
            file=task.history.source,
            remedy="fill the gap, set backtest.last before it, or leave the asset out",
        )
