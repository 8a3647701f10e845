"""One leader on one set of marks against shards, or a leader who sees them late."""

from __future__ import annotations

import xarray as xr

from stress.report.figures.shares import mean_count
from stress.report.read import Estimate, dataset, estimates, has, has_values, labels
from stress.report.section import Cell, Column, Content, Section, Table
from stress.report.sections.measures import Measure, has_differences, side_by_side
from stress.report.text import shown

__all__ = ["SECTION"]

_MEASURES: tuple[Measure, ...] = (
    ("Liquidation probability, mean", "probability", "liquidation_probability"),
    ("At least one liquidation", "probability", "any_liquidation_probability"),
    ("Expected total loss", "money", "expected_total_loss"),
    ("Expected cascade loss", "money", "expected_cascade_loss"),
    ("Expected uncovered loss", "money", "expected_uncovered_loss"),
    ("Expected liquidated notional", "money", "expected_liquidated_notional"),
)

_ERRORS = (
    (
        "False liquidations",
        "expected_false_liquidations",
        "orders to close a pool that is not in breach on the marks of that moment",
    ),
    (
        "Over-closed notional",
        "expected_over_closed_notional",
        "what shards close beyond what a leader without delay closes in the same round",
    ),
    (
        "Late steps",
        "expected_late_steps",
        "a pool is in breach when a step begins, and nobody acts on it",
    ),
)


def _applies(tree: xr.DataTree) -> bool:
    return has_values(tree, "decision", "liquidation_probability")


def _table(tree: xr.DataTree) -> Table:
    names = labels(dataset(tree, "decision"), "decision")
    rows = side_by_side(tree, "decision", len(names), _MEASURES)
    columns = [Column("Measure"), *(Column(name.capitalize(), "number") for name in names)]
    if has_differences(tree, "decision", _MEASURES):
        between = f"{names[1]} minus {names[0]}" if len(names) == 2 else "difference"
        columns.append(Column(between.capitalize(), "number"))
    return Table("The same book, the same paths", tuple(columns), tuple(map(tuple, rows)))


def _errors(tree: xr.DataTree) -> tuple[Table, ...]:
    """Return what is decided wrongly for want of the marks of the moment."""
    book, rows = dataset(tree, "book"), list[tuple[Cell, ...]]()
    for title, name, meaning in _ERRORS:
        if has(tree, "book", name):
            found = estimates(book, name).at()
            text = shown("money", found) if "notional" in name else mean_count(found)
            rows.append((title, text, meaning))
    columns = (Column("Decided wrongly"), Column("Mean per path", "number"), Column("What it is"))
    return (Table("Decisions on marks of another moment", columns, tuple(rows)),) if rows else ()


def _sentence(tree: xr.DataTree) -> str:
    data = dataset(tree, "decision")
    name = "liquidation_probability_difference"
    decisions = labels(data, "decision")
    if not has_values(tree, "decision", name) or len(decisions) != 2:
        return ""
    found: Estimate = estimates(data, name).at()
    size, other = shown("difference", found), decisions[1]
    shards = other == "sharded"
    subject, verb = ("Shards", "liquidate") if shards else ("The delayed leader", "liquidates")
    if found == (0, 0, 0):
        return f"{subject} {verb} as many accounts as a leader without delay on every path."
    if found.lower > 0 or found.upper < 0:
        more = "more" if found.value > 0 else "fewer"
        return f"{subject} {verb} {more} accounts than a leader without delay: {size}."
    return f"The paths do not settle who liquidates fewer accounts: {size}."


def _content(tree: xr.DataTree) -> Content:
    return Content(
        lead=(
            "A leader judges every pool on one consistent set of marks. A shard judges it on its "
            "own assets' marks of this moment and on old marks of all others, a delayed leader on "
            "old marks alone.",
            *filter(None, (_sentence(tree),)),
        ),
        tables=(_table(tree), *_errors(tree)),
        notes=(
            "The difference is taken path by path, so that its interval may exclude zero where "
            "those of the two columns overlap.",
        ),
    )


SECTION = Section("decision", "Leader against shards or delay", _applies, _content)
