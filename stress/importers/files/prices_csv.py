"""Price histories that others wrote as CSV, in any usual shape, as one tidy history.

Long: one row a moment and asset. Wide: one column an asset. Or one file an asset, with a header
(Yahoo, CryptoDataDownload, TradingView) or without (the klines of Binance's public data,
https://github.com/binance/binance-public-data).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from os import PathLike
from pathlib import Path
from typing import Literal

import numpy as np

from stress.calibrate.gbm import say
from stress.errors import InputError, ending
from stress.importers.files.moments import read_moments
from stress.importers.files.numerals import decimal_mark, numeral
from stress.importers.files.sniffing import (
    Sheet,
    counted,
    fields_of,
    label,
    read_sheet,
    shown,
    squeezed,
)
from stress.importers.files.symbols import pair_of
from stress.importers.rows import ImportedPrices, PriceRow
from stress.importers.statement import DOLLARS

__all__ = ["PRICE_FIELDS", "StatedPrices", "read_price_files"]

PRICE_FIELDS: Mapping[str, tuple[str, ...]] = {
    "timestamp": (
        "opentime",
        "timeopen",
        "opentimestamp",
        "unix",
        "unixtimestamp",
        "timestamp",
        "time",
        "datetime",
        "date",
        "dateutc",
        "timeutc",
        "ts",
    ),
    "asset": ("asset", "symbol", "coin", "pair", "ticker", "market", "instrument", "instid"),
    "close": ("close", "closeprice", "closelast", "price", "last", "lastprice", "markprice"),
    "adjusted": ("adjclose", "adjustedclose"),
    "open": ("open", "openprice"),
    "high": ("high", "highprice"),
    "low": ("low", "lowprice"),
    "volume": ("volume", "vol"),
}
"""Field to the names under which it is usually written, squeezed, the best first."""

_KLINE = (
    "Open time",
    "Open",
    "High",
    "Low",
    "Close",
    "Volume",
    "Close time",
    "Quote asset volume",
    "Number of trades",
    "Taker buy base asset volume",
    "Taker buy quote asset volume",
    "Ignore",
)
"""Columns of Binance's klines in order, as its documentation names them."""

_BASE_VOLUME_IF = ("quoteassetvolume", "quotevolume", "quoteassetvol")
"""A column that makes another one called volume that in coins."""

_NO_ASSETS = frozenset(
    ("open", "high", "low", "volume", "vol", "marketcap", "change", "vwap", "tradecount", "trades")
)
"""Columns that a wide table of prices does not have; one with them has a close by another name."""

_BARS = ("open", "high", "low")

_ROUNDING = 1e-6
"""Relative difference by which a low may stand above its bar's open or close: that of the reader
of price histories."""

_NOISE = re.compile(
    r"(?:[0-9]+|[0-9]*(?:s|m|min|h|d|w|mo)|daily|hourly|minute|day|hour|ohlcv?|klines?|candles?|"
    r"prices?|history|historical|data|perp|perpetual|swap|spot|futures|um|cm|usdm|binance|bybit|"
    r"okx|okex|htx|huobi|hyperliquid|coinbase|kraken|bitstamp|gemini|bitfinex|bitmex|deribit)",
    re.IGNORECASE,
)
"""Words of a file's name that name no asset."""

_ENDINGS = re.compile(r"(?:\.(?:csv|tsv|txt|gz|zip))+\Z", re.IGNORECASE)


@dataclass(frozen=True)
class StatedPrices:
    """What the user says of price files, because they do not: see ``position_table.Stated``."""

    decimal: Literal[".", ","] | None = None
    date_order: Literal["DMY", "MDY"] | None = None
    columns: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Table:
    """A price table: which column is which, how it writes numbers, and the moment of each row."""

    sheet: Sheet
    fields: Mapping[str, int]
    decimal: str
    moments: tuple[datetime, ...]

    def price(self, row: int, index: int) -> float | None:
        """Return a price above 0, None where there is nothing."""
        text = self.sheet.cell(row, index)
        if not text:
            return None
        value = self.number(row, index)
        if not value > 0:
            rule = f'a price must be above 0, got "{shown(text)}"'
            raise self.sheet.error(row, index, rule, "mend it, or remove the row")
        return value

    def number(self, row: int, index: int) -> float:
        """Return a cell as a number of dollars or coins."""
        text = self.sheet.cell(row, index)
        try:
            found = numeral(text, self.decimal)
        except ValueError:
            rule = f'must be a number, got "{shown(text)}"'
            remedy = "write a plain number such as 1234.5, or say --decimal"
            raise self.sheet.error(row, index, rule, remedy) from None
        if found.unit and found.unit.upper() not in DOLLARS:
            rule = f'"{shown(text)}" has a unit'
            raise self.sheet.error(row, index, rule, "write the number alone")
        return found.value


