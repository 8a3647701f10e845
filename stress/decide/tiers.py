"""A tier table whose expected loss beyond bankruptcy stays within a budget.

The loss beyond bankruptcy of a path is what pools left in deficits, before the fund or anybody else
paid for them. A pool's deficit counts in the *bracket* of its largest position at the start: the
asset, and the tier that the position's notional falls in. The budget is divided over the brackets
in proportion to the notional of the pools that count in them, and of each bracket the smallest rate
is looked for with which its expected loss is within its part, all brackets side by side in every
run, on common random numbers and with the scenario's feedback.

A rate that most of today's pools do not meet would close them at the first look, which is no
liquidation rule but an end of the market. So a rate is at most the one that leaves ``OPEN`` of its
bracket's notional open at the start.

Rates never fall with the bracket (a tier table is convex), so a rate is at least that of the
bracket below. A bracket in which no pool counts takes the rate above it, if that is lower than its
present one. That is the shape of the table. At last all its rates are multiplied by one factor, the
smallest for which the upper confidence bound of the total is within the whole budget. So what is
kept is the total: a bracket may need more than its part where others need less.

Raising a rate closes pools earlier, which leaves smaller deficits but sells more: where feedback
turns that around, or the highest rates do not suffice, the answer is "not certified".
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from math import nan

import numpy as np

from stress.book.display import pool_margins
from stress.decide.answer import Answer
from stress.decide.cascades import Cascades, Classes, Run, share_of
from stress.decide.task import Task
from stress.runner.prepare import Job
from stress.scenario.schema import MarginLevel, Scenario, Tier, Venue
from stress.stats.confidence import Confidence
from stress.stats.probability import mean_interval
from stress.types import Array, Floats, Integers

__all__ = ["Brackets", "maintenance_rate_answers", "with_tiers"]

_MEASURE = "expected loss beyond bankruptcy, all brackets together"

OPEN = 0.95
"""Share of a bracket's notional whose pools are not in breach at the start."""

_LOWEST = 5e-4
"""The lowest rate that is tried."""

_ROUNDS = 5, 2
"""Rounds on few paths, and on all: each halves the distance of two rates in logarithms, so that
they are at last a few percent apart. They give the table its shape."""

_FEW = 4
"""Few paths are one in so many."""

_RUNS = 14
"""Runs over all paths that the search takes about: with less time it takes fewer paths."""

_STEP, _TOLERANCE = 1.6, 1.03
"""Ratio of two factors of the whole table that are tried in turn, and of those that are at last
known to keep the budget and not to."""

_LOSSES = 30
"""Fewest paths with a loss from which a mean's interval is believed."""


