"""The book's main measures under every margin mode that was run."""

from __future__ import annotations

import xarray as xr

from stress.report.read import dataset, estimates, numbers, world_name, worlds
from stress.report.section import Cell, Column, Content, Section, Table
from stress.report.text import Kind, level_name

__all__ = ["SECTION"]

_MEASURES: tuple[tuple[str, Kind, str], ...] = (
    ("Liquidation probability, mean", "probability", "liquidation_probability"),
    ("Any liquidation", "probability", "any_liquidation_probability"),
    ("Expected total loss", "money", "expected_total_loss"),
    ("Expected cascade loss", "money", "expected_cascade_loss"),
    ("Fund exhausted", "probability", "fund_exhaustion_probability"),
    ("Expected liquidated notional", "money", "expected_liquidated_notional"),
    ("Expected net loss", "money", "expected_net_loss"),
    ("Shortfall of total loss", "money", "total_loss_expected_shortfall"),
    ("Expected uncovered loss", "money", "expected_uncovered_loss"),
)


def _applies(tree: xr.DataTree) -> bool:
    return len(worlds(tree, "book", "liquidation_probability")) > 1


def _content(tree: xr.DataTree) -> Content:
    book = dataset(tree, "book")
    modes = list(worlds(tree, "book", "liquidation_probability"))
    rows: list[list[Cell]] = [[world_name(mode)] for mode in modes]
    columns = [Column("Margin")]
    for title, kind, name in _MEASURES:
        found = worlds(tree, "book", name)
        if set(found) != set(modes):
            continue
        last: tuple[int, ...] = ()
        level = ""
        if "level" in book[name].dims:
            last = (int(numbers(book, "level").argmax()),)
            level = f", {level_name(float(numbers(book, 'level')[last[0]]))}"
        columns.append(Column(title + level, kind))
        for row, mode in zip(rows, modes, strict=True):
            row.append(estimates(book, found[mode]).at(*last))
    return Content(
        lead=(
            "The same book on the same paths under each margin mode. The first row is the mode of "
            "every other section. Intervals of two rows move together, so they may overlap where "
            "the paired difference is certain.",
        ),
        tables=(Table("The book by margin mode", tuple(columns), tuple(map(tuple, rows))),),
    )


SECTION = Section("worlds", "The book under each margin mode", _applies, _content)
