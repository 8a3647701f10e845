"""Price histories from known laws, made here, and scenario files around them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

__all__ = ["ASSETS", "history", "scenario", "write_history"]

ASSETS = ("AAA", "BBB")


def history(rows: int, *, law: str = "normal", seed: int = 0) -> np.ndarray:
    """Return (rows, 2) closes of correlated daily returns of deviation 0.04.

    ``heavy``: a t with 2.5 degrees of freedom, scaled; ``clustered``: deviations that double for
    months at a time.
    """
    random = np.random.default_rng(seed)
    normals = random.standard_normal((rows - 1, 2))
    normals[:, 1] = 0.6 * normals[:, 0] + 0.8 * normals[:, 1]
    returns = 0.04 * normals
    if law == "heavy":
        # the deviation of the sample: that of the law hardly settles
        mixing = np.sqrt(1 / random.chisquare(2.5, (rows - 1, 1)))
        returns = 0.04 * normals * mixing / np.sqrt(np.mean(mixing**2))
    if law == "clustered":
        returns *= np.where(np.arange(rows - 1) // 90 % 2, 2.0, 0.7)[:, None]
    return 100 * np.exp(np.vstack([np.zeros((1, 2)), np.cumsum(returns - 0.0008, axis=0)]))


def write_history(
    path: Path, close: np.ndarray, *, first: str = "2020-01-01", extremes: float | None = None
) -> Path:
    """Write closes as a tidy daily file; with ``extremes`` highs and lows so far beyond."""
    days = np.datetime64(first) + np.arange(len(close))
    head = "timestamp,asset,close" + (",high,low" if extremes else "")
    lines = [head]
    for day, row in zip(days, close, strict=True):
        for asset, price in zip(ASSETS, row, strict=False):
            line = f"{day},{asset},{price:.12g}"
            if extremes:
                line += f",{price * (1 + extremes):.12g},{price * (1 - extremes):.12g}"
            lines.append(line)
    path.write_text("\n".join(lines) + "\n")
    return path


def scenario(
    folder: Path, *, model: str = "gbm", assets: str = '["AAA", "BBB"]', **keys: str
) -> Path:
    """Write a scenario with a table [backtest]; ``keys`` are TOML values of it."""
    table = {
        "history": '"prices.csv"',
        "first": "2020-11-01",
        "models": '["gbm"]',
        "paths": "400",
        "refit": '"60d"',
        "liquidation_window": '"3d"',
    } | keys
    lines = [f"{key} = {value}" for key, value in table.items() if value]
    text = f'name = "walk"\n[market]\nmodel = "{model}"\nassets = {assets}\n[backtest]\n'
    path = folder / "walk.toml"
    path.write_text(text + "\n".join(lines) + "\n")
    return path
