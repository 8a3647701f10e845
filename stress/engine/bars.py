"""Bars: pools looked at at the worst marks that each step's bar holds.

A bar says how low and how high a price went inside a step, not when. The excess of a pool is a sum
over assets of concave functions of one mark each (profit is linear, the requirement convex), so
over all marks of a step's bars it is least where each asset stands at the low or the high of its
bar, whichever is the worse for all that the pool holds of it. A pool that is not in breach there
was in breach at no moment of the step. The lows and highs of several assets need not have come
together, so this is an upper bound of the probability; looking at the closes gives a lower one.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from stress.engine.block import At, Leg, Rules
from stress.engine.fate import Verdict, close
from stress.engine.panels import Margins, Panel, margins, over_slots, own_mark
from stress.margin import in_breach, maintenance, margin_call

__all__ = ["bar_verdict", "worst_marks"]


def bar_verdict(panel: Panel, at: At, *, leg: Leg, rules: Rules, tolerance: float) -> Verdict:
    """Evaluate pairs at the worst marks of every step of a block; close the pools that breach.

    They are closed at those marks.

    Parameters
    ----------
    panel
        (pairs,) pools, one a pair.
    at
        (pairs,) the pair's path and block.
    """
    valid = leg.valid[at.block]
    worst = worst_marks(panel, leg, at, jnp.ones_like(rules.warning))
    now = _margins_at(panel, worst)
    broken = in_breach(*now, tolerance) & valid
    hit = broken.any(axis=1, keepdims=True)
    first = jnp.argmax(broken, axis=1).astype(jnp.int32)[:, None]
    open_steps = jnp.arange(broken.shape[1], dtype=jnp.int32)[None] <= jnp.where(
        hit, first, broken.shape[1]
    )
    open_steps = open_steps & valid
    # what is worst for the call need not be worst for the breach
    calling = _margins_at(panel, worst_marks(panel, leg, at, rules.warning))
    called = margin_call(*calling, rules.warning) & open_steps
    at_breach = jnp.take_along_axis(worst, first[..., None], axis=1)[:, 0].T
    then = margins(panel, lambda asset, quantity: own_mark(at_breach, asset))
    never = jnp.zeros_like(now.equity[:, :1])
    return Verdict(
        hit=hit,
        step=leg.step(at, first),
        called=called.any(axis=1, keepdims=True) | hit,
        closed=close(panel, then, then.equity, at_breach, rules.fee),
        marks=at_breach,
        survival=never,
        calm=never,
        excess=jnp.where(open_steps, now.equity - now.required, jnp.inf).min(1, keepdims=True),
    )


def _margins_at(panel: Panel, marks: jax.Array) -> Margins:
    """Return margins at each pair's own marks, (pairs, steps, assets) USD."""

    def own(asset: jax.Array, quantity: jax.Array) -> jax.Array:
        return jnp.take_along_axis(marks, asset[:, None, None], axis=2)[..., 0]

    return margins(panel, own)


def worst_marks(panel: Panel, leg: Leg, at: At, caution: jax.Array) -> jax.Array:
    """Return (pairs, steps, assets) the end of each bar at which a pool stands worse, USD.

    Worse is a lower ``caution`` times equity less requirement, summed over what the pool holds of
    the asset.
    """
    assert leg.bar is not None  # monitored
    low, high = leg.bar
    here = (at.path, at.block)
    assets = jnp.arange(low.shape[0], dtype=jnp.int32)[None, None]

    def add(total: jax.Array, asset: jax.Array, gain: jax.Array) -> jax.Array:
        return total + jnp.where(asset[:, None, None] == assets, gain[..., None], 0)

    def add_position(total: jax.Array, slot: tuple[jax.Array, ...]) -> tuple[jax.Array, None]:
        asset, quantity, rate, amount = slot
        bottom, top = low[asset, *here], high[asset, *here]
        size = jnp.abs(quantity)[:, None]
        more, less = (
            maintenance(size * mark, rate[:, None, :], amount[:, None, :]) for mark in (top, bottom)
        )
        gain = caution * quantity[:, None] * (top - bottom) - (more - less)
        return add(total, asset, gain), None

    def add_coin(total: jax.Array, slot: tuple[jax.Array, ...]) -> tuple[jax.Array, None]:
        asset, quantity, haircut = slot
        worth = caution * (quantity * (1 - haircut))[:, None]
        return add(total, asset, worth * (high[asset, *here] - low[asset, *here])), None

    zero = jnp.zeros((panel.pools, low.shape[3], low.shape[0]), low.dtype)
    positions = (panel.asset, panel.quantity, panel.rate, panel.amount)
    gain = over_slots(add_position, zero, positions)
    coins = (panel.coin_asset, panel.coin_quantity, panel.coin_haircut)
    gain = over_slots(add_coin, gain, coins)
    bottom, top = (jnp.moveaxis(of[:, *here], 0, 2) for of in (low, high))
    return jnp.where(gain > 0, bottom, top)
