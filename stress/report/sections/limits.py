"""The declared limits: kept, breached or not resolved."""

from __future__ import annotations

import xarray as xr

from stress.report.read import dataset, estimates, has, labels, numbers
from stress.report.section import Cell, Column, Content, Section, Table
from stress.report.text import Kind, joined, shown

__all__ = ["SECTION"]

_VERDICTS = ("breached", "not resolved", "kept")


def _applies(tree: xr.DataTree) -> bool:
    return has(tree, "limits", "value")


def _kind(name: str) -> Kind:
    """Return how a limit's numbers are written: its name says what it limits."""
    if "probability" in name:
        return "probability"
    return "ratio" if "number" in name or "ratio" in name else "money"


def _verdict(breached: bool, resolved: bool) -> str:
    if breached:
        return "breached"
    return "kept" if resolved else "not resolved"


def _lead(verdicts: list[str]) -> str:
    counted = [
        f"{verdicts.count(verdict)} {verdict}" for verdict in _VERDICTS if verdict in verdicts
    ]
    many = "limit" if len(verdicts) == 1 else "limits"
    return f"Of {len(verdicts)} declared {many}: {joined(counted)}."


def _content(tree: xr.DataTree) -> Content:
    data = dataset(tree, "limits")
    values, thresholds = estimates(data, "value"), numbers(data, "threshold")
    names = labels(data, "limit")
    where = labels(data, "where") if "where" in data else [""] * len(names)
    verdicts = [
        _verdict(bool(breached), bool(resolved))
        for breached, resolved in zip(data["breached"].values, data["resolved"].values, strict=True)
    ]
    rows: list[tuple[Cell, ...]] = []
    for index, name in enumerate(names):
        # Limits of several kinds share the columns, so each number is written here.
        kind = _kind(name)
        value, limit = shown(kind, values.at(index)), shown(kind, float(thresholds[index]))
        rows.append((name, verdicts[index], value, limit, where[index] or "whole book"))
    columns = (
        Column("Limit"),
        Column("Verdict", "verdict"),
        Column("Estimate", "number"),
        Column("Threshold", "number"),
        Column("Attained by"),
    )
    order = sorted(range(len(rows)), key=lambda row: _VERDICTS.index(verdicts[row]))
    return Content(
        lead=(_lead(verdicts),),
        tables=(Table("Declared limits", columns, tuple(rows[row] for row in order)),),
        notes=(
            "Breached: the estimate is over the threshold. Kept: the upper end of its interval is "
            "not. Not resolved: the estimate is under the threshold and the upper end over; more "
            "paths would decide. Intervals of a maximum over accounts or groups are widened for "
            "the number of them.",
        ),
    )


SECTION = Section("limits", "Limits", _applies, _content)
