"""Margin pools and counterparts: hand-solved cases, and the rules on random books."""

from __future__ import annotations

from math import inf
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings

from stress.book.book import Book
from stress.book.notices import starting_notices
from stress.book.pools import Pools, account_pools, isolated_margins
from stress.scenario.build import build_setting, load_book
from stress.types import MODES, Mode
from tests.strategies import HAIRCUT, KINDS, PRICE, Account, as_book, books, write_book

MARKS = np.array([100.0, 50.0])
NO_HAIRCUT = np.zeros(2)
ASSETS = ("A", "B")


def row(
    asset: str, quantity: float, entry: float | None = None, **more: float
) -> dict[str, object]:
    """Return a position, entered at the starting mark where no entry is given."""
    at_mark = float(MARKS[ASSETS.index(asset)])
    return {"asset": asset, "quantity": quantity, "entry_price": entry or at_mark, **more}


def book_of(*accounts: Account) -> Book:
    return as_book({f"account-{k}": account for k, account in enumerate(accounts)}, ASSETS)


def isolated(account: Account, haircut: np.ndarray = NO_HAIRCUT) -> tuple[np.ndarray, float]:
    """Return the margins and the free cash of one account's isolated counterpart."""
    margin, cash, exists = isolated_margins(book_of(account), MARKS, haircut)
    assert exists.all()
    return margin, float(cash[0])


class TestLayout:
    BOOK = book_of(
        Account(10.0, [row("A", 1.0), row("B", 2.0, margin=7.0), row("A", -1.0)]),
        Account(20.0, [], [{"asset": "A", "quantity": 3.0}]),
        Account(30.0, [row("B", 1.0, margin=8.0), row("B", -1.0, margin=9.0)]),
    )

    def test_as_booked(self) -> None:
        """Accounts in file order, the cross pool first, then what is isolated in file order."""
        pools = account_pools(self.BOOK, "as-booked", MARKS, NO_HAIRCUT)
        np.testing.assert_array_equal(pools.account, [0, 0, 1, 2, 2, 2])
        np.testing.assert_array_equal(pools.is_cross, [1, 0, 1, 1, 0, 0])
        np.testing.assert_array_equal(pools.cash, [10.0, 7.0, 20.0, 30.0, 8.0, 9.0])
        np.testing.assert_array_equal(pools.pool_of_position, [0, 1, 0, 4, 5])
        np.testing.assert_array_equal(pools.pool_of_coin, [2])
        assert pools.exists.all()

    def test_cross(self) -> None:
        """The isolated margins join the cash; every account has one pool, coins stay coins."""
        pools = account_pools(self.BOOK, "cross", MARKS, NO_HAIRCUT)
        np.testing.assert_array_equal(pools.account, [0, 1, 2])
        assert pools.is_cross.all()
        np.testing.assert_array_equal(pools.cash, [17.0, 20.0, 47.0])
        np.testing.assert_array_equal(pools.pool_of_position, [0, 0, 0, 2, 2])
        np.testing.assert_array_equal(pools.pool_of_coin, [1])

    def test_isolated(self) -> None:
        """Every position has a pool of its own, coins are cash now."""
        pools = account_pools(self.BOOK, "isolated", MARKS, NO_HAIRCUT)
        np.testing.assert_array_equal(pools.account, [0, 0, 0, 0, 1, 2, 2, 2])
        np.testing.assert_array_equal(pools.pool_of_position, [1, 2, 3, 6, 7])
        np.testing.assert_array_equal(pools.pool_of_coin, [-1])
        np.testing.assert_array_equal(pools.cash, [0, 5.0, 7.0, 5.0, 320.0, 30.0, 8.0, 9.0])

    def test_rows_out_of_the_order_of_accounts(self) -> None:
        """Positions may stand anywhere in their file; their pools stand by account."""
        book = book_of(
            Account(1.0, [row("A", 1.0, margin=2.0)]), Account(3.0, [row("B", 1.0, margin=4.0)])
        )
        turned = Book(**{**vars(book), "position_account": book.position_account[::-1]})
        pools = account_pools(turned, "as-booked", MARKS, NO_HAIRCUT)
        np.testing.assert_array_equal(pools.account, [0, 0, 1, 1])
        np.testing.assert_array_equal(pools.pool_of_position, [3, 1])
        np.testing.assert_array_equal(pools.cash, [1.0, 4.0, 3.0, 2.0])