@dataclass
class _Gathered:
    """The bars so far, and what there was to say."""

    bars: dict[tuple[str, datetime], PriceRow] = field(default_factory=dict)
    repeated: int = 0
    notices: list[str] = field(default_factory=list)


def read_price_files(
    words: Sequence[str | PathLike[str]], stated: StatedPrices | None = None
) -> ImportedPrices:
    """Read price files, each of one or many assets, as one history.

    A row without a close is left out and counted. A bar that stands there twice is kept once if
    both say the same.

    Parameters
    ----------
    words
        Files; ``BTC=FILE`` says of which asset a file is that does not say it.
    stated
        What the files themselves do not say.

    Raises
    ------
    MissingInputError
        A file is absent.
    InputError
        Something cannot be understood: the message names file, row and column, and the way out.
    """
    gathered = _Gathered()
    given = [_named(word) for word in words]
    for asset, file in given:
        _gather(gathered, file, asset, stated or StatedPrices())
    names = ending(list(dict.fromkeys(shown(file.name) for _, file in given)))
    bars = tuple(gathered.bars.values())
    if len({moment for _, moment in gathered.bars}) < 2:
        rule = f"{counted(len(bars), 'bar')} of one moment: no history"
        raise InputError(rule, file=names, remedy="give files of many bars")
    return ImportedPrices(bars, f"prices by the files {names}", _notices(gathered))


def _named(word: str | PathLike[str]) -> tuple[str | None, Path]:
    """Split BTC=FILE, unless a file is called that."""
    name, separator, path = str(word).partition("=")
    try:
        whole = Path(word).exists()
    except (OSError, ValueError):
        whole = True
    if not separator or whole or not name or "/" in name or "\\" in name:
        return None, Path(word)
    try:
        return label(name), Path(path)
    except ValueError:
        raise InputError(f'"{shown(name)}" is no asset', remedy="write BTC=FILE") from None


def _gather(gathered: _Gathered, file: Path, asset: str | None, stated: StatedPrices) -> None:
    sheet = _with_header(read_sheet(file, headless=True))
    fields = fields_of(sheet, PRICE_FIELDS, stated.columns)
    fields = _first_unnamed(sheet, fields)
    if "timestamp" not in fields:
        raise _missing(sheet, "timestamp")
    columns = _priced(sheet, fields, asset)
    volumes = _volumes(sheet, fields, stated, gathered)
    numbers = {*columns, *_indices(fields, _BARS), *volumes.values()}
    decimal = decimal_mark(sheet, numbers, stated.decimal)
    moments = read_moments(sheet, fields["timestamp"], None, stated.date_order)
    table = _Table(sheet, fields, decimal, moments.values)
    gathered.notices += [f"{shown(file.name)}: {notice}" for notice in moments.notices]
    before, missing = len(gathered.bars), 0
    for row, bar in _rows(table, columns, volumes):
        if bar is None:
            missing += 1
        else:
            _add(gathered, table, row, bar)
    _tell(gathered, table, columns, len(gathered.bars) - before, missing)
    used = {*numbers, *_indices(fields, ("timestamp", "asset"))}
    unused = [sheet.name(index) for index in range(len(sheet.header)) if index not in used]
    if unused:
        gathered.notices.append(f"{shown(file.name)}: columns not used: {ending(unused, 12)}")


def _with_header(sheet: Sheet) -> Sheet:
    """Give Binance's klines their names; a file of numbers alone that is none is refused."""
    if sheet.header:
        return sheet
    width = len(sheet.rows[0])
    if width != len(_KLINE):
        rule = f"has no header, and its {width} columns are not those of Binance's klines"
        raise InputError(rule, file=sheet.file, remedy="write the names of the columns on top")
    return Sheet(sheet.file, _KLINE, sheet.rows, sheet.lines, sheet.delimiter)


def _first_unnamed(sheet: Sheet, fields: dict[str, int]) -> dict[str, int]:
    """Take an unnamed first column for the index of a data frame: the moments."""
    if "timestamp" in fields or sheet.header[0]:
        return fields
    return {**fields, "timestamp": 0}


def _missing(sheet: Sheet, name: str) -> InputError:
    names = ", ".join(shown(column) for column in sheet.header[:12])
    rule = f"no column is known as the {name}; the file has: {names}"
    return InputError(
        rule, file=sheet.file, key="header", remedy=f"name it with --column {name}=NAME"
    )


def _indices(fields: Mapping[str, int], names: Sequence[str]) -> list[int]:
    return [fields[name] for name in names if name in fields]


