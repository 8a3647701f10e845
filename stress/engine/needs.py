"""What each path asks of each pool: the cash with which it survives, and the size that it bears.

Nobody is closed here. A pool is looked at where first passage looks, and two numbers of the path
alone are kept (Glasserman 2003, section 6.4, for the bridges; the rest is arithmetic):

* The **shortfall**, the least further cash with which no look finds a breach. Cash adds to the
  excess and changes nothing else, so it is the largest deficit of the excess over all looks.
* The **size**, the largest factor k on all quantities, cash, coins and entry prices as they are,
  with which no look finds a breach. At one look the excess with its tolerance is

      f(k) = C + k P + tau k N - sum_i max_j (rate_ij k n_i - amount_ij),

  C the cash and coins, P the profit, n_i the notionals, N their sum, at size 1. It is concave and
  piecewise linear in k, and C is not negative, so f is not negative from 0 to one root and
  negative beyond. Newton's method from the right only ever overshoots (a tangent of a concave
  function lies above it), so k falls from the piece of the top tiers to the least root of all
  looks, which it reaches after as many iterations as there are pieces on the way: one or two a
  block, because the walk goes on from the k of the blocks before.

Under ``extremes`` the worse end of a bar depends on the size: f is then the least over the ends and
still concave, and its tangent is that of the end that is the worse one at k.

Under ``bridge`` a step is survived if no hit is drawn in it. The uniform is that of first passage.
The excess of a pool between its nodes x and y, with variance v and uniform U, comes as low as ``m =
(x + y) / 2 - sqrt((y - x)^2 / 4 - v log(U) / 2)``, and a hit is drawn where m is negative: the
shortfall is ``-m``. If all that it holds is of one tier and nothing is a coin, a factor k leaves
U alone and multiplies what is not cash in x and y by k, v by k squared: ``k = cash / (cash +
shortfall)``. For other pools the size is not known there. A pool with one barrier has its bridge in
the log price, whose extreme no cash and no size changes: it is one more look, at that price.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from stress.engine.bars import worst_marks
from stress.engine.block import At, Leg, Schedule
from stress.engine.bridge import barrier_steps, bridge_ends, linear_steps
from stress.engine.legs import Market, market_legs
from stress.engine.panels import Panel, World, margins, over_slots
from stress.market import PriceModel

__all__ = ["Needs", "pool_needs"]

_Mark: TypeAlias = Callable[[jax.Array], jax.Array]
"""Of (pairs,) asset indices: their marks, (pairs, looks) USD. All pairs are of one pool."""

_LARGEST = 1e18
"""A size at which every position is in its top tier; one that is not left is unbounded."""


class Needs(NamedTuple):
    """What paths ask of the pools of one world, (pools, paths) in the order of ``World.order``.

    Attributes
    ----------
    shortfall
        The least further cash with which the pool survives the path, USD; negative where it could
        do with less. Under ``bridge`` it must have more than that. -inf without positions.
    size
        The largest factor on all its quantities with which it survives the path; inf where every
        size does, NaN where it is not known: of pools with negative cash, which may be liquidated
        because they are too small, and of some pools under ``bridge``.
    """

    shortfall: jax.Array
    size: jax.Array


_Found: TypeAlias = tuple[tuple[Needs, ...], ...]
"""Needs by world and panel."""

_Falling: TypeAlias = tuple[Needs, jax.Array, jax.Array]
"""Needs so far, the sizes at which tangents are taken next, whether any are."""


@partial(jax.jit, static_argnames=("schedule",))
def pool_needs(
    model: PriceModel,
    price: jax.Array,
    worlds: tuple[World, ...],
    seed: jax.Array,
    paths: jax.Array,
    *,
    schedule: Schedule,
) -> tuple[Needs, ...]:
    """Return what one block of paths asks of all pools of all worlds; parameters as first passage.

    Every pool is evaluated at every look: what this costs is pools times slots times looks.
    """
    legs = market_legs(model, price, seed, paths, schedule)

    def through_leg(
        carry: tuple[Market, _Found], number: jax.Array
    ) -> tuple[tuple[Market, _Found], None]:
        market, found = carry
        market, leg = legs.advance(market, number)
        found = tuple(
            tuple(
                _follow(panel, needs, leg, schedule)
                for panel, needs in zip(world.panels, before, strict=True)
            )
            for world, before in zip(worlds, found, strict=True)
        )
        return (market, found), None

    found = tuple(
        tuple(_nothing_needed(panel, paths.shape[0]) for panel in world.panels) for world in worlds
    )
    (_, found), _ = jax.lax.scan(through_leg, (legs.start, found), jnp.arange(legs.total))
    return tuple(_joined(world, ends, schedule) for world, ends in zip(worlds, found, strict=True))


def _nothing_needed(panel: Panel, paths: int) -> Needs:
    """Return the needs of a panel's pools before the first look."""
    nothing = jnp.zeros((panel.pools, paths), panel.cash.dtype)
    return Needs(nothing - jnp.inf, nothing + _LARGEST)


