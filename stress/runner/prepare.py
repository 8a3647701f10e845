"""Everything that a run needs, in memory and on the device, before the first path."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import jax
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
from stress.market import Constant, ModelSource, PriceModel
from stress.market.environment import Environment
from stress.measure.block import Ownership
from stress.measure.timing import TimeGrid
from stress.measure.world import Grouping, Request
from stress.runner.market import Clock, market_source
from stress.runner.overlays import build_environment, overlay_notices, with_overlays
from stress.runner.plan import cascade_block, fan_block, path_block, time_block
from stress.runner.resampling import resampling_of
from stress.scenario.build import build_setting, load_book
from stress.scenario.cascade import needs_cascade
from stress.scenario.schema import Scenario
from stress.stats.confidence import Confidence
from stress.types import Floats, ImpactKind, Integers, Mode, Precision
from stress.venue.build import build_holdings, build_rules, build_variant
from stress.venue.holdings import Holdings
from stress.venue.rules import Variant, VenueRules

__all__ = [
    "CascadeJob",
    "Job",
    "VariantName",
    "WorldJob",
    "build_market",
    "market_clock",
    "prepare",
]


VariantName: TypeAlias = Literal["own", "calm", "other-law", "leader", "calm-leader"]
"""The venue itself; the same without impact; under the other impact law; with a leader without
latency; that without impact."""

_CHARGED_GROUPS = 16
"""Most groups between which caused liquidations are told apart: what the kernel writes down for it
grows with pools times groups."""

_MOST_SHOWN, _FEWEST_SHOWN = 1 << 23, 9
"""Most points of the accounts' curves in a result, and fewest of one curve: with its interval a
point takes 24 bytes, and a million accounts would take gigabytes."""


@dataclass(frozen=True)
class WorldJob:
    """One world that is simulated.

    ``pools`` and ``world`` are its margin pools, as arrays and as panels; ``tolerance_usd``
    (pools,) is the deficit above which a pool counts as bankrupt; ``cascade`` is how the cascade
    holds them, None where first passage is enough.
    """

    pools: Pools
    world: World
    ownership: Ownership
    grouping: Grouping
    tolerance_usd: Floats
    cascade: CascadeJob | None


@dataclass(frozen=True)
class CascadeJob:
    """What the cascade needs of a world.

    Attributes
    ----------
    holdings, rules
        Arguments of the kernel.
    variants
        What each variant of the rules is, the venue itself first.
    row
        (positions,) row in the book of each position as the kernel holds them.
    """

    holdings: Holdings
    rules: VenueRules
    variants: tuple[VariantName, ...]
    row: Integers


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
    market
        Gives the kernel its price model, block of paths by block.
    environment
        Depth and halts of each step; None where no overlay changes them.
    rules, price, schedule
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
    market: ModelSource
    environment: Environment | None
    rules: Rules
    price: jax.Array
    schedule: Schedule
    fan_schedule: Schedule
    request: Request
    notices: tuple[str, ...]

    @property
    def main_mode(self) -> Mode:
        """The simulated world that the main one equals."""
        return self.alias[self.scenario.book.mode]

    @property
    def main(self) -> WorldJob:
        """The main world."""
        return self.worlds[self.main_mode]

    @property
    def model(self) -> PriceModel:
        """The price model of the first block of paths: every block's has its shapes."""
        block = path_block(next(iter(self.price.devices())).platform)
        return self.market.block(np.arange(block, dtype=np.uint32))


def prepare(
    scenario: Scenario,
    market: PriceModel | ModelSource | None = None,
    book: Book | None = None,
) -> Job:
    """Read the book of a loaded scenario and build the arrays of all its worlds.

    Parameters
    ----------
    scenario
        Complete, as ``load_scenario`` returns it.
    market
        A price model, or a source of one a block of paths, to use instead of the scenario's.
    book
        To use instead of the scenario's files.

    Raises
    ------
    InputError
        If a file cannot be used, or no account exists in a world that is asked for.
    """
    setting = build_setting(scenario)
    notices: tuple[str, ...] = ()
    if book is None:
        book, notices = load_book(scenario)
    simulation = scenario.simulation
    alias = _aliases(book, scenario.worlds)
    simulated = tuple(dict.fromkeys(alias.values()))
    dtype = np.dtype(simulation.precision)
    numbers: Any = (setting.fee, setting.warning, setting.venue.fund)
    cascade = needs_cascade(scenario, book)
    schedule = Schedule(
        steps=setting.steps,
        block=cascade_block(setting.steps) if cascade else time_block(setting.steps),
        monitoring=simulation.monitoring,
        precision=simulation.precision,
        least_excess=simulation.detail,
    )
    step_days = 365.0 * setting.step_years
    source = build_market(scenario, setting, market)
    drawn = resampling_of(source)
    return Job(
        scenario=scenario,
        setting=setting,
        book=book,
        worlds={
            mode: _world_job(
                book, mode, setting, schedule, cascade=cascade, main=mode == simulated[0]
            )
            for mode in simulated
        },
        alias=alias,
        market=source,
        environment=build_environment(scenario, setting, simulation.precision),
        # NumPy's arrays have their type: a conversion on the device would be compiled
        rules=jax.device_put(Rules(*np.asarray(numbers, dtype))),
        price=jax.device_put(setting.price.astype(dtype)),
        schedule=schedule,
        fan_schedule=replace(schedule, block=fan_block(setting.steps), least_excess=False),
        request=Request(
            levels=simulation.levels,
            quantiles=simulation.quantiles,
            confidence=Confidence(simulation.confidence, drawn.design_effect if drawn else 1.0),
            paths=simulation.paths,
            grid=_grid(setting.steps, len(book.accounts), step_days),
            precision=simulation.precision,
        ),
        notices=(
            *notices,
            *(drawn.notices if drawn else ()),
            *overlay_notices(scenario),
            *starting_notices(book, setting, scenario.worlds),
        ),
    )


