"""``margin-stress backtest FILE``: walk, write the folder, print what fails and where."""

from __future__ import annotations

import hashlib
import json
import sys
from datetime import UTC, datetime
from os import PathLike
from pathlib import Path
from typing import Any

import xarray as xr

from stress.backtest.load import Task, load_backtest
from stress.backtest.page import write_backtest_page
from stress.backtest.result import summarise
from stress.backtest.run import forecasts, run_backtest
from stress.backtest.table import closing_table, verdict_table
from stress.data.files import atomically
from stress.errors import InputError, Interrupted
from stress.result.store import save_result
from stress.result.summary import to_json
from stress.runner.compiled import use_compilation_cache
from stress.runner.device import use_precision
from stress.runner.folder import RunFolder
from stress.runner.progress import Progress, Silent

__all__ = ["PAGE", "RESULT", "backtest_command"]

RESULT = "backtest.nc"
PAGE = "backtest.html"


def backtest_command(
    file: str | PathLike[str],
    *,
    out: str | None,
    every: bool,
    quiet: bool,
    as_json: bool,
) -> int:
    """Test the models of a scenario's ``[backtest]`` table; return 0 when it is done.

    A model that fails is a finding and no exit code: a back-test declares no limit.

    Parameters
    ----------
    file
        The scenario.
    out
        Folder to write; ``results/<name>/backtest-<UTC time>-<hash>`` if not given.
    every
        Print the table of every model, not only of the scenario's own.
    quiet
        No progress and no warnings on stderr.

    Raises
    ------
    InputError
        The scenario or its history cannot be used.
    Interrupted
        On Ctrl-C or SIGTERM.
    """
    task = load_backtest(file)
    use_precision(task.precision)
    kept = use_compilation_cache()
    count = forecasts(task)
    progress = Silent() if quiet else Progress(count, unit="forecasts")
    with _folder(task, out) as folder:
        try:
            tree = run_backtest(task, progress)
            progress.close()
            _write(tree, folder.path)
        except KeyboardInterrupt:
            raise Interrupted(
                f"{task.name} was interrupted; nothing was written, run it again"
            ) from None
    if not quiet:
        for notice in (*str(tree.attrs["notices"]).splitlines(), *kept.notices):
            print(f"warning: {notice}", file=sys.stderr)
    page = (folder.path / PAGE).resolve()
    summary: dict[str, Any] = summarise(tree)
    if as_json:
        print(json.dumps({**summary, "report": str(page)}, indent=2))
        return 0
    print(verdict_table(tree))
    print()
    print(closing_table(tree, None if every else [task.market.model]))
    print(f"  report: {page}")
    return 0


def _folder(task: Task, out: str | None) -> RunFolder:
    if out is None:
        text = f"{task.name}{task.table.model_dump_json()}{task.history.sha256}{task.seed}"
        digest = hashlib.sha256(text.encode()).hexdigest()[:8]
        moment = datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%SZ")
        return RunFolder(Path("results") / task.name / f"backtest-{moment}-{digest}")
    path = Path(out)
    if (path / RESULT).exists():
        raise InputError(
            "holds the result of another back-test",
            file=path,
            remedy="name a new folder with --out, or remove this one",
        )
    return RunFolder.named(path)


def _write(tree: xr.DataTree, folder: Path) -> None:
    save_result(tree, folder, RESULT)
    summary = to_json(summarise(tree))
    atomically(folder / "summary.json", lambda to: to.write_text(summary, "utf-8"))
    write_backtest_page(tree, folder / PAGE)
