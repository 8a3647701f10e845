"""Chunks on other processes: the same digits, whatever happens to them."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import distributed
import psutil
import pytest

import stress
import stress.errors
from stress.cli import main
from stress.runner import cluster
from stress.runner.identity import identity_of
from stress.runner.ledger import Ledger
from stress.runner.progress import Silent
from stress.runner.simulate import job_spread, prepare
from stress.scenario.resolve import resolved_toml
from tests.runner.test_ledger import contents, file, run, small_chunks, undisturbed

__all__ = ["file", "small_chunks", "undisturbed"]


def kill_a_worker() -> None:
    """Kill one of the processes that simulate, as a machine that is lost would."""
    workers = [
        child
        for child in psutil.Process().children(recursive=True)
        if any("spawn_main" in word for word in child.cmdline())
    ]
    os.kill(workers[0].pid, signal.SIGKILL)


def test_a_worker_is_lost(
    tmp_path: Path,
    file: Path,
    undisturbed: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two workers, one of them killed when the first chunk comes in: same bytes as one process."""
    put, came = Ledger.put, []

    def watched(self: Ledger, name: str, arrays: Any) -> None:
        put(self, name, arrays)
        came.append(name)
        if len(came) == 1:
            kill_a_worker()

    monkeypatch.setattr(Ledger, "put", watched)
    assert run(file, tmp_path / "out", "--quiet", "--workers", "2") == 0
    assert contents(stress.open_result(tmp_path / "out")) == undisturbed
    chunks = [name for name in came if name.startswith("paths-")]
    assert len(chunks) == len(set(chunks)) == 5


class TestRefused:
    def test_no_scheduler(
        self,
        tmp_path: Path,
        file: Path,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(cluster, "_PATIENCE", 0.2)
        out = tmp_path / "out"
        assert run(file, out, "--quiet", "--cluster", "tcp://127.0.0.1:1") == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert "no scheduler answers" in error
        assert not out.exists()

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            (("--workers", "0"), "needs one worker or more, got 0"),
            (("--workers", "2", "--cluster", "tcp://a:1"), "exclude each other"),
            (("--cluster", "nonsense://a"), "no scheduler answers"),
        ],
    )
    def test_options(
        self,
        options: tuple[str, ...],
        said: str,
        file: Path,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        assert main(["run", str(file), "--out", str(tmp_path / "out"), *options]) == 2
        assert said in capsys.readouterr().err

    def test_a_worker_that_would_compute_something_else(self, file: Path) -> None:
        """A version or an input that differs is said before a path is simulated."""
        scenario = stress.load_scenario(file)
        spread = job_spread(prepare(scenario))
        identity = dict(identity_of(scenario, spread))
        identity["libraries"] = {**identity["libraries"], "jax": "0.0"}
        with pytest.raises(stress.InputError, match=r"libraries.jax was \"0.0\", is "):
            cluster.chunk_arrays(resolved_toml(scenario), identity, 0, 64)


class Answer:
    """A future whose task has ended with an error."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def result(self) -> None:
        raise self.error


@pytest.mark.parametrize(
    ("error", "ends"),
    [
        (OSError("the connection is closed"), stress.errors.Interrupted),
        (
            distributed.KilledWorker("task", SimpleNamespace(address="tcp://a:1"), 3),
            stress.errors.Interrupted,
        ),
        (ZeroDivisionError("a bug"), ZeroDivisionError),
        (stress.InputError("another version"), stress.InputError),
    ],
)
def test_what_is_lost_goes_on_and_a_bug_is_a_bug(
    error: Exception, ends: type[Exception], file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only what the cluster does is worth another try."""
    client = SimpleNamespace(submit=lambda *_, **__: Answer(error), cancel=lambda futures: None)
    monkeypatch.setattr(distributed, "as_completed", list)
    scenario = stress.load_scenario(file)
    with pytest.raises(ends):
        cluster.Workers(client).simulate(
            scenario, {}, [range(64)], lambda name, arrays: None, Silent()
        )
