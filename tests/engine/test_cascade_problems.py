"""The cascade kernel solves the problems that were solved by hand."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from tests.cascade_books import LAWS
from tests.engine.cascading import follow
from tests.problems import PROBLEMS, Problem
from tests.reference.cascade import (
    PlainAccount,
    PlainBook,
    PlainPosition,
    PlainVenue,
    simulate,
)

SHAPE = {"accounts": 5, "cross": 4, "isolated": 2, "coins": 1, "assets": 4}
"""What every problem is filled up to, so that few kernels are compiled."""

NOT_COUNTED = {"rounds_run", "largest_unpaid", "tied"}
"""What the twin tells and the kernel does not."""


def on_the_edge() -> Problem:
    """Two of 1.5 units at 128: MM = 192 / 64 = 3; E = 4 is a call exactly, 4.25 is none.

    Two stops exactly at the price, which does not move: a long's and a short's, at t = 1.
    """
    level = [(0.0, 0.015625)]
    return Problem(
        name="exactly at the warning and at the stop",
        why="a call and a stop are not strict",
        book=PlainBook(
            [
                PlainAccount(4.0, [], [PlainPosition(0, 1.5, 128.0)]),
                PlainAccount(4.25, [], [PlainPosition(0, 1.5, 128.0)]),
                PlainAccount(64.0, [], [PlainPosition(0, 1.0, 128.0, stop=128.0)]),
                PlainAccount(64.0, [], [PlainPosition(0, -1.0, 128.0, stop=128.0)]),
            ]
        ),
        venue=PlainVenue(
            tiers=[level], volatility=[0.8], step=1 / 8760, amount="all", warning=0.75
        ),
        prices=[[128.0], [128.0]],
        expected={
            "called": [True, False, False, False],
            "closed_notional": [256],
            "liquidation_step": [-1] * 4,
            "equity_end": [4, Fraction("4.25"), 64, 64],
        },
    )


def a_rest_of_a_rest() -> Problem:
    """At 90 E = 2^-11: 20 * 2^-11 of notional stay, 1e-5 of what was loaded, not dropped.

    At 90 - 4.5 (1 - 2^-15) E = 2^-26, and 20 * 2^-26 of notional would stay: 3e-5 of what was open,
    3e-10 of what was loaded. It is dropped, and the price of 10 cannot hurt it.
    """
    price = Fraction(90) - Fraction("4.5") * (1 - Fraction(2) ** -15)
    first = 20 * Fraction(2) ** -11 / 90
    rest = 20 * Fraction(2) ** -26 / price
    return Problem(
        name="a rest of a rest",
        why="what is dropped is small against the size loaded",
        book=PlainBook([PlainAccount(100 + 2.0**-11, [], [PlainPosition(0, 10.0, 100.0)])]),
        venue=PlainVenue(
            tiers=[[(0.0, 0.05)]], volatility=[0.8], step=1 / 8760, fee=0.0, buffer=0.0
        ),
        prices=[[100.0], [90.0], [float(price)], [10.0]],
        expected={
            "equity_end": [
                100 + Fraction(2) ** -11 - 10 * (10 - first) + (first - rest) * (price - 100)
            ],
            "liquidation_step": [1],
        },
    )


SHARPENED = [on_the_edge(), a_rest_of_a_rest()]


def filled_book(book: PlainBook) -> tuple[PlainBook, list[int]]:
    """Return the book with idle accounts, empty positions and no coins; rows of what was there."""
    accounts: list[PlainAccount] = []
    rows: list[int] = []
    idle = [PlainAccount(0.0)] * (SHAPE["accounts"] - len(book.accounts))
    for account in [*book.accounts, *idle]:
        held = account.positions
        isolated = sum(item.margin is not None for item in held)
        first = len(accounts) * (SHAPE["cross"] + SHAPE["isolated"])
        rows += range(first, first + len(held))
        items = [
            *held,
            *[PlainPosition(0, 0.0, 1.0)] * (SHAPE["cross"] - len(held) + isolated),
            *[PlainPosition(0, 0.0, 1.0, 0.0)] * (SHAPE["isolated"] - isolated),
        ]
        coins = [*account.coins, *[(0, 0.0)] * (SHAPE["coins"] - len(account.coins))]
        accounts.append(replace(account, coins=coins, positions=items))
    return PlainBook(accounts), rows


def filled_venue(venue: PlainVenue) -> PlainVenue:
    """Return the venue with assets that nobody holds."""
    more = SHAPE["assets"] - len(venue.tiers)
    stated = {
        "haircut": (venue.haircut or [0.0] * len(venue.tiers), 0.0),
        "adv": (venue.adv or [1.0] * len(venue.tiers), 1.0),
        "depth_1pct": (venue.depth_1pct or [1.0] * len(venue.tiers), 1.0),
        "shards": (venue.shards or [0] * len(venue.tiers), 0),
        "funding_rate": (venue.funding_rate or [0.0] * len(venue.tiers), 0.0),
        "volatility": (venue.volatility, 1.0),
        "tiers": (venue.tiers, [(0.0, 0.1)]),
    }
    wider = {name: [*of, *[fill] * more] for name, (of, fill) in stated.items()}
    thin = {step: [*depth, *[1.0] * more] for step, depth in venue.liquidity.items()}
    return replace(venue, liquidity=thin, **wider)


def solved(problem: Problem) -> dict[str, np.ndarray]:
    """Return what the kernel says, by the names of the twin's result and as a problem lists it."""
    book, rows = filled_book(problem.book)
    venue = filled_venue(problem.venue)
    prices = np.array(problem.prices)
    more = np.ones((len(prices), SHAPE["assets"] - prices.shape[1]))
    found = follow(
        book,
        [replace(venue, impact=law) for law in LAWS],
        np.concatenate([prices, more], axis=1)[None],
        everyone=True,
        window=True,
        stressed=True,
    )
    outcome, fates, tally = found.outcome, found.outcome.fates, found.outcome.tally
    column = LAWS.index(venue.impact)
    accounts, assets = len(problem.book.accounts), prices.shape[1]

    def by_account(reduce: np.ufunc, of: np.ndarray) -> np.ndarray:
        return reduce.reduceat(of[:, column], found.first)[:accounts]

    never = np.iinfo(np.int32).max
    step = by_account(np.minimum, np.where(fates.step < 0, never, fates.step))
    back = {row: number for number, row in enumerate(rows)} | {-1: -1}
    loser = np.append(found.row, -1)[fates.loser[_pools(problem), column]]
    return {
        "equity_end": by_account(np.add, outcome.equity),
        "reserve_end": outcome.reserve[:accounts, column],
        "liquidation_step": np.where(step == never, -1, step),
        "bankrupt": by_account(np.logical_or, fates.bankrupt),
        "called": by_account(np.logical_or, fates.called),
        "least_excess": by_account(np.minimum, fates.least_excess),
        "largest_loser": np.array([back[row] for row in loser.tolist()]),
        "mark_end": outcome.marks[:assets, column],
        "closed_notional": tally.closed[:assets, column],
        "overshoot": tally.overshoot[:assets, column],
        "fund_end": outcome.fund[column],
        "fund_draw": tally.drawn[column],
        "fund_exhausted": tally.exhausted[column],
        "fund_need": tally.need[column],
        "owed": by_account(np.add, fates.owed),
        "uncovered_loss": tally.uncovered[column],
        "socialised_loss": tally.socialised[column],
        "deleveraged_notional": tally.deleveraged[column],
        "over_closed_notional": tally.over_closed[column],
        "false_liquidations": tally.false_liquidations[column],
        "late_steps": tally.late_steps[column],
        "rounds_exhausted": tally.rounds_exhausted[column],
    }


