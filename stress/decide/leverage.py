"""The largest leverage of accounts, groups and templates that keeps P(liquidated) at the appetite.

A size is a multiple of every position of an account, traded at the starting marks: its equity stays
what it is, so its effective leverage (gross notional over equity) is the present one times the
multiple. Nothing is fitted: the book at that leverage is run over the scenario's own paths.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stress.book.book import Book
from stress.book.setting import Setting
from stress.book.what_if import copies
from stress.decide.answer import Answer, Subject
from stress.decide.changed import fresh_book, joined
from stress.decide.sizes import Sizes, largest_sizes, leverages
from stress.decide.task import Task
from stress.decide.trial import left_out
from stress.errors import InputError
from stress.scenario.appetite import Template
from stress.scenario.schema import Scenario
from stress.types import Integers, Mode

__all__ = ["START", "leverage_answers", "template_book"]

START = 4.0
"""Leverage of a template at a multiple of 1: the sizes tried reach from 1/64 to 256."""

_ACCOUNT = "P(liquidated by the horizon)"
_GROUP = "mean over accounts of P(liquidated by the horizon)"


def leverage_answers(task: Task) -> list[Answer]:
    """Return the largest leverage of every template, group and account, in each of the worlds.

    Parameters
    ----------
    task
        Its appetite states ``account_liquidation_probability``; without it there is no answer.

    Returns
    -------
    World by world, in effective leverage: gross notional over equity. Accounts without positions
    have no size and no answer, and accounts without a counterpart have none in that world.
    """
    alpha = task.appetite.account_liquidation_probability
    if alpha is None:
        return []
    _require_tradable(task.scenario, task.appetite.template)
    return _Question.of(task).solve(task, alpha)


def template_book(templates: tuple[Template, ...], setting: Setting) -> Book:
    """Return a book of one account a template, entered at the marks with a leverage of 4."""
    names = tuple(template.name for template in templates)
    collateral = np.array([template.collateral for template in templates], float)
    owner: list[int] = []
    asset: list[int] = []
    quantity: list[float] = []
    for number, template in enumerate(templates):
        gross = sum(abs(weight) for weight in template.weights.values())
        for name, weight in template.weights.items():
            place = setting.assets.index(name)
            owner.append(number)
            asset.append(place)
            notional = START * collateral[number] * weight / gross
            quantity.append(notional / setting.price[place])
    return fresh_book(names, collateral, owner, asset, quantity, setting)


@dataclass(frozen=True)
class _Subject:
    """Whom an answer is for; ``unit`` is its number in every world."""

    kind: Subject
    name: str
    unit: int


@dataclass(frozen=True)
class _Question:
    """The book that is asked about, and who is asked for in it.

    Attributes
    ----------
    book
        The accounts, once more all of them for the groups, and the templates.
    unit
        (accounts of ``book``,) the unit of each.
    subjects
        Who is asked for.
    alias
        World asked for -> the world that is simulated: without isolated positions a book as booked
        is its own cross counterpart.
    """

    book: Book
    unit: Integers
    subjects: tuple[_Subject, ...]
    alias: dict[Mode, Mode]

    @classmethod
    def of(cls, task: Task) -> _Question:
        book, accounts = task.book, len(task.book.accounts)
        groups, templates = len(book.groups), task.appetite.template
        everyone = np.arange(accounts)
        asked = copies(book, np.concatenate([everyone, everyone]))
        units = [everyone, accounts + book.account_group]
        if templates:
            asked = joined(asked, template_book(templates, task.setting))
            units.append(accounts + groups + np.arange(len(templates)))
        holds = np.bincount(book.position_account, np.abs(book.quantity), accounts) > 0
        first = accounts + groups
        subjects = (
            *(_Subject("template", one.name, first + i) for i, one in enumerate(templates)),
            *(_Subject("group", name, accounts + i) for i, name in enumerate(book.groups)),
            *(_Subject("account", book.accounts[i], int(i)) for i in np.flatnonzero(holds)),
        )
        return cls(asked, np.concatenate(units), subjects, _aliases(book, task.scenario.worlds))

    def solve(self, task: Task, alpha: float) -> list[Answer]:
        """Return the answers in each world that is asked for, all solved together."""
        modes = tuple(dict.fromkeys(self.alias.values()))
        worlds = len(modes) * (int(self.unit.max()) + 1)
        task.say(f"leverage: {worlds:,} limits on {task.scenario.simulation.paths:,} paths")
        found = largest_sizes(task, alpha, self.book, self.unit, modes)
        return [
            answer
            for world, mode in self.alias.items()
            for answer in self._answers(task, found, world, mode, modes.index(mode))
        ]

    def _answers(
        self, task: Task, found: Sizes, world: Mode, mode: Mode, place: int
    ) -> list[Answer]:
        """Return the answers in one world, simulated as that of a mode."""
        leverage = leverages(self.book, task.setting, self.unit, mode)
        first, note = place * len(leverage), left_out(task.scenario, task.book)
        answers = []
        for of in self.subjects:
            number, now = first + of.unit, float(leverage[of.unit])
            if not found.exists[number] or now == 0:
                continue
            asked = Answer(
                question="leverage",
                kind=of.kind,
                subject=of.name,
                world=world,
                measure=_ACCOUNT if found.criterion.single[number] else _GROUP,
                threshold=found.criterion.alpha,
                unit="x",
                present=np.nan if of.kind == "template" else now,
                note=note,
            )
            answers.append(found.answered(number, asked, now))
        return answers


def _aliases(book: Book, worlds: tuple[Mode, ...]) -> dict[Mode, Mode]:
    """Return which world is simulated for each that is asked for."""
    same = np.isnan(book.margin).all()
    return {
        world: "cross" if same and world == "as-booked" else world
        for world in dict.fromkeys(worlds)
    }


def _require_tradable(scenario: Scenario, templates: tuple[Template, ...]) -> None:
    """Refuse a template in an asset that cannot be held with margin."""
    tiers = scenario.venue.tiers
    for template in templates:
        for asset in template.weights:
            if asset in scenario.market.assets and (asset in tiers or "default" in tiers):
                continue
            raise InputError(
                f'template "{template.name}" holds {asset}, which has no maintenance tiers here',
                file=scenario.source,
                key="appetite.template",
                remedy="use assets of market.assets that have a table in venue.tiers",
            )
