"""The watch leaves pools alone that nothing can happen to, and leaves no trace in the results."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from stress.engine import rounds

# who pays is settled inside a batch, lines are drawn inside the list: no public face for that
from stress.engine.batch import Trading, _pay
from stress.engine.block import Schedule
from stress.engine.cascade import CascadeOutcome, _at_start, cascade
from stress.engine.span import Span
from stress.engine.watch import (
    AS_LOADED,
    HEALTHY,
    TRADED,
    Book,
    Watch,
    _draw,
    list_all,
    list_stale,
    no_watch,
    refresh,
)
from stress.venue.backstop import Socialised
from stress.venue.holdings import Fates, Holdings, Ledger
from stress.venue.rules import VenueRules
from tests.cascade_books import CHOICES, PRICE, Case, plain_book, price_paths
from tests.engine.switched import PATHS, Laid, case_of, lay_out, model_of, run, schedule
from tests.strategies import seeds

Floats = NDArray[np.float64]
PATHS_WATCHED, COLUMNS, BLOCK = 3, 6, 4
TAU = 1e-9


def book(
    holdings: Holdings, ledger: Ledger, fates: Fates, rules: VenueRules, *, everyone: bool = False
) -> Book:
    return Book(jnp.asarray(PRICE), holdings, rules, ledger, fates, TAU, everyone)


class Market(NamedTuple):
    """Prices of a span, and the (assets, columns) room that impact has in it."""

    span: Span
    low: jax.Array
    high: jax.Array


@partial(jax.jit, static_argnames="state")
def watching(
    holdings: Holdings,
    ledger: Ledger,
    fates: Fates,
    rules: VenueRules,
    market: Market,
    floor: jax.Array,
    state: int = TRADED,
) -> Watch:
    start = no_watch(holdings, market.low, BLOCK)
    start = start._replace(touched=jnp.full_like(start.touched, state))
    room = (market.low, market.high)
    return list_all(start, book(holdings, ledger, fates, rules), market.span, room, floor)


@jax.jit
def watched_again(
    watch: Watch,
    holdings: Holdings,
    ledger: Ledger,
    fates: Fates,
    rules: VenueRules,
    market: Market,
    floor: jax.Array,
) -> Watch:
    room = (market.low, market.high)
    return list_stale(watch, book(holdings, ledger, fates, rules), market.span, room, floor)


@jax.jit
def refreshed(
    watch: Watch,
    holdings: Holdings,
    ledger: Ledger,
    fates: Fates,
    rules: VenueRules,
    market: Market,
    at: jax.Array,
) -> Watch:
    """Return the watch with those due anew that are due now."""
    numbers = jnp.arange(watch.pool.shape[0], dtype=jnp.int32)
    now = (numbers < watch.length) & (watch.due == at[watch.column])
    slots = jnp.where(now, numbers, watch.pool.shape[0])
    some = book(holdings, ledger, fates, rules)
    return refresh(watch, some, market.span, at + 1, at, slots)


@jax.jit
def at_a_point(
    holdings: Holdings, ledger: Ledger, fates: Fates, rules: VenueRules, market: Market
) -> jax.Array:
    """Return (pools, columns) the lines of all pools at the first marks of the span."""
    watch = no_watch(holdings, market.low, BLOCK)._replace(low=market.low, high=market.high)
    pool, column = jnp.indices((holdings.pools, COLUMNS), dtype=jnp.int32).reshape(2, -1)
    some = book(holdings, ledger, fates, rules)
    lines = _draw(watch, some, market.span, pool, column)
    mark = market.span.marks[0][:, :, 0][lines.asset, (column % PATHS_WATCHED)[None]]
    bound = lines.level + (lines.factor * mark).sum(axis=0)
    return bound.reshape(holdings.pools, COLUMNS)


def some_ledger(laid: Laid, rng: np.random.Generator) -> tuple[Ledger, Fates]:
    """Return a book in the middle of things: parts closed, cash and reserves changed."""
    holdings = laid.holdings

    def money(shape: tuple[int, ...]) -> Floats:
        return rng.normal(size=shape) * 10 ** rng.uniform(0, 4, shape)

    def parts(of: jax.Array) -> Floats:
        shape = (len(of), COLUMNS)
        kept = rng.choice([0.0, 1.0, 1.0, np.nan], shape)
        return np.asarray(of)[:, None] * np.where(np.isnan(kept), rng.uniform(size=shape), kept)

    pools = (holdings.pools, COLUMNS)
    cash = np.asarray(holdings.cash)[:, None] + rng.choice([0.0, 1.0], pools) * money(pools)
    reserve = np.asarray(holdings.reserve)[:, None] * rng.choice([0.0, 1.0], (12, COLUMNS))
    quantity = parts(holdings.quantity)
    # some that were closed whole
    quantity *= np.append(rng.uniform(size=pools) < 0.9, np.ones((1, COLUMNS), bool), axis=0)[
        np.asarray(holdings.pool)
    ]
    ledger = Ledger(
        cash=cash,
        reserve=reserve,
        quantity=quantity,
        coins=parts(holdings.coin_quantity),
        base=np.abs(quantity),
        acted_on=np.zeros(pools, np.int32),
        chosen=np.zeros_like(quantity),
        sold=parts(holdings.coin_quantity),
        fund=np.zeros(COLUMNS),
    )
    none = np.zeros(pools, np.int32)
    called = rng.uniform(size=pools) < 0.5
    owed = np.zeros(pools)
    fates = Fates(none, called, called, owed, none, none, np.zeros((0, 1)), np.zeros((*pools, 1)))
    return jax.tree.map(jnp.asarray, (ledger, fates))


class Truth(NamedTuple):
    """What is true of every pool at some marks, (pools, columns)."""

    equity: Floats
    required: Floats
    gross: Floats
    eventful: NDArray[np.bool_]


def truth(laid: Laid, ledger: Ledger, fates: Fates, marks: Floats) -> Truth:
    """Judge every pool at (assets, columns) marks, plainly."""
    holdings, warning = laid.holdings, float(laid.rules.warning)
    asset, entry, pool = (np.asarray(getattr(holdings, k)) for k in ("asset", "entry", "pool"))
    quantity, mark = np.asarray(ledger.quantity), marks[asset]
    tables = laid.rules.tables

    def requirement(notional: Floats) -> Floats:
        rate, amount = tables.requirement_rate[asset], tables.requirement_amount[asset]
        lines = np.asarray(rate)[:, None] * notional[..., None] - np.asarray(amount)[:, None]
        return np.where(notional > 0, lines.max(axis=-1), 0.0)

    def by_pool(values: Floats, of: NDArray[np.int32] = pool) -> Floats:
        total = np.zeros((holdings.pools + 1, COLUMNS))
        np.add.at(total, of, values)
        return total[:-1]

    cash, notional = np.asarray(ledger.cash), np.abs(quantity) * mark
    profit = quantity * (mark - entry[:, None])
    coins = np.asarray(ledger.coins) * marks[np.asarray(holdings.coin_asset)]
    kept = 1 - np.asarray(holdings.coin_haircut)[:, None]
    equity = cash + by_pool(profit) + by_pool(coins * kept, np.asarray(holdings.coin_pool))
    required, total = by_pool(requirement(notional)), by_pool(notional)
    is_open = total > 0

    broken = is_open & (equity - required < -TAU * total)
    called = is_open & (warning * equity <= required) & ~np.asarray(fates.called)
    loaded = np.asarray(holdings.quantity)[:, None]
    alone = np.asarray(holdings.counterpart)[:, None] + loaded * (mark - entry[:, None])
    fine = (alone > 0) & (requirement(np.abs(loaded) * mark) < HEALTHY * alone)
    ill = by_pool((~fine & (loaded != 0)).astype(float)) > 0
    cross = ~np.asarray(holdings.is_isolated)[:, None]
    hides = is_open & cross & (required > warning * equity) & ~ill
    trigger = np.asarray(holdings.trigger)[:, None]
    owner = np.asarray(holdings.account)
    can_draw = (np.asarray(ledger.reserve)[owner] > 0) & np.isfinite(trigger)
    safe_trigger = np.where(np.isfinite(trigger), trigger, 1.0)
    draws = is_open & can_draw & (safe_trigger * equity <= required)
    stop = np.asarray(holdings.stop)[:, None]
    fires = np.where(quantity > 0, mark <= stop, mark >= stop)
    stopped = by_pool((fires & (quantity != 0)).astype(float)) > 0
    sells = ~is_open & (cash < 0) & (by_pool(coins, np.asarray(holdings.coin_pool)) > 0)
    gross = np.abs(cash) + by_pool(np.abs(quantity) * entry[:, None]) + 2 * total + 1
    return Truth(equity, required, gross, broken | called | hides | draws | stopped | sells)


def a_market(rng: np.random.Generator, width: float) -> Market:
    """Return prices that wander so far in a span, and as much room for impact."""
    assets = len(PRICE)
    nodes = rng.normal(scale=0.08, size=(1, assets, PATHS_WATCHED))
    nodes = nodes + width * rng.normal(size=(BLOCK, assets, PATHS_WATCHED))
    low = -width * rng.uniform(size=(assets, COLUMNS))
    high = width * rng.uniform(size=(assets, COLUMNS))
    marks = np.array(PRICE)[:, None, None] * np.exp(nodes.transpose(1, 2, 0))
    span = Span(
        first=np.int32(7),
        looks=np.ones(BLOCK, bool),
        nodes=nodes,
        marks=marks[None],
        low=nodes.min(axis=0),
        high=nodes.max(axis=0),
        depth=None,
    )
    return jax.tree.map(jnp.asarray, Market(span, low, high))


def somewhere(rng: np.random.Generator, market: Market, place: int) -> Floats:
    """Return marks that are seen at a place with impact in its room, some of it at its ends."""
    low, high = np.asarray(market.low), np.asarray(market.high)
    at = np.clip(rng.uniform(-0.5, 1.5, low.shape), 0, 1)
    node = np.tile(np.asarray(market.span.nodes)[place], COLUMNS // PATHS_WATCHED)
    marks: Floats = np.array(PRICE)[:, None] * np.exp(node + low + at * (high - low))
    return marks


def as_loaded(laid: Laid, rng: np.random.Generator) -> tuple[Ledger, Fates]:
    """Return a book of which nothing has been traded; funding may have been paid."""
    ledger, fates = some_ledger(laid, rng)
    holdings = laid.holdings

    def spread(of: jax.Array) -> jax.Array:
        return jnp.broadcast_to(of[:, None], (of.shape[0], COLUMNS))

    paid = rng.choice([0.0, 1.0], (holdings.pools, COLUMNS)) * rng.normal(scale=100.0)
    return ledger._replace(
        cash=spread(holdings.cash) + paid,
        quantity=spread(holdings.quantity),
        coins=spread(holdings.coin_quantity),
    ), fates


def due_places(watch: Watch) -> dict[tuple[int, int], int]:
    """Return the place at which each listed (pool, column) is due; each is listed once."""
    count = int(watch.length)
    numbers = (np.asarray(of)[:count].tolist() for of in (watch.pool, watch.column, watch.due))
    rows = [row for row in zip(*numbers, strict=True) if row[2] < BLOCK]
    places = {(pool, column): due for pool, column, due in rows}
    assert len(places) == len(rows)
    waiting = np.zeros((BLOCK, COLUMNS), int)
    for _, column, due in rows:
        waiting[due, column] += 1
    np.testing.assert_array_equal(watch.waiting, waiting)
    return places


def all_kinds(seed: int) -> Laid:
    case = Case(controls="both")
    return lay_out(case, plain_book(seed, case))


WIDTHS = st.sampled_from([0.0, 1e-3, 0.02, 0.1, 0.4])


def test_who_is_left_alone_has_nothing_happen_to_it() -> None:
    """No breach, call, top-up, stop, debt or hidden distress before the place a pair is due at."""
    listed, eventful, cells, looked = 0, 0, 0, 0

    @settings(max_examples=30, deadline=None, derandomize=True)
    @given(seed=seeds, width=WIDTHS, state=st.sampled_from([AS_LOADED, TRADED]))
    def check(seed: int, width: float, state: int) -> None:
        nonlocal listed, eventful, cells, looked
        rng, laid = np.random.default_rng(seed), all_kinds(seed)
        ledger, fates = (as_loaded if state == AS_LOADED else some_ledger)(laid, rng)
        market = a_market(rng, width)
        floor = rng.integers(0, BLOCK, COLUMNS)
        some = (laid.holdings, ledger, fates, laid.rules)
        watch = watching(*some, market, jnp.asarray(floor, jnp.int32), state)
        places = due_places(watch)
        assert all(due >= floor[column] for (_, column), due in places.items())
        first = np.full((laid.holdings.pools, COLUMNS), BLOCK)
        for pair, due in places.items():
            first[pair] = due
        for place in range(BLOCK):
            is_so = truth(laid, ledger, fates, somewhere(rng, market, place)).eventful
            is_so &= place >= floor
            assert not (is_so & (first > place)).any()
            eventful += int(is_so.sum())
            looked += int((first <= place).sum())
        listed += len(places)
        cells += first.size

    check()
    # the watch is worth something: many are left alone, and who is not is not so for nothing
    assert listed < 0.8 * cells
    assert eventful > 0.3 * looked


def test_a_box_of_no_width_is_no_lower_than_it_must_be() -> None:
    """At a point the line of an uncalled pool is its excess at the warning, less the slack."""
    laid, rng = all_kinds(3), np.random.default_rng(3)
    ledger, fates = some_ledger(laid, rng)
    fates = fates._replace(called=jnp.zeros_like(fates.called))
    ledger = ledger._replace(reserve=jnp.zeros_like(ledger.reserve))
    market = a_market(rng, 0.0)
    is_so = truth(laid, ledger, fates, somewhere(rng, market, 0))
    found = np.asarray(at_a_point(laid.holdings, ledger, fates, laid.rules, market))
    exact = float(laid.rules.warning) * is_so.equity - is_so.required
    tight = np.isfinite(found)
    assert 0.3 < tight.mean() < 1.0
    assert (exact[tight] - found[tight] >= 0).all()
    assert (exact[tight] - found[tight] <= 5 * TAU * is_so.gross[tight]).all()


def test_a_line_is_never_above_the_excess() -> None:
    laid, rng = all_kinds(4), np.random.default_rng(4)
    ledger, fates = some_ledger(laid, rng)
    for width in (0.02, 0.1, 0.4):
        market = a_market(rng, width)
        bound = np.asarray(at_a_point(laid.holdings, ledger, fates, laid.rules, market))
        for _ in range(8):
            is_so = truth(laid, ledger, fates, somewhere(rng, market, 0))
            above = bound - np.where(is_so.equity < 0, 0, is_so.equity - is_so.required)
            held = is_so.required > 0
            assert (above[held] <= 1e-13 * is_so.gross[held]).all()


def test_who_was_judged_is_due_anew() -> None:
    """After a trade, a pair is due where a watch made then says; the others stay as they are."""
    laid, rng = all_kinds(5), np.random.default_rng(5)
    ledger, fates = some_ledger(laid, rng)
    market, start = a_market(rng, 0.05), jnp.zeros(COLUMNS, jnp.int32)
    some = (laid.holdings, ledger, fates, laid.rules)
    watch = watching(*some, market, start)
    before = due_places(watch)
    later = (laid.holdings, *some_ledger(laid, rng), laid.rules)
    after = due_places(refreshed(watch, *later, market, start))
    expected = due_places(watching(*later, market, start + 1))
    judged = {pair for pair, due in before.items() if due == 0}
    assert len(judged) > 10
    assert {pair for pair in after if pair in judged} == {
        pair for pair in expected if pair in judged
    }
    for pair, due in after.items():
        assert due == (expected if pair in judged else before)[pair]


@pytest.mark.parametrize("stale", [[2], [0, 3, 5], list(range(COLUMNS))])
def test_a_stale_column_is_listed_anew(stale: list[int]) -> None:
    """And no other: its pairs are due where a watch made anew says."""
    laid, rng = all_kinds(6), np.random.default_rng(6)
    market, floor = a_market(rng, 0.05), jnp.asarray(rng.integers(0, 3, COLUMNS), jnp.int32)
    some = (laid.holdings, *some_ledger(laid, rng), laid.rules)
    later = (laid.holdings, *some_ledger(laid, rng), laid.rules)
    other = a_market(rng, 0.1)._replace(span=market.span)
    watch = watching(*some, market, floor)
    # a list that is not full: in one that is, all columns are listed anew
    crowd = jnp.concatenate([watch.pool] * 4), jnp.concatenate([watch.column] * 4)
    never = jnp.full_like(watch.due, BLOCK)
    watch = watch._replace(
        pool=crowd[0], column=crowd[1], due=jnp.concatenate([watch.due, *[never] * 3])
    )
    flagged = jnp.zeros(COLUMNS, bool).at[jnp.asarray(stale)].set(True)
    found = watched_again(watch._replace(stale=flagged), *later, other, floor)
    assert not found.stale.any()
    old, new = (
        due_places(watching(*some, market, floor)),
        due_places(watching(*later, other, floor)),
    )
    wanted = {pair: due for pair, due in old.items() if pair[1] not in stale}
    wanted |= {pair: due for pair, due in new.items() if pair[1] in stale}
    assert due_places(found) == wanted


def test_who_pays_for_others_is_looked_at_again() -> None:
    """The winners' cash falls: a list that was made before is no good any more."""
    laid = all_kinds(6)
    rules = replace(laid.rules, backstop=Socialised(), variants=laid.rules.variants[:1])

    @jax.jit
    def pays(deficit: jax.Array) -> tuple[jax.Array, jax.Array]:
        with_ = Trading.of(
            jnp.asarray(PRICE), laid.holdings, rules, steps=3, tolerance=TAU, everyone=False
        )
        state = _at_start(with_, PATHS, BLOCK).state
        nodes = jnp.zeros((BLOCK, len(PRICE), PATHS))
        empty = jnp.zeros((0, 1))
        looks = jnp.ones(BLOCK, bool)
        span = Span(jnp.asarray(0, jnp.int32), looks, nodes, empty, nodes[0], nodes[0], None)
        after = _pay(with_, state, span, deficit, jnp.zeros(PATHS))
        return after.watch.stale.any(), (after.ledger.cash < state.ledger.cash).any()

    deficit = jnp.zeros(PATHS)
    assert [bool(of) for of in pays(deficit)] == [False, False]
    assert [bool(of) for of in pays(deficit.at[3].set(1e5))] == [True, True]


