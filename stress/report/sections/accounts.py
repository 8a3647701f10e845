"""Liquidation by account: how the probabilities spread, and the accounts at the top."""

from __future__ import annotations

import xarray as xr

from stress.report import figures
from stress.report.figures.style import MOST_POINTS
from stress.report.read import dataset, estimates, has_values, labels, largest
from stress.report.section import Cell, Column, Content, Drawing, Section, Table

__all__ = ["SECTION"]

_WORST = 30
_MOST_HIDDEN = 20


def _applies(tree: xr.DataTree) -> bool:
    return has_values(tree, "accounts", "liquidation_probability")


def _hidden(tree: xr.DataTree) -> tuple[Table, ...]:
    """Return the accounts that are in hidden distress at any look, the longest first."""
    if not has_values(tree, "accounts", "hidden_distress"):
        return ()
    data = dataset(tree, "accounts")
    share = estimates(data, "hidden_distress")
    order = largest(share.value, _MOST_HIDDEN)
    order = order[share.value[order] > 0]
    if not len(order):
        return ()
    total = int((share.value > 0).sum())
    rows: list[tuple[Cell, ...]] = [
        (name, group, share.at(account))
        for name, group, account in zip(
            labels(data, "account", order), labels(data, "group", order), order, strict=True
        )
    ]
    columns = (Column("Account"), Column("Group"), Column("Share of looks", "probability"))
    some = f"the {len(order)} longest of {total:,}" if total > len(order) else "longest first"
    return (Table(f"Hidden distress, {some}", columns, tuple(rows), sorted_by=2),)


_DISTRESS = (
    "Hidden distress: the margin ratio of the account's cross pool is above the warning although "
    "each position, valued by itself as an isolated one, looks healthy (below a half)."
)


def _content(tree: xr.DataTree) -> Content:
    accounts = dataset(tree, "accounts").sizes["account"]
    drawings = []
    if accounts > 1:
        thinned = (
            f" Of {accounts:,} accounts about {MOST_POINTS:,} are drawn, evenly over the ranks."
            if accounts > MOST_POINTS
            else ""
        )
        drawings.append(
            Drawing(
                "ranked-accounts",
                figures.ranked_accounts(tree),
                "Every account's liquidation probability, the accounts of a group ranked from the "
                "worst: a tenth of the group is at least as likely to be liquidated as the curve "
                f"says at 10 % across. Shaded: each account's interval.{thinned}",
            )
        )
    worst = (
        f"The {_WORST} accounts liquidated most often"
        if accounts > _WORST
        else "All accounts, those liquidated most often first"
    )
    drawings.append(
        Drawing(
            "worst-accounts",
            figures.worst_accounts(tree, accounts=_WORST),
            f"{worst}. Lines are intervals; overlapping ones do not settle an order.",
        )
    )
    hidden = _hidden(tree)
    return Content(
        lead=("Whose liquidation is likely, and how the risk spreads over the accounts.",),
        figures=tuple(drawings),
        tables=hidden,
        notes=(_DISTRESS,) if hidden else (),
    )


SECTION = Section("accounts", "By account", _applies, _content)
