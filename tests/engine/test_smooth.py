"""The smooth form of first passage: its weights are the engine's, its slopes are differences."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.typing import NDArray

from stress.book.book import Book
from stress.book.display import pool_margins
from stress.book.pools import account_pools
from stress.book.setting import Setting
from stress.engine.deal import build_world
from stress.engine.passage import first_passage
from stress.engine.smooth import Aims, smooth_slopes, smooth_sums
from stress.market import Constant
from stress.market.directions import correlation_directions, volatility_directions
from stress.market.gbm import GeometricBrownianMotion
from stress.runner.prepare import Job, prepare
from tests.engine.following import PATHS, schedule
from tests.engine.scripted import PERIOD, WIDTH, scripted
from tests.strategies import random_book, write_book

Floats = NDArray[Any]

SEED = 57
KINDS = ("cross_single", "cross_hedged", "cross_several", "mixed", "broken")
"""With and without a liquidation price, with coins, with isolated positions, closed at once."""

ASSETS = 4
PAIRS = 6


@dataclass(frozen=True)
class Subject:
    """A book, kernels compiled once for it, and where its tails begin."""

    job: Job

    @property
    def pools(self) -> int:
        return len(self.job.main.pools.cash)

    @cached_property
    def aims(self) -> Aims:
        """Tails that begin among the losses, but not where a pool with one price is hit."""
        loss = initial_equity(self)[:, None] - self.outcome().equity
        reach = np.array([[0.41], [0.73]]) * np.ptp(loss, axis=1) + 1.0
        value = jnp.asarray(loss.min(axis=1) + reach)
        return Aims(value, jnp.full_like(value, 0.5), jnp.zeros(self.pools))

    def world(self, book: Book | None = None, setting: Setting | None = None) -> Any:
        """Return the panels of another book or venue: barriers and all, from the beginning."""
        book, setting = book or self.job.book, setting or self.job.setting
        pools = account_pools(book, "as-booked", setting.price, setting.haircut)
        return build_world(book, pools, setting, "float64", "bridge")

    def sums(self, model: Any = None, world: Any = None, first: int = 0) -> Floats:
        """Return (F, pools) sums over the paths of what a pool does by itself."""
        return np.asarray(self.slopes(model=model, world=world, first=first).value)

    def outcome(self, world: Any = None, first: int = 0) -> Any:
        """Return what first passage says of the same paths."""
        job = self.job
        paths = first + jnp.arange(PATHS, dtype=jnp.uint32)
        (outcome,), _ = first_passage(
            job.model,
            job.price,
            (world or job.main.world,),
            job.rules,
            jnp.uint32(SEED),
            paths,
            schedule=schedule(job),
        )
        return jax.tree.map(np.asarray, outcome.of(self.pools))

    def slopes(
        self, owner: Any = None, model: Any = None, world: Any = None, first: int = 0
    ) -> Any:
        """Return the slopes; every pool is an account by itself unless owners are given."""
        job, setting = self.job, self.job.setting
        owner = None if owner is None else jnp.asarray(owner, jnp.int32)
        numbers = (setting.volatility, setting.correlation, setting.step_years)
        slopes = smooth_slopes(
            model or job.model,
            job.price,
            world or job.main.world,
            job.rules,
            self.aims,
            owner,
            jnp.uint32(SEED),
            first + jnp.arange(PATHS, dtype=jnp.uint32),
            along(volatility_directions(*numbers)),
            along(correlation_directions(*numbers, pairs())),
            schedule=schedule(job),
        )
        return jax.tree.map(np.asarray, slopes)


class Followed(Subject):
    """A subject of which nothing but the sums is wanted: a smaller kernel."""

    @cached_property
    def _sums(self) -> Any:
        return jax.jit(partial(smooth_sums, schedule=schedule(self.job)))

    def sums(self, model: Any = None, world: Any = None, first: int = 0) -> Floats:
        job, paths = self.job, first + jnp.arange(PATHS, dtype=jnp.uint32)
        arguments = (job.model, job.price, job.main.world, job.rules, self.aims)
        return np.asarray(self._sums(*arguments, None, jnp.uint32(SEED), paths)[0])


def along(directions: Any) -> GeometricBrownianMotion:
    return GeometricBrownianMotion(
        jnp.asarray(directions.mean), jnp.asarray(directions.covariance_root)
    )


def pairs() -> Floats:
    row, column = np.triu_indices(ASSETS, 1)
    changes = np.zeros((PAIRS, ASSETS, ASSETS))
    changes[np.arange(PAIRS), row, column] = changes[np.arange(PAIRS), column, row] = 1.0
    return changes


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    # a fee equal to a rate would leave a closed pool exactly nothing: there is no slope there
    changes = {"simulation.monitoring": "bridge", "simulation.seed": SEED, "venue.fee": 0.003}
    scenario = write_book(tmp_path_factory.mktemp("book"), random_book(SEED, KINDS), changes)
    return Subject(prepare(scenario))


@pytest.fixture(scope="module")
def slopes(subject: Subject) -> Any:
    return subject.slopes()


JUMPS = np.array([[0.0, 0.0, 0.0], [0.0, -0.05, 0.04], [0.0] * 3, [0.0, 0.03, -0.06], [0.0] * 3])
"""Jumps of all assets together in two of five steps, none on the first of three paths."""


@pytest.mark.slow
def test_steps_that_differ_and_jumps(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Weights and losses are the engine's: whoever is in breach behind a jump is closed there."""
    changes = {"simulation.monitoring": "bridge", "simulation.seed": SEED, "venue.fee": 0.003}
    folder, kinds = tmp_path_factory.mktemp("jumps"), ("cross_several",)
    job = prepare(write_book(folder, random_book(SEED, kinds), changes))
    scale = np.array([[0.2, 0.4, 1.3]] * PERIOD) * np.linspace(0.5, 1.5, PERIOD)[:, None]
    jump = np.broadcast_to(JUMPS[..., None], (PERIOD, WIDTH, ASSETS))
    job = replace(job, market=Constant(scripted(job, scale, jump, apart=True)))
    subject = Followed(job)
    survival = subject.outcome().survival
    assert ((survival == -np.inf).sum(axis=1) > (survival[:, ::3] == -np.inf).sum(axis=1)).any()
    wanted = -np.expm1(survival).sum(axis=1)
    np.testing.assert_allclose(subject.sums()[0], wanted, rtol=1e-12, atol=1e-12)
    losses_agree(subject, fewest=2)


