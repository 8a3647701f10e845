"""Whose forced flow liquidates whom."""

from __future__ import annotations

import xarray as xr

from stress.report import figures
from stress.report.figures.caused_liquidations import feedback_groups
from stress.report.figures.shares import mean_count
from stress.report.read import dataset, estimates, has_values, labels
from stress.report.section import Cell, Column, Content, Drawing, Section, Table

__all__ = ["SECTION"]

_MARKET = "market_liquidations"


def _applies(tree: xr.DataTree) -> bool:
    return has_values(tree, "groups", "caused_liquidations", "feedback_liquidations")


def _table(tree: xr.DataTree) -> Table:
    data, order = dataset(tree, "groups"), feedback_groups(tree).tolist()
    names = labels(data, "group")
    columns = [Column("Group liquidated")]
    parts = []
    for title, name in (("By the market alone", _MARKET), ("By feedback", "feedback_liquidations")):
        if name in data:
            columns.append(Column(title, "number"))
            parts.append(estimates(data, name))
    columns += [Column(f"Charged to {names[other]}", "number") for other in order]
    caused = estimates(data, "caused_liquidations")
    rows: list[tuple[Cell, ...]] = [
        (
            names[group],
            *(mean_count(part.at(group)) for part in parts),
            *(mean_count(caused.at(group, other)) for other in order),
        )
        for group in order
    ]
    return Table("Pools liquidated on a path, mean", tuple(columns), tuple(rows))


def _drawings(tree: xr.DataTree) -> tuple[Drawing, ...]:
    data = dataset(tree, "groups")
    if data.sizes["group"] < 2 or not (estimates(data, "caused_liquidations").value > 0).any():
        return ()
    return (
        Drawing(
            "caused-liquidations",
            figures.caused_liquidations(tree),
            "Pools liquidated on a path because of feedback, mean: a row is the group that is "
            "liquidated, a column the group whose forced flow is charged with it.",
        ),
    )


def _content(tree: xr.DataTree) -> Content:
    data = dataset(tree, "groups")
    drawn, total = len(feedback_groups(tree)), data.sizes["group"]
    cut = (
        f"The {drawn} of {total} groups that feedback liquidates most of are shown, as rows and as "
        "columns."
    )
    none = not (estimates(data, "feedback_liquidations").value > 0).any()
    return Content(
        lead=(
            "A liquidation that does not happen on the same path without feedback was caused by "
            "forced flow. It is charged to the groups whose orders had moved the prices of what "
            "was liquidated, in proportion to their share of that flow. All others are the "
            "market's: they happen without feedback too.",
            *(("Feedback liquidates no pool on any path.",) if none else ()),
        ),
        figures=_drawings(tree),
        tables=(_table(tree),),
        notes=(cut,) if drawn < total else (),
    )


SECTION = Section("caused", "Who causes whose liquidations", _applies, _content)
