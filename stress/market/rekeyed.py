"""A price model whose own draws come from other keys, step by step.

What a model draws besides its normals (jumps, mixing variables, regimes, rows of a history) it
draws from one key a step. Here the key of a step is that of a path whose number is given, so that
the draws of one step can be replaced and those of the others kept.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from stress.keys import MODEL, path_keys
from stress.market.wrapped import Along, Wrapped
from stress.pytree import register_part

__all__ = ["Rekeyed"]


@register_part
@dataclass(frozen=True)
class Rekeyed(Wrapped):
    """A price model with given keys.

    Attributes
    ----------
    seed
        (), unsigned 32-bit: of the run.
    draws
        (steps, paths) unsigned 32-bit: step t of a path draws what path ``draws[t - 1]`` of the run
        would; beyond the horizon as in the last step.
    """

    seed: jax.Array
    draws: jax.Array

    def step(self, state: Along, normals: jax.Array, keys: jax.Array) -> tuple[Along, jax.Array]:
        """Return the next state and the (assets, paths) log return of one step."""
        now = state.step + 1
        row = jnp.minimum(state.step[0], self.draws.shape[0] - 1)
        of_paths = path_keys(self.seed, MODEL, self.draws[row])
        keys = jax.vmap(jax.random.fold_in)(of_paths, now)
        own, log_return = self.model.step(state.own, normals, keys)
        return Along(own, now), log_return
