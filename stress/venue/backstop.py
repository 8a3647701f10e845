"""What happens to a deficit that the insurance fund does not pay in full."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp

from stress.margin import in_breach
from stress.pytree import register_part
from stress.venue.holdings import Holdings, Ledger, gather
from stress.venue.judged import Tables, judge

__all__ = ["AutoDeleverage", "Backstop", "Socialised", "Uncovered"]


class Backstop(Protocol):
    """What the engine asks of a backstop.

    ``deleverages``: whether ``deleverage`` does anything; ``socialises``: whether ``share_out``
    does. A backstop that does neither leaves the deficit as uncovered loss.
    """

    deleverages: bool
    socialises: bool

    def deleverage(
        self,
        holdings: Holdings,
        ledger: Ledger,
        short: jax.Array,
        marks: jax.Array,
        tables: Tables,
        tolerance: float,
    ) -> tuple[Ledger, jax.Array]:
        """Close positions against winners before the market trades.

        Parameters
        ----------
        short
            (pools, columns) what pools that were chosen in this round are short of, ``-W`` where
            their net worth W is negative, else 0, USD.
        marks
            (assets, columns) of this moment, USD.

        Returns
        -------
        The ledger, its ``chosen`` less what changed hands, and (columns,) the notional of that at
        offer prices, USD.
        """
        ...

    def share_out(
        self, holdings: Holdings, ledger: Ledger, unpaid: jax.Array, marks: jax.Array
    ) -> tuple[Ledger, jax.Array]:
        """Take (columns,) unpaid deficits from others; return the ledger and what was taken."""
        ...


class _Passive:
    """Neither deleverages nor shares out."""

    deleverages = False
    socialises = False

    def deleverage(
        self,
        holdings: Holdings,
        ledger: Ledger,
        short: jax.Array,
        marks: jax.Array,
        tables: Tables,
        tolerance: float,
    ) -> tuple[Ledger, jax.Array]:
        """Do nothing."""
        return ledger, jnp.zeros_like(ledger.fund)

    def share_out(
        self, holdings: Holdings, ledger: Ledger, unpaid: jax.Array, marks: jax.Array
    ) -> tuple[Ledger, jax.Array]:
        """Take nothing."""
        return ledger, jnp.zeros_like(unpaid)


@register_part
@dataclass(frozen=True)
class Uncovered(_Passive):
    """The deficit is recorded as uncovered loss."""


@register_part
@dataclass(frozen=True)
class Socialised(_Passive):
    """Pools with positive unrealised profit pay pro rata to it, at most all of it."""

    socialises = True

    def share_out(
        self, holdings: Holdings, ledger: Ledger, unpaid: jax.Array, marks: jax.Array
    ) -> tuple[Ledger, jax.Array]:
        """Take the deficits out of the winners' cash.

        Pools that left a deficit have no positions any more, so they have no profit to pay from.
        """
        mark = marks[holdings.asset]
        profit = ledger.quantity * (mark - holdings.entry[:, None])
        by_pool = jax.ops.segment_sum(
            profit, holdings.pool, num_segments=holdings.pools + 1, indices_are_sorted=True
        )[:-1]
        gain = jnp.maximum(by_pool, 0)
        total = gain.sum(axis=0)
        taken = jnp.minimum(unpaid, total)
        share = taken / jnp.where(total > 0, total, 1)
        return ledger._replace(cash=ledger.cash - gain * share[None]), taken


@register_part
@dataclass(frozen=True)
class AutoDeleverage(_Passive):
    """Bankrupt positions are closed against the best-ranked winners, at the bankruptcy price."""

    deleverages = True

    def deleverage(
        self,
        holdings: Holdings,
        ledger: Ledger,
        short: jax.Array,
        marks: jax.Array,
        tables: Tables,
        tolerance: float,
    ) -> tuple[Ledger, jax.Array]:
        """Match offers and takers, column by column: few columns have any."""
        waiting = (short > 0).any(axis=0)

        def next_column(
            carry: tuple[jax.Array, Ledger, jax.Array],
        ) -> tuple[jax.Array, Ledger, jax.Array]:
            waiting, ledger, notional = carry
            column = jnp.argmax(waiting).astype(jnp.int32)
            ledger, changed = _one_column(
                holdings, ledger, short[:, column], marks[:, column], tables, tolerance, column
            )
            return waiting.at[column].set(False), ledger, notional.at[column].set(changed)

        start = (waiting, ledger, jnp.zeros_like(ledger.fund))
        _, ledger, notional = jax.lax.while_loop(lambda carry: carry[0].any(), next_column, start)
        return ledger, notional


class _Queues(NamedTuple):
    """Offers and takers of one column, in the order in which they are served.

    ``offers`` and ``takers`` are positions; only the first ``offering`` and ``taking`` of them
    count. ``seat`` (positions + 1,) numbers asset and side of an offer, and of what a taker takes;
    ``first`` (seats,) is where the takers of a seat begin. ``price`` (positions + 1,) of an offer.
    """

    offers: jax.Array
    offering: jax.Array
    takers: jax.Array
    taking: jax.Array
    seat: jax.Array
    first: jax.Array
    price: jax.Array


class _Match(NamedTuple):
    """How far the matching is: heads of the queues, sizes that are left, cash, notional."""

    offer: jax.Array
    taker: jax.Array
    left: jax.Array
    cash: jax.Array
    notional: jax.Array


def _one_column(
    holdings: Holdings,
    ledger: Ledger,
    short: jax.Array,
    marks: jax.Array,
    tables: Tables,
    tolerance: float,
    column: jax.Array,
) -> tuple[Ledger, jax.Array]:
    quantity = ledger.quantity[:, column]
    queues = _queues(holdings, ledger, short, marks, tables, tolerance, column)

    def serve(match: _Match) -> _Match:
        offer = queues.offers[match.offer]
        seat = queues.seat[offer]
        place = jnp.maximum(match.taker, queues.first[seat])
        taker = queues.takers[place]
        meets = (place < queues.taking) & (queues.seat[taker] == seat)
        filled = jnp.where(meets, jnp.minimum(match.left[offer], match.left[taker]), 0)
        left = match.left.at[offer].add(-filled).at[taker].add(-filled)
        price = queues.price[offer]
        gain = filled * (price - holdings.entry[jnp.stack([offer, taker])])
        signs = jnp.sign(quantity[jnp.stack([offer, taker])])
        cash = match.cash.at[holdings.pool[jnp.stack([offer, taker])]].add(
            signs * gain, mode="drop"
        )
        # one of the two is exactly used up: subtracting the smaller from itself leaves 0
        served = ~meets | (left[offer] <= 0)
        used = meets & (left[taker] <= 0)
        return _Match(
            offer=match.offer + served.astype(jnp.int32),
            taker=place + used.astype(jnp.int32),
            left=left,
            cash=cash,
            notional=match.notional + filled * price,
        )

    size = jnp.abs(quantity)
    zero = jnp.zeros((), jnp.int32)
    start = _Match(zero, zero, size, ledger.cash[:, column], jnp.zeros((), size.dtype))
    end = jax.lax.while_loop(lambda match: match.offer < queues.offering, serve, start)
    exchanged = size - end.left
    # what is left of less than the tolerance of the size loaded is dropped untraded
    dust = (exchanged > 0) & (end.left < tolerance * jnp.abs(holdings.quantity))
    left = jnp.where(dust, 0, end.left)
    chosen = jnp.minimum(jnp.maximum(ledger.chosen[:, column] - exchanged, 0), left)
    ledger = ledger._replace(
        cash=ledger.cash.at[:, column].set(end.cash),
        quantity=ledger.quantity.at[:, column].set(jnp.sign(quantity) * left),
        chosen=ledger.chosen.at[:, column].set(chosen),
    )
    return ledger, end.notional


def _queues(
    holdings: Holdings,
    ledger: Ledger,
    short: jax.Array,
    marks: jax.Array,
    tables: Tables,
    tolerance: float,
    column: jax.Array,
) -> _Queues:
    everyone = jnp.arange(holdings.pools, dtype=jnp.int32)
    some = gather(holdings, ledger, everyone, jnp.full_like(everyone, column))
    pools = judge(some, marks[some.asset], marks[some.coin_asset], tables)
    broken = in_breach(pools.equity, pools.total_required, pools.total_notional, tolerance)
    # the fund is promised in file order; a promise reserves nothing
    before = jnp.cumsum(short) - short
    promise = jnp.clip(ledger.fund[column] - before, 0, short)
    deficit = short - promise
    offering = deficit > 0

    def of_positions(of_pools: jax.Array, empty: float | bool) -> jax.Array:
        last = jnp.full((1,), empty, of_pools.dtype)
        return jnp.concatenate([of_pools, last])[holdings.pool]

    quantity = ledger.quantity[:, column]
    side, mark = jnp.sign(quantity), marks[holdings.asset]
    notional, profit = jnp.abs(quantity) * mark, quantity * (mark - holdings.entry)
    per_notional = deficit / jnp.where(pools.total_notional > 0, pools.total_notional, 1)
    price = mark * (1 + side * of_positions(per_notional, 0.0))
    offers = of_positions(offering, False) & (quantity != 0)
    excluded = of_positions(offering | broken, True)
    takers = ~excluded & (quantity != 0) & (profit > tolerance * notional)
    equity = of_positions(pools.equity, 1.0)
    at_entry = jnp.abs(quantity) * holdings.entry
    rank = (profit / jnp.where(takers, at_entry, 1)) * (notional / jnp.where(takers, equity, 1))

    # an offer of a long is taken by a short: the seat of both is the offer's asset and side
    long = jnp.where(offers, quantity > 0, quantity < 0)
    seats = 2 * marks.shape[0]
    seat = 2 * holdings.asset + long.astype(jnp.int32)
    offer_order = jnp.argsort(jnp.where(offers, seat, seats), stable=True)
    taker_seat = jnp.where(takers, seat, seats)
    taker_order = jnp.lexsort((-rank, taker_seat))
    return _Queues(
        offers=offer_order.astype(jnp.int32),
        offering=offers.sum(dtype=jnp.int32),
        takers=taker_order.astype(jnp.int32),
        taking=takers.sum(dtype=jnp.int32),
        seat=seat,
        first=jnp.searchsorted(taker_seat[taker_order], jnp.arange(seats, dtype=jnp.int32)).astype(
            jnp.int32
        ),
        price=price,
    )
