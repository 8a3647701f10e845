"""Largest leverage: against the closed form, and against runs of the book at the limit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import brentq

import stress
from stress.decide import sizes
from stress.decide.answer import Answer
from stress.decide.leverage import leverage_answers
from stress.decide.solve import binomial_bounds
from stress.decide.task import Task
from stress.decide.trial import Trial
from stress.errors import InputError
from stress.scenario.appetite import Template
from stress.scenario.load import with_options
from tests.decide.asked import PRICE, RATE, VOLATILITY, task_of, write
from tests.reference.barrier import continuous, liquidation_price

ALPHA = 0.05
YEARS = 7 / 365
PAIR = {"name": "pair", "weights": {"BTC": 1.0, "ETH": -1.0}, "collateral": 1_000.0}
LONG = {"name": "long-btc", "weights": {"BTC": 2.0}, "collateral": 1_000.0}
SHORT = {"name": "short-eth", "weights": {"ETH": -1.0}, "collateral": 1_000.0}


def exact_limit(side: Any, asset: str) -> float:
    """The leverage at which a position of 1,000 USD of cash is liquidated with P = ALPHA."""

    def over(leverage: float) -> float:
        price, sign = PRICE[asset], 1 if side == "long" else -1
        quantity = sign * leverage * 1_000 / price
        barrier = liquidation_price(side, price, quantity, 1_000, [(0.0, RATE)])
        return continuous(price, barrier, VOLATILITY[asset], 0.0, YEARS) - ALPHA

    return float(brentq(over, 1.01, 50.0))


def by_subject(answers: list[Answer]) -> dict[tuple[str, str, str], Answer]:
    return {(answer.kind, answer.subject, answer.world): answer for answer in answers}


# --- against the closed form ----------------------------------------------------------------------


def seeds(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *, paths: int
) -> Callable[[int], dict[tuple[str, str, str], Answer]]:
    """Return what answers for a seed, all with one kernel."""
    file = write(
        folder,
        [{"account": "none", "cash": 100}],
        [{"account": "none", "asset": "BTC", "quantity": 1, "entry_price": 100}],
        simulation__monitoring="bridge",
        simulation__step="7d",
        simulation__paths=paths,
    )
    appetite = {"account_liquidation_probability": ALPHA, "template": [LONG, SHORT]}
    first = task_of(file, **appetite)
    trial = Trial(first)

    def seeded(task: Task) -> Trial:
        trial._seed = jnp.asarray(task.scenario.simulation.seed, jnp.uint32)
        return trial

    monkeypatch.setattr(sizes, "Trial", seeded)

    def answers(seed: int) -> dict[tuple[str, str, str], Answer]:
        return by_subject(
            leverage_answers(replace(first, scenario=with_options(first.scenario, seed=seed)))
        )

    return answers


def test_limits_are_below_the_exact_one_as_often_as_they_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 40
    ask = seeds(tmp_path, monkeypatch, paths=256)
    found = [ask(seed) for seed in range(count)]
    for name, side, asset in (("long-btc", "long", "BTC"), ("short-eth", "short", "ETH")):
        exact = exact_limit(side, asset)
        answers = [each["template", name, "as-booked"] for each in found]
        limits = np.array([answer.limit for answer in answers])
        estimates = np.array([answer.at_estimate for answer in answers])
        # 95 percent of limits keep the appetite; of 40 fewer than 35 would in one case of 70
        assert (limits <= exact).sum() >= 35
        assert (limits > 0.6 * exact).all()
        assert estimates.mean() == pytest.approx(exact, rel=0.03)
        assert {answer.outcome for answer in answers} == {"found"}


@pytest.mark.slow
def test_limits_of_100_seeds_judged_by_50_times_the_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At least 90 of 100 seeds keep the appetite in a run of 50 times the paths, fresh ones."""
    ask = seeds(tmp_path / "small", monkeypatch, paths=2_000)
    limits = [ask(seed)["template", "long-btc", "as-booked"].limit for seed in range(100)]
    monkeypatch.undo()
    kept = 0
    accounts = [{"account": f"at-{seed}", "cash": 1_000} for seed in range(100)]
    positions = [
        {"account": f"at-{seed}", "asset": "BTC", "quantity": limit * 10, "entry_price": 100}
        for seed, limit in enumerate(limits)
    ]
    judge = write(
        tmp_path / "judge",
        accounts,
        positions,
        simulation__monitoring="bridge",
        simulation__step="7d",
        simulation__paths=100_000,
        simulation__seed=987_654,
    )
    risk = stress.run(judge)["accounts/liquidation_probability"].to_numpy()
    kept = int((risk <= ALPHA).sum())
    assert kept >= 90


# --- against runs of the book at the limit --------------------------------------------------------

ACCOUNTS = [
    {"account": "pair", "cash": 2_000, "group": "two"},
    {"account": "long", "cash": 1_500, "group": "two"},
    {"account": "flat", "cash": 10_000, "group": "one"},
    {"account": "idle", "cash": 500, "group": "one"},
    {"account": "broke", "cash": 1, "group": "broke"},
    {"account": "under", "cash": -100, "group": "broke"},
]
POSITIONS = [
    {"account": "pair", "asset": "BTC", "quantity": 80, "entry_price": 98},
    {"account": "pair", "asset": "ETH", "quantity": -140, "entry_price": 51},
    {"account": "long", "asset": "BTC", "quantity": 40, "entry_price": 104},
    {"account": "flat", "asset": "BTC", "quantity": 1, "entry_price": 100},
    {"account": "flat", "asset": "BTC", "quantity": -1, "entry_price": 100},
    {"account": "broke", "asset": "ETH", "quantity": 200, "entry_price": 50},
    {"account": "under", "asset": "ETH", "quantity": 1, "entry_price": 50},
]


