"""The largest multiples of its size at which each account of a book keeps P(liquidated).

A size is a multiple of every position of an account, traded at the starting marks (``changed``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from stress.book.book import Book
from stress.book.display import pool_margins
from stress.book.pools import account_pools
from stress.book.setting import Setting
from stress.decide.answer import Answer, Outcome
from stress.decide.changed import looks, traded
from stress.decide.solve import Criterion, Found, Search, first_guess
from stress.decide.task import Task
from stress.decide.trial import Tally, Trial, Units
from stress.types import Array, Floats, Integers, Mode

__all__ = ["Sizes", "largest_sizes", "leverages"]

_REACH = 64.0
"""Sizes are looked at from one part in so many of the present size, or of a leverage of 1, up to so
many times the larger of them."""


@dataclass(frozen=True)
class Sizes:
    """What was found for units in worlds, (worlds * units,) each, world by world.

    Attributes
    ----------
    criterion
        What is kept.
    certified, estimated
        The largest multiples whose upper bound keeps it, and whose estimate does.
    exists
        Whether the unit has an account in the world.
    """

    criterion: Criterion
    certified: Found
    estimated: Found
    exists: Array

    def answered(self, place: int, answer: Answer, base: float) -> Answer:
        """Return an answer with what was found.

        Parameters
        ----------
        place
            Which unit in which world.
        answer
            Says what was asked.
        base
            The answer's value at a multiple of 1.
        """
        found, outcome = self.certified, self._outcome(place)
        known = outcome not in ("too few paths", "breached at the lowest value")
        risk = (found.tally.mean[place], *found.bounds[place]) if known else (np.nan,) * 3
        return replace(
            answer,
            limit=float(base * found.value[place]) if known else np.nan,
            at_estimate=float(base * self.estimated.value[place]),
            risk=float(risk[0]),
            risk_lower=float(risk[1]),
            risk_upper=float(risk[2]),
            outcome=outcome,
            paths=self.criterion.paths,
        )

    def _outcome(self, place: int) -> Outcome:
        found = self.certified
        if not self.criterion.can_be_kept[place]:
            return "too few paths"
        if found.breached[place]:
            return "breached at the lowest value"
        if not found.monotone[place]:
            return "not monotone"
        return "unbounded at the highest value" if found.unbounded[place] else "found"


def largest_sizes(
    task: Task, alpha: float, book: Book, unit: Integers, modes: Sequence[Mode]
) -> Sizes:
    """Solve for the largest multiples of all units of a book in some worlds, all together.

    Parameters
    ----------
    alpha
        Highest probability of a liquidation by the horizon; for a unit of several accounts their
        mean.
    unit
        (accounts,) the unit of each account of the book, numbered from 0 without gaps: its accounts
        share one multiple.
    modes
        Worlds; in each a unit has a multiple of its own.
    """
    setting = task.setting
    units = {
        mode: Units.of(unit, account_pools(book, mode, setting.price, setting.haircut).exists)
        for mode in modes
    }
    size = np.concatenate([units[mode].size for mode in modes])
    accounts = np.bincount(unit)
    trial = Trial(task)
    confidence = trial.confidence(task.appetite.confidence)
    criterion = Criterion(
        alpha=alpha,
        confidence=np.full(len(size), float(confidence)),
        effect=confidence.design_effect,
        paths=trial.paths,
        single=size <= 1,
    )

    def run(values: Floats) -> Tally:
        tallies = trial.run(_books(book, setting, unit, modes, values), units)
        return Tally.joined([tallies[mode] for mode in modes])

    def likely(values: Floats) -> Floats:
        books = _books(book, setting, unit, modes, values)
        risks = [looks(books[mode], setting, mode) for mode in modes]
        return np.concatenate([np.bincount(unit, risk) / accounts for risk in risks])

    leverage = np.concatenate([leverages(book, setting, unit, mode) for mode in modes])
    sized = np.isfinite(leverage) & (leverage > 0)
    present = np.where(sized, leverage, 1.0)
    lowest, highest = np.minimum(1, 1 / present) / _REACH, np.maximum(1, 1 / present) * _REACH
    guess = first_guess(likely, lowest, highest, criterion.aim)
    return Sizes(criterion, *Search(run, criterion, lowest, highest).run(guess, size > 0), size > 0)


def leverages(book: Book, setting: Setting, unit: Integers, mode: Mode) -> Floats:
    """Return (units,) gross notional over equity; 0 of nothing, inf without positive equity.

    Parameters
    ----------
    unit
        (accounts,) the unit of each account.
    """
    pools = account_pools(book, mode, setting.price, setting.haircut)
    at = pool_margins(book, pools, setting, setting.price)
    owner = unit[pools.account]
    gross, equity = np.bincount(owner, at.notional), np.bincount(owner, at.equity)
    positive = equity > 0
    leverage = np.where(positive, gross / np.where(positive, equity, 1.0), np.inf)
    return np.where(gross > 0, leverage, 0.0)


def _books(
    book: Book, setting: Setting, unit: Integers, modes: Sequence[Mode], values: Floats
) -> dict[Mode, Book]:
    """Return the book of each world, in which every unit has its own multiple."""
    multiples = values.reshape(len(modes), -1)
    return {
        mode: traded(book, setting.price, multiple[unit][book.position_account])
        for mode, multiple in zip(modes, multiples, strict=True)
    }
