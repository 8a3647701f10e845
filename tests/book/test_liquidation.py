"""The prices between which a pool is safe: against bisection, and where there are none."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf, isnan

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from stress.book.liquidation import (
    common_intervals,
    rows_by_size,
    safe_intervals,
)
from stress.margin import tier_amounts
from stress.types import Array
from tests.strategies import tier_tables

PRICE = 100.0
FAR = 1e6 * PRICE


@dataclass(frozen=True)
class Holding:
    """What one pool holds in one asset; fields as the parameters of ``common_intervals``."""

    rest: float
    quantity: Array
    entry: Array
    rate: Array
    amount: Array
    coins: float


def safe_interval(holding: Holding) -> tuple[float, float]:
    """Return (low, high) of one holding as floats."""
    low, high = common_intervals(
        np.array([holding.rest]),
        holding.quantity[None],
        holding.entry[None],
        holding.rate[None],
        holding.amount[None],
        np.array([holding.coins]),
    )
    return float(low[0]), float(high[0])


def excess(holding: Holding, price: float) -> float:
    """Return the pool's excess, position by position."""
    total = holding.rest + holding.coins * price
    for number, quantity in enumerate(holding.quantity):
        tiers = zip(holding.rate[number], holding.amount[number], strict=True)
        required = max(rate * abs(quantity) * price - amount for rate, amount in tiers)
        total += quantity * (price - holding.entry[number]) - required
    return float(total)


def highest(holding: Holding) -> float:
    """Return a price at which the concave excess is greatest, by ternary search."""
    low, high = 0.0, FAR
    for _ in range(300):
        left, right = low + (high - low) / 3, high - (high - low) / 3
        if excess(holding, left) < excess(holding, right):
            low = left
        else:
            high = right
    return max((0.0, FAR, low, high), key=lambda price: excess(holding, price))


def bisected(holding: Holding, unsafe: float, safe: float) -> float:
    for _ in range(300):
        middle = (unsafe + safe) / 2
        if excess(holding, middle) < 0:
            unsafe = middle
        else:
            safe = middle
    return safe


@st.composite
def holdings(draw: st.DrawFn) -> Holding:
    """Draw one to four positions of one asset, perhaps coins of it, and the rest of the pool."""
    floors, rates = draw(tier_tables(4))
    count = draw(st.integers(1, 4))
    sides = draw(st.lists(st.sampled_from([-1.0, 1.0]), min_size=count, max_size=count))
    sizes = draw(st.lists(st.floats(0.01, 1e4), min_size=count, max_size=count))
    entries = draw(st.lists(st.floats(50.0, 200.0), min_size=count, max_size=count))
    quantity = np.array(sides) * np.array(sizes)
    gross = float(np.abs(quantity).sum()) * PRICE
    return Holding(
        rest=gross * draw(st.floats(-0.5, 1.5)),
        quantity=quantity,
        entry=np.array(entries),
        rate=np.repeat(rates[None], count, axis=0),
        amount=np.repeat(tier_amounts(floors, rates)[None], count, axis=0),
        coins=draw(st.just(0.0) | st.floats(0.01, 1e4)),
    )


@settings(deadline=None)
@given(holdings())
def test_against_bisection(holding: Holding) -> None:
    """The excess is concave: safe between two prices, one of which may be 0 or infinite."""
    low, high = safe_interval(holding)
    scale = float(np.abs(holding.quantity).sum() + holding.coins) * PRICE + abs(holding.rest)
    best = highest(holding)
    # where the pool is at its best just at its requirement, rounding decides
    assume(abs(excess(holding, best)) > 1e-6 * scale)
    # nearly level far out: where, or whether, it ends is rounding again
    rises = excess(holding, FAR) - excess(holding, FAR / 2)
    assume(abs(rises) > 1e-6 * scale * FAR / PRICE)
    if excess(holding, best) < 0:
        assert isnan(low)
        assert isnan(high)
        return
    if excess(holding, 0.0) >= 0:
        assert low == 0
    else:
        expected = bisected(holding, 0.0, best)
        assert low == pytest.approx(expected, rel=1e-6)
        assert abs(excess(holding, low)) <= 1e-9 * (scale + scale * low / PRICE)
    if rises > 0:
        assert high == inf
    else:
        expected = bisected(holding, 1e9 * FAR, best)
        assert high == pytest.approx(expected, rel=1e-6)
        assert abs(excess(holding, high)) <= 1e-9 * (scale + scale * high / PRICE)


def one(quantity: float, rest: float, *, coins: float = 0.0, rate: float = 0.01) -> Holding:
    return Holding(
        rest=rest,
        quantity=np.array([quantity]),
        entry=np.array([100.0]),
        rate=np.array([[rate]]),
        amount=np.zeros((1, 1)),
        coins=coins,
    )


