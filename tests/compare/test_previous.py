"""The previous run: which it is, what is passed over, and that the result does not depend on it."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from shutil import copytree
from unittest import mock

import pytest
import xarray as xr

from stress.cli import main
from stress.compare.previous import compare_with_previous, earlier_runs
from stress.result.comparison import COMPARISON, Comparison, read_comparison, to_json
from stress.result.store import RESULT, save_result
from stress.runner.folder import RunFolder
from stress.scenario.resolve import resolved_toml
from stress.scenario.schema import Scenario
from tests.strategies import random_book, write_book

from .trees import barrier_tree, with_attributes


def finished(folder: Path, created: str, *, name: str = "barriers", barrier: float = 0.8) -> Path:
    """Write what a finished run leaves that a comparison asks for."""
    folder.mkdir(parents=True)
    tree = barrier_tree({"a": barrier, "b": 1.0}, seed=3, paths=200)
    save_result(with_attributes(tree, title=name, created_at=created), folder)
    (folder / "summary.json").write_text(json.dumps({"name": name}), "utf-8")
    return folder


class TestWhich:
    def test_the_latest_by_its_own_date(self, tmp_path: Path) -> None:
        """Not by the clock of the files, nor by names; itself and other scenarios left out."""
        finished(tmp_path / "z", "2026-01-01T00:00:00Z")
        finished(tmp_path / "a", "2026-01-02T00:00:00Z")
        finished(tmp_path / "other", "2026-01-04T00:00:00Z", name="somebody else")
        own = finished(tmp_path / "own", "2026-01-03T00:00:00Z")
        assert [run.name for run in earlier_runs(own, "barriers")] == ["a", "z"]
        assert [run.name for run in earlier_runs(tmp_path / "new", "barriers")] == ["own", "a", "z"]

    def test_of_the_packs_beside_its_own(self, tmp_path: Path) -> None:
        """A night's folder holds a folder for each scenario, named by it."""
        nights = [
            finished(tmp_path / night / "barriers", f"{night}T00:00:00Z")
            for night in ("2026-01-01", "2026-01-02", "2026-01-03")
        ]
        finished(tmp_path / "2026-01-04" / "other", "2026-01-04T00:00:00Z")
        assert list(earlier_runs(nights[2], "barriers")) == [nights[1], nights[0]]
        elsewhere = finished(tmp_path / "2026-01-05" / "mine", "2026-01-05T00:00:00Z")
        assert list(earlier_runs(elsewhere, "barriers")) == []

    def test_what_is_not_finished_is_none(self, tmp_path: Path) -> None:
        half = finished(tmp_path / "half", "2026-01-01T00:00:00Z")
        (half / "summary.json").unlink()
        bare = finished(tmp_path / "bare", "2026-01-01T00:00:00Z")
        (bare / RESULT).unlink()
        for number, text in enumerate(("", "[]", '{"name": 3}', "\x00", "[" * 9_000)):
            strange = tmp_path / f"strange-{number}"
            copytree(half, strange)
            (strange / "summary.json").write_text(text)
        (tmp_path / "file").write_text("")
        assert list(earlier_runs(tmp_path / "own", "barriers")) == []

    def test_nothing_beside_it(self, tmp_path: Path) -> None:
        tree = barrier_tree({"a": 0.8}, seed=3, paths=20)
        assert compare_with_previous(tmp_path / "not" / "there", tree) == (None, ())

    def test_damaged_and_older_results_are_passed_over_and_said(self, tmp_path: Path) -> None:
        good = finished(tmp_path / "good", "2026-01-01T00:00:00Z")
        old = finished(tmp_path / "old", "2026-01-02T00:00:00Z")
        with xr.open_datatree(old / RESULT, engine="h5netcdf") as tree:
            older = with_attributes(tree.load(), schema_version="0")
        save_result(older, old)
        torn = finished(tmp_path / "torn", "2026-01-03T00:00:00Z")
        whole = (torn / RESULT).read_bytes()
        # the attributes stay readable, most numbers do not
        (torn / RESULT).write_bytes(whole[: len(whole) // 2] + b"\xff" * (len(whole) // 2))
        tree = barrier_tree({"a": 0.6, "b": 1.0}, seed=3, paths=200)
        found, notices = compare_with_previous(tmp_path / "own", tree)
        assert found is not None
        assert found.one.folder == f"../{good.name}"
        assert len(notices) == 2
        assert any("its result is damaged" in notice for notice in notices)
        assert any("has the form 0" in notice for notice in notices)


@pytest.fixture(scope="module")
def scenario(tmp_path_factory: pytest.TempPathFactory) -> Scenario:
    """A scenario to be written down beside a result; nothing is simulated."""
    return write_book(tmp_path_factory.mktemp("book"), random_book(101, ("cross_single", "idle")))


def night(created: str, **changes: float) -> xr.DataTree:
    few = {"a": 1.0, "b": 1.0, "c": 1.0, **changes}
    return with_attributes(barrier_tree(few, seed=7, paths=400), created_at=created)


def write(
    folder: Path, tree: xr.DataTree, scenario: Scenario
) -> tuple[RunFolder, Comparison | None]:
    """Write a run folder; return what its report is given. What it says is tested elsewhere."""
    with (
        mock.patch("stress.runner.folder.summarise", return_value={"name": "barriers"}),
        mock.patch("stress.runner.folder.write_formats", return_value=[folder]) as report,
        RunFolder(folder) as run,
    ):
        run.write(tree, scenario)
    return run, report.call_args.args[3]


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory, scenario: Scenario) -> list[Path]:
    """Three runs that follow each other: the second as the first, the third with less cash."""
    root = tmp_path_factory.mktemp("results")
    folders = [root / name for name in ("0", "1", "2")]
    write(folders[0], night("2026-01-01T00:00:00Z"), scenario)
    write(folders[1], night("2026-01-02T00:00:00Z"), scenario)
    _, shown = write(folders[2], night("2026-01-03T00:00:00Z", b=0.5), scenario)
    assert shown is not None
    assert to_json(shown) == (folders[2] / COMPARISON).read_text("utf-8")
    return folders


class TestRunFolder:
    """What stands in the folders of runs that follow each other."""

    def test_the_first_has_nothing_to_be_compared_with(self, nights: list[Path]) -> None:
        assert not (nights[0] / COMPARISON).exists()

    def test_the_same_night_twice_differs_in_nothing(self, nights: list[Path]) -> None:
        found = read_comparison(nights[1])
        assert found is not None
        assert found.one.folder == "../0"
        assert found.one.created_at == "2026-01-01T00:00:00Z"
        assert {difference.verdict for difference in found.differences} == {"the same"}
        assert found.accounts.most == ()

    def test_less_cash_is_seen(self, nights: list[Path]) -> None:
        found = read_comparison(nights[2])
        assert found is not None
        assert found.one.folder == "../1"
        assert [change.key for change in found.changes] == ["book.accounts"]
        (account,) = found.accounts.most
        assert (account.account, account.verdict) == ("b", "up")

    def test_the_result_does_not_depend_on_the_previous_run(
        self, nights: list[Path], tmp_path: Path, scenario: Scenario
    ) -> None:
        """The same tree written where there is a previous run, and where there is none."""
        tree = night("2026-01-04T00:00:00Z")
        compared, alone = nights[0].parent / "last", tmp_path / "alone"
        for folder in (compared, alone):
            write(folder, tree, scenario)
        assert (compared / COMPARISON).exists()
        assert not (alone / COMPARISON).exists()
        for name in (RESULT, "summary.json", "scenario.toml"):
            assert (compared / name).read_bytes() == (alone / name).read_bytes()

    def test_a_damaged_one_is_a_notice_and_a_stale_comparison_goes(
        self, tmp_path: Path, scenario: Scenario
    ) -> None:
        damaged = finished(tmp_path / "before", "2026-01-01T00:00:00Z")
        (damaged / RESULT).write_bytes(b"no result")
        (tmp_path / "own").mkdir()
        (tmp_path / "own" / COMPARISON).write_text("{}")
        run, shown = write(tmp_path / "own", night("2026-01-02T00:00:00Z"), scenario)
        assert shown is None
        assert run.notices == ["the run before is not compared with: its result is damaged"]
        assert not (tmp_path / "own" / COMPARISON).exists()


class TestReportCommand:
    """What a report that is drawn again is given of the previous run."""

    def drawn(self, run: Path, *words: str) -> Comparison | None:
        with mock.patch("stress.report.formats.write_formats", return_value=(run,)) as write:
            assert main(["report", str(run), *words]) == 0
        found: Comparison | None = write.call_args.args[3]
        return found

    def test_it_is_read_again(self, nights: list[Path]) -> None:
        assert self.drawn(nights[0]) is None
        again = self.drawn(nights[2])
        assert again is not None
        assert to_json(again) == (nights[2] / COMPARISON).read_text("utf-8")
        found = self.drawn(nights[2] / RESULT)
        assert found is not None
        assert found.one.folder == "../1"

    def test_the_link_leads_back_from_any_folder(self, nights: list[Path], tmp_path: Path) -> None:
        found = self.drawn(nights[2], "-o", str(tmp_path))
        assert found is not None
        assert (tmp_path / found.one.folder).resolve() == nights[1].resolve()

    def test_what_cannot_be_read_is_said_and_left_out(
        self, nights: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / RESULT).write_bytes((nights[2] / RESULT).read_bytes())
        (tmp_path / COMPARISON).write_text("{}")
        assert self.drawn(tmp_path) is None
        error = capsys.readouterr().err
        assert "the previous run is left out" in error
        assert error.count("\n") == 1


@pytest.mark.slow
def test_two_nights_of_a_real_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Simulated twice with a tenth less cash: paths are common, and nobody is better off."""
    (tmp_path / "book").mkdir()
    accounts = random_book(101, ("cross_single", "idle"))
    changes = {"simulation.paths": 256, "analysis.curves": False}
    text = resolved_toml(write_book(tmp_path / "book", accounts, changes))
    file = tmp_path / "scenario.toml"
    file.write_text(text[: text.index("[inputs]")], "utf-8")
    for number in ("1", "2"):
        out = tmp_path / "results" / number
        assert main(["run", str(file), "--out", str(out), "--quiet"]) == 0
        _less_cash(tmp_path / "book" / "accounts.csv")
    found = read_comparison(out)
    assert found is not None
    assert (found.pairing.shared, found.pairing.paths) == ("prices", 256)
    assert [change.key for change in found.changes] == ["book.accounts"]
    assert found.book.accounts.changed > 0
    assert found.accounts.down == 0
    assert all(row.change.estimate > 0 for row in found.accounts.most)
    page = (out / "report.html").read_text("utf-8")
    start = page.index("Report of the previous run")
    address = page[page.rindex('<a href="', 0, start) + 9 : start - 2]
    assert (out / address).resolve() == tmp_path / "results" / "1" / "report.html"
    assert main(["compare", str(tmp_path / "results" / "1"), str(out)]) == 0
    assert "Prices without impact are the same on every path" in capsys.readouterr().out


def _less_cash(accounts: Path) -> None:
    with accounts.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    for row in rows:
        row["cash"] = repr(0.9 * float(row["cash"]))
    with accounts.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
