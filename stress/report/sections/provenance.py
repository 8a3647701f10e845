"""What was assumed, and what it takes to get the same digits again."""

from __future__ import annotations

import xarray as xr

from stress.report.read import attribute, sentences
from stress.report.section import Cell, Column, Content, Section, Table, Verbatim
from stress.report.text import MISSING, count, days

__all__ = ["SECTION"]

_FACTS = (
    ("Scenario", "title"),
    ("Program", "source"),
    ("Made at", "created_at"),
    ("Data as of", "as_of"),
    ("Seed", "seed"),
    ("Paths", "paths"),
    ("Accounts", "accounts"),
    ("Steps", "steps"),
    ("Length of a step, seconds", "step_seconds"),
    ("Horizon", "horizon_days"),
    ("Precision", "precision"),
    ("Monitoring", "monitoring"),
    ("Confidence", "confidence"),
    ("Market model", "market_model"),
    ("Margin mode", "mode"),
    ("Compared with", "compare"),
    ("Liquidation trigger", "trigger"),
    ("Amount closed", "amount"),
    ("Liquidation fee", "fee"),
    ("Margin call at a margin ratio of", "warning"),
    ("JAX", "jax_version"),
    ("Platform", "platform"),
    ("Device", "device_kind"),
    ("Duration, seconds", "duration_seconds"),
    ("of which compilation, seconds", "compile_seconds"),
    ("Account-path-steps a second", "account_path_steps_per_second"),
    ("Scenario, SHA-256", "scenario_sha256"),
    ("Exit code", "exit_code"),
)

_COUNTED = ("paths", "accounts", "steps", "account_path_steps_per_second")
_TIMED = ("duration_seconds", "compile_seconds")


def _written(name: str, value: str) -> str:
    if not value:
        return MISSING
    if name in _COUNTED:
        return count(value)
    if name == "horizon_days":
        return days(value)
    return f"{float(value):,.1f}" if name in _TIMED else value


def _applies(tree: xr.DataTree) -> bool:
    return True


def _content(tree: xr.DataTree) -> Content:
    rows: list[tuple[Cell, ...]] = [
        (title, _written(name, attribute(tree, name)))
        for title, name in _FACTS
        if name in tree.attrs
    ]
    scenario = attribute(tree, "scenario_toml")
    return Content(
        lead=("The resolved scenario and the seed reproduce every number on this page.",),
        items=sentences(tree, "assumptions"),
        tables=(Table("Facts of the run", (Column("What"), Column("Value")), tuple(rows)),),
        verbatim=(Verbatim("Scenario (TOML)", scenario),) if scenario else (),
    )


SECTION = Section("provenance", "Assumptions and provenance", _applies, _content)
