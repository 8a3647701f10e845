"""How fast, in ratios: every row is measured in one process, against NumPy drawing the normals.

Machines differ and are noisy, so a row's last column is the number to compare: its time over the
time that NumPy (SFC64, one thread, float32) needs to draw as many normals as the row's paths hold.
Compilation is timed apart. Times are the least of three runs. A second table has the paths of every
price model over those of gbm.
"""

from __future__ import annotations

import argparse
import platform
import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from stress.engine.block import Schedule
from stress.engine.paths import price_paths
from stress.market import ModelSource
from stress.runner.clock import Clock
from stress.runner.market import market_source
from stress.runner.plan import path_block, time_block
from stress.runner.prepare import Job, prepare
from stress.runner.progress import Silent
from stress.runner.simulate import measure
from stress.scenario.durations import YEAR_SECONDS
from stress.scenario.load import load_scenario
from stress.scenario.market import complete_market
from stress.scenario.schema import Impact, Market
from stress.types import RESAMPLING, Mode

SCENARIO = Path(__file__).parent.parent / "scenarios" / "three_books.toml"
REPEATS = 3
MODELS = (
    "gbm",
    "student-t",
    "skewed-t",
    "jump-diffusion",
    "garch",
    "regime",
    "bootstrap",
    "filtered-historical",
    "historical",
)
MODEL_ASSETS, MODEL_STEPS, MODEL_PATHS, MODEL_REPEATS = 16, 288, 1_024, 5
WIDTH = path_block("cpu")
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
    _print_models()
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


def _print_models() -> None:
    """Print what paths of each model cost, over those of gbm, a day at 5-minute steps."""
    print(f"\n{MODEL_ASSETS} assets, {MODEL_STEPS} steps of 5 min, {MODEL_PATHS} paths of prices")
    print(f"{'':34}{'seconds':>9}{'compile':>9}{'':22}{'x gbm':>8}")
    plain = 0.0
    for name, seconds, compiling in model_rows():
        plain = plain or seconds
        print(f"{name:34}{seconds:9.3f}{compiling:9.2f}{'':22}{seconds / plain:8.2f}", flush=True)


def model_rows() -> Iterator[tuple[str, float, float]]:
    """Yield name, seconds and seconds of compilation of each model, gbm first.

    Models take turns, so that a slow moment of the machine falls on all of them.
    """
    with TemporaryDirectory() as folder:
        sources = {name: _model(name, Path(folder)) for name in MODELS}
        kernels = {name: _compiled(source) for name, source in sources.items()}
        times: dict[str, list[float]] = {name: [] for name in MODELS}
        for _ in range(MODEL_REPEATS):
            for name, (kernel, arguments, _) in kernels.items():
                start = time.perf_counter()
                for first in range(0, MODEL_PATHS, WIDTH):
                    numbers = np.arange(first, first + WIDTH, dtype=np.uint32)
                    kernel(*arguments, numbers).block_until_ready()
                times[name].append(time.perf_counter() - start)
    for name, (_, _, compiling) in kernels.items():
        yield name, min(times[name]), compiling


def _model(name: str, folder: Path) -> ModelSource:
    """Return a model of sixteen correlated assets with its default parameters."""
    assets = [f"A{number}" for number in range(MODEL_ASSETS)]
    matrix = np.full((MODEL_ASSETS, MODEL_ASSETS), 0.6)
    np.fill_diagonal(matrix, 1.0)
    market: dict[str, Any] = {
        "model": name,
        "assets": assets,
        "price": dict.fromkeys(assets, 100.0),
        "volatility": dict.fromkeys(assets, 0.7),
        "correlation": matrix.tolist(),
    }
    if name in RESAMPLING:
        market["history"] = str(_history(folder, assets))
    complete = complete_market(Market.model_validate(market), None, None)
    clock = Clock(300.0 / YEAR_SECONDS, MODEL_STEPS, MODEL_PATHS, "float32")
    return market_source(complete, clock)


def _history(folder: Path, assets: list[str]) -> Path:
    """Write a history of two months of hours."""
    generator = np.random.default_rng(1)
    close = 100 * np.exp(0.007 * generator.standard_normal((1_440, len(assets))).cumsum(axis=0))
    times = np.datetime64("2026-01-01T00:00:00") + np.arange(1_440) * np.timedelta64(1, "h")
    file = folder / "history.csv"
    with file.open("w") as stream:
        stream.write("timestamp,asset,close\n")
        for moment, row in zip(times, close, strict=True):
            for asset, price in zip(assets, row, strict=True):
                stream.write(f"{moment}Z,{asset},{price:.6f}\n")
    return file


def _compiled(source: ModelSource) -> tuple[Any, tuple[Any, ...], float]:
    """Return the kernel of a model's paths, its arguments but the numbers, and the seconds."""
    schedule = Schedule(
        steps=MODEL_STEPS,
        block=time_block(MODEL_STEPS),
        monitoring="step",
        precision="float32",
    )
    numbers = np.arange(WIDTH, dtype=np.uint32)
    price = jnp.full(MODEL_ASSETS, 100.0, jnp.float32)
    arguments = (source.block(numbers), price, jnp.asarray(1, jnp.uint32))
    start = time.perf_counter()
    kernel = price_paths.lower(*arguments, numbers, schedule=schedule).compile()
    kernel(*arguments, numbers).block_until_ready()
    return kernel, arguments, time.perf_counter() - start


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
