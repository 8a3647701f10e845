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

from stress.engine.batch import Acting, Market, State, Trading
from stress.engine.block import Schedule
from stress.engine.pairs import only_if
from stress.engine.paths import Walk, walk
from stress.engine.rounds import Lists, Moment, liquidate, obey_controls
from stress.engine.watch import no_watch
from stress.market import PriceModel
from stress.market.environment import Environment
from stress.venue.holdings import Fates, Holdings, Ledger, Tally, gather
from stress.venue.judged import judge
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
    """What goes from step to step besides the state.

    ``history`` (delay, assets, columns) log marks at the ends of the last steps, step t in row
    t mod delay; ``squares`` (window, assets, paths) squared log returns; ``lists`` room for lists.
    """

    state: State
    history: jax.Array
    squares: jax.Array
    lists: Lists


class _Moved(NamedTuple):
    """Fundamental prices and time in a step; prices are log, relative to the start.

    ``previous`` and ``node`` (assets, paths) at its beginning and end, ``nodes`` (steps, assets,
    paths) of the time block; ``number`` of the step and its ``place`` in the block.
    """

    previous: jax.Array
    node: jax.Array
    nodes: jax.Array
    number: jax.Array
    place: jax.Array


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
    with_ = Trading(price, holdings, rules, schedule.tolerance, schedule.least_excess)
    start, advance = walk(model, seed, paths, schedule)
    carried = _at_start(with_, paths.shape[0])

    def through_block(
        carry: tuple[Walk, jax.Array, _Carried], number: jax.Array
    ) -> tuple[tuple[Walk, jax.Array, _Carried], tuple[jax.Array, Replay]]:
        walked, previous, carried = carry
        last = walked[1]
        walked, (levels, _) = advance(walked, number)
        # the block's first step is the last node of the walk so far: t = 0 in the first block
        nodes = jnp.concatenate([last[None], levels[:-1]])
        stale = carried.state.watch._replace(stale=jnp.ones((), bool))
        carried = carried._replace(state=carried.state._replace(watch=stale))
        places = jnp.arange(schedule.block, dtype=jnp.int32)

        def one_step(
            carry: tuple[_Carried, jax.Array], step: tuple[jax.Array, jax.Array]
        ) -> tuple[tuple[_Carried, jax.Array], Replay]:
            carried, previous = carry
            place, node = step
            number_ = number.astype(jnp.int32) * schedule.block + place
            moved = _Moved(previous, node, nodes, number_, place)
            carried = _step(with_, carried, moved, environment, schedule)
            return (carried, node), _replayed(with_, carried.state, watched)

        (carried, previous), replay = jax.lax.scan(one_step, (carried, previous), (places, nodes))
        course = carried.state.tally.closed.sum(axis=0)
        return (walked, previous, carried), (course, replay)

    blocks = -(-(schedule.steps + 1) // schedule.block)
    (_, _, carried), (course, replay) = jax.lax.scan(
        through_block, (start, start[1], carried), jnp.arange(blocks)
    )
    state = carried.state
    marks = with_.marks(state.market.log_marks(rules))
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


def _at_start(with_: Trading, paths: int) -> _Carried:
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
        acted_on=jnp.zeros(cash.shape if uses_base else (0, 1), bool),
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
    )
    market = Market(
        fundamental=flow,
        depth=jnp.ones((assets, paths), dtype),
        lasting=flow,
        passing=flow,
        by_group=jnp.zeros((2, holdings.groups, *flow.shape), dtype),
    )
    watch = no_watch(holdings, flow)
    empty = Acting(jnp.zeros_like(watch.pool), jnp.zeros((), jnp.int32))
    # before the start volatility is what is stated
    usual = jnp.broadcast_to(
        rules.variance[None, :, None], (rules.depth_window, *market.depth.shape)
    )
    return _Carried(
        state=State(market, ledger, fates, tally, watch),
        history=jnp.zeros((rules.delay, *flow.shape), dtype),
        squares=usual,
        lists=Lists(empty, empty),
    )