@dataclass(frozen=True)
class Brackets:
    """Where pools count, of all assets and tiers.

    Attributes
    ----------
    asset, tier
        (brackets,) those in which a pool counts.
    notional
        (brackets,) of the pools that count there, USD.
    highest
        (brackets,) the rate of all that they hold that leaves ``OPEN`` of it open at the start.
    classes
        Pools by bracket; the last class is of those without positions.
    """

    asset: Integers
    tier: Integers
    notional: Floats
    highest: Floats
    classes: Classes

    @classmethod
    def of(cls, job: Job) -> Brackets:
        """Return the brackets of a job's main world."""
        book, setting, pools = job.book, job.setting, job.main.pools
        held = np.flatnonzero((pools.pool_of_position >= 0) & (book.quantity != 0))
        pool, asset = pools.pool_of_position[held], book.position_asset[held]
        notional = np.abs(book.quantity[held]) * setting.price[asset]
        # the first of equals, in file order
        largest = held[np.lexsort((held, -notional, pool))]
        first = np.unique(pools.pool_of_position[largest], return_index=True)[1]
        at = largest[first]
        size = np.abs(book.quantity[at]) * setting.price[book.position_asset[at]]
        floor = setting.tier_floor[book.position_asset[at]]
        tier = np.maximum((size[:, None] > floor).sum(axis=1) - 1, 0)
        key = book.position_asset[at] * floor.shape[1] + tier
        keys, place = np.unique(key, return_inverse=True)
        of_pool = np.full(len(pools.cash), len(keys))
        of_pool[pools.pool_of_position[at]] = place
        start = pool_margins(book, pools, setting, setting.price)
        some = np.unique(pool)
        of_some, weight = of_pool[some], start.notional[some]
        backing = start.equity[some] / weight
        members = [np.flatnonzero(of_some == number) for number in range(len(keys))]
        return cls(
            asset=keys // floor.shape[1],
            tier=keys % floor.shape[1],
            notional=np.array([weight[own].sum() for own in members]),
            highest=np.array([_highest(backing[own], weight[own]) for own in members]),
            classes=Classes(of_pool, len(keys) + 1),
        )

    @property
    def count(self) -> int:
        """Number of brackets."""
        return len(self.asset)

    def table(self, rates: Floats, present: Floats) -> Floats:
        """Return a convex table (assets, tiers) that holds (brackets,) rates.

        Parameters
        ----------
        present
            (assets, tiers) the rates that there are, for the brackets in which no pool counts.
        """
        table = np.full(present.shape, nan)
        table[self.asset, self.tier] = rates
        known = ~np.isnan(table)
        above = present[:, -1]
        for tier in reversed(range(present.shape[1])):
            chosen = np.where(known[:, tier], table[:, tier], np.minimum(present[:, tier], above))
            # with nothing known above, what there is stays
            nothing = ~known[:, tier:].any(axis=1)
            table[:, tier] = np.where(nothing, present[:, tier], chosen)
            above = table[:, tier]
        convex: Floats = np.maximum.accumulate(table, axis=1)
        return convex


def maintenance_rate_answers(task: Task) -> list[Answer]:
    """Return the smallest rate of each bracket in which a pool counts.

    None where the appetite states no expected uncovered loss; one that says why where the trigger
    is a margin level, which has no table.
    """
    budget = task.appetite.expected_uncovered_loss
    if budget is None:
        return []
    blank = Answer(
        question="maintenance-rate",
        kind="bracket",
        subject="all brackets",
        world=task.scenario.book.mode,
        measure=_MEASURE,
        threshold=budget,
        unit="1",
    )
    if isinstance(task.scenario.venue.trigger, MarginLevel):
        note = "the trigger is a margin level, which has no table of rates"
        return [replace(blank, outcome="not certified", note=note)]
    task.say("maintenance-rate")
    cascades = Cascades.of(task)
    brackets = Brackets.of(cascades.job)
    if not brackets.count:
        return []
    search = _Search(task, cascades, brackets, budget)
    try:
        return search.answers(blank)
    except _TimeIsUp:
        late = replace(blank, outcome="not certified", paths=search.paths)
        return [
            replace(late, note="the time does not suffice", subject=_name(task, brackets, number))
            for number in range(brackets.count)
        ]


def _highest(backing: Floats, weight: Floats) -> float:
    """Return the rate that leaves a share of some pools open.

    Parameters
    ----------
    backing, weight
        (pools,) equity as a share of notional; notional, USD.
    """
    order = np.argsort(backing)
    closed = np.cumsum(weight[order]) > (1 - OPEN) * weight.sum()
    # nobody is in breach exactly at the requirement; a rate is below 1
    return float(np.clip(backing[order[np.argmax(closed)]], 2 * _LOWEST, 0.99))


class _TimeIsUp(Exception):
    """The seconds do not suffice."""


@dataclass(frozen=True)
class _Tried:
    """A multiple of the table that was run on all paths.

    ``rates`` (brackets,) as they were, ``mean`` and ``upper`` bound of the total in USD;
    ``at_lowest`` and ``at_highest``: all rates are at that end.
    """

    factor: float
    rates: Floats
    run: Run
    mean: float
    upper: float
    at_lowest: bool
    at_highest: bool

    def is_last(self, step: float) -> bool:
        """Return whether a further step would change nothing."""
        return self.at_lowest if step < 1 else self.at_highest


