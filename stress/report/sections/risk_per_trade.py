"""Planned risk against effective risk per trade, and whether the 1 % rule holds."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from stress.report import figures
from stress.report.figures.risk_per_trade import MOST_TRADES, planned, riskiest_trades
from stress.report.figures.shares import share
from stress.report.read import (
    dataset,
    estimates,
    has_values,
    labels,
    numbers,
    world_name,
    worlds,
)
from stress.report.section import Cell, Column, Content, Drawing, Section, Table
from stress.report.text import joined, plural

__all__ = ["SECTION"]

_MOST_NAMED = 5


def _applies(tree: xr.DataTree) -> bool:
    return has_values(tree, "positions", "effective_risk_mean")


def _named(tree: xr.DataTree, chosen: NDArray[np.bool_]) -> str:
    """Name positions, those that lose most beyond their plan first."""
    data, order = dataset(tree, "positions"), riskiest_trades(tree, None)
    first = [index for index in order if chosen[index]][:_MOST_NAMED]
    names, more = labels(data, "position", np.array(first, np.intp)), int(chosen.sum()) - len(first)
    return joined([*names, plural(more, "other position")] if more else names)


def _verdicts(tree: xr.DataTree) -> tuple[str, ...]:
    """Say of which positions the mean effective risk is above the planned one."""
    mean, plan = estimates(dataset(tree, "positions"), "effective_risk_mean"), planned(tree)
    compared = ~np.isnan(mean.value) & ~np.isnan(plan)
    above = compared & (mean.value > plan)
    # Without a lower bound nothing is settled.
    settled = above & (mean.lower > plan)
    found = []
    if settled.any():
        found.append(
            f"The 1 % rule does not hold for {_named(tree, settled)}: where such a trade goes "
            "wrong, the account loses more on average than was planned for it."
        )
    if (above & ~settled).any():
        found.append(
            f"The 1 % rule may not hold for {_named(tree, above & ~settled)}: the mean is above "
            "the plan, but its interval reaches down to it."
        )
    if compared.any() and not above.any():
        found.append("No position's mean effective risk is above what was planned for it.")
    return tuple(found)


def _tables(tree: xr.DataTree) -> tuple[Table, ...]:
    """Return a table for each margin mode that was run and has liquidations, the main one first."""
    modes = worlds(tree, "positions", "effective_risk_mean")
    found = []
    for mode, variable in modes.items():
        if has_values(tree, "positions", variable):
            under = f", {world_name(mode)}" if len(modes) > 1 else ""
            found.append(_table(tree, variable.removesuffix("effective_risk_mean"), under))
    return tuple(found)


def _table(tree: xr.DataTree, prefix: str, under: str) -> Table:
    """Return the table of a world, whose variables carry a prefix."""
    mean, shortfall, count = (
        f"{prefix}effective_risk_{what}" for what in ("mean", "shortfall", "paths")
    )
    data, order = dataset(tree, "positions"), riskiest_trades(tree, name=mean)
    names, owners, plan = labels(data, "position"), labels(data, "account"), planned(tree)
    columns = [
        Column("Position"),
        Column("Account"),
        Column("Planned risk", "percent"),
        Column("Effective risk, mean", "percent"),
    ]
    parts = [estimates(data, mean)]
    if shortfall in data:
        columns.append(Column("Expected shortfall, 99\u00a0%", "percent"))
        parts.append(estimates(data, shortfall))
    paths = numbers(data, count) if count in data else None
    if paths is not None:
        columns.append(Column("Paths", "number"))
    rows: list[tuple[Cell, ...]] = [
        (
            names[index],
            owners[index],
            float(plan[index]),
            *(share(part.at(index)) for part in parts),
            *(() if paths is None else (float(paths[index]),)),
        )
        for index in order.tolist()
    ]
    total = int((~np.isnan(numbers(data, mean))).sum())
    some = f"The {MOST_TRADES} of {total:,} positions" if total > MOST_TRADES else "Positions"
    return Table(f"{some} that lose most beyond their plan{under}", tuple(columns), tuple(rows))


def _content(tree: xr.DataTree) -> Content:
    return Content(
        lead=(
            "A rule such as risking 1 % of the account on a trade plans for each position alone. "
            "Under a shared margin a trade that goes wrong takes others along.",
            *_verdicts(tree),
        ),
        figures=(
            Drawing(
                "risk-per-trade",
                figures.risk_per_trade(tree),
                "Mean effective risk with its interval (dots) against the planned risk (upright "
                "strokes), as a share of the account's equity at the start.",
            ),
        ),
        tables=_tables(tree),
        notes=(
            "Planned risk: what the position's stop would lose from the starting mark, or else its "
            "margin as an isolated one. Effective risk: what the whole account has lost by the end "
            "of a path on which its pool is liquidated and this position is its largest loser at "
            "that moment; negative where the account gains all the same. Paths: how many there "
            "are; few paths make wide intervals.",
        ),
    )


SECTION = Section("risk-per-trade", "Planned and effective risk per trade", _applies, _content)
