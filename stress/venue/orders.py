"""In which order a pool's positions are closed.

An order gives each position a rank: the smallest is closed first, exact ties in file order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import jax

from stress.pytree import register_part
from stress.venue.judged import Judged

__all__ = ["LargestLoss", "LargestMargin", "LargestNotional", "Order", "ProRata"]


class Order(Protocol):
    """What an amount asks of an order."""

    together: bool
    """Whether all positions are closed by the same fraction, so that there is no first one."""

    def rank(self, pool: Judged) -> jax.Array:
        """Return (slots, pairs) numbers, the smallest first."""
        ...


@register_part
@dataclass(frozen=True)
class LargestLoss:
    """Most negative unrealised profit first; profitable positions last, smallest profit first."""

    together = False

    def rank(self, pool: Judged) -> jax.Array:
        """Return the unrealised profit."""
        return pool.profit


@register_part
@dataclass(frozen=True)
class LargestMargin:
    """Largest maintenance margin first."""

    together = False

    def rank(self, pool: Judged) -> jax.Array:
        """Return the requirement with its sign turned."""
        return -pool.required


@register_part
@dataclass(frozen=True)
class LargestNotional:
    """Largest notional first."""

    together = False

    def rank(self, pool: Judged) -> jax.Array:
        """Return the notional with its sign turned."""
        return -pool.notional


@register_part
@dataclass(frozen=True)
class ProRata:
    """All positions together, the same fraction of each."""

    together = True

    def rank(self, pool: Judged) -> jax.Array:
        """Return the notional: nothing asks for a first position."""
        return -pool.notional
