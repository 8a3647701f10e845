"""Cascades solved by hand: books of a few accounts, one path, and what must come out, exactly.

Each expected number is written as the arithmetic that leads to it: `Fraction` where impact is none,
`Decimal` with forty digits where an exponential moves the mark. Nothing here is computed by a
simulator. ``E`` is equity, ``MM`` the maintenance margin, ``u`` unrealised profit, ``M`` a mark.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, getcontext
from fractions import Fraction
from typing import Any

from tests.reference.cascade import PlainAccount, PlainBook, PlainPosition, PlainVenue

__all__ = ["PROBLEMS", "Problem", "problem"]

getcontext().prec = 40

STEP = 1.0 / 8760.0
"""An hour in years: the step of every problem."""

Position = PlainPosition
Account = PlainAccount
F = Fraction
D = Decimal


@dataclass(frozen=True)
class Problem:
    """A book, a venue, prices (steps + 1, assets), and fields of the result that are known.

    ``expected``: field of `PlainResult` -> its value, a `Fraction`, a `Decimal`, an exact number,
    or a list of those.
    """

    name: str
    why: str
    book: PlainBook
    venue: PlainVenue
    prices: list[list[float]]
    expected: dict[str, Any]


_BUILDERS: list[Callable[[], Problem]] = []


def problem(build: Callable[[], Problem]) -> Callable[[], Problem]:
    """Add what a function returns to the table."""
    _BUILDERS.append(build)
    return build


def _venue(
    assets: int = 1, tiers: list[tuple[float, float]] | None = None, **rules: Any
) -> PlainVenue:
    """A venue with one table of tiers for all assets (0.05 of notional), no fee, no buffer."""
    defaults: dict[str, Any] = {"fee": 0.0, "buffer": 0.0, "amount": "all"}
    table = tiers or [(0.0, 0.05)]
    return PlainVenue(
        tiers=[list(table) for _ in range(assets)],
        volatility=[0.8] * assets,
        step=STEP,
        **(defaults | rules),
    )


# --- dominoes -------------------------------------------------------------------------------------

# Four longs of 100 units entered at 100. E = c + 100 (M - 100), MM = 5 M: a breach below
# M = (10,000 - c) / 95, that is below 97, 94, 91 and 88.
_CASH = [785, 1_070, 1_355, 1_640]


def _four_longs() -> PlainBook:
    return PlainBook([Account(float(cash), [], [Position(0, 100.0, 100.0)]) for cash in _CASH])


# the first looks: at t = 0 E - MM = c - 500, at t = 1 (M = 96) it is c - 400 - 480
_LEAST = [cash - 880 for cash in _CASH]


@problem
def dominoes() -> Problem:
    """One sale is 9,600 USD at the fundamental price: 0.01 * 9,600 / 3,000 = 0.032 of log price.

    96 < 97 fells the first, 96 exp(-0.032) = 92.98 < 94 the second, 96 exp(-0.064) = 90.05 < 91
    the third, 96 exp(-0.096) = 87.21 < 88 the fourth. Each trades halfway of its own move.
    """
    marks = [96 * (D("-0.032") * k).exp() for k in range(5)]
    price = [(marks[k] + marks[k + 1]) / 2 for k in range(4)]
    fee = [D("0.001") * 100 * p for p in price]
    # half of the flow stays, half fades by exp(-1) in the one step that follows
    flow_end = D("-0.128") * (D("0.5") + D("0.5") * D(-1).exp())
    return Problem(
        name="four longs fall one after the other",
        why="linear impact, one round for each",
        book=_four_longs(),
        venue=_venue(
            fee=0.001, impact="linear", depth_1pct=[3_000.0], permanent=0.5, relaxation=STEP
        ),
        prices=[[100.0], [96.0], [96.0]],
        expected={
            "equity_end": [
                cash + 100 * (p - 100) - paid
                for cash, p, paid in zip(_CASH, price, fee, strict=True)
            ],
            "liquidation_step": [1, 1, 1, 1],
            "bankrupt": [False] * 4,
            "least_excess": _LEAST,
            # at M = 96: 480 / 385 > 1, 480 / 670 = 0.72, less for the others
            "called": [True, False, False, False],
            "rounds_run": [0, 4, 0],
            "closed_notional": [100 * sum(price)],
            "overshoot": [D("0.128")],
            "mark_end": [96 * flow_end.exp()],
            "fund_end": sum(fee),
            "uncovered_loss": 0,
            "late_steps": 0,
            "largest_loser": [0, 1, 2, 3],
        },
    )


@problem
def dominoes_in_an_endless_market() -> Problem:
    """Without impact the first falls alone: 100 units at 96, a fee of 9.6."""
    return Problem(
        name="four longs, no impact",
        why="the price does not move, so nobody else is in breach",
        book=_four_longs(),
        venue=_venue(fee=0.001),
        prices=[[100.0], [96.0], [96.0]],
        expected={
            "equity_end": [785 - 400 - F("9.6"), 1_070 - 400, 1_355 - 400, 1_640 - 400],
            "liquidation_step": [1, -1, -1, -1],
            "least_excess": _LEAST,
            "rounds_run": [0, 1, 0],
            "closed_notional": [9_600],
            "overshoot": [0],
            "mark_end": [96],
            "fund_end": F("9.6"),
            "largest_loser": [0, -1, -1, -1],
        },
    )


# --- contagion from asset to asset ----------------------------------------------------------------


def _contagion_venue() -> PlainVenue:
    return _venue(
        2,
        order="largest-notional",
        amount="position",
        impact="linear",
        depth_1pct=[500.0, 500.0],
        permanent=1.0,
    )


@problem
def contagion_of_a_cross_account() -> Problem:
    """A falls to 80. X (10 A, 20 B, cash 300): E = 100 < MM = 0.05 (800 + 2,000) = 140.

    It sells its larger position, 20 B: 2,000 USD, 0.04 of log price, B at 100 exp(-0.04) = 96.08.
    X is safe: E = 60.8, MM = 40. Y (50 B, cash 430) holds no A: E = 430 - 50 * 3.92 = 233.9,
    MM = 240.2: in breach. It sells 5,000 USD more, B ends at 100 exp(-0.14).
    """
    first, second = (100 * D(x).exp() for x in ("-0.04", "-0.14"))
    price_x, price_y = (100 + first) / 2, (first + second) / 2
    return Problem(
        name="a cross account carries a fall of A to holders of B",
        why="forced sale of the other asset",
        book=PlainBook(
            [
                Account(300.0, [], [Position(0, 10.0, 100.0), Position(1, 20.0, 100.0)]),
                Account(430.0, [], [Position(1, 50.0, 100.0)]),
            ]
        ),
        venue=_contagion_venue(),
        prices=[[100.0, 100.0], [80.0, 100.0]],
        expected={
            "equity_end": [300 + 20 * (price_x - 100) - 200, 430 + 50 * (price_y - 100)],
            "liquidation_step": [1, 1],
            "rounds_run": [0, 2],
            "closed_notional": [0, 20 * price_x + 50 * price_y],
            "mark_end": [80, second],
            "overshoot": [0, D("0.14")],
            # the loss of X was on A, though B was sold
            "largest_loser": [0, 2],
            "bankrupt": [False, False],
        },
    )


@problem
def no_contagion_of_isolated_margin() -> Problem:
    """The same positions, each with its own margin: 100 for A, 200 for B.

    A's pool is under water (100 - 200) and sells 10 A: 800 USD, 0.016 of log price. Nobody sells B.
    """
    mark = 80 * D("-0.016").exp()
    price = (80 + mark) / 2
    return Problem(
        name="isolated margin keeps the fall of A from holders of B",
        why="only the pool of A is closed, and leaves a deficit",
        book=PlainBook(
            [
                Account(
                    0.0,
                    [],
                    [Position(0, 10.0, 100.0, 100.0), Position(1, 20.0, 100.0, 200.0)],
                ),
                Account(430.0, [], [Position(1, 50.0, 100.0)]),
            ]
        ),
        venue=_contagion_venue(),
        prices=[[100.0, 100.0], [80.0, 100.0]],
        expected={
            "equity_end": [200, 430],
            "liquidation_step": [1, -1],
            "bankrupt": [True, False],
            "closed_notional": [10 * price, 0],
            "mark_end": [mark, 100],
            "uncovered_loss": -(100 + 10 * (price - 100)),
            "fund_exhausted": True,
            # pools: X's empty cross pool, its A, its B, then Y
            "largest_loser": [-1, 0, -1, -1],
        },
    )


# --- the fund and what comes after it -------------------------------------------------------------


def _losing_long() -> PlainAccount:
    """10 units from 100 to 80 with 100 of cash: E = -100."""
    return Account(100.0, [], [Position(0, 10.0, 100.0)])


@problem
def socialised() -> Problem:
    """The long owes 100 and a fee of 0.01 * 800 = 8; the fund has 20 + 8; 80 are unpaid.

    Profits at 80: 5 (100 - 80) = 100 and 5 (84 - 80) = 20; the third short has lost 50.
    """
    return Problem(
        name="a shortfall shared by those in profit",
        why="80 pro rata to profits of 100 and 20",
        book=PlainBook(
            [
                Account(500.0, [], [Position(0, -5.0, 100.0)]),
                _losing_long(),
                Account(300.0, [], [Position(0, -5.0, 84.0)]),
                Account(400.0, [], [Position(0, -5.0, 70.0)]),
            ]
        ),
        venue=_venue(fee=0.01, fund=20.0, deleveraging="socialised"),
        prices=[[100.0], [80.0]],
        expected={
            "equity_end": [
                500 + 100 - F(80 * 100, 120),
                0,
                300 + 20 - F(80 * 20, 120),
                400 - 50,
            ],
            "liquidation_step": [-1, 1, -1, -1],
            "bankrupt": [False, True, False, False],
            "socialised_loss": 80,
            "uncovered_loss": 0,
            "fund_end": 0,
            "fund_draw": 28,
            "fund_exhausted": True,
            "fund_need": 100,
            "owed": [0, 108, 0, 0],
        },
    )


@problem
def socialised_beyond_all_profits() -> Problem:
    """The same 80 unpaid, but only 5 (86 - 80) = 30 of profit to take from."""
    return Problem(
        name="a shortfall larger than all profits",
        why="at most the sum of the profits is taken",
        book=PlainBook([Account(300.0, [], [Position(0, -5.0, 86.0)]), _losing_long()]),
        venue=_venue(fee=0.01, fund=20.0, deleveraging="socialised"),
        prices=[[100.0], [80.0]],
        expected={
            "equity_end": [300 + 30 - 30, 0],
            "socialised_loss": 30,
            "uncovered_loss": 50,
            "fund_end": 0,
            "fund_draw": 28,
        },
    )


# (u / entry notional) (n / E) at 80: 80/400 * 320/180 = 0.36, 120/360 * 240/140 = 0.57 and
# 225/625 * 400/2,225 = 0.06: the second stands first, the third last though it has gained most
_SHORTS = [
    Account(100.0, [], [Position(0, -4.0, 100.0)]),
    Account(20.0, [], [Position(0, -3.0, 120.0)]),
    Account(2_000.0, [], [Position(0, -5.0, 125.0)]),
]


@problem
def deleveraging_queue() -> Problem:
    """W = 100 - 200 = -100, the fund promises 50, D = 50, N = 800: offered at 80 (1 + 1/16) = 85.

    Takers by rank: 3, 4, and 3 of the last one's 5 units. The long is left with 100 - 10 * 15 =
    -50, which the fund pays. No market close, so no fee.
    """
    return Problem(
        name="an auto-deleverage queue of three shorts",
        why="the bankruptcy price after the fund's promise, takers by rank",
        book=PlainBook([_SHORTS[0], _losing_long(), *_SHORTS[1:]]),
        venue=_venue(fee=0.01, fund=50.0, deleveraging="auto-deleverage"),
        prices=[[100.0], [80.0]],
        expected={
            "equity_end": [
                100 + 4 * (100 - 85),
                0,
                20 + 3 * (120 - 85),
                2_000 + 3 * (125 - 85) + 2 * (125 - 80),
            ],
            "deleveraged_notional": 850,
            "closed_notional": [0],
            "liquidation_step": [-1, 1, -1, -1],
            "bankrupt": [False, True, False, False],
            "fund_end": 0,
            "fund_draw": 50,
            "fund_exhausted": False,
            # what it would have to promise for nobody to be deleveraged
            "fund_need": 100,
            "owed": [0, 50, 0, 0],
            "uncovered_loss": 0,
            "rounds_run": [0, 1],
        },
    )


@problem
def deleveraging_without_enough_takers() -> Problem:
    """Only the short of 3 units: 3 change hands at 85, 7 are sold at 80 with a fee of 5.6.

    100 - 3 * 15 - 7 * 20 - 5.6 = -90.6; the fund has 50 + 5.6; 35 = 7 * 5 are not covered.
    """
    return Problem(
        name="a deleveraging with too few takers",
        why="the rest of what was chosen trades in the market",
        book=PlainBook([_losing_long(), _SHORTS[1]]),
        venue=_venue(fee=0.01, fund=50.0, deleveraging="auto-deleverage"),
        prices=[[100.0], [80.0]],
        expected={
            "equity_end": [0, 125],
            "deleveraged_notional": 255,
            "closed_notional": [560],
            "fund_end": 0,
            "fund_draw": F("55.6"),
            "uncovered_loss": 35,
            "fund_exhausted": True,
            "fund_need": 100,
            "owed": [F("90.6"), 0],
        },
    )


@problem
def deleveraging_of_what_was_not_chosen() -> Problem:
    """A leader one step behind sees A at 94: both pools in breach and solvent; it closes halves.

    L at 94: E = 100 - 60 = 40 < 47. T (12 short A from 100, 2 long B from 100, cash 80) sees B at
    40: E = 80 + 72 - 120 = 32 < 60.4; its larger position is A: 6 units. But A is at 80 and B at
    100 again: L has W = -100, all of it is offered at 80 (1 + 100/800) = 90; T is safe (E = 320,
    MM = 58) and takes 10. Its own 6 are less than that: nothing is left to trade.
    """
    return Problem(
        name="a deleveraging of more than was chosen",
        why="max(0, chosen - changed hands) of the insolvent pool and of the taker",
        book=PlainBook(
            [
                _losing_long(),
                Account(80.0, [], [Position(0, -12.0, 100.0), Position(1, 2.0, 100.0)]),
            ]
        ),
        venue=_venue(
            2,
            order="largest-notional",
            amount="step",
            step_fraction=0.5,
            rounds=1,
            latency=1,
            deleveraging="auto-deleverage",
        ),
        prices=[[100.0, 100.0], [94.0, 40.0], [80.0, 100.0]],
        expected={
            "equity_end": [0, 80 + 10 * (100 - 90) + 2 * (100 - 80)],
            "deleveraged_notional": 900,
            "closed_notional": [0, 0],
            "late_steps": 2,
            "false_liquidations": 1,
            "liquidation_step": [2, 2],
            "bankrupt": [False, False],
            "uncovered_loss": 0,
        },
    )


@problem
def deleveraging_of_a_part() -> Problem:
    """As before, with a taker of 3: of the 5 chosen 2 trade at 80, 5 stay open below zero."""
    return Problem(
        name="a deleveraging of a part",
        why="what was not chosen and finds no taker stays open",
        book=PlainBook([_losing_long(), Account(60.0, [], [Position(0, -3.0, 120.0)])]),
        venue=_venue(
            amount="step",
            step_fraction=0.5,
            rounds=1,
            latency=1,
            deleveraging="auto-deleverage",
        ),
        prices=[[100.0], [94.0], [80.0]],
        expected={
            "equity_end": [100 - 3 * 10 - 2 * 20 - 5 * 20, 60 + 3 * (120 - 90)],
            "deleveraged_notional": 270,
            "closed_notional": [160],
            "uncovered_loss": 0,
            "bankrupt": [False, False],
            "rounds_exhausted": 1,
        },
    )


@problem
def takers_are_safe() -> Problem:
    """L is offered at 90. The first short is in breach: 5 + 3 * 40 - 5 * 20 = 25 < 0.05 * 640 = 32.

    It closes whole, in the market. The second takes 5; L sells 5: 100 - 50 - 100 = -50.
    """
    return Problem(
        name="who is in breach takes nothing",
        why="takers are neither in breach nor offering",
        book=PlainBook(
            [
                Account(5.0, [], [Position(0, -3.0, 120.0), Position(1, 5.0, 100.0)]),
                _losing_long(),
                Account(500.0, [], [Position(0, -5.0, 95.0)]),
            ]
        ),
        venue=_venue(2, deleveraging="auto-deleverage"),
        prices=[[100.0, 100.0], [80.0, 80.0]],
        expected={
            "equity_end": [25, 0, 525],
            "deleveraged_notional": 450,
            "closed_notional": [640, 400],
            "uncovered_loss": 50,
            "largest_loser": [1, 2, -1],
        },
    )


@problem
def coins_pay_debts() -> Problem:
    """Both longs owe after 10 units went from 100 to 80; coins trade at 20 and count at half.

    The first owes 150, has 3 coins: sells them for 60, the fund pays 90. The second owes 30, sells
    1.5 of its 3 coins and keeps 1.5, which count 15.
    """
    return Problem(
        name="coins pay debts, then the fund",
        why="coins sell without haircut, the least that covers the debt, one round later",
        book=PlainBook(
            [
                Account(50.0, [(1, 3.0)], [Position(0, 10.0, 100.0)]),
                Account(170.0, [(1, 3.0)], [Position(0, 10.0, 100.0)]),
            ]
        ),
        venue=_venue(2, fund=100.0, haircut=[0.0, 0.5]),
        prices=[[100.0, 20.0], [80.0, 20.0]],
        expected={
            # the second: E = 170 + 30 - 200 = 0, in breach and not under water; `all` closes it
            "equity_end": [0, 15],
            "bankrupt": [True, False],
            "fund_end": 10,
            "fund_draw": 90,
            "fund_exhausted": False,
            "fund_need": 90,
            "owed": [90, 0],
            "rounds_run": [0, 2],
            "closed_notional": [1_600, 0],
            "least_excess": [50 + 30 - 200 - 40, 170 + 30 - 200 - 40],
        },
    )


# --- how much is closed ---------------------------------------------------------------------------

# Rates 0.01, 0.02 above 1,000 and 0.05 above 3,000 USD; amounts 0, 10 and 100. A long of 40 from
# 100 to 95 with 270 of cash: n = 3,800, MM = 190 - 100 = 90, E = 70. A dollar closed costs 0.004
# and frees (1 + buffer) times the rate of its tier; 800 dollars lie in the highest tier.
_STEEP = [(0.0, 0.01), (1_000.0, 0.02), (3_000.0, 0.05)]


def _restore(name: str, buffer: float, dollars: Fraction) -> Problem:
    return Problem(
        name=name,
        why=f"least close that brings E to (1 + {buffer:g}) MM",
        book=PlainBook([Account(270.0, [], [Position(0, 40.0, 100.0)])]),
        venue=_venue(tiers=_STEEP, fee=0.004, amount="restore", buffer=buffer),
        prices=[[100.0], [95.0]],
        expected={
            "equity_end": [70 - F("0.004") * dollars],
            "fund_end": F("0.004") * dollars,
            "closed_notional": [dollars],
            "liquidation_step": [1],
            "rounds_run": [0, 1],
        },
    )


@problem
def restore_without_buffer() -> Problem:
    """20 are missing; 0.05 - 0.004 a dollar: 20 / 0.046 = 434.8 dollars."""
    return _restore("restore without a buffer", 0.0, F(20) / F("0.046"))


@problem
def restore_with_buffer() -> Problem:
    """1.25 * 90 - 70 = 42.5 are missing; 0.0625 - 0.004 a dollar: 726.5 dollars."""
    return _restore("restore with a buffer, in one tier", 0.25, F("42.5") / F("0.0585"))


@problem
def restore_into_the_next_tier() -> Problem:
    """1.5 * 90 - 70 = 65 are missing; 800 dollars bring 800 * 0.071 = 56.8, then 0.026 a dollar."""
    return _restore("restore across a tier", 0.5, 800 + F("8.2") / F("0.026"))


@problem
def restore_over_two_positions() -> Problem:
    """A: 10 from 100 to 90, u = -100. B: -20 from 50 to 51, u = -20. Cash 150: E = 30.

    MM = 0.05 (900 + 1,020) = 96, 66 are missing at 0.04 a dollar: A whole brings 36, then
    30 / 0.04 = 750 dollars of B. After: E = 30 - 16.5 = 13.5 = 0.05 * 270.
    """
    return Problem(
        name="restore walks down the order",
        why="the largest loss whole, then a part of the next",
        book=PlainBook([Account(150.0, [], [Position(1, -20.0, 50.0), Position(0, 10.0, 100.0)])]),
        venue=_venue(2, fee=0.01, amount="restore"),
        prices=[[100.0, 50.0], [90.0, 51.0]],
        expected={
            "equity_end": [F("13.5")],
            "closed_notional": [900, 750],
            "fund_end": F("16.5"),
            "largest_loser": [1],
        },
    )


@problem
def exactly_at_the_requirement() -> Problem:
    """MM = 128 / 64 = 2 exactly. With 2 of cash it is safe, with 1.75 it is closed at t = 0."""
    return Problem(
        name="exactly at its maintenance margin",
        why="the breach is strict",
        book=PlainBook(
            [
                Account(2.0, [], [Position(0, 1.0, 128.0)]),
                Account(1.75, [], [Position(0, 1.0, 128.0)]),
            ]
        ),
        venue=_venue(tiers=[(0.0, 0.015625)]),
        prices=[[128.0], [128.0]],
        expected={
            "equity_end": [2, F("1.75")],
            "liquidation_step": [-1, 0],
            "least_excess": [0, F("-0.25")],
            "called": [True, True],
            "closed_notional": [128],
            "rounds_run": [1, 0],
        },
    )


@problem
def steps_of_one_liquidation() -> Problem:
    """A quarter of the size at which the liquidation began, at most two rounds a step.

    100 units from 100, cash 1,250, MM = 0.05 n, no fee: a close leaves E as it is.
    At 90: E = 250, MM = 450, 337.5 after 25 units, 225 after 50. No look is left in this step.
    At 88: cash 750, E = 750 - 50 * 12 = 150 < 220: the same liquidation, 25 of the base of 100;
    MM = 110: it ends at the next look. At 85: cash 450, E = 450 - 25 * 15 = 75 < 106.25: a new
    base of 25, twice 6.25: 79.7, then 53.1. At 84: cash 262.5, E = 262.5 - 12.5 * 16 = 62.5 > 52.5.
    """
    return Problem(
        name="a fixed fraction of the first size",
        why="the base stays through one liquidation and is new in the next",
        book=PlainBook([Account(1_250.0, [], [Position(0, 100.0, 100.0)])]),
        venue=_venue(amount="step", step_fraction=0.25, rounds=2),
        prices=[[100.0], [90.0], [88.0], [85.0], [84.0]],
        expected={
            "equity_end": [F("62.5")],
            "closed_notional": [50 * 90 + 25 * 88 + F("12.5") * 85],
            "rounds_run": [0, 2, 1, 2, 0],
            "rounds_exhausted": 0,
            "liquidation_step": [1],
        },
    )


@problem
def down_to_the_floor_of_the_tier() -> Problem:
    """From 100 to 75, no fee. 50 units: n = 3,750, MM = 87.5, E = 1,310 - 1,250: down to 3,000.

    40 units: n = 3,000 exactly, MM = 50, E = 30: the edge is in the tier below: down to 1,000.
    10 units: n = 750, MM = 7.5, E = 5: the lowest tier: whole. All are safe after it.
    """
    return Problem(
        name="down to the floor of the tier",
        why="a notional at the edge is in the lower tier, the lowest has no floor to stop at",
        book=PlainBook(
            [
                Account(1_310.0, [], [Position(0, 50.0, 100.0)]),
                Account(1_030.0, [], [Position(0, 40.0, 100.0)]),
                Account(255.0, [], [Position(0, 10.0, 100.0)]),
            ]
        ),
        venue=_venue(tiers=_STEEP, amount="tier"),
        prices=[[100.0], [75.0]],
        expected={
            "equity_end": [60, 30, 5],
            "closed_notional": [750 + 2_000 + 750],
            "rounds_run": [0, 1],
            "liquidation_step": [1, 1, 1],
        },
    )


@problem
def restore_pro_rata() -> Problem:
    """A: 20 long from 100 to 95, n = 1,900. B: 8 short at 100, n = 800. E = 110.8 - 100 = 10.8.

    MM = (38 - 10) + 8 = 36. A leaves its tier at a share of 9/19; at 0.6 there are 760 and 320 left
    and MM = 7.6 + 3.2 = 10.8.
    """
    return Problem(
        name="restore pro rata across a tier",
        why="the same share of every position, the least that is enough",
        book=PlainBook([Account(110.8, [], [Position(0, 20.0, 100.0), Position(1, -8.0, 100.0)])]),
        venue=_venue(2, tiers=_STEEP, order="pro-rata", amount="restore"),
        prices=[[100.0, 100.0], [95.0, 100.0]],
        expected={
            "equity_end": [F("10.8")],
            "closed_notional": [F("0.6") * 1_900, F("0.6") * 800],
            "rounds_run": [0, 1],
            "largest_loser": [0],
        },
    )


@problem
def restore_a_margin_level() -> Problem:
    """Level 0.1: E = 150 - 100 = 50 < 90. Target 0.12 n: 58 are missing, 0.12 - 0.01 a dollar."""
    dollars = F(58) / F("0.11")
    return Problem(
        name="restore a margin level",
        why="the level stands in the place of the tiers' rates",
        book=PlainBook([Account(150.0, [], [Position(0, 10.0, 100.0)])]),
        venue=_venue(trigger=0.1, amount="restore", buffer=0.2, fee=0.01),
        prices=[[100.0], [90.0]],
        expected={
            "equity_end": [50 - F("0.01") * dollars],
            "closed_notional": [dollars],
            "least_excess": [-40],
        },
    )


@problem
def a_liquidation_outlasts_a_late_look() -> Problem:
    """A leader one step behind; 100 units from 100, cash 1,250, quarters, one round a step.

    t = 1 at 90: E = 250 < 450: late. t = 2 at 95: sees 90 and closes 25; cash 1,125, E = 750.
    t = 3 at 85: E = 0 < 318.75, but it sees 95: late, and the liquidation goes on. t = 4 at 95: it
    sees 85, E = 0 is not under water: 25 again, of the base of 100. Both closes are false.
    """
    return Problem(
        name="a liquidation outlasts a late look",
        why="it ends at a look at which the pool is not in breach and nobody acts",
        book=PlainBook([Account(1_250.0, [], [Position(0, 100.0, 100.0)])]),
        venue=_venue(amount="step", step_fraction=0.25, rounds=1, latency=1),
        prices=[[100.0], [90.0], [95.0], [85.0], [95.0]],
        expected={
            "equity_end": [1_250 - 50 * 5 - 50 * 5],
            "closed_notional": [50 * 95],
            "late_steps": 2,
            "false_liquidations": 2,
        },
    )


@problem
def under_water() -> Problem:
    """10 units from 100 to 85 with 100 of cash: E = -50: closed whole, though `step` is a quarter.

    20 units with 310 of cash: E = 10 < 85: quarters of 5 until 0.05 n <= 10: all four.
    """
    return Problem(
        name="under water",
        why="closed whole at once, whatever the amount",
        book=PlainBook(
            [
                Account(100.0, [], [Position(0, 10.0, 100.0)]),
                Account(310.0, [], [Position(0, 20.0, 100.0)]),
            ]
        ),
        venue=_venue(amount="step", step_fraction=0.25, rounds=2),
        prices=[[100.0], [85.0]],
        expected={
            "equity_end": [0, 10],
            "closed_notional": [850 + 850],
            "uncovered_loss": 50,
            "rounds_run": [0, 2],
            "rounds_exhausted": 1,
        },
    )


def _ranked(order: str, closed: list[int]) -> Problem:
    # A: 10 from 100 to 90, n = 900 at 0.05: MM = 45, u = -100. B: 20 from 100 to 94, n = 1,880 at
    # 0.01: MM = 18.8, u = -120. C: short 9 from 80 to 100, n = 900 at 0.01: MM = 9, u = -180.
    # D: 50 from 40 to 30, n = 1,500 at 0.01: MM = 15, u = -500. Cash 960: E = 60 < 87.8
    venue = _venue(4, order=order, amount="position", rounds=1)
    venue.tiers = [[(0.0, 0.05)], [(0.0, 0.01)], [(0.0, 0.01)], [(0.0, 0.01)]]
    return Problem(
        name=f"the first by {order}",
        why="each order has another first position",
        book=PlainBook(
            [
                Account(
                    960.0,
                    [],
                    [
                        Position(2, -9.0, 80.0),
                        Position(1, 20.0, 100.0),
                        Position(0, 10.0, 100.0),
                        Position(3, 50.0, 40.0),
                    ],
                )
            ]
        ),
        venue=venue,
        prices=[[100.0, 100.0, 80.0, 40.0], [90.0, 94.0, 100.0, 30.0]],
        expected={
            "equity_end": [60],
            "closed_notional": closed,
            "largest_loser": [3],
            "least_excess": [F("60") - F("87.8")],
        },
    )


@problem
def by_loss() -> Problem:
    """D has lost 500."""
    return _ranked("largest-loss", [0, 0, 0, 1_500])


@problem
def by_margin() -> Problem:
    """A needs 45."""
    return _ranked("largest-margin", [900, 0, 0, 0])


@problem
def by_notional() -> Problem:
    """B is 1,880."""
    return _ranked("largest-notional", [0, 1_880, 0, 0])


# --- who decides ----------------------------------------------------------------------------------


@problem
def shards_see_half_a_hedge() -> Problem:
    """Long 10 A, short 10 B, both fall from 100 to 80: E = 60 stays, MM = 0.02 * 1,600 = 32.

    The shard of A sees B at 100: E = 60 - 200: it closes all of A, 800 at the marks, which no
    leader would. The shard of B sees a gain. Afterwards E = 60, MM = 16.
    """
    return Problem(
        name="a shard sees half of a hedge",
        why="false liquidation, all of it over-closed",
        book=PlainBook([Account(60.0, [], [Position(0, 10.0, 100.0), Position(1, -10.0, 100.0)])]),
        venue=_venue(2, tiers=[(0.0, 0.02)], decision="sharded", shards=[0, 1], lag=1),
        prices=[[100.0, 100.0], [80.0, 80.0], [80.0, 80.0]],
        expected={
            "equity_end": [60],
            "false_liquidations": 1,
            "over_closed_notional": 800,
            "liquidation_step": [1],
            "closed_notional": [800, 0],
            "late_steps": 0,
            "rounds_run": [0, 1, 0],
            "largest_loser": [0],
        },
    )


@problem
def shards_close_twice() -> Problem:
    """Two equal longs on two shards, both at 90: E = 270 - 200 = 70, MM = 0.05 * 1,800 = 90.

    20 are missing at 0.05 a dollar: a leader sells 400 dollars of the first (equal losses: file
    order). Each shard sees the same and sells 400 of its own: 400 too much.
    """
    return Problem(
        name="two shards restore the same pool",
        why="what the second closes is over-closed, the liquidation is not false",
        book=PlainBook([Account(270.0, [], [Position(0, 10.0, 100.0), Position(1, 10.0, 100.0)])]),
        venue=_venue(2, amount="restore", decision="sharded", shards=[0, 1], lag=0),
        prices=[[100.0, 100.0], [90.0, 90.0]],
        expected={
            "equity_end": [70],
            "false_liquidations": 0,
            "over_closed_notional": 400,
            "closed_notional": [400, 400],
        },
    )


@problem
def a_late_leader() -> Problem:
    """10 units from 100, cash 100, MM = 0.05 n. At 90: E = 0 < 45: late. It acts one step later.

    At t = 2 it sees 90 and closes at 99, where E = 90 and MM = 49.5: a false liquidation.
    """
    return Problem(
        name="a leader who sees the last step",
        why="late at the fall, false at the recovery",
        book=PlainBook([Account(100.0, [], [Position(0, 10.0, 100.0)])]),
        venue=_venue(latency=1),
        prices=[[100.0], [90.0], [99.0], [99.0]],
        expected={
            "equity_end": [90],
            "late_steps": 1,
            "false_liquidations": 1,
            "over_closed_notional": 0,
            "liquidation_step": [2],
            "closed_notional": [990],
            "least_excess": [-45],
        },
    )


@problem
def a_leader_two_steps_behind() -> Problem:
    """At 90 E = 0: late. t = 1 and 2 see the start, t = 3 sees 90, at a moment when E = 100."""
    return Problem(
        name="a leader two steps behind",
        why="before there are marks so old, those at the end of the starting state are seen",
        book=PlainBook([Account(100.0, [], [Position(0, 10.0, 100.0)])]),
        venue=_venue(latency=2),
        prices=[[100.0], [90.0], [100.0], [100.0], [90.0]],
        expected={
            "equity_end": [100],
            "late_steps": 1,
            "false_liquidations": 1,
            "liquidation_step": [3],
            "closed_notional": [1_000],
            "rounds_run": [0, 0, 0, 1, 0],
        },
    )


@problem
def the_loser_that_is_seen() -> Problem:
    """A at 80, B at 100: E = 150 - 200 < 0, not yet seen. Then A at 100, B at 95: E = 100 > 97.5.

    The leader sees the former, closes both at the latter; the loser that it sees is A.
    """
    return Problem(
        name="the largest loser is the one that is seen",
        why="unrealised profit at the marks that the decider sees",
        book=PlainBook([Account(150.0, [], [Position(1, 10.0, 100.0), Position(0, 10.0, 100.0)])]),
        venue=_venue(2, latency=1),
        prices=[[100.0, 100.0], [80.0, 100.0], [100.0, 95.0]],
        expected={
            "equity_end": [100],
            "largest_loser": [1],
            "closed_notional": [1_000, 950],
            "late_steps": 1,
            "false_liquidations": 1,
            "bankrupt": [False],
        },
    )


# --- prices and controls --------------------------------------------------------------------------


@problem
def a_squeeze() -> Problem:
    """A short buys 9,000 USD of 90,000 a day back: 2 * 0.05 * sqrt(0.1 / m) of log price.

    Short 100 from 75, cash 1,800, price 60 to 90: E = 300 < 450. The log return ln 1.5 is the only
    one of twelve that differs from 0.8^2 dt, and sigma_0 / s_t to the power 1 is the depth m.
    """
    sigma = D("0.05") * D(365).sqrt()
    step = D(1) / 8760
    seen = ((11 * sigma**2 * step + D("1.5").ln() ** 2) / (12 * step)).sqrt()
    moved = 2 * D("0.05") * (D("0.1") / (sigma / seen)).sqrt()
    mark = 90 * moved.exp()
    price = (90 + mark) / 2
    venue = _venue(
        impact="square-root",
        coefficient=2.0,
        adv=[90_000.0],
        permanent=1.0,
        depth_elasticity=1.0,
        fund=1e5,
    )
    venue.volatility = [0.05 * 365**0.5]
    return Problem(
        name="a short squeezed in a thin market",
        why="square-root impact, buys push up, depth falls with realised volatility",
        book=PlainBook([Account(1_800.0, [], [Position(0, -100.0, 75.0)])]),
        venue=venue,
        prices=[[60.0], [90.0]],
        expected={
            "mark_end": [mark],
            "overshoot": [moved],
            "closed_notional": [100 * price],
            "equity_end": [0],
            "fund_draw": 100 * (price - 75) - 1_800,
            "bankrupt": [True],
        },
    )


@problem
def funding_top_up_and_stop() -> Problem:
    """Two steps to a funding interval, 0.01 of notional; MM = 0.05 n; no impact.

    X: 10 long from 100, cash 100, reserve 70, trigger 0.8, target 0.5. t = 1 at 95: E = 50,
    MM = 47.5, ratio 0.95: it draws 47.5 / 0.5 - 50 = 45. t = 2 at 92: pays 9.2, E = 145 - 9.2 - 80
    = 55.8, MM = 46, ratio 0.82: wants 92 - 55.8 = 36.2, has 25. E = 80.8.
    Y: 10 short from 100, cash 300, stop at 110. It receives 9.2 at t = 2, and is stopped at t = 3
    at 110: without a fee, 300 + 9.2 - 100. X stands at 80.8 + 180, ratio 55 / 260.8.
    """
    return Problem(
        name="funding, a top-up and a stop",
        why="controls before the look, the reserve as far as it lasts, stops pay no fee",
        book=PlainBook(
            [
                Account(100.0, [], [Position(0, 10.0, 100.0)], 70.0, 0.8, 0.5),
                Account(300.0, [], [Position(0, -10.0, 100.0, stop=110.0)]),
            ]
        ),
        venue=_venue(fee=0.01, funding_rate=[0.01], funding_steps=2),
        prices=[[100.0], [95.0], [92.0], [110.0]],
        expected={
            "equity_end": [F("80.8") + 180, F("209.2")],
            "reserve_end": [0, 0],
            "liquidation_step": [-1, -1],
            "closed_notional": [1_100],
            "fund_end": 0,
            # X at t = 1 after the top-up: 95 - 47.5; at t = 2: 80.8 - 46
            "least_excess": [F("34.8"), F(300) - 50],
            "called": [False, False],
        },
    )


@problem
def a_stopped_isolated_position_helps_the_cross_pool() -> Problem:
    """10 short from 100 with 100 of margin, stopped at 104: 60 go to the cross pool.

    There 10 long from 100 with 60 of cash: at 93 E = 120 - 70 = 50, MM = 46.5. Without, -10.
    """
    return Problem(
        name="a freed margin goes to the cross pool",
        why="an isolated pool without positions gives its cash away",
        book=PlainBook(
            [
                Account(
                    60.0,
                    [],
                    [Position(0, -10.0, 100.0, 100.0, stop=104.0), Position(0, 10.0, 100.0)],
                )
            ]
        ),
        venue=_venue(fee=0.01),
        prices=[[100.0], [104.0], [93.0]],
        expected={
            "equity_end": [50],
            "liquidation_step": [-1],
            "closed_notional": [1_040],
            "fund_end": 0,
            # isolated at t = 0: 100 - 50; cross at t = 0: 60 - 50, at t = 2: 50 - 46.5
            "least_excess": [F("3.5")],
        },
    )


@problem
def the_starting_state() -> Problem:
    """At t = 0 nobody tops up and no stop is looked at: X, with E = 40 < 50, is closed.

    Y is past its stop of 105 at the start and is stopped at t = 1, at 99: its mark is still below.
    Without funding at t = 0, with an interval of one step, Y pays 0.01 * 990 at t = 1 before that.
    """
    return Problem(
        name="only rounds in the starting state",
        why="no top-up, no stop, no funding at t = 0",
        book=PlainBook(
            [
                Account(40.0, [], [Position(0, 10.0, 100.0)], 1_000.0, 0.8, 0.5),
                Account(200.0, [], [Position(0, 10.0, 100.0, stop=105.0)]),
            ]
        ),
        venue=_venue(funding_rate=[0.01], funding_steps=1),
        prices=[[100.0], [99.0], [50.0]],
        expected={
            "equity_end": [40, 200 - F("9.9") - 10],
            "reserve_end": [1_000, 0],
            "liquidation_step": [0, -1],
            "closed_notional": [1_000 + 990],
        },
    )


@problem
def a_rest_is_dropped() -> Problem:
    """From 100 to 90 with 2^-25 more than 100 of cash: MM = 0.05 n <= E leaves n = 20 * 2^-25.

    That is 6.6e-10 of 900: dropped, so that the pool is empty and the price of 10 cannot hurt it.
    """
    return Problem(
        name="a rest below the tolerance is dropped",
        why="what is left is less than 1e-9 of the size loaded",
        book=PlainBook([Account(100.0 + 2.0**-25, [], [Position(0, 10.0, 100.0)])]),
        venue=_venue(amount="restore"),
        prices=[[100.0], [90.0], [10.0]],
        expected={
            "equity_end": [F(2) ** -25 + F(20 * 10, 90) * F(2) ** -25],
            "liquidation_step": [1],
            "rounds_run": [0, 1, 0],
        },
    )


@problem
def a_halt_and_a_thin_market() -> Problem:
    """10 long from 100, cash 150. At 90 E = 50 > 45; at 85 E = 0 while halted; at 86 it is sold.

    860 USD at half the depth of 1,000 USD a percent: 0.0172 of log price. One step later half of
    the transient 0.75 is left: relaxation is 1 / ln 2 steps.
    """
    moved = D("-0.0172")
    mark = 86 * moved.exp()
    price = (86 + mark) / 2
    return Problem(
        name="a halt, then a thin market",
        why="nobody acts in a halt; a step's depth holds for its flow; a quarter is permanent",
        book=PlainBook([Account(150.0, [], [Position(0, 10.0, 100.0)])]),
        venue=_venue(
            impact="linear",
            depth_1pct=[1_000.0],
            permanent=0.25,
            relaxation=STEP / float(D(2).ln()),
            halted=frozenset({2}),
            liquidity={3: [0.5]},
        ),
        prices=[[100.0], [90.0], [85.0], [86.0], [86.0]],
        expected={
            "equity_end": [150 + 10 * (price - 100)],
            "liquidation_step": [3],
            "late_steps": 0,
            "rounds_run": [0, 0, 0, 1, 0],
            "mark_end": [86 * (moved * D("0.625")).exp()],
            "least_excess": [150 - 140 - 43],
        },
    )


PROBLEMS = [build() for build in _BUILDERS]
