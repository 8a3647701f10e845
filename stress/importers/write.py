"""Imported rows as the files that a scenario reads, each whole or not at all."""

from __future__ import annotations

import csv
import io
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import groupby, pairwise
from math import isfinite
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from stress.book.read import read_book
from stress.data.files import atomically
from stress.errors import InputError
from stress.importers.rows import (
    AccountRow,
    CollateralRow,
    ImportedBook,
    ImportedPrices,
    ImportedTiers,
    PositionRow,
    PriceRow,
    TierRow,
)

__all__ = ["BOOK_FILE", "PRICES_FILE", "TIERS_FILE", "write_book", "write_prices", "write_tiers"]

BOOK_FILE = "book.toml"
PRICES_FILE = "prices.csv"
TIERS_FILE = "tiers.toml"

_TABLES = {
    "accounts": "accounts.csv",
    "positions": "positions.csv",
    "collateral": "collateral.csv",
}

Columns = dict[str, Sequence[Any]]


def write_book(book: ImportedBook, folder: Path) -> tuple[Path, ...]:
    """Write a book to a folder: accounts.csv, positions.csv, collateral.csv if any, book.toml.

    The same book of another night is replaced. All files are complete before the first of them is
    moved to its place, and book.toml, which says of when they are, is moved last.

    Parameters
    ----------
    book
        What is written of it is read back first, as a run will read it.
    folder
        Made if it is absent.

    Returns
    -------
    The files written, book.toml first.

    Raises
    ------
    InputError
        The book has no position, or holds what a run would refuse; the folder holds another book,
        or it cannot be written to. Nothing is changed then.
    """
    if not book.positions:
        rule = f"{_owner(book.source)} holds no open position"
        raise InputError(rule, key="import", remedy="there is nothing to stress")
    _refuse_another(book, folder)
    tables = {
        "accounts": _csv(_accounts(book.accounts)),
        "positions": _csv(_positions(book.positions)),
        "collateral": _csv(_collateral(book.collateral)) if book.collateral else "",
    }
    texts = {_TABLES[name]: text for name, text in tables.items() if text}
    _refuse_unreadable(book, texts, folder)
    cover = _cover(book, [name for name, text in tables.items() if text])
    files = [(folder / name, text) for name, text in {BOOK_FILE: cover, **texts}.items()]
    gone = [folder / _TABLES[name] for name, text in tables.items() if not text]
    _write(folder, files, gone)
    return tuple(path for path, _ in files)


def write_tiers(tiers: ImportedTiers, folder: Path) -> Path:
    """Write tiers to tiers.toml in a folder, as a [venue.tiers] table for a scenario.

    Raises
    ------
    InputError
        Tiers that no scenario would take: the message names the asset.
    """
    lines = [f"# as_of {_iso(tiers.as_of)}, source {_comment(tiers.source)}"]
    lines += [f"# {_comment(notice)}" for notice in tiers.notices]
    lines.append("[venue.tiers]")
    for asset, rows in groupby(tiers.tiers, key=lambda row: row.asset):
        lines += _tier_lines(asset, tuple(rows))
    file = folder / TIERS_FILE
    _write(folder, [(file, "\n".join(lines) + "\n")])
    return file


def write_prices(prices: ImportedPrices, folder: Path) -> Path:
    """Write bars to prices.csv in a folder, in order of time and asset, as ``calibrate`` reads it.

    Raises
    ------
    InputError
        There is no bar, or the folder cannot be written to.
    """
    if not prices.bars:
        raise InputError(f"{prices.source} gave no bar", key="import", remedy="ask for other dates")
    bars = sorted(prices.bars, key=lambda bar: (bar.timestamp, bar.asset))
    file = folder / PRICES_FILE
    _write(folder, [(file, _csv(_bars(bars)))])
    return file


def _write(folder: Path, files: Sequence[tuple[Path, str]], gone: Iterable[Path] = ()) -> None:
    with _disk(folder):
        folder.mkdir(parents=True, exist_ok=True)
        _together(files, gone)


@contextmanager
def _disk(folder: Path) -> Iterator[None]:
    """Say in one line what the disk refuses."""
    try:
        yield
    except OSError as error:
        rule = f"cannot be written: {error.strerror or error}"
        raise InputError(rule, file=folder, remedy="name another folder with -o") from None


def _together(files: Sequence[tuple[Path, str]], gone: Iterable[Path]) -> None:
    """Write all files beside their places, then move them there, the first one last."""
    if not files:
        for path in gone:
            path.unlink(missing_ok=True)
        return
    (path, text), *rest = files

    def write(unfinished: Path) -> None:
        unfinished.write_text(text, encoding="utf-8", newline="")
        _together(rest, gone)

    atomically(path, write)