def difference(value: Callable[[float], Floats], step: float) -> Floats:
    return (value(step) - value(-step)) / (2 * step)


def agrees(slope: Floats, wanted: Floats, size: Floats) -> None:
    """Check slopes against central differences, whose rounding goes with what is differenced."""
    np.testing.assert_array_less(np.abs(slope - wanted), 2e-5 * np.abs(wanted) + 1e-7 * size)


def sizes(subject: Subject) -> Floats:
    """Return (F, pools) what the sums are of the size of: paths, and dollars at stake on them."""
    held = np.abs(subject.sums()) + 1
    return np.maximum(held, held[1])


def test_weights_are_those_of_first_passage(subject: Subject) -> None:
    for first in (0, 1_000):
        survival = subject.outcome(first=first).survival
        wanted = -np.expm1(survival).sum(axis=1)
        np.testing.assert_allclose(subject.sums(first=first)[0], wanted, rtol=1e-12, atol=1e-12)
    open_ = (wanted > 0.01) & (wanted < PATHS - 0.01)
    assert open_.sum() >= 5


def test_losses_are_those_of_what_is_drawn(subject: Subject) -> None:
    losses_agree(subject, fewest=15)


def losses_agree(subject: Subject, fewest: int) -> None:
    """Given the nodes a drawn loss has the mean of the branches; so has what is beyond a tail."""
    aims, start = np.asarray(subject.aims.value), initial_equity(subject)
    off, count = [], 40
    for block in range(count):
        loss = start[:, None] - subject.outcome(first=block * PATHS).equity
        beyond = np.maximum(loss - aims[:, :, None], 0).sum(axis=2)
        drawn = np.stack([loss.sum(axis=1), *beyond])
        off.append(drawn - subject.sums(first=block * PATHS)[1:])
    mean, error = np.mean(off, axis=0), np.std(off, axis=0, ddof=1) / np.sqrt(count)
    scale = start * 0 + np.abs(start) + 1
    exact = error < 1e-9 * scale
    assert (np.abs(mean)[exact] < 1e-7 * (scale + 0 * error)[exact]).all()
    assert (~exact).sum() >= fewest
    assert np.abs(mean[~exact] / error[~exact]).max() < 4.5


