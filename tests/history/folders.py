"""Run folders made by hand: what a run writes, without a run."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

START = datetime(2026, 9, 1, 1, 0, tzinfo=UTC)

LIMIT = "max_account_liquidation_probability"


def three(estimate: float, half: float = 0.0) -> dict[str, float]:
    """Return an estimate as ``summary.json`` holds it."""
    return {"estimate": estimate, "lower": estimate - half, "upper": estimate + half}


def limit(value: float, threshold: float, name: str = LIMIT) -> dict[str, Any]:
    """Return a judged limit as ``summary.json`` holds it."""
    return {
        "name": name,
        "value": value,
        "lower": 0.9 * value,
        "upper": 1.1 * value,
        "threshold": threshold,
        "breached": value > threshold,
        "resolved": True,
        "where": "alice",
    }


def summary(day: int = 0, **changes: Any) -> dict[str, Any]:
    """Return the summary of a run on a day after ``START``."""
    moment = START + timedelta(days=day)
    limits = changes.get("limits", [])
    return {
        "name": "book",
        "mode": "as-booked",
        "paths": 1_000,
        "accounts": 3,
        "assets": 2,
        "steps": 10,
        "created_at": f"{moment:%Y-%m-%dT%H:%M:%SZ}",
        "as_of": {"market": None, "book": None},
        "versions": {"margin-stress": "0.1.0", "jax": "0.10.2"},
        "seed": 7,
        "input_sha256": {"/book/accounts.csv": "aa", "/book/positions.csv": "bb"},
        "scenario_sha256": "cc",
        "liquidation_probability": three(0.05 + 0.001 * day, 0.002),
        "any_liquidation_probability": three(0.4, 0.01),
        "expected_total_loss": three(1e6 + 1e4 * day, 5e4),
        "expected_cascade_loss": None,
        "fund_exhaustion_probability": None,
        "limits": limits,
        "exit_code": 3 if any(row["breached"] for row in limits) else 0,
        **changes,
    }


def stamp(day: int = 0, number: int = 1) -> str:
    """Return the name that a run gives its folder."""
    moment = START + timedelta(days=day)
    more = f"-{number}" if number > 1 else ""
    return f"{moment:%Y-%m-%dT%H-%M-%SZ}-0123abcd{more}"


def write_run(root: Path, day: int = 0, scenario: str = "book", **changes: Any) -> Path:
    """Write the folder of a finished run and return it."""
    folder = root / scenario / stamp(day)
    folder.mkdir(parents=True)
    content = {"name": scenario, **changes}
    (folder / "summary.json").write_text(json.dumps(summary(day, **content)), "utf-8")
    for name in ("result.nc", "scenario.toml", "report.html"):
        (folder / name).write_text("made by hand")
    return folder


def write_unfinished(root: Path, day: int = 0, scenario: str = "book") -> Path:
    """Write the folder of a run that was stopped and return it."""
    folder = root / scenario / stamp(day)
    (folder / "ledger").mkdir(parents=True)
    line = json.dumps({"identity": {"scenario": {"name": scenario}}})
    (folder / "ledger" / "manifest.jsonl").write_text(line + "\n")
    (folder / "ledger" / "lock").write_text("process 1 on nowhere\n")
    return folder


def write_pack_run(root: Path, day: int, scenario: str, **changes: Any) -> Path:
    """Write the folder of a run in that of several scenarios, with their page; return it."""
    night = root / f"night-{day}"
    night.mkdir(exist_ok=True)
    (night / "index.html").write_text('<meta name="generator" content="margin-stress pack">')
    folder = night / scenario
    folder.mkdir()
    content = {"name": scenario, **changes}
    (folder / "summary.json").write_text(json.dumps(summary(day, **content)), "utf-8")
    return folder
