"""A run against the one before it: the finished run of the same scenario name near its folder."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import h5netcdf
import xarray as xr

from stress.compare.compare import compare
from stress.errors import InputError
from stress.result.comparison import Comparison
from stress.result.store import RESULT
from stress.result.summary import SUMMARY

__all__ = ["compare_with_previous", "earlier_runs"]

_MOST_BYTES = 4_000_000
"""Largest summary that is looked into."""

_UNREADABLE = (InputError, OSError, ValueError, KeyError, RuntimeError)
"""What a result raises that is damaged or of another form: HDF5 has no error of its own."""


def compare_with_previous(
    folder: Path, tree: xr.DataTree
) -> tuple[Comparison | None, tuple[str, ...]]:
    """Return how a run differs from the previous finished one, and what was passed over.

    Parameters
    ----------
    folder
        Of the run; the previous one is looked for beside it.
    tree
        Its result.

    Returns
    -------
    The comparison, this run the second of the two; None where there is no previous run. A sentence
    for every result that could not be read, after which the one before is tried.
    """
    notices: list[str] = []
    for previous in earlier_runs(folder, str(tree.attrs.get("title", ""))):
        try:
            with xr.open_datatree(previous / RESULT, engine="h5netcdf") as before:
                names = (os.path.relpath(previous, folder), ".")
                return compare(before, tree, folders=names), tuple(notices)
        except _UNREADABLE as error:
            why = error.rule if isinstance(error, InputError) else "is damaged"
            notices.append(f"the run {previous.name} is not compared with: its result {why}")
    return None, tuple(notices)


def earlier_runs(folder: Path, name: str) -> Iterator[Path]:
    """Yield the folders of finished runs of a scenario near a folder, the latest first.

    Near are the folders beside it and, where it is one of a pack's and so has the scenario's name,
    those of the packs beside its pack.
    A run is finished where it has a summary and a result. By when the results say that they were
    made, not by the clock of the files: those may have been copied.
    """
    own = folder.resolve()
    found = [
        (_made(beside / RESULT), beside.name, beside)
        for beside in _near(folder, name)
        if beside.resolve() != own and _name_of(beside / SUMMARY) == name
    ]
    for _, _, path in sorted(found, reverse=True):
        yield path


def _near(folder: Path, name: str) -> list[Path]:
    pack = folder.resolve().parent
    try:
        found = list(folder.parent.iterdir())
        if folder.name == name:
            found += [other / name for other in pack.parent.iterdir() if other != pack]
        return [path for path in found if (path / RESULT).is_file()]
    except OSError:
        return []


def _name_of(summary: Path) -> str | None:
    """Return the scenario that a summary is of; None where there is none that can be read."""
    try:
        if summary.stat().st_size > _MOST_BYTES:
            return None
        found = json.loads(summary.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    name = found.get("name") if isinstance(found, dict) else None
    return name if isinstance(name, str) else None


def _made(result: Path) -> str:
    """Return when a result says that it was made; what the file system says if it is damaged."""
    try:
        with h5netcdf.File(result, "r") as file:
            return str(file.attrs["created_at"])
    except (OSError, RuntimeError, ValueError, KeyError):
        moment = datetime.fromtimestamp(result.stat().st_mtime, UTC)
        return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
