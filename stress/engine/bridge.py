"""Continuous monitoring: what can happen between two grid points.

Between two nodes the excess x of a pool is treated as a Brownian bridge with the variance v of its
linearisation over the step, averaged over the two ends, so that it touches 0 with probability
``exp(-2 x0 x1 / v)`` (Glasserman 2003, section 6.4). For a pool with one asset and one liquidation
price, x is the distance of the log price to the log barrier and v the variance of the log return:
then the formula is exact. A margin call is the same question about ``equity - requirement /
warning`` and shares v: the two slopes differ by a fraction of a maintenance rate.

Steps may differ in their covariance, and from path to path. A jump falls at the end of its step, at
once: the bridge ends before it, and the marks behind it are another node, at which a pool that is
in breach is hit and closed.

The probabilities multiply to a survival weight. Hits, for everything that is not a single pool's
probability, are drawn from one standard normal per asset and step, correlated as the assets are; a
pool's uniform comes from the same normals combined as its own variance combines them, so that
pools on one asset and side share one extreme.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.special import ndtr

from stress.engine.block import At, Leg, Rules
from stress.engine.fate import Verdict, close
from stress.engine.lines import in_doubt
from stress.engine.panels import (
    BREACH,
    CALL,
    Barrier,
    Margins,
    Panel,
    margins,
    over_slots,
    own_mark,
)

__all__ = [
    "LogSteps",
    "barrier_doubts",
    "barrier_steps",
    "bridge_ends",
    "bridge_verdict",
    "crossing",
    "linear_steps",
    "loading",
    "most_deviation",
]


class _Bridges(NamedTuple):
    """What the bridges of a block come to, (pairs, steps) each.

    ``breach`` and ``call`` are crossing probabilities, ``uniform`` is what they are compared with.
    """

    breach: jax.Array
    call: jax.Array
    uniform: jax.Array


class LogSteps(NamedTuple):
    """Bridges of the log price of pools with one barrier, (pairs, steps) each.

    ``start`` and ``end`` are log prices at both ends, ``variance`` is that of the step's log
    return, ``uniform`` what a crossing probability is compared with.
    """

    start: jax.Array
    end: jax.Array
    variance: jax.Array
    uniform: jax.Array


def barrier_doubts(
    barrier: Barrier, low: jax.Array, high: jax.Array, reach: jax.Array
) -> jax.Array:
    """Return (2, pools, ...) whether a breach and a margin call cannot be ruled out in a box.

    With the log price not nearer to the barrier than ``d`` at any node and a variance of at most
    ``v`` a step, no crossing probability exceeds ``exp(-2 d^2 / v)``.

    Parameters
    ----------
    low, high
        (pools, ...) ends of the box of each pool's asset, USD.
    reach
        (pools, ...) ``sqrt(n / 2)`` deviations of a step's log return, for a negligible
        probability ``exp(-n)``.
    """
    shape = (-1,) + (1,) * (low.ndim - 1)
    side = barrier.side.reshape(shape)
    nearest = jnp.log(jnp.where(side > 0, low, high))
    wall = barrier.log_price.reshape(2, *shape)
    return in_doubt(side[None] * (nearest[None] - wall) - reach[None])


def most_deviation(root: jax.Array) -> jax.Array:
    """Return (assets, paths or 1, blocks or 1) the largest deviation of a step's log return."""
    if root.ndim == 2:
        return jnp.sqrt((root**2).sum(axis=1))[:, None, None]
    # (blocks, steps, assets, assets, paths or 1)
    return jnp.transpose(jnp.sqrt((root**2).sum(axis=3).max(axis=1)), (1, 2, 0))


def bridge_verdict(panel: Panel, at: At, *, leg: Leg, rules: Rules) -> Verdict:
    """Evaluate pairs along a block: survival weights, and hits drawn from shared normals.

    Parameters
    ----------
    panel
        (pairs,) pools, one a pair.
    at
        (pairs,) the pair's path and block.
    """
    now = margins(panel, lambda asset, quantity: leg.nodes(asset, at))
    excess = now.equity - now.required
    if panel.barrier is None:
        bridges = _linear_bridges(panel, now, leg, at, rules.warning)
    else:
        bridges = _barrier_bridges(panel.barrier, leg, at)
    can_be_hit = (now.notional[:, :1] > 0) & leg.valid[at.block]
    crossed = jnp.where(can_be_hit, bridges.breach, 0)
    breach, call = crossed, bridges.call
    if leg.arrivals is not None:
        # a jump is no bridge: who is in breach behind it is hit, and called
        fallen = can_be_hit & (excess[:, 1:] <= 0)
        breach = jnp.where(fallen, 1, crossed)
        call = jnp.where((now.equity - now.required / rules.warning)[:, 1:] <= 0, 1, call)
    call = jnp.where(can_be_hit, jnp.maximum(call, breach), 0)

    drawn = (bridges.uniform < breach) | (breach >= 1)
    hit = drawn.any(axis=1, keepdims=True)
    first = jnp.argmax(drawn, axis=1).astype(jnp.int32)[:, None]
    open_steps = jnp.arange(drawn.shape[1], dtype=jnp.int32)[None] <= jnp.where(
        hit, first, drawn.shape[1]
    )
    called = ((bridges.uniform < call) | (call >= 1)) & open_steps
    at_hit = _marks_at_hit(panel, excess, leg, at, first)
    jumped = None
    if leg.arrivals is not None:
        on_bridge = (bridges.uniform < crossed) | (crossed >= 1)
        jumped = ~jnp.take_along_axis(on_bridge, first, axis=1)
        at_hit = jnp.where(jumped[:, 0], leg.marks[:, at.path, at.block, first[:, 0]], at_hit)
    then = margins(panel, lambda asset, quantity: own_mark(at_hit, asset))
    # a pool that is hit is closed at the moment at which its equity is its requirement, one that a
    # jump has hit behind it
    equity = then.required if jumped is None else jnp.where(jumped, then.equity, then.required)
    return Verdict(
        hit=hit,
        step=leg.step(at, first),
        called=called.any(axis=1, keepdims=True),
        closed=close(panel, then, equity, at_hit, rules.fee),
        marks=at_hit,
        survival=jnp.log1p(-breach).sum(axis=1, keepdims=True),
        calm=jnp.log1p(-call).sum(axis=1, keepdims=True),
        excess=jnp.where(open_steps, excess[:, 1:], jnp.inf).min(axis=1, keepdims=True),
    )


