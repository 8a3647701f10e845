"""Small books written to files as a user would write them, and what is read off their results."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from stress.scenario.load import load_scenario
from stress.scenario.schema import Scenario

from .problems import FLAT, Problem, Tiers

__all__ = ["Asset", "Owner", "Position", "book_of", "correlated_pairs", "values", "write_book"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Asset:
    """An asset of the market; annual volatility and drift."""

    name: str
    volatility: float
    drift: float = 0.0
    price: float = 100.0
    tiers: Tiers = FLAT
    haircut: float = 0.0


@dataclass(frozen=True)
class Position:
    """A position: signed units, USD a unit; ``margin`` in USD makes it isolated."""

    asset: str
    quantity: float
    entry: float = 100.0
    margin: float | None = None


@dataclass(frozen=True)
class Owner:
    """An account, its cash in USD, its positions and its coins: (asset, units)."""

    name: str
    cash: float
    positions: tuple[Position, ...]
    coins: tuple[tuple[str, float], ...] = ()
    group: str = "all"


def write_book(
    folder: Path,
    assets: Sequence[Asset],
    owners: Sequence[Owner],
    *,
    correlation: Floats | None = None,
    fee: float = 0.0,
    **simulation: object,
) -> Scenario:
    """Write the tables of a book to a folder and return a scenario about it, loaded.

    Parameters
    ----------
    folder
        Where the tables go.
    assets, owners
        The market and the accounts.
    correlation
        (assets, assets) of the log returns; independent where not given.
    fee
        Of a liquidation.
    simulation
        The keys of ``[simulation]``; ``steps`` and ``days`` instead of ``step`` and ``horizon``.
    """
    _write_tables(folder, owners)
    seconds = 86_400 * int(simulation.pop("days"))  # type: ignore[call-overload]
    steps = int(simulation.pop("steps"))  # type: ignore[call-overload]
    matrix = np.eye(len(assets)) if correlation is None else correlation
    with_coins = any(owner.coins for owner in owners)
    raw = {
        "name": "truth",
        "simulation": {
            "horizon": f"{seconds}s",
            "step": f"{seconds // steps}s",
            **simulation,
        },
        # a kernel of its own that every run would compile
        "analysis": {"curves": False},
        "market": {
            "assets": [asset.name for asset in assets],
            "price": {asset.name: asset.price for asset in assets},
            "volatility": {asset.name: asset.volatility for asset in assets},
            "drift": {asset.name: asset.drift for asset in assets},
            "correlation": np.asarray(matrix, float).tolist(),
        },
        "book": {
            "accounts": "accounts.csv",
            "positions": "positions.csv",
            **({"collateral": "collateral.csv"} if with_coins else {}),
        },
        "venue": {
            "amount": "all",
            "fee": fee,
            "haircut": {asset.name: asset.haircut for asset in assets},
            "tiers": {
                asset.name: [{"floor": floor, "rate": rate} for floor, rate in asset.tiers]
                for asset in assets
            },
        },
    }
    return load_scenario(raw, base=folder)


def _write_tables(folder: Path, owners: Sequence[Owner]) -> None:
    _write(
        folder / "accounts.csv",
        ("account", "cash", "group"),
        ((owner.name, owner.cash, owner.group) for owner in owners),
    )
    _write(
        folder / "positions.csv",
        ("account", "asset", "quantity", "entry_price", "margin"),
        (
            (owner.name, held.asset, held.quantity, held.entry, held.margin)
            for owner in owners
            for held in owner.positions
        ),
    )
    coins = ((owner.name, *coin) for owner in owners for coin in owner.coins)
    _write(folder / "collateral.csv", ("account", "asset", "quantity"), coins)


def _write(file: Path, header: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(header)
        writer.writerows(rows)


def book_of(
    folder: Path, problems: Sequence[Problem], *, fee: float, **simulation: object
) -> Scenario:
    """Return the scenario of some problems of one horizon, an account and an asset each.

    The assets are independent, and so are the errors of the accounts.
    """
    (days,) = {problem.days for problem in problems}
    assets = [
        Asset(p.name, p.volatility, drift=p.drift, price=p.price, tiers=p.tiers) for p in problems
    ]
    owners = [
        Owner(
            p.name,
            cash=1_000.0 if p.isolated else p.equity,
            positions=(
                Position(p.name, p.quantity, p.price, margin=p.equity if p.isolated else None),
            ),
            group=p.name,
        )
        for p in problems
    ]
    return write_book(folder, assets, owners, fee=fee, days=days, **simulation)


def values(tree: xr.DataTree, group: str, name: str) -> tuple[Floats, Floats]:
    """Return an estimate of a result and its interval as plain arrays."""
    data = tree[group]
    return data[name].to_numpy(), data[f"{name}_interval"].to_numpy()


def correlated_pairs(correlations: Sequence[float], assets: int) -> Floats:
    """Return (assets, assets): assets 0 and 1 correlated by the first, 2 and 3 by the second."""
    matrix = np.eye(assets)
    for pair, correlation in enumerate(correlations):
        first, second = 2 * pair, 2 * pair + 1
        matrix[first, second] = matrix[second, first] = correlation
    return matrix
