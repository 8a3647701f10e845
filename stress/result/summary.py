"""``summary.json``: the few numbers that a scheduler or a dashboard reads."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import xarray as xr

from stress.measure.precision import JUDGED, judge_precision
from stress.result.summary_schema import SUMMARY_VERSION

__all__ = ["SUMMARY", "exit_code", "summarise", "to_json"]

SUMMARY = "summary.json"

_FILES = {
    "result": "result.nc",
    "summary": SUMMARY,
    "report": "report.html",
    "scenario": "scenario.toml",
}
"""What every run folder holds when its run is finished."""

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


def exit_code(limits: list[dict[str, Any]], *, precise: bool = True) -> int:
    """Return 3 if an estimate is over its limit, else 4 if one is not resolved, else 0.

    Parameters
    ----------
    limits
        As ``limit_rows`` returns them; one whose interval straddles it is not resolved.
    precise
        Whether no relative error is larger than the scenario allows.
    """
    if any(limit["breached"] for limit in limits):
        return _BREACHED
    if not precise or any(not limit["resolved"] for limit in limits):
        return _UNRESOLVED
    return _KEPT


def summarise(tree: xr.DataTree) -> dict[str, Any]:
    """Return the summary of a result, with numbers that JSON can hold."""
    attrs = tree.attrs
    limits, headlines = limit_rows(tree), {name: _three(tree, name) for name in _HEADLINES}
    error = _relative_error(attrs.get("max_relative_error"), headlines)
    return {
        "schema_version": SUMMARY_VERSION,
        "name": attrs["title"],
        "mode": attrs["mode"],
        **_provenance(attrs),
        "paths": int(attrs["paths"]),
        "accounts": int(attrs["accounts"]),
        "assets": int(attrs["assets"]),
        "steps": int(attrs["steps"]),
        "confidence": float(attrs["confidence"]),
        **headlines,
        "limits": limits,
        "relative_error": error,
        "notices": [line for line in str(attrs["notices"]).splitlines() if line],
        "files": _FILES,
        "duration_seconds": float(attrs["duration_seconds"]),
        "compile_seconds": float(attrs["compile_seconds"]),
        "account_path_steps_per_second": float(attrs["account_path_steps_per_second"]),
        "exit_code": exit_code(limits, precise=error is None or not error["exceeded"]),
    }


def _provenance(attrs: Mapping[Any, Any]) -> dict[str, Any]:
    """Return when the result was made, of what, by what."""
    program, _, version = str(attrs["source"]).rpartition(" ")
    return {
        "created_at": attrs["created_at"],
        # a result of before these were kept apart has neither
        "as_of": {name: attrs.get(f"{name}_as_of") or None for name in ("market", "book")},
        "versions": {program: version, "jax": attrs["jax_version"]},
        "seed": int(attrs["seed"]),
        "scenario_sha256": attrs["scenario_sha256"],
        "input_sha256": _input_hashes(str(attrs["input_sha256"])),
    }


def _input_hashes(lines: str) -> dict[str, str]:
    """Return the hash of each input file by its path, from lines of hash and path."""
    pairs = (line.partition(" ") for line in lines.splitlines() if line)
    return {path: sha for sha, _, path in pairs}


def _relative_error(
    threshold: float | None, headlines: Mapping[str, dict[str, float | None] | None]
) -> dict[str, Any] | None:
    """Return the relative errors as JSON can hold them; None where the scenario limits none."""
    if threshold is None:
        return None
    known = {name: three for name in JUDGED if (three := headlines.get(name)) is not None}
    precision = judge_precision(
        float(threshold),
        {
            name: (_number(it["estimate"]), _number(it["lower"]), _number(it["upper"]))
            for name, it in known.items()
        },
    )
    return {
        "threshold": precision.threshold,
        "exceeded": bool(precision.exceeding),
        "found": {name: _finite(error) for name, error in precision.found.items()},
    }


def _number(value: float | None) -> float:
    return math.nan if value is None else value


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
