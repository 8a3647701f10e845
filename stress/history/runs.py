"""The run folders below a root, read from their ``summary.json`` alone.

A folder is what somebody else wrote, perhaps half: whatever is in it becomes a ``Run`` with a
state, never an error.
"""

from __future__ import annotations

import json
import math
import re
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, TypeAlias

from stress.data.locks import is_locked
from stress.history.marks import is_pack
from stress.report.read import Estimate
from stress.report.text import Kind

__all__ = [
    "DEPTH",
    "HEADLINES",
    "LEDGER",
    "NAME",
    "SUMMARY",
    "Limit",
    "Run",
    "State",
    "by_scenario",
    "read_run",
    "read_runs",
]

SUMMARY = "summary.json"

NAME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ)-([0-9a-f]{8})(?:-(\d+))?")
"""The name that a run gives its folder: UTC time, hash, a number where there were several."""

HEADLINES: Mapping[str, tuple[str, Kind]] = {
    "liquidation_probability": ("Liquidation probability, mean over accounts", "probability"),
    "any_liquidation_probability": ("At least one liquidation", "probability"),
    "expected_total_loss": ("Expected total loss", "money"),
    "expected_cascade_loss": ("Expected cascade loss", "money"),
    "fund_exhaustion_probability": ("Insurance fund exhausted", "probability"),
}
"""The figures of ``summary.json`` that are shown: how they are called, and what they are."""

_FIRST = "liquidation_probability"
"""What every run has, and no back-test or search for limits."""

LEDGER = "ledger"
"""The folder of what a run has finished, whose lock it holds while it is at work."""

DEPTH = 3
"""Folders below the root that are looked into: ``results/<group>/<scenario>/<run>``."""

_MOST_BYTES = 4_000_000
"""Largest ``summary.json`` that is read; a run with thousands of limits writes less than 1 MB."""

State: TypeAlias = Literal["finished", "running", "unfinished", "unreadable"]


@dataclass(frozen=True)
class Limit:
    """A limit as a run judged it."""

    name: str
    value: Estimate
    threshold: float
    breached: bool
    resolved: bool

    @property
    def kind(self) -> Kind:
        """Return how its numbers are written: its name says what it limits."""
        what = self.name.split(".")[0]
        if what.endswith("probability"):
            return "probability"
        return "ratio" if what.endswith("number") else "money"

    @property
    def used(self) -> float:
        """Return the value as a share of its threshold; above 1 it is breached."""
        if self.threshold > 0:
            return self.value.value / self.threshold
        return math.inf if self.value.value > self.threshold else 0.0


@dataclass(frozen=True)
class Run:
    """One run folder.

    Attributes
    ----------
    folder
        Where it is.
    scenario
        Name of the scenario; of a run without a summary, what its ledger or its folder says.
    state
        ``finished`` (has a summary), ``running`` (a living process holds its lock), ``unfinished``
        (neither), or ``unreadable`` (has a summary that cannot be used).
    ours
        Whether the command chose the folder's name: only then it may remove it.
    moment
        When it was made, UTC; None where nothing says so.
    problem
        Why it is unreadable.
    exit_code
        0, 3 or 4; None if not finished.
    headlines
        By name, those of ``HEADLINES`` that were simulated.
    limits
        As they were judged.
    paths
        Number of paths.
    as_of
        Moment of the data, as the summary writes it; empty where it states none.
    given
        What the numbers follow from (``seed``, ``inputs``, ...), as far as the summary says.
    changed
        What differs from the finished run of the scenario before it; of the first, nothing.
    """

    folder: Path
    scenario: str
    state: State
    ours: bool = False
    moment: datetime | None = None
    problem: str = ""
    exit_code: int | None = None
    headlines: Mapping[str, Estimate] = field(default_factory=dict)
    limits: tuple[Limit, ...] = ()
    paths: int = 0
    as_of: str = ""
    given: Mapping[str, Any] = field(default_factory=dict)
    changed: tuple[str, ...] = ()

    @property
    def breached(self) -> bool:
        """Return whether a limit is breached."""
        return self.exit_code == 3 or any(limit.breached for limit in self.limits)

    @property
    def age_key(self) -> tuple[datetime, str, int]:
        """Return what runs are ordered by: time, then the number that a shared second gives."""
        number = NAME.fullmatch(self.folder.name)
        return (
            self.moment or datetime.min.replace(tzinfo=UTC),
            self.scenario,
            int(number[3] or 1) if number else 0,
        )


