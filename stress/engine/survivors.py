"""The (pool, path) pairs that a bound could not rule out, gathered and evaluated exactly."""

from __future__ import annotations

from typing import Protocol, TypeAlias

import jax
import jax.numpy as jnp

from stress.engine.fate import Fate, Verdict
from stress.engine.pairs import locate
from stress.engine.panels import Panel, over_slots, own_mark
from stress.engine.till import Till

__all__ = ["Exact", "each_survivor"]

Carry: TypeAlias = tuple[jax.Array, Fate, Till]

_BUDGET = 1 << 16
"""(pair, step) evaluations at once: about what stays in a core's second-level cache."""
_FEWEST = 64


class Exact(Protocol):
    """Evaluates pairs at every step of a time block."""

    def __call__(self, panel: Panel, paths: jax.Array) -> Verdict:
        """Return the verdict on pairs: ``panel`` holds one pool a pair, ``paths`` (pairs,)."""
        ...


def each_survivor(
    panel: Panel,
    fate: Fate,
    wanted: jax.Array,
    till: Till,
    exact: Exact,
    *,
    work: int,
) -> tuple[Fate, Till]:
    """Evaluate the wanted pairs exactly, a fixed number at a time until none is left.

    Parameters
    ----------
    panel, fate
        The pools, and their fates (pools, paths) before the block.
    wanted
        (pools, paths) pairs to evaluate.
    till
        What went over the counter so far.
    exact
        What evaluates some pairs.
    work
        Numbers that ``exact`` holds per pair: sets how many pairs go at once.

    Returns
    -------
    The fates after the block, and the till with what was closed in it.
    """
    if wanted.size == 0:
        return fate, till
    together = min(max(_FEWEST, _BUDGET // work), wanted.size)
    ends = jnp.cumsum(wanted.sum(axis=1, dtype=jnp.int32))

    def some_left(carry: Carry) -> jax.Array:
        return carry[0] < ends[-1]

    def evaluate(carry: Carry) -> Carry:
        done, fate, till = carry
        numbers = done + jnp.arange(together, dtype=jnp.int32)
        pool, path = locate(wanted, ends, numbers)
        is_survivor = numbers < ends[-1]
        pairs = jnp.where(is_survivor, pool * wanted.shape[1] + path, wanted.size)
        some = panel.take(pool)
        before = fate.at(pairs)
        verdict = exact(some, path)
        closes = verdict.hit & (before.step < 0) & is_survivor[:, None]
        return (
            done + together,
            fate.put(pairs, before.after(verdict)),
            _ring_up(some, path, closes, verdict, till),
        )

    start = (jnp.zeros((), jnp.int32), fate, till)
    _, fate, till = jax.lax.while_loop(some_left, evaluate, start)
    return fate, till


def _ring_up(
    panel: Panel, paths: jax.Array, closes: jax.Array, verdict: Verdict, till: Till
) -> Till:
    """Add what the pools that close traded, paid and owed to the till."""

    def add_slot(total: jax.Array, slot: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
        asset, quantity = slot
        notional = jnp.abs(quantity)[:, None] * own_mark(verdict.marks, asset)
        return total.at[asset, paths].add(jnp.where(closes, notional, 0)[:, 0]), None

    row = jnp.clip((verdict.step - till.first)[:, 0], 0, till.notional.shape[0] - 1)
    notional = jnp.where(closes, verdict.closed.notional, 0)[:, 0]
    owed = jnp.where(closes, verdict.closed.deficit, 0)[:, 0]
    sells = (panel.coin_quantity > 0).any(axis=0)
    return till._replace(
        traded=over_slots(add_slot, till.traded, (panel.asset, panel.quantity)),
        notional=till.notional.at[row, paths].add(notional),
        owed=till.owed.at[row, paths].add(jnp.where(sells, 0, owed)),
        owed_late=till.owed_late.at[row, paths].add(jnp.where(sells, owed, 0)),
    )
