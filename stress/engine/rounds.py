"""What a step does once prices have moved: controls, then rounds of looking and trading."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from stress.engine.batch import Acting, Market, State, Trading, trade
from stress.engine.pairs import each_chunk, only_if
from stress.engine.watch import doubtful, exact_chunk, looks_healthy, rebuild
from stress.margin import in_breach, margin_call
from stress.venue.holdings import Fates, Holdings, Ledger, Tally, gather
from stress.venue.judged import Judged, Some, judge

__all__ = ["Lists", "Moment", "liquidate", "obey_controls"]


class Moment(NamedTuple):
    """What is known of a step besides the state.

    Attributes
    ----------
    number
        Of the step; 0 is the start.
    place
        Its place in the time block.
    ahead
        (steps of a block, assets, columns) fundamental log prices of the time block, relative to
        the start like all log marks here.
    history
        (delay, assets, columns) log marks at the ends of the last steps, for late deciders.
    late
        (assets, columns) the oldest of them.
    """

    number: jax.Array
    place: jax.Array
    ahead: jax.Array
    history: jax.Array
    late: jax.Array


class Lists(NamedTuple):
    """Room for the pairs that are doubtful and that act; handed on so that nothing is copied."""

    doubts: Acting
    acting: Acting


class _Round(NamedTuple):
    """A round: how many there were, whether anybody acted in the last one, and the state.

    ``pressed`` (columns,): whether it had more to do than to pay debts of one rounding error.
    """

    number: jax.Array
    going: jax.Array
    pressed: jax.Array
    state: State
    lists: Lists


_ROOM = 0.25, 1e-3
"""Share of a box's width, and log price, by which forced flow may move marks before the watch must
be made anew: wider boxes list more pairs, narrower ones last less long."""


def _box(with_: Trading, market: Market, moment: Moment) -> tuple[jax.Array, jax.Array]:
    """Return (assets, columns) bounds of the log marks until the end of the time block.

    They hold what anybody sees, with some room for forced flow to come.
    """
    steps = jnp.arange(moment.ahead.shape[0], dtype=jnp.int32)[:, None, None]
    age = jnp.maximum(steps - moment.place, 0).astype(market.passing.dtype)
    left = market.lasting[None] + market.passing[None] * with_.rules.decay**age
    marks = jnp.where(steps >= moment.place, moment.ahead, market.fundamental[None])
    marks = jnp.concatenate([marks + jax.vmap(with_.rules.log_moves)(left), moment.history])
    low, high = marks.min(axis=0), marks.max(axis=0)
    share, least = _ROOM
    room = share * (high - low) + least
    return low - room, high + room


def _watched(with_: Trading, state: State, moment: Moment) -> State:
    """Return the state with a watch whose box holds all marks that anybody sees now."""
    log_marks, watch = state.market.log_marks(with_.rules), state.watch
    inside = (log_marks >= watch.low) & (log_marks <= watch.high)
    if with_.rules.delay:
        inside = inside & (moment.late >= watch.low) & (moment.late <= watch.high)

    def renew(state: State) -> State:
        watch = rebuild(
            state.watch,
            with_.holdings,
            state.ledger,
            state.fates,
            with_.rules,
            _box(with_, state.market, moment),
            with_.price,
            tolerance=with_.tolerance,
            everyone=with_.everyone,
        )
        return state._replace(watch=watch)

    return only_if(watch.stale | ~inside.all(), renew, state)


def _seen(with_: Trading, market: Market, moment: Moment) -> tuple[jax.Array, jax.Array]:
    """Return the marks of the moment, and (views, assets, columns) all that are judged on."""
    now = with_.marks(market.log_marks(with_.rules))
    if with_.rules.is_prompt:
        return now, now[None]
    # at the start everybody sees the marks of the moment
    late = jnp.where(moment.number > 0, with_.marks(moment.late), now)
    views = with_.rules.views(now, late)
    return now, jnp.concatenate([now[None], views])


def obey_controls(
    with_: Trading, state: State, moment: Moment, lists: Lists
) -> tuple[State, Lists]:
    """Top pools up from their accounts' reserves, then stop positions out, in one batch."""
    holdings = with_.holdings
    state = _watched(with_, state, moment)
    now = with_.marks(state.market.log_marks(with_.rules))
    doubts = Acting(*doubtful(state.watch, holdings, now[None], lists.doubts.slots))
    stopping = lists.acting
    if holdings.has_top_ups:
        state = _top_up(with_, state, doubts, now)
    if holdings.has_stops:
        state, stopping = _stop_out(with_, state, doubts, now, lists.acting)
        state = only_if(
            stopping.length > 0,
            lambda state: trade(with_, state, stopping, jnp.zeros_like(with_.rules.fee)),
            state,
        )
    return state, Lists(doubts, stopping)


