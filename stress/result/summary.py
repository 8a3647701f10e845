"""``summary.json``: the few numbers that a scheduler or a dashboard reads."""

from __future__ import annotations

import json
import math
from typing import Any

import xarray as xr

__all__ = ["exit_code", "summarise", "to_json"]

_KEPT, _BREACHED, _UNRESOLVED = 0, 3, 4

_HEADLINES = (
    "liquidation_probability",
    "any_liquidation_probability",
    "expected_total_loss",
    "expected_uncovered_loss",
    "expected_cascade_loss",
    "cascade_loss_value_at_risk",
    "cascade_loss_expected_shortfall",
    "cascade_multiplier",
    "fund_exhaustion_probability",
)


def exit_code(limits: list[dict[str, Any]]) -> int:
    """Return 3 if an estimate is over its limit, else 4 if an interval straddles one, else 0."""
    if any(limit["breached"] for limit in limits):
        return _BREACHED
    if any(not limit["resolved"] for limit in limits):
        return _UNRESOLVED
    return _KEPT


def summarise(tree: xr.DataTree) -> dict[str, Any]:
    """Return the summary of a result, with numbers that JSON can hold."""
    attrs = tree.attrs
    limits = limit_rows(tree)
    return {
        "name": attrs["title"],
        "mode": attrs["mode"],
        "paths": int(attrs["paths"]),
        "accounts": int(attrs["accounts"]),
        "assets": int(attrs["assets"]),
        "steps": int(attrs["steps"]),
        **{name: _three(tree, name) for name in _HEADLINES},
        "limits": limits,
        "duration_seconds": float(attrs["duration_seconds"]),
        "compile_seconds": float(attrs["compile_seconds"]),
        "account_path_steps_per_second": float(attrs["account_path_steps_per_second"]),
        "exit_code": exit_code(limits),
    }


def limit_rows(tree: xr.DataTree) -> list[dict[str, Any]]:
    """Return the judged limits as rows."""
    if "limits" not in tree.children:
        return []
    node = tree["limits"].to_dataset()
    rows = []
    for number, name in enumerate(node["limit"].values):
        row = {key: node[key].values[number] for key in ("value", "threshold")}
        rows.append(
            {
                "name": str(name),
                **{key: _finite(value) for key, value in row.items()},
                "lower": _finite(node["value_interval"].values[number, 0]),
                "upper": _finite(node["value_interval"].values[number, 1]),
                "breached": bool(node["breached"].values[number]),
                "resolved": bool(node["resolved"].values[number]),
                "where": str(node["where"].values[number]),
            }
        )
    return rows


def to_json(summary: dict[str, Any]) -> str:
    """Return the summary as JSON text; NaN and infinity are not JSON and are refused."""
    return json.dumps(summary, indent=2, allow_nan=False) + "\n"


def _three(tree: xr.DataTree, name: str) -> dict[str, float | None] | None:
    """Return an estimate of the book, at the highest level where there are several.

    None where the run could not have it: a loss by cascades needs feedback of sales on prices.
    """
    node = tree["book"].to_dataset()
    if name not in node:
        return None
    lower, upper = node[f"{name}_interval"].values.reshape(-1, 2)[-1]
    return {
        "estimate": _finite(node[name].values.reshape(-1)[-1]),
        "lower": _finite(lower),
        "upper": _finite(upper),
        **_calibration(node, name),
    }


def _calibration(node: xr.Dataset, name: str) -> dict[str, float | None]:
    """Return the bounds of the calibration interval, where parameters were drawn."""
    interval = f"{name}_calibration_interval"
    if interval not in node:
        return {}
    lower, upper = node[interval].values.reshape(-1, 2)[-1]
    return {"calibration_lower": _finite(lower), "calibration_upper": _finite(upper)}


def _finite(value: Any) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None
