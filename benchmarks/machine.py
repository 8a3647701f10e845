"""The machine, in words and in what it can do: bytes copied and multiply-adds a second."""

from __future__ import annotations

import datetime
import os
import platform
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from typing import Any

import numpy as np

__all__ = ["copy_rate", "cores", "machine_line", "multiply_add_rate"]

_REPEATS = 5


def machine_line() -> str:
    """Return processor, cores, memory, versions and date, one line."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    today = datetime.datetime.now(datetime.UTC).date()
    libraries = ", ".join(f"{name} {version(name)}" for name in ("jax", "numpy"))
    return (
        f"{_processor()}, {cores()} cores, {memory:.0f} GiB, {platform.system()}; "
        f"Python {platform.python_version()}, {libraries}; {today}"
    )


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.split(":")[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def copy_rate() -> float:
    """Return bytes a second read and written by copies far larger than the caches, all cores."""
    arrays = [(np.ones(1 << 24, np.float64), np.empty(1 << 24, np.float64)) for _ in range(cores())]
    moved = 2 * sum(source.nbytes for source, _ in arrays)
    return moved / _together(lambda pair: np.copyto(pair[1], pair[0]), arrays)


def multiply_add_rate() -> float:
    """Return float32 multiplications and additions a second: a matrix product on all cores."""
    size = 2_048
    matrix = np.random.default_rng(1).random((size, size), np.float32)
    # NumPy's library takes all cores by itself
    return 2 * size**3 / _together(lambda each: each @ each, [matrix])


def _together(work: Callable[[Any], Any], items: list[Any]) -> float:
    """Return the least seconds in which ``work`` is done with all items, a thread each."""
    seconds = []
    with ThreadPoolExecutor(len(items)) as threads:
        for _ in range(_REPEATS):
            start = time.perf_counter()
            list(threads.map(work, items))
            seconds.append(time.perf_counter() - start)
    return min(seconds)
