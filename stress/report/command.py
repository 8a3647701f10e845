"""``margin-stress report RUN``: draw the report of a finished run again."""

from __future__ import annotations

import json
from os import PathLike
from pathlib import Path

__all__ = ["report_command"]


def report_command(run_folder: str | PathLike[str], *, as_json: bool) -> int:
    """Redraw ``report.html`` of a run folder, print its path, return the exit code.

    Raises
    ------
    InputError
        If the folder holds no ``result.nc``.
    """
    # Imported here, because a command line that only parses its verbs needs neither.
    from stress.report.page import write
    from stress.result.store import open_result

    folder = Path(run_folder)
    report = write(open_result(folder), folder / "report.html")
    print(json.dumps({"report": str(report)}) if as_json else report)
    return 0
