"""Make the books of the shipped scenarios: ``python scenarios/generate.py`` rewrites all of them.

A scenario's marks and tiers are read from its TOML file, so that they are stated once; the accounts
and positions are drawn here. Only uniform draws of NumPy's PCG64 are used, whose stream is promised
to stay, and numbers are written with a fixed count of decimals: the files come out byte for byte.
"""

from __future__ import annotations

import csv
import math
import sys
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist

import numpy as np

HERE = Path(__file__).resolve().parent

LEVERAGE = (2.0, 20.0)
"""Gross notional over cash, and over starting equity, both stay in a range: usually this one."""

MEDIAN_CASH, CASH_SPREAD = 20_000.0, 1.5
"""Account sizes are lognormal: half are below 20,000 dollars, one in two hundred over a million."""

CROWD_SPREAD = 1.0
"""Where forced sales move prices sizes differ less, so that a scenario is about the crowd and not
about its largest account: one in ten is over 3.6 times the median, one in a hundred over 10."""

SCATTER, SCATTER_LIMIT, PROFIT_LIMIT = 0.02, 0.06, 0.3
"""Entries lie a few percent around the mark, and at high leverage closer, so that no position
starts with a profit or loss of more than 30 percent of the cash that stands behind it."""

RATIO_LIMIT = 0.5
"""No pool starts above this margin ratio, cross or isolated: nobody begins in breach or on call."""

POPULARITY = {"BTC": 5, "ETH": 4, "SOL": 3, "XRP": 2}
"""How often an asset is traded; one not named counts 1."""

EVENTS = {
    "events/book": ["BTC", "ETH", "SOL", "BNB", "ADA", "DOGE", "LINK"],
    "events/book_2020": ["BTC", "ETH", "BNB", "ADA", "LINK"],
}
"""The books of the events, and their assets: SOL and DOGE had no perpetual in March 2020.
Prices are indices that start at 100, so that one book serves every date."""

INDEX = 100.0

EVENT_TIERS = HERE.parent / "stress" / "scenario" / "presets" / "hyperliquid.toml"
"""The strictest rates of the venues of the events: who is safe under them is safe under all."""

COIN_SHARE, COIN_OWNERS = 0.8, ("longs", "hedged")
"""Every second account of these groups keeps this share of its cash in a coin worth one dollar."""

Weights = dict[str, float]
"""Asset to signed share of the gross notional."""


class Draw:
    """Random draws from one stream of uniforms."""

    def __init__(self, seed: int) -> None:
        self._generator = np.random.Generator(np.random.PCG64(seed))

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """Draw between ``low`` and ``high``, the upper end excluded."""
        return low + (high - low) * float(self._generator.random())

    def normal(self) -> float:
        """Draw a standard normal number."""
        # the inverse distribution function at a cell's middle, which is never 0 or 1
        return NormalDist().inv_cdf((math.floor(self.uniform() * 2**32) + 0.5) / 2**32)

    def chance(self, probability: float) -> bool:
        """Draw true with this probability."""
        return self.uniform() < probability

    def assets(self, known: Sequence[str], count: int) -> list[str]:
        """Draw distinct assets, popular ones more often."""
        left, chosen = list(known), []
        for _ in range(count):
            weights = [POPULARITY.get(asset, 1) for asset in left]
            mark, at = self.uniform(0, sum(weights)), 0
            while mark >= weights[at]:
                mark -= weights[at]
                at += 1
            chosen.append(left.pop(at))
        return chosen


@dataclass(frozen=True)
class Venue:
    """What of a scenario's market and venue the books depend on."""

    price: dict[str, float]
    tiers: dict[str, list[tuple[float, float]]]

    @property
    def assets(self) -> list[str]:
        """Assets in the scenario's order."""
        return list(self.price)

    def maintenance(self, asset: str, notional: float) -> float:
        """Maintenance margin in USD: each tier's rate on the part of the notional inside it."""
        tiers = self.tiers[asset]
        ends = [floor for floor, _ in tiers[1:]] + [math.inf]
        return sum(
            rate * (min(notional, end) - floor)
            for (floor, rate), end in zip(tiers, ends, strict=True)
            if notional > floor
        )


@dataclass(frozen=True)
class Position:
    """A position as it is written: rounded to a lot and a tick."""

    asset: str
    quantity: float
    entry: float

    def notional(self, venue: Venue) -> float:
        """Absolute value at the mark, USD."""
        return abs(self.quantity) * venue.price[self.asset]

    def profit(self, venue: Venue) -> float:
        """Unrealised profit at the mark, USD."""
        return self.quantity * (venue.price[self.asset] - self.entry)


