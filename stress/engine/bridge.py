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

from stress.engine.block import Block, Rules
from stress.engine.fate import Verdict, close
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

__all__ = ["bridge_verdict", "may_cross"]

_NEGLIGIBLE = 37.0
"""exp(-37) is nothing beside 1 even in float64."""


class _Bridges(NamedTuple):
    """What the bridges of a block come to, (pairs, steps) each.

    ``breach`` and ``call`` are crossing probabilities, ``uniform`` is what they are compared with.
    """

    breach: jax.Array
    call: jax.Array
    uniform: jax.Array


def may_cross(
    panel: Panel, worst: Margins, slack: jax.Array, block: Block, warning: jax.Array
) -> jax.Array:
    """Return (pools, paths) whether a breach or margin call inside a block cannot be ruled out.

    With x not below ``bound`` at any node and v not above ``most``, no crossing probability of the
    block exceeds ``exp(-2 bound^2 / most)``. The margin call's excess is the smaller one.

    Parameters
    ----------
    worst, slack
        Margins at the worst corner of the block's box, and their rounding, (pools, paths), USD.
    block
        The block: nodes, ends of bridges before jumps, roots of the steps' covariances.
    warning
        Level of the margin call, at most 1.
    """
    deviation = _most_deviation(block.root)
    low, high = block.touched.min(axis=2), block.touched.max(axis=2)
    if panel.barrier is None:
        bound = worst.equity - worst.required / warning - slack
        most = _most(panel, high, deviation) ** 2
    else:
        asset, log_price, side = panel.barrier
        nearest = jnp.log(jnp.where(side[:, None] > 0, low[asset], high[asset]))
        bound = side[:, None] * (nearest - log_price[CALL][:, None])
        most = deviation[asset] ** 2
    return (worst.notional > 0) & ((bound <= 0) | (2 * bound**2 <= _NEGLIGIBLE * most))


def _most_deviation(root: jax.Array) -> jax.Array:
    """Return (assets, paths or 1) the largest deviation of a step's log return in the block."""
    if root.ndim == 2:
        return jnp.sqrt((root**2).sum(axis=1))[:, None]
    return jnp.sqrt((root**2).sum(axis=2).max(axis=0))


