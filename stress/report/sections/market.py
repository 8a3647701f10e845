"""The market that was simulated, and what the book holds in it."""

from __future__ import annotations

import numpy as np
import xarray as xr

from stress.report import figures
from stress.report.figures.assets import MOST_ASSETS, main_assets
from stress.report.read import dataset, estimates, has, labels, numbers
from stress.report.section import Cell, Column, Content, Drawing, Section, Table
from stress.report.text import Kind, shown

__all__ = ["SECTION"]

_BALANCED = 1e-6
"""Net over gross position up to which an asset counts as balanced: room for rounding only."""


def _applies(tree: xr.DataTree) -> bool:
    return dataset(tree, "assets").sizes.get("asset", 0) > 0


def _drawings(tree: xr.DataTree) -> tuple[Drawing, ...]:
    found = []
    if has(tree, "assets", "volatility"):
        found.append(
            Drawing(
                "volatility",
                figures.volatility(tree),
                "Annualised volatility that the market model was given, 365 days a year.",
            )
        )
    if has(tree, "assets", "correlation") and dataset(tree, "assets").sizes["asset"] > 1:
        found.append(
            Drawing(
                "correlation",
                figures.correlation(tree),
                "Correlation of log returns: blue where assets move together, white where they do "
                "not, orange where they move against each other.",
            )
        )
    if has(tree, "assets", "net_position", "gross_position"):
        found.append(
            Drawing(
                "net-position",
                figures.net_position(tree),
                "Sum of signed notionals at the start, by asset: right of zero the book is long.",
            )
        )
    return tuple(found)


def _imbalance(tree: xr.DataTree) -> tuple[str, ...]:
    if not has(tree, "assets", "net_position", "gross_position"):
        return ()
    data = dataset(tree, "assets")
    net, gross = numbers(data, "net_position"), numbers(data, "gross_position")
    open_ = np.flatnonzero(np.abs(net) > _BALANCED * gross)
    if not len(open_):
        return ()
    worst = int(open_[np.abs(net[open_]).argmax()])
    return (
        f"The book does not balance: longs and shorts differ in {len(open_):,} of {len(net):,} "
        f"assets, most in {labels(data, 'asset')[worst]}, by {shown('money', float(net[worst]))}. "
        "A desk's or a customer's book need not balance; the whole book of a venue must.",
    )


def _table(tree: xr.DataTree) -> Table:
    data = dataset(tree, "assets")
    specified: list[tuple[str, Kind, str]] = [
        ("Price", "price", "price"),
        ("Volatility a year", "percent", "volatility"),
        ("Drift a year", "percent", "drift"),
        ("Net position", "money", "net_position"),
        ("Gross position", "money", "gross_position"),
        ("Liquidated notional, mean", "money", "liquidated_notional_mean"),
    ]
    found = [
        (title, kind, estimates(data, name)) for title, kind, name in specified if name in data
    ]
    order = main_assets(tree)
    rows: list[tuple[Cell, ...]] = [
        (name, *(these.at(index) for *_, these in found))
        for name, index in zip(labels(data, "asset", order), order.tolist(), strict=True)
    ]
    columns = (Column("Asset"), *(Column(title, kind) for title, kind, _ in found))
    return Table("Assets, largest gross position first", columns, tuple(rows))


def _content(tree: xr.DataTree) -> Content:
    assets = dataset(tree, "assets").sizes["asset"]
    lead = ["What the simulation was told about prices, and where the book stands."]
    if assets > MOST_ASSETS:
        lead.append(
            f"Shown are the {MOST_ASSETS} of {assets:,} assets with the largest gross position."
        )
    return Content(
        lead=tuple(lead),
        warnings=_imbalance(tree),
        figures=_drawings(tree),
        tables=(_table(tree),),
    )


SECTION = Section("market", "Market and net positions", _applies, _content)
