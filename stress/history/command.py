"""``margin-stress history``: the runs below a folder, their trend as a page, old ones pruned."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from stress.errors import InputError
from stress.history.marks import HISTORY, INDEX, is_marked
from stress.history.page import resume_command, verdict, write_index
from stress.history.prune import BREACHED, Pruned, check_keep, prune
from stress.history.runs import HEADLINES, Run, by_scenario, read_runs
from stress.report.read import Estimate
from stress.report.text import MISSING, shown

__all__ = ["ROOT", "after_runs", "history_command"]

ROOT = Path("results")
"""Where runs go by default."""

_SHORT = {
    "liquidation_probability": "P(liquidated)",
    "any_liquidation_probability": "P(any)",
    "expected_total_loss": "total loss",
    "expected_cascade_loss": "cascade loss",
    "fund_exhaustion_probability": "P(fund exhausted)",
}


def history_command(root: str | None, *, keep: int | None, as_json: bool) -> int:
    """Print the runs below a root, newest first by scenario; redraw its index; return 0.

    Parameters
    ----------
    root
        A folder of runs; ``results`` if not given.
    keep
        Prune what is older than so many runs of a scenario; None prunes nothing.

    Raises
    ------
    InputError
        The root is no folder, or its ``index.html`` is none of ours.
    """
    place = ROOT if root is None else Path(root)
    check_keep(keep)
    if not place.is_dir():
        remedy = 'run a scenario first, or name the folder of runs: "margin-stress history DIR"'
        raise InputError("is not a folder", file=place, remedy=remedy)
    runs, pruned, page = _redraw(place, keep)
    if as_json:
        print(json.dumps(_facts(place, runs, pruned, page), indent=2))
        return 0
    print("\n".join([*_tables(runs), *_pruned_lines(pruned)]) or f"no run folder below {place}")
    if page:
        print(f"index: {page.resolve()}")
    return 0


def after_runs(
    out: str | None, *, scenarios: Collection[str], written: Sequence[Path], keep: int | None
) -> list[str]:
    """Prune and draw the history of ``results`` after runs; return what a person is told.

    Parameters
    ----------
    out
        Where the runs went, if not below ``results`` by their own names; elsewhere they change
        nothing here.
    scenarios
        Names of those that were run: only their runs are pruned.
    written
        Run folders that were just written, which stay whatever a clock says.
    keep
        As many runs of each scenario stay; None prunes nothing.

    Raises
    ------
    InputError
        If there is an ``index.html`` that is none of ours, or it cannot be written.
    """
    elsewhere = out is not None and not Path(out).resolve().is_relative_to(ROOT.resolve())
    if elsewhere or not ROOT.is_dir():
        return []
    return _pruned_lines(_redraw(ROOT, keep, scenarios=scenarios, spared=written)[1])


def _redraw(
    root: Path,
    keep: int | None,
    *,
    scenarios: Collection[str] | None = None,
    spared: Sequence[Path] = (),
) -> tuple[tuple[Run, ...], Pruned, Path | None]:
    """Prune the runs below a root, draw its index, and return what is left, what went, the page.

    ``scenarios`` are those that are pruned, all if not given. Where there is no run to draw and no
    index to correct there is no page.
    """
    runs, pruned = read_runs(root), Pruned()
    if keep is not None:
        chosen = [run for run in runs if scenarios is None or run.scenario in scenarios]
        pruned = prune(root, chosen, keep, spared=spared)
        runs = read_runs(root) if pruned.removed else runs
    if not runs and not is_marked(root / INDEX, HISTORY):
        return runs, pruned, None
    return runs, pruned, write_index(root, runs)


def _pruned_lines(pruned: Pruned) -> list[str]:
    """Return what a person is told about a pruning: each folder removed, and what stayed and why.

    Breached runs stay by rule and are counted; any other reason names its folder.
    """
    lines = [f"removed {folder}" for folder in pruned.removed]
    lines += [f"kept {folder}: {why}" for folder, why in pruned.kept if why != BREACHED]
    breached = sum(why == BREACHED for _, why in pruned.kept)
    return lines + ([f"kept {breached} older, because {BREACHED}"] if breached else [])


def _tables(runs: Sequence[Run]) -> list[str]:
    lines: list[str] = []
    for name, group in by_scenario(runs).items():
        used = [each for each in HEADLINES if any(each in run.headlines for run in group)]
        rows = [["run, UTC", "limits", *(_SHORT[each] for each in used), "changed"]]
        rows += [_row(run, used) for run in reversed(group)]
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        lines.append(name)
        for row in rows:
            cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            lines.append(("  " + "  ".join(cells)).rstrip())
    return lines


def _row(run: Run, used: Sequence[str]) -> list[str]:
    time = f"{run.moment:%Y-%m-%d %H:%M:%S}" if run.moment else run.folder.name
    figures = [
        str(shown(HEADLINES[name][1], run.headlines.get(name, Estimate(math.nan)))) for name in used
    ]
    # a terminal needs no blanks that do not break
    plain = [figure.replace("\u00a0", " ") for figure in figures]
    return [time, verdict(run), *plain, _last(run)]


def _last(run: Run) -> str:
    """Return what changed, or what is to be done with a run that is not finished."""
    if run.state == "finished":
        return ", ".join(run.changed) or MISSING
    return resume_command(run) or run.problem or str(run.folder)


def _facts(root: Path, runs: Sequence[Run], pruned: Pruned, page: Path | None) -> dict[str, Any]:
    return {
        "root": str(root.resolve()),
        "index": str(page.resolve()) if page else None,
        "runs": [_run_facts(run) for group in by_scenario(runs).values() for run in group[::-1]],
        "removed": [str(folder) for folder in pruned.removed],
        "kept": [{"folder": str(folder), "reason": why} for folder, why in pruned.kept],
    }


def _run_facts(run: Run) -> dict[str, Any]:
    return {
        "scenario": run.scenario,
        "folder": str(run.folder),
        "state": run.state,
        "created_at": f"{run.moment:%Y-%m-%dT%H:%M:%SZ}" if run.moment else None,
        "as_of": run.as_of or None,
        "exit_code": run.exit_code,
        "paths": run.paths or None,
        **{name: _three(run.headlines.get(name)) for name in HEADLINES},
        "limits": [
            {"name": limit.name, "used": _plain(limit.used), "breached": limit.breached}
            for limit in run.limits
        ],
        "changed": list(run.changed),
        "problem": run.problem or None,
        "resume": resume_command(run) or None,
    }


def _three(estimate: Estimate | None) -> dict[str, float | None] | None:
    if estimate is None:
        return None
    names = ("estimate", "lower", "upper")
    return {name: _plain(number) for name, number in zip(names, estimate, strict=True)}


def _plain(number: float) -> float | None:
    return number if math.isfinite(number) else None
