"""How fast, in ratios: every row is measured in one process, against NumPy drawing the normals.

Machines differ and are noisy, so a row's last column is the number to compare: its time over the
time that NumPy (SFC64, one thread, float32) needs to draw as many normals as the row's paths hold.
Compilation is timed apart. Times are the least of three runs.
"""

from __future__ import annotations

import argparse
import platform
import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np

from stress.runner.prepare import Job, prepare
from stress.runner.progress import Silent
from stress.runner.simulate import measure
from stress.scenario.load import load_scenario
from stress.scenario.schema import Impact
from stress.types import Mode

SCENARIO = Path(__file__).parent.parent / "scenarios" / "three_books.toml"
REPEATS = 3
VOLUME = {
    "BTC": 22e9,
    "ETH": 13e9,
    "SOL": 4e9,
    "BNB": 1e9,
    "XRP": 3e9,
    "ADA": 6e8,
    "DOGE": 2e9,
    "LTC": 5e8,
    "LINK": 5e8,
    "AVAX": 5e8,
}
"""USD a day, the order of magnitude of perpetuals at the end of 2024."""


@dataclass(frozen=True)
class Row:
    """One measurement; seconds without compilation, ``steps`` are account-path-steps."""

    name: str
    seconds: float
    compile_seconds: float
    steps: float
    draws: float


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--paths", type=int, default=512, help="paths of each row (default 512)")
    paths = parser.parse_args().paths
    print(f"{platform.processor() or platform.machine()}, {jax.devices()[0].device_kind}, ", end="")
    print(f"JAX {jax.__version__}, {paths} paths of {SCENARIO.stem}")
    print(f"{'':34}{'seconds':>9}{'compile':>9}{'account-path-steps/s':>22}{'x draw':>8}")
    for row in _rows(paths):
        rate = f"{row.steps / row.seconds:.2e}" if row.steps else ""
        print(
            f"{row.name:34}{row.seconds:9.2f}{row.compile_seconds:9.2f}{rate:>22}"
            f"{row.seconds / row.draws:8.2f}",
            flush=True,
        )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"peak memory {peak:.2f} GiB")


def _rows(paths: int) -> Iterator[Row]:
    job = _job(paths, "step", ())
    normals = paths * job.schedule.steps * len(job.setting.assets)
    draws = _least(lambda: _draw(normals))
    yield Row("NumPy draws the normals", draws, 0.0, 0.0, draws)
    for name, monitoring, compare in (
        ("step, cross", "step", ()),
        ("step, cross and isolated", "step", ("isolated",)),
        ("bridge, cross", "bridge", ()),
    ):
        yield _run(name, _job(paths, monitoring, compare), draws)
    yield _run("feedback, cross", _with_feedback(paths, ()), draws)
    yield _run("feedback, cross and isolated", _with_feedback(paths, ("isolated",)), draws)


def _with_feedback(paths: int, compare: tuple[Mode, ...]) -> Job:
    """Return the same book with square-root impact, partial closes and what is compared with it."""
    scenario = load_scenario(SCENARIO, paths=paths)
    venue = scenario.venue.model_copy(
        update={"amount": "restore", "impact": Impact(kind="square-root", adv=VOLUME)}
    )
    book = scenario.book.model_copy(update={"compare": compare})
    return prepare(scenario.model_copy(update={"venue": venue, "book": book}))


def _job(paths: int, monitoring: str, compare: tuple[Mode, ...]) -> Job:
    scenario = load_scenario(SCENARIO, paths=paths)
    simulation = scenario.simulation.model_copy(update={"monitoring": monitoring})
    book = scenario.book.model_copy(update={"compare": compare})
    return prepare(scenario.model_copy(update={"simulation": simulation, "book": book}))


def _run(name: str, job: Job, draws: float) -> Row:
    measured = [measure(job, Silent()) for _ in range(REPEATS)]
    accounts, paths = len(job.book.accounts), job.scenario.simulation.paths
    return Row(
        name,
        seconds=min(each.run_seconds for each in measured),
        compile_seconds=measured[0].compile_seconds,
        steps=float(accounts * paths * job.schedule.steps * len(job.worlds)),
        draws=draws,
    )


def _draw(count: int) -> None:
    generator = np.random.Generator(np.random.SFC64(1))
    block = np.empty(1 << 20, np.float32)
    for _ in range(-(-count // block.size)):
        generator.standard_normal(out=block, dtype=np.float32)


def _least(work: Callable[[], None]) -> float:
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


if __name__ == "__main__":
    main()