def _priced(sheet: Sheet, fields: dict[str, int], asset: str | None) -> dict[int, str | None]:
    """Return which columns hold closes, and of which asset; None where a column says it by row."""
    close = _close(sheet, fields)
    if close is None:
        return _wide(sheet, fields, asset)
    if "asset" not in fields:
        return {close: asset or _asset_of_file(sheet.file)}
    if asset is None:
        return {close: None}
    symbols = sheet.column(fields["asset"])
    if len(set(symbols)) > 1:
        row = next(row for row, symbol in enumerate(symbols) if symbol != symbols[0])
        rule = f'the file holds more than one asset, "{shown(symbols[row])}" beside'
        rule += f' "{shown(symbols[0])}"'
        raise sheet.error(row, fields["asset"], rule, f"give it without {asset}=")
    return {close: asset}


def _close(sheet: Sheet, fields: dict[str, int]) -> int | None:
    """Return the column of the close: the adjusted one where the two differ."""
    plain, adjusted = fields.get("close"), fields.get("adjusted")
    if plain is None or adjusted is None:
        return plain if adjusted is None else adjusted
    if sheet.column(plain) == sheet.column(adjusted):
        return plain
    return adjusted


def _wide(sheet: Sheet, fields: Mapping[str, int], asset: str | None) -> dict[int, str | None]:
    others = [index for index in range(len(sheet.header)) if index not in fields.values()]
    odd = any(squeezed(sheet.header[index]) in _NO_ASSETS for index in others)
    if asset is not None or odd or len(fields) > 1 or not others:
        raise _missing(sheet, "close")
    found: dict[int, str | None] = {}
    for index in others:
        name = _dollar_asset(sheet, None, index, sheet.header[index])
        if name in found.values():
            rule = f"columns {list(found.values()).index(name) + 2} and {index + 1} are both {name}"
            raise InputError(rule, file=sheet.file, key="header", remedy="keep one of them")
        found[index] = name
    return found


def _dollar_asset(sheet: Sheet, row: int | None, index: int, symbol: str) -> str:
    try:
        return pair_of(symbol)[0]
    except ValueError as error:
        rule = f'"{shown(symbol)}" {error}'
        remedy = "prices are needed in dollars"
        if row is not None:
            raise sheet.error(row, index, rule, remedy) from None
        raise InputError(rule, file=sheet.file, key="header", remedy=remedy) from None


def _asset_of_file(file: Path) -> str:
    """Return the asset that a file's name says: BTCUSDT-1d-2024-01.zip, Binance_BTCUSDT_d.csv."""
    words = re.split(r"[-_, .]+", _ENDINGS.sub("", file.name))
    words = [word for word in words if word and not _NOISE.fullmatch(word)]
    rule = f'"{shown(file.name)}" does not say of which asset the prices are'
    remedy = f"write BTC={shown(str(file))}, with the asset's name"
    if not 1 <= len(words) <= 2:
        raise InputError(rule, file=file, remedy=remedy)
    try:
        # of two words the second must be a dollar
        return pair_of("-".join(words))[0]
    except ValueError as error:
        raise InputError(f"{rule}: {error}", file=file, remedy=remedy) from None


def _volumes(
    sheet: Sheet, fields: Mapping[str, int], stated: StatedPrices, gathered: _Gathered
) -> dict[str, int]:
    """Return the columns of volume whose unit is known to be coins: by asset, "" for any asset."""
    keys = [squeezed(name) for name in sheet.header]
    found = {}
    for index, name in enumerate(sheet.header):
        match = re.fullmatch(r"Volume[ _]\(?([A-Za-z0-9]+)\)?", name, re.IGNORECASE)
        if match:
            found[match[1].upper()] = index
    if "volume" not in fields:
        return found
    own = keys[fields["timestamp"]] == "timestamp" and {"asset", "close"} <= set(keys)
    beside = any(key in _BASE_VOLUME_IF for key in keys)
    if own or beside or "volume" in stated.columns:
        return {**found, "": fields["volume"]}
    gathered.notices.append(
        f"{shown(sheet.file.name)}: column {sheet.name(fields['volume'])} left out, it can be in"
        f" coins or in dollars; if in coins, say --column volume={sheet.name(fields['volume'])}"
    )
    return found


