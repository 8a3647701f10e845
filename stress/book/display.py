"""The aggregate margin display: every account and position at given marks, nothing simulated."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stress.book.book import Book
from stress.book.liquidation import common_intervals, rows_by_size, safe_intervals
from stress.book.pools import Pools, account_pools, isolated_margins
from stress.book.setting import Setting
from stress.margin import in_breach, maintenance, margin_level, margin_ratio, unrealised_profit
from stress.types import TOLERANCE, Array, Floats, Integers, Mode

__all__ = [
    "MarginDisplay",
    "PoolMargins",
    "accounts_in_breach",
    "margin_display",
    "net_positions",
    "pool_margins",
    "required_margin",
]

_AT_ONCE = 1 << 14
"""Positions whose tiers are looked at at once."""

_HEALTHY = 0.5
"""Margin ratio below which a position, valued alone, looks healthy."""


@dataclass(frozen=True)
class PoolMargins:
    """``equity``, ``required`` and ``notional``, (pools,) each, USD."""

    equity: Floats
    required: Floats
    notional: Floats


@dataclass(frozen=True)
class MarginDisplay:
    """Accounts and positions at some marks; NaN for an account without a counterpart.

    Attributes
    ----------
    equity, maintenance_margin, gross_notional
        (accounts,) sums over the account's pools, USD; coins after haircut, without the reserve.
    margin_ratio
        (accounts,) largest ratio among the account's pools.
    margin_level
        (accounts,) equity over gross notional; NaN without positions.
    excess
        (accounts,) least equity minus maintenance margin among the pools with positions, USD.
    effective_leverage
        (accounts,) gross notional over equity; inf where equity is not positive.
    hidden_distress
        (accounts,) whether the cross pool's ratio is above the warning level while every position,
        valued as its isolated counterpart, has a ratio below one half.
    in_breach
        (accounts,) whether a pool is in breach.
    notional
        (positions,) absolute quantity times mark, USD.
    liquidation_price
        (positions,) mark at which its pool is liquidated, all other marks unchanged: below for a
        long, above for a short; NaN where there is none.
    liquidation_distance
        (positions,) the move of the mark to it as a share of the mark, negative for a fall.
    planned_risk
        (positions,) what its stop would lose from the starting mark, at least 0, or without a stop
        its margin as an isolated counterpart, over the account's starting equity; NaN where there
        is neither, or no positive equity.
    """

    equity: Floats
    maintenance_margin: Floats
    gross_notional: Floats
    margin_ratio: Floats
    margin_level: Floats
    excess: Floats
    effective_leverage: Floats
    hidden_distress: Array
    in_breach: Array
    notional: Floats
    liquidation_price: Floats
    liquidation_distance: Floats
    planned_risk: Floats


def pool_margins(book: Book, pools: Pools, setting: Setting, marks: Floats) -> PoolMargins:
    """Return the margins of every pool at (assets,) marks, USD."""
    count = len(pools.cash)
    held, asset = pools.pool_of_position >= 0, book.position_asset
    profit = unrealised_profit(book.quantity, book.entry_price, marks[asset])
    notional = np.abs(book.quantity) * marks[asset]
    required = _required(book, setting, notional)
    kept = pools.pool_of_coin >= 0
    coins = book.coin_quantity * ((1 - setting.haircut) * marks)[book.coin_asset]

    def summed(values: Floats) -> Array:
        return np.bincount(pools.pool_of_position[held], values[held], minlength=count)

    in_coins = np.bincount(pools.pool_of_coin[kept], coins[kept], minlength=count)
    return PoolMargins(pools.cash + summed(profit) + in_coins, summed(required), summed(notional))


def accounts_in_breach(book: Book, pools: Pools, setting: Setting) -> Array:
    """Return (accounts,) whether a pool of the account is in breach at the starting marks."""
    at = pool_margins(book, pools, setting, setting.price)
    broken = in_breach(at.equity, at.required, at.notional, TOLERANCE["float64"])
    first = np.searchsorted(pools.account, np.arange(len(book.accounts)))
    return np.logical_or.reduceat(broken, first)


def margin_display(
    book: Book, setting: Setting, mode: Mode, marks: Floats | None = None
) -> MarginDisplay:
    """Return the display of the book under a mode.

    Parameters
    ----------
    book, setting
        The book; prices, haircuts and tiers.
    mode
        The world shown; counterparts are made at the starting prices.
    marks
        (assets,) marks shown, USD; the starting prices where not given.
    """
    marks = setting.price if marks is None else marks
    pools = account_pools(book, mode, setting.price, setting.haircut)
    at = pool_margins(book, pools, setting, marks)
    ratio = margin_ratio(at.equity, at.required, at.notional)
    broken = in_breach(at.equity, at.required, at.notional, TOLERANCE["float64"])
    first = np.searchsorted(pools.account, np.arange(len(book.accounts)))
    equity = np.add.reduceat(at.equity, first)
    gross = np.add.reduceat(at.notional, first)
    excess = np.where(at.notional > 0, at.equity - at.required, np.inf)
    least = np.minimum.reduceat(excess, first)
    price = _liquidation_prices(book, pools, setting, marks, at)

    def shown(numbers: Array) -> Array:
        return np.where(pools.exists, numbers, np.nan)

    return MarginDisplay(
        equity=shown(equity),
        maintenance_margin=shown(np.add.reduceat(at.required, first)),
        gross_notional=shown(gross),
        margin_ratio=shown(np.maximum.reduceat(ratio, first)),
        margin_level=shown(margin_level(equity, gross)),
        excess=shown(np.where(np.isinf(least), equity, least)),
        effective_leverage=shown(_leverage(gross, equity)),
        hidden_distress=_hidden_distress(book, pools, setting, marks, ratio),
        in_breach=np.logical_or.reduceat(broken, first),
        notional=np.abs(book.quantity) * marks[book.position_asset],
        liquidation_price=price,
        liquidation_distance=price / marks[book.position_asset] - 1,
        planned_risk=_planned_risk(book, setting),
    )


def net_positions(book: Book, setting: Setting) -> tuple[Array, Array]:
    """Return (assets,) net and gross notional of the positions at the starting prices, USD."""
    value = book.quantity * setting.price[book.position_asset]
    assets = len(setting.assets)
    net = np.bincount(book.position_asset, value, minlength=assets)
    return net, np.bincount(book.position_asset, np.abs(value), minlength=assets)


def required_margin(setting: Setting, asset: Integers, notional: Floats) -> Floats:
    """Return the maintenance margin of positions, (positions,) assets and notionals, USD.

    Some at a time: what their tiers are gathered to stays in a core's cache.
    """
    required = np.empty_like(notional)
    for start in range(0, len(notional), _AT_ONCE):
        some = slice(start, start + _AT_ONCE)
        tiers = setting.requirement_rate[asset[some]], setting.requirement_amount[asset[some]]
        required[some] = maintenance(notional[some], *tiers)
    return required


def _required(book: Book, setting: Setting, notional: Floats) -> Floats:
    return required_margin(setting, book.position_asset, notional)


def _leverage(gross: Floats, equity: Floats) -> Floats:
    positive = equity > 0
    leverage = np.where(positive, gross / np.where(positive, equity, 1.0), np.inf)
    return np.where(gross > 0, leverage, 0.0)


def _hidden_distress(
    book: Book, pools: Pools, setting: Setting, marks: Floats, ratio: Floats
) -> Array:
    """Return (accounts,) whether the pool is in distress that no position shows by itself."""
    accounts = len(book.accounts)
    cross_pool = np.flatnonzero(pools.is_cross)
    distressed = (ratio > setting.warning)[cross_pool]
    margin, _, exists = isolated_margins(book, setting.price, setting.haircut)
    profit = unrealised_profit(book.quantity, book.entry_price, marks[book.position_asset])
    notional = np.abs(book.quantity) * marks[book.position_asset]
    alone = margin_ratio(margin + profit, _required(book, setting, notional), notional)
    worst = np.zeros(accounts)
    np.maximum.at(worst, book.position_account, alone)
    return distressed & exists & (worst < _HEALTHY)


def _planned_risk(book: Book, setting: Setting) -> Floats:
    """Return (positions,) what is staked on each, over the account's starting equity."""
    margin, _, exists = isolated_margins(book, setting.price, setting.haircut)
    pools = account_pools(book, "as-booked", setting.price, setting.haircut)
    first = np.searchsorted(pools.account, np.arange(len(book.accounts)))
    equity = np.add.reduceat(pool_margins(book, pools, setting, setting.price).equity, first)
    loss = book.quantity * (setting.price[book.position_asset] - book.stop_price)
    alone = np.where(exists[book.position_account], margin, np.nan)
    staked = np.where(np.isnan(book.stop_price), alone, np.maximum(loss, 0.0))
    own = np.where(equity > 0, equity, np.nan)[book.position_account]
    return staked / own


