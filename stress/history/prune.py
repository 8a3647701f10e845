"""Old run folders go, so that a nightly run does not fill a disk.

What is kept is decided from what is read (``plan``); what is removed is looked at once more under
the folder's lock (``prune``). A folder is renamed to a hidden name before it is emptied: cut off in
the middle, it is no run any more, and the next pruning removes the rest.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

from stress.data.locks import locked
from stress.errors import InputError
from stress.history.marks import INDEX, is_pack
from stress.history.runs import DEPTH, LEDGER, NAME, Run, by_scenario, read_run

__all__ = ["BREACHED", "Pruned", "check_keep", "plan", "prune"]

BREACHED = "a limit is breached"
_IN_USE = "a run is at work in it"
_UNREADABLE = "whether a limit is breached cannot be read"

_REMOVED = ".removed-"
"""In front of the name of a folder that is being removed."""

_WRITTEN = re.compile(
    r"result\.nc|summary\.json|scenario\.toml|report\.(html|json|md)|comparison\.(html|json)"
    r"|\.[\w.-]+\.unfinished|\.writable|ledger/[\w.-]+|tables/[^/]+\.csv(\.unfinished)?"
)
"""Files that a run writes, by their path in its folder: nothing else is ever removed."""


@dataclass(frozen=True)
class Pruned:
    """What pruning did.

    Attributes
    ----------
    removed
        Folders that are gone.
    kept
        Folders that are older than what was to be kept and stay, each with the reason.
    """

    removed: tuple[Path, ...] = ()
    kept: tuple[tuple[Path, str], ...] = ()


def check_keep(keep: int | None) -> None:
    """Refuse to keep nothing.

    Raises
    ------
    InputError
        If ``keep`` is below 1.
    """
    if keep is not None and keep < 1:
        rule = f"must be at least 1, got {keep}"
        raise InputError(rule, key="--keep", remedy="the latest run is always kept")


def plan(runs: Sequence[Run], keep: int) -> tuple[list[Run], list[tuple[Run, str]]]:
    """Return which runs may go, and which are as old and stay, with the reason.

    Of every scenario the ``keep`` newest finished runs stay, and what is newer than the oldest of
    them. Runs whose folders a user has named (``Run.ours``) neither count nor go.

    Parameters
    ----------
    runs
        In the order of time, as ``read_runs`` returns them.
    keep
        At least 1.
    """
    going: list[Run] = []
    staying: list[tuple[Run, str]] = []
    for group in by_scenario(runs).values():
        ours = [run for run in group if run.ours]
        finished = [run for run in ours if run.state == "finished"]
        if len(finished) < keep:
            continue
        for run in ours[: ours.index(finished[-keep])]:
            reason = _reason(run)
            staying += [(run, reason)] if reason else []
            going += [] if reason else [run]
    return going, staying


def prune(root: Path, runs: Sequence[Run], keep: int, *, spared: Collection[Path] = ()) -> Pruned:
    """Remove the run folders that ``plan`` lets go, and the folder of a pack with its last one.

    Parameters
    ----------
    root
        The folder that they lie below.
    runs, keep
        As ``plan`` takes them.
    spared
        Folders that stay whatever their clock said, such as the one just written.
    """
    going, staying = plan(runs, keep)
    untouched = {path.resolve() for path in spared}
    removed, kept = [], [(run.folder, reason) for run, reason in staying]
    _sweep(root)
    for run in going:
        if run.folder.resolve() in untouched:
            continue
        reason = _removed(run.folder)
        if reason:
            kept.append((run.folder, reason))
        else:
            removed.append(run.folder)
    for parent in {folder.parent for folder in removed}:
        _without_empty_pack(parent)
    return Pruned(tuple(removed), tuple(kept))


def _reason(run: Run, *, held: bool = False) -> str:
    """Return why a run must not be removed; empty if it may. A lock that is ``held`` is ours."""
    if run.breached:
        return BREACHED
    if run.state == "unreadable":
        return _UNREADABLE
    return _IN_USE if run.state == "running" and not held else ""


def _removed(folder: Path) -> str:
    """Remove a run folder; return why not, empty if it is gone."""
    try:
        foreign = _foreign(folder)
        if foreign:
            return f"holds {foreign}, which no run writes"
        with _held(folder / LEDGER):
            # somebody may have resumed and finished it since it was read
            again = read_run(folder)
            reason = _reason(again, held=True) if again else _UNREADABLE
            if reason:
                return reason
            hidden = folder.with_name(_REMOVED + folder.name)
            os.rename(folder, hidden)
            _emptied(hidden)
    except InputError:
        return _IN_USE
    except OSError as error:
        return f"cannot be removed: {error.strerror}"
    return ""


def _held(ledger: Path) -> AbstractContextManager[None]:
    """Return the lock of a run, as a context; a run that has kept nothing has none."""
    return locked(ledger) if ledger.is_dir() else nullcontext()


def _sweep(root: Path) -> None:
    """Remove what an earlier pruning, cut off, has left."""
    for depth in range(DEPTH):
        for hidden in root.glob(f"{'*/' * depth}{_REMOVED}*"):
            # what cannot be swept now, or is being swept by another, waits: nobody sees it
            with suppress(OSError):
                if _is_left(hidden, root) and not _foreign(hidden):
                    _emptied(hidden)
                    _without_empty_pack(hidden.parent)


def _is_left(hidden: Path, root: Path) -> bool:
    """Return whether a hidden folder is what pruning leaves, and no link has led to it."""
    name = hidden.name.removeprefix(_REMOVED)
    named = NAME.fullmatch(name) is not None or is_pack(hidden.parent)
    return (
        named and hidden.is_dir() and hidden.resolve() == root.resolve() / hidden.relative_to(root)
    )


def _without_empty_pack(folder: Path) -> None:
    """Remove the folder of a pack in which nothing but its page is left."""
    if is_pack(folder) and [path.name for path in folder.iterdir()] == [INDEX]:
        with suppress(OSError):
            (folder / INDEX).unlink()
            folder.rmdir()


def _foreign(folder: Path) -> str:
    """Return the first thing in a folder that no run writes, by its path in it; empty if none."""
    for place, folders, files in os.walk(folder):
        inside = Path(place).relative_to(folder)
        for name in files:
            path = Path(place, name)
            if path.is_symlink() or not path.is_file() or not _is_written(inside / name):
                return str(inside / name)
        for name in folders:
            if Path(place, name).is_symlink() or not _is_written(inside / name / "x.csv"):
                return str(inside / name)
    return ""


def _is_written(path: Path) -> bool:
    return _WRITTEN.fullmatch(path.as_posix()) is not None


def _emptied(folder: Path) -> None:
    """Remove a folder of which ``_foreign`` has nothing to say."""
    for place, _, files in os.walk(folder, topdown=False):
        for name in files:
            Path(place, name).unlink()
        Path(place).rmdir()
