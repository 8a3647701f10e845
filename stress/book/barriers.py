"""Pools with one asset and one liquidation price: for them a bridge in the log price is exact."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from stress.book.book import Book
from stress.book.liquidation import common_intervals, rows_by_size, safe_intervals
from stress.book.pools import Pools
from stress.book.setting import Setting
from stress.types import Array, Floats, Integers

__all__ = ["BREACH", "CALL", "Barriers", "find_barriers"]

BREACH, CALL = 0, 1
"""Rows of the barriers."""


class Barriers(NamedTuple):
    """The one price that liquidates a pool, and the one that leads to a margin call.

    Attributes
    ----------
    asset
        (pools,) the asset of a pool that holds one asset only.
    log_price
        (2, pools) log of the price, rows ``BREACH`` and ``CALL``; infinite where no price does.
    side
        (pools,) +1 where a fall leads there, if anything does, -1 where a rise does; 0 for a pool
        with several assets, and where there is such a price on either side.
    """

    asset: Integers
    log_price: Floats
    side: Integers

    def of(self, pools: Integers) -> Barriers:
        """Return the barriers of some pools."""
        return Barriers(self.asset[pools], self.log_price[:, pools], self.side[pools])

    @property
    def exists(self) -> Array:
        """(pools,) whether the pool has a barrier."""
        return self.side != 0


def find_barriers(book: Book, pools: Pools, setting: Setting) -> Barriers:
    """Find the liquidation and margin-call prices of the pools that hold one asset only."""
    count = len(pools.cash)
    held = pools.pool_of_position >= 0
    pool, position = pools.pool_of_position[held], np.flatnonzero(held)
    in_pool = np.bincount(pool, minlength=count)
    with_coins = np.isin(np.arange(count), pools.pool_of_coin[pools.pool_of_coin >= 0])
    alone = (in_pool[pool] == 1) & ~with_coins[pool]
    row, one = position[alone], pool[alone]
    asset = np.zeros(count, int)
    asset[one] = book.position_asset[row]
    several = _one_asset(book, pools) & ((in_pool > 1) | with_coins)
    together = list(
        rows_by_size(np.where(held & several[pools.pool_of_position], pools.pool_of_position, -1))
    )
    kept = pools.pool_of_coin >= 0
    units = book.coin_quantity * (1 - setting.haircut)[book.coin_asset]
    coins: Any = np.bincount(pools.pool_of_coin[kept], units[kept], minlength=count)

    low, high = np.full((2, 2, count), np.nan)
    for level, ratio in ((BREACH, 1.0), (CALL, setting.warning)):
        rate, amount = setting.requirement_rate / ratio, setting.requirement_amount / ratio
        low[level, one], high[level, one] = safe_intervals(
            pools.cash[one],
            book.quantity[row],
            book.entry_price[row],
            rate[asset[one]],
            amount[asset[one]],
        )
        for shared, rows in together:
            asset[shared] = book.position_asset[rows[:, 0]]
            low[level, shared], high[level, shared] = common_intervals(
                pools.cash[shared],
                book.quantity[rows],
                book.entry_price[rows],
                rate[book.position_asset[rows]],
                amount[book.position_asset[rows]],
                coins[shared],
            )
    return _one_sided(asset, low, high)


def _one_sided(asset: Integers, low: Floats, high: Floats) -> Barriers:
    """Keep the pools whose (2, pools) safe intervals end on one side only, at both levels.

    One that ends nowhere is kept too, at the price 0 or infinity, which no path reaches.
    """
    falls = (low >= 0) & np.isposinf(high)
    rises = (low == 0) & (high > 0)
    side = np.where(falls.all(axis=0), 1, np.where(rises.all(axis=0), -1, 0))
    price = np.where(side > 0, low, np.where(side < 0, high, 1.0))
    with np.errstate(divide="ignore"):
        return Barriers(asset, np.log(price), side)


def _one_asset(book: Book, pools: Pools) -> Array:
    """Return (pools,) whether a pool has positions and all it holds is of one asset."""
    least = np.full(len(pools.cash), np.iinfo(np.int64).max)
    most = np.full(len(pools.cash), -1)
    held = pools.pool_of_position >= 0
    np.minimum.at(least, pools.pool_of_position[held], book.position_asset[held])
    np.maximum.at(most, pools.pool_of_position[held], book.position_asset[held])
    has_positions = most >= 0
    kept = pools.pool_of_coin >= 0
    np.minimum.at(least, pools.pool_of_coin[kept], book.coin_asset[kept])
    np.maximum.at(most, pools.pool_of_coin[kept], book.coin_asset[kept])
    return has_positions & (least == most)