def read_runs(root: Path) -> tuple[Run, ...]:
    """Return the runs below a root, oldest first.

    Links are not followed, and hidden folders are not looked into, so nothing outside the root is
    read. What is no run folder (a back-test, limits) is left out.
    """
    runs = sorted((run for folder in _folders(root, DEPTH) if (run := read_run(folder))), key=_age)
    return tuple(run for group in by_scenario(runs).values() for run in _with_changes(group))


def by_scenario(runs: Iterable[Run]) -> dict[str, list[Run]]:
    """Return the runs of each scenario, in the order given, by its name."""
    found: dict[str, list[Run]] = {}
    for run in runs:
        found.setdefault(run.scenario, []).append(run)
    return dict(sorted(found.items()))


def read_run(folder: Path) -> Run | None:
    """Return the run of a folder; None if it is no run folder."""
    dated = NAME.fullmatch(folder.name)
    scenario = folder.parent.name if dated else folder.name
    moment = _stamp(dated[1]) if dated else None
    bare = Run(folder, scenario, "unreadable", dated is not None, moment)
    try:
        run = _found(bare)
    except (ArithmeticError, OSError, RecursionError, ValueError) as error:
        return replace(bare, problem=_in_short(error))
    return replace(run, ours=True) if run and _is_of_a_pack(run) else run


def _found(bare: Run) -> Run | None:
    """Return a run with what its summary or its ledger says.

    Raises
    ------
    ArithmeticError, OSError, RecursionError, ValueError
        If the summary cannot be read, or is not what a run writes.
    """
    text = _summary_text(bare.folder / SUMMARY)
    if text is None:
        return _without_summary(bare)
    raw = json.loads(text, parse_constant=_refused)
    return _finished(bare, raw) if bare.ours or _is_of_a_run(raw) else None


def _is_of_a_pack(run: Run) -> bool:
    """Return whether a folder was named by its scenario, in a folder of several."""
    rest = run.folder.name.removeprefix(run.scenario)
    return re.fullmatch(r"(-\d+)?", rest) is not None and is_pack(run.folder.parent)


def _age(run: Run) -> tuple[datetime, str, int]:
    return run.age_key


def _folders(root: Path, depth: int) -> Iterable[Path]:
    """Return the folders that may be of runs; below one that has a summary none is looked for."""
    try:
        inside = sorted(root.iterdir())
    except OSError:
        return
    for folder in inside:
        if folder.name.startswith(".") or folder.is_symlink() or not folder.is_dir():
            continue
        if NAME.fullmatch(folder.name) or _holds_a_run(folder):
            yield folder
        elif depth > 1:
            yield from _folders(folder, depth - 1)


def _holds_a_run(folder: Path) -> bool:
    try:
        return (folder / SUMMARY).exists() or (folder / LEDGER).is_dir()
    except OSError:
        # what may not be looked into is nobody's run
        return False


def _summary_text(file: Path) -> str | None:
    """Return what a summary holds; None where there is none."""
    try:
        found = file.lstat()
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(found.st_mode):
        raise ValueError(f"{SUMMARY} is not a file")
    if found.st_size > _MOST_BYTES:
        raise ValueError(f"{SUMMARY} is larger than a run writes it")
    return file.read_text("utf-8")


def _without_summary(bare: Run) -> Run | None:
    """Return a run that is not finished: its ledger says whose it is, and since when."""
    ledger = bare.folder / LEDGER
    if not ledger.is_dir():
        return replace(bare, state="unfinished") if bare.ours else None
    begun = datetime.fromtimestamp(ledger.stat().st_mtime, UTC)
    return replace(
        bare,
        scenario=_name_in(ledger / "manifest.jsonl") or bare.scenario,
        state="running" if is_locked(ledger) else "unfinished",
        moment=bare.moment or begun,
    )


def _name_in(manifest: Path) -> str:
    """Return the name of the scenario that a ledger is of; empty where it does not tell."""
    try:
        if not stat.S_ISREG(manifest.lstat().st_mode):
            return ""
        with manifest.open("rb") as file:
            return _text(json.loads(file.readline(_MOST_BYTES))["identity"]["scenario"]["name"])
    except (KeyError, OSError, RecursionError, TypeError, ValueError):
        return ""


def _is_of_a_run(raw: object) -> bool:
    """Return whether a summary is one of a run: back-tests and limits write others."""
    return isinstance(raw, dict) and _FIRST in raw