def _pools(problem: Problem) -> list[int]:
    """Numbers of the problem's pools among those of the filled book."""
    each = 1 + SHAPE["isolated"]
    return [
        each * number + place
        for number, account in enumerate(problem.book.accounts)
        for place in range(1 + sum(item.margin is not None for item in account.positions))
    ]


@pytest.mark.parametrize(
    "problem",
    [
        # each is a kernel to compile: a third of them every time, all of them in the full study;
        # the twin solves all of them every time
        pytest.param(problem, id=problem.name, marks=pytest.mark.slow if number % 3 else ())
        for number, problem in enumerate([*PROBLEMS, *SHARPENED])
    ],
)
def test_problem(problem: Problem) -> None:
    """Every number that is known by hand comes out, to ten digits."""
    compared = set(problem.expected) - NOT_COUNTED
    assert len(compared) > 1
    found = solved(problem)
    for name in sorted(compared):
        known = np.array(problem.expected[name], np.float64)
        assert found[name] == pytest.approx(known, rel=1e-10, abs=1e-9), name


@pytest.mark.parametrize("problem", SHARPENED, ids=lambda problem: problem.name)
def test_twin_solves_them_too(problem: Problem) -> None:
    """As it solves the others."""
    result = simulate(problem.book, problem.venue, problem.prices)
    for name, value in problem.expected.items():
        known = [float(number) for number in value]
        assert getattr(result, name) == pytest.approx(known, rel=1e-12, abs=1e-11), name


def test_every_field_is_known_somewhere() -> None:
    """Every field is known in some problem."""
    names = {name for problem in PROBLEMS for name in problem.expected}
    assert len(names - NOT_COUNTED) == 22
