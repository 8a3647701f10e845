"""What a file from outside is made of: bytes become text, text becomes a header and rows."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import lzma
import re
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from stress.errors import InputError, MissingInputError

__all__ = ["Sheet", "counted", "fields_of", "label", "read_sheet", "read_text", "shown", "squeezed"]

_MOST_BYTES = 1 << 29
"""Bytes of a file, unpacked: a packed file of some kilobytes can hold more than a machine has."""

_BROKEN = (
    *(OSError, EOFError, ValueError, RuntimeError, struct.error),
    *(zlib.error, lzma.LZMAError, zipfile.BadZipFile),
)
"""What a broken, cut or locked archive raises."""

_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)

_DELIMITERS = (",", ";", "\t", "|")

_COMMENT = re.compile(r"#(?![,;\t|])|(?:https?://|www\.)\S*\s*\Z")
"""How a line begins that stands before the header and belongs to no table. CryptoDataDownload's
files begin with the site's address."""

_UNSEEN = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp"))
"""Unicode categories of what a name may not hold."""

_EMPTY = frozenset(("", "-", "--", "—", "–", "n/a", "na", "nan", "null", "none", "/"))  # noqa: RUF001
"""How exports write that there is nothing in a cell."""


@dataclass(frozen=True)
class Sheet:
    """A table of texts.

    Attributes
    ----------
    file
        Where it was read from.
    header
        Names of the columns as written; empty where the first row is data already.
    rows
        Cells of each row, stripped, as many as the widest of the header and the first row.
    lines
        In which line of the file each row ends, counted from 1.
    delimiter
        What stands between two cells.
    """

    file: Path
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    lines: tuple[int, ...]
    delimiter: str

    def column(self, index: int) -> list[str]:
        """Return the cells of a column, ``""`` where the export writes that there is nothing."""
        return [self.cell(row, index) for row in range(len(self.rows))]

    def cell(self, row: int, index: int) -> str:
        """Return one of these cells."""
        text = self.rows[row][index]
        return "" if len(text) <= 4 and text.casefold() in _EMPTY else text

    def name(self, index: int) -> str:
        """Return how messages call a column."""
        return shown(self.header[index]) if self.header else str(index + 1)

    def error(self, row: int, index: int, rule: str, remedy: str) -> InputError:
        """Return an error that names file, row (from 0 here, from 1 in it), line and column."""
        key = f"row {row + 1} (line {self.lines[row]}), column {self.name(index)}"
        return InputError(rule, file=self.file, key=key, remedy=remedy)


def read_sheet(path: str | PathLike[str], *, headless: bool = False) -> Sheet:
    """Read a table of texts, whatever its encoding and delimiter.

    Understood are UTF-8, UTF-16 with its mark (what Excel calls Unicode text), and either inside
    gzip or as the only file of a zip archive; comma, semicolon, tab and bar as delimiters; comments
    before the header.

    Parameters
    ----------
    path
        The file.
    headless
        Whether a first row of numbers alone is data, and the file has no header.

    Raises
    ------
    MissingInputError
        There is no such file.
    InputError
        It is no text, or no table, or has no row.
    """
    file = Path(path)
    # not str.splitlines, which also ends lines where a table may not
    lines = io.StringIO(read_text(file), newline="").readlines()
    skipped = _comments(lines)
    lines = lines[skipped:]
    delimiter = _delimiter(lines)
    records = _records(file, lines, delimiter, skipped)
    if not records:
        remedy = "give a file with a header and at least one row"
        raise InputError("the file is empty", file=file, remedy=remedy)
    first = records[0][1]
    header = () if headless and all(map(_is_number, first)) else first
    body = records[1:] if header else records
    if not body:
        remedy = "give a file with at least one row"
        raise InputError("the table has a header and no rows", file=file, remedy=remedy)
    _check_widths(file, len(first), body)
    rows = tuple(cells for _, cells in body)
    return _without_empty_end(Sheet(file, header, rows, tuple(n for n, _ in body), delimiter))


