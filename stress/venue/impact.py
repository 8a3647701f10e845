"""How net forced flow moves the mark: ``M = exp(X + I(V))``.

``V`` is the decayed sum of net forced flow in USD at fundamental prices, buys positive. ``I`` is
one function of all of it, so the order of flows inside a step does not matter and a round trip
leaves the mark where it was.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import jax
import jax.numpy as jnp

from stress.pytree import register_part

__all__ = ["Impact", "Linear", "NoImpact", "SquareRoot"]


class Impact(Protocol):
    """What the engine asks of an impact law.

    ``reacts``: whether marks move at all.
    """

    reacts: bool

    def at(self, asset: jax.Array) -> Impact:
        """Return the law with its numbers gathered by assets of any shape."""
        ...

    def log_move(self, flow: jax.Array) -> jax.Array:
        """Return the move of the log mark at a flow in USD, its leading axes those of the law."""
        ...


@register_part
@dataclass(frozen=True)
class NoImpact:
    """Forced flow does not move prices."""

    reacts = False

    def at(self, asset: jax.Array) -> NoImpact:
        """Return itself."""
        return self

    def log_move(self, flow: jax.Array) -> jax.Array:
        """Return 0."""
        return jnp.zeros_like(flow)


@register_part
@dataclass(frozen=True)
class Linear:
    """``I = 0.01 V / depth``: ``depth`` (assets,) USD moves the price one percent (Kyle 1985)."""

    depth: jax.Array

    reacts = True

    def at(self, asset: jax.Array) -> Linear:
        """Return the law of these assets."""
        return Linear(self.depth[asset])

    def log_move(self, flow: jax.Array) -> jax.Array:
        """Return the move."""
        return 0.01 * flow / _beside(self.depth, flow)


@register_part
@dataclass(frozen=True)
class SquareRoot:
    """``I = sign(V) Y sigma_day sqrt(|V| / adv)`` (Toth et al. 2011, Phys. Rev. X 1, 021006).

    Attributes
    ----------
    scale
        (assets,) ``Y sigma_day``, Y about 1.
    adv
        (assets,) average daily volume, USD.
    """

    scale: jax.Array
    adv: jax.Array

    reacts = True

    def at(self, asset: jax.Array) -> SquareRoot:
        """Return the law of these assets."""
        return SquareRoot(self.scale[asset], self.adv[asset])

    def log_move(self, flow: jax.Array) -> jax.Array:
        """Return the move."""
        share = jnp.abs(flow) / _beside(self.adv, flow)
        return jnp.sign(flow) * _beside(self.scale, flow) * jnp.sqrt(share)


def _beside(numbers: jax.Array, flow: jax.Array) -> jax.Array:
    """Return numbers by asset with as many axes as the flow, whose further axes they do not see."""
    return numbers.reshape(numbers.shape + (1,) * (flow.ndim - numbers.ndim))