def _listed(
    with_: Trading, state: State, doubts: Acting, numbers: jax.Array, valid: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return places, pools and columns of doubtful pairs; a column beyond the end is no pair."""
    slots = doubts.slots[numbers]
    pool, column = state.watch.pool[slots], state.watch.column[slots]
    return slots, pool, jnp.where(valid, column, jnp.iinfo(jnp.int32).max)


def _top_up(with_: Trading, state: State, doubts: Acting, now: jax.Array) -> State:
    """Draw from reserves; an account's pools draw in file order, while there is something left."""
    holdings, rules = with_.holdings, with_.rules
    columns = now.shape[1]

    def ask(needs: jax.Array, numbers: jax.Array, valid: jax.Array) -> jax.Array:
        _, pool, column = _listed(with_, state, doubts, numbers, valid)
        here = jnp.minimum(column, columns - 1)[None]
        some = gather(holdings, state.ledger, pool, here[0])
        at = judge(some, now[some.asset, here], now[some.coin_asset, here], rules.tables)
        asks = margin_call(at.equity, at.total_required, at.total_notional, holdings.trigger[pool])
        target = holdings.target[pool]
        # an account that states no top-up has an infinite target
        asks = asks & jnp.isfinite(target)
        need = jnp.where(asks, at.total_required / target - at.equity, 0)
        return needs.at[pool, column].set(jnp.maximum(need, 0), mode="drop")

    needs = each_chunk(doubts.length, exact_chunk(holdings), ask, jnp.zeros_like(state.ledger.cash))

    def draw(ledger: Ledger) -> Ledger:
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

    ledger = only_if((needs > 0).any(), draw, state.ledger)
    return state._replace(ledger=ledger)


def _stop_out(
    with_: Trading, state: State, doubts: Acting, now: jax.Array, buffer: Acting
) -> tuple[State, Acting]:
    """Choose whole the positions whose marks are at or beyond their stops."""
    holdings = with_.holdings
    columns = now.shape[1]

    def fire(carry: _Firing, numbers: jax.Array, valid: jax.Array) -> _Firing:
        ledger, acting = carry
        slots, pool, column = _listed(with_, state, doubts, numbers, valid)
        here = jnp.minimum(column, columns - 1)[None]
        rows = holdings.rows[:, pool]
        quantity = ledger.quantity[rows, here]
        mark = now[holdings.asset[rows], here]
        fires = jnp.sign(quantity) * (holdings.stop[rows] - mark) >= 0
        chosen = jnp.where(fires & (quantity != 0), jnp.abs(quantity), 0)
        acting = _append(acting, slots, (chosen > 0).any(axis=0) & valid)
        noted = ledger.chosen.at[rows, column[None]].set(chosen, mode="drop")
        return ledger._replace(
            chosen=noted, sold=_sell_nothing(holdings, ledger, pool, column)
        ), acting

    none = Acting(buffer.slots, jnp.zeros((), jnp.int32))
    ledger, acting = each_chunk(doubts.length, exact_chunk(holdings), fire, (state.ledger, none))
    return state._replace(ledger=ledger), acting


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


def liquidate(with_: Trading, state: State, moment: Moment, lists: Lists) -> tuple[State, Lists]:
    """Run the rounds of a step; the first look happens in any case."""

    def going_on(round_: _Round) -> jax.Array:
        return round_.going & (round_.number < with_.rules.rounds)

    def one_round(round_: _Round) -> _Round:
        state = _watched(with_, round_.state, moment)
        now, views = _seen(with_, state.market, moment)
        lists = round_.lists
        doubts = Acting(*doubtful(state.watch, with_.holdings, views, lists.doubts.slots))
        first = round_.number == 0
        state, acting, short, pressed = _decide(
            with_, state, doubts, lists.acting, now, views, moment.number, first
        )
        state = _deleverage(with_, state, short, now)
        state = only_if(
            acting.length > 0, lambda state: trade(with_, state, acting, with_.rules.fee), state
        )
        going = acting.length > 0
        return _Round(round_.number + 1, going, pressed, state, Lists(doubts, acting))

    zero = jnp.zeros((), jnp.int32)
    calm = jnp.zeros(state.ledger.fund.shape, bool)
    start = _Round(zero, jnp.ones((), bool), calm, state, lists)
    end = jax.lax.while_loop(going_on, one_round, start)
    return _count_exhausted(with_, end, moment)


def _count_exhausted(with_: Trading, end: _Round, moment: Moment) -> tuple[State, Lists]:
    """Count the paths on which a pool is in breach, or selling coins, after the last round."""
    ran_out = end.going & (end.number == with_.rules.rounds)

    def look_again(carry: tuple[State, Lists]) -> tuple[State, Lists]:
        state, lists = carry
        none, chunk = jnp.zeros_like(end.pressed), exact_chunk(with_.holdings)
        state = _watched(with_, state, moment)
        now = with_.marks(state.market.log_marks(with_.rules))
        doubts = Acting(*doubtful(state.watch, with_.holdings, now[None], lists.doubts.slots))

        def ask(left: jax.Array, numbers: jax.Array, valid: jax.Array) -> jax.Array:
            _, pool, column = _listed(with_, state, doubts, numbers, valid)
            here = jnp.minimum(column, now.shape[1] - 1)[None]
            some = gather(with_.holdings, state.ledger, pool, here[0])
            at = judge(some, now[some.asset, here], now[some.coin_asset, here], with_.rules.tables)
            broken = in_breach(at.equity, at.total_required, at.total_notional, with_.tolerance)
            sells = _sells_for_more_than_rounding(with_.holdings, some, pool)
            return left.at[column].max(broken | sells, mode="drop")

        left = each_chunk(doubts.length, chunk, ask, none)
        counted = state.tally.rounds_exhausted + (left & end.pressed).astype(jnp.int32)
        state = state._replace(tally=state.tally._replace(rounds_exhausted=counted))
        return state, Lists(doubts, lists.acting)

    return only_if(ran_out, look_again, (end.state, end.lists))


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
    with_: Trading, some: Some, truth: Judged, broken: jax.Array, views: jax.Array, here: jax.Array
) -> _Decided:
    """Let every decider judge the pairs on its own view."""
    rules, variants = with_.rules, len(with_.rules.variants)
    all_own = jnp.ones(some.asset.shape, bool)
    if rules.is_prompt:
        chosen = _plan(with_, truth, all_own)
        nobody = jnp.zeros(broken.shape, jnp.int32)
        acts = (chosen > 0).any(axis=0)
        return _Decided(chosen, acts, nobody, jnp.zeros_like(some.cash), _largest_loser(truth))
    own = rules.own()
    variant = here[0] // (views.shape[2] // variants)
    decided = _Decided(
        jnp.zeros_like(truth.size),
        jnp.zeros_like(broken),
        jnp.zeros(broken.shape, jnp.int32),
        jnp.zeros_like(some.cash),
        jnp.zeros(broken.shape, jnp.int32),
    )
    for decider in range(views.shape[0] - 1):
        view = views[decider + 1]
        seen = judge(some, view[some.asset, here], view[some.coin_asset, here], rules.tables)
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


