"""Everything that a run needs, in memory and on the device, before the first path."""

from __future__ import annotations

from dataclasses import dataclass, replace

import jax.numpy as jnp
import numpy as np

from stress.book.book import Book
from stress.book.display import pool_margins
from stress.book.notices import starting_notices
from stress.book.pools import Pools, account_pools
from stress.book.setting import Setting
from stress.engine.block import Rules, Schedule
from stress.engine.deal import build_world
from stress.engine.panels import World
from stress.errors import InputError
from stress.market import PriceModel
from stress.market.gbm import GeometricBrownianMotion
from stress.measure.block import Ownership
from stress.measure.timing import TimeGrid
from stress.measure.world import Grouping, Request
from stress.runner.plan import fan_block, time_block
from stress.scenario.build import build_setting, load_book
from stress.scenario.schema import Scenario
from stress.types import Floats, Mode

__all__ = ["Job", "WorldJob", "prepare"]


@dataclass(frozen=True)
class WorldJob:
    """One world that is simulated.

    ``pools`` and ``world`` are its margin pools, as arrays and as panels; ``tolerance_usd``
    (pools,) is the deficit above which a pool counts as bankrupt.
    """

    pools: Pools
    world: World
    ownership: Ownership
    grouping: Grouping
    tolerance_usd: Floats


@dataclass(frozen=True)
class Job:
    """A scenario ready to run.

    Attributes
    ----------
    scenario, setting, book
        What was asked for.
    worlds
        The worlds that are simulated, the main one first.
    alias
        World asked for -> the simulated world that it equals: a book without isolated positions is
        its own cross counterpart and is not simulated twice.
    model, rules, price, schedule
        Arguments of the kernel; ``fan_schedule`` is that of the margin-ratio fan.
    request
        Arguments of the measures.
    notices
        Sentences for the report.
    """

    scenario: Scenario
    setting: Setting
    book: Book
    worlds: dict[Mode, WorldJob]
    alias: dict[Mode, Mode]
    model: PriceModel
    rules: Rules
    price: jnp.ndarray
    schedule: Schedule
    fan_schedule: Schedule
    request: Request
    notices: tuple[str, ...]

    @property
    def main(self) -> WorldJob:
        """The main world."""
        return self.worlds[self.alias[self.scenario.book.mode]]


def prepare(scenario: Scenario, model: PriceModel | None = None) -> Job:
    """Read the book of a loaded scenario and build the arrays of all its worlds.

    Parameters
    ----------
    scenario
        Complete, as ``load_scenario`` returns it.
    model
        A price model to use instead of the scenario's.

    Raises
    ------
    InputError
        If a file cannot be used, or no account exists in a world that is asked for.
    """
    setting = build_setting(scenario)
    book, notices = load_book(scenario)
    simulation = scenario.simulation
    alias = _aliases(book, scenario.worlds)
    simulated = tuple(dict.fromkeys(alias.values()))
    dtype = jnp.dtype(simulation.precision)
    schedule = Schedule(
        steps=setting.steps,
        block=time_block(setting.steps),
        monitoring=simulation.monitoring,
        precision=simulation.precision,
        least_excess=simulation.detail,
    )
    step_days = 365.0 * setting.step_years
    return Job(
        scenario=scenario,
        setting=setting,
        book=book,
        worlds={mode: _world_job(book, mode, setting, schedule) for mode in simulated},
        alias=alias,
        model=model or build_model(scenario, setting),
        rules=Rules(jnp.asarray(setting.fee, dtype), jnp.asarray(setting.warning, dtype)),
        price=jnp.asarray(setting.price, dtype),
        schedule=schedule,
        fan_schedule=replace(schedule, block=fan_block(setting.steps), least_excess=False),
        request=Request(
            levels=simulation.levels,
            quantiles=simulation.quantiles,
            confidence=simulation.confidence,
            paths=simulation.paths,
            grid=TimeGrid.build(setting.steps, len(book.accounts), step_days),
            precision=simulation.precision,
        ),
        notices=(*notices, *starting_notices(book, setting, scenario.worlds)),
    )


def build_model(scenario: Scenario, setting: Setting) -> PriceModel:
    """Return the scenario's price model."""
    return GeometricBrownianMotion.build(
        volatility=setting.volatility,
        drift=setting.drift,
        correlation=setting.correlation,
        step_years=setting.step_years,
        precision=scenario.simulation.precision,
    )


def _aliases(book: Book, worlds: tuple[Mode, ...]) -> dict[Mode, Mode]:
    if np.isnan(book.margin).all() and "cross" in worlds and "as-booked" in worlds:
        first: Mode = next(world for world in worlds if world != "isolated")
        return {world: world if world == "isolated" else first for world in worlds}
    return {world: world for world in worlds}


def _world_job(book: Book, mode: Mode, setting: Setting, schedule: Schedule) -> WorldJob:
    pools = account_pools(book, mode, setting.price, setting.haircut)
    if not pools.exists.any():
        raise InputError(
            f"no account has an {mode} counterpart: no cross pool has positive equity to divide",
            key="book.mode or book.compare",
            remedy=f'leave "{mode}" out, or correct the cash in the accounts file',
        )
    start = pool_margins(book, pools, setting, setting.price)
    return WorldJob(
        pools=pools,
        world=build_world(book, pools, setting, schedule.precision, schedule.monitoring),
        ownership=Ownership.build(pools, start.equity),
        grouping=Grouping(book.account_group, len(book.groups), pools.exists),
        tolerance_usd=schedule.tolerance * start.notional,
    )