class TestIsolatedCounterpart:
    def test_pro_rata_to_notional(self) -> None:
        """Equity 90 over notionals 100 and 200: 30 and 60, nothing left."""
        margin, cash = isolated(Account(90.0, [row("A", 1.0), row("B", -4.0)]))
        np.testing.assert_allclose(margin, [30.0, 60.0], rtol=1e-14)
        assert cash == 0

    def test_unrealised_profit_counts(self) -> None:
        """Equity 50 + 20 - 10 = 60 over 100 and 50: 40 and 20, so margins of 20 and 30."""
        account = Account(50.0, [row("A", 1.0, 80.0), row("B", 1.0, 60.0)])
        margin, cash = isolated(account)
        np.testing.assert_allclose(margin, [20.0, 30.0], rtol=1e-14)
        assert cash == 0

    def test_stated_leverage_comes_first(self) -> None:
        """100 at 5x claims 20 of 90; the other 70 go to notionals of 50 and 100."""
        account = Account(90.0, [row("A", 1.0, leverage=5.0), row("B", 1.0), row("A", -1.0)])
        margin, cash = isolated(account)
        np.testing.assert_allclose(margin, [20.0, 70 / 3, 140 / 3], rtol=1e-14)
        assert cash == 0

    def test_what_nobody_claims_stays_free(self) -> None:
        """All state their leverage: 100 / 10 + 200 / 20 = 20 of 90."""
        account = Account(90.0, [row("A", 1.0, leverage=10.0), row("B", 4.0, leverage=20.0)])
        margin, cash = isolated(account)
        np.testing.assert_allclose(margin, [10.0, 10.0], rtol=1e-14)
        assert cash == pytest.approx(70.0, rel=1e-14)

    def test_claims_are_scaled_by_one_factor(self) -> None:
        """100 / 2 + 200 / 4 = 100 against an equity of 25: a quarter each, none for the rest."""
        account = Account(
            25.0, [row("A", 1.0, leverage=2.0), row("B", 4.0, leverage=4.0), row("A", 1.0)]
        )
        margin, cash = isolated(account)
        np.testing.assert_allclose(margin, [12.5, 12.5, 0.0], rtol=1e-14)
        assert cash == 0

    def test_coins_become_cash(self) -> None:
        """Two coins of 50 less a tenth are 90; with 10 in cash 100 over 100 and 100."""
        account = Account(10.0, [row("A", 1.0), row("A", -1.0)], [{"asset": "B", "quantity": 2.0}])
        margin, cash = isolated(account, np.array([0.0, 0.1]))
        np.testing.assert_allclose(margin, [50.0, 50.0], rtol=1e-14)
        assert cash == 0

    def test_isolated_positions_keep_theirs(self) -> None:
        """They neither claim a share nor does their profit count."""
        account = Account(30.0, [row("A", 1.0), row("A", 9.0, 10.0, margin=5.0)])
        margin, cash = isolated(account)
        np.testing.assert_allclose(margin, [30.0, 5.0], rtol=1e-14)
        assert cash == 0

    def test_cross_pool_without_positions_is_free_cash(self) -> None:
        account = Account(30.0, [row("A", 1.0, margin=5.0)], [{"asset": "A", "quantity": 0.5}])
        margin, cash = isolated(account, np.array([0.2, 0.0]))
        np.testing.assert_allclose(margin, [5.0], rtol=1e-14)
        assert cash == pytest.approx(30.0 + 40.0)

    @pytest.mark.parametrize("cash", [0.0, -5.0])
    def test_no_equity_no_counterpart(self, cash: float) -> None:
        """Nothing to divide: the account has no positions there, and is marked."""
        book = book_of(
            Account(cash, [row("A", 1.0), row("A", 1.0, margin=5.0)]), Account(1.0, [row("A", 1.0)])
        )
        pools = account_pools(book, "isolated", MARKS, NO_HAIRCUT)
        np.testing.assert_array_equal(pools.exists, [False, True])
        np.testing.assert_array_equal(pools.pool_of_position[:2], [-1, -1])
        assert pools.pool_of_position[2] >= 0

    def test_no_counterpart_is_said(self, tmp_path: Path) -> None:
        """In a sentence that names the account; the others go on."""
        poor = Account(-300.0, [{"asset": "ONE", "quantity": 2.0, "entry_price": 128.0}])
        rich = Account(100.0, [{"asset": "ONE", "quantity": 2.0, "entry_price": 128.0}])
        scenario = write_book(tmp_path, {"poor": poor, "rich": rich})
        setting, (book, _) = build_setting(scenario), load_book(scenario)
        notices = " ".join(starting_notices(book, setting, ("as-booked", "isolated")))
        assert "1 of 2 accounts have no isolated counterpart" in notices
        assert "to divide: poor" in notices


