"""Price histories from tidy files: one row a timestamp and asset."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from stress.data.tables import LARGEST_NUMBER, SMALLEST_NUMBER, Table, read_table, suggestion
from stress.data.timestamps import Times, parse_timestamps
from stress.errors import InputError, ending
from stress.types import Floats, Integers

__all__ = ["PriceHistory", "Times", "read_prices"]

_REQUIRED = ("timestamp", "asset", "close")
_BARS = ("open", "high", "low", "volume")
_OPTIONAL = (*_BARS, "source")

_ROUNDING = 1e-6
"""Relative difference by which a low may stand above, or a high below, its bar's open or close:
files that round each price by itself differ by no more."""


@dataclass(frozen=True)
class PriceHistory:
    """Prices of some assets on the union of their timestamps.

    Attributes
    ----------
    source, sha256
        The absolute path of the file and the SHA-256 of its bytes.
    assets
        In order of first appearance in the file, or as chosen.
    timestamps
        (times,) UTC to the millisecond, ascending, distinct.
    close
        (times, assets) USD per unit, positive; NaN where the asset has no row.
    duplicates
        (assets,) rows of the whole file dropped because they said the same as another one.
    out_of_order
        Rows of the whole file that follow a later timestamp of their own asset; they were sorted.
    open, high, low
        (times, assets) USD per unit, positive, low <= open, close <= high but for rounding; NaN
        where absent. None where the file has no such column.
    volume
        (times, assets) traded in a bar, in units of the asset, at least 0; NaN where absent. None
        where the file has no such column.
    """

    source: Path
    sha256: str
    assets: tuple[str, ...]
    timestamps: Times
    close: Floats
    duplicates: Integers
    out_of_order: int
    open: Floats | None = None
    high: Floats | None = None
    low: Floats | None = None
    volume: Floats | None = None

    def choose(
        self,
        assets: Sequence[str] | None = None,
        since: np.datetime64 | None = None,
        until: np.datetime64 | None = None,
    ) -> PriceHistory:
        """Return the history of some assets from ``since`` to ``until``, both included.

        Raises
        ------
        InputError
            An asset that the file does not hold, or no row left of one.
        """
        labels = tuple(dict.fromkeys(assets)) if assets is not None else self.assets
        for asset in labels:
            if asset not in self.assets:
                raise InputError(
                    f'asset "{asset}" is not in the history',
                    file=self.source,
                    key="--assets",
                    remedy=suggestion(asset, self.assets),
                )
        columns = [self.assets.index(asset) for asset in labels]
        close = self.close[:, columns]
        rows = np.isfinite(close).any(axis=1)
        rows &= self.timestamps >= since if since is not None else True
        rows &= self.timestamps <= until if until is not None else True
        bars: dict[str, Any] = {
            name: values[:, columns][rows]
            for name in _BARS
            if (values := getattr(self, name)) is not None
        }
        chosen = replace(
            self,
            assets=labels,
            timestamps=self.timestamps[rows],
            close=close[rows],
            duplicates=self.duplicates[columns],
            **bars,
        )
        _refuse_empty(chosen, self)
        return chosen


def read_prices(path: str | PathLike[str]) -> PriceHistory:
    """Read a tidy price file: timestamp, asset, close [, open, high, low, volume, source].

    Rows may stand in any order. A row that repeats another one's timestamp, asset and close is
    dropped and counted; of the other columns the row that stands last is kept.

    Raises
    ------
    MissingInputError
        There is no such file.
    InputError
        A column is missing or unknown; a timestamp cannot be read or is written unlike the others;
        a price is not a positive number; a low or a high does not hold its bar's open and close;
        two rows contradict each other; there is only one timestamp.
    """
    table = read_table(path, _REQUIRED, _OPTIONAL)
    labels = table.text("asset")
    moments = parse_timestamps(
        table.text("timestamp"),
        lambda row, rule, remedy: table.error(row, "timestamp", rule, remedy),
    )
    closes = _closes(table, labels)
    assets, asset_of = _numbered(labels)
    timestamps, time_of = np.unique(moments, return_inverse=True)
    if len(timestamps) == 1:
        raise InputError(
            f"the history has only one timestamp, {timestamps[0]}Z",
            file=table.file,
            key="column timestamp",
            remedy="give a history of many bars",
        )
    duplicates = _duplicates(table, labels, moments, closes, asset_of)

    def spread(values: Floats) -> Floats:
        wide = np.full((len(timestamps), len(assets)), np.nan)
        wide[time_of, asset_of] = values
        return wide

    return PriceHistory(
        source=table.file.resolve(),
        sha256=_sha256(table.file),
        assets=assets,
        timestamps=timestamps,
        close=spread(closes),
        duplicates=duplicates,
        out_of_order=_out_of_order(moments, asset_of),
        **{name: spread(values) for name, values in _bars(table, labels, closes).items()},
    )


def _closes(table: Table, labels: Sequence[str]) -> Floats:
    cells = table.cells("close")
    closes = np.array([_number(cell) for cell in cells])
    wrong = np.flatnonzero(~((closes >= SMALLEST_NUMBER) & (closes <= LARGEST_NUMBER)))
    if wrong.size:
        row = int(wrong[0])
        found = "an empty cell" if cells[row] in (None, "") else cells[row]
        rule = f"the close of {labels[row]} must be a positive number, got {found}"
        raise table.error(row, "close", rule, "mend the price or remove the row")
    return closes


def _bars(table: Table, labels: Sequence[str], closes: Floats) -> dict[str, Floats]:
    """Return the (rows,) columns of the bars that the file has, checked; NaN in empty cells."""
    bars = {name: table.numbers(name, optional=True) for name in _BARS if table.has(name)}
    for name, values in bars.items():
        least = 0.0 if name == "volume" else np.finfo(np.float64).tiny
        wrong = np.flatnonzero(values < least)
        if wrong.size:
            row = int(wrong[0])
            kind = "at least 0" if name == "volume" else "a positive number"
            rule = f"the {name} of {labels[row]} must be {kind}, got {values[row]:g}"
            raise table.error(row, name, rule, "mend it or leave the cell empty")
    for name, sign in (("low", 1.0), ("high", -1.0)):
        for other, inside in (("close", closes), ("open", bars.get("open"))):
            if name in bars and inside is not None:
                _check_inside(table, labels, (name, sign, bars[name]), (other, inside))
    return bars


def _check_inside(
    table: Table,
    labels: Sequence[str],
    bound: tuple[str, float, Floats],
    inside: tuple[str, Floats],
) -> None:
    """Refuse a low above, or a high below, another price of its bar; NaN compares as right."""
    name, sign, values = bound
    other, prices = inside
    wrong = np.flatnonzero(sign * (values - prices) > _ROUNDING * prices)
    if wrong.size:
        row = int(wrong[0])
        place = "above" if sign > 0 else "below"
        rule = (
            f"the {name} of {labels[row]}, {values[row]:g}, is {place} its {other}, {prices[row]:g}"
        )
        raise table.error(row, name, rule, "mend the bar or remove the row")


def _number(cell: Any) -> float:
    try:
        return float(cell)
    except (TypeError, ValueError):
        return float("nan")


def _numbered(labels: Sequence[str]) -> tuple[tuple[str, ...], Integers]:
    """Return the distinct labels in order of first appearance, and each row's number among them."""
    number: dict[str, int] = {}
    rows = [number.setdefault(label, len(number)) for label in labels]
    return tuple(number), np.array(rows, dtype=np.int64)


