"""Lists of (row, column) pairs of which few are wanted, and loops over them in chunks."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp

__all__ = ["each_chunk", "locate", "only_if"]

Carry = TypeVar("Carry")


def locate(wanted: jax.Array, ends: jax.Array, numbers: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return row and column, (numbers,) each, of the wanted pairs with these numbers.

    Pairs are numbered along the rows of ``wanted``, (rows, columns); ``ends`` (rows,) counts those
    up to the end of each row. Numbering all cells by one running sum would cost more than
    everything else in a block; here only the rows that are asked for are summed, as a product with
    a triangle of ones, which is exact for so few ones. A number beyond the last pair gives some
    pair.
    """
    place = jnp.searchsorted(ends, numbers, side="right").astype(jnp.int32)
    place = jnp.minimum(place, wanted.shape[0] - 1)
    row = wanted[place].astype(jnp.float32)
    rank = numbers - ends[place] + row.sum(axis=1).astype(jnp.int32)
    running = jnp.matmul(row, jnp.triu(jnp.ones((row.shape[1],) * 2, jnp.float32)))
    column = jnp.argmax(running > rank[:, None].astype(jnp.float32), axis=1)
    return place, column.astype(jnp.int32)


def each_chunk(
    count: jax.Array, size: int, body: Callable[[Carry, jax.Array, jax.Array], Carry], start: Carry
) -> Carry:
    """Fold the numbers 0 to ``count`` into ``start``, ``size`` of them at a time.

    ``body`` gets the carry, (size,) numbers and whether each is below ``count``.
    """

    def step(state: tuple[jax.Array, Carry]) -> tuple[jax.Array, Carry]:
        done, carry = state
        numbers = done + jnp.arange(size, dtype=jnp.int32)
        return done + size, body(carry, numbers, numbers < count)

    zero = jnp.zeros((), jnp.int32)
    return jax.lax.while_loop(lambda state: state[0] < count, step, (zero, start))[1]


def only_if(wanted: jax.Array, body: Callable[[Carry], Carry], start: Carry) -> Carry:
    """Return ``body(start)`` where a scalar condition holds, else ``start``.

    A loop of at most one turn: unlike a conditional it changes large arrays in place.
    """

    def step(state: tuple[jax.Array, Carry]) -> tuple[jax.Array, Carry]:
        return jnp.zeros((), bool), body(state[1])

    return jax.lax.while_loop(lambda state: state[0], step, (wanted, start))[1]
