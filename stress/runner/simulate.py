"""The main job: simulate every block of paths, measure it, assemble the result."""

from __future__ import annotations

import time
from collections.abc import Mapping
from os import PathLike
from typing import Any

import jax
import xarray as xr

from stress.market import ModelSource, PriceModel
from stress.runner.cascade import CascadeDriver
from stress.runner.device import choose_device, require_precision
from stress.runner.label import label
from stress.runner.measured import Measured, nothing_measured
from stress.runner.passage import PassageDriver
from stress.runner.plan import path_block, path_blocks
from stress.runner.prepare import Job, prepare
from stress.runner.progress import Silent
from stress.scenario.load import load_scenario, with_options
from stress.scenario.schema import Scenario
from stress.types import Mode

__all__ = ["measure", "run", "simulate"]


def run(
    scenario: Scenario | Mapping[str, Any] | str | PathLike[str],
    *,
    out: str | PathLike[str] | None = None,
    paths: int | None = None,
    seed: int | None = None,
    mode: Mode | None = None,
    market: PriceModel | ModelSource | None = None,
    device: str | None = None,
) -> xr.DataTree:
    """Simulate a scenario and return its result.

    Parameters
    ----------
    scenario
        A loaded scenario, or what ``load_scenario`` takes.
    out
        Folder to write ``result.nc``, ``summary.json``, ``report.html`` and the resolved scenario
        to; nothing is written without it.
    paths, seed, mode
        Used instead of what the scenario says.
    market
        A price model in the scenario's precision (``stress.market.PriceModel``), or a source of one
        a block of paths (``ModelSource``), used instead of the scenario's.
    device
        ``"cpu"``, ``"gpu"``, or None for JAX's own choice.

    Returns
    -------
    ``xarray.DataTree`` as specified in ``stress.result.schema``.

    Raises
    ------
    InputError
        If the scenario or one of its files cannot be used, the device is absent, or float64 is
        asked for while JAX computes in 32 bits.
    """
    if not isinstance(scenario, Scenario):
        scenario = load_scenario(scenario)
    scenario = with_options(scenario, paths=paths, seed=seed, mode=mode)
    if out is None:
        return simulate(scenario, market=market, device=device)
    from stress.runner.folder import RunFolder

    with RunFolder.named(out) as folder:
        tree = simulate(scenario, market=market, device=device)
        folder.write(tree, scenario)
    return tree


def simulate(
    scenario: Scenario,
    *,
    market: PriceModel | ModelSource | None = None,
    device: str | None = None,
    progress: Silent | None = None,
) -> xr.DataTree:
    """Prepare, measure and assemble a loaded scenario; see ``run``."""
    require_precision(scenario.simulation.precision)
    with jax.default_device(choose_device(device)):
        job = prepare(scenario, market)
        measured = measure(job, progress or Silent())
    return label(job, measured)


def measure(job: Job, progress: Silent) -> Measured:
    """Simulate every block of paths and fold it into the measures, in order."""
    device = next(iter(job.price.devices()))
    measured = nothing_measured(job)
    measured.platform, measured.device_kind = device.platform, device.device_kind
    block = path_block(device.platform)

    start = time.perf_counter()
    driver = CascadeDriver(job, block) if job.main.cascade else PassageDriver(job, block)
    measured.compile_seconds = time.perf_counter() - start

    start, done, waiting = time.perf_counter(), 0, None
    for numbers, count in path_blocks(job.scenario.simulation.paths, block):
        # the device works on the next block while the host measures this one
        started = driver.start(numbers)
        if waiting is not None:
            driver.absorb(measured, *waiting)
            done += waiting[1]
            progress.update(done)
        waiting = (started, count)
    if waiting is not None:
        driver.absorb(measured, *waiting)
        progress.update(done + waiting[1])
    driver.finish(measured)
    measured.run_seconds = time.perf_counter() - start
    progress.close()
    return measured
