"""``margin-stress run A B --book DIR``: a row each whatever happens, one page, one exit code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from stress.cli import main
from stress.errors import InputError, Interrupted
from stress.history.pack import INTERRUPTED
from stress.runner import command
from stress.scenario.resolve import resolved_toml
from stress.scenario.schema import Scenario
from tests.history.folders import limit, stamp, summary, write_run
from tests.history.pages import Page
from tests.strategies import random_book, write_book

ROW = {"duration_seconds": 1.0, "expected_uncovered_loss": {}, "relative_error": None}
"""What a summary has besides what the history reads."""

three = {"estimate": 1.0, "lower": 0.5, "upper": 1.5}


# the shapes of the other commands' tests, so that one compilation serves all
KINDS = ("cross_single", "at_requirement", "idle")


def write_scenario(folder: Path, name: str, seed: int = 101, **changes: Any) -> Path:
    """Write a small scenario with its book and return its file."""
    folder.mkdir(parents=True, exist_ok=True)
    chosen = {"name": name, "simulation.paths": 100, "simulation.precision": "float32", **changes}
    scenario = write_book(folder, random_book(seed, KINDS), chosen)
    file = folder / f"{name}.toml"
    file.write_text(resolved_toml(scenario), "utf-8")
    return file


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Three scenarios, in a folder where results may go."""
    monkeypatch.chdir(tmp_path)
    return [str(write_scenario(tmp_path / name, name)) for name in ("one", "two", "three")]


def pretend(monkeypatch: pytest.MonkeyPatch, ends: Mapping[str, int | BaseException]) -> None:
    """Let each scenario end as told, with a run folder where it ends well."""

    def run_one(scenario: Scenario, options: Any, events: Any) -> dict[str, Any]:
        end = ends[scenario.name]
        if isinstance(end, BaseException):
            raise end
        limits = [limit(2.0 if end == 3 else 0.5, 1.0)]
        if options.out is None:
            folder = write_run(Path("results"), 60, scenario.name, limits=limits, exit_code=end)
        else:
            folder = write_run(Path("made"), 60, scenario.name, limits=limits, exit_code=end)
            Path(options.out).parent.mkdir(parents=True, exist_ok=True)
            folder = folder.rename(options.out)
        content = summary(60, name=scenario.name, limits=limits, exit_code=end)
        row = {**content, **ROW, "expected_uncovered_loss": three}
        return {**row, "report": str((folder / "report.html").resolve())}

    monkeypatch.setattr(command, "_run_one", run_one)


