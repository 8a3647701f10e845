"""Tables from CSV or Parquet files: columns by name, every refused cell named by row and column."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from math import isfinite, nan
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from stress.errors import InputError, MissingInputError, closest, ending
from stress.types import Floats

__all__ = ["Table", "read_table", "suggestion"]

_LISTED = 8
"""How many known names a message lists: more do not fit one readable line."""


def suggestion(name: str, known: Sequence[str]) -> str:
    """Return ``'did you mean "x"?'`` for the nearest known name, else the first few known names."""
    for candidate in known:
        # difflib sees no likeness between "btc" and "BTC"
        if candidate.casefold() == name.casefold():
            return f'did you mean "{candidate}"?'
    hint = closest(name, list(known))
    return hint if hint.startswith("did you mean") else "known: " + ending(list(known), _LISTED)


@dataclass(frozen=True)
class Table:
    """Columns of a table file, by name.

    Attributes
    ----------
    file
        Where it was read from.
    rows
        Number of data rows, at least 1.
    columns
        Column name to its cells in file order: stripped text in CSV, what is stored in Parquet.
    """

    file: Path
    rows: int
    columns: Mapping[str, list[Any]]
    _text: str = field(default="", repr=False)

    def has(self, column: str) -> bool:
        """Whether the file has that column."""
        return column in self.columns

    def error(self, row: int, column: str, rule: str, remedy: str) -> InputError:
        """Return an error that names file, row (counted from 0 here, from 1 in it) and column."""
        line = f" (line {self._line(row)})" if self._text else ""
        place = f"row {row + 1}{line}, column {column}"
        return InputError(rule, file=self.file, key=place, remedy=remedy)

    def text(self, column: str, default: str | None = None) -> list[str]:
        """Return a column as text, whole numbers and dates too (a Parquet file may hold them).

        Parameters
        ----------
        default
            What an empty cell, or a column that is absent, reads as; None refuses both.
        """
        if default is not None and column not in self.columns:
            return [default] * self.rows
        return [
            self._label(row, column, cell, default) for row, cell in enumerate(self.columns[column])
        ]

    def numbers(self, column: str, *, optional: bool = False) -> Floats:
        """Return a column as float64, shape (rows,), every number finite.

        With ``optional`` an empty cell, or a column that is absent, reads as NaN. A cell that says
        NaN is refused all the same: it is a failed computation more often than an empty cell.
        """
        if optional and column not in self.columns:
            return np.full(self.rows, nan)
        cells = self.columns[column]
        return np.array(
            [self._number(row, column, cell, optional) for row, cell in enumerate(cells)],
            dtype=np.float64,
        )

    def check(self, column: str, good: Any, values: Floats, rule: str, remedy: str) -> None:
        """Refuse the first row where ``good`` (boolean, (rows,)) is false.

        ``rule`` is followed by the value found.
        """
        wrong = np.flatnonzero(~np.asarray(good))
        if wrong.size:
            row = int(wrong[0])
            raise self.error(row, column, f"{rule}, got {float(values[row]):g}", remedy)

    def _label(self, row: int, column: str, cell: Any, default: str | None) -> str:
        if _is_empty(cell):
            if default is None:
                raise self.error(row, column, "the cell is empty", f"give the {column}")
            return default
        if isinstance(cell, bool) or not isinstance(cell, (str, int, date)):
            rule = f"must be text, got {cell!r}"
            raise self.error(row, column, rule, f"store the {column} as text")
        return cell.isoformat() if isinstance(cell, date) else str(cell).strip()

    def _number(self, row: int, column: str, cell: Any, optional: bool) -> float:
        if _is_empty(cell):
            if optional:
                return nan
            raise self.error(row, column, "the cell is empty", "give a number")
        if isinstance(cell, bool) or not isinstance(cell, (str, int, float, Decimal)):
            raise self.error(row, column, f"must be a number, got {cell!r}", "give a number")
        try:
            value = float(cell)
        except (ValueError, OverflowError):
            remedy = "give a plain number such as 1234.5"
            raise self.error(row, column, f"must be a number, got {_shown(cell)}", remedy) from None
        if not isfinite(value):
            remedy = "give a finite number" + (" or leave the cell empty" if optional else "")
            raise self.error(row, column, f"must be finite, got {_shown(cell)}", remedy)
        return value

    def _line(self, row: int) -> int:
        # counted only for a message: blank lines and quoted line breaks make it differ from the row
        reader = csv.reader(io.StringIO(self._text, newline=""))
        seen = -2
        for record in reader:
            seen += bool(record)
            if seen == row:
                break
        return reader.line_num


def _is_empty(cell: Any) -> bool:
    return cell is None or (isinstance(cell, str) and not cell.strip())


def _shown(cell: Any) -> str:
    text = str(cell)
    return f'"{text[:40]}..."' if len(text) > 40 else f'"{text}"'


def read_table(
    path: str | PathLike[str], required: Sequence[str], optional: Sequence[str] = ()
) -> Table:
    """Read a CSV (UTF-8, comma, header row) or Parquet file.

    Raises
    ------
    MissingInputError
        There is no such file.
    InputError
        The file cannot be read, is empty, lacks a required column or has one that is not known.
    """
    file = Path(path)
    content = _content(file)
    known = (*required, *optional)
    if file.suffix.lower() in (".parquet", ".pq") or content[:4] == b"PAR1":
        names, cells = _open_parquet(file, content)
        text = ""
    else:
        text = _decoded(file, content)
        names, cells = _open_csv(file, text)
    _check_columns(file, names, required, known)
    columns = {name: cells(index) for index, name in enumerate(names)}
    rows = len(next(iter(columns.values())))
    if rows == 0:
        remedy = "give at least one row, or do not name the file"
        raise InputError("the table has no rows", file=file, remedy=remedy)
    return Table(file, rows, columns, text)


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        remedy = "check the path, which is relative to the file that names it"
        raise MissingInputError("the file does not exist", file=file, remedy=remedy) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        remedy = "give a readable CSV or Parquet file"
        raise InputError(f"cannot be read: {reason}", file=file, remedy=remedy) from None


def _decoded(file: Path, content: bytes) -> str:
    remedy = "save it as CSV with UTF-8 encoding"
    if content[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in content:
        raise InputError("is not UTF-8 text but UTF-16 or binary", file=file, remedy=remedy)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise InputError(
            "is not UTF-8 text", file=file, key=f"line {line}", remedy=remedy
        ) from None


_Cells = Callable[[int], list[Any]]


def _open_parquet(file: Path, content: bytes) -> tuple[list[str], _Cells]:
    # pyarrow is imported by the first table only, its Parquet half by the first Parquet file
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.ParquetFile(pyarrow.BufferReader(content)).read()
    except (pyarrow.ArrowException, OSError) as error:
        rule = f"is not a Parquet file: {error}"
        raise InputError(rule, file=file, remedy="write it again, or give a CSV") from None
    return [str(name) for name in table.column_names], lambda index: list(
        table.column(index).to_pylist()
    )


def _open_csv(file: Path, text: str) -> tuple[list[str], _Cells]:
    import pyarrow
    import pyarrow.csv

    header = _header(file, text)
    ragged: list[Any] = []

    def refuse(row: Any) -> str:
        ragged.append(row)
        return "skip"

    content = pyarrow.BufferReader(text.lstrip("\r\n").encode())
    try:
        table = pyarrow.csv.read_csv(
            content,
            # one thread, so that a ragged row knows its number
            read_options=pyarrow.csv.ReadOptions(use_threads=False),
            parse_options=pyarrow.csv.ParseOptions(
                newlines_in_values=True, invalid_row_handler=refuse
            ),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types={name: pyarrow.string() for name in header},
                strings_can_be_null=False,
            ),
        )
    except pyarrow.ArrowException as error:
        raise InputError(f"is not a CSV: {error}", file=file, remedy="save it again") from None
    if ragged:
        raise _ragged_row(file, text, ragged[0])

    def cells(index: int) -> list[str]:
        return [cell.strip() for cell in table.column(index).to_pylist()]

    return [name.strip() for name in header], cells


def _header(file: Path, text: str) -> list[str]:
    try:
        header = next((row for row in csv.reader(io.StringIO(text, newline="")) if row), None)
    except csv.Error as error:
        raise InputError(f"is not a CSV: {error}", file=file, remedy="save it again") from None
    if header is None:
        remedy = "give a header row and at least one row"
        raise InputError("the file is empty", file=file, remedy=remedy)
    if len(header) == 1 and any(mark in header[0] for mark in ";\t"):
        remedy = "separate the columns with commas"
        raise InputError("the columns are not separated by commas", file=file, remedy=remedy)
    return header


def _ragged_row(file: Path, text: str, row: Any) -> InputError:
    # the header is row 1 of the reader, the first data row 2
    place = Table(file, 0, {}, text)._line(row.number - 2)
    rule = f"the row has {row.actual_columns} cells, the header {row.expected_columns}"
    remedy = "give every row as many cells as the header, text with a comma in double quotes"
    key = f"row {row.number - 1} (line {place})"
    return InputError(rule, file=file, key=key, remedy=remedy)


def _check_columns(
    file: Path, names: Sequence[str], required: Sequence[str], known: Sequence[str]
) -> None:
    for name in names:
        if name not in known:
            rule = f'unknown column "{name}"'
            raise InputError(rule, file=file, key="header", remedy=suggestion(name, known))
        if list(names).count(name) > 1:
            rule = f'column "{name}" stands there twice'
            raise InputError(rule, file=file, key="header", remedy="keep one of them")
    for name in required:
        if name not in names:
            remedy = "add it; the columns are " + ", ".join(known)
            rule = f'column "{name}" is missing'
            raise InputError(rule, file=file, key="header", remedy=remedy)
