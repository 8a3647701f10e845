"""Moments as exports write them: ISO, unix time in any unit, dates in the order of a country."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from stress.errors import InputError
from stress.importers.files.sniffing import Sheet, shown

__all__ = ["DATE_ORDERS", "Moments", "moment", "read_moments"]

DATE_ORDERS = ("DMY", "MDY")
"""Day before month, as in most of the world, or month before day, as in the United States."""

_UNIX = re.compile(r"([0-9]{9,19})(\.[0-9]{1,9})?")

_UNITS = (("s", 10**11, 1), ("ms", 10**14, 10**3), ("us", 10**17, 10**6), ("ns", 10**20, 10**9))
"""Unit of unix time, first number too large for it, how many make a second. Its size says which:
1e11 seconds is the year 5138, 1e11 milliseconds is 1973."""

_MONTHS = (
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
)

_DATES = (
    ("YMD", re.compile(r"([0-9]{4})([-/.])([0-9]{1,2})\2([0-9]{1,2})(?![0-9])")),
    ("?", re.compile(r"([0-9]{1,2})([-/.])([0-9]{1,2})\2([0-9]{4})(?![0-9])")),
    ("Ymd", re.compile(r"((?:19|20)[0-9]{2})()([0-9]{2})([0-9]{2})(?![0-9])")),
    ("DbY", re.compile(r"([0-9]{1,2})([- ])([A-Za-z]{3,9})\.?,?[- ]([0-9]{4})(?![0-9])")),
    ("bDY", re.compile(r"([A-Za-z]{3,9})\.?([- ])([0-9]{1,2}),?[- ]([0-9]{4})(?![0-9])")),
)
"""Ways to write a date: what its three numbers are, and the pattern."""

_TIME = re.compile(
    r"(?:[T,]?\s*([0-9]{1,2})(?::([0-9]{2})(?::([0-9]{2})(?:[.,]([0-9]{1,9}))?)?)?"
    r"[\s-]?([AaPp][Mm])?)?\s*(Z|UTC|GMT|[+-][0-9]{2}(?::?[0-9]{2})?)?(?:\s*\(UTC\))?"
)

_REMEDY = "write 2024-01-31, 2024-01-31T08:00:00Z or unix time"


@dataclass(frozen=True)
class Moments:
    """A column of moments.

    Attributes
    ----------
    values
        One a row, in UTC.
    notices
        What was taken for granted to read them.
    """

    values: tuple[datetime, ...]
    notices: tuple[str, ...]


@dataclass
class _Reader:
    """What has been seen of a column so far: its distinct texts, and the first row of each kind."""

    sheet: Sheet
    index: int
    order: str | None
    known: dict[str, datetime] = field(default_factory=dict)
    first: dict[str, int] = field(default_factory=dict)


def moment(text: str) -> datetime:
    """Read one moment: a date whose order is plain, or unix time.

    Raises
    ------
    ValueError
        It is none, or 03/04/2024, which is two dates.
    """
    try:
        return _parsed(text, None)[0]
    except OverflowError:
        raise ValueError(text) from None


def read_moments(
    sheet: Sheet, index: int, rows: Sequence[int] | None, order: str | None
) -> Moments:
    """Read a column of moments.

    A date such as 03/04/2024 is read in the order stated, or else in that which other rows of the
    column leave possible. Times without a zone are taken to be UTC.

    Parameters
    ----------
    sheet, index
        The table and its column.
    rows
        Which rows, from 0; None reads all.
    order
        ``"DMY"`` or ``"MDY"``, or None.

    Raises
    ------
    InputError
        A cell is no moment, or two; or the column is written in two ways.
    """
    chosen = range(len(sheet.rows)) if rows is None else rows
    order = order or _order(sheet, index, chosen)
    reader = _Reader(sheet, index, order)
    values = tuple(_value(reader, row) for row in chosen)
    return Moments(values, _notices(reader))


def _value(reader: _Reader, row: int) -> datetime:
    text = reader.sheet.rows[row][reader.index]
    if text not in reader.known:
        try:
            reader.known[text], kind = _parsed(text, reader.order)
        except (ValueError, OverflowError):
            raise _unreadable(reader, row, text) from None
        reader.first.setdefault(kind, row)
        if len({_family(kind) for kind in reader.first}) > 1:
            raise _mixed(reader, row)
    return reader.known[text]


def _unreadable(reader: _Reader, row: int, text: str) -> InputError:
    rule = f'"{shown(text)}" is not a moment'
    remedy = _REMEDY
    if re.fullmatch(r"[0-9.]+[eE]\+?[0-9]+", text):
        rule = f'"{shown(text)}" has lost its digits to a spreadsheet'
        remedy = "export it again and do not save it from a spreadsheet"
    return reader.sheet.error(row, reader.index, rule, remedy)


def _mixed(reader: _Reader, row: int) -> InputError:
    kind, other = sorted(reader.first, key=reader.first.__getitem__)[:2]
    first = reader.first[kind]
    rule = (
        f'"{shown(reader.sheet.rows[row][reader.index])}" is {other},'
        f' "{shown(reader.sheet.rows[first][reader.index])}" in row {first + 1} {kind}'
    )
    return reader.sheet.error(row, reader.index, rule, "write the column one way")


def _family(kind: str) -> str:
    """Unix time in one unit or another is never mistaken; all else must not be mixed."""
    return "unix" if kind.startswith("unix") else kind.replace("a date", "without a zone")


def _notices(reader: _Reader) -> tuple[str, ...]:
    name = reader.sheet.name(reader.index)
    found = []
    units = sorted(kind for kind in reader.first if kind.startswith("unix"))
    if units:
        found.append(f"column {name} is {' and '.join(units)}")
    if "without a zone" in reader.first:
        found.append(f"column {name} states no time zone and is taken as UTC")
    if reader.order is not None:
        words = "day, month, year" if reader.order == "DMY" else "month, day, year"
        found.append(f"column {name} is in the order {words}")
    return tuple(found)


def _order(sheet: Sheet, index: int, rows: Sequence[int]) -> str | None:
    """Return the order of day and month that the column itself shows, None where it has none."""
    witness: dict[str, int] = {}
    unclear: int | None = None
    for row in rows:
        match = _DATES[1][1].match(sheet.rows[row][index])
        if match is None:
            continue
        first, second = int(match[1]), int(match[3])
        if first > 12 or second > 12:
            witness.setdefault("DMY" if first > 12 else "MDY", row)
        elif unclear is None:
            unclear = row
    if len(witness) == 2:
        row, other = max(witness.values()), min(witness.values())
        rule = (
            f'"{shown(sheet.rows[row][index])}" and "{shown(sheet.rows[other][index])}" in row'
            f" {other + 1} have day and month in different order"
        )
        raise sheet.error(row, index, rule, "write the column one way, best 2024-01-31")
    if not witness and unclear is not None:
        rule = f'"{shown(sheet.rows[unclear][index])}" can be two dates'
        remedy = "say --date-order DMY (day first) or --date-order MDY (month first)"
        raise sheet.error(unclear, index, rule, remedy)
    return next(iter(witness), None)


def _parsed(text: str, order: str | None) -> tuple[datetime, str]:
    """Return a moment in UTC and how it was written; ValueError if it cannot be read."""
    plain = text.strip()
    if len(plain) > 60:
        raise ValueError(text)
    if match := _UNIX.fullmatch(plain):
        return _unix(match)
    for shape, pattern in _DATES:
        if match := pattern.match(plain):
            year, month, day = _day(shape, match, order)
            return _in_day(datetime(year, month, day, tzinfo=UTC), plain[match.end() :])
    raise ValueError(text)


def _unix(match: re.Match[str]) -> tuple[datetime, str]:
    number = int(match[1])
    unit, _, per_second = next(entry for entry in _UNITS if number < entry[1])
    microseconds = int(Decimal(match[0]) * 10**6 / per_second)
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    return epoch + timedelta(microseconds=microseconds), f"unix time in {unit}"


def _day(shape: str, match: re.Match[str], order: str | None) -> tuple[int, int, int]:
    first, second, third = match[1], match[3], match[4]
    if shape in ("YMD", "Ymd"):
        return int(first), int(second), int(third)
    if shape == "DbY":
        return int(third), _month(second), int(first)
    if shape == "bDY":
        return int(third), _month(first), int(second)
    if order is None and first != second:
        raise ValueError(match[0])
    day, month = (first, second) if order == "DMY" else (second, first)
    return int(third), int(month), int(day)


def _month(name: str) -> int:
    """Return the number of a month by its English name or the first three or four letters of it."""
    plain = name.casefold()
    found = [number for number, month in enumerate(_MONTHS, 1) if month.startswith(plain)]
    if len(found) != 1 or not (len(plain) <= 4 or plain in _MONTHS):
        raise ValueError(name)
    return found[0]


def _in_day(day: datetime, rest: str) -> tuple[datetime, str]:
    match = _TIME.fullmatch(rest.strip() if rest[:1].isspace() else rest)
    if match is None or (match[1] is None and match[6] is not None):
        raise ValueError(rest)
    if match[1] is not None and match[2] is None and match[5] is None:
        raise ValueError(rest)
    hour, minute, second = (int(match[part] or 0) for part in (1, 2, 3))
    if match[5] is not None:
        if not 1 <= hour <= 12:
            raise ValueError(rest)
        hour = hour % 12 + (12 if match[5][0] in "pP" else 0)
    if hour > 23 or minute > 59 or second > 59:
        raise ValueError(rest)
    fraction = int((match[4] or "").ljust(6, "0")[:6])
    clock = timedelta(hours=hour, minutes=minute, seconds=second, microseconds=fraction)
    zone = match[6]
    if match[1] is None:
        return day, "a date"
    return day + clock - _offset(zone), "with a zone" if zone else "without a zone"


def _offset(zone: str | None) -> timedelta:
    if zone in (None, "Z", "UTC", "GMT"):
        return timedelta(0)
    digits = str(zone)[1:].replace(":", "").ljust(4, "0")
    hours, minutes = int(digits[:2]), int(digits[2:])
    if hours > 14 or minutes > 59:
        raise ValueError(zone)
    return (-1 if str(zone)[0] == "-" else 1) * timedelta(hours=hours, minutes=minutes)
