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

    ``uncovered`` is what nobody paid; ``drain`` deficits less fees so far, ``need`` the most that
    it ever was, 0 at least: a fund that starts with less is exhausted, one that does not is not.
    They are counted from 0, apart from ``fund``, so that a large balance takes no digits from them.
    All but ``exhausted`` in USD.
    """

    fund: jax.Array
    drawn: jax.Array
    exhausted: jax.Array
    uncovered: jax.Array
    drain: jax.Array
    need: jax.Array

    @classmethod
    def full(cls, fund: jax.Array, paths: int) -> Purse:
        """Return the fund at the start of (paths,) paths; ``fund`` is its balance, USD."""
        nothing = jnp.zeros((paths,), fund.dtype)
        never = jnp.zeros((paths,), bool)
        return cls(nothing + fund, nothing, never, nothing, nothing, nothing)


def empty_till(traded: jax.Array, first: jax.Array, steps: int) -> Till:
    """Return a till for some steps; ``traded`` (assets, paths) USD is carried on."""
    nothing = jnp.zeros((steps, traded.shape[1]), traded.dtype)
    return Till(first, traded, nothing, nothing, nothing)


def settle(purse: Purse, till: Till, fee: jax.Array) -> Purse:
    """Return the purse after the block: fees come in first, then deficits are paid."""

    def pay(purse: Purse, owed: jax.Array) -> Purse:
        paid = jnp.minimum(jnp.maximum(purse.fund, 0), owed)
        unpaid = owed - paid
        drain = purse.drain + owed
        return Purse(
            purse.fund - paid,
            purse.drawn + paid,
            purse.exhausted | (unpaid > 0),
            purse.uncovered + unpaid,
            drain,
            jnp.maximum(purse.need, drain),
        )

    def one_step(purse: Purse, step: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[Purse, None]:
        notional, owed, owed_late = step
        fees = fee * notional
        purse = purse._replace(fund=purse.fund + fees, drain=purse.drain - fees)
        return pay(pay(purse, owed), owed_late), None

    return jax.lax.scan(one_step, purse, (till.notional, till.owed, till.owed_late))[0]
