"""A price model whose own draws come from other keys, step by step.

What a model draws besides its normals (jumps, mixing variables, regimes, rows of a history) it
draws from one key a step. Here the key of a step is that of a path whose number is given, so that
the draws of one step can be replaced and those of the others kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from stress.keys import MODEL, path_keys
from stress.market import Inside, PriceModel, inside, knows_extremes
from stress.pytree import register_part

__all__ = ["Rekeyed"]


class _Along(NamedTuple):
    """``own``: the model's state; ``step`` (paths,): number of the last step, the same for all."""

    own: Any
    step: jax.Array


@register_part
@dataclass(frozen=True)
class Rekeyed:
    """A price model with given keys.

    Attributes
    ----------
    model
        The model.
    seed
        (), unsigned 32-bit: of the run.
    draws
        (steps, paths) unsigned 32-bit: step t of a path draws what path ``draws[t - 1]`` of the run
        would; beyond the horizon as in the last step.
    """

    model: PriceModel
    seed: jax.Array
    draws: jax.Array

    @property
    def assets(self) -> int:
        """Number of assets."""
        return self.model.assets

    @property
    def covariance_root(self) -> jax.Array:
        """(assets, assets) that of the model: a step's own is what ``inside`` returns."""
        return self.model.covariance_root

    @property
    def has_extremes(self) -> bool:
        """Whether the model knows how far prices went inside a step."""
        return knows_extremes(self.model)

    def init(self, paths: jax.Array) -> _Along:
        """Return the state at time 0."""
        return _Along(self.model.init(paths), jnp.zeros(paths.shape, jnp.int32))

    def step(self, state: _Along, normals: jax.Array, keys: jax.Array) -> tuple[_Along, jax.Array]:
        """Return the next state and the (assets, paths) log return of one step."""
        now = state.step + 1
        row = jnp.minimum(state.step[0], self.draws.shape[0] - 1)
        of_paths = path_keys(self.seed, MODEL, self.draws[row])
        keys = jax.vmap(jax.random.fold_in)(of_paths, now)
        own, log_return = self.model.step(state.own, normals, keys)
        return _Along(own, now), log_return

    def inside(self, state: _Along) -> Inside:
        """Return what the step was like inside: the model's."""
        return inside(self.model, state.own)

    def extremes(self, state: _Along) -> tuple[jax.Array, jax.Array]:
        """Return the logs of the step's low and high relative to the price at its end."""
        low, high = self.model.extremes(state.own)  # type: ignore[attr-defined]
        return low, high
