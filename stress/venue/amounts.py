"""How much of a pool's positions one round closes, planned at the marks seen.

The plan counts the fee and ignores the impact of its own trades. It is made for pools in breach;
for other pools of a batch it is computed too and thrown away.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp

from stress.pytree import register_part
from stress.venue.judged import Judged, Tables
from stress.venue.orders import Order

__all__ = ["All", "Amount", "FirstPosition", "FirstTier", "Fraction", "Restore"]


class Amount(Protocol):
    """What the decision asks of an amount."""

    uses_base: bool
    """Whether the sizes at the start of a liquidation are needed."""

    def plan(
        self,
        pool: Judged,
        order: Order,
        own: jax.Array,
        fee: jax.Array,
        tables: Tables,
        tolerance: float,
    ) -> jax.Array:
        """Return (slots, pairs) quantities to close, without sign.

        ``own`` is (slots, pairs): the open positions that the decider may close.
        """
        ...


@register_part
@dataclass(frozen=True)
class All:
    """Every position."""

    uses_base = False

    def plan(
        self,
        pool: Judged,
        order: Order,
        own: jax.Array,
        fee: jax.Array,
        tables: Tables,
        tolerance: float,
    ) -> jax.Array:
        """Return the whole size of each position."""
        return jnp.where(own, pool.size, 0)


@register_part
@dataclass(frozen=True)
class FirstPosition:
    """The whole first position in order."""

    uses_base = False

    def plan(
        self,
        pool: Judged,
        order: Order,
        own: jax.Array,
        fee: jax.Array,
        tables: Tables,
        tolerance: float,
    ) -> jax.Array:
        """Return the size of the first position, 0 elsewhere."""
        return jnp.where(_first(order.rank(pool), own), pool.size, 0)


@register_part
@dataclass(frozen=True)
class FirstTier:
    """The first position in order down to the floor of its tier; whole when in the lowest."""

    uses_base = False

    def plan(
        self,
        pool: Judged,
        order: Order,
        own: jax.Array,
        fee: jax.Array,
        tables: Tables,
        tolerance: float,
    ) -> jax.Array:
        """Return what lies above the floor of the first position's tier."""
        floor = jnp.moveaxis(tables.floor[pool.asset], -1, 0)
        # tier k holds floor_k < n <= floor_{k+1}; a padded tier has an infinite floor
        above = pool.notional[None] > floor * (1 + tolerance)
        here = jnp.where(above, floor, 0).max(axis=0)
        part = jnp.where(here > 0, pool.size - here / pool.mark, pool.size)
        return jnp.where(_first(order.rank(pool), own), part, 0)


@register_part
@dataclass(frozen=True)
class Fraction:
    """A fixed fraction of the first position, of its size when the liquidation began.

    ``fraction`` is above 0 and at most 1. Pro rata it is that fraction of every position.
    """

    fraction: jax.Array

    uses_base = True

    def plan(
        self,
        pool: Judged,
        order: Order,
        own: jax.Array,
        fee: jax.Array,
        tables: Tables,
        tolerance: float,
    ) -> jax.Array:
        """Return the fraction, at most what is left."""
        part = jnp.minimum(self.fraction * pool.base, pool.size)
        chosen = own if order.together else _first(order.rank(pool), own)
        return jnp.where(chosen, part, 0)


class _Walk(NamedTuple):
    """A walk down the order: what is chosen, what is left to close, and the pool afterwards."""

    chosen: jax.Array
    left: jax.Array
    equity: jax.Array
    required: jax.Array
    unmet: jax.Array


