"""What a run has accumulated, and how long it took."""

from __future__ import annotations

from dataclasses import dataclass

from stress.measure.detail import DetailMeasure
from stress.measure.fan import FanMeasure
from stress.measure.paired import PairedMeasure
from stress.measure.world import WorldMeasure
from stress.types import Mode

__all__ = ["Measured"]


@dataclass
class Measured:
    """The measures of all worlds.

    ``run_seconds`` is without compilation; ``platform`` and ``device_kind`` are as JAX names them.
    """

    worlds: dict[Mode, WorldMeasure]
    paired: PairedMeasure | None
    fan: FanMeasure
    detail: DetailMeasure | None
    platform: str
    device_kind: str
    compile_seconds: float = 0.0
    run_seconds: float = 0.0
