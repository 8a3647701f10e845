"""A crowd of leveraged longs in one asset: few paths kill many of them, or the insurance fund."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

import stress
from stress.scenario.schema import Scenario

__all__ = ["ACCOUNTS", "crowd"]

ACCOUNTS = 20
_QUANTITY = 100.0
_TABLES: dict[str, dict[str, Any]] = {
    "student-t": {"degrees_of_freedom": 4.0, "interval": "4h"},
    "jump-diffusion": {
        "common": {"rate": 15.0, "mean": -0.05, "deviation": 0.05},
        "own": {"BTC": {"rate": 30.0, "mean": 0.0, "deviation": 0.04}},
    },
}
"""Wild markets of the models that draw more than normals."""


def crowd(
    folder: Path,
    *,
    model: str = "gbm",
    feedback: bool = False,
    fund: float = 0.0,
    changes: Mapping[str, Mapping[str, Any]] | None = None,
    **simulation: Any,
) -> Scenario:
    """Write and load the scenario: a day in hours, BTC at 100 USD, 4 to 13 times leverage.

    Parameters
    ----------
    folder
        Where to; an existing folder.
    model
        The price model.
    feedback
        Whether forced sales move the price; positions are then closed in part, and whoever gains
        pays for an empty fund.
    fund
        Balance of the insurance fund, USD.
    changes
        Keys by table, besides.
    simulation
        Keys of ``[simulation]``, besides.
    """
    cash = 100.0 * _QUANTITY / np.linspace(4.0, 13.0, ACCOUNTS)
    names = [f"long-{number:02d}" for number in range(ACCOUNTS)]
    rows = [f"{name},{own!r}" for name, own in zip(names, cash.tolist(), strict=True)]
    (folder / "accounts.csv").write_text("\n".join(["account,cash", *rows, ""]))
    held = [f"{name},BTC,{_QUANTITY},100" for name in names]
    (folder / "positions.csv").write_text(
        "\n".join(["account,asset,quantity,entry_price", *held, ""])
    )
    venue: dict[str, Any] = {
        "amount": "all",
        "fee": 0.0005,
        "tiers": {"default": [{"floor": 0, "rate": 0.005}]},
        "fund": {"balance": fund},
    }
    if feedback:
        venue |= {
            "impact": {"kind": "linear", "depth_1pct": {"BTC": 5e4}},
            "deleveraging": {"kind": "socialised"},
        }
    content: dict[str, Any] = {
        "name": "crowd",
        "simulation": {
            "paths": 256,
            "horizon": "1d",
            "step": "1h",
            "seed": 5,
            "monitoring": "step",
            **simulation,
        },
        "market": {
            "model": model,
            "assets": ["BTC"],
            "price": {"BTC": 100.0},
            "volatility": {"BTC": 0.7},
            "correlation": [[1.0]],
            **({model: _TABLES[model]} if model in _TABLES else {}),
        },
        "book": {"accounts": "accounts.csv", "positions": "positions.csv", "mode": "cross"},
        "venue": venue,
    }
    for table, keys in (changes or {}).items():
        content[table] = {**content.get(table, {}), **keys}
    return stress.load_scenario(content, base=folder)
