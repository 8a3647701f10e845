"""What all price models around another one share: the step that they are at, and what passes by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from stress.market import Inside, PriceModel, inside, knows_extremes

__all__ = ["Along", "Wrapped"]


class Along(NamedTuple):
    """``own``: the model's state; ``step`` (paths,): number of the last step, the same for all."""

    own: Any
    step: jax.Array


@dataclass(frozen=True)
class Wrapped:
    """A price model around another, which it steps: a base of parts, none by itself.

    Attributes
    ----------
    model
        The model.
    """

    model: PriceModel

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

    def init(self, paths: jax.Array) -> Along:
        """Return the state at time 0."""
        return Along(self.model.init(paths), jnp.zeros(paths.shape, jnp.int32))

    def inside(self, state: Along) -> Inside:
        """Return what the step was like inside: as the model says it."""
        return inside(self.model, state.own)

    def extremes(self, state: Along) -> tuple[jax.Array, jax.Array]:
        """Return the logs of the step's low and high relative to the price at its end."""
        low, high = self.model.extremes(state.own)  # type: ignore[attr-defined]
        return low, high
