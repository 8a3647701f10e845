"""How a run is cut into pieces: blocks of paths, blocks of steps."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from stress.types import Integers

__all__ = ["cascade_block", "fan_block", "path_block", "path_blocks", "time_block"]

_PATHS = {"cpu": 64, "gpu": 2048}
"""Paths simulated together, by platform. Fixed, because XLA compiles another shape to other last
digits: on one platform path i is path i. 64 keep a block of steps in a core's cache."""

_LONGEST_BLOCK = 64
"""Steps taken together: longer blocks rule out fewer pools, shorter ones spend their time on
bounds."""

_WATCHED = 16
"""Steps between two lists of the pools that must be watched: a longer list lasts longer."""

_FAN_POINTS = 32
"""Times at which the margin-ratio fan is drawn, besides the start."""


def path_block(platform: str) -> int:
    """Return how many paths a device of this platform simulates together."""
    return _PATHS.get(platform, _PATHS["gpu"])


def path_blocks(paths: int, block: int) -> Iterator[tuple[Integers, int]]:
    """Yield (path numbers, how many of them count): the last block is padded with further paths."""
    for first in range(0, paths, block):
        numbers = np.arange(first, first + block, dtype=np.uint32)
        yield numbers, min(block, paths - first)


def time_block(steps: int) -> int:
    """Return how many steps a kernel takes together; it changes no result.

    The blocks are as even as they can be, so that the last one stands still as little as possible.
    """
    return -(-steps // -(-steps // _LONGEST_BLOCK))


def cascade_block(steps: int) -> int:
    """Return how many steps the cascade's watch is made for; it changes no result.

    The start counts as a step. Blocks are as even as they can be.
    """
    return -(-(steps + 1) // -(-(steps + 1) // _WATCHED))


def fan_block(steps: int) -> int:
    """Return how many steps lie between two points of the margin-ratio fan."""
    return -(-steps // _FAN_POINTS)