def read_text(path: str | PathLike[str]) -> str:
    """Return the text of a file, unpacked and decoded.

    Raises
    ------
    MissingInputError
        There is no such file.
    InputError
        It cannot be read, or is not text in UTF-8 or in UTF-16 with its mark.
    """
    file = Path(path)
    return _decoded(file, _unpacked(file, _content(file)))


def squeezed(name: str) -> str:
    """Return a column's name as names are compared: ``"Liq. Price (USDT)"`` is ``liqprice``."""
    plain = re.sub(r"\([^()]*\)", "", unicodedata.normalize("NFKC", name))
    return "".join(letter for letter in plain.casefold() if letter.isalnum())


def label(text: str) -> str:
    """Return a name as it may stand in a table.

    Raises
    ------
    ValueError
        It is empty or very long, or holds what cannot be seen: line breaks, control characters,
        marks that turn the direction of text, half of a surrogate pair.
    """
    plain = text.strip()
    if not plain or len(plain) > 200:
        raise ValueError(text)
    if any(unicodedata.category(letter) in _UNSEEN for letter in plain):
        raise ValueError(text)
    return plain


def shown(text: str) -> str:
    """Return a text from outside as a message may quote it: short, and printable."""
    plain = "".join(letter if letter.isprintable() else "?" for letter in text[:41])
    return f"{plain[:40]}..." if len(text) > 40 else plain


def counted(number: int, noun: str) -> str:
    """Return ``"1 row"``, ``"2,474 rows"``."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def fields_of(
    sheet: Sheet, names: Mapping[str, Sequence[str]], stated: Mapping[str, str]
) -> dict[str, int]:
    """Say which column holds what.

    Parameters
    ----------
    sheet
        The table.
    names
        Field to its usual column names, squeezed, the best first.
    stated
        Field to the name of its column, as the user says; wins over the usual names.

    Returns
    -------
    Field to the index of its column, for those that are there.

    Raises
    ------
    InputError
        Two columns of one name could both be meant, a stated field or column does not exist.
    """
    keys = [squeezed(name) for name in sheet.header]
    found: dict[str, int] = {}
    for field, usual in names.items():
        wanted = next((name for name in usual if name in keys), None)
        if field not in stated and wanted is not None:
            found[field] = _only(sheet, field, [i for i, key in enumerate(keys) if key == wanted])
    for field, name in stated.items():
        if field not in names:
            rule = f'there is no field "{shown(field)}"'
            raise InputError(rule, key="--column", remedy="fields: " + ", ".join(names))
        same = [index for index, column in enumerate(sheet.header) if column == name.strip()]
        if not same:
            rule = f'the file has no column "{shown(name)}"'
            remedy = "its columns: " + _listed(sheet.header)
            raise InputError(rule, file=sheet.file, key="--column", remedy=remedy)
        found[field] = _only(sheet, field, same)
    return found


def _only(sheet: Sheet, field: str, indices: Sequence[int]) -> int:
    if len(indices) > 1:
        rule = f"columns {indices[0] + 1} and {indices[1] + 1} could both be the {field}"
        remedy = f"rename one of them, or say --column {field}=NAME"
        raise InputError(rule, file=sheet.file, key="header", remedy=remedy)
    return indices[0]


def _listed(names: Sequence[str]) -> str:
    more = len(names) - 12
    text = ", ".join(shown(name) for name in names[:12])
    return text + (f" and {more} more" if more > 0 else "")


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        remedy = "check the path"
        raise MissingInputError("the file does not exist", file=file, remedy=remedy) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(
            f"cannot be read: {reason}", file=file, remedy="give a readable file"
        ) from None


def _unpacked(file: Path, content: bytes) -> bytes:
    try:
        if content[:2] == b"\x1f\x8b":
            with gzip.open(io.BytesIO(content)) as packed:
                content = packed.read(_MOST_BYTES + 1)
        elif content[:4] == b"PK\x03\x04":
            content = _only_member(file, content)
    except _BROKEN as error:
        rule = f"cannot be unpacked: {error}"
        raise InputError(rule, file=file, remedy="unpack it, or download it again") from None
    if len(content) > _MOST_BYTES:
        rule = f"holds more than {_MOST_BYTES >> 20} MiB"
        raise InputError(rule, file=file, remedy="split it, by time or by asset")
    if content[:4] == b"PAR1":
        rule = "is a Parquet file"
        raise InputError(rule, file=file, remedy="give the table as CSV")
    return content


def _only_member(file: Path, content: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = archive.infolist()
        if any(member.filename == "[Content_Types].xml" for member in members):
            rule = "is an Excel workbook"
            raise InputError(rule, file=file, remedy="save the sheet as CSV UTF-8")
        if len(members) != 1:
            rule = f"is an archive of {len(members)} files"
            raise InputError(rule, file=file, remedy="unpack it and give the files")
        with archive.open(members[0]) as packed:
            return packed.read(_MOST_BYTES + 1)


def _decoded(file: Path, content: bytes) -> str:
    encoding = "utf-16" if content[:2] in _UTF_16 else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        name = "UTF-16" if encoding == "utf-16" else "UTF-8"
        raise InputError(
            f"is not {name} text", file=file, key=f"line {line}", remedy="save it as CSV UTF-8"
        ) from None
    if (place := text.find("\0")) >= 0:
        key = f"line {text.count(chr(10), 0, place) + 1}"
        rule = "holds a NUL character: it is binary, or UTF-16 without its mark"
        raise InputError(rule, file=file, key=key, remedy="save it as CSV UTF-8")
    return text


def _comments(lines: Sequence[str]) -> int:
    """Return how many lines stand before the header; ``sep=;`` is Excel's, not a row."""
    count = 0
    for line in lines:
        plain = line.strip()
        if plain and not _COMMENT.match(plain) and not re.fullmatch(r'"?sep=."?', plain):
            break
        count += 1
    return count


