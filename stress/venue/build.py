"""From a scenario's settings to the parts and holdings of the cascade: the way onto the device."""

from __future__ import annotations

from math import ceil, exp

import jax.numpy as jnp
import numpy as np

from stress.book.book import Book
from stress.book.pools import Pools, isolated_margins
from stress.book.setting import Setting
from stress.book.venue import VenueSetting
from stress.types import Amount as AmountName
from stress.types import Array, Floats, ImpactKind, Integers, Precision
from stress.types import Order as OrderName
from stress.venue.amounts import All, Amount, FirstPosition, FirstTier, Fraction, Restore
from stress.venue.backstop import AutoDeleverage, Backstop, Socialised, Uncovered
from stress.venue.decision import Decision, Leader, Sharded
from stress.venue.holdings import Holdings
from stress.venue.impact import Impact, Linear, NoImpact, SquareRoot
from stress.venue.judged import Tables
from stress.venue.orders import LargestLoss, LargestMargin, LargestNotional, Order, ProRata
from stress.venue.rules import Variant, VenueRules

__all__ = ["build_holdings", "build_rules", "build_variant"]

_HOUR_YEARS = 1 / 8760
_FEWEST_RETURNS = 12
"""Volatility is realised over an hour, and over no fewer steps than this."""

_ORDERS: dict[OrderName, type[Order]] = {
    "largest-loss": LargestLoss,
    "largest-margin": LargestMargin,
    "largest-notional": LargestNotional,
    "pro-rata": ProRata,
}
_BACKSTOPS: dict[str, type[Backstop]] = {
    "none": Uncovered,
    "socialised": Socialised,
    "auto-deleverage": AutoDeleverage,
}


def build_rules(
    setting: Setting, variants: tuple[Variant, ...], precision: Precision
) -> VenueRules:
    """Return the venue of a scenario with the variants that are run side by side."""
    venue, dtype = setting.venue, jnp.dtype(precision)
    step = setting.step_years
    window = max(ceil(_HOUR_YEARS / step - 1e-9), _FEWEST_RETURNS)
    return VenueRules(
        order=_ORDERS[venue.order](),
        amount=_amount(venue, precision),
        backstop=_BACKSTOPS[venue.deleveraging](),
        variants=variants,
        tables=Tables(
            jnp.asarray(setting.tier_floor, dtype),
            jnp.asarray(setting.requirement_rate, dtype),
            jnp.asarray(setting.requirement_amount, dtype),
        ),
        fee=jnp.asarray(setting.fee, dtype),
        warning=jnp.asarray(setting.warning, dtype),
        fund=jnp.asarray(venue.fund, dtype),
        permanent=jnp.asarray(venue.permanent, dtype),
        decay=jnp.asarray(exp(-step / venue.relaxation_years), dtype),
        depth_elasticity=jnp.asarray(venue.depth_elasticity, dtype),
        variance=jnp.asarray(setting.volatility**2 * step, dtype),
        funding_rate=jnp.asarray(venue.funding_rate, dtype),
        rounds=venue.rounds,
        funding_steps=venue.funding_steps,
        depth_window=window if venue.depth_elasticity > 0 else 0,
    )


def build_variant(
    setting: Setting, precision: Precision, impact: ImpactKind, *, plain_leader: bool = False
) -> Variant:
    """Return the venue with an impact law, and with a leader without latency where asked for."""
    decision = Leader() if plain_leader else _decision(setting.venue)
    return Variant(_impact(setting, precision, impact), decision)


def _impact(setting: Setting, precision: Precision, kind: ImpactKind) -> Impact:
    venue, dtype = setting.venue, jnp.dtype(precision)

    def known(numbers: Floats) -> Array:
        # nobody trades an asset without depth or volume: the checks of the scenario see to that
        return np.where(np.isnan(numbers), np.inf, numbers)

    if kind == "linear":
        return Linear(jnp.asarray(known(venue.depth_1pct), dtype))
    if kind == "square-root":
        daily = venue.impact_coefficient * setting.volatility / np.sqrt(365.0)
        return SquareRoot(jnp.asarray(daily, dtype), jnp.asarray(known(venue.adv), dtype))
    return NoImpact()


def _amount(venue: VenueSetting, precision: Precision) -> Amount:
    dtype = jnp.dtype(precision)
    parts: dict[AmountName, Amount] = {
        "restore": Restore(jnp.asarray(venue.buffer, dtype)),
        "step": Fraction(jnp.asarray(venue.step_fraction, dtype)),
        "tier": FirstTier(),
        "position": FirstPosition(),
        "all": All(),
    }
    return parts[venue.amount]


def _decision(venue: VenueSetting) -> Decision:
    if venue.decision == "sharded":
        shards = int(venue.shard.max()) + 1
        return Sharded(jnp.asarray(venue.shard, jnp.int32), shards, venue.lag)
    return Leader(venue.latency)


