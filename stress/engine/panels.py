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

from stress.book.barriers import BREACH, CALL
from stress.margin import maintenance

__all__ = [
    "BREACH",
    "CALL",
    "Barrier",
    "Margins",
    "Panel",
    "World",
    "margins",
    "over_slots",
    "own_mark",
]

Carry = TypeVar("Carry")


class Barrier(NamedTuple):
    """For each pool the one price of its one asset that leads to a breach and to a margin call.

    Attributes
    ----------
    asset
        (pools,) index of the asset.
    log_price
        (2, pools) log of the price, rows ``BREACH`` and ``CALL``.
    side
        (pools,) +1 where a fall leads there, -1 where a rise does.
    """

    asset: jax.Array
    log_price: jax.Array
    side: jax.Array

    def take(self, rows: jax.Array) -> Barrier:
        """Return the barriers of the pools with these indices, (rows,)."""
        return Barrier(self.asset[rows], jnp.take(self.log_price, rows, axis=1), self.side[rows])


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
    barrier
        The prices that liquidate the pools, where one price of one asset does; None for a panel of
        pools of which that is not known or not so.
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
    barrier: Barrier | None

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
            barrier=None if self.barrier is None else self.barrier.take(rows),
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
        (pools or more,) where pool i of ``Pools`` stands in the concatenation of the panels. What
        is rounded up stands for nobody: ``Outcome.of`` leaves it out.
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

    # a panel without slots has columns too
    columns = mark(jnp.zeros(panel.pools, jnp.int32), panel.cash).shape[1]
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
    if slots[0].shape[0] == 0:
        # nothing to compile either
        return start
    return jax.lax.scan(add, start, slots)[0]


def own_mark(marks: jax.Array, asset: jax.Array) -> jax.Array:
    """Return (pools, 1) marks of each pool's asset from (assets, pools) or (assets, 1) marks."""
    if marks.shape[1] == 1:
        return marks[asset]
    return jnp.take_along_axis(marks, asset[None, :], axis=0)[0][:, None]
