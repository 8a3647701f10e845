"""Pools of similar width in padded arrays: what the kernels work on.

A pool with three positions and one with two hundred cannot share a rectangular array without
waste, so pools are dealt to panels by the number of their positions and coins, rounded up to a
power of two. An empty slot has quantity 0 and no tier amount: it adds exactly nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from stress.book.book import Book
from stress.book.liquidation import Holding, safe_interval, safe_intervals
from stress.book.pools import Pools
from stress.book.setting import Setting
from stress.margin import maintenance
from stress.types import Array, Floats, Integers, Precision

__all__ = [
    "BREACH",
    "CALL",
    "Margins",
    "Panel",
    "World",
    "build_world",
    "margins",
    "over_slots",
    "own_mark",
]

Carry = TypeVar("Carry")

BREACH, CALL = 0, 1
"""Rows of a panel's barriers."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Panel:
    """Pools of one width. Slots come first so that a loop over them reads contiguous rows.

    Attributes
    ----------
    cash
        (pools,) USD.
    asset, quantity, entry
        (slots, pools) the positions: index of the asset, signed quantity, entry price.
    rate, amount
        (slots, pools, tiers) requirement of the position.
    coin_asset, coin_quantity, coin_haircut
        (coins, pools) coin collateral in file order.
    barrier_asset
        (pools,) the asset of a pool that holds one asset only.
    barrier_log, barrier_side
        (2, pools) for such a pool, if exactly one price of its asset leads to a breach (row
        ``BREACH``) or a margin call (row ``CALL``): its log, and +1 where a fall does it, -1 where
        a rise does. The side is 0 where there is no such price.
    """

    cash: jax.Array
    asset: jax.Array
    quantity: jax.Array
    entry: jax.Array
    rate: jax.Array
    amount: jax.Array
    coin_asset: jax.Array
    coin_quantity: jax.Array
    coin_haircut: jax.Array
    barrier_asset: jax.Array
    barrier_log: jax.Array
    barrier_side: jax.Array

    @property
    def pools(self) -> int:
        """Number of pools."""
        return self.cash.shape[-1]

    def take(self, rows: jax.Array) -> Panel:
        """Return the panel of the pools with these indices, (rows,)."""
        per_slot = lambda leaf: jnp.take(leaf, rows, axis=1)  # noqa: E731
        return Panel(
            cash=self.cash[rows],
            asset=per_slot(self.asset),
            quantity=per_slot(self.quantity),
            entry=per_slot(self.entry),
            rate=per_slot(self.rate),
            amount=per_slot(self.amount),
            coin_asset=per_slot(self.coin_asset),
            coin_quantity=per_slot(self.coin_quantity),
            coin_haircut=per_slot(self.coin_haircut),
            barrier_asset=self.barrier_asset[rows],
            barrier_log=per_slot(self.barrier_log),
            barrier_side=per_slot(self.barrier_side),
        )


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class World:
    """All pools of one world.

    Attributes
    ----------
    panels
        The pools, dealt by width.
    order
        (pools,) where pool i of ``Pools`` stands in the concatenation of the panels.
    """

    panels: tuple[Panel, ...]
    order: jax.Array


class Margins(NamedTuple):
    """Sums over a pool's positions and coins, (pools, columns) each, USD."""

    equity: jax.Array
    required: jax.Array
    notional: jax.Array


