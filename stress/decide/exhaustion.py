"""The largest value of a family of books at which the insurance fund still lasts.

A family has one book for each value: a multiple of today's size, or a share. All its books are run
on the same paths. If no path on which the fund is exhausted at a value keeps it at a larger one,
each path has a largest value of its own at which its fund lasts, and whether the fund is exhausted
at k is whether that value lies below k. Then

* the search is cheap: between a value at which c paths are exhausted and a larger one, only paths
  that the two disagree on are open, and only they are simulated;
* choosing the value on the paths that certify it takes nothing from the confidence. The answer is
  above the true limit k* only if the count just above k* is within what the exact binomial bound
  allows (Clopper and Pearson 1934), whose probability is at most one minus the confidence; this is
  the order statistic of Wilks 1941, found by search instead of by sorting.

That no path is saved by a larger value is an assumption: books hedge each other, a forced sale can
save somebody else, and a position that is too large is closed before it can do harm. So the values
that are returned are run on all paths, their counts are the real ones, and so are two neighbours of
the limit, whose paths are compared with its own one by one: where more of them disagree with the
assumption than ``FORGIVEN`` the answer is "not monotone".
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import combinations
from math import nan, sqrt

import numpy as np

from stress.book.book import Book
from stress.decide.answer import Answer, Outcome
from stress.decide.cascades import Cascades, Run
from stress.decide.solve import binomial_bounds
from stress.stats.confidence import Confidence
from stress.types import Array, Integers

__all__ = ["FORGIVEN", "Appeal", "Family", "fewest_paths", "largest_value", "most_hits"]

FORGIVEN = 0.25
"""Share of the exhausted paths, of the larger count of two values, whose fund may be exhausted at
the smaller value and last at the larger one. A single path always may."""

TOLERANCE = 0.01
"""Relative distance of the answer from a value that does not keep the appetite."""

NEIGHBOUR = 1.1
"""Ratio of the limit and of the values beside it that its paths are compared with."""

_RUNS = 12
"""Runs over all paths that a search takes about: with fewer seconds than that it takes fewer
paths."""

_PILOT = 8
"""The bracket is looked for on one path in so many, and on ``_PILOT_HITS`` expected hits."""

_PILOT_HITS = 5.0

_ENOUGH = 4
"""So many times the fewest paths that can certify anything are worth waiting for."""


def most_hits(paths: int, alpha: float, confidence: Confidence) -> int:
    """Return the largest number of hits whose upper bound is not over alpha; -1 where none is."""
    kept, lost = -1, paths + 1
    while lost - kept > 1:
        middle = (kept + lost) // 2
        bound = binomial_bounds(np.array(float(middle)), paths, confidence)[1]
        kept, lost = (middle, lost) if bound <= alpha else (kept, middle)
    return kept


def fewest_paths(alpha: float, confidence: Confidence) -> int:
    """Return how many paths without a hit show at the least that a probability is within alpha."""
    worth = np.log1p(-float(confidence)) / np.log1p(-alpha)
    return int(np.ceil(worth * confidence.design_effect))


@dataclass(frozen=True)
class Family:
    """Books by one value, of which larger ones should be riskier.

    Attributes
    ----------
    book
        The book of a value.
    start, lowest, highest
        Where the search begins, and its ends; above 0.
    """

    book: Callable[[float], Book]
    start: float
    lowest: float
    highest: float


@dataclass(frozen=True)
class Appeal:
    """What is kept, and the time to show it.

    Attributes
    ----------
    alpha, confidence
        P(fund exhausted) is to be at most ``alpha``; the confidence knows a design effect.
    seconds, waiting
        Wall time for this and the other questions that wait for it, and how many that are. Each
        gets its share, or if that is not enough what is: the first ones are answered.
    """

    alpha: float
    confidence: Confidence
    seconds: float
    waiting: int = 1


class _TimeIsUp(Exception):
    """The seconds do not suffice."""


@dataclass(frozen=True)
class _Point:
    """One value: on which paths the fund is exhausted, and whether all of them were run."""

    value: float
    exhausted: Array
    is_run: bool

    @property
    def hits(self) -> int:
        return int(self.exhausted.sum())


def largest_value(cascades: Cascades, family: Family, asked: Appeal, blank: Answer) -> Answer:
    """Return the answer for a family; ``blank`` says what it is about, with values of the family.

    ``limit`` and ``at_estimate`` are values of the family; ``blank.unit`` is for the caller.
    """
    return _Search(cascades, family, asked, blank).answer()


@dataclass
class _Search:
    """Values that were tried, on how many paths."""

    cascades: Cascades
    family: Family
    asked: Appeal
    blank: Answer
    paths: int = 0
    points: list[_Point] = field(default_factory=list)
    _until: float = 0.0

    def answer(self) -> Answer:
        """Search, and say how it ended."""
        self._until = time.monotonic() + self.asked.seconds
        try:
            self._choose_paths()
            return self._searched()
        except _TimeIsUp:
            return self._out_of_time()

    # --- runs -------------------------------------------------------------------------------------

    def _run(self, value: float, numbers: Integers) -> Run:
        job = self.cascades.prepared(self.family.book(value))
        run = self.cascades.run(job, numbers, until=self._until)
        if not run.is_complete:
            raise _TimeIsUp
        return run

    def _choose_paths(self) -> None:
        """Take as many paths as the time allows; begin with a few to see how fast they are."""
        few = np.arange(min(2 * self.cascades.width, self.cascades.paths))
        self._run(self.family.start, few[:1])
        start = time.monotonic()
        self._run(self.family.start, few)
        now = time.monotonic()
        possible = fewest_paths(self.asked.alpha, self.asked.confidence)
        per_path = _RUNS * (now - start) / len(few)
        enough = per_path * min(_ENOUGH * possible, self.cascades.paths)
        left = max(self._until - now, 0.0)
        seconds = min(left, max(left / self.asked.waiting, enough))
        width = self.cascades.width
        affordable = max(int(seconds / per_path) // width, 1) * width
        self.paths = min(self.cascades.paths, affordable)
        if self.paths < possible <= self.cascades.paths:
            raise _TimeIsUp
        # runs at larger values take longer
        self._until = now + min(left, 2 * seconds)

    def _full(self, value: float) -> _Point:
        """Run all paths at a value, once."""
        for point in self.points:
            if point.is_run and point.value == value:
                return point
        run = self._run(value, np.arange(self.paths))
        point = _Point(value, run.exhausted, True)
        self.points.append(point)
        return point

    def _between(self, low: _Point, high: _Point, value: float) -> _Point:
        """Run what the two disagree on, at a value between theirs."""
        open_ = np.flatnonzero(high.exhausted & ~low.exhausted)
        exhausted = low.exhausted.copy()
        exhausted[open_] = self._run(value, open_).exhausted
        point = _Point(value, exhausted, False)
        self.points.append(point)
        return point

    # --- the search -------------------------------------------------------------------------------

    def _searched(self) -> Answer:
        allowed = most_hits(self.paths, self.asked.alpha, self.asked.confidence)
        estimated = int(np.floor(self.asked.alpha * self.paths * (1 + 1e-12)))
        low, high = self._pilot_bracket()
        wanted = allowed if allowed >= 0 else estimated
        low = self._down(low, wanted)
        if self._full(low).hits > wanted:
            # far above the present size nothing is like what is asked about
            other = min(4 * self.family.start, self.family.highest)
            return self._at_an_end("breached at the lowest value", low, other)
        high = self._up(max(high, 2 * low), estimated)
        at_estimate = nan
        if self._full(high).hits > estimated:
            at_estimate = self._settled(estimated)
        if allowed < 0:
            fewest = fewest_paths(self.asked.alpha, self.asked.confidence)
            note = f"{fewest:,} paths at least can show it"
            return self._told("too few paths", nan, at_estimate, note)
        if self._full(high).hits <= allowed:
            return self._at_an_end("unbounded at the highest value", high, self.family.lowest)
        return self._certified(allowed, at_estimate)

    def _pilot_bracket(self) -> tuple[float, float]:
        """Return a value that seems to keep the appetite and one that seems not to, on few paths.

        Where none does either way both are the end that was reached.
        """
        alpha, family = self.asked.alpha, self.family
        few = max(self.paths // _PILOT, int(_PILOT_HITS / alpha), self.cascades.width)
        numbers = np.arange(min(few, self.paths))

        def keeps(value: float) -> bool:
            return self._run(value, numbers).hits <= alpha * len(numbers)

        value = family.start
        if keeps(value):
            while value < family.highest:
                before, value = value, min(2 * value, family.highest)
                if not keeps(value):
                    return before, value
            return value, value
        while value > family.lowest:
            before, value = value, max(value / 2, family.lowest)
            if keeps(value):
                return value, before
        return value, value

    def _down(self, value: float, allowed: int) -> float:
        """Return the first of ever smaller values with at most so many hits, or the lowest."""
        while value > self.family.lowest and self._full(value).hits > allowed:
            value = max(value / 2, self.family.lowest)
        return value

    def _up(self, value: float, allowed: int) -> float:
        """Return the first of ever larger values with more than so many hits, or the highest."""
        value = min(value, self.family.highest)
        while value < self.family.highest and self._full(value).hits <= allowed:
            value = min(2 * value, self.family.highest)
        return value

    def _narrowed(self, allowed: int) -> float:
        """Return the largest value known to have at most so many hits, to the tolerance."""
        while True:
            low, high = self._bracket(allowed)
            if high.value <= low.value * (1 + TOLERANCE):
                return low.value
            self._between(low, high, sqrt(low.value * high.value))

    def _bracket(self, allowed: int) -> tuple[_Point, _Point]:
        """Return the neighbours between which the count passes what is allowed."""
        above = [point for point in self.points if point.hits > allowed]
        high = min(above, key=lambda point: point.value)
        below = [point for point in self.points if point.value < high.value]
        return max(below, key=lambda point: point.value), high

    def _settled(self, allowed: int) -> float:
        """Run the value that was found on all paths, and smaller ones until one keeps it."""
        value = self._narrowed(allowed)
        while self._full(value).hits > allowed:
            # the paths that were not run there are not what was thought of them
            self.points = [point for point in self.points if point.is_run]
            value = self._narrowed(allowed)
        return value

    def _certified(self, allowed: int, at_estimate: float) -> Answer:
        """Find the largest value that keeps the appetite for certain, and look beside it."""
        value = self._settled(allowed)
        try:
            is_monotone, note = self._compared(value, allowed)
        except _TimeIsUp:
            is_monotone, note = True, "no time was left to look beside it"
        return self._told("found" if is_monotone else "not monotone", value, at_estimate, note)

    def _compared(self, value: float, allowed: int) -> tuple[bool, str]:
        """Return whether risk grows with the value around it, and a sentence on what does not."""
        ends = (self.family.lowest, self.family.highest)
        near = (value / NEIGHBOUR, value, value * NEIGHBOUR)
        points = [self._full(float(np.clip(beside, *ends))) for beside in near]
        for point in points:
            keeps = point.hits <= allowed
            if keeps == (point.value > value):
                word = "keeps" if keeps else "breaks"
                return False, f"{self._worded(point.value)} {word} the appetite"
        return self._saved(points)

    def _saved(self, points: list[_Point]) -> tuple[bool, str]:
        """Return whether larger values save few enough paths, and a sentence if they save any."""
        saved, among = 0, 1
        for low, high in combinations(points, 2):
            back = int((low.exhausted & ~high.exhausted).sum())
            most = max(low.hits, high.hits, 1)
            if back / most > saved / among:
                saved, among = back, most
        if not saved:
            return True, ""
        note = f"a larger value saves the fund on {saved} of {among} exhausted paths"
        return saved <= max(1, FORGIVEN * among), note

    # --- what is told -----------------------------------------------------------------------------

    def _at_an_end(self, outcome: Outcome, value: float, other: float) -> Answer:
        """Tell that no value, or every one, keeps the appetite, if the other end says so too."""
        kept = outcome == "unbounded at the highest value"
        point, note = self._full(value), f"at {self._worded(value)}"
        try:
            there = self._run(other, np.arange(max(self.paths // _PILOT, 1)))
        except _TimeIsUp:
            return self._told(outcome, nan, nan, note, point)
        if (there.hits <= self.asked.alpha * there.paths) != kept:
            outcome = "not monotone"
            word = "breaks" if kept else "keeps"
            note += f"; the other end, {self._worded(other)}, {word} the appetite"
        return self._told(outcome, nan, nan, note, point)

    def _worded(self, value: float) -> str:
        """Return a value of the family in words: a share, or a multiple of the present size."""
        return f"{value:.1%}" if self.blank.unit == "1" else f"{value:.3g} times the present"

    def _told(
        self,
        outcome: Outcome,
        limit: float,
        at_estimate: float,
        note: str,
        point: _Point | None = None,
    ) -> Answer:
        if point is None and limit == limit:
            point = self._full(limit)
        risk = lower = upper = nan
        if point is not None:
            risk = point.hits / self.paths
            bounds = binomial_bounds(np.array(float(point.hits)), self.paths, self.asked.confidence)
            lower, upper = float(bounds[0]), float(bounds[1])
        return replace(
            self.blank,
            limit=limit,
            at_estimate=at_estimate,
            risk=risk,
            risk_lower=lower,
            risk_upper=upper,
            outcome=outcome,
            paths=self.paths,
            note=note,
        )

    def _out_of_time(self) -> Answer:
        """Tell what is known for certain when the time is up."""
        allowed = most_hits(self.paths, self.asked.alpha, self.asked.confidence)
        kept = [point.value for point in self.points if point.is_run and point.hits <= allowed]
        note = "the time does not suffice"
        if kept:
            most = self._worded(max(kept))
            note += f"; {most} keeps the appetite, larger values were not reached"
        return replace(self.blank, outcome="not certified", paths=self.paths, note=note)
