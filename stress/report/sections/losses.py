"""The distribution of losses over paths."""

from __future__ import annotations

import xarray as xr

from stress.report import figures
from stress.report.read import dataset, estimates, has, has_values, numbers
from stress.report.section import Cell, Column, Content, Drawing, Section, Table
from stress.report.text import level_name

__all__ = ["SECTION"]

_MEASURES = (
    ("Total loss, value at risk", "total_loss_value_at_risk"),
    ("Total loss, expected shortfall", "total_loss_expected_shortfall"),
    ("Net loss, value at risk", "net_loss_value_at_risk"),
    ("Net loss, expected shortfall", "net_loss_expected_shortfall"),
    ("Uncovered loss, value at risk", "uncovered_loss_value_at_risk"),
    ("Cascade loss, value at risk", "cascade_loss_value_at_risk"),
    ("Cascade loss, expected shortfall", "cascade_loss_expected_shortfall"),
    ("Fund draw, value at risk", "fund_draw_value_at_risk"),
)


def _has_distribution(tree: xr.DataTree, loss: str) -> bool:
    return has(tree, "distribution", f"{loss}_loss_edges", f"{loss}_loss_paths")


def _applies(tree: xr.DataTree) -> bool:
    return _has_distribution(tree, "total") or _has_distribution(tree, "net")


def _table(tree: xr.DataTree) -> tuple[Table, ...]:
    book = dataset(tree, "book")
    found = [(title, name) for title, name in _MEASURES if has(tree, "book", name)]
    if not found:
        return ()
    levels = numbers(book, "level")
    rows: list[tuple[Cell, ...]] = [
        (title, *(estimates(book, name).at(index) for index in range(len(levels))))
        for title, name in found
    ]
    columns = (
        Column("Measure"),
        *(Column(f"Level {level_name(level)}", "money") for level in levels),
    )
    return (Table("Tail of the losses", columns, tuple(rows)),)


def _content(tree: xr.DataTree) -> Content:
    drawings = []
    if _has_distribution(tree, "total"):
        drawings.append(
            Drawing(
                "total-loss",
                figures.loss_distribution(tree, "total"),
                "Paths by total loss, the sum of what losing accounts lose: gains of others do not "
                "count. Value at risk (VaR) and expected shortfall (ES) are marked.",
            )
        )
    if _has_distribution(tree, "net"):
        drawings.append(
            Drawing(
                "net-loss",
                figures.loss_distribution(tree, "net"),
                "Paths by net loss: losses less gains of all accounts. A book that is long and "
                "short alike gains on one side what it loses on the other.",
            )
        )
    if has_values(tree, "distribution", "cascade_loss_edges", "cascade_loss_paths"):
        drawings.append(
            Drawing(
                "cascade-loss",
                figures.cascade_loss_distribution(tree),
                "Paths by cascade loss, what feedback adds to their total loss. Below zero, prices "
                "that came back saved more than forced orders cost.",
            )
        )
    return Content(
        lead=(
            "What the accounts lose over the horizon. Value at risk is the loss that is exceeded "
            "on one path in twenty (at 95 %) or in a hundred (at 99 %); expected shortfall is the "
            "mean of the paths beyond it.",
        ),
        figures=tuple(drawings),
        tables=_table(tree),
    )


SECTION = Section("losses", "Losses", _applies, _content)
