"""Single-bar wicks of a price history: prices that one bar shows and no other bar confirms.

Exchanges' records hold prints of one bar that no one else could trade at. Two rules find them.
Both measure in local standard deviations of an asset's log returns: 1.4826 times the median of
their absolute values over the 49 bars around, but at least half of the same over the whole history,
and at least 0.1 percent (a price that stood still, or moves by single ticks, has no scale).

Closes: a bar's return of more than 10 local standard deviations of which the next return takes
back between 80 and 120 percent. The whole bar is left out, so that its two returns are. In ten
assets' hourly and daily bars of Binance until 2022 the largest such reversal is 7.8 of them, and
the market's own, such as 9 November 2022, reach 6.6: what is beyond 10 is an error of the record.

Highs and lows: one that is more than 12 local standard deviations beyond its bar's open and close,
where neither neighbouring bar's own high or low reaches half of that excess, and no other asset has
an excess of more than 6 on the same side in the same bar. It is clipped to the open or close. A
crash of the whole market, such as 4 December 2021, 05:00 UTC, is kept by the last condition (of one
asset alone it cannot be); what goes is, for instance, ETH's high of 323 USD in the hour from 13
March 2020, 02:00 UTC, three times its close.

What is left is refused if it moves a thousandfold in one bar: no market did (LUNA fell 200-fold in
a day), but units and decimal points do.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from stress.data.prices import PriceHistory
from stress.errors import InputError
from stress.types import Floats, Integers

__all__ = ["Cleaning", "Wick", "clean"]

_Booleans = NDArray[np.bool_]

_WINDOW = 24
"""Bars on either side that a local standard deviation looks at."""

_LEAST_SCALE = 0.5
"""Least local standard deviation, as a share of the whole history's."""

_LEAST_MOVE = 1e-3
"""Least local standard deviation at all."""

_NORMAL = 1.482602218505602
"""Standard deviation over median absolute value, of a normal law."""

_CLOSE, _BACK = 10.0, 0.2
"""Standard deviations of a wick of closes, and how far from all of it the next return may be."""

_BEYOND, _CONFIRMED, _TOGETHER = 12.0, 0.5, 6.0
"""Standard deviations of a wick of a high or low; share of it at which a neighbour confirms it;
standard deviations at which another asset does."""

_LARGEST = np.log(1000.0)


@dataclass(frozen=True)
class Wick:
    """One price that was taken out.

    Attributes
    ----------
    asset, timestamp
        Whose, and when, UTC.
    column
        ``close``: the whole bar was left out; ``high`` or ``low``: it was clipped.
    found, kept
        The price in USD as it stood, and what stands there now: NaN for a close.
    """

    asset: str
    timestamp: np.datetime64
    column: Literal["close", "high", "low"]
    found: float
    kept: float


@dataclass(frozen=True)
class Cleaning:
    """What was wrong with a price history and what was done about it.

    Attributes
    ----------
    assets
        In the order of the arrays.
    gaps
        (assets,) spacings between consecutive closes, after cleaning, that are not one bar.
    duplicates
        (assets,) repeated rows that were dropped on reading.
    out_of_order
        Rows that were sorted on reading.
    wicks
        Prices that were taken out, in the order of time.
    """

    assets: tuple[str, ...]
    gaps: Integers
    duplicates: Integers
    out_of_order: int
    wicks: tuple[Wick, ...]

    def counts(self, column: str) -> Integers:
        """Return the (assets,) numbers of wicks in a column: ``close``, ``high`` or ``low``."""
        found = [wick.asset for wick in self.wicks if wick.column == column]
        return np.array([found.count(asset) for asset in self.assets], np.int64)


def clean(history: PriceHistory, *, remove_wicks: bool = True) -> tuple[PriceHistory, Cleaning]:
    """Return the history without wicks, and what was done.

    Parameters
    ----------
    remove_wicks
        False leaves every price as it is and only counts gaps and duplicates.

    Raises
    ------
    InputError
        A price that moves a thousandfold from one bar to the next.
    """
    wicks: list[Wick] = []
    if remove_wicks:
        history, closes = _without_wicks_of_closes(history)
        history, others = _without_wicks_of_extremes(history)
        wicks = sorted([*closes, *others], key=lambda wick: (wick.timestamp, wick.asset))
    _refuse_impossible(history)
    cleaning = Cleaning(
        assets=history.assets,
        gaps=_gaps(history),
        duplicates=history.duplicates,
        out_of_order=history.out_of_order,
        wicks=tuple(wicks),
    )
    return history, cleaning


