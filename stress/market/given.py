"""Price paths that are given instead of simulated: a model is one block of paths.

Nothing is drawn: the normals that the engine offers are not looked at, and XLA leaves them out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from stress.pytree import register_part
from stress.types import Floats, Integers, Precision

__all__ = ["Along", "GivenPaths", "GivenSource"]


class Along(NamedTuple):
    """How far the paths are.

    Attributes
    ----------
    step
        (paths,) number of the last step; the same for all, one a path as every state is.
    level
        (assets, paths) sum of the log returns so far, rounded as the engine's own sum is.
    """

    step: jax.Array
    level: jax.Array


@register_part
@dataclass(frozen=True)
class GivenPaths:
    """The log prices of one block of paths, in the precision of the run.

    Attributes
    ----------
    levels
        (steps + 1, assets, paths) log of the price over the scenario's price at the start. The
        first row is not read: a walk starts at the scenario's price.
    """

    levels: jax.Array

    @classmethod
    def build(cls, prices: Floats, *, price: Floats, precision: Precision) -> GivenPaths:
        """Return the model of a block.

        Parameters
        ----------
        prices
            (paths, steps + 1, assets) positive prices in USD, time 0 included.
        price
            (assets,) the scenario's prices at the start, USD.
        precision
            Floating point type of the paths.
        """
        # relative to the start, so that exp(level) is near 1 and rounds by less than 1e-15
        levels = np.log(np.asarray(prices, np.float64) / price)
        return cls(jnp.asarray(np.transpose(levels, (1, 2, 0)), jnp.dtype(precision)))

    @property
    def assets(self) -> int:
        """Number of assets."""
        return self.levels.shape[1]

    @property
    def covariance_root(self) -> jax.Array:
        """NaN, (assets, assets): given prices say nothing about what lies between them."""
        return jnp.full((self.assets, self.assets), jnp.nan, self.levels.dtype)

    def init(self, paths: jax.Array) -> Along:
        """Return the state at time 0."""
        return Along(jnp.zeros(paths.shape, jnp.int32), jnp.zeros_like(self.levels[0]))

    def step(self, state: Along, normals: jax.Array, keys: jax.Array) -> tuple[Along, jax.Array]:
        """Return the state and the (assets, paths) log return of one step.

        It is the distance from the sum of the returns so far, not from the level before: so the
        rounding of one step is made good by the next, and after any number of steps the sum is off
        by one rounding. Beyond the last level the prices stand still.
        """
        number = state.step + 1
        log_return = self.levels[jnp.minimum(number[0], self.levels.shape[0] - 1)] - state.level
        return Along(number, state.level + log_return), log_return


@dataclass(frozen=True)
class GivenSource:
    """The models of given paths, read when they are asked for.

    Attributes
    ----------
    read
        Maps (paths,) numbers to their (paths, steps + 1, assets) prices in USD.
    price
        (assets,) the scenario's prices at the start, USD.
    precision
        Floating point type of the paths.
    """

    read: Callable[[Integers], Floats]
    price: Floats
    precision: Precision

    def block(self, numbers: Integers) -> GivenPaths:
        """Return the model of the paths with these numbers."""
        return GivenPaths.build(self.read(numbers), price=self.price, precision=self.precision)
