"""``margin-stress report RUN``: draw the report of a finished run again, in any of its formats."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from os import PathLike
from os.path import isdir
from pathlib import Path

from stress.errors import InputError
from stress.result.comparison import Comparison, read_comparison
from stress.types import ReportFormat

__all__ = ["report_command"]


def report_command(
    run_folder: str | PathLike[str],
    *,
    formats: Sequence[ReportFormat] = ("html",),
    out: str | PathLike[str] | None = None,
    as_json: bool,
) -> int:
    """Write the report of a run folder again, print where it is, return the exit code.

    Parameters
    ----------
    formats
        ``html``, ``json``, ``md``, ``csv``.
    out
        Folder to write to; the run folder if not given.

    Raises
    ------
    InputError
        If the folder holds no ``result.nc``, or the files cannot be written.
    """
    # Imported here, because a command line that only parses its verbs needs neither.
    from stress.report.formats import write_formats
    from stress.result.store import open_result

    run = Path(run_folder)
    folder = Path(out) if out is not None else run if isdir(run) else run.parent
    tree = open_result(run)
    try:
        written = write_formats(tree, folder, formats, _previous(run, folder))
    except OSError as error:
        rule = f"cannot be written to: {error.strerror}"
        raise InputError(rule, file=folder, remedy="name another folder with -o") from None
    if as_json:
        by_format = dict(zip(formats, map(str, written), strict=True))
        print(json.dumps({"report": str(written[0]), "files": by_format}))
    else:
        print(*written, sep="\n")
    return 0


def _previous(run: Path, folder: Path) -> Comparison | None:
    """Return how the run differs from the one before it, seen from the folder written to."""
    home = run if run.is_dir() else run.parent
    try:
        found = read_comparison(home)
    except InputError as error:
        print(f"warning: the previous run is left out: {error}", file=sys.stderr)
        return None
    if found is None or not found.one.folder:
        return found
    beside = os.path.relpath(home / found.one.folder, folder)
    return replace(found, one=replace(found.one, folder=beside))
