"""``margin-stress import positions|prices FILE``: exported files become files of a folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Literal

from stress.data.tables import suggestion
from stress.errors import InputError
from stress.importers.files.clearinghouse import looks_like_json, read_clearinghouse
from stress.importers.files.moments import moment
from stress.importers.files.numerals import plain_number
from stress.importers.files.position_table import Stated
from stress.importers.files.positions_csv import read_positions
from stress.importers.files.prices_csv import StatedPrices, read_price_files
from stress.importers.finish import Imported, finish
from stress.importers.rows import ImportedBook, ImportedPrices

__all__ = ["FileRequest", "files_command"]


@dataclass(frozen=True)
class FileRequest:
    """What is asked of files, options as they were written.

    Attributes
    ----------
    files
        The files; of prices, ``BTC=FILE`` too.
    account, as_of, margin_mode, balances, decimal, date_order
        As in ``position_table.Stated``.
    assets
        Names of assets: the only ones of prices; of a book, the only ones that may be in it.
    without
        Symbols, as written in the file, whose positions are left out.
    cash, contract_size, columns
        Words ``NAME=VALUE``; one ``cash`` may be without a name.
    """

    files: tuple[str, ...]
    account: str | None = None
    as_of: str | None = None
    margin_mode: Literal["cross", "isolated"] | None = None
    balances: str | None = None
    decimal: Literal[".", ","] | None = None
    date_order: Literal["DMY", "MDY"] | None = None
    assets: tuple[str, ...] | None = None
    without: tuple[str, ...] = ()
    cash: tuple[str, ...] = ()
    contract_size: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()


def files_command(kind: str, folder: str, request: FileRequest, *, as_json: bool) -> int:
    """Import from files, write, print what was written and return the exit code.

    Parameters
    ----------
    kind
        "positions" or "prices".
    folder
        Where the files go.

    Raises
    ------
    InputError, MissingInputError
        As the readers do; nothing is written then.
    """
    return finish(_imported(kind, Path(folder), request), folder, as_json=as_json)


def _imported(kind: str, folder: Path, request: FileRequest) -> Imported:
    _refuse_own_output(folder, request.files)
    if kind == "prices":
        stated = StatedPrices(
            request.decimal, request.date_order, _pairs(request.columns, "--column")
        )
        return _only(read_price_files(request.files, stated), request.assets)
    if kind != "positions":
        rule = f"{kind} are not read from files"
        raise InputError(rule, remedy="add --exchange NAME, or write them into the scenario")
    if len(request.files) != 1:
        rule = f"{len(request.files)} files of positions are given"
        raise InputError(rule, remedy="give one; a book is of one moment")
    book = _book(request.files[0], request)
    _refuse_other_assets(book, request)
    return book


def _refuse_own_output(folder: Path, files: Sequence[str]) -> None:
    """Refuse to write over what is read."""
    for file in files:
        try:
            inside = Path(file).resolve().parent == folder.resolve()
        except (OSError, ValueError):
            continue
        if inside and Path(file).name in ("accounts.csv", "positions.csv", "prices.csv"):
            rule = "the import would overwrite the file that it reads"
            raise InputError(rule, file=file, key="--output", remedy="name another folder")


def _book(file: str, request: FileRequest) -> ImportedBook:
    as_of = _moment(request.as_of)
    if looks_like_json(file):
        _refuse_csv_options(request)
        return read_clearinghouse(
            file, account=request.account, as_of=as_of, without=request.without
        )
    stated = Stated(
        account=request.account,
        as_of=as_of,
        margin_mode=request.margin_mode,
        cash=_numbers(request.cash, "--cash", nameless=True),
        balances=request.balances,
        contract_size=_numbers(request.contract_size, "--contract-size"),
        decimal=request.decimal,
        date_order=request.date_order,
        columns=_pairs(request.columns, "--column"),
        without=request.without,
    )
    book = read_positions(file, stated)
    if request.assets is None:
        return book
    kept = tuple(row for row in book.collateral if row.asset in request.assets)
    strange = sorted({row.asset for row in book.collateral} - set(request.assets))
    notices = [f"coins of {name} left out: --assets does not name it" for name in strange]
    return replace(book, collateral=kept, notices=(*book.notices, *notices))


def _refuse_csv_options(request: FileRequest) -> None:
    """Refuse what a clearinghouse state says itself."""
    given = {
        "--cash": request.cash,
        "--balances": request.balances,
        "--margin-mode": request.margin_mode,
        "--contract-size": request.contract_size,
        "--column": request.columns,
        "--decimal": request.decimal,
        "--date-order": request.date_order,
    }
    for option, value in given.items():
        if value:
            rule = "a clearinghouse state says this itself"
            raise InputError(rule, file=request.files[0], key=option, remedy="leave it out")


def _refuse_other_assets(book: ImportedBook, request: FileRequest) -> None:
    for row in book.positions:
        if request.assets is not None and row.asset not in request.assets:
            rule = f"{row.account} has a position in {row.asset}, which --assets does not name"
            remedy = "name it, or leave the contract out with --without SYMBOL"
            raise InputError(rule, file=request.files[0], key="--assets", remedy=remedy)


def _only(prices: ImportedPrices, assets: Sequence[str] | None) -> ImportedPrices:
    if assets is None:
        return prices
    known = list(dict.fromkeys(bar.asset for bar in prices.bars))
    for asset in assets:
        if asset not in known:
            rule = f'there is no price of "{asset}"'
            raise InputError(rule, key="--assets", remedy=suggestion(asset, known))
    return replace(prices, bars=tuple(bar for bar in prices.bars if bar.asset in assets))


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return moment(text)
    except ValueError:
        remedy = "write 2026-11-22T01:00:00Z"
        raise InputError(f'"{text}" is not a moment', key="--as-of", remedy=remedy) from None


def _pairs(words: Sequence[str], option: str) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for word in words:
        name, separator, value = word.partition("=")
        if not (name and separator and value):
            rule = f'"{word}" is not NAME=VALUE'
            raise InputError(rule, key=option, remedy="write it with an equals sign")
        if name in pairs:
            raise InputError(f'"{name}" stands there twice', key=option, remedy="name it once")
        pairs[name] = value
    return pairs


def _numbers(words: Sequence[str], option: str, *, nameless: bool = False) -> dict[str, float]:
    """Return the numbers of words NAME=NUMBER; ``nameless`` allows one without a name."""
    # an account's name may hold an equals sign, a number none
    split = [word.rpartition("=") for word in words]
    numbers: dict[str, float] = {}
    for word, (name, separator, text) in zip(words, split, strict=True):
        try:
            value = plain_number(text)
        except ValueError:
            value = None
        if value is None or bool(separator) != bool(name) or not (name or nameless):
            form = "NAME=NUMBER or NUMBER" if nameless else "NAME=NUMBER"
            raise InputError(f'"{word}" is not {form}', key=option, remedy="write it so")
        if option == "--contract-size" and not value > 0:
            raise InputError(f"must be above 0, got {value:g}", key=option, remedy="write coins")
        if name in numbers:
            raise InputError(f'"{name}" stands there twice', key=option, remedy="name it once")
        numbers[name] = value
    return numbers
