"""Between two bounds: the worst of each step's bar, and its close."""

from __future__ import annotations

import xarray as xr

from stress.report.read import dataset, estimates, has_values, labels, largest
from stress.report.section import Cell, Column, Content, Section, Table
from stress.report.text import shown

__all__ = ["SECTION"]

_WORST, _CLOSES = "liquidation_probability", "liquidation_probability_at_closes"
_MOST = 30


def _applies(tree: xr.DataTree) -> bool:
    return has_values(tree, "accounts", _CLOSES) and has_values(tree, "book", _CLOSES)


def _table(tree: xr.DataTree) -> Table:
    """Return the riskiest accounts with both bounds."""
    data = dataset(tree, "accounts")
    worst, closes, names = (
        estimates(data, _WORST),
        estimates(data, _CLOSES),
        labels(data, "account"),
    )
    rows: list[tuple[Cell, ...]] = [
        (names[index], closes.at(index), worst.at(index))
        for index in largest(worst.value, _MOST).tolist()
    ]
    columns = (
        Column("Account"),
        Column("At closes", "probability"),
        Column("At the worst of the bars", "probability"),
    )
    return Table("Bounds of the liquidation probability", columns, tuple(rows), sorted_by=2)


def _content(tree: xr.DataTree) -> Content:
    book = dataset(tree, "book")
    low, high = (shown("probability", estimates(book, name).at()) for name in (_CLOSES, _WORST))
    return Content(
        lead=(
            f"The average account is liquidated with a probability between {low}, if only the end "
            f"of each step is looked at, and {high}, if every asset stands at the worse end of "
            "its bar at once. What really happened inside the bars lies between the two: lows and "
            "highs of several assets need not have come together, and closes hide what was "
            "undone within the bar.",
        ),
        tables=(_table(tree),),
    )


SECTION = Section("extremes", "Inside the bars", _applies, _content)
