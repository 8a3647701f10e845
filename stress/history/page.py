"""``index.html`` of a folder of runs: the trend of each scenario's headline figures."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from markupsafe import Markup

from stress.history.marks import HISTORY, INDEX, is_pack
from stress.history.paper import (
    VERDICTS,
    Figure,
    columns,
    figures,
    link,
    most_used,
    written,
)
from stress.history.runs import HEADLINES, Run, by_scenario
from stress.history.trend import Point, trend
from stress.report.read import Estimate
from stress.report.text import MISSING, Kind, plural, shown

__all__ = ["resume_command", "verdict", "write_index"]

_MOST_RUNS, _MOST_SCENARIOS = 1_500, 200
"""What is drawn: about 2.5 kB a run and 12 kB a scenario, so that the page stays below 8 MB."""

_OPEN_ROWS = 30
"""Rows of a scenario's table that are not folded away."""

_MOST_LIMITS = 4
"""Limits of a scenario whose trend is drawn, those used most in its latest run."""

_MOST_PACKS = 20


@dataclass(frozen=True)
class _Row:
    """One finished run in the table of its scenario."""

    time: str
    key: str
    address: str
    verdict: str
    figures: list[Figure]
    limit: str
    limit_key: str
    paths: Figure
    changed: str
    as_of: str


@dataclass(frozen=True)
class _Drawing:
    """A trend with what stands above it."""

    label: str
    latest: str
    picture: Markup


@dataclass(frozen=True)
class _Scenario:
    """What the page shows of a scenario; rows are newest first."""

    name: str
    lead: str
    warning: str
    drawings: list[_Drawing]
    titles: list[str]
    numbers: list[int]
    rows: list[_Row]
    older: list[_Row]


@dataclass(frozen=True)
class _Glance:
    """A scenario in the table at the top."""

    name: str
    number: int
    time: str
    key: str
    address: str
    verdict: str
    figures: list[Figure]
    runs: Figure
    breached: Figure


@dataclass(frozen=True)
class _Unfinished:
    """A folder without a summary that can be used."""

    folder: str
    state: str
    words: str
    command: str


