"""Labels on the findings: one ``xarray.DataTree`` as ``result.schema`` specifies it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from stress.measure.moments import Estimate
from stress.measure.world import Findings
from stress.result.schema import BOUNDS, WORLD_PREFIX, find
from stress.types import Array, Mode

__all__ = ["Labels", "assemble", "prefixed"]

Labels = Mapping[str, Sequence[Any] | Array]


def prefixed(findings: Findings, world: Mode) -> Findings:
    """Return the findings of a compared world under its prefix; what is not compared is dropped."""
    prefix = world.replace("-", "_") + "_"
    assert prefix in WORLD_PREFIX
    return {
        group: {
            prefix + name: value for name, value in variables.items() if find(group, name).compared
        }
        for group, variables in findings.items()
    }


def assemble(
    findings: Sequence[Findings],
    labels: Labels,
    group_labels: Mapping[str, Labels],
    attributes: Mapping[str, str | int | float],
    group_attributes: Mapping[str, Mapping[str, str | int | float]],
) -> xr.DataTree:
    """Build the result tree.

    Parameters
    ----------
    findings
        Estimates and arrays by result group and variable name, later ones added to earlier ones.
    labels
        Coordinate values by dimension.
    group_labels
        Coordinates that differ in one group, by group.
    attributes, group_attributes
        Attributes of the root and of groups.

    Raises
    ------
    KeyError
        If a variable is not in ``result.schema``.
    """
    merged: Findings = {}
    for part in findings:
        for group, variables in part.items():
            merged.setdefault(group, {}).update(variables)
    shared = _coordinates({**labels, "bound": BOUNDS})
    datasets: dict[str, xr.Dataset] = {"/": xr.Dataset(attrs=dict(attributes))}
    for group, variables in merged.items():
        if variables:
            here = {**shared, **_coordinates(group_labels.get(group, {}))}
            dataset = _dataset(group, variables, here)
            dataset.attrs.update(group_attributes.get(group, {}))
            datasets[f"/{group}"] = dataset
    return xr.DataTree.from_dict(datasets, name="margin-stress")


def _coordinates(labels: Labels) -> dict[str, xr.IndexVariable]:
    """Return coordinates that groups share: an index of a million labels is made once."""
    return {dim: xr.IndexVariable(dim, np.asarray(values)) for dim, values in labels.items()}


def _dataset(
    group: str,
    variables: Mapping[str, Estimate | Array],
    coordinates: Mapping[str, xr.IndexVariable],
) -> xr.Dataset:
    arrays: dict[str, tuple[tuple[str, ...], Array, dict[str, str]]] = {}
    for name, value in variables.items():
        spec = find(group, name)
        if spec.estimate and not isinstance(value, Estimate):
            raise KeyError(f"/{group}/{name} is an estimate and has no interval")
        numbers = value.value if isinstance(value, Estimate) else value
        attrs = {"long_name": spec.meaning}
        if spec.units:
            attrs["units"] = spec.units
        arrays[name] = spec.dims, np.asarray(numbers), attrs
        if isinstance(value, Estimate):
            meaning = {**attrs, "long_name": f"confidence interval of: {spec.meaning}"}
            dims = (*spec.dims, "bound")
            arrays[f"{name}_interval"] = dims, np.asarray(value.interval), meaning
    used = {dim for dims, _, _ in arrays.values() for dim in dims}
    # the path number is its position: a coordinate would only repeat it
    return xr.Dataset(arrays, {dim: coordinates[dim] for dim in coordinates if dim in used})
