"""Numbers as people and spreadsheets write them: 1,234.5 and 1.234,5, with units and signs."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from stress.importers.files.sniffing import Sheet, shown

__all__ = ["DECIMALS", "Numeral", "decimal_mark", "numeral", "plain_number"]

DECIMALS = (".", ",")
"""What may stand before the decimals of a number."""

_MOST = 1e100
"""Beyond it a product of three numbers is none."""

_LONGEST = 60
"""Letters of the longest cell that may be a number: 17 digits, separators, a sign and a unit."""

_SPACES = re.compile("['\u2019\\s]")
"""Thousands may also be set apart by spaces of any width and by apostrophes, as in Switzerland."""

_CELL = re.compile(
    r"(?P<sign>[+-]?)\s*(?:US)?\$?\s*(?P<sign2>[+-]?)(?P<body>[0-9.,'\u2019\s]*[0-9][.,]?)"
    r"(?P<exponent>[eE][+-]?[0-9]{1,3})?\s*(?P<unit>%|(?![eE][0-9])[^\W\d_][^\W_]*\.?)?"
)

_PLAIN = re.compile(r"[+-]?[0-9]{1,25}(?:\.[0-9]{1,25})?")
"""What nearly every cell of a long file is."""

_BODY = {
    ".": re.compile(r"(?:[1-9][0-9]{0,2}(?:,[0-9]{3})+|[0-9]*)(?:\.[0-9]*)?"),
    ",": re.compile(r"(?:[1-9][0-9]{0,2}(?:\.[0-9]{3})+|[0-9]*)(?:,[0-9]*)?"),
}
"""A number under either decimal mark, thousands in groups of three or not set apart at all."""

_GROUPED = re.compile("[0-9]{1,3}(?:['\u2019\\s][0-9]{3})*")


@dataclass(frozen=True)
class Numeral:
    """A cell read as a number: its value, and the unit that stands behind it (``""`` if none)."""

    value: float
    unit: str


def numeral(cell: str, decimal: str) -> Numeral:
    """Read one cell.

    Parameters
    ----------
    cell
        Such as ``1,234.5``, ``-0.5 BTC``, ``(1 234)`` (negative, as bookkeepers write), ``12 %``.
    decimal
        ``"."`` or ``","``.

    Raises
    ------
    ValueError
        Not a finite number under that decimal mark.
    """
    if decimal == "." and _PLAIN.fullmatch(cell):
        return Numeral(plain_number(cell), "")
    match, sign = _parts(cell)
    body = _body(match["body"])
    if body is None or not _BODY[decimal].fullmatch(body):
        raise ValueError(cell)
    digits = body.replace("," if decimal == "." else ".", "").replace(decimal, ".")
    value = sign * float(digits + (match["exponent"] or ""))
    if not abs(value) < _MOST:
        raise ValueError(cell)
    return Numeral(value, match["unit"] or "")


def plain_number(text: str) -> float:
    """Read a number of an option: decimal point, no unit.

    Raises
    ------
    ValueError
        Not a finite number.
    """
    value = float(text)
    if not abs(value) < _MOST or "_" in text:
        raise ValueError(text)
    return value


def decimal_mark(sheet: Sheet, columns: Iterable[int], stated: str | None) -> str:
    """Say whether a point or a comma stands before the decimals of a file's numbers.

    The first number of the file that can be read one way only is the witness; one that contradicts
    it is then no number. ``1,234`` is no witness: it is 1234 or 1.234. Without a witness a point is
    a decimal point where columns are not separated by semicolons, as exchanges write their files.

    Raises
    ------
    InputError
        There is no witness, and it matters.
    """
    if stated is not None:
        return stated
    unclear: tuple[int, int] | None = None
    for index in sorted(columns):
        for row in range(len(sheet.rows)):
            cell = sheet.cell(row, index)
            kind = _witnessed(cell)
            if kind in DECIMALS:
                return kind
            if kind == "either" and ("," in cell or sheet.delimiter == ";"):
                unclear = unclear or (row, index)
    if unclear is not None:
        row, index = unclear
        rule = f'"{shown(sheet.rows[row][index])}" can be read with thousands or with decimals'
        raise sheet.error(row, index, rule, 'say which with --decimal "." or --decimal ","')
    return "."


def _witnessed(cell: str) -> str:
    """Return the only decimal mark under which a cell is a number, "either", or "" for neither."""
    try:
        body = _body(_parts(cell)[0]["body"])
    except ValueError:
        return ""
    fitting = [mark for mark in DECIMALS if body is not None and _BODY[mark].fullmatch(body)]
    if len(fitting) == 2:
        return "either" if "." in str(body) or "," in str(body) else ""
    return fitting[0] if fitting else ""


def _parts(cell: str) -> tuple[re.Match[str], float]:
    """Return a cell's parts and its sign."""
    text = cell.strip().replace("\u2212", "-") if len(cell) <= _LONGEST else ""
    bracketed = len(text) > 2 and text[0] == "(" and text[-1] == ")"
    match = _CELL.fullmatch(text[1:-1].strip() if bracketed else text)
    if match is None or (match["sign"] and (match["sign2"] or bracketed)):
        raise ValueError(cell)
    minus = bracketed or "-" in (match["sign"], match["sign2"])
    return match, -1.0 if minus else 1.0


def _body(text: str) -> str | None:
    """Return digits, points and commas alone; None if spaces stand where no thousands end."""
    plain = text.strip()
    if not _SPACES.search(plain):
        return plain
    whole = re.split("[.,]", plain, maxsplit=1)[0]
    marks = set(_SPACES.findall(plain))
    if len(marks) > 1 or not _GROUPED.fullmatch(whole) or _SPACES.search(plain[len(whole) :]):
        return None
    return _SPACES.sub("", plain)
