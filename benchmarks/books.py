"""The reference jobs: books of any size, drawn here and read through the project's own door."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stress.scenario.load import load_scenario
from stress.scenario.schema import Scenario

__all__ = ["MIXED", "Size", "cascade_tables", "reference_scenario"]

Floats = NDArray[np.float64]

MIXED = {"hedged": 1.0, "basket": 1.0, "directional": 1.0}
"""Shares of the kinds of account of R1."""

TIERS = [
    {"floor": 0, "rate": 0.004},
    {"floor": 300_000, "rate": 0.005},
    {"floor": 800_000, "rate": 0.0065},
    {"floor": 3_000_000, "rate": 0.01},
    {"floor": 12_000_000, "rate": 0.02},
]
"""The first brackets of a large venue's largest market; the benchmark gives them to every asset."""


@dataclass(frozen=True)
class Size:
    """How large a job is, and how its accounts are: ``leverage`` is log-uniform in this range."""

    accounts: int = 4_096
    assets: int = 16
    steps: int = 2_016
    paths: int = 4_096
    positions: int | None = None
    """Positions of every account; None draws as many as its kind has."""
    leverage: tuple[float, float] = (1.0, 7.0)
    kinds: tuple[tuple[str, float], ...] = tuple(MIXED.items())


def reference_scenario(
    folder: Path,
    size: Size,
    *,
    changes: Mapping[str, Any] | None = None,
) -> Scenario:
    """Write a book into a folder and return its scenario, loaded.

    ``changes`` are tables of the scenario, merged key by key.
    """
    draw = np.random.Generator(np.random.PCG64(2026))
    assets = [f"A{number:03}" for number in range(size.assets)]
    _write_book(folder, draw, assets, size)
    tables: dict[str, dict[str, Any]] = {
        "simulation": {
            "paths": size.paths,
            "horizon": f"{5 * size.steps}min",
            "step": "5min",
            "seed": 11,
            "precision": "float32",
        },
        "market": _market(assets),
        "book": {
            "accounts": str(folder / "accounts.csv"),
            "positions": str(folder / "positions.csv"),
            "mode": "cross",
        },
        "venue": {"fee": 0.005, "amount": "all", "tiers": {"default": TIERS}},
    }
    for name, table in (changes or {}).items():
        tables.setdefault(name, {}).update(table)
    return load_scenario({"name": "reference", **tables})


def cascade_tables(assets: int) -> dict[str, dict[str, Any]]:
    """Return what R2 changes of R1: impact, partial closes, a fund, and who pays when it is empty.

    Volumes fall from the first asset to the last as those of perpetuals do, from 20 to 0.2 billion
    USD a day.
    """
    volume = np.geomspace(2e10, 2e8, assets).round(-6)
    names = [f"A{number:03}" for number in range(assets)]
    return {
        "venue": {
            "impact": {
                "kind": "square-root",
                "adv": dict(zip(names, volume.tolist(), strict=True)),
            },
            "amount": "restore",
            "order": "largest-loss",
            "fund": {"balance": 250_000.0},
            "deleveraging": {"kind": "auto-deleverage"},
        }
    }


def _market(assets: list[str]) -> dict[str, Any]:
    """Return a market of one common factor, volatilities from .5 to 1.3 a year."""
    count = len(assets)
    correlation = np.full((count, count), 0.6)
    np.fill_diagonal(correlation, 1.0)
    volatility = np.linspace(0.5, 1.3, count)
    return {
        "model": "gbm",
        "assets": assets,
        "price": dict.fromkeys(assets, 100.0),
        "volatility": dict(zip(assets, volatility.round(3).tolist(), strict=True)),
        "correlation": correlation.tolist(),
    }


def _write_book(folder: Path, draw: np.random.Generator, assets: list[str], size: Size) -> None:
    names, shares = zip(*size.kinds, strict=True)
    kinds = draw.choice(names, size=size.accounts, p=np.array(shares) / sum(shares))
    low, high = np.log(size.leverage)
    leverage = np.exp(draw.uniform(low, high, size.accounts))
    cash = np.exp(draw.normal(np.log(20_000), 1.5, size.accounts))
    accounts, positions = ["account,cash,group"], ["account,asset,quantity,entry_price"]
    for number, kind in enumerate(kinds):
        name = f"{kind}-{number}"
        accounts.append(f"{name},{cash[number]:.2f},{kind}")
        gross = leverage[number] * cash[number]
        for asset, share in _weights(draw, str(kind), len(assets), size.positions):
            positions.append(f"{name},{assets[asset]},{share * gross / 100:.6f},100")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "accounts.csv").write_text("\n".join(accounts) + "\n")
    (folder / "positions.csv").write_text("\n".join(positions) + "\n")


def _weights(
    draw: np.random.Generator, kind: str, assets: int, positions: int | None
) -> list[tuple[int, float]]:
    """Return (asset, signed share of the gross notional) of one account."""
    usual = {"hedged": 2, "basket": int(draw.integers(3, 6)), "directional": 1}[kind]
    count = min(positions or usual, assets)
    chosen = draw.choice(assets, size=count, replace=False)
    share = draw.uniform(0.7, 1.3, count)
    share /= share.sum()
    if kind == "hedged":
        side = np.where(np.arange(count) % 2 == 0, 1.0, -1.0)
    else:
        side = np.full(count, 1.0 if draw.random() < 0.7 else -1.0)
    return [(int(asset), float(part)) for asset, part in zip(chosen, share * side, strict=True)]