def _follow(panel: Panel, before: Needs, leg: Leg, schedule: Schedule) -> Needs:
    """Take the pools of a panel through a leg, one after the other on all paths."""
    if not panel.asset.shape[0]:
        # without positions nothing is needed
        return before
    paths = jnp.arange(before.size.shape[1], dtype=jnp.int32)
    blocks = jnp.arange(leg.marks.shape[2], dtype=jnp.int32)

    def through_leg(_: None, pool: tuple[jax.Array, Needs]) -> tuple[None, Needs]:
        index, needs = pool
        # a pair for every path: what holds of pairs of pools and paths serves here too
        pairs = panel.take(jnp.full_like(paths, index))

        def through_block(needs: Needs, block: jax.Array) -> tuple[Needs, None]:
            at = At(paths, jnp.full_like(paths, block))
            return _after_block(pairs, needs, leg, at, schedule), None

        return None, jax.lax.scan(through_block, needs, blocks)[0]

    pools = jnp.arange(panel.pools, dtype=jnp.int32)
    return jax.lax.scan(through_leg, None, (pools, before))[1]


def _after_block(pairs: Panel, needs: Needs, leg: Leg, at: At, schedule: Schedule) -> Needs:
    """Return what (pairs,) pairs of one pool need after the looks of a block."""
    if schedule.monitoring == "bridge" and pairs.barrier is None:
        shortfall = -_least_on_bridges(pairs, leg, at).min(axis=1)
        return needs._replace(shortfall=jnp.maximum(needs.shortfall, shortfall))
    looks = _looks(pairs, leg, at, schedule)
    # what is hit at a bridge's extreme is hit whatever the rounding
    tolerance = 0.0 if schedule.monitoring == "bridge" else schedule.tolerance
    return _after_looks(needs, lambda size: _tangents(pairs, size, looks(size), tolerance))


def _looks(pairs: Panel, leg: Leg, at: At, schedule: Schedule) -> Callable[[jax.Array], _Mark]:
    """Return the function of (pairs,) sizes that says at which marks one pool is looked at.

    The node that the block starts from is among them, for the sake of the look at t = 0. All pairs
    are of one pool: slices, where ``Leg.nodes`` gathers.
    """
    paths, steps = leg.marks.shape[1], leg.marks.shape[3]
    block, zero = at.block[0], jnp.zeros((), jnp.int32)

    def nodes(asset: jax.Array) -> jax.Array:
        before = jax.lax.dynamic_slice(leg.before, (asset[0], zero, block), (1, paths, 1))
        start = (asset[0], zero, block, zero)
        after = jax.lax.dynamic_slice(leg.marks, start, (1, paths, 1, steps))
        return jnp.concatenate([before[0], after[0, :, 0]], axis=1)

    if schedule.monitoring == "step":
        return lambda size: nodes
    if schedule.monitoring == "bridge":
        prices = _furthest_prices(pairs, leg, at)
        return lambda size: lambda asset: prices
    opening = leg.before[:, at.path, at.block].T[:, None]

    def worst(size: jax.Array) -> _Mark:
        sized = replace(pairs, quantity=pairs.quantity * size[None])
        marks = worst_marks(sized, leg, at, jnp.ones((), size.dtype))
        marks = jnp.concatenate([opening, marks], axis=1)
        return lambda asset: jnp.take_along_axis(marks, asset[:, None, None], axis=2)[..., 0]

    return worst


