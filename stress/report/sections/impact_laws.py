"""The two laws of price impact side by side: what is not known about a crash."""

from __future__ import annotations

import xarray as xr

from stress.report import figures
from stress.report.read import attribute, dataset, has_values, labels
from stress.report.section import Column, Content, Drawing, Section, Table
from stress.report.sections.measures import Measure, has_differences, side_by_side

__all__ = ["SECTION"]

_MEASURES: tuple[Measure, ...] = (
    ("Liquidation probability, mean", "probability", "liquidation_probability"),
    ("Expected total loss", "money", "expected_total_loss"),
    ("Expected cascade loss", "money", "expected_cascade_loss"),
    ("Cascade loss, value at risk", "money", "cascade_loss_value_at_risk"),
    ("Cascade loss, expected shortfall", "money", "cascade_loss_expected_shortfall"),
    ("Cascade multiplier", "ratio", "cascade_multiplier"),
    ("Insurance fund exhausted", "probability", "fund_exhaustion_probability"),
    ("Expected uncovered loss", "money", "expected_uncovered_loss"),
)

_DRAWN = (
    "expected_cascade_loss",
    "cascade_loss_value_at_risk",
    "cascade_loss_expected_shortfall",
)


def _applies(tree: xr.DataTree) -> bool:
    return has_values(tree, "impact", "liquidation_probability")


def _table(tree: xr.DataTree) -> Table:
    own, laws = attribute(tree, "impact"), labels(dataset(tree, "impact"), "law")
    named = [f"{law}, as in the scenario" if law == own else law for law in laws]
    columns = [Column("Measure"), *(Column(name.capitalize(), "number") for name in named)]
    if has_differences(tree, "impact", _MEASURES):
        between = f"{laws[-1]} minus {laws[0]}" if len(laws) == 2 else "difference"
        columns.append(Column(between.capitalize(), "number"))
    rows = side_by_side(tree, "impact", len(laws), _MEASURES)
    return Table("The book under each law of price impact", tuple(columns), tuple(map(tuple, rows)))


def _content(tree: xr.DataTree) -> Content:
    drawings: tuple[Drawing, ...] = ()
    if any(has_values(tree, "impact", name) for name in _DRAWN):
        drawings = (
            Drawing(
                "impact-laws",
                figures.impact_laws(tree),
                "What feedback adds to the total loss under each law, on the same paths. Lines are "
                "intervals: sampling error only.",
            ),
        )
    other = str(dataset(tree, "impact").attrs.get("other_law", "")).strip()
    return Content(
        lead=(
            "How far a forced order moves the price is the least known number of a stress test. "
            "The linear law holds for small orders, the square-root law was measured on large "
            "ones; both ran on the same paths.",
            "The difference between the two is model risk: no interval on this page holds it, and "
            "more paths do not make it smaller.",
        ),
        items=(other,) if other else (),
        figures=drawings,
        tables=(_table(tree),),
    )


SECTION = Section("impact-laws", "Impact laws side by side", _applies, _content)
