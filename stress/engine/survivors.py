"""The (pool, path) pairs that a leg's bound could not rule out: block by block, then exactly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

import jax
import jax.numpy as jnp

from stress.engine.block import At
from stress.engine.fate import Fate, Verdict
from stress.engine.pairs import locate
from stress.engine.panels import Panel
from stress.engine.till import Till

__all__ = ["Doubt", "Exact", "each_survivor"]

Doubt: TypeAlias = Callable[[jax.Array, Panel, jax.Array], jax.Array]
"""``(pools, panel, paths) -> doubts``: indices of (pairs,) pools, the panel of one pool a pair, the
pairs' paths; (2, pairs, blocks) whether each may be in breach, and called, in each block."""

_Legs: TypeAlias = tuple[jax.Array, Fate, Till]
_Blocks: TypeAlias = tuple[Fate, jax.Array, jax.Array]

_TOGETHER = 1024
"""Pairs whose blocks are bounded at once."""
_BUDGET = 1 << 14
"""(pair, step) evaluations at once: about what stays in a core's second-level cache."""
_FEWEST = 64


class Exact(Protocol):
    """Evaluates pairs at every step of a block each."""

    def __call__(self, panel: Panel, at: At) -> Verdict:
        """Return the verdict on pairs: ``panel`` holds one pool a pair."""
        ...


def each_survivor(
    panel: Panel,
    fate: Fate,
    wanted: jax.Array,
    till: Till,
    doubt: Doubt,
    exact: Exact,
    *,
    work: int,
) -> tuple[Fate, Till]:
    """Take the wanted pairs through a leg, a fixed number at a time until none is left.

    Parameters
    ----------
    panel, fate
        The pools, and their fates (pools, paths) before the leg.
    wanted
        (pools, paths) pairs that may breach or be called somewhere in the leg.
    till
        What went over the counter so far.
    doubt, exact
        What bounds some pairs in every block, and what evaluates some in one block.
    work
        Numbers that ``exact`` holds per pair: sets how many pairs go at once.

    Returns
    -------
    The fates after the leg, and the till with what was closed in it.
    """
    if wanted.size == 0:
        return fate, till
    together = min(_TOGETHER, wanted.size)
    ends = jnp.cumsum(wanted.sum(axis=1, dtype=jnp.int32))

    def some_left(carry: _Legs) -> jax.Array:
        return carry[0] < ends[-1]

    def follow(carry: _Legs) -> _Legs:
        done, fate, till = carry
        numbers = done + jnp.arange(together, dtype=jnp.int32)
        pool, path = locate(wanted, ends, numbers)
        is_survivor = numbers < ends[-1]
        pairs = jnp.where(is_survivor, pool * wanted.shape[1] + path, wanted.size)
        some = panel.take(pool)
        doubts = doubt(pool, some, path) & is_survivor[None, :, None]
        before = fate.at(pairs)
        after, marks = _block_by_block(some, path, before, doubts, till.traded, exact, work)
        closes = (before.step < 0) & (after.step >= 0) & is_survivor[:, None]
        till = _ring_up(some, path, closes[:, 0], after, marks, till)
        return done + together, fate.put(pairs, after), till

    start = (jnp.zeros((), jnp.int32), fate, till)
    _, fate, till = jax.lax.while_loop(some_left, follow, start)
    return fate, till


def _block_by_block(
    panel: Panel,
    paths: jax.Array,
    fate: Fate,
    doubts: jax.Array,
    traded: jax.Array,
    exact: Exact,
    work: int,
) -> tuple[Fate, jax.Array]:
    """Evaluate each of (pairs,) pairs in its doubtful blocks, in their order.

    A pair that is closed has no doubtful block any more, nor one that is called a block in which it
    can only be called. Returns the fates and the (assets, pairs) marks of what was closed.
    """
    pairs = paths.shape[0]
    together = min(max(_FEWEST, _BUDGET // work), pairs)
    blocks = jnp.arange(doubts.shape[2], dtype=jnp.int32)[None]

    def due(fate: Fate, passed: jax.Array) -> jax.Array:
        open_ = doubts[0] | (doubts[1] & ~fate.is_settled_call)
        return open_ & fate.is_followed & (blocks >= passed[:, None])

    def some_due(carry: _Blocks) -> jax.Array:
        fate, passed, _ = carry
        return due(fate, passed).any()

    def evaluate(carry: _Blocks) -> _Blocks:
        fate, passed, marks = carry
        now = due(fate, passed)
        ranks = jnp.cumsum(now.any(axis=1), dtype=jnp.int32)
        numbers = jnp.arange(together, dtype=jnp.int32)
        which = jnp.searchsorted(ranks, numbers + 1).astype(jnp.int32)
        is_due = numbers < ranks[-1]
        # beyond the end a place is dropped when written and the last one when read
        place = jnp.where(is_due, which, pairs)
        which = jnp.minimum(which, pairs - 1)
        at = At(paths[which], jnp.argmax(now[which], axis=1).astype(jnp.int32))
        before = fate.at(place)
        verdict = exact(panel.take(which), at)
        closes = (verdict.hit & (before.step < 0))[:, 0]
        return (
            fate.put(place, before.after(verdict)),
            passed.at[place].set(at.block + 1, mode="drop"),
            marks.at[:, jnp.where(closes, place, pairs)].set(verdict.marks, mode="drop"),
        )

    marks = jnp.zeros((traded.shape[0], pairs), traded.dtype)
    start = (fate, jnp.zeros((pairs,), jnp.int32), marks)
    fate, _, marks = jax.lax.while_loop(some_due, evaluate, start)
    return fate, marks


def _ring_up(
    panel: Panel, paths: jax.Array, closes: jax.Array, fate: Fate, marks: jax.Array, till: Till
) -> Till:
    """Add what (pairs,) pools that close traded, paid and owed to the till, in their order."""
    # all slots of a pair together, so that sums do not know which pairs were gathered together
    sizes = jnp.abs(panel.quantity) * jnp.take_along_axis(marks, panel.asset, axis=0)
    traded = jnp.where(closes[None], sizes, 0).T
    row = jnp.clip(fate.step[:, 0] - till.first, 0, till.notional.shape[0] - 1)
    notional = jnp.where(closes, fate.closed.notional[:, 0], 0)
    owed = jnp.where(closes, fate.closed.deficit[:, 0], 0)
    sells = (panel.coin_quantity > 0).any(axis=0)
    return till._replace(
        traded=till.traded.at[panel.asset.T, paths[:, None]].add(traded),
        notional=till.notional.at[row, paths].add(notional),
        owed=till.owed.at[row, paths].add(jnp.where(sells, 0, owed)),
        owed_late=till.owed_late.at[row, paths].add(jnp.where(sells, owed, 0)),
    )
