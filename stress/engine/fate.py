"""What has become of each pool on each path so far, and what closing a pool leaves."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import jax
import jax.numpy as jnp

from stress.engine.panels import Margins, Panel, own_mark

__all__ = ["Closed", "Fate", "Verdict", "close"]


class Closed(NamedTuple):
    """What is left of a pool that was closed whole.

    ``cash`` (pools, columns) USD, never negative; ``coins`` (coins, pools, columns) units that were
    not sold; ``deficit`` (pools, columns) USD that neither cash nor coins covered; ``notional``
    (pools, columns) USD traded.
    """

    cash: jax.Array
    coins: jax.Array
    deficit: jax.Array
    notional: jax.Array

    def where(self, condition: jax.Array, other: Closed) -> Closed:
        """Return this where the (pools, columns) condition holds and ``other`` elsewhere."""
        return Closed(
            cash=jnp.where(condition, self.cash, other.cash),
            coins=jnp.where(condition[None], self.coins, other.coins),
            deficit=jnp.where(condition, self.deficit, other.deficit),
            notional=jnp.where(condition, self.notional, other.notional),
        )


class Verdict(NamedTuple):
    """What the exact evaluation found for (pairs,) pairs in one time block, (pairs, 1) each.

    ``hit`` whether the pool breached, ``step`` when; ``called``; ``closed`` and ``marks``
    ((assets, pairs)) as of the breach; ``survival`` and ``calm`` log probabilities of the block
    (bridge only); ``excess`` the least excess up to the breach.
    """

    hit: jax.Array
    step: jax.Array
    called: jax.Array
    closed: Closed
    marks: jax.Array
    survival: jax.Array
    calm: jax.Array
    excess: jax.Array


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Fate:
    """The state of one panel's pools, (pools, paths).

    Attributes
    ----------
    step
        First breach; 0 is the start, -1 not yet.
    called
        Whether there was a margin call.
    closed
        What is left of a closed pool; of an open one its cash and coins.
    survival, calm
        Log probability, given the path's nodes, of no breach and of no margin call. No pools but
        under ``bridge`` monitoring.
    least_excess
        Least excess at any look while the pool was open, inf without positions. No pools unless
        asked for.
    """

    step: jax.Array
    called: jax.Array
    closed: Closed
    survival: jax.Array
    calm: jax.Array
    least_excess: jax.Array

    @property
    def is_followed(self) -> jax.Array:
        """(pools, paths) whether what comes can change the fate."""
        # a weight is followed beyond the hit that was drawn
        return self.survival > -jnp.inf if self.survival.size else self.step < 0

    @property
    def is_settled_call(self) -> jax.Array:
        """(pools, paths) whether a further margin call can change nothing."""
        return jnp.zeros_like(self.called) if self.survival.size else self.called

    def at(self, pairs: jax.Array) -> Fate:
        """Return the fates of (pairs,) pairs, numbered pool * paths + path, as (pairs, 1)."""

        def gather(leaf: jax.Array) -> jax.Array:
            flat = _flat(leaf)
            if flat.shape[-1] == 0:
                return jnp.zeros((*leaf.shape[:-2], 0, 1), leaf.dtype)
            return jnp.take(flat, pairs, axis=-1, mode="clip")[..., None]

        return jax.tree.map(gather, self)

    def put(self, pairs: jax.Array, changed: Fate) -> Fate:
        """Return the fates with those of some pairs replaced; a pair beyond the end is dropped."""

        def scatter(leaf: jax.Array, new: jax.Array) -> jax.Array:
            if leaf.size == 0:
                return leaf
            return _flat(leaf).at[..., pairs].set(new[..., 0], mode="drop").reshape(leaf.shape)

        return jax.tree.map(scatter, self, changed)

    def after(self, verdict: Verdict) -> Fate:
        """Return the (pairs, 1) fates after a block; what happened to a closed pool stays."""
        newly = verdict.hit & (self.step < 0)
        still_open = self.step < 0

        return replace(
            self,
            step=jnp.where(newly, verdict.step.astype(self.step.dtype), self.step),
            called=self.called | (verdict.called & still_open),
            closed=verdict.closed.where(newly, self.closed),
            survival=self.survival + verdict.survival if self.survival.size else self.survival,
            calm=self.calm + verdict.calm if self.calm.size else self.calm,
            least_excess=(
                jnp.where(
                    still_open, jnp.minimum(self.least_excess, verdict.excess), self.least_excess
                )
                if self.least_excess.size
                else self.least_excess
            ),
        )


def _flat(leaf: jax.Array) -> jax.Array:
    """Join the axes of pools and paths, (..., pools * paths)."""
    return leaf.reshape(*leaf.shape[:-2], leaf.shape[-2] * leaf.shape[-1])


def close(
    panel: Panel, then: Margins, equity: jax.Array, marks: jax.Array, fee: jax.Array
) -> Closed:
    """Close pools whole at given marks and sell coins for what they then owe.

    Parameters
    ----------
    panel
        (pools,) pools.
    then
        Their margins at those marks, (pools, columns).
    equity
        (pools, columns) equity at the close, USD, coins after haircut; ``then.equity``, or the
        requirement where the pool is closed at the moment at which its excess is 0.
    marks
        (assets, pools) or (assets, 1) marks at the close, USD.
    fee
        Share of the closed notional that goes to the venue.
    """
    after_haircut = jnp.zeros_like(equity)
    coin_marks = []
    for coin in range(panel.coin_asset.shape[0]):
        mark = own_mark(marks, panel.coin_asset[coin])
        coin_marks.append(mark)
        value = (panel.coin_quantity[coin] * (1 - panel.coin_haircut[coin]))[:, None]
        after_haircut = after_haircut + value * mark
    cash = equity - after_haircut - fee * then.notional
    owed, kept = jnp.maximum(-cash, 0), []
    # coins are sold in file order, the least that covers the debt, without haircut
    for coin, mark in enumerate(coin_marks):
        quantity = panel.coin_quantity[coin][:, None]
        sold = jnp.minimum(owed / mark, quantity)
        # a coin sold whole pays its value exactly: no debt of one rounding error is left
        owed = jnp.where(sold == quantity, jnp.maximum(owed - quantity * mark, 0), 0)
        kept.append(quantity - sold)
    coins = jnp.stack(kept) if kept else jnp.zeros((0, *cash.shape), cash.dtype)
    return Closed(jnp.maximum(cash, 0), coins, owed, then.notional)
