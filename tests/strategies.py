"""Random books, seeded and for Hypothesis: scenario dict and tables, loaded as a user's would be.

A book is drawn kind by kind (``KINDS``), and every book of the same kinds has pools of the same
widths in the same places: the numbers differ, the shapes do not, so that a kernel is compiled once
for all of them.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st

from stress.book.book import Book
from stress.scenario.load import load_scenario
from stress.scenario.schema import Scenario

__all__ = [
    "ASSETS",
    "KINDS",
    "NARROW",
    "TIERS",
    "Account",
    "as_book",
    "books",
    "plain_scenario",
    "random_book",
    "seeds",
    "tier_tables",
    "write_book",
]

ASSETS = ("ONE", "TWO", "TEN", "ODD")
PRICE = {"ONE": 128.0, "TWO": 60_000.0, "TEN": 2_500.0, "ODD": 0.37}
VOLATILITY = {"ONE": 0.9, "TWO": 0.6, "TEN": 0.8, "ODD": 1.3}
HAIRCUT = {"ONE": 0.05, "TWO": 0.0, "TEN": 0.1, "ODD": 0.5}
CORRELATION = (
    (1.0, 0.7, 0.6, 0.3),
    (0.7, 1.0, 0.8, -0.2),
    (0.6, 0.8, 1.0, 0.1),
    (0.3, -0.2, 0.1, 1.0),
)
TIERS = {
    # binary fractions, so that "exactly at its requirement" is exact in both precisions
    "ONE": [
        {"floor": 0, "rate": 0.015625},
        {"floor": 65_536, "rate": 0.03125},
        {"floor": 262_144, "rate": 0.0625},
    ],
    "TWO": [
        {"floor": 0, "rate": 0.004},
        {"floor": 50_000, "rate": 0.005},
        {"floor": 600_000, "rate": 0.025},
    ],
    "default": [
        {"floor": 0, "rate": 0.01},
        {"floor": 10_000, "rate": 0.02},
        {"floor": 100_000, "rate": 0.1},
    ],
}
"""Three tiers an asset: tables of one length, so that every book has panels of one shape."""

Row = dict[str, Any]


@dataclass
class Account:
    """One account: its cash, and rows of the tables of positions and coins without the account."""

    cash: float
    positions: list[Row] = field(default_factory=list)
    coins: list[Row] = field(default_factory=list)
    reserve: float = 0.0
    top_up_trigger: float = np.nan
    top_up_target: float = np.nan


def _position(
    rng: np.random.Generator, *, asset: str | None = None, side: float | None = None
) -> Row:
    """Return a position of 300 dollars to a million, entered within a tenth of the price."""
    name = asset or str(rng.choice(ASSETS))
    sign = side or float(rng.choice([-1.0, 1.0]))
    notional = 10 ** rng.uniform(2.5, 6.0)
    return {
        "asset": name,
        "quantity": sign * notional / PRICE[name],
        "entry_price": PRICE[name] * rng.uniform(0.9, 1.1),
    }


def _gross(positions: Sequence[Row]) -> float:
    return sum(abs(row["quantity"]) * PRICE[row["asset"]] for row in positions)


def _profit(positions: Sequence[Row]) -> float:
    return sum(row["quantity"] * (PRICE[row["asset"]] - row["entry_price"]) for row in positions)


def _requirement(position: Row) -> float:
    """Return the maintenance margin of a position at the start, by walking through its tiers."""
    notional = abs(position["quantity"]) * PRICE[position["asset"]]
    tiers = TIERS.get(position["asset"], TIERS["default"])
    floors = [*(tier["floor"] for tier in tiers[1:]), np.inf]
    return sum(
        tier["rate"] * (min(notional, floor) - tier["floor"])
        for tier, floor in zip(tiers, floors, strict=True)
        if notional > tier["floor"]
    )


def _cushion(rng: np.random.Generator, positions: Sequence[Row]) -> float:
    """Return an equity above the requirement: by a thousandth to a half of the gross notional."""
    required = sum(_requirement(row) for row in positions)
    return required + _gross(positions) * 10 ** rng.uniform(-3.0, -0.3)


def _coin(rng: np.random.Generator, asset: str, value: float) -> Row:
    """Return coins worth up to ``value`` after haircut."""
    worth = value * rng.uniform(0.2, 1.0)
    return {"asset": asset, "quantity": worth / (PRICE[asset] * (1 - HAIRCUT[asset]))}


def _coins_value(coins: Sequence[Row]) -> float:
    return sum(row["quantity"] * PRICE[row["asset"]] * (1 - HAIRCUT[row["asset"]]) for row in coins)


def _cross(rng: np.random.Generator, positions: list[Row], coins: list[Row]) -> Account:
    """Return a cross account whose cash makes its equity a random cushion."""
    equity = _cushion(rng, positions)
    return Account(equity - _profit(positions) - _coins_value(coins), positions, coins)


def _isolated_row(rng: np.random.Generator, position: Row) -> Row:
    """Return a position with a margin of its own, never negative."""
    margin = _cushion(rng, [position]) - _profit([position])
    return {**position, "margin": max(margin, 0.0)}


def cross_single(rng: np.random.Generator) -> Account:
    """One position, cash only."""
    return _cross(rng, [_position(rng)], [])


def cross_several(rng: np.random.Generator) -> Account:
    """Four positions on four assets, some coins."""
    positions = [_position(rng, asset=asset) for asset in ASSETS]
    return _cross(rng, positions, _two_coins(rng, positions, 0.1))


def cross_repeated(rng: np.random.Generator) -> Account:
    """Three positions on one asset and side, and coins of it: one liquidation price."""
    asset, side = str(rng.choice(ASSETS)), float(rng.choice([-1.0, 1.0]))
    return _one_asset(rng, asset, [side] * 3)


def cross_hedged(rng: np.random.Generator) -> Account:
    """Long and less short of one asset, or the reverse (hedge mode): one liquidation price."""
    side = float(rng.choice([-1.0, 1.0]))
    account = _one_asset(rng, str(rng.choice(ASSETS)), [side, -side, side])
    first, second, third = account.positions
    second["quantity"] = -rng.uniform(0.1, 0.6) * (first["quantity"] + third["quantity"])
    # a larger cushion than what is not hedged would leave a long without a liquidation price
    return _with_equity(account, 10 ** rng.uniform(-3.0, -1.0), coins=0.1)


def cross_straddle(rng: np.random.Generator) -> Account:
    """Long and almost as much short: a fall liquidates it, and so does a rise into other tiers."""
    long = {"asset": "TEN", "quantity": rng.uniform(8.0, 16.0), "entry_price": PRICE["TEN"]}
    third = {**long, "quantity": 0.1 * long["quantity"]}
    account = Account(0.0, [long, {**long, "quantity": -long["quantity"]}, third], [])
    account.coins = [_coin(rng, "TEN", 0.001 * _gross(account.positions))]
    return _with_equity(account, 10 ** rng.uniform(-3.0, -1.7), coins=0.001)


def _one_asset(rng: np.random.Generator, asset: str, sides: Sequence[float]) -> Account:
    positions = [_position(rng, asset=asset, side=side) for side in sides]
    return _cross(rng, positions, [_coin(rng, asset, _cushion(rng, positions))])


def _with_equity(account: Account, cushion: float, *, coins: float) -> Account:
    """Return the account with a cushion and one coin worth given shares of the gross notional."""
    gross, (coin,) = _gross(account.positions), account.coins
    unit = PRICE[coin["asset"]] * (1 - HAIRCUT[coin["asset"]])
    coin = {**coin, "quantity": min(coin["quantity"], coins * gross / unit)}
    required = sum(_requirement(row) for row in account.positions)
    cash = required + cushion * gross - _profit(account.positions) - _coins_value([coin])
    return Account(cash, account.positions, [coin])


def _two_coins(rng: np.random.Generator, positions: Sequence[Row], share: float = 1.0) -> list[Row]:
    """Return coins of two assets, worth up to ``share`` of a cushion each."""
    value = share * _cushion(rng, positions)
    return [_coin(rng, str(asset), value) for asset in rng.permutation(ASSETS)[:2]]


def cross_coins(rng: np.random.Generator) -> Account:
    """Three positions backed mostly by coins of two assets: cash is often negative."""
    positions = [_position(rng) for _ in range(3)]
    return _cross(rng, positions, _two_coins(rng, positions))


def cross_in_debt(rng: np.random.Generator) -> Account:
    """Negative cash that unrealised profit and coins outweigh."""
    positions = [_position(rng) for _ in range(3)]
    for row in positions:
        row["entry_price"] = PRICE[row["asset"]] * (0.7 if row["quantity"] > 0 else 1.3)
    coins = _two_coins(rng, positions)
    required = sum(_requirement(row) for row in positions)
    # between a twentieth and all of what may be owed before the pool is at its requirement
    spare = _profit(positions) + _coins_value(coins) - required
    return Account(-spare * rng.uniform(0.05, 1.0), positions, coins)


def mixed(rng: np.random.Generator) -> Account:
    """Three cross positions with coins, and two isolated positions between them."""
    positions = [_position(rng) for _ in range(3)]
    account = _cross(rng, positions, _two_coins(rng, positions))
    first, second = (_isolated_row(rng, _position(rng)) for _ in range(2))
    account.positions = [positions[0], first, positions[1], second, positions[2]]
    return account


def stated_leverage(rng: np.random.Generator) -> Account:
    """Three positions of which one states a leverage: it matters to the isolated counterpart."""
    positions = [_position(rng) for _ in range(3)]
    positions[0]["leverage"] = float(rng.uniform(2, 50))
    return _cross(rng, positions, _two_coins(rng, positions, 0.1))


def isolated_alone(rng: np.random.Generator) -> Account:
    """One isolated position, and cash and coins that do not back it."""
    position = _position(rng)
    coins = _two_coins(rng, [position])
    return Account(float(rng.uniform(0, 1e4)), [_isolated_row(rng, position)], coins)


def idle(rng: np.random.Generator) -> Account:
    """No position; coins and cash."""
    return Account(float(rng.uniform(0, 1e5)), [], [_coin(rng, "TEN", 1e4), _coin(rng, "ODD", 1e3)])


def broken(rng: np.random.Generator) -> Account:
    """Below its requirement at the start, often under water, with coins to sell."""
    positions = [_position(rng) for _ in range(3)]
    required = sum(_requirement(row) for row in positions)
    coins = [_coin(rng, "ONE", required), _coin(rng, "TWO", required)]
    equity = required * rng.uniform(-2.0, 0.99)
    return Account(equity - _profit(positions) - _coins_value(coins), positions, coins)


def at_requirement(rng: np.random.Generator) -> Account:
    """At the start exactly at its requirement: equity and maintenance margin are 2 dollars."""
    return Account(2.0, [{"asset": "ONE", "quantity": 1.0, "entry_price": 128.0}])


def wide(rng: np.random.Generator) -> Account:
    """Twenty positions, several on one asset, on both sides."""
    return _cross(rng, [_position(rng, asset=ASSETS[k % 4]) for k in range(20)], [])


_NARROW = (
    cross_single,
    cross_several,
    cross_repeated,
    cross_hedged,
    cross_straddle,
    cross_coins,
    cross_in_debt,
    mixed,
    stated_leverage,
    isolated_alone,
    idle,
    broken,
    at_requirement,
)
KINDS: dict[str, Callable[[np.random.Generator], Account]] = {
    kind.__name__: kind for kind in (*_NARROW, wide)
}
"""Name of a kind -> what draws an account of it."""

NARROW = tuple(kind.__name__ for kind in _NARROW)
"""All but the wide one: a book is padded to its widest pool, and simulated so much slower."""


def plain_scenario() -> dict[str, Any]:
    """Return a scenario of four assets and forty six-hour steps, to be changed by a test."""
    return {
        "name": "random-book",
        "simulation": {
            "paths": 16,
            "horizon": "240h",
            "step": "6h",
            "seed": 20_250_117,
            "precision": "float64",
        },
        # a kernel of its own that every run would compile
        "analysis": {"curves": False},
        "market": {
            "assets": list(ASSETS),
            "price": dict(PRICE),
            "volatility": dict(VOLATILITY),
            "drift": {"ONE": 0.2, "ODD": -0.5},
            "correlation": [list(row) for row in CORRELATION],
        },
        "book": {
            "accounts": "accounts.csv",
            "positions": "positions.csv",
            "collateral": "collateral.csv",
        },
        "venue": {
            "haircut": dict(HAIRCUT),
            "tiers": deepcopy(TIERS),
            "fee": 0.004,
            "amount": "all",
        },
    }


def write_book(
    folder: Path,
    accounts: Mapping[str, Account],
    changes: Mapping[str, Any] | None = None,
    *,
    groups: Mapping[str, str] | None = None,
) -> Scenario:
    """Write the tables of a book and load the scenario that names them.

    Parameters
    ----------
    folder
        Where to; an existing folder.
    accounts
        Account by label, in file order.
    changes
        Dotted key -> value, set in ``plain_scenario``.
    groups
        Group of each account; what the label begins with, up to the first dash, where not given.
    """
    named = groups or {label: label.partition("-")[0] for label in accounts}
    owners = [_owner(label, account, named[label]) for label, account in accounts.items()]
    _write(
        folder / "accounts.csv",
        ("account", "cash", "group", "reserve", "top_up_trigger", "top_up_target"),
        owners,
    )
    _write(
        folder / "positions.csv",
        ("account", "asset", "quantity", "entry_price", "margin", "leverage", "stop_price"),
        [
            {"account": label, **row}
            for label, account in accounts.items()
            for row in account.positions
        ],
    )
    coins = [
        {"account": label, **row} for label, account in accounts.items() for row in account.coins
    ]
    scenario = plain_scenario()
    if coins:
        _write(folder / "collateral.csv", ("account", "asset", "quantity"), coins)
    else:
        # a table without rows is refused
        del scenario["book"]["collateral"]
    for key, value in (changes or {}).items():
        *tables, last = key.split(".")
        table = scenario
        for name in tables:
            table = table.setdefault(name, {})
        table[last] = value
    return load_scenario(scenario, base=folder)


def _owner(label: str, account: Account, group: str) -> Row:
    """Return the account's row; the cells of a top-up stay empty where there is none."""
    row = {"account": label, "cash": account.cash, "group": group, "reserve": account.reserve}
    if not np.isnan(account.top_up_trigger):
        row["top_up_trigger"] = account.top_up_trigger
        row["top_up_target"] = account.top_up_target
    return row


