"""What a back-test found as one ``xarray.DataTree``, and its summary.

Groups: ``/windows`` what happened, ``/forecasts`` quantiles and shortfalls, ``/coverage`` their
tests, ``/joint_tails``, ``/books`` and ``/liquidations`` forecasts of liquidation and their tests,
``/reliability``, ``/verdicts`` one row a model. Labels, not numbers, are the coordinates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

import numpy as np
import xarray as xr

import stress
from stress.backtest.books import exposures, groups, liquidated
from stress.backtest.forecast import PORTFOLIO, SIDES
from stress.backtest.judge import (
    BINS,
    PASSES,
    TAILS,
    CoverageTests,
    JointTails,
    Liquidations,
)
from stress.backtest.load import Task
from stress.backtest.plan import Plan
from stress.backtest.walk import Came, Said
from stress.calibrate.file import iso
from stress.calibrate.gbm import say
from stress.types import Array, Floats, ModelName

__all__ = ["Judged", "assemble", "joint_verdicts", "summarise"]

_BOUNDS = ("lower", "upper")

_COVERAGE = ("model", "side", "level", "series")
_CELLS = ("model", "book_group", "leverage")


class Judged:
    """What one model said, and how it did."""

    def __init__(
        self, said: Said, coverage: CoverageTests, joint: Floats, books: Liquidations
    ) -> None:
        self.said, self.coverage, self.joint, self.books = said, coverage, joint, books


def assemble(
    task: Task,
    plan: Plan,
    happened: Came,
    realised: JointTails,
    judged: Mapping[ModelName, Judged],
    notices: Sequence[str],
    seconds: float,
) -> xr.DataTree:
    """Build the tree of the models that could be judged."""
    stamps = task.history.timestamps
    books = exposures(task.assets, task.table.templates)
    ones = list(judged.values())
    labels: dict[str, Sequence[Any] | Array] = {
        "model": list(judged),
        "side": list(SIDES),
        "level": list(task.table.levels),
        "series": [*task.assets, PORTFOLIO],
        "window": stamps[plan.origins].astype("datetime64[ns]"),
        "liquidation_window": stamps[plan.origins[: plan.liquidations]].astype("datetime64[ns]"),
        "tail": list(TAILS),
        "book": [book.name for book in books],
        "book_group": list(groups(books)),
        "leverage": list(task.table.leverages),
        "bound": list(_BOUNDS),
        "bin": [f"{low:g} to {high:g}" for low, high in zip(BINS[:-1], BINS[1:], strict=True)],
    }
    parts = {
        "windows": _windows(happened),
        "forecasts": _forecasts(ones),
        "coverage": _coverage(task, plan, ones),
        "joint_tails": _joint(realised, ones),
        "books": _books(task, happened, ones),
        "liquidations": _liquidations(ones),
        "reliability": _reliability(ones),
        "verdicts": _verdicts(realised, ones),
    }
    datasets = {
        f"/{name}": xr.Dataset(
            variables,
            {
                dim: labels[dim]
                for dim in dict.fromkeys(dim for dims, _ in variables.values() for dim in dims)
            },
        )
        for name, variables in parts.items()
    }
    tree = xr.DataTree.from_dict(datasets)
    tree.attrs = _attributes(task, plan, notices, seconds)
    return tree


_Variables = dict[str, tuple[tuple[str, ...], Array]]


def _windows(happened: Came) -> _Variables:
    return {"simple_return": (("window", "series"), happened.returns)}


def _forecasts(ones: Sequence[Judged]) -> _Variables:
    dims = ("model", "window", "side", "level", "series")
    return {
        "value_at_risk": (dims, np.stack([one.said.value_at_risk for one in ones])),
        "expected_shortfall": (dims, np.stack([one.said.expected_shortfall for one in ones])),
    }


def _coverage(task: Task, plan: Plan, ones: Sequence[Judged]) -> _Variables:
    found: _Variables = {
        each.name: (_COVERAGE, np.stack([getattr(one.coverage, each.name) for one in ones]))
        for each in fields(CoverageTests)
    }
    expected = len(plan.origins) * (1 - np.asarray(task.table.levels))
    return {**found, "expected": (("level",), expected)}


def _joint(realised: JointTails, ones: Sequence[Judged]) -> _Variables:
    return {
        "forecast": (("model", "tail"), np.stack([one.joint for one in ones])),
        "verdict": (
            ("model", "tail"),
            np.stack([joint_verdicts(one.joint, realised) for one in ones]),
        ),
        "realised": (("tail",), realised.value),
        "realised_interval": (("tail", "bound"), realised.interval),
    }


def joint_verdicts(forecast: Floats, realised: JointTails) -> Array:
    """Return (tails,) words: whether a forecast co-exceedance lies in the realised interval."""
    low, high = forecast < realised.interval[:, 0], forecast > realised.interval[:, 1]
    words = np.where(low, "too low", np.where(high, "too high", PASSES))
    return np.where(np.isnan(realised.value), "not tested", words).astype(str)


def _books(task: Task, happened: Came, ones: Sequence[Judged]) -> _Variables:
    dims = ("liquidation_window", "book", "leverage")
    leverages = task.table.leverages
    found: _Variables = {
        "liquidation_probability": (
            ("model", *dims),
            np.stack([one.said.liquidation for one in ones]),
        ),
        "liquidated": (dims, liquidated(happened.need, leverages)),
        "p_value": (("model", "book", "leverage"), np.stack([x.books.book_p_value for x in ones])),
    }
    if happened.need_bound is not None:
        found["liquidated_at_extremes"] = (dims, liquidated(happened.need_bound, leverages))
    return found


def _liquidations(ones: Sequence[Judged]) -> _Variables:
    names = (
        "mean_forecast",
        "frequency",
        "frequency_bound",
        "brier",
        "count",
        "expected",
        "count_p_value",
        "count_adjusted",
        "verdict",
    )
    found: _Variables = {
        name: (_CELLS, np.stack([getattr(one.books, name) for one in ones])) for name in names
    }
    found["brier_interval"] = (
        (*_CELLS, "bound"),
        np.stack([one.books.brier_interval for one in ones]),
    )
    return found


def _reliability(ones: Sequence[Judged]) -> _Variables:
    dims = ("model", "bin")
    tables = [one.books.reliability for one in ones]
    return {
        "forecasts": (dims, np.stack([table.forecasts for table in tables])),
        "mean_forecast": (dims, np.stack([table.mean_forecast for table in tables])),
        "frequency": (dims, np.stack([table.frequency for table in tables])),
        "frequency_interval": ((*dims, "bound"), np.stack([table.interval for table in tables])),
    }


def _verdicts(realised: JointTails, ones: Sequence[Judged]) -> _Variables:
    """Return one row a model: how many of its tests fail."""

    def failing(words: Array) -> int:
        return int((words[..., :-1] != PASSES).sum())

    counts = {
        "coverage_failures": [failing(one.coverage.coverage_verdict) for one in ones],
        "independence_failures": [failing(one.coverage.independence_verdict) for one in ones],
        "shortfall_failures": [failing(one.coverage.shortfall_verdict) for one in ones],
        "portfolio_failures": [
            int((one.coverage.coverage_verdict[..., -1] != PASSES).sum()) for one in ones
        ],
        "coverage_tests": [one.coverage.coverage_verdict[..., :-1].size for one in ones],
        "liquidation_failures": [int((one.books.verdict != PASSES).sum()) for one in ones],
        "liquidation_tests": [one.books.verdict.size for one in ones],
        "books_failing": [one.books.books_failing for one in ones],
    }
    found: _Variables = {
        name: (("model",), np.array(values, np.int64)) for name, values in counts.items()
    }
    joint = np.stack([joint_verdicts(one.joint, realised) for one in ones])
    found["lower_tail"] = (("model",), joint[:, 0])
    found["upper_tail"] = (("model",), joint[:, 1])
    found["brier"] = (("model",), np.array([one.books.whole_brier for one in ones]))
    found["brier_interval"] = (
        ("model", "bound"),
        np.stack([one.books.whole_brier_interval for one in ones]),
    )
    return found


def _attributes(
    task: Task, plan: Plan, notices: Sequence[str], seconds: float
) -> dict[str, str | int | float]:
    stamps = task.history.timestamps
    return {
        "Conventions": "CF-1.11",
        "title": task.name,
        "source": f"margin-stress {stress.__version__}",
        "schema_version": 1,
        "created_at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "model": task.market.model,
        "history": str(task.history.source),
        "history_sha256": task.history.sha256,
        "bar": say(plan.bar),
        "window": task.table.window,
        "liquidation_window": task.table.liquidation_window,
        "refit": task.table.refit,
        "lookback": task.table.lookback or "everything before",
        "first": iso(stamps[plan.origins[0] + 1]),
        "last": iso(stamps[plan.origins[-1] + plan.window]),
        "learned_from": iso(stamps[0]),
        "windows": len(plan.origins),
        "liquidation_windows": plan.liquidations,
        "liquidation_windows_apart": -(-plan.liquidations // plan.stride),
        "refits": len(set(plan.refits.tolist())),
        "paths": task.table.paths,
        "seed": task.seed,
        "precision": task.precision,
        "confidence": task.confidence,
        "notices": "\n".join(notices),
        "duration_seconds": seconds,
    }


def summarise(tree: xr.DataTree) -> dict[str, Any]:
    """Return ``summary.json``: verdicts and the closing table, numbers that JSON can hold."""
    verdicts = tree["verdicts"].to_dataset()
    keys = ("model", "first", "last", "windows", "liquidation_windows", "refits", "paths", "seed")
    return {
        "name": tree.attrs["title"],
        **{key: _plain(tree.attrs[key]) for key in keys},
        "history_sha256": tree.attrs["history_sha256"],
        "verdicts": [
            {
                "model": str(name),
                **{
                    str(key): _plain(variable.sel(model=name).values)
                    for key, variable in verdicts.data_vars.items()
                },
            }
            for name in verdicts["model"].values
        ],
        "joint_tails": {
            str(key): _plain(variable.values)
            for key, variable in tree["joint_tails"].to_dataset().data_vars.items()
        },
        "coverage": coverage_rows(tree),
        "liquidations": _rows(tree["liquidations"].to_dataset(), _CELLS),
        "notices": [line for line in str(tree.attrs["notices"]).splitlines() if line],
        "duration_seconds": float(tree.attrs["duration_seconds"]),
        "exit_code": 0,
    }


def coverage_rows(tree: xr.DataTree) -> list[dict[str, Any]]:
    """Return the closing table: one row a model, side, level and series."""
    return _rows(tree["coverage"].to_dataset(), _COVERAGE)


def _rows(data: xr.Dataset, dims: tuple[str, ...]) -> list[dict[str, Any]]:
    values = {
        str(name): variable.broadcast_like(data[next(iter(data.data_vars))]).transpose(*dims, ...)
        for name, variable in data.data_vars.items()
        if "bound" not in variable.dims
    }
    shape = tuple(data.sizes[dim] for dim in dims)
    return [
        {
            **{dim: _plain(data[dim].values[at]) for dim, at in zip(dims, place, strict=True)},
            **{name: _plain(variable.values[place]) for name, variable in values.items()},
        }
        for place in np.ndindex(*shape)
    ]


def _plain(value: Any) -> Any:
    """Return a value as JSON has it; null stands for NaN and infinity."""
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, list):
        return [_plain(part) for part in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