def _delimiter(lines: Sequence[str]) -> str:
    """Return what separates the cells of the header: the most frequent outside quotes."""
    head = re.sub(r'"[^"]*"', "", lines[0][:100_000]) if lines else ""
    return max(_DELIMITERS, key=head.count)


def _records(
    file: Path, lines: Sequence[str], delimiter: str, skipped: int
) -> list[tuple[int, tuple[str, ...]]]:
    """Return line number and stripped cells of every row that is not blank."""
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    try:
        stripped = ((reader.line_num, tuple(map(str.strip, cells))) for cells in reader)
        return [(skipped + line, cells) for line, cells in stripped if any(cells)]
    except csv.Error as error:
        key = f"line {skipped + reader.line_num}"
        rule = f"is not a table: {error}"
        raise InputError(rule, file=file, key=key, remedy="save it as CSV again") from None


def _is_number(cell: str) -> bool:
    return re.fullmatch(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?", cell) is not None


def _check_widths(file: Path, width: int, body: Sequence[tuple[int, tuple[str, ...]]]) -> None:
    for number, (line, cells) in enumerate(body, start=1):
        if len(cells) != width:
            rule = f"the row has {len(cells)} cells, the first row of the file {width}"
            remedy = (
                "remove what is no row of the table, put text with a delimiter in double quotes"
            )
            raise InputError(rule, file=file, key=f"row {number} (line {line})", remedy=remedy)


def _without_empty_end(sheet: Sheet) -> Sheet:
    """Leave out a last column without a name and cells: a delimiter that ends every line."""
    if len(sheet.header) < 2 or sheet.header[-1] or any(row[-1] for row in sheet.rows):
        return sheet
    rows = tuple(row[:-1] for row in sheet.rows)
    return Sheet(sheet.file, sheet.header[:-1], rows, sheet.lines, sheet.delimiter)
