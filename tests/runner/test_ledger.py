"""A run that is stopped goes on from what it has kept, to the last digit."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

import stress
from stress.cli import main
from stress.data.locks import is_locked, locked
from stress.runner import identity, ledger, plan, simulate
from stress.runner.ledger import LEDGER, Ledger
from stress.runner.passage import PassageDriver
from tests.runner.test_run_command import write_scenario

PATHS, CHUNK = 260, 64
"""Five chunks, the last of them short."""


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "_CHUNK", CHUNK)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scenario with an analysis, a compared world and every outcome in the result."""
    changes: dict[str, Any] = {
        "simulation.paths": PATHS,
        "simulation.detail": True,
        "book.compare": ["isolated"],
    }
    return write_scenario(tmp_path_factory.mktemp("scenario"), **changes)


@pytest.fixture(scope="module")
def undisturbed(file: Path) -> dict[str, Any]:
    """The bytes of every variable of a run without a folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "_CHUNK", CHUNK)
        return contents(stress.run(file))


def contents(tree: xr.DataTree) -> dict[str, Any]:
    return {
        f"{node.path}/{name}": (array.dims, array.dtype.kind, array.values.tolist())
        if array.dtype.kind in "OU"
        else (array.dims, array.dtype, array.values.tobytes())
        for node in tree.subtree
        for name, array in node.to_dataset(inherit=False).variables.items()
    }


def run(file: Path, out: Path, *more: str) -> int:
    return main(["run", str(file), "--out", str(out), *more])


def stop_after(monkeypatch: pytest.MonkeyPatch, parts: int) -> None:
    """Interrupt a run when it has kept so many parts."""
    put, kept = Ledger.put, []

    def stopping(self: Ledger, name: str, arrays: Any) -> None:
        if len(kept) == parts:
            raise KeyboardInterrupt
        put(self, name, arrays)
        kept.append(name)

    monkeypatch.setattr(Ledger, "put", stopping)


def started(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the first paths of what will be simulated, as they come."""
    start, firsts = PassageDriver.start, []

    def noting(self: PassageDriver, numbers: Any) -> Any:
        firsts.append(int(numbers[0]))
        return start(self, numbers)

    monkeypatch.setattr(PassageDriver, "start", noting)
    return firsts


@pytest.fixture
def stopped(tmp_path: Path, file: Path) -> Path:
    """The folder of a run that was stopped with two of its chunks kept."""
    with pytest.MonkeyPatch.context() as patch:
        stop_after(patch, 2)
        assert run(file, tmp_path / "out", "--quiet") == 75
    return tmp_path / "out"


