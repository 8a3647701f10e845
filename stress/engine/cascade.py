"""The cascade: pools on one path influence each other, because forced sales move prices.

A step takes prices, decay of impact, funding, controls and liquidation rounds in that order, for
all pools on all paths of a block and for all variants of the venue at once. A variant (another
impact law, another decision rule) is so many more columns on the same fundamental paths, so that
differences between variants are paired path by path.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from stress.engine.batch import Market, State, Trading
from stress.engine.block import Schedule
from stress.engine.pairs import only_if
from stress.engine.paths import Walk, walk
from stress.engine.rounds import Lists, look, no_lists
from stress.engine.span import Clock, Span
from stress.engine.watch import no_watch
from stress.market import PriceModel
from stress.market.environment import Environment
from stress.venue.holdings import Fates, Holdings, Ledger, Tally
from stress.venue.rules import VenueRules

__all__ = ["CascadeOutcome", "Replay", "cascade"]


class Replay(NamedTuple):
    """One column step by step, (times, ...), t = 0 included, as it stands after each step.

    ``marks`` and ``fundamental`` are (times, assets) USD; ``fund`` and ``closed`` (times,) USD, the
    latter the notional closed so far.
    """

    marks: jax.Array
    fundamental: jax.Array
    fund: jax.Array
    closed: jax.Array


class CascadeOutcome(NamedTuple):
    """What became of the pools of one world in each column: path p of variant v is v * paths + p.

    Attributes
    ----------
    fates, tally
        As the state's.
    equity, reserve
        (pools, columns) at the horizon, coins after haircut; (accounts, columns) what is left. USD.
    fund, marks
        (columns,), (assets, columns) at the horizon, USD.
    course
        (time blocks, columns) notional closed by the end of each, USD.
    replay
        The column that was asked for.
    """

    fates: Fates
    tally: Tally
    equity: jax.Array
    reserve: jax.Array
    fund: jax.Array
    marks: jax.Array
    course: jax.Array
    replay: Replay


class _Carried(NamedTuple):
    """What goes from block to block besides the walk.

    ``before`` (delay, assets, paths) log prices of the last steps before the block, ``level``
    (assets, paths) those of its last step; ``squares`` (window, assets, paths) squared log
    returns; ``lists`` room for lists.
    """

    state: State
    before: jax.Array
    squares: jax.Array
    lists: Lists
    level: jax.Array


class _Course(NamedTuple):
    """The watched column as it stands after each step of a block, (block, ...).

    ``lasting`` and ``passing`` (block, assets) flow as it stood at step ``since``; USD.
    """

    lasting: jax.Array
    passing: jax.Array
    since: jax.Array
    fund: jax.Array
    closed: jax.Array


@partial(jax.jit, static_argnames=("schedule",))
def cascade(
    model: PriceModel,
    price: jax.Array,
    holdings: Holdings,
    rules: VenueRules,
    seed: jax.Array,
    paths: jax.Array,
    watched: jax.Array,
    environment: Environment | None = None,
    *,
    schedule: Schedule,
) -> CascadeOutcome:
    """Run one block of paths through all variants of the venue.

    Parameters
    ----------
    model
        Price model in the schedule's precision.
    price
        (assets,) marks at the start, USD.
    holdings, rules
        The pools of one world, and the venue.
    seed, paths
        Seed and (paths,) path numbers, unsigned 32-bit.
    watched
        Column to replay.
    environment
        Depth and halts of each step; None where nothing is stressed.
    schedule
        Static; with ``least_excess`` every pool is judged at every look.
    """
    with_ = Trading.of(
        price,
        holdings,
        rules,
        steps=schedule.steps,
        tolerance=schedule.tolerance,
        everyone=schedule.least_excess,
    )
    start, advance = walk(model, seed, paths, schedule)

    def through_block(
        carry: tuple[Walk, _Carried], number: jax.Array
    ) -> tuple[tuple[Walk, _Carried], tuple[jax.Array, Replay]]:
        walked, carried = carry
        last = walked[1]
        walked, (levels, _) = advance(walked, number)
        # the block's first step is the last node of the walk so far: t = 0 in the first block
        nodes = jnp.concatenate([carried.before, last[None], levels[:-1]])
        first = number.astype(jnp.int32) * schedule.block
        carried, span = _span(with_, carried, nodes, first, environment, schedule)
        carried, course = _through(with_, carried, span, watched, schedule)
        closed = carried.state.tally.closed.sum(axis=0)
        return (walked, carried), (closed, _replayed(with_, span, course, watched))

    blocks = -(-(schedule.steps + 1) // schedule.block)
    carried = _at_start(with_, paths.shape[0], schedule.block)
    (_, carried), (course, replay) = jax.lax.scan(
        through_block, (start, carried), jnp.arange(blocks)
    )
    state = carried.state
    level = jnp.concatenate([carried.level] * len(rules.variants), axis=-1)
    marks = with_.price[:, None] * jnp.exp(level + _moves_at_end(with_, state, schedule))
    flat = jax.tree.map(lambda of: of.reshape(-1, *of.shape[2:])[: schedule.steps + 1], replay)
    return CascadeOutcome(
        fates=state.fates,
        tally=state.tally,
        equity=_equity(with_, state.ledger, marks),
        reserve=state.ledger.reserve,
        fund=state.ledger.fund,
        marks=marks,
        course=course,
        replay=flat,
    )


def _at_start(with_: Trading, paths: int, block: int) -> _Carried:
    """Return the state before the first look."""
    holdings, rules = with_.holdings, with_.rules
    columns = paths * len(rules.variants)
    assets, dtype = with_.price.shape[0], with_.price.dtype

    def spread(of: jax.Array) -> jax.Array:
        return jnp.broadcast_to(of[:, None], (of.shape[0], columns))

    flow = jnp.zeros((assets, columns), dtype)
    quantity, coins = spread(holdings.quantity), spread(holdings.coin_quantity)
    cash = spread(holdings.cash)
    uses_base = rules.amount.uses_base
    ledger = Ledger(
        cash=cash,
        reserve=spread(holdings.reserve),
        quantity=quantity,
        coins=coins,
        base=jnp.abs(quantity) if uses_base else jnp.zeros((0, 1), dtype),
        acted_on=jnp.full(cash.shape if uses_base else (0, 1), -1, jnp.int32),
        chosen=jnp.zeros_like(quantity),
        sold=jnp.zeros_like(coins),
        fund=jnp.broadcast_to(rules.fund, (columns,)),
    )
    count = jnp.zeros(cash.shape, jnp.int32)
    looked = cash.shape if with_.everyone else (0, 1)
    fates = Fates(
        step=count - 1,
        called=jnp.zeros(cash.shape, bool),
        bankrupt=jnp.zeros(cash.shape, bool),
        owed=jnp.zeros(cash.shape, dtype),
        loser=count - 1,
        hidden=count,
        least_excess=jnp.full(looked, jnp.inf, dtype),
        charge=jnp.zeros((holdings.pools, holdings.groups, paths), dtype),
    )
    money, number = jnp.zeros((columns,), dtype), jnp.zeros((columns,), jnp.int32)
    tally = Tally(
        closed=flow,
        overshoot=flow,
        drawn=money,
        exhausted=jnp.zeros((columns,), bool),
        uncovered=money,
        socialised=money,
        deleveraged=money,
        false_liquidations=number,
        over_closed=money,
        late_steps=number,
        rounds_exhausted=number,
        drain=money,
        need=money,
    )
    market = Market(
        lasting=flow,
        passing=flow,
        since=number,
        by_group=jnp.zeros((2, holdings.groups, assets, paths), dtype),
        history=jnp.zeros((rules.delay, *flow.shape), dtype),
    )
    nobody = jnp.zeros((columns,), bool)
    clock = Clock(number - 1, number - 2, number, nobody, nobody, nobody, number)
    watch = no_watch(holdings, flow, block)
    # before the start volatility is what is stated
    usual = jnp.broadcast_to(rules.variance[None, :, None], (rules.depth_window, assets, paths))
    return _Carried(
        state=State(market, ledger, fates, tally, watch, clock),
        before=jnp.zeros((rules.delay, assets, paths), dtype),
        squares=usual,
        lists=no_lists(watch.pool.shape[0], dtype),
        level=jnp.zeros((assets, paths), dtype),
    )


# --- one block ------------------------------------------------------------------------------------


def _span(
    with_: Trading,
    carried: _Carried,
    nodes: jax.Array,
    first: jax.Array,
    environment: Environment | None,
    schedule: Schedule,
) -> tuple[_Carried, Span]:
    """Return the block as one span, and what of it the next one must know.

    ``nodes`` are its (delay + block, assets, paths) log prices, ``first`` the number of its first.
    """
    rules, block = with_.rules, schedule.block
    delay, numbers = rules.delay, first + jnp.arange(block, dtype=jnp.int32)
    # beyond the horizon prices stand still
    inside = numbers <= schedule.steps
    row = jnp.minimum(numbers, schedule.steps)
    looks = inside if environment is None else inside & ~environment.halted[row]
    squares, depth = carried.squares, None
    if rules.depth_window:
        returns = jnp.diff(jnp.concatenate([carried.level[None], nodes[delay:]]), axis=0)
        squares, depth = jax.lax.scan(
            lambda squares, step: _depth(rules, squares, *step), squares, (returns, numbers)
        )
    if environment is not None:
        stressed = environment.depth[row][:, :, None]
        depth = stressed if depth is None else depth * stressed
        depth = jnp.broadcast_to(depth, nodes[delay:].shape)
    # the lowest and the highest that anybody sees at a place, up to ``delay`` steps late
    seen = [nodes[delay:]]
    if delay:
        late = jnp.stack([nodes[back : back + block] for back in range(delay + 1)])
        seen = [late.min(axis=0), late.max(axis=0)]
    marks = jnp.stack(seen).transpose(0, 2, 3, 1)
    marks = with_.price[None, :, None, None] * jnp.exp(marks)
    span = Span(
        first=first,
        looks=looks,
        nodes=nodes,
        marks=marks,
        low=nodes.min(axis=0),
        high=nodes.max(axis=0),
        depth=depth,
    )
    carried = carried._replace(before=nodes[block:], squares=squares, level=nodes[-1])
    return carried, span


def _through(
    with_: Trading, carried: _Carried, span: Span, watched: jax.Array, schedule: Schedule
) -> tuple[_Carried, _Course]:
    """Take all columns through a block, from one payment of funding to the next."""
    block, every = schedule.block, with_.rules.funding_steps
    places = jnp.arange(block, dtype=jnp.int32)
    course = _Course(
        *(jnp.broadcast_to(of, (block, *of.shape)) for of in _stands(carried, watched))
    )

    def walked(
        begin: jax.Array, end: jax.Array, carried: _Carried, course: _Course
    ) -> tuple[_Carried, _Course]:
        looks = span.looks & (places >= begin) & (places < end)
        part = span._replace(looks=looks)
        state = carried.state
        clock = state.clock
        # looks that were passed over since the last one
        clock = clock._replace(
            place=jnp.broadcast_to(begin - 1, clock.place.shape),
            acted=jnp.zeros_like(clock.acted),
        )
        watch = state.watch._replace(stale=jnp.ones_like(clock.acted))
        state = state._replace(clock=clock, watch=watch)

        def going_on(carry: tuple[State, Lists, _Course]) -> jax.Array:
            watch = carry[0].watch
            return watch.stale.any() | (watch.waiting > 0).any()

        def one_look(
            carry: tuple[State, Lists, _Course],
        ) -> tuple[State, Lists, _Course]:
            state, lists, course = carry
            state, lists = look(with_, state, part, lists)
            place = state.clock.at[watched]
            now = _stands(carried._replace(state=state), watched)
            reached = (places >= place) & (place >= 0)
            course = _Course(
                *(
                    jnp.where(reached.reshape(-1, *[1] * new.ndim), new[None], old)
                    for new, old in zip(now, course, strict=True)
                )
            )
            return state, lists, course

        state, lists, course = jax.lax.while_loop(
            going_on, one_look, (state, carried.lists, course)
        )
        clock = state.clock
        behind = (looks[:, None] & (places[:, None] > clock.place[None])).any(axis=0)
        behind = behind | clock.owes_look(with_.rules.rounds)
        clock = clock._replace(looks=clock.looks + behind.astype(jnp.int32))
        return carried._replace(state=state._replace(clock=clock), lists=lists), course

    if not every:
        return walked(jnp.zeros((), jnp.int32), jnp.asarray(block, jnp.int32), carried, course)

    def one_part(
        carry: tuple[jax.Array, _Carried, _Course],
    ) -> tuple[jax.Array, _Carried, _Course]:
        begin, carried, course = carry
        number = span.first + begin
        carried = carried._replace(state=_fund(with_, carried.state, span, number, schedule.steps))
        end = jnp.minimum((number // every + 1) * every - span.first, block)
        return (end, *walked(begin, end, carried, course))

    start = (jnp.zeros((), jnp.int32), carried, course)
    _, carried, course = jax.lax.while_loop(lambda carry: carry[0] < block, one_part, start)
    return carried, course


def _depth(
    rules: VenueRules, squares: jax.Array, log_return: jax.Array, number: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Return the squared returns with this step's, and (assets, paths) depth that is left.

    ``m = clip((sigma_0 / s)^eps, 0.02, 1)`` with the realised volatility s of the window.
    """
    # at the start there is no return yet
    entered = jnp.where(number > 0, log_return**2, rules.variance[:, None])
    squares = squares.at[number % rules.depth_window].set(entered)
    realised = squares.mean(axis=0)
    usual = rules.variance[:, None]
    calm = realised <= usual
    ratio = usual / jnp.where(calm, usual, realised)
    depth = jnp.clip(ratio ** (rules.depth_elasticity / 2), 0.02, 1)
    return squares, depth