class TestPack:
    def test_two_for_real(
        self, tmp_path: Path, files: list[str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Tonight's book in both, folders in ``results``, the page, the history, old ones gone."""
        book = tmp_path / "tonight"
        write_scenario(book, "unused", seed=202)
        (book / "book.toml").write_text("as_of = 2026-11-22T01:00:00Z\n")
        group = {"max_group_any_liquidation_probability": {"at_requirement": 0.01}}
        files[1] = str(write_scenario(tmp_path / "two", "two", limits=group))
        old = [write_run(Path("results"), day, "one") for day in range(3)]
        options = ["--book", str(book), "--keep", "2", "--json"]
        assert main(["run", *files[:2], *options]) == 3
        captured = capsys.readouterr()
        rows = json.loads(captured.out)
        assert [(row["name"], row["exit_code"]) for row in rows] == [("one", 0), ("two", 3)]
        assert rows[0]["as_of"]["book"].startswith("2026-11-22T01:00:00")
        assert str(book / "accounts.csv") in rows[0]["input_sha256"]
        root = tmp_path / "results"
        (pack,) = root.glob("pack-*.html")
        reports = {Path(row["report"]) for row in rows}
        targets = [path.resolve() for path in Page(pack).targets(pack)]
        assert [str(path) for path in targets] == [rows[1]["report"], rows[0]["report"]]
        index = Page(root / "index.html")
        assert reports <= {path.resolve() for path in index.targets(root / "index.html")}
        assert captured.err.count(f"removed {old[0]}\nremoved {old[1]}\n") == 1
        assert not old[0].exists() and not old[1].exists() and old[2].exists()

    def test_one_that_fails(
        self,
        tmp_path: Path,
        files: list[str],
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """It has a row with its line, and the others run."""
        error = InputError("the device is absent", key="--device")
        pretend(monkeypatch, {"one": 0, "two": error, "three": 4})
        assert main(["run", *files, "--json", "--quiet"]) == 2
        captured = capsys.readouterr()
        rows = json.loads(captured.out)
        assert [row["exit_code"] for row in rows] == [0, 2, 4]
        assert rows[1]["error"] == "--device: the device is absent"
        assert captured.err == "margin-stress: error: two: --device: the device is absent\n"
        (page,) = (tmp_path / "results").glob("pack-*.html")
        assert f"two ({files[1]}): --device: the device is absent" in Page(page).text

    def test_a_bug(
        self,
        files: list[str],
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """Where it came from stands on stderr; a breach elsewhere is still the gravest."""
        pretend(monkeypatch, {"one": ZeroDivisionError("oh"), "two": 3, "three": 0})
        assert main(["run", *files, "--quiet"]) == 3
        captured = capsys.readouterr()
        assert "Traceback" in captured.err
        assert "margin-stress: error: one: a bug: ZeroDivisionError('oh')\n" in captured.err
        assert captured.out.count("report:") == 2 and "\npage: " in captured.out

    @pytest.mark.parametrize("end", [KeyboardInterrupt(), Interrupted("two was interrupted")])
    def test_interrupted(
        self,
        tmp_path: Path,
        files: list[str],
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        end: BaseException,
    ) -> None:
        """The pack ends with 75; what is done stays, and the page says what was not begun."""
        pretend(monkeypatch, {"one": 3, "two": end})
        assert main(["run", *files, "--json", "--quiet"]) == INTERRUPTED
        captured = capsys.readouterr()
        rows = json.loads(captured.out)
        assert [row["exit_code"] for row in rows] == [3, 75, 75]
        assert captured.err == "margin-stress: error: two: two was interrupted\n"
        (page,) = (tmp_path / "results").glob("pack-*.html")
        assert "1 breached, 1 interrupted, 1 not begun" in Page(page).text
        assert (tmp_path / "results" / "index.html").is_file()

    def test_one_folder_for_all(
        self, tmp_path: Path, files: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """``--out DIR``: a folder of its name for each, the page beside them, no history drawn."""
        pretend(monkeypatch, {"one": 0, "two": 0})
        assert main(["run", *files[:2], files[0], "--out", "tonight/all", "--quiet"]) == 0
        out = tmp_path / "tonight" / "all"
        assert {path.name for path in out.iterdir()} == {"one", "two", "one-2", "index.html"}
        assert len(Page(out / "index.html").targets(out / "index.html")) == 3
        assert not (tmp_path / "results").exists()

    def test_all_are_checked_first(
        self, tmp_path: Path, files: list[str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Scenarios, their books, and options that contradict each other: nothing is begun."""
        wrong = tmp_path / "wrong.toml"
        wrong.write_text("name = 1\n")
        assert main(["run", files[0], str(wrong)]) == 2
        assert "wrong.toml" in capsys.readouterr().err
        text = Path(files[1]).read_text("utf-8")
        Path(files[1]).write_text(text[: text.index("[inputs]")], "utf-8")
        table = tmp_path / "two" / "positions.csv"
        table.write_text("account,asset,quantity,entry_price\nnobody,ONE,1,128\n")
        assert main(["run", *files]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert f"{files[1]}: {table}" in error
        contradictions = {
            ("--out", "results"): "holds the history of all runs",
            ("--out", "elsewhere", "--keep", "1"): "--out names a folder elsewhere",
            ("--keep", "0"): "must be at least 1",
        }
        for options, words in contradictions.items():
            assert main(["run", files[0], files[2], *options]) == 2
            assert words in capsys.readouterr().err
        assert not (tmp_path / "results").exists() and not (tmp_path / "elsewhere").exists()


class TestHistoryOfARun:
    def test_drawn_after_a_run(
        self, files: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """Of runs below ``results``, whatever their folder is called, and of no others."""
        pretend(monkeypatch, {"one": 0})
        index = tmp_path / "results" / "index.html"
        assert main(["run", files[0], "--out", "elsewhere", "--quiet"]) == 0
        assert not index.exists()
        assert main(["run", files[0], "--out", "results/today", "--quiet"]) == 0
        assert "1 run folder" in Page(index).text
        assert main(["run", files[0], "--quiet"]) == 0
        assert "2 run folders" in Page(index).text
        index.unlink()
        assert main(["run", files[0], "--out", "elsewhere2", "--quiet"]) == 0
        assert not index.exists()

    def test_pruned_after_a_run(
        self,
        files: list[str],
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """Only folders of the scenario that was run; the new one stays whatever a clock says."""
        other = write_run(Path("results"), 0, "two")
        old = [write_run(Path("results"), day, "one") for day in (1, 99)]
        write_run(Path("results"), 2, "two")
        pretend(monkeypatch, {"one": 0})
        assert main(["run", files[0], "--keep", "1", "--quiet"]) == 0
        assert f"removed {old[0]}\n" in capsys.readouterr().out
        assert other.is_dir() and old[1].is_dir()
        assert (Path("results") / "one" / stamp(60)).is_dir()

    def test_what_goes_wrong_there_leaves_the_run(
        self,
        files: list[str],
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        pretend(monkeypatch, {"one": 4})
        Path("results").mkdir()
        Path("results/index.html").write_text("mine")
        assert main(["run", files[0]]) == 4
        assert "warning: the history is not drawn" in capsys.readouterr().err
        assert Path("results/index.html").read_text() == "mine"

    def test_after_an_interruption(self, files: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
        """What is not finished stands in the history."""
        Path("results/one", stamp()).mkdir(parents=True)
        pretend(monkeypatch, {"one": Interrupted("one was interrupted")})
        assert main(["run", files[0]]) == 75
        page = Page(Path("results/index.html"))
        assert f"--resume --out {Path('results/one', stamp())}" in page.text
