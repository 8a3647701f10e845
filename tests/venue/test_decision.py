"""Who sees which marks, and who may close what."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from stress.venue.decision import Leader, Sharded

SHARD = [0, 1, 1, 2]


def test_leader() -> None:
    assert Leader().delay == 0 and Leader(3).delay == 3
    np.testing.assert_array_equal(Leader().late(4), [[False] * 4])
    np.testing.assert_array_equal(Leader(2).late(4), [[True] * 4])
    assert Leader().own(4).all() and Leader().own(4).shape == (1, 4)
    assert not Leader(2).counts_over_closing


@pytest.mark.parametrize("lag", [0, 2])
def test_sharded(lag: int) -> None:
    """A shard sees its own assets at once, the others late; each asset has one decider."""
    rule = Sharded(jnp.asarray(SHARD, jnp.int32), 3, lag)
    late, own = rule.late(4), rule.own(4)
    assert late.shape == (3, 4) and rule.deciders == 3 and rule.delay == lag
    assert rule.counts_over_closing
    for shard in range(3):
        for asset in range(4):
            mine = SHARD[asset] == shard
            assert bool(late[shard, asset]) == (not mine and lag > 0)
            assert bool(own[shard, asset]) == mine
    np.testing.assert_array_equal(np.asarray(own).sum(axis=0), 1)
