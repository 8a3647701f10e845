"""A folder that holds a book: its tables, and a ``book.toml`` that says of what moment they are."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from os import PathLike
from os.path import abspath, isfile
from pathlib import Path
from typing import Any

from pydantic import Field

from stress.errors import InputError, MissingInputError
from stress.scenario.fields import FilePath, Moment, Table
from stress.scenario.problems import validated
from stress.scenario.toml import read_toml

__all__ = ["BOOK_FILE", "BookFile", "moment_beside", "read_book_file", "with_book"]

BOOK_FILE = "book.toml"

_TABLES = ("accounts", "positions", "collateral")
_ENDINGS = (".csv", ".parquet")


class BookFile(Table):
    """What ``book.toml`` says; its paths are relative to it."""

    as_of: Moment = Field(
        description="moment that the book is of", examples=["2026-11-20T00:00:00Z"]
    )
    source: str = Field(default="", description="where the book comes from")
    accounts: FilePath = Field(
        default=Path("accounts.csv"), description="path of the table of accounts"
    )
    positions: FilePath = Field(
        default=Path("positions.csv"), description="path of the table of positions"
    )
    collateral: FilePath | None = Field(default=None, description="path of the table of coins")


def with_book(raw: Mapping[str, Any], folder: str | PathLike[str], base: Path) -> dict[str, Any]:
    """Return a scenario, read but not validated, on another book.

    The tables and the moment of its own book go, and the hashes of those tables with them; how the
    book is run (``mode``, ``compare``) stays.

    Parameters
    ----------
    raw
        What the scenario's file holds.
    folder
        Holds ``book.toml``, or ``accounts`` and ``positions`` (and perhaps ``collateral``) as CSV
        or Parquet.
    base
        Directory that the scenario's paths are relative to.

    Raises
    ------
    MissingInputError
        The folder or one of its tables is absent.
    InputError
        ``book.toml`` cannot be used, or a table is there twice.
    """
    place = Path(abspath(folder))
    if not place.is_dir():
        raise MissingInputError(
            "is not a folder", file=folder, key="--book", remedy="name the folder of a book"
        )
    book = raw.get("book", {})
    if not isinstance(book, Mapping):
        # left to the schema, which says what is wrong with it
        return dict(raw)
    kept = {key: value for key, value in book.items() if key not in (*_TABLES, "as_of")}
    return {**_without_hashes(raw, book, base), "book": {**kept, **_book_of(place)}}


def _book_of(place: Path) -> dict[str, Any]:
    """Return the keys of ``[book]`` that a folder gives."""
    file = place / BOOK_FILE
    if not file.exists():
        return {name: path for name in _TABLES if (path := _table(place, name))}
    found = read_book_file(file)
    tables = {name: path for name in _TABLES if (path := getattr(found, name)) is not None}
    for name, path in tables.items():
        if not isfile(path):
            raise MissingInputError(
                f"the file {path} does not exist",
                file=file,
                key=name,
                remedy="check the path, which is relative to this file",
            )
    return {**tables, "as_of": found.as_of}


def _table(place: Path, name: str) -> Path | None:
    """Return the only file of a name; None where there is none and none is needed."""
    found = [path for ending in _ENDINGS if isfile(path := place / f"{name}{ending}")]
    if len(found) > 1:
        names = " and ".join(path.name for path in found)
        remedy = f"remove one, or name the right one in {BOOK_FILE}"
        raise InputError(f"holds {names}", file=place, key="--book", remedy=remedy)
    if not found and name != "collateral":
        rule = f"holds no {name}.csv"
        remedy = f"name the folder of a book, or its tables in {BOOK_FILE}"
        raise MissingInputError(rule, file=place, key="--book", remedy=remedy)
    return found[0] if found else None


def _without_hashes(raw: Mapping[str, Any], book: Mapping[str, Any], base: Path) -> dict[str, Any]:
    """Return a scenario without the hashes of its own book, which is not read."""
    hashes = raw.get("inputs")
    if not isinstance(hashes, Mapping):
        return dict(raw)
    own = {abspath(base / path) for name in _TABLES if isinstance(path := book.get(name), str)}
    left = {name: value for name, value in hashes.items() if abspath(base / name) not in own}
    return {**raw, "inputs": left}


def read_book_file(file: Path) -> BookFile:
    """Read a ``book.toml`` and return it with absolute paths.

    Raises
    ------
    InputError
        If it cannot be used.
    """
    found = validated(BookFile, read_toml(file), file)
    folder = Path(abspath(file)).parent
    paths = {name: getattr(found, name) for name in _TABLES}
    return found.model_copy(
        update={name: path and Path(abspath(folder / path)) for name, path in paths.items()}
    )


def moment_beside(accounts: Path) -> datetime | None:
    """Return the moment of the ``book.toml`` that names a table of accounts beside itself.

    Parameters
    ----------
    accounts
        Absolute.
    """
    file = accounts.parent / BOOK_FILE
    if not file.is_file():
        return None
    found = read_book_file(file)
    return found.as_of if found.accounts == accounts else None
