"""Monte Carlo stress tests of leveraged crypto books.

>>> import stress
>>> scenario = stress.load_scenario("scenarios/three_books.toml")
>>> tree = stress.run(scenario)

Names are loaded on first use, so that ``import stress`` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_HOME = {
    "InputError": "stress.errors",
    "Scenario": "stress.scenario.schema",
    "StressError": "stress.errors",
    "load_scenario": "stress.scenario.load",
    "open_result": "stress.result.store",
    "run": "stress.runner.simulate",
    "simulate_prices": "stress.runner.prices",
    "solve_limits": "stress.decide.command",
}
_MODULES = ("report",)

__all__ = [*sorted(_HOME), "report"]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    if name in _MODULES:
        return importlib.import_module(f"stress.{name}")
    raise AttributeError(f"module 'stress' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
