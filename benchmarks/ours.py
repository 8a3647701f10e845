"""The project itself: a whole run, kernels, fan and measures, on all cores, as the command does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from benchmarks.jobs import ready, size_of
from benchmarks.row import Row, timed
from stress.runner.device import use_all_cores
from stress.runner.measured import Measured
from stress.runner.progress import Silent
from stress.runner.simulate import measure

__all__ = ["row"]


def row(name: str, size: dict[str, Any], cascade: bool = False) -> Row:
    """Measure a run; the seconds of compilation are those of the first."""
    use_all_cores()
    of = size_of(size)
    job = ready(of, cascade=cascade)
    runs: list[Measured] = []

    def run() -> float:
        runs.append(measure(job, Silent()))
        return runs[-1].run_seconds

    found = timed(
        name, run, paths=of.paths, each=of.assets * of.steps, accounts=of.accounts * of.steps
    )
    liquidated = float(runs[0].worlds[job.main_mode].book["liquidation"].mean)
    return replace(found, compile_seconds=runs[0].compile_seconds, liquidated=liquidated)
