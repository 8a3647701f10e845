"""The limits that keep the declared appetite: a page that a committee can sign."""

from __future__ import annotations

import numpy as np
import xarray as xr

from stress.report.figures.headroom import headroom
from stress.report.read import Estimate, attribute, dataset, estimates, has, labels, numbers
from stress.report.section import Cell, Column, Content, Drawing, Section, Table
from stress.report.text import MISSING, Shown, joined, shown

__all__ = ["SECTION"]

_MOST = 25
"""Rows of a table: of more subjects those with the least room are shown."""

_TITLES = {
    "leverage": "Largest leverage",
    "trade-size": "Largest size of one trade",
    "open-interest": "Largest open interest",
    "book-scale": "Largest scale of the whole book",
    "fund": "Smallest insurance fund",
    "maintenance-rate": "Smallest maintenance rate by bracket",
    "concentration": "Largest share of one account in an open interest",
}

_VERDICTS = ("over", "not resolved", "within", "no present value")

_COLUMNS = (
    Column("Subject"),
    Column("Margin"),
    Column("Now", "number"),
    Column("Limit", "number"),
    Column("Room", "percent"),
    Column("At the point estimate", "number"),
    Column("Risk at the limit", "number"),
    Column("Verdict", "verdict"),
    Column("Said of it"),
)


def _applies(tree: xr.DataTree) -> bool:
    return has(tree, "limit_values", "limit")


def _amount(value: float, unit: str) -> Shown | str:
    if np.isnan(value):
        return MISSING
    if unit == "USD":
        return shown("money", Estimate(value))
    text = f"{100 * value:.3g}\u00a0%" if unit == "1" else f"{value:.4g}\u00d7"
    return Shown(text, of=Estimate(value))


def _risk(estimate: Estimate, threshold: float) -> Shown | str:
    if np.isnan(estimate.value):
        return MISSING
    # probabilities and shares are below one, expected losses are not
    return shown("probability" if threshold < 1 else "money", estimate)


def _said(outcome: str, note: str) -> str:
    parts = [part for part in ("" if outcome == "found" else outcome, note) if part]
    return "; ".join(parts) or MISSING


def _rows(tree: xr.DataTree, chosen: np.ndarray) -> tuple[tuple[Cell, ...], ...]:
    data = dataset(tree, "limit_values")
    texts = {
        name: labels(data, name)
        for name in ("kind", "subject", "world", "unit", "verdict", "outcome", "note")
    }
    limit, present, at_estimate, room, threshold = (
        numbers(data, name) for name in ("limit", "present", "at_estimate", "headroom", "threshold")
    )
    risk = estimates(data, "risk")
    rows: list[tuple[Cell, ...]] = []
    for index in chosen:
        unit = texts["unit"][index]
        rows.append(
            (
                f"{texts['kind'][index]} {texts['subject'][index]}",
                texts["world"][index],
                _amount(present[index], unit),
                _amount(limit[index], unit),
                float(room[index]),
                _amount(at_estimate[index], unit),
                _risk(risk.at(index), float(threshold[index])),
                texts["verdict"][index],
                _said(texts["outcome"][index], texts["note"][index]),
            )
        )
    return tuple(rows)


def _tables(tree: xr.DataTree) -> tuple[Table, ...]:
    data = dataset(tree, "limit_values")
    questions = np.array(labels(data, "question"))
    kinds, room = np.array(labels(data, "kind")), numbers(data, "headroom")
    measures, thresholds = labels(data, "measure"), numbers(data, "threshold")
    tables = []
    for question in dict.fromkeys(questions.tolist()):
        rows = np.flatnonzero(questions == question)
        single = np.isin(kinds[rows], ("account", "trade"))
        # groups, templates and assets first; then the accounts with the least room
        order = rows[np.lexsort((np.where(np.isnan(room[rows]), np.inf, room[rows]), single))]
        several = order[~np.isin(kinds[order], ("account", "trade"))]
        kept = np.concatenate([several, order[len(several) :][:_MOST]])
        first = rows[0]
        left = (
            f"; {len(order) - len(kept):,} more are in result.nc" if len(kept) < len(order) else ""
        )
        caption = (
            f"{_TITLES.get(question, question)}: {measures[first]} at most "
            f"{thresholds[first]:g}{left}"
        )
        tables.append(Table(caption, _COLUMNS, _rows(tree, kept)))
    return tuple(tables)


def _approval() -> Table:
    columns = (Column("Approved by"), Column("Date"), Column("Signature"))
    blank = "\u00a0"
    return Table("Approval", columns, ((blank, blank, blank), (blank, blank, blank)))


def _lead(tree: xr.DataTree) -> str:
    verdicts = labels(dataset(tree, "limit_values"), "verdict")
    counted = [f"{verdicts.count(name):,} {name}" for name in _VERDICTS if name in verdicts]
    return (
        f"Of {len(verdicts):,} limits solved for the declared appetite, the present values are: "
        f"{joined(counted)}."
    )


def _content(tree: xr.DataTree) -> Content:
    confidence = float(attribute(tree, "confidence", "0.95"))
    figure = headroom(tree)
    return Content(
        lead=(_lead(tree),),
        figures=()
        if figure is None
        else (
            Drawing(
                "headroom",
                figure,
                "Room between the present value and the certified limit: right of 0 there is "
                "room, left of it the present value is over the limit. Books, groups and assets, "
                "then the accounts with the least room.",
            ),
        ),
        tables=(*_tables(tree), _approval()),
        notes=(
            f"A limit is the largest value (fund and maintenance rate: the smallest) at which the "
            f"upper bound of the risk, at {confidence:.4g} one-sided confidence, keeps the "
            "appetite. Each holds by itself: with many accounts some limits are expected to be "
            "too wide.",
            "Within: the present value is inside the limit. Over: it is outside even the value at "
            "the point estimate. Not resolved: in between, or no limit could be certified. All "
            "answers of a question stand on the same paths. Sampling error only: the market model "
            "and its parameters are taken as given.",
        ),
    )


SECTION = Section("limit-values", "Limits for the declared appetite", _applies, _content)
