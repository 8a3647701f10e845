"""One batch of forced trades: all go in together, move the marks once, trade half-way and settle.

What is to be closed and sold stands in ``Ledger.chosen`` and ``Ledger.sold``, and the pairs that
trade in an ``Acting`` list. What stands there of other pairs is of earlier batches and counts for
nothing: emptying it would cost more than the batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from stress.engine.pairs import each_chunk, only_if
from stress.engine.watch import Watch, exact_chunk, refresh
from stress.venue.holdings import Fates, Holdings, Ledger, Tally
from stress.venue.rules import VenueRules

__all__ = ["Acting", "Market", "State", "trade"]


_Owed: TypeAlias = tuple[Ledger, jax.Array, jax.Array, jax.Array]
_Shared: TypeAlias = tuple[Ledger, jax.Array, Watch]


class Market(NamedTuple):
    """Prices and forced flow, (assets, columns).

    Attributes
    ----------
    fundamental
        Log prices that know nothing of the accounts, relative to the start.
    depth
        What depth is left of its normal value, above 0; (assets, paths).
    lasting, passing
        Net forced flow, buys positive, USD at fundamental prices: the share that never decays and
        the rest.
    by_group
        (2, groups, assets, columns) the same, lasting and passing, by the group that traded.
    """

    fundamental: jax.Array
    depth: jax.Array
    lasting: jax.Array
    passing: jax.Array
    by_group: jax.Array

    def log_marks(self, rules: VenueRules) -> jax.Array:
        """Return (assets, columns) log marks, relative to the start."""
        return self.fundamental + rules.log_moves(self.lasting + self.passing)


class Acting(NamedTuple):
    """Places in the watch's list of the pairs that trade in a batch, and how many there are."""

    slots: jax.Array
    length: jax.Array


class State(NamedTuple):
    """Everything that a step changes."""

    market: Market
    ledger: Ledger
    fates: Fates
    tally: Tally
    watch: Watch


@dataclass(frozen=True)
class Trading:
    """What a batch needs to know besides the state; ``price`` (assets,) marks at the start, USD."""

    price: jax.Array
    holdings: Holdings
    rules: VenueRules
    tolerance: float
    everyone: bool

    def marks(self, log_marks: jax.Array) -> jax.Array:
        """Return (assets, columns) marks in USD from log marks relative to the start."""
        return self.price[:, None] * jnp.exp(log_marks)


def trade(with_: Trading, state: State, acting: Acting, fee: jax.Array) -> State:
    """Push the flow, trade half-way between the marks, settle.

    Parameters
    ----------
    state
        With ``ledger.chosen`` and ``ledger.sold`` filled in for the acting pairs.
    acting
        Who trades.
    fee
        Share of the notional closed that goes to the insurance fund.
    """
    before = with_.marks(state.market.log_marks(with_.rules))
    market = _push(with_, state, acting)
    log_after = market.log_marks(with_.rules)
    after = with_.marks(log_after)
    moved = jnp.abs(log_after - market.fundamental)
    tally = state.tally
    tally = tally._replace(overshoot=jnp.maximum(tally.overshoot, moved))
    state = state._replace(market=market, tally=tally)
    state = _execute(with_, state, acting, (before + after) / 2, fee)
    return _settle(with_, state, acting, after)


