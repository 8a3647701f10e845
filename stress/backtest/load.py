"""From a scenario file to what is walked through: its history, cut to bars that all assets have."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from os import PathLike
from os.path import abspath, isfile
from pathlib import Path

import numpy as np

from stress.data.prices import PriceHistory, read_prices
from stress.errors import InputError, MissingInputError
from stress.margin import tier_amounts
from stress.scenario.backtest import Backtest
from stress.scenario.checks import check_known
from stress.scenario.load import read_toml
from stress.scenario.presets import with_preset
from stress.scenario.problems import validated
from stress.scenario.reserved import check_reserved
from stress.scenario.schema import MarginLevel, Market, Scenario, Venue
from stress.types import Array, Floats, Precision

__all__ = ["Requirement", "Task", "load_backtest", "moment"]

_NO_BOOK = {"accounts": "accounts.csv", "positions": "positions.csv"}
"""A back-test reads no book: a file without one is as good."""


@dataclass(frozen=True)
class Requirement:
    """(assets, tiers) rates and amounts of the maintenance margin, padded with the last tier."""

    rate: Floats
    amount: Floats


@dataclass(frozen=True)
class Task:
    """What is asked for.

    Attributes
    ----------
    file
        The scenario file.
    name
        The scenario's.
    market
        As the file states it: assets, the model that matters most, its table, drift.
    table
        The table ``[backtest]``.
    history
        The bars that every asset has, until ``backtest.last``.
    dropped
        Bars of the file that lack an asset.
    requirement
        The venue's maintenance margin.
    precision, seed, confidence
        Of the scenario's simulation.
    """

    file: Path
    name: str
    market: Market
    table: Backtest
    history: PriceHistory
    dropped: int
    requirement: Requirement
    precision: Precision
    seed: int
    confidence: float

    @property
    def assets(self) -> tuple[str, ...]:
        """Names of the assets."""
        return self.market.assets


def load_backtest(source: str | PathLike[str]) -> Task:
    """Read a scenario file with a table ``[backtest]``.

    The numbers of its market may be left out: they are estimated on the way.

    Raises
    ------
    MissingInputError
        The history is absent.
    InputError
        The file, the table or the history cannot be used.
    """
    file = Path(source)
    raw = with_preset(read_toml(file), file)
    check_reserved(raw, file)
    if "backtest" not in raw:
        remedy = 'add the table: [backtest] history = "prices.csv", first = "2023-01-01"'
        raise InputError("is missing", file=file, key="backtest", remedy=remedy)
    scenario = validated(Scenario, {"book": _NO_BOOK, **raw}, file)
    check_known(scenario.market, scenario.venue, file)
    table = scenario.backtest
    assert table is not None
    history, dropped = _history(scenario.market, table, file)
    return Task(
        file=file,
        name=scenario.name,
        market=scenario.market,
        table=table,
        history=history,
        dropped=dropped,
        requirement=_requirement(scenario.venue, scenario.market.assets, table.maintenance_rate),
        precision=scenario.simulation.precision,
        seed=scenario.simulation.seed,
        confidence=scenario.simulation.confidence,
    )


def moment(value: datetime) -> np.datetime64:
    """Return a moment as histories hold it: UTC to the millisecond, without a zone."""
    return np.datetime64(value.astimezone(UTC).replace(tzinfo=None), "ms")


def _history(market: Market, table: Backtest, file: Path) -> tuple[PriceHistory, int]:
    path = table.history or market.history
    if path is None:
        raise InputError(
            "is missing", file=file, key="backtest.history", remedy="name a file of prices"
        )
    path = Path(abspath(Path(abspath(file)).parent / path))
    if not isfile(path):
        raise MissingInputError(
            f"the file {path} does not exist",
            file=file,
            key="backtest.history",
            remedy="check the path, which is relative to the scenario file",
        )
    whole = read_prices(path)
    for asset in market.assets:
        if asset not in whole.assets:
            raise InputError(
                f'{path} has no price of "{asset}"',
                file=file,
                key="market.assets",
                remedy="leave the asset out, or add it to the history",
            )
    until = None if table.last is None else moment(table.last)
    chosen = whole.choose(market.assets, None, until)
    kept = np.asarray(np.isfinite(chosen.close).all(axis=1))
    return _rows(chosen, kept), int((~kept).sum())


def _rows(history: PriceHistory, kept: Array) -> PriceHistory:
    def cut(values: Floats | None) -> Floats | None:
        return None if values is None else values[kept]

    return replace(
        history,
        timestamps=history.timestamps[kept],
        close=history.close[kept],
        open=cut(history.open),
        high=cut(history.high),
        low=cut(history.low),
        volume=cut(history.volume),
    )


def _requirement(venue: Venue, assets: tuple[str, ...], otherwise: float) -> Requirement:
    if isinstance(venue.trigger, MarginLevel):
        rate = np.full((len(assets), 1), venue.trigger.margin_level)
        return Requirement(rate, np.zeros_like(rate))
    tables = [venue.tiers.get(asset) or venue.tiers.get("default") for asset in assets]
    most = max(len(table) if table else 1 for table in tables)
    floor, rate = np.full((len(assets), most), np.inf), np.full((len(assets), most), np.nan)
    for row, table in enumerate(tables):
        tiers = [(tier.floor, tier.rate) for tier in table] if table else [(0.0, otherwise)]
        floor[row, : len(tiers)] = [low for low, _ in tiers]
        rate[row, : len(tiers)] = [each for _, each in tiers]
        rate[row, len(tiers) :] = tiers[-1][1]
    return Requirement(rate, tier_amounts(floor, rate))
