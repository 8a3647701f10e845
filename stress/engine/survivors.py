"""The (pool, path) pairs that a bound could not rule out, gathered and evaluated exactly."""

from __future__ import annotations

from typing import Protocol, TypeAlias

import jax
import jax.numpy as jnp

from stress.engine.fate import Fate, Verdict
from stress.engine.panels import Panel, over_slots, own_mark

__all__ = ["Exact", "each_survivor"]

Carry: TypeAlias = tuple[jax.Array, Fate, jax.Array]

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
    traded: jax.Array,
    exact: Exact,
    *,
    work: int,
) -> tuple[Fate, jax.Array]:
    """Evaluate the wanted pairs exactly, a fixed number at a time until none is left.

    Parameters
    ----------
    panel, fate
        The pools, and their fates (pools, paths) before the block.
    wanted
        (pools, paths) pairs to evaluate.
    traded
        (assets, paths) notional closed so far, USD.
    exact
        What evaluates some pairs.
    work
        Numbers that ``exact`` holds per pair: sets how many pairs go at once.

    Returns
    -------
    The fates after the block, and ``traded`` with what was closed in it.
    """
    if wanted.size == 0:
        return fate, traded
    paths = wanted.shape[1]
    together = min(max(_FEWEST, _BUDGET // work), wanted.size)
    padded = -(-wanted.size // together) * together
    survivors = wanted.ravel()
    count = survivors.sum()
    numbers = jnp.nonzero(survivors, size=padded, fill_value=wanted.size)[0].astype(jnp.int32)

    def some_left(carry: Carry) -> jax.Array:
        return carry[0] < count

    def evaluate(carry: Carry) -> Carry:
        done, fate, traded = carry
        pairs = jax.lax.dynamic_slice(numbers, (done,), (together,))
        pool, path = jnp.minimum(pairs // paths, panel.pools - 1), pairs % paths
        some = panel.take(pool)
        before = fate.at(pairs)
        verdict = exact(some, path)
        closes = verdict.hit & (before.step < 0) & (pairs < wanted.size)[:, None]
        return (
            done + together,
            fate.put(pairs, before.after(verdict)),
            _add_traded(some, path, closes, verdict.marks, traded),
        )

    _, fate, traded = jax.lax.while_loop(
        some_left, evaluate, (jnp.zeros((), count.dtype), fate, traded)
    )
    return fate, traded


def _add_traded(
    panel: Panel, paths: jax.Array, closes: jax.Array, marks: jax.Array, traded: jax.Array
) -> jax.Array:
    """Add the notionals of the pools that close to the (assets, paths) table."""

    def add_slot(total: jax.Array, slot: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
        asset, quantity = slot
        notional = jnp.abs(quantity)[:, None] * own_mark(marks, asset)
        return total.at[asset, paths].add(jnp.where(closes, notional, 0)[:, 0]), None

    return over_slots(add_slot, traded, (panel.asset, panel.quantity))