# --- no trace in the results ----------------------------------------------------------------------


@partial(jax.jit, static_argnames="schedule")
def screened(room: tuple[jax.Array, jax.Array], *arguments: Any, schedule: Schedule) -> Any:
    """Run the kernel with another room around its boxes: it is read while the kernel is traced."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rounds, "_ROOM", room)
        return cascade.__wrapped__(*arguments, schedule=schedule)


def with_room(laid: Laid, prices: Floats, room: tuple[float, float]) -> CascadeOutcome:
    outcome = screened(
        (jnp.asarray(room[0]), jnp.asarray(room[1])),
        model_of(prices),
        jnp.asarray(PRICE),
        laid.holdings,
        laid.rules,
        jnp.asarray(17, jnp.uint32),
        jnp.arange(PATHS, dtype=jnp.uint32),
        jnp.asarray(0, jnp.int32),
        schedule=schedule(least_excess=False),
    )
    found: CascadeOutcome = jax.tree.map(np.asarray, outcome)
    return found


ROOMS = {"none": (0.0, 0.0), "as shipped": rounds._ROOM, "all": (10.0, 3.0)}
MONEY = ("closed", "overshoot", "drawn", "uncovered", "socialised", "deleveraged", "over_closed")


@pytest.mark.slow
def test_screened_or_not_is_the_same() -> None:
    """Judging every pool at every look, or few of them in boxes tight or wide: the same fates."""
    choices = {
        name: st.sampled_from(CHOICES[name])
        for name in ("order", "permanent", "elasticity", "backstop", "controls", "fund", "fee")
    }

    @settings(max_examples=4, deadline=None, derandomize=True)
    @given(
        seed=seeds,
        amount=st.sampled_from(CHOICES["amount"]),
        chosen=st.fixed_dictionaries(choices),
        funding=st.sampled_from([0, 4]),
    )
    def check(seed: int, amount: str, chosen: dict[str, Any], funding: int) -> None:
        case = case_of(**chosen, amount=amount, funding=funding)
        laid, prices = lay_out(case, plain_book(seed, case)), price_paths(seed, PATHS)
        expected = run(laid, prices)
        assert (expected.fates.step > 0).any() and (expected.fates.step < 0).any()
        gross = sum(abs(item.quantity) * item.entry for item in _items(seed, case))
        for name, room in ROOMS.items():
            same(with_room(laid, prices, room), expected, gross, name)

    check()


def _items(seed: int, case: Case) -> list[Any]:
    return [item for account in plain_book(seed, case).accounts for item in account.positions]


def same(found: CascadeOutcome, expected: CascadeOutcome, gross: float, room: str) -> None:
    for kind in ("step", "called", "bankrupt", "loser", "hidden"):
        np.testing.assert_array_equal(
            getattr(found.fates, kind), getattr(expected.fates, kind), f"{kind}, room {room}"
        )
    for kind in ("exhausted", "false_liquidations", "late_steps", "rounds_exhausted"):
        np.testing.assert_array_equal(
            getattr(found.tally, kind), getattr(expected.tally, kind), f"{kind}, room {room}"
        )
    for kind in MONEY:
        money = (getattr(of.tally, kind) / gross for of in (found, expected))
        np.testing.assert_allclose(*money, rtol=0, atol=1e-12, err_msg=f"{kind}, room {room}")
    for kind in ("equity", "reserve", "fund", "course"):
        money = (getattr(of, kind) / gross for of in (found, expected))
        np.testing.assert_allclose(*money, rtol=0, atol=1e-12, err_msg=f"{kind}, room {room}")
    np.testing.assert_allclose(found.marks, expected.marks, rtol=1e-12)
    np.testing.assert_allclose(found.fates.charge, expected.fates.charge, rtol=0, atol=1e-10)
