"""Margin pools dealt to padded panels: the way from the book's flat arrays to the kernels'."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import numpy as np

from stress.book.barriers import Barriers, find_barriers
from stress.book.book import Book
from stress.book.pools import Pools
from stress.book.setting import Setting
from stress.engine.panels import Barrier, Panel, World
from stress.types import Array, Integers, Monitoring, Precision

__all__ = ["build_world", "rounded"]

_SMALL = 4096
"""Padded slots up to which a book is one panel: compiling a second one would cost more than padding
the first."""
_PADDED = 1.25
"""Padded slots that panels joined together may have over those of the panels apart: each panel
takes seconds to compile and its own time to start."""
_EIGHTHS = 8
"""A panel's pools are rounded up to an eighth of a power of two, and to at least so many."""


def build_world(
    book: Book, pools: Pools, setting: Setting, precision: Precision, monitoring: Monitoring
) -> World:
    """Deal the pools of a world to panels by their numbers of positions and coins.

    Widths, pools and tiers of a panel are rounded up, so that a book that differs in some accounts
    or positions makes the same shapes and compiles nothing anew. A pool that is there for that only
    holds nothing, never breaches, and no index of ``World.order`` leads to it; the order itself is
    rounded up too.

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
    barriers = find_barriers(book, pools, setting) if monitoring == "bridge" else None
    kind = np.stack(
        [
            _power_of_two(_members(pools.pool_of_position, count)),
            _power_of_two(_members(pools.pool_of_coin, count)),
            np.zeros(count, int) if barriers is None else barriers.exists.astype(int),
        ],
        axis=1,
    )
    kinds, kind_of_pool, held = np.unique(kind, axis=0, return_inverse=True, return_counts=True)
    tables = _Tables.of(setting, precision)
    panels, order, start = [], np.empty(count, np.int32), 0
    for shape, joined in _join([_Shape(*row) for row in kinds.tolist()], held.tolist()):
        rows = np.flatnonzero(np.isin(kind_of_pool.reshape(-1), joined))
        here = barriers if shape.barrier else None
        panels.append(_panel(book, pools, tables, rows, shape, here))
        order[rows] = start + np.arange(len(rows))
        start += panels[-1].cash.shape[0]
    # one transfer, of arrays that have their type: a conversion on the device is compiled
    order = np.concatenate([order, np.zeros(rounded(count) - count, np.int32)])
    world: World = jax.device_put(World(tuple(panels), _index(order)))
    return world


class _Shape(NamedTuple):
    """Slots for positions and for coins, and whether the pools have a barrier."""

    slots: int
    coins: int
    barrier: int

    def holding(self, other: _Shape) -> _Shape:
        """Return the shape that holds the pools of both."""
        return _Shape(max(self.slots, other.slots), max(self.coins, other.coins), self.barrier)


def _join(kinds: list[_Shape], held: list[int]) -> list[tuple[_Shape, list[int]]]:
    """Join kinds of pools to fewer panels while that pads little.

    Parameters
    ----------
    kinds, held
        The kinds of pools, and how many there are of each.

    Returns
    -------
    The panels: their shapes, and which kinds each holds.
    """
    panels = [(kind, [number]) for number, kind in enumerate(kinds)]

    def padded(shape: _Shape, joined: list[int]) -> int:
        # by rounded numbers, so that some pools more do not change what is joined
        return rounded(sum(held[number] for number in joined)) * (shape.slots + shape.coins)

    def together(one: int, other: int) -> tuple[_Shape, list[int]]:
        return panels[one][0].holding(panels[other][0]), panels[one][1] + panels[other][1]

    apart = sum(padded(*panel) for panel in panels)
    total: float = apart

    def added(one: int, other: int) -> int:
        return padded(*together(one, other)) - padded(*panels[one]) - padded(*panels[other])

    while True:
        pairs = [
            (added(one, other), one, other)
            for one in range(len(panels))
            for other in range(one)
            if panels[one][0].barrier == panels[other][0].barrier
        ]
        more, one, other = min(pairs, default=(math.inf, 0, 0))
        if total + more > max(_SMALL, _PADDED * apart):
            return panels
        total += more
        panels[other] = together(other, one)
        del panels[one]


def _index(values: Array) -> Any:
    """Return indices as the kernels have them."""
    return np.asarray(values, np.int32)


def rounded(count: int) -> int:
    """Return the number of pools that a panel for ``count`` of them has room for."""
    eighth = max(1, (1 << (max(count, 1).bit_length() - 1)) // _EIGHTHS)
    return max(_EIGHTHS, -(-count // eighth) * eighth)


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
    def of(
        cls, pool_of_row: Integers, members: Integers, pools: int, shape: tuple[int, int]
    ) -> _Seats:
        """Seat the rows of some pools, the rows of a pool in their order in the book."""
        column_of_pool = np.full(pools + 1, -1)
        column_of_pool[members] = np.arange(len(members))
        # a row without a pool is numbered -1 and finds the last entry
        column = column_of_pool[pool_of_row]
        row = np.flatnonzero(column >= 0)
        row = row[np.argsort(column[row], kind="stable")]
        column = column[row]
        first = np.searchsorted(column, np.arange(len(members)))
        return cls(row, np.arange(len(row)) - first[column], column, shape)

    def fill(self, values: Array) -> Any:
        """Return (slots, pools, ...) zeros with the (rows, ...) values in their places."""
        padded = np.zeros((*self.shape, *values.shape[1:]), values.dtype)
        padded[self.slot, self.column] = values
        return padded


class _Tables(NamedTuple):
    """What the venue says of the assets, in the precision of the panels.

    ``rate`` and ``amount`` are (assets, tiers), ``haircut`` is (assets,). All panels have the tiers
    that any asset needs, whatever assets they hold.
    """

    rate: Array
    amount: Array
    haircut: Array

    @classmethod
    def of(cls, setting: Setting, precision: Precision) -> _Tables:
        rate, amount = setting.requirement_rate, setting.requirement_amount
        differs = (np.diff(rate, axis=1) != 0) | (np.diff(amount, axis=1) != 0)
        used = np.flatnonzero(differs.any(axis=0))
        tiers = int(used[-1]) + 2 if used.size else 1
        parts = (rate[:, :tiers], amount[:, :tiers], setting.haircut)
        return cls(*(np.asarray(part, np.dtype(precision)) for part in parts))


def _panel(
    book: Book,
    pools: Pools,
    tables: _Tables,
    rows: Integers,
    shape: _Shape,
    barriers: Barriers | None,
) -> Panel:
    """Return the panel of some pools, in NumPy."""
    count, room = len(pools.cash), rounded(len(rows))
    positions = _Seats.of(pools.pool_of_position, rows, count, (shape.slots, room))
    coins = _Seats.of(pools.pool_of_coin, rows, count, (shape.coins, room))
    asset, coin_asset = book.position_asset[positions.row], book.coin_asset[coins.row]

    def real(values: Array) -> Any:
        return np.asarray(values, tables.rate.dtype)

    def by_pool(values: Array, padding: float = 0.0) -> Array:
        """Make room behind (..., pools) values."""
        behind = np.full((*values.shape[:-1], room - len(rows)), padding)
        return np.concatenate([values, behind], axis=-1)

    barrier = None
    if barriers is not None:
        here = barriers.of(rows)
        # a fall to 0, which no path reaches
        parts = by_pool(here.asset), by_pool(here.log_price, -np.inf), by_pool(here.side, 1.0)
        barrier = Barrier(_index(parts[0]), real(parts[1]), real(parts[2]))
    return Panel(
        cash=real(by_pool(pools.cash[rows])),
        asset=positions.fill(_index(asset)),
        quantity=positions.fill(real(book.quantity[positions.row])),
        entry=positions.fill(real(book.entry_price[positions.row])),
        rate=positions.fill(tables.rate[asset]),
        amount=positions.fill(tables.amount[asset]),
        coin_asset=coins.fill(_index(coin_asset)),
        coin_quantity=coins.fill(real(book.coin_quantity[coins.row])),
        coin_haircut=coins.fill(tables.haircut[coin_asset]),
        barrier=barrier,
    )
