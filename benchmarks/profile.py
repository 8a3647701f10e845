"""Where the time of R1 and R2 goes, and what this machine could do with as many operations.

Parts are measured from outside, by kernels that do more and more of the work: what one takes beyond
the one before is the part's. "Nothing happens" is the same book with so little leverage that no
account can breach: what the kernel then does is paths and bounds. Parts that overlap in a run, the
device's and the host's, are measured one after the other here.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.books import Size
from benchmarks.jobs import blocks, ready, seed_of
from benchmarks.kernel import kernel_of, run_kernel
from benchmarks.machine import copy_rate, machine_line, multiply_add_rate
from benchmarks.row import clocked, draw_seconds
from stress.engine.block import Schedule
from stress.engine.paths import walk
from stress.keys import MARKET, path_keys, step_normals
from stress.runner.device import use_all_cores
from stress.runner.drive import Driver
from stress.runner.measured import nothing_measured
from stress.runner.plan import path_blocks
from stress.runner.prepare import Job
from stress.runner.progress import Silent
from stress.runner.simulate import measure

__all__ = ["lines"]

MOST_TURNS, ENOUGH_SECONDS = 7, 40.0
SAFE = (1e-3, 2e-3)
"""Leverage at which nothing can happen in a week."""

# counted in the source: integer and floating point operations of one normal, half of a pair's
# (20 rounds of four operations and six additions of keys; logarithm, root, sine and cosine)
DRAW_OPERATIONS = 47 + 30
EXPONENTIAL_OPERATIONS = 14
TIERS = 5

HEADER = (
    "| part | s | x draw | share | operations | s at the multiply-add rate | bytes "
    "| s at the copy rate |\n|---|--:|--:|--:|--:|--:|--:|--:|"
)


@dataclass(frozen=True)
class Part:
    """Seconds of a part; operations and bytes in all, 0 where nobody can count them."""

    name: str
    seconds: float
    operations: float = 0.0
    moved: float = 0.0


def lines(changes: dict[str, int]) -> Iterator[str]:
    """Yield both profiles as Markdown."""
    use_all_cores()
    size = Size(**{"paths": 512, **changes})
    copies, sums = copy_rate(), multiply_add_rate()
    yield (
        f"{machine_line()}; {size.paths} paths; all cores copy {copies / 1e9:.1f} GB/s and do "
        f"{sums / 1e9:.0f} G float32 multiplications and additions a second."
    )
    for title, cascade in (("R1", False), ("R2", True)):
        yield f"\n{title}\n\n{HEADER}"
        parts, whole, draw = _parts(size, cascade)
        for part in [*parts, Part(f"**{title}, a whole run**", whole)]:
            yield _line(part, draw, whole, sums, copies)


def _line(part: Part, draw: float, whole: float, sums: float, copies: float) -> str:
    counted = f"{part.operations:.1e} | {part.operations / sums:.3f}" if part.operations else " | "
    moved = f"{part.moved:.1e} | {part.moved / copies:.3f}" if part.moved else " | "
    return (
        f"| {part.name} | {part.seconds:.3f} | {part.seconds / draw:.2f} "
        f"| {part.seconds / whole:.0%} | {counted} | {moved} |"
    )


def _parts(size: Size, cascade: bool) -> tuple[list[Part], float, float]:
    """Return the parts of a run, and the seconds of a whole one and of the draw."""
    job, calm = ready(size, cascade=cascade), ready(replace(size, leverage=SAFE), cascade=cascade)
    paths, driver = size.paths, kernel_of(job)
    took = _in_turns(
        {
            "draw": lambda: draw_seconds(paths * size.steps * size.assets),
            "normals": clocked(_path_part(job, _draws, paths)),
            "levels": clocked(_path_part(job, _levels, paths)),
            "corners": clocked(_path_part(job, _corners, paths)),
            "calm": _kernel(kernel_of(calm), paths),
            "kernel": _kernel(driver, paths),
            "with fan": _kernel(kernel_of(job, with_fan=True), paths),
            "host": lambda: _absorbed(job, driver, paths)[0],
            "run": lambda: measure(job, Silent()).run_seconds,
        }
    )
    fan = took["with fan"] - took["kernel"]
    host = Part(
        "transfer and measures on the host", took["host"], moved=_absorbed(job, driver, paths)[1]
    )
    what = "impact, rounds, backstop" if cascade else "survivors, exact evaluation"
    parts = [
        *_path_parts(size, took),
        Part(
            "bounds: nothing happens",
            took["calm"] - took["corners"],
            (4 + 2 * TIERS) * float(paths * job.schedule.blocks * len(job.book.positions)),
        ),
        Part(what, took["kernel"] - took["calm"]),
        Part("margin-ratio fan, its own paths", fan),
        host,
        Part("the rest: replay; less what overlaps", took["run"] - took["with fan"] - took["host"]),
    ]
    return parts, took["run"], took["draw"]


def _path_parts(size: Size, took: dict[str, float]) -> list[Part]:
    normals = float(size.paths * size.steps * size.assets)
    # a multiplication and an addition an asset, the drift, the sum
    together = 2 * size.assets + 2
    return [
        Part(
            "draws: Threefry, Box-Muller", took["normals"], DRAW_OPERATIONS * normals, 4 * normals
        ),
        Part(
            "correlation, drift, running sum",
            took["levels"] - took["normals"],
            together * normals,
            8 * normals,
        ),
        Part(
            "exponentials, lows and highs",
            took["corners"] - took["levels"],
            (EXPONENTIAL_OPERATIONS + 2) * normals,
            8 * normals,
        ),
    ]


def _in_turns(works: dict[str, Callable[[], float]]) -> dict[str, float]:
    """Return the least seconds of each; they take turns, so that a busy moment falls on all."""
    for work in works.values():
        # the first time compiles
        work()
    seconds: dict[str, list[float]] = {name: [] for name in works}
    begun = time.perf_counter()
    for turn in range(MOST_TURNS):
        if turn and time.perf_counter() - begun > ENOUGH_SECONDS:
            break
        for name, work in works.items():
            seconds[name].append(work())
    return {name: min(each) for name, each in seconds.items()}


def _kernel(driver: Driver, paths: int) -> Callable[[], float]:
    return clocked(lambda: run_kernel(driver, paths))


def _path_part(job: Job, part: Any, paths: int) -> Callable[[], None]:
    """Return what runs a part of the paths over all blocks, each device on its own."""
    devices = jax.local_devices()
    given = [jax.device_put((job.model, job.price, seed_of(job)), device) for device in devices]

    def run() -> None:
        waiting = []
        for turn, numbers in enumerate(blocks(paths)):
            place = turn % len(devices)
            own = jax.device_put(numbers, devices[place])
            waiting.append(part(*given[place], own, schedule=job.schedule))
        jax.block_until_ready(waiting)

    return run


@partial(jax.jit, static_argnames="schedule")
def _draws(model: Any, price: Any, seed: Any, paths: Any, schedule: Schedule) -> Any:
    """Draw all normals and keep their largest."""
    keys = path_keys(seed, MARKET, paths)

    def block(most: Any, number: Any) -> Any:
        steps = number * schedule.block + jnp.arange(schedule.block) + 1
        return jnp.maximum(most, step_normals(keys, steps, model.assets).max(axis=0)), None

    start = jnp.zeros((model.assets, paths.shape[0]), jnp.float32)
    return jax.lax.scan(block, start, jnp.arange(schedule.blocks))[0]


@partial(jax.jit, static_argnames="schedule")
def _levels(model: Any, price: Any, seed: Any, paths: Any, schedule: Schedule) -> Any:
    """Walk, and keep the largest log price."""
    start, advance = walk(model, seed, paths, schedule)

    def block(carry: Any, number: Any) -> Any:
        state, (levels, _) = advance(carry[0], number)
        return (state, jnp.maximum(carry[1], levels.max(axis=0))), None

    most = jnp.zeros((model.assets, paths.shape[0]), jnp.dtype(schedule.precision))
    return jax.lax.scan(block, (start, most), jnp.arange(schedule.blocks))[0]


@partial(jax.jit, static_argnames="schedule")
def _corners(model: Any, price: Any, seed: Any, paths: Any, schedule: Schedule) -> Any:
    """Walk, and keep each block's lowest and highest marks."""
    start, advance = walk(model, seed, paths, schedule)

    def block(state: Any, number: Any) -> Any:
        state, (levels, _) = advance(state, number)
        marks = price[:, None] * jnp.exp(levels)
        return state, (marks.min(axis=0), marks.max(axis=0))

    return jax.lax.scan(block, start, jnp.arange(schedule.blocks))


def _absorbed(job: Job, driver: Driver, paths: int) -> tuple[float, float]:
    """Return the seconds in which the outcomes of all blocks are measured, and their bytes."""
    seconds = moved = 0.0
    measured = nothing_measured(job)
    for numbers, count in path_blocks(paths, driver.spread.width):
        started = jax.block_until_ready(driver.start(numbers))
        moved += sum(leaf.nbytes for leaf in jax.tree.leaves(started))
        start = time.perf_counter()
        driver.absorb(measured, started, count)
        seconds += time.perf_counter() - start
    return seconds, moved
