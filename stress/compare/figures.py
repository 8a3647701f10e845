"""Figures of a comparison."""

from __future__ import annotations

import numpy as np

from stress.report.figures.style import GREY, STYLES, blank, dots, label, name_axis, rows_height
from stress.report.read import Estimate, Estimates
from stress.report.section import Drawing
from stress.report.text import shown
from stress.result.comparison import AccountChange, Comparison

__all__ = ["account_figures"]

_MOST = 30


def account_figures(comparison: Comparison) -> tuple[Drawing, ...]:
    """Return the changes of the accounts that changed most, as dots with their intervals."""
    some = comparison.accounts.most[:_MOST]
    if not some:
        return ()
    figure = blank(rows_height(len(some)))
    known = np.array([of.verdict in ("up", "down") for of in some])
    for name, these, style in (
        ("up or down", known, STYLES[0]),
        ("no difference can be told", ~known, STYLES[-1]),
    ):
        rows = np.flatnonzero(these)
        if len(rows):
            figure.add_trace(
                dots(
                    _estimates([some[row] for row in rows]),
                    rows.astype(float),
                    name=name,
                    style=style,
                    hover=[_said(some[row]) for row in rows],
                    legend=True,
                )
            )
    figure.update_yaxes(**name_axis([of.account for of in some]))
    figure.update_xaxes(title_text="change of the liquidation probability (points)")
    figure.add_vline(x=0, line={"color": GREY, "width": 1.5})
    caption = (
        "Liquidation probability in B minus A, the largest changes first; the intervals of all "
        "accounts hold together."
    )
    return (Drawing("account-changes", figure, caption),)


def _estimates(some: list[AccountChange]) -> Estimates:
    """Return changes in percentage points."""
    changes = [(of.change.estimate, of.change.lower, of.change.upper) for of in some]
    numbers = 100 * np.array(changes)
    return Estimates(numbers[:, 0], numbers[:, 1], numbers[:, 2])


def _said(of: AccountChange) -> str:
    change = Estimate(of.change.estimate, of.change.lower, of.change.upper)
    return f"{label(of.account)}: {shown('difference', change)}"