def _most(panel: Panel, high: jax.Array, deviation: jax.Array) -> jax.Array:
    """Return a bound of the standard deviation of the excess over a step, (pools, paths), USD.

    A sum deviates by at most the sum of the deviations; profit less requirement of a position moves
    by less than twice its size per unit of mark, since rates are below 1.
    """

    def add(total: jax.Array, slot: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
        asset, size = slot
        return total + size[:, None] * high[asset] * deviation[asset], None

    zero = jnp.zeros((panel.pools, high.shape[1]), high.dtype)
    positions = over_slots(add, zero, (panel.asset, 2 * jnp.abs(panel.quantity)))
    return over_slots(add, positions, (panel.coin_asset, panel.coin_quantity))


def bridge_verdict(panel: Panel, paths: jax.Array, *, block: Block, rules: Rules) -> Verdict:
    """Evaluate pairs along a block: survival weights, and hits drawn from shared normals.

    Parameters
    ----------
    panel
        (pairs,) pools, one a pair.
    paths
        (pairs,) the pair's path, as an index into the block of paths.
    """
    nodes = block.marks
    now = margins(panel, lambda asset, quantity: nodes[asset, paths])
    excess = now.equity - now.required
    if panel.barrier is None:
        bridges = _linear_bridges(panel, now, block, paths, rules.warning)
    else:
        bridges = _barrier_bridges(panel.barrier, block, paths)
    can_be_hit = (now.notional[:, :1] > 0) & block.valid[None]
    crossed = jnp.where(can_be_hit, bridges.breach, 0)
    breach, call = crossed, bridges.call
    if block.arrivals is not None:
        # a jump is no bridge: who is in breach behind it is hit, and called
        fallen = can_be_hit & (excess[:, 1:] <= 0)
        breach = jnp.where(fallen, 1, crossed)
        call = jnp.where((now.equity - now.required / rules.warning)[:, 1:] <= 0, 1, call)
    call = jnp.where(can_be_hit, jnp.maximum(call, breach), 0)

    drawn = (bridges.uniform < breach) | (breach >= 1)
    hit = drawn.any(axis=1, keepdims=True)
    first = jnp.argmax(drawn, axis=1)[:, None]
    open_steps = jnp.arange(drawn.shape[1])[None] <= jnp.where(hit, first, drawn.shape[1])
    called = ((bridges.uniform < call) | (call >= 1)) & open_steps
    at_hit = _marks_at_hit(panel, excess, block, paths, first)
    jumped = None
    if block.arrivals is not None:
        on_bridge = (bridges.uniform < crossed) | (crossed >= 1)
        jumped = ~jnp.take_along_axis(on_bridge, first, axis=1)
        at_hit = jnp.where(jumped[:, 0], nodes[:, paths, first[:, 0] + 1], at_hit)
    then = margins(panel, lambda asset, quantity: own_mark(at_hit, asset))
    # a pool that is hit is closed at the moment at which its equity is its requirement, one that a
    # jump has hit behind it
    equity = then.required if jumped is None else jnp.where(jumped, then.equity, then.required)
    return Verdict(
        hit=hit,
        step=block.first + first,
        called=called.any(axis=1, keepdims=True),
        closed=close(panel, then, equity, at_hit, rules.fee),
        marks=at_hit,
        survival=jnp.log1p(-breach).sum(axis=1, keepdims=True),
        calm=jnp.log1p(-call).sum(axis=1, keepdims=True),
        excess=jnp.where(open_steps, excess[:, 1:], jnp.inf).min(axis=1, keepdims=True),
    )


def _linear_bridges(
    panel: Panel, now: Margins, block: Block, paths: jax.Array, warning: jax.Array
) -> _Bridges:
    """Return the bridges of the excess in USD, with the variance of its linearisation."""
    start, end = _loadings(panel, block, paths)
    variance = ((start**2).sum(axis=2) + (end**2).sum(axis=2)) / 2
    before, after = _ends(panel, now, block, paths)
    breach = _crossing(before.equity - before.required, after.equity - after.required, variance)
    call = _crossing(
        before.equity - before.required / warning,
        after.equity - after.required / warning,
        variance,
    )
    direction = start + end
    length = jnp.sqrt((direction**2).sum(axis=2))
    normals = block.bridge[:, paths]
    pushed = jnp.einsum("psa,aps->ps", direction, normals, precision="highest")
    return _Bridges(breach, call, ndtr(pushed / jnp.where(length > 0, length, 1)))


def _ends(panel: Panel, now: Margins, block: Block, paths: jax.Array) -> tuple[Margins, Margins]:
    """Return margins at both ends of each bridge, (pairs, steps) each; ``now`` at the nodes."""
    before = Margins(*(of[:, :-1] for of in now))
    arrivals = block.arrivals
    if arrivals is None:
        return before, Margins(*(of[:, 1:] for of in now))
    return before, margins(panel, lambda asset, quantity: arrivals[asset, paths])


def _barrier_bridges(barrier: Barrier, block: Block, paths: jax.Array) -> _Bridges:
    """Return the bridges of pools with one asset and one barrier: exact, in the log price.

    A pool is hit where its asset's normal pushes the price toward the barrier.
    """
    asset, log_price, side = barrier
    normals = block.bridge[:, paths]
    if block.root.ndim == 2:
        own = block.root[asset]
        variance = (own**2).sum(axis=1)[:, None]
        pushed = jnp.einsum("pa,aps->ps", own, normals, precision="highest")
    else:
        own = _own_root(block.root, asset, paths)
        variance = (own**2).sum(axis=2)
        pushed = jnp.einsum("psa,aps->ps", own, normals, precision="highest")
    level = jnp.log(block.marks[asset, paths])
    end = level[:, 1:] if block.arrivals is None else jnp.log(block.arrivals[asset, paths])

    def crossing(wall: jax.Array) -> jax.Array:
        start_away, end_away = (side[:, None] * (of - wall[:, None]) for of in (level[:, :-1], end))
        return _crossing(start_away, end_away, variance)

    length = jnp.sqrt(jnp.where(variance > 0, variance, 1))
    uniform = ndtr(side[:, None] * pushed / length)
    return _Bridges(crossing(log_price[BREACH]), crossing(log_price[CALL]), uniform)


def _own_root(root: jax.Array, asset: jax.Array, paths: jax.Array) -> jax.Array:
    """Return (pairs, steps, assets) each pair's row of the roots of its path's steps."""
    return root[:, asset, :, paths if root.shape[3] > 1 else jnp.zeros_like(paths)]


def _crossing(start: jax.Array, end: jax.Array, variance: jax.Array) -> jax.Array:
    """Return (pairs, steps) probabilities of touching 0 inside a step, given both ends.

    1 where an end is not positive.
    """
    inside = (start > 0) & (end > 0)
    product = jnp.where(inside, start * end, 0)
    touches = jnp.exp(-2 * product / jnp.where(variance > 0, variance, 1))
    # a pool without any variance cannot cross: 0 / 0 must not become NaN
    return jnp.where(inside, jnp.where(variance > 0, touches, 0), 1)


def _loadings(panel: Panel, block: Block, paths: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return (pairs, steps, assets) each: how the excess moves with a step's normals at both ends.

    USD. The root is that of the step, at both.
    """
    root = block.root
    if root.ndim == 2:
        loading = _loading(panel, block.marks, paths, lambda asset: root[asset][:, None, :])
        return loading[:, :-1], loading[:, 1:]
    ends = block.marks[:, :, 1:] if block.arrivals is None else block.arrivals
    start, end = (
        _loading(panel, marks, paths, lambda asset: _own_root(root, asset, paths))
        for marks in (block.marks[:, :, :-1], ends)
    )
    return start, end


def _loading(
    panel: Panel,
    marks: jax.Array,
    paths: jax.Array,
    own_root: Callable[[jax.Array], jax.Array],
) -> jax.Array:
    """Return (pairs, times, assets): how the excess moves with each normal of a step, USD.

    The slope of a position is its quantity less its size times the rate of the tier it is in.

    Parameters
    ----------
    marks
        (assets, paths, times) USD.
    paths
        (pairs,) the pair's path.
    own_root
        Function of (pairs,) asset indices that returns their rows of the root of a step's
        covariance, (pairs, times or 1, assets).
    """

    def add_position(total: jax.Array, slot: tuple[jax.Array, ...]) -> tuple[jax.Array, None]:
        asset, quantity, rate, amount = slot
        here = marks[asset, paths]
        size = jnp.abs(quantity)[:, None]
        required = rate[:, None, :] * (size * here)[..., None] - amount[:, None, :]
        tier = jnp.argmax(required, axis=2)
        slope = quantity[:, None] - size * jnp.take_along_axis(rate, tier, axis=1)
        return total + (slope * here)[..., None] * own_root(asset), None

    def add_coin(total: jax.Array, slot: tuple[jax.Array, ...]) -> tuple[jax.Array, None]:
        asset, quantity, haircut = slot
        value = (quantity * (1 - haircut))[:, None] * marks[asset, paths]
        return total + value[..., None] * own_root(asset), None

    zero = jnp.zeros((panel.pools, marks.shape[2], marks.shape[0]), marks.dtype)
    positions = (panel.asset, panel.quantity, panel.rate, panel.amount)
    loading = over_slots(add_position, zero, positions)
    coins = (panel.coin_asset, panel.coin_quantity, panel.coin_haircut)
    return over_slots(add_coin, loading, coins)


def _marks_at_hit(
    panel: Panel, excess: jax.Array, block: Block, paths: jax.Array, first: jax.Array
) -> jax.Array:
    """Return (assets, pairs) marks at the hit inside step ``first``, before its jump.

    The barrier itself where the pool has one. Otherwise a point on the straight line between the
    ends: where the excess passes 0, and where it is positive at both ends, where the line from the
    start to the mirror image of the end does (the reflection principle's path).
    """
    nodes, step = block.marks, first[:, 0]
    if panel.barrier is not None:
        # every position and coin is of the barrier's asset: the other rows are not looked at
        price = jnp.exp(panel.barrier.log_price[BREACH])
        return jnp.broadcast_to(price[None], (nodes.shape[0], *price.shape))
    start = jnp.take_along_axis(excess, first, axis=1)
    if block.arrivals is None:
        end = jnp.take_along_axis(excess, first + 1, axis=1)
        there = nodes[:, paths, step + 1]
    else:
        there = block.arrivals[:, paths, step]
        then = margins(panel, lambda asset, quantity: own_mark(there, asset))
        end = then.equity - then.required
    end = jnp.abs(end)
    share = jnp.clip(start / jnp.where(start + end > 0, start + end, 1), 0, 1)[:, 0]
    here = nodes[:, paths, step]
    return here + share[None] * (there - here)
