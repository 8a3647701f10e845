"""From answers to a labelled result: ``/limit_values`` and ``/remedies``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from math import isnan
from typing import Any

import numpy as np
import xarray as xr

from stress.decide.answer import Answer
from stress.decide.limits import Answers
from stress.decide.remedies import Remedy
from stress.decide.task import Task
from stress.measure.moments import Estimate
from stress.measure.world import Findings
from stress.result.assemble import assemble
from stress.runner.provenance import provenance
from stress.types import Array

__all__ = ["headroom", "label_answers", "verdict"]

_SMALLEST = ("fund", "maintenance-rate")
"""The questions whose answer is the least that suffices; that of the others is the most."""


def headroom(answer: Answer) -> float:
    """Return how far the present value is from the limit, a share of the present value.

    Positive is room: so much more leverage, open interest, ... may be had, or so much of the fund
    or of the rate is more than is needed. NaN where either is not known.
    """
    if isnan(answer.limit) or isnan(answer.present) or answer.present == 0:
        return float("nan")
    room = answer.limit / answer.present - 1
    return -room if answer.question in _SMALLEST else room


def verdict(answer: Answer) -> str:
    """Return what the answer says of the present value.

    ``"within"`` the certified limit, ``"over"`` the limit even at the point estimate, ``"not
    resolved"`` in between or where there is no limit, ``"no present value"`` where nobody holds it.
    """
    if answer.outcome == "unbounded at the highest value":
        return "within"
    if answer.outcome == "breached at the lowest value":
        return "over"
    if isnan(answer.present):
        return "no present value"
    smallest = answer.question in _SMALLEST
    if not isnan(answer.limit) and _keeps(answer.present, answer.limit, smallest):
        return "within"
    if not isnan(answer.at_estimate) and not _keeps(answer.present, answer.at_estimate, smallest):
        return "over"
    return "not resolved"


def _keeps(present: float, limit: float, smallest: bool) -> bool:
    return present >= limit if smallest else present <= limit


def label_answers(task: Task, answers: Answers, seconds: float) -> xr.DataTree:
    """Return the result of ``margin-stress limits`` as ``result.schema`` specifies it.

    Parameters
    ----------
    task
        What was asked.
    answers
        What was found.
    seconds
        What it took.
    """
    scenario, setting = task.scenario, task.setting
    device = task.devices[0]
    attributes = {
        **provenance(
            scenario,
            accounts=len(task.book.accounts),
            assets=len(setting.assets),
            steps=setting.steps,
            step_days=365.0 * setting.step_years,
        ),
        "confidence": task.appetite.confidence,
        "platform": device.platform,
        "device_kind": device.device_kind,
        "duration_seconds": seconds,
        "notices": "\n".join(answers.notices),
        "interrupted_at": answers.interrupted_at,
    }
    findings: list[Findings] = [{"limit_values": _limits(answers.limits)}]
    if answers.remedies:
        findings.append({"remedies": _remedies(answers.remedies)})
    labels = {
        "answer": np.arange(len(answers.limits)),
        "remedy": np.arange(len(answers.remedies)),
    }
    return assemble(findings, labels, {}, attributes, {})


def _limits(answers: Sequence[Answer]) -> dict[str, Estimate | Array]:
    columns = _columns(answers, Answer)
    interval = np.stack([columns.pop("risk_lower"), columns.pop("risk_upper")], axis=-1)
    return {
        **columns,
        "risk": Estimate(columns["risk"], interval),
        "headroom": np.array([headroom(answer) for answer in answers]),
        "verdict": np.array([verdict(answer) for answer in answers], dtype=str),
    }


def _remedies(found: Sequence[Remedy]) -> dict[str, Estimate | Array]:
    columns = _columns(found, Remedy)
    interval = np.stack([columns.pop("lower"), columns.pop("upper")], axis=-1)
    return {**columns, "probability": Estimate(columns["probability"], interval)}


def _columns(rows: Sequence[Any], kind: Any) -> dict[str, Array]:
    """Return the fields of some rows as arrays; texts as such."""
    found = {}
    for field in fields(kind):
        values = [getattr(row, field.name) for row in rows]
        is_text = any(isinstance(value, str) for value in values)
        found[field.name] = np.array(values, dtype=str if is_text else None)
    return found