def _rows(
    table: _Table, columns: Mapping[int, str | None], volumes: Mapping[str, int]
) -> Iterator[tuple[int, PriceRow | None]]:
    """Yield the bars of a table with their rows, None where there is no close."""
    plain = len(columns) == 1 and table.fields.get("adjusted") not in columns
    bars = [name for name in _BARS if plain and name in table.fields]
    names: dict[str, str] = {}
    for row, moment in enumerate(table.moments):
        for index, asset in columns.items():
            close = table.price(row, index)
            if close is None:
                yield row, None
                continue
            name = asset or _asset_in_row(table, row, names)
            prices = {bar: table.price(row, table.fields[bar]) for bar in bars}
            _check_bar(table, row, close, prices)
            volume = _volume(table, row, volumes, name)
            yield row, PriceRow(moment, name, close, **prices, volume=volume)


def _asset_in_row(table: _Table, row: int, known: dict[str, str]) -> str:
    index = table.fields["asset"]
    symbol = table.sheet.rows[row][index]
    if symbol not in known:
        known[symbol] = _dollar_asset(table.sheet, row, index, symbol)
    return known[symbol]


def _volume(table: _Table, row: int, volumes: Mapping[str, int], asset: str) -> float | None:
    index = volumes.get(asset.upper(), volumes.get(""))
    if index is None or not table.sheet.cell(row, index):
        return None
    value = table.number(row, index)
    if value < 0:
        rule = f"a volume must be at least 0, got {value:g}"
        raise table.sheet.error(row, index, rule, "mend it, or leave the cell empty")
    return value


def _check_bar(table: _Table, row: int, close: float, prices: Mapping[str, float | None]) -> None:
    """Refuse a low above, or a high below, another price of its bar."""
    inside = [value for value in (close, prices.get("open")) if value is not None]
    for name, beyond in (("low", max), ("high", min)):
        bound = prices.get(name)
        if bound is None:
            continue
        other = min(inside) if name == "low" else max(inside)
        if beyond(bound, other) == bound and abs(bound - other) > _ROUNDING * other:
            place = "above" if name == "low" else "below"
            rule = f"the {name} {bound:g} is {place} {other:g}, another price of its bar"
            raise table.sheet.error(row, table.fields[name], rule, "mend the bar, or remove it")


def _add(gathered: _Gathered, table: _Table, row: int, bar: PriceRow) -> None:
    key = (bar.asset, bar.timestamp)
    other = gathered.bars.get(key)
    if other is None:
        gathered.bars[key] = bar
    elif other.close == bar.close:
        gathered.repeated += 1
    else:
        rule = (
            f"{shown(bar.asset)} closes at {bar.close:g}, and at {other.close:g} in an earlier row"
            f" or file, both at {bar.timestamp:%Y-%m-%d %H:%M:%S}"
        )
        raise table.sheet.error(row, table.fields["timestamp"], rule, "keep one of the two")


def _tell(
    gathered: _Gathered, table: _Table, columns: Mapping[int, str | None], bars: int, missing: int
) -> None:
    """Say what was understood of a file."""
    sheet = table.sheet
    closes = [sheet.name(index) for index in columns]
    what = f"close is column {closes[0]}" if len(closes) == 1 else f"{len(closes)} assets, wide"
    counts = f"{counted(len(sheet.rows), 'row')} read, {counted(bars, 'bar')}"
    text = f"{shown(sheet.file.name)}: {counts}; {what}"
    if len(columns) == 1 and (asset := next(iter(columns.values()))) is not None:
        text += f" of {shown(asset)}"
    if missing:
        text += f"; {counted(missing, 'cell')} without a close left out"
    if table.fields.get("adjusted") in columns and "close" in table.fields:
        text += "; the adjusted close differs from the close, so open, high and low are left out"
    if table.decimal == ",":
        text += "; numbers read with a decimal comma"
    gathered.notices.append(text)


def _notices(gathered: _Gathered) -> tuple[str, ...]:
    found = list(gathered.notices)
    if gathered.repeated:
        found.append(f"{counted(gathered.repeated, 'repeated bar')} left out")
    moments: dict[str, list[datetime]] = {}
    for asset, moment in gathered.bars:
        moments.setdefault(asset, []).append(moment)
    every = [moment for asset in moments.values() for moment in asset]
    found.append(
        f"{counted(len(moments), 'asset')}: {ending([shown(name) for name in moments], 12)};"
        f" {min(every):%Y-%m-%d %H:%M} to {max(every):%Y-%m-%d %H:%M} UTC"
    )
    spacings = {asset: _spacing(own) for asset, own in moments.items() if len(own) > 1}
    if len(set(spacings.values())) > 1:
        found.append(
            "bars differ: " + ending([f"{shown(a)} every {s}" for a, s in spacings.items()], 12)
        )
    return tuple(found)


def _spacing(moments: Sequence[datetime]) -> str:
    """Return the most frequent distance between two bars, such as "1h"."""
    apart = Counter(after - before for before, after in pairwise(sorted(moments)))
    return say(np.timedelta64(apart.most_common(1)[0][0]))
