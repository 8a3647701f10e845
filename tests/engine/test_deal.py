"""Pools dealt to panels: few shapes, rounded up, and nothing in what is there to round up."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import numpy as np
import pytest

from stress.book.book import Book
from stress.book.pools import Pools, account_pools
from stress.book.setting import Setting
from stress.engine import deal
from stress.engine.deal import build_world, rounded
from stress.engine.panels import World
from stress.scenario.build import build_setting
from stress.scenario.load import load_scenario
from stress.types import Array

ASSETS = 5
TIERS = [{"floor": 0, "rate": 0.01}, {"floor": 1e5, "rate": 0.02}, {"floor": 1e6, "rate": 0.05}]


@pytest.fixture(scope="module")
def setting(tmp_path_factory: pytest.TempPathFactory) -> Setting:
    folder = tmp_path_factory.mktemp("book")
    (folder / "accounts.csv").write_text("account,cash\na,1\n")
    (folder / "positions.csv").write_text("account,asset,quantity,entry_price\na,A0,1,1\n")
    names = [f"A{number}" for number in range(ASSETS)]
    every = dict.fromkeys(names, 1.0)
    scenario = load_scenario(
        {
            "name": "dealt",
            "simulation": {"paths": 64, "horizon": "1d", "step": "1h", "seed": 1},
            "market": {
                "assets": names,
                "price": every,
                "volatility": every,
                "correlation": np.eye(ASSETS).tolist(),
            },
            "book": {
                "accounts": str(folder / "accounts.csv"),
                "positions": str(folder / "positions.csv"),
            },
            "venue": {"tiers": {"A0": TIERS, "default": TIERS[:1]}},
        }
    )
    return build_setting(scenario)


def drawn_book(accounts: int, seed: int = 0, most: int = 6) -> Book:
    """Accounts with 0 to ``most`` positions, every tenth isolated, some with coins."""
    draw = np.random.default_rng(seed)
    held = draw.integers(0, most + 1, accounts)
    owner = np.repeat(np.arange(accounts), held)
    count, coins = len(owner), np.flatnonzero(draw.random(accounts) < 0.3)
    nothing = np.full(accounts, np.nan)
    return Book(
        accounts=tuple(map(str, range(accounts))),
        cash=draw.uniform(1, 100, accounts),
        groups=("all",),
        account_group=np.zeros(accounts, np.int64),
        reserve=np.zeros(accounts),
        top_up_trigger=nothing,
        top_up_target=nothing,
        positions=tuple(map(str, range(count))),
        position_account=owner,
        position_asset=draw.integers(0, ASSETS, count),
        quantity=draw.normal(size=count),
        entry_price=draw.uniform(0.5, 2, count),
        margin=np.where(draw.random(count) < 0.1, 5.0, np.nan),
        leverage=np.full(count, np.nan),
        stop_price=np.full(count, np.nan),
        coin_account=coins,
        coin_asset=draw.integers(0, ASSETS, len(coins)),
        coin_quantity=draw.uniform(1, 2, len(coins)),
    )


def dealt(book: Book, setting: Setting, monitoring: Any = "step") -> tuple[Pools, World]:
    pools = account_pools(book, "as-booked", setting.price, setting.haircut)
    return pools, build_world(book, pools, setting, "float32", monitoring)


def whole(world: World, name: str) -> Array:
    """Return a panel's (..., pools) values of all panels, summed over slots."""
    return np.concatenate([np.asarray(getattr(panel, name)).sum(axis=0) for panel in world.panels])