def _refuse_another(book: ImportedBook, folder: Path) -> None:
    """Refuse a folder whose tables are not an earlier state of this book."""
    cover = folder / BOOK_FILE
    remedy = "name another folder with -o, or remove the old files"
    if not cover.exists():
        held = [name for name in _TABLES.values() if (folder / name).exists()]
        if held:
            raise InputError(f"holds {held[0]} that no import wrote", file=folder, remedy=remedy)
        return
    try:
        source = tomllib.loads(cover.read_text(encoding="utf-8")).get("source", "")
    except (OSError, ValueError):
        raise InputError("is not a book.toml of an import", file=cover, remedy=remedy) from None
    if _owner(str(source)) != _owner(book.source):
        rule = f"holds the book of {_owner(str(source))}, this is that of {_owner(book.source)}"
        raise InputError(rule, file=folder, remedy=remedy)


def _refuse_unreadable(book: ImportedBook, texts: Mapping[str, str], folder: Path) -> None:
    """Refuse tables that a run would: it is better said now than every night."""
    held = [row.asset for row in book.positions] + [row.asset for row in book.collateral]
    with _disk(folder), TemporaryDirectory() as place:
        files = {name: Path(place) / name for name in texts}
        for name, file in files.items():
            file.write_text(texts[name], encoding="utf-8", newline="")
        accounts, positions, *collateral = files.values()
        try:
            read_book(accounts, positions, next(iter(collateral), None), sorted(set(held)))
        except InputError as error:
            table = folder / Path(str(error.file)).name
            raise InputError(error.rule, file=table, key=error.key, remedy=error.remedy) from None


def _owner(source: str) -> str:
    """Return whose book it is: what stands before " by "."""
    return source.partition(" by ")[0]


def _cover(book: ImportedBook, tables: Sequence[str]) -> str:
    import tomli_w

    files = {name: _TABLES[name] for name in tables}
    return tomli_w.dumps({"as_of": _iso(book.as_of), "source": book.source, **files})


def _accounts(rows: Sequence[AccountRow]) -> Columns:
    return {
        "account": [row.account for row in rows],
        "cash": [_number(row.cash) for row in rows],
        **_optional("group", [row.group for row in rows]),
    }


def _positions(rows: Sequence[PositionRow]) -> Columns:
    return {
        "account": [row.account for row in rows],
        "asset": [row.asset for row in rows],
        "quantity": [_number(row.quantity) for row in rows],
        "entry_price": [_number(row.entry_price) for row in rows],
        **_optional("margin", [_maybe(row.margin) for row in rows]),
        **_optional("leverage", [_maybe(row.leverage) for row in rows]),
        **_optional("position", [row.position for row in rows]),
    }


def _collateral(rows: Sequence[CollateralRow]) -> Columns:
    return {
        "account": [row.account for row in rows],
        "asset": [row.asset for row in rows],
        "quantity": [_number(row.quantity) for row in rows],
    }


def _bars(rows: Sequence[PriceRow]) -> Columns:
    columns: Columns = {
        "timestamp": [_iso(row.timestamp) for row in rows],
        "asset": [row.asset for row in rows],
    }
    for name in ("open", "high", "low", "close", "volume"):
        columns.update(_optional(name, [_maybe(getattr(row, name)) for row in rows]))
    return columns


def _optional(name: str, cells: Sequence[str | None]) -> Columns:
    """Return a column, or none where every cell is empty."""
    if all(cell is None for cell in cells):
        return {}
    return {name: ["" if cell is None else cell for cell in cells]}


def _maybe(value: float | None) -> str | None:
    return None if value is None else _number(value)


def _number(value: float) -> str:
    # fifteen digits hide what binary fractions add to a product such as 3 contracts of 0.1
    return f"{value:.15g}"


def _csv(columns: Columns) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return text.getvalue()


def _tier_lines(asset: str, rows: Sequence[TierRow]) -> list[str]:
    import tomli_w

    _check_tiers(asset, rows)
    key = tomli_w.dumps({asset: 0}).partition(" = ")[0]
    tiers = [f"    {{ floor = {_number(row.floor)}, rate = {_number(row.rate)} }}," for row in rows]
    return [f"{key} = [", *tiers, "]"]


def _check_tiers(asset: str, rows: Sequence[TierRow]) -> None:
    """Refuse what the scenario would: it is better said here than every night."""
    rule = ""
    if rows[0].floor != 0:
        rule = f"the first tier begins at {rows[0].floor:g}, not at 0"
    for row in rows:
        if not (isfinite(row.floor) and 0 <= row.rate < 1):
            rule = f"the rate {row.rate:g} at floor {row.floor:g} is not a share"
    for low, high in pairwise(rows):
        if high.floor <= low.floor:
            rule = f"floor {high.floor:g} follows {low.floor:g}"
        elif high.rate < low.rate:
            rule = f"the rate falls from {low.rate:g} to {high.rate:g} at floor {high.floor:g}"
    if rule:
        remedy = "write the tiers of this asset into the scenario by hand"
        raise InputError(f"{asset}: {rule}", key="import tiers", remedy=remedy)


def _comment(text: str) -> str:
    return " ".join(text.split())


def _iso(moment: datetime) -> str:
    plain = moment.astimezone(UTC).replace(tzinfo=None)
    return plain.isoformat(timespec="milliseconds" if plain.microsecond else "seconds") + "Z"
