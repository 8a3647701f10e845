"""A trend as a small picture: estimates with their intervals over time, in SVG, without a script.

Points are joined by a line only where both runs had the same inputs, seed and settings; where they
had not, the line is dotted, because the step is not one of risk alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from markupsafe import Markup, escape

from stress.report.read import Estimate
from stress.report.text import Kind, shown

__all__ = ["Point", "trend"]

_WIDTH, _HEIGHT = 320.0, 150.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 52.0, 10.0, 10.0, 22.0

_MANY = 40
"""Points from which on the marks are small, so that the line between them is seen."""

_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
"""Distances between two lines of the grid, times a power of ten."""

_FROM_ZERO = 0.5
"""An axis begins at 0 where the least number is below this share of the largest."""


@dataclass(frozen=True)
class Point:
    """One run in a trend.

    Attributes
    ----------
    moment
        When, UTC.
    estimate
        Its number and interval.
    breached
        Whether it is marked.
    alike
        Whether it has the inputs, seed and settings of the point before it.
    words
        What is said of it besides its number.
    """

    moment: datetime
    estimate: Estimate
    breached: bool
    alike: bool
    words: str


@dataclass(frozen=True)
class _Axes:
    """Where moments and numbers lie in the picture."""

    first: datetime
    last: datetime
    low: float
    high: float

    def x(self, moment: datetime) -> float:
        """Return the place of a moment; a single one stands in the middle."""
        span = (self.last - self.first).total_seconds()
        share = (moment - self.first).total_seconds() / span if span else 0.5
        return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)

    def y(self, number: float) -> float:
        """Return the place of a number."""
        share = (number - self.low) / (self.high - self.low)
        return _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM)


def trend(
    name: str, kind: Kind, points: Sequence[Point], threshold: float = math.nan
) -> Markup | None:
    """Return the picture of a trend; None where no point has a number.

    Parameters
    ----------
    name
        What is shown, for those who do not see it.
    kind
        How numbers are written.
    points
        In the order of time.
    threshold
        A limit to draw, NaN for none.
    """
    drawn = [point for point in points if not math.isnan(point.estimate.value)]
    if not drawn:
        return None
    axes = _axes(drawn, threshold)
    latest = shown(kind, drawn[-1].estimate)
    says = (
        f"{name}: {len(drawn)} runs from {drawn[0].moment:%Y-%m-%d} to "
        f"{drawn[-1].moment:%Y-%m-%d}, latest {latest}"
    )
    parts = [*_grid(axes, kind), *_limit(axes, threshold), *_lines(axes, drawn)]
    size = 2.8 if len(drawn) <= _MANY else 1.8
    parts += [_changes(axes, drawn), _bars(axes, drawn)]
    parts += [_mark(axes, kind, point, size) for point in drawn]
    return Markup(
        f'<svg viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}" role="img" aria-label="{escape(says)}">'
        + "\n".join(parts)
        + "</svg>"
    )


def _axes(points: Sequence[Point], threshold: float) -> _Axes:
    numbers = [number for point in points for number in point.estimate]
    numbers = [number for number in (*numbers, threshold) if not math.isnan(number)]
    low, high = min(numbers), max(numbers)
    if 0 <= low <= _FROM_ZERO * high:
        low = 0.0
    room = 0.08 * (high - low) or 0.08 * abs(high) or 1.0
    floor = 0.0 if low >= 0 and low < room else low - room
    return _Axes(points[0].moment, points[-1].moment, floor, high + room)


def _ticks(axes: _Axes) -> list[float]:
    """Return two to five round numbers on the vertical axis."""
    rough = (axes.high - axes.low) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in _STEPS if power * factor >= rough * 0.999)
    first = math.ceil(axes.low / step - 1e-9)
    count = math.floor(axes.high / step + 1e-9) - first + 1
    return [(first + number) * step for number in range(count)]


def _grid(axes: _Axes, kind: Kind) -> Iterable[str]:
    for tick in _ticks(axes):
        y = axes.y(tick)
        yield f'<path class="rule" d="M{_LEFT:g} {y:.1f}H{_WIDTH - _RIGHT:g}"/>'
        text = escape(_tick(kind, tick))
        yield f'<text x="{_LEFT - 6:g}" y="{y + 3.5:.1f}" text-anchor="end">{text}</text>'
    ends = {"start": (axes.first, _LEFT), "end": (axes.last, _WIDTH - _RIGHT)}
    if axes.first.date() == axes.last.date():
        ends = {"middle": (axes.first, (_LEFT + _WIDTH - _RIGHT) / 2)}
    for anchor, (moment, x) in ends.items():
        yield (
            f'<text x="{x:g}" y="{_HEIGHT - 6:g}" text-anchor="{anchor}">{moment:%Y-%m-%d}</text>'
        )


def _tick(kind: Kind, number: float) -> str:
    if kind == "probability":
        return f"{100 * number:.6g}\u00a0%"
    return shown(kind, Estimate(number)).value


def _limit(axes: _Axes, threshold: float) -> Iterable[str]:
    if not math.isnan(threshold):
        yield f'<path class="limit" d="M{_LEFT:g} {axes.y(threshold):.1f}H{_WIDTH - _RIGHT:g}"/>'


def _lines(axes: _Axes, points: Sequence[Point]) -> Iterable[str]:
    """Return the lines between points: one element for those drawn through, one for the dotted."""
    for alike, name in ((True, "line"), (False, "line other")):
        steps = "".join(
            f"M{_place(axes, former)}L{_place(axes, later)}"
            for former, later in pairwise(points)
            if later.alike is alike
        )
        if steps:
            yield f'<path class="{name}" d="{steps}"/>'


def _place(axes: _Axes, point: Point) -> str:
    return f"{axes.x(point.moment):.1f} {axes.y(point.estimate.value):.1f}"


def _bars(axes: _Axes, points: Sequence[Point]) -> str:
    bars = "".join(
        f"M{axes.x(point.moment):.1f} {axes.y(point.estimate.lower):.1f}"
        f"V{axes.y(point.estimate.upper):.1f}"
        for point in points
        if not (math.isnan(point.estimate.lower) or math.isnan(point.estimate.upper))
    )
    return f'<path class="bar" d="{bars}"/>' if bars else ""


def _changes(axes: _Axes, points: Sequence[Point]) -> str:
    """Return a tick below every point that is not like the one before: dots may be too short."""
    ticks = "".join(
        f"M{axes.x(point.moment):.1f} {_HEIGHT - _BOTTOM:g}v4"
        for point in points
        if not point.alike
    )
    return f'<path class="change" d="{ticks}"/>' if ticks else ""


def _mark(axes: _Axes, kind: Kind, point: Point, size: float) -> str:
    """Return the mark of a point: a disc, or a diamond where a limit is breached."""
    x, y = axes.x(point.moment), axes.y(point.estimate.value)
    said = f"{point.moment:%Y-%m-%d %H:%M} UTC: {shown(kind, point.estimate)}"
    title = f"<title>{escape(said)}{escape(point.words)}</title>"
    if point.breached:
        half = 1.6 * size
        sides = f"l{half:.1f} {half:.1f}l-{half:.1f} {half:.1f}l-{half:.1f} -{half:.1f}z"
        return f'<path class="breach" d="M{x:.1f} {y - half:.1f}{sides}">{title}</path>'
    return f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="{size:g}">{title}</circle>'
