"""Run folders as they are found: whole, half, broken or hostile."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import pytest

from stress.data.locks import locked
from stress.history.runs import Limit, Run, read_run, read_runs
from stress.report.read import Estimate
from tests.history.folders import limit, stamp, summary, write_run, write_unfinished


def only(root: Path) -> Run:
    """Return the only run below a root."""
    (run,) = read_runs(root)
    return run


class TestFinished:
    def test_numbers(self, tmp_path: Path) -> None:
        """What the summary says, and nothing else is opened."""
        moments = {"market": "2026-08-31T23:00:00Z", "book": "2026-09-01T00:30:00Z"}
        folder = write_run(tmp_path, limits=[limit(0.07, 0.05)], as_of=moments)
        (folder / "result.nc").unlink()
        run = only(tmp_path)
        assert (run.folder, run.scenario, run.state) == (folder, "book", "finished")
        assert (run.exit_code, run.breached, run.paths) == (3, True, 1_000)
        assert f"{run.moment}" == "2026-09-01 01:00:00+00:00"
        assert run.as_of == "2026-09-01T00:30:00Z"
        assert run.headlines["liquidation_probability"] == pytest.approx((0.05, 0.048, 0.052))
        assert "expected_cascade_loss" not in run.headlines
        assert run.limits[0].used == pytest.approx(1.4)

    def test_bounds_that_paths_are_too_few_for(self, tmp_path: Path) -> None:
        write_run(tmp_path, expected_total_loss={"estimate": 5.0, "lower": None, "upper": None})
        estimate = only(tmp_path).headlines["expected_total_loss"]
        assert estimate.value == 5 and math.isnan(estimate.lower) and math.isnan(estimate.upper)

    def test_a_summary_of_before_these_keys(self, tmp_path: Path) -> None:
        """The folder's name tells the time, and of changes nothing is known."""
        old = summary()
        for key in ("created_at", "as_of", "versions", "input_sha256", "scenario_sha256", "seed"):
            del old[key]
        for day in range(2):
            folder = write_run(tmp_path, day)
            (folder / "summary.json").write_text(json.dumps({**old, "name": "book"}))
        first, second = read_runs(tmp_path)
        assert f"{second.moment}" == "2026-09-02 01:00:00+00:00"
        assert first.changed == second.changed == ()

    def test_order(self, tmp_path: Path) -> None:
        """By scenario, then by time, then by the number that a shared second gives a folder."""
        for day in (2, 0, 1):
            write_run(tmp_path, day)
        for number in (10, 9):
            twin = tmp_path / "book" / stamp(1, number)
            twin.mkdir()
            (twin / "summary.json").write_text(json.dumps(summary(1)))
        write_run(tmp_path, 0, "a first one")
        names = [run.folder.name for run in read_runs(tmp_path)]
        assert names == [stamp(0), stamp(0), stamp(1), stamp(1, 9), stamp(1, 10), stamp(2)]

    def test_a_limit_of_nothing(self) -> None:
        """A threshold of 0 has no share that is used: any value is infinitely over it."""
        assert Limit("max_fund_draw", Estimate(1.0), 0.0, True, True).used == math.inf
        assert Limit("max_fund_draw", Estimate(0.0), 0.0, False, True).used == 0


class TestChanges:
    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({}, ()),
            ({"seed": 8, "scenario_sha256": "dd"}, ("other seed",)),
            ({"paths": 2_000, "scenario_sha256": "dd"}, ("other paths",)),
            ({"mode": "cross", "scenario_sha256": "dd"}, ("other mode",)),
            ({"scenario_sha256": "dd"}, ("other settings",)),
            ({"versions": {"margin-stress": "0.2.0", "jax": "0.10.2"}}, ("other version",)),
            (
                {"input_sha256": {"/book/accounts.csv": "aa", "/book/positions.csv": "zz"}},
                ("other inputs",),
            ),
            ({"input_sha256": {"/new/accounts.csv": "bb", "/new/positions.csv": "aa"}}, ()),
        ],
        ids=lambda value: "-".join(value) or "none",
    )
    def test_words(self, tmp_path: Path, change: dict[str, Any], words: tuple[str, ...]) -> None:
        """What differs from the run before; that files lie elsewhere is no change."""
        write_run(tmp_path, 0)
        write_run(tmp_path, 1, **change)
        assert read_runs(tmp_path)[1].changed == words

    def test_against_the_finished_run_before(self, tmp_path: Path) -> None:
        write_run(tmp_path, 0)
        write_unfinished(tmp_path, 1)
        write_run(tmp_path, 2, "other", seed=9)
        write_run(tmp_path, 3, seed=8)
        assert read_runs(tmp_path)[2].changed == ("other seed",)