@dataclass(frozen=True)
class Account:
    """An account as it is written: its cash rounded to cents."""

    name: str
    group: str
    cash: float
    positions: list[Position]


def hedged(draw: Draw, assets: Sequence[str]) -> Weights:
    """Long one asset and short another; the legs are comparable, not equal."""
    bought, sold = draw.assets(assets, 2)
    if draw.chance(0.5):
        bought, sold = sold, bought
    share = 1 / (1 + math.exp(0.15 * draw.normal()))
    return {bought: share, sold: share - 1}


def basket(draw: Draw, assets: Sequence[str]) -> Weights:
    """Three to five assets on one side: mostly all long, one account in seven all short."""
    chosen = draw.assets(assets, 3 + int(draw.uniform(0, 3)))
    sizes = [math.exp(0.4 * draw.normal()) for _ in chosen]
    side = -1 if draw.chance(1 / 7) else 1
    return {asset: side * size / sum(sizes) for asset, size in zip(chosen, sizes, strict=True)}


def trade(draw: Draw, assets: Sequence[str]) -> Weights:
    """One asset, seven times in ten long."""
    return {draw.assets(assets, 1)[0]: 1.0 if draw.chance(0.7) else -1.0}


def directional(draw: Draw, assets: Sequence[str]) -> Weights:
    """One trade; one account in eight has a second, smaller one."""
    if not draw.chance(1 / 8):
        return trade(draw, assets)
    share = draw.uniform(0.5, 0.8)
    first, second = draw.assets(assets, 2)
    sides = [1 if draw.chance(0.7) else -1 for _ in range(2)]
    return {first: sides[0] * share, second: sides[1] * (1 - share)}


def crowded(draw: Draw, assets: Sequence[str]) -> Weights:
    """Long what everybody is long: one or two of the assets after the first two."""
    chosen = draw.assets(assets[2:], 1 + draw.chance(0.5))
    share = draw.uniform(0.5, 0.8) if len(chosen) == 2 else 1.0
    return dict(zip(chosen, (share, 1 - share), strict=False))


def short_last(draw: Draw, assets: Sequence[str]) -> Weights:
    """Short the last asset."""
    return {assets[-1]: -1.0}


def long_last(draw: Draw, assets: Sequence[str]) -> Weights:
    """Long the last asset."""
    return {assets[-1]: 1.0}


def hedged_by_last(draw: Draw, assets: Sequence[str]) -> Weights:
    """Long one of the others, short the last: comparable legs."""
    bought = draw.assets(assets[:-1], 1)[0]
    share = 1 / (1 + math.exp(0.15 * draw.normal()))
    return {bought: share, assets[-1]: share - 1}


def hedged_without_last(draw: Draw, assets: Sequence[str]) -> Weights:
    """Hedge without the last: long one of the others, short another."""
    return hedged(draw, assets[:-1])


def short_crowded(draw: Draw, assets: Sequence[str]) -> Weights:
    """Short one of the assets after the first two."""
    return {draw.assets(assets[2:], 1)[0]: -1.0}


def few_long(draw: Draw, assets: Sequence[str]) -> Weights:
    """Long one to three assets."""
    chosen = draw.assets(assets, 1 + int(draw.uniform(0, 3)))
    sizes = [math.exp(0.4 * draw.normal()) for _ in chosen]
    return {asset: size / sum(sizes) for asset, size in zip(chosen, sizes, strict=True)}


def one_short(draw: Draw, assets: Sequence[str]) -> Weights:
    """Short one asset."""
    return {draw.assets(assets, 1)[0]: -1.0}


def many_short(draw: Draw, assets: Sequence[str]) -> Weights:
    """Short three to five assets."""
    chosen = draw.assets(assets, 3 + int(draw.uniform(0, 3)))
    sizes = [math.exp(0.4 * draw.normal()) for _ in chosen]
    return {asset: -size / sum(sizes) for asset, size in zip(chosen, sizes, strict=True)}


Kind = Callable[[Draw, Sequence[str]], Weights]


@dataclass(frozen=True)
class Group:
    """Accounts of one kind: their label, how many, their leverage and sizes."""

    label: str
    kind: Kind
    count: int
    leverage: tuple[float, float] = LEVERAGE
    cash: float = MEDIAN_CASH
    spread: float = CASH_SPREAD


EVENT_GROUPS = [
    Group("longs", few_long, 400, (3.0, 15.0), 10_000.0, CROWD_SPREAD),
    Group("hedged", hedged, 80, (4.0, 15.0), 10_000.0, CROWD_SPREAD),
    Group("shorts", one_short, 80, (3.0, 10.0), 10_000.0, CROWD_SPREAD),
    Group("makers", many_short, 40, (1.0, 3.0), 270_000.0, CROWD_SPREAD),
]
"""A crowd of longs, and few large accounts with little leverage that take the other side."""

