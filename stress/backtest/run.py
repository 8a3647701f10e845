"""A back-test from the first origin to the tree."""

from __future__ import annotations

import time

import xarray as xr

from stress.backtest.judge import (
    co_exceedances,
    judge_coverage,
    judge_liquidations,
    realised_tails,
)
from stress.backtest.load import Task
from stress.backtest.plan import Plan, make_plan
from stress.backtest.result import Judged, assemble
from stress.backtest.walk import came, walk
from stress.errors import InputError
from stress.runner.progress import Silent
from stress.types import ModelName

__all__ = ["forecasts", "run_backtest"]

_FEW = 5
"""Expected exceedances below which a test has next to no power."""


def forecasts(task: Task) -> int:
    """Return how many forecasts a back-test makes, for the progress line."""
    return len(make_plan(task).origins) * len(task.table.models)


def run_backtest(task: Task, progress: Silent) -> xr.DataTree:
    """Walk every model through the history and judge it.

    Raises
    ------
    InputError
        The walk cannot be made, or no model can be estimated.
    """
    began = time.monotonic()
    plan = make_plan(task)
    happened = came(task, plan)
    judged: dict[ModelName, Judged] = {}
    notices = list(_notices(task, plan))
    refused: InputError | None = None
    for number, model in enumerate(task.table.models):
        said = walk(task, plan, model, progress, number * len(plan.origins))
        if isinstance(said, InputError):
            refused = said
            notices.append(f"{model} is not tested: {said}")
            continue
        notices += said.problems
        judged[model] = Judged(
            said,
            judge_coverage(task, happened, said),
            co_exceedances(said),
            judge_liquidations(task, plan, happened, said),
        )
    if not judged:
        assert refused is not None
        raise refused
    realised = realised_tails(task, happened)
    return assemble(task, plan, happened, realised, judged, notices, time.monotonic() - began)


def _notices(task: Task, plan: Plan) -> list[str]:
    found = []
    if task.dropped:
        found.append(
            f"{task.dropped:,} bars that lack an asset are left out: the history is that which all "
            f"{len(task.assets)} assets share"
        )
    level = task.table.levels[-1]
    expected = len(plan.origins) * (1 - level)
    if expected < _FEW:
        found.append(
            f"at the level {level:g} only {expected:.1f} exceedances are expected: hardly a model "
            "can be refused there"
        )
    return found
