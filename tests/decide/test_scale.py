"""Scale and open interest: against what can be worked out by hand, and every way to end."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stress
from stress.book.book import Book
from stress.book.what_if import resized
from stress.decide.answer import Answer
from stress.decide.cascades import Cascades
from stress.decide.exhaustion import Appeal, Family, largest_value, most_hits
from stress.decide.fund import with_fund
from stress.decide.scale import book_scale_answers, open_interest, open_interest_answers
from stress.decide.task import Task
from stress.stats.confidence import Confidence
from stress.types import Floats
from tests.decide.venues import ALPHA, COUPLED, FEE, PATHS, RATE, task, told

ALLOWED = most_hits(PATHS, ALPHA, Confidence(0.95))


def drains(asked: Task, quantity: Floats, cash: Floats) -> Floats:
    """Return (paths,) what the fund must hold, worked out in NumPy from the prices.

    Pools are closed whole at the first step at which equity is below the requirement; their fees
    come in before their deficits are paid, step by step.
    """
    prices = stress.simulate_prices(asked.scenario, paths=PATHS).values[:, :, 0]
    equity = cash + quantity * (prices[:, :, None] - prices[0, 0])
    notional = np.abs(quantity) * prices[:, :, None]
    broken = equity < RATE * notional
    first = broken & (np.cumsum(broken, axis=1) == 1)
    fee = np.where(first, FEE * notional, 0.0)
    owed = np.where(first, np.maximum(fee - equity, 0.0), 0.0)
    running = (owed - fee).sum(axis=2).cumsum(axis=1)
    return np.maximum(running.max(axis=1), 0.0)


def test_book_scale_by_hand(tmp_path: Path) -> None:
    """Without feedback what a path asks of the fund is proportional to the book."""
    asked = task(tmp_path)
    (answer,) = book_scale_answers(asked)
    need = np.sort(drains(asked, asked.book.quantity, asked.book.cash))[::-1]
    exact, at_estimate = 5.0 / need[ALLOWED], 5.0 / need[int(ALPHA * PATHS)]
    assert told(answer) == ("found", True)
    assert exact / 1.01 <= answer.limit <= exact
    assert at_estimate / 1.01 <= answer.at_estimate <= at_estimate
    assert answer.risk * PATHS == (need > 5.0 / answer.limit).sum() <= ALLOWED
    assert answer.risk_upper <= ALPHA
    assert (answer.present, answer.paths, answer.note) == (1.0, PATHS, "")


def test_open_interest_by_hand(tmp_path: Path) -> None:
    """Equity stays, positions grow: the counts of NumPy pass what is allowed at the answer."""
    asked = task(tmp_path)
    (answer,) = open_interest_answers(asked)
    book = asked.book
    present = 100 * np.maximum(book.quantity, 0).sum()
    assert answer.present == present
    assert told(answer) == ("found", True)
    assert answer.note.startswith(f"{answer.limit / present:.3g} times the present")

    def hits(factor: float) -> int:
        return int((drains(asked, factor * book.quantity, book.cash) > 5.0).sum())

    assert hits(answer.limit / present) == answer.risk * PATHS <= ALLOWED
    assert hits(1.011 * answer.limit / present) > ALLOWED
    assert hits(answer.at_estimate / present) <= ALPHA * PATHS
    assert hits(1.011 * answer.at_estimate / present) > ALPHA * PATHS


def test_open_interest_of_both_sides(tmp_path: Path) -> None:
    book = task(tmp_path).book
    assert open_interest(book, np.array([100.0])).tolist() == [[3000.0], [2400.0]]


def test_certified_where_it_feeds_back(tmp_path: Path) -> None:
    """The count at the answer of a cascade is that of a run of that book."""
    asked = task(tmp_path, changes=COUPLED)
    (answer,) = book_scale_answers(asked)
    cascades = Cascades.of(asked)
    book = _scaled(asked.book, answer.limit)
    run = cascades.run(cascades.prepared(book), np.arange(PATHS), until=np.inf)
    assert told(answer) == ("found", True)
    assert run.hits == answer.risk * PATHS <= ALLOWED
    # paths do not depend on which others are simulated with them: what the search rests on
    some = np.random.default_rng(2).permutation(PATHS)[:70]
    again = cascades.run(cascades.prepared(book), some, until=np.inf)
    np.testing.assert_array_equal(again.exhausted, run.exhausted[some])
    np.testing.assert_array_equal(again.need, run.need[some])
    few = cascades.run(cascades.prepared(book), np.arange(PATHS), until=np.inf, most=0)
    assert few.hits > 0
    assert few.paths < PATHS
    assert not few.is_complete


@pytest.mark.slow
def test_found_on_one_seed_kept_on_another(tmp_path: Path) -> None:
    """Of 40 sizes of a cascade, each found on a seed of its own, at most 5 break the appetite.

    With a probability of 0.05 each, 6 or more do so once in 70 studies. Judged by a run of 50 times
    the paths at every one of them.
    """
    seen = []
    for seed in range(40):
        asked = task(tmp_path, changes=COUPLED | {"simulation.seed": seed})
        (answer,) = book_scale_answers(asked)
        cascades = Cascades.of(asked)
        job = cascades.prepared(_scaled(asked.book, answer.limit))
        # paths beyond those that chose it
        fresh = np.arange(PATHS, 51 * PATHS)
        seen.append(cascades.run(job, fresh, until=np.inf).exhausted.mean())
    assert (np.array(seen) > ALPHA).sum() <= 5


@pytest.mark.parametrize(
    ("changes", "appetite", "outcome"),
    [
        # nobody pays a fee and nothing is there: whoever owes exhausts it at any size
        ({"venue.fund": {"balance": 0.0}, "venue.fee": 0.0}, {}, "breached at the lowest value"),
        ({"venue.fund": {"balance": 1e9}}, {}, "unbounded at the highest value"),
        ({}, {"fund_exhaustion_probability": 1e-3}, "too few paths"),
    ],
)
def test_endings(
    tmp_path: Path, changes: dict[str, Any], appetite: dict[str, float], outcome: str
) -> None:
    (answer,) = book_scale_answers(task(tmp_path, changes=changes, **appetite))
    assert told(answer) == (outcome, False)


def test_no_time(tmp_path: Path) -> None:
    asked = task(tmp_path, budget=0.0)
    for answer in (*book_scale_answers(asked), *open_interest_answers(asked)):
        assert told(answer) == ("not certified", False)
        assert "time" in answer.note
    assert not book_scale_answers(
        replace(
            asked, appetite=asked.appetite.model_copy(update={"fund_exhaustion_probability": None})
        )
    )


def _solved(asked: Task, book: Any, *, start: float = 1.0) -> Answer:
    blank = Answer("book-scale", "book", "", "cross", "", ALPHA, "x")
    family = Family(book, start, 1 / 64, 64.0)
    appeal = Appeal(ALPHA, Confidence(0.95), 600.0)
    return largest_value(Cascades.of(asked), family, appeal, blank)


def _scaled(book: Book, factor: float, side: float = 1.0) -> Book:
    positions, accounts = np.ones(len(book.positions)), np.ones(len(book.accounts))
    return resized(book, side * factor * positions, factor * accounts)


def test_risk_that_falls_is_not_monotone(tmp_path: Path) -> None:
    """Larger values stand for smaller books."""
    asked = task(tmp_path)
    answer = _solved(asked, lambda value: _scaled(asked.book, value**-4.0), start=0.5)
    assert told(answer) == ("not monotone", False)
    assert "keeps the appetite" in answer.note


def test_paths_that_are_saved_are_not_monotone(tmp_path: Path) -> None:
    """From 1 on everybody is on the other side: other paths exhaust the fund, and more of them."""
    asked = task(tmp_path)
    need = np.sort(drains(asked, asked.book.quantity, asked.book.cash))[::-1]
    asked = replace(asked, scenario=with_fund(asked.scenario, float(need[ALLOWED])))
    book = asked.book
    answer = _solved(
        asked, lambda value: _scaled(book, value) if value <= 1 else _scaled(book, 3 * value, -1.0)
    )
    assert told(answer) == ("not monotone", True)
    assert 0.99 <= answer.limit <= 1
    assert answer.note.startswith("a larger value saves the fund on")