def _linear_bridges(panel: Panel, now: Margins, leg: Leg, at: At, warning: jax.Array) -> _Bridges:
    """Return the bridges of the excess in USD, with the variance of its linearisation."""
    variance, uniform = linear_steps(panel, leg, at)
    before, after = bridge_ends(panel, now, leg, at)
    breach = crossing(before.equity - before.required, after.equity - after.required, variance)
    call = crossing(
        before.equity - before.required / warning,
        after.equity - after.required / warning,
        variance,
    )
    return _Bridges(breach, call, uniform)


def linear_steps(panel: Panel, leg: Leg, at: At) -> tuple[jax.Array, jax.Array]:
    """Return (pairs, steps) variances of the linearised excess, and the pools' uniforms.

    USD squared. Cash changes neither; one factor on all that a pool holds, while it stays in its
    tiers, changes the variance by its square and the uniform not at all.
    """
    start, end = _loadings(panel, leg, at)
    variance = ((start**2).sum(axis=2) + (end**2).sum(axis=2)) / 2
    direction = start + end
    length = jnp.sqrt((direction**2).sum(axis=2))
    normals = leg.bridge[:, at.path, at.block]
    pushed = jnp.einsum("psa,aps->ps", direction, normals, precision="highest")
    return variance, ndtr(pushed / jnp.where(length > 0, length, 1))


def bridge_ends(panel: Panel, now: Margins, leg: Leg, at: At) -> tuple[Margins, Margins]:
    """Return margins at both ends of each bridge, (pairs, steps) each; ``now`` at the nodes."""
    before = Margins(*(of[:, :-1] for of in now))
    arrivals = leg.arrivals
    if arrivals is None:
        return before, Margins(*(of[:, 1:] for of in now))
    return before, margins(panel, lambda asset, quantity: arrivals[asset, at.path, at.block])


def _barrier_bridges(barrier: Barrier, leg: Leg, at: At) -> _Bridges:
    """Return the bridges of pools with one asset and one barrier: exact, in the log price.

    A pool is hit where its asset's normal pushes the price toward the barrier.
    """
    side, steps = barrier.side[:, None], barrier_steps(barrier, leg, at)

    def reaches(wall: jax.Array) -> jax.Array:
        start_away, end_away = (side * (of - wall[:, None]) for of in (steps.start, steps.end))
        return crossing(start_away, end_away, steps.variance)

    breach, call = (reaches(barrier.log_price[level]) for level in (BREACH, CALL))
    return _Bridges(breach, call, steps.uniform)


def barrier_steps(barrier: Barrier, leg: Leg, at: At) -> LogSteps:
    """Return the bridges of the log price of each pair's asset, (pairs,) pools with a barrier."""
    asset, side = barrier.asset, barrier.side
    normals = leg.bridge[:, at.path, at.block]
    if leg.root.ndim == 2:
        own = leg.root[asset]
        variance = (own**2).sum(axis=1)[:, None]
        pushed = jnp.einsum("pa,aps->ps", own, normals, precision="highest")
    else:
        own = _own_root(leg.root, asset, at)
        variance = (own**2).sum(axis=2)
        pushed = jnp.einsum("psa,aps->ps", own, normals, precision="highest")
    level = jnp.log(leg.nodes(asset, at))
    end = level[:, 1:]
    if leg.arrivals is not None:
        end = jnp.log(leg.arrivals[asset, at.path, at.block])
    length = jnp.sqrt(jnp.where(variance > 0, variance, 1))
    uniform = ndtr(side[:, None] * pushed / length)
    return LogSteps(level[:, :-1], end, jnp.broadcast_to(variance, end.shape), uniform)


