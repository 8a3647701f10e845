"""Rare events of the whole book: what splitting found, and whether it is trusted."""

from __future__ import annotations

import numpy as np
import xarray as xr

from stress.report.read import dataset, estimates, has, labels, numbers
from stress.report.section import Cell, Column, Content, Section, Table

__all__ = ["SECTION"]


def _applies(tree: xr.DataTree) -> bool:
    return has(tree, "diagnostics", "splitting_probability")


def _events(tree: xr.DataTree) -> Table:
    data = dataset(tree, "diagnostics")
    plain, split = estimates(data, "plain_probability"), estimates(data, "splitting_probability")
    hits, trusted = numbers(data, "plain_hits"), numbers(data, "splitting_trusted")
    ancestors, paths = numbers(data, "splitting_ancestors"), numbers(data, "splitting_paths")
    rows: list[tuple[Cell, ...]] = [
        (
            name,
            plain.at(row),
            float(hits[row]),
            split.at(row),
            "splitting" if trusted[row] else "the plain paths",
            _populations(data, row),
            float(ancestors[row]),
            float(paths[row]),
        )
        for row, name in enumerate(labels(data, "event"))
    ]
    columns = (
        Column("Event"),
        Column("Plain paths", "probability"),
        Column("Hits", "number"),
        Column("Splitting", "probability"),
        Column("Reported"),
        Column("Populations"),
        Column("Ancestors of a population's hits", "number"),
        Column("Paths for the score", "number"),
    )
    return Table("What the plain paths saw too rarely", columns, tuple(rows))


def _populations(data: xr.Dataset, row: int) -> str:
    count = int(numbers(data, "splitting_populations")[row])
    particles = int(numbers(data, "splitting_particles")[row])
    return f"{count} of {particles}" if count else "none"


def _stages(tree: xr.DataTree) -> tuple[Table, ...]:
    """Return a table of the stages of each score."""
    data = dataset(tree, "diagnostics")
    if "stage_level" not in data or not data.sizes["stage"]:
        return ()
    columns = (
        Column("Stage", "number"),
        Column("Score above which who is left", "ratio"),
        Column("Survive", "percent"),
        Column("Moves taken", "percent"),
        Column("Ancestors left", "number"),
    )
    tables = []
    for place, name in enumerate(labels(data, "score")):
        of = [
            numbers(data, f"stage_{what}")[place]
            for what in ("level", "survival", "acceptance", "ancestors")
        ]
        rows = tuple(
            (float(stage + 1), *(float(each[stage]) for each in of))
            for stage in np.flatnonzero(~np.isnan(of[0])).tolist()
        )
        tables.append(Table(f"On the way, score: {name}", columns, rows))
    return tuple(tables)


def _warnings(tree: xr.DataTree) -> tuple[str, ...]:
    data = dataset(tree, "diagnostics")
    reasons = labels(data, "splitting_reason")
    return tuple(
        f"{name}: {reason}."
        for name, reason in zip(labels(data, "event"), reasons, strict=True)
        if reason
    )


def _content(tree: xr.DataTree) -> Content:
    return Content(
        lead=(
            "Events that few of the plain paths or none have seen, found by multilevel splitting: "
            "the paths nearest to the event are copied and moved, level by level.",
        ),
        warnings=_warnings(tree),
        tables=(_events(tree), *_stages(tree)),
        notes=(
            "Where splitting is trusted its estimate is the one that the report shows and that "
            "limits are judged by. Its interval comes from populations that know nothing of each "
            "other. Few ancestors mean that all hits are relatives: then the plain paths count.",
            "Everything else in the report is from the plain paths.",
        ),
    )


SECTION = Section("splitting", "Rare events by splitting", _applies, _content)
