"""The main job: simulate every block of paths, measure it, assemble the result."""

from __future__ import annotations

import time
from collections.abc import Mapping
from os import PathLike
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from stress.engine.block import Schedule
from stress.engine.passage import first_passage
from stress.engine.ratios import margin_ratios
from stress.market import PriceModel
from stress.measure.block import AccountBlock, account_block
from stress.measure.detail import DetailMeasure
from stress.measure.fan import FanMeasure
from stress.measure.paired import PairedMeasure
from stress.measure.world import Grouping, WorldMeasure
from stress.runner.device import choose_device, require_precision
from stress.runner.label import label
from stress.runner.measured import Measured
from stress.runner.plan import path_block, path_blocks
from stress.runner.prepare import Job, prepare
from stress.runner.progress import Silent
from stress.scenario.load import load_scenario, with_options
from stress.scenario.schema import Scenario
from stress.types import Array, Integers, Mode

__all__ = ["measure", "run", "simulate"]

FAN_PATHS = 512
"""Paths of the margin-ratio fan, which needs every pool at many times."""


def run(
    scenario: Scenario | Mapping[str, Any] | str | PathLike[str],
    *,
    out: str | PathLike[str] | None = None,
    paths: int | None = None,
    seed: int | None = None,
    mode: Mode | None = None,
    market: PriceModel | None = None,
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
        A price model (``stress.market.PriceModel``) in the scenario's precision, used instead of
        the scenario's.
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
    market: PriceModel | None = None,
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
    measured = _empty(job, device)
    block = path_block(device.platform)
    seed = jnp.asarray(job.scenario.simulation.seed, jnp.uint32)
    worlds = tuple(world.world for world in job.worlds.values())
    arguments = (job.model, job.price, worlds, job.rules, seed)

    start = time.perf_counter()
    kernel = _compiled(first_passage, *arguments, block=block, schedule=job.schedule)
    ratios = (job.model, job.price, job.main.world, seed)
    fan = _compiled(margin_ratios, *ratios, block=block, schedule=job.fan_schedule)
    measured.compile_seconds = time.perf_counter() - start

    start, done, waiting = time.perf_counter(), 0, None
    for numbers, count in path_blocks(job.scenario.simulation.paths, block):
        # the device works on the next block while the host measures this one
        outcome = kernel(*arguments, numbers)
        if waiting is not None:
            done += _absorb(job, measured, *waiting)
            progress.update(done)
        fans = fan(*ratios, numbers) if numbers[0] < FAN_PATHS else None
        waiting = (outcome, fans, count)
    if waiting is not None:
        done += _absorb(job, measured, *waiting)
        progress.update(done)
    measured.run_seconds = time.perf_counter() - start
    progress.close()
    return measured


def _compiled(kernel: Any, *arguments: Any, block: int, schedule: Schedule) -> Any:
    paths = jax.ShapeDtypeStruct((block,), jnp.uint32)
    return kernel.lower(*arguments, paths, schedule=schedule).compile()


def _empty(job: Job, device: jax.Device) -> Measured:
    assets = len(job.setting.assets)
    paired = None
    if {"cross", "isolated"} <= set(job.alias):
        exists = job.worlds[job.alias["isolated"]].pools.exists
        paired = PairedMeasure(Grouping(job.book.account_group, len(job.book.groups), exists))
    return Measured(
        worlds={
            mode: WorldMeasure(world.grouping, assets, job.request)
            for mode, world in job.worlds.items()
        },
        paired=paired,
        fan=FanMeasure(job.main.grouping, job.fan_schedule.blocks + 1),
        detail=DetailMeasure() if job.scenario.simulation.detail else None,
        platform=device.platform,
        device_kind=device.device_kind,
    )


def _absorb(job: Job, measured: Measured, outcome: Any, ratios: Any, count: int) -> int:
    """Fold one block of paths into the measures; return how many paths it holds."""
    outcomes, mark_end = outcome
    blocks: dict[Mode, AccountBlock] = {}
    for (mode, world), pools in zip(job.worlds.items(), outcomes, strict=True):
        blocks[mode] = account_block(pools, world.ownership, world.tolerance_usd, count)
        measured.worlds[mode].update(blocks[mode])
    if measured.paired is not None:
        measured.paired.update(blocks[job.alias["cross"]], blocks[job.alias["isolated"]])
    main = job.alias[job.scenario.book.mode]
    if ratios is not None:
        steps = outcomes[list(job.worlds).index(main)].step
        liquidated = _liquidated_by(np.asarray(steps), job.fan_schedule)
        ratio = np.where(liquidated, np.inf, np.asarray(ratios))[:, :, :count]
        measured.fan.update(ratio, job.main.ownership.first)
    if measured.detail is not None:
        measured.detail.update(blocks[main], np.asarray(mark_end)[:, :count])
    return count


def _liquidated_by(step: Integers, schedule: Schedule) -> Array:
    """Return (blocks + 1, pools, paths) whether a pool is liquidated by the end of each block."""
    ends = np.arange(schedule.blocks + 1) * schedule.block
    return (step >= 0) & (step <= ends[:, None, None])
