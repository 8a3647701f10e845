"""A price history as rows: the bars on which every asset has a return, and windows of them.

Rows stand in the order of time. A bar that is missing, or that one asset lacks, leaves no row: the
rows around it then stand side by side, and ``follows`` says that they are not neighbours in time.

A history with more than one bar a step is thinned to the closes at whole steps since 1970 (at whole
steps before its last close where it has none there).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple

import numpy as np

from stress.calibrate.gbm import bar_interval, one_bar_returns, say
from stress.data.cleaning import clean
from stress.data.prices import PriceHistory, Times
from stress.errors import InputError
from stress.types import Array, Floats, Integers

__all__ = ["Rows", "Windows", "cross_sections", "windows"]

_EPOCH = np.datetime64(0, "ms")

_AROUND = 21
"""Bars of the window whose returns give a bar's volatility where there is no high and low."""


@dataclass(frozen=True)
class Rows:
    """The cross-sections of a history.

    Attributes
    ----------
    ends
        (rows,) timestamp of each bar, UTC, ascending.
    follows
        (rows,) whether the row before it is the bar before it; False for the first.
    returns
        (rows, assets) log returns.
    deviation
        (rows, assets) standard deviation of the log price inside each bar, of a whole bar.
    ranged
        Whether ``deviation`` is from highs and lows; else it is from the returns around.
    low, high
        (rows, assets) log of each bar's low and high over its close, low <= 0 <= high; None where
        the history has no such columns.
    bar
        Length of a bar.
    bar_steps
        Steps of the simulation in a bar.
    wicks, clipped
        Closes left out, and highs and lows clipped, as wicks in the time of the rows.
    """

    ends: Times
    follows: Array
    returns: Floats
    deviation: Floats
    ranged: bool
    low: Floats | None
    high: Floats | None
    bar: np.timedelta64
    bar_steps: int
    wicks: int
    clipped: int

    @property
    def gaps(self) -> int:
        """Number of places at which neighbouring rows are not neighbours in time."""
        return int(np.count_nonzero(~self.follows[1:]))


class Windows(NamedTuple):
    """Where windows begin.

    Attributes
    ----------
    first
        (windows,) first row of each.
    bars
        Rows of a window.
    stride_bars
        Bars between the beginnings of two rolling windows; 0 where they are named.
    broken
        Windows left out because a bar is missing inside.
    """

    first: Integers
    bars: int
    stride_bars: int
    broken: int

    @property
    def design_effect(self) -> float:
        """Variance of a mean over the windows over that of as many which share no bar.

        The correlation of two windows is the share of their bars that is the same. Rolling windows
        of L bars every s give L / s (a triangle's sum), what is left out at the ends aside.
        """
        if self.stride_bars:
            return max(self.bars / self.stride_bars, 1.0)
        apart = np.abs(self.first[:, None] - self.first)
        shared = np.maximum(1 - apart / self.bars, 0.0)
        return float(shared.sum() / len(self.first))


def cross_sections(history: PriceHistory, step: np.timedelta64, *, remove_wicks: bool) -> Rows:
    """Return the rows of a history for a simulation in steps of this length.

    Raises
    ------
    InputError
        Bars and steps do not fit together, or there are fewer than 2 rows.
    """
    history, cleaning = clean(history, remove_wicks=remove_wicks)
    history = _thinned(history, step)
    bar = bar_interval(history)
    if bar % step != np.timedelta64(0, "ms"):
        raise InputError(
            f"the history has bars of {say(bar)}, no whole number of steps of {say(step)}",
            file=history.source,
            key="simulation.step",
            remedy=f'use a step that divides the bar, such as "{say(bar)}"',
        )
    returns, _ = one_bar_returns(history, bar)
    chosen = np.flatnonzero(np.isfinite(returns).all(axis=1))
    if len(chosen) < 2:
        raise InputError(
            f"only {len(chosen)} bars of {say(bar)} on which all {len(history.assets)} assets have"
            " a return, 2 are needed at least",
            file=history.source,
            key="market.history",
            remedy="give a longer history, or leave the asset out that shares no time with others",
        )
    ends, kept = history.timestamps[chosen], returns[chosen]
    columns = [
        wick.column for wick in cleaning.wicks if ends[0] - bar <= wick.timestamp <= ends[-1]
    ]
    inside = _ranges(history, chosen)
    ratio = (_no_more(history.low, history, chosen), _no_more(history.high, history, chosen))
    return Rows(
        ends=ends,
        follows=np.append(False, np.diff(ends) == bar),
        returns=kept,
        deviation=_around(kept) if inside is None else inside,
        ranged=inside is not None,
        low=None if ratio[0] is None or ratio[1] is None else np.minimum(ratio[0], 0.0),
        high=None if ratio[0] is None or ratio[1] is None else np.maximum(ratio[1], 0.0),
        bar=bar,
        bar_steps=int(bar / step),
        wicks=columns.count("close"),
        clipped=len(columns) - columns.count("close"),
    )


