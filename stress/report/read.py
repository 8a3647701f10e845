"""Looking things up in a result tree. The report computes nothing: it selects, sorts and draws."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

__all__ = [
    "UNNAMED",
    "WORLDS",
    "Array",
    "Estimate",
    "Estimates",
    "attribute",
    "dataset",
    "estimates",
    "has",
    "has_values",
    "labels",
    "largest",
    "numbers",
    "sentences",
    "thin",
    "world_name",
    "worlds",
]

Array = NDArray[np.float64]

WORLDS = {"as-booked": "as_booked_", "cross": "cross_", "isolated": "isolated_"}
"""Mode -> prefix of its variables where it is a compared world."""

UNNAMED = "(no group)"


class Estimate(NamedTuple):
    """One number and the interval beside it; NaN bounds where it has none."""

    value: float
    lower: float = float("nan")
    upper: float = float("nan")


@dataclass(frozen=True)
class Estimates:
    """An estimate along one dimension (or several), its bounds as arrays of the same shape."""

    value: Array
    lower: Array
    upper: Array

    def at(self, *index: int) -> Estimate:
        """Return one of them."""
        return Estimate(
            float(self.value[index]), float(self.lower[index]), float(self.upper[index])
        )

    def take(self, order: NDArray[np.intp]) -> Estimates:
        """Return those at ``order`` along the first dimension."""
        return Estimates(self.value[order], self.lower[order], self.upper[order])


def attribute(tree: xr.DataTree, name: str, default: str = "") -> str:
    """Return a root attribute as text, ``default`` where it is absent."""
    return str(tree.attrs.get(name, default))


def sentences(tree: xr.DataTree, name: str) -> tuple[str, ...]:
    """Return the lines of a root attribute that holds one sentence a line."""
    return tuple(line.strip() for line in attribute(tree, name).splitlines() if line.strip())


def dataset(tree: xr.DataTree, group: str) -> xr.Dataset:
    """Return the variables of a group; an empty dataset where the result has no such group."""
    return tree[group].to_dataset() if group in tree.children else xr.Dataset()


def has(tree: xr.DataTree, group: str, *names: str) -> bool:
    """Say whether a group holds all of ``names``, and at least one element of each."""
    data = dataset(tree, group)
    return all(name in data and data[name].size > 0 for name in names)


def has_values(tree: xr.DataTree, group: str, *names: str) -> bool:
    """Say whether a group holds all of ``names``, and each has a number that is not NaN."""
    data = dataset(tree, group)
    return has(tree, group, *names) and not any(np.isnan(numbers(data, n)).all() for n in names)


def labels(data: xr.Dataset, name: str, order: NDArray[np.intp] | None = None) -> list[str]:
    """Return a text variable or a dimension's labels as strings, those at ``order`` if given."""
    # those asked for are picked first: an index of millions is slow to turn into an array
    values = data[name].variable if order is None else data[name].variable[order]
    found = [str(value) for value in values.values.tolist()]
    return [label or UNNAMED for label in found] if name.endswith("group") else found


def numbers(data: xr.Dataset, name: str) -> Array:
    """Return a numeric variable or coordinate as float64."""
    return np.asarray(data[name].values, dtype=np.float64)


def estimates(data: xr.Dataset, name: str) -> Estimates:
    """Return an estimate with its bounds; they are NaN where the result states none."""
    value = numbers(data, name)
    if f"{name}_interval" not in data:
        return Estimates(value, np.full_like(value, np.nan), np.full_like(value, np.nan))
    bounds = numbers(data, f"{name}_interval")
    return Estimates(value, bounds[..., 0], bounds[..., 1])


def largest(values: Array, most: int) -> NDArray[np.intp]:
    """Return the positions of the ``most`` largest numbers, largest first, NaN left out."""
    # A stable sort of the negated values keeps file order among ties.
    order = np.argsort(-values, kind="stable")
    return order[~np.isnan(values[order])][:most]


def thin(count: int, most: int) -> NDArray[np.intp]:
    """Return at most ``most`` positions spread evenly over ``count``, both ends kept."""
    if count <= most:
        return np.arange(count)
    return np.unique(np.linspace(0, count - 1, most).round().astype(np.intp))


def worlds(tree: xr.DataTree, group: str, name: str) -> dict[str, str]:
    """Return mode -> name of its variable, the main world first, for every world that was run."""
    main = attribute(tree, "mode", "as-booked")
    data = dataset(tree, group)
    found = {main: name} if name in data else {}
    for mode, prefix in WORLDS.items():
        if mode != main and f"{prefix}{name}" in data:
            found[mode] = f"{prefix}{name}"
    return found


def world_name(mode: str) -> str:
    """Return how a page calls a mode."""
    return {"as-booked": "as booked", "cross": "cross margin", "isolated": "isolated margin"}.get(
        mode, mode
    )
