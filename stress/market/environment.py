"""What a market does to its venue besides moving prices: it thins out, and it halts."""

from __future__ import annotations

from typing import NamedTuple

import jax

__all__ = ["Environment"]


class Environment(NamedTuple):
    """The state of the market around the venue, step by step; row 0 is the start.

    Attributes
    ----------
    depth
        (steps + 1, assets) what the depth of the market is multiplied by, above 0.
    halted
        (steps + 1,) whether nobody acts in a step: prices move and funding is paid, but controls
        and rounds, looks included, wait for the next step that is not halted.
    """

    depth: jax.Array
    halted: jax.Array
