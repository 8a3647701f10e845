"""The positions whose mark is nearest to their liquidation price."""

from __future__ import annotations

import numpy as np
import xarray as xr

from stress.report.read import dataset, has_values, labels, largest, numbers
from stress.report.section import Cell, Column, Content, Section, Table
from stress.report.text import Kind

__all__ = ["SECTION"]

_MOST = 30

_COLUMNS: tuple[tuple[str, Kind, str], ...] = (
    ("Quantity", "number", "quantity"),
    ("Notional", "money", "notional"),
    ("Liquidation price", "price", "liquidation_price"),
    ("Move to it", "percent", "liquidation_distance"),
    ("Planned risk", "percent", "planned_risk"),
)


def _applies(tree: xr.DataTree) -> bool:
    return has_values(tree, "positions", "liquidation_distance")


def _marks(tree: xr.DataTree, assets: list[str]) -> list[float]:
    data = dataset(tree, "assets")
    if "price" not in data:
        return [float("nan")] * len(assets)
    price = dict(zip(labels(data, "asset"), numbers(data, "price").tolist(), strict=True))
    return [price.get(asset, float("nan")) for asset in assets]


def _content(tree: xr.DataTree) -> Content:
    data = dataset(tree, "positions")
    distance = np.abs(numbers(data, "liquidation_distance"))
    # a book may have millions of them: only what is shown is looked up
    order = largest(-distance, _MOST)
    names, owners, assets = (labels(data, name, order) for name in ("position", "account", "asset"))
    found = [(title, kind, numbers(data, name)) for title, kind, name in _COLUMNS if name in data]
    rows: list[tuple[Cell, ...]] = [
        (name, owner, asset, mark, *(float(values[index]) for *_, values in found))
        for name, owner, asset, mark, index in zip(
            names, owners, assets, _marks(tree, assets), order.tolist(), strict=True
        )
    ]
    columns = (
        Column("Position"),
        Column("Account"),
        Column("Asset"),
        Column("Mark", "price"),
        *(Column(title, kind) for title, kind, _ in found),
    )
    nearest = (
        f"The {_MOST} nearest of {len(distance):,} positions"
        if len(distance) > _MOST
        else "Positions, the nearest first"
    )
    return Content(
        lead=("The smallest move of one mark, all others unchanged, that liquidates a pool.",),
        tables=(Table(nearest, columns, tuple(rows)),),
        notes=(
            "Planned risk: what the position's stop would lose from the starting mark, or else its "
            "margin as an isolated one, over the account's starting equity. A dash means that the "
            "number does not exist, for instance where no price of this asset alone liquidates the "
            "pool.",
        ),
    )


SECTION = Section("positions", "Positions nearest to liquidation", _applies, _content)
