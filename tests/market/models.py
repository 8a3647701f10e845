"""A scenario of every price model that a name stands for, on one book, with the files it reads."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np

import stress
from stress.runner.market import _BUILDERS
from stress.scenario.schema import Scenario
from stress.types import RESAMPLING
from tests.strategies import (
    ASSETS,
    CORRELATION,
    PRICE,
    VOLATILITY,
    Account,
    random_book,
    write_book,
)

__all__ = ["DRAWN", "MODELS", "model_scenario"]

MODELS = sorted(_BUILDERS)
DRAWN = [model for model in MODELS if model not in ("given", "historical")]
"""Those whose number of paths is not that of a file."""

DAYS = 400
_TABLES: dict[str, dict[str, Any]] = {
    # tails thin enough for a standard error of a variance
    "student-t": {"degrees_of_freedom": 12.0},
    "skewed-t": {"degrees_of_freedom": 24.0},
    "garch": {"degrees_of_freedom": 12.0},
    "bootstrap": {"block": 1.0},
    # as large as assets with a correlation below 0 leave room for
    "jump-diffusion": {
        "common": {"rate": 20.0, "mean": -0.02, "deviation": 0.03},
        "exposure": {"ODD": 0.0},
        "own": {
            asset: {"rate": 10.0, "mean": 0.0, "deviation": 0.0447 * volatility}
            for asset, volatility in VOLATILITY.items()
        },
    },
}
SOME = random_book(7, ("cross_single", "cross_several", "isolated_alone"))


def model_scenario(
    folder: Path,
    model: str,
    changes: Mapping[str, Any] | None = None,
    book: Mapping[str, Account] | None = None,
) -> Scenario:
    """Write a book and the files of a model, and load a scenario of forty six-hour steps."""
    market: dict[str, Any] = {"market.model": model}
    if model in _TABLES:
        market[f"market.{model}"] = _TABLES[model]
    if model in RESAMPLING:
        (folder / "history.csv").write_text(_history())
        market["market.history"] = "history.csv"
        # those of the history
        market["market.volatility"], market["market.correlation"] = {}, []
    if model == "given":
        plain = write_book(folder, SOME)
        stress.simulate_prices(plain, paths=128).to_netcdf(folder / "paths.nc")
        market["market.file"] = "paths.nc"
    return write_book(folder, SOME if book is None else book, {**market, **(changes or {})})


def _history() -> str:
    rng = np.random.default_rng(11)
    root = np.linalg.cholesky(np.array(CORRELATION))
    returns = 0.04 * rng.standard_normal((DAYS, len(ASSETS))) @ root.T
    close = np.array([PRICE[asset] for asset in ASSETS]) * np.exp(returns.cumsum(axis=0))
    rows = [
        f"{date(2025, 1, 1) + timedelta(day)}T00:00:00Z,{asset},{close[day, number]!r}"
        for day in range(DAYS)
        for number, asset in enumerate(ASSETS)
    ]
    return "\n".join(["timestamp,asset,close", *rows]).replace("np.float64(", "").replace(")", "")
