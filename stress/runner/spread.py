"""Blocks of paths over the devices of one machine: one mesh, one compilation, one block each.

Every device runs the same kernel on a block of paths of its own, and no device hears of another:
``shard_map`` over the path numbers compiles once what they all run. What comes back is handed to
the measures device by device, in the order of the paths: sums are added in one order whatever the
number of devices, and the columns of a block (variants beside paths) stay as the kernel has them.

Any number of devices from two up gives the same digits. For one device XLA has other passes
(JAX 0.10.2): there a cascade may differ in the last digit, and ``runner.plan`` never takes one
where there are two.

Buffers are not donated: nothing that goes in has the shape of anything that comes out. What a
kernel carries from step to step XLA changes in place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from stress.engine.block import Schedule
from stress.market import Constant, ModelSource
from stress.market.overlay import OverlaidSource
from stress.runner.resampling import ResamplingSource
from stress.types import Integers

__all__ = ["Kernel", "Models", "Spread", "Work", "compiled", "mesh_of", "on_host", "spread_out"]

_AXIS = "paths"
_SAME, _SPLIT = PartitionSpec(), PartitionSpec(_AXIS)


def mesh_of(devices: Sequence[jax.Device]) -> Mesh:
    """Return the mesh of these devices along one axis.

    The axis is ``Auto``: with explicit axes, JAX's default, scans over random keys fail (0.10.2).
    """
    axis_types = (AxisType.Auto,)
    return jax.make_mesh((len(devices),), (_AXIS,), axis_types=axis_types, devices=devices)


@dataclass(frozen=True)
class Spread:
    """Devices side by side.

    Attributes
    ----------
    mesh
        The devices along one axis.
    block
        Paths that each simulates at a time.
    """

    mesh: Mesh
    block: int

    @classmethod
    def over(cls, devices: Sequence[jax.Device], block: int) -> Spread:
        """Return so many paths at a time on each of the devices."""
        return cls(mesh_of(devices), block)

    def fewer(self, devices: int, block: int) -> Spread:
        """Return the first of the devices, with other blocks; the same where nothing differs."""
        if (devices, block) == (self.devices, self.block):
            return self
        return Spread.over(self.mesh.devices.flat[:devices].tolist(), block)

    @property
    def devices(self) -> int:
        """Number of devices."""
        return self.mesh.size

    @property
    def width(self) -> int:
        """Paths that all devices simulate together."""
        return self.devices * self.block

    def apart(self, numbers: Integers) -> list[Integers]:
        """Return the (block,) path numbers of each device, of (width,) in the order of paths."""
        return list(numbers.reshape(self.devices, self.block))

    def counts(self, count: int) -> list[int]:
        """Return how many paths of each device count, if the first ``count`` of all do."""
        return [
            min(max(count - first, 0), self.block) for first in range(0, self.width, self.block)
        ]

    def share(self, tree: Any) -> Any:
        """Give every device all of a pytree of arrays."""
        return jax.device_put(tree, NamedSharding(self.mesh, _SAME))

    def deal(self, trees: Sequence[Any]) -> Any:
        """Give every device its own pytree; they are stacked along a new first axis."""
        leaves = [jax.tree.leaves(tree) for tree in trees]
        return jax.tree.unflatten(
            jax.tree.structure(trees[0]), [self._stack(each) for each in zip(*leaves, strict=True)]
        )

    def _stack(self, each: Sequence[Any]) -> jax.Array:
        """Return (devices, ...) one array of one a device, which stays where it is to be used."""
        rows = [
            jax.device_put(leaf[None], device)
            for leaf, device in zip(each, self.mesh.devices.flat, strict=True)
        ]
        shape = (self.devices, *each[0].shape)
        sharding = NamedSharding(self.mesh, _SPLIT)
        return jax.make_array_from_single_device_arrays(shape, sharding, rows)


class Models:
    """The price model of every device's block of paths.

    A model that is the same for all paths is put on the devices once; another's arrays go to the
    device that needs them, block by block.
    """

    def __init__(self, source: ModelSource, spread: Spread) -> None:
        self._source, self._spread = source, spread
        self.is_shared = _is_same_for_all(source)
        self._shared = None
        if self.is_shared:
            self._shared = spread.share(source.block(_first(spread.block)))

    def block(self, numbers: Integers) -> Any:
        """Return the model of (width,) paths, as ``Kernel`` takes it."""
        if self.is_shared:
            return self._shared
        models = [self._source.block(own) for own in self._spread.apart(numbers)]
        return self._spread.deal(models)


def _is_same_for_all(source: ModelSource) -> bool:
    if isinstance(source, OverlaidSource):
        return _is_same_for_all(source.source)
    return isinstance(source, (Constant, ResamplingSource))


def _first(paths: int) -> Integers:
    return np.arange(paths, dtype=np.uint32)


class Work(NamedTuple):
    """What is to be compiled.

    Attributes
    ----------
    function
        A kernel of the engine: ``function(model, *before, paths, *own, *behind, schedule=...)``.
    spread, models
        The devices, and what gives each its price model.
    before, behind
        Arguments that are the same for all devices.
    own
        Number of arguments behind the paths that every device has its own of: 32-bit integers.
    schedule
        What it is specialised to.
    """

    function: Callable[..., Any]
    spread: Spread
    models: Models
    before: tuple[Any, ...]
    schedule: Schedule
    own: int = 0
    behind: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Kernel:
    """A compiled kernel with what is the same in every call of it."""

    executable: Any
    spread: Spread
    before: Any
    behind: Any

    def __call__(self, model: Any, numbers: Integers, *own: int) -> list[Any]:
        """Begin with (width,) paths and return at once: one outcome a device, in order.

        Parameters
        ----------
        model
            As ``Models`` of the same devices returns it.
        own
            Numbers that every device is given besides; the same for all here.
        """
        each = tuple(np.full(self.spread.devices, number, np.int32) for number in own)
        outcome = self.executable(model, self.before, numbers, each, self.behind)
        outcomes = [
            jax.tree.map(lambda leaf, place=place: leaf.addressable_data(place), outcome)
            for place in range(self.spread.devices)
        ]
        # a GPU sends what it has while it works on: on the CPU nothing is copied
        for leaf in jax.tree.leaves(outcomes):
            leaf.copy_to_host_async()
        return outcomes


def on_host(outcome: Any) -> Any:
    """Return one device's outcome as NumPy arrays, when it is there."""
    return jax.tree.map(lambda leaf: np.asarray(leaf)[0], outcome)


