"""What pruning removes, and above all what it does not."""

from __future__ import annotations

import os
import shutil
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stress.data.locks import locked
from stress.errors import InputError
from stress.history import prune as prune_module
from stress.history.prune import BREACHED, check_keep, plan, prune
from stress.history.runs import Run, by_scenario, read_runs
from tests.history.folders import (
    START,
    limit,
    stamp,
    write_pack_run,
    write_run,
    write_unfinished,
)

ROOT = Path("results")


def days(folders: Any) -> list[str]:
    """Return the days of run folders, for short."""
    return sorted(folder.name[:10] for folder in folders)


@st.composite
def histories(draw: st.DrawFn) -> list[Run]:
    """Return runs of two scenarios in any states, in the order of time."""
    runs = []
    for day in range(draw(st.integers(0, 14))):
        scenario = draw(st.sampled_from(("one", "two")))
        state = draw(st.sampled_from(("finished",) * 4 + ("running", "unfinished", "unreadable")))
        own = draw(st.integers(0, 5)) == 0
        runs.append(
            Run(
                ROOT / scenario / (f"own-{day}" if own else stamp(day)),
                scenario,
                state,
                not own,
                moment=START + timedelta(days=day),
                exit_code=draw(st.sampled_from((0, 3, 4))) if state == "finished" else None,
            )
        )
    return [run for group in by_scenario(runs).values() for run in group]


class TestPlan:
    @given(histories(), st.integers(1, 6))
    @settings(max_examples=150, deadline=None)
    def test_what_never_goes(self, runs: list[Run], keep: int) -> None:
        """The latest, a breached one, one at work, an unreadable one, one that a user has named."""
        going, staying = plan(runs, keep)
        for run in going:
            assert run.exit_code != 3
            assert run.state in ("finished", "unfinished")
            assert not run.folder.name.startswith("own-")
        assert not {run.folder for run in going} & {run.folder for run, _ in staying}
        for group in by_scenario(runs).values():
            finished = [run for run in group if run.state == "finished"]
            dated = [run for run in finished if not run.folder.name.startswith("own-")]
            assert not finished or finished[-1] not in going
            assert not set(map(id, dated[-keep:])) & set(map(id, going))

    @given(histories(), st.integers(1, 6))
    @settings(max_examples=100, deadline=None)
    def test_what_goes(self, runs: list[Run], keep: int) -> None:
        """Of each scenario no more than ``keep`` finished runs stay without a reason."""
        going, staying = plan(runs, keep)
        gone = {run.folder for run in going}
        for group in by_scenario(runs).values():
            left = [
                run
                for run in group
                if run.state == "finished"
                and run.folder not in gone
                and run.exit_code != 3
                and not run.folder.name.startswith("own-")
            ]
            assert len(left) <= keep
        # once is enough
        assert plan([run for run in runs if run.folder not in gone], keep)[0] == []
        assert all(reason for _, reason in staying)

    def test_keep(self) -> None:
        check_keep(1)
        check_keep(None)
        with pytest.raises(InputError, match="at least 1, got 0; the latest run is always kept"):
            check_keep(0)