def _liquidation_prices(
    book: Book, pools: Pools, setting: Setting, marks: Floats, at: PoolMargins
) -> Floats:
    """Return (positions,) liquidation prices with every other mark unchanged."""
    asset, quantity = book.position_asset, book.quantity
    rate, amount = setting.requirement_rate[asset], setting.requirement_amount[asset]
    own = unrealised_profit(quantity, book.entry_price, marks[asset])
    own = own - _required(book, setting, np.abs(quantity) * marks[asset])
    excess = at.equity - at.required
    # positions and coins of one pool in one asset share a price
    assets = len(setting.assets)
    place = np.where(pools.pool_of_position >= 0, pools.pool_of_position * assets + asset, -1)
    coin_place = np.where(
        pools.pool_of_coin >= 0, pools.pool_of_coin * assets + book.coin_asset, -2
    )
    _, number, count = np.unique(place, return_inverse=True, return_counts=True)
    alone = (place >= 0) & (count[number] == 1) & ~np.isin(place, coin_place)

    price = np.full(len(quantity), np.nan)
    rest = (excess[pools.pool_of_position] - own)[alone]
    low, high = safe_intervals(
        rest, quantity[alone], book.entry_price[alone], rate[alone], amount[alone]
    )
    price[alone] = np.where(quantity[alone] > 0, low, high)
    for shared, rows in rows_by_size(np.where(alone, -1, place)):
        pool, mark = shared // assets, marks[shared % assets]
        units = _at(shared, coin_place, book.coin_quantity * (1 - setting.haircut)[book.coin_asset])
        rest = excess[pool] - own[rows].sum(axis=1) - units * mark
        low, high = common_intervals(
            rest, quantity[rows], book.entry_price[rows], rate[rows], amount[rows], units
        )
        price[rows] = np.where(quantity[rows] > 0, low[:, None], high[:, None])
    return np.where((price > 0) & np.isfinite(price), price, np.nan)


def _at(places: Integers, place_of_row: Integers, values: Floats) -> Floats:
    """Return (places,) sums of the (rows,) values that stand at each of some ascending places."""
    found = np.searchsorted(places, place_of_row)
    here = found < len(places)
    here[here] = places[found[here]] == place_of_row[here]
    return np.bincount(found[here], values[here], minlength=len(places)).astype(np.float64)
