"""Every block of paths through a compiled engine and into the measures, in order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import jax

from stress.market import ModelSource
from stress.runner.cascade import CascadeDriver
from stress.runner.measured import Measured
from stress.runner.passage import PassageDriver
from stress.runner.plan import path_blocks
from stress.runner.prepare import Job
from stress.runner.progress import Silent
from stress.runner.spread import Spread
from stress.types import Integers

__all__ = ["Driver", "compiled_driver", "drive", "driver_over"]


class Driver(Protocol):
    """An engine compiled for the worlds of a job and for blocks of so many paths."""

    @property
    def spread(self) -> Spread:
        """The devices, and how many paths each takes at a time."""
        ...

    def start(self, numbers: Integers) -> Any:
        """Begin with (``spread.width``,) consecutive paths: a block on each device."""
        ...

    def absorb(self, measured: Measured, started: Any, count: int) -> None:
        """Fold the first ``count`` paths of what was begun into the measures."""
        ...

    def finish(self, measured: Measured) -> None:
        """Measure what needs all paths."""
        ...

    def under(self, market: ModelSource) -> Driver:
        """Return the same kernels, not compiled again, for another market of the same shapes."""
        ...


def compiled_driver(job: Job, block: int, devices: Sequence[jax.Device] | None = None) -> Driver:
    """Return the engine that a job needs, compiled for blocks of ``block`` paths.

    Parameters
    ----------
    devices
        Each takes a block of paths of its own; by default the one that holds the job's arrays.
    """
    return driver_over(job, Spread.over(tuple(devices or job.price.devices()), block))


def driver_over(job: Job, spread: Spread) -> Driver:
    """Return the engine that a job needs, compiled for these devices."""
    return CascadeDriver(job, spread) if job.main.cascade else PassageDriver(job, spread)


def drive(driver: Driver, measured: Measured, paths: int, progress: Silent) -> None:
    """Simulate ``paths`` paths, as many at a time as the driver takes, and measure them."""
    done, waiting = 0, None
    for numbers, count in path_blocks(paths, driver.spread.width):
        # the devices work on the next blocks while the host measures these
        started = driver.start(numbers)
        if waiting is not None:
            driver.absorb(measured, *waiting)
            done += waiting[1]
            progress.update(done)
        waiting = (started, count)
    if waiting is not None:
        driver.absorb(measured, *waiting)
        progress.update(done + waiting[1])
