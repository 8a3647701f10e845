"""What a run works out besides the main numbers, on the same job and paths: one analysis a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from stress.measure.world import Findings
from stress.result.assemble import Labels
from stress.runner.measured import Measured
from stress.runner.prepare import Job
from stress.runner.spread import Spread

__all__ = ["Analysed", "analyse"]


@dataclass(frozen=True)
class Analysed:
    """What one analysis found.

    Attributes
    ----------
    findings
        Estimates and arrays by result group and variable.
    labels
        Coordinates by result group, where they are the group's own.
    attributes
        What is said of whole groups.
    """

    findings: Findings
    labels: Mapping[str, Labels] = field(default_factory=dict)
    attributes: Mapping[str, Mapping[str, str | int | float]] = field(default_factory=dict)


def analyse(job: Job, measured: Measured, spread: Spread) -> list[Analysed]:
    """Return what the analyses that a scenario asks for find, in the order of the report.

    Parameters
    ----------
    job, measured
        The run whose main numbers are there already.
    spread
        The devices, and how many paths each takes at a time.
    """
    return []
