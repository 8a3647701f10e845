"""The main job: simulate every block of paths, measure it, assemble the result."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

import jax
import xarray as xr

from stress.errors import InputError
from stress.market import ModelSource, PriceModel
from stress.runner.analyses import Analysed, analyse, check_analyses
from stress.runner.calibration_draws import calibration_error, drawn_markets
from stress.runner.cluster import Workers, open_workers
from stress.runner.device import choose_devices, device_memory, require_precision
from stress.runner.drive import Elsewhere, drive, driver_over
from stress.runner.identity import Identity, identity_of
from stress.runner.keeper import Keeper
from stress.runner.label import label
from stress.runner.ledger import is_ledger
from stress.runner.measured import Measured, nothing_measured
from stress.runner.plan import bytes_per_path, device_count, paths_together
from stress.runner.prepare import Job, prepare
from stress.runner.progress import Silent
from stress.runner.spread import Spread
from stress.scenario.freshness import check_freshness
from stress.scenario.load import load_scenario, with_options
from stress.scenario.schema import Scenario
from stress.types import Mode

__all__ = ["job_spread", "measure", "run", "simulate"]


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
    resume: bool = False,
    workers: int | None = None,
    cluster: str | None = None,
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
        ``"cpu"``, ``"gpu"``, or None for JAX's own choice. All devices of that kind are used, or as
        many as there are blocks of paths for; the numbers do not depend on how many, two or more.
    calibration_draws
        Draw so many sets of the market's parameters from their standard errors, run each on the
        same normals, and give the main numbers a calibration interval beside the sampling one; 0,
        or 2 and more.
    resume
        Go on with the run that ``out`` holds, finished or not: chunks of paths that it has are not
        simulated again, and the result is that of one undisturbed run, digit by digit. Not with a
        ``market`` of your own, which cannot be told from another.
    workers, cluster
        Simulate in so many processes on this machine, or on the workers of the Dask scheduler at
        this address; the digits are the same. Needs ``out``, where their chunks are kept.

    Returns
    -------
    ``xarray.DataTree`` as specified in ``stress.result.schema``.

    Raises
    ------
    InputError
        If the scenario or one of its files cannot be used, the device is absent, float64 is
        asked for while JAX computes in 32 bits, or ``out`` holds another run.
    """
    if not isinstance(scenario, Scenario):
        scenario = load_scenario(scenario)
    scenario = with_options(scenario, paths=paths, seed=seed, mode=mode)
    if not (resume and out is not None and is_ledger(Path(out))):
        # a run that goes on was judged when it began
        check_freshness(scenario)
    if market is not None and (resume or workers or cluster):
        raise InputError(
            "a run with a market of your own can neither be resumed nor be given to others",
            remedy="leave resume, workers and cluster out, or register the market under a name",
        )
    if out is None:
        if resume or workers or cluster:
            raise InputError("resume, workers and cluster need a folder", key="out")
        return simulate(scenario, market=market, device=device, calibration_draws=calibration_draws)
    from stress.runner.folder import RunFolder

    with (
        RunFolder.for_run(scenario, out, resume=resume) as folder,
        open_workers(cluster, workers) as others,
    ):
        tree = simulate(
            scenario,
            market=market,
            device=device,
            calibration_draws=calibration_draws,
            keep=folder.keep if market is None else None,
            workers=others,
        )
        folder.write(tree, scenario)
    return tree