def initial_equity(subject: Subject) -> Floats:
    """Return (pools,) equity at the start, USD."""
    job = subject.job
    return pool_margins(job.book, job.main.pools, job.setting, job.setting.price).equity


def test_cash(subject: Subject, slopes: Any) -> None:
    """Of every pool at once: pools do not influence each other."""
    job = subject.job
    gross = np.abs(initial_equity(subject)) + 1
    cross = job.main.pools.is_cross

    def value(step: float) -> Floats:
        more = step * gross
        margin = job.book.margin + more[job.main.pools.pool_of_position]
        return subject.sums(
            world=subject.world(replace(job.book, cash=job.book.cash + more[cross], margin=margin))
        )

    wanted = difference(value, 1e-6)
    agrees(slopes.cash * gross, wanted, sizes(subject))
    assert (slopes.cash[0] < -1e-9).sum() >= 5
    assert (slopes.cash[2:] != 0).sum() >= 10


def test_sizes(subject: Subject, slopes: Any) -> None:
    """Position by position, at the price at which each was entered."""
    job = subject.job
    pool = job.main.pools.pool_of_position
    slot = np.array([(pool[:row] == pool[row]).sum() for row in range(len(pool))])
    for row in range(len(pool)):
        each = np.eye(len(pool))[row]

        def value(step: float, each: Floats = each) -> Floats:
            book = replace(job.book, quantity=job.book.quantity * (1 + step * each))
            return subject.sums(world=subject.world(book))

        wanted = difference(value, 1e-6)
        found = np.zeros_like(wanted)
        found[:, pool[row]] = slopes.size[:, slot[row], pool[row]]
        agrees(found, wanted, sizes(subject))


def test_maintenance_rates(subject: Subject, slopes: Any) -> None:
    """A table is shifted as a whole: its amounts, and where its tiers begin, stay."""
    job = subject.job
    pool, asset = job.main.pools.pool_of_position, job.book.position_asset
    slot = np.array([(pool[:row] == pool[row]).sum() for row in range(len(pool))])
    for one in range(ASSETS):
        more = (np.arange(ASSETS) == one)[:, None]

        def value(step: float, more: Any = more) -> Floats:
            rate = job.setting.requirement_rate + step * more
            return subject.sums(
                world=subject.world(setting=replace(job.setting, requirement_rate=rate))
            )

        found = np.zeros_like(slopes.value)
        for row in np.flatnonzero(asset == one):
            found[:, pool[row]] += slopes.rate[:, slot[row], pool[row]]
        # a hundredth is a large change of a rate: the difference is taken over a millionth of it
        agrees(found, difference(value, 1e-8), 100 * sizes(subject))


def moved(job: Job, volatility: Floats, correlation: Floats) -> GeometricBrownianMotion:
    return GeometricBrownianMotion.build(
        volatility=volatility,
        drift=job.setting.drift,
        correlation=correlation,
        step_years=job.setting.step_years,
        precision="float64",
    )


