"""What helps, each remedy run again as a changed book of its own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import stress
from stress.decide.remedies import Remedy, remedies
from stress.decide.solve import binomial_bounds
from stress.decide.task import Task
from tests.decide.asked import PRICE, task_of, write

ALPHA = 0.05
ACCOUNTS = [
    {"account": "safe", "cash": 9_000},
    {"account": "pair", "cash": 700},
    {"account": "long", "cash": 1_500},
    {"account": "under", "cash": -100},
]
POSITIONS = [
    {"account": "safe", "asset": "BTC", "quantity": 80, "entry_price": 98},
    {"account": "pair", "asset": "BTC", "quantity": 80, "entry_price": 98},
    {"account": "pair", "asset": "ETH", "quantity": -60, "entry_price": 51},
    {"account": "long", "asset": "ETH", "quantity": 140, "entry_price": 48},
    {"account": "long", "asset": "BTC", "quantity": 20, "entry_price": 104},
    {"account": "under", "asset": "BTC", "quantity": 1, "entry_price": 100},
]


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Task:
    file = write(tmp_path_factory.mktemp("remedies"), ACCOUNTS, POSITIONS, book__mode="cross")
    return task_of(
        file, account_liquidation_probability=ALPHA, capital_cost=0.5, trading_cost=0.002
    )


@pytest.fixture(scope="module")
def found(task: Task) -> dict[tuple[str, str], Remedy]:
    return {(each.account, each.kind): each for each in remedies(task)}


def rows(account: str) -> list[dict[str, Any]]:
    return [dict(row) for row in POSITIONS if row["account"] == account]


def helped(found: dict[tuple[str, str], Remedy]) -> tuple[list[Any], list[Any]]:
    """Return accounts and positions that hold each remedy, worked out by hand."""
    top_up, cut, hedge = (found["pair", kind] for kind in ("top up", "cut", "hedge"))
    books: dict[str, tuple[float, list[dict[str, Any]]]] = {
        "topped": (700 + top_up.amount, rows("pair"))
    }
    # what is sold realises its profit
    positions = rows("pair")
    sold = next(row for row in positions if cut.what == f"pair/{row['asset']}")
    profit = sold["quantity"] * (PRICE[sold["asset"]] - sold["entry_price"])
    sold["quantity"] *= 1 - cut.amount
    books["cut"] = 700 + cut.amount * profit, positions
    # more of the short that is there: its entry is averaged at the mark
    positions, more = rows("pair"), hedge.amount / PRICE["ETH"]
    entry = (-60 * 51 + more * 50) / (-60 + more)
    positions[1] |= {"quantity": -60 + more, "entry_price": entry}
    books["hedged"] = 700, positions
    # as two accounts: the position with its margin, and the rest
    moved, margin = found["long", "isolate"].what.removeprefix("long/"), isolated(found)[1]
    for name, cash, is_moved in (("alone", margin, True), ("rest", 1_500 - margin, False)):
        books[name] = cash, [row for row in rows("long") if (row["asset"] == moved) == is_moved]
    accounts = [{"account": name, "cash": cash} for name, (cash, _) in books.items()]
    owned = [row | {"account": name} for name, (_, positions) in books.items() for row in positions]
    return accounts, owned


def isolated(found: dict[tuple[str, str], Remedy]) -> tuple[float, float]:
    """Return the equity that the moved position gets, pro rata to notional, and its margin."""
    equity = 1_500 + 140 * 2 - 20 * 4
    moved = found["long", "isolate"].what.removeprefix("long/")
    share = equity * {"ETH": 7_000, "BTC": 2_000}[moved] / 9_000
    return share, share - {"ETH": 140 * 2.0, "BTC": -20 * 4.0}[moved]


@pytest.fixture(scope="module")
def hit(
    found: dict[tuple[str, str], Remedy], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """Return (paths,) who is liquidated when the remedies are run as a book of their own."""
    file = write(tmp_path_factory.mktemp("helped"), *helped(found), simulation__detail=True)
    step = stress.run(file)["detail/liquidation_step"]
    return {str(name): (step.sel(account=name).to_numpy() >= 0) for name in step["account"].values}


def test_only_accounts_above_the_appetite_are_helped(found: dict[tuple[str, str], Remedy]) -> None:
    assert {account for account, _ in found} == {"pair", "long"}
    kinds = ["top up", "cut", "hedge", "isolate"]
    # the most often liquidated first
    order = [each.before for each in found.values()]
    assert order == sorted(order, reverse=True)
    for account in ("pair", "long"):
        assert [kind for name, kind in found if name == account] == [
            kind for kind in kinds if (account, kind) in found
        ]
    assert all(each.before > ALPHA for each in found.values())


def test_remedies_run_again_as_changed_books(
    found: dict[tuple[str, str], Remedy], hit: dict[str, Any]
) -> None:
    for name, kind in (("topped", "top up"), ("cut", "cut"), ("hedged", "hedge")):
        remedy = found["pair", kind]
        assert hit[name].mean() == pytest.approx(remedy.probability, abs=1e-12), kind
        assert remedy.lower < remedy.probability < remedy.upper
    moved = found["long", "isolate"]
    # either one's liquidation counts
    either = (hit["alone"] | hit["rest"]).mean()
    assert either == pytest.approx(moved.probability, abs=1e-12)


def test_remedies_say_whether_they_suffice(found: dict[tuple[str, str], Remedy]) -> None:
    top_up, cut, hedge = (found["pair", kind] for kind in ("top up", "cut", "hedge"))
    assert (top_up.outcome, top_up.unit) == ("found", "USD")
    # all of the long gone would leave the short alone: more of a cut is not always better
    assert (cut.outcome, cut.unit) == ("not monotone", "1")
    assert max(top_up.upper, cut.upper) <= ALPHA
    # the hedge that leaves the least variance is not enough
    assert (hedge.outcome, hedge.what) == ("does not suffice", "ETH")
    assert hedge.upper > ALPHA
    moved = found["long", "isolate"]
    assert moved.amount == pytest.approx(isolated(found)[0])
    assert moved.outcome == ("found" if moved.upper <= ALPHA else "does not suffice")


def test_remedies_cost_capital_or_trades(found: dict[tuple[str, str], Remedy]) -> None:
    top_up, cut, hedge = (found["pair", kind] for kind in ("top up", "cut", "hedge"))
    assert top_up.cost == pytest.approx(top_up.amount * 0.5 * 7 / 365)
    notional = {"pair/BTC": 8_000, "pair/ETH": 3_000}[cut.what]
    assert cut.cost == pytest.approx(cut.amount * notional * 0.002)
    assert hedge.amount < 0
    assert hedge.cost == pytest.approx(-hedge.amount * 0.002)
    assert found["long", "isolate"].cost == 0


def test_the_cheapest_that_helps_is_marked(found: dict[tuple[str, str], Remedy]) -> None:
    for account in ("pair", "long"):
        mine = [each for (name, _), each in found.items() if name == account]
        helps = [each for each in mine if each.outcome in ("found", "not monotone")]
        assert [each for each in mine if each.cheapest] == [min(helps, key=lambda each: each.cost)]


def test_bounds_of_an_account_hold_together(
    found: dict[tuple[str, str], Remedy], task: Task
) -> None:
    """Of "pair" six remedies are tried: each bound has a confidence of 1 - 0.05 / 6."""
    remedy = found["pair", "top up"]
    hits = np.array(round(remedy.probability * 512))
    assert binomial_bounds(hits, 512, 1 - 0.05 / 6)[1] == pytest.approx(remedy.upper, rel=1e-9)


def test_too_few_paths_and_no_appetite(task: Task) -> None:
    # the kernel is the module's: another confidence compiles nothing anew
    sure = replace(task, appetite=task.appetite.model_copy(update={"confidence": 1 - 1e-12}))
    assert {each.outcome for each in remedies(sure)} == {"too few paths"}
    none = {"account_liquidation_probability": None}
    assert remedies(replace(task, appetite=task.appetite.model_copy(update=none))) == []
