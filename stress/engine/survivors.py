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
    together = min(max(_FEWEST, _BUDGET // work), wanted.size)
    ends = jnp.cumsum(wanted.sum(axis=1, dtype=jnp.int32))

    def some_left(carry: Carry) -> jax.Array:
        return carry[0] < ends[-1]

    def evaluate(carry: Carry) -> Carry:
        done, fate, traded = carry
        numbers = done + jnp.arange(together, dtype=jnp.int32)
        pool, path = _locate(wanted, ends, numbers)
        is_survivor = numbers < ends[-1]
        pairs = jnp.where(is_survivor, pool * wanted.shape[1] + path, wanted.size)
        some = panel.take(pool)
        before = fate.at(pairs)
        verdict = exact(some, path)
        closes = verdict.hit & (before.step < 0) & is_survivor[:, None]
        return (
            done + together,
            fate.put(pairs, before.after(verdict)),
            _add_traded(some, path, closes, verdict.marks, traded),
        )

    start = (jnp.zeros((), jnp.int32), fate, traded)
    _, fate, traded = jax.lax.while_loop(some_left, evaluate, start)
    return fate, traded


def _locate(wanted: jax.Array, ends: jax.Array, numbers: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return pool and path, (numbers,) each, of the wanted pairs with these numbers.

    Pairs are numbered along the rows of ``wanted``, (pools, paths); ``ends`` (pools,) counts those
    up to the end of each row. Numbering all cells by one running sum would cost more than
    everything else in a block; here only the rows that are asked for are summed, as a product with
    a triangle of ones, which is exact for so few ones. A number beyond the last pair gives some
    pair.
    """
    pool = jnp.searchsorted(ends, numbers, side="right").astype(jnp.int32)
    pool = jnp.minimum(pool, wanted.shape[0] - 1)
    row = wanted[pool].astype(jnp.float32)
    rank = numbers - ends[pool] + row.sum(axis=1).astype(jnp.int32)
    running = jnp.matmul(row, jnp.triu(jnp.ones((row.shape[1],) * 2, jnp.float32)))
    path = jnp.argmax(running > rank[:, None].astype(jnp.float32), axis=1)
    return pool, path.astype(jnp.int32)


def _add_traded(
    panel: Panel, paths: jax.Array, closes: jax.Array, marks: jax.Array, traded: jax.Array
) -> jax.Array:
    """Add the notionals of the pools that close to the (assets, paths) table."""

    def add_slot(total: jax.Array, slot: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
        asset, quantity = slot
        notional = jnp.abs(quantity)[:, None] * own_mark(marks, asset)
        return total.at[asset, paths].add(jnp.where(closes, notional, 0)[:, 0]), None

    return over_slots(add_slot, traded, (panel.asset, panel.quantity))
