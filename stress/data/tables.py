"""Tables from CSV or Parquet files: columns by name, every refused cell named by row and column."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from itertools import islice
from math import isfinite, nan
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from stress.data.files import content_of
from stress.errors import InputError, MissingInputError, closest, ending
from stress.types import Floats, Integers

__all__ = [
    "LARGEST_NUMBER",
    "LONGEST_LABEL",
    "SMALLEST_NUMBER",
    "Table",
    "as_list",
    "as_strings",
    "read_table",
    "suggestion",
]

_HEAD = 1 << 14
"""Bytes of a file in which its header is looked for first."""

_MOST_BYTES = 1 << 33
"""Of a table, which is read into memory: a hundred million positions."""

LARGEST_NUMBER = 1e18
SMALLEST_NUMBER = 1e-30
"""Sizes of a number that is not 0: products of two, and quotients, are finite."""

LONGEST_LABEL = 200
"""Characters of an account's or a group's name: it has to fit a table."""

_SHOWN = 40
"""Characters of a refused cell that a message shows."""

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

    Whole columns are read at once. Where that fails the cells are looked at one by one, so that the
    first that cannot be used is named, and one that Python reads and Arrow does not is read.

    Attributes
    ----------
    file
        Where it was read from.
    rows
        Number of data rows, at least 1.
    stored
        Column name to its cells in file order, a ``pyarrow.ChunkedArray``: text in CSV, what is
        stored in Parquet.
    """

    file: Path
    rows: int
    stored: Mapping[str, Any]
    _lines: bytes = field(default=b"", repr=False)

    def has(self, column: str) -> bool:
        """Whether the file has that column."""
        return column in self.stored

    def cells(self, column: str) -> list[Any]:
        """Return the cells of a column: stripped text in CSV, what is stored in Parquet."""
        cells = list(self.stored[column].to_pylist())
        return [cell.strip() for cell in cells] if self._lines else cells

    def error(self, row: int, column: str, rule: str, remedy: str) -> InputError:
        """Return an error that names file, row (counted from 0 here, from 1 in it) and column."""
        line = f" (line {self._line(row)})" if self._lines else ""
        place = f"row {row + 1}{line}, column {column}"
        return InputError(rule, file=self.file, key=place, remedy=remedy)

    def text(self, column: str, default: str | None = None) -> list[str]:
        """Return a column as text, whole numbers and dates too (a Parquet file may hold them).

        Parameters
        ----------
        default
            What an empty cell, or a column that is absent, reads as; None refuses both.
        """
        return as_list(self.strings(column, default))

    def strings(self, column: str, default: str | None = None) -> Any:
        """Return the same as ``text`` as a ``pyarrow.StringArray``, (rows,)."""
        found = self._strings(column, default)
        self._check_labels(column, found)
        return found

    def _strings(self, column: str, default: str | None) -> Any:
        import pyarrow.compute

        if default is not None and column not in self.stored:
            return as_strings([default] * self.rows)
        plain = _plain_text(self.stored[column])
        if plain is not None:
            plain = plain.combine_chunks()
            empty = pyarrow.compute.equal(plain, as_strings([""])[0])
            if not pyarrow.compute.any(empty).as_py():
                return plain
            if default is not None:
                return pyarrow.compute.if_else(empty, as_strings([default])[0], plain)
        cells = enumerate(self.cells(column))
        return as_strings([self._label(row, column, cell, default) for row, cell in cells])

    def numbered(self, column: str, default: str | None = None) -> tuple[tuple[str, ...], Integers]:
        """Return the distinct texts in order of first appearance, and every row's index in them."""
        import pyarrow

        encoded = pyarrow.chunked_array([self.strings(column, default)]).dictionary_encode()
        encoded = encoded.unify_dictionaries().combine_chunks()
        return tuple(as_list(encoded.dictionary)), np.from_dlpack(encoded.indices).astype(np.int64)

    def places(self, column: str, known: Sequence[str], rule: str) -> Integers:
        """Return the (rows,) index in ``known`` of every cell's text.

        Raises
        ------
        InputError
            A text that is not known: ``rule``, what was found, and the nearest known one.
        """
        import pyarrow.compute

        names = self.strings(column)
        found = pyarrow.compute.index_in(names, value_set=as_strings(known))
        if found.null_count:
            row = int(np.argmax(found.is_null().to_numpy(zero_copy_only=False)))
            name = names[row].as_py()
            raise self.error(row, column, f'{rule}, got "{name}"', suggestion(name, known))
        return np.from_dlpack(found).astype(np.int64)

    def numbers(self, column: str, *, optional: bool = False) -> Floats:
        """Return a column as float64, shape (rows,), every number finite and of a size that exists.

        With ``optional`` an empty cell, or a column that is absent, reads as NaN. A cell that says
        NaN is refused all the same: it is a failed computation more often than an empty cell.
        """
        if optional and column not in self.stored:
            return np.full(self.rows, nan)
        values = _plain_numbers(self.stored[column], optional)
        if values is None:
            cells = enumerate(self.cells(column))
            values = np.array(
                [self._number(row, column, cell, optional) for row, cell in cells], dtype=np.float64
            )
        size = np.abs(values)
        beyond = (size > LARGEST_NUMBER) | ((size < SMALLEST_NUMBER) & (size > 0))
        rule = f"must be 0, or from {SMALLEST_NUMBER:g} to {LARGEST_NUMBER:g} with either sign"
        self.check(column, ~beyond, values, rule, "give USD, or units of the asset")
        return values

    def check(self, column: str, good: Any, values: Floats, rule: str, remedy: str) -> None:
        """Refuse the first row where ``good`` (boolean, (rows,)) is false.

        ``rule`` is followed by the value found.
        """
        wrong = np.flatnonzero(~np.asarray(good))
        if wrong.size:
            row = int(wrong[0])
            raise self.error(row, column, f"{rule}, got {float(values[row]):g}", remedy)

    def _check_labels(self, column: str, found: Any) -> None:
        """Refuse a label that a terminal would obey, or that no page has room for."""
        import pyarrow.compute

        plain = pyarrow.compute.utf8_is_printable(found)
        if not pyarrow.compute.all(plain).as_py():
            row = plain.to_pylist().index(False)
            rule = f"must be printable on one line, got {found[row].as_py()[:_SHOWN]!r}"
            raise self.error(row, column, rule, "remove line breaks, control and invisible marks")
        length = pyarrow.compute.utf8_length(found)
        longest = pyarrow.compute.max(length).as_py()
        if longest > LONGEST_LABEL:
            row = length.to_pylist().index(longest)
            rule = f"must have at most {LONGEST_LABEL} characters, got {longest:,}"
            raise self.error(row, column, rule, f"shorten the {column}")

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
        reader = csv.reader(io.StringIO(self._lines.decode("utf-8-sig"), newline=""))
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
    return f'"{text[:_SHOWN]}..."' if len(text) > _SHOWN else f'"{text}"'


