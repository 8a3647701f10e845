"""The rows of the history that the probabilities hang on."""

from __future__ import annotations

import numpy as np
import xarray as xr

from stress.report.read import dataset, estimates, has_values, labels, largest, numbers
from stress.report.section import Cell, Column, Content, Section, Table
from stress.report.text import plural, shown

__all__ = ["SECTION"]

_ROWS = 15
_ACCOUNTS = 20
_SHOWN_SHARE = 0.25
"""Share of the answer from which a single row is worth a warning."""


def _applies(tree: xr.DataTree) -> bool:
    return has_values(tree, "influence", "liquidation_probability_share")


def _warnings(tree: xr.DataTree) -> tuple[str, ...]:
    data = dataset(tree, "influence")
    share = numbers(data, "any_liquidation_probability_share")
    if np.isnan(share).all() or np.nanmax(share) < _SHOWN_SHARE:
        return ()
    row = int(np.nanargmax(share))
    return (
        f"Much hangs on {labels(data, 'row')[row]} alone: without it the probability of any "
        f"liquidation would be {shown('percent', float(share[row]))} lower.",
    )


def _book(tree: xr.DataTree) -> Table:
    data = dataset(tree, "influence")
    mean = estimates(data, "liquidation_probability")
    any_ = estimates(data, "any_liquidation_probability")
    rows: list[tuple[Cell, ...]] = [
        (
            labels(data, "row")[row],
            mean.at(row),
            float(numbers(data, "liquidation_probability_share")[row]),
            any_.at(row),
            float(numbers(data, "any_liquidation_probability_share")[row]),
            float(numbers(data, "effective_sample_size")[row]),
        )
        for row in largest(mean.value, _ROWS).tolist()
    ]
    columns = (
        Column("Row"),
        Column("Mean over accounts", "difference"),
        Column("Share of it", "percent"),
        Column("Any liquidation", "difference"),
        Column("Share of it", "percent"),
        Column("Paths without the row", "number"),
    )
    many = plural(len(numbers(data, "paths_using")), "row")
    return Table(f"Most influential of {many} of the history", columns, tuple(rows), sorted_by=1)


def _accounts(tree: xr.DataTree) -> tuple[Table, ...]:
    known = has_values(tree, "accounts", "liquidation_probability")
    if not known or not has_values(tree, "influence", "account_influence"):
        return ()
    data = dataset(tree, "influence")
    probability = estimates(dataset(tree, "accounts"), "liquidation_probability")
    influence = estimates(data, "account_influence")
    names, row = labels(data, "account"), data["account_row"].values
    share = numbers(data, "account_share")
    sample = numbers(data, "account_effective_sample_size")
    rows: list[tuple[Cell, ...]] = [
        (
            names[account],
            probability.at(account),
            str(row[account, 0]),
            influence.at(account, 0),
            float(share[account, 0]),
            float(sample[account, 0]),
            ", ".join(str(other) for other in row[account, 1:] if other),
        )
        for account in largest(probability.value, _ACCOUNTS).tolist()
    ]
    columns = (
        Column("Account"),
        Column("Liquidated", "probability"),
        Column("Row"),
        Column("Influence", "difference"),
        Column("Share of it", "percent"),
        Column("Paths without the row", "number"),
        Column("Next rows"),
    )
    caption = "Riskiest accounts, and the rows that they hang on most"
    return (Table(caption, columns, tuple(rows), sorted_by=1),)


def _content(tree: xr.DataTree) -> Content:
    return Content(
        lead=(
            "How much of the answer single rows of the history carry: the liquidation probability "
            "minus what it is on the paths that never drew the row.",
        ),
        warnings=_warnings(tree),
        tables=(_book(tree), *_accounts(tree)),
        notes=(
            "Paths without the row are what its removal is estimated from. Intervals are those of "
            "a difference of two means over the same paths, row by row; none is given with fewer "
            "than 30 paths on a side. The largest of many influences look larger than they are.",
            "With blocks longer than one bar the neighbours of a row are drawn less often too "
            "where it is not.",
        ),
    )


SECTION = Section("influence", "Rows of the history that matter", _applies, _content)
