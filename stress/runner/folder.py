"""The run folder: named, created when the scenario is known to be good, filled when all is done."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from os import PathLike
from pathlib import Path
from shutil import rmtree
from types import TracebackType

import xarray as xr

from stress.compare.previous import compare_with_previous
from stress.data.files import atomically
from stress.errors import InputError, Interrupted
from stress.report.formats import write_formats
from stress.result.comparison import COMPARISON, Comparison
from stress.result.comparison import to_json as to_text
from stress.result.store import RESULT, save_result
from stress.result.summary import SUMMARY, summarise, to_json
from stress.runner.identity import Identity
from stress.runner.ledger import (
    LEDGER,
    Ledger,
    is_ledger,
    ledger_in,
    unfinished_run,
)
from stress.scenario.resolve import resolved_toml
from stress.scenario.schema import Scenario
from stress.types import ReportFormat

__all__ = ["REPORT", "RunFolder"]

REPORT = "report.html"


class RunFolder:
    """A folder for one run, as a context: on any failure an empty one is removed again.

    Parameters
    ----------
    path
        The folder; its parents are made too.
    resume
        Whether a run that it holds already goes on.
    """

    def __init__(self, path: Path, *, resume: bool = False) -> None:
        self.path, self.resume = path, resume
        self.notices: list[str] = []
        self._made: list[Path] = []
        self._ledger: Ledger | None = None
        self._held = ExitStack()

    @classmethod
    def for_run(
        cls, scenario: Scenario, out: str | PathLike[str] | None, *, resume: bool
    ) -> RunFolder:
        """Return the folder ``out``, or else the newest unfinished one, or else a dated one.

        Raises
        ------
        InputError
            As ``named`` does, or if a run would go on with fewer paths than it has.
        """
        if out is not None:
            folder = cls.named(out, resume=resume)
            _require_paths(folder.path, scenario.simulation.paths)
            return folder
        unfinished = _unfinished(Path("results") / scenario.name) if resume else []
        return cls(unfinished[-1], resume=True) if unfinished else cls.dated(scenario)

    @classmethod
    def named(cls, out: str | PathLike[str], *, resume: bool = False) -> RunFolder:
        """Return exactly the folder ``out``.

        Raises
        ------
        InputError
            If it holds a run already, finished or not, and ``resume`` does not ask for it.
        """
        path = Path(out)
        if path.exists() and not path.is_dir():
            raise InputError("is not a folder", file=path, remedy="name a folder with --out")
        if (path / RESULT).exists() and not resume:
            raise InputError(
                "holds the result of another run",
                file=path,
                remedy="name a new folder with --out, or remove this one; more paths are added to "
                "a run with --resume --paths",
            )
        if is_ledger(path) and not resume:
            raise unfinished_run(path)
        return cls(path, resume=resume)

    @classmethod
    def dated(
        cls, scenario: Scenario, root: Path = Path("results"), *, suffix: str = ""
    ) -> RunFolder:
        """Return ``results/<name>/<UTC time>-<hash>``; the hash is the resolved scenario's.

        A ``suffix`` says what is in the folder where it is not a run.
        """
        digest = hashlib.sha256(resolved_toml(scenario).encode()).hexdigest()[:8]
        moment = datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%SZ")
        stem = "-".join(part for part in (moment, digest, suffix) if part)
        path = root / scenario.name / stem
        number = 2
        while path.exists():
            path = path.with_name(f"{stem}-{number}")
            number += 1
        return cls(path)

    def __enter__(self) -> RunFolder:
        missing = [folder for folder in (self.path, *self.path.parents) if not folder.exists()]
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            probe = self.path / ".writable"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise InputError(
                f"cannot be written to: {error.strerror}",
                file=self.path,
                remedy="name another folder with --out",
            ) from None
        self._made = missing
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let go of the folder; after a failure remove the folders that were made and are empty."""
        if kind is not None and self._ledger is not None and not self._ledger.kept:
            rmtree(self.path / LEDGER)
        self._held.close()
        if kind is None:
            return
        for folder in self._made:
            if any(folder.iterdir()):
                break
            folder.rmdir()

    def keep(self, identity: Identity) -> Ledger:
        """Return the ledger of the run, which holds the folder until the context ends.

        Raises
        ------
        InputError
            As ``ledger_in`` does.
        """
        self._ledger = self._held.enter_context(ledger_in(self.path, identity, resume=self.resume))
        # what is found damaged later is said too
        self.notices += self._ledger.notices
        self._ledger.notices = self.notices
        return self._ledger

    def interrupted(self, scenario: Scenario) -> Interrupted:
        """Return what a user is told of a run that was stopped from outside."""
        paths = f"its {scenario.simulation.paths:,} paths"
        if self._ledger is None or not self._ledger.kept:
            return Interrupted(
                f"{scenario.name} was interrupted before {paths} were done; nothing was written, "
                "run it again"
            )
        return Interrupted(
            f"{scenario.name} was interrupted; what is done of {paths} is kept; go on with "
            f"--resume --out {self.path}"
        )

    def write(
        self, tree: xr.DataTree, scenario: Scenario, formats: Sequence[ReportFormat] = ("html",)
    ) -> Path:
        """Write the result, its summary, the resolved scenario and the report; return its path.

        The report is always written as a page, and beside it in the other ``formats``. The summary
        comes last: a folder that has one is finished.

        Raises
        ------
        Interrupted
            If there is no room: the paths are kept.
        """
        try:
            save_result(tree, self.path)
            resolved = resolved_toml(scenario)
            atomically(self.path / "scenario.toml", lambda to: to.write_text(resolved, "utf-8"))
            others = [name for name in formats if name != "html"]
            previous = self._compare(tree)
            report = write_formats(tree, self.path, ("html", *others), previous)[0]
            summary = to_json(summarise(tree))
            atomically(self.path / SUMMARY, lambda to: to.write_text(summary, "utf-8"))
        except OSError as error:
            raise Interrupted(
                f"{self.path}: cannot be written: {error.strerror}; the paths are kept: make room, "
                f"then go on with --resume --out {self.path}"
            ) from None
        return report

    def _compare(self, tree: xr.DataTree) -> Comparison | None:
        """Write how the run differs from the finished one before it, if there is one."""
        found, notices = compare_with_previous(self.path, tree)
        self.notices += notices
        path = self.path / COMPARISON
        if found is None:
            # of a run that has been extended, before which there is nothing any more
            path.unlink(missing_ok=True)
        else:
            text = to_text(found)
            atomically(path, lambda to: to.write_text(text, "utf-8"))
        return found


def _require_paths(folder: Path, paths: int) -> None:
    """Refuse to replace a finished result by one of fewer paths."""
    summary = folder / SUMMARY
    if not summary.is_file():
        return
    try:
        there = int(json.loads(summary.read_text("utf-8"))["paths"])
    except (ValueError, KeyError, TypeError, OSError):
        return
    if there > paths:
        raise InputError(
            f"holds a result of {there:,} paths, {paths:,} were asked for",
            file=folder,
            key="--paths",
            remedy="ask for more, or name another folder with --out",
        )


def _unfinished(root: Path) -> list[Path]:
    """Return the folders of runs without a summary, the newest last by their names."""
    if not root.is_dir():
        return []
    return sorted(
        folder
        for folder in root.iterdir()
        if folder.is_dir() and is_ledger(folder) and not (folder / SUMMARY).exists()
    )
