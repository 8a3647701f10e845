"""Continuous monitoring: what can happen between two grid points.

Between two nodes the excess x of a pool is treated as a Brownian bridge with the variance v of its
linearisation over the step, averaged over the two ends, so that it touches 0 with probability
``exp(-2 x0 x1 / v)`` (Glasserman 2003, section 6.4). For a pool with one asset and one liquidation
price, x is the distance of the log price to the log barrier and v the variance of the log return:
then the formula is exact. A margin call is the same question about ``equity - requirement /
warning`` and shares v: the two slopes differ by a fraction of a maintenance rate.

The probabilities multiply to a survival weight. Hits, for everything that is not a single pool's
probability, are drawn from one standard normal per asset and step, correlated as the assets are; a
pool's uniform comes from the same normals combined as its own variance combines them, so that
pools on one asset and side share one extreme.
"""

from __future__ import annotations

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


def may_cross(
    panel: Panel,
    worst: Margins,
    slack: jax.Array,
    marks: jax.Array,
    root: jax.Array,
    warning: jax.Array,
) -> jax.Array:
    """Return (pools, paths) whether a breach or margin call inside a block cannot be ruled out.

    With x not below ``bound`` at any node and v not above ``most``, no crossing probability of the
    block exceeds ``exp(-2 bound^2 / most)``. The margin call's excess is the smaller one.

    Parameters
    ----------
    worst, slack
        Margins at the worst corner of the block's box, and their rounding, (pools, paths), USD.
    marks
        (assets, paths, nodes) USD.
    root
        (assets, assets) root of the covariance of the log returns of a step.
    warning
        Level of the margin call, at most 1.
    """
    deviation = jnp.sqrt((root**2).sum(axis=1))
    low, high = marks.min(axis=2), marks.max(axis=2)
    if panel.barrier is None:
        bound = worst.equity - worst.required / warning - slack
        most = _most(panel, high, deviation) ** 2
    else:
        asset, log_price, side = panel.barrier
        nearest = jnp.log(jnp.where(side[:, None] > 0, low[asset], high[asset]))
        bound = side[:, None] * (nearest - log_price[CALL][:, None])
        most = (deviation[asset] ** 2)[:, None]
    return (worst.notional > 0) & ((bound <= 0) | (2 * bound**2 <= _NEGLIGIBLE * most))


