"""What paths of each price model cost, over those of gbm: a day of 16 assets at 5-minute steps."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import jax.numpy as jnp
import numpy as np

from stress.engine.block import Schedule
from stress.engine.paths import price_paths
from stress.market import ModelSource
from stress.runner.clock import Clock
from stress.runner.market import market_source
from stress.runner.plan import path_block, time_block
from stress.scenario.backtest import MODELS
from stress.scenario.durations import YEAR_SECONDS
from stress.scenario.market import complete_market
from stress.scenario.schema import Market
from stress.types import RESAMPLING

__all__ = ["MODELS", "lines", "model_rows"]

MODEL_ASSETS, MODEL_STEPS, MODEL_PATHS, MODEL_REPEATS = 16, 288, 1_024, 5
WIDTH = path_block("cpu")


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


def lines() -> Iterator[str]:
    """Yield what paths of each model cost, over those of gbm."""
    yield f"{MODEL_ASSETS} assets, {MODEL_STEPS} steps of 5 min, {MODEL_PATHS} paths of prices\n"
    yield "| model | seconds | x gbm | compile s |\n|---|--:|--:|--:|"
    plain = 0.0
    for name, seconds, compiling in model_rows():
        plain = plain or seconds
        yield f"| {name} | {seconds:.3f} | {seconds / plain:.2f} | {compiling:.1f} |"