@register_part
@dataclass(frozen=True)
class Restore:
    """The least that brings the pool to ``E >= (1 + buffer) MM``, position by position in order.

    Closing a notional ``y`` of a position costs the fee and lowers its requirement along the
    tiers, so that the surplus

        f(y) = E - fee y - (1 + buffer) (MM_rest + max_k(rate_k (n - y) - amount_k))

    is concave and piecewise linear: the least of one line a tier. Where all lines are at least 0 is
    an interval, and its lower end is the amount: no search.
    """

    buffer: jax.Array

    uses_base = False

    def plan(
        self,
        pool: Judged,
        order: Order,
        own: jax.Array,
        fee: jax.Array,
        tables: Tables,
        tolerance: float,
    ) -> jax.Array:
        """Return the amounts; whole positions where no part of them is enough."""
        if order.together:
            return self._together(pool, own, fee)
        return self._in_turn(pool, order.rank(pool), own, fee, tolerance)

    def _in_turn(
        self,
        pool: Judged,
        rank: jax.Array,
        own: jax.Array,
        fee: jax.Array,
        tolerance: float,
    ) -> jax.Array:
        target = 1 + self.buffer

        def one_position(walk: _Walk) -> _Walk:
            picked = _first(rank, walk.left)
            notional, required, size, mark = (
                jnp.where(picked, of, 0).sum(axis=0)
                for of in (pool.notional, pool.required, pool.size, pool.mark)
            )
            rate = jnp.where(picked, pool.rate, 0).sum(axis=1)
            amount = jnp.where(picked, pool.amount, 0).sum(axis=1)
            rest = walk.required - required
            whole = (rest[None] + rate * notional[None]) - amount
            level = walk.equity[None] - target * whole
            slope = target * rate - fee
            # a close that frees what it costs: rounding must not make it one that helps
            slope = jnp.where(jnp.abs(slope) <= tolerance * fee, 0, slope)
            crossing = -level / jnp.where(slope == 0, 1, slope)
            low = jnp.where(slope > 0, crossing, 0).max(axis=0, initial=0.0)
            high = jnp.where(slope < 0, crossing, jnp.where(level < 0, -1, jnp.inf))
            high = jnp.where(slope > 0, jnp.inf, high).min(axis=0)
            found = (low <= high) & (low <= notional)
            closed = jnp.where(found, low, notional)
            part = jnp.where(closed < notional, closed / jnp.where(mark > 0, mark, 1), size)
            left_required = (rate * (notional - closed)[None] - amount).max(axis=0)
            acts = walk.unmet & picked.any(axis=0)
            return _Walk(
                chosen=jnp.where(picked & acts[None], part[None], walk.chosen),
                left=walk.left & ~picked,
                equity=walk.equity - fee * closed,
                required=rest + jnp.where(closed < notional, left_required, 0),
                unmet=acts & ~found,
            )

        start = _Walk(
            chosen=jnp.zeros_like(pool.size),
            left=own,
            equity=pool.equity,
            required=pool.total_required,
            unmet=own.any(axis=0),
        )
        return jax.lax.while_loop(lambda walk: walk.unmet.any(), one_position, start).chosen

    def _together(self, pool: Judged, own: jax.Array, fee: jax.Array) -> jax.Array:
        """Return the least common fraction of all own positions.

        The surplus is a concave, piecewise linear function of the fraction, so Newton's method from
        0 climbs its pieces one by one from the left and stops on the piece that crosses: exact
        after at most as many steps as there are breakpoints.
        """
        target = 1 + self.buffer
        notional = jnp.where(own, pool.notional, 0)
        gross = notional.sum(axis=0)
        others = jnp.where(own, 0, pool.required).sum(axis=0)

        def piece(fraction: jax.Array) -> tuple[jax.Array, jax.Array]:
            """Return the surplus at a fraction and its slope to the right."""
            left = notional * (1 - fraction)[None]
            lines = pool.rate * left[None] - pool.amount
            required = lines.max(axis=0)
            # where two tiers meet, the one that holds below decides the slope
            lowest = jnp.where(lines >= required[None], pool.rate, jnp.inf).min(axis=0)
            now = jnp.where(own, required, 0).sum(axis=0) + others
            surplus = pool.equity - fee * gross * fraction - target * now
            return surplus, target * (lowest * notional).sum(axis=0) - fee * gross

        def next_piece(
            state: tuple[jax.Array, jax.Array, jax.Array],
        ) -> tuple[jax.Array, jax.Array, jax.Array]:
            fraction, going, count = state
            surplus, slope = piece(fraction)
            further = fraction - surplus / jnp.where(slope > 0, slope, 1)
            hopeless = (slope <= 0) | (further > 1)
            step = jnp.where(hopeless, 1.0, further)
            moves = going & (surplus < 0)
            fraction = jnp.where(moves, jnp.maximum(step, fraction), fraction)
            new_surplus, new_slope = piece(fraction)
            on_the_same_piece = new_slope >= slope
            going = moves & ~hopeless & ~on_the_same_piece & (new_surplus < 0)
            return fraction, going, count + 1

        most = pool.rate.shape[0] * pool.size.shape[0] + 2
        start = (jnp.zeros_like(pool.equity), own.any(axis=0), jnp.zeros((), jnp.int32))
        fraction, _, _ = jax.lax.while_loop(
            lambda state: state[1].any() & (state[2] < most), next_piece, start
        )
        part = jnp.where((fraction < 1)[None], fraction[None] * pool.size, pool.size)
        return jnp.where(own, part, 0)


def _first(rank: jax.Array, among: jax.Array) -> jax.Array:
    """Return (slots, pairs) True at the first of the positions that are left."""
    place = jnp.argmin(jnp.where(among, rank, jnp.inf), axis=0).astype(jnp.int32)
    slots = jnp.arange(rank.shape[0], dtype=jnp.int32)
    return (slots[:, None] == place[None]) & among