def _pairs(
    state: State, acting: Acting, numbers: jax.Array, valid: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return places in the list, pools and columns; those of no pair lie beyond every array."""
    slots = acting.slots[numbers]
    beyond = jnp.iinfo(jnp.int32).max
    pool, column = state.watch.pool[slots], state.watch.column[slots]
    return jnp.where(valid, slots, beyond), pool, jnp.where(valid, column, beyond)


def _push(with_: Trading, state: State, acting: Acting) -> Market:
    """Add the batch's flow to that of its assets, in USD at fundamental prices."""
    holdings, ledger, market = with_.holdings, state.ledger, state.market
    fundamental = with_.marks(market.fundamental)
    paths = market.depth.shape[1]

    def add(
        flow: tuple[jax.Array, jax.Array], numbers: jax.Array, valid: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        _, pool, column = _pairs(state, acting, numbers, valid)
        here = jnp.minimum(column, fundamental.shape[1] - 1)
        total, by_group = flow
        rows, coin_rows = holdings.rows[:, pool], holdings.coin_rows[:, pool]
        for asset, bought in (
            (
                holdings.asset[rows],
                -jnp.sign(ledger.quantity[rows, here[None]]) * ledger.chosen[rows, here[None]],
            ),
            (holdings.coin_asset[coin_rows], -ledger.sold[coin_rows, here[None]]),
        ):
            worth = bought * fundamental[asset, here[None]]
            worth = worth / market.depth[asset, here[None] % paths]
            total = total.at[asset, column[None]].add(worth, mode="drop")
            if holdings.groups:
                group = jnp.broadcast_to(holdings.group[pool][None], asset.shape)
                by_group = by_group.at[group, asset, column[None]].add(worth, mode="drop")
        return total, by_group

    start = (jnp.zeros_like(market.lasting), jnp.zeros_like(market.by_group[0]))
    flow, by_group = each_chunk(acting.length, exact_chunk(holdings), add, start)
    permanent = with_.rules.permanent
    return market._replace(
        lasting=market.lasting + permanent * flow,
        passing=market.passing + (1 - permanent) * flow,
        by_group=market.by_group + jnp.stack([permanent * by_group, (1 - permanent) * by_group]),
    )


def _execute(
    with_: Trading, state: State, acting: Acting, price: jax.Array, fee: jax.Array
) -> State:
    """Trade at (assets, columns) prices: positions, cash, fees; coins without a fee."""
    holdings = with_.holdings

    def execute(
        carry: tuple[Ledger, jax.Array], numbers: jax.Array, valid: jax.Array
    ) -> tuple[Ledger, jax.Array]:
        ledger, closed = carry
        _, pool, column = _pairs(state, acting, numbers, valid)
        here = jnp.minimum(column, price.shape[1] - 1)[None]
        rows, coin_rows = holdings.rows[:, pool], holdings.coin_rows[:, pool]
        at = holdings.asset[rows]
        quantity, chosen = ledger.quantity[rows, here], ledger.chosen[rows, here]
        sold = ledger.sold[coin_rows, here]
        paid = price[at, here]
        notional = chosen * paid
        profit = jnp.sign(quantity) * chosen * (paid - holdings.entry[rows])
        left = jnp.abs(quantity) - chosen
        # a rest below the tolerance of the size loaded is dropped untraded
        dust = (chosen > 0) & (left < with_.tolerance * jnp.abs(holdings.quantity[rows]))
        left = jnp.where(dust, 0, jnp.sign(quantity) * left)
        proceeds = sold * price[holdings.coin_asset[coin_rows], here]
        fees = fee * notional.sum(axis=0)
        cash = ledger.cash[pool, here[0]] + (profit.sum(axis=0) - fees) + proceeds.sum(axis=0)
        ledger = ledger._replace(
            cash=ledger.cash.at[pool, column].set(cash, mode="drop"),
            quantity=ledger.quantity.at[rows, column[None]].set(left, mode="drop"),
            coins=ledger.coins.at[coin_rows, column[None]].add(-sold, mode="drop"),
            fund=ledger.fund.at[column].add(fees, mode="drop"),
        )
        return ledger, closed.at[at, column[None]].add(notional, mode="drop")

    start = (state.ledger, state.tally.closed)
    ledger, closed = each_chunk(acting.length, exact_chunk(holdings), execute, start)
    return state._replace(ledger=ledger, tally=state.tally._replace(closed=closed))


def _settle(with_: Trading, state: State, acting: Acting, after: jax.Array) -> State:
    """Hand empty isolated pools' cash over, record deficits, let the fund and others pay.

    A deleveraging touches pools that do not act themselves: then all pools are settled.
    """
    holdings, watch = with_.holdings, state.watch
    columns = state.ledger.fund.shape[0]
    everyone = watch.stale
    count = jnp.where(everyone, holdings.pools * columns, acting.length)
    chunk = exact_chunk(holdings)

    def pairs(numbers: jax.Array, valid: jax.Array) -> tuple[jax.Array, jax.Array]:
        slots = acting.slots[jnp.minimum(numbers, acting.slots.shape[0] - 1)]
        pool = jnp.where(everyone, numbers // columns, watch.pool[slots])
        column = jnp.where(everyone, numbers % columns, watch.column[slots])
        beyond = jnp.iinfo(jnp.int32).max
        return jnp.minimum(pool, holdings.pools - 1), jnp.where(valid, column, beyond)

    def is_empty(ledger: Ledger, pool: jax.Array, here: jax.Array) -> jax.Array:
        return (ledger.quantity[holdings.rows[:, pool], here[None]] == 0).all(axis=0)

    def hand_over(ledger: Ledger, numbers: jax.Array, valid: jax.Array) -> Ledger:
        pool, column = pairs(numbers, valid)
        here = jnp.minimum(column, columns - 1)
        cash = ledger.cash[pool, here]
        gives = holdings.is_isolated[pool] & is_empty(ledger, pool, here) & (cash > 0)
        given = jnp.where(gives, cash, 0)
        to = jnp.where(gives, holdings.cross_pool[pool], holdings.pools)
        from_ = jnp.where(gives, pool, holdings.pools)
        moved = ledger.cash.at[to, column].add(given, mode="drop")
        return ledger._replace(cash=moved.at[from_, column].set(0, mode="drop"))

    def record(carry: _Owed, numbers: jax.Array, valid: jax.Array) -> _Owed:
        ledger, bankrupt, deficits, forgiven = carry
        pool, column = pairs(numbers, valid)
        here = jnp.minimum(column, columns - 1)
        cash = ledger.cash[pool, here]
        coins = ledger.coins[holdings.coin_rows[:, pool], here[None]]
        owes = is_empty(ledger, pool, here) & (cash < 0) & (coins <= 0).all(axis=0)
        deficit = jnp.where(owes, -cash, 0)
        which = jnp.where(owes, pool, holdings.pools)
        limit = holdings.deficit_counted[pool]
        broke = jnp.where(deficit > limit, pool, holdings.pools)
        return (
            ledger._replace(cash=ledger.cash.at[which, column].set(0, mode="drop")),
            bankrupt.at[broke, column].set(True, mode="drop"),
            deficits.at[column].add(deficit, mode="drop"),
            forgiven.at[column].add(jnp.where(owes, limit, 0), mode="drop"),
        )

    ledger = state.ledger
    if holdings.has_isolated:
        ledger = each_chunk(count, chunk, hand_over, ledger)
    nothing = jnp.zeros_like(ledger.fund)
    owed = (ledger, state.fates.bankrupt, nothing, nothing)
    ledger, bankrupt, deficits, forgiven = each_chunk(count, chunk, record, owed)
    state = state._replace(ledger=ledger, fates=state.fates._replace(bankrupt=bankrupt))
    state = _pay(with_, state, deficits, forgiven, after)
    return _redraw(with_, state, acting)


def _pay(
    with_: Trading, state: State, deficits: jax.Array, forgiven: jax.Array, after: jax.Array
) -> State:
    """Pay (columns,) deficits out of the fund, then out of the backstop.

    Rounding alone does not exhaust a fund: only what is left unpaid above ``forgiven`` does. After
    a deleveraging pools owe what the fund has promised them, give or take a rounding.
    """
    backstop, tally = with_.rules.backstop, state.tally
    paid = jnp.minimum(jnp.maximum(state.ledger.fund, 0), deficits)
    unpaid = deficits - paid
    ledger = state.ledger._replace(fund=state.ledger.fund - paid)
    watch, shared = state.watch, jnp.zeros_like(unpaid)
    if backstop.socialises:
        # the winners' cash falls: who was safe may not be any more
        def share(carry: _Shared) -> _Shared:
            ledger, _, watch = carry
            ledger, taken = backstop.share_out(with_.holdings, ledger, unpaid, after)
            return ledger, taken, watch._replace(stale=jnp.ones((), bool))

        ledger, shared, watch = only_if((unpaid > 0).any(), share, (ledger, shared, watch))
    tally = tally._replace(
        drawn=tally.drawn + paid,
        exhausted=tally.exhausted | (unpaid > forgiven),
        socialised=tally.socialised + shared,
        uncovered=tally.uncovered + (unpaid - shared),
    )
    return state._replace(ledger=ledger, tally=tally, watch=watch)


def _redraw(with_: Trading, state: State, acting: Acting) -> State:
    """Draw the bounds of the pairs that traded anew."""
    holdings, rules = with_.holdings, with_.rules

    def redraw(watch: Watch, numbers: jax.Array, valid: jax.Array) -> Watch:
        slots = jnp.where(valid, acting.slots[numbers], watch.pool.shape[0])
        return refresh(
            watch,
            slots,
            holdings,
            state.ledger,
            state.fates,
            rules,
            tolerance=with_.tolerance,
            everyone=with_.everyone,
        )

    watch = each_chunk(acting.length, exact_chunk(holdings), redraw, state.watch)
    return state._replace(watch=watch)
