"""The liquidation ladder: what moves liquidate before anything is simulated, and what it feeds."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from stress.report import figures
from stress.report.figures.ladder import CURVES, riskiest_assets
from stress.report.read import dataset, has_values, labels, numbers
from stress.report.section import Cell, Column, Content, Drawing, Section, Table
from stress.report.text import MISSING, Kind, joined

__all__ = ["SECTION"]

_MOST = 40
_MOST_NAMED = 5

_MOVES = (-0.2, -0.1, -0.05, 0.05, 0.1, 0.2)
"""Moves that have a column in the table."""


def _applies(tree: xr.DataTree) -> bool:
    return has_values(tree, "ladder", "liquidated_notional", "market_liquidated_notional")


def _signed(move: float) -> str:
    """Write a move with its sign and no digit too many: ``+2.5 %``."""
    return f"{100 * move:+.6g}\u00a0%".replace("-", "\u2212")


def _along(tree: xr.DataTree, order: NDArray[np.intp]) -> list[tuple[float, str]]:
    """Return the largest number along each asset's ladder and the move that it stands after."""
    data = dataset(tree, "ladder")
    moves, along = numbers(data, "move"), numbers(data, "reproduction_number_along")[order]
    largest = along.max(axis=1)
    return [
        (float(number), _signed(moves[place]) if number > 0 else MISSING)
        for number, place in zip(largest, along.argmax(axis=1), strict=True)
    ]


def _table(tree: xr.DataTree) -> Table:
    data, assets = dataset(tree, "ladder"), dataset(tree, "assets")
    order = riskiest_assets(tree)[:_MOST]
    names, moves = labels(data, "asset", order), numbers(data, "move")
    specified: tuple[tuple[str, Kind, xr.Dataset, str], ...] = (
        ("Net position", "money", assets, "net_position"),
        ("Depth, 1 %", "money", assets, "depth_1pct"),
        ("Reproduction number, fall", "ratio", data, "reproduction_number_fall"),
        ("Reproduction number, rise", "ratio", data, "reproduction_number_rise"),
    )
    found = [
        (Column(title, kind), numbers(group, name)[order])
        for title, kind, group, name in specified
        if name in group
    ]
    notional = numbers(data, "liquidated_notional")[order]
    shown_moves = [
        (move, int(np.abs(moves - move).argmin()))
        for move in _MOVES
        if np.isclose(moves, move).any()
    ]
    rows: list[tuple[Cell, ...]] = [
        (
            name,
            *(float(values[row]) for _, values in found),
            largest,
            after,
            *(float(notional[row, place]) for _, place in shown_moves),
        )
        for row, (name, (largest, after)) in enumerate(zip(names, _along(tree, order), strict=True))
    ]
    columns = (
        Column("Asset"),
        *(column for column, _ in found),
        Column("Largest on the way", "ratio"),
        Column("After a move of"),
        *(Column(f"Liquidated at {_signed(move)}", "money") for move, _ in shown_moves),
    )
    total = data.sizes["asset"]
    many = f"The {_MOST} riskiest of {total:,} assets" if total > _MOST else "Assets"
    return Table(f"{many}, by the largest reproduction number on the way", columns, tuple(rows))


def _warnings(tree: xr.DataTree) -> tuple[str, ...]:
    data, found = dataset(tree, "ladder"), []
    assets = dataset(tree, "assets")
    now = numbers(assets, "reproduction_number") if "reproduction_number" in assets else None
    along = numbers(data, "reproduction_number_along")
    order = riskiest_assets(tree)
    at_once = [] if now is None else [place for place in order.tolist() if now[place] > 1]
    later = [place for place in order.tolist() if (along[place] > 1).any() and place not in at_once]
    if at_once:
        found.append(
            "A cascade feeds itself from the start, the reproduction number is above 1, in "
            f"{_named(tree, at_once)}."
        )
    if later:
        found.append(
            "A cascade feeds itself once the asset has moved, the reproduction number gets above "
            f"1, in {_named(tree, later)}."
        )
    if np.isnan(along).all():
        found.append(
            "No depth is stated, so there is no reproduction number: venue.impact.depth_1pct (USD "
            "within one percent) or venue.impact.adv (USD a day) states it."
        )
    return tuple(found)


def _named(tree: xr.DataTree, places: list[int]) -> str:
    names = labels(dataset(tree, "ladder"), "asset", np.array(places[:_MOST_NAMED], np.intp))
    more = len(places) - _MOST_NAMED
    return joined([*names, f"{more:,} more"] if more > 0 else names)


def _content(tree: xr.DataTree) -> Content:
    drawn, total = CURVES, dataset(tree, "ladder").sizes["asset"]
    cut = f" The {drawn} riskiest of {total:,} assets are drawn." if drawn < total else ""
    return Content(
        lead=(
            "What a move liquidates at once, from the book as it stands: no path is simulated, and "
            "nothing here has sampling error.",
        ),
        warnings=_warnings(tree),
        figures=(
            Drawing(
                "liquidation-ladder",
                figures.liquidation_ladder(tree),
                "One asset moves, all other marks stand still: its notional in the pools that are "
                f"then in breach. Dots: the reproduction number is above 1 there.{cut}",
            ),
            Drawing(
                "market-ladder",
                figures.market_ladder(tree),
                "All marks move by the same share: the whole notional of the pools that are then "
                "in breach.",
            ),
        ),
        tables=(_table(tree),),
        notes=(
            "Pools in breach count whole, at the marks after the move; a venue that closes part of "
            "a pool first closes less. Reproduction number: what the next percent of a fall forces "
            "the pools that were safe to sell net, or a rise to buy, over the flow that moves the "
            "mark by one percent. Above 1 that flow moves the mark further than the percent that "
            "caused it. What the same pools close in other assets is not in it.",
        ),
    )


SECTION = Section("ladder", "Liquidation ladder", _applies, _content)