def windows(
    rows: Rows,
    steps: int,
    *,
    starts: Sequence[datetime] = (),
    stride: np.timedelta64 | None = None,
) -> Windows:
    """Return the windows that a horizon of so many steps has in a history.

    Parameters
    ----------
    starts
        Moments at which windows begin: with the first bar that is stamped no earlier. Without any
        there is a window every ``stride``, one bar if not given.

    Raises
    ------
    InputError
        A named window does not lie in the history; there is no whole window; the stride is no
        whole number of bars.
    """
    bars = -(-steps // rows.bar_steps)
    if starts:
        moments = [np.datetime64(start.replace(tzinfo=None), "ms") for start in starts]
        first = np.searchsorted(rows.ends, np.array(moments))
        for start, row in zip(starts, first, strict=True):
            _require_window(rows, int(row), bars, start)
        return Windows(first, bars, 0, 0)
    stride_bars = 1 if stride is None else _whole(stride, rows)
    # bars since the first row, so that a stride is a time and not a number of rows
    number = ((rows.ends - rows.ends[0]) / rows.bar).astype(np.int64)
    offered = np.flatnonzero(number % stride_bars == 0)
    offered = offered[offered + bars <= len(rows.ends)]
    whole = number[offered + bars - 1] - number[offered] == bars - 1
    first = offered[whole]
    if not len(first):
        raise InputError(
            f"the history has no {bars} bars in a row without a gap, which the horizon needs",
            key="market.history",
            remedy="shorten simulation.horizon, or give a longer history",
        )
    return Windows(first, bars, stride_bars, int(np.count_nonzero(~whole)))


def _whole(stride: np.timedelta64, rows: Rows) -> int:
    if stride % rows.bar == np.timedelta64(0, "ms"):
        return int(stride / rows.bar)
    raise InputError(
        f"a stride of {say(stride)} is no whole number of bars of {say(rows.bar)}",
        key="market.historical.stride",
        remedy=f'use a multiple of "{say(rows.bar)}"',
    )


def _require_window(rows: Rows, row: int, bars: int, start: datetime) -> None:
    whole = row + bars <= len(rows.ends)
    if not whole or rows.ends[row + bars - 1] - rows.ends[row] != (bars - 1) * rows.bar:
        reason = "a bar is missing inside" if whole else "the history ends inside it"
        raise InputError(
            f"the window from {start.isoformat()} is not whole: {reason}",
            key="market.historical.starts",
            remedy="leave it out, or shorten simulation.horizon",
        )


def _thinned(history: PriceHistory, step: np.timedelta64) -> PriceHistory:
    """Return the history with one close a step, where it has more."""
    bar = bar_interval(history)
    if bar >= step or step % bar != np.timedelta64(0, "ms"):
        return history
    since = history.timestamps - _EPOCH
    phase = since % step
    at_whole = phase == np.timedelta64(0, "ms")
    kept = at_whole if at_whole.any() else phase == phase[-1]
    chosen = np.flatnonzero(kept)
    return replace(
        history,
        timestamps=history.timestamps[chosen],
        close=history.close[chosen],
        open=None,
        volume=None,
        low=_reached(history.low, history, chosen, int(step / bar), np.fmin),
        high=_reached(history.high, history, chosen, int(step / bar), np.fmax),
    )


def _reached(
    extreme: Floats | None, history: PriceHistory, chosen: Integers, bars: int, farther: np.ufunc
) -> Floats | None:
    """Return (chosen, assets) the lowest low or highest high of the bars up to each chosen one."""
    if extreme is None:
        return None
    found = extreme[chosen]
    bar = bar_interval(history)
    for back in range(1, bars):
        moments = history.timestamps[chosen] - back * bar
        row = np.minimum(np.searchsorted(history.timestamps, moments), len(extreme) - 1)
        there = (history.timestamps[row] == moments)[:, None]
        found = farther(found, np.where(there, extreme[row], np.nan))
    return np.asarray(found)


def _no_more(extreme: Floats | None, history: PriceHistory, chosen: Integers) -> Floats | None:
    """Return (rows, assets) logs of lows or highs over closes; 0 where there is none."""
    if extreme is None:
        return None
    return np.nan_to_num(np.log(extreme[chosen] / history.close[chosen]))


def _ranges(history: PriceHistory, chosen: Integers) -> Floats | None:
    """Return (rows, assets) standard deviations of bars from their highs and lows.

    Rogers and Satchell (1991), ``log(h/c) log(h/o) + log(l/c) log(l/o)``: whatever the drift inside
    the bar, so that a bar which falls all the time is not also wild. In ten assets' daily bars of
    Binance it is 8 to 20 percent above what closes say: prices come back within a day. What lacks a
    number has the volatility of the returns around. None where the history has no such columns.
    """
    if history.low is None or history.high is None:
        return None
    close = history.close[chosen]
    # a bar of a chosen row follows a close
    before = history.close[np.maximum(chosen - 1, 0)]
    opening = before if history.open is None else history.open[chosen]
    high, low = history.high[chosen], history.low[chosen]
    variance = np.log(high / close) * np.log(high / opening) + np.log(low / close) * np.log(
        low / opening
    )
    around = _around(np.log(close / before))
    known = np.isfinite(variance)
    return np.where(known, np.sqrt(np.maximum(np.where(known, variance, 0.0), 0.0)), around)


def _around(returns: Floats) -> Floats:
    """Return (rows, assets) root mean squares of the demeaned returns of the rows around each."""
    squares = (returns - returns.mean(axis=0)) ** 2
    running = np.vstack([np.zeros((1, squares.shape[1])), np.cumsum(squares, axis=0)])
    size = min(_AROUND, len(squares))
    # at the ends the window is the first or last one
    first = np.clip(np.arange(len(squares)) - size // 2, 0, len(squares) - size)
    return np.sqrt(np.maximum(running[first + size] - running[first], 0.0) / size)
