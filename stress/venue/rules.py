"""A venue as the cascade applies it: its parts and numbers, and the variants run side by side."""

from __future__ import annotations

from dataclasses import dataclass, field

import jax
import jax.numpy as jnp

from stress.venue.amounts import Amount
from stress.venue.backstop import Backstop
from stress.venue.decision import Decision
from stress.venue.impact import Impact
from stress.venue.judged import Tables
from stress.venue.orders import Order

__all__ = ["Variant", "VenueRules"]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Variant:
    """What differs between the columns that share a path: how prices react, and who decides."""

    impact: Impact
    decision: Decision


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class VenueRules:
    """The rules of a venue in the precision of the run.

    Attributes
    ----------
    order, amount, backstop
        The parts that all variants share.
    variants
        The venue itself first, then what it is compared with on the same paths.
    tables
        Tier tables by asset.
    fee, warning, fund
        Share of the notional closed; margin ratio of a margin call; starting balance, USD.
    permanent, decay
        Share of forced flow that never decays; what one step leaves of the rest.
    depth_elasticity, variance
        Exponent of the depth multiplier; (assets,) variance of a step's log return at the stated
        volatility.
    funding_rate
        (assets,) paid per interval, longs pay positive.
    rounds
        Most rounds in a step.
    funding_steps
        Steps between two fundings; 0: none.
    depth_window
        Steps over which volatility is realised; 0: depth does not shrink.
    """

    order: Order
    amount: Amount
    backstop: Backstop
    variants: tuple[Variant, ...]
    tables: Tables
    fee: jax.Array
    warning: jax.Array
    fund: jax.Array
    permanent: jax.Array
    decay: jax.Array
    depth_elasticity: jax.Array
    variance: jax.Array
    funding_rate: jax.Array
    rounds: int = field(metadata={"static": True})
    funding_steps: int = field(metadata={"static": True})
    depth_window: int = field(metadata={"static": True})

    @property
    def delay(self) -> int:
        """Steps by which the oldest marks that anybody sees are late."""
        return max(variant.decision.delay for variant in self.variants)

    @property
    def is_prompt(self) -> bool:
        """Whether one decider sees the marks of the moment, in every variant."""
        return all(
            variant.decision.deciders == 1 and variant.decision.delay == 0
            for variant in self.variants
        )

    @property
    def counts_over_closing(self) -> bool:
        """Whether closes beyond a leader's are counted in any variant."""
        return any(variant.decision.counts_over_closing for variant in self.variants)

    def log_moves(self, flow: jax.Array) -> jax.Array:
        """Return (assets, columns) moves of the log marks at such a flow in USD."""
        parts = jnp.split(flow, len(self.variants), axis=-1)
        moves = [
            variant.impact.log_move(part)
            for variant, part in zip(self.variants, parts, strict=True)
        ]
        return jnp.concatenate(moves, axis=-1)

    def log_move(self, flow: jax.Array, asset: jax.Array, variant: jax.Array) -> jax.Array:
        """Return moves of the log mark at flows in assets and variants of their shape."""
        moves = [each.impact.at(asset).log_move(flow) for each in self.variants]
        moved = moves[0]
        for number, move in enumerate(moves[1:], start=1):
            moved = jnp.where(variant == number, move, moved)
        return moved

    def reacts(self) -> jax.Array:
        """Return (variants,) whether marks react to forced flow."""
        return jnp.array([variant.impact.reacts for variant in self.variants])

    def late(self) -> jax.Array:
        """Return (deciders, assets, variants) whether a decider sees an asset's late mark.

        A variant with fewer deciders than another has idle ones, which own nothing.
        """
        return self._of_deciders([each.decision.late(self._assets) for each in self.variants])

    def own(self) -> jax.Array:
        """Return (deciders, assets, variants) whether a decider may close positions in an asset."""
        return self._of_deciders([each.decision.own(self._assets) for each in self.variants])

    @property
    def deciders(self) -> int:
        """The most deciders of a variant."""
        return max(variant.decision.deciders for variant in self.variants)

    @property
    def _assets(self) -> int:
        return self.funding_rate.shape[0]

    def _of_deciders(self, parts: list[jax.Array]) -> jax.Array:
        """Return (deciders, assets, variants) from (its deciders, assets) of each variant."""
        padded = [
            jnp.concatenate([of, jnp.zeros((self.deciders - of.shape[0], self._assets), bool)])
            for of in parts
        ]
        return jnp.stack(padded, axis=-1)

    def over_closing_counts(self) -> jax.Array:
        """Return (variants,) whether a variant counts closes beyond a leader's."""
        return jnp.array([variant.decision.counts_over_closing for variant in self.variants])
