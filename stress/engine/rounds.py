"""What a step does once prices have moved: controls, then rounds of looking and trading.

Every column is at a place of its own. One *look* (``look``) takes all columns that have somebody
due to the next places at which they have: there the controls are obeyed, or one round is taken.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from stress.engine.batch import Acting, Market, State, Trading, asked_of_fund, listed, trade
from stress.engine.pairs import each_chunk, only_if
from stress.engine.span import Span
from stress.engine.watch import (
    AS_LOADED,
    TRADED,
    Watch,
    due_now,
    exact_chunk,
    list_stale,
    looks_healthy,
    next_places,
    refresh,
)
from stress.margin import in_breach, margin_call
from stress.venue.holdings import Fates, Holdings, Ledger, Tally, gather
from stress.venue.judged import Judged, Some, judge

__all__ = ["Lists", "look", "no_lists", "obey_controls", "one_round", "reach"]


class Lists(NamedTuple):
    """Room for the pairs that are due and that act; handed on so that nothing is copied.

    ``money`` (capacity,) USD: what each pair that is due asks for, or is short of.
    """

    due: Acting
    acting: Acting
    money: jax.Array


_Firing: TypeAlias = tuple[Ledger, Acting]
_Deciding: TypeAlias = tuple[
    Ledger, Fates, Tally, Acting, jax.Array, jax.Array, jax.Array, jax.Array
]

_ROOM = 0.25, 1e-3
"""Share of the move by forced flow, and log price, by which further flow may move marks before a
column must be listed anew: more room lists more pairs, less lasts less long."""


def no_lists(capacity: int, dtype: jnp.dtype) -> Lists:
    """Return lists with room for so many pairs."""
    empty = Acting(jnp.zeros((capacity,), jnp.int32), jnp.zeros((), jnp.int32))
    return Lists(empty, empty, jnp.zeros((capacity,), dtype))


def _room(
    with_: Trading, market: Market, span: Span, floor: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Return (assets, columns) least and largest move of the log marks by forced flow.

    They hold the moves that anybody sees from (columns,) places on, if nobody trades: flow that
    decays is monotone, so that it lies between what it is and what lasts. And some flow to come.
    """
    rules = with_.rules
    moves = [
        rules.log_moves(with_.flow(market, span.first + floor)),
        rules.log_moves(market.lasting),
    ]
    if rules.delay:
        moves.append(rules.log_moves(market.lasting + market.passing))
        moves += [rules.log_moves(flow) for flow in market.history]
    low = jnp.stack(moves).min(axis=0)
    high = jnp.stack(moves).max(axis=0)
    columns = low.shape[1]
    reacts = jnp.repeat(rules.reacts(), columns // len(rules.variants))
    share, least = _ROOM
    more = share * jnp.maximum(jnp.abs(low), jnp.abs(high)) + least
    more = jnp.where(reacts[None], more, 0)
    return low - more, high + more


def look(with_: Trading, state: State, span: Span, lists: Lists) -> tuple[State, Lists]:
    """Take every column that has somebody due to its next look, and look."""
    state = reach(with_, state, span)
    if with_.holdings.has_stops or with_.holdings.has_top_ups:
        state, lists = obey_controls(with_, state, span, lists)
    return one_round(with_, state, span, lists)


def reach(with_: Trading, state: State, span: Span) -> State:
    """Return the state with no column stale and every column at the place of its next look."""
    return _moved(with_, _watched(with_, state, span), span)


def one_round(with_: Trading, state: State, span: Span, lists: Lists) -> tuple[State, Lists]:
    """Judge who is due, and let those trade on whom somebody acts.

    After the last round of a step it is only asked whether there was more to do.
    """
    due = Acting(*due_now(state.watch, state.clock.at, lists.due.slots))
    state, lists, acted = _decide(with_, state, span, lists._replace(due=due))
    state, deleveraged = _deleverage(with_, state, span, lists)
    state = only_if(
        lists.acting.length > 0,
        lambda state: trade(with_, state, span, lists.acting, with_.rules.fee, deleveraged),
        state,
    )
    clock = state.clock
    looks = clock.at >= 0
    clock = clock._replace(
        acted=jnp.where(looks, acted, clock.acted),
        round=jnp.where(looks, clock.round + 1, clock.round),
    )
    return _judged_again(with_, state._replace(clock=clock), span, lists), lists


def _watched(with_: Trading, state: State, span: Span) -> State:
    """Return the state with no column stale."""

    def renew(state: State) -> State:
        floor = state.clock.floor
        watch = list_stale(
            state.watch,
            with_.book(state),
            span,
            _room(with_, state.market, span, floor),
            floor,
        )
        return state._replace(watch=watch)

    return only_if(state.watch.stale.any(), renew, state)


def _moved(with_: Trading, state: State, span: Span) -> State:
    """Return the state with every column at the place of its next look.

    One at which nobody acted is done with its step; so is one at which somebody did, if nobody is
    due there any more.
    """
    clock, at = state.clock, next_places(state.watch)
    looks = at >= 0
    stays = looks & (at == clock.place)
    seen = jnp.cumsum(span.looks, dtype=jnp.int32)
    before = jnp.concatenate([jnp.zeros((1,), jnp.int32), seen])
    passed = before[jnp.maximum(at, 0)] - before[clock.place + 1]
    moved = looks & ~stays
    skips = (moved & ((passed > 0) | clock.owes_look(with_.rules.rounds))).astype(jnp.int32)
    # after the last round nobody looks any more: it is only counted who might have
    ended = stays & (clock.round >= with_.rules.rounds)
    market = state.market
    if with_.rules.delay:
        market = market._replace(history=_remembered(with_, market, span, at, moved))
    return state._replace(
        market=market,
        clock=clock._replace(
            place=jnp.where(looks, at, clock.place),
            at=at,
            round=jnp.where(moved, 0, clock.round),
            acted=jnp.where(moved, False, clock.acted),
            controlled=jnp.where(moved, span.first + at == 0, clock.controlled),
            looks=clock.looks + (looks & ~ended).astype(jnp.int32) + skips,
        ),
    )


def _remembered(
    with_: Trading,
    market: Market,
    span: Span,
    at: jax.Array,
    moved: jax.Array,
) -> jax.Array:
    """Return the flow at the ends of the ``delay`` steps before the places that are reached.

    Since the last batch flow only decayed; what was before it was written down when its step was
    reached. Before the start stands the flow at the end of step 0.
    """
    delay = with_.rules.delay
    number = span.first + at

    def at_row(row: jax.Array, flow: jax.Array) -> jax.Array:
        step = number - 1 - (number - 1 - row) % delay
        counted = jnp.maximum(step, 0)
        new = moved & (counted >= market.since)
        age = jnp.where(new, counted - market.since, 0)
        decayed = market.lasting + market.passing * with_.fading[age][None]
        return jnp.where(new[None], decayed, flow)

    rows = jnp.arange(delay, dtype=jnp.int32)
    return jax.vmap(at_row)(rows, market.history)


def _judged_again(with_: Trading, state: State, span: Span, lists: Lists) -> State:
    """Return the state with it known when the pairs that were due are due next."""

    def again(watch: Watch, numbers: jax.Array, valid: jax.Array) -> Watch:
        slots, _, _ = listed(state, lists.due, numbers, valid)
        clock = state.clock
        return refresh(watch, with_.book(state), span, clock.floor, clock.at, slots)

    chunk = exact_chunk(with_.holdings)
    return state._replace(watch=each_chunk(lists.due.length, chunk, again, state.watch))


# --- controls -------------------------------------------------------------------------------------


def obey_controls(with_: Trading, state: State, span: Span, lists: Lists) -> tuple[State, Lists]:
    """Top pools up from their accounts' reserves, then stop positions out, in one batch.

    In columns that have come to a new step. Then rounds begin there.
    """
    holdings, clock = with_.holdings, state.clock
    obeys = (clock.at >= 0) & ~clock.controlled
    at = jnp.where(obeys, clock.at, -2)
    lists = lists._replace(due=Acting(*due_now(state.watch, at, lists.due.slots)))
    if holdings.has_top_ups:
        state, lists = _top_up(with_, state, span, lists)
    if holdings.has_stops:
        state, lists = _stop_out(with_, state, span, lists)
        state = only_if(
            lists.acting.length > 0,
            lambda state: trade(
                with_,
                state,
                span,
                lists.acting,
                jnp.zeros_like(with_.rules.fee),
                jnp.zeros_like(obeys),
            ),
            state,
        )
    # the step's first look is still to come
    clock = state.clock
    clock = clock._replace(acted=clock.acted | obeys, controlled=clock.controlled | obeys)
    state = _judged_again(with_, state._replace(clock=clock), span, lists)
    state = _watched(with_, state, span)
    # where nobody is due any more nobody need look
    here = next_places(state.watch) == state.clock.at
    clock = state.clock._replace(at=jnp.where(here, state.clock.at, -2))
    return state._replace(clock=clock), lists


def _top_up(with_: Trading, state: State, span: Span, lists: Lists) -> tuple[State, Lists]:
    """Draw from reserves; an account's pools draw in file order, while there is something left."""
    holdings, columns = with_.holdings, state.ledger.fund.shape[0]

    def ask(
        carry: tuple[jax.Array, jax.Array], numbers: jax.Array, valid: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        money, anybody = carry
        _, pool, column = listed(state, lists.due, numbers, valid)
        _, at = _judged(with_, state, span, pool, jnp.minimum(column, columns - 1))
        asks = margin_call(at.equity, at.total_required, at.total_notional, holdings.trigger[pool])
        target = holdings.target[pool]
        # an account that states no top-up has an infinite target
        asks = asks & jnp.isfinite(target) & valid
        need = jnp.maximum(jnp.where(asks, at.total_required / target - at.equity, 0), 0)
        return money.at[numbers].set(need, mode="drop"), anybody | (need > 0).any()

    chunk = exact_chunk(holdings)
    start = (lists.money, jnp.zeros((), bool))
    money, anybody = each_chunk(lists.due.length, chunk, ask, start)

    def draw(ledger: Ledger) -> Ledger:
        def note(needs: jax.Array, numbers: jax.Array, valid: jax.Array) -> jax.Array:
            _, pool, column = listed(state, lists.due, numbers, valid)
            return needs.at[pool, column].set(money[numbers], mode="drop")

        needs = each_chunk(lists.due.length, chunk, note, jnp.zeros_like(ledger.cash))

        def next_sibling(
            carry: tuple[jax.Array, jax.Array], pools: jax.Array
        ) -> tuple[tuple[jax.Array, jax.Array], None]:
            cash, reserve = carry
            # a missing sibling points beyond the pools: it asks for nothing, gets nothing
            asked = needs.at[pools].get(mode="fill", fill_value=0)
            drawn = jnp.minimum(asked, reserve)
            return (cash.at[pools].add(drawn, mode="drop"), reserve - drawn), None

        start = (ledger.cash, ledger.reserve)
        (cash, reserve), _ = jax.lax.scan(next_sibling, start, holdings.siblings)
        return ledger._replace(cash=cash, reserve=reserve)

    ledger = only_if(anybody, draw, state.ledger)
    return state._replace(ledger=ledger), lists._replace(money=money)


def _stop_out(with_: Trading, state: State, span: Span, lists: Lists) -> tuple[State, Lists]:
    """Choose whole the positions whose marks are at or beyond their stops."""
    holdings, columns = with_.holdings, state.ledger.fund.shape[0]

    def fire(carry: _Firing, numbers: jax.Array, valid: jax.Array) -> _Firing:
        ledger, acting = carry
        slots, pool, column = listed(state, lists.due, numbers, valid)
        here = jnp.minimum(column, columns - 1)
        rows = holdings.rows[:, pool]
        quantity = ledger.quantity[rows, here[None]]
        mark = with_.marks_of(state, span, holdings.asset[rows], here)
        fires = jnp.sign(quantity) * (holdings.stop[rows] - mark) >= 0
        chosen = jnp.where(fires & (quantity != 0), jnp.abs(quantity), 0)
        acting = _append(acting, slots, (chosen > 0).any(axis=0) & valid)
        noted = ledger.chosen.at[rows, column[None]].set(chosen, mode="drop")
        return ledger._replace(
            chosen=noted, sold=_sell_nothing(holdings, ledger, pool, column)
        ), acting

    none = Acting(lists.acting.slots, jnp.zeros((), jnp.int32))
    ledger, acting = each_chunk(lists.due.length, exact_chunk(holdings), fire, (state.ledger, none))
    return state._replace(ledger=ledger), lists._replace(acting=acting)


def _judged(
    with_: Trading, state: State, span: Span, pool: jax.Array, column: jax.Array
) -> tuple[Some, Judged]:
    """Return (pairs,) pools in (pairs,) columns at the marks of the moment."""
    some = gather(with_.holdings, state.ledger, pool, column)
    mark = with_.marks_of(state, span, some.asset, column)
    coin_mark = with_.marks_of(state, span, some.coin_asset, column)
    return some, judge(some, mark, coin_mark, with_.rules.tables)


def _sell_nothing(
    holdings: Holdings, ledger: Ledger, pool: jax.Array, column: jax.Array
) -> jax.Array:
    return ledger.sold.at[holdings.coin_rows[:, pool], column[None]].set(0, mode="drop")


def _append(acting: Acting, slots: jax.Array, which: jax.Array) -> Acting:
    """Return the list with those of (pairs,) places that are wanted."""
    rank = acting.length + jnp.cumsum(which, dtype=jnp.int32) - 1
    end = acting.slots.shape[0]
    return Acting(
        acting.slots.at[jnp.where(which, rank, end)].set(slots, mode="drop"),
        acting.length + which.sum(dtype=jnp.int32),
    )


# --- rounds ---------------------------------------------------------------------------------------


def _sells(some: Some) -> jax.Array:
    """Return (pairs,) whether a pool is out of positions, owes and holds coins."""
    return (some.cash < 0) & (some.quantity == 0).all(axis=0) & (some.coin_quantity > 0).any(axis=0)


def _sells_for_more_than_rounding(holdings: Holdings, some: Some, pool: jax.Array) -> jax.Array:
    """Return (pairs,) whether a pool sells coins for a debt that counts in rounds exhausted."""
    return _sells(some) & (-some.cash > holdings.deficit_counted[pool])


class _Decided(NamedTuple):
    """What deciders chose of some pairs.

    ``chosen`` (slots, pairs) units; ``acts`` (pairs,) whether anybody acts; ``falsely`` (pairs,)
    how many did although the pool is not in breach; ``over`` (pairs,) USD beyond a leader's closes;
    ``loser`` (pairs,) the slot of the largest loser at the marks that the first decider sees.
    """

    chosen: jax.Array
    acts: jax.Array
    falsely: jax.Array
    over: jax.Array
    loser: jax.Array


def _plan(with_: Trading, pool: Judged, own: jax.Array) -> jax.Array:
    """Return (slots, pairs) what a decider closes of pools that it sees so, 0 of the safe ones."""
    rules = with_.rules
    broken = in_breach(pool.equity, pool.total_required, pool.total_notional, with_.tolerance)
    own = own & pool.is_open & broken[None]
    part = rules.amount.plan(pool, rules.order, own, rules.fee, rules.tables, with_.tolerance)
    whole = own & pool.under_water[None]
    return jnp.where(whole, pool.size, jnp.where(own, part, 0))


def _choose(
    with_: Trading,
    state: State,
    span: Span,
    some: Some,
    truth: Judged,
    broken: jax.Array,
    column: jax.Array,
) -> _Decided:
    """Let every decider judge the pairs on its own view."""
    rules = with_.rules
    all_own = jnp.ones(some.asset.shape, bool)
    if rules.is_prompt:
        chosen = _plan(with_, truth, all_own)
        nobody = jnp.zeros(broken.shape, jnp.int32)
        acts = (chosen > 0).any(axis=0)
        return _Decided(chosen, acts, nobody, jnp.zeros_like(some.cash), _largest_loser(truth))
    own, is_late = rules.own(), rules.late()
    variant = column // span.low.shape[1]

    def now(asset: jax.Array) -> jax.Array:
        return with_.marks_of(state, span, asset, column)

    def late(asset: jax.Array) -> jax.Array:
        return with_.late_marks_of(state, span, asset, column) if rules.delay else now(asset)

    def view(decider: int, asset: jax.Array) -> jax.Array:
        return jnp.where(is_late[decider][asset, variant[None]], late(asset), now(asset))

    decided = _Decided(
        jnp.zeros_like(truth.size),
        jnp.zeros_like(broken),
        jnp.zeros(broken.shape, jnp.int32),
        jnp.zeros_like(some.cash),
        jnp.zeros(broken.shape, jnp.int32),
    )
    for decider in range(rules.deciders):
        mark, coin_mark = view(decider, some.asset), view(decider, some.coin_asset)
        seen = judge(some, mark, coin_mark, rules.tables)
        part = _plan(with_, seen, own[decider][some.asset, variant[None]])
        acts = (part > 0).any(axis=0)
        decided = _Decided(
            chosen=decided.chosen + part,
            acts=decided.acts | acts,
            falsely=decided.falsely + (acts & ~broken).astype(jnp.int32),
            over=decided.over,
            loser=jnp.where(acts & ~decided.acts, _largest_loser(seen), decided.loser),
        )
    if not rules.counts_over_closing:
        return decided
    leader = _plan(with_, truth, all_own)
    beyond = jnp.maximum(decided.chosen - leader, 0) * truth.mark
    counts = rules.over_closing_counts()[variant]
    return decided._replace(over=jnp.where(counts, beyond.sum(axis=0), 0))


def _largest_loser(pool: Judged) -> jax.Array:
    return jnp.argmin(jnp.where(pool.is_open, pool.profit, jnp.inf), axis=0).astype(jnp.int32)


def _decide(
    with_: Trading, state: State, span: Span, lists: Lists
) -> tuple[State, Lists, jax.Array]:
    """Judge the pairs that are due; note what is to be closed and sold, and what has happened.

    Returns
    -------
    The state; the lists with the acting pairs and what chosen pools are short of where their net
    worth is negative; and (columns,) whether anybody acts.
    """
    holdings, rules = with_.holdings, with_.rules
    clock, columns = state.clock, state.ledger.fund.shape[0]

    def judge_some(carry: _Deciding, numbers: jax.Array, valid: jax.Array) -> _Deciding:
        ledger, fates, tally, acting, money, acted, pressed, left = carry
        slots, pool, column = listed(state, lists.due, numbers, valid)
        here = jnp.minimum(column, columns - 1)
        first, ended = clock.round[here] == 0, clock.round[here] >= rules.rounds
        some, truth = _judged(with_, state._replace(ledger=ledger), span, pool, here)
        going_on = jnp.zeros(pool.shape, bool)
        if rules.amount.uses_base:
            going_on = ledger.acted_on[pool, here] == clock.looks[here] - 1
            base = jnp.where(going_on[None], some.base, jnp.abs(some.quantity))
            some, truth = some._replace(base=base), truth._replace(base=base)
        broken = in_breach(
            truth.equity, truth.total_required, truth.total_notional, with_.tolerance
        )
        decided = _choose(with_, state, span, some, truth, broken, here)
        acts, sells = decided.acts & ~ended, _sells(some) & ~ended
        presses = decided.acts | _sells_for_more_than_rounding(holdings, some, pool)
        remains = broken | _sells_for_more_than_rounding(holdings, some, pool)
        rows, coin_rows = holdings.rows[:, pool], holdings.coin_rows[:, pool]
        to = column[None]
        coin_mark = with_.marks_of(state, span, some.coin_asset, here)
        ledger = ledger._replace(
            chosen=ledger.chosen.at[rows, to].set(decided.chosen, mode="drop"),
            sold=ledger.sold.at[coin_rows, to].set(
                jnp.where(sells[None], _coins_to_sell(some, coin_mark), 0), mode="drop"
            ),
        )
        if rules.amount.uses_base:
            goes_on = acts | (going_on & broken)
            stamp = jnp.where(goes_on, clock.looks[here], -1)
            # who is only counted after the last round goes on as before
            kept = jnp.where(ended, columns, column)
            ledger = ledger._replace(
                base=ledger.base.at[rows, kept[None]].set(some.base, mode="drop"),
                acted_on=ledger.acted_on.at[pool, kept].set(stamp, mode="drop"),
            )
        if rules.backstop.deleverages:
            short = jnp.where(acts, jnp.maximum(-truth.net_worth, 0), 0)
            money = money.at[numbers].set(short, mode="drop")
        noted = decided._replace(acts=acts)
        fates = _note(with_, state, span, fates, pool, column, truth, noted, first)
        late = first & broken & ~acts
        falsely = jnp.where(ended, 0, decided.falsely)
        over = jnp.where(ended, 0, decided.over)
        tally = tally._replace(
            false_liquidations=tally.false_liquidations.at[column].add(falsely, mode="drop"),
            over_closed=tally.over_closed.at[column].add(over, mode="drop"),
            late_steps=tally.late_steps.at[column].add(late.astype(jnp.int32), mode="drop"),
        )
        acting = _append(acting, slots, (acts | sells) & valid)
        acted = acted.at[column].max(acts | sells, mode="drop")
        pressed = pressed.at[column].max(presses, mode="drop")
        left = left.at[column].max(remains & ended, mode="drop")
        return ledger, fates, tally, acting, money, acted, pressed, left

    none = Acting(lists.acting.slots, jnp.zeros((), jnp.int32))
    calm = jnp.zeros((columns,), bool)
    start = (state.ledger, state.fates, state.tally, none, lists.money, calm, calm, calm)
    ledger, fates, tally, acting, money, acted, pressed, left = each_chunk(
        lists.due.length, exact_chunk(holdings), judge_some, start
    )
    ran_out = (left & clock.pressed).astype(jnp.int32)
    tally = tally._replace(rounds_exhausted=tally.rounds_exhausted + ran_out)
    pressed = jnp.where(clock.at >= 0, pressed, clock.pressed)
    state = state._replace(
        ledger=ledger, fates=fates, tally=tally, clock=clock._replace(pressed=pressed)
    )
    return state, lists._replace(acting=acting, money=money), acted


def _coins_to_sell(some: Some, mark: jax.Array) -> jax.Array:
    """Return (coins, pairs) the least that covers the debt without haircut, in file order."""
    owed, sales = jnp.maximum(-some.cash, 0), []
    for quantity, price in zip(some.coin_quantity, mark, strict=True):
        whole = quantity * price <= owed
        sales.append(jnp.where(whole, quantity, owed / price))
        owed = jnp.where(whole, owed - quantity * price, 0)
    return jnp.stack(sales) if sales else some.coin_quantity


def _note(
    with_: Trading,
    state: State,
    span: Span,
    fates: Fates,
    pool: jax.Array,
    column: jax.Array,
    truth: Judged,
    decided: _Decided,
    first: jax.Array,
) -> Fates:
    """Write down what a look tells about some pools."""
    holdings, rules, clock = with_.holdings, with_.rules, state.clock
    here = jnp.minimum(column, clock.at.shape[0] - 1)
    begins = decided.acts & (fates.step[pool, here] < 0)
    newly = jnp.where(begins, pool, holdings.pools)
    rows = holdings.rows[:, pool]
    loser = jnp.take_along_axis(rows, decided.loser[None], axis=0)[0]
    called = first & margin_call(
        truth.equity, truth.total_required, truth.total_notional, rules.warning
    )
    stressed = truth.total_required > rules.warning * truth.equity
    healthy = looks_healthy(holdings, rows, truth.mark, rules)
    hides = first & stressed & healthy & ~holdings.is_isolated[pool] & (truth.total_notional > 0)
    number = span.first + clock.at[here]
    fates = fates._replace(
        step=fates.step.at[newly, column].set(number, mode="drop"),
        loser=fates.loser.at[newly, column].set(loser, mode="drop"),
        called=fates.called.at[jnp.where(called, pool, holdings.pools), column].set(
            True, mode="drop"
        ),
        hidden=fates.hidden.at[jnp.where(hides, pool, holdings.pools), column].add(1, mode="drop"),
    )
    if holdings.groups:
        paths = span.low.shape[1]
        charged = jnp.where(begins & (column < paths), pool, holdings.pools)
        charge = _charge(with_, state, span, truth, here)
        fates = fates._replace(charge=fates.charge.at[charged, :, column].set(charge, mode="drop"))
    if with_.everyone:
        looked = first & (truth.total_notional > 0)
        excess = jnp.where(looked, truth.equity - truth.total_required, jnp.inf)
        fates = fates._replace(
            least_excess=fates.least_excess.at[pool, column].min(excess, mode="drop")
        )
    return fates


def _charge(
    with_: Trading, state: State, span: Span, truth: Judged, column: jax.Array
) -> jax.Array:
    """Return (pairs, groups) shares of each group in the forced flow of what a pool loses on."""
    market = state.market
    path = (column % span.low.shape[1])[None]
    age = span.first + state.clock.at[column] - market.since[column]
    lasting, passing = (of[:, truth.asset, path] for of in market.by_group)
    by_group = jnp.abs(lasting + passing * with_.fading[age][None, None])
    total = by_group.sum(axis=0)
    share = by_group / jnp.where(total > 0, total, 1)[None]
    loss = jnp.maximum(-truth.profit, 0)
    weight = loss / jnp.where(loss.sum(axis=0) > 0, loss.sum(axis=0), 1)[None]
    return jnp.moveaxis((share * weight[None]).sum(axis=1), 0, 1)


def _deleverage(with_: Trading, state: State, span: Span, lists: Lists) -> tuple[State, jax.Array]:
    """Let the backstop close positions of bankrupt pools against winners, before the market.

    Returns the state and (columns,) where it may have. It does where the fund cannot promise to pay
    what pools are short of: only there the venue asks for it.
    """
    backstop, columns = with_.rules.backstop, state.ledger.fund.shape[0]
    nowhere = jnp.zeros((columns,), bool)
    if not backstop.deleverages:
        return state, nowhere
    chunk = exact_chunk(with_.holdings)

    def add(owed: jax.Array, numbers: jax.Array, valid: jax.Array) -> jax.Array:
        _, _, column = listed(state, lists.due, numbers, valid)
        return owed.at[column].add(lists.money[numbers], mode="drop")

    owed = each_chunk(lists.due.length, chunk, add, jnp.zeros_like(state.ledger.fund))
    # promises are summed in another order: a hair less than the fund may be more
    short_of = owed * (1 + 1e-4) > jnp.maximum(state.ledger.fund, 0)
    asks = (owed > 0) & short_of
    # a fund that cannot promise this changes the path before it is exhausted
    promised = jnp.where(owed > 0, state.tally.drain + owed, 0)
    need = asked_of_fund(with_, state.tally, promised)
    state = state._replace(tally=state.tally._replace(need=need))

    def deleverage(state: State) -> State:
        def note(short: jax.Array, numbers: jax.Array, valid: jax.Array) -> jax.Array:
            _, pool, column = listed(state, lists.due, numbers, valid)
            asked = asks[jnp.minimum(column, columns - 1)]
            worth = jnp.where(asked, lists.money[numbers], 0)
            return short.at[pool, column].set(worth, mode="drop")

        nothing = jnp.zeros_like(state.ledger.cash)
        short = each_chunk(lists.due.length, chunk, note, nothing)
        now = with_.marks(state.market, span, jnp.maximum(state.clock.at, 0))
        ledger, notional = backstop.deleverage(
            with_.holdings, state.ledger, short, now, with_.rules.tables, with_.tolerance
        )
        tally = state.tally._replace(deleveraged=state.tally.deleveraged + notional)
        # takers need not be listed
        watch = state.watch
        taken = (ledger.cash != state.ledger.cash) & (watch.touched == AS_LOADED)
        touched = jnp.where(taken, TRADED, watch.touched).astype(jnp.int8)
        watch = watch._replace(stale=watch.stale | asks, touched=touched)
        return state._replace(ledger=ledger, tally=tally, watch=watch)

    return only_if(asks.any(), deleverage, state), asks
