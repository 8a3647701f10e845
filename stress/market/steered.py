"""A price model whose normals come from outside: quasi-random, drifting, or somebody's own.

The model's other draws (jumps, mixing variables) still come from the keys of the paths.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from stress.market import Inside, ModelSource, PriceModel, inside, knows_extremes
from stress.pytree import register_part
from stress.types import Integers

__all__ = ["NormalsOf", "Steered", "SteeredSource"]

NormalsOf: TypeAlias = Callable[[Integers], jax.Array]
"""``(paths,) path numbers -> (steps, assets, paths)`` normals in the precision of the run; asked
for the same numbers again it gives the same normals."""


class _Along(NamedTuple):
    """``own``: the model's state; ``step`` (paths,): number of the last step, the same for all."""

    own: Any
    step: jax.Array


@register_part
@dataclass(frozen=True)
class Steered:
    """A price model on given normals.

    Attributes
    ----------
    model
        The model.
    normals
        (steps, assets, paths) in place of those that the engine draws; beyond the horizon the last.
    """

    model: PriceModel
    normals: jax.Array

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
        place = jnp.minimum(state.step[0], self.normals.shape[0] - 1)
        own, log_return = self.model.step(state.own, self.normals[place], keys)
        return _Along(own, state.step + 1), log_return

    def inside(self, state: _Along) -> Inside:
        """Return what the step was like inside: the model's."""
        return inside(self.model, state.own)

    def extremes(self, state: _Along) -> tuple[jax.Array, jax.Array]:
        """Return the logs of the step's low and high relative to the price at its end."""
        low, high = self.model.extremes(state.own)  # type: ignore[attr-defined]
        return low, high


@dataclass(frozen=True)
class SteeredSource:
    """The models of another source, each on normals of its own."""

    source: ModelSource
    normals_of: NormalsOf

    def block(self, numbers: Integers) -> Steered:
        """Return the model of the paths with these numbers."""
        return Steered(self.source.block(numbers), self.normals_of(numbers))
