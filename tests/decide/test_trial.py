"""Books that are changed and run again: the same paths, the same accounts, the same digits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import stress
from stress.book.book import Book
from stress.book.display import PoolMargins, pool_margins
from stress.book.pools import account_pools
from stress.book.what_if import copies, only_accounts
from stress.decide.changed import as_world, joined, looks, traded, with_positions
from stress.decide.task import Task
from stress.decide.trial import Tally, Trial, Units, left_out
from stress.errors import InputError
from stress.scenario.load import load_scenario
from stress.types import Mode
from tests.decide.asked import task_of, write

ACCOUNTS = [
    {"account": "pair", "cash": 2_000, "group": "hedged"},
    {"account": "mixed", "cash": 1_500, "group": "other"},
    {"account": "short", "cash": 1_000, "group": "other"},
    {"account": "idle", "cash": 500, "group": "other"},
    {"account": "poor", "cash": -200, "group": "hedged"},
]
POSITIONS = [
    {"account": "pair", "asset": "BTC", "quantity": 120, "entry_price": 98},
    {"account": "pair", "asset": "ETH", "quantity": -200, "entry_price": 51},
    {"account": "mixed", "asset": "BTC", "quantity": 60, "entry_price": 104, "leverage": 8},
    {"account": "mixed", "asset": "ETH", "quantity": 30, "entry_price": 50, "margin": 200},
    {"account": "short", "asset": "ETH", "quantity": -110, "entry_price": 47},
    {"account": "poor", "asset": "BTC", "quantity": 10, "entry_price": 100},
]
WORLDS: tuple[Mode, ...] = ("as-booked", "cross", "isolated")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(
        tmp_path_factory.mktemp("trial"),
        ACCOUNTS,
        POSITIONS,
        book__mode="cross",
        book__compare=["isolated"],
        simulation__detail=True,
    )


@pytest.fixture(scope="module")
def task(file: Path) -> Task:
    return task_of(file, account_liquidation_probability=0.05)


@pytest.fixture(scope="module")
def trial(task: Task) -> Trial:
    return Trial(task)


@pytest.fixture(scope="module")
def tree(file: Path) -> xr.DataTree:
    return stress.run(file)


def alone(count: int) -> Units:
    return Units.of(np.arange(count), np.ones(count, bool))


def every_world(trial: Trial, book: Book, units: Units | None = None) -> dict[Mode, Tally]:
    """Run a book in all worlds: one kernel serves all tests."""
    units = units or alone(len(book.accounts))
    return trial.run(dict.fromkeys(WORLDS, book), dict.fromkeys(WORLDS, units))


def test_a_book_that_is_not_changed_is_liquidated_as_in_the_run(
    task: Task, trial: Trial, tree: xr.DataTree
) -> None:
    same = traded(task.book, task.setting.price, np.ones(len(POSITIONS)))
    tallies = every_world(trial, same)
    for mode in WORLDS[1:]:
        expected = tree[f"accounts/{mode}_liquidation_probability"].to_numpy()
        exists = ~np.isnan(expected)
        assert exists.sum() == (4 if mode == "isolated" else 5)
        hits = np.round(expected[exists] * trial.paths)
        np.testing.assert_array_equal(tallies[mode].hits[exists], hits)
    assert 0 < tallies["cross"].hits[0] < trial.paths


@pytest.mark.slow
def test_what_a_closed_position_leaves_comes_after_the_first_liquidation(
    task: Task, trial: Trial, file: Path
) -> None:
    """A book of both margins needs the cascade; who is liquidated at all does not."""
    tree = stress.run(load_scenario(file, mode="as-booked"))
    tally = every_world(trial, task.book)["as-booked"]
    expected = tree["accounts/liquidation_probability"].to_numpy() * trial.paths
    np.testing.assert_array_equal(tally.hits, np.round(expected))


def test_shares_of_a_group_are_those_of_the_paths(
    task: Task, trial: Trial, tree: xr.DataTree
) -> None:
    units = Units.of(np.array([0, 1, 1, 1, 0]), np.ones(5, bool))
    tally = every_world(trial, task.book, units)["cross"]
    hit = tree["detail/liquidation_step"].to_numpy() >= 0
    shares = np.stack([hit[:, [0, 4]].mean(axis=1), hit[:, 1:4].mean(axis=1)])
    np.testing.assert_allclose(tally.mean, shares.mean(axis=1), rtol=1e-12)
    np.testing.assert_allclose(tally.variance, shares.var(axis=1, ddof=1), rtol=1e-12)


def test_copies_are_liquidated_on_the_paths_of_their_original(task: Task, trial: Trial) -> None:
    chosen = [0, 1, 1, 2]
    several = copies(task.book, np.array(chosen))
    tallies, originals = every_world(trial, several), every_world(trial, task.book)
    for mode in WORLDS:
        assert tallies[mode].hits.tolist() == originals[mode].hits[chosen].tolist()


def test_a_world_written_down_is_that_world(task: Task, trial: Trial) -> None:
    original = every_world(trial, task.book)
    assert as_world(task.book, task.setting, "as-booked") is task.book
    crossed = as_world(task.book, task.setting, "cross")
    assert every_world(trial, crossed)["as-booked"].hits.tolist() == original["cross"].hits.tolist()
    apart = as_world(task.book, task.setting, "isolated")
    pools = account_pools(task.book, "isolated", task.setting.price, task.setting.haircut)
    written = account_pools(apart, "as-booked", task.setting.price, task.setting.haircut)
    assert pools.exists.tolist() == [True, True, True, True, False]
    np.testing.assert_array_equal(written.cash[written.account < 4], pools.cash[pools.account < 4])
    assert not apart.quantity[5]


def test_trades_at_the_mark_leave_equity_and_average_what_grows(task: Task) -> None:
    book, setting = task.book, task.setting
    factor = np.array([0.25, 3.0, 1.0, 0.5, 7.0, 0.0])
    after = traded(book, setting.price, factor)
    modes: tuple[Mode, ...] = ("as-booked", "cross")
    for mode in modes:
        pools = [
            account_pools(each, mode, setting.price, setting.haircut) for each in (book, after)
        ]
        before, now = (
            pool_margins(each, held, setting, setting.price).equity
            for each, held in zip((book, after), pools, strict=True)
        )
        np.testing.assert_allclose(now, before, rtol=1e-12)
    # 120 at 98 sold down to 30 realises 90 * 2; 200 at 51 and 400 more at 50
    assert after.cash[0] == pytest.approx(2_000 + 180)
    assert after.entry_price[0] == 98
    assert after.entry_price[1] == pytest.approx((200 * 51 + 400 * 50) / 600)
    assert after.margin[3] == 200
    same = traded(book, setting.price, np.ones(6))
    for name in ("cash", "quantity", "entry_price", "margin"):
        np.testing.assert_array_equal(getattr(same, name), getattr(book, name))


def test_new_positions_and_joined_books_leave_what_is_there(task: Task) -> None:
    setting = task.setting
    few = only_accounts(task.book, np.array([True, False, True, False, False]))
    book = with_positions(few, np.array([0, 1]), np.array([1, 0]), setting.price)
    both = joined(task.book, book)

    def margins(each: Book) -> PoolMargins:
        pools = account_pools(each, "cross", setting.price, setting.haircut)
        return pool_margins(each, pools, setting, setting.price)

    original, new = margins(task.book), margins(both)
    for name in ("equity", "required", "notional"):
        old = getattr(original, name)
        np.testing.assert_array_equal(getattr(new, name), np.append(old, old[[0, 2]]))
    assert both.groups == ("hedged", "other", "hedged", "other")
    assert both.account_group[5:].tolist() == [2, 3]
    assert len(set(book.positions)) == 5


def test_first_guesses_are_near(task: Task, trial: Trial) -> None:
    tally = every_world(trial, task.book)["cross"]
    likely = looks(task.book, task.setting, "cross")
    assert likely[:3] == pytest.approx(tally.mean[:3], abs=0.2)
    assert likely[3] == 0 and likely[4] == 1


def test_what_is_left_out_is_said(task: Task) -> None:
    assert left_out(task.scenario, task.book) == ""
    venue = task.scenario.venue
    impact = venue.impact.model_copy(update={"kind": "linear"})
    late = venue.decision.model_copy(update={"latency": 2})
    scenario = task.scenario.model_copy(
        update={"venue": venue.model_copy(update={"impact": impact, "decision": late})}
    )
    book = replace(task.book, stop_price=np.full(len(POSITIONS), 50.0))
    words = "first passage: without price impact, late or sharded decisions, stop losses"
    assert left_out(scenario, book) == words


def test_a_market_that_says_nothing_between_the_steps_is_refused(file: Path) -> None:
    scenario = load_scenario(file)
    simulation = scenario.simulation.model_copy(update={"monitoring": "extremes"})
    other = scenario.model_copy(update={"simulation": simulation})
    with pytest.raises(InputError, match="between the steps"):
        Trial(task_of(other))
