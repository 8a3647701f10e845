"""What an answer is: a limit, what it keeps and with which confidence, or why there is none."""

from __future__ import annotations

from dataclasses import dataclass
from math import nan
from typing import Literal, TypeAlias

from stress.scenario.appetite import Question

__all__ = ["Answer", "Outcome", "Subject"]

Outcome: TypeAlias = Literal[
    "found",
    "breached at the lowest value",
    "unbounded at the highest value",
    "too few paths",
    "not certified",
    "not monotone",
]
"""``found``: the limit keeps the appetite at its upper confidence bound. ``too few paths``: none
could show it, whatever they said. ``not certified``: the time allowed did not suffice. ``not
monotone``: values below the limit do not keep the appetite, or values above it do."""

Subject: TypeAlias = Literal["account", "group", "template", "trade", "asset", "book", "bracket"]


@dataclass(frozen=True)
class Answer:
    """The limit that one question has for one subject.

    Attributes
    ----------
    question
        Which question.
    kind, subject
        What it is about: an account, a group, an asset and its bracket, ...
    world
        The world that was simulated: ``"cross"``, ``"isolated"`` or ``"as-booked"``.
    measure
        What is kept, in words, such as "P(liquidated by the horizon)".
    threshold
        The appetite for it, in its own unit.
    unit
        Of ``limit``, ``at_estimate``, ``present``: ``"x"`` (leverage or a multiplier), ``"USD"``,
        ``"1"`` (a share or a rate).
    limit
        The largest (smallest) value whose upper confidence bound keeps the appetite; NaN where
        there is none.
    at_estimate
        The same for the point estimate.
    present
        The value as it is.
    risk, risk_lower, risk_upper
        The measure at ``limit``, with its interval at the appetite's confidence.
    outcome
        How it ended.
    paths
        Paths that it rests on.
    note
        One sentence where something has to be said; empty otherwise.
    """

    question: Question
    kind: Subject
    subject: str
    world: str
    measure: str
    threshold: float
    unit: str
    limit: float = nan
    at_estimate: float = nan
    present: float = nan
    risk: float = nan
    risk_lower: float = nan
    risk_upper: float = nan
    outcome: Outcome = "found"
    paths: int = 0
    note: str = ""
