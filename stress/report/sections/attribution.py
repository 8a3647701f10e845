"""Who and what the total loss is made of, and who makes others lose."""

from __future__ import annotations

from collections.abc import Iterator

import xarray as xr

from stress.report import figures
from stress.report.figures.attribution import MOST_CONTRIBUTORS
from stress.report.read import (
    Estimate,
    dataset,
    estimates,
    has,
    has_values,
    labels,
    largest,
    numbers,
)
from stress.report.section import Cell, Column, Content, Drawing, Section, Table
from stress.report.text import level_name

__all__ = ["SECTION"]

_PARTS = {
    "market": "Prices, without impact",
    "impact": "Impact of forced trades",
    "fees": "Liquidation fees",
    "paid by the fund": "Deficits paid by the insurance fund",
    "paid by winners": "Deficits paid by winners",
    "uncovered": "Deficits that nobody paid",
}

_DEFINITIONS = (
    "A contribution is the mean of that part of the loss on the paths that make up the expected "
    "shortfall of the total loss (Euler). Those of all accounts add up to it, and so do those of "
    "all groups. No interval is given where a part is lost on fewer than five of these paths.",
    "By asset: what losing accounts lost on it until their positions were first liquidated, at "
    "prices without impact. What followed (positions left, impact, fees, funding, deficits that "
    "others bear) stands in a line of its own, so that all lines add up.",
    "Parts of the expected total loss: an account that leaves a deficit loses less than prices "
    "took from it, so deficits that others bear stand with a minus sign. With auto-deleveraging, "
    "winners give up profit before a deficit arises; that is inside the first two parts.",
)

_LEFT_OUT = (
    "Systemic importance is how much of the others' loss disappears when an account is not there, "
    "on the same paths; below zero its presence helps. Accounts were chosen by notional at the "
    "start times probability of liquidation."
)


def _applies(tree: xr.DataTree) -> bool:
    return has_values(tree, "attribution", "loss_part")


def _parts(tree: xr.DataTree) -> Table:
    data = dataset(tree, "attribution")
    found = estimates(data, "loss_part")
    rows: list[tuple[Cell, ...]] = [
        (_PARTS.get(name, name), found.at(place)) for place, name in enumerate(labels(data, "part"))
    ]
    book = dataset(tree, "book")
    if "expected_total_loss" in book:
        rows.append(("Expected total loss", estimates(book, "expected_total_loss").at()))
    return Table("Parts of the expected total loss", _columns("Part", ["Mean a path"]), tuple(rows))


def _columns(first: str, others: list[str]) -> tuple[Column, ...]:
    return (Column(first), *(Column(title, "money") for title in others))


def _contributions(tree: xr.DataTree) -> Iterator[Table]:
    data = dataset(tree, "attribution")
    levels = [level_name(level) for level in numbers(data, "level")] if "level" in data else []
    titles = [f"Expected shortfall {level}" for level in levels]
    for kind, title in (("account", "Accounts"), ("group", "Groups"), ("asset", "Assets")):
        name = f"{kind}_contribution"
        if not has(tree, "attribution", name):
            continue
        found = estimates(data, name)
        order = largest(found.value[:, -1], MOST_CONTRIBUTORS)
        names = labels(data, kind, order)
        rows: list[tuple[Cell, ...]] = [
            (label, *(found.at(int(row), level) for level in range(len(levels))))
            for label, row in zip(names, order, strict=True)
        ]
        if kind == "asset":
            rest = estimates(data, "after_liquidation_contribution")
            cells = (rest.at(level) for level in range(len(levels)))
            rows.append(("After a first liquidation", *cells))
        largest_of = f"{title} that contribute most" if len(found.value) > len(order) else title
        caption = f"{largest_of}: contributions to the expected shortfall of the total loss"
        yield Table(caption, _columns(title.removesuffix("s"), titles), tuple(rows))


def _left_out(tree: xr.DataTree) -> Table:
    data = dataset(tree, "attribution")
    parts = [
        estimates(data, name) for name in ("systemic_importance", "systemic_share", "others_loss")
    ]
    order = largest(parts[0].value, len(parts[0].value))
    rows: list[tuple[Cell, ...]] = []
    for name, row in zip(labels(data, "left_out", order), order, strict=True):
        importance, share, others = (part.at(int(row)) for part in parts)
        rows.append((name, importance, _percent(share), others))
    columns = (
        Column("Account left out"),
        Column("Others' loss that disappears", "money"),
        Column("As a share (%)", "ratio"),
        Column("Others' expected loss", "money"),
    )
    return Table("What the others would not lose without an account", columns, tuple(rows))


def _percent(share: Estimate) -> Estimate:
    return Estimate(*(100 * number for number in share))


def _content(tree: xr.DataTree) -> Content:
    drawings: tuple[Drawing, ...] = ()
    if has_values(tree, "attribution", "group_contribution"):
        drawings = (
            Drawing(
                "contributions",
                figures.contributions(tree),
                "Euler contributions to the expected shortfall of the total loss at the highest "
                "level: the accounts that contribute most, groups and assets. Lines are intervals: "
                "sampling error only.",
            ),
        )
    tables = [_parts(tree), *_contributions(tree)]
    notes = list(_DEFINITIONS)
    if has(tree, "attribution", "systemic_importance"):
        tables.append(_left_out(tree))
        notes.append(_LEFT_OUT)
    return Content(
        lead=(
            "Who is hit in the worst cases is not who is hit most often: each account, group and "
            "asset is shown with its part of the expected shortfall of the total loss.",
        ),
        figures=drawings,
        tables=tuple(tables),
        notes=tuple(notes),
    )


SECTION = Section("attribution", "Who and what the loss is made of", _applies, _content)