BOOKS: dict[str, tuple[int, list[Group]]] = {
    "three_books": (
        1_001,
        [
            Group("hedged", hedged, 1_000),
            Group("basket", basket, 1_000),
            Group("directional", directional, 1_000),
        ],
    ),
    "hedged_books": (1_002, [Group("hedged", hedged, 300)]),
    "correlated_baskets": (1_003, [Group("basket", basket, 300)]),
    "directional": (1_004, [Group("directional", trade, 300)]),
    "cascade_long_crowd": (
        1_005,
        [
            Group("crowd", crowded, 240, (5.0, 25.0), 16_000.0, CROWD_SPREAD),
            Group("hedged", hedged, 40, (5.0, 20.0), 16_000.0, CROWD_SPREAD),
            Group("short", short_crowded, 20, (2.0, 10.0), 32_000.0, CROWD_SPREAD),
        ],
    ),
    "correlated_basket_cascade": (
        1_006,
        [Group("basket", basket, 240, (3.0, 20.0), 25_000.0, CROWD_SPREAD)],
    ),
    "hedged_squeeze": (
        1_007,
        [
            Group("hedged", hedged_by_last, 100, (4.0, 15.0), 20_000.0, CROWD_SPREAD),
            Group("shorts", short_last, 120, (5.0, 25.0), 10_000.0, CROWD_SPREAD),
            Group("longs", long_last, 40, (2.0, 5.0), 100_000.0, CROWD_SPREAD),
            Group("bystanders", hedged_without_last, 40, (4.0, 15.0), 20_000.0, CROWD_SPREAD),
        ],
    ),
    "fund_exhaustion": (
        1_008,
        [
            Group("crowd", crowded, 160, (10.0, 25.0), 16_000.0, CROWD_SPREAD),
            Group("winners", short_crowded, 80, (2.0, 6.0), 60_000.0, CROWD_SPREAD),
        ],
    ),
    "leader_or_shards": (
        1_009,
        [
            Group("hedged", hedged, 150, (15.0, 40.0), 30_000.0, CROWD_SPREAD),
            Group("directional", trade, 50, (5.0, 25.0), 20_000.0, CROWD_SPREAD),
        ],
    ),
    "events/book": (1_010, EVENT_GROUPS),
    "events/book_2020": (1_011, EVENT_GROUPS),
}
"""Scenario to its seed and its groups."""


def read_venue(name: str) -> Venue:
    """Read marks and tiers from a scenario's TOML file, or those of the events."""
    if name in EVENTS:
        with EVENT_TIERS.open("rb") as file:
            tables = tomllib.load(file)["venue"]["tiers"]
        return Venue(
            dict.fromkeys(EVENTS[name], INDEX),
            {
                asset: [(float(tier["floor"]), float(tier["rate"])) for tier in tables[asset]]
                for asset in EVENTS[name]
            },
        )
    with (HERE / f"{name}.toml").open("rb") as file:
        scenario = tomllib.load(file)
    price = {
        asset: float(scenario["market"]["price"][asset]) for asset in scenario["market"]["assets"]
    }
    tiers = {
        asset: [(float(tier["floor"]), float(tier["rate"])) for tier in table]
        for asset, table in scenario["venue"]["tiers"].items()
    }
    return Venue(price, tiers)


def accounts(name: str, venue: Venue) -> Iterator[Account]:
    """Draw a scenario's accounts, group after group."""
    seed, groups = BOOKS[name]
    draw = Draw(seed)
    for group in groups:
        for number in range(1, group.count + 1):
            yield acceptable(draw, venue, group, f"{group.label}-{number:04d}")


def acceptable(draw: Draw, venue: Venue, group: Group, name: str) -> Account:
    """Draw an account again until its leverage and its starting margin ratios are in range."""
    while True:
        cash = round(group.cash * math.exp(group.spread * draw.normal()), 2)
        low, high = group.leverage
        leverage = low * (high / low) ** draw.uniform()
        weights = group.kind(draw, venue.assets)
        positions = [
            position(draw, venue.price[asset], asset, weight * leverage * cash, leverage)
            for asset, weight in weights.items()
        ]
        account = Account(name, group.label, cash, positions)
        if in_range(account, venue, group.leverage):
            return account


def position(draw: Draw, price: float, asset: str, notional: float, leverage: float) -> Position:
    """Open a position of about this signed notional a little away from the mark."""
    limit = min(SCATTER_LIMIT, PROFIT_LIMIT / leverage)
    away = max(-limit, min(limit, SCATTER * draw.normal()))
    return Position(
        asset,
        round(notional / price, quantity_decimals(price)),
        round(price * (1 + away), price_decimals(price)),
    )


