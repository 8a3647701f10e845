"""The cascade kernel against the plain twin: hundreds of random books, every pair of rules."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import stress
from tests.cascade_books import (
    CHOICES,
    Case,
    Plan,
    all_pairs,
    pairs,
    plain_book,
    plain_venue,
    plans,
    price_paths,
    write_case,
)
from tests.engine.cascading import Followed, compare, follow
from tests.reference.cascade import PlainResult, simulate

BOOKS = 13
PLANS = plans(BOOKS, seed=3)
OFTEN = (0, 3, 4, 7, 15)
"""Each plan is a kernel to compile: every choice is met in these, every two in the full study."""


def followed(plan: Plan, case: Case, seed: int, *, everyone: bool) -> Followed:
    """Follow the book of a seed through the variants of a plan."""
    venues = [plain_venue(rules) for rules in plan.rules(case)]
    return follow(plain_book(seed, case), venues, price_paths(seed), everyone=everyone)


def happenings(result: PlainResult) -> dict[str, bool]:
    """What happened on a path, by name."""
    return {
        "liquidated": max(result.liquidation_step) > 0,
        "bankrupt": any(result.bankrupt),
        "paid by the fund": result.fund_draw > 1.0,
        "fund exhausted": result.fund_exhausted,
        "uncovered": result.uncovered_loss > 1.0,
        "socialised": result.socialised_loss > 1.0,
        "deleveraged": result.deleveraged_notional > 1.0,
        "false": result.false_liquidations > 0,
        "over-closed": result.over_closed_notional > 1.0,
        "late": result.late_steps > 0,
        "rounds exhausted": result.rounds_exhausted > 0,
        "many rounds": max(result.rounds_run) > 3,
        "overshoot": max(result.overshoot) > 0.05,
        "tied": result.tied,
    }


def numbered(case: Case) -> dict[str, object]:
    """Return the choices of a case in the order of CHOICES."""
    return {name: getattr(case, name) for name in CHOICES}


def test_every_two_choices_meet() -> None:
    """Numbers, laws and decisions included, in at least 300 books."""
    missing = all_pairs(CHOICES)
    for plan in PLANS:
        for case in plan.books:
            for rules in plan.rules(case):
                missing -= pairs(numbered(rules))
    assert not missing
    assert sum(len(plan.books) for plan in PLANS) > 300
    assert {plan.everyone for plan in PLANS} == {False, True}


def test_every_choice_is_met_often() -> None:
    seen = {
        (name, str(choice))
        for number in OFTEN
        for case in PLANS[number].books
        for rules in PLANS[number].rules(case)
        for name, choice in numbered(rules).items()
    }
    assert seen == {(name, str(choice)) for name in CHOICES for choice in CHOICES[name]}


@pytest.mark.parametrize(
    "number",
    [
        pytest.param(number, id=plan.label, marks=() if number in OFTEN else pytest.mark.slow)
        for number, plan in enumerate(PLANS)
    ],
)
def test_kernel_equals_twin(number: int) -> None:
    """Fates and counts are equal, money to 1e-8, in every variant of every book."""
    plan = PLANS[number]
    happened: Counter[str] = Counter()
    for place, case in enumerate(plan.books):
        seed = number * BOOKS + place
        found = followed(plan, case, seed, everyone=plan.everyone)
        book, prices = plain_book(seed, case), price_paths(seed)
        for variant, rules in enumerate(plan.rules(case)):
            venue = plain_venue(rules)
            twins = [simulate(book, venue, path) for path in prices.tolist()]
            compare(found, variant, twins)
            happened["path"] += len(twins)
            for twin in twins:
                happened.update(name for name, is_so in happenings(twin).items() if is_so)
    # a comparison of books in which nothing happens, or that are left out, would prove little
    assert happened["liquidated"] > 0.9 * happened["path"]
    assert happened["bankrupt"] > 0.5 * happened["path"]
    assert happened["tied"] < 0.2 * happened["path"]


# one decision rule or several, stops, top-ups, a backstop that touches others, elastic depth
SCREENED = (4, 7, 12, 17, 18)


@pytest.mark.parametrize(
    "number",
    [pytest.param(number, id=PLANS[number].label) for number in SCREENED],
)
@pytest.mark.slow
def test_screening_changes_nothing(number: int) -> None:
    """Judging only pools that may be in doubt gives what judging every pool gives."""
    plan = PLANS[number]
    for place, case in enumerate(plan.books):
        seed = number * BOOKS + place
        some, every = (
            followed(plan, case, seed, everyone=everyone).outcome for everyone in (False, True)
        )
        for name in ("step", "called", "bankrupt", "loser", "hidden"):
            one, other = getattr(some.fates, name), getattr(every.fates, name)
            np.testing.assert_array_equal(one, other, err_msg=name)
        np.testing.assert_allclose(some.fates.charge, every.fates.charge, rtol=0, atol=1e-12)
        for name, one, other in zip(some.tally._fields, some.tally, every.tally, strict=True):
            exact = one.dtype.kind in "bi"
            near(name, one, other, rtol=0 if exact else 1e-12)
        for name in ("equity", "reserve", "fund", "marks", "course"):
            near(name, getattr(some, name), getattr(every, name), rtol=1e-12)
        for name, one, other in zip(some.replay._fields, some.replay, every.replay, strict=True):
            near(name, one, other, rtol=1e-12)


def near(name: str, one: np.ndarray, other: np.ndarray, *, rtol: float) -> None:
    """Compare numbers, money relative to the larger of both and a cent."""
    atol = 1e-2 * rtol if one.dtype.kind == "f" else 0
    np.testing.assert_allclose(one, other, rtol=rtol, atol=atol, err_msg=name)


DOORS = {
    "shards": Case(
        order="largest-margin",
        impact="linear",
        backstop="socialised",
        decision=("sharded", 1, 3),
        controls="both",
        trigger="margin-level",
        funding=4,
    ),
    "leader": Case(amount="step", elasticity=0.6, backstop="auto-deleverage", rounds=2),
}


@pytest.mark.parametrize("name", [pytest.param("shards", marks=pytest.mark.slow), "leader"])
def test_detail_of_a_run_equals_twin(tmp_path: Path, name: str) -> None:
    """From files to /detail, with all that a run does beside it."""
    written = write_case(tmp_path, 1, DOORS[name])
    detail = stress.run(written.scenario)["detail"]
    twins = [simulate(written.book, written.venue, path) for path in written.prices.tolist()]
    assert not any(twin.tied for twin in twins)
    for field in ("liquidation_step", "bankrupt", "false_liquidations", "late_steps"):
        said = [getattr(twin, field) for twin in twins]
        np.testing.assert_array_equal(detail[field].values, said, err_msg=field)
    for field in (
        "equity_end",
        "least_excess",
        "mark_end",
        "closed_notional",
        "fund_end",
        "uncovered_loss",
        "socialised_loss",
        "deleveraged_notional",
        "over_closed_notional",
    ):
        said = [getattr(twin, field) for twin in twins]
        # a cent or less of books of some million dollars
        np.testing.assert_allclose(detail[field].values, said, rtol=1e-8, atol=1e-4, err_msg=field)
