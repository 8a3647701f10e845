"""What kills: the most likely moves of the market, and the typical way to fail."""

from __future__ import annotations

import numpy as np
import xarray as xr

from stress.report import figures
from stress.report.figures.reverse_stress import answered_events
from stress.report.figures.typical_path import told_events
from stress.report.read import Estimate, dataset, estimates, has, labels, numbers
from stress.report.section import Cell, Column, Content, Drawing, Section, Table
from stress.report.text import count, joined, plural, shown

__all__ = ["SECTION"]

_TOLD = 4
"""Assets whose moves are written out, those that move most first."""


def _applies(tree: xr.DataTree) -> bool:
    return has(tree, "reverse_stress", "kind", "distance")


def _content(tree: xr.DataTree) -> Content:
    said = tree["reverse_stress"].attrs
    return Content(
        lead=(
            "Which market kills? For each event the most likely move of all prices that brings it "
            "about, and other ways where there are any.",
            str(said.get("law", "")),
        ),
        warnings=_without(tree),
        figures=_drawings(tree),
        tables=(_answers(tree), _events(tree)),
        notes=_notes(tree),
    )


def _drawings(tree: xr.DataTree) -> tuple[Drawing, ...]:
    drawn = []
    if len(answered_events(tree)):
        drawn.append(
            Drawing(
                "reverse-stress",
                figures.reverse_stress(tree),
                "Move of each price on the ways to an event, up to six events; longer bars are "
                "larger moves, not less likely ones.",
            )
        )
    if len(told_events(tree)):
        drawn.append(
            Drawing(
                "typical-path",
                figures.typical_path(tree),
                "The typical way to fail: mean move of the price on the paths on which the event "
                "happens, and the band between the outermost quantiles, for the three assets that "
                "move furthest. At no time does it know when the event happens.",
            )
        )
    return tuple(drawn)


def _answers(tree: xr.DataTree) -> Table:
    data = dataset(tree, "reverse_stress")
    names, market = labels(data, "event"), data["market"].values
    direction = estimates(data, "direction_probability")
    column = {
        name: numbers(data, name)
        for name in ("distance", "likelihood", "relative_likelihood", "day", "market_move")
    }
    rows: list[tuple[Cell, ...]] = [
        (
            names[event],
            _moves(labels(data, "asset"), column["market_move"][event, way]),
            str(market[event, way]),
            float(column["day"][event, way]),
            float(column["distance"][event, way]),
            Estimate(float(column["likelihood"][event, way])),
            float(column["relative_likelihood"][event, way]),
            direction.at(event, way),
        )
        for event in answered_events(tree).tolist()
        for way in np.flatnonzero(np.isfinite(column["distance"][event])).tolist()
    ]
    columns = (
        Column("Event"),
        Column("Move of prices"),
        Column("Market"),
        Column("By day", "number"),
        Column("Standard deviations", "number"),
        Column("Likelihood", "probability"),
        Column("Of the likeliest", "percent"),
        Column("Paths that move so far", "probability"),
    )
    return Table("Most likely moves that bring each event about", columns, tuple(rows))


def _moves(assets: list[str], move: np.ndarray) -> str:
    """Write the largest moves, those that move most first."""
    order = np.argsort(-np.abs(move), kind="stable")[:_TOLD]
    told = [
        f"{assets[asset]} {'+' if move[asset] > 0 else ''}{shown('percent', float(move[asset]))}"
        for asset in order
    ]
    more = len(move) - len(told)
    return ", ".join(told) + (f" and {plural(more, 'smaller one')}" if more > 0 else "")


def _events(tree: xr.DataTree) -> Table:
    data = dataset(tree, "reverse_stress")
    names, chance = labels(data, "event"), estimates(data, "simulated_probability")
    happened, typical = numbers(data, "event_paths"), numbers(data, "typical_paths")
    told = set(told_events(tree).tolist())
    rows: list[tuple[Cell, ...]] = [
        (
            names[event],
            chance.at(event),
            float(happened[event]),
            float(typical[event]) if event in told else "too few",
        )
        for event in range(len(names))
    ]
    columns = (
        Column("Event"),
        Column("Probability in the run", "probability"),
        Column("Paths with it", "number"),
        Column("Paths of the typical way", "number"),
    )
    return Table("How often each event happens", columns, tuple(rows))


def _without(tree: xr.DataTree) -> tuple[str, ...]:
    data = dataset(tree, "reverse_stress")
    names = labels(data, "event")
    missing = sorted(set(range(len(names))) - set(answered_events(tree).tolist()))
    if not missing:
        return ()
    some = joined([names[event] for event in missing[:3]])
    more = f" and {count(len(missing) - 3)} more" if len(missing) > 3 else ""
    return (f"No move was found for: {some}{more}.",)


def _notes(tree: xr.DataTree) -> tuple[str, ...]:
    said = tree["reverse_stress"].attrs
    notes = [
        "Likelihood is the probability that the market ends at least so far in this direction; it "
        "touches on the way about twice as often, and other ways to the event come on top. So it "
        "is a floor under the event's probability in the run, not an estimate of it.",
        "Every move was given to the engine: the event happens on the straight way to it, and not "
        "on a way that is shorter by a ten-thousandth or so.",
        f"Paths that move so far are counted on the first {count(said.get('sampled_paths', 0))} "
        "paths. A typical way is told from "
        f"{count(said.get('fewest_paths', 0))} paths with the event on.",
        "Single accounts are those nearest to liquidation at the start, and the largest ones.",
    ]
    if said.get("feedback") == "yes":
        notes.append(
            "Prices are those without the accounts' own forced sales: what the market must do by "
            "itself. The engine adds the rest."
        )
    if said.get("fund"):
        notes.append(str(said["fund"]))
    return tuple(notes)


SECTION = Section("reverse-stress", "What kills: reverse stress", _applies, _content)