def _fund(with_: Trading, state: State, span: Span, number: jax.Array, steps: int) -> State:
    """Pay funding from cash at a step that ends an interval: longs pay a positive rate."""
    holdings, rules = with_.holdings, with_.rules

    def pay(state: State) -> State:
        place = jnp.broadcast_to(number - span.first, state.clock.place.shape)
        owed = rules.funding_rate[:, None] * with_.marks(state.market, span, place)
        payment = state.ledger.quantity * owed[holdings.asset]
        by_pool = jax.ops.segment_sum(
            payment, holdings.pool, num_segments=holdings.pools + 1, indices_are_sorted=True
        )[:-1]
        return state._replace(ledger=state.ledger._replace(cash=state.ledger.cash - by_pool))

    due = (number > 0) & (number <= steps) & (number % rules.funding_steps == 0)
    return only_if(due, pay, state)


# --- what is told ---------------------------------------------------------------------------------


def _stands(carried: _Carried, watched: jax.Array) -> tuple[jax.Array, ...]:
    """Return what a course holds of the watched column now."""
    market, ledger, tally = carried.state.market, carried.state.ledger, carried.state.tally
    return (
        market.lasting[:, watched],
        market.passing[:, watched],
        market.since[watched],
        ledger.fund[watched],
        tally.closed[:, watched].sum(),
    )