def in_range(account: Account, venue: Venue, leverage: tuple[float, float]) -> bool:
    """Whether leverage is in range and no pool, cross or isolated, starts near a breach."""
    notionals = [position.notional(venue) for position in account.positions]
    if min(notionals) == 0:
        return False
    gross = sum(notionals)
    equity = account.cash + sum(position.profit(venue) for position in account.positions)
    low, high = leverage
    if not (
        low * account.cash <= gross <= high * account.cash
        and low * equity <= gross <= high * equity
    ):
        return False
    # the table leaves out the brackets above its last floor, so nobody comes near them
    if any(
        notional >= venue.tiers[position.asset][-1][0]
        for position, notional in zip(account.positions, notionals, strict=True)
    ):
        return False
    required = [
        venue.maintenance(position.asset, notional)
        for position, notional in zip(account.positions, notionals, strict=True)
    ]
    # margined isolated, the account's equity is shared out in proportion to notional
    worst = max(need / notional for need, notional in zip(required, notionals, strict=True))
    return worst * gross <= RATIO_LIMIT * equity


def quantity_decimals(price: float) -> int:
    """Decimals of a quantity, so that one lot is worth between 10 cents and a dollar."""
    return max(0, math.ceil(math.log10(price)))


def price_decimals(price: float) -> int:
    """Decimals of a price, so that it has five significant digits."""
    return max(0, 4 - math.floor(math.log10(price)))


def practice_account(venue: Venue) -> tuple[list[list[str]], list[list[str]]]:
    """Two accounts of 10,000 dollars with the same five trades, each planned to risk 1 percent.

    The plan of the first is the margin of each trade, a fiftieth of its notional; of the second a
    stop order 2 percent below the mark, with enough margin that the stop comes before liquidation.
    """
    cash, notional, stop = 10_000, 5_000, 0.02
    rows = []
    for owner, leverage in (("margin", 50), ("stops", 20)):
        for asset, price in venue.price.items():
            ticks = price_decimals(price)
            rows.append(
                [
                    owner,
                    asset,
                    f"{notional / price:.{quantity_decimals(price) + 2}f}",
                    f"{price:.{ticks}f}",
                    str(leverage),
                    f"{price * (1 - stop):.{ticks}f}" if owner == "stops" else "",
                    f"{asset} by {owner}",
                ]
            )
    return [[owner, str(cash), "practice"] for owner in ("margin", "stops")], rows


def write_all(folder: Path = HERE) -> list[Path]:
    """Write every scenario's accounts.csv and positions.csv below ``folder``; return the paths."""
    written = []
    for name in BOOKS:
        venue = read_venue(name)
        drawn = list(accounts(name, venue))
        written += write_book(
            folder / name,
            [[account.name, f"{account.cash:.2f}", account.group] for account in drawn],
            ["account", "asset", "quantity", "entry_price"],
            [
                [
                    account.name,
                    held.asset,
                    f"{held.quantity:.{quantity_decimals(venue.price[held.asset])}f}",
                    f"{held.entry:.{price_decimals(venue.price[held.asset])}f}",
                ]
                for account in drawn
                for held in account.positions
            ],
        )
    written += write_coins(folder / "events" / "book", "events/book")
    owners, trades = practice_account(read_venue("practice_account"))
    header = ["account", "asset", "quantity", "entry_price", "leverage", "stop_price", "position"]
    return written + write_book(folder / "practice_account", owners, header, trades)


def write_coins(folder: Path, name: str) -> list[Path]:
    """Write a book's accounts once more, with part of the cash of some kept in a coin."""
    owners, coins = [["account", "cash", "group"]], [["account", "asset", "quantity"]]
    for number, account in enumerate(accounts(name, read_venue(name))):
        cash = account.cash
        if account.group in COIN_OWNERS and number % 2:
            held = round(COIN_SHARE * cash, 2)
            coins.append([account.name, "USDE", f"{held:.2f}"])
            cash -= held
        owners.append([account.name, f"{cash:.2f}", account.group])
    tables = {folder / "accounts_with_coins.csv": owners, folder / "collateral.csv": coins}
    for path, rows in tables.items():
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(rows)
    return list(tables)


def write_book(
    folder: Path, owners: list[list[str]], header: list[str], positions: list[list[str]]
) -> list[Path]:
    """Write one scenario's two tables."""
    folder.mkdir(parents=True, exist_ok=True)
    tables = {
        folder / "accounts.csv": [["account", "cash", "group"], *owners],
        folder / "positions.csv": [header, *positions],
    }
    for path, rows in tables.items():
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(rows)
    return list(tables)


if __name__ == "__main__":
    for path in write_all(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE):
        print(path)