def build_holdings(
    book: Book,
    pools: Pools,
    setting: Setting,
    precision: Precision,
    *,
    deficit_counted: Floats,
    most_groups: int,
) -> tuple[Holdings, Integers]:
    """Return the pools of a world as the cascade holds them.

    Parameters
    ----------
    book, pools, setting
        The book, its pools in this world, marks and tiers.
    precision
        Floating point type.
    deficit_counted
        (pools,) the deficit above which a pool is bankrupt, USD.
    most_groups
        Forced flow is told apart by group in books with at most so many.

    Returns
    -------
    holdings
        Positions stand by pool, in file order.
    row
        (positions,) the row in the book of each of them.
    """
    held = np.flatnonzero(pools.pool_of_position >= 0)
    row = held[np.argsort(pools.pool_of_position[held], kind="stable")]
    kept = np.flatnonzero(pools.pool_of_coin >= 0)
    coin = kept[np.argsort(pools.pool_of_coin[kept], kind="stable")]
    count = len(pools.cash)
    rows = _seats(pools.pool_of_position[row], count)
    dtype, owner = jnp.dtype(precision), pools.account

    def money(numbers: Array, empty: float = 0.0) -> jnp.ndarray:
        return jnp.asarray(np.append(numbers, empty), dtype)

    def index(numbers: Array, empty: int = 0) -> jnp.ndarray:
        return jnp.asarray(np.append(numbers, empty), jnp.int32)

    quantity = book.quantity[row]
    stop = book.stop_price[row]
    never = np.where(quantity > 0, -np.inf, np.inf)
    margin, _, exists = isolated_margins(book, setting.price, setting.haircut)
    counterpart = np.where(exists[book.position_account], margin, np.nan)[row]
    coins = book.coin_quantity[coin]
    can_draw = (book.reserve > 0) & ~np.isnan(book.top_up_trigger)
    trigger = np.where(can_draw, book.top_up_trigger, np.inf)
    target = np.where(can_draw, book.top_up_target, np.inf)
    highest_rate = setting.requirement_rate[book.position_asset].max(initial=0.0)
    cross = np.zeros(len(pools.exists), np.int64)
    cross[owner[pools.is_cross]] = np.flatnonzero(pools.is_cross)
    groups = len(book.groups)
    holdings = Holdings(
        cash=jnp.asarray(pools.cash, dtype),
        account=jnp.asarray(owner, jnp.int32),
        cross_pool=jnp.asarray(cross[owner], jnp.int32),
        is_isolated=jnp.asarray(~pools.is_cross),
        group=jnp.asarray(book.account_group[owner], jnp.int32),
        trigger=jnp.asarray(trigger[owner], dtype),
        target=jnp.asarray(target[owner], dtype),
        deficit_counted=jnp.asarray(deficit_counted, dtype),
        watch_always=jnp.asarray(trigger[owner] <= highest_rate),
        rows=jnp.asarray(rows, jnp.int32),
        coin_rows=jnp.asarray(_seats(pools.pool_of_coin[coin], count), jnp.int32),
        by_width=jnp.asarray(_by_width(pools.pool_of_position[row], count), jnp.int32),
        siblings=jnp.asarray(_siblings(owner, len(pools.exists)), jnp.int32),
        asset=index(book.position_asset[row]),
        quantity=money(quantity),
        entry=money(book.entry_price[row], 1.0),
        stop=money(np.where(np.isnan(stop), never, stop), -np.inf),
        pool=index(pools.pool_of_position[row], count),
        counterpart=money(counterpart),
        coin_asset=index(book.coin_asset[coin]),
        coin_quantity=money(coins),
        coin_haircut=money(setting.haircut[book.coin_asset[coin]]),
        coin_pool=index(pools.pool_of_coin[coin], count),
        reserve=jnp.asarray(book.reserve, dtype),
        widths=_widths(pools.pool_of_position[row], count),
        groups=groups if groups <= most_groups else 0,
        has_stops=bool((~np.isnan(stop)).any()),
        has_top_ups=bool(can_draw.any()),
        has_isolated=bool((~pools.is_cross).any()),
    )
    return holdings, row


def _seats(pool: Integers, pools: int) -> Integers:
    """Return (slots, pools) indices of the sorted rows of each pool; the number of rows if none."""
    width = np.bincount(pool, minlength=pools)
    first = np.cumsum(width) - width
    slot = np.arange(len(pool)) - first[pool]
    seats = np.full((width.max(initial=0), pools), len(pool), np.int64)
    seats[slot, pool] = np.arange(len(pool))
    return seats


def _by_width(pool: Integers, pools: int) -> Integers:
    return np.argsort(-np.bincount(pool, minlength=pools), kind="stable")


def _widths(pool: Integers, pools: int) -> tuple[tuple[int, int, int], ...]:
    """Return the slots in ranges that double, each with the pools that have any there."""
    width = np.bincount(pool, minlength=pools)
    first, end, ranges = 0, 1, []
    while first < width.max(initial=0):
        end = min(end, int(width.max()))
        ranges.append((first, end, int((width > first).sum())))
        first, end = end, 2 * end
    return tuple(ranges)


def _siblings(account: Integers, accounts: int) -> Integers:
    """Return (most pools of an account, accounts) pools in file order, padded beyond the last."""
    count = np.bincount(account, minlength=accounts)
    first = np.cumsum(count) - count
    siblings = np.full((count.max(initial=0), accounts), len(account), np.int64)
    siblings[np.arange(len(account)) - first[account], account] = np.arange(len(account))
    return siblings
