"""Sensitivities of a run: whose, on which paths, by which steps; then the kernel and the measure.

The kernel follows every pool at every step, so it keeps to some accounts and takes fewer, longer
steps than the run where the market's law at the nodes does not know how many there are: between
them bridges see what happens. Its number of paths does not depend on the run's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import gcd
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from stress.book.book import Book
from stress.book.display import pool_margins
from stress.book.pools import Pools, account_pools
from stress.book.what_if import only_accounts
from stress.engine.block import Schedule
from stress.engine.deal import build_world
from stress.engine.panels import World
from stress.engine.passage import first_passage
from stress.engine.smooth import Aims, smooth_slopes
from stress.market import Constant, ModelSource, PriceModel
from stress.market.directions import Directions, correlation_directions, volatility_directions
from stress.market.gbm import GeometricBrownianMotion
from stress.market.student_t import StudentT
from stress.measure.sensitivities import BATCHES, Owners, SensitivityMeasure, tails_of
from stress.measure.world import Findings
from stress.result.assemble import Labels
from stress.runner.market import bar_steps, market_source
from stress.runner.measured import Measured
from stress.runner.plan import path_blocks
from stress.runner.prepare import Job, market_clock
from stress.runner.spread import Models, Spread, Work, compiled, on_host
from stress.types import TOLERANCE, Array, Floats, Integers

__all__ = ["chosen_accounts", "sensitivities"]

_STEPS = 32
"""Steps that are enough under bridges: with 32 in a week the probability of a cross pool of two
assets is 0.2 percent below the exact one, of itself; that of one asset is exact with any."""

_PAIRS, _UNITS = 1 << 13, (64, 512)
"""Pairs of a pool and a path that a device follows together, and its paths at least and at most:
fewer leave it waiting, more fill its memory on the way back."""

_MOST_PATHS = 1 << 13
"""The paths of a small book. Sixteen units are the least."""

_WANTED_PATHS = 1 << 11
"""Paths that accounts are left out for: a shortfall at 99 percent has 20 beyond."""

_BUDGET = 1 << 25
"""Positions (and one more a pool) times paths times steps: less than a minute on two cores."""

_BOUND = 4.0
"""Rounding errors, in tolerances of the gross notional, within which a loss is the value at
risk."""


@dataclass(frozen=True)
class _Sample:
    """What the sensitivities are of.

    Attributes
    ----------
    account, row
        Indices of its accounts and positions in the job's book.
    book, pools, world, equity
        Its own book, pools, their panels, (pools,) equity at the start in USD.
    window
        (accounts,) rounding of a loss, USD.
    market, schedule
        On the grid of the sensitivities.
    unit, paths
        Paths that a device takes at a time, and all of them: a multiple of 16 units.
    """

    account: Integers
    row: Integers
    book: Book
    pools: Pools
    world: World
    equity: Floats
    window: Floats
    market: ModelSource
    schedule: Schedule
    unit: int
    paths: int


def sensitivities(
    job: Job, measured: Measured, spread: Spread
) -> tuple[Findings, Labels, dict[str, str | int | float]]:
    """Return the findings of ``/sensitivities``, its labels and what is said of it.

    Of the main world's first passage, continuously monitored, whatever the run's monitoring, and
    without feedback and controls. A market that states no variance inside a step has none: the
    attribute ``notice`` says so.
    """
    if not bool(jnp.isfinite(job.model.covariance_root).all()):
        notice = (
            "The market model states no variance inside a step, which sensitivities need: there "
            "are none. Use gbm, student-t, skewed-t, garch, regime or jump-diffusion."
        )
        return {"sensitivities": {"paths": np.array(0)}}, {}, {"notice": notice}
    sample = _sample(job, measured)
    measure = _measured(job, sample, spread.fewer(spread.devices, sample.unit))
    found: Findings = {
        "sensitivities": {
            "paths": np.array(sample.paths),
            **measure.finish(job.request.confidence),
        }
    }
    labels = {
        "account": np.asarray(sample.book.accounts, dtype=str),
        "position": np.asarray(job.book.positions, dtype=str)[sample.row],
    }
    return found, labels, _said(job, sample, measure)


def _said(job: Job, sample: _Sample, measure: SensitivityMeasure) -> dict[str, str | int | float]:
    everybody = int(job.main.pools.exists.sum())
    said: dict[str, str | int | float] = {
        "steps": sample.schedule.steps,
        "batches": BATCHES,
        "accounts": len(sample.account),
        "accounts_of": everybody,
    }
    if measure.known is None:
        said["notice"] = (
            "By volatility and correlation there are sensitivities under gbm and student-t without "
            "stress overlays only."
        )
    elif not measure.known.all():
        said["notice"] = "The correlation is singular: by it some sensitivities do not exist."
    return said


def _sample(job: Job, measured: Measured) -> _Sample:
    setting, precision = job.setting, job.schedule.precision
    market, steps = _grid(job)
    chance = measured.worlds[job.main_mode].by_account["liquidation"].mean
    account = chosen_accounts(job, chance, _WANTED_PATHS * steps)
    kept = np.zeros(len(job.book.accounts), bool)
    kept[account] = True
    # as what_if lays them out: account by account
    in_order = np.argsort(job.book.position_account, kind="stable")
    book = only_accounts(job.book, kept)
    pools = account_pools(book, job.main.pools.mode, setting.price, setting.haircut)
    start = pool_margins(book, pools, setting, setting.price)
    gross = np.bincount(pools.account, start.notional + np.abs(pools.cash), len(account))
    fit = _BUDGET // (steps * int(_work(job)[account].sum()))
    unit = int(np.clip(1 << (_PAIRS // len(pools.cash)).bit_length() >> 1, *_UNITS))
    whole = BATCHES * unit
    return _Sample(
        account=account,
        row=in_order[kept[job.book.position_account[in_order]]],
        book=book,
        pools=pools,
        world=build_world(book, pools, setting, precision, "bridge"),
        equity=start.equity,
        window=_BOUND * TOLERANCE[precision] * gross,
        market=market,
        schedule=Schedule(steps, _block(steps), "bridge", precision),
        unit=unit,
        paths=whole * int(np.clip(fit // whole, 1, max(_MOST_PATHS // whole, 1))),
    )


def _block(steps: int) -> int:
    """Return how many steps a time block has: about their root, for the backward pass's memory."""
    return max(1, int(np.sqrt(steps)))