def as_book(accounts: Mapping[str, Account], assets: Sequence[str] = ASSETS) -> Book:
    """Return the book in memory, without files: every account is a group by itself."""
    labels = list(accounts)
    rows = [(label, row) for label, account in accounts.items() for row in account.positions]
    coins = [(label, row) for label, account in accounts.items() for row in account.coins]

    def numbers(held: Sequence[tuple[str, Row]], key: str) -> np.ndarray:
        return np.array([row.get(key, np.nan) for _, row in held], float)

    def indices(values: Sequence[str], known: Sequence[str]) -> np.ndarray:
        return np.array([list(known).index(value) for value in values], np.int64)

    return Book(
        accounts=tuple(labels),
        cash=np.array([account.cash for account in accounts.values()], float),
        groups=tuple(labels),
        account_group=np.arange(len(labels)),
        reserve=np.array([account.reserve for account in accounts.values()], float),
        top_up_trigger=np.array([account.top_up_trigger for account in accounts.values()], float),
        top_up_target=np.array([account.top_up_target for account in accounts.values()], float),
        positions=tuple(f"{label}/{row['asset']}#{k}" for k, (label, row) in enumerate(rows)),
        position_account=indices([label for label, _ in rows], labels),
        position_asset=indices([row["asset"] for _, row in rows], assets),
        quantity=numbers(rows, "quantity"),
        entry_price=numbers(rows, "entry_price"),
        margin=numbers(rows, "margin"),
        leverage=numbers(rows, "leverage"),
        stop_price=numbers(rows, "stop_price"),
        coin_account=indices([label for label, _ in coins], labels),
        coin_asset=indices([row["asset"] for _, row in coins], assets),
        coin_quantity=numbers(coins, "quantity"),
    )