_Firing: TypeAlias = tuple[Ledger, Acting]
_Deciding: TypeAlias = tuple[Ledger, Fates, Tally, Acting, jax.Array, jax.Array]


def _decide(
    with_: Trading,
    state: State,
    doubts: Acting,
    buffer: Acting,
    now: jax.Array,
    views: jax.Array,
    number: jax.Array,
    first: jax.Array,
) -> tuple[State, Acting, jax.Array, jax.Array]:
    """Judge the doubtful pairs; note what is to be closed and sold, and what has happened.

    Returns
    -------
    The state, the acting pairs, and (pools, columns) what chosen pools are short of where their net
    worth is negative, of no size unless the venue deleverages; and (columns,) whether somebody acts
    or sells coins for more than a rounding error.
    """
    holdings, rules = with_.holdings, with_.rules
    columns = now.shape[1]
    old = state.ledger.acted_on
    shape = state.ledger.cash.shape if rules.backstop.deleverages else (0, 1)

    def judge_some(carry: _Deciding, numbers: jax.Array, valid: jax.Array) -> _Deciding:
        ledger, fates, tally, acting, short, pressed = carry
        slots, pool, column = _listed(with_, state, doubts, numbers, valid)
        here = jnp.minimum(column, columns - 1)[None]
        some = gather(holdings, ledger._replace(acted_on=old), pool, here[0])
        truth = judge(some, now[some.asset, here], now[some.coin_asset, here], rules.tables)
        broken = in_breach(
            truth.equity, truth.total_required, truth.total_notional, with_.tolerance
        )
        decided = _choose(with_, some, truth, broken, views, here)
        sells = _sells(some)
        rows, coin_rows = holdings.rows[:, pool], holdings.coin_rows[:, pool]
        to = column[None]
        ledger = ledger._replace(
            chosen=ledger.chosen.at[rows, to].set(decided.chosen, mode="drop"),
            sold=ledger.sold.at[coin_rows, to].set(
                jnp.where(sells[None], _coins_to_sell(some, now[some.coin_asset, here]), 0),
                mode="drop",
            ),
        )
        if rules.amount.uses_base:
            going_on = decided.acts | (old[pool, here[0]] & broken)
            ledger = ledger._replace(
                base=ledger.base.at[rows, to].set(some.base, mode="drop"),
                acted_on=ledger.acted_on.at[pool, column].set(going_on, mode="drop"),
            )
        if rules.backstop.deleverages:
            worth = jnp.where(decided.acts, jnp.maximum(-truth.net_worth, 0), 0)
            short = short.at[pool, column].set(worth, mode="drop")
        fates = _note(with_, state, fates, pool, column, truth, decided, now, number, first)
        count = first & broken & ~decided.acts
        tally = tally._replace(
            false_liquidations=tally.false_liquidations.at[column].add(
                decided.falsely, mode="drop"
            ),
            over_closed=tally.over_closed.at[column].add(decided.over, mode="drop"),
            late_steps=tally.late_steps.at[column].add(count.astype(jnp.int32), mode="drop"),
        )
        acting = _append(acting, slots, (decided.acts | sells) & valid)
        presses = decided.acts | _sells_for_more_than_rounding(holdings, some, pool)
        pressed = pressed.at[column].max(presses, mode="drop")
        return ledger, fates, tally, acting, short, pressed

    ledger = state.ledger
    if rules.amount.uses_base:
        # who is not even doubtful is not in breach, and nobody acts on it: its liquidation ended
        ledger = ledger._replace(acted_on=jnp.zeros_like(ledger.acted_on))
    none = Acting(buffer.slots, jnp.zeros((), jnp.int32))
    calm = jnp.zeros(ledger.fund.shape, bool)
    start = (ledger, state.fates, state.tally, none, jnp.zeros(shape, now.dtype), calm)
    ledger, fates, tally, acting, short, pressed = each_chunk(
        doubts.length, exact_chunk(holdings), judge_some, start
    )
    return state._replace(ledger=ledger, fates=fates, tally=tally), acting, short, pressed


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
    fates: Fates,
    pool: jax.Array,
    column: jax.Array,
    truth: Judged,
    decided: _Decided,
    now: jax.Array,
    number: jax.Array,
    first: jax.Array,
) -> Fates:
    """Write down what a look tells about some pools."""
    holdings, rules = with_.holdings, with_.rules
    here = jnp.minimum(column, now.shape[1] - 1)
    begins = decided.acts & (fates.step[pool, here] < 0)
    newly = jnp.where(begins, pool, holdings.pools)
    rows = holdings.rows[:, pool]
    loser = jnp.take_along_axis(rows, decided.loser[None], axis=0)[0]
    called = first & margin_call(
        truth.equity, truth.total_required, truth.total_notional, rules.warning
    )
    stressed = truth.total_required > rules.warning * truth.equity
    healthy = looks_healthy(holdings, rows, now[holdings.asset[rows], here[None]], rules)
    hides = first & stressed & healthy & ~holdings.is_isolated[pool] & (truth.total_notional > 0)
    fates = fates._replace(
        step=fates.step.at[newly, column].set(number, mode="drop"),
        loser=fates.loser.at[newly, column].set(loser, mode="drop"),
        called=fates.called.at[jnp.where(called, pool, holdings.pools), column].set(
            True, mode="drop"
        ),
        hidden=fates.hidden.at[jnp.where(hides, pool, holdings.pools), column].add(1, mode="drop"),
    )
    if holdings.groups:
        paths = state.market.depth.shape[1]
        charged = jnp.where(begins & (column < paths), pool, holdings.pools)
        charge = _charge(state.market, truth, here)
        fates = fates._replace(charge=fates.charge.at[charged, :, column].set(charge, mode="drop"))
    if with_.everyone:
        looked = first & (truth.total_notional > 0)
        excess = jnp.where(looked, truth.equity - truth.total_required, jnp.inf)
        fates = fates._replace(
            least_excess=fates.least_excess.at[pool, column].min(excess, mode="drop")
        )
    return fates


