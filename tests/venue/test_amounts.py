"""How much is closed: each amount against a slow search, and in places that rounding could move."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from stress.venue.amounts import All, Amount, FirstPosition, FirstTier, Fraction, Restore
from stress.venue.judged import Judged, Tables
from stress.venue.orders import LargestLoss, LargestMargin, LargestNotional, Order, ProRata
from tests.strategies import seeds

from .slow import FLOOR, MARKS, PAIRS, RATE, SLOTS, TAU, pools, required, surplus, tables

Floats = NDArray[np.float64]
ORDERS: list[Order] = [LargestLoss(), LargestMargin(), LargestNotional()]
FEES = st.sampled_from([0.0, 0.0041, 0.016, 0.04])
BUFFERS = st.sampled_from([0.0, 0.05, 0.5])
QUICK: Any = {"max_examples": 7, "deadline": None, "phases": [Phase.generate], "derandomize": True}


@partial(jax.jit, static_argnames=("kinds", "tolerance"))
def _plan(
    kinds: tuple[type, type],
    amount: Amount,
    order: Order,
    pool: Judged,
    own: jax.Array,
    fee: jax.Array,
    tables_: Tables,
    tolerance: float,
) -> jax.Array:
    return amount.plan(pool, order, own, fee, tables_, tolerance)


def plan(
    amount: Amount, order: Order, pool: Judged, *, own: Any = True, fee: float = 0.0
) -> Floats:
    mine = jnp.broadcast_to(jnp.asarray(own), pool.size.shape) & pool.is_open
    kinds = type(amount), type(order)
    return np.asarray(_plan(kinds, amount, order, pool, mine, jnp.asarray(fee), tables(), TAU))


def turns(order: Order, pool: Judged, pair: int, own: NDArray[np.bool_]) -> list[int]:
    """Return the own open positions of one pool in order; ties as they stand."""
    rank = np.asarray(order.rank(pool))[:, pair]
    mine = np.flatnonzero(own[:, pair] & (np.asarray(pool.size)[:, pair] > 0))
    return sorted(mine.tolist(), key=lambda slot: float(rank[slot]))


def least(
    pool: Judged, pair: int, closed: Floats, direction: Floats, **terms: float
) -> float | None:
    """Return the least share of ``direction`` that restores a pool, by brute force; None if none.

    The surplus is concave, so between two grid points beside a crossing there is one crossing.
    """

    def at(share: float) -> float:
        return surplus(pool, pair, closed + share * direction, **terms)

    if at(0.0) >= 0:
        return 0.0
    size, asset = np.asarray(pool.size)[:, pair], np.asarray(pool.asset)[:, pair]
    mark = np.asarray(pool.mark)[:, pair]
    kinks = [
        1 - floor / (size[slot] * mark[slot])
        for slot in np.flatnonzero(direction > 0)
        for floor in FLOOR[asset[slot]][1:]
        if floor < size[slot] * mark[slot]
    ]
    grid = sorted({0.0, *kinks, 1.0})
    for low, high in zip(grid, grid[1:], strict=False):
        if at(high) >= 0:
            for _ in range(50):
                middle = (low + high) / 2
                low, high = (low, middle) if at(middle) >= 0 else (middle, high)
            return high
    return None


@pytest.mark.parametrize(
    "order",
    [
        pytest.param(
            order,
            id=type(order).__name__,
            marks=() if isinstance(order, LargestLoss) else pytest.mark.slow,
        )
        for order in ORDERS
    ],
)
def test_restore(order: Order) -> None:
    """In turn: the least of the first that is enough, else all of it and on to the next."""

    @settings(**QUICK)
    @given(seed=seeds, fee=FEES, buffer=BUFFERS)
    def check(seed: int, fee: float, buffer: float) -> None:
        _, pool = pools(seed)
        own = np.random.default_rng(seed).uniform(size=(SLOTS, PAIRS)) < 0.85
        found = plan(Restore(jnp.asarray(buffer)), order, pool, own=own, fee=fee)
        size = np.asarray(pool.size)
        for pair in range(PAIRS):
            terms = {"fee": fee, "buffer": buffer}
            expected = np.zeros(SLOTS)
            for slot in turns(order, pool, pair, own):
                whole = np.where(np.arange(SLOTS) == slot, size[:, pair], 0.0)
                share = least(pool, pair, expected, whole, **terms)
                expected = expected + (1.0 if share is None else share) * whole
                if share is not None:
                    break
            scale = size[:, pair].max()
            np.testing.assert_allclose(found[:, pair] / scale, expected / scale, atol=1e-9)
            if share_is_enough(pool, pair, found[:, pair], **terms):
                a_hair_less_is_not(order, pool, pair, found[:, pair], **terms)

    check()


@pytest.mark.parametrize(("fee", "buffer"), [(0.015, 0.5), (0.0105, 0.05), (0.01, 0.0)])
def test_a_close_that_frees_what_it_costs(fee: float, buffer: float) -> None:
    """Where the fee eats what a close in the lowest tier frees, no part is enough: all is closed.

    One position in the second tier, which the tier's floor does not restore. Below it the surplus
    stands still: no rounding may make a crossing of that.
    """
    _, pool = pools(7)
    notional = np.linspace(2.1e4, 9e4, PAIRS)
    needs = required(np.zeros(PAIRS, int), notional)
    # at the floor the surplus is one dollar below 0
    at_floor = fee * (notional - 2e4) + (1 + buffer) * 200.0
    held = np.zeros((SLOTS, PAIRS))
    held[0] = notional
    lines = (len(RATE[0]), SLOTS, PAIRS)
    pool = pool._replace(
        asset=jnp.zeros_like(pool.asset),
        size=jnp.asarray(held / 100),
        mark=jnp.full_like(pool.mark, 100.0),
        notional=jnp.asarray(held),
        required=jnp.asarray(np.where(held > 0, needs, 0.0)),
        rate=jnp.broadcast_to(jnp.asarray(RATE[0])[:, None, None], lines),
        amount=jnp.broadcast_to(tables().requirement_amount[0][:, None, None], lines),
        equity=jnp.asarray(at_floor - 1.0),
        total_required=jnp.asarray(needs),
        total_notional=jnp.asarray(notional),
    )
    for order in (LargestLoss(), ProRata()):
        found = plan(Restore(jnp.asarray(buffer)), order, pool, fee=fee)
        np.testing.assert_array_equal(found, held / 100)


def share_is_enough(pool: Judged, pair: int, closed: Floats, **terms: float) -> bool:
    gross = float(pool.total_notional[pair])
    return surplus(pool, pair, closed, **terms) >= -1e-9 * gross


def a_hair_less_is_not(
    order: Order, pool: Judged, pair: int, closed: Floats, **terms: float
) -> None:
    """What is closed of the last position could not be less."""
    last = turns(order, pool, pair, closed[:, None] > np.zeros((1, PAIRS)))
    if last:
        hair = np.where(np.arange(SLOTS) == last[-1], 1e-6 * closed, 0.0)
        assert surplus(pool, pair, closed - hair, **terms) < 0


def test_restore_pro_rata() -> None:
    """The least common share of all own positions, everything where none is enough."""

    @settings(**QUICK)
    @given(seed=seeds, fee=FEES, buffer=BUFFERS)
    def check(seed: int, fee: float, buffer: float) -> None:
        _, pool = pools(seed)
        own = np.random.default_rng(seed).uniform(size=(SLOTS, PAIRS)) < 0.85
        found = plan(Restore(jnp.asarray(buffer)), ProRata(), pool, own=own, fee=fee)
        size = np.asarray(pool.size) * own
        for pair in range(PAIRS):
            terms = {"fee": fee, "buffer": buffer}
            share = least(pool, pair, np.zeros(SLOTS), size[:, pair], **terms)
            expected = (1.0 if share is None else share) * size[:, pair]
            scale = np.asarray(pool.size)[:, pair].max()
            np.testing.assert_allclose(found[:, pair] / scale, expected / scale, atol=1e-9)
            if share:
                hair = found[:, pair] * (1 - 1e-6)
                assert surplus(pool, pair, hair, **terms) < 0

    check()


def test_a_pool_that_needs_nothing_closes_nothing() -> None:
    """At its target to the digit: E = 30, MM = 20, buffer one half: nothing is missing."""
    some, _ = pools(0)
    _, pool = pools(0)
    mine = jnp.zeros_like(pool.size).at[0].set(20.0)
    pool = pool._replace(
        asset=jnp.zeros_like(pool.asset),
        size=mine,
        mark=jnp.full_like(pool.mark, 100.0),
        notional=mine * 100,
        required=mine,
        rate=jnp.broadcast_to(jnp.asarray(RATE[0])[:, None, None], pool.rate.shape),
        amount=jnp.broadcast_to(tables().requirement_amount[0][:, None, None], pool.rate.shape),
        equity=jnp.full_like(some.cash, 30.0),
        total_required=jnp.full_like(some.cash, 20.0),
        total_notional=jnp.full_like(some.cash, 2_000.0),
    )
    for order in (LargestLoss(), ProRata()):
        assert (plan(Restore(jnp.asarray(0.5)), order, pool) == 0).all()
        # twenty dollars more are missing: at one cent and a half a dollar, 1,333 of 2,000 dollars
        short = pool._replace(equity=pool.equity - 20)
        found = plan(Restore(jnp.asarray(0.5)), order, short)
        np.testing.assert_allclose(found[0], 20 / 0.015 / 100, rtol=1e-12)


@pytest.mark.parametrize("order", ORDERS, ids=lambda order: type(order).__name__)
def test_tier(order: Order) -> None:
    """The first position lands on the floor of its tier, or is closed whole in the lowest."""

    @settings(**QUICK)
    @given(seed=seeds)
    def check(seed: int) -> None:
        _, pool = pools(seed)
        found = plan(FirstTier(), order, pool)
        size, mark = np.asarray(pool.size), np.asarray(pool.mark)
        for pair in range(PAIRS):
            (first, *_), closed = turns(order, pool, pair, size > 0), found[:, pair]
            assert (np.delete(closed, first) == 0).all()
            held = size[first, pair] * mark[first, pair]
            floors = FLOOR[int(pool.asset[first, pair])]
            floor = max(of for of in floors if of < held)
            left = (size[first, pair] - closed[first]) * mark[first, pair]
            assert left == pytest.approx(floor, rel=1e-12, abs=1e-9)

    check()


@pytest.mark.parametrize(("above", "lands"), [(0.0, 0), (0.5 * TAU, 0), (2 * TAU, 1), (0.1, 1)])
def test_a_position_at_a_floor_is_in_the_tier_below(above: float, lands: int) -> None:
    """A floor belongs to the tier below it, with a tolerance."""
    _, pool = pools(1)
    size = (FLOOR[0, 1] * (1 + above)) / MARKS[0]
    at = {"size": size, "mark": MARKS[0], "notional": size * MARKS[0], "asset": 0}
    pool = pool._replace(
        **{name: jnp.full_like(getattr(pool, name), value) for name, value in at.items()}
    )
    left = size - plan(FirstTier(), LargestLoss(), pool).max(axis=0)
    np.testing.assert_allclose(left * MARKS[0], lands * FLOOR[0, 1], rtol=1e-9, atol=1e-9)


def test_step_is_a_share_of_what_there_was() -> None:
    """Of the size at the start of the liquidation, at most what is left; pro rata of every one."""
    _, pool = pools(2)
    size, base = np.asarray(pool.size), np.asarray(pool.base)
    assert (base > 3.5 * size).any()
    for fraction in (0.1, 0.3, 1.0):
        part = np.minimum(fraction * base, size)
        amount = Fraction(jnp.asarray(fraction))
        np.testing.assert_array_equal(plan(amount, ProRata(), pool), part)
        found = plan(amount, LargestNotional(), pool)
        first = np.asarray(pool.notional).argmax(axis=0)
        expected = np.where(np.arange(SLOTS)[:, None] == first, part, 0)
        np.testing.assert_array_equal(found, expected)


def test_whole_positions() -> None:
    _, pool = pools(3)
    size = np.asarray(pool.size)
    np.testing.assert_array_equal(plan(All(), LargestLoss(), pool), size)
    first = np.where(size > 0, np.asarray(pool.profit), np.inf).argmin(axis=0)
    expected = np.where(np.arange(SLOTS)[:, None] == first, size, 0)
    np.testing.assert_array_equal(plan(FirstPosition(), LargestLoss(), pool), expected)


@pytest.mark.parametrize("order", ORDERS, ids=lambda order: type(order).__name__)
def test_ties_go_to_the_first_in_the_file(order: Order) -> None:
    """Of equal positions the first that is open is closed; of those that are the decider's own."""
    _, pool = pools(4, ties=True)
    is_open = np.asarray(pool.is_open)
    assert (is_open.sum(axis=0) > 1).any() and (~is_open[0]).any()
    for own in (np.ones_like(is_open), np.arange(SLOTS)[:, None] > np.zeros((1, PAIRS))):
        found = plan(FirstPosition(), order, pool, own=own)
        first = (is_open & own).argmax(axis=0)
        some = (is_open & own).any(axis=0)
        expected = (np.arange(SLOTS)[:, None] == first) & some
        np.testing.assert_array_equal(found > 0, expected)
        restored = plan(Restore(jnp.asarray(0.05)), order, pool, own=own)
        # who stands behind is closed only where all before are closed whole
        part = (restored > 0) & (restored < np.asarray(pool.size))
        assert (part.sum(axis=0) <= 1).all()
        for pair in range(PAIRS):
            mine = np.flatnonzero(is_open[:, pair] & own[:, pair])
            acted = restored[mine, pair] > 0
            assert (acted[:-1] >= acted[1:]).all()


def test_nothing_of_others() -> None:
    """No amount touches what is not the decider's own."""
    _, pool = pools(5)
    own = np.arange(SLOTS)[:, None] % 2 == np.zeros((1, PAIRS))
    half, little = jnp.asarray(0.5), jnp.asarray(0.05)
    amounts = [All(), FirstPosition(), FirstTier(), Fraction(half), Restore(little)]
    for amount in amounts:
        found = plan(amount, LargestLoss(), pool, own=own, fee=0.004)
        assert (found[~own] == 0).all() and (found[own] > 0).any()
    for amount in (Fraction(half), Restore(little), All()):
        found = plan(amount, ProRata(), pool, own=own, fee=0.004)
        assert (found[~own] == 0).all() and (found[own] > 0).any()


def test_slow_requirement_is_that_of_the_tables() -> None:
    """Walking through tiers and the largest line are one number."""
    _, pool = pools(6)
    slow = required(np.asarray(pool.asset), np.asarray(pool.notional))
    np.testing.assert_allclose(np.asarray(pool.required), slow, rtol=1e-12, atol=1e-9)
