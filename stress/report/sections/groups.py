"""Liquidation by group of accounts."""

from __future__ import annotations

import xarray as xr

from stress.report import figures
from stress.report.read import dataset, estimates, has_values, labels, largest, numbers
from stress.report.section import Cell, Column, Content, Drawing, Section, Table
from stress.report.text import Kind

__all__ = ["SECTION"]

_MOST_JOINT = 8
_MOST_GROUPS = 30

_MEASURES: tuple[tuple[str, Kind, str], ...] = (
    ("Liquidation probability, mean", "probability", "liquidation_probability"),
    ("Any liquidation", "probability", "any_liquidation_probability"),
    ("Expected net loss", "money", "expected_loss"),
)


def _applies(tree: xr.DataTree) -> bool:
    several = dataset(tree, "groups").sizes.get("group", 0) > 1
    return several and has_values(tree, "groups", "liquidation_probability")


def _overview(data: xr.Dataset, order: list[int]) -> Table:
    names, accounts = labels(data, "group"), numbers(data, "accounts")
    columns = [Column("Group"), Column("Accounts", "number")]
    parts = []
    for title, kind, name in _MEASURES:
        if name in data:
            columns.append(Column(title, kind))
            parts.append(estimates(data, name))
    rows: list[tuple[Cell, ...]] = [
        (names[group], float(accounts[group]), *(part.at(group) for part in parts))
        for group in order
    ]
    return Table("Groups, most often liquidated first", tuple(columns), tuple(rows), sorted_by=2)


def _joint(data: xr.Dataset, order: list[int]) -> Table:
    these, names = estimates(data, "joint_liquidation_probability"), labels(data, "group")
    chosen = order[:_MOST_JOINT]
    rows: list[tuple[Cell, ...]] = [
        (names[one], *(these.at(one, other) for other in chosen)) for one in chosen
    ]
    columns = (Column("Group"), *(Column(names[group], "probability") for group in chosen))
    return Table(
        "Probability that both groups have a liquidation on one path", columns, tuple(rows)
    )


def _content(tree: xr.DataTree) -> Content:
    data = dataset(tree, "groups")
    order = largest(estimates(data, "liquidation_probability").value, _MOST_GROUPS).tolist()
    tables = [_overview(data, order)]
    if "joint_liquidation_probability" in data:
        tables.append(_joint(data, order))
    total = data.sizes["group"]
    cut = () if total <= _MOST_GROUPS else (f"The {_MOST_GROUPS} worst of {total} groups.",)
    return Content(
        lead=(
            "How often an account of each group is liquidated, and how often the group loses at "
            "least one account.",
        ),
        figures=(
            Drawing(
                "liquidation-by-group",
                figures.liquidation_probability_by_group(tree),
                "Liquidation probability by the horizon, by group. Lines are intervals.",
            ),
        ),
        tables=tuple(tables),
        notes=cut,
    )


SECTION = Section("groups", "By group", _applies, _content)