def _finished(bare: Run, raw: object) -> Run:
    """Return the run that a summary tells of.

    Raises
    ------
    ValueError
        If it is not what a run writes.
    """
    if not isinstance(raw, dict) or not _is_of_a_run(raw):
        raise ValueError(f"{SUMMARY} is not the summary of a run")
    stated = _text(raw.get("created_at"))
    return replace(
        bare,
        scenario=_text(raw.get("name")) or bare.scenario,
        state="finished",
        moment=_moment(stated) if stated else bare.moment,
        exit_code=_whole(raw, "exit_code"),
        headlines={name: three for name in HEADLINES if (three := _estimate(raw, name))},
        limits=_limits(raw.get("limits")),
        paths=_whole(raw, "paths"),
        as_of=_as_of(raw.get("as_of")),
        given=_given(raw),
    )


def _as_of(stated: object) -> str:
    """Return the moment of the book, or else of the prices; empty where neither is stated."""
    moments = stated if isinstance(stated, dict) else {}
    text = _text(moments.get("book")) or _text(moments.get("market"))
    return f"{_moment(text):%Y-%m-%dT%H:%M:%SZ}" if text else ""


def _given(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the numbers follow from, under the words that a reader is told."""
    given = {
        "inputs": _hashes(raw.get("input_sha256")),
        "seed": raw.get("seed"),
        "paths": raw.get("paths"),
        "mode": raw.get("mode"),
        "version": raw.get("versions"),
        "scenario": raw.get("scenario_sha256"),
    }
    return {word: value for word, value in given.items() if value not in (None, [])}


def _hashes(stated: object) -> list[str]:
    """Return the hashes of the input files: where they lie does not matter."""
    return sorted(map(str, stated.values())) if isinstance(stated, dict) else []


def _with_changes(runs: list[Run]) -> list[Run]:
    """Return the runs of a scenario, oldest first, each with what differs from the one before."""
    finished = [run for run in runs if run.state == "finished"]
    changed = {
        later.folder: _changes(former.given, later.given) for former, later in pairwise(finished)
    }
    return [replace(run, changed=changed.get(run.folder, ())) for run in runs]


def _changes(former: Mapping[str, Any], later: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what differs between two runs, as far as both say.

    The scenario's hash is of everything that it resolves to, its seed and inputs too: alone it says
    that something else was changed.
    """
    changed = tuple(word for word in later if word in former and former[word] != later[word])
    return (
        ("other settings",)
        if changed == ("scenario",)
        else tuple(f"other {word}" for word in changed if word != "scenario")
    )


def _limits(raw: object) -> tuple[Limit, ...]:
    if not isinstance(raw, list):
        raise ValueError("limits is not a list")
    return tuple(_limit(row) for row in raw)


def _limit(raw: object) -> Limit:
    if not isinstance(raw, dict):
        raise ValueError("a limit is not a table")
    return Limit(
        name=_text(raw.get("name")) or "limit",
        value=Estimate(*(_number(raw.get(key)) for key in ("value", "lower", "upper"))),
        threshold=_number(raw.get("threshold")),
        breached=raw.get("breached") is True,
        resolved=raw.get("resolved") is not False,
    )


def _estimate(raw: Mapping[str, Any], name: str) -> Estimate | None:
    """Return an estimate with its interval; None where it was not simulated."""
    three = raw.get(name)
    if three is None:
        return None
    if not isinstance(three, dict):
        raise ValueError(f"{name} has no interval")
    return Estimate(*(_number(three.get(key)) for key in ("estimate", "lower", "upper")))


def _number(value: object) -> float:
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"a number is a {type(value).__name__}")
    # an integer of hundreds of digits overflows, 1e999 is read as infinite
    number = float(value) if abs(value) < 1e300 else math.inf
    if not math.isfinite(number):
        raise ValueError("a number is not finite")
    return number


def _whole(raw: Mapping[str, Any], name: str) -> int:
    value = raw.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 2**31:
        raise ValueError(f"{name} is not a whole number")
    return value


def _text(value: object) -> str:
    """Return text on one line that may be printed; empty where it is none."""
    words = value.split() if isinstance(value, str) else ()
    return "".join(c if c.isprintable() else "?" for c in " ".join(words))[:200]


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)


def _stamp(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, "%Y-%m-%dT%H-%M-%SZ").replace(tzinfo=UTC)
    except ValueError:
        return None


def _refused(constant: str) -> float:
    raise ValueError(f"{constant} is not JSON")


def _in_short(error: BaseException) -> str:
    if isinstance(error, OSError):
        return f"cannot be read: {error.strerror}"
    if isinstance(error, json.JSONDecodeError):
        return f"{SUMMARY} is not JSON: {_text(str(error))}"
    if isinstance(error, RecursionError):
        return f"{SUMMARY} is nested too deep"
    return _text(str(error)) or "cannot be read"