def compiled(*works: Work) -> list[Kernel]:
    """Return kernels, compiled side by side: XLA lets other threads run, tracing does not."""
    placed = [work.spread.share((work.before, work.behind)) for work in works]
    with ThreadPoolExecutor(max(len(works), 1)) as threads:
        # one is traced while those before it are being compiled
        waiting = [
            threads.submit(_lowered(work, *there).compile)
            for work, there in zip(works, placed, strict=True)
        ]
        return [
            Kernel(executable.result(), work.spread, *there)
            for executable, work, there in zip(waiting, works, placed, strict=True)
        ]


def _lowered(work: Work, before: Any, behind: Any) -> Any:
    spread, split = work.spread, NamedSharding(work.spread.mesh, _SPLIT)
    paths = jax.ShapeDtypeStruct((spread.width,), np.uint32, sharding=split)
    own = (jax.ShapeDtypeStruct((spread.devices,), np.int32, sharding=split),) * work.own
    over = spread_out(work.function, spread.mesh, work.models.is_shared, work.schedule)
    return over.lower(work.models.block(_first(spread.width)), before, paths, own, behind)


@cache
def spread_out(function: Callable[..., Any], mesh: Any, is_shared: bool, schedule: Schedule) -> Any:
    """Return ``(model, before, paths, own, behind) -> outcome`` over all devices of a mesh.

    Kept, so that JAX finds what it traced and compiled before for the same shapes.

    Parameters
    ----------
    function
        As in ``Work``.
    mesh
        Concrete, or abstract to lower for devices that are not there.
    is_shared
        Whether the model is the same for all devices; otherwise its arrays have one more axis, the
        devices, in front.
    schedule
        What the kernel is specialised to.

    Returns
    -------
    A jitted function. The leaves of its outcome have the devices as their first axis.
    """

    def on_one_device(model: Any, before: Any, paths: Any, own: Any, behind: Any) -> Any:
        mine = model if is_shared else _row(model)
        outcome = function(mine, *before, paths, *_row(own), *behind, schedule=schedule)
        return jax.tree.map(lambda leaf: leaf[None], outcome)

    on_one_device.__name__ = function.__name__
    model = _SAME if is_shared else _SPLIT
    # check_vma: kernels know nothing of meshes, and nothing passes between devices
    spread = jax.shard_map(
        on_one_device,
        mesh=mesh,
        in_specs=(model, _SAME, _SPLIT, _SPLIT, _SAME),
        out_specs=_SPLIT,
        check_vma=False,
    )
    return jax.jit(spread)


def _row(tree: Any) -> Any:
    """Return a device's own of what was stacked for it."""
    return jax.tree.map(lambda leaf: leaf[0], tree)
