"""A small venue whose fund is asked for something on many paths, for questions that need cascades.

Five longs and a short of one asset without feedback, so that first passage answers; by ``changes``
a cascade.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import numpy as np

from stress.decide.answer import Answer
from stress.decide.task import Budget, Task
from stress.scenario.appetite import Appetite
from stress.scenario.build import build_setting, load_book
from tests.strategies import Account, write_book

__all__ = ["ALPHA", "FEE", "PATHS", "RATE", "task", "told"]

ALPHA, FEE, PATHS, RATE = 0.1, 0.002, 256, 0.01
PRICE = 100.0

ACCOUNTS = {
    f"long-{number}": Account(
        cash=20.0 * number * share,
        positions=[{"asset": "A", "quantity": 2.0 * number, "entry_price": PRICE}],
    )
    for number, share in enumerate((0.5, 0.6, 0.4, 0.9, 0.7), start=1)
} | {
    "short-1": Account(
        cash=700.0, positions=[{"asset": "A", "quantity": -24.0, "entry_price": PRICE}]
    )
}

COUPLED = {
    "venue.amount": "restore",
    "venue.impact": {"kind": "linear", "depth_1pct": {"A": 2_000.0}},
    "venue.deleveraging": {"kind": "socialised"},
}
"""What makes it a cascade."""


def task(
    folder: Path, *, budget: float = 600.0, changes: dict[str, Any] | None = None, **appetite: Any
) -> Task:
    """Return the task of the venue; ``changes`` by dotted key."""
    plain = {
        "simulation.paths": PATHS,
        "simulation.horizon": "24h",
        "simulation.step": "2h",
        "market": {"assets": ["A"], "price": {"A": PRICE}, "volatility": {"A": 1.6}},
        "venue.haircut": {},
        "venue.fee": FEE,
        # two, so that other tables have kernels of the same shape
        "venue.tiers": {"default": [{"floor": 0, "rate": RATE}, {"floor": 500, "rate": RATE}]},
        "venue.fund": {"balance": 5.0},
    }
    folder.mkdir(exist_ok=True)
    scenario = write_book(folder, ACCOUNTS, plain | (changes or {}))
    stated = {"fund_exhaustion_probability": ALPHA} | appetite
    return Task(
        scenario=scenario,
        appetite=Appetite(**stated),
        setting=build_setting(scenario),
        book=load_book(scenario)[0],
        devices=tuple(jax.devices()[:1]),
        budget=Budget(budget),
        say=lambda line: None,
    )


def told(answer: Answer) -> tuple[str, bool]:
    """Return how a question ended, and whether there is a limit."""
    return answer.outcome, bool(np.isfinite(answer.limit))
