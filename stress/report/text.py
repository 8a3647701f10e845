"""Numbers as people read them, each beside its interval: ``3.1 % (2.9 to 3.3)``.

How many digits are shown follows from the interval, so that nothing looks surer than it is. What
is missing (NaN) is an en dash. A probability that was never seen, or that would round to zero, is
shown as below its upper bound.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from stress.report.read import Estimate

__all__ = [
    "MISSING",
    "UNITS",
    "Kind",
    "Shown",
    "count",
    "days",
    "joined",
    "level_name",
    "money_unit",
    "plural",
    "shown",
]

Kind: TypeAlias = Literal[
    "text", "probability", "difference", "percent", "money", "price", "ratio", "number", "verdict"
]

UNITS: dict[str, str] = {
    "text": "",
    "probability": "share",
    "difference": "share",
    "percent": "share",
    "money": "USD",
    "price": "USD",
    "ratio": "",
    "number": "",
    "verdict": "",
}
"""In what a number of each kind is stored, and exported: the page writes shares as percent."""

MISSING = "\u2013"
_MINUS = "\u2212"
_SPACE = "\u00a0"
_MOST_PERCENT_PLACES = 3

# Unit, the least amount written in it, suffix: below ten thousand dollars are counted out.
_UNITS = ((1e9, 1e9, "bn"), (1e6, 1e6, "m"), (1e3, 1e4, "k"))


@dataclass(frozen=True)
class Shown:
    """A number as text, and its interval without brackets; empty where it has none.

    Attributes
    ----------
    value, interval
        As people read them.
    of
        The number that was written, for exports; None where the text stands for none.
    """

    value: str
    interval: str = ""
    of: Estimate | None = field(default=None, compare=False)

    def __str__(self) -> str:
        return f"{self.value} ({self.interval})" if self.interval else self.value


def _fixed(number: float, places: int) -> str:
    """Write a number with thousands separators, rounded to ``places`` (negative: to tens, ...)."""
    if math.isinf(number):
        return ("" if number > 0 else _MINUS) + "\u221e"
    rounded = round(number, places) + 0.0  # + 0.0 turns -0.0 into 0.0
    return f"{rounded:,.{max(places, 0)}f}".replace("-", _MINUS)


def _magnitude(number: float) -> int:
    return math.floor(math.log10(abs(number)))


def _ceiling(number: float, digits: int) -> tuple[float, int]:
    """Round a positive number up to significant digits; return it and its decimals."""
    places = digits - 1 - _magnitude(number)
    # The small allowance keeps a number that is round already from going up by rounding error.
    rounded = math.ceil(number * 10.0**places - 1e-9) / 10.0**places
    return rounded, digits - 1 - _magnitude(rounded)


def _below(bound: float, digits: int) -> str:
    """Write an upper bound, rounded up, so that it stays one."""
    return _fixed(*_ceiling(bound, digits))


def _above(bound: float, digits: int) -> str:
    """Write a lower bound below 100, rounded down in the digits of what is missing to 100."""
    gap, places = _ceiling(100 - bound, digits)
    return _fixed(100 - gap, places)


def _places(estimate: Estimate, digits: int, otherwise: int) -> int:
    """Return the decimals that show ``digits`` significant digits of half the interval."""
    half = (estimate.upper - estimate.lower) / 2
    if not math.isfinite(half) or half <= 0:
        return otherwise
    return digits - 1 - _magnitude(half)


def _between(estimate: Estimate, places: int) -> str:
    """Write the bounds, a positive lower one never as zero."""
    if math.isnan(estimate.lower) or math.isnan(estimate.upper):
        return ""
    low = _fixed(estimate.lower, places)
    if estimate.lower > 0 and round(estimate.lower, places) == 0:
        low = _fixed(estimate.lower, min(-_magnitude(estimate.lower), 5))
    return f"{low} to {_fixed(estimate.upper, places)}"


def _probability(share: Estimate) -> Shown:
    percent = Estimate(*(100 * number for number in share))
    value, _, upper = percent
    if math.isnan(upper):
        return Shown(f"{value:.4g}{_SPACE}%")
    places = min(max(_places(percent, 1, otherwise=1), 0), _MOST_PERCENT_PLACES)
    if round(value, places) <= 0:
        if upper > 0:
            return Shown(f"<{_SPACE}{_below(upper, 1)}{_SPACE}%", f"0 to {_below(upper, 2)}")
        return Shown(f"0{_SPACE}%", _between(percent, 0))
    if round(value, places) >= 100 and percent.lower < 100:
        low = percent.lower
        return Shown(f">{_SPACE}{_above(low, 1)}{_SPACE}%", f"{_above(low, 2)} to 100")
    return Shown(f"{_fixed(value, places)}{_SPACE}%", _between(percent, places))


def _difference(share: Estimate) -> Shown:
    points = Estimate(*(100 * number for number in share))
    places = min(max(_places(points, 1, otherwise=1), 0), _MOST_PERCENT_PLACES)
    return Shown(f"{_signed(points.value, places)}{_SPACE}points", _between(points, places))


def _signed(number: float, places: int) -> str:
    return ("+" if round(number, places) > 0 else "") + _fixed(number, places)


def _percent(share: Estimate) -> Shown:
    places = 1 if abs(share.value) < 1 else 0
    return Shown(f"{_fixed(100 * share.value, places)}{_SPACE}%")


_HALF_A_CENT = 0.005


def money_unit(size: float) -> tuple[float, str]:
    """Return what amounts of this size are divided by, and the suffix that says so."""
    for unit, least, suffix in _UNITS:
        if math.isfinite(size) and abs(size) >= least:
            return unit, suffix
    return 1.0, ""


def _money(amount: Estimate) -> Shown:
    # less than half a cent is rounding error of larger sums, not an amount
    amount = Estimate(*(0.0 if abs(number) < _HALF_A_CENT else number for number in amount))
    unit, suffix = money_unit(amount.value)
    scaled = Estimate(*(number / unit for number in amount))
    if suffix:
        places = min(max(_places(scaled, 2, otherwise=2 - _magnitude(scaled.value)), 0), 2)
    else:
        cents = 0 < abs(amount.value) < 10
        places = min(_places(scaled, 2, otherwise=2 if cents else 0), 2 if cents else 0)
    negative = round(scaled.value, places) < 0
    size = _fixed(abs(scaled.value), places)
    return Shown(f"{_MINUS if negative else ''}${size}{suffix}", _between(scaled, places))


def _price(price: Estimate) -> Shown:
    size = abs(price.value)
    if size >= 10_000 or not math.isfinite(size):
        return Shown(f"${_fixed(price.value, 0)}")
    return Shown(f"${_fixed(price.value, 2 if size >= 1 or size == 0 else 3 - _magnitude(size))}")


def _ratio(ratio: Estimate) -> Shown:
    return Shown(_fixed(ratio.value, 2), _between(ratio, 2))


def _number(number: Estimate) -> Shown:
    size = abs(number.value)
    if not math.isfinite(size) or number.value == round(number.value):
        return Shown(_fixed(number.value, 0), _between(number, 0))
    return Shown(_fixed(number.value, min(max(3 - _magnitude(size), 0), 8)))


_SHOW: dict[str, Callable[[Estimate], Shown]] = {
    "probability": _probability,
    "difference": _difference,
    "percent": _percent,
    "money": _money,
    "price": _price,
    "ratio": _ratio,
    "number": _number,
}


def shown(kind: Kind, cell: Estimate | float | str | Shown) -> Shown:
    """Return a cell of a table, a headline or a hover label as text."""
    if isinstance(cell, Shown):
        return cell
    if isinstance(cell, str):
        return Shown(cell)
    estimate = cell if isinstance(cell, Estimate) else Estimate(float(cell))
    if math.isnan(estimate.value):
        return Shown(MISSING, of=estimate)
    return replace(_SHOW[kind](estimate), of=estimate)


def count(number: float | str) -> str:
    """Write a whole number with thousands separators; text that is none stays as it is."""
    try:
        return f"{int(float(number)):,}"
    except (ValueError, OverflowError):
        return str(number) or MISSING


def plural(number: float | str, one: str, many: str | None = None) -> str:
    """Return ``1 account``, ``3,000 accounts``."""
    text = count(number)
    return f"{text} {one if text == '1' else many or one + 's'}"


def days(number: float | str) -> str:
    """Write a length of time given in days: ``7 days``, ``12 hours``, ``30 minutes``."""
    try:
        length = float(number)
    except ValueError:
        return str(number) or MISSING
    for unit, size in (("day", 1.0), ("hour", 24.0)):
        if length * size >= 1 - 1e-9:
            return _of_unit(length * size, unit)
    return _of_unit(length * 1440, "minute")


def _of_unit(length: float, unit: str) -> str:
    return f"{length:g} {unit}" + ("" if f"{length:g}" == "1" else "s")


def level_name(level: float) -> str:
    """Write the level of a quantile: ``99 %``, ``99.9 %``."""
    return f"{round(100 * level, 6):g}{_SPACE}%"


def joined(items: list[str]) -> str:
    """Join words as a sentence does: ``a, b and c``."""
    return " and ".join(filter(None, [", ".join(items[:-1]), *items[-1:]]))
