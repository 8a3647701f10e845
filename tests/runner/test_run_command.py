"""``margin-stress run``: folders, exit codes, what is printed, and what an interruption leaves."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import xarray as xr

import stress
from stress.cli import main
from stress.errors import InputError
from stress.result.store import RESULT
from stress.result.summary_schema import summary_schema
from stress.runner.passage import PassageDriver
from stress.scenario.resolve import resolved_toml
from tests.strategies import Account, random_book, write_book

# a pool or two: what is tested here is not what is simulated
KINDS = ("cross_single", "at_requirement")
GROUP = "max_group_any_liquidation_probability"

SURE = {GROUP: {"at_requirement": 1.0}}
"""Its liquidation is not certain: at most 1 it always is."""
OVER = {GROUP: {"at_requirement": 0.01}}
UNRESOLVED = {"max_uncovered_loss": 1e9, GROUP: {"idle": 0.001}}
BOTH = {GROUP: {**UNRESOLVED[GROUP], **OVER[GROUP]}}


def write_scenario(folder: Path, limits: dict[str, Any] | None = None, **changes: Any) -> Path:
    """Write a small scenario with its book, and return the path of its file."""
    folder.mkdir(parents=True, exist_ok=True)
    chosen = {"simulation.paths": 100, "simulation.precision": "float32", **changes}
    if limits:
        chosen["limits"] = limits
    accounts = random_book(101, (*KINDS, "idle"))
    file = folder / "scenario.toml"
    file.write_text(resolved_toml(write_book(folder, accounts, chosen)), "utf-8")
    return file


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write_scenario(tmp_path / "scenario")


class TestFolder:
    def test_named(self, tmp_path: Path, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """Exactly the folder named; the report's path is printed, and progress on stderr."""
        out = tmp_path / "results" / "today"
        assert main(["run", str(file), "--out", str(out)]) == 0
        names = {path.name for path in out.iterdir()}
        assert names == {"result.nc", "summary.json", "scenario.toml", "report.html", "ledger"}
        captured = capsys.readouterr()
        assert str(out / "report.html") in captured.out
        assert "100 of 100 paths" in captured.err

    def test_dated(
        self,
        tmp_path: Path,
        file: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """By default ``results/<name>/<UTC time>-<hash of the scenario>``, a new one each time."""
        monkeypatch.chdir(tmp_path)
        for _ in range(2):
            assert main(["run", str(file), "--quiet"]) == 0
        assert capsys.readouterr().err == ""
        folders = sorted((tmp_path / "results" / "random-book").iterdir())
        assert len(folders) == 2
        stamp = r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ-[0-9a-f]{8}(-2)?"
        assert all(re.fullmatch(stamp, folder.name) for folder in folders)

    def test_options(self, tmp_path: Path, file: Path) -> None:
        """They count instead of what the scenario says, and stand in the result."""
        out = tmp_path / "out"
        options = ["--paths", "70", "--seed", "5", "--mode", "cross", "--device", "cpu", "--quiet"]
        assert main(["run", str(file), "--out", str(out), *options]) == 0
        attributes = stress.open_result(out).attrs
        assert (attributes["paths"], attributes["seed"]) == (70, 5)
        assert attributes["mode"] == "cross"
        assert attributes["platform"] == "cpu"

    def test_a_result_is_not_overwritten(
        self, tmp_path: Path, file: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        out = tmp_path / "out"
        out.mkdir()
        (out / RESULT).write_bytes(b"precious")
        assert main(["run", str(file), "--out", str(out)]) == 2
        assert "holds the result of another run" in capsys.readouterr().err
        assert [path.name for path in out.iterdir()] == [RESULT]
        assert (out / RESULT).read_bytes() == b"precious"
        with pytest.raises(InputError, match="holds the result of another run"):
            stress.run(file, out=out)

    def test_not_a_folder(
        self, tmp_path: Path, file: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for out in (tmp_path / "file", tmp_path / "file" / "below"):
            (tmp_path / "file").write_text("here")
            assert main(["run", str(file), "--out", str(out)]) == 2
            error = capsys.readouterr().err
            assert error.count("\n") == 1
            assert "--out" in error

    @pytest.mark.parametrize(
        ("table", "content"),
        [
            ("positions.csv", "account,asset,quantity,entry_price\nnobody,ONE,1,128\n"),
            ("accounts.csv", "account,cash\nidle-0,many\n"),
        ],
    )
    def test_no_folder_for_a_book_that_cannot_be_read(
        self,
        tmp_path: Path,
        file: Path,
        table: str,
        content: str,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """The book is read before anything is simulated, and nothing is left behind."""
        text = file.read_text("utf-8")
        file.write_text(text[: text.index("[inputs]")], "utf-8")
        (file.parent / table).write_text(content)
        out = tmp_path / "results" / "deep" / "out"
        assert main(["run", str(file), "--out", str(out)]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert table in error
        assert not (tmp_path / "results").exists()

    def test_no_folder_for_a_scenario_that_is_wrong(self, tmp_path: Path, file: Path) -> None:
        file.write_text(file.read_text("utf-8").replace('"6h"', '"7h"'), "utf-8")
        out = tmp_path / "out"
        assert main(["run", str(file), "--out", str(out)]) == 2
        assert not out.exists()


class TestExitCodes:
    @pytest.mark.parametrize(
        ("limits", "code"),
        [(None, 0), (SURE, 0), (OVER, 3), (UNRESOLVED, 4), (BOTH, 3)],
        ids=["none", "kept", "breached", "unresolved", "breached-before-unresolved"],
    )
    def test_limits(
        self,
        tmp_path: Path,
        limits: dict[str, Any] | None,
        code: int,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        file, out = write_scenario(tmp_path, limits), tmp_path / "out"
        assert main(["run", str(file), "--out", str(out), "--json", "--quiet"]) == code
        captured = capsys.readouterr()
        assert captured.err == ""
        printed = json.loads(captured.out)
        assert printed["exit_code"] == code
        assert printed.pop("report") == str(out / "report.html")
        assert printed == json.loads((out / "summary.json").read_text("utf-8"))
        jsonschema.validate(printed, summary_schema())


class TestRelativeError:
    @pytest.mark.parametrize(("most", "code"), [(1e-6, 4), (1e6, 0)], ids=["exceeded", "kept"])
    def test_exit_code_and_words(
        self, most: float, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """In the summary, the printed table, the assumptions and, if exceeded, the warnings."""
        file = write_scenario(tmp_path, **{"simulation.max_relative_error": most})
        out = tmp_path / "out"
        assert main(["run", str(file), "--out", str(out)]) == code
        summary = json.loads((out / "summary.json").read_text("utf-8"))
        jsonschema.validate(summary, summary_schema())
        assert summary["relative_error"]["exceeded"] == (code == 4)
        printed = capsys.readouterr()
        assert f"against {most:.6g}: {'kept' if code == 0 else 'not resolved'}" in printed.out
        assert ("simulation.max_relative_error asks for" in printed.err) == (code == 4)
        assumed = stress.open_result(out).attrs["assumptions"].splitlines()[-1]
        assert assumed.startswith("simulation.max_relative_error asks")
        # the resolved scenario asks for the same
        assert f"max_relative_error = {most}" in (out / "scenario.toml").read_text("utf-8")


class TestUnattended:
    def test_log_and_program(self, tmp_path: Path, file: Path) -> None:
        """What a scheduler sees of a run: its lines, and what its program is told."""
        out, log, told = tmp_path / "out", tmp_path / "log.jsonl", tmp_path / "told"
        script = f"printenv MARGIN_STRESS_EXIT_CODE MARGIN_STRESS_REPORT > '{told}'"
        words = ["--log", str(log), "--on-finish", f'sh -c "{script}"', "--quiet"]
        assert main(["run", str(file), "--out", str(out), *words]) == 0
        assert told.read_text() == f"0\n{out / 'report.html'}\n"
        lines = [json.loads(line) for line in log.read_text("utf-8").splitlines()]
        events = [line["event"] for line in lines if line["event"] != "notice"]
        assert events == [
            "command_began",
            "run_began",
            "paths_done",
            "run_finished",
            "handed_on",
            "command_finished",
        ]
        by_event = {line["event"]: line for line in lines}
        assert by_event["paths_done"]["done"] == by_event["run_began"]["paths"] == 100
        assert by_event["run_finished"]["exit_code"] == 0

    def test_an_old_book_is_refused_but_not_of_a_run_that_goes_on(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Input is judged when a run begins; days later it goes on with what it began with."""
        now = datetime.now(UTC)
        changes = {"book.as_of": now.isoformat(), "book.max_age": "12h"}
        file, out = write_scenario(tmp_path, **changes), tmp_path / "out"
        # not pinned: a scenario of tonight, not one that repeats a run
        file.write_text(file.read_text("utf-8").partition("[inputs]")[0], "utf-8")
        assert main(["run", str(file), "--out", str(out), "--quiet"]) == 0

        class Later(datetime):
            @classmethod
            def now(cls, tz: Any = None) -> datetime:
                return now + timedelta(days=3)

        monkeypatch.setattr("stress.scenario.freshness.datetime", Later)
        capsys.readouterr()
        assert main(["run", str(file), "--out", str(tmp_path / "other"), "--quiet"]) == 5
        assert 'old, at most "12h" is allowed' in capsys.readouterr().err
        assert not (tmp_path / "other").exists()
        words = ["--out", str(out), "--resume", "--quiet"]
        assert main(["run", str(file), *words]) == 0
        assert stress.run(file, out=out, resume=True).attrs["paths"] == 100


class TestInterruption:
    def interrupt(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Stop in the middle of the paths, as Ctrl-C would."""
        absorb, calls = PassageDriver._absorb_block, []

        def stopped(*arguments: Any) -> Any:
            calls.append(1)
            # the second device's paths
            if len(calls) > 1:
                raise KeyboardInterrupt
            return absorb(*arguments)

        monkeypatch.setattr(PassageDriver, "_absorb_block", stopped)

    def test_nothing_is_left(
        self,
        tmp_path: Path,
        file: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        self.interrupt(monkeypatch)
        out = tmp_path / "results" / "deep" / "out"
        assert main(["run", str(file), "--out", str(out), "--quiet"]) == 75
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert "random-book was interrupted before its 100 paths were done" in error
        assert not (tmp_path / "results").exists()

    def test_what_was_there_stays(
        self, tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.interrupt(monkeypatch)
        out = tmp_path / "out"
        out.mkdir()
        (out / "notes.txt").write_text("mine")
        assert main(["run", str(file), "--out", str(out), "--quiet"]) == 75
        assert [path.name for path in out.iterdir()] == ["notes.txt"]

    def test_from_python(self, tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A caller gets the KeyboardInterrupt that belongs to it, and no folder."""
        self.interrupt(monkeypatch)
        with pytest.raises(KeyboardInterrupt):
            stress.run(file, out=tmp_path / "out")
        assert not (tmp_path / "out").exists()

    def test_while_the_result_is_written(
        self,
        tmp_path: Path,
        file: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """No half-written ``result.nc``, nor a whole one under another name; the paths are kept."""

        def stopped(self: xr.DataTree, path: Path, **keywords: Any) -> None:
            Path(path).write_bytes(b"half")
            raise KeyboardInterrupt

        monkeypatch.setattr(xr.DataTree, "to_netcdf", stopped)
        out = tmp_path / "out"
        assert main(["run", str(file), "--out", str(out), "--quiet"]) == 75
        assert [path.name for path in out.iterdir()] == ["ledger"]
        assert f"go on with --resume --out {out}" in capsys.readouterr().err

    def test_ctrl_c(self, tmp_path: Path) -> None:
        """A real SIGINT to a real process in the middle of its paths: what is done serves."""
        account = Account(30.0, [{"asset": "ONE", "quantity": 1.0, "entry_price": 128.0}])
        changes = {"simulation.paths": 50_000_000, "simulation.horizon": "24h"}
        file, out = tmp_path / "scenario.toml", tmp_path / "results" / "out"
        file.write_text(resolved_toml(write_book(tmp_path, {"only": account}, changes)), "utf-8")
        with subprocess.Popen(
            [sys.executable, "-c", WATCHED, "run", str(file), "--out", str(out), "--quiet"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                assert process.stdout is not None
                assert process.stdout.readline() == "simulating\n"
                assert out.is_dir()
                process.send_signal(signal.SIGINT)
                _, error = process.communicate(timeout=60)
            finally:
                process.kill()
        assert process.returncode == 75
        assert "interrupted" in error
        assert error.count("\n") == 1
        assert f"go on with --resume --out {out}" in error
        assert main(["run", str(file), "--out", str(out), "--resume", "--paths", "600"]) == 0
        assert stress.open_result(out).attrs["paths"] == 600


WATCHED = """
import signal, sys
from stress.cli import main
from stress.runner.ledger import Ledger

put = Ledger.put

def watched(*arguments):
    put(*arguments)
    if not told:
        print("simulating", flush=True)
        told.append(1)

told = []
Ledger.put = watched
# a shell lets what it starts in the background ignore Ctrl-C
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.exit(main(sys.argv[1:]))
"""
"""The command, which says when the first chunk is kept."""