def _duplicates(
    table: Table, labels: Sequence[str], moments: Times, closes: Floats, asset_of: Integers
) -> Integers:
    """Count each asset's repeated rows, (assets,); refuse two that contradict each other."""
    order = np.lexsort((np.arange(len(moments)), moments, asset_of))
    before, after = order[:-1], order[1:]
    repeats = (moments[before] == moments[after]) & (asset_of[before] == asset_of[after])
    conflicts = after[repeats & (closes[before] != closes[after])]
    if conflicts.size:
        row = int(conflicts.min())
        earlier = int(before[after == row][0])
        rule = (
            f"{labels[row]} closes at {closes[row]:g} here and at {closes[earlier]:g} in row"
            f" {earlier + 1}, at the same {moments[row]}Z"
        )
        raise table.error(row, "close", rule, "keep one of the two rows")
    return np.bincount(asset_of[after[repeats]], minlength=int(asset_of.max()) + 1)


def _out_of_order(moments: Times, asset_of: Integers) -> int:
    # a stable sort by asset keeps the file's order inside each asset
    order = np.argsort(asset_of, kind="stable")
    same = np.diff(asset_of[order]) == 0
    return int(np.count_nonzero(same & (np.diff(moments[order]) < np.timedelta64(0, "ms"))))


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _refuse_empty(chosen: PriceHistory, whole: PriceHistory) -> None:
    absent = [
        asset
        for asset, close in zip(chosen.assets, np.transpose(chosen.close), strict=True)
        if not np.isfinite(close).any()
    ]
    if absent:
        raise InputError(
            f"no price of {ending(absent)} between --since and --until;"
            f" the file goes from {whole.timestamps[0]}Z to {whole.timestamps[-1]}Z",
            file=whole.source,
            remedy="move --since and --until, or leave these assets out with --assets",
        )
