"""What a run has accumulated, and how long it took."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar

from stress.measure.attribution import AttributionMeasure
from stress.measure.block import AccountBlock
from stress.measure.calibration import CalibrationMeasure
from stress.measure.cascade import CascadeMeasure, CausedLiquidations
from stress.measure.course import CourseMeasure
from stress.measure.decisions import DecisionMeasure
from stress.measure.detail import DetailMeasure
from stress.measure.extremes import ClosesMeasure
from stress.measure.fan import FanMeasure
from stress.measure.influence import InfluenceMeasure
from stress.measure.kept import merge
from stress.measure.laws import LawMeasure
from stress.measure.liquidations import LiquidationBits
from stress.measure.paired import PairedMeasure
from stress.measure.risk import EffectiveRisk
from stress.measure.typical_path import EventMeasure
from stress.measure.world import Findings, Grouping, WorldMeasure
from stress.runner.driven import can_be_driven
from stress.runner.fan import fan_grouping
from stress.runner.influence import influence_measure
from stress.runner.prepare import Job
from stress.runner.reverse_events import event_measure
from stress.types import Mode

__all__ = ["Measured", "nothing_measured"]


@dataclass
class Measured:
    """The measures of a run; those that it does not ask for are None or empty.

    ``replay`` is the path number ``replayed_path`` step by step. ``run_seconds`` is without
    compilation, for ``simulated_paths``: the others were there. ``platform`` and ``device_kind``
    are as JAX names them, of each of the ``devices``.
    """

    KEPT: ClassVar = (
        "worlds",
        "paired",
        "fan",
        "detail",
        "cascade",
        "risk",
        "caused",
        "laws",
        "decisions",
        "course",
        "influence",
        "closes",
        "attribution",
        "events",
        "liquidations",
    )

    worlds: dict[Mode, WorldMeasure]
    paired: PairedMeasure | None
    fan: FanMeasure
    detail: DetailMeasure | None
    cascade: dict[Mode, CascadeMeasure] = field(default_factory=dict)
    risk: dict[Mode, EffectiveRisk] = field(default_factory=dict)
    caused: CausedLiquidations | None = None
    laws: LawMeasure | None = None
    decisions: DecisionMeasure | None = None
    course: CourseMeasure | None = None
    influence: InfluenceMeasure | None = None
    closes: ClosesMeasure | None = None
    attribution: AttributionMeasure | None = None
    events: EventMeasure | None = None
    liquidations: LiquidationBits | None = None
    calibration: CalibrationMeasure | None = None
    replay: Findings = field(default_factory=dict)
    replayed_path: int = -1
    analysis_seconds: float = 0.0
    platform: str = ""
    device_kind: str = ""
    devices: int = 1
    compile_seconds: float = 0.0
    run_seconds: float = 0.0
    simulated_paths: int = 0
    calibration_seconds: float = 0.0

    def compare(self, job: Job, blocks: dict[Mode, AccountBlock]) -> None:
        """Add one block of paths to the comparison of cross and isolated, where both were run."""
        if self.paired is not None:
            self.paired.update(blocks[job.alias["cross"]], blocks[job.alias["isolated"]])

    def merge(self, part: Measured) -> None:
        """Add what was measured on the next paths."""
        merge(self, part)


def nothing_measured(job: Job, part: range | None = None) -> Measured:
    """Return the measures of a job before its first path.

    Parameters
    ----------
    part
        Path numbers, where the measures are of these paths only and will be merged into others.
    """
    if part is not None:
        # simulated paths differ by their random numbers only; others may stand in any order
        request = job.request.part(len(part), alike=can_be_driven(job.market))
        job = replace(job, request=request)
    assets = len(job.setting.assets)
    paired = None
    if {"cross", "isolated"} <= set(job.alias):
        exists = job.worlds[job.alias["isolated"]].pools.exists
        paired = PairedMeasure(Grouping(job.book.account_group, len(job.book.groups), exists))
    measured = Measured(
        worlds={
            mode: WorldMeasure(
                world.grouping, assets, job.request, feedback=world.cascade is not None
            )
            for mode, world in job.worlds.items()
        },
        paired=paired,
        fan=FanMeasure(fan_grouping(job.main), job.fan_schedule.blocks + 1),
        detail=DetailMeasure() if job.scenario.simulation.detail else None,
    )
    for mode, world in job.worlds.items():
        if world.cascade is not None:
            measured.risk[mode] = EffectiveRisk(
                len(job.book.positions),
                world.cascade.row,
                world.pools.account,
                world.ownership.initial_equity,
                job.request,
            )
            if "calm" in world.cascade.variants:
                measured.cascade[mode] = CascadeMeasure(world.grouping, job.request)
    _add_main(measured, job, part.start if part else 0)
    return measured


def _add_main(measured: Measured, job: Job, first: int) -> None:
    """Add what is measured of the main world only."""
    main = job.main
    measured.influence = influence_measure(job, first)
    measured.liquidations = LiquidationBits(len(job.book.accounts))
    measured.events = event_measure(job)
    measured.attribution = AttributionMeasure(main.grouping, job.request)
    if job.schedule.monitoring == "extremes":
        measured.closes = ClosesMeasure(main.grouping)
    if main.cascade is None:
        return
    variants, grouping = main.cascade.variants, main.grouping
    measured.course = CourseMeasure(job.schedule.steps, job.schedule.block)
    if "other-law" in variants:
        measured.laws = LawMeasure(2, grouping, job.request)
    if "calm" in variants and main.cascade.holdings.groups:
        pool_group = job.book.account_group[main.pools.account]
        measured.caused = CausedLiquidations(pool_group, len(job.book.groups))
    if "leader" in variants:
        measured.decisions = DecisionMeasure(grouping, with_cascade="calm" in variants)