def _most(panel: Panel, high: jax.Array, deviation: jax.Array) -> jax.Array:
    """Return a bound of the standard deviation of the excess over a step, (pools, paths), USD.

    A sum deviates by at most the sum of the deviations; profit less requirement of a position moves
    by less than twice its size per unit of mark, since rates are below 1.
    """

    def add(total: jax.Array, slot: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
        asset, size = slot
        return total + size[:, None] * high[asset] * deviation[asset][:, None], None

    zero = jnp.zeros((panel.pools, high.shape[1]), high.dtype)
    positions = over_slots(add, zero, (panel.asset, 2 * jnp.abs(panel.quantity)))
    return over_slots(add, positions, (panel.coin_asset, panel.coin_quantity))


def bridge_verdict(
    panel: Panel, paths: jax.Array, *, block: Block, rules: Rules, root: jax.Array
) -> Verdict:
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
        breach, call, uniform = _linear_bridges(panel, now, block, paths, root, rules.warning)
    else:
        breach, call, uniform = _barrier_bridges(panel.barrier, block, paths, root)
    can_be_hit = (now.notional[:, :1] > 0) & block.valid[None]
    breach = jnp.where(can_be_hit, breach, 0)
    call = jnp.where(can_be_hit, jnp.maximum(call, breach), 0)

    drawn = (uniform < breach) | (breach >= 1)
    hit = drawn.any(axis=1, keepdims=True)
    first = jnp.argmax(drawn, axis=1)[:, None]
    open_steps = jnp.arange(drawn.shape[1])[None] <= jnp.where(hit, first, drawn.shape[1])
    called = ((uniform < call) | (call >= 1)) & open_steps
    at_hit = _marks_at_hit(panel, excess, nodes, paths, first)
    then = margins(panel, lambda asset, quantity: own_mark(at_hit, asset))
    return Verdict(
        hit=hit,
        step=block.first + first,
        called=called.any(axis=1, keepdims=True),
        # a pool that is hit is closed at the moment at which its equity is its requirement
        closed=close(panel, then, then.required, at_hit, rules.fee),
        marks=at_hit,
        survival=jnp.log1p(-breach).sum(axis=1, keepdims=True),
        calm=jnp.log1p(-call).sum(axis=1, keepdims=True),
        excess=jnp.where(open_steps, excess[:, 1:], jnp.inf).min(axis=1, keepdims=True),
    )


def _linear_bridges(
    panel: Panel,
    now: Margins,
    block: Block,
    paths: jax.Array,
    root: jax.Array,
    warning: jax.Array,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return crossing probabilities of breach and margin call, and uniforms, (pairs, steps) each.

    The bridge is that of the excess in USD, with the variance of its linearisation.
    """
    loading = _loading(panel, block.marks, paths, root)
    variance = (loading**2).sum(axis=2)
    variance = (variance[:, :-1] + variance[:, 1:]) / 2
    breach = _crossing(now.equity - now.required, variance)
    call = _crossing(now.equity - now.required / warning, variance)
    direction = loading[:, :-1] + loading[:, 1:]
    length = jnp.sqrt((direction**2).sum(axis=2))
    normals = block.bridge[:, paths]
    pushed = jnp.einsum("psa,aps->ps", direction, normals, precision="highest")
    return breach, call, ndtr(pushed / jnp.where(length > 0, length, 1))


def _barrier_bridges(
    barrier: Barrier, block: Block, paths: jax.Array, root: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return the same for pools with one asset and one barrier: exact, in the log price.

    A pool is hit where its asset's normal pushes the price toward the barrier.
    """
    asset, log_price, side = barrier
    own = root[asset]
    variance = (own**2).sum(axis=1)[:, None]
    level = jnp.log(block.marks[asset, paths])
    breach = _crossing(side[:, None] * (level - log_price[BREACH][:, None]), variance)
    call = _crossing(side[:, None] * (level - log_price[CALL][:, None]), variance)
    pushed = jnp.einsum("pa,aps->ps", own, block.bridge[:, paths], precision="highest")
    return breach, call, ndtr(side[:, None] * pushed / jnp.sqrt(variance))


def _crossing(distance: jax.Array, variance: jax.Array) -> jax.Array:
    """Return (pairs, steps) probabilities of touching 0 inside a step, given both ends.

    1 where an end is not positive; ``distance`` is (pairs, nodes), ``variance`` of a step.
    """
    start, end = distance[:, :-1], distance[:, 1:]
    inside = (start > 0) & (end > 0)
    product = jnp.where(inside, start * end, 0)
    touches = jnp.exp(-2 * product / jnp.where(variance > 0, variance, 1))
    # a pool without any variance cannot cross: 0 / 0 must not become NaN
    return jnp.where(inside, jnp.where(variance > 0, touches, 0), 1)


def _loading(panel: Panel, nodes: jax.Array, paths: jax.Array, root: jax.Array) -> jax.Array:
    """Return (pairs, nodes, assets): how the excess moves with each normal of a step, USD.

    The slope of a position is its quantity less its size times the rate of the tier it is in.
    """

    def add_position(total: jax.Array, slot: tuple[jax.Array, ...]) -> tuple[jax.Array, None]:
        asset, quantity, rate, amount = slot
        marks = nodes[asset, paths]
        size = jnp.abs(quantity)[:, None]
        required = rate[:, None, :] * (size * marks)[..., None] - amount[:, None, :]
        tier = jnp.argmax(required, axis=2)
        slope = quantity[:, None] - size * jnp.take_along_axis(rate, tier, axis=1)
        return total + (slope * marks)[..., None] * root[asset][:, None, :], None

    def add_coin(total: jax.Array, slot: tuple[jax.Array, ...]) -> tuple[jax.Array, None]:
        asset, quantity, haircut = slot
        value = (quantity * (1 - haircut))[:, None] * nodes[asset, paths]
        return total + value[..., None] * root[asset][:, None, :], None

    zero = jnp.zeros((panel.pools, nodes.shape[2], root.shape[0]), nodes.dtype)
    positions = (panel.asset, panel.quantity, panel.rate, panel.amount)
    loading = over_slots(add_position, zero, positions)
    coins = (panel.coin_asset, panel.coin_quantity, panel.coin_haircut)
    return over_slots(add_coin, loading, coins)


def _marks_at_hit(
    panel: Panel, excess: jax.Array, nodes: jax.Array, paths: jax.Array, first: jax.Array
) -> jax.Array:
    """Return (assets, pairs) marks at the hit inside step ``first``.

    The barrier itself where the pool has one. Otherwise a point on the straight line between the
    ends: where the excess passes 0, and where it is positive at both ends, where the line from the
    start to the mirror image of the end does (the reflection principle's path).
    """
    if panel.barrier is not None:
        # every position and coin is of the barrier's asset: the other rows are not looked at
        price = jnp.exp(panel.barrier.log_price[BREACH])
        return jnp.broadcast_to(price[None], (nodes.shape[0], *price.shape))
    start = jnp.take_along_axis(excess, first, axis=1)
    end = jnp.abs(jnp.take_along_axis(excess, first + 1, axis=1))
    share = jnp.clip(start / jnp.where(start + end > 0, start + end, 1), 0, 1)[:, 0]
    here, next_node = nodes[:, paths, first[:, 0]], nodes[:, paths, first[:, 0] + 1]
    return here + share[None] * (next_node - here)
