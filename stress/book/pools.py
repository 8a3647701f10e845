"""Margin pools: the units that are liquidated, for the book as it is and for its counterparts.

The positions of an account that have no margin of their own share one pool with the account's cash
and coins (cross margin); a position with its own margin is a pool by itself (isolated margin).
Pools stand in file order: accounts in file order, within an account the cross pool first, then its
isolated positions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stress.book.book import Book
from stress.margin import unrealised_profit
from stress.types import Array, Floats, Integers, Mode

__all__ = ["Pools", "account_pools", "isolated_margins"]


@dataclass(frozen=True)
class Pools:
    """The margin pools of one world, in flat arrays.

    Attributes
    ----------
    mode
        The world: the book as booked, or the counterpart of every account under one mode.
    account
        (pools,) index of the owner.
    is_cross
        (pools,) whether it is its account's cross pool.
    cash
        (pools,) USD.
    pool_of_position
        (positions,) index of the pool that backs each position of the book, in the book's order.
    pool_of_coin
        (coins,) the same for coins; -1 where the world has turned them into cash.
    exists
        (accounts,) False for an account that has no counterpart in this world: an isolated
        counterpart needs positive equity to divide. Such an account has no positions here.
    """

    mode: Mode
    account: Integers
    is_cross: Array
    cash: Floats
    pool_of_position: Integers
    pool_of_coin: Integers
    exists: Array


def account_pools(book: Book, mode: Mode, marks: Floats, haircut: Floats) -> Pools:
    """Return the margin pools of the book under a mode.

    Parameters
    ----------
    book
        The book as loaded.
    mode
        ``"as-booked"``, or ``"cross"`` or ``"isolated"`` for the counterpart of every account.
    marks, haircut
        (assets,) starting marks in USD and haircuts of coin collateral; a counterpart divides the
        pool's starting equity.
    """
    exists = np.ones(len(book.accounts), bool)
    if mode == "as-booked":
        return _lay_out(book, mode, book.cash, book.margin, exists, keep_coins=True)
    if mode == "cross":
        margins = np.where(np.isnan(book.margin), 0.0, book.margin)
        cash = book.cash + _by_account(book, margins)
        nowhere = np.full_like(book.margin, np.nan)
        return _lay_out(book, mode, cash, nowhere, exists, keep_coins=True)
    margin, free, exists = isolated_margins(book, marks, haircut)
    return _lay_out(book, mode, free, margin, exists, keep_coins=False)


def isolated_margins(book: Book, marks: Floats, haircut: Floats) -> tuple[Floats, Floats, Array]:
    """Divide every cross pool's starting equity among its positions.

    A position that states a leverage claims notional over leverage; if the claims exceed the
    equity they are all scaled by one factor. The rest of the equity goes pro rata to notional to
    the positions without one, or stays as free cash where there are none. Coins count at their
    starting value after haircut and become cash.

    Returns
    -------
    margin
        (positions,) USD, what backs each position by itself: its share of equity minus its
        unrealised profit, so that it starts with that share. Isolated positions keep theirs.
    cash
        (accounts,) what nobody claims.
    exists
        (accounts,) False where a cross pool with positions has no positive equity to divide.
    """
    mark = marks[book.position_asset]
    profit = unrealised_profit(book.quantity, book.entry_price, mark)
    notional = np.abs(book.quantity) * mark
    crossed = np.isnan(book.margin)
    coins = book.coin_quantity * (marks * (1.0 - haircut))[book.coin_asset]
    equity = book.cash + _by_account(book, np.where(crossed, profit, 0.0))
    equity = equity + np.bincount(book.coin_account, coins, minlength=len(book.accounts))

    stated = crossed & ~np.isnan(book.leverage)
    unstated = crossed & np.isnan(book.leverage)
    claim = np.where(stated, notional / np.where(stated, book.leverage, 1.0), 0.0)
    claimed = _by_account(book, claim)
    scale = np.minimum(1.0, equity / np.where(claimed > 0, claimed, 1.0))
    rest = np.maximum(equity - claimed, 0.0)
    weight = _by_account(book, np.where(unstated, notional, 0.0))
    per_notional = rest / np.where(weight > 0, weight, 1.0)

    owner = book.position_account
    share = np.where(stated, claim * scale[owner], notional * per_notional[owner])
    cash = np.where(weight > 0, 0.0, rest)
    has_positions = np.bincount(owner[crossed], minlength=len(book.accounts)) > 0
    exists = ~has_positions | (equity > 0)
    cash = np.where(has_positions, np.where(exists, cash, 0.0), equity)
    return np.where(crossed, share - profit, book.margin), cash, exists


def _by_account(book: Book, amount: Floats) -> Array:
    return np.bincount(book.position_account, amount, minlength=len(book.accounts))


def _lay_out(
    book: Book, mode: Mode, cash: Floats, margin: Floats, exists: Array, *, keep_coins: bool
) -> Pools:
    """Lay the pools out in file order, each account's cross pool first."""
    owner = book.position_account
    isolated = np.flatnonzero(~np.isnan(margin))
    by_owner = isolated[np.argsort(owner[isolated], kind="stable")]
    accounts = len(book.accounts)
    per_account = np.bincount(owner[isolated], minlength=accounts)
    before = np.cumsum(per_account) - per_account
    cross_pool = np.arange(accounts) + before
    pool_of_position = cross_pool[owner]
    # the k-th isolated position over all accounts stands behind owner + 1 cross pools
    pool_of_position[by_owner] = np.arange(len(by_owner)) + owner[by_owner] + 1

    pools = accounts + len(isolated)
    pool_account = np.empty(pools, np.int64)
    pool_account[cross_pool] = np.arange(accounts)
    pool_account[pool_of_position[isolated]] = owner[isolated]
    pool_cash = np.empty(pools)
    pool_cash[cross_pool] = cash
    pool_cash[pool_of_position[isolated]] = margin[isolated]
    is_cross = np.zeros(pools, bool)
    is_cross[cross_pool] = True
    return Pools(
        mode=mode,
        account=pool_account,
        is_cross=is_cross,
        cash=pool_cash,
        pool_of_position=np.where(exists[owner], pool_of_position, -1),
        pool_of_coin=cross_pool[book.coin_account] if keep_coins else -1 + 0 * book.coin_account,
        exists=exists,
    )