def as_list(strings: Any) -> list[str]:
    """Return Arrow's array of strings as a list."""
    # NumPy's way to the same list imports pandas
    return list(strings.to_pylist())


def as_strings(texts: Sequence[str]) -> Any:
    """Return texts as a ``pyarrow.StringArray``; what Arrow makes of a list imports pandas."""
    import pyarrow

    encoded = [text.encode() for text in texts]
    offsets = np.zeros(len(encoded) + 1, np.int32)
    np.cumsum([len(text) for text in encoded], out=offsets[1:])
    buffers = pyarrow.py_buffer(offsets), pyarrow.py_buffer(b"".join(encoded))
    return pyarrow.StringArray.from_buffers(len(encoded), *buffers)


def _plain_text(column: Any) -> Any:
    """Return a column as stripped text, empty where a cell is; None where cells must be judged."""
    import pyarrow
    import pyarrow.compute

    kind = column.type
    as_text = pyarrow.types.is_string(
        kind.value_type if pyarrow.types.is_dictionary(kind) else kind
    )
    if not (as_text or pyarrow.types.is_integer(kind)):
        return None
    column = column.cast(pyarrow.string())
    if column.null_count:
        column = pyarrow.compute.fill_null(column, as_strings([""])[0])
    return pyarrow.compute.utf8_trim_whitespace(column)


