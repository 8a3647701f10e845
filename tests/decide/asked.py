"""Small scenarios with an appetite: files of a book, and the task that limits are asked of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import tomli_w

from stress.decide.task import Budget, Task
from stress.scenario.appetite import Appetite
from stress.scenario.build import build_setting, load_book
from stress.scenario.load import load_scenario
from stress.scenario.schema import Scenario

__all__ = ["PRICE", "RATE", "VOLATILITY", "task_of", "write"]

PRICE = {"BTC": 100.0, "ETH": 50.0}
VOLATILITY = {"BTC": 0.8, "ETH": 1.0}
RATE = 0.01
"""Maintenance rate of both assets up to 500,000 USD, then 2 percent."""

Rows = Sequence[Mapping[str, Any]]


def write(folder: Path, accounts: Rows, positions: Rows, **changes: Any) -> Path:
    """Write a book and its scenario; return the scenario's file.

    Parameters
    ----------
    accounts, positions
        Rows by column; a column that one row lacks is empty there.
    changes
        ``group__key = value`` of the scenario.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _table(folder / "accounts.csv", accounts)
    _table(folder / "positions.csv", positions)
    tiers = [{"floor": 0, "rate": RATE}, {"floor": 500_000, "rate": 2 * RATE}]
    raw: dict[str, Any] = {
        "name": "asked",
        "simulation": {
            "paths": 512,
            "horizon": "7d",
            "step": "12h",
            "seed": 3,
            "precision": "float64",
        },
        "market": {
            "assets": list(PRICE),
            "price": PRICE,
            "volatility": VOLATILITY,
            "correlation": [[1.0, 0.7], [0.7, 1.0]],
        },
        "book": {"accounts": "accounts.csv", "positions": "positions.csv"},
        "venue": {"amount": "all", "fee": 0.002, "tiers": {"default": tiers}},
    }
    for key, value in changes.items():
        group, name = key.split("__")
        raw[group] = {**raw[group], name: value}
    file = folder / "scenario.toml"
    file.write_text(tomli_w.dumps(raw))
    return file


def task_of(file: Path | Scenario, **appetite: Any) -> Task:
    """Return what limits of a scenario are asked of, on two devices."""
    scenario = file if isinstance(file, Scenario) else load_scenario(file)
    book, _ = load_book(scenario)
    return Task(
        scenario=scenario,
        appetite=Appetite(**appetite),
        setting=build_setting(scenario),
        book=book,
        devices=tuple(jax.local_devices()[:2]),
        budget=Budget(60.0),
        say=lambda line: None,
    )


def _table(file: Path, rows: Rows) -> None:
    columns = list(dict.fromkeys(column for row in rows for column in row))
    lines = [",".join(str(row.get(column, "")) for column in columns) for row in rows]
    file.write_text("\n".join([",".join(columns), *lines]) + "\n")
