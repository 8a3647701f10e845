"""The venue's rules that were simulated, and where they are not those of the venue."""

from __future__ import annotations

import xarray as xr

from stress.report.read import attribute, sentences
from stress.report.section import Cell, Column, Content, Section, Table
from stress.report.text import MISSING, shown

__all__ = ["SECTION"]

_RULES = (
    ("Closed first", "order"),
    ("Closed in a round", "amount"),
    ("Price impact of forced orders", "impact"),
    ("Deficits beyond the insurance fund", "deleveraging"),
    ("Decided by", "decision"),
    ("Insurance fund at the start", "fund"),
)

_MEANINGS = {
    ("order", "largest-loss"): "the position with the largest unrealised loss",
    ("order", "largest-margin"): "the position with the largest maintenance margin",
    ("order", "largest-notional"): "the largest position",
    ("order", "pro-rata"): "all positions together, the same share of each",
    ("amount", "restore"): "the least that brings the pool back over its requirement",
    ("amount", "step"): "a fixed share of the first position",
    ("amount", "tier"): "the first position, down to the tier below",
    ("amount", "position"): "the first position whole",
    ("amount", "all"): "every position of the pool",
    ("impact", "none"): "they do not move prices",
    ("impact", "linear"): "in proportion to the flow",
    ("impact", "square-root"): "in proportion to the square root of the flow",
    ("deleveraging", "none"): "stay uncovered",
    ("deleveraging", "socialised"): "are taken from the profits of others",
    ("deleveraging", "auto-deleverage"): "positions are closed against profitable ones",
    ("decision", "leader"): "one process on one set of marks",
    ("decision", "sharded"): "shards by asset, which see other assets late",
}


def _applies(tree: xr.DataTree) -> bool:
    # An amount alone is said among the facts of the run.
    return any(attribute(tree, name) for name in ("preset", "order", "impact", "decision"))


def _value(name: str, value: str) -> str:
    if name != "fund":
        return value
    try:
        return str(shown("money", float(value)))
    except ValueError:
        return MISSING


def _lead(tree: xr.DataTree) -> str:
    preset = attribute(tree, "preset")
    if not preset:
        return "The scenario states the rules itself; no preset of a venue stands behind them."
    title = attribute(tree, "preset_title") or preset
    when = attribute(tree, "preset_as_of")
    dated = f", as of {when}" if when else ""
    return (
        f"Preset {preset}: {title}{dated}. A preset is a dated reading of public rules, not the "
        "venue; what the scenario states itself takes precedence."
    )


def _content(tree: xr.DataTree) -> Content:
    rows: list[tuple[Cell, ...]] = [
        (
            title,
            _value(name, attribute(tree, name)),
            _MEANINGS.get((name, attribute(tree, name)), ""),
        )
        for title, name in _RULES
        if attribute(tree, name)
    ]
    approximates = sentences(tree, "preset_approximates")
    columns = (Column("Rule"), Column("Setting"), Column("In words"))
    lead = (
        (_lead(tree), "Where the simulation departs from the venue:")
        if approximates
        else (_lead(tree),)
    )
    return Content(
        lead=lead,
        items=approximates,
        tables=(Table("Rules of the venue", columns, tuple(rows)),) if rows else (),
    )


SECTION = Section("venue", "The venue's rules, and what they approximate", _applies, _content)
