"""A price model whose steps are written down: covariances, jumps and bars, step by step."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from stress.market import Inside
from stress.market.gbm import GeometricBrownianMotion
from stress.pytree import register_part
from stress.runner.prepare import Job

__all__ = ["PERIOD", "WIDTH", "Barred", "Scripted", "along", "scripted"]

Floats = NDArray[np.float64]

PERIOD, WIDTH = 5, 3
"""Steps and paths after which a script begins anew."""


class Along(NamedTuple):
    """Steps done, and path numbers, (paths,)."""

    done: jax.Array
    path: jax.Array


@register_part
@dataclass(frozen=True)
class Scripted:
    """Geometric Brownian motion whose deviation is multiplied in each step, and that jumps.

    ``scale`` (PERIOD, WIDTH) and ``jump`` (PERIOD, WIDTH, assets) are of step t + 1 of path p in
    row (t mod PERIOD, p mod WIDTH). ``apart``: whether paths differ, else all are path 0;
    ``jumps``: whether there are any.
    """

    mean: jax.Array
    covariance_root: jax.Array
    scale: jax.Array
    jump: jax.Array
    apart: bool = field(metadata={"static": True})
    jumps: bool = field(metadata={"static": True})

    @property
    def assets(self) -> int:
        """Number of assets."""
        return self.mean.shape[0]

    def init(self, paths: jax.Array) -> Along:
        """Return the state at time 0."""
        path = (paths % WIDTH).astype(jnp.int32)
        return Along(jnp.zeros(paths.shape, jnp.int32), path)

    def step(self, state: Along, normals: jax.Array, keys: jax.Array) -> tuple[Along, jax.Array]:
        """Return the next state and the (assets, paths) log return of one step."""
        state = state._replace(done=state.done + 1)
        shock = jnp.matmul(self.covariance_root, normals, precision="highest")
        moved = self.mean[:, None] + self._scale(state)[None] * shock
        return state, moved + self._jump(state) if self.jumps else moved

    def inside(self, state: Along) -> Inside:
        """Return what the step was like inside."""
        root = self.covariance_root[:, :, None] * self._scale(state)[None, None]
        none = jnp.zeros((self.assets, 1), root.dtype)
        return Inside(root, self._jump(state) if self.jumps else none)

    def _place(self, state: Along) -> tuple[jax.Array, jax.Array]:
        row = (state.done[:1] - 1) % PERIOD
        return row, state.path if self.apart else jnp.zeros_like(row)

    def _scale(self, state: Along) -> jax.Array:
        return self.scale[self._place(state)]

    def _jump(self, state: Along) -> jax.Array:
        row, path = self._place(state)
        rows = self.jump[row, path].T
        return jnp.broadcast_to(rows, (self.assets, state.path.shape[0]))


@register_part
@dataclass(frozen=True)
class Barred:
    """A model whose steps have bars: (PERIOD, WIDTH, assets) logs ``low`` and ``high``."""

    within: Scripted
    low: jax.Array
    high: jax.Array

    @property
    def assets(self) -> int:
        """Number of assets."""
        return self.within.assets

    @property
    def covariance_root(self) -> jax.Array:
        """Root of a step's covariance."""
        return self.within.covariance_root

    def init(self, paths: jax.Array) -> Along:
        """Return the state at time 0."""
        return self.within.init(paths)

    def step(self, state: Along, normals: jax.Array, keys: jax.Array) -> tuple[Along, jax.Array]:
        """Return the next state and the (assets, paths) log return of one step."""
        return self.within.step(state, normals, keys)

    def extremes(self, state: Along) -> tuple[jax.Array, jax.Array]:
        """Return the logs of low and high relative to the price at the end of the step."""
        row = (state.done - 1) % PERIOD
        return self.low[row, state.path].T, self.high[row, state.path].T


def scripted(
    job: Job,
    scale: Floats,
    jump: Floats | None = None,
    *,
    apart: bool,
    mean: Floats | None = None,
) -> Scripted:
    """Return the job's geometric Brownian motion as a script.

    ``scale`` (PERIOD, WIDTH), ``jump`` (PERIOD, WIDTH, assets) or None; ``mean`` (assets,) of a
    step's log return without its jump, None: the motion's own.
    """
    usual = job.model
    assert isinstance(usual, GeometricBrownianMotion)
    dtype = usual.mean.dtype
    nothing = np.zeros((PERIOD, WIDTH, usual.assets))
    return Scripted(
        usual.mean if mean is None else jnp.asarray(mean, dtype),
        usual.covariance_root,
        jnp.asarray(scale, dtype),
        jnp.asarray(nothing if jump is None else jump, dtype),
        apart,
        jump is not None,
    )


def along(script: Floats, steps: int, paths: int) -> Floats:
    """Return (paths, steps, ...) what a script says of steps 1 to ``steps`` of some paths."""
    step, path = np.arange(steps) % PERIOD, np.arange(paths) % WIDTH
    return np.moveaxis(script[step][:, path], 1, 0)
