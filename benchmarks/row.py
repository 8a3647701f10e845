"""One line of a table: measured in a process of its own, against NumPy drawing beside it."""

from __future__ import annotations

import importlib
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["Row", "clocked", "draw_seconds", "measured", "timed"]

REPEATS, ENOUGH_SECONDS = 5, 30.0
"""A row is repeated until it has taken that long: once if it is slow, five times if it is not."""

_LEAST_DRAW = 1 << 22
"""Normals drawn at least for a rate: fewer take no time that a clock could tell."""


@dataclass(frozen=True)
class Row:
    """What one contender needed.

    Attributes
    ----------
    name, note
        Who, and what the numbers do not say.
    paths, normals, steps
        Paths, normals that they hold, and account-path-steps, 0 where there are no accounts.
    seconds
        Wall time, the least of some repetitions, compilation apart.
    draw_seconds
        What NumPy (SFC64, one thread, float32) needed for as many normals, measured in turns.
    compile_seconds
        Compiling; 0 for what comes compiled.
    peak_mib
        Most memory that the process held, its libraries included.
    liquidated
        Share of (account, path) pairs that were liquidated; NaN where none could be.
    """

    name: str
    note: str
    paths: int
    normals: float
    steps: float
    seconds: float
    draw_seconds: float
    compile_seconds: float = 0.0
    peak_mib: float = 0.0
    liquidated: float = float("nan")

    @property
    def ratio(self) -> float:
        """Time over that of drawing as many normals."""
        return self.seconds / self.draw_seconds

    @property
    def rate(self) -> float:
        """Account-path-steps a second."""
        return self.steps / self.seconds


def timed(
    name: str,
    work: Callable[[], float],
    *,
    note: str = "",
    paths: int,
    each: int,
    accounts: int = 0,
    **facts: float,
) -> Row:
    """Measure ``work`` and the draw in turns.

    Parameters
    ----------
    work
        Returns the seconds that it counts.
    each
        How many normals a path holds, assets times steps.
    accounts
        Accounts times steps, 0 where there are none.
    facts
        Further fields of the row.
    """
    seconds, draws, begun = [], [draw_seconds(paths * each)], time.perf_counter()
    while not seconds or (len(seconds) < REPEATS and time.perf_counter() - begun < ENOUGH_SECONDS):
        seconds.append(work())
        draws.append(draw_seconds(paths * each))
    return Row(
        name=name,
        note=note,
        paths=paths,
        normals=float(paths * each),
        steps=float(paths * accounts),
        seconds=min(seconds),
        draw_seconds=min(draws),
        **facts,
    )


def clocked(work: Callable[[], Any]) -> Callable[[], float]:
    """Return what runs ``work`` and says how many seconds it took."""

    def run() -> float:
        start = time.perf_counter()
        work()
        return time.perf_counter() - start

    return run


def draw_seconds(normals: int) -> float:
    """Return how long NumPy needs for so many normals: SFC64, one thread, float32."""
    generator = np.random.Generator(np.random.SFC64(1))
    block = np.empty(1 << 20, np.float32)
    # one pass touches the block for the first time
    generator.standard_normal(out=block, dtype=np.float32)
    blocks = -(-max(normals, _LEAST_DRAW) // block.size)
    start = time.perf_counter()
    for _ in range(blocks):
        generator.standard_normal(out=block, dtype=np.float32)
    return (time.perf_counter() - start) * normals / (blocks * block.size)


def measured(contender: str, **arguments: Any) -> Row:
    """Run ``benchmarks.<contender>.row(**arguments)`` in a process of its own.

    Raises
    ------
    ModuleNotFoundError
        If the contender's library is not installed.
    RuntimeError
        If the process failed.
    """
    task = json.dumps([contender, arguments])
    # a cache of compiled kernels would hide what compiling takes
    environment = {**os.environ, "JAX_ENABLE_COMPILATION_CACHE": "false"}
    command = [sys.executable, "-m", "benchmarks.row", task]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        error = done.stderr.strip().splitlines()[-1:] or ["no message"]
        if error[0].startswith("ModuleNotFoundError"):
            raise ModuleNotFoundError(error[0])
        raise RuntimeError(f"{contender} {arguments}: {done.stderr}")
    return Row(**json.loads(done.stdout.splitlines()[-1]))


def _child() -> None:
    contender, arguments = json.loads(sys.argv[1])
    row = importlib.import_module(f"benchmarks.{contender}").row(**arguments)
    print(json.dumps(asdict(replace(row, peak_mib=_peak_mib()))))


def _peak_mib() -> float:
    """Return the most memory that this process has held."""
    status = Path("/proc/self/status")
    if status.exists():
        # ``ru_maxrss`` of a child begins with what its parent held
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 2**10
    # bytes on macOS
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


if __name__ == "__main__":
    _child()