def start_equity(book: Book, pools: Pools) -> np.ndarray:
    """Return (accounts,) equity at the start, position by position."""
    price, haircut = (np.array(list(values.values())) for values in (PRICE, HAIRCUT))
    total = np.zeros(len(book.accounts))
    for account, cash in zip(pools.account, pools.cash, strict=True):
        total[account] += cash
    for k, owner in enumerate(book.position_account):
        if pools.pool_of_position[k] >= 0:
            mark = price[book.position_asset[k]]
            total[owner] += book.quantity[k] * (mark - book.entry_price[k])
    for k, owner in enumerate(book.coin_account):
        if pools.pool_of_coin[k] >= 0:
            asset = book.coin_asset[k]
            total[owner] += book.coin_quantity[k] * price[asset] * (1 - haircut[asset])
    return total


@settings(deadline=None)
@given(books(tuple(KINDS)))
def test_no_world_makes_money(accounts: dict[str, Account]) -> None:
    """An account has the same starting equity in every world in which it exists."""
    book = as_book(accounts)
    price, haircut = (np.array(list(values.values())) for values in (PRICE, HAIRCUT))
    worlds: dict[Mode, Pools] = {mode: account_pools(book, mode, price, haircut) for mode in MODES}
    booked = start_equity(book, worlds["as-booked"])
    scale = 1e6 + np.abs(booked)
    for mode, pools in worlds.items():
        off = np.abs(start_equity(book, pools) - booked) / scale
        assert (off[pools.exists] < 1e-12).all(), mode


@settings(deadline=None)
@given(books(tuple(KINDS)))
def test_shares_follow_the_rules(accounts: dict[str, Account]) -> None:
    """Each share of each account, worked out again account by account."""
    price, haircut = (np.array(list(values.values())) for values in (PRICE, HAIRCUT))
    margin, cash, exists = isolated_margins(as_book(accounts), price, haircut)
    row_number = 0
    for number, account in enumerate(accounts.values()):
        rows = [position for position in account.positions if "margin" not in position]
        profits = [p["quantity"] * (PRICE[p["asset"]] - p["entry_price"]) for p in rows]
        sizes = [abs(p["quantity"]) * PRICE[p["asset"]] for p in rows]
        equity = account.cash + sum(profits)
        for coin in account.coins:
            equity += coin["quantity"] * PRICE[coin["asset"]] * (1 - HAIRCUT[coin["asset"]])
        leverages = [p.get("leverage", inf) for p in rows]
        claims = [size / leverage for size, leverage in zip(sizes, leverages, strict=True)]
        factor = min(1.0, equity / sum(claims)) if sum(claims) else 1.0
        left = max(equity - sum(claims), 0.0)
        unstated = sum(
            size for size, leverage in zip(sizes, leverages, strict=True) if leverage == inf
        )
        assert exists[number] == (not rows or equity > 0)
        shares = iter(
            left * size / unstated if leverage == inf else claim * factor
            for size, leverage, claim in zip(sizes, leverages, claims, strict=True)
        )
        profit = iter(profits)
        for position in account.positions:
            if "margin" in position:
                assert margin[row_number] == position["margin"]
            elif exists[number]:
                expected = next(shares) - next(profit)
                assert margin[row_number] == pytest.approx(expected, rel=1e-9, abs=1e-6)
            row_number += 1
        if exists[number]:
            free = 0.0 if unstated else left
            assert cash[number] == pytest.approx(free if rows else equity, rel=1e-9, abs=1e-6)
