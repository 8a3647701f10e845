"""The smallest insurance fund: one run, in which the fund cannot run out.

What a path asks of a fund is a number of the path, the most by which deficits exceed the fees that
came in before (``AccountBlock.fund_need``). A fund that starts with less is exhausted there, one
that does not is not, because up to the first unpaid deficit nothing depends on its balance. So one
run gives P(exhausted) for every balance, and the smallest fund is an order statistic: with the
largest count of paths that the exact binomial bound allows left out at the top, the next need is
certified (Wilks 1941; Clopper and Pearson 1934).

Under auto-deleveraging a fund that cannot promise what pools are short of has positions closed at
once, and the path goes another way before any deficit is unpaid. What is kept there is therefore
the probability that the fund does not suffice for that: it is never below P(exhausted).
"""

from __future__ import annotations

import time
from dataclasses import replace
from math import nan

import numpy as np

from stress.book.book import Book
from stress.decide.answer import Answer
from stress.decide.cascades import Cascades, Run, share_of
from stress.decide.exhaustion import fewest_paths, most_hits
from stress.decide.solve import binomial_bounds
from stress.decide.task import Task
from stress.scenario.schema import Scenario
from stress.stats.confidence import Confidence
from stress.types import Floats

__all__ = ["EXHAUSTED", "fund_answers", "needed", "with_fund"]

EXHAUSTED = "P(insurance fund exhausted)"

_INSUFFICIENT = "P(insurance fund does not suffice: an unpaid deficit or a deleveraging)"

_ENOUGH = 1e3
"""Times the book's notional: more than any path asks for."""


def fund_answers(task: Task) -> list[Answer]:
    """Return the smallest fund for P(exhausted) at most the appetite; none where it states none."""
    alpha = task.appetite.fund_exhaustion_probability
    if alpha is None:
        return []
    task.say("fund: what each path asks of it")
    cascades = Cascades.of(task)
    until = time.monotonic() + share_of(task, "fund")
    full = with_fund(task.scenario, _ENOUGH * _notional(task.book, task.setting.price))
    job = cascades.prepared(task.book, full)
    run = cascades.run(job, np.arange(cascades.paths), until=until)
    venue = task.scenario.venue
    blank = Answer(
        question="fund",
        kind="book",
        subject="insurance fund",
        world=task.scenario.book.mode,
        measure=_INSUFFICIENT if venue.deleveraging.kind == "auto-deleverage" else EXHAUSTED,
        threshold=alpha,
        unit="USD",
        present=venue.fund.balance,
    )
    return [_answer(blank, run, cascades.confidence(task.appetite.confidence))]


def _answer(blank: Answer, run: Run, confidence: Confidence) -> Answer:
    """Return the order statistics of what the paths need."""
    paths, alpha = run.paths, blank.threshold
    if not paths:
        return replace(blank, outcome="not certified", note="the time does not suffice")
    if run.exhausted.any():
        raise AssertionError("a fund without end was exhausted")
    at_estimate = needed(run.need, int(np.floor(alpha * paths * (1 + 1e-12))))
    told = replace(blank, at_estimate=at_estimate, paths=paths)
    allowed = most_hits(paths, alpha, confidence)
    if allowed < 0:
        fewest = fewest_paths(alpha, confidence)
        note = f"{fewest:,} paths at least can show it"
        if run.is_complete:
            return replace(told, outcome="too few paths", note=note)
        return replace(told, outcome="not certified", note=f"the time does not suffice: {note}")
    limit = needed(run.need, allowed)
    beyond = float((run.need > limit).sum())
    lower, upper = binomial_bounds(np.array(beyond), paths, confidence)
    note = "" if run.is_complete else "of the paths that the time sufficed for"
    return replace(
        told,
        limit=limit,
        risk=beyond / paths,
        risk_lower=float(lower),
        risk_upper=float(upper),
        note="no fund is needed" if limit == 0 else note,
    )


def needed(need: Floats, allowed: int) -> float:
    """Return the smallest fund that at most so many of (paths,) needs are above, USD."""
    descending = np.sort(need)[::-1]
    return float(descending[allowed]) if allowed < len(need) else nan


def with_fund(scenario: Scenario, balance: float) -> Scenario:
    """Return a scenario whose fund starts with another balance, USD."""
    venue = scenario.venue
    fund = venue.fund.model_copy(update={"balance": balance})
    return scenario.model_copy(update={"venue": venue.model_copy(update={"fund": fund})})


def _notional(book: Book, price: Floats) -> float:
    """Return the notional of all positions at the start, at least a dollar."""
    return max(float(np.abs(book.quantity * price[book.position_asset]).sum()), 1.0)
