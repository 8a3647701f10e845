"""Whether quasi-random or antithetic paths help this scenario, as measured."""

from __future__ import annotations

import xarray as xr

from stress.report.read import Estimate, dataset, estimates, has_values, labels
from stress.report.section import Cell, Column, Content, Section, Table
from stress.report.text import count, plural, shown

__all__ = ["SECTION"]

_NAMES = {"antithetic": "Antithetic pairs", "sobol": "Scrambled Sobol points"}

_NOTES = (
    "A ratio of 4 means that one path tells as much as 4 plain ones. The pilot's ratios hold "
    "together at the stated confidence; a number is replaced only where its ratio is above 1 for "
    "sure, and a probability only with 50 plain hits and misses or more.",
    "Everything that needs independent paths stays with the plain ones: quantiles and expected "
    "shortfalls, times, groups, and the verdicts on limits.",
)


def _applies(tree: xr.DataTree) -> bool:
    return has_values(tree, "diagnostics", "quasi_plain")


def _ratios(tree: xr.DataTree) -> Table:
    data = dataset(tree, "diagnostics")
    found = estimates(data, "quasi_variance_ratio")
    samplers = labels(data, "sampler")
    rows: list[tuple[Cell, ...]] = [
        (quantity, *(found.at(place, row) for place in range(len(samplers))))
        for row, quantity in enumerate(labels(data, "quantity"))
    ]
    columns = (Column("Number"), *(Column(_NAMES.get(name, name), "ratio") for name in samplers))
    return Table("Plain paths that one path is worth, in the pilot", columns, tuple(rows))


def _replaced(tree: xr.DataTree) -> Table:
    data = dataset(tree, "diagnostics")
    plain, other = estimates(data, "quasi_plain"), estimates(data, "quasi_estimate")
    used = [bool(one) for one in data["quasi_replaces"].values]
    rows: list[tuple[Cell, ...]] = [
        (name, _said(name, plain.at(row)), _said(name, other.at(row)), _which(used[row]))
        for row, name in enumerate(labels(data, "quantity"))
        if name != "median over accounts"
    ]
    columns = (Column("Number"), Column("Plain paths"), Column("Chosen"), Column("Reported"))
    return Table("The numbers of the book", columns, tuple(rows))


def _said(name: str, estimate: Estimate) -> Cell:
    return shown("probability" if name.endswith("probability") else "money", estimate)


def _which(is_used: bool) -> str:
    return "chosen" if is_used else "plain"


def _content(tree: xr.DataTree) -> Content:
    data = dataset(tree, "diagnostics")
    chosen, pilot = str(data.attrs["quasi_sampler"]), count(data.attrs["quasi_pilot_paths"])
    lead = [
        f"A pilot of {pilot} paths each measured whether other draws than plain ones estimate this "
        "scenario's numbers with less variance."
    ]
    tables = [_ratios(tree)]
    if chosen == "plain":
        lead.append("Nothing helps for sure: all numbers are those of the plain paths.")
    else:
        replicates = plural(data.attrs["quasi_replicates"], "independent replicate")
        lead.append(
            f"{_NAMES.get(chosen, chosen)} were chosen: {count(data.attrs['quasi_paths'])} further "
            f"paths in {replicates}, from which the intervals follow."
        )
        tables.append(_replaced(tree))
    return Content(lead=tuple(lead), tables=tuple(tables), notes=_NOTES)


SECTION = Section("quasi", "Other draws than plain ones", _applies, _content)
