"""The size of one trade: against a plain twin of the account on the same prices."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import stress
from stress.decide import trade_size
from stress.decide.answer import Answer
from stress.decide.solve import probability_bounds
from stress.decide.task import Task
from stress.decide.trade_size import trade_size_answers
from tests.decide.asked import PRICE, RATE, task_of, write

Floats = NDArray[np.float64]

PLAN = 0.02
FEE = 0.002
ACCOUNTS = [
    {"account": "pair", "cash": 700},
    {"account": "long", "cash": 1_500},
    {"account": "calm", "cash": 1_000_000},
]
POSITIONS = [
    {"account": "pair", "asset": "BTC", "quantity": 80, "entry_price": 98},
    {"account": "pair", "asset": "ETH", "quantity": -60, "entry_price": 51},
    {"account": "long", "asset": "ETH", "quantity": 140, "entry_price": 48},
    {"account": "calm", "asset": "BTC", "quantity": 1, "entry_price": 100},
]


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Task:
    file = write(
        tmp_path_factory.mktemp("trade"),
        ACCOUNTS,
        POSITIONS,
        simulation__paths=384,
        simulation__step="1d",
    )
    return task_of(file, effective_risk_per_trade=PLAN, account_liquidation_probability=0.05)


@pytest.fixture(scope="module")
def answers(task: Task) -> dict[tuple[str, str], Answer]:
    return {(answer.subject, answer.world): answer for answer in trade_size_answers(task)}


@pytest.fixture(scope="module")
def prices(task: Task) -> Floats:
    """(paths, times, assets) USD: the prices of the run."""
    return stress.simulate_prices(task.scenario, paths=384).to_numpy()


def losses(prices: Floats, cash: float, held: dict[str, tuple[float, float]], of: str) -> Floats:
    """Return (paths,) what an account loses through one of its trades, a share of its equity.

    Followed by hand: at the first look in breach everything is closed at the mark.
    """
    assets = list(PRICE)
    found = np.zeros(len(prices))
    start = cash + sum(q * (PRICE[asset] - entry) for asset, (q, entry) in held.items())
    for path, marks in enumerate(prices):
        for mark in marks:
            at = {asset: mark[assets.index(asset)] for asset in held}
            profit = {asset: q * (at[asset] - entry) for asset, (q, entry) in held.items()}
            notional = {asset: abs(q) * at[asset] for asset, (q, _) in held.items()}
            equity = cash + sum(profit.values())
            if equity >= RATE * sum(notional.values()):
                continue
            if min(profit, key=profit.__getitem__) == of:
                left = max(equity - FEE * sum(notional.values()), 0.0)
                found[path] = max(start - left, 0.0) / start
            break
    return found


def at_size(row: dict[str, Any], size: float, cash: float) -> tuple[float, tuple[float, float]]:
    """Return the cash, quantity and entry of a position that is traded to a size at the mark."""
    quantity, entry, mark = row["quantity"], row["entry_price"], PRICE[row["asset"]]
    factor = size / (abs(quantity) * mark)
    return cash + (1 - factor) * quantity * (mark - entry), (quantity * factor, entry)


def test_the_risk_at_the_limit_is_that_of_a_plain_twin(
    answers: dict[tuple[str, str], Answer], prices: Floats
) -> None:
    pair, long = answers["pair/BTC", "as-booked"], answers["long/ETH", "as-booked"]
    assert pair.present == 8_000 and long.present == 7_000
    for answer, cash, row, other in (
        (pair, 700.0, POSITIONS[0], {"ETH": (-60.0, 51.0)}),
        (long, 1_500.0, POSITIONS[2], {}),
    ):
        asset = str(row["asset"])
        for size, keeps in ((answer.limit, True), (1.02 * answer.limit, False)):
            less, held = at_size(row, size, cash)
            through = losses(prices, less, {asset: held, **other}, asset)
            upper = probability_bounds(through.mean(), through.var(ddof=1), 384, 0.95)[1]
            assert (upper <= PLAN) == keeps
            if keeps:
                assert through.mean() == pytest.approx(answer.risk, rel=1e-6)
                assert upper == pytest.approx(answer.risk_upper, rel=1e-6)
        assert answer.limit < answer.at_estimate
        assert "of the equity expected at the present size" in answer.note


def test_what_cannot_liquidate_has_no_limit(answers: dict[tuple[str, str], Answer]) -> None:
    calm = answers["calm/BTC", "as-booked"]
    assert calm.outcome == "unbounded at the highest value"
    assert calm.limit == pytest.approx(16 * 100)
    assert calm.risk == 0


def test_isolated_margin_loses_no_more_than_the_plan(
    answers: dict[tuple[str, str], Answer], task: Task, prices: Floats
) -> None:
    answer = answers["pair/BTC", "isolated"]
    margin = PLAN * (700 + 80 * 2 + 60 * 1)
    # closed where equity falls below the requirement: margin + q (M - 100) < 0.01 q M
    quantity, mark = answer.limit / 100, prices[:, :, 0]
    hit = (margin + quantity * (mark - 100) < RATE * quantity * mark).any(axis=1)
    assert hit.mean() == pytest.approx(answer.risk, abs=1e-12)
    assert answer.risk_upper <= 0.05
    assert answer.limit > margin
    without = replace(
        task,
        appetite=task.appetite.model_copy(update={"account_liquidation_probability": None}),
    )
    trades = trade_size._trades(task.book, task.setting)
    alone = trade_size._in_isolation(without, trades, PLAN)
    assert {each.outcome for each in alone} == {"unbounded at the highest value"}


def test_a_dip_in_the_risk_is_no_limit() -> None:
    """A hedge: small and large sizes risk too much, those between keep the plan."""
    keeps = np.array([True, False, False, True, False])
    size = np.array([1.0, 2.0, 2.01, 4.0, 8.0])
    assert trade_size._kept_beyond(size, keeps, 1).tolist() == [4]
    # a hair beyond the first that breaks it is noise
    noise = np.array([True, False, True, False, False])
    assert not trade_size._kept_beyond(size, noise, 1).size
    assert not trade_size._kept_beyond(size, np.ones(5, bool), 5).size


def test_without_a_plan_there_is_no_answer(task: Task) -> None:
    none = task.appetite.model_copy(update={"effective_risk_per_trade": None})
    assert trade_size_answers(replace(task, appetite=none)) == []


def test_too_few_paths_are_said(task: Task, answers: dict[tuple[str, str], Answer]) -> None:
    # without a liquidation 384 paths show no less than 0.7 percent
    risk = probability_bounds(np.zeros(1), np.zeros(1), 384, 0.95)[0, 1]
    assert 0.006 < risk < PLAN
    assert all(answer.outcome != "too few paths" for answer in answers.values())
