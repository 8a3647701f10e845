"""How a run is cut into pieces: blocks of paths, devices, blocks of steps."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from stress.types import Integers

__all__ = [
    "bytes_per_path",
    "cascade_block",
    "chunks",
    "device_count",
    "fan_accounts",
    "fan_block",
    "fan_paths",
    "path_block",
    "path_blocks",
    "paths_together",
    "time_block",
]

_PATHS = {"cpu": 64, "gpu": 2048}
"""Paths simulated together, by platform. 64 keep a block of steps in a core's cache."""

_FEWEST, _MOST = 16, 8192
"""Paths that a device simulates together at least and at most. Fewer would not fill the registers
of a core; more would not make a full GPU faster, and the host measures a block as a whole."""

_SHARE = 4
"""A block's arrays may take one part in so many of a device's memory: one block is being simulated
while another is measured, and what XLA needs besides is an estimate."""

_CHUNK = 512
"""Paths of a chunk: few enough that a run which is killed loses seconds, so many that what is kept
of a chunk (``measure.world.Request.keep``) is small beside its outcomes."""

_PER_POOL = 48
"""Bytes that a kernel holds for a pool on a path: what became of it, as carried and as handed over.
``Compiled.memory_analysis`` says 39 for first passage."""

_PER_POSITION = 40
"""The same for a position that the cascade holds: its size, and what a batch closes of it. There it
is 147 in all for a pool of 2.3 positions in one variant."""

_PER_LEVEL = 16
"""The same for a price: its normal, its level, its mark."""

_LONGEST_BLOCK = 64
"""Steps taken together: longer blocks rule out fewer pools, shorter ones spend their time on
bounds."""

_WATCHED, _TIMES = (16, 64), 32
"""Steps that the cascade takes together at least and at most, and how many blocks there should be:
columns walk through a block at their own pace, and what is closed is counted by block."""

_FAN_POINTS = 32
"""Times at which the margin-ratio fan is drawn, besides the start."""

_FAN_PAIRS = 1 << 18
"""Pairs of an account and a path that the fan is drawn from: each is looked at at every point."""

_FAN_BLOCK = 32
"""Paths of the fan that a device simulates together: two devices share the least that there are."""

_FAN_PATHS = 64, 512
"""Paths of the fan at least and at most: bands are of accounts and of paths."""


def path_block(platform: str) -> int:
    """Return how many paths a device of this platform simulates together, memory aside."""
    return _PATHS.get(platform, _PATHS["gpu"])


def paths_together(platform: str, memory: int, per_path: int) -> int:
    """Return how many paths one device simulates together, a power of two.

    On the CPU 64, fewer only where a book is too large for that; on a GPU as many as fit.

    Parameters
    ----------
    platform
        As JAX names it.
    memory
        Of the device, bytes; of the machine, divided by its devices, where it has none of its own.
    per_path
        As ``bytes_per_path`` returns it.
    """
    fit = max(memory // _SHARE // max(per_path, 1), _FEWEST)
    most = _PATHS["cpu"] if platform == "cpu" else _MOST
    return min(1 << (int(fit).bit_length() - 1), most)


def bytes_per_path(
    *, pools: int, positions: int = 0, assets: int = 0, steps: int = 0, variants: int = 1
) -> int:
    """Return about how many bytes a kernel holds for one more path.

    Parameters
    ----------
    pools
        Of all worlds that one call follows.
    positions
        That the kernel holds by themselves: those of the cascade.
    assets, steps
        Number of assets, and steps whose prices are held together.
    variants
        Columns that each path has.
    """
    columns = variants * (_PER_POOL * pools + _PER_POSITION * positions)
    return columns + _PER_LEVEL * assets * steps


def chunks(paths: int, block: int) -> list[range]:
    """Return the chunks of path numbers that are measured by themselves and then merged, in order.

    A chunk is some blocks of paths long, whatever the number of devices: sums are added in the same
    order wherever a chunk is simulated. Only the last one knows how many paths there are.
    """
    length = block * max(_CHUNK // block, 1)
    return [range(first, min(first + length, paths)) for first in range(0, paths, length)]


def path_blocks(paths: int, block: int, start: int = 0) -> Iterator[tuple[Integers, int]]:
    """Yield (path numbers, how many of them count): the last block is padded with further paths.

    The numbers go from ``start`` to below ``paths``.
    """
    for first in range(start, paths, block):
        numbers = np.arange(first, first + block, dtype=np.uint32)
        yield numbers, min(block, paths - first)


def device_count(paths: int, block: int, devices: int) -> int:
    """Return how many of the devices so many paths are worth.

    All of them, or with fewer blocks than devices the largest power of two that leaves none
    without a block: so a slightly different number of paths compiles nothing anew. Two at least,
    where there are two: XLA compiles for one device otherwise than for several, whose number does
    not matter, and path i must be path i however many paths there are.
    """
    blocks = -(-paths // block)
    worth = 1 << (max(blocks, 2).bit_length() - 1)
    return devices if blocks >= devices else min(worth, devices)


def time_block(steps: int) -> int:
    """Return how many steps a kernel takes together; it changes no result.

    The blocks are as even as they can be, so that the last one stands still as little as possible.
    """
    return -(-steps // -(-steps // _LONGEST_BLOCK))


def cascade_block(steps: int) -> int:
    """Return how many steps the cascade takes together; it changes no result.

    The start counts as a step. Blocks are as even as they can be.
    """
    least, most = _WATCHED
    longest = min(max(-(-(steps + 1) // _TIMES), least), most)
    return -(-(steps + 1) // -(-(steps + 1) // longest))


def fan_block(steps: int) -> int:
    """Return how many steps lie between two points of the margin-ratio fan."""
    return -(-steps // _FAN_POINTS)


def fan_paths(accounts: int) -> tuple[int, int]:
    """Return of how many paths the margin-ratio fan is, and how many a device takes together.

    Powers of two.
    """
    least, most = _FAN_PATHS
    fit = max(_FAN_PAIRS // max(accounts, 1), 1)
    return min(max(1 << (fit.bit_length() - 1), least), most), _FAN_BLOCK


def fan_accounts(accounts: Integers) -> Integers:
    """Return of how many accounts of each group the fan is; ``accounts`` (groups,) are all of them.

    Every group gives as many as any other, or all that it has: its quantiles are its own.
    """
    room = _FAN_PAIRS // _FAN_PATHS[0]
    if accounts.sum() <= room:
        return accounts
    # in the order of their sizes: a group that has less than its share leaves more to the others
    sizes = np.sort(accounts)
    before = np.cumsum(sizes) - sizes
    share = (room - before) // np.arange(len(sizes), 0, -1)
    limit = share[np.argmax(sizes > share)]
    return np.minimum(accounts, max(int(limit), 1))