def _furthest_prices(pairs: Panel, leg: Leg, at: At) -> jax.Array:
    """Return (pairs, twice the steps) the prices that lie furthest toward a pool's one barrier.

    The extreme of each step's bridge, and the node at its end: behind a jump, or for a hedge that
    with less cash would have a barrier on the other side too.
    """
    barrier = pairs.barrier
    assert barrier is not None
    steps = barrier_steps(barrier, leg, at)
    depth = _depth(steps.start, steps.end, steps.variance, steps.uniform)
    # beyond the horizon nothing moves
    depth = jnp.where(leg.valid[at.block], depth, 0)
    furthest = jnp.exp((steps.start + steps.end) / 2 - barrier.side[:, None] * depth)
    return jnp.concatenate([furthest, leg.ends(barrier.asset, at)], axis=1)


def _least_on_bridges(pairs: Panel, leg: Leg, at: At) -> jax.Array:
    """Return (pairs, steps) how low the excess comes in each step, USD; inf beyond the horizon."""
    now = margins(pairs, lambda asset, quantity: leg.nodes(asset, at))
    start, end = (of.equity - of.required for of in bridge_ends(pairs, now, leg, at))
    least = (start + end) / 2 - _depth(start, end, *linear_steps(pairs, leg, at))
    # behind a jump is another node
    least = jnp.minimum(least, (now.equity - now.required)[:, 1:])
    return jnp.where(leg.valid[at.block], least, jnp.inf)


def _depth(start: jax.Array, end: jax.Array, variance: jax.Array, uniform: jax.Array) -> jax.Array:
    """Return (pairs, steps) how far a bridge's extreme lies from the middle of its ends.

    ``exp(-2 (start - m) (end - m) / variance) = uniform`` for the extreme m beyond both.
    """
    return jnp.sqrt((end - start) ** 2 / 4 - variance * jnp.log(uniform) / 2)


class _Tangents(NamedTuple):
    """The excess with its tolerance, as a function of size, by its tangents: (pools, looks) USD.

    ``fixed + slope * size`` is the excess at the size at which they touch, and no less than it at
    any other.
    """

    fixed: jax.Array
    slope: jax.Array

    def least_root(self) -> jax.Array:
        """Return (pools,) the least size at which one of them is 0; inf where none is."""
        falls = self.slope < 0
        roots = jnp.maximum(self.fixed, 0) / jnp.where(falls, -self.slope, 1)
        return jnp.where(falls, roots, jnp.inf).min(axis=1)


def _after_looks(needs: Needs, tangents: Callable[[jax.Array], _Tangents]) -> Needs:
    """Return the (pools,) needs after some more looks.

    The first tangents are those at size 1, which say what is short. At size 1 a tangent that
    touches elsewhere lies above the excess, so that it does not change the largest shortfall.
    """

    def fall(carry: _Falling) -> _Falling:
        # a piece gives its root once: a size can only fall as often as there are pieces
        (shortfall, size), trial, _ = carry
        found = tangents(trial)
        shortfall = jnp.maximum(shortfall, -(found.fixed + found.slope).min(axis=1))
        size = jnp.minimum(size, found.least_root())
        return Needs(shortfall, size), size, (size != trial).any()

    start = (needs, jnp.ones_like(needs.size), jnp.ones((), bool))
    return jax.lax.while_loop(lambda carry: carry[2], fall, start)[0]


