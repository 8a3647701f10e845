"""How much of one asset's open interest one account may hold before the fund does not last.

A share s of the larger side is moved to the account that holds most of it; the others' positions on
that side shrink by one factor, so that the open interest stays. The account's collateral grows as
its gross notional does, so that its leverage stays. The others' equity stays.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from stress.book.book import Book
from stress.book.what_if import resized
from stress.decide.answer import Answer
from stress.decide.cascades import Cascades, share_of
from stress.decide.changed import traded
from stress.decide.exhaustion import Appeal, Family, largest_value
from stress.decide.fund import EXHAUSTED
from stress.decide.scale import MOST_ASSETS, open_interest
from stress.decide.task import Task
from stress.types import Array, Floats

__all__ = ["Side", "concentration_answers"]

_HIGHEST = 0.999
"""The others keep a rest: nobody loses a position."""


@dataclass(frozen=True)
class Side:
    """Who holds one side of an asset's open interest.

    Attributes
    ----------
    on_side
        (positions,) whether a position is on it.
    held
        (accounts,) USD.
    """

    on_side: Array
    held: Floats

    @classmethod
    def larger(cls, book: Book, price: Floats, asset: int) -> Side:
        """Return the side of an asset with the larger open interest, longs where both are alike."""
        longs, shorts = open_interest(book, price)[:, asset]
        sign = 1.0 if longs >= shorts else -1.0
        on_side = (book.position_asset == asset) & (sign * book.quantity > 0)
        held = np.zeros(len(book.accounts))
        np.add.at(
            held, book.position_account[on_side], np.abs(book.quantity[on_side]) * price[asset]
        )
        return cls(on_side, held)

    @property
    def account(self) -> int:
        """The account that holds most, the first of equals."""
        return int(np.argmax(self.held))

    @property
    def share(self) -> float:
        """What it holds, as a share of the side."""
        return float(self.held.max() / self.held.sum())

    @property
    def least_share(self) -> float:
        """The share at which another account holds as much; 0 where nobody else holds any."""
        next_one = float(np.sort(self.held)[-2] / self.held.sum()) if len(self.held) > 1 else 0.0
        return next_one / (1 - self.share + next_one) if next_one else 0.0

    def moved(self, book: Book, price: Floats) -> Callable[[float], Book]:
        """Return what makes the book of a share."""
        own = book.position_account == self.account
        gross = np.abs(book.quantity) * price[book.position_asset]
        others = self.on_side & ~own

        def at(share: float) -> Book:
            factor = np.where(self.on_side & own, share / self.share, 1.0)
            collateral = np.ones(len(book.accounts))
            collateral[self.account] = (gross * factor)[own].sum() / gross[own].sum()
            shrunk = np.where(others, (1 - share) / (1 - self.share), 1.0)
            return traded(resized(book, factor, collateral), price, shrunk)

        return at


def concentration_answers(task: Task) -> list[Answer]:
    """Return the largest share of one account in each asset, most open interest first.

    Assets of which one account holds a whole side have no answer: nobody is there to hold less.
    """
    alpha = task.appetite.fund_exhaustion_probability
    if alpha is None:
        return []
    Cascades.of(task)
    # what the other questions are to find left
    kept = task.budget.left - share_of(task, "concentration")
    held = open_interest(task.book, task.setting.price).max(axis=0)
    order = [int(asset) for asset in np.argsort(-held, kind="stable") if held[asset] > 0]
    order = order[:MOST_ASSETS]
    sides = {asset: Side.larger(task.book, task.setting.price, asset) for asset in order}
    shared = [asset for asset in order if sides[asset].least_share > 0]
    answers = []
    for place, asset in enumerate(shared):
        task.say(f"concentration: {task.setting.assets[asset]}")
        left = max(task.budget.left - kept, 0.0)
        answers.append(_of_asset(task, alpha, asset, sides[asset], left, len(shared) - place))
    return answers


def _of_asset(
    task: Task, alpha: float, asset: int, side: Side, left: float, waiting: int
) -> Answer:
    book, cascades = task.book, Cascades.of(task)
    highest = max(_HIGHEST, side.share)
    family = Family(side.moved(book, task.setting.price), side.share, side.least_share, highest)
    blank = Answer(
        question="concentration",
        kind="asset",
        subject=task.setting.assets[asset],
        world=task.scenario.book.mode,
        measure=EXHAUSTED,
        threshold=alpha,
        unit="1",
        present=side.share,
    )
    asked = Appeal(alpha, cascades.confidence(task.appetite.confidence), left, waiting)
    found = largest_value(cascades, family, asked, blank)
    long = bool((book.quantity[side.on_side] > 0).all())
    whose = f"{'long' if long else 'short'} side, held most by {book.accounts[side.account]}"
    return replace(found, note="; ".join(part for part in (whose, found.note) if part))
