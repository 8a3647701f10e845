"""Where more depth, a larger fund or more reserve cannot hurt; and small books in which it does.

What theory promises is little: it holds for who is liquidated and when, in books in which nobody
gains from another's loss. Losses themselves go either way: who is kept alive may lose more later.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from stress.engine.cascade import CascadeOutcome
from tests.cascade_books import (
    ADV,
    CHOICES,
    DEPTH_1PCT,
    PRICE,
    TIERS,
    Case,
    plain_book,
    price_paths,
)
from tests.engine.switched import (
    LINEAR,
    NONE,
    PATHS,
    SQUARE_ROOT,
    VARIANTS,
    blank,
    case_of,
    column,
    lay_out,
    run,
)
from tests.reference.cascade import PlainBook
from tests.strategies import seeds

Floats = NDArray[np.float64]
NEVER = 10**6


def crossed(book: PlainBook) -> PlainBook:
    """Empty the isolated pools: what they have left would help their owners' other positions."""
    for account in book.accounts:
        for item in account.positions:
            if item.margin is not None:
                item.margin, item.quantity = 0.0, 0.0
    return book


def times(found: CascadeOutcome, variant: int) -> NDArray[np.int64]:
    """Return (pools, paths) steps of first liquidation, a large number for never."""
    step = np.split(found.fates.step, len(VARIANTS), axis=1)[variant]
    return np.where(step < 0, NEVER, step)


# --- what holds -----------------------------------------------------------------------------------


@pytest.mark.slow
def test_deeper_markets_liquidate_nobody_earlier() -> None:
    """Longs only, closed whole, impact that never decays, no coins: later and fewer, pool by pool.

    By induction over rounds: with fewer pools closed and less impact for each dollar every mark is
    higher, and a long that is safe at a mark is safe at a higher one.
    """
    later = 0

    @settings(max_examples=5, deadline=None, derandomize=True)
    @given(seed=seeds, deeper=st.floats(1.05, 20.0), rounds=st.floats(0.1, 1.0))
    def check(seed: int, deeper: float, rounds: float) -> None:
        nonlocal later
        case = Case(amount="all", permanent=1.0, fund="empty")
        book, prices = crossed(plain_book(seed, case)), price_paths(seed, PATHS)
        for account in book.accounts:
            account.coins = [(asset, 0.0) for asset, _ in account.coins]
            account.cash = abs(account.cash)
            for item in account.positions:
                item.quantity = abs(item.quantity)
        depths = {"adv": rounds * np.array(ADV), "depth_1pct": rounds * np.array(DEPTH_1PCT)}
        deep = {name: deeper * of for name, of in depths.items()}
        shallow, other = (run(lay_out(case, book, **of), prices) for of in (depths, deep))
        for variant in (SQUARE_ROOT, LINEAR):
            first, second = times(shallow, variant), times(other, variant)
            assert (second >= first).all()
            later += int((second > first).sum())
            marks = [np.split(of.marks, len(VARIANTS), axis=1)[variant] for of in (shallow, other)]
            assert (marks[1] >= marks[0] * (1 - 1e-12)).all()
        # no impact is the deepest market of all
        assert (times(other, NONE) >= times(other, LINEAR)).all()

    check()
    assert later > 10


@pytest.mark.slow
def test_a_fund_only_pays() -> None:
    """Where nobody else covers deficits, a larger fund changes nothing but who bears them."""

    @settings(max_examples=3, deadline=None, derandomize=True)
    @given(seed=seeds, amount=st.sampled_from(CHOICES["amount"]), fund=st.floats(1.0, 1e5))
    def check(seed: int, amount: str, fund: float) -> None:
        case = case_of(order="largest-loss", amount=amount, controls="both")
        book, prices = plain_book(seed, case), price_paths(seed, PATHS)
        none, some, more = (
            run(lay_out(case, book, fund=of), prices) for of in (0.0, fund, 2 * fund)
        )
        assert (none.tally.uncovered > 0).any()
        for found in (some, more):
            np.testing.assert_array_equal(found.equity, none.equity)
            np.testing.assert_array_equal(found.fates.step, none.fates.step)
            borne = found.tally.uncovered + found.tally.drawn
            np.testing.assert_allclose(borne, none.tally.uncovered + none.tally.drawn, rtol=1e-9)
        for less, larger in ((none, some), (some, more)):
            assert (larger.tally.uncovered <= less.tally.uncovered).all()
            assert (larger.tally.drawn >= less.tally.drawn).all()
            assert (larger.tally.exhausted <= less.tally.exhausted).all()

    check()


def test_larger_reserves_liquidate_nobody_earlier() -> None:
    """Without impact and with one pool an account: who has more to draw from is closed no earlier.

    At a look a pool that is topped up is at its target, or has drawn all that there was: either it
    is safe, or it has at least as much as with the smaller reserve.
    """
    later = 0

    @settings(max_examples=6, deadline=None, derandomize=True)
    @given(seed=seeds, amount=st.sampled_from(CHOICES["amount"]), larger=st.floats(1.1, 10.0))
    def check(seed: int, amount: str, larger: float) -> None:
        nonlocal later
        case = case_of(order="largest-loss", amount=amount, controls="both", funding=4)
        prices = price_paths(seed, PATHS)
        outcomes = []
        for share in (0.2, 0.2 * larger):
            book = crossed(plain_book(seed, case))
            for account in book.accounts:
                account.reserve *= share
            outcomes.append(run(lay_out(case, book), prices))
        first, second = (times(found, NONE) for found in outcomes)
        assert (second >= first).all()
        later += int((second > first).sum())

    check()
    assert later > 10


