"""Margin pools at the marks that somebody sees: what orders and amounts are planned on."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from stress.margin import maintenance

__all__ = ["Judged", "Some", "Tables", "judge"]


class Tables(NamedTuple):
    """Tier tables by asset, (assets, tiers) each: USD, share of notional, USD.

    ``requirement_rate`` and ``requirement_amount`` are what the trigger holds equity against: the
    tiers themselves, or (assets, 1) the margin level and 0.
    """

    floor: jax.Array
    requirement_rate: jax.Array
    requirement_amount: jax.Array


class Some(NamedTuple):
    """Some margin pools on some paths, gathered: one pair a column. Slots are in file order.

    Attributes
    ----------
    cash
        (pairs,) USD.
    asset, quantity, entry, base
        (slots, pairs) index of the asset, signed open quantity (0 in an empty slot), entry price,
        and size when the pool was first acted on in this liquidation.
    coin_asset, coin_quantity, coin_haircut
        (coins, pairs) coin collateral in file order.
    """

    cash: jax.Array
    asset: jax.Array
    quantity: jax.Array
    entry: jax.Array
    base: jax.Array
    coin_asset: jax.Array
    coin_quantity: jax.Array
    coin_haircut: jax.Array


class Judged(NamedTuple):
    """Some pools at some marks.

    Attributes
    ----------
    asset, size, mark, notional, profit, required
        (slots, pairs) of each position: index of its asset, open quantity without sign, mark, USD.
    rate, amount
        (tiers, slots, pairs) its requirement: ``required = max_k(rate_k notional - amount_k)``.
    base
        (slots, pairs) size when the liquidation began.
    equity, total_required, total_notional, net_worth
        (pairs,) USD; net worth counts coins without haircut.
    """

    asset: jax.Array
    size: jax.Array
    mark: jax.Array
    notional: jax.Array
    profit: jax.Array
    required: jax.Array
    rate: jax.Array
    amount: jax.Array
    base: jax.Array
    equity: jax.Array
    total_required: jax.Array
    total_notional: jax.Array
    net_worth: jax.Array

    @property
    def is_open(self) -> jax.Array:
        """(slots, pairs) whether there is a position."""
        return self.size > 0

    @property
    def under_water(self) -> jax.Array:
        """(pairs,) whether the pool has a position and negative equity."""
        return (self.total_notional > 0) & (self.equity < 0)


def judge(some: Some, mark: jax.Array, coin_mark: jax.Array, tables: Tables) -> Judged:
    """Return pools at the (slots, pairs) marks of their positions and (coins, pairs) of coins."""
    size = jnp.abs(some.quantity)
    notional = size * mark
    profit = some.quantity * (mark - some.entry)
    rate = jnp.moveaxis(tables.requirement_rate[some.asset], -1, 0)
    amount = jnp.moveaxis(tables.requirement_amount[some.asset], -1, 0)
    required = maintenance(notional, jnp.moveaxis(rate, 0, -1), jnp.moveaxis(amount, 0, -1))
    # an empty slot may point at a table whose first amount is not 0
    required = jnp.where(size > 0, required, 0)
    coins = some.coin_quantity * coin_mark
    before_coins = some.cash + profit.sum(axis=0)
    return Judged(
        asset=some.asset,
        size=size,
        mark=mark,
        notional=notional,
        profit=profit,
        required=required,
        rate=rate,
        amount=amount,
        base=some.base,
        equity=before_coins + (coins * (1 - some.coin_haircut)).sum(axis=0),
        total_required=required.sum(axis=0),
        total_notional=notional.sum(axis=0),
        net_worth=before_coins + coins.sum(axis=0),
    )
