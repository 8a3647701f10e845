"""What paths ask of pools: against first passage at other cash and other sizes, on the same paths.

The two share the looks and nothing else of the arithmetic: here a whole curve comes from one walk,
there every point of it is a run of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from numpy.typing import NDArray

from stress.book.barriers import find_barriers
from stress.book.book import Book
from stress.book.what_if import resized
from stress.engine.block import Schedule
from stress.engine.needs import Needs, pool_needs
from stress.market import Constant
from stress.runner.prepare import Job, prepare
from stress.scenario.schema import Scenario
from tests.engine.following import BLOCK, PATHS, follow, gross, marks, pools_of_world, schedule
from tests.engine.scripted import PERIOD, WIDTH, Barred, scripted
from tests.strategies import PRICE, TIERS, Account, books, random_book, seeds, write_book

Floats = NDArray[np.float64]
Hits = NDArray[np.bool_]

SEED = 171
SIZES = (0.05, 0.5, 0.9, 1.0, 1.1, 2.0, 30.0)
CUSHIONS = (-0.2, -0.01, 0.0, 0.003, 0.05, 1.0)
"""Further cash as a share of all that a pool holds."""

FLAT = {name: rows if name == "ONE" else rows[:1] for name, rows in TIERS.items()}
"""Tiers of one asset only: pools on the others have one tier."""


class Case(NamedTuple):
    """A book, and what makes a job of a book that differs in numbers only."""

    scenario: Scenario
    book: Book
    job: Callable[[Book], Job]


def needs_of(job: Job, block: int = BLOCK) -> Needs:
    """Return what ``PATHS`` paths ask of the pools of the main world, as NumPy arrays."""
    seed = jnp.asarray(job.scenario.simulation.seed, jnp.uint32)
    numbers = jnp.arange(PATHS, dtype=jnp.uint32)
    chosen: Schedule = schedule(job, block)
    (found,) = pool_needs(job.model, job.price, (job.main.world,), seed, numbers, schedule=chosen)
    pools = len(job.main.pools.cash)
    return Needs(*(np.asarray(of)[:pools] for of in jax.tree.leaves(found)))


def hits(job: Job) -> Hits:
    """Return (pools, paths) whether first passage liquidates."""
    return np.asarray(follow(job, detail=False).outcome.step >= 0)


def case(folder: Path, accounts: dict[str, Account], **changes: Any) -> Case:
    named = {key.replace("__", "."): value for key, value in changes.items()}
    scenario = write_book(folder, accounts, {"simulation.seed": SEED, **named})
    return Case(scenario, prepare(scenario).book, lambda book: prepare(scenario, book=book))


def with_cash(book: Book, job: Job, extra: Floats) -> Book:
    """Return the book as booked with (pools,) further cash."""
    pools = job.main.pools
    isolated = ~np.isnan(book.margin)
    margin = book.margin.copy()
    margin[isolated] += extra[pools.pool_of_position[isolated]]
    return replace(book, cash=book.cash + extra[pools.is_cross], margin=margin)


def cushions(job: Job) -> Iterator[Floats]:
    """Yield (pools,) further cash: shares of what a pool holds, another for every pool."""
    scale = gross(pools_of_world(job), marks(job)[0, 0])[:, 0]
    random = np.random.default_rng(SEED)
    for share in CUSHIONS:
        yield share * scale * (random.uniform(0.5, 1.5, len(scale)) if share else 1.0)


def check_cash(given: Case, same: Callable[[Job], Hits] | None = None) -> Needs:
    """Compare the shortfall with runs at other cash; of the pools that ``same`` leaves."""
    job = given.job(given.book)
    found, mixed = needs_of(job), 0
    for extra in cushions(job):
        other = given.job(with_cash(given.book, job, extra))
        compared = np.ones(len(extra), bool) if same is None else same(other)
        expected = hits(other)
        if job.schedule.monitoring == "bridge":
            liquidated = found.shortfall >= extra[:, None]
        else:
            liquidated = found.shortfall > extra[:, None]
        np.testing.assert_array_equal(liquidated[compared], expected[compared])
        shares = expected[compared].mean(axis=1)
        mixed += ((shares > 0) & (shares < 1)).sum()
    assert mixed > 10
    return found


def check_size(given: Case, known: Hits) -> Needs:
    """Compare the size with runs at other sizes, of the pools of which it is known."""
    job = given.job(given.book)
    found, mixed = needs_of(job), 0
    np.testing.assert_array_equal(~np.isnan(found.size), np.repeat(known[:, None], PATHS, axis=1))
    for size in SIZES:
        factor = np.full(len(given.book.positions), size)
        expected = hits(given.job(resized(given.book, factor)))
        np.testing.assert_array_equal((found.size < size)[known], expected[known])
        shares = expected[known].mean(axis=1)
        mixed += ((shares > 0) & (shares < 1)).sum()
    assert mixed > 10
    return found


def has_positions(job: Job) -> Hits:
    held = job.main.pools.pool_of_position
    return np.bincount(held[held >= 0], minlength=len(job.main.pools.cash)) > 0


def test_step(tmp_path: Path) -> None:
    """Every kind of pool: several tiers and assets, both sides, coins, debt, isolated margins."""
    given = case(tmp_path, random_book(SEED))
    found = check_cash(given)
    job = given.job(given.book)
    check_size(given, (job.main.pools.cash >= 0) | ~has_positions(job))
    # what is asked of a pool does not depend on how time is cut
    np.testing.assert_allclose(needs_of(job, 11).shortfall, found.shortfall, rtol=1e-12)


@settings(max_examples=3, deadline=None)
@given(accounts=books(copies=2), seed=seeds)
def test_step_of_any_book(
    tmp_path_factory: pytest.TempPathFactory, accounts: dict[str, Account], seed: int
) -> None:
    """With a little more than its need a pool survives, with a little less it does not."""
    given = case(tmp_path_factory.mktemp("book"), accounts, simulation__seed=seed)
    job = given.job(given.book)
    found, scale = needs_of(job), gross(pools_of_world(job), marks(job)[0, 0])[:, 0]
    for path in (0, 7):
        need = found.shortfall[:, path]
        asked = np.where(np.isfinite(need), need, 0.0)
        for sign in (1, -1):
            extra = asked + sign * 1e-7 * scale
            spared = ~hits(given.job(with_cash(given.book, job, extra)))[:, path]
            np.testing.assert_array_equal(spared[np.isfinite(need)], sign > 0)
            assert spared[~np.isfinite(need)].all()


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["cross", "isolated"])
def test_counterparts(tmp_path: Path, mode: str) -> None:
    """As they are, which is what a curve says at 1."""
    given = case(tmp_path, random_book(SEED), book__mode=mode)
    job = given.job(given.book)
    found, expected = needs_of(job), hits(job)
    np.testing.assert_array_equal(found.shortfall > 0, expected)
    known = ~np.isnan(found.size)
    np.testing.assert_array_equal((found.size < 1)[known], expected[known])
    assert known.any(axis=1).sum() > 10


def two_assets() -> dict[str, Account]:
    """Return pools whose size is known under bridges, and two of which it is not."""
    long = {"asset": "TWO", "quantity": 1.0, "entry_price": 61_000.0}
    short = {"asset": "TEN", "quantity": -20.0, "entry_price": 2_400.0}
    tiered = {"asset": "ONE", "quantity": 900.0, "entry_price": 128.0}
    coin = {"asset": "TWO", "quantity": 0.05}
    return {
        "hedge-0": Account(9_000.0, [long, short]),
        "hedge-1": Account(15_000.0, [long, {**short, "quantity": 15.0}]),
        "tiers-0": Account(12_000.0, [tiered]),
        "tiers-1": Account(12_000.0, [{**tiered, "quantity": -500.0}]),
        "coins-0": Account(5_000.0, [long, {**long, "quantity": 0.4}], [coin]),
        "apart-0": Account(0.0, [{**short, "margin": 4_000.0}, {**long, "margin": 5_000.0}]),
        "unknown-tiers": Account(20_000.0, [tiered, long]),
        "unknown-coins": Account(20_000.0, [long, short], [{**coin, "asset": "TEN"}]),
    }


@pytest.fixture(scope="module")
def bridged(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """A book under bridges, all kinds of pools and those of ``two_assets``."""
    accounts = {**random_book(SEED, copies=1), **two_assets()}
    changes = {"simulation__monitoring": "bridge", "venue__tiers": FLAT}
    return case(tmp_path_factory.mktemp("bridged"), accounts, **changes)


@pytest.mark.slow
def test_bridge_hits(bridged: Case) -> None:
    """Of pools that have the same bridge at the other cash, in the excess or in the log price."""
    job = bridged.job(bridged.book)
    own = find_barriers(job.book, job.main.pools, job.setting)

    def same(other: Job) -> Hits:
        theirs = find_barriers(other.book, other.main.pools, other.setting)
        return np.asarray(own.side == theirs.side)

    check_cash(bridged, same)
    changed = sum(
        (~same(bridged.job(with_cash(job.book, job, extra)))).sum() for extra in cushions(job)
    )
    # hedges on one asset may; nobody else
    assert changed < 8


def test_bridge_sizes(bridged: Case) -> None:
    """Of pools with one tier and no coins, and of one asset and side."""
    job = bridged.job(bridged.book)
    found = needs_of(job)
    pools, labels = job.main.pools, np.array(job.book.accounts)
    known = ~np.isnan(found.size).any(axis=1)
    by_hand = {
        "hedge": True,
        "tiers": True,
        "coins": True,
        "apart": True,
        "unknown": False,
        "idle": True,
        "cross_straddle": False,
    }
    for pool, label in enumerate(labels[pools.account]):
        kind = label.partition("-")[0]
        if kind in by_hand and (has_positions(job)[pool] or kind == "idle"):
            assert known[pool] == by_hand[kind], label
    check_size(bridged, known)


@pytest.mark.slow
def test_jumps(tmp_path: Path) -> None:
    """Bridges end before a jump, and behind it is another look; steps differ in variance."""
    given = case(
        tmp_path,
        {**random_book(SEED, copies=1), **two_assets()},
        simulation__monitoring="bridge",
        venue__tiers=FLAT,
    )
    size = np.zeros((PERIOD, WIDTH, len(PRICE)))
    size[1, 1:], size[3, 1:] = -0.04, 0.05
    scale = np.tile(np.array([0.2, 1.9, 0.6, 1.4, 1.0])[:, None], WIDTH)
    model = scripted(given.job(given.book), scale, size, apart=True)

    def job(book: Book) -> Job:
        return replace(prepare(given.scenario, book=book), market=Constant(model))

    own = find_barriers(given.book, job(given.book).main.pools, job(given.book).setting)

    def same(other: Job) -> Hits:
        theirs = find_barriers(other.book, other.main.pools, other.setting)
        return np.asarray(own.side == theirs.side)

    jumping = given._replace(job=job)
    found = check_cash(jumping, same)
    check_size(jumping, ~np.isnan(found.size).any(axis=1))


@pytest.mark.slow
def test_extremes(tmp_path: Path) -> None:
    """The worse end of a bar is another one at another size."""
    given = case(tmp_path, random_book(SEED), simulation__monitoring="extremes")
    rng = np.random.default_rng(SEED)
    first = given.job(given.book)
    bar = jnp.asarray(rng.uniform(0.0, 0.04, (2, PERIOD, WIDTH, len(PRICE))))
    model = Barred(scripted(first, np.ones((PERIOD, WIDTH)), apart=True), -bar[0], bar[1])
    barred = given._replace(
        job=lambda book: replace(prepare(given.scenario, book=book), market=Constant(model))
    )
    check_cash(barred)
    check_size(barred, (first.main.pools.cash >= 0) | ~has_positions(first))


def test_by_hand(tmp_path: Path) -> None:
    """One long of 10 on a price that falls from 128 to 100 and comes back.

    At 100 the profit is 10 (100 - 128) = -280, the requirement 1000 / 64 in the lowest tier, the
    tolerance 1e-9 of 1000. With 50 of cash 245.625 more is needed. At size k all but the cash
    scales: ``50 = k (280 + 15.625)``.
    """
    account = Account(50.0, [{"asset": "ONE", "quantity": 10.0, "entry_price": 128.0}])
    given = case(tmp_path, {"one": account, "none": Account(7.0)}, simulation__horizon="18h")
    path = np.log(np.array([110.0, 100.0, 128.0]) / 128.0)
    moves = np.diff(path, prepend=0.0)
    job = given.job(given.book)
    jumps = np.zeros((PERIOD, WIDTH, len(PRICE)))
    jumps[:3] = moves[:, None, None]
    still = np.zeros(len(PRICE))
    model = scripted(job, np.zeros((PERIOD, WIDTH)), jumps, apart=True, mean=still)
    found = needs_of(replace(job, market=Constant(model)))
    np.testing.assert_allclose(found.shortfall[0], 245.625 - 1e-6, rtol=0, atol=1e-9)
    np.testing.assert_allclose(found.size[0], 50 / (295.625 - 1e-6), rtol=1e-12)
    assert (found.shortfall[1] == -np.inf).all()
    assert (found.size[1] == np.inf).all()
