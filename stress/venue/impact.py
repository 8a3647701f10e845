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
    """What the engine asks of an impact law."""

    def log_move(self, flow: jax.Array) -> jax.Array:
        """Return the (assets, paths) move of the log mark at a flow in USD."""
        ...


@register_part
@dataclass(frozen=True)
class NoImpact:
    """Forced flow does not move prices."""

    def log_move(self, flow: jax.Array) -> jax.Array:
        """Return 0."""
        return jnp.zeros_like(flow)


@register_part
@dataclass(frozen=True)
class Linear:
    """``I = 0.01 V / depth``: ``depth`` (assets,) USD moves the price one percent (Kyle 1985)."""

    depth: jax.Array

    def log_move(self, flow: jax.Array) -> jax.Array:
        """Return the move."""
        return 0.01 * flow / self.depth[:, None]


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

    def log_move(self, flow: jax.Array) -> jax.Array:
        """Return the move."""
        share = jnp.abs(flow) / self.adv[:, None]
        return jnp.sign(flow) * self.scale[:, None] * jnp.sqrt(share)
