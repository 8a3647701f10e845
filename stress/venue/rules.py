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

    def views(self, now: jax.Array, late: jax.Array) -> jax.Array:
        """Return (deciders, assets, columns) marks seen.

        A variant with fewer deciders than another repeats its first view, for nobody's use.
        """
        most = max(variant.decision.deciders for variant in self.variants)
        nows, lates = (jnp.split(of, len(self.variants), axis=-1) for of in (now, late))
        seen = []
        for variant, here, before in zip(self.variants, nows, lates, strict=True):
            views = variant.decision.views(here, before)
            idle = jnp.broadcast_to(views[:1], (most - views.shape[0], *views.shape[1:]))
            seen.append(jnp.concatenate([views, idle]))
        return jnp.concatenate(seen, axis=-1)

    def own(self) -> jax.Array:
        """Return (deciders, assets, variants) whether a decider may close positions in an asset."""
        assets = self.funding_rate.shape[0]
        most = max(variant.decision.deciders for variant in self.variants)
        own = [variant.decision.own(assets) for variant in self.variants]
        padded = [
            jnp.concatenate([of, jnp.zeros((most - of.shape[0], assets), bool)]) for of in own
        ]
        return jnp.stack(padded, axis=-1)

    def over_closing_counts(self) -> jax.Array:
        """Return (variants,) whether a variant counts closes beyond a leader's."""
        return jnp.array([variant.decision.counts_over_closing for variant in self.variants])
