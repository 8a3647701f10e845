"""Bars of an exchange's perpetuals, page by page, finished ones only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from math import isfinite
from typing import Any

from stress.errors import InputError
from stress.importers.contracts import contracts_of
from stress.importers.exchange import Connection
from stress.importers.rows import ImportedPrices, PriceRow
from stress.importers.statement import asset_of
from stress.importers.venue import Venue

__all__ = ["import_bars"]

_ROUNDING = 1e-6
"""Relative: prices of a bar that are rounded one by one differ by no more."""

_YEAR_MS = 365 * 86_400_000

_BOTH_SIDES = "the venue counts both sides of a trade: volumes are halved"


def import_bars(
    venue: Venue,
    connection: Connection,
    assets: Sequence[str],
    *,
    bar: str,
    since: datetime | None,
    version: str,
) -> ImportedPrices:
    """Read the bars of some assets' linear perpetuals.

    Parameters
    ----------
    bar
        Such as "1h".
    since
        First moment, with a time zone, or None for the last 365 days; what was listed after it
        begins later.
    version
        Of the software that read them, for the source.

    Raises
    ------
    InputError, MissingInputError
        An asset has no contract there, or no bar of it came; or as ``Connection.ask`` does.
    """
    length = connection.bar_ms(bar)
    end = connection.now_ms // length * length
    first = connection.now_ms - _YEAR_MS if since is None else int(since.timestamp() * 1000)
    begin = -(-first // length) * length
    if begin >= end:
        rule = f"no bar of {bar} has ended since {_utc(first):%Y-%m-%d %H:%M} UTC"
        raise InputError(rule, key="--since", remedy="name an earlier moment")
    rows: list[PriceRow] = []
    notices = [_BOTH_SIDES] if venue.volume_share != 1 else []
    for market in contracts_of(connection, assets):
        wanted = range(begin, end, length)
        found = _bars(venue, connection, market, bar, wanted)
        if not found:
            rule = f"{venue.name} gave no bar of {market['symbol']}"
            raise InputError(
                rule, key="--since", remedy="leave the asset out or ask for other bars"
            )
        asset = asset_of(market)
        read = [_row(asset, venue, found[moment]) for moment in sorted(found)]
        notices += [*_gaps(asset, sorted(found), length, end), *_odd(asset, read)]
        rows += read
    return ImportedPrices(tuple(rows), f"{venue.name} by {version}", tuple(notices))


def _bars(
    venue: Venue, connection: Connection, market: Mapping[str, Any], bar: str, wanted: range
) -> dict[int, Sequence[float]]:
    """Return the bars that came by their beginnings, each once and none that still runs."""
    listed = int(market.get("created") or 0)
    found: dict[int, Sequence[float]] = {}
    for window in _windows(wanted, venue.bars, listed):
        limit = venue.bars if venue.bars_limit else None
        until = {"until": window[-1] + wanted.step - 1}
        symbol = market["symbol"]
        page = connection.ask("fetch_ohlcv", symbol, bar, window[0], limit, until)
        # an exchange may give a bar more than it was asked for
        found.update({row[0]: row for row in page if row[0] in wanted and _is_price(row[4])})
    return found


def _windows(wanted: range, most: int, listed: int) -> Iterator[range]:
    """Return the beginnings wanted, so many a request, without pages before the listing."""
    for first in range(0, len(wanted), most):
        window = wanted[first : first + most]
        if window[-1] + wanted.step > listed:
            yield window


def _gaps(asset: str, moments: Sequence[int], length: int, end: int) -> list[str]:
    missing = (end - moments[0]) // length - len(moments)
    if not missing:
        return []
    return [f"{asset}: bars missing since {_utc(moments[0]):%Y-%m-%d %H:%M} UTC: {missing:,}"]


def _utc(moment_ms: int) -> datetime:
    return datetime.fromtimestamp(moment_ms / 1000, UTC)


def _row(asset: str, venue: Venue, bar: Sequence[float]) -> PriceRow:
    moment, opened, high, low, close, volume = bar
    plain = PriceRow(
        timestamp=_utc(int(moment)),
        asset=asset,
        close=close,
        volume=volume * venue.volume_share if _is_number(volume) and volume >= 0 else None,
    )
    return replace(plain, open=opened, high=high, low=low) if _holds(bar) else plain


def _holds(bar: Sequence[float]) -> bool:
    """Whether low and high of a bar hold its open and close, but for rounding."""
    _, opened, high, low, close, _ = bar
    if not all(map(_is_price, (opened, high, low))):
        return False
    inside = (opened, close)
    least, most = min(inside) * (1 + _ROUNDING), max(inside) * (1 - _ROUNDING)
    return low <= least and high >= most


def _is_price(value: Any) -> bool:
    return _is_number(value) and value > 0


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and isfinite(value)


def _odd(asset: str, rows: Sequence[PriceRow]) -> list[str]:
    odd = sum(row.low is None for row in rows)
    what = "bars that keep the close alone, as low and high do not hold it or the open"
    return [f"{asset}: {what}: {odd:,}"] if odd else []