def _plain_numbers(column: Any, optional: bool) -> Floats | None:
    """Return a column as float64, NaN in empty cells; None where a cell must be judged."""
    import pyarrow
    import pyarrow.compute

    kind = column.type
    if pyarrow.types.is_string(kind):
        column = _plain_text(column)
        empty = pyarrow.compute.equal(column, as_strings([""])[0])
        column = pyarrow.compute.if_else(empty, pyarrow.NULL, column)
    elif not (pyarrow.types.is_integer(kind) or pyarrow.types.is_floating(kind)):
        return None
    if column.null_count and not optional:
        return None
    try:
        numbers = column.cast(pyarrow.float64(), safe=False).combine_chunks()
    except pyarrow.ArrowInvalid:
        return None
    if numbers.null_count:
        # a scalar that Arrow makes of a number imports pandas
        empty = pyarrow.py_buffer(np.array([nan]))
        one = pyarrow.Array.from_buffers(pyarrow.float64(), 1, [None, empty])[0]
        numbers = pyarrow.compute.fill_null(numbers, one)
    values = np.array(np.from_dlpack(numbers))
    wrong = len(values) - np.count_nonzero(np.isfinite(values))
    return values if wrong == column.null_count else None


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
        content = b""
    else:
        _check_text(file, content)
        names, cells = _open_csv(file, content)
    _check_columns(file, names, required, known)
    stored = {name: cells(index) for index, name in enumerate(names)}
    rows = len(next(iter(stored.values())))
    if rows == 0:
        remedy = "give at least one row, or do not name the file"
        raise InputError("the table has no rows", file=file, remedy=remedy)
    return Table(file, rows, stored, content)


def _content(file: Path) -> bytes:
    try:
        return content_of(file, _MOST_BYTES)
    except FileNotFoundError:
        remedy = "check the path, which is relative to the file that names it"
        raise MissingInputError("the file does not exist", file=file, remedy=remedy) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        remedy = "give a readable CSV or Parquet file"
        raise InputError(f"cannot be read: {reason}", file=file, remedy=remedy) from None


def _check_text(file: Path, content: bytes) -> None:
    remedy = "save it as CSV with UTF-8 encoding"
    if content[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in content:
        raise InputError("is not UTF-8 text but UTF-16 or binary", file=file, remedy=remedy)
    if content.isascii():
        return
    try:
        content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise InputError(
            "is not UTF-8 text", file=file, key=f"line {line}", remedy=remedy
        ) from None


_Cells = Callable[[int], Any]


def _open_parquet(file: Path, content: bytes) -> tuple[list[str], _Cells]:
    # pyarrow is imported by the first table only, its Parquet half by the first Parquet file
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.ParquetFile(pyarrow.BufferReader(content)).read()
    except (pyarrow.ArrowException, OSError) as error:
        rule = f"is not a Parquet file: {error}"
        raise InputError(rule, file=file, remedy="write it again, or give a CSV") from None
    return [str(name) for name in table.column_names], table.column


def _open_csv(file: Path, content: bytes) -> tuple[list[str], _Cells]:
    import pyarrow
    import pyarrow.csv

    header = _header(file, content)
    ragged: list[Any] = []

    def refuse(row: Any) -> str:
        ragged.append(row)
        return "skip"

    try:
        table = pyarrow.csv.read_csv(
            pyarrow.BufferReader(content.removeprefix(codecs.BOM_UTF8).lstrip(b"\r\n")),
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
        # a row as long as a block, a megabyte: a quote that is never closed, or an absurd cell
        endless = "straddling" in str(error)
        rule = "a row is longer than a megabyte" if endless else f"is not a CSV: {error}"
        remedy = "close the quotes and shorten the cells" if endless else "save it again"
        raise InputError(rule, file=file, remedy=remedy) from None
    if ragged:
        raise _ragged_row(file, content, ragged[0])

    return [name.strip() for name in header], table.column


def _header(file: Path, content: bytes) -> list[str]:
    try:
        # a second row ends the first, so that a long file is not decoded for its first line
        rows = list(islice(_rows(content[:_HEAD]), 2))
        header = next(iter(rows) if len(rows) == 2 else _rows(content), None)
    except csv.Error as error:
        raise InputError(f"is not a CSV: {error}", file=file, remedy="save it again") from None
    if header is None:
        remedy = "give a header row and at least one row"
        raise InputError("the file is empty", file=file, remedy=remedy)
    if len(header) == 1 and any(mark in header[0] for mark in ";\t"):
        remedy = "separate the columns with commas"
        raise InputError("the columns are not separated by commas", file=file, remedy=remedy)
    return header


def _rows(content: bytes) -> Iterator[list[str]]:
    # what was cut off may have been cut inside a character
    text = content.decode("utf-8-sig", "ignore")
    return (row for row in csv.reader(io.StringIO(text, newline="")) if row)


def _ragged_row(file: Path, content: bytes, row: Any) -> InputError:
    # the header is row 1 of the reader, the first data row 2
    place = Table(file, 0, {}, content)._line(row.number - 2)
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
