"""Rows of measures for the tables in which several kinds of numbers share a column."""

from __future__ import annotations

from typing import TypeAlias

import xarray as xr

from stress.report.figures.shares import mean_count
from stress.report.read import Estimate, Estimates, dataset, estimates, has, numbers
from stress.report.section import Cell
from stress.report.text import MISSING, Kind, Shown, level_name, shown

__all__ = ["COUNT", "Measure", "has_differences", "is_above_zero", "measure_rows", "side_by_side"]

COUNT: Kind = "number"
"""A mean number of things, written with its interval."""

Measure: TypeAlias = tuple[str, Kind, str]
"""Title, kind and name of a variable."""

_Indices: TypeAlias = list[tuple[str, tuple[int, ...]]]


def measure_rows(tree: xr.DataTree, group: str, measures: tuple[Measure, ...]) -> list[list[Cell]]:
    """Return title and estimate of each measure that the group holds, one row a level."""
    data = dataset(tree, group)
    return [
        [row, _written(kind, estimates(data, name).at(*index))]
        for title, kind, name in measures
        if has(tree, group, name)
        for row, index in _levels(data, name, title)
    ]


def side_by_side(
    tree: xr.DataTree, group: str, columns: int, measures: tuple[Measure, ...]
) -> list[list[Cell]]:
    """Return title, the estimates along the group's first dimension, and their difference.

    The difference is the paired one that the result holds, a dash where it holds none. A result
    that holds none at all has no cell for it.
    """
    data, rows = dataset(tree, group), []
    differ = has_differences(tree, group, measures)
    for title, kind, name in measures:
        if not has(tree, group, name):
            continue
        these = estimates(data, name)
        paired = f"{name}_difference"
        apart = estimates(data, paired) if has(tree, group, paired) else None
        for row, index in _levels(data, name, title):
            cells: list[Cell] = [_written(kind, these.at(at, *index)) for at in range(columns)]
            rows.append([row, *cells, *([_difference(kind, apart, index)] if differ else [])])
    return rows


def has_differences(tree: xr.DataTree, group: str, measures: tuple[Measure, ...]) -> bool:
    """Say whether the group holds a paired difference of any of the measures."""
    return any(has(tree, group, f"{name}_difference") for *_, name in measures)


def is_above_zero(tree: xr.DataTree, group: str, name: str) -> bool:
    """Say whether the group holds an estimate without dimensions, and it is above zero."""
    return has(tree, group, name) and float(estimates(dataset(tree, group), name).value) > 0


def _levels(data: xr.Dataset, name: str, title: str) -> _Indices:
    if "level" not in data[name].dims:
        return [(title, ())]
    levels = numbers(data, "level")
    return [(f"{title}, {level_name(float(at))}", (row,)) for row, at in enumerate(levels)]


def _difference(kind: Kind, apart: Estimates | None, index: tuple[int, ...]) -> Shown:
    if apart is None:
        return Shown(MISSING)
    return _written("difference" if kind == "probability" else kind, apart.at(*index))


def _written(kind: Kind, estimate: Estimate) -> Shown:
    return mean_count(estimate) if kind == COUNT else shown(kind, estimate)
