"""Liquidation by account: how the probabilities spread, and the accounts at the top."""

from __future__ import annotations

import xarray as xr

from stress.report import figures
from stress.report.figures.style import MOST_POINTS
from stress.report.read import dataset, has_values
from stress.report.section import Content, Drawing, Section

__all__ = ["SECTION"]

_WORST = 30


def _applies(tree: xr.DataTree) -> bool:
    return has_values(tree, "accounts", "liquidation_probability")


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
    return Content(
        lead=("Whose liquidation is likely, and how the risk spreads over the accounts.",),
        figures=tuple(drawings),
    )


SECTION = Section("accounts", "By account", _applies, _content)