def _step(
    with_: Trading,
    carried: _Carried,
    moved: _Moved,
    environment: Environment | None,
    schedule: Schedule,
) -> _Carried:
    """Take the state through one step; beyond the horizon nothing happens."""
    rules, number = with_.rules, moved.number
    variants = len(rules.variants)

    def spread(of: jax.Array) -> jax.Array:
        return jnp.concatenate([of] * variants, axis=-1)

    def step(carried: _Carried) -> _Carried:
        state, lists = carried.state, carried.lists
        squares, depth = _depth(rules, carried.squares, moved.node - moved.previous, number)
        if environment is not None:
            depth = depth * environment.depth[number][:, None]
        market = state.market._replace(
            fundamental=spread(moved.node),
            depth=depth,
            passing=state.market.passing * rules.decay,
            by_group=state.market.by_group.at[1].multiply(rules.decay),
        )
        state = _fund(with_, state._replace(market=market), number)
        delay = rules.delay
        late = carried.history[number % delay] if delay else market.fundamental
        moment = Moment(number, moved.place, spread(moved.nodes), carried.history, late)

        def act(carry: tuple[State, Lists]) -> tuple[State, Lists]:
            state, lists = _controls(with_, carry[0], moment, carry[1])
            return liquidate(with_, state, moment, lists)

        if environment is None:
            state, lists = act((state, lists))
        else:
            # in a halt nobody looks: the watch is only asked, and checked, at a look
            state, lists = only_if(~environment.halted[number], act, (state, lists))
        history = carried.history
        if delay:
            log_marks = state.market.log_marks(rules)
            kept = history.at[number % delay].set(log_marks)
            history = jnp.where(number == 0, log_marks[None], kept)
        return _Carried(state, history, squares, lists)

    return only_if(number <= schedule.steps, step, carried)


def _controls(with_: Trading, state: State, moment: Moment, lists: Lists) -> tuple[State, Lists]:
    """Let controls act, but not at the start."""
    holdings = with_.holdings
    if not (holdings.has_stops or holdings.has_top_ups):
        return state, lists
    return only_if(
        moment.number > 0,
        lambda carry: obey_controls(with_, carry[0], moment, carry[1]),
        (state, lists),
    )


def _depth(
    rules: VenueRules, squares: jax.Array, log_return: jax.Array, number: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Return the squared returns with this step's, and (assets, paths) depth that is left.

    ``m = clip((sigma_0 / s)^eps, 0.02, 1)`` with the realised volatility s of the window.
    """
    if not rules.depth_window:
        return squares, jnp.ones_like(log_return)
    # at the start there is no return yet
    entered = jnp.where(number > 0, log_return**2, rules.variance[:, None])
    squares = squares.at[number % rules.depth_window].set(entered)
    realised = squares.mean(axis=0)
    usual = rules.variance[:, None]
    calm = realised <= usual
    ratio = usual / jnp.where(calm, usual, realised)
    depth = jnp.clip(ratio ** (rules.depth_elasticity / 2), 0.02, 1)
    return squares, depth


def _fund(with_: Trading, state: State, number: jax.Array) -> State:
    """Pay funding from cash at a step that ends an interval: longs pay a positive rate."""
    holdings, rules = with_.holdings, with_.rules
    if not rules.funding_steps:
        return state

    def pay(state: State) -> State:
        marks = with_.marks(state.market.log_marks(rules))
        owed = rules.funding_rate[:, None] * marks
        payment = state.ledger.quantity * owed[holdings.asset]
        by_pool = jax.ops.segment_sum(
            payment, holdings.pool, num_segments=holdings.pools + 1, indices_are_sorted=True
        )[:-1]
        ledger = state.ledger._replace(cash=state.ledger.cash - by_pool)
        watch = state.watch._replace(stale=jnp.ones((), bool))
        return state._replace(ledger=ledger, watch=watch)

    return only_if((number > 0) & (number % rules.funding_steps == 0), pay, state)


def _replayed(with_: Trading, state: State, watched: jax.Array) -> Replay:
    log_marks = state.market.log_marks(with_.rules)[:, watched]
    return Replay(
        marks=with_.price * jnp.exp(log_marks),
        fundamental=with_.price * jnp.exp(state.market.fundamental[:, watched]),
        fund=state.ledger.fund[watched],
        closed=state.tally.closed[:, watched].sum(),
    )


def _equity(with_: Trading, ledger: Ledger, marks: jax.Array) -> jax.Array:
    """Return (pools, columns) equity at (assets, columns) marks, one column after the other."""
    holdings = with_.holdings
    everyone = jnp.arange(holdings.pools, dtype=jnp.int32)

    def one_column(column: jax.Array) -> jax.Array:
        some = gather(holdings, ledger, everyone, jnp.full_like(everyone, column))
        mark = marks[:, column]
        return judge(some, mark[some.asset], mark[some.coin_asset], with_.rules.tables).equity

    columns = jnp.arange(marks.shape[1], dtype=jnp.int32)
    return jax.lax.map(one_column, columns).T