class TestPrune:
    def test_old_ones_go(self, tmp_path: Path) -> None:
        folders = [write_run(tmp_path, day) for day in range(5)]
        other = write_run(tmp_path, 0, "other")
        pruned = prune(tmp_path, read_runs(tmp_path), 2)
        assert pruned.removed == tuple(folders[:3])
        assert sorted(tmp_path.glob("*/*")) == sorted([*folders[3:], other])

    def test_a_breached_one_stays(self, tmp_path: Path) -> None:
        breached = write_run(tmp_path, 0, limits=[limit(2.0, 1.0)])
        write_run(tmp_path, 1)
        write_run(tmp_path, 2)
        pruned = prune(tmp_path, read_runs(tmp_path), 1)
        assert days(pruned.removed) == ["2026-09-02"]
        assert pruned.kept == ((breached, BREACHED),)
        assert (breached / "result.nc").exists()

    def test_whatever_the_exit_code_says(self, tmp_path: Path) -> None:
        """A limit that is breached keeps its run, though the code beside it says otherwise."""
        write_run(tmp_path, 0, limits=[limit(2.0, 1.0)], exit_code=0)
        write_run(tmp_path, 1)
        assert prune(tmp_path, read_runs(tmp_path), 1).removed == ()

    def test_unfinished(self, tmp_path: Path) -> None:
        """One at work stays however old it is; one that nobody works at goes with its age."""
        at_work, left = write_unfinished(tmp_path, 0), write_unfinished(tmp_path, 1)
        write_run(tmp_path, 2)
        write_run(tmp_path, 3)
        newer = write_unfinished(tmp_path, 4)
        with locked(at_work / "ledger"):
            pruned = prune(tmp_path, read_runs(tmp_path), 1)
        assert days(pruned.removed) == ["2026-09-02", "2026-09-03"]
        assert pruned.kept == ((at_work, "a run is at work in it"),)
        assert at_work.is_dir() and newer.is_dir() and not left.exists()

    def test_taken_up_meanwhile(self, tmp_path: Path) -> None:
        """A run that was resumed after the folders were read is not taken from under it."""
        folder = write_unfinished(tmp_path, 0)
        write_run(tmp_path, 1)
        runs = read_runs(tmp_path)
        with locked(folder / "ledger"):
            assert prune(tmp_path, runs, 1).kept == ((folder, "a run is at work in it"),)
        shutil.copy(write_run(tmp_path / "x", limits=[limit(2, 1)]) / "summary.json", folder)
        assert prune(tmp_path, runs, 1).kept == ((folder, BREACHED),)
        assert (folder / "ledger").is_dir()

    @pytest.mark.parametrize(
        "foreign", ["notes.txt", "ledger/deep/file", "tables/notes.txt", "mine/result.nc"]
    )
    def test_foreign_files(self, tmp_path: Path, foreign: str) -> None:
        """A folder with something that no run writes stays, and the reason names it."""
        folder = write_run(tmp_path, 0)
        (folder / foreign).parent.mkdir(parents=True, exist_ok=True)
        (folder / foreign).write_text("mine")
        write_run(tmp_path, 1)
        ((kept, why),) = prune(tmp_path, read_runs(tmp_path), 1).kept
        assert kept == folder
        assert why.startswith(f"holds {foreign.removesuffix('/file').removesuffix('/result.nc')}")
        assert (folder / foreign).exists() and (folder / "summary.json").exists()

    def test_links(self, tmp_path: Path) -> None:
        """What a link leads to is not ours, whatever the link is called."""
        precious = tmp_path / "precious"
        precious.mkdir()
        (precious / "paths.npz").write_text("mine")
        for day, name in enumerate(("ledger", "result.nc")):
            folder = write_run(tmp_path / "results", day)
            (folder / name).unlink(missing_ok=True)
            (folder / name).symlink_to(precious if name == "ledger" else precious / "paths.npz")
        write_run(tmp_path / "results", 2)
        pruned = prune(tmp_path / "results", read_runs(tmp_path / "results"), 1)
        assert pruned.removed == ()
        assert [why for _, why in pruned.kept] == [
            "holds ledger, which no run writes",
            "holds result.nc, which no run writes",
        ]
        assert (precious / "paths.npz").read_text() == "mine"

    def test_all_that_a_run_writes(self, tmp_path: Path) -> None:
        folder = write_run(tmp_path, 0)
        for name in (
            "report.json",
            "report.md",
            "comparison.json",
            "tables/index.csv",
            "tables/limits-1.csv",
            "ledger/paths-000000000-000000064.npz",
            "ledger/manifest.jsonl",
            "ledger/lock",
            "ledger/.paths-64.npz.unfinished",
            ".result.nc.unfinished",
        ):
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text("x")
        write_run(tmp_path, 1)
        assert prune(tmp_path, read_runs(tmp_path), 1).removed == (folder,)
        assert not folder.exists()

    def test_the_one_just_written(self, tmp_path: Path) -> None:
        """A clock that was set back must not cost the run that has just ended."""
        folder = write_run(tmp_path, 0)
        write_run(tmp_path, 1)
        assert prune(tmp_path, read_runs(tmp_path), 1, spared=[folder]).removed == ()

    def test_cut_off(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Killed half-way: no half folder looks like a run, and the next pruning ends it."""
        folder = write_run(tmp_path, 0)
        latest = write_run(tmp_path, 1)

        def killed(path: Path) -> None:
            (path / "result.nc").unlink()
            raise KeyboardInterrupt

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(prune_module, "_emptied", killed)
            prune(tmp_path, read_runs(tmp_path), 1)
        assert not folder.exists()
        assert [run.folder for run in read_runs(tmp_path)] == [latest]
        assert len(list((tmp_path / "book").iterdir())) == 2
        prune(tmp_path, read_runs(tmp_path), 1)
        assert list((tmp_path / "book").iterdir()) == [latest]

    def test_packs(self, tmp_path: Path) -> None:
        """Folders of several scenarios go run by run, and the last takes the page along."""
        for day in range(4):
            for name in ("one", "two"):
                over = [limit(2.0, 1.0)] if (day, name) == (0, "two") else []
                write_pack_run(tmp_path, day, name, limits=over)
        named = write_pack_run(tmp_path, 0, "not its name").rename(tmp_path / "night-0" / "notes")
        pruned = prune(tmp_path, read_runs(tmp_path), 2)
        left = {path.relative_to(tmp_path).as_posix() for path in tmp_path.glob("*/*")}
        assert len(pruned.removed) == 3
        assert left == {
            "night-0/two",
            "night-0/notes",
            "night-0/index.html",
            *(f"night-{day}/{name}" for day in (2, 3) for name in ("one", "two", "index.html")),
        }
        assert named.is_dir() and not (tmp_path / "night-1").exists()

    def test_a_folder_of_several_that_is_the_users(self, tmp_path: Path) -> None:
        """Without a pack's page the names are the user's own."""
        for day in range(3):
            folder = write_pack_run(tmp_path, day, "one")
            (folder.parent / "index.html").write_text("mine")
        assert prune(tmp_path, read_runs(tmp_path), 1).removed == ()

    def test_an_interrupted_pack(self, tmp_path: Path) -> None:
        """A run without a date in its name is as old as its ledger: tonight's can go on."""
        tonight = write_pack_run(tmp_path, 0, "one")
        (tonight / "summary.json").unlink()
        (tonight / "ledger").mkdir()
        write_pack_run(tmp_path, 1, "one")
        assert prune(tmp_path, read_runs(tmp_path), 1).removed == ()
        os.utime(tonight / "ledger", (0, 0))
        assert prune(tmp_path, read_runs(tmp_path), 1).removed == (tonight,)

    def test_a_pack_cut_off(self, tmp_path: Path) -> None:
        """What was hidden in a pack's folder goes, with the folder, at the next pruning."""
        folder = write_pack_run(tmp_path, 0, "one")
        folder.rename(folder.with_name(".removed-one"))
        write_run(tmp_path, 0)
        prune(tmp_path, read_runs(tmp_path), 1)
        assert [path.name for path in tmp_path.iterdir()] == ["book"]

    def test_links_to_what_looks_removed(self, tmp_path: Path) -> None:
        outside = write_run(tmp_path / "outside", 0)
        root = tmp_path / "results"
        write_run(root, 1)
        (root / "book" / f".removed-{stamp(0)}").symlink_to(outside)
        outside.parent.joinpath(f".removed-{stamp(2)}").mkdir()
        (root / "linked").symlink_to(outside.parent)
        prune(root, read_runs(root), 1)
        assert outside.is_dir() and outside.parent.joinpath(f".removed-{stamp(2)}").is_dir()

    def test_what_looks_removed_and_is_not_ours(self, tmp_path: Path) -> None:
        write_run(tmp_path, 0)
        for name in (".removed-notes", f".removed-{stamp(5)}"):
            (tmp_path / "book" / name).mkdir()
            (tmp_path / "book" / name / "notes.txt").write_text("mine")
        prune(tmp_path, read_runs(tmp_path), 1)
        assert len(list(tmp_path.rglob("notes.txt"))) == 2

    def test_not_writable(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """What cannot be removed is said, and stays whole."""
        folder = write_run(tmp_path, 0)
        write_run(tmp_path, 1)

        def refused(*paths: Path) -> None:
            raise OSError(30, os.strerror(30))

        monkeypatch.setattr(prune_module.os, "rename", refused)
        (kept,) = prune(tmp_path, read_runs(tmp_path), 1).kept
        assert kept == (folder, "cannot be removed: Read-only file system")
        assert (folder / "summary.json").exists()

    @given(
        st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=5),
        st.integers(1, 3),
    )
    @settings(max_examples=15, deadline=None)
    def test_on_disk(self, made: list[tuple[bool, bool]], keep: int) -> None:
        """Whatever folders there are, the latest and the breached ones are there afterwards."""
        with TemporaryDirectory() as place:
            root = Path(place)
            folders = [
                write_run(root, day, limits=[limit(2.0 if over else 0.5, 1.0)])
                if finished
                else write_unfinished(root, day)
                for day, (finished, over) in enumerate(made)
            ]
            runs = read_runs(root)
            pruned = prune(root, runs, keep)
            assert not any(folder.exists() for folder in pruned.removed)
            latest = [run.folder for run in runs if run.state == "finished"][-keep:]
            assert all(folder.exists() for folder in latest)
            over = [folders[day] for day, (done, over) in enumerate(made) if done and over]
            assert all((folder / "result.nc").exists() for folder in over)
