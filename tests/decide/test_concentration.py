"""Concentration: what moving a share leaves as it was, and the answer on a small venue."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from stress.book.display import pool_margins
from stress.book.pools import account_pools
from stress.decide.cascades import Cascades
from stress.decide.concentration import Side, concentration_answers
from stress.decide.exhaustion import most_hits
from stress.decide.scale import open_interest
from stress.scenario.build import build_setting, load_book
from stress.stats.confidence import Confidence
from stress.types import Floats
from tests.decide.venues import ALPHA, PATHS, task, told
from tests.strategies import random_book, write_book


@pytest.mark.parametrize("share", [0.7, 0.95])
def test_what_moving_keeps(tmp_path: Path, share: float) -> None:
    """Open interest of every asset and side, the holder's leverage, the others' equity."""
    scenario = write_book(tmp_path, random_book(3, ("cross_several", "cross_single"), copies=6))
    setting, (book, _) = build_setting(scenario), load_book(scenario)
    price = setting.price
    side = Side.larger(book, price, 0)
    moved = side.moved(book, price)(share)
    before, after = open_interest(book, price), open_interest(moved, price)
    np.testing.assert_allclose(after[:, 0], before[:, 0])
    again = Side.larger(moved, price, 0)
    assert (again.account, again.share) == (side.account, pytest.approx(share))

    def margins(book: object) -> tuple[Floats, Floats]:
        pools = account_pools(book, "cross", price, setting.haircut)
        at = pool_margins(book, pools, setting, price)
        return at.equity, at.notional

    (equity, notional), (equity_then, notional_then) = margins(book), margins(moved)
    others = np.arange(len(equity)) != side.account
    np.testing.assert_allclose(equity_then[others], equity[others])
    own = side.account
    collateral = moved.cash[own] / book.cash[own]
    assert collateral == pytest.approx(notional_then[own] / notional[own])


def test_side() -> None:
    on_side = np.array([True, True, True, False])
    side = Side(on_side, np.array([2.0, 5.0, 3.0]))
    assert (side.account, side.share) == (1, 0.5)
    # at 3/8 the third holds 3/5 of the other 5/8, which is as much
    assert side.least_share == pytest.approx(0.375)
    assert Side(on_side, np.array([0.0, 5.0])).least_share == 0.0


def test_answer(tmp_path: Path) -> None:
    """The limit keeps the appetite on all paths, and 1 percent more does not."""
    asked = task(tmp_path, changes={"venue.fund": {"balance": 40.0}})
    (answer,) = concentration_answers(asked)
    price = asked.setting.price
    side, cascades = Side.larger(asked.book, price, 0), Cascades.of(asked)
    assert asked.book.accounts[side.account] in answer.note
    assert answer.present == side.share == pytest.approx(1 / 3)
    assert answer.unit == "1"
    assert told(answer)[0] in ("found", "not monotone")

    def hits(share: float) -> int:
        job = cascades.prepared(side.moved(asked.book, price)(share))
        return cascades.run(job, np.arange(PATHS), until=np.inf).hits

    allowed = most_hits(PATHS, ALPHA, Confidence(0.95))
    assert hits(answer.limit) == answer.risk * PATHS <= allowed < hits(1.011 * answer.limit)


def test_one_holder_is_not_asked(tmp_path: Path) -> None:
    """The short side is larger and has one holder: there is nobody to take it from."""
    asked = task(tmp_path)
    book = asked.book
    quantity = np.where(book.quantity < 0, 2.0, 1.0) * book.quantity
    assert not concentration_answers(replace(asked, book=replace(book, quantity=quantity)))
    (late,) = concentration_answers(task(tmp_path, budget=0.0))
    assert told(late) == ("not certified", False)