def _work(job: Job) -> Integers:
    """Return (accounts,) the positions of each, and one more for each of its pools."""
    book, pools, accounts = job.book, job.main.pools, len(job.book.accounts)
    positions = np.bincount(book.position_account, minlength=accounts)
    return positions + np.bincount(pools.account, minlength=accounts)


def chosen_accounts(job: Job, chance: Floats, unit: int) -> Integers:
    """Return the accounts that sensitivities are of, ascending.

    All that exist, where they fit. Otherwise by turns the most often liquidated one and the next of
    a walk that spreads evenly over the accounts in the order of their groups.

    Parameters
    ----------
    chance
        (accounts,) liquidation probability.
    unit
        Paths times steps that each is followed for.
    """
    existing = np.flatnonzero(job.main.pools.exists)
    work = _work(job)
    if work[existing].sum() * unit <= _BUDGET:
        return existing
    riskiest = existing[np.argsort(-chance[existing], kind="stable")]
    by_group = existing[np.argsort(job.book.account_group[existing], kind="stable")]
    # multiples of the golden ratio: the first so many are spread evenly, however many
    walk = (np.arange(1, 2 * len(existing) + 1) * (np.sqrt(5) - 1) / 2) % 1.0
    spread = by_group[(walk * len(existing)).astype(int)][: len(existing)]
    turns = np.stack([riskiest, spread], axis=1).reshape(-1)
    _, first = np.unique(turns, return_index=True)
    order = turns[np.sort(first)]
    count = int(np.searchsorted(np.cumsum(work[order]) * unit, _BUDGET, side="right"))
    return np.sort(order[: max(count, 1)])


def _grid(job: Job) -> tuple[ModelSource, int]:
    """Return the market of the sensitivities and its number of steps."""
    factor = _coarser(job)
    if factor == 1:
        return job.market, job.schedule.steps
    clock = market_clock(job.scenario, job.setting)
    steps = job.schedule.steps // factor
    # a time grid that is not divided ends where the run does all the same
    years = clock.step_years * job.schedule.steps / steps
    return market_source(job.scenario.market, replace(clock, step_years=years, steps=steps)), steps