@pytest.mark.parametrize("monitoring", ["step", "bridge"])
def test_every_pool_is_where_its_index_says(setting: Setting, monitoring: str) -> None:
    book = drawn_book(700)
    pools, world = dealt(book, setting, monitoring)
    order = np.asarray(world.order)[: len(pools.cash)]
    assert len(order) == len(set(order.tolist())) == len(pools.cash)
    cash = np.concatenate([np.asarray(panel.cash) for panel in world.panels])
    np.testing.assert_array_equal(cash[order], pools.cash.astype(np.float32))
    for name, owner, values in (
        ("quantity", pools.pool_of_position, book.quantity),
        ("coin_quantity", pools.pool_of_coin, book.coin_quantity),
    ):
        expected = np.bincount(owner, values, minlength=len(pools.cash))
        np.testing.assert_allclose(whole(world, name)[order], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("monitoring", ["step", "bridge"])
def test_what_is_there_to_round_up_holds_nothing(setting: Setting, monitoring: str) -> None:
    pools, world = dealt(drawn_book(700), setting, monitoring)
    extra = np.ones(sum(panel.pools for panel in world.panels), bool)
    extra[np.asarray(world.order)[: len(pools.cash)]] = False
    assert extra.any()
    start = 0
    for panel in world.panels:
        mine = extra[start : start + panel.pools]
        start += panel.pools
        for values in (panel.cash, panel.quantity, panel.coin_quantity, panel.amount.sum(axis=2)):
            assert not np.asarray(values)[..., mine].any()
        if panel.barrier is not None:
            # a fall to the price 0, which no path reaches
            assert np.isneginf(np.asarray(panel.barrier.log_price)[:, mine]).all()
            assert (np.asarray(panel.barrier.side)[mine] == 1).all()


def shapes(world: World) -> Any:
    """Return what decides whether a kernel is compiled anew."""
    return jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), world)


def without(book: Book, last: int, first: int = 0) -> Book:
    """Return the book without its last accounts, and without the first positions of those left."""
    accounts = len(book.accounts) - last
    rows = np.flatnonzero(book.position_account < accounts)[first:]
    coins = book.coin_account < accounts
    by_account = ("cash", "account_group", "reserve", "top_up_trigger", "top_up_target")
    by_row = ("position_account", "position_asset", "quantity", "entry_price", "margin")
    by_row_too = ("leverage", "stop_price")
    by_coin = ("coin_account", "coin_asset", "coin_quantity")
    changed: dict[str, Any] = {name: getattr(book, name)[:accounts] for name in by_account}
    changed |= {name: getattr(book, name)[rows] for name in (*by_row, *by_row_too)}
    changed |= {name: getattr(book, name)[coins] for name in by_coin}
    changed["accounts"] = book.accounts[:accounts]
    changed["positions"] = tuple(book.positions[row] for row in rows)
    return replace(book, **changed)


@pytest.mark.parametrize("monitoring", ["step", "bridge"])
def test_a_slightly_different_book_has_the_same_shapes(setting: Setting, monitoring: str) -> None:
    book = drawn_book(1_000)
    known = shapes(dealt(book, setting, monitoring)[1])
    for last, first in ((1, 0), (5, 0), (0, 4), (3, 6)):
        assert shapes(dealt(without(book, last, first), setting, monitoring)[1]) == known
    assert shapes(dealt(without(book, 300), setting, monitoring)[1]) != known


def test_all_panels_have_the_tiers_of_the_venue(setting: Setting) -> None:
    book = drawn_book(40)
    book.position_asset[:] = 1  # an asset with one tier
    _, world = dealt(book, setting)
    assert {panel.rate.shape[2] for panel in world.panels} == {3}


def test_a_small_book_is_one_panel_and_a_large_one_pads_little(setting: Setting) -> None:
    assert len(dealt(drawn_book(100), setting)[1].panels) == 1
    book = drawn_book(3_000)
    pools, world = dealt(book, setting)
    rows = np.bincount(pools.pool_of_position, minlength=len(pools.cash))
    coins = np.bincount(pools.pool_of_coin, minlength=len(pools.cash))
    apart = (2 ** np.ceil(np.log2(np.maximum(rows, 1))) * (rows > 0) + coins).sum()
    slots = sum(panel.asset.size + panel.coin_asset.size for panel in world.panels)
    assert 2 <= len(world.panels) <= 5
    # a quarter more by joining panels, at most a quarter more by rounding pools up
    assert slots <= apart * deal._PADDED * 1.25


@pytest.mark.parametrize(
    ("count", "room"), [(0, 8), (1, 8), (8, 8), (9, 9), (17, 18), (1_000, 1_024), (1_025, 1_152)]
)
def test_rounding(count: int, room: int) -> None:
    assert rounded(count) == room
    assert rounded(room) == room