def build_market(
    scenario: Scenario, setting: Setting, instead: PriceModel | ModelSource | None = None
) -> ModelSource:
    """Return what gives each block of paths its price model, under the scenario's overlays.

    Parameters
    ----------
    instead
        A price model, or a source of them, used instead of the scenario's.

    Raises
    ------
    InputError
        If the file of given prices cannot be used.
    """
    if instead is not None:
        given = instead if isinstance(instead, ModelSource) else Constant(instead)
        return with_overlays(given, scenario, setting)
    source = market_source(scenario.market, market_clock(scenario, setting))
    return with_overlays(source, scenario, setting)


def market_clock(scenario: Scenario, setting: Setting) -> Clock:
    """Return the time grid of a scenario's market."""
    return Clock(
        setting.step_years,
        setting.steps,
        scenario.simulation.paths,
        scenario.simulation.precision,
    )


def _grid(steps: int, accounts: int, step_days: float) -> TimeGrid:
    """Return the times at which liquidations are counted and shown: few for many accounts."""
    grid = TimeGrid.build(steps, accounts, step_days)
    most = max(_FEWEST_SHOWN, _MOST_SHOWN // max(accounts, 1))
    kept = np.linspace(0, len(grid.shown) - 1, min(most, len(grid.shown)))
    return replace(grid, shown=grid.shown[np.round(kept).astype(int)])


def _aliases(book: Book, worlds: tuple[Mode, ...]) -> dict[Mode, Mode]:
    if np.isnan(book.margin).all() and "cross" in worlds and "as-booked" in worlds:
        first: Mode = next(world for world in worlds if world != "isolated")
        return {world: world if world == "isolated" else first for world in worlds}
    return {world: world for world in worlds}


def _world_job(
    book: Book, mode: Mode, setting: Setting, schedule: Schedule, *, cascade: bool, main: bool
) -> WorldJob:
    pools = account_pools(book, mode, setting.price, setting.haircut)
    if not pools.exists.any():
        raise InputError(
            f"no account has an {mode} counterpart: no cross pool has positive equity to divide",
            key="book.mode or book.compare",
            remedy=f'leave "{mode}" out, or correct the cash in the accounts file',
        )
    start = pool_margins(book, pools, setting, setting.price)
    counted = schedule.tolerance * start.notional
    return WorldJob(
        pools=pools,
        world=build_world(book, pools, setting, schedule.precision, schedule.monitoring),
        ownership=Ownership.build(pools, start.equity),
        grouping=Grouping(book.account_group, len(book.groups), pools.exists),
        tolerance_usd=counted,
        cascade=_cascade_job(book, pools, setting, schedule, counted, main) if cascade else None,
    )


def _cascade_job(
    book: Book,
    pools: Pools,
    setting: Setting,
    schedule: Schedule,
    counted: Floats,
    main: bool,
) -> CascadeJob:
    names = _variants(setting, main)
    holdings, row = build_holdings(
        book,
        pools,
        setting,
        schedule.precision,
        deficit_counted=counted,
        most_groups=_CHARGED_GROUPS if main and "calm" in names else 0,
    )
    return CascadeJob(
        holdings=holdings,
        rules=build_rules(
            setting,
            tuple(_variant(setting, name, schedule.precision) for name in names),
            schedule.precision,
        ),
        variants=names,
        row=row,
    )


def _variants(setting: Setting, main: bool) -> tuple[VariantName, ...]:
    """Return what is run beside the venue itself: the main world is compared in every way."""
    venue = setting.venue
    feedback = venue.impact != "none"
    is_plain = venue.decision == "leader" and venue.latency == 0
    names: list[VariantName] = ["own"]
    if feedback:
        names.append("calm")
    if feedback and main:
        names.append("other-law")
    if main and not is_plain:
        names.append("leader")
    if main and not is_plain and feedback:
        names.append("calm-leader")
    return tuple(names)


def _variant(setting: Setting, name: VariantName, precision: Precision) -> Variant:
    own = setting.venue.impact
    other: ImpactKind = "square-root" if own == "linear" else "linear"
    laws: dict[VariantName, ImpactKind] = {
        "own": own,
        "calm": "none",
        "other-law": other,
        "leader": own,
        "calm-leader": "none",
    }
    plain = name in ("leader", "calm-leader")
    return build_variant(setting, precision, laws[name], plain_leader=plain)