def simulate(
    scenario: Scenario,
    *,
    market: PriceModel | ModelSource | None = None,
    device: str | None = None,
    progress: Silent | None = None,
    calibration_draws: int = 0,
    keep: Callable[[Identity], Keeper] | None = None,
    workers: Workers | None = None,
) -> xr.DataTree:
    """Prepare, measure and assemble a loaded scenario; see ``run``.

    Parameters
    ----------
    keep
        Returns where finished parts are kept, given what they depend on.
    workers
        Simulate the chunks of paths, where they are kept; everything else is done here.
    """
    require_precision(scenario.simulation.precision)
    devices = choose_devices(device)
    with jax.default_device(devices[0]):
        job = prepare(scenario, market)
        check_analyses(job)
        drawn = drawn_markets(job, calibration_draws, market)
        spread = job_spread(job, devices)
        identity = identity_of(scenario, spread)
        keeper = keep(identity) if keep else Keeper()
        measured = measure(
            job,
            progress or Silent(),
            drawn,
            spread=spread,
            keeper=keeper,
            elsewhere=partial(workers.simulate, scenario, identity) if workers else None,
        )
        analysed = _analysed(job, measured, spread, keeper)
    return label(job, measured, analysed)


def _analysed(job: Job, measured: Measured, spread: Spread, keeper: Keeper) -> list[Analysed]:
    start = time.perf_counter()
    found = analyse(job, measured, spread, keeper)
    measured.analysis_seconds = time.perf_counter() - start
    return found


def job_spread(job: Job, devices: Sequence[jax.Device] | None = None) -> Spread:
    """Return how a job is spread over devices.

    Parameters
    ----------
    devices
        Of one kind; by default all of the kind that holds the job's arrays.
    """
    if devices is None:
        devices = jax.local_devices(backend=next(iter(job.price.devices())).platform)
    return Spread.over(*_cut(job, devices))


def measure(
    job: Job,
    progress: Silent,
    drawn: Sequence[ModelSource] = (),
    *,
    spread: Spread | None = None,
    keeper: Keeper | None = None,
    elsewhere: Elsewhere | None = None,
) -> Measured:
    """Simulate every chunk of paths and merge its measures, in order.

    Parameters
    ----------
    drawn
        Further markets, each of which is run on the same normals for the calibration error of the
        main numbers.
    spread
        The devices, and how many paths each takes at a time; ``job_spread`` by default.
    keeper
        Where the measures of finished chunks are kept.
    elsewhere
        Has chunks simulated by others.
    """
    spread = spread or job_spread(job)
    used = spread.mesh.devices.flat[0]
    measured = nothing_measured(job)
    measured.platform, measured.device_kind = used.platform, used.device_kind
    measured.devices = spread.devices

    start = time.perf_counter()
    driver = driver_over(job, spread)
    measured.compile_seconds = time.perf_counter() - start

    start = time.perf_counter()
    drive(job, driver, measured, progress, keeper, elsewhere)
    driver.finish(measured)
    measured.run_seconds = time.perf_counter() - start
    if drawn:
        start = time.perf_counter()
        measured.calibration = calibration_error(job, driver, drawn, keeper or Keeper())
        measured.calibration_seconds = time.perf_counter() - start
    progress.close()
    return measured


def _cut(job: Job, devices: Sequence[jax.Device]) -> tuple[Sequence[jax.Device], int]:
    """Return the devices that are used, and how many paths each simulates at a time."""
    memory = device_memory(devices[0])
    if devices[0].platform == "cpu":
        # they share the machine's
        memory //= len(devices)
    block = paths_together(devices[0].platform, memory, _bytes_per_path(job))
    count = device_count(job.scenario.simulation.paths, block, len(devices))
    return devices[:count], block


def _bytes_per_path(job: Job) -> int:
    """Return about how much memory the kernels of a job take for one more path."""
    assets, steps = len(job.setting.assets), job.schedule.block
    worlds = job.worlds.values()
    if job.main.cascade is None:
        pools = sum(len(world.pools.cash) for world in worlds)
        return bytes_per_path(pools=pools, assets=assets, steps=steps)
    return sum(
        bytes_per_path(
            pools=len(world.pools.cash),
            positions=len(world.cascade.row),
            assets=assets,
            steps=steps,
            variants=len(world.cascade.variants),
        )
        for world in worlds
        if world.cascade is not None
    )