def _tangents(panel: Panel, size: jax.Array, mark: _Mark, tolerance: float) -> _Tangents:
    """Return the tangents at (pools,) sizes; (pools, looks) each."""

    def add_position(total: _Tangents, slot: tuple[jax.Array, ...]) -> tuple[_Tangents, None]:
        asset, quantity, entry, rate, amount = slot
        marks = mark(asset)
        notional = jnp.abs(quantity)[:, None] * marks
        profit = quantity[:, None] * (marks - entry[:, None])
        held_rate, held_amount = _tier(notional * size[:, None], rate[:, None], amount[:, None])
        slope = profit + (tolerance - held_rate) * notional
        return _Tangents(total.fixed + held_amount, total.slope + slope), None

    def add_coin(fixed: jax.Array, slot: tuple[jax.Array, ...]) -> tuple[jax.Array, None]:
        asset, quantity, haircut = slot
        return fixed + (quantity * (1 - haircut))[:, None] * mark(asset), None

    looks = mark(jnp.zeros(panel.pools, jnp.int32)).shape[1]
    nothing = jnp.zeros((panel.pools, looks), panel.cash.dtype)
    positions = (panel.asset, panel.quantity, panel.entry, panel.rate, panel.amount)
    total = over_slots(add_position, _Tangents(nothing + panel.cash[:, None], nothing), positions)
    coins = (panel.coin_asset, panel.coin_quantity, panel.coin_haircut)
    return total._replace(fixed=over_slots(add_coin, total.fixed, coins))


def _tier(notional: jax.Array, rate: jax.Array, amount: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return rate and amount of the tier that each notional is in: that which asks most of it.

    Parameters
    ----------
    notional
        (pools, looks) USD.
    rate, amount
        (pools, 1, tiers).
    """
    held_rate = jnp.broadcast_to(rate[..., 0], notional.shape)
    held_amount = jnp.broadcast_to(amount[..., 0], notional.shape)
    required = held_rate * notional - held_amount
    for tier in range(1, rate.shape[2]):
        more = rate[..., tier] * notional - amount[..., tier]
        is_higher = more > required
        required = jnp.where(is_higher, more, required)
        held_rate = jnp.where(is_higher, rate[..., tier], held_rate)
        held_amount = jnp.where(is_higher, amount[..., tier], held_amount)
    return held_rate, held_amount


def _joined(world: World, found: tuple[Needs, ...], schedule: Schedule) -> Needs:
    """Join the panels of a world."""
    ends = [
        _stated(panel, needs, schedule) for panel, needs in zip(world.panels, found, strict=True)
    ]
    return Needs(*(jnp.concatenate(parts)[world.order] for parts in zip(*ends, strict=True)))


def _stated(panel: Panel, needs: Needs, schedule: Schedule) -> Needs:
    """Return the needs as they are handed over: without positions, unbounded, or not known."""
    shortfall, size = needs
    cash = panel.cash[:, None]
    has_coins = (panel.coin_quantity > 0).any(axis=0)
    known = panel.cash >= 0
    if schedule.monitoring == "bridge" and panel.barrier is None:
        all_cash = cash + shortfall
        size = jnp.where(all_cash > 0, cash / jnp.where(all_cash > 0, all_cash, 1), jnp.inf)
        known = known & ~has_coins & _has_one_tier(panel)
    elif schedule.monitoring == "bridge":
        # whichever the size: a fall hurts, or a rise does
        is_long, is_short = ((of * panel.quantity >= 0).all(axis=0) for of in (1, -1))
        known = known & (is_long | is_short & ~has_coins)
    size = jnp.where(known[:, None], jnp.where(size < _LARGEST, size, jnp.inf), jnp.nan)
    held = (panel.quantity != 0).any(axis=0)[:, None]
    return Needs(jnp.where(held, shortfall, -jnp.inf), jnp.where(held, size, jnp.inf))


def _has_one_tier(panel: Panel) -> jax.Array:
    """Return (pools,) whether no position's requirement depends on its tier."""
    same = (panel.rate == panel.rate[..., :1]) & (panel.amount == panel.amount[..., :1])
    return same.all(axis=2).all(axis=0)