@dataclass
class _Search:
    """Rates by bracket, between those known to be too low and those known to suffice."""

    task: Task
    cascades: Cascades
    brackets: Brackets
    budget: float
    paths: int = 0
    low: Floats = field(init=False)
    high: Floats = field(init=False)
    _until: float = field(init=False)

    def __post_init__(self) -> None:
        self.low, self.high = np.full(self.brackets.count, _LOWEST), self.brackets.highest.copy()
        self._until = time.monotonic() + share_of(self.task, "maintenance-rate")

    @property
    def parts(self) -> Floats:
        """(brackets,) of the budget, USD."""
        parts: Floats = self.budget * self.brackets.notional / self.brackets.notional.sum()
        return parts

    @property
    def present(self) -> Floats:
        """(assets, tiers) the rates that there are."""
        return self.task.setting.tier_rate

    def answers(self, blank: Answer) -> list[Answer]:
        """Search all brackets side by side, then check the whole table."""
        self._choose_paths()
        few, rounds = max(self.paths // _FEW, min(self.cascades.width, self.paths)), _ROUNDS
        for number in range(sum(rounds)):
            self._narrow(few if number < rounds[0] else self.paths)
        tried = self._multiplied(self.high)
        estimated = [one for one in tried if one.mean <= self.budget]
        kept = [one for one in tried if one.upper <= self.budget]
        best = min(kept, key=lambda one: one.factor) if kept else tried[-1]
        at_estimate = (
            min(estimated, key=lambda one: one.factor).rates if estimated else nan * best.rates
        )
        return [
            self._answer(blank, number, best, at_estimate[number])
            for number in range(self.brackets.count)
        ]

    def _choose_paths(self) -> None:
        """Take as many paths as the time allows; begin with a few to see how fast they are."""
        present, few = self._of_brackets(self.present), 2 * self.cascades.width
        few = min(few, self.cascades.paths)
        self._run(present, 1)
        start = time.monotonic()
        self._run(present, few)
        now = time.monotonic()
        affordable = int((self._until - now) / (now - start) * few / _RUNS)
        width = self.cascades.width
        self.paths = min(self.cascades.paths, affordable // width * width)
        if self.paths < min(2 * width, self.cascades.paths):
            raise _TimeIsUp

    def _run(self, rates: Floats, paths: int) -> Run:
        table = self.brackets.table(rates, self.present)
        job = self.cascades.prepared(self.task.book, with_tiers(self.task.scenario, table))
        numbers = np.arange(paths)
        run = self.cascades.run(job, numbers, until=self._until, classes=self.brackets.classes)
        if not run.is_complete:
            raise _TimeIsUp
        return run

    def _of_brackets(self, table: Floats) -> Floats:
        rates: Floats = table[self.brackets.asset, self.brackets.tier]
        return rates

    def _narrow(self, paths: int) -> None:
        """Try the middle of every bracket at once."""
        middle = np.sqrt(self.low * self.high)
        run = self._run(middle, paths)
        # a rate below that of the lower bracket was lifted to it: that is what was tried
        tried = self._of_brackets(self.brackets.table(middle, self.present))
        keeps = run.owed[:-1].mean(axis=1) <= self.parts
        self.high = np.where(keeps, np.minimum(self.high, tried), self.high)
        self.low = np.where(keeps, self.low, np.clip(tried, self.low, self.high))

    def _multiplied(self, shape: Floats) -> list[_Tried]:
        """Try multiples of all rates until the smallest that keeps the budget is known.

        When the time is up what was tried must do.
        """
        tried = [self._times(1.0, shape)]
        try:
            step = 1 / _STEP if tried[0].upper <= self.budget else _STEP
            while (tried[-1].upper <= self.budget) == (step < 1) and not tried[-1].is_last(step):
                tried.append(self._times(step * tried[-1].factor, shape))
            while True:
                kept = [one.factor for one in tried if one.upper <= self.budget]
                broken = [one.factor for one in tried if one.factor < min(kept, default=0.0)]
                if not kept or not broken or min(kept) <= _TOLERANCE * max(broken):
                    break
                tried.append(self._times(float(np.sqrt(min(kept) * max(broken))), shape))
        except _TimeIsUp:
            pass
        return tried

    def _times(self, factor: float, shape: Floats) -> _Tried:
        """Run the whole table on all paths with its rates multiplied, between their ends."""
        highest = self.brackets.highest
        wanted = np.clip(factor * shape, _LOWEST, highest)
        run = self._run(wanted, self.paths)
        total = run.owed.sum(axis=0)
        return _Tried(
            factor=factor,
            rates=self._of_brackets(self.brackets.table(wanted, self.present)),
            run=run,
            mean=float(total.mean()),
            upper=float(self._bounds(total)[1]),
            at_lowest=bool((wanted <= _LOWEST).all()),
            at_highest=bool((wanted >= highest).all()),
        )

    def _bounds(self, losses: Array) -> Floats:
        """Return (2,) one-sided bounds, each at the confidence, of the mean of (paths,) losses."""
        known = self.cascades.confidence(self.task.appetite.confidence)
        both = Confidence(max(2 * known - 1, 1e-9), known.design_effect)
        variance = losses.var(ddof=1) if len(losses) > 1 else nan
        return mean_interval(np.array(losses.mean()), np.array(variance), len(losses), both)

    def _answer(self, blank: Answer, number: int, best: _Tried, at_estimate: float) -> Answer:
        total = best.run.owed.sum(axis=0)
        answer = replace(
            blank,
            subject=_name(self.task, self.brackets, number),
            limit=float(best.rates[number]),
            at_estimate=float(at_estimate),
            present=float(self._of_brackets(self.present)[number]),
            risk=best.mean,
            risk_lower=max(float(self._bounds(total)[0]), 0.0),
            risk_upper=best.upper,
            paths=self.paths,
        )
        said = f"{best.run.owed[number].mean():,.0f} USD of it here"
        losses = int((total > 0).sum())
        if best.upper > self.budget:
            return replace(answer, limit=nan, outcome="not certified", note=said)
        if losses < _LOSSES:
            note = f"a loss on {losses} paths only: no interval of a mean yet"
            return replace(answer, limit=nan, outcome="too few paths", note=note)
        if best.at_lowest:
            said = f"kept even at the lowest rate tried; {said}"
        elif best.rates[number] >= self.brackets.highest[number]:
            said = f"the highest rate that leaves {OPEN:.0%} open at the start; {said}"
        return replace(answer, note=said)


def _name(task: Task, brackets: Brackets, number: int) -> str:
    """Return how a bracket is called."""
    asset, tier = int(brackets.asset[number]), int(brackets.tier[number])
    floor = float(task.setting.tier_floor[asset, tier])
    return f"{task.setting.assets[asset]} above {floor:,.0f} USD"


def with_tiers(scenario: Scenario, rates: Floats) -> Scenario:
    """Return a scenario with other rates, (assets, tiers) in the order of the assets.

    Its floors stay; the maintenance amounts follow from continuity.
    """
    venue = scenario.venue
    tiers = {
        asset: tuple(
            Tier(floor=tier.floor, rate=float(rate))
            # a row is as long as the longest table
            for tier, rate in zip(_rows(venue, asset), row, strict=False)
        )
        for asset, row in zip(scenario.market.assets, rates, strict=True)
        if _rows(venue, asset)
    }
    changed = venue.model_copy(update={"tiers": tiers})
    return scenario.model_copy(update={"venue": changed})


def _rows(venue: Venue, asset: str) -> tuple[Tier, ...]:
    """Return the tier table of an asset, () where it has none."""
    return venue.tiers.get(asset, venue.tiers.get("default", ()))
