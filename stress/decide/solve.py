"""The largest values that keep an appetite, of many units at once, on common random numbers.

A unit is an account, or several together. Its value, such as a multiple of its size, is solved for
by itself, but one trial evaluates all of them: each is tried at a value of its own. A search keeps
a bracket, the largest value known to keep the appetite and the smallest known to break it, and
halves it in logarithms or guesses inside it until the two are half a percent apart. What is
returned was evaluated: its count of liquidations is that of its value, not of one near it.

Of one account the count is a binomial number. The largest value at which it is at most c, where c
is the largest count whose one-sided upper bound (Clopper and Pearson 1934) is not over alpha, lies
above the true limit with a probability of at most one minus the confidence: whatever the
distribution, it is an order statistic of the paths' own limits (Wilks 1941). Below
``log(1 - confidence) / log(1 - alpha)`` paths, 59 for 5 % at 95 %, no count at all will do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from scipy.special import betaincinv, ndtri

from stress.decide.changed import one_sided
from stress.decide.trial import Tally
from stress.stats.confidence import Confidence, design_effect, independent
from stress.stats.probability import probability_interval
from stress.types import Array, Floats, Integers

__all__ = [
    "Criterion",
    "Found",
    "Search",
    "binomial_bounds",
    "first_guess",
    "probability_bounds",
]

TOLERANCE = 0.005
"""Relative distance of the value that keeps the appetite from one that does not."""

_MOST_TRIALS = 40
"""A bracket of 4,096 to 1 is halved down to half a percent 11 times; guesses take fewer."""

_GROWTH = (1.005, 1.05, 1.3, 3.0, 10.0)
"""Least factors by which a value moves on while no bracket is known. Far above the answer most
accounts are liquidated, which is what costs time."""

_BEYOND = 1.01
"""A value that moves on goes beyond where the appetite is expected, to have it in a bracket."""

_HALVINGS = 12
"""Of the bounds, for a first guess: 4,096 to 1 becomes 0.2 %."""

_LEAST_SCORE, _ASIDE = 50.0, 0.1
"""A risk counts as at least one part in so many of the appetite when a line is drawn through it (no
liquidation at all says nothing about the slope), and the guess stands aside of where the line leads
by this share of the bracket."""


def binomial_bounds(hits: Floats, trials: float, confidence: float) -> Floats:
    """Return (..., 2) one-sided lower and upper bounds of a probability, each at the confidence.

    Clopper and Pearson 1934. With a design effect the hits and trials count for less.
    """
    effect = design_effect(confidence)
    count, worth = np.asarray(hits, float) / effect, independent(float(trials), confidence)
    inside = np.clip(count, 1e-12, worth - 1e-12)
    lower = np.where(count > 0, betaincinv(inside, worth - inside + 1, 1 - confidence), 0.0)
    upper = np.where(count < worth, betaincinv(count + 1, worth - inside, float(confidence)), 1.0)
    return np.stack([lower, upper], axis=-1)


def probability_bounds(mean: Floats, variance: Floats, paths: int, confidence: float) -> Floats:
    """Return (..., 2) one-sided bounds, each at the confidence, of a mean of shares over paths."""
    both = Confidence(max(2 * confidence - 1, 1e-9), design_effect(confidence))
    return probability_interval(mean, variance, paths, both)


@dataclass(frozen=True)
class Criterion:
    """What a value has to keep: a probability of at most ``alpha``.

    Attributes
    ----------
    alpha
        The appetite.
    confidence
        (units,) of the upper bound of each.
    effect
        Paths that are worth one independent path.
    paths
        Number of paths.
    single
        (units,) whether a unit is one account: its bounds are binomial, those of several come from
        the shares on each path.
    """

    alpha: float
    confidence: Floats
    effect: float
    paths: int
    single: Array

    def bounds(self, tally: Tally) -> Floats:
        """Return (units, 2) one-sided lower and upper bounds, each at the confidence."""
        bounds = np.empty((len(self.single), 2))
        for level in np.unique(self.confidence):
            confidence, here = Confidence(level, self.effect), self.confidence == level
            alone, group = here & self.single, here & ~self.single
            bounds[alone] = binomial_bounds(tally.hits[alone], self.paths, confidence)
            shared = tally.at(group)
            bounds[group] = probability_bounds(shared.mean, shared.variance, self.paths, confidence)
        return bounds

    @property
    def aim(self) -> Floats:
        """(units,) about the estimate whose upper bound is alpha: where to look first."""
        worth = self.paths / self.effect
        reach = ndtri(self.confidence) * np.sqrt(self.alpha * (1 - self.alpha) / worth)
        aim: Floats = np.maximum(self.alpha - reach, self.alpha / _LEAST_SCORE)
        return aim

    @cached_property
    def can_be_kept(self) -> Array:
        """(units,) whether any count could show it: that of no liquidation does."""
        none = np.zeros(len(self.single))
        return self.bounds(Tally(none.astype(np.int64), none, none))[:, 1] <= self.alpha


def first_guess(
    likely: Callable[[Floats], Floats], lowest: Floats, highest: Floats, aim: Floats
) -> Floats:
    """Return (units,) about the largest values at which ``likely`` is at most ``aim``.

    Parameters
    ----------
    likely
        (units,) values -> about their risk, which rises with them; cheap.
    """
    low, high = lowest, highest
    for _ in range(_HALVINGS):
        middle = np.sqrt(low * high)
        keeps = likely(middle) <= aim
        low, high = np.where(keeps, middle, low), np.where(keeps, high, middle)
    return low


@dataclass(frozen=True)
class Found:
    """Where a search ended, (units,) each.

    Attributes
    ----------
    value
        The largest that is known to keep the appetite; NaN where none is.
    tally, bounds
        Liquidations there, and one-sided bounds (units, 2); of the lowest value where none keeps
        it.
    breached, unbounded
        Whether the lowest value does not keep it, and whether the highest does.
    monotone
        Whether larger values never had fewer liquidations, of all that were tried.
    """

    value: Floats
    tally: Tally
    bounds: Floats
    breached: Array
    unbounded: Array
    monotone: Array


@dataclass(frozen=True)
class Search:
    """A search for the largest values that keep an appetite.

    Attributes
    ----------
    trial
        (units,) values -> their tally. Units whose answer is known are tried at their lowest value,
        where nothing happens.
    criterion
        What is kept.
    lowest, highest
        (units,) bounds of the values, above 0.
    """

    trial: Callable[[Floats], Tally]
    criterion: Criterion
    lowest: Floats
    highest: Floats

    def run(self, guess: Floats, asked: Array, *, estimate: bool = True) -> tuple[Found, Found]:
        """Return the largest values whose upper bound keeps the appetite, and whose estimate does.

        Parameters
        ----------
        guess
            (units,) values to begin with.
        asked
            (units,) who is asked for.
        estimate
            Whether the second answer is wanted.
        """
        alpha = self.criterion.alpha
        upper = _Bracket.of(self.lowest, self.highest, asked & self.criterion.can_be_kept)
        mean = _Bracket.of(self.lowest, self.highest, asked & estimate)
        tried: list[_Tried] = []
        value = np.clip(guess, self.lowest, self.highest)
        for _ in range(_MOST_TRIALS):
            open_ = upper.open | mean.open
            if not open_.any():
                break
            value = np.where(open_, value, self.lowest)
            tally = self.trial(value)
            bounds = self.criterion.bounds(tally)
            tried.append(_Tried(value, tally, bounds))
            # one trial serves both, and whoever has the first answer goes on to the second
            upper.add(value, bounds[:, 1], alpha)
            mean.add(value, tally.mean, alpha)
            first = upper.open
            value = np.where(first, upper.next(alpha, first), mean.next(alpha, ~first))
        return self._found(upper, tried), self._found(mean, tried)

    def _found(self, bracket: _Bracket, tried: list[_Tried]) -> Found:
        """Look up what came of the values that a bracket ends at."""
        breached = bracket.high <= self.lowest
        value = np.where(breached, self.lowest, bracket.low)
        units = len(value)
        hits, mean, variance = np.zeros(units, np.int64), np.full(units, np.nan), np.zeros(units)
        bounds = np.full((units, 2), np.nan)
        for each in tried:
            here = each.value == value
            hits[here], mean[here] = each.tally.hits[here], each.tally.mean[here]
            variance[here], bounds[here] = each.tally.variance[here], each.bounds[here]
        keeps = ~breached & ~np.isnan(mean) & bracket.asked
        return Found(
            value=np.where(keeps, value, np.nan),
            tally=Tally(hits, mean, variance),
            bounds=bounds,
            breached=breached,
            unbounded=bracket.low >= self.highest,
            monotone=_monotone(tried, units),
        )


class _Tried(NamedTuple):
    """Values that were tried, and what came of them."""

    value: Floats
    tally: Tally
    bounds: Floats


def _monotone(tried: list[_Tried], units: int) -> Array:
    """Return (units,) whether liquidations never fall from a value to a larger one."""
    if not tried:
        return np.ones(units, bool)
    values = np.stack([each.value for each in tried])
    hits = np.stack([each.tally.hits for each in tried])
    order = np.argsort(values, axis=0, kind="stable")
    ascending: Integers = np.take_along_axis(hits, order, axis=0)
    return np.asarray((np.diff(ascending, axis=0) >= 0).all(axis=0))


@dataclass
class _Bracket:
    """Of each unit the largest value that keeps, the smallest that breaks, and how well.

    ``low`` is 0 and ``high`` infinite where none is known; ``low_score`` and ``high_score`` are the
    risk at them, ``moves`` how often the unit moved on without a bracket, ``guesses`` how often one
    was guessed inside it; ``asked`` says who is asked for.
    """

    asked: Array

    lowest: Floats
    highest: Floats
    low: Floats
    high: Floats
    low_score: Floats
    high_score: Floats
    moves: Integers
    guesses: Integers

    @classmethod
    def of(cls, lowest: Floats, highest: Floats, asked: Array) -> _Bracket:
        units = len(lowest)
        return cls(
            asked=asked,
            lowest=lowest,
            highest=highest,
            low=np.zeros(units),
            high=np.full(units, np.inf),
            low_score=np.zeros(units),
            high_score=np.ones(units),
            moves=np.zeros(units, int),
            guesses=np.zeros(units, int),
        )

    def add(self, value: Floats, risk: Floats, alpha: float) -> None:
        """Take in (units,) values and the risk at them."""
        keeps = risk <= alpha
        # where risk falls with size, what is below the smallest that breaks is what counts
        breaks = ~keeps & (value < self.high)
        self.high = np.where(breaks, value, self.high)
        self.high_score = np.where(breaks, risk, self.high_score)
        better = keeps & (value > self.low) & (value < self.high)
        self.low = np.where(better, value, self.low)
        self.low_score = np.where(better, risk, self.low_score)
        # a value that breaks below one that kept: the bracket starts anew underneath
        fallen = self.low >= self.high
        self.low = np.where(fallen, 0.0, self.low)

    @property
    def open(self) -> Array:
        """(units,) whether an answer is asked for and not known to the tolerance yet."""
        with np.errstate(divide="ignore", invalid="ignore"):
            near = self.high / np.where(self.low > 0, self.low, np.nan) <= 1 + TOLERANCE
        done = near | (self.low >= self.highest) | (self.high <= self.lowest)
        return np.asarray(self.asked & ~done)

    def next(self, alpha: float, chosen: Array) -> Floats:
        """Return (units,) values to try, of which the chosen will be."""
        inside = (self.low > 0) & np.isfinite(self.high)
        growth = np.array(_GROWTH)[np.minimum(self.moves, len(_GROWTH) - 1)]
        target = one_sided(np.array(alpha))
        with np.errstate(divide="ignore", invalid="ignore"):
            # without drift and requirement the quantile is proportional to one over the value
            further = _quantile(self.low_score, alpha) / target * _BEYOND
            nearer = target / _quantile(self.high_score, alpha) * _BEYOND
            up = np.minimum(self.low * np.maximum(further, growth), self.highest)
            down = np.maximum(self.high / np.maximum(nearer, growth), self.lowest)
            value = np.where(inside, self._guess(alpha), np.where(self.low > 0, up, down))
        self.moves += chosen & ~inside
        self.guesses += chosen & inside
        return value

    def _guess(self, alpha: float) -> Floats:
        """Return a value inside the bracket.

        The normal quantile of half the risk is nearly linear in one over the value (a Brownian
        excess): the first guess is where a line through both ends is cut, a little on the side of
        the farther end. Counts of few paths are too rough for a second: the bracket is halved.
        """
        one, other = _quantile(self.low_score, alpha), _quantile(self.high_score, alpha)
        share = (one_sided(np.array(alpha)) - one) / np.where(other > one, other - one, np.nan)
        cut = 1 / (1 / self.low + share * (1 / self.high - 1 / self.low))
        width = np.log(self.high / self.low)
        place = np.log(cut / self.low) / width
        place = np.clip(place + np.where(place > 0.5, -_ASIDE, _ASIDE), _ASIDE, 1 - _ASIDE)
        halved = np.isnan(place) | (self.guesses > 0)
        value: Floats = self.low * np.exp(np.where(halved, 0.5, place) * width)
        return value


def _quantile(risk: Floats, alpha: float) -> Floats:
    return one_sided(np.clip(risk, alpha / _LEAST_SCORE, 0.999))