def _replayed(with_: Trading, span: Span, course: _Course, watched: jax.Array) -> Replay:
    """Return the watched column step by step: between two batches flow only decays."""
    block, paths = course.since.shape[0], span.low.shape[1]
    age = span.first + jnp.arange(block, dtype=jnp.int32) - course.since
    flow = course.lasting + course.passing * with_.fading[age][:, None]
    asset = jnp.broadcast_to(jnp.arange(flow.shape[1], dtype=jnp.int32)[None], flow.shape)
    variant = jnp.full_like(asset, watched // paths)
    nodes = span.nodes[-block:, :, watched % paths]
    return Replay(
        marks=with_.price[None] * jnp.exp(nodes + with_.rules.log_move(flow, asset, variant)),
        fundamental=with_.price[None] * jnp.exp(nodes),
        fund=course.fund,
        closed=course.closed,
    )


def _moves_at_end(with_: Trading, state: State, schedule: Schedule) -> jax.Array:
    """Return (assets, columns) moves of the log marks at the horizon."""
    number = jnp.full_like(state.clock.place, schedule.steps)
    return with_.rules.log_moves(with_.flow(state.market, number))


def _equity(with_: Trading, ledger: Ledger, marks: jax.Array) -> jax.Array:
    """Return (pools, columns) equity at (assets, columns) marks, one slot after the other."""
    holdings = with_.holdings
    equity = ledger.cash
    for rows in holdings.rows:
        mark = marks[holdings.asset[rows]]
        equity = equity + ledger.quantity[rows] * (mark - holdings.entry[rows][:, None])
    for rows in holdings.coin_rows:
        kept = 1 - holdings.coin_haircut[rows][:, None]
        equity = equity + ledger.coins[rows] * marks[holdings.coin_asset[rows]] * kept
    return equity
