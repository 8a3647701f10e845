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

# who pays is settled inside a batch: there is no public face for that
from stress.engine.batch import Trading, _pay
from stress.engine.block import Schedule
from stress.engine.cascade import CascadeOutcome, _at_start, cascade
from stress.engine.watch import HEALTHY, Watch, doubtful, no_watch, rebuild, refresh
from stress.venue.backstop import Socialised
from stress.venue.holdings import Fates, Holdings, Ledger
from stress.venue.rules import VenueRules
from tests.cascade_books import CHOICES, PRICE, Case, plain_book, price_paths
from tests.engine.switched import PATHS, Laid, case_of, lay_out, model_of, run, schedule
from tests.strategies import seeds

Floats = NDArray[np.float64]
COLUMNS = 6
TAU = 1e-9


@partial(jax.jit, static_argnames="everyone")
def watching(
    holdings: Holdings,
    ledger: Ledger,
    fates: Fates,
    rules: VenueRules,
    low: jax.Array,
    high: jax.Array,
    *,
    everyone: bool = False,
) -> Watch:
    start = no_watch(holdings, low)
    how: Any = {"tolerance": TAU, "everyone": everyone}
    return rebuild(start, holdings, ledger, fates, rules, (low, high), jnp.asarray(PRICE), **how)


@jax.jit
def redrawn(
    watch: Watch, holdings: Holdings, ledger: Ledger, fates: Fates, rules: VenueRules
) -> Watch:
    everyone = jnp.arange(watch.pool.shape[0], dtype=jnp.int32)
    slots = jnp.where(everyone < watch.length, everyone, watch.pool.shape[0])
    return refresh(watch, slots, holdings, ledger, fates, rules, tolerance=TAU, everyone=False)


@jax.jit
def in_doubt(watch: Watch, holdings: Holdings, views: jax.Array) -> tuple[jax.Array, jax.Array]:
    return doubtful(watch, holdings, views, jnp.zeros_like(watch.pool))


@jax.jit
def bounds(watch: Watch, marks: jax.Array) -> jax.Array:
    """Return (capacity,) bounds at (assets, columns) marks, all lines added."""
    return watch.level + (watch.slope * marks.reshape(-1)[watch.place]).sum(axis=0)


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
        acted_on=np.zeros(pools, bool),
        chosen=np.zeros_like(quantity),
        sold=parts(holdings.coin_quantity),
        fund=np.zeros(COLUMNS),
    )
    none = np.zeros(pools, np.int32)
    called = rng.uniform(size=pools) < 0.5
    fates = Fates(none, called, called, none, none, np.zeros((0, 1)), np.zeros((*pools, 1)))
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


def a_box(rng: np.random.Generator, width: float) -> tuple[Floats, Floats]:
    middle = rng.normal(scale=0.08, size=(len(PRICE), COLUMNS))
    away = width * rng.uniform(size=(2, len(PRICE), COLUMNS))
    return middle - away[0], middle + away[1]


def somewhere(rng: np.random.Generator, low: Floats, high: Floats) -> Floats:
    """Return marks in the box, some of them at its ends."""
    at = np.clip(rng.uniform(-0.5, 1.5, low.shape), 0, 1)
    marks: Floats = np.array(PRICE)[:, None] * np.exp(low + at * (high - low))
    return marks


def all_kinds(seed: int) -> Laid:
    case = Case(controls="both")
    return lay_out(case, plain_book(seed, case))


WIDTHS = st.sampled_from([0.0, 1e-3, 0.02, 0.1, 0.4])


def test_who_is_left_alone_has_nothing_happen_to_it() -> None:
    """Anywhere in the box: no breach, no call, no top-up, no stop, no debt, no hidden distress."""
    listed, doubted, eventful, cells = 0, 0, 0, 0

    @settings(max_examples=25, deadline=None, derandomize=True)
    @given(seed=seeds, width=WIDTHS)
    def check(seed: int, width: float) -> None:
        nonlocal listed, doubted, eventful, cells
        rng, laid = np.random.default_rng(seed), all_kinds(seed)
        ledger, fates = some_ledger(laid, rng)
        low, high = a_box(rng, width)
        watch = watching(laid.holdings, ledger, fates, laid.rules, low, high)
        count = int(watch.length)
        pool, column = np.asarray(watch.pool)[:count], np.asarray(watch.column)[:count]
        assert len(set(zip(pool.tolist(), column.tolist(), strict=True))) == count
        is_listed = np.zeros((laid.holdings.pools, COLUMNS), bool)
        is_listed[pool, column] = True
        for _ in range(4):
            marks = somewhere(rng, low, high)
            is_so = truth(laid, ledger, fates, marks)
            assert not (is_so.eventful & ~is_listed).any()
            places, doubts = in_doubt(watch, laid.holdings, jnp.asarray(marks)[None])
            doubt = np.zeros_like(is_listed)
            found = np.asarray(places)[: int(doubts)]
            doubt[pool[found], column[found]] = True
            assert not (is_so.eventful & ~doubt).any()
            # never above the exact excess; no bound is a promise of less than nothing
            bound = np.asarray(bounds(watch, jnp.asarray(marks)))[:count]
            excess, equity = is_so.equity - is_so.required, is_so.equity
            above = bound - np.where(equity < 0, 0, excess)[pool, column]
            # a pool without positions and debts has no requirement: its bound is infinite
            held = (is_so.required > 0)[pool, column]
            assert (above[held] <= 1e-13 * is_so.gross[pool, column][held]).all()
            doubted += int(doubts)
            eventful += int(is_so.eventful.sum())
            listed += count
            cells += is_listed.size

    check()
    # the watch is worth something: most of the rest is left alone, of the listed most are clear
    assert listed < 0.8 * cells
    assert eventful <= doubted < 0.9 * listed