class TestNotFinished:
    def test_states(self, tmp_path: Path) -> None:
        """A folder without a summary is at work while its lock is held, and unfinished after."""
        folder = write_unfinished(tmp_path)
        assert only(tmp_path).state == "unfinished"
        with locked(folder / "ledger"):
            assert only(tmp_path).state == "running"
        assert only(tmp_path).state == "unfinished"

    def test_name(self, tmp_path: Path) -> None:
        """The ledger tells the scenario's name where the folder is the user's own."""
        folder = write_unfinished(tmp_path, scenario="book").rename(tmp_path / "today")
        assert only(tmp_path).scenario == "book"
        for line in ("", "{", '{"identity": 5}', "[" * 100_000):
            (folder / "ledger" / "manifest.jsonl").write_text(line)
            assert only(tmp_path).scenario == "today"

    def test_nothing_in_it(self, tmp_path: Path) -> None:
        """A run that was killed at once has left its folder and nothing else."""
        (tmp_path / "book" / stamp()).mkdir(parents=True)
        assert (only(tmp_path).state, only(tmp_path).scenario) == ("unfinished", "book")

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"{",
            b"\xff\xfe{\x00",
            b"[]",
            b"{}",
            b"null",
            b"[" * 100_000,
            b'{"liquidation_probability": NaN, "exit_code": 0, "paths": 1, "limits": []}',
            b'{"liquidation_probability": 5, "exit_code": 0, "paths": 1, "limits": []}',
            b'{"liquidation_probability": null, "exit_code": 0, "paths": 1, "limits": [5]}',
            b'{"liquidation_probability": null, "exit_code": true, "paths": 1, "limits": []}',
            b'{"liquidation_probability": null, "exit_code": 0, "paths": -1, "limits": []}',
            b'{"liquidation_probability": {"estimate": 1e999}}',
            b'{"liquidation_probability": {"estimate": ' + b"9" * 400 + b"}}",
            b'{"liquidation_probability": {"estimate": ' + b"9" * 5_000 + b"}}",
            json.dumps(summary(created_at="yesterday")).encode(),
            json.dumps(summary(created_at="0001-01-01T00:00:00+14:00")).encode(),
            b" " * 5_000_000,
        ],
        ids=range(18),
    )
    def test_broken_summary(self, tmp_path: Path, content: bytes) -> None:
        """Whatever stands there, the folder is listed with one line that says what is wrong."""
        folder = write_run(tmp_path)
        (folder / "summary.json").write_bytes(content)
        run = only(tmp_path)
        assert run.state == "unreadable"
        assert run.problem and "\n" not in run.problem

    def test_no_file(self, tmp_path: Path) -> None:
        """A pipe would be waited for, a link leads elsewhere: neither is opened."""
        folder = write_run(tmp_path)
        summary_file = folder / "summary.json"
        outside = summary_file.rename(tmp_path / "outside.json")
        os.mkfifo(summary_file)
        assert only(tmp_path).problem == "summary.json is not a file"
        summary_file.unlink()
        summary_file.symlink_to(outside)
        assert only(tmp_path).problem == "summary.json is not a file"
        summary_file.unlink()
        summary_file.mkdir()
        assert only(tmp_path).problem == "summary.json is not a file"


class TestWhereRunsAre:
    def test_links_are_not_followed(self, tmp_path: Path) -> None:
        outside = tmp_path / "outside"
        run = write_run(outside)
        root = tmp_path / "results"
        (root / "book").mkdir(parents=True)
        (root / "linked").symlink_to(outside / "book")
        (root / "book" / stamp()).symlink_to(run)
        assert read_runs(root) == ()

    def test_others_are_left_out(self, tmp_path: Path) -> None:
        """Back-tests, limits, hidden folders and what is nobody's."""
        write_run(tmp_path)
        for name in (f"backtest-{stamp()}", f"{stamp()}-limits", "notes", ".removed-" + stamp()):
            folder = tmp_path / "book" / name
            folder.mkdir()
            (folder / "summary.json").write_text('{"name": "book", "verdicts": []}')
        (tmp_path / "book" / "file.txt").write_text("mine")
        (tmp_path / "index.html").write_text("page")
        assert len(read_runs(tmp_path)) == 1

    def test_named_by_a_user(self, tmp_path: Path) -> None:
        """``--out results/today`` and ``--out results/tonight`` of several scenarios."""
        for place in ("today", "tonight/book", "2026/november/first"):
            folder = write_run(tmp_path / "made")
            (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
            folder.rename(tmp_path / place)
        found = {run.folder.relative_to(tmp_path).as_posix() for run in read_runs(tmp_path)}
        assert found == {"today", "tonight/book", "2026/november/first"}

    def test_names_are_one_line_of_text(self, tmp_path: Path) -> None:
        write_run(tmp_path, name="two\nlines \x1b[31m\u202e" + "x" * 300)
        name = only(tmp_path).scenario
        assert name.startswith("two lines ?[31m?") and len(name) == 200

    def test_absent(self, tmp_path: Path) -> None:
        assert read_runs(tmp_path / "nowhere") == ()
        assert read_run(tmp_path) is None
