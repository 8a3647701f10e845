"""Who pays when the fund does not: matching by two plain queues, shares by plain proportion."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import Phase, given, settings
from numpy.typing import NDArray

from stress.venue.backstop import AutoDeleverage, Socialised, Uncovered
from stress.venue.holdings import Holdings, Ledger
from stress.venue.judged import Tables
from tests.cascade_books import PRICE, TIERS, Case
from tests.engine.switched import Laid, blank, lay_out
from tests.reference.cascade import PlainAccount, PlainBook
from tests.strategies import seeds

Floats = NDArray[np.float64]
COLUMNS, TAU = 3, 1e-9


@jax.jit
def deleveraged(
    laid: tuple[Holdings, jax.Array, jax.Array, jax.Array],
    ledger: Ledger,
    short: jax.Array,
    marks: jax.Array,
) -> tuple[Ledger, jax.Array]:
    holdings, *tables = laid
    return AutoDeleverage().deleverage(holdings, ledger, short, marks, Tables(*tables), TAU)


def plain(
    laid: Laid, quantity: Floats, cash: Floats, fund: float, chosen: Sequence[bool], marks: Floats
) -> tuple[Floats, Floats, float]:
    """Return quantities, cash and notional after offers and takers are matched from the front."""
    holdings = laid.holdings
    asset, entry, pool_of = (
        np.asarray(getattr(holdings, name))[:-1] for name in ("asset", "entry", "pool")
    )
    pools = range(holdings.pools)
    rows = {p: np.flatnonzero((pool_of == p) & (quantity != 0)).tolist() for p in pools}

    def worth(p: int) -> float:
        return float(cash[p]) + sum(quantity[r] * (marks[asset[r]] - entry[r]) for r in rows[p])

    def needed(p: int) -> float:
        total = 0.0
        for r in rows[p]:
            held = abs(quantity[r]) * marks[asset[r]]
            floors = [*(floor for floor, _ in TIERS[asset[r]][1:]), np.inf]
            for (floor, rate), top in zip(TIERS[asset[r]], floors, strict=True):
                total += rate * max(0.0, min(held, top) - floor)
        return total

    offers, purse = {}, fund
    for p in pools:
        if chosen[p] and worth(p) < 0:
            promise = min(purse, -worth(p))
            purse -= promise
            if -worth(p) - promise > 0:
                gross = sum(abs(quantity[r]) * marks[asset[r]] for r in rows[p])
                offers[p] = (-worth(p) - promise) / gross
    takers = []
    for p in pools:
        if p in offers or (rows[p] and worth(p) < needed(p)):
            continue
        for r in rows[p]:
            held, mark = abs(quantity[r]), marks[asset[r]]
            gain = quantity[r] * (mark - entry[r])
            if gain > TAU * held * mark:
                rank = gain / (held * entry[r]) * (held * mark / worth(p))
                takers.append((-rank, r))
    takers.sort(key=lambda item: item[0])
    left, money, notional = np.abs(quantity), cash.copy(), 0.0
    for p, share in offers.items():
        for r in rows[p]:
            price = marks[asset[r]] * (1 + np.sign(quantity[r]) * share)
            for _, other in takers:
                opposite = quantity[other] * quantity[r] < 0
                traded = min(left[r], left[other])
                if asset[other] == asset[r] and opposite and traded > 0:
                    for row in (r, other):
                        left[row] -= traded
                        gain = np.sign(quantity[row]) * traded * (price - entry[row])
                        money[pool_of[row]] += gain
                    notional += traded * price
    return np.sign(quantity) * left, money, notional


def ledger_of(laid: Laid, fund: Floats, **changes: Floats) -> Ledger:
    holdings = laid.holdings

    def spread(of: jax.Array) -> jax.Array:
        return jnp.broadcast_to(of[:, None], (len(of), COLUMNS))

    quantity = spread(holdings.quantity)
    ledger = Ledger(
        cash=spread(holdings.cash),
        reserve=spread(holdings.reserve),
        quantity=quantity,
        coins=spread(holdings.coin_quantity),
        base=jnp.zeros((0, 1)),
        acted_on=jnp.zeros((0, 1), jnp.int32),
        chosen=jnp.abs(quantity),
        sold=spread(holdings.coin_quantity),
        fund=jnp.asarray(fund),
    )
    return ledger._replace(**{name: jnp.asarray(value) for name, value in changes.items()})


def tables_of(laid: Laid) -> tuple[Holdings, jax.Array, jax.Array, jax.Array]:
    return (laid.holdings, *laid.rules.tables)


def fill(account: PlainAccount, rng: np.random.Generator, marks: Floats, worth: float) -> None:
    """Give an account random positions that are worth so much of their notional."""
    gross, profit = 0.0, 0.0
    for item in account.positions:
        item.asset = int(rng.integers(3))
        mark, sign = marks[item.asset], float(rng.choice([-1.0, 1.0]))
        item.quantity = sign * 10 ** rng.uniform(3.5, 5.5) / mark
        item.entry = mark * float(rng.uniform(0.8, 1.25))
        item.margin = None
        gross += abs(item.quantity) * mark
        profit += item.quantity * (mark - item.entry)
    account.cash = worth * gross - profit


def test_matching() -> None:
    """As two plain queues: who takes what from whom, at which price, with what promise."""
    exchanged = 0

    @settings(max_examples=20, deadline=None, derandomize=True, phases=[Phase.generate])
    @given(seed=seeds)
    def check(seed: int) -> None:
        nonlocal exchanged
        rng = np.random.default_rng(seed)
        # three columns of one book: at other marks, with other funds
        marks = np.array(PRICE)[:, None] * np.exp(0.05 * rng.normal(size=(len(PRICE), COLUMNS)))
        book = blank()
        for account in book.accounts:
            if account.positions:
                fill(account, rng, marks[:, 0], float(rng.choice([-0.1, -0.02, 0.3, 0.6])))
        # every position is in its account's cross pool: the shapes are those of this test alone
        laid = lay_out(Case(), book)
        fund = np.array([0.0, 20_000.0, 1e7])
        ledger = ledger_of(laid, fund)
        quantity, cash = (np.asarray(of) for of in (ledger.quantity[:-1], ledger.cash))
        chosen = rng.uniform(size=cash.shape) < 0.9
        asset, entry = (np.asarray(getattr(laid.holdings, k))[:-1] for k in ("asset", "entry"))
        profit = quantity * (marks[asset] - entry[:, None])
        worth = cash.copy()
        np.add.at(worth, np.asarray(laid.holdings.pool)[:-1], profit)
        held = np.zeros_like(cash)
        np.add.at(held, np.asarray(laid.holdings.pool)[:-1], np.abs(quantity))
        short = np.where(chosen & (held > 0), np.maximum(-worth, 0), 0)
        found, notional = deleveraged(
            tables_of(laid), ledger, jnp.asarray(short), jnp.asarray(marks)
        )
        for column in range(COLUMNS):
            left, money, traded = plain(
                laid,
                quantity[:, column],
                cash[:, column],
                fund[column],
                (chosen & (held > 0))[:, column].tolist(),
                marks[:, column],
            )
            scale = np.abs(quantity[:, column])
            ours = np.asarray(found.quantity)[:-1, column]
            np.testing.assert_allclose(ours / scale, left / scale, rtol=0, atol=1e-9)
            gross = float(np.abs(cash[:, column]).sum())
            np.testing.assert_allclose(
                np.asarray(found.cash)[:, column] / gross, money / gross, rtol=0, atol=1e-11
            )
            assert float(notional[column]) == pytest.approx(traded, rel=1e-9, abs=1e-6 * gross)
            # of what was chosen, what did not change hands is left for the market
            rest = np.abs(left)
            np.testing.assert_allclose(
                np.asarray(found.chosen)[:-1, column] / scale, rest / scale, rtol=0, atol=1e-9
            )
            exchanged += int((np.abs(left) < 0.999 * scale).sum())

    check()
    assert exchanged > 100


def _two_bankrupts(fund: float) -> tuple[Ledger, Floats]:
    """Two longs, 2,800 short each, and a winner who could take both; return who holds what."""
    book: PlainBook = blank()
    for number, quantity, cash in ((0, 1_000.0, 10_000.0), (2, 1_000.0, 10_000.0)):
        item = book.accounts[number].positions[0]
        item.asset, item.quantity, item.entry = 0, quantity, 128.0
        book.accounts[number].cash = cash
    item = book.accounts[11].positions[0]
    item.asset, item.quantity, item.entry = 0, -3_000.0, 128.0
    book.accounts[11].cash = 1e6
    laid = lay_out(Case(), book)
    marks = np.repeat(np.array(PRICE)[:, None], COLUMNS, axis=1)
    marks[0] = 115.2
    short = np.zeros((laid.holdings.pools, COLUMNS))
    pool = np.asarray(laid.holdings.pool)[:-1]
    held = np.asarray(laid.holdings.quantity)[:-1]
    short[pool[held > 0]] = 2_800.0
    ledger, _ = deleveraged(
        tables_of(laid),
        ledger_of(laid, np.full(COLUMNS, fund)),
        jnp.asarray(short),
        jnp.asarray(marks),
    )
    return ledger, np.asarray(ledger.quantity)[:-1][held != 0, 0]


@pytest.mark.parametrize(
    ("fund", "left"),
    [
        (0.0, [0.0, 0.0, -1_000.0]),
        # paid for in full, the first keeps its position for the market
        (2_800.0, [1_000.0, 0.0, -2_000.0]),
        (5_000.0, [1_000.0, 0.0, -2_000.0]),
        (5_600.0, [1_000.0, 1_000.0, -3_000.0]),
    ],
)
def test_the_fund_is_promised_in_file_order(fund: float, left: list[float]) -> None:
    ledger, held = _two_bankrupts(fund)
    np.testing.assert_allclose(held, left)
    # a promise reserves nothing
    np.testing.assert_array_equal(ledger.fund, fund)


def test_the_price_of_an_offer_leaves_nothing_owed_but_the_promise() -> None:
    """Of 2,800 short with a promise of 2,200 the winner pays 600: 0.6 on each of 1,000."""
    ledger, _ = _two_bankrupts(5_000.0)
    cash = np.asarray(ledger.cash)[:, 0]
    # 10,000 less 1,000 times what the price, 115.8, is below the entry
    np.testing.assert_allclose(np.sort(cash[cash != 0]), [-2_200.0, 10_000.0, 1e6 + 12_200.0])


def test_socialised() -> None:
    """Winners pay pro rata to what they have gained, at most all of it; losers pay nothing."""
    book = blank()
    for number, quantity in ((0, 100.0), (2, -300.0), (4, 50.0), (9, -100.0)):
        item = book.accounts[number].positions[0]
        item.asset, item.quantity, item.entry = 0, quantity, 128.0
    # a pool gains or loses as a whole: 1,000 up and 2,000 down
    _first, second = book.accounts[9].positions
    second.asset, second.quantity, second.entry = 1, 1.0, 62_000.0
    laid = lay_out(Case(), book)
    marks = np.repeat(np.array(PRICE)[:, None], COLUMNS, axis=1)
    marks[0] = [118.0, 118.0, 138.0]
    ledger, unpaid = ledger_of(laid, np.zeros(COLUMNS)), np.array([900.0, 1e6, 300.0])
    after, taken = Socialised().share_out(
        laid.holdings, ledger, jnp.asarray(unpaid), jnp.asarray(marks)
    )
    np.testing.assert_allclose(taken, [900.0, 3_000.0, 300.0])
    paid = np.asarray(ledger.cash - after.cash)
    expected = np.zeros_like(paid)
    pool = np.asarray(laid.holdings.pool)[:-1]
    held = np.asarray(laid.holdings.quantity)[:-1]
    (one,), (two,), (three,) = (pool[held == units] for units in (100.0, -300.0, 50.0))
    expected[two, :2] = 900.0, 3_000.0
    expected[[one, three], 2] = 200.0, 100.0
    np.testing.assert_allclose(paid, expected, atol=1e-9)


def test_uncovered_takes_nothing() -> None:
    laid = lay_out(Case(), blank())
    ledger = ledger_of(laid, np.zeros(COLUMNS))
    marks = jnp.asarray(np.repeat(np.array(PRICE)[:, None], COLUMNS, axis=1))
    after, taken = Uncovered().share_out(laid.holdings, ledger, jnp.ones(COLUMNS), marks)
    assert after is ledger and (taken == 0).all()
