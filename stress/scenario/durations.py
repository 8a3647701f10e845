"""Durations as users write them ("5min", "7d"), exact: a step divides a horizon or it does not."""

from __future__ import annotations

import re
from fractions import Fraction

__all__ = ["DURATION_PATTERN", "DURATION_REMEDY", "YEAR_SECONDS", "duration_seconds"]

_SECONDS = {"s": 1, "min": 60, "h": 3_600, "d": 86_400, "w": 604_800}

DURATION_PATTERN = r"^[0-9]+(\.[0-9]+)?(s|min|h|d|w)$"
"""The same rule for the JSON Schema."""

DURATION_REMEDY = 'write a number and a unit in quotes: "30s", "5min", "1h", "7d" or "2w"'

YEAR_SECONDS = 365 * 86_400
"""A year of 365 days: volatilities are annualised by it, because these markets never close."""


def duration_seconds(text: str) -> Fraction:
    """Return the seconds of a duration such as ``"1.5h"``, exactly.

    Raises
    ------
    ValueError
        The text is no positive number followed by s, min, h, d or w; the message says which.
    """
    if not re.fullmatch(DURATION_PATTERN, text):
        if re.fullmatch(r"[0-9.]+\s*m", text):
            raise ValueError('the unit "m" could be minutes or months')
        raise ValueError("must be a duration")
    number = text.rstrip("smindhw")
    seconds = Fraction(number) * _SECONDS[text[len(number) :]]
    if seconds <= 0:
        raise ValueError("must be longer than zero")
    return seconds
