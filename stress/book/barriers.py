"""Pools with one asset and one liquidation price: for them a bridge in the log price is exact."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from stress.book.book import Book
from stress.book.liquidation import Holding, safe_interval, safe_intervals
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
    several = np.flatnonzero(_one_asset(book, pools) & ((in_pool > 1) | with_coins))
    holdings = [_holding(book, pools, setting, int(pool)) for pool in several]
    asset = np.zeros(count, int)
    asset[one] = book.position_asset[row]
    asset[several] = [asset for asset, _ in holdings]

    low, high = np.full((2, 2, count), np.nan)
    for level, ratio in ((BREACH, 1.0), (CALL, setting.warning)):
        low[level, one], high[level, one] = safe_intervals(
            pools.cash[one],
            book.quantity[row],
            book.entry_price[row],
            setting.requirement_rate[asset[one]] / ratio,
            setting.requirement_amount[asset[one]] / ratio,
        )
        for shared, (_, holding) in zip(several, holdings, strict=True):
            low[level, shared], high[level, shared] = safe_interval(holding.at_ratio(ratio))
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


def _set_barrier(
    pool: Integers, low: Floats, high: Floats, log_price: Floats, side: Integers
) -> None:
    """Record a barrier where there is exactly one."""
    below, above = low > 0, np.isfinite(high)
    one = below ^ above
    price = np.where(below, low, high)
    log_price[pool] = np.log(np.where(one, price, 1.0))
    side[pool] = np.where(one, np.where(below, 1, -1), 0)


def _holding(book: Book, pools: Pools, setting: Setting, pool: int) -> tuple[int, Holding]:
    """Return the asset and the holding of a pool that holds one asset only."""
    rows = np.flatnonzero(pools.pool_of_position == pool)
    coins = np.flatnonzero(pools.pool_of_coin == pool)
    asset = int(book.position_asset[rows[0]])
    return asset, Holding(
        rest=float(pools.cash[pool]),
        quantity=book.quantity[rows],
        entry=book.entry_price[rows],
        rate=np.repeat(setting.requirement_rate[asset][None], len(rows), axis=0),
        amount=np.repeat(setting.requirement_amount[asset][None], len(rows), axis=0),
        coins=float((book.coin_quantity[coins] * (1 - setting.haircut[asset])).sum()),
    )
