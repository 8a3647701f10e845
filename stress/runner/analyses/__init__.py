"""What a run works out besides the main numbers, on the same job and paths: one analysis a file."""

from __future__ import annotations

from collections.abc import Iterator

from stress.measure.attribution import PARTS
from stress.runner.analyses.analysed import Analysed, packed, unpacked
from stress.runner.analyses.attribution import attribution
from stress.runner.analyses.curves import limit_curves
from stress.runner.analyses.importance import importance, require_importance
from stress.runner.analyses.leave_one_out import leave_one_out
from stress.runner.analyses.quasi import quasi, require_quasi
from stress.runner.analyses.reverse_stress import reverse_stress
from stress.runner.analyses.sensitivities import sensitivities
from stress.runner.analyses.splitting import rare_events
from stress.runner.keeper import Keeper
from stress.runner.measured import Measured
from stress.runner.prepare import Job
from stress.runner.spread import Spread

__all__ = ["Analysed", "analyse", "check_analyses"]


def check_analyses(job: Job) -> None:
    """Refuse, before the first path, an analysis that the job cannot have.

    Raises
    ------
    InputError
        As the analysis says it.
    """
    if job.scenario.simulation.estimator == "importance":
        require_importance(job)
    if job.scenario.simulation.estimator == "quasi":
        require_quasi(job)


def analyse(
    job: Job, measured: Measured, spread: Spread, keeper: Keeper | None = None
) -> list[Analysed]:
    """Return what the analyses that a scenario asks for find, in the order of the report.

    Parameters
    ----------
    job, measured
        The run whose main numbers are there already.
    spread
        The devices, and how many paths each takes at a time.
    keeper
        Has what was found before the run was stopped, and is given what is found.
    """
    keeper = keeper or Keeper()
    found: list[Analysed] = []
    for name, analysis in _ANALYSES.items():
        # they depend on all paths, so a run that got more of them has none
        part = f"{name}-{job.scenario.simulation.paths}"
        if keeper.has(part):
            found += unpacked(keeper.get(part))
            continue
        own = list(analysis(job, measured, spread))
        if own:
            keeper.put(part, packed(own))
        found += own
    return found


def _drawn(job: Job, measured: Measured, spread: Spread) -> Iterator[Analysed]:
    """Yield liquidation probability as curves over collateral and size."""
    if job.scenario.analysis.curves:
        yield Analysed(*limit_curves(job, measured, spread))


def _attributed(job: Job, measured: Measured, spread: Spread) -> Iterator[Analysed]:
    """Yield who and what the total loss is made of."""
    if measured.attribution is not None:
        found = attribution(job, measured.attribution)
        yield Analysed(found, {"attribution": {"part": PARTS}})
    if job.scenario.analysis.leave_one_out:
        found, accounts = leave_one_out(job, measured, spread)
        yield Analysed(found, {"attribution": {"part": PARTS, "left_out": accounts}})


def _reversed(job: Job, measured: Measured, spread: Spread) -> Iterator[Analysed]:
    """Yield which moves of the market kill."""
    if measured.events is not None:
        yield Analysed(*reverse_stress(job, measured, spread))


def _sensed(job: Job, measured: Measured, spread: Spread) -> Iterator[Analysed]:
    """Yield what small changes of books and market do."""
    if job.scenario.analysis.sensitivities:
        found, labels, said = sensitivities(job, measured, spread)
        yield Analysed(found, {"sensitivities": labels}, {"sensitivities": said})


def _split(job: Job, measured: Measured, spread: Spread) -> Iterator[Analysed]:
    """Yield the rare events of the whole book, where they are looked for."""
    if job.scenario.simulation.estimator == "splitting":
        yield Analysed(*rare_events(job, measured, spread))


def _weighed(job: Job, measured: Measured, spread: Spread) -> Iterator[Analysed]:
    """Yield the probabilities of rare liquidations, where they are looked for."""
    if job.scenario.simulation.estimator == "importance":
        found, labels, said = importance(job, measured, spread)
        yield Analysed(found, {"diagnostics": labels}, {"diagnostics": said})


def _spread_out(job: Job, measured: Measured, spread: Spread) -> Iterator[Analysed]:
    """Yield what quasi-random or antithetic paths estimate better, where they are asked for."""
    if job.scenario.simulation.estimator == "quasi":
        yield Analysed(*quasi(job, measured, spread))


_ANALYSES = {
    "curves": _drawn,
    "attribution": _attributed,
    "reverse-stress": _reversed,
    "sensitivities": _sensed,
    "splitting": _split,
    "importance": _weighed,
    "quasi": _spread_out,
}
"""In the order of the report."""
