"""A linear bound: which pools cannot be in breach or called anywhere in a box of marks.

The excess ``caution * equity - requirement`` of a pool (caution 1 for a breach, the warning level
for a margin call) is a sum over its positions and coins of functions of one mark each, and

* the requirement of a position is convex in its notional and 0 at 0, so that below a ceiling it is
  at most the notional times the average rate at the ceiling;
* profit less that of a long rises with its mark, because rates are below the warning level and
  hence below 1; that of a short falls; a coin's value rises.

So over a box of marks below the ceiling the excess is at least

    level + sum over slots of slope * mark at the slot's worse corner,

the low of a long's or coin's asset, the high of a short's. Where something may happen between the
nodes, a crossing is ruled out if the bound exceeds ``sqrt(n / 2)`` standard deviations of a step's
excess (``exp(-2 x x' / v)`` is then below ``exp(-n)``); a sum deviates by at most the sum of the
deviations, which are linear in the highs too: further slots with a negative slope.

Slopes and levels are lowered by more than the rounding of either side. Who holds an asset whose
mark is beyond the ceiling is not ruled out.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from stress.book.barriers import BREACH, CALL
from stress.engine.panels import Panel, over_slots
from stress.margin import maintenance

__all__ = ["NEGLIGIBLE", "Lines", "corners", "draw_lines", "in_doubt"]

NEGLIGIBLE = {"float32": 17.0, "float64": 37.0}
"""A crossing probability of exp(-n) is nothing beside 1."""

_CEILING = 4.0
"""Multiple of the starting mark up to which the bound holds: a higher one is less tight."""

_BEYOND = 1e30
"""USD: a mark above the ceiling stands at the worst end there is."""

_DENSE = 16
"""Rows of corners a slot up to which one product of matrices beats looking slots up."""


class Lines(NamedTuple):
    """The bound of (pools,) pools, for the breach and for the margin call (``BREACH``, ``CALL``).

    Attributes
    ----------
    row
        (slots, pools) row of ``corners`` of each slot.
    slope
        (2, slots, pools) units.
    level
        (2, pools) USD; infinite for a pool without positions.
    """

    row: jax.Array
    slope: jax.Array
    level: jax.Array

    def take(self, pools: jax.Array) -> Lines:
        """Return the lines of the pools with these indices, (pairs,)."""
        return Lines(
            jnp.take(self.row, pools, axis=1),
            jnp.take(self.slope, pools, axis=2),
            jnp.take(self.level, pools, axis=1),
        )

    def of_call(self, corners: jax.Array) -> jax.Array:
        """Return (pools, paths) the margin call's bound over (rows, paths) corners, USD.

        Who is in breach is called: it serves both.
        """
        slope, level = self.slope[CALL], self.level[CALL]
        slots, pools = slope.shape
        rows = corners.shape[0]
        if rows <= _DENSE * slots:
            columns = jnp.arange(pools, dtype=jnp.int32)
            weights = jnp.zeros((pools, rows), slope.dtype)
            weights = weights.at[columns[None], self.row].add(slope)
            return jnp.matmul(weights, corners, precision="highest") + level[:, None]

        def add(total: jax.Array, slot: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
            row, slope = slot
            return total + slope[:, None] * corners[row], None

        start = jnp.broadcast_to(level[:, None], (pools, corners.shape[1]))
        return over_slots(add, start, (self.row, slope))

    def of_pairs(self, corners: jax.Array, paths: jax.Array) -> jax.Array:
        """Return (2, pairs, blocks) the bounds of pairs over each block, USD; one pool a pair.

        Parameters
        ----------
        corners
            (rows, paths, blocks) USD.
        paths
            (pairs,) index of the pair's path.
        """

        def add(total: jax.Array, slot: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
            row, slope = slot
            return total + slope[:, :, None] * corners[row, paths][None], None

        start = jnp.broadcast_to(self.level[:, :, None], (*self.level.shape, corners.shape[2]))
        return over_slots(add, start, (self.row, jnp.moveaxis(self.slope, 1, 0)))


def draw_lines(
    panel: Panel, price: jax.Array, warning: jax.Array, *, tolerance: float, bridged: bool
) -> Lines:
    """Return the bound of a panel's pools.

    Parameters
    ----------
    price
        (assets,) marks at the start, USD.
    warning
        Level of the margin call, above all rates and at most 1.
    tolerance
        Relative rounding error that is allowed for.
    bridged
        Whether something may happen between the nodes.
    """
    assets, size = price.shape[0], jnp.abs(panel.quantity)
    most = size * price[panel.asset] * _CEILING
    held = most > 0
    rate = maintenance(most, panel.rate, panel.amount) / jnp.where(held, most, 1)
    at_entry = (panel.quantity * panel.entry).sum(axis=0)
    gross = jnp.abs(panel.cash) + (size * panel.entry).sum(axis=0)
    worth = panel.coin_quantity * (1 - panel.coin_haircut)
    rounding = 4 * tolerance

    def slopes(caution: jax.Array) -> jax.Array:
        positions = caution * panel.quantity - rate * size - 2 * rounding * size
        coins = caution * worth - rounding * panel.coin_quantity
        reaches = [-2 * size, -panel.coin_quantity] if bridged else []
        return jnp.concatenate([positions, coins, *reaches])

    def level(caution: jax.Array) -> jax.Array:
        safe = caution * (panel.cash - at_entry) - rounding * gross
        return jnp.where(held.any(axis=0), safe, jnp.inf)

    corner = panel.asset + jnp.where(panel.quantity < 0, assets, 0)
    reaches = [panel.asset + 2 * assets, panel.coin_asset + 2 * assets] if bridged else []
    cautions = (jnp.ones_like(warning), warning)
    assert (BREACH, CALL) == (0, 1)
    return Lines(
        row=jnp.concatenate([corner, panel.coin_asset, *reaches]),
        slope=jnp.stack([slopes(caution) for caution in cautions]),
        level=jnp.stack([level(caution) for caution in cautions]),
    )


def in_doubt(bound: jax.Array) -> jax.Array:
    """Return where a bound rules nothing out; not ``bound <= 0``: a NaN rules nothing out."""
    return ~(bound > 0)


def corners(
    low: jax.Array, high: jax.Array, price: jax.Array, reach: jax.Array | None
) -> jax.Array:
    """Return (rows, ...) what the slots of ``Lines`` are multiplied with, USD.

    Parameters
    ----------
    low, high
        (assets, ...) ends of the box, USD.
    price
        (assets, 1 or more) marks at the start, broadcast to ``low``, USD.
    reach
        (assets, ...) ``sqrt(n / 2)`` deviations of a step's log return; None where nothing happens
        between the nodes.
    """
    beyond = high > _CEILING * price
    # finite, so that it is nothing to those who do not hold the asset
    low = jnp.where(beyond, -_BEYOND, low)
    high = jnp.where(beyond, _BEYOND, high)
    rows = [low, high] if reach is None else [low, high, high * reach]
    return jnp.concatenate(rows)
