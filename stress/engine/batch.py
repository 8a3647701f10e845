"""One batch of forced trades: all go in together, move the marks once, trade half-way and settle.

What is to be closed and sold stands in ``Ledger.chosen`` and ``Ledger.sold``, and the pairs that
trade in an ``Acting`` list. What stands there of other pairs is of earlier batches and counts for
nothing: emptying it would cost more than the batch. Each column trades at the place where it looks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias, TypeVar

import jax
import jax.numpy as jnp

from stress.engine.pairs import each_chunk, only_if
from stress.engine.span import Clock, Span
from stress.engine.watch import Book, Watch, exact_chunk
from stress.venue.holdings import Fates, Holdings, Ledger, Tally
from stress.venue.rules import VenueRules

__all__ = ["Acting", "Market", "State", "Trading", "asked_of_fund", "listed", "trade"]


Settled = TypeVar("Settled")

_Executed: TypeAlias = tuple[Ledger, jax.Array, jax.Array]
_Owed: TypeAlias = tuple[Ledger, Fates, jax.Array, jax.Array]


class Market(NamedTuple):
    """Forced flow, (assets, columns).

    Attributes
    ----------
    lasting, passing
        Net forced flow, buys positive, USD at fundamental prices: the share that never decays, and
        the rest as it stood at the step ``since``.
    since
        (columns,) number of the step of the last batch.
    by_group
        (2, groups, assets, paths) the same, lasting and passing, by the group that traded, in the
        columns of the first variant.
    history
        (delay, assets, columns) flow at the ends of the last steps, step t in row t mod delay.
    """

    lasting: jax.Array
    passing: jax.Array
    since: jax.Array
    by_group: jax.Array
    history: jax.Array


class Acting(NamedTuple):
    """Places in the watch's list of the pairs that trade in a batch, and how many there are."""

    slots: jax.Array
    length: jax.Array


class State(NamedTuple):
    """Everything that a look changes."""

    market: Market
    ledger: Ledger
    fates: Fates
    tally: Tally
    watch: Watch
    clock: Clock