def test_a_box_of_no_width_is_no_lower_than_it_must_be() -> None:
    """At a point the bound of an uncalled pool is its excess at the warning, less the slack."""
    laid, rng = all_kinds(3), np.random.default_rng(3)
    ledger, fates = some_ledger(laid, rng)
    fates = fates._replace(called=jnp.zeros_like(fates.called))
    ledger = ledger._replace(reserve=jnp.zeros_like(ledger.reserve))
    low, _ = a_box(rng, 0.0)
    watch = watching(laid.holdings, ledger, fates, laid.rules, low, low)
    marks = np.array(PRICE)[:, None] * np.exp(low)
    is_so = truth(laid, ledger, fates, marks)
    found = np.asarray(bounds(watch, jnp.asarray(marks)))[: int(watch.length)]
    some = np.asarray(watch.pool)[: len(found)], np.asarray(watch.column)[: len(found)]
    exact = (float(laid.rules.warning) * is_so.equity - is_so.required)[some]
    tight = np.isfinite(found)
    assert 0.3 < tight.mean() < 1.0
    assert (exact[tight] - found[tight] >= 0).all()
    assert (exact[tight] - found[tight] <= 5 * TAU * is_so.gross[some][tight]).all()


def test_who_has_traded_is_bounded_anew() -> None:
    """Bounds drawn anew are those of a watch made anew."""
    laid, rng = all_kinds(5), np.random.default_rng(5)
    ledger, fates = some_ledger(laid, rng)
    low, high = a_box(rng, 0.05)
    first = watching(laid.holdings, ledger, fates, laid.rules, low, high, everyone=True)
    later, fates = some_ledger(laid, rng)
    changed = redrawn(first, laid.holdings, later, fates, laid.rules)
    other = watching(laid.holdings, later, fates, laid.rules, low, high)

    def lines(watch: Watch) -> dict[tuple[int, int], Floats]:
        numbers = np.concatenate([watch.level[None], watch.slope, watch.place])
        pairs = zip(np.asarray(watch.pool).tolist(), np.asarray(watch.column).tolist(), strict=True)
        return dict(list(zip(pairs, numbers.T, strict=True))[: int(watch.length)])

    anew, expected = lines(changed), lines(other)
    both = set(anew) & set(expected)
    assert len(both) > 10
    for pair in both:
        np.testing.assert_allclose(anew[pair], expected[pair], rtol=1e-14)


def test_who_pays_for_others_is_looked_at_again() -> None:
    """The winners' cash falls: a list that was made before is no good any more."""
    laid = all_kinds(6)
    rules = replace(laid.rules, backstop=Socialised(), variants=laid.rules.variants[:1])
    marks = jnp.repeat(jnp.asarray(PRICE)[:, None], PATHS, axis=1)

    @jax.jit
    def pays(deficit: jax.Array) -> tuple[jax.Array, jax.Array]:
        with_ = Trading(jnp.asarray(PRICE), laid.holdings, rules, TAU, everyone=False)
        state = _at_start(with_, PATHS).state
        state = state._replace(watch=state.watch._replace(stale=jnp.zeros((), bool)))
        after = _pay(with_, state, deficit, jnp.zeros(PATHS), marks)
        return after.watch.stale, (after.ledger.cash < state.ledger.cash).any()

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


def test_screened_or_not_is_the_same() -> None:
    """Judging every pool at every look, or few of them in boxes tight or wide: the same fates."""
    choices = {
        name: st.sampled_from(CHOICES[name])
        for name in ("order", "permanent", "elasticity", "backstop", "controls", "fund", "fee")
    }

    @settings(max_examples=6, deadline=None, derandomize=True)
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
