"""What every pool holds, and what has become of it: the state of the cascade.

Pools and positions stand in file order: accounts in file order, an account's cross pool first, then
its isolated positions; positions by pool. Arrays of positions and coins have one empty row at the
end, to which the empty slots of a pool point. A *column* is one path of one variant of the venue.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import jax
import jax.numpy as jnp

from stress.venue.judged import Some

__all__ = ["Fates", "Holdings", "Ledger", "Tally", "gather"]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Holdings:
    """All pools of one world as they are loaded. Money in USD.

    Attributes
    ----------
    cash, account, cross_pool, is_isolated, group
        (pools,) cash; owner; the owner's cross pool; whether the pool is an isolated position;
        the owner's group.
    trigger, target
        (pools,) margin ratios of the owner's top-ups, inf where there are none.
    deficit_counted
        (pools,) the deficit above which a pool is bankrupt.
    watch_always
        (pools,) whether no bound can rule the pool out.
    rows, coin_rows
        (slots, pools), (coins, pools) indices of its positions and coins.
    by_width
        (pools,) pools by number of positions, largest first.
    siblings
        (most pools of an account, accounts) pools in file order; the number of pools where an
        account has fewer.
    asset, quantity, entry, stop, pool, counterpart
        (positions + 1,) asset; signed quantity; entry price; stop price, which no mark reaches
        where there is none; its pool; its cash as an isolated counterpart, NaN without one.
    coin_asset, coin_quantity, coin_haircut, coin_pool
        (coins + 1,)
    reserve
        (accounts,)
    widths
        For powers of two, ``(first slot, end slot, pools)``: so many of ``by_width`` have positions
        in these slots.
    groups
        Number of groups whose forced flow is told apart; 0: none is.
    has_stops, has_top_ups, has_isolated
        Whether anybody has stop prices, top-ups, isolated positions.
    """

    cash: jax.Array
    account: jax.Array
    cross_pool: jax.Array
    is_isolated: jax.Array
    group: jax.Array
    trigger: jax.Array
    target: jax.Array
    deficit_counted: jax.Array
    watch_always: jax.Array
    rows: jax.Array
    coin_rows: jax.Array
    by_width: jax.Array
    siblings: jax.Array
    asset: jax.Array
    quantity: jax.Array
    entry: jax.Array
    stop: jax.Array
    pool: jax.Array
    counterpart: jax.Array
    coin_asset: jax.Array
    coin_quantity: jax.Array
    coin_haircut: jax.Array
    coin_pool: jax.Array
    reserve: jax.Array
    widths: tuple[tuple[int, int, int], ...] = field(metadata={"static": True})
    groups: int = field(metadata={"static": True})
    has_stops: bool = field(metadata={"static": True})
    has_top_ups: bool = field(metadata={"static": True})
    has_isolated: bool = field(metadata={"static": True})

    @property
    def pools(self) -> int:
        """Number of pools."""
        return self.cash.shape[0]

    @property
    def slots(self) -> int:
        """Most positions of a pool."""
        return self.rows.shape[0]


class Ledger(NamedTuple):
    """Who holds what now, (…, columns).

    Attributes
    ----------
    cash, reserve
        (pools, columns), (accounts, columns) USD.
    quantity, coins
        (positions + 1, columns), (coins + 1, columns) units.
    base, acted_on
        (positions + 1, columns) size when the pool's liquidation began, and (pools, columns) the
        column's last look at which one was going on; of no size unless the amount rule asks.
    chosen, sold
        (positions + 1, columns), (coins + 1, columns) what the last batch in which the pool acted
        closes and sells, in units without sign.
    fund
        (columns,) balance of the insurance fund.
    """

    cash: jax.Array
    reserve: jax.Array
    quantity: jax.Array
    coins: jax.Array
    base: jax.Array
    acted_on: jax.Array
    chosen: jax.Array
    sold: jax.Array
    fund: jax.Array


class Fates(NamedTuple):
    """What has happened to each pool so far, (pools, columns).

    Attributes
    ----------
    step
        First step at which a decider closed a part of it; 0 is the start, -1 not yet.
    called, bankrupt
        Whether its margin ratio reached the warning level; whether it left a deficit.
    owed
        What it left in deficits, USD.
    loser
        Index of its largest loser when a decider first acted, -1 before.
    hidden
        Looks at which it was in hidden distress.
    least_excess
        Least excess at the first look of any step, inf without positions; no pools unless asked.
    charge
        (pools, groups, paths) at the first breach, in the columns of the first variant: the groups'
        shares of the forced flow that moved the marks of what the pool loses on.
    """

    step: jax.Array
    called: jax.Array
    bankrupt: jax.Array
    owed: jax.Array
    loser: jax.Array
    hidden: jax.Array
    least_excess: jax.Array
    charge: jax.Array


class Tally(NamedTuple):
    """What has happened on each path so far, (columns,) unless said otherwise; USD or counts.

    ``closed`` and ``overshoot`` are (assets, columns): notional of market closes at trade prices,
    and the largest absolute move of the log mark by forced flow after any batch. ``drain`` is
    deficits less fees so far, and ``need`` the most that the fund was asked for: what it must have
    had at the start, but for what rounding leaves. As long as ``need`` is not above the balance at
    the start, the path does not depend on that balance. Both are counted from 0, so that a large
    balance takes no digits from them.
    """

    closed: jax.Array
    overshoot: jax.Array
    drawn: jax.Array
    exhausted: jax.Array
    uncovered: jax.Array
    socialised: jax.Array
    deleveraged: jax.Array
    false_liquidations: jax.Array
    over_closed: jax.Array
    late_steps: jax.Array
    rounds_exhausted: jax.Array
    drain: jax.Array
    need: jax.Array


def gather(holdings: Holdings, ledger: Ledger, pool: jax.Array, column: jax.Array) -> Some:
    """Return (pairs,) pools in (pairs,) columns."""
    rows, coin_rows = holdings.rows[:, pool], holdings.coin_rows[:, pool]
    quantity = ledger.quantity[rows, column[None]]
    base = ledger.base[rows, column[None]] if ledger.base.size else jnp.abs(quantity)
    return Some(
        cash=ledger.cash[pool, column],
        asset=holdings.asset[rows],
        quantity=quantity,
        entry=holdings.entry[rows],
        base=base,
        coin_asset=holdings.coin_asset[coin_rows],
        coin_quantity=ledger.coins[coin_rows, column[None]],
        coin_haircut=holdings.coin_haircut[coin_rows],
    )
