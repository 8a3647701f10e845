"""The scenario's numbers as arrays, in the order of the market's assets; its book with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf, nan

import numpy as np

from stress.book.book import Book
from stress.book.read import read_book
from stress.book.setting import Setting
from stress.book.venue import VenueSetting
from stress.margin import tier_amounts
from stress.scenario.cascade import funding_steps
from stress.scenario.checks import check_book, steps
from stress.scenario.durations import YEAR_SECONDS, duration_seconds
from stress.scenario.schema import Decision, MarginLevel, Scenario, Venue
from stress.types import Floats, Integers

__all__ = ["asset_array", "build_setting", "correlation_matrix", "load_book"]


def build_setting(scenario: Scenario) -> Setting:
    """Return the arrays of a loaded scenario."""
    market, venue, simulation = scenario.market, scenario.venue, scenario.simulation
    assets = market.assets
    floor, rate, amount = _tiers(venue, assets)
    requirement_rate, requirement_amount = rate, amount
    if isinstance(venue.trigger, MarginLevel):
        requirement_rate = np.full((len(assets), 1), venue.trigger.margin_level)
        requirement_amount = np.zeros((len(assets), 1))
    return Setting(
        assets=assets,
        price=asset_array(market.price, assets),
        volatility=asset_array(market.volatility, assets),
        drift=asset_array(market.drift, assets),
        correlation=correlation_matrix(market.correlation),
        haircut=asset_array(venue.haircut, assets),
        tier_floor=floor,
        tier_rate=rate,
        tier_amount=amount,
        requirement_rate=requirement_rate,
        requirement_amount=requirement_amount,
        fee=venue.fee,
        warning=venue.warning,
        step_years=float(duration_seconds(simulation.step) / YEAR_SECONDS),
        horizon_years=float(duration_seconds(simulation.horizon) / YEAR_SECONDS),
        steps=steps(scenario),
        venue=_venue(scenario),
    )


def load_book(scenario: Scenario) -> tuple[Book, tuple[str, ...]]:
    """Read the book of a loaded scenario, check the one against the other, return it with notices.

    Raises
    ------
    InputError
        As ``read_book`` and ``check_book`` do.
    """
    files = scenario.book
    book, notices = read_book(
        files.accounts, files.positions, files.collateral, scenario.market.assets
    )
    check_book(scenario, book)
    return book, (*notices, *_notices(scenario))


def _notices(scenario: Scenario) -> tuple[str, ...]:
    funding = scenario.venue.funding
    if funding is None or not any(funding.rate.values()) or funding_steps(scenario):
        return ()
    return (
        f'no funding is paid: its interval, "{funding.interval}", is longer than the run, '
        f'"{scenario.simulation.horizon}"',
    )


def asset_array(values: Mapping[str, float], assets: Sequence[str]) -> Floats:
    """Return (assets,) the values by asset in the order of the assets."""
    return np.array([values[asset] for asset in assets], dtype=np.float64)


def _venue(scenario: Scenario) -> VenueSetting:
    """Return the settings of the cascade."""
    venue, assets = scenario.venue, scenario.market.assets
    impact, decision = venue.impact, venue.decision
    adv, depth = _depths(scenario)
    # an interval without an end in the run leaves nothing to pay
    interval = funding_steps(scenario)
    rate = venue.funding.rate if venue.funding and interval else dict.fromkeys(assets, 0.0)
    return VenueSetting(
        order=venue.order,
        amount=venue.amount,
        step_fraction=venue.step_fraction,
        buffer=venue.buffer,
        rounds=venue.rounds_per_step,
        impact=impact.kind,
        impact_coefficient=impact.coefficient,
        adv=adv,
        depth_1pct=depth,
        permanent=impact.permanent,
        relaxation_years=float(duration_seconds(impact.relaxation) / YEAR_SECONDS),
        depth_elasticity=impact.depth_elasticity,
        fund=venue.fund.balance,
        funding_rate=asset_array(rate, assets),
        funding_steps=interval,
        deleveraging=venue.deleveraging.kind,
        decision=decision.kind,
        latency=decision.latency,
        lag=decision.lag,
        shard=_shard(decision, assets),
    )


def _depths(scenario: Scenario) -> tuple[Floats, Floats]:
    """Return (assets,) volumes a day and depths, USD, one from the other where one is stated.

    Both laws then agree on a move of one percent: 0.01 = Y sigma_day sqrt(depth / adv).
    """
    market, impact = scenario.market, scenario.venue.impact
    adv, depth = (
        np.array([stated.get(asset, nan) for asset in market.assets], dtype=np.float64)
        for stated in (impact.adv, impact.depth_1pct)
    )
    sigma_day = asset_array(market.volatility, market.assets) / np.sqrt(365.0)
    depth_over_adv = (0.01 / (impact.coefficient * sigma_day)) ** 2
    return (
        np.where(np.isnan(adv), depth / depth_over_adv, adv),
        np.where(np.isnan(depth), adv * depth_over_adv, depth),
    )


def _shard(decision: Decision, assets: tuple[str, ...]) -> Integers:
    """Return (assets,) shards, numbered without gaps in the order of the scenario's numbers."""
    numbers = [decision.shards.get(asset, 0) for asset in assets]
    return np.unique(numbers, return_inverse=True)[1].astype(np.int64)


def correlation_matrix(rows: tuple[tuple[float, ...], ...]) -> Floats:
    """Return (assets, assets) the matrix of checked rows, exactly symmetric."""
    matrix = np.array(rows, dtype=np.float64)
    # the checks forgive an asymmetry in the tenth digit, a factorisation may not
    matrix = (matrix + matrix.T) / 2
    np.fill_diagonal(matrix, 1.0)
    return np.clip(matrix, -1.0, 1.0)


def _tiers(venue: Venue, assets: tuple[str, ...]) -> tuple[Floats, Floats, Floats]:
    """Return floors, rates and amounts, each (assets, tiers), short tables padded."""
    tables = [venue.tiers.get(asset, venue.tiers.get("default", ())) for asset in assets]
    width = max(1, *(len(table) for table in tables))
    shape = (len(assets), width)
    floor, rate, amount = np.full(shape, inf), np.zeros(shape), np.zeros(shape)
    floor[:, 0] = 0.0
    for row, table in enumerate(tables):
        if not table:
            continue
        count = len(table)
        floor[row, :count] = [tier.floor for tier in table]
        rate[row, :count] = [tier.rate for tier in table]
        amount[row, :count] = tier_amounts(floor[row, :count], rate[row, :count])
        rate[row, count:], amount[row, count:] = rate[row, count - 1], amount[row, count - 1]
    return floor, rate, amount
