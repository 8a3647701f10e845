"""Which scenarios need the cascade, which cannot be looked at between the steps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from stress.book.book import Book
from stress.errors import InputError
from stress.scenario.durations import duration_seconds
from stress.scenario.schema import Scenario

__all__ = ["check_bridge", "funding_steps", "needs_cascade"]

_STEP = 'use monitoring = "step"'


class _Reason(NamedTuple):
    """A key whose value first passage cannot follow: what is said of it, and the way out."""

    key: str
    what: str
    remedy: str = _STEP


def needs_cascade(scenario: Scenario, book: Book) -> bool:
    """Return whether a run needs the cascade; False where first passage gives the same answer.

    Parameters
    ----------
    scenario
        Complete and checked.
    book
        Its book.
    """
    if next(_reasons(scenario, book), None) is not None:
        return True
    # between the steps a pool is closed at its hit: there are no rounds to tell apart
    return scenario.simulation.monitoring == "step" and _settles_late(scenario, book)


def check_bridge(scenario: Scenario, book: Book | None = None) -> None:
    """Refuse what a look between the steps, by bridge or at the extremes of bars, cannot follow.

    It stops at the first breach and knows no feedback.

    Raises
    ------
    InputError
        Such a ``monitoring`` with a key of the venue, or a column of the book where one is given,
        that needs the cascade.
    """
    monitoring = scenario.simulation.monitoring
    if monitoring == "step":
        return
    reason = next(_reasons(scenario, book), None)
    if reason is not None:
        raise InputError(
            f'{reason.what} needs prices at the steps, not monitoring = "{monitoring}"',
            file=scenario.source,
            key=reason.key,
            remedy=reason.remedy,
        )


def funding_steps(scenario: Scenario) -> int:
    """Return the steps of a funding interval; 0 where nothing is paid in the whole run.

    Raises
    ------
    InputError
        It is not a whole number of steps.
    """
    funding, simulation = scenario.venue.funding, scenario.simulation
    if funding is None:
        return 0
    interval = duration_seconds(funding.interval)
    count = interval / duration_seconds(simulation.step)
    if count.denominator != 1:
        raise InputError(
            f'interval "{funding.interval}" must be a whole number of steps of '
            f'"{simulation.step}", which is {float(count):.6g} steps',
            file=scenario.source,
            key="venue.funding.interval",
            remedy="change venue.funding.interval or simulation.step",
        )
    paid = any(funding.rate.values()) and interval <= duration_seconds(simulation.horizon)
    return int(count) if paid else 0


def _reasons(scenario: Scenario, book: Book | None) -> Iterator[_Reason]:
    """Yield what first passage, at the steps or between them, cannot follow."""
    venue = scenario.venue
    if venue.impact.kind != "none":
        yield _Reason("venue.impact.kind", f'impact "{venue.impact.kind}"')
    if funding_steps(scenario):
        yield _Reason("venue.funding", "funding")
    if venue.amount != "all":
        stated = "" if "amount" in venue.model_fields_set else " (the default)"
        what = f'amount = "{venue.amount}"{stated}'
        yield _Reason("venue.amount", what, f'{_STEP}, or amount = "all"')
    if venue.deleveraging.kind != "none":
        yield _Reason("venue.deleveraging.kind", f'deleveraging "{venue.deleveraging.kind}"')
    if venue.decision.kind != "leader":
        yield _Reason("venue.decision.kind", f'decision "{venue.decision.kind}"')
    if venue.decision.latency:
        what = f"a latency of {venue.decision.latency}"
        yield _Reason("venue.decision.latency", what)
    for number, overlay in enumerate(scenario.stress):
        if overlay.kind == "gap":
            yield _Reason(f"stress[{number}].kind", "a gap")
    if book is not None:
        yield from _controls(book)


def _controls(book: Book) -> Iterator[_Reason]:
    if not np.isnan(book.stop_price).all():
        remedy = f"{_STEP}, or leave the column stop_price empty"
        yield _Reason("book.positions", "a stop_price", remedy)
    if ((book.reserve > 0) & ~np.isnan(book.top_up_trigger)).any():
        remedy = f"{_STEP}, or leave the columns top_up_trigger and top_up_target empty"
        yield _Reason("book.accounts", "a top_up_trigger with a reserve", remedy)


def _settles_late(scenario: Scenario, book: Book) -> bool:
    """Return whether settling a pool that was closed can still change what happens to another.

    What a closed isolated position leaves goes to the cross pool of its account, where it can save
    other positions; only the world as booked has both. And coins are sold in the round after their
    pool was closed, at the marks of the next step where a step has one round only.
    """
    isolated = ~np.isnan(book.margin)
    owner, accounts = book.position_account, len(book.accounts)
    crossed = np.bincount(owner[~isolated], minlength=accounts) > 0
    mixed = crossed & (np.bincount(owner[isolated], minlength=accounts) > 0)
    sold_late = scenario.venue.rounds_per_step < 2 and len(book.coin_account) > 0
    return sold_late or ("as-booked" in scenario.worlds and bool(mixed.any()))
