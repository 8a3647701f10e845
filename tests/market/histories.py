"""Price histories made by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from stress.data.prices import PriceHistory
from stress.runner.clock import Clock
from stress.scenario.market import complete_market
from stress.scenario.problems import validated
from stress.scenario.schema import Market

__all__ = ["clock", "history", "market"]

YEAR_SECONDS = 365 * 86_400


def history(
    returns: np.ndarray,
    *,
    bar: str = "1d",
    missing: tuple[int, ...] = (),
    ranges: tuple[np.ndarray, np.ndarray] | None = None,
) -> PriceHistory:
    """Return a history with these (bars, assets) log returns behind its first closes of 100.

    ``missing`` bars have no close at all; ``ranges`` are (bars + 1, assets) logs of low and high
    over the close.
    """
    number, unit = int(bar[:-1]), bar[-1]
    closes = 100 * np.exp(np.vstack([np.zeros(returns.shape[1]), np.cumsum(returns, axis=0)]))
    times = np.datetime64("2024-01-01", "ms") + np.arange(len(closes)) * np.timedelta64(
        number, {"d": "D", "h": "h", "m": "m"}[unit]
    )
    kept = np.setdiff1d(np.arange(len(closes)), missing)
    low, high = (
        (None, None) if ranges is None else tuple((closes * np.exp(r))[kept] for r in ranges)
    )
    return PriceHistory(
        source=Path("/none.csv"),
        sha256="",
        assets=tuple("ABCDEFGH"[: returns.shape[1]]),
        timestamps=times[kept],
        close=closes[kept],
        duplicates=np.zeros(returns.shape[1], np.int64),
        out_of_order=0,
        low=low,
        high=high,
    )


def market(model: str, assets: int = 2, **table: Any) -> Market:
    """Return a complete market of a resampling model with its table."""
    names = tuple("ABCDEFGH"[:assets])
    raw = {
        "model": model,
        "assets": names,
        "price": dict.fromkeys(names, 100.0),
        "volatility": dict.fromkeys(names, 0.6),
        "correlation": np.eye(assets).tolist(),
        model: {"remove_wicks": False, **table},
    }
    return complete_market(validated(Market, raw, None), None, None)


def clock(step: str = "1d", steps: int = 5, paths: int = 10, precision: Any = "float64") -> Clock:
    """Return a time grid."""
    seconds = int(step[:-1]) * {"d": 86_400, "h": 3_600, "m": 60}[step[-1]]
    return Clock(seconds / YEAR_SECONDS, steps, paths, precision)