class TestByHand:
    def test_long(self) -> None:
        """100 backed by 10: (100 - 10) / 0.99."""
        low, high = safe_interval(one(1.0, 10.0))
        assert low == pytest.approx(90 / 0.99, rel=1e-14)
        assert high == inf

    def test_short(self) -> None:
        """(100 + 10) / 1.01."""
        low, high = safe_interval(one(-1.0, 10.0))
        assert low == 0
        assert high == pytest.approx(110 / 1.01, rel=1e-14)

    def test_long_on_its_own_coin(self) -> None:
        """Half a coin falls with it: (100 - 10) / (0.99 + 0.5)."""
        low, high = safe_interval(one(1.0, 10.0, coins=0.5))
        assert low == pytest.approx(90 / 1.49, rel=1e-14)
        assert high == inf

    def test_short_that_its_coin_outweighs(self) -> None:
        """Two coins rise faster than the short loses, and fall to a debt of 150 at 50 / 0.99."""
        low, high = safe_interval(one(-1.0, -150.0, coins=2.0))
        assert low == pytest.approx(50 / 0.99, rel=1e-14)
        assert high == inf

    def test_hedge_has_two_ends(self) -> None:
        """Long 1.1 and short 1 with a rate that triples from 300 dollars on.

        Low: 0.1 M - 10 - 0.021 M + 9 = 0 at 1 / 0.079. High, both above 300 with an amount of 6
        each: 0.1 M - 1 - 0.063 M + 12 > 0 for ever; at a rate of 0.07 with an amount of 18:
        0.1 M - 1 - 0.147 M + 36 = 0 at 35 / 0.047.
        """
        rates, floors = np.array([0.01, 0.07]), np.array([0.0, 300.0])
        amounts = tier_amounts(floors, rates)
        holding = Holding(
            rest=9.0,
            quantity=np.array([1.1, -1.0]),
            entry=np.array([100.0, 100.0]),
            rate=np.stack([rates, rates]),
            amount=np.stack([amounts, amounts]),
            coins=0.0,
        )
        low, high = safe_interval(holding)
        assert low == pytest.approx(1 / 0.079, rel=1e-13)
        assert high == pytest.approx(35 / 0.047, rel=1e-13)

    def test_nothing_liquidates_a_long_that_is_paid(self) -> None:
        assert safe_interval(one(1.0, 100.0)) == (0.0, inf)

    def test_nothing_saves_a_balanced_hedge_in_debt(self) -> None:
        """Equal and opposite: the excess falls with every price, and is negative at 0."""
        holding = Holding(
            rest=-1.0,
            quantity=np.array([1.0, -1.0]),
            entry=np.array([100.0, 100.0]),
            rate=np.full((2, 1), 0.01),
            amount=np.zeros((2, 1)),
            coins=0.0,
        )
        low, high = safe_interval(holding)
        assert isnan(low)
        assert isnan(high)

    def test_margin_call(self) -> None:
        """At a ratio of 0.8 the requirement weighs a quarter more: (100 - 10) / (1 - 0.0125)."""
        called = one(1.0, 10.0)
        called = replace(called, rate=called.rate / 0.8, amount=called.amount / 0.8)
        low, _ = safe_interval(called)
        assert low == pytest.approx(90 / 0.9875, rel=1e-14)


@settings(deadline=None)
@given(st.lists(holdings(), min_size=1, max_size=5))
def test_many_single_positions_at_once(several: list[Holding]) -> None:
    """The closed form of one position without coins gives what the general one gives."""
    for holding in several:
        expected = safe_interval(
            Holding(
                holding.rest,
                holding.quantity[:1],
                holding.entry[:1],
                holding.rate[:1],
                holding.amount[:1],
                0.0,
            )
        )
        rest = np.array([holding.rest])
        low, high = safe_intervals(
            rest, holding.quantity[:1], holding.entry[:1], holding.rate[:1], holding.amount[:1]
        )
        if isnan(expected[0]):
            # a short that is in breach at every price
            assert high[0] <= 0
            continue
        scale = abs(holding.rest) / abs(holding.quantity[0]) + PRICE
        np.testing.assert_allclose([low[0], high[0]], expected, rtol=1e-9, atol=1e-9 * scale)


@settings(deadline=None)
@given(st.lists(holdings(), min_size=2, max_size=6))
def test_many_holdings_at_once(several: list[Holding]) -> None:
    """Holdings of as many positions together give the digits of each alone."""
    count = len(several[0].quantity)
    tiers = several[0].rate.shape[1]
    alike = [each for each in several if each.rate.shape == (count, tiers)]
    parts = ("rest", "quantity", "entry", "rate", "amount", "coins")
    low, high = common_intervals(*(np.array([getattr(h, part) for h in alike]) for part in parts))
    for place, holding in enumerate(alike):
        np.testing.assert_array_equal([low[place], high[place]], safe_interval(holding))


def test_rows_by_size() -> None:
    found = list(rows_by_size(np.array([7, 3, -1, 7, 5, 3, 7, 9])))
    expected = [([5, 9], [[4], [7]]), ([3], [[1, 5]]), ([7], [[0, 3, 6]])]
    assert [(groups.tolist(), rows.tolist()) for groups, rows in found] == expected
    assert list(rows_by_size(np.array([-1, -1]))) == []