def margins(panel: Panel, mark: Callable[[jax.Array, jax.Array], jax.Array]) -> Margins:
    """Return equity, requirement and notional of every pool of a panel.

    Slots are always added in the same order, so the same marks give the same digits wherever a
    pool is evaluated.

    Parameters
    ----------
    panel
        (pools,) pools.
    mark
        Function of (pools,) asset indices and (pools,) signed quantities that returns the marks,
        (pools, columns). The sign lets a bound choose the worse of two marks.
    """

    def add_position(total: Margins, slot: tuple[jax.Array, ...]) -> tuple[Margins, None]:
        asset, quantity, entry, rate, amount = slot
        marks = mark(asset, quantity)
        notional = jnp.abs(quantity)[:, None] * marks
        profit = quantity[:, None] * (marks - entry[:, None])
        required = maintenance(notional, rate[:, None, :], amount[:, None, :])
        summed = Margins(
            total.equity + profit, total.required + required, total.notional + notional
        )
        return summed, None

    def add_coin(equity: jax.Array, slot: tuple[jax.Array, ...]) -> tuple[jax.Array, None]:
        asset, quantity, haircut = slot
        return equity + (quantity * (1 - haircut))[:, None] * mark(asset, quantity), None

    columns = mark(panel.barrier_asset, panel.cash).shape[1]
    zero = jnp.zeros((panel.pools, columns), panel.cash.dtype)
    start = Margins(zero + panel.cash[:, None], zero, zero)
    positions = (panel.asset, panel.quantity, panel.entry, panel.rate, panel.amount)
    total = over_slots(add_position, start, positions)
    coins = (panel.coin_asset, panel.coin_quantity, panel.coin_haircut)
    return total._replace(equity=over_slots(add_coin, total.equity, coins))


def over_slots(
    add: Callable[[Carry, Any], tuple[Carry, None]], start: Carry, slots: tuple[jax.Array, ...]
) -> Carry:
    """Fold the slots of a panel, (slots, pools, ...) each, into ``start`` in their order."""
    return jax.lax.scan(add, start, slots)[0]


def own_mark(marks: jax.Array, asset: jax.Array) -> jax.Array:
    """Return (pools, 1) marks of each pool's asset from (assets, pools) or (assets, 1) marks."""
    if marks.shape[1] == 1:
        return marks[asset]
    return jnp.take_along_axis(marks, asset[None, :], axis=0)[0][:, None]


def build_world(book: Book, pools: Pools, setting: Setting, precision: Precision) -> World:
    """Deal the pools of a world to panels.

    Parameters
    ----------
    book, pools
        The book and its pools in this world.
    setting
        Tiers, haircuts and starting prices, in the order of the assets.
    precision
        Floating point type of the panels.
    """
    positions = _slots(pools.pool_of_position, len(pools.cash))
    coins = _slots(pools.pool_of_coin, len(pools.cash))
    width = _power_of_two(np.bincount(positions.pool, minlength=len(pools.cash)))
    coin_width = _power_of_two(np.bincount(coins.pool, minlength=len(pools.cash)))
    barriers = _barriers(book, pools, setting)

    panels, members = [], []
    for key in sorted(set(zip(width.tolist(), coin_width.tolist(), strict=True))):
        rows = np.flatnonzero((width == key[0]) & (coin_width == key[1]))
        panels.append(
            _panel(book, pools, setting, rows, positions, coins, key, barriers, precision)
        )
        members.append(rows)
    order = np.argsort(np.concatenate(members), kind="stable")
    return World(tuple(panels), jnp.asarray(order, jnp.int32))


class _Slots(NamedTuple):
    """Positions (or coins) of the book that exist in a world: their pool and slot in it."""

    row: Integers
    pool: Integers
    slot: Integers


def _slots(pool_of_row: Integers, pools: int) -> _Slots:
    row = np.flatnonzero(pool_of_row >= 0)
    row = row[np.argsort(pool_of_row[row], kind="stable")]
    pool = pool_of_row[row]
    first = np.searchsorted(pool, np.arange(pools))
    return _Slots(row, pool, np.arange(len(row)) - first[pool])


def _power_of_two(count: Integers) -> Integers:
    return np.where(count > 0, 2 ** np.ceil(np.log2(np.maximum(count, 1))).astype(int), 0)


