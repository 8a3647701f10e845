"""The run folder: named, created when the scenario is known to be good, filled when all is done."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from os import PathLike
from pathlib import Path
from types import TracebackType

import xarray as xr

from stress.data.files import atomically
from stress.errors import InputError
from stress.report.page import write as write_report
from stress.result.store import RESULT, save_result
from stress.result.summary import summarise, to_json
from stress.scenario.resolve import resolved_toml
from stress.scenario.schema import Scenario

__all__ = ["REPORT", "RunFolder"]

REPORT = "report.html"


class RunFolder:
    """A folder for one run, as a context: on any failure an empty one is removed again.

    Parameters
    ----------
    path
        The folder; its parents are made too.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._made: list[Path] = []

    @classmethod
    def named(cls, out: str | PathLike[str]) -> RunFolder:
        """Return exactly the folder ``out``.

        Raises
        ------
        InputError
            If it holds a result already: a run is not overwritten.
        """
        path = Path(out)
        if path.exists() and not path.is_dir():
            raise InputError("is not a folder", file=path, remedy="name a folder with --out")
        if (path / RESULT).exists():
            raise InputError(
                "holds the result of another run",
                file=path,
                remedy="name a new folder with --out, or remove this one",
            )
        return cls(path)

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
        """Remove the folders that this run made and left empty."""
        if kind is None:
            return
        for folder in self._made:
            if any(folder.iterdir()):
                break
            folder.rmdir()

    def write(self, tree: xr.DataTree, scenario: Scenario) -> Path:
        """Write the result, its summary, the resolved scenario and the report; return its path."""
        save_result(tree, self.path)
        summary, resolved = to_json(summarise(tree)), resolved_toml(scenario)
        atomically(self.path / "summary.json", lambda to: to.write_text(summary, "utf-8"))
        atomically(self.path / "scenario.toml", lambda to: to.write_text(resolved, "utf-8"))
        write_report(tree, self.path / REPORT)
        return self.path / REPORT
