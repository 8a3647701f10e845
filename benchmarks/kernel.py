"""The project's kernels alone: paths, bounds and exact evaluation, nothing measured, no fan."""

from __future__ import annotations

import time
from typing import Any

import jax

from benchmarks.jobs import ready, size_of
from benchmarks.row import Row, clocked, timed
from stress.runner.device import use_all_cores
from stress.runner.drive import Driver, compiled_driver
from stress.runner.plan import path_block, path_blocks
from stress.runner.prepare import Job

__all__ = ["kernel_of", "run_kernel", "row"]


def row(name: str, size: dict[str, Any], cascade: bool = False, everyone: bool = False) -> Row:
    """Measure the kernel on all cores; with ``everyone`` it leaves no account out at any step.

    ``simulation.detail``, which reports every account's least excess, is what asks for that.
    """
    use_all_cores()
    of = size_of(size)
    changes = {"simulation": {"detail": True}} if everyone else None
    job = ready(of, cascade=cascade, changes=changes)
    begun = time.perf_counter()
    driver = kernel_of(job)
    compiling = time.perf_counter() - begun
    return timed(
        name,
        clocked(lambda: run_kernel(driver, of.paths)),
        note="every account at every step, no measures" if everyone else "no measures",
        paths=of.paths,
        each=of.assets * of.steps,
        accounts=of.accounts * of.steps,
        compile_seconds=compiling,
    )


def kernel_of(job: Job, *, with_fan: bool = False) -> Driver:
    """Return the job's driver over all devices."""
    driver = compiled_driver(job, path_block(jax.default_backend()), jax.local_devices())
    # under a market, its own or another, a driver draws no fan
    return driver if with_fan else driver.under(job.market)


def run_kernel(driver: Driver, paths: int) -> list[Any]:
    """Put all blocks of paths through a driver; return the last outcome.

    The next block is begun before the last is there, as a run does it.
    """
    waiting: list[Any] = []
    for numbers, _ in path_blocks(paths, driver.spread.width):
        waiting.append(driver.start(numbers))
        if len(waiting) > 1:
            jax.block_until_ready(waiting.pop(0))
    return jax.block_until_ready(waiting)
