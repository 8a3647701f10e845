"""The main job: simulate every block of paths, measure it, assemble the result."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

import jax
import xarray as xr

from stress.market import ModelSource, PriceModel
from stress.runner.calibration_draws import calibration_error, drawn_markets
from stress.runner.device import choose_device, require_precision
from stress.runner.drive import compiled_driver, drive
from stress.runner.label import label
from stress.runner.measured import Measured, nothing_measured
from stress.runner.plan import path_block
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
    calibration_draws: int = 0,
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
    calibration_draws
        Draw so many sets of the market's parameters from their standard errors, run each on the
        same normals, and give the main numbers a calibration interval beside the sampling one; 0,
        or 2 and more.

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
        return simulate(scenario, market=market, device=device, calibration_draws=calibration_draws)
    from stress.runner.folder import RunFolder

    with RunFolder.named(out) as folder:
        tree = simulate(scenario, market=market, device=device, calibration_draws=calibration_draws)
        folder.write(tree, scenario)
    return tree


def simulate(
    scenario: Scenario,
    *,
    market: PriceModel | ModelSource | None = None,
    device: str | None = None,
    progress: Silent | None = None,
    calibration_draws: int = 0,
) -> xr.DataTree:
    """Prepare, measure and assemble a loaded scenario; see ``run``."""
    require_precision(scenario.simulation.precision)
    with jax.default_device(choose_device(device)):
        job = prepare(scenario, market)
        drawn = drawn_markets(job, calibration_draws, market)
        measured = measure(job, progress or Silent(), drawn)
    return label(job, measured)


def measure(job: Job, progress: Silent, drawn: Sequence[ModelSource] = ()) -> Measured:
    """Simulate every block of paths and fold it into the measures, in order.

    ``drawn`` are further markets, each of which is run on the same normals for the calibration
    error of the main numbers.
    """
    device = next(iter(job.price.devices()))
    measured = nothing_measured(job)
    measured.platform, measured.device_kind = device.platform, device.device_kind
    block = path_block(device.platform)

    start = time.perf_counter()
    driver = compiled_driver(job, block)
    measured.compile_seconds = time.perf_counter() - start

    start = time.perf_counter()
    drive(driver, measured, job.scenario.simulation.paths, block, progress)
    driver.finish(measured)
    measured.run_seconds = time.perf_counter() - start
    if drawn:
        start = time.perf_counter()
        measured.calibration = calibration_error(job, driver, drawn, block)
        measured.calibration_seconds = time.perf_counter() - start
    progress.close()
    return measured
