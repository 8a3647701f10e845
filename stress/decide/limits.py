"""The questions of a scenario's appetite, asked one after the other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from stress.decide.answer import Answer
from stress.decide.concentration import concentration_answers
from stress.decide.fund import fund_answers
from stress.decide.leverage import leverage_answers
from stress.decide.remedies import Remedy, remedies
from stress.decide.scale import book_scale_answers, open_interest_answers
from stress.decide.task import Task
from stress.decide.tiers import maintenance_rate_answers
from stress.decide.trade_size import trade_size_answers
from stress.errors import InputError
from stress.scenario.appetite import NEEDS, Appetite, Question
from stress.scenario.schema import Scenario

__all__ = ["Answers", "answer_all", "appetite_of"]

_ASK: dict[Question, Callable[[Task], list[Answer]]] = {
    "leverage": leverage_answers,
    "trade-size": trade_size_answers,
    "fund": fund_answers,
    "book-scale": book_scale_answers,
    "open-interest": open_interest_answers,
    "concentration": concentration_answers,
    "maintenance-rate": maintenance_rate_answers,
}
"""In the order in which they are asked: the quick ones first, so that the time allowed is left to
those that can use it."""


@dataclass(frozen=True)
class Answers:
    """What was found.

    Attributes
    ----------
    limits
        Answers, question by question in the order in which they were asked.
    remedies
        For the accounts above the appetite.
    notices
        Sentences: which questions were not asked, and why.
    interrupted_at
        The question at which Ctrl-C or SIGTERM ended the search; empty where none did.
    """

    limits: tuple[Answer, ...]
    remedies: tuple[Remedy, ...]
    notices: tuple[str, ...]
    interrupted_at: str = ""


def appetite_of(scenario: Scenario) -> Appetite:
    """Return a scenario's appetite.

    Raises
    ------
    InputError
        It has none, or one that no question can be solved for.
    """
    appetite = scenario.appetite
    if appetite is None:
        raise InputError(
            "the scenario declares no appetite",
            file=scenario.source,
            key="appetite",
            remedy="add the table, such as: [appetite] account_liquidation_probability = 0.05",
        )
    if all(getattr(appetite, NEEDS[question]) is None for question in appetite.solve):
        keys = sorted({NEEDS[question] for question in appetite.solve})
        raise InputError(
            "the appetite states no risk that its questions could be solved for",
            file=scenario.source,
            key="appetite",
            remedy=f"state one of {', '.join(keys)}",
        )
    return appetite


def answer_all(task: Task) -> Answers:
    """Ask every question that the appetite states a risk for.

    An interruption ends the search; what was answered before it stays.
    """
    asked = [question for question in (*_ASK, "remedies") if question in task.appetite.solve]
    found: list[Answer] = []
    helped: tuple[Remedy, ...] = ()
    notices = _not_asked(task.appetite)
    for question in asked:
        if not _stated(task.appetite, question):
            continue
        task.say(f"{question} ...")
        try:
            if question == "remedies":
                helped = tuple(remedies(task))
            else:
                found += _ASK[question](task)
        except KeyboardInterrupt:
            said = f'interrupted at "{question}": it and what comes after it are not answered'
            return Answers(tuple(found), helped, (*notices, said), question)
    return Answers(tuple(found), helped, notices)


def _stated(appetite: Appetite, question: Question) -> bool:
    return getattr(appetite, NEEDS[question]) is not None


def _not_asked(appetite: Appetite) -> tuple[str, ...]:
    return tuple(
        f'"{question}" was not asked: appetite.{NEEDS[question]} is not stated'
        for question in appetite.solve
        if not _stated(appetite, question)
    )
