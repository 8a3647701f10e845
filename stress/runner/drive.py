"""Every chunk of paths through a compiled engine, into measures of its own, merged in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Any, Protocol

import jax

from stress.market import ModelSource
from stress.measure.kept import Arrays, arrays_of, restore
from stress.runner.cascade import CascadeDriver
from stress.runner.keeper import Keeper, chunk_name
from stress.runner.measured import Measured, nothing_measured
from stress.runner.passage import PassageDriver
from stress.runner.plan import chunks, path_blocks
from stress.runner.prepare import Job
from stress.runner.progress import Silent
from stress.runner.spread import Spread
from stress.types import Integers

__all__ = ["Driver", "Elsewhere", "compiled_driver", "drive", "driver_over", "simulated"]


Elsewhere = Callable[[Sequence[range], Callable[[str, Arrays], None], Silent], None]
"""Is given chunks that are missing, what keeps them by their names, and the progress."""


class Driver(Protocol):
    """An engine compiled for the worlds of a job and for blocks of so many paths."""

    @property
    def spread(self) -> Spread:
        """The devices, and how many paths each takes at a time."""
        ...

    def start(self, numbers: Integers) -> Any:
        """Begin with (``spread.width``,) consecutive paths: a block on each device."""
        ...

    def absorb(self, measures: Sequence[Measured], started: Any, count: int) -> None:
        """Fold in the first ``count`` paths of what was begun.

        Parameters
        ----------
        measures
            The measures of each device's block, as many as have paths that count.
        """
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


def drive(
    job: Job,
    driver: Driver,
    measured: Measured,
    progress: Silent,
    keeper: Keeper | None = None,
    elsewhere: Elsewhere | None = None,
) -> None:
    """Simulate all paths of a job, chunk by chunk, and measure them.

    Parameters
    ----------
    measured
        The measures of the whole run, which have seen nothing yet.
    keeper
        Has the chunks that need not be simulated again, and is given each that was.
    elsewhere
        Has chunks simulated by others and puts them where they are kept.
    """
    keeper = keeper or Keeper()
    every = chunks(job.scenario.simulation.paths, driver.spread.block)
    if elsewhere is not None:
        missing = [chunk for chunk in every if not keeper.has(chunk_name(chunk))]
        elsewhere(missing, keeper.put, progress)
        measured.simulated_paths = sum(map(len, missing))
    for is_kept, some in groupby(every, key=lambda chunk: keeper.has(chunk_name(chunk))):
        if is_kept:
            for chunk in some:
                measured.merge(_restored(job, chunk, keeper.get(chunk_name(chunk))))
                progress.skip(chunk.stop)
            continue
        for chunk, part in simulated(job, driver, list(some), progress):
            if keeper.keeps:
                keeper.put(chunk_name(chunk), arrays_of(part))
            measured.merge(part)
            measured.simulated_paths += len(chunk)


def _restored(job: Job, chunk: range, arrays: Arrays) -> Measured:
    part = nothing_measured(job, chunk)
    restore(part, arrays)
    return part


def simulated(
    job: Job, driver: Driver, some: Sequence[range], progress: Silent
) -> Iterator[tuple[range, Measured]]:
    """Yield chunks that follow each other, each with its measures when it is done.

    Parameters
    ----------
    some
        Consecutive chunks. Their blocks of paths are simulated side by side, over their borders.
    """
    fold = _Fold(job, driver, some, progress)
    waiting = None
    for numbers, count in path_blocks(some[-1].stop, driver.spread.width, some[0].start):
        # the devices work on the next blocks while the host measures these
        started = driver.start(numbers)
        if waiting is not None:
            yield from fold.absorb(*waiting)
        waiting = (started, count)
    if waiting is not None:
        yield from fold.absorb(*waiting)


class _Fold:
    """Blocks of paths into the measures of the chunks that they belong to."""

    def __init__(self, job: Job, driver: Driver, some: Sequence[range], progress: Silent) -> None:
        self._job, self._driver, self._progress = job, driver, progress
        self._to_come = iter(some)
        self._open: list[tuple[range, Measured]] = []
        self._done = some[0].start

    def absorb(self, started: Any, count: int) -> Iterator[tuple[range, Measured]]:
        """Fold in the next ``count`` paths; yield the chunks that end with them."""
        block = self._driver.spread.block
        firsts = range(self._done, self._done + count, block)
        self._driver.absorb([self._measures_of(first) for first in firsts], started, count)
        self._done += count
        self._progress.update(self._done)
        while self._open and self._open[0][0].stop <= self._done:
            yield self._open.pop(0)

    def _measures_of(self, path: int) -> Measured:
        while not self._open or path >= self._open[-1][0].stop:
            chunk = next(self._to_come)
            self._open.append((chunk, nothing_measured(self._job, chunk)))
        return self._open[-1][1]
