"""What the kernels of the engine share: the schedule, the venue's numbers, one leg of time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp

from stress.types import TOLERANCE, Monitoring, Precision

__all__ = ["At", "Leg", "Rules", "Schedule"]

_LEG = 8
"""Most blocks a leg: over a longer one fewer pools are safe, over a shorter one more is bounded."""


@dataclass(frozen=True)
class Schedule:
    """What a compiled kernel is specialised to.

    Attributes
    ----------
    steps
        Number of steps of the horizon.
    block
        Steps per time block; does not change any result.
    monitoring
        ``"step"``: breaches at grid points; ``"bridge"``: between them too; ``"extremes"``: at the
        worst marks of each step's bar.
    precision
        Floating point type of everything after the normals.
    least_excess
        Whether to return every pool's least excess, for which every pool is evaluated at every
        step.
    """

    steps: int
    block: int
    monitoring: Monitoring
    precision: Precision
    least_excess: bool = False

    @property
    def blocks(self) -> int:
        """Number of time blocks; the market stands still in the last one beyond the horizon."""
        return -(-self.steps // self.block)

    @property
    def blocks_per_leg(self) -> int:
        """How many blocks first passage takes together: legs are as even as they can be."""
        return -(-self.blocks // -(-self.blocks // _LEG))

    @property
    def tolerance(self) -> float:
        """Relative tolerance of a breach."""
        return TOLERANCE[self.precision]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Rules:
    """The venue's numbers as scalars.

    ``fee`` of a forced close, ``warning`` of a margin call, the insurance ``fund`` at the start in
    USD.
    """

    fee: jax.Array
    warning: jax.Array
    fund: jax.Array


class At(NamedTuple):
    """Where (pairs,) pairs are looked at: index of the ``path`` and of the ``block`` of a leg."""

    path: jax.Array
    block: jax.Array


class Leg(NamedTuple):
    """The market in one leg, some time blocks long.

    Attributes
    ----------
    before
        (assets, paths, blocks) USD at the node that each block starts from.
    marks
        (assets, paths, blocks, steps) USD at the end of each step.
    low, high
        (assets, paths, blocks) USD, the least and the largest of all marks of a block that are
        known: nodes, the one before it included, ends of bridges, bars.
    first
        Number of the leg's first step.
    valid
        (blocks, steps) False beyond the horizon.
    bridge
        (assets, paths, blocks, steps) normals of the bridges; of no size unless there are bridges.
    root
        (assets, assets) root of the covariance of the log return of every step; where steps differ
        (blocks, steps, assets, assets, paths), or (..., 1) where paths do not.
    arrivals
        (assets, paths, blocks, steps) USD at the end of each step before its jump; None where no
        step of the model has one.
    bar
        (low, high) of each step, (assets, paths, blocks, steps) USD each; None unless monitored.
    """

    before: jax.Array
    marks: jax.Array
    low: jax.Array
    high: jax.Array
    first: jax.Array
    valid: jax.Array
    bridge: jax.Array
    root: jax.Array
    arrivals: jax.Array | None = None
    bar: tuple[jax.Array, jax.Array] | None = None

    def ends(self, asset: jax.Array, at: At) -> jax.Array:
        """Return (pairs, steps) marks of each pair's (pairs,) asset at the ends of steps, USD."""
        return self.marks[asset, at.path, at.block]

    def nodes(self, asset: jax.Array, at: At) -> jax.Array:
        """Return (pairs, steps + 1) the same with the node that the block starts from."""
        before = self.before[asset, at.path, at.block]
        return jnp.concatenate([before[:, None], self.ends(asset, at)], axis=1)

    def step(self, at: At, place: jax.Array) -> jax.Array:
        """Return the numbers of the steps at these (pairs, 1) places of their blocks."""
        return self.first + at.block[:, None] * self.marks.shape[3] + place
