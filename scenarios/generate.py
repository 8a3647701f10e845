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
"""Gross notional over cash, and over starting equity, both stay in this range."""

MEDIAN_CASH, CASH_SPREAD = 20_000.0, 1.5
"""Account sizes are lognormal: half are below 20,000 dollars, one in two hundred over a million."""

SCATTER, SCATTER_LIMIT, PROFIT_LIMIT = 0.02, 0.06, 0.3
"""Entries lie a few percent around the mark, and at high leverage closer, so that no position
starts with a profit or loss of more than 30 percent of the cash that stands behind it."""

RATIO_LIMIT = 0.5
"""No pool starts above this margin ratio, cross or isolated: nobody begins in breach or on call."""

POPULARITY = {"BTC": 5, "ETH": 4, "SOL": 3, "XRP": 2}
"""How often an asset is traded; one not named counts 1."""

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


Kind = Callable[[Draw, Sequence[str]], Weights]

BOOKS: dict[str, tuple[int, list[tuple[str, Kind, int]]]] = {
    "three_books": (
        1_001,
        [("hedged", hedged, 1_000), ("basket", basket, 1_000), ("directional", directional, 1_000)],
    ),
    "hedged_books": (1_002, [("hedged", hedged, 300)]),
    "correlated_baskets": (1_003, [("basket", basket, 300)]),
    "directional": (1_004, [("directional", trade, 300)]),
}
"""Scenario to its seed and its groups: label, kind, number of accounts."""


def read_venue(name: str) -> Venue:
    """Read marks and tiers from a scenario's TOML file."""
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
    for group, kind, count in groups:
        for number in range(1, count + 1):
            yield acceptable(draw, venue, kind, f"{group}-{number:04d}", group)


def acceptable(draw: Draw, venue: Venue, kind: Kind, name: str, group: str) -> Account:
    """Draw an account again until its leverage and its starting margin ratios are in range."""
    while True:
        cash = round(MEDIAN_CASH * math.exp(CASH_SPREAD * draw.normal()), 2)
        low, high = LEVERAGE
        leverage = low * (high / low) ** draw.uniform()
        weights = kind(draw, venue.assets)
        positions = [
            position(draw, venue.price[asset], asset, weight * leverage * cash, leverage)
            for asset, weight in weights.items()
        ]
        account = Account(name, group, cash, positions)
        if in_range(account, venue):
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


def in_range(account: Account, venue: Venue) -> bool:
    """Whether leverage is in range and no pool, cross or isolated, starts near a breach."""
    notionals = [position.notional(venue) for position in account.positions]
    if min(notionals) == 0:
        return False
    gross = sum(notionals)
    equity = account.cash + sum(position.profit(venue) for position in account.positions)
    low, high = LEVERAGE
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
    """One account of 10,000 dollars with five trades that put up 1 percent of it each."""
    cash, risk, leverage = 10_000, 0.01, 50
    rows = []
    for asset, price in venue.price.items():
        decimals = quantity_decimals(price) + 2
        quantity = f"{risk * cash * leverage / price:.{decimals}f}"
        entry = f"{price:.{price_decimals(price)}f}"
        rows.append(["practice", asset, quantity, entry, str(leverage), f"{asset} breakout"])
    return [["practice", str(cash), "practice"]], rows


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
    owners, trades = practice_account(read_venue("practice_account"))
    header = ["account", "asset", "quantity", "entry_price", "leverage", "position"]
    return written + write_book(folder / "practice_account", owners, header, trades)


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