def write_index(root: Path, runs: Sequence[Run]) -> Path:
    """Draw the history of the runs below a root into its ``index.html`` and return the path.

    Parameters
    ----------
    root
        The folder that they lie below.
    runs
        As ``read_runs`` returns them.

    Raises
    ------
    InputError
        If there is an ``index.html`` that is none of ours, or it cannot be written.
    """
    page = root / INDEX
    groups = {
        name: [run for run in group if run.state == "finished"]
        for name, group in by_scenario(runs).items()
    }
    groups = _worst_first({name: group for name, group in groups.items() if group})
    drawn = dict(islice(groups.items(), _MOST_SCENARIOS))
    most = _MOST_RUNS // max(1, len(drawn))
    names = columns([run.headlines for group in groups.values() for run in group[-1:]])
    return written(
        "page.html.j2",
        page,
        HISTORY,
        title="History of runs",
        byline=[
            plural(len(runs), "run folder"),
            plural(len(groups), "scenario"),
            f"drawn {datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        ],
        glance=_glances(groups, names, page),
        headlines=[HEADLINES[name][0] for name in names],
        scenarios=[_scenario(name, group, most, page) for name, group in drawn.items()],
        left_out=len(groups) - len(drawn),
        unfinished=[_unfinished(run, root) for run in runs if run.state != "finished"],
        packs=_packs(root, runs),
    )


def _packs(root: Path, runs: Sequence[Run]) -> list[str]:
    """Return the newest pages of several scenarios, by their paths below the root."""
    folders = {run.folder.parent for run in runs if run.ours and is_pack(run.folder.parent)}
    pages = [*root.glob("pack-*.html"), *(folder / INDEX for folder in folders)]
    newest = sorted((page.relative_to(root).as_posix() for page in pages), reverse=True)
    return newest[:_MOST_PACKS]


def resume_command(run: Run) -> str:
    """Return the command that finishes a run, with the scenario's file left open; else empty."""
    if run.state != "unfinished":
        return ""
    return f"margin-stress run SCENARIO.toml --resume --out {shlex.quote(str(run.folder))}"


def verdict(run: Run) -> str:
    """Return in a word or two what a run says of the limits, or what became of it."""
    if run.state != "finished":
        return run.state
    if run.exit_code == 0 and not run.limits:
        return "no limit"
    return VERDICTS.get(run.exit_code or 0, f"exit {run.exit_code}")


def _worst_first(groups: dict[str, list[Run]]) -> dict[str, list[Run]]:
    """Return scenarios by what their latest run says of the limits, then by name."""
    order = {3: 0, 4: 1}
    return dict(sorted(groups.items(), key=lambda one: order.get(one[1][-1].exit_code or 0, 2)))


def _glances(groups: dict[str, list[Run]], names: tuple[str, ...], page: Path) -> list[_Glance]:
    """Return the latest run of every scenario."""
    return [
        _Glance(
            name=name,
            number=number,
            time=_time(group[-1]),
            key=_key(group[-1]),
            address=link(group[-1].folder, "report.html", page),
            verdict=verdict(group[-1]),
            figures=figures(group[-1].headlines, names),
            runs=_count(len(group)),
            breached=_count(sum(run.breached for run in group)),
        )
        for number, (name, group) in enumerate(groups.items())
    ]


def _scenario(name: str, runs: list[Run], most: int, page: Path) -> _Scenario:
    drawn = runs[-most:]
    names = columns([run.headlines for run in drawn])
    rows = [_row(run, names, page) for run in reversed(drawn)]
    titles = [
        "Run, UTC",
        "Limits",
        *(HEADLINES[each][0] for each in names),
        "Limit that is used most",
        "Paths",
        "Changed since the run before",
        "Data as of",
    ]
    return _Scenario(
        name=name,
        lead=_lead(runs, drawn),
        warning=_warning(drawn),
        drawings=[*_headline_drawings(drawn, names), *_limit_drawings(drawn)],
        titles=titles,
        numbers=[*range(2, 2 + len(names)), 3 + len(names)],
        rows=rows[:_OPEN_ROWS],
        older=rows[_OPEN_ROWS:],
    )


def _lead(runs: list[Run], drawn: list[Run]) -> str:
    breached = sum(run.breached for run in runs)
    said = f"{plural(len(runs), 'finished run')}, {breached or 'none'} with a breached limit."
    if len(drawn) < len(runs):
        said += f' The newest {len(drawn):,} are shown; "margin-stress history" prints them all.'
    return said


def _warning(runs: list[Run]) -> str:
    """Say how much of the trend is not of risk alone."""
    steps = len(runs) - 1
    other = sum(not _is_alike(run) for run in runs[1:])
    if other == 0:
        return ""
    return (
        f"Of the {plural(steps, 'step')} of these trends {other:,} "
        f"{'lies' if other == 1 else 'lie'} between runs that differ in their inputs (book, "
        "prices, calibration), their seed or their settings. There the line is dotted: the step "
        "is what changed in the inputs and in the risk together."
    )


def _is_alike(run: Run) -> bool:
    """Return whether a run follows from what the one before it did; more paths only sharpen it."""
    return set(run.changed) <= {"other paths"}


def _points(runs: list[Run], name: str) -> list[Point]:
    return _pointed(runs, [run.headlines.get(name, Estimate(math.nan)) for run in runs])


def _pointed(runs: list[Run], estimates: list[Estimate]) -> list[Point]:
    points: list[Point] = []
    alike = True
    for run, estimate in zip(runs, estimates, strict=True):
        alike &= _is_alike(run)
        if run.moment is None or math.isnan(estimate.value):
            continue
        said = [part for part in (verdict(run), *run.changed) if part]
        points.append(Point(run.moment, estimate, run.breached, alike, "; " + ", ".join(said)))
        # what lies between two points that have the number counts, whoever has it not
        alike = True
    return points


def _drawing(label: str, kind: Kind, points: list[Point], limit: float) -> list[_Drawing]:
    picture = trend(label, kind, points, limit)
    if picture is None:
        return []
    return [_Drawing(label, f"{shown(kind, points[-1].estimate)}", picture)]


def _headline_drawings(runs: list[Run], names: tuple[str, ...]) -> list[_Drawing]:
    return [
        drawing
        for name in names
        for drawing in _drawing(*HEADLINES[name], _points(runs, name), math.nan)
    ]


def _limit_drawings(runs: list[Run]) -> list[_Drawing]:
    """Return the trends of the limits that the latest run uses most, each with its threshold."""
    latest = [limit for limit in runs[-1].limits if limit.used == limit.used]
    drawings: list[_Drawing] = []
    for limit in sorted(latest, key=lambda each: -each.used)[:_MOST_LIMITS]:
        found = [
            next((each.value for each in run.limits if each.name == limit.name), None)
            or Estimate(math.nan)
            for run in runs
        ]
        drawings += _drawing(limit.name, limit.kind, _pointed(runs, found), limit.threshold)
    return drawings


def _row(run: Run, names: tuple[str, ...], page: Path) -> _Row:
    limit, used = most_used(run.limits)
    return _Row(
        time=_time(run),
        key=_key(run),
        address=link(run.folder, "report.html", page),
        verdict=verdict(run),
        figures=figures(run.headlines, names),
        limit=limit or MISSING,
        limit_key=used,
        paths=_count(run.paths),
        changed=", ".join(run.changed) or MISSING,
        as_of=run.as_of or MISSING,
    )


def _unfinished(run: Run, root: Path) -> _Unfinished:
    words = {
        "running": "a process is at work in it",
        "unfinished": "it ended before it was done; name the scenario and options it had",
        "unreadable": run.problem,
    }[run.state]
    folder = run.folder.relative_to(root).as_posix()
    return _Unfinished(folder, run.state, words, resume_command(run))


def _count(number: int) -> Figure:
    return Figure(shown("number", float(number)), str(number))


def _time(run: Run) -> str:
    return f"{run.moment:%Y-%m-%d %H:%M}" if run.moment else run.folder.name or MISSING


def _key(run: Run) -> str:
    return str(run.moment.timestamp()) if run.moment else ""