def _without_wicks_of_closes(history: PriceHistory) -> tuple[PriceHistory, list[Wick]]:
    close = history.close.copy()
    wicks = []
    for column, asset in enumerate(history.assets):
        rows = np.flatnonzero(np.isfinite(close[:, column]))
        if len(rows) < 3:
            continue
        returns = np.diff(np.log(close[rows, column]))
        leaves, comes = returns[:-1], returns[1:]
        far = np.abs(leaves) > _CLOSE * _scale(returns)[:-1]
        wick = far & (np.abs(leaves + comes) <= _BACK * np.abs(leaves))
        # of three in a row that look alike only the first is one: the way back is no new wick
        wick[1:] &= ~wick[:-1]
        for row in rows[1:-1][wick]:
            found = float(close[row, column])
            wicks.append(Wick(asset, history.timestamps[row], "close", found, float("nan")))
            close[row, column] = np.nan
    gone = np.isfinite(history.close) & ~np.isfinite(close)
    return _without_bars(replace(history, close=close), gone), wicks


def _without_bars(history: PriceHistory, gone: _Booleans) -> PriceHistory:
    """Return the history with the prices of some bars gone, and the opens that go on from them."""
    if not gone.any():
        return history
    after = np.vstack([np.zeros((1, gone.shape[1]), bool), gone[:-1]])
    columns = {"open": gone | after, "high": gone, "low": gone}
    left: dict[str, Any] = {
        name: np.where(where, np.nan, values)
        for name, where in columns.items()
        if (values := getattr(history, name)) is not None
    }
    # the bar after begins at the wick: its high and low are those of its close, as far as known
    for name in ("high", "low"):
        if name in left:
            left[name] = np.where(after & np.isfinite(left[name]), history.close, left[name])
    return replace(history, **left)


def _without_wicks_of_extremes(history: PriceHistory) -> tuple[PriceHistory, list[Wick]]:
    log_close = np.log(history.close)
    scale = np.full(history.close.shape, np.nan)
    for column in range(len(history.assets)):
        rows = np.flatnonzero(np.isfinite(log_close[:, column]))
        if len(rows) > 2:
            spread = _scale(np.diff(log_close[rows, column]))
            scale[rows, column] = np.append(spread[:1], spread)
    wicks: list[Wick] = []
    left: dict[str, Any] = {}
    for name, sign in (("high", 1.0), ("low", -1.0)):
        values = getattr(history, name)
        if values is None:
            continue
        body = history.close
        if history.open is not None:
            body = (np.fmax if sign > 0 else np.fmin)(history.open, history.close)
        found = _unconfirmed(sign * np.log(values), sign * np.log(body), scale)
        kept = np.where(found, body, values)
        for row, column in np.argwhere(found):
            moment, asset = history.timestamps[row], history.assets[column]
            before, after = float(values[row, column]), float(kept[row, column])
            wicks.append(Wick(asset, moment, "high" if sign > 0 else "low", before, after))
        left[name] = kept
    return replace(history, **left), wicks


def _unconfirmed(reach: Floats, body: Floats, scale: Floats) -> _Booleans:
    """Return where an extreme is a wick.

    Parameters
    ----------
    reach, body
        (times, assets) logs, upward: of the extreme, and of the farther of open and close.
    scale
        (times, assets) local standard deviations.
    """
    excess = reach - body
    # what is NaN is no wick and confirms none
    multiple = np.nan_to_num(excess / scale, nan=0.0, posinf=0.0)
    nothing = np.full((1, reach.shape[1]), np.nan)
    neighbour = np.fmax(np.vstack([nothing, reach[:-1]]), np.vstack([reach[1:], nothing]))
    confirmed = neighbour >= body + _CONFIRMED * excess
    others = np.count_nonzero(multiple > _TOGETHER, axis=1)[:, None] - (multiple > _TOGETHER)
    return np.asarray((multiple > _BEYOND) & ~confirmed & (others == 0))


def _scale(returns: Floats) -> Floats:
    """Return the (bars,) local standard deviations of (bars,) log returns, see above."""
    size = np.abs(returns)
    padded = np.pad(size, _WINDOW, constant_values=np.nan)
    local = np.nanmedian(sliding_window_view(padded, 2 * _WINDOW + 1), axis=1)
    least = _LEAST_SCALE * float(np.median(size))
    return np.maximum(_NORMAL * np.maximum(local, least), _LEAST_MOVE)


def _refuse_impossible(history: PriceHistory) -> None:
    for column, asset in enumerate(history.assets):
        rows = np.flatnonzero(np.isfinite(history.close[:, column]))
        returns = np.diff(np.log(history.close[rows, column]))
        for place in np.flatnonzero(np.abs(returns) > _LARGEST)[:1]:
            row = rows[place + 1]
            raise InputError(
                f"{asset} moves by a factor of {np.exp(np.abs(returns[place])):.3g} from one bar to"
                f" the next, to {history.close[row, column]:g} at {history.timestamps[row]}Z",
                file=history.source,
                key="column close",
                remedy="mend the price, the unit may have changed, or move --since and --until",
            )


def _gaps(history: PriceHistory) -> Integers:
    spacings = [
        np.diff(history.timestamps[np.isfinite(close)]) for close in np.transpose(history.close)
    ]
    values, counts = np.unique(np.concatenate(spacings), return_counts=True)
    if not len(values):
        return np.zeros(len(history.assets), np.int64)
    bar = values[np.argmax(counts)]
    return np.array([np.count_nonzero(spacing != bar) for spacing in spacings], np.int64)
