"""A span of steps through which columns walk, each at its own pace, and where each stands in it.

Columns do not know of each other: nothing but the fundamental prices is common to them. So a column
goes straight to the next step at which one of its pools must be looked at, whatever the others do.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

__all__ = ["Clock", "Span"]


class Span(NamedTuple):
    """The market on so many steps. A *place* is a step's number less that of the block's first.

    Attributes
    ----------
    first
        Number of the step at place 0; step 0 is the start.
    looks
        (block,) whether anybody looks there: inside the span and the horizon, not in a halt.
    nodes
        (delay + block, assets, paths) fundamental log prices, relative to the start: the block's,
        and as many before it as somebody sees late.
    marks
        (1 or 2, assets, paths, block) the lowest and the highest fundamental mark that anybody
        sees at a place, USD; one of them where nobody is late.
    low, high
        (assets, paths) extremes of the log prices that anybody sees in the span.
    depth
        (block, assets, paths) what depth is left, above 0; None where it stays what it is.
    """

    first: jax.Array
    looks: jax.Array
    nodes: jax.Array
    marks: jax.Array
    low: jax.Array
    high: jax.Array
    depth: jax.Array | None


class Clock(NamedTuple):
    """Where each column stands, (columns,) each.

    Attributes
    ----------
    place
        Of the last look; before the first one the place before the span.
    at
        Of the look that is taken now; -2 of a column that takes none.
    round
        Rounds of this step so far.
    acted
        Whether somebody acted in the last look, so that the next may be at the same place.
    pressed
        Whether it had more to do than to pay debts of one rounding error.
    controlled
        Whether the controls of the step have been obeyed.
    looks
        Looks so far. Steps at which nobody looked because nothing could have been seen count as
        one: what went on before them is over.
    """

    place: jax.Array
    at: jax.Array
    round: jax.Array
    acted: jax.Array
    pressed: jax.Array
    controlled: jax.Array
    looks: jax.Array

    def owes_look(self, rounds: int) -> jax.Array:
        """Return (columns,) where one more look belongs to the step, at which all would be safe.

        Somebody acted, and there are rounds left, but nobody is due there any more.
        """
        return self.acted & (self.round < rounds)

    @property
    def floor(self) -> jax.Array:
        """The earliest place of the next look."""
        return jnp.where(self.acted, self.place, self.place + 1)