def _own_root(root: jax.Array, asset: jax.Array, at: At) -> jax.Array:
    """Return (pairs, steps, assets) each pair's row of the roots of its path's steps."""
    path = at.path if root.shape[4] > 1 else jnp.zeros_like(at.path)
    return root[at.block, :, asset, :, path]


def crossing(start: jax.Array, end: jax.Array, variance: jax.Array) -> jax.Array:
    """Return (pools, columns) probabilities of touching 0 inside a step, given both ends.

    1 where an end is not positive.
    """
    inside = (start > 0) & (end > 0)
    product = jnp.where(inside, start * end, 0)
    touches = jnp.exp(-2 * product / jnp.where(variance > 0, variance, 1))
    # a pool without any variance cannot cross: 0 / 0 must not become NaN
    return jnp.where(inside, jnp.where(variance > 0, touches, 0), 1)


def _loadings(panel: Panel, leg: Leg, at: At) -> tuple[jax.Array, jax.Array]:
    """Return (pairs, steps, assets) each: how the excess moves with a step's normals at both ends.

    USD. The root is that of the step, at both.
    """
    root, arrivals, assets = leg.root, leg.arrivals, leg.marks.shape[0]
    if root.ndim == 2:

        def nodes(asset: jax.Array) -> jax.Array:
            return leg.nodes(asset, at)

        both = loading(panel, nodes, assets, lambda asset: root[asset][:, None, :])
        return both[:, :-1], both[:, 1:]

    def starts(asset: jax.Array) -> jax.Array:
        return leg.nodes(asset, at)[:, :-1]

    def ends(asset: jax.Array) -> jax.Array:
        return leg.ends(asset, at) if arrivals is None else arrivals[asset, at.path, at.block]

    start, end = (
        loading(panel, marks, assets, lambda asset: _own_root(root, asset, at))
        for marks in (starts, ends)
    )
    return start, end


def loading(
    panel: Panel,
    marks: Callable[[jax.Array], jax.Array],
    assets: int,
    own_root: Callable[[jax.Array], jax.Array],
) -> jax.Array:
    """Return (pairs, times, assets): how the excess moves with each normal of a step, USD.

    The slope of a position is its quantity less its size times the rate of the tier it is in.

    Parameters
    ----------
    marks
        Function of (pairs,) asset indices that returns their marks, (pairs, times) USD.
    assets
        Number of assets.
    own_root
        Function of (pairs,) asset indices that returns their rows of the root of a step's
        covariance, (pairs, times or 1, assets).
    """

    def add_position(total: jax.Array, slot: tuple[jax.Array, ...]) -> tuple[jax.Array, None]:
        asset, quantity, rate, amount = slot
        here = marks(asset)
        size = jnp.abs(quantity)[:, None]
        required = rate[:, None, :] * (size * here)[..., None] - amount[:, None, :]
        tier = jnp.argmax(required, axis=2)
        slope = quantity[:, None] - size * jnp.take_along_axis(rate, tier, axis=1)
        return total + (slope * here)[..., None] * own_root(asset), None

    def add_coin(total: jax.Array, slot: tuple[jax.Array, ...]) -> tuple[jax.Array, None]:
        asset, quantity, haircut = slot
        value = (quantity * (1 - haircut))[:, None] * marks(asset)
        return total + value[..., None] * own_root(asset), None

    times = marks(jnp.zeros(panel.pools, jnp.int32)).shape[1]
    zero = jnp.zeros((panel.pools, times, assets), panel.cash.dtype)
    positions = (panel.asset, panel.quantity, panel.rate, panel.amount)
    total = over_slots(add_position, zero, positions)
    coins = (panel.coin_asset, panel.coin_quantity, panel.coin_haircut)
    return over_slots(add_coin, total, coins)


def _marks_at_hit(panel: Panel, excess: jax.Array, leg: Leg, at: At, first: jax.Array) -> jax.Array:
    """Return (assets, pairs) marks at the hit inside step ``first``, before its jump.

    The barrier itself where the pool has one. Otherwise a point on the straight line between the
    ends: where the excess passes 0, and where it is positive at both ends, where the line from the
    start to the mirror image of the end does (the reflection principle's path).
    """
    step = first[:, 0]
    if panel.barrier is not None:
        # every position and coin is of the barrier's asset: the other rows are not looked at
        price = jnp.exp(panel.barrier.log_price[BREACH])
        return jnp.broadcast_to(price[None], (leg.marks.shape[0], *price.shape))
    start = jnp.take_along_axis(excess, first, axis=1)
    if leg.arrivals is None:
        end = jnp.take_along_axis(excess, first + 1, axis=1)
        there = leg.marks[:, at.path, at.block, step]
    else:
        there = leg.arrivals[:, at.path, at.block, step]
        then = margins(panel, lambda asset, quantity: own_mark(there, asset))
        end = then.equity - then.required
    end = jnp.abs(end)
    share = jnp.clip(start / jnp.where(start + end > 0, start + end, 1), 0, 1)[:, 0]
    before = leg.marks[:, at.path, at.block, jnp.maximum(step - 1, 0)]
    here = jnp.where(step > 0, before, leg.before[:, at.path, at.block])
    return here + share[None] * (there - here)
