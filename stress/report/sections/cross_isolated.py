"""Cross against isolated margin on the same paths."""

from __future__ import annotations

import numpy as np
import xarray as xr

from stress.report import figures
from stress.report.figures.style import MOST_POINTS
from stress.report.read import Estimate, Estimates, dataset, estimates, has_values, labels
from stress.report.section import Cell, Column, Content, Drawing, Section, Table
from stress.report.text import shown

__all__ = ["SECTION"]

_CROSS, _ISOLATED = "cross_liquidation_probability", "isolated_liquidation_probability"
_MOST_GROUPS = 30


def _applies(tree: xr.DataTree) -> bool:
    return has_values(tree, "accounts", _CROSS, _ISOLATED)


def _sentence(name: str, difference: Estimate) -> str:
    """Say which mode liquidates less, and whether the paths settle it."""
    size = shown("difference", difference)
    if np.isnan(difference.value):
        return f"{name}: no account can be compared."
    if difference.lower > 0 or difference.upper < 0:
        less = "cross" if difference.value < 0 else "isolated"
        return f"{name}: {less} margin liquidates less; {size}, the interval excludes zero."
    if difference == (0, 0, 0):
        return f"{name}: both modes liquidate the same accounts on the same paths."
    return (
        f"{name}: the paths do not settle which mode liquidates less; {size}, the interval "
        "includes zero."
    )


def _table(data: xr.Dataset, difference: Estimates) -> Table:
    cross, isolated, names = (
        estimates(data, _CROSS),
        estimates(data, _ISOLATED),
        labels(data, "group"),
    )
    rows: list[tuple[Cell, ...]] = [
        (name, cross.at(index), isolated.at(index), difference.at(index))
        for index, name in enumerate(names[:_MOST_GROUPS])
    ]
    columns = (
        Column("Group"),
        Column("Cross", "probability"),
        Column("Isolated", "probability"),
        Column("Cross minus isolated", "difference"),
    )
    return Table("Mean liquidation probability by group and margin mode", columns, tuple(rows))


def _scatter(tree: xr.DataTree) -> tuple[Drawing, str]:
    """Return the accounts as points, and a sentence about those that are not among them."""
    data = dataset(tree, "accounts")
    both = estimates(data, _CROSS).value + estimates(data, _ISOLATED).value
    accounts, missing = len(both), int(np.isnan(both).sum())
    cut = (
        f" Of {accounts:,} accounts {MOST_POINTS:,} are drawn: the worst {MOST_POINTS // 2:,} "
        "under either mode and others spread evenly over the ranks."
        if accounts - missing > MOST_POINTS
        else ""
    )
    drawing = Drawing(
        "cross-against-isolated",
        figures.cross_against_isolated(tree),
        "Each account under isolated (across) and cross margin (up). Under the dotted line cross "
        f"margin is the safer one.{cut}",
    )
    absent = (
        f"Accounts without a counterpart under the other mode, which are left out: {missing:,}."
    )
    return drawing, absent if missing else ""


def _content(tree: xr.DataTree) -> Content:
    book, groups = dataset(tree, "book"), dataset(tree, "groups")
    lines, tables = [], []
    if "cross_minus_isolated" in book:
        lines.append(_sentence("The whole book", estimates(book, "cross_minus_isolated").at()))
    scatter, absent = _scatter(tree)
    drawings = [scatter]
    if has_values(tree, "groups", "cross_minus_isolated", _CROSS, _ISOLATED):
        difference = estimates(groups, "cross_minus_isolated")
        names = labels(groups, "group")[:_MOST_GROUPS]
        if len(names) > 1:
            lines += [_sentence(name, difference.at(index)) for index, name in enumerate(names)]
        tables.append(_table(groups, difference))
        drawings.append(
            Drawing(
                "cross-minus-isolated",
                figures.cross_minus_isolated(tree),
                "Difference in mean liquidation probability, paired path by path, by group. Left "
                "of zero cross margin liquidates less. Lines are intervals.",
            )
        )
    return Content(
        lead=(
            "Every account was run on the same price paths under cross margin, where all its "
            "positions share one collateral, and under isolated margin, where each has its own. "
            "Under isolated margin an account counts as liquidated when any of its positions is.",
        ),
        items=tuple(lines),
        figures=tuple(drawings),
        tables=tuple(tables),
        notes=(absent,) if absent else (),
    )


SECTION = Section("cross-isolated", "Cross against isolated on the same paths", _applies, _content)