def _panel(
    book: Book,
    pools: Pools,
    setting: Setting,
    rows: Integers,
    positions: _Slots,
    coins: _Slots,
    width: tuple[int, int],
    barriers: _Barriers,
    precision: Precision,
) -> Panel:
    place = np.full(len(pools.cash), -1)
    place[rows] = np.arange(len(rows))
    in_panel = positions.pool[place[positions.pool] >= 0], place[positions.pool] >= 0
    slot, row = positions.slot[in_panel[1]], positions.row[in_panel[1]]
    column = place[in_panel[0]]
    coin_here = place[coins.pool] >= 0
    coin_slot, coin_row = coins.slot[coin_here], coins.row[coin_here]
    coin_column = place[coins.pool[coin_here]]

    def fill(depth: int, slots: Integers, columns: Integers, values: Array) -> Array:
        padded = np.zeros((depth, len(rows), *values.shape[1:]))
        padded[slots, columns] = values
        return padded

    def fill_position(values: Array) -> Array:
        return fill(width[0], slot, column, values)

    def fill_coin(values: Array) -> Array:
        return fill(width[1], coin_slot, coin_column, values)

    asset, coin_asset = book.position_asset[row], book.coin_asset[coin_row]
    tiers = _tiers_in_use(setting, asset)

    def real(values: Array) -> jax.Array:
        return jnp.asarray(values, jnp.dtype(precision))

    def index(values: Array) -> jax.Array:
        return jnp.asarray(values, jnp.int32)

    return Panel(
        cash=real(pools.cash[rows]),
        asset=index(fill_position(asset)),
        quantity=real(fill_position(book.quantity[row])),
        entry=real(fill_position(book.entry_price[row])),
        rate=real(fill_position(setting.requirement_rate[asset, :tiers])),
        amount=real(fill_position(setting.requirement_amount[asset, :tiers])),
        coin_asset=index(fill_coin(coin_asset)),
        coin_quantity=real(fill_coin(book.coin_quantity[coin_row])),
        coin_haircut=real(fill_coin(setting.haircut[coin_asset])),
        barrier_asset=index(barriers.asset[rows]),
        barrier_log=real(barriers.log_price[:, rows]),
        barrier_side=real(barriers.side[:, rows]),
    )


def _tiers_in_use(setting: Setting, asset: Integers) -> int:
    """Return how many columns of the padded tier table the assets of a panel need."""
    rate, amount = setting.requirement_rate, setting.requirement_amount
    if asset.size == 0:
        return 1
    differs = (np.diff(rate[asset], axis=1) != 0) | (np.diff(amount[asset], axis=1) != 0)
    used = np.flatnonzero(differs.any(axis=0))
    return int(used[-1]) + 2 if used.size else 1


class _Barriers(NamedTuple):
    """``asset`` (pools,), ``log_price`` and ``side`` (2, pools), as in ``Panel``."""

    asset: Integers
    log_price: Floats
    side: Integers


def _barriers(book: Book, pools: Pools, setting: Setting) -> _Barriers:
    """Find the liquidation and margin-call prices of the pools that hold one asset only."""
    count = len(pools.cash)
    found = _Barriers(np.zeros(count, int), np.zeros((2, count)), np.zeros((2, count), int))
    held = pools.pool_of_position >= 0
    pool, position = pools.pool_of_position[held], np.flatnonzero(held)
    in_pool = np.bincount(pool, minlength=count)
    with_coins = np.isin(np.arange(count), pools.pool_of_coin[pools.pool_of_coin >= 0])
    alone = (in_pool[pool] == 1) & ~with_coins[pool]
    row, one = position[alone], pool[alone]
    several = np.flatnonzero(_one_asset(book, pools) & ((in_pool > 1) | with_coins))
    holdings = [_holding(book, pools, setting, int(pool)) for pool in several]
    found.asset[one] = book.position_asset[row]
    found.asset[several] = [asset for asset, _ in holdings]

    for level, ratio in ((BREACH, 1.0), (CALL, setting.warning)):
        low, high = safe_intervals(
            pools.cash[one],
            book.quantity[row],
            book.entry_price[row],
            setting.requirement_rate[book.position_asset[row]] / ratio,
            setting.requirement_amount[book.position_asset[row]] / ratio,
        )
        _record(found, level, one, low, high)
        both = [safe_interval(holding.at_ratio(ratio)) for _, holding in holdings]
        low, high = np.array(both).reshape(-1, 2).T
        _record(found, level, several, low, high)
    return found


def _record(found: _Barriers, level: int, pool: Integers, low: Floats, high: Floats) -> None:
    """Record a barrier where there is exactly one."""
    below, above = low > 0, np.isfinite(high)
    one = below ^ above
    found.log_price[level, pool] = np.log(np.where(one, np.where(below, low, high), 1.0))
    found.side[level, pool] = np.where(one, np.where(below, 1, -1), 0)


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