def file_of(folder: Path, positions: Any = POSITIONS, **changes: Any) -> Path:
    return write(folder, ACCOUNTS, positions, book__mode="cross", **changes)


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Task, Trial]:
    file = file_of(tmp_path_factory.mktemp("leverage"), book__compare=["isolated"])
    task = task_of(file, account_liquidation_probability=ALPHA, template=[PAIR, LONG])
    return task, Trial(task)


def answered(asked: tuple[Task, Trial], **appetite: Any) -> dict[tuple[str, str, str], Answer]:
    """Return the answers, all with one kernel."""
    task, trial = asked
    changed = task.appetite.model_copy(update=appetite)
    with mock.patch.object(sizes, "Trial", lambda task: trial):
        return by_subject(leverage_answers(replace(task, appetite=changed)))


@pytest.fixture(scope="module")
def answers(asked: tuple[Task, Trial]) -> dict[tuple[str, str, str], Answer]:
    return answered(asked)


def at_limit(answer: Answer, suffix: str) -> tuple[list[Any], list[Any]]:
    """Return an answer's accounts and positions at its limit, still at the old entry prices.

    What a trade at the mark realises, or averages away, is cash here.
    """
    factor = answer.limit / answer.present
    profit = {"pair": 80 * 2 + 140 * 1, "long": -40 * 4}
    names = [answer.subject] if answer.kind == "account" else ["pair", "long"]
    accounts = [
        {"account": row["account"] + suffix, "cash": row["cash"] + (1 - factor) * profit[name]}
        for row in ACCOUNTS
        if (name := str(row["account"])) in names
    ]
    positions = [
        row | {"account": row["account"] + suffix, "quantity": row["quantity"] * factor}
        for row in POSITIONS
        if row["account"] in names
    ]
    return accounts, positions


def test_the_book_at_the_limit_is_liquidated_as_often_as_the_answer_says(
    answers: dict[tuple[str, str, str], Answer], tmp_path: Path
) -> None:
    pair, group = answers["account", "pair", "cross"], answers["group", "two", "cross"]
    over = replace(pair, limit=1.01 * pair.limit)
    books = [at_limit(pair, ""), at_limit(group, "-too"), at_limit(over, "-over")]
    accounts = [row for book in books for row in book[0]]
    positions = [row for book in books for row in book[1]]
    tree = stress.run(write(tmp_path, accounts, positions, book__mode="cross"))
    risk = tree["accounts/liquidation_probability"].to_series()
    assert risk["pair"] == pytest.approx(pair.risk, abs=1e-12)
    assert (risk["pair-too"] + risk["long-too"]) / 2 == pytest.approx(group.risk, abs=1e-12)
    assert pair.risk_upper <= ALPHA and group.risk_upper <= ALPHA
    # one percent more is more than the bound allows
    hits = np.array(round(risk["pair-over"] * 512))
    assert binomial_bounds(hits, 512, 0.95)[1] > ALPHA
    assert pair.outcome == "found" and pair.paths == 512
    assert group.measure.startswith("mean over accounts")


def test_leverage_is_gross_notional_over_equity(
    answers: dict[tuple[str, str, str], Answer],
) -> None:
    pair = answers["account", "pair", "cross"]
    assert pair.present == pytest.approx((80 * 100 + 140 * 50) / (2_000 + 160 + 140))
    assert pair.limit < pair.at_estimate
    assert answers["account", "pair", "isolated"].limit < pair.limit
    template = answers["template", "pair", "cross"]
    assert np.isnan(template.present)
    assert template.limit > answers["template", "long-btc", "cross"].limit
    one_position = answers["template", "long-btc", "isolated"]
    assert one_position.limit == answers["template", "long-btc", "cross"].limit


def test_outcomes_that_are_no_numbers(answers: dict[tuple[str, str, str], Answer]) -> None:
    flat = answers["account", "flat", "cross"]
    assert flat.outcome == "unbounded at the highest value"
    assert flat.limit == pytest.approx(64)
    assert flat.risk == 0
    under = answers["account", "under", "cross"]
    assert under.outcome == "breached at the lowest value"
    assert np.isnan([under.limit, under.at_estimate, under.risk]).all()
    # in breach at 10,000 times its equity, and yet it has a limit
    broke = answers["account", "broke", "cross"]
    assert broke.present == pytest.approx(10_000)
    assert broke.outcome == "found" and 1 < broke.limit < 20
    assert ("account", "idle", "cross") not in answers
    # no positive equity to divide
    assert ("account", "under", "isolated") not in answers
    assert ("account", "broke", "isolated") in answers


def test_too_few_paths_are_said(asked: tuple[Task, Trial]) -> None:
    # 512 paths without a liquidation leave 5 percent with a probability of 4e-12
    found = answered(asked, confidence=1 - 1e-12)
    pair = found["account", "pair", "cross"]
    assert pair.outcome == "too few paths"
    assert np.isnan(pair.limit) and pair.at_estimate > 0


def test_without_an_appetite_there_is_no_answer(asked: tuple[Task, Trial]) -> None:
    assert answered(asked, account_liquidation_probability=None) == {}


def test_a_template_in_an_unknown_asset_is_refused(asked: tuple[Task, Trial]) -> None:
    other = Template(name="other", weights={"DOGE": 1.0})
    with pytest.raises(InputError, match="no maintenance tiers"):
        answered(asked, template=(other,))
