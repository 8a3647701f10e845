"""What would help the accounts above the appetite."""

from __future__ import annotations

import numpy as np
import xarray as xr

from stress.report.read import Estimate, dataset, estimates, has, labels, numbers
from stress.report.section import Cell, Column, Content, Section, Table
from stress.report.text import MISSING, Shown, shown

__all__ = ["SECTION"]

_COLUMNS = (
    Column("Account"),
    Column("Remedy"),
    Column("Where"),
    Column("Amount", "number"),
    Column("Cost", "number"),
    Column("P(liquidated) now", "probability"),
    Column("P(liquidated) with it", "probability"),
    Column("Said of it"),
)


def _applies(tree: xr.DataTree) -> bool:
    return has(tree, "remedies", "kind")


def _amount(value: float, unit: str) -> Shown | str:
    if np.isnan(value):
        return MISSING
    if unit == "USD":
        return shown("money", Estimate(value))
    text = f"{100 * value:.3g}\u00a0%" if unit in ("1", "share") else f"{value:.4g} {unit}"
    return Shown(text, of=Estimate(value))


def _content(tree: xr.DataTree) -> Content:
    data = dataset(tree, "remedies")
    texts = {
        name: labels(data, name) for name in ("account", "kind", "what", "unit", "outcome", "note")
    }
    amount, cost, before = (numbers(data, name) for name in ("amount", "cost", "before"))
    chance, cheapest = estimates(data, "probability"), data["cheapest"].values.astype(bool)
    rows: list[tuple[Cell, ...]] = []
    for index, account in enumerate(texts["account"]):
        outcome = texts["outcome"][index]
        said = [
            "the cheapest" if cheapest[index] else "",
            "" if outcome == "found" else outcome,
            texts["note"][index],
        ]
        rows.append(
            (
                account,
                texts["kind"][index],
                texts["what"][index] or MISSING,
                _amount(amount[index], texts["unit"][index]),
                MISSING if np.isnan(cost[index]) else shown("money", Estimate(cost[index])),
                Estimate(float(before[index])),
                chance.at(index),
                "; ".join(part for part in said if part) or MISSING,
            )
        )
    helped = len(dict.fromkeys(texts["account"]))
    return Content(
        lead=(
            f"For the {helped:,} accounts furthest above the appetite: the least of each remedy "
            "that keeps it, on the same paths, and what it costs over the horizon.",
        ),
        tables=(Table("Remedies", _COLUMNS, tuple(rows)),),
        notes=(
            "A top-up costs its owner appetite.capital_cost a year, a cut or a hedge "
            "appetite.trading_cost of what is traded; moving a position to isolated margin costs "
            "nothing here.",
        ),
    )


SECTION = Section("remedies", "What would help", _applies, _content)