def test_volatility(subject: Subject, slopes: Any) -> None:
    """Pool by pool, forward."""
    job = subject.job
    for asset in range(ASSETS):
        each = np.eye(ASSETS)[asset]

        def value(step: float, each: Floats = each) -> Floats:
            volatility = job.setting.volatility + step * each
            return subject.sums(moved(job, volatility, job.setting.correlation))

        agrees(slopes.shared[asset], difference(value, 1e-6), sizes(subject))


def test_correlation(subject: Subject, slopes: Any) -> None:
    """Summed over the pools, backward."""
    job = subject.job
    for pair, change in enumerate(pairs()):

        def value(step: float, change: Floats = change) -> Floats:
            correlation = job.setting.correlation + step * change
            return subject.sums(moved(job, job.setting.volatility, correlation)).sum(axis=1)

        agrees(slopes.summed[:, pair], difference(value, 1e-6), sizes(subject).sum(axis=1))


@pytest.mark.slow
def test_pools_of_one_account(subject: Subject) -> None:
    """An account is liquidated when one of its pools is: by the engine's own weights."""
    job, pools = subject.job, subject.job.main.pools
    slopes = subject.slopes(owner=pools.account)
    gross = np.abs(initial_equity(subject)) + 1
    pool = int(np.flatnonzero(~pools.is_cross)[0])
    mine = pools.account == pools.account[pool]
    assert mine.sum() == 3

    def value(step: float) -> float:
        row = job.main.pools.pool_of_position == pool
        book = replace(job.book, margin=job.book.margin + step * gross[pool] * row)
        survival = subject.outcome(subject.world(book)).survival[mine]
        return float(-np.expm1(survival.sum(axis=0)).sum())

    wanted = (value(1e-6) - value(-1e-6)) / 2e-6
    assert slopes.cash[0, pool] * gross[pool] == pytest.approx(wanted, rel=1e-5, abs=1e-12)
    np.testing.assert_allclose(slopes.value[0, mine], value(0.0), rtol=1e-12)
    # an isolated pool's loss is its own, and the tail is of all of them together
    alone = subject.slopes()
    np.testing.assert_allclose(slopes.value[1], alone.value[1], rtol=1e-9, atol=1e-6)
    assert (slopes.value[2:, mine] != alone.value[2:, mine]).any()


def test_an_account_does_not_see_another(subject: Subject, slopes: Any) -> None:
    job = subject.job
    other = replace(job.book, cash=job.book.cash * np.where(np.arange(len(job.book.cash)), 1, 1.7))
    found = subject.slopes(world=subject.world(other))
    assert found.cash[0, 0] != slopes.cash[0, 0]
    for one, same in zip(found[:6], slopes[:6], strict=True):
        np.testing.assert_array_equal(one[..., 1:], same[..., 1:])


def test_a_loss_on_the_value_at_risk_is_in_the_tail_by_its_share(subject: Subject) -> None:
    """The first pool has one price: whenever it is hit it loses the same."""
    loss = initial_equity(subject)[0] - subject.outcome().equity[0]
    hit = subject.outcome().step[0] >= 0
    assert hit.any() and np.ptp(loss[hit]) < 1e-9 * abs(loss[hit][0])
    value = np.asarray(subject.aims.value).copy()
    value[:, 0] = loss[hit][0]
    share = np.array([[0.25], [1.0]]) * np.ones(subject.pools)
    window = jnp.full(subject.pools, 1e-9 * abs(loss[hit][0]))
    at_it = replace(subject, job=subject.job)
    at_it.__dict__["aims"] = Aims(jnp.asarray(value), jnp.asarray(share), window)
    found = at_it.slopes()
    assert found.mass[0, 0] < found.mass[1, 0]
    # the quarter of the hits and all that is beyond
    wanted = found.mass[1, 0] - 0.75 * found.value[0, 0]
    assert found.mass[0, 0] == pytest.approx(wanted, rel=1e-9)
