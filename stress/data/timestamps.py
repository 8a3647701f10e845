"""Timestamps of tables as text into UTC moments: ISO dates and date-times, or unix time."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from stress.errors import InputError

__all__ = ["Times", "parse_moment", "parse_timestamps"]

Times: TypeAlias = NDArray[np.datetime64]

_ISO = re.compile(
    r"(\d{4}-\d{2}-\d{2})"
    r"(?:[T ](\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?) ?(Z|UTC|[+-]\d{2}(?::?\d{2})?)?)?"
)
_UNIX = re.compile(r"(\d{9,19})(?:\.0*)?")

_UNITS = (
    ("seconds", 10**11, 10**9),
    ("milliseconds", 10**14, 10**6),
    ("microseconds", 10**17, 10**3),
    ("nanoseconds", 10**20, 1),
)
"""Name, first number too large for it, nanoseconds. Unix time says its unit by its size: 1e11
seconds is the year 5138, 1e11 milliseconds is 1973. Fewer than nine digits are refused, so that
20240101 is not taken for a second in 1970."""

_REMEDY = "write 2024-01-31, 2024-01-31T08:00:00Z or unix time in seconds or milliseconds"


def parse_timestamps(texts: Sequence[str], error: Callable[[int, str, str], InputError]) -> Times:
    """Return UTC moments to the millisecond.

    Dates alone and date-times without a zone are taken as UTC, unix time is UTC. One column holds
    one kind: with a zone, without one, or unix time in one unit.

    Parameters
    ----------
    texts
        (rows,) as they stand in the file.
    error
        Makes the error for a row (counted from 0), a rule and a remedy.

    Raises
    ------
    InputError
        A text that is no timestamp, or kinds mixed in one column; the rows are named.
    """
    known: dict[str, np.datetime64] = {}
    first_of_kind: dict[str, int] = {}
    for row, text in enumerate(texts):
        # assets share their timestamps, so each distinct text is parsed once
        if text in known:
            continue
        try:
            known[text], kind = parse_moment(text)
        except ValueError:
            raise error(row, f'"{text}" is not a timestamp', _REMEDY) from None
        first_of_kind.setdefault(kind, row)
        if len(first_of_kind) > 1:
            raise _mixed(texts, first_of_kind, error)
    return np.fromiter((known[text] for text in texts), "datetime64[ms]", len(texts))


def parse_moment(text: str) -> tuple[np.datetime64, str]:
    """Return one UTC moment to the millisecond, and which kind of timestamp it was written as.

    Raises
    ------
    ValueError
        Not a timestamp.
    """
    text = text.strip()
    if match := _UNIX.fullmatch(text):
        return _unix(int(match[1]))
    match = _ISO.fullmatch(text)
    if match is None:
        raise ValueError(text)
    day, time, zone = match.groups()
    moment = np.datetime64(f"{day}T{time}" if time else day).astype("datetime64[ms]")
    return moment - _offset(zone), "with a time zone" if zone else "without a time zone"


def _unix(number: int) -> tuple[np.datetime64, str]:
    name, _, size = next(unit for unit in _UNITS if number < unit[1])
    return np.datetime64(number * size // 10**6, "ms"), f"in unix {name}"


def _offset(zone: str | None) -> np.timedelta64:
    if zone in (None, "Z", "UTC"):
        return np.timedelta64(0, "m")
    assert zone is not None
    digits = zone[1:].replace(":", "").ljust(4, "0")
    hours, minutes = int(digits[:2]), int(digits[2:])
    if hours > 14 or minutes > 59:
        raise ValueError(zone)
    sign = -1 if zone[0] == "-" else 1
    return np.timedelta64(sign * (60 * hours + minutes), "m")


def _mixed(
    texts: Sequence[str],
    first_of_kind: dict[str, int],
    error: Callable[[int, str, str], InputError],
) -> InputError:
    (kind, row), (other_kind, other_row) = first_of_kind.items()
    rule = (
        f'timestamps must be written one way: "{texts[other_row]}" is {other_kind},'
        f' "{texts[row]}" in row {row + 1} {kind}'
    )
    return error(other_row, rule, "best write all of them in UTC with a Z at the end")
