"""The market leg by leg: prices and what lies between them, as the pools of a kernel see them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from stress.engine.block import Leg, Schedule
from stress.engine.paths import Walk, walk
from stress.keys import BRIDGE, path_keys, step_normals
from stress.market import PriceModel, VaryingInside, WithExtremes

__all__ = ["Legs", "Market", "market_legs"]

_HELD = 1 << 24
"""Most numbers of one kind that a leg holds."""


class Market(NamedTuple):
    """Where the prices of a block of paths are between two legs.

    ``walk`` is the model's state with the log prices, ``marks`` (assets, paths) USD.
    """

    walk: Walk
    marks: jax.Array


class Legs(NamedTuple):
    """The legs of a block of paths.

    Attributes
    ----------
    start
        The market at time 0.
    total
        Number of legs.
    advance
        Takes a market through the leg of a number: ``(market, number) -> (market, leg)``.
    """

    start: Market
    total: int
    advance: Callable[[Market, jax.Array], tuple[Market, Leg]]


def market_legs(
    model: PriceModel, price: jax.Array, seed: jax.Array, paths: jax.Array, schedule: Schedule
) -> Legs:
    """Return the legs of one block of paths; parameters as ``first_passage``."""
    legs = _legs(model, schedule, paths.shape[0])
    start, walk_on = walk(model, seed, paths, legs, _look(model, schedule))
    bridge_keys = path_keys(seed, BRIDGE, paths)
    opening = jnp.broadcast_to(price[:, None], (price.shape[0], paths.shape[0]))

    def advance(market: Market, number: jax.Array) -> tuple[Market, Leg]:
        walked, (levels, seen) = walk_on(market.walk, number)
        number = number.astype(jnp.int32)
        steps = number * legs.block + jnp.arange(legs.block, dtype=jnp.int32) + 1
        normals = _bridge_normals(bridge_keys, steps, price.shape[0], schedule)
        leg = _leg(model, price, market.marks, levels, seen, steps, normals, schedule)
        return Market(walked, leg.marks[:, :, -1, -1]), leg

    return Legs(Market(start, opening), legs.blocks, advance)


def _legs(model: PriceModel, schedule: Schedule, paths: int) -> Schedule:
    """Return the schedule whose blocks are legs: some of the blocks of the given one together."""
    varies = schedule.monitoring == "bridge" and isinstance(model, VaryingInside)
    held = schedule.block * paths * model.assets * (model.assets if varies else 1)
    together = max(1, min(schedule.blocks_per_leg, _HELD // held))
    return replace(schedule, block=together * schedule.block)


def _look(model: PriceModel, schedule: Schedule) -> Callable[[Any], Any]:
    """Return what is wanted of the model's state after each step."""
    if schedule.monitoring == "bridge" and isinstance(model, VaryingInside):
        return model.inside
    if schedule.monitoring == "extremes":
        assert isinstance(model, WithExtremes)  # the runner refuses others
        return model.extremes
    return lambda state: None


def _leg(
    model: PriceModel,
    price: jax.Array,
    before: jax.Array,
    levels: jax.Array,
    seen: Any,
    steps: jax.Array,
    normals: jax.Array,
    schedule: Schedule,
) -> Leg:
    """Return the market of one leg.

    Parameters
    ----------
    before
        (assets, paths) marks at the node that the leg starts from, USD.
    levels
        (steps, assets, paths) log prices relative to the start.
    seen
        What was looked at in the model after each step.
    steps
        (steps,) numbers of the steps.
    normals
        (steps, assets, paths) of the bridges.
    """

    def by_block(of: jax.Array) -> jax.Array:
        return of.reshape(of.shape[0] // schedule.block, schedule.block, *of.shape[1:])

    def marks_at(levels: jax.Array) -> jax.Array:
        return price[None, :, None] * jnp.exp(levels)

    def in_rows(of: jax.Array) -> jax.Array:
        """Bring (steps, assets, paths) into the order (assets, paths, blocks, steps)."""
        return jnp.transpose(by_block(of), (2, 3, 0, 1))

    # one block at a time: XLA would compute the exponential in the order of the rows, number by
    # number, and again for the ranges
    def mark(_: None, levels: jax.Array) -> tuple[None, tuple[jax.Array, ...]]:
        marks = marks_at(levels)
        return None, (marks, marks.min(axis=0), marks.max(axis=0))

    _, (marks, low, high) = jax.lax.scan(mark, None, by_block(levels))
    at_end = marks[:, -1]
    befores = jnp.concatenate([before[None], at_end[:-1]])
    marks = in_rows(marks.reshape(levels.shape))
    valid = by_block(steps <= schedule.steps)
    leg = Leg(
        before=jnp.transpose(befores, (1, 2, 0)),
        marks=marks,
        low=jnp.transpose(jnp.minimum(low, befores), (1, 2, 0)),
        high=jnp.transpose(jnp.maximum(high, befores), (1, 2, 0)),
        first=steps[0],
        valid=valid,
        bridge=in_rows(normals),
        root=model.covariance_root,
    )
    if schedule.monitoring == "bridge" and isinstance(model, VaryingInside):
        leg = leg._replace(root=by_block(seen.root))
        # one column for all paths says that no step has a jump; of one path either may be meant
        if seen.jump.shape[2] == levels.shape[2]:
            # beyond the horizon nothing moves
            jump = jnp.where((steps <= schedule.steps)[:, None, None], seen.jump, 0)
            arrivals = in_rows(marks_at(levels - jump))
            leg = _known_too(leg, arrivals, arrivals)._replace(arrivals=arrivals)
    if schedule.monitoring == "extremes":
        moves = (jnp.where((steps <= schedule.steps)[:, None, None], of, 0) for of in seen)
        bottom, top = (in_rows(marks_at(levels + move)) for move in moves)
        leg = _known_too(leg, bottom, top)._replace(bar=(bottom, top))
    return leg


def _known_too(leg: Leg, bottom: jax.Array, top: jax.Array) -> Leg:
    """Return the leg with ranges that hold further marks, (assets, paths, blocks, steps) USD."""
    return leg._replace(
        low=jnp.minimum(leg.low, bottom.min(axis=3)), high=jnp.maximum(leg.high, top.max(axis=3))
    )


def _bridge_normals(
    keys: jax.Array, steps: jax.Array, assets: int, schedule: Schedule
) -> jax.Array:
    """Return (steps, assets, paths) independent normals; of no size where nothing is bridged."""
    count = assets if schedule.monitoring == "bridge" else 0
    return step_normals(keys, steps, count).astype(jnp.dtype(schedule.precision))
