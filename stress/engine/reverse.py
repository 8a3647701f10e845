"""Reverse stress: which move of the market is the most likely one that liquidates somebody.

A move is told in the model's own noise ``z``, independent standard normals, of which it is ``mean +
root z`` in log prices, plus a jump that has a coordinate of its own. What is less likely is further
from 0, so that the most likely move of an event is the point of its region that is nearest to 0,
the *design point* (Hasofer and Lind 1974; Der Kiureghian 2005, First- and second-order reliability
methods). It is looked for by the iteration of Hasofer, Lind, Rackwitz and Fiessler with gradients
by JAX, from many starts, because there may be several.

``Straight`` is a price model without noise that walks to such a point along the most likely path:
for a Brownian motion the mean path given its end, a straight line.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jax.scipy.special import log_ndtr

from stress.engine.block import Schedule
from stress.engine.panels import World, margins
from stress.engine.paths import Walk, walk
from stress.market import PriceModel
from stress.pytree import register_part

__all__ = ["Field", "Noise", "Straight", "crossings", "design_points", "levels_at", "log_move"]

_IDLE = 10.0
"""Excess over notional of a pool without positions: as good as never in breach."""
_LONGEST = 1.0
"""Longest step of an iteration, in standard deviations: excesses are nearly linear that far."""


_Looked: TypeAlias = tuple[jax.Array, jax.Array, jax.Array]
"""Crossings found, (accounts, columns); headroom at the last radius; that radius, (columns,)."""


class Noise(NamedTuple):
    """How the noise moves log prices up to one time, under one kind of market.

    Attributes
    ----------
    mean
        (assets,) log prices relative to the start without noise.
    root
        (assets, assets) root of the covariance of what is not a jump.
    exposure
        (assets,) what the size of the jump is multiplied by; zeros without a jump.
    location, scale, tail
        Law of the size: ``location + scale u - tail log Phi(-u)`` of a standard normal u. With
        ``tail`` 0 it is normal (Merton), with the others 0 it is exponential of mean ``tail`` (one
        side of Kou's), mirrored where that is negative.
    """

    mean: jax.Array
    root: jax.Array
    exposure: jax.Array
    location: jax.Array
    scale: jax.Array
    tail: jax.Array


class Field(NamedTuple):
    """The accounts that are looked at.

    Attributes
    ----------
    world
        Their pools.
    owner
        (rounded-up pools,) account of each pool in the order of the world; what is rounded up
        belongs to one more account than there are.
    notional
        (rounded-up pools,) gross notional at the start, USD; 0 for a pool without positions.
    price
        (assets,) marks at the start, USD.
    """

    world: World
    owner: jax.Array
    notional: jax.Array
    price: jax.Array


def log_move(noise: Noise, point: jax.Array) -> jax.Array:
    """Return (assets, columns) log prices relative to the start.

    Parameters
    ----------
    point
        (assets + 1, columns) normals, the last one that of the jump.
    """
    size = noise.location + noise.scale * point[-1] - noise.tail * log_ndtr(-point[-1])
    moved = jnp.matmul(noise.root, point[:-1], precision="highest")
    return noise.mean[:, None] + moved + noise.exposure[:, None] * size[None]


def _headroom(field: Field, noise: Noise, point: jax.Array, accounts: int) -> jax.Array:
    """Return (accounts, columns) the least excess over starting notional of an account's pools."""
    marks = field.price[:, None] * jnp.exp(log_move(noise, point))
    by_panel = []
    for panel in field.world.panels:
        now = margins(panel, lambda asset, quantity: marks[asset])
        by_panel.append(now.equity - now.required)
    excess = jnp.concatenate(by_panel)[field.world.order]
    held = field.notional > 0
    size = jnp.where(held, field.notional, 1)[:, None]
    relative = jnp.where(held[:, None], excess / size, _IDLE)
    return jax.ops.segment_min(relative, field.owner, num_segments=accounts + 1)[:accounts]


@jax.jit
def design_points(
    noise: Noise,
    field: Field,
    weight: jax.Array,
    threshold: jax.Array,
    start: jax.Array,
    temperature: jax.Array,
) -> jax.Array:
    """Walk from each start towards the nearest point at which an event begins.

    The event of a column is that the accounts in breach weigh more than its threshold. An account
    counts by a sigmoid of its excess over notional, softer the higher the temperature: with a
    single account that moves no boundary.

    Parameters
    ----------
    weight
        (accounts, columns) of each account in the event of the column.
    threshold
        (columns,) weight from which the event happens.
    start
        (assets + 1, columns) normals.
    temperature
        (iterations,) falling; in shares of the notional.

    Returns
    -------
    (assets + 1, columns) normals. They need not lie on the boundary: ``crossings`` says where the
    ray through each meets it.
    """
    accounts = weight.shape[0]

    def gap(point: jax.Array, soft: jax.Array) -> tuple[jax.Array, jax.Array]:
        fallen = jax.nn.sigmoid(-_headroom(field, noise, point, accounts) / soft)
        short = threshold - (weight * fallen).sum(axis=0)
        return short.sum(), short

    def iterate(point: jax.Array, soft: jax.Array) -> tuple[jax.Array, None]:
        slope, short = jax.grad(gap, has_aux=True)(point, soft)
        square = (slope * slope).sum(axis=0)
        steep = square > 0
        aim = (slope * point).sum(axis=0) - short
        target = jnp.where(steep, aim / jnp.where(steep, square, 1), 0)[None] * slope
        step = jnp.where(steep[None], target - point, 0)
        length = jnp.sqrt((step * step).sum(axis=0))
        return point + step * (_LONGEST / jnp.maximum(length, _LONGEST))[None], None

    return jax.lax.scan(iterate, start, temperature)[0]


@partial(jax.jit, static_argnames=("accounts",))
def crossings(
    noise: Noise, field: Field, direction: jax.Array, radii: jax.Array, *, accounts: int
) -> jax.Array:
    """Return (accounts, columns) the least radius at which each account is in breach along a ray.

    Between two radii the excess is taken as linear; inf where the account is never in breach at
    any of them, the first radius where it is in breach there.

    Parameters
    ----------
    direction
        (assets + 1, columns) unit vectors of noise.
    radii
        (radii, columns) ascending.
    """

    def look(carry: _Looked, radius: jax.Array) -> tuple[_Looked, None]:
        found, room_before, before = carry
        room = _headroom(field, noise, direction * radius[None], accounts)
        drop = room_before - room
        share = jnp.where(drop > 0, room_before / jnp.where(drop > 0, drop, 1), 1)
        between = before[None] + jnp.clip(share, 0, 1) * (radius - before)[None]
        here = jnp.isinf(found) & (room <= 0)
        return (jnp.where(here, between, found), room, radius), None

    first = _headroom(field, noise, direction * radii[0][None], accounts)
    nothing = jnp.where(first <= 0, radii[0][None], jnp.inf)
    return jax.lax.scan(look, (nothing, first, radii[0]), radii[1:])[0][0]


@partial(jax.jit, static_argnames=("schedule",))
def levels_at(
    model: PriceModel, seed: jax.Array, paths: jax.Array, *, schedule: Schedule
) -> jax.Array:
    """Return (blocks, assets, paths) log prices relative to the start after each time block.

    Parameters as ``first_passage``, whose paths these are.
    """
    start, advance = walk(model, seed, paths, schedule)

    def after_block(walked: Walk, number: jax.Array) -> tuple[Walk, jax.Array]:
        walked, (levels, _) = advance(walked, number)
        return walked, levels[-1]

    return jax.lax.scan(after_block, start, jnp.arange(schedule.blocks))[1]


@register_part
@dataclass(frozen=True)
class Straight:
    """A price model without noise: each path walks its own way to a point.

    Attributes
    ----------
    mean
        (steps, assets) log return of each step without noise, the same for all paths.
    push
        (maps, assets, paths) what is added in each step up to the last one of the way.
    which
        (steps,) row of ``push`` of each step.
    jump
        (assets, paths) what is added in that last step besides.
    last
        (paths,) the step by which the way is gone, from 1.
    """

    mean: jax.Array
    push: jax.Array
    which: jax.Array
    jump: jax.Array
    last: jax.Array

    @property
    def assets(self) -> int:
        """Number of assets."""
        return self.mean.shape[1]

    @property
    def covariance_root(self) -> jax.Array:
        """NaN, (assets, assets): a way says nothing about what lies between its nodes."""
        return jnp.full((self.assets, self.assets), jnp.nan, self.mean.dtype)

    def init(self, paths: jax.Array) -> jax.Array:
        """Return the number of the last step, (paths,)."""
        return jnp.zeros(paths.shape, jnp.int32)

    def step(
        self, state: jax.Array, normals: jax.Array, keys: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """Return the state and the (assets, paths) log return of one step."""
        number = state + 1
        row = jnp.minimum(state[0], self.mean.shape[0] - 1)
        pushed = jnp.where((number <= self.last)[None], self.push[self.which[row]], 0)
        jumped = jnp.where((number == self.last)[None], self.jump, 0)
        return number, self.mean[row][:, None] + pushed + jumped
