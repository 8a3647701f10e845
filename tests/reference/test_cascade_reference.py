"""The plain cascade: problems solved by hand, conservation in every batch, nothing left untried."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

import pytest

from tests.cascade_books import Case, backstops, covering, plain_book, plain_venue, price_paths
from tests.problems import PROBLEMS, Problem

from . import cascade
from .cascade import Batch, PlainResult, Pool

COVERING = covering()
CASES = [*COVERING, *backstops()]


# --- problems solved by hand ----------------------------------------------------------------------


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.name)
def test_problem(problem: Problem) -> None:
    """Every number that is known by hand comes out, to twelve digits."""
    result = cascade.simulate(problem.book, problem.venue, problem.prices, conserves)
    for name, value in problem.expected.items():
        known = value if isinstance(value, list) else [value]
        found = getattr(result, name)
        found = found if isinstance(found, list) else [found]
        assert len(found) == len(known), name
        for one, other in zip(found, known, strict=True):
            assert one == pytest.approx(float(other), rel=1e-12, abs=1e-11), name


# --- conservation ---------------------------------------------------------------------------------


def worth(pools: list[Pool], marks: list[float]) -> float:
    """Cash, coins without haircut and unrealised profit of all pools."""
    return math.fsum(cascade.net_worth(pool, marks) for pool in pools)


def scale(batch: Batch) -> float:
    """What rounding is measured by: everything that is held."""
    held = 1.0 + batch.fund_before + batch.reserve_before
    for pool in batch.before:
        held += abs(pool.cash) + cascade.notional(pool, batch.marks)
        held += sum(coin[1] * batch.marks[int(coin[0])] for coin in pool.coins)
        held += sum(abs(q.quantity) * q.entry for q in pool.positions)
    return held


def dropped(batch: Batch, marks: list[float]) -> float:
    """At most what the rests that were dropped untraded had gained or lost."""
    return math.fsum(
        1e-9 * now.loaded * abs(marks[now.asset] - now.entry)
        for before, after in zip(batch.before, batch.after, strict=True)
        for was, now in zip(before.positions, after.positions, strict=True)
        if was.quantity != 0.0 and now.quantity == 0.0
    )


def market_gain(batch: Batch, marks: list[float]) -> float:
    """The outside market's gain: x (M - P) of a long's close and of a coin, x (P - M) of a short's.

    Closes are signed, so that both are one product.
    """
    assets = {q.row: q.asset for pool in batch.before for q in pool.positions}
    gains = [x * (marks[assets[row]] - price) for _, row, x, price, _ in batch.closes]
    gains += [x * (marks[asset] - price) for _, asset, x, price in batch.sales]
    return math.fsum(gains)


def conserves(batch: Batch) -> None:
    """No money appears or is lost, no position grows or changes sign; at two sets of marks."""
    for marks in (batch.marks, [1.1 * mark for mark in batch.marks_before]):
        change = worth(batch.after, marks) - worth(batch.before, marks)
        change += batch.fund - batch.fund_before
        if batch.kind == "funding":
            continue
        drawn = batch.reserve_before - batch.reserve
        assert drawn >= 0.0 and (drawn == 0.0 or batch.kind == "top-ups")
        expected = drawn - market_gain(batch, marks) + batch.uncovered
        slack = 1e-11 * scale(batch) + dropped(batch, marks)
        assert change == pytest.approx(expected, abs=slack)
    fees = math.fsum(fee for *_, fee in batch.closes)
    change = batch.fund - batch.fund_before
    assert change == pytest.approx(fees - batch.drawn, abs=1e-11 * scale(batch))
    assert batch.fund >= 0.0 and batch.uncovered >= 0.0 and batch.socialised >= 0.0
    shrinks_only(batch)


def shrinks_only(batch: Batch) -> None:
    """Quantities fall towards 0 by what was traded, coins are never short."""
    moved: defaultdict[int, float] = defaultdict(float)
    for _, row, signed, _, _ in batch.closes:
        moved[row] += abs(signed)
    for _, row, _, other, quantity, _ in batch.exchanged:
        moved[row] += quantity
        moved[other] += quantity
    for before, after in zip(batch.before, batch.after, strict=True):
        for was, now in zip(before.positions, after.positions, strict=True):
            assert now.quantity * was.quantity >= 0.0
            assert abs(now.quantity) <= abs(was.quantity)
            left = abs(was.quantity) - moved[was.row]
            assert abs(now.quantity) == pytest.approx(left, abs=2e-9 * was.loaded)
            assert now.entry == was.entry
            if now.quantity != was.quantity:
                assert now.quantity == 0.0 or abs(now.quantity) >= 1e-9 * now.loaded
        for coin, rest in zip(before.coins, after.coins, strict=True):
            assert 0.0 <= rest[1] <= coin[1]
        # nobody without positions is left in debt without coins to pay it
        if not cascade.open_positions(after) and batch.kind in ("stops", "round"):
            assert after.cash >= 0.0 or any(coin[1] > 0.0 for coin in after.coins)


def events(result: PlainResult, batches: list[Batch]) -> dict[str, bool]:
    """What happened on a path, by name."""
    return {
        "liquidated after the start": any(step > 0 for step in result.liquidation_step),
        "liquidated at the start": 0 in result.liquidation_step,
        "bankrupt": any(result.bankrupt),
        "paid by the fund": result.fund_draw > 1.0,
        "fund exhausted": result.largest_unpaid > 1.0,
        "uncovered": result.uncovered_loss > 1.0,
        "socialised": result.socialised_loss > 1.0,
        "deleveraged": result.deleveraged_notional > 1.0,
        "coins sold": any(batch.sales for batch in batches),
        "stopped": any(batch.kind == "stops" for batch in batches),
        "topped up": any(batch.reserve < batch.reserve_before for batch in batches),
        "false": result.false_liquidations > 0,
        "over-closed": result.over_closed_notional > 1.0,
        "late": result.late_steps > 0,
        "rounds exhausted": result.rounds_exhausted > 0,
        "many rounds": max(result.rounds_run) > 3,
        "overshoot": max(result.overshoot) > 0.05,
    }


def test_random_books_conserve() -> None:
    """On every set of rules each batch conserves, and all that can happen happens somewhere."""
    seen: Counter[str] = Counter()
    for seed, case in enumerate(CASES):
        book, venue = plain_book(seed, case), plain_venue(case)
        for path in price_paths(seed, 2).tolist():
            batches: list[Batch] = []
            result = cascade.simulate(book, venue, path, checking(batches))
            _adds_up(result, batches, case)
            seen.update(name for name, happened in events(result, batches).items() if happened)
    assert min(seen.values()) >= 5, seen
    assert len(seen) == 17, seen


def checking(batches: list[Batch]) -> Callable[[Batch], None]:
    """A check that keeps each batch."""

    def check(batch: Batch) -> None:
        conserves(batch)
        batches.append(batch)

    return check


def _adds_up(result: PlainResult, batches: list[Batch], case: Case) -> None:
    """The counts of a path are the sums over its batches."""
    sums: dict[str, Any] = {
        "uncovered_loss": sum(batch.uncovered for batch in batches),
        "socialised_loss": sum(batch.socialised for batch in batches),
        "fund_draw": sum(batch.drawn for batch in batches),
        "deleveraged_notional": sum(x * price for b in batches for *_, x, price in b.exchanged),
    }
    for name, value in sums.items():
        assert getattr(result, name) == pytest.approx(value, rel=1e-12, abs=1e-6), name
    closed = sum(abs(x) * price for batch in batches for _, _, x, price, _ in batch.closes)
    assert sum(result.closed_notional) == pytest.approx(closed, rel=1e-12)
    if case.decision[:2] == ("leader", 0):
        assert result.false_liquidations == 0 and result.late_steps == 0
    if case.decision[0] == "leader" or (case.amount == "all" and case.decision[1] == 0):
        assert result.over_closed_notional == 0.0
    if case.impact == "none":
        assert max(result.overshoot) == 0.0


def test_pairs_are_covered() -> None:
    """Every pair of choices that is not refused occurs in the cases, each case once."""
    cases = COVERING
    assert len(set(cases)) == len(cases) < 60
    assert {(c.order, c.amount) for c in cases} >= {
        (order, amount)
        for order in ("largest-loss", "largest-margin", "largest-notional")
        for amount in ("restore", "step", "tier", "position", "all")
    }
    decisions = {(c.backstop, c.decision) for c in cases}
    assert len(decisions) == 3 * 7


@pytest.mark.parametrize("order", ["largest-loss", "largest-margin", "largest-notional"])
def test_a_tie_goes_to_the_first_in_the_file(order: str) -> None:
    """Of two equal positions the first is closed, whatever ranks them: E = 60, MM = 95, 47.5."""
    items = [cascade.PlainPosition(0, 10.0, 100.0) for _ in range(2)]
    book = cascade.PlainBook([cascade.PlainAccount(160.0, [], items)])
    venue = cascade.PlainVenue(
        tiers=[[(0.0, 0.05)]], volatility=[0.8], step=1e-4, order=order, amount="position", fee=0.0
    )
    batches: list[Batch] = []
    cascade.simulate(book, venue, [[100.0], [95.0]], checking(batches))
    assert [row for batch in batches for _, row, *_ in batch.closes] == [0]
