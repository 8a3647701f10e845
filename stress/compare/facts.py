"""What a comparison asks of a result: its scenario, its labels, its numbers."""

from __future__ import annotations

import tomllib
from typing import Any

import numpy as np
import xarray as xr

from stress.result.comparison import Bounded, Run
from stress.types import Array, Floats

__all__ = [
    "bounded",
    "design_effect",
    "group_of",
    "inputs_of",
    "labels",
    "numbers",
    "run_of",
    "scenario_of",
]


def run_of(tree: xr.DataTree, folder: str) -> Run:
    """Return the facts of a run that stand in the root of its result."""
    attrs = tree.attrs
    return Run(
        name=str(attrs.get("title", "")),
        folder=folder,
        created_at=str(attrs.get("created_at", "")),
        as_of=str(attrs.get("as_of", "")),
        scenario_sha256=str(attrs.get("scenario_sha256", "")),
        seed=int(attrs["seed"]),
        paths=int(attrs["paths"]),
        accounts=int(attrs["accounts"]),
        positions=len(labels(tree, "positions", "position")),
        confidence=float(attrs["confidence"]),
    )


def scenario_of(tree: xr.DataTree) -> dict[str, Any]:
    """Return the resolved scenario of a run without its inputs; empty where it cannot be read."""
    content = _toml(tree)
    content.pop("inputs", None)
    return content


def inputs_of(tree: xr.DataTree) -> dict[str, str]:
    """Return the SHA-256 of every input file of a run by its path."""
    found = _toml(tree).get("inputs", {})
    if isinstance(found, dict) and found:
        return {str(path): str(digest) for path, digest in found.items()}
    lines = str(tree.attrs.get("input_sha256", "")).splitlines()
    pairs = [line.partition(" ") for line in lines]
    return {path: digest for digest, _, path in pairs if path}


def _toml(tree: xr.DataTree) -> dict[str, Any]:
    try:
        return tomllib.loads(str(tree.attrs.get("scenario_toml", "")))
    except (tomllib.TOMLDecodeError, RecursionError):
        return {}


def design_effect(tree: xr.DataTree) -> float:
    """Return the paths of a run that are worth one independent path."""
    return max(float(tree.attrs.get("design_effect", 1.0)), 1.0)


def group_of(tree: xr.DataTree, group: str) -> xr.Dataset:
    """Return the variables of a group; an empty dataset where the result has no such group."""
    return tree[group].to_dataset() if group in tree.children else xr.Dataset()


def labels(tree: xr.DataTree, group: str, name: str) -> Array:
    """Return a text variable, or a dimension's labels, of a group; none where it has none."""
    data = group_of(tree, group)
    return np.asarray(data[name].values, dtype=str) if name in data else np.array([], dtype=str)


def numbers(data: xr.Dataset, name: str) -> Floats:
    """Return a variable as float64."""
    return np.asarray(data[name].values, dtype=np.float64)


def bounded(value: Any, bounds: Any) -> Bounded:
    """Return one estimate with its (2,) interval."""
    lower, upper = (float(bound) for bound in bounds)
    return Bounded(float(value), lower, upper)