def _coarser(job: Job) -> int:
    """Return how many steps of the run may be one: their law is the same at the nodes they share.

    Under gbm any number; with intervals of one variance steps must divide both. Elsewhere, and
    under overlays, the steps are the run's.
    """
    steps, market = job.schedule.steps, job.scenario.market
    if not _is_of_scenario(job) or steps <= _STEPS:
        return 1
    if market.model == "gbm":
        return steps // _STEPS
    if not hasattr(market.table, "interval"):
        return 1
    shared = gcd(steps, bar_steps(market, market_clock(job.scenario, job.setting)))
    return max(each for each in range(1, steps // _STEPS + 1) if shared % each == 0)


def _is_of_scenario(job: Job) -> bool:
    """Return whether the market is that of the scenario's parameters, without overlays.

    A caller may have given another: then its constants say nothing of the parameters.
    """
    if not isinstance(job.market, Constant) or job.scenario.stress:
        return False
    again = market_source(job.scenario.market, market_clock(job.scenario, job.setting))
    if not isinstance(again, Constant):
        return False
    shapes = (str(jax.tree.structure(each.model)) for each in (job.market, again))
    if next(shapes) != next(shapes):
        return False
    leaves = jax.tree.leaves(job.market.model), jax.tree.leaves(again.model)
    return all(np.array_equal(one, other) for one, other in zip(*leaves, strict=True))


def _measured(job: Job, sample: _Sample, spread: Spread) -> SensitivityMeasure:
    """Run the kernel over the paths of the sample, unit after unit."""
    seed = jnp.asarray(job.scenario.simulation.seed, jnp.uint32)
    models = Models(sample.market, spread)
    tails = tails_of(_losses(job, sample, models, spread), job.request.levels, sample.window)
    owner = sample.pools.account
    dtype = np.dtype(sample.schedule.precision)
    aims = Aims(
        *(
            jnp.asarray(numbers[..., owner], dtype)
            for numbers in (tails.value, tails.share, sample.window)
        )
    )
    alone = len(owner) == len(sample.account)
    model = sample.market.block(np.arange(spread.block, dtype=np.uint32))
    known, directions, further = _directions(job, sample, model)
    (kernel,) = compiled(
        Work(
            function=smooth_slopes,
            spread=spread,
            models=models,
            before=(
                job.price,
                sample.world,
                job.rules,
                aims,
                None if alone else jnp.asarray(owner, jnp.int32),
                seed,
            ),
            behind=(directions, further),
            schedule=sample.schedule,
        )
    )
    measure = SensitivityMeasure(
        _owners(job, sample), tails, job.request.levels, sample.unit, known
    )
    for numbers, count in path_blocks(sample.paths, spread.width):
        for outcome in kernel(models.block(numbers), numbers)[: -(-count // sample.unit)]:
            measure.update(on_host(outcome))
    return measure


def _losses(job: Job, sample: _Sample, models: Models, spread: Spread) -> Floats:
    """Return (accounts, paths) losses with the hits that first passage draws, USD."""
    seed = jnp.asarray(job.scenario.simulation.seed, jnp.uint32)
    (kernel,) = compiled(
        Work(
            function=first_passage,
            spread=spread,
            models=models,
            before=(job.price, (sample.world,), job.rules, seed),
            schedule=sample.schedule,
        )
    )
    ends = []
    for numbers, _ in path_blocks(sample.paths, spread.width):
        for outcome in kernel(models.block(numbers), numbers):
            (pools,), _ = on_host(outcome)
            ends.append(pools.equity[: len(sample.equity)])
    end = np.concatenate(ends, axis=1)[:, : sample.paths].astype(np.float64)
    first = np.searchsorted(sample.pools.account, np.arange(len(sample.account)))
    return np.asarray(np.add.reduceat(sample.equity[:, None] - end, first, axis=0))


def _owners(job: Job, sample: _Sample) -> Owners:
    book, pools = sample.book, sample.pools
    # a pool's slots are its positions in the order of the book
    order = np.argsort(pools.pool_of_position, kind="stable")
    ranked = pools.pool_of_position[order]
    slot = np.empty(len(order), np.int64)
    slot[order] = np.arange(len(order)) - np.searchsorted(ranked, ranked)
    at = np.maximum(pools.pool_of_position, 0)
    return Owners(
        pool=pools.account,
        equity=sample.equity,
        position=book.position_account,
        position_pool=pools.pool_of_position,
        position_slot=slot,
        position_asset=book.position_asset,
        isolated=~pools.is_cross[at],
        accounts=len(sample.account),
        assets=len(job.setting.assets),
    )


def _directions(job: Job, sample: _Sample, model: PriceModel) -> tuple[Array | None, Any, Any]:
    """Return which derivatives the market's constants have, and the constants' directions.

    Of each account: every volatility, then all correlations together; of the sum over accounts:
    each pair of assets. None where the parameters are not the model's own.
    """
    none = jax.tree.map(lambda leaf: jnp.zeros((0, *leaf.shape), leaf.dtype), model)
    # no other model has volatility and correlation in these two constants only
    if not isinstance(model, (GeometricBrownianMotion, StudentT)) or not _is_of_scenario(job):
        return None, none, none
    setting = job.setting
    years = setting.step_years * job.schedule.steps / sample.schedule.steps
    assets = len(setting.assets)
    row, column = np.triu_indices(assets, 1)
    pairs = np.zeros((len(row), assets, assets))
    pairs[np.arange(len(row)), row, column] = pairs[np.arange(len(row)), column, row] = 1.0
    numbers = (setting.volatility, setting.correlation, years)
    own = volatility_directions(*numbers)
    together = correlation_directions(*numbers, pairs.sum(axis=0, keepdims=True))
    apart = correlation_directions(*numbers, pairs)
    each = Directions(*(np.concatenate(parts) for parts in zip(own, together, strict=True)))
    known = np.concatenate([each.exists, apart.exists])
    return known, _along(model, each), _along(model, apart)


def _along(model: Any, directions: Directions) -> Any:
    """Return directions as a pytree like the model, with one more axis in front of each leaf."""
    count = len(directions.exists)
    still = jax.tree.map(lambda leaf: jnp.zeros((count, *leaf.shape), leaf.dtype), model)
    dtype = model.mean.dtype
    return replace(
        still,
        mean=jnp.asarray(directions.mean, dtype),
        covariance_root=jnp.asarray(directions.covariance_root, dtype),
    )
