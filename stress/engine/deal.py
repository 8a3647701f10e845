"""Margin pools dealt to padded panels: the way from the book's flat arrays to the kernels'."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from stress.book.barriers import Barriers, find_barriers
from stress.book.book import Book
from stress.book.pools import Pools
from stress.book.setting import Setting
from stress.engine.panels import Barrier, Panel, World
from stress.types import Array, Integers, Monitoring, Precision

__all__ = ["build_world"]

_SMALL = 4096
"""Padded slots up to which a book is one panel: compiling a second one would cost more than padding
the first."""


def build_world(
    book: Book, pools: Pools, setting: Setting, precision: Precision, monitoring: Monitoring
) -> World:
    """Deal the pools of a world to panels by their numbers of positions and coins.

    Parameters
    ----------
    book, pools
        The book and its pools in this world.
    setting
        Tiers, haircuts and starting prices, in the order of the assets.
    precision
        Floating point type of the panels.
    monitoring
        Under ``"bridge"`` pools that one price liquidates get panels of their own, with it.
    """
    count = len(pools.cash)
    width = _power_of_two(_members(pools.pool_of_position, count))
    coin_width = _power_of_two(_members(pools.pool_of_coin, count))
    if count * (width.max() + coin_width.max()) <= _SMALL:
        width[:], coin_width[:] = width.max(), coin_width.max()
    barriers = find_barriers(book, pools, setting) if monitoring == "bridge" else None
    has_barrier = np.zeros(count, bool) if barriers is None else barriers.exists
    kind = np.stack([width, coin_width, has_barrier], axis=1)
    panels, dealt = [], []
    for key in np.unique(kind, axis=0):
        rows = np.flatnonzero((kind == key).all(axis=1))
        positions = _Seats.of(pools.pool_of_position, rows, count, key[0])
        coins = _Seats.of(pools.pool_of_coin, rows, count, key[1])
        cash = pools.cash[rows]
        here = barriers.of(rows) if barriers is not None and key[2] else None
        panels.append(_panel(book, setting, cash, positions, coins, here, precision))
        dealt.append(rows)
    order = np.argsort(np.concatenate(dealt), kind="stable")
    return World(tuple(panels), jnp.asarray(order, jnp.int32))


def _members(pool_of_row: Integers, pools: int) -> Integers:
    return np.bincount(pool_of_row[pool_of_row >= 0], minlength=pools)


def _power_of_two(count: Integers) -> Integers:
    """Round up, so that few shapes are compiled and less than half of a panel is padding."""
    return np.where(count > 0, 2 ** np.ceil(np.log2(np.maximum(count, 1))).astype(int), 0)


class _Seats(NamedTuple):
    """Where the positions (or coins) of a panel's pools sit in its (slots, pools) arrays.

    ``row`` are their rows in the book, ``slot`` and ``column`` their place, ``shape`` the panel's.
    """

    row: Integers
    slot: Integers
    column: Integers
    shape: tuple[int, int]

    @classmethod
    def of(cls, pool_of_row: Integers, members: Integers, pools: int, width: int) -> _Seats:
        """Seat the rows of some pools, the rows of a pool in their order in the book."""
        column_of_pool = np.full(pools + 1, -1)
        column_of_pool[members] = np.arange(len(members))
        # a row without a pool is numbered -1 and finds the last entry
        column = column_of_pool[pool_of_row]
        row = np.flatnonzero(column >= 0)
        row = row[np.argsort(column[row], kind="stable")]
        column = column[row]
        first = np.searchsorted(column, np.arange(len(members)))
        return cls(row, np.arange(len(row)) - first[column], column, (width, len(members)))

    def fill(self, values: Array) -> Array:
        """Return (slots, pools, ...) zeros with the (rows, ...) values in their places."""
        padded = np.zeros((*self.shape, *values.shape[1:]))
        padded[self.slot, self.column] = values
        return padded


def _panel(
    book: Book,
    setting: Setting,
    cash: Array,
    positions: _Seats,
    coins: _Seats,
    barriers: Barriers | None,
    precision: Precision,
) -> Panel:
    row, asset = positions.row, book.position_asset[positions.row]
    coin_asset = book.coin_asset[coins.row]
    tiers = _tiers_in_use(setting, asset)

    def real(values: Array) -> jax.Array:
        return jnp.asarray(values, jnp.dtype(precision))

    def index(values: Array) -> jax.Array:
        return jnp.asarray(values, jnp.int32)

    return Panel(
        cash=real(cash),
        asset=index(positions.fill(asset)),
        quantity=real(positions.fill(book.quantity[row])),
        entry=real(positions.fill(book.entry_price[row])),
        rate=real(positions.fill(setting.requirement_rate[asset, :tiers])),
        amount=real(positions.fill(setting.requirement_amount[asset, :tiers])),
        coin_asset=index(coins.fill(coin_asset)),
        coin_quantity=real(coins.fill(book.coin_quantity[coins.row])),
        coin_haircut=real(coins.fill(setting.haircut[coin_asset])),
        barrier=None
        if barriers is None
        else Barrier(index(barriers.asset), real(barriers.log_price), real(barriers.side)),
    )


def _tiers_in_use(setting: Setting, asset: Integers) -> int:
    """Return how many columns of the padded tier table these assets need."""
    rate, amount = setting.requirement_rate[asset], setting.requirement_amount[asset]
    differs = (np.diff(rate, axis=1) != 0) | (np.diff(amount, axis=1) != 0)
    used = np.flatnonzero(differs.any(axis=0))
    return int(used[-1]) + 2 if used.size else 1
