"""``margin-stress limits FILE``: solve for the limits, write a folder with a page, say them."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from math import isfinite
from os import PathLike
from pathlib import Path
from typing import Any

import jax
import xarray as xr

from stress.data.files import atomically
from stress.decide.limits import answer_all, appetite_of
from stress.decide.result import label_answers
from stress.decide.task import Budget, Task
from stress.errors import InputError, Interrupted
from stress.report.page import write as write_report
from stress.result.store import save_result
from stress.result.summary import to_json
from stress.runner.compiled import use_compilation_cache
from stress.runner.device import (
    choose_devices,
    require_precision,
    use_all_cores,
    use_precision,
)
from stress.runner.folder import REPORT, RunFolder
from stress.scenario.build import build_setting, load_book
from stress.scenario.freshness import check_freshness
from stress.scenario.load import load_scenario
from stress.scenario.resolve import resolved_toml
from stress.scenario.schema import Scenario

__all__ = ["limits_command", "solve_limits"]

_WITHIN, _OVER, _UNRESOLVED = 0, 3, 4
_SHOWN = 12


def limits_command(
    file: str,
    *,
    out: str | None,
    paths: int | None,
    seed: int | None,
    budget: float,
    device: str | None,
    quiet: bool,
    as_json: bool,
) -> int:
    """Answer the questions of a scenario's appetite; return the exit code.

    3 where a present value is over its limit even at the point estimate, else 4 where something is
    not resolved, else 0.

    Parameters
    ----------
    budget
        Minutes for the questions that need cascades.

    Raises
    ------
    InputError
        If the scenario cannot be used, declares no appetite, or the budget is not positive.
    Interrupted
        On Ctrl-C or SIGTERM.
    """
    if not (isfinite(budget) and budget > 0):
        raise InputError(
            f"must be a number of minutes above 0, got {budget:g}",
            key="--budget",
            remedy="give minutes, such as 20",
        )
    scenario = load_scenario(file, paths=paths, seed=seed)
    appetite_of(scenario)
    folder = RunFolder.dated(scenario, suffix="limits") if out is None else RunFolder.named(out)
    use_all_cores()
    use_precision(scenario.simulation.precision)
    use_compilation_cache()
    with folder:
        try:
            tree = solve_limits(scenario, budget=budget, device=device, quiet=quiet)
        except KeyboardInterrupt:
            raise _interrupted(scenario, "nothing was written") from None
        stopped = bool(tree.attrs["interrupted_at"])
        if stopped and not tree["limit_values"].sizes["answer"]:
            raise _interrupted(scenario, "nothing was written")
        summary = _write(tree, scenario, folder.path)
        if stopped:
            raise _interrupted(scenario, f"what was found is in {folder.path}")
    if not quiet:
        for notice in tree.attrs["notices"].splitlines():
            print(f"warning: {notice}", file=sys.stderr)
    report = str((folder.path / REPORT).resolve())
    if as_json:
        print(json.dumps({**summary, "report": report}, indent=2))
    else:
        print(_table(summary))
        print(f"  report: {report}")
    return int(summary["exit_code"])


def _interrupted(scenario: Scenario, kept: str) -> Interrupted:
    return Interrupted(
        f"{scenario.name} was interrupted before all its limits were found; {kept}, run it again"
    )


def solve_limits(
    scenario: Scenario | Mapping[str, Any] | str | PathLike[str],
    *,
    budget: float = 20.0,
    device: str | None = None,
    quiet: bool = True,
) -> xr.DataTree:
    """Return the limits that keep a scenario's appetite, as ``/limit_values`` of a result.

    Parameters
    ----------
    scenario
        A loaded scenario, or what ``load_scenario`` takes; it declares an appetite.
    budget
        Minutes for the questions that need cascades.
    device
        ``"cpu"``, ``"gpu"``, or None for JAX's own choice.
    quiet
        Whether to say nothing on stderr.
    """
    if not isinstance(scenario, Scenario):
        scenario = load_scenario(scenario)
    check_freshness(scenario)
    appetite = appetite_of(scenario)
    require_precision(scenario.simulation.precision)
    devices = choose_devices(device)
    start = time.perf_counter()
    with jax.default_device(devices[0]):
        task = Task(
            scenario=scenario,
            appetite=appetite,
            setting=build_setting(scenario),
            book=load_book(scenario)[0],
            devices=devices,
            budget=Budget(60.0 * budget),
            say=_nothing if quiet else _say,
        )
        answers = answer_all(task)
    return label_answers(task, answers, time.perf_counter() - start)


def _nothing(text: str) -> None:
    return None


def _say(text: str) -> None:
    print(text, file=sys.stderr)


def _write(tree: xr.DataTree, scenario: Scenario, folder: Path) -> dict[str, Any]:
    """Write result, summary, resolved scenario and page; return the summary."""
    summary, resolved = _summary(tree), resolved_toml(scenario)
    text = to_json(summary)
    save_result(tree, folder)
    atomically(folder / "summary.json", lambda to: to.write_text(text, "utf-8"))
    atomically(folder / "scenario.toml", lambda to: to.write_text(resolved, "utf-8"))
    write_report(tree, folder / REPORT)
    return summary


def _summary(tree: xr.DataTree) -> dict[str, Any]:
    """Return the answers as JSON can hold them."""
    rows = _rows(tree, "limit_values", "answer", "risk")
    return {
        "name": tree.attrs["title"],
        "paths": int(tree.attrs["paths"]),
        "confidence": float(tree.attrs["confidence"]),
        "limits": rows,
        "remedies": _rows(tree, "remedies", "remedy", "probability"),
        "duration_seconds": float(tree.attrs["duration_seconds"]),
        "exit_code": _exit_code([row["verdict"] for row in rows]),
    }


def _exit_code(verdicts: list[str]) -> int:
    if "over" in verdicts:
        return _OVER
    return _UNRESOLVED if "not resolved" in verdicts else _WITHIN


def _rows(tree: xr.DataTree, group: str, dim: str, estimate: str) -> list[dict[str, Any]]:
    if group not in tree.children:
        return []
    data = tree[group].to_dataset()
    columns = {str(name): of.values for name, of in data.data_vars.items() if of.dims == (dim,)}
    bounds = data[f"{estimate}_interval"].values
    rows = []
    for number in range(data.sizes[dim]):
        row = {name: _plain(values[number]) for name, values in columns.items()}
        lower, upper = (_plain(bound) for bound in bounds[number])
        rows.append({**row, f"{estimate}_lower": lower, f"{estimate}_upper": upper})
    return rows


def _plain(value: Any) -> Any:
    """Return a number, a text or a truth as Python has it; what is not finite is None."""
    plain = value.item() if hasattr(value, "item") else value
    return None if isinstance(plain, float) and not isfinite(plain) else plain


def _table(summary: dict[str, Any]) -> str:
    """Return the answers that matter most: the least room first within each question."""
    lines = [
        f"{summary['name']}: {len(summary['limits']):,} limits at {summary['confidence']:.0%} "
        f"confidence in {summary['duration_seconds']:.0f} s"
    ]
    questions = dict.fromkeys(row["question"] for row in summary["limits"])
    for question in questions:
        rows = [row for row in summary["limits"] if row["question"] == question]
        rows.sort(key=lambda row: row["headroom"] if row["headroom"] is not None else float("inf"))
        # whole books, groups, assets and templates before single accounts
        rows.sort(key=lambda row: row["kind"] in ("account", "trade"))
        lines.append(f"  {question}: {rows[0]['measure']} at most {rows[0]['threshold']:g}")
        lines += [_line(row) for row in rows[:_SHOWN]]
        if len(rows) > _SHOWN:
            lines.append(f"    ... and {len(rows) - _SHOWN:,} more in the report and result.nc")
    return "\n".join(lines)


def _line(row: dict[str, Any]) -> str:
    subject = f"{row['kind']} {row['subject']} ({row['world']})"
    numbers = ", ".join(
        f"{name} {_number(row[key], row['unit'])}"
        for name, key in (
            ("limit", "limit"),
            ("at the estimate", "at_estimate"),
            ("now", "present"),
        )
        if row[key] is not None
    )
    said = row["verdict"] if row["outcome"] == "found" else f"{row['verdict']}, {row['outcome']}"
    return f"    {subject}: {numbers + ': ' if numbers else ''}{said}"


def _number(value: float, unit: str) -> str:
    return f"{value:,.0f} USD" if unit == "USD" else f"{value:.4g}"
