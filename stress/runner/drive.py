"""Every block of paths through a compiled engine and into the measures, in order."""

from __future__ import annotations

from typing import Any, Protocol

from stress.market import ModelSource
from stress.runner.cascade import CascadeDriver
from stress.runner.measured import Measured
from stress.runner.passage import PassageDriver
from stress.runner.plan import path_blocks
from stress.runner.prepare import Job
from stress.runner.progress import Silent
from stress.types import Integers

__all__ = ["Driver", "compiled_driver", "drive"]


class Driver(Protocol):
    """An engine compiled for the worlds of a job and for blocks of so many paths."""

    def start(self, numbers: Integers) -> Any:
        """Begin with a block of paths."""
        ...

    def absorb(self, measured: Measured, started: Any, count: int) -> None:
        """Fold the first ``count`` paths of a block into the measures."""
        ...

    def finish(self, measured: Measured) -> None:
        """Measure what needs all paths."""
        ...

    def under(self, market: ModelSource) -> Driver:
        """Return the same kernels, not compiled again, for another market of the same shapes."""
        ...


def compiled_driver(job: Job, block: int) -> Driver:
    """Return the engine that a job needs, compiled for blocks of ``block`` paths."""
    return CascadeDriver(job, block) if job.main.cascade else PassageDriver(job, block)


def drive(driver: Driver, measured: Measured, paths: int, block: int, progress: Silent) -> None:
    """Simulate ``paths`` paths, ``block`` at a time, and fold them into the measures."""
    done, waiting = 0, None
    for numbers, count in path_blocks(paths, block):
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
