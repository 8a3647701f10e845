"""A price model whose normals come from outside: quasi-random, drifting, or somebody's own.

The model's other draws (jumps, mixing variables) still come from the keys of the paths.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from stress.market.wrapped import Along, Wrapped
from stress.pytree import register_part

__all__ = ["Steered"]


@register_part
@dataclass(frozen=True)
class Steered(Wrapped):
    """A price model on given normals.

    Attributes
    ----------
    normals
        (steps, assets, paths) in place of those that the engine draws; beyond the horizon the last.
    """

    normals: jax.Array

    def step(self, state: Along, normals: jax.Array, keys: jax.Array) -> tuple[Along, jax.Array]:
        """Return the next state and the (assets, paths) log return of one step."""
        place = jnp.minimum(state.step[0], self.normals.shape[0] - 1)
        own, log_return = self.model.step(state.own, self.normals[place], keys)
        return Along(own, state.step + 1), log_return
