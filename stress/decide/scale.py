"""How large the book, and the open interest of one asset, may grow before the fund does not last.

``book-scale`` multiplies quantities, cash, coins, margins and reserves alike: more customers of the
same kind, on a venue whose fund, depth and volume stay. ``open-interest`` multiplies the positions
in one asset by trades at the marks of the start: no account's equity changes, only what it holds.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from stress.book.book import Book
from stress.book.what_if import resized
from stress.decide.answer import Answer
from stress.decide.cascades import Cascades, share_of
from stress.decide.changed import traded
from stress.decide.exhaustion import Appeal, Family, largest_value
from stress.decide.fund import EXHAUSTED
from stress.decide.task import Task
from stress.types import Floats

__all__ = ["MOST_ASSETS", "book_scale_answers", "open_interest", "open_interest_answers"]

MOST_ASSETS = 10
"""Assets that are asked about, those with the largest open interest: of two hundred none would get
the time to be answered."""

_LOWEST, _HIGHEST = 2.0**-10, 2.0**10

_MOST_OF_ASSET = 64.0
"""Multiple of the open interest of one asset beyond which nobody asks."""
"""Multiples of the present size between which a limit is looked for."""


def book_scale_answers(task: Task) -> list[Answer]:
    """Return the largest multiple of the whole book; none where the appetite has no such risk."""
    alpha = task.appetite.fund_exhaustion_probability
    if alpha is None:
        return []
    task.say("book-scale")
    book, cascades = task.book, Cascades.of(task)
    positions, accounts = np.ones(len(book.positions)), np.ones(len(book.accounts))
    family = Family(
        lambda factor: resized(book, factor * positions, factor * accounts), 1.0, _LOWEST, _HIGHEST
    )
    blank = Answer(
        question="book-scale",
        kind="book",
        subject="whole book",
        world=task.scenario.book.mode,
        measure=EXHAUSTED,
        threshold=alpha,
        unit="x",
        present=1.0,
    )
    confidence = cascades.confidence(task.appetite.confidence)
    asked = Appeal(alpha, confidence, share_of(task, "book-scale"))
    return [largest_value(cascades, family, asked, blank)]


def open_interest_answers(task: Task) -> list[Answer]:
    """Return the largest open interest of the assets with the most of it, those first."""
    alpha = task.appetite.fund_exhaustion_probability
    if alpha is None:
        return []
    Cascades.of(task)
    # what the other questions are to find left
    kept = task.budget.left - share_of(task, "open-interest")
    held = open_interest(task.book, task.setting.price).max(axis=0)
    order = [asset for asset in np.argsort(-held, kind="stable") if held[asset] > 0][:MOST_ASSETS]
    answers = []
    for place, asset in enumerate(order):
        task.say(f"open-interest: {task.setting.assets[asset]}")
        left = max(task.budget.left - kept, 0.0)
        waiting = len(order) - place
        answers.append(_of_asset(task, alpha, int(asset), float(held[asset]), left, waiting))
    return answers


def _of_asset(
    task: Task, alpha: float, asset: int, held: float, left: float, waiting: int
) -> Answer:
    """Return the answer of one asset, in USD of the larger side."""
    book, price, cascades = task.book, task.setting.price, Cascades.of(task)
    of_asset = book.position_asset == asset
    family = Family(
        lambda factor: traded(book, price, np.where(of_asset, factor, 1.0)),
        1.0,
        _LOWEST,
        _MOST_OF_ASSET,
    )
    blank = Answer(
        question="open-interest",
        kind="asset",
        subject=task.setting.assets[asset],
        world=task.scenario.book.mode,
        measure=EXHAUSTED,
        threshold=alpha,
        unit="USD",
        present=held,
    )
    confidence = cascades.confidence(task.appetite.confidence)
    asked = Appeal(alpha, confidence, left, waiting)
    found = largest_value(cascades, family, asked, blank)
    times = f"{found.limit:.3g} times the present" if found.limit == found.limit else ""
    note = "; ".join(part for part in (times, found.note) if part)
    return replace(found, limit=held * found.limit, at_estimate=held * found.at_estimate, note=note)


def open_interest(book: Book, price: Floats) -> Floats:
    """Return (2, assets) open interest of longs and of shorts, USD."""
    notional = book.quantity * price[book.position_asset]
    sides = (np.maximum(notional, 0), np.maximum(-notional, 0))
    return np.stack([np.bincount(book.position_asset, side, len(price)) for side in sides])
