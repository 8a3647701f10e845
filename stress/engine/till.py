"""Fees and deficits of closed pools, step by step, and the insurance fund that takes and pays them.

Nothing that a fund pays comes back to a pool, so first passage can settle it afterwards.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

__all__ = ["Purse", "Till", "empty_till", "settle"]


class Till(NamedTuple):
    """What the pools that were closed in a time block traded and owed; USD.

    Attributes
    ----------
    first
        Number of the step of row 0.
    traded
        (assets, paths) notional closed since the start.
    notional
        (steps, paths) notional closed at each step of the block.
    owed, owed_late
        (steps, paths) deficits left in the first round of a step, and in the second by pools that
        sold coins first.
    """

    first: jax.Array
    traded: jax.Array
    notional: jax.Array
    owed: jax.Array
    owed_late: jax.Array


class Purse(NamedTuple):
    """The insurance fund, (paths,): balance, what it paid, whether a deficit was not paid in full.

    ``uncovered`` is what nobody paid. All but ``exhausted`` in USD.
    """

    fund: jax.Array
    drawn: jax.Array
    exhausted: jax.Array
    uncovered: jax.Array


def empty_till(traded: jax.Array, first: jax.Array, steps: int) -> Till:
    """Return a till for some steps; ``traded`` (assets, paths) USD is carried on."""
    nothing = jnp.zeros((steps, traded.shape[1]), traded.dtype)
    return Till(first, traded, nothing, nothing, nothing)


def settle(purse: Purse, till: Till, fee: jax.Array) -> Purse:
    """Return the purse after the block: fees come in first, then deficits are paid."""

    def pay(purse: Purse, owed: jax.Array) -> Purse:
        paid = jnp.minimum(jnp.maximum(purse.fund, 0), owed)
        unpaid = owed - paid
        return Purse(
            purse.fund - paid,
            purse.drawn + paid,
            purse.exhausted | (unpaid > 0),
            purse.uncovered + unpaid,
        )

    def one_step(purse: Purse, step: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[Purse, None]:
        notional, owed, owed_late = step
        purse = purse._replace(fund=purse.fund + fee * notional)
        return pay(pay(purse, owed), owed_late), None

    return jax.lax.scan(one_step, purse, (till.notional, till.owed, till.owed_late))[0]