def _write(file: Path, columns: tuple[str, ...], rows: Sequence[Row]) -> None:
    with file.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, columns, restval="")
        writer.writeheader()
        # repr keeps every digit of a float
        writer.writerows(
            {key: repr(value) if isinstance(value, float) else value for key, value in row.items()}
            for row in rows
        )


def random_book(seed: int, kinds: Sequence[str] = NARROW, copies: int = 2) -> dict[str, Account]:
    """Return accounts drawn from a seed: ``copies`` of every kind, labelled ``kind-number``."""
    rng = np.random.default_rng(seed)
    return {f"{kind}-{copy}": KINDS[kind](rng) for copy in range(copies) for kind in kinds}


seeds = st.integers(0, 2**32 - 1)
"""Seeds of ``numpy.random.default_rng``, and of scenarios."""


@st.composite
def books(draw: st.DrawFn, kinds: Sequence[str] = NARROW, copies: int = 1) -> Any:
    """Draw a book of fixed shape; it shrinks to small seeds, nothing else."""
    return random_book(draw(seeds), kinds, copies)


@st.composite
def tier_tables(draw: st.DrawFn, most: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Draw (tiers,) floors in USD and rates of a convex tier table: 1 to ``most`` tiers."""
    count = draw(st.integers(1, most))
    widths = draw(st.lists(st.floats(10.0, 1e6), min_size=count - 1, max_size=count - 1))
    steps = draw(st.lists(st.floats(0.0, 0.08), min_size=count - 1, max_size=count - 1))
    lowest = draw(st.floats(0.0, 0.1))
    floors = np.concatenate([[0.0], np.cumsum(widths)])
    return floors, lowest + np.concatenate([[0.0], np.cumsum(steps)])
