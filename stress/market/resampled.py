"""What the models that draw from a price history share: which row is next, and a bar's inside.

A row is the cross-section of one bar: the log returns of all assets, or their residuals, of one
moment. Rows are always drawn whole, so that what happened together happens together.

Where the history is coarser than the step, a bar's return is spread over its steps as a Brownian
bridge: the increment of inner step k of n, given what is left of the bar's return, is normal with
mean ``left / (n - k + 1)`` and covariance ``(n - k) / (n - k + 1)`` times that of a free step. It
ends at the bar's return whatever the draws (Glasserman 2003, section 3.1).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from stress.keys import MODEL, path_keys, step_keys
from stress.market.gbm import matrix_product
from stress.pytree import register_part

__all__ = ["BarInside", "InBar", "RowDraw", "drawn_rows", "rows_at"]


class InBar(NamedTuple):
    """Where the paths stand in a bar.

    Attributes
    ----------
    step
        (paths,) steps taken so far; the same for all, one a path as every state is.
    row
        (paths,) row of the bar that the last step belongs to.
    left
        (assets, paths) what is left of that bar's log return.
    deviation
        (assets, paths) standard deviations of a free step inside that bar.
    """

    step: jax.Array
    row: jax.Array
    left: jax.Array
    deviation: jax.Array


@register_part
@dataclass(frozen=True)
class RowDraw:
    """The rows of a stationary bootstrap (Politis and Romano 1994).

    With probability ``restart`` a bar begins a new block at a row drawn uniformly from all, else
    its row is the one behind the last, and the first behind the last one of all: blocks have
    geometric lengths of mean ``1 / restart``, and every row is drawn equally often.

    Attributes
    ----------
    restart
        () float32, above 0: one over the mean length of a block.
    rows
        Number of rows.
    """

    restart: jax.Array
    rows: int = field(metadata={"static": True})

    @classmethod
    def build(cls, rows: int, block: float) -> RowDraw:
        """Return the draw of so many rows in blocks of this mean length, at least 1."""
        return cls(jnp.asarray(1.0 / block, jnp.float32), rows)

    def next(self, row: jax.Array, is_first: jax.Array, keys: jax.Array) -> jax.Array:
        """Return (paths,) the rows of the next bar; ``is_first`` () says that it is a path's first.

        ``keys`` (paths,) are those of the bar's first step.
        """
        bits = jax.vmap(lambda key: jax.random.bits(key, (2,), jnp.uint32))(keys)
        drawn = _share_of(bits[:, 0], self.rows)
        # 24 bits, which float32 holds: below 1, and so always below a restart of 1
        chance = (bits[:, 1] >> 8).astype(jnp.float32) * jnp.float32(2.0**-24)
        begins = (chance < self.restart) | is_first
        following = jnp.where(row + 1 < self.rows, row + 1, 0)
        return jnp.where(begins, drawn, following)


@register_part
@dataclass(frozen=True)
class BarInside:
    """How a bar's log return comes about inside it.

    Attributes
    ----------
    root
        (assets, assets) symmetric root of the correlation of the log returns inside a bar.
    steps
        Steps in a bar; with one there is nothing inside.
    """

    root: jax.Array
    steps: int = field(metadata={"static": True})

    def begins(
        self, step: jax.Array, new: Callable[[], tuple[jax.Array, ...]], old: tuple[jax.Array, ...]
    ) -> tuple[jax.Array, ...]:
        """Return what ``new`` gives where a bar begins with the next step, else ``old``."""
        if self.steps == 1:
            return new()
        # all paths are at the same step: the other steps draw nothing
        return jax.lax.cond(step[0] % self.steps == 0, new, lambda: old)

    def walk(
        self, step: jax.Array, left: jax.Array, deviation: jax.Array, normals: jax.Array
    ) -> jax.Array:
        """Return the (assets, paths) log return of the next step.

        Parameters
        ----------
        step
            (paths,) steps taken before it.
        left
            (assets, paths) what is left of the bar's log return.
        deviation
            (assets, paths) standard deviations of a free step inside this bar.
        normals
            (assets, paths), independent and standard.
        """
        if self.steps == 1:
            return left
        remaining = (self.steps - step[0] % self.steps).astype(left.dtype)
        shock = deviation * matrix_product(self.root, normals)
        return left / remaining + jnp.sqrt((remaining - 1) / remaining) * shock

    def covariance_root(self, deviation: jax.Array) -> jax.Array:
        """Return roots of a step's covariance, (assets, assets, ...), for (assets, ...) deviations.

        NaN where a bar is one step: nothing is known of what is inside it.
        """
        root = self.root.reshape(*self.root.shape, *(1,) * (deviation.ndim - 1))
        known = deviation[:, None] * root
        return known if self.steps > 1 else jnp.full_like(known, jnp.nan)


def _share_of(bits: jax.Array, rows: int) -> jax.Array:
    """Return (paths,) ``floor(bits rows / 2^32)``, int32: uniform to one part in 2^32 / rows.

    The upper word of the product, from halves: not every run has 64-bit numbers.
    """
    high, low = bits >> 16, bits & 0xFFFF
    rows_high, rows_low = jnp.uint32(rows >> 16), jnp.uint32(rows & 0xFFFF)
    middle = high * rows_low + ((low * rows_low) >> 16)
    carried = (middle & 0xFFFF) + low * rows_high
    upper = high * rows_high + (middle >> 16) + (carried >> 16)
    return upper.astype(jnp.int32)


def rows_at(table: jax.Array, row: jax.Array) -> jax.Array:
    """Return (assets, paths) the rows of a (rows, assets) table."""
    return jnp.take(table, row, axis=0, mode="clip").T


@partial(jax.jit, static_argnames=("bars", "bar_steps"))
def drawn_rows(
    draw: RowDraw, seed: jax.Array, paths: jax.Array, *, bars: int, bar_steps: int
) -> jax.Array:
    """Return (bars, paths) the rows that paths draw, without simulating anything else.

    Parameters
    ----------
    draw
        That of the price model.
    seed, paths
        Seed and (paths,) path numbers, unsigned 32-bit, as the kernels have them.
    bars, bar_steps
        Bars of the horizon and steps in one.
    """
    keys = path_keys(seed, MODEL, paths)

    def advance(row: jax.Array, bar: jax.Array) -> tuple[jax.Array, jax.Array]:
        (of_bar,) = step_keys(keys, bar[None] * bar_steps + 1)
        row = draw.next(row, bar == 0, of_bar)
        return row, row

    start = jnp.zeros(paths.shape, jnp.int32)
    return jax.lax.scan(advance, start, jnp.arange(bars, dtype=jnp.int32))[1]
