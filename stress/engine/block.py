"""What the kernels of the engine share: the schedule, the venue's numbers, one block of time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp

from stress.types import TOLERANCE, Monitoring, Precision

__all__ = ["Block", "Rules", "Schedule"]


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


class Block(NamedTuple):
    """The market in one time block; node 0 is the last node of the block before.

    Attributes
    ----------
    marks
        (assets, paths, steps + 1) USD.
    first
        Number of the step that ends at node 1.
    valid
        (steps,) False beyond the horizon.
    bridge
        (assets, paths, steps) normals of the bridges; of no size unless there are bridges.
    root
        (assets, assets) root of the covariance of the log return of every step; where steps differ
        (steps, assets, assets, paths), or (..., 1) where paths do not.
    arrivals
        (assets, paths, steps) USD at the end of each step before its jump; None where no step of
        the model has one.
    bar
        (low, high) of each step, (assets, paths, steps) USD each; None unless monitored.
    """

    marks: jax.Array
    first: jax.Array
    valid: jax.Array
    bridge: jax.Array
    root: jax.Array
    arrivals: jax.Array | None = None
    bar: tuple[jax.Array, jax.Array] | None = None

    @property
    def touched(self) -> jax.Array:
        """(assets, paths, marks) all marks of the block that are known, node 0 included."""
        known = [self.marks]
        if self.arrivals is not None:
            known.append(self.arrivals)
        if self.bar is not None:
            known += self.bar
        return jnp.concatenate(known, axis=2) if len(known) > 1 else self.marks
