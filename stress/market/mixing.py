"""The mixing variable of normal variance mixtures: a scaled inverse gamma, by inverse CDF.

``W = (nu - 2) / chi2_nu`` has mean 1 and, above four degrees of freedom, variance ``2 / (nu - 4)``;
``sqrt(W) Z`` with a standard normal Z is Student's t scaled to variance 1 (McNeil, Frey and
Embrechts 2015, Quantitative Risk Management, section 6.2). A draw is a table look-up: no rejection,
so that one key is one number.

The table is in Laplace's coordinate ``x``, ``-log(2 P(W > w))`` above the median and
``log(2 P(W < w))`` below it, in which log W is linear in the heavy tail and bends slowly in the
other. Linear interpolation between 4,097 points is off by at most 3e-5 of W. A draw has 33 random
bits: both tails are resolved to a probability of 6e-11, beyond which nothing is drawn.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import gammainccinv, gammaincinv

from stress.pytree import register_part
from stress.types import Floats, Precision

__all__ = ["Mixing", "fine_uniform", "laplace"]

_REACH = 23.0
"""End of the table: a draw is at most 33 log 2 = 22.9 in size."""
_CELLS = 4_096
_PER_UNIT = _CELLS / (2 * _REACH)


@register_part
@dataclass(frozen=True)
class Mixing:
    """The law of the mixing variable, in the precision of the run.

    Attributes
    ----------
    log_quantile
        (points,) log W at evenly spaced Laplace coordinates.
    """

    log_quantile: jax.Array

    @classmethod
    def build(cls, *, degrees_of_freedom: float, precision: Precision) -> Mixing:
        """Return the law with ``degrees_of_freedom``, above 2."""
        shape = degrees_of_freedom / 2
        coordinate = np.linspace(-_REACH, _REACH, _CELLS + 1)
        tail = np.exp(-np.abs(coordinate)) / 2
        # W is large where the gamma variable below it is small
        gamma = np.where(coordinate < 0, gammainccinv(shape, tail), gammaincinv(shape, tail))
        return cls(jnp.asarray(np.log(shape - 1) - np.log(gamma), jnp.dtype(precision)))

    @property
    def coordinate(self) -> Floats:
        """(points,) the Laplace coordinates of ``log_quantile``."""
        return np.linspace(-_REACH, _REACH, _CELLS + 1)

    def draw(self, keys: jax.Array) -> jax.Array:
        """Return (paths,) draws, one a key."""
        pair = jax.vmap(lambda key: fine_uniform(key, (2,)))(keys)
        return self.at(laplace(pair[:, 0], pair[:, 1]))

    def at(self, coordinate: jax.Array) -> jax.Array:
        """Return (...) W at float32 Laplace coordinates; beyond the table log W is straight."""
        position = (coordinate + _REACH) * _PER_UNIT
        cell = jnp.clip(jnp.floor(position).astype(jnp.int32), 0, _CELLS - 1)
        share = (position - cell.astype(jnp.float32)).astype(self.log_quantile.dtype)
        low, high = self.log_quantile[cell], self.log_quantile[cell + 1]
        return jnp.exp(low + share * (high - low))


def laplace(tail: jax.Array, side: jax.Array) -> jax.Array:
    """Return (...) draws of Laplace's law from two uniforms, of its size and of its sign."""
    size = -jnp.log(tail)
    return jnp.where(side < 0.5, -size, size)


def fine_uniform(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Return float32 uniforms in (0, 1], never 0 and fine near it: the least is 1e-10.

    In float32 whatever the precision of the run: draws of one key in another type are others.
    """
    bits = jax.random.bits(key, shape, jnp.uint32)
    return (bits.astype(jnp.float32) + 0.5) * jnp.float32(2.0**-32)