# --- and what does not ----------------------------------------------------------------------------


def held(book: PlainBook, account: int, units: float, cash: float, entry: float = 128.0) -> None:
    """Give an account of a blank book one position in the first asset."""
    item = book.accounts[account].positions[0]
    item.asset, item.quantity, item.entry = 0, units, entry
    book.accounts[account].cash = cash


def falls(*marks: float) -> Floats:
    """Return prices that go from 128 through some marks, the other assets at rest."""
    prices = np.tile(np.array(PRICE), (PATHS, len(marks) + 1, 1))
    prices[:, 1:, 0] = marks
    return prices


def losses(book: PlainBook, found: CascadeOutcome) -> Floats:
    """Return the loss of each account, equity and reserve at 128 less the same at the end."""
    start = np.array(
        [
            one.cash + one.reserve + sum(p.quantity * (128.0 - p.entry) for p in one.positions)
            for one in book.accounts
        ]
    )
    pools = [1 + sum(p.margin is not None for p in one.positions) for one in book.accounts]
    first = np.cumsum([0, *pools[:-1]])
    loss: Floats = start - np.add.reduceat(found.equity, first) - found.reserve
    return loss


def total(book: PlainBook, prices: Floats, variant: int, case: Case, **venue: Any) -> float:
    found = column(run(lay_out(case, book, **venue), prices), variant)
    return float(np.maximum(losses(book, found), 0).sum())


WHOLE = Case(amount="all", fee=0.0, fund="empty", permanent=1.0)


def required(units: float, mark: float) -> float:
    """Return the maintenance margin of a position in the first asset."""
    floors = [*(floor for floor, _ in TIERS[0][1:]), np.inf]
    return sum(
        rate * max(0.0, min(units * mark, top) - floor)
        for (floor, rate), top in zip(TIERS[0], floors, strict=True)
    )


def test_a_larger_reserve_may_be_lost_too() -> None:
    """1,000 long at 128 with 10,000: at 119 it is closed, and has lost 9,000.

    With a reserve of 5,000 it is saved at 119, and at 64 loses all 15,000.
    """
    outcomes = []
    for reserve in (0.0, 5_000.0):
        book = blank()
        held(book, 0, 1_000.0, 10_000.0)
        account = book.accounts[0]
        account.reserve, account.top_up_trigger, account.top_up_target = reserve, 0.8, 0.5
        outcomes.append(total(book, falls(119.0, 64.0), NONE, WHOLE))
    assert outcomes == pytest.approx([9_000.0, 15_000.0])


@pytest.mark.parametrize("variant", [SQUARE_ROOT, LINEAR])
def test_a_deeper_market_may_keep_alive_who_loses_more(variant: int) -> None:
    """One is closed at 120. In a shallow market that takes its neighbour along.

    He is 300 dollars above his requirement, and would lose some 85,000. In a deep market he is
    still there when the price has halved, and loses all he has.
    """
    found = []
    for deeper in (1.0, 1e4):
        book = blank()
        held(book, 0, 2_000.0, 17_000.0)
        held(book, 9, 10_000.0, 80_000.0 + required(10_000.0, 120.0) + 300.0)
        depth = {"depth_1pct": np.full(4, 3e6 * deeper), "adv": np.full(4, 3e9 * deeper)}
        found.append(total(book, falls(120.0, 64.0), variant, WHOLE, **depth))
    shallow, deep = found
    assert shallow < 16_100 + 90_000 < 17_000 + 140_000 < deep


def test_a_larger_fund_may_leave_a_winner_to_lose() -> None:
    """Without a fund a winner takes over the bankrupt's 1,000 at 118, and is out with 10,000.

    A fund that pays the 2,800 leaves him in the market, which doubles: he loses 20,000.
    """
    book = blank()
    held(book, 0, 1_000.0, 10_000.0)
    held(book, 11, -1_000.0, 20_000.0)
    case = replace(WHOLE, backstop="auto-deleverage")
    found = [total(book, falls(115.2, 256.0), NONE, case, fund=fund) for fund in (0.0, 1e4)]
    assert found == pytest.approx([10_000.0, 30_000.0])


def test_a_larger_fund_may_leave_a_payer_to_lose() -> None:
    """Without a fund the winner pays 16,000 of his gains for another, is closed, and keeps 1,800.

    With one he pays nothing, stays, and loses the 5,000 that he had when the market doubles.
    """
    book = blank()
    held(book, 2, 2_000.0, 9_600.0)
    held(book, 11, -1_000.0, -17_000.0, entry=150.0)
    case = replace(WHOLE, backstop="socialised")
    found = [total(book, falls(115.2, 256.0), NONE, case, fund=fund) for fund in (0.0, 16_000.0)]
    assert found == pytest.approx([9_600.0 + 3_200.0, 9_600.0 + 5_000.0])


def test_a_reserve_without_a_trigger_is_never_drawn() -> None:
    """Money kept apart without a rule to draw it stays apart, whatever others of the book do."""
    book = blank()
    held(book, 0, 1_000.0, 10_000.0)
    book.accounts[0].reserve = 5_000.0
    found = column(run(lay_out(WHOLE, book), falls(115.2)), NONE)
    assert found.reserve[0] == 5_000.0
    assert found.tally.uncovered == pytest.approx(2_800.0)