def _charge(market: Market, truth: Judged, here: jax.Array) -> jax.Array:
    """Return (pairs, groups) shares of each group in the forced flow of what a pool loses on."""
    by_group = jnp.abs(market.by_group.sum(axis=0))
    total = by_group.sum(axis=0)
    share = by_group / jnp.where(total > 0, total, 1)[None]
    loss = jnp.maximum(-truth.profit, 0)
    weight = loss / jnp.where(loss.sum(axis=0) > 0, loss.sum(axis=0), 1)[None]
    return jnp.moveaxis((share[:, truth.asset, here[None]] * weight[None]).sum(axis=1), 0, 1)


def _deleverage(with_: Trading, state: State, short: jax.Array, now: jax.Array) -> State:
    """Let the backstop close positions of bankrupt pools against winners, before the market."""
    backstop = with_.rules.backstop
    if not backstop.deleverages:
        return state

    def deleverage(state: State) -> State:
        ledger, notional = backstop.deleverage(
            with_.holdings, state.ledger, short, now, with_.rules.tables, with_.tolerance
        )
        tally = state.tally._replace(deleveraged=state.tally.deleveraged + notional)
        # takers need not be listed, and all must be settled
        watch = state.watch._replace(stale=jnp.ones((), bool))
        return state._replace(ledger=ledger, tally=tally, watch=watch)

    return only_if((short > 0).any(), deleverage, state)