class TestResume:
    @pytest.mark.parametrize("parts", [1, 5])
    def test_same_bytes(
        self,
        parts: int,
        tmp_path: Path,
        file: Path,
        undisturbed: dict[str, Any],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Stopped among the chunks, and among the analyses."""
        with pytest.MonkeyPatch.context() as patch:
            stop_after(patch, parts)
            assert run(file, tmp_path / "out", "--quiet") == 75
        firsts = started(monkeypatch)
        assert run(file, tmp_path / "out", "--quiet", "--resume") == 0
        assert contents(stress.open_result(tmp_path / "out")) == undisturbed
        assert firsts == ([CHUNK] if parts == 1 else [])

    def test_the_newest_unfinished(
        self, tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Without --out that of the same name; a finished one is not touched, none is started."""
        monkeypatch.chdir(tmp_path)
        assert main(["run", str(file), "--quiet", "--resume"]) == 0
        with pytest.MonkeyPatch.context() as patch:
            stop_after(patch, 1)
            assert main(["run", str(file), "--quiet"]) == 75
        folders = sorted((tmp_path / "results" / "random-book").iterdir())
        assert len(folders) == 2
        assert main(["run", str(file), "--quiet", "--resume"]) == 0
        assert all((folder / "result.nc").exists() for folder in folders)

    def test_not_without_being_asked(
        self, stopped: Path, file: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run(file, stopped) == 2
        assert "holds an unfinished run; add --resume" in capsys.readouterr().err

    def test_from_python(self, stopped: Path, file: Path, undisturbed: dict[str, Any]) -> None:
        assert contents(stress.run(file, out=stopped, resume=True)) == undisturbed


class TestMorePaths:
    def test_added(
        self, stopped: Path, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whole chunks of a finished run serve a longer one; a short last one does not."""
        assert run(file, stopped, "--quiet", "--resume") == 0
        firsts = started(monkeypatch)
        assert run(file, stopped, "--quiet", "--resume", "--paths", "300") == 0
        assert firsts == [256]
        firsts.clear()
        known = contents(stress.run(file, paths=300))
        assert contents(stress.open_result(stopped)) == known

    def test_never_fewer(
        self, stopped: Path, file: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert run(file, stopped, "--quiet", "--resume") == 0
        assert run(file, stopped, "--quiet", "--resume", "--paths", "100") == 2
        assert "holds a result of 260 paths, 100 were asked for" in capsys.readouterr().err


class TestDamage:
    @pytest.mark.parametrize(
        "how",
        [
            "flipped",
            "absent",
            *(pytest.param(how, marks=pytest.mark.slow) for how in ("short", "empty")),
        ],
    )
    def test_a_chunk(
        self,
        how: str,
        stopped: Path,
        file: Path,
        undisturbed: dict[str, Any],
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """It is simulated again, and only it."""
        chunk = stopped / LEDGER / "paths-000000000-000000064.npz"
        data = bytearray(chunk.read_bytes())
        if how == "flipped":
            data[len(data) // 2] ^= 1
        written = {"flipped": bytes(data), "short": bytes(data[:-9]), "empty": b""}
        chunk.unlink()
        if how in written:
            chunk.write_bytes(written[how])
        firsts = started(monkeypatch)
        capsys.readouterr()
        assert run(file, stopped, "--resume") == 0
        said = capsys.readouterr().err
        assert said.count("it is computed again") == 1
        assert str(chunk) in said
        assert firsts == [0, 128]
        assert contents(stress.open_result(stopped)) == undisturbed

    @pytest.mark.parametrize("line", ['{"name": "paths-0000', "\0\0\0 [1]"])
    def test_a_line(
        self, line: str, stopped: Path, file: Path, undisturbed: dict[str, Any]
    ) -> None:
        """Half a line of a run that was killed hides nothing that comes behind it."""
        manifest = stopped / LEDGER / "manifest.jsonl"
        manifest.write_text(manifest.read_text() + line)
        with pytest.MonkeyPatch.context() as patch:
            stop_after(patch, 1)
            assert run(file, stopped, "--quiet", "--resume") == 75
        with pytest.MonkeyPatch.context() as patch:
            firsts = started(patch)
            assert run(file, stopped, "--quiet", "--resume") == 0
        assert firsts == [192]
        assert contents(stress.open_result(stopped)) == undisturbed

    def test_the_first_line(
        self, stopped: Path, file: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        manifest = stopped / LEDGER / "manifest.jsonl"
        manifest.write_text("{" + manifest.read_text())
        assert run(file, stopped, "--resume") == 2
        assert "does not say what was run" in capsys.readouterr().err

    def test_no_file_outside_is_read(self, stopped: Path, file: Path) -> None:
        """A name in the manifest cannot lead out of the ledger."""
        place = stopped / LEDGER
        (stopped.parent / "paths-000000000-000000064.npz").write_bytes(b"other")
        text = (place / "manifest.jsonl").read_text()
        (place / "manifest.jsonl").write_text(text.replace('"file": "', '"file": "../../'))
        assert run(file, stopped, "--quiet", "--resume") == 0


class TestChanged:
    def refused(self, file: Path, out: Path, capsys: pytest.CaptureFixture[str], said: str) -> None:
        capsys.readouterr()
        assert run(file, out, "--quiet", "--resume", *self.more) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert "holds another run; changed since: " in error
        assert said in error
        assert (out / LEDGER / "paths-000000000-000000064.npz").exists()

    more: tuple[str, ...] = ()

    def test_scenario(
        self,
        stopped: Path,
        file: Path,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(type(self), "more", ("--seed", "12345"))
        self.refused(file, stopped, capsys, "scenario.simulation.seed was 20250117, is 12345")

    def test_input(self, stopped: Path, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
        table = next(file.parent.glob("*positions*"))
        # a scenario that was resolved holds its inputs to their hashes itself
        own = file.with_name("own.toml")
        own.write_text(file.read_text("utf-8").partition("[inputs]")[0], "utf-8")
        before = table.read_bytes()
        try:
            table.write_bytes(before + b"\r\n")
            self.refused(own, stopped, capsys, f"inputs.{table} was ")
        finally:
            table.write_bytes(before)

    def test_package(
        self,
        stopped: Path,
        file: Path,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(stress, "__version__", "9.9")
        self.refused(file, stopped, capsys, 'margin-stress.version was "0.1.0", is "9.9"')

    def test_library(
        self,
        stopped: Path,
        file: Path,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(identity, "version", lambda name: f"{name}-0")
        self.refused(file, stopped, capsys, 'is "jax-0"')


class TestLock:
    def test_two_runs(self, stopped: Path, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
        with locked(stopped / LEDGER):
            assert is_locked(stopped / LEDGER)
            assert run(file, stopped, "--quiet", "--resume") == 2
        assert "is in use by another run (process " in capsys.readouterr().err
        assert not is_locked(stopped / LEDGER)

    def test_of_the_dead(self, stopped: Path, file: Path) -> None:
        """A lock goes with its process, killed though it be; the file that is left says nothing."""
        code = (
            "import sys, time\nfrom pathlib import Path\nfrom stress.data.locks import locked\n"
            "with locked(Path(sys.argv[1])):\n    print('held', flush=True)\n    time.sleep(600)\n"
        )
        holder = subprocess.Popen(
            [sys.executable, "-c", code, str(stopped / LEDGER)], stdout=subprocess.PIPE, text=True
        )
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        assert is_locked(stopped / LEDGER)
        holder.kill()
        holder.wait()
        holder.stdout.close()
        assert str(holder.pid) in (stopped / LEDGER / "lock").read_text()
        assert run(file, stopped, "--quiet", "--resume") == 0


class TestNoRoom:
    def test_for_a_chunk(
        self,
        tmp_path: Path,
        file: Path,
        undisturbed: dict[str, Any],
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """The disk is full: one line, exit code 75, and what was there serves later."""
        write, out = np.lib.format.write_array, tmp_path / "out"

        def full(stream: Any, array: Any, **keywords: Any) -> None:
            if (out / LEDGER / "paths-000000064-000000128.npz").exists():
                raise OSError(errno.ENOSPC, "No space left on device")
            write(stream, array, **keywords)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ledger.np.lib.format, "write_array", full)
            assert run(file, out, "--quiet") == 75
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert "No space left on device" in error
        assert f"--resume --out {out}" in error
        assert run(file, out, "--quiet", "--resume") == 0
        assert contents(stress.open_result(out)) == undisturbed

    def test_for_the_result(
        self,
        tmp_path: Path,
        file: Path,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        def full(self: xr.DataTree, path: Path, **keywords: Any) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(xr.DataTree, "to_netcdf", full)
            assert run(file, tmp_path / "out", "--quiet") == 75
        assert "the paths are kept: make room" in capsys.readouterr().err
        firsts = started(monkeypatch)
        assert run(file, tmp_path / "out", "--quiet", "--resume") == 0
        assert firsts == []


def test_a_market_of_ones_own_cannot_be_told_from_another(file: Path, tmp_path: Path) -> None:
    market = simulate.prepare(stress.load_scenario(file)).model
    stress.run(file, paths=64, out=tmp_path / "out", market=market)
    assert not (tmp_path / "out" / LEDGER).exists()
    with pytest.raises(stress.InputError, match="can neither be resumed"):
        stress.run(file, paths=64, out=tmp_path / "out", market=market, resume=True)


def test_manifest_is_lines_of_json(stopped: Path) -> None:
    first, *rest = (stopped / LEDGER / "manifest.jsonl").read_text().splitlines()
    assert {"scenario", "inputs", "libraries", "device", "block"} <= set(
        json.loads(first)["identity"]
    )
    assert [json.loads(line)["name"] for line in rest] == [
        "paths-000000000-000000064",
        "paths-000000064-000000128",
    ]
