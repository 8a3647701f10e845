"""Who judges the pools, and on which marks.

Exchanges run liquidation in one leader process so that all ticker shards see one consistent
picture. A leader may be late; shards see their own assets at once and the others with a lag.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import jax
import jax.numpy as jnp

from stress.pytree import register_part

__all__ = ["Decision", "Leader", "Sharded"]


class Decision(Protocol):
    """What the engine asks of a decision rule.

    ``delay`` is the number of steps by which the oldest marks seen are late, ``deciders`` how many
    judge pools; ``counts_over_closing`` whether closes beyond a leader's are counted.
    """

    @property
    def delay(self) -> int:
        """Number of steps."""
        ...

    @property
    def deciders(self) -> int:
        """Number of deciders."""
        ...

    counts_over_closing: bool

    def late(self, assets: int) -> jax.Array:
        """Return (deciders, assets) whether a decider sees an asset's late mark."""
        ...

    def own(self, assets: int) -> jax.Array:
        """Return (deciders, assets) whether a decider may close positions in an asset."""
        ...


@register_part
@dataclass(frozen=True)
class Leader:
    """One process judges every pool on one snapshot, ``latency`` steps old."""

    latency: int = field(default=0, metadata={"static": True})

    counts_over_closing = False
    deciders = 1

    @property
    def delay(self) -> int:
        """The latency."""
        return self.latency

    def late(self, assets: int) -> jax.Array:
        """Return the same for all assets."""
        return jnp.full((1, assets), self.delay > 0)

    def own(self, assets: int) -> jax.Array:
        """Return True for all assets."""
        return jnp.ones((1, assets), bool)


@register_part
@dataclass(frozen=True)
class Sharded:
    """Assets are dealt to shards; each sees the others' marks ``lag`` steps late.

    ``shard`` is (assets,) the shard of each asset, numbered from 0 without gaps.
    """

    shard: jax.Array
    shards: int = field(metadata={"static": True})
    lag: int = field(default=0, metadata={"static": True})

    counts_over_closing = True

    @property
    def delay(self) -> int:
        """The lag."""
        return self.lag

    @property
    def deciders(self) -> int:
        """The number of shards."""
        return self.shards

    def late(self, assets: int) -> jax.Array:
        """Return True for other shards' assets where there is a lag."""
        return ~self.own(assets) & (self.delay > 0)

    def own(self, assets: int) -> jax.Array:
        """Return True for a shard's own assets."""
        return self.shard[None, :] == jnp.arange(self.shards, dtype=jnp.int32)[:, None]
