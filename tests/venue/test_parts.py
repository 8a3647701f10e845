"""A kernel that is compiled for one part is never used for another.

Compiled kernels are kept by the structures of their arguments. Two dataclasses registered with
``jax.tree_util.register_dataclass`` that have as many fields have EQUAL structures (JAX 0.10.2:
only the hashes differ), so that now and then, as hashes fall, the one was run for the other.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any

import jax
import jax.numpy as jnp
import pytest

from stress.venue.amounts import All, FirstPosition, FirstTier, Fraction, Restore
from stress.venue.backstop import AutoDeleverage, Socialised, Uncovered
from stress.venue.decision import Leader, Sharded
from stress.venue.impact import Linear, NoImpact, SquareRoot
from stress.venue.orders import LargestLoss, LargestMargin, LargestNotional, ProRata

ONE = jnp.ones(3)
PARTS: dict[str, list[Any]] = {
    "order": [LargestLoss(), LargestMargin(), LargestNotional(), ProRata()],
    "amount": [Restore(ONE[0]), Fraction(ONE[0]), FirstTier(), FirstPosition(), All()],
    "backstop": [Uncovered(), Socialised(), AutoDeleverage()],
    "impact": [NoImpact(), Linear(ONE), SquareRoot(ONE, ONE)],
    "decision": [Leader(), Leader(1), Sharded(ONE.astype(jnp.int32), 2, 0)],
}


@pytest.mark.parametrize("kind", list(PARTS))
def test_parts_have_structures_of_their_own(kind: str) -> None:
    for one, other in combinations(PARTS[kind], 2):
        assert jax.tree.structure(one) != jax.tree.structure(other), (one, other)