@dataclass(frozen=True)
class Trading:
    """What a batch needs to know besides the state.

    ``price`` (assets,) marks at the start, USD; ``fading`` (steps + 1,) what so many steps leave
    of flow that decays.
    """

    price: jax.Array
    fading: jax.Array
    holdings: Holdings
    rules: VenueRules
    tolerance: float
    everyone: bool

    @classmethod
    def of(
        cls,
        price: jax.Array,
        holdings: Holdings,
        rules: VenueRules,
        *,
        steps: int,
        tolerance: float,
        everyone: bool,
    ) -> Trading:
        """Return it for a run of so many steps."""
        fading = rules.decay ** jnp.arange(steps + 1, dtype=price.dtype)
        return cls(price, fading, holdings, rules, tolerance, everyone)

    def book(self, state: State) -> Book:
        """Return what the bounds of the watch are made from."""
        return Book(
            self.price,
            self.holdings,
            self.rules,
            state.ledger,
            state.fates,
            self.tolerance,
            self.everyone,
        )

    def flow(self, market: Market, number: jax.Array) -> jax.Array:
        """Return (assets, columns) net forced flow after (columns,) steps."""
        return market.lasting + market.passing * self.fading[number - market.since][None]

    def marks(self, market: Market, span: Span, place: jax.Array) -> jax.Array:
        """Return (assets, columns) marks at (columns,) places, USD."""
        moves = self.rules.log_moves(self.flow(market, span.first + place))
        return self.price[:, None] * jnp.exp(fundamental(span, place, moves.shape[1]) + moves)

    def marks_of(self, state: State, span: Span, asset: jax.Array, column: jax.Array) -> jax.Array:
        """Return (rows, pairs) marks of assets in (pairs,) columns where they look now, USD."""
        market, place = state.market, state.clock.at[column]
        age = span.first + place - market.since[column]
        at = column[None]
        flow = market.lasting[asset, at] + market.passing[asset, at] * self.fading[age][None]
        return self._mark(span, asset, column, place, flow)

    def late_marks_of(
        self, state: State, span: Span, asset: jax.Array, column: jax.Array
    ) -> jax.Array:
        """Return the same as those see them who are late; at the start nobody is."""
        delay, place = self.rules.delay, state.clock.at[column]
        number = span.first + place
        flow = state.market.history[(number % delay)[None], asset, column[None]]
        late = self._mark(span, asset, column, place - delay, flow)
        return jnp.where(number > 0, late, self.marks_of(state, span, asset, column))

    def _mark(
        self,
        span: Span,
        asset: jax.Array,
        column: jax.Array,
        place: jax.Array,
        flow: jax.Array,
    ) -> jax.Array:
        paths = span.low.shape[1]
        variant = jnp.broadcast_to((column // paths)[None], asset.shape)
        node = span.nodes[(place + self.rules.delay)[None], asset, (column % paths)[None]]
        return self.price[asset] * jnp.exp(node + self.rules.log_move(flow, asset, variant))


def fundamental(span: Span, place: jax.Array, columns: int) -> jax.Array:
    """Return (assets, columns) fundamental log prices at (columns,) places of a span."""
    late = span.nodes.shape[0] - span.looks.shape[0]
    column = jnp.arange(columns, dtype=jnp.int32)[None]
    asset = jnp.arange(span.low.shape[0], dtype=jnp.int32)[:, None]
    return span.nodes[(place + late)[None], asset, column % span.low.shape[1]]


def listed(
    state: State, places: Acting, numbers: jax.Array, valid: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return places in the watch's list, pools and columns of some pairs.

    The place and the column of what is no pair lie beyond every array.
    """
    slots = places.slots[numbers]
    beyond = jnp.iinfo(jnp.int32).max
    pool, column = state.watch.pool[slots], state.watch.column[slots]
    return jnp.where(valid, slots, beyond), pool, jnp.where(valid, column, beyond)


def trade(
    with_: Trading,
    state: State,
    span: Span,
    acting: Acting,
    fee: jax.Array,
    deleveraged: jax.Array,
) -> State:
    """Push the flow, trade half-way between the marks, settle.

    Parameters
    ----------
    state
        With ``ledger.chosen`` and ``ledger.sold`` filled in for the acting pairs.
    acting
        Who trades.
    fee
        Share of the notional closed that goes to the insurance fund.
    deleveraged
        (columns,) where pools that do not act themselves may have been touched.
    """
    before = state
    state = _push(with_, state, span, acting)
    state = _execute(with_, before, state, span, acting, fee)
    return _settle(with_, state, span, acting, deleveraged)


def _push(with_: Trading, state: State, span: Span, acting: Acting) -> State:
    """Add the batch's flow to that of its assets, in USD at fundamental prices.

    Where marks leave the room that the watch allows for, the column becomes stale.
    """
    holdings, ledger, market, rules = with_.holdings, state.ledger, state.market, with_.rules
    columns, paths = market.lasting.shape[1], span.low.shape[1]

    def add(
        flow: tuple[jax.Array, jax.Array, jax.Array], numbers: jax.Array, valid: jax.Array
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        _, pool, column = listed(state, acting, numbers, valid)
        here = jnp.minimum(column, columns - 1)
        place, path = state.clock.at[here], here % paths
        total, by_group, trades = flow
        rows, coin_rows = holdings.rows[:, pool], holdings.coin_rows[:, pool]
        quantity = ledger.quantity[rows, here[None]]
        for asset, bought in (
            (holdings.asset[rows], -jnp.sign(quantity) * ledger.chosen[rows, here[None]]),
            (holdings.coin_asset[coin_rows], -ledger.sold[coin_rows, here[None]]),
        ):
            node = span.nodes[(place + rules.delay)[None], asset, path[None]]
            worth = bought * (with_.price[asset] * jnp.exp(node))
            if span.depth is not None:
                worth = worth / span.depth[place[None], asset, path[None]]
            # pair by pair, so that sums do not know which pairs go together
            total = total.at[asset.T, column[:, None]].add(worth.T, mode="drop")
            if holdings.groups:
                to = (holdings.group[pool][:, None], asset.T, column[:, None])
                by_group = by_group.at[to].add(worth.T, mode="drop")
        return total, by_group, trades.at[column].set(True, mode="drop")

    nobody = jnp.zeros((columns,), bool)
    start = (jnp.zeros_like(market.lasting), jnp.zeros_like(market.by_group[0]), nobody)
    flow, by_group, trades = each_chunk(acting.length, exact_chunk(holdings), add, start)
    number = span.first + state.clock.at
    left = jnp.where(trades, with_.fading[jnp.where(trades, number - market.since, 0)], 1)
    permanent = rules.permanent
    lasting = market.lasting + permanent * flow
    passing = market.passing * left[None] + (1 - permanent) * flow
    if holdings.groups:
        kept = jnp.stack([jnp.ones_like(left), left])[:, None, None, :paths]
        kept = market.by_group * kept
        by_group = kept + jnp.stack([permanent * by_group, (1 - permanent) * by_group])
    else:
        by_group = market.by_group
    moves = rules.log_moves(lasting + passing)
    settled = rules.log_moves(lasting)
    watch = state.watch
    outside = jnp.maximum(moves, settled) > watch.high
    outside = outside | (jnp.minimum(moves, settled) < watch.low)
    tally = state.tally
    overshoot = jnp.maximum(tally.overshoot, jnp.where(trades[None], jnp.abs(moves), 0))
    return state._replace(
        market=market._replace(
            lasting=lasting,
            passing=passing,
            since=jnp.where(trades, number, market.since),
            by_group=by_group,
        ),
        tally=tally._replace(overshoot=overshoot),
        watch=watch._replace(stale=watch.stale | (outside.any(axis=0) & trades)),
    )


def _execute(
    with_: Trading, before: State, state: State, span: Span, acting: Acting, fee: jax.Array
) -> State:
    """Trade half-way between the marks before and after: positions, cash, fees; coins without."""
    holdings = with_.holdings
    columns = state.ledger.fund.shape[0]

    def half_way(asset: jax.Array, column: jax.Array) -> jax.Array:
        ends = (with_.marks_of(of, span, asset, column) for of in (before, state))
        return sum(ends, start=jnp.zeros(asset.shape, with_.price.dtype)) / 2

    def execute(carry: _Executed, numbers: jax.Array, valid: jax.Array) -> _Executed:
        ledger, closed, drain = carry
        _, pool, column = listed(state, acting, numbers, valid)
        one = jnp.minimum(column, columns - 1)
        here = one[None]
        rows, coin_rows = holdings.rows[:, pool], holdings.coin_rows[:, pool]
        at = holdings.asset[rows]
        quantity, chosen = ledger.quantity[rows, here], ledger.chosen[rows, here]
        sold = ledger.sold[coin_rows, here]
        paid = half_way(at, one)
        notional = chosen * paid
        profit = jnp.sign(quantity) * chosen * (paid - holdings.entry[rows])
        left = jnp.abs(quantity) - chosen
        # a rest below the tolerance of the size loaded is dropped untraded
        dust = (chosen > 0) & (left < with_.tolerance * jnp.abs(holdings.quantity[rows]))
        left = jnp.where(dust, 0, jnp.sign(quantity) * left)
        proceeds = sold * half_way(holdings.coin_asset[coin_rows], one)
        fees = fee * notional.sum(axis=0)
        cash = ledger.cash[pool, one] + (profit.sum(axis=0) - fees) + proceeds.sum(axis=0)
        ledger = ledger._replace(
            cash=ledger.cash.at[pool, column].set(cash, mode="drop"),
            quantity=ledger.quantity.at[rows, column[None]].set(left, mode="drop"),
            coins=ledger.coins.at[coin_rows, column[None]].add(-sold, mode="drop"),
            fund=ledger.fund.at[column].add(fees, mode="drop"),
        )
        closed = closed.at[at.T, column[:, None]].add(notional.T, mode="drop")
        return ledger, closed, drain.at[column].add(-fees, mode="drop")

    tally = state.tally
    start = (state.ledger, tally.closed, tally.drain)
    ledger, closed, drain = each_chunk(acting.length, exact_chunk(holdings), execute, start)
    return state._replace(ledger=ledger, tally=tally._replace(closed=closed, drain=drain))


def _settle(
    with_: Trading, state: State, span: Span, acting: Acting, deleveraged: jax.Array
) -> State:
    """Hand empty isolated pools' cash over, record deficits, let the fund and others pay.

    A deleveraging touches pools that do not act themselves: in its columns all are settled.
    """
    holdings, columns = with_.holdings, state.ledger.fund.shape[0]
    chunk = exact_chunk(holdings)
    everyone = jnp.arange(holdings.pools, dtype=jnp.int32)

    def is_empty(ledger: Ledger, pool: jax.Array, here: jax.Array) -> jax.Array:
        return (ledger.quantity[holdings.rows[:, pool], here[None]] == 0).all(axis=0)

    def hand_over(ledger: Ledger, pool: jax.Array, column: jax.Array) -> Ledger:
        here = jnp.minimum(column, columns - 1)
        cash = ledger.cash[pool, here]
        gives = holdings.is_isolated[pool] & is_empty(ledger, pool, here) & (cash > 0)
        given = jnp.where(gives, cash, 0)
        to = jnp.where(gives, holdings.cross_pool[pool], holdings.pools)
        from_ = jnp.where(gives, pool, holdings.pools)
        moved = ledger.cash.at[to, column].add(given, mode="drop")
        return ledger._replace(cash=moved.at[from_, column].set(0, mode="drop"))

    def record(carry: _Owed, pool: jax.Array, column: jax.Array) -> _Owed:
        ledger, fates, deficits, forgiven = carry
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
            fates._replace(
                bankrupt=fates.bankrupt.at[broke, column].set(True, mode="drop"),
                owed=fates.owed.at[which, column].add(deficit, mode="drop"),
            ),
            deficits.at[column].add(deficit, mode="drop"),
            forgiven.at[column].add(jnp.where(owes, limit, 0), mode="drop"),
        )

    def for_all(
        settle: Callable[[Settled, jax.Array, jax.Array], Settled], carry: Settled
    ) -> Settled:
        def acting_ones(carry: Settled, numbers: jax.Array, valid: jax.Array) -> Settled:
            _, pool, column = listed(state, acting, numbers, valid)
            return settle(carry, pool, column)

        carry = each_chunk(acting.length, chunk, acting_ones, carry)
        if not with_.rules.backstop.deleverages:
            return carry

        def next_column(left: tuple[jax.Array, Settled]) -> tuple[jax.Array, Settled]:
            waiting, carry = left
            column = jnp.argmax(waiting).astype(jnp.int32)
            carry = settle(carry, everyone, jnp.full_like(everyone, column))
            return waiting.at[column].set(False), carry

        return jax.lax.while_loop(lambda left: left[0].any(), next_column, (deleveraged, carry))[1]

    ledger = state.ledger
    if holdings.has_isolated:
        ledger = for_all(hand_over, ledger)
    nothing = jnp.zeros_like(ledger.fund)
    owed = (ledger, state.fates, nothing, nothing)
    ledger, fates, deficits, forgiven = for_all(record, owed)
    state = state._replace(ledger=ledger, fates=fates)
    return _pay(with_, state, span, deficits, forgiven)


def _pay(
    with_: Trading, state: State, span: Span, deficits: jax.Array, forgiven: jax.Array
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

        def share(carry: tuple[Ledger, jax.Array]) -> tuple[Ledger, jax.Array]:
            after = with_.marks(state.market, span, jnp.maximum(state.clock.at, 0))
            return backstop.share_out(with_.holdings, carry[0], unpaid, after)

        # the winners' cash falls: who was safe may not be any more
        watch = watch._replace(stale=watch.stale | (unpaid > 0))
        ledger, shared = only_if((unpaid > 0).any(), share, (ledger, shared))
    drain = tally.drain + deficits
    tally = tally._replace(
        drain=drain,
        need=asked_of_fund(with_, tally, drain),
        drawn=tally.drawn + paid,
        exhausted=tally.exhausted | (unpaid > forgiven),
        socialised=tally.socialised + shared,
        uncovered=tally.uncovered + (unpaid - shared),
    )
    return state._replace(ledger=ledger, tally=tally, watch=watch)


def asked_of_fund(with_: Trading, tally: Tally, now: jax.Array) -> jax.Array:
    """Return (columns,) the most that the fund was asked for, with what it is asked for ``now``.

    Where others pay for an empty fund the path is another one from then on: what it asks for there
    is not what it would have asked of a larger fund, and does not count.
    """
    backstop, need = with_.rules.backstop, jnp.maximum(tally.need, now)
    if not (backstop.socialises or backstop.deleverages):
        return need
    return jnp.where(tally.need > with_.rules.fund, tally.need, need)
