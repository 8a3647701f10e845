"""One block of paths as the measures see it: accounts by paths, in float64.

Both engines are brought to one shape here. First passage knows neither feedback nor a venue's
backstop: what it cannot have is 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from stress.book.pools import Pools
from stress.types import Array, Floats, Integers

__all__ = ["AccountBlock", "Ownership", "account_block", "variant_blocks"]


@dataclass(frozen=True)
class Ownership:
    """How pools add up to accounts in one world.

    Attributes
    ----------
    first
        (accounts,) index of each account's first pool, its cross pool; pools stand in the order of
        accounts.
    bridged_pool
        (accounts,) the only pool of the account that has positions, -1 where several have.
    exists
        (accounts,) False where the account has no counterpart in this world.
    initial_equity
        (accounts,) equity of all pools at the start, USD.
    """

    first: Integers
    bridged_pool: Integers
    exists: Array
    initial_equity: Floats

    @classmethod
    def build(cls, pools: Pools, initial_equity: Floats) -> Ownership:
        """Return the ownership of a world's pools; ``initial_equity`` is (pools,), USD."""
        accounts = len(pools.exists)
        first = np.searchsorted(pools.account, np.arange(accounts))
        held = pools.pool_of_position[pools.pool_of_position >= 0]
        with_positions = np.flatnonzero(np.bincount(held, minlength=len(pools.cash)))
        owner = pools.account[with_positions]
        several = np.bincount(owner, minlength=accounts) > 1
        bridged = first.copy()
        bridged[owner] = with_positions
        return cls(
            first=first,
            bridged_pool=np.where(several, -1, bridged),
            exists=pools.exists,
            initial_equity=np.add.reduceat(initial_equity, first),
        )


@dataclass(frozen=True)
class AccountBlock:
    """What became of the accounts of one world on one block of paths.

    Attributes
    ----------
    step
        (accounts, paths) first liquidation among the account's pools; -1 never.
    liquidated
        (accounts, paths) 1 where liquidated, else 0; under ``bridge`` monitoring, for an account
        with one pool of positions, the probability of it given the path's nodes.
    called
        (accounts, paths) the same for a margin call.
    bankrupt
        (accounts, paths) whether a pool left a deficit.
    loss
        (accounts, paths) equity and reserve at the start minus the same at the end, USD, negative
        for a gain.
    least_excess
        (accounts, paths) USD, NaN where no pool ever held a position; empty unless asked for.
    equity
        (accounts, paths) at the horizon, without reserve, USD; NaN without a counterpart.
    hidden
        (accounts, paths) share of looks at which the cross pool was in hidden distress.
    closed, closed_by_asset
        (paths,), (assets, paths) notional closed, USD.
    overshoot
        (assets, paths) largest absolute move of the log mark by forced flow.
    fund_end, fund_draw, fund_exhausted
        (paths,) the insurance fund at the horizon and what it paid, gross of fees, USD; whether a
        deficit was not paid in full out of it.
    uncovered, socialised, deleveraged
        (paths,) deficits that nobody paid, deficits that winners paid, notional that changed hands
        by deleveraging, USD.
    false_liquidations, late_steps, rounds_exhausted
        (paths,) counts: liquidations of pools that are not in breach, pools in breach that nobody
        acted on, steps on which the rounds ran out.
    over_closed
        (paths,) notional that shards closed beyond what a leader would, USD.
    """

    step: Integers
    liquidated: Floats
    called: Floats
    bankrupt: Array
    loss: Floats
    least_excess: Floats
    equity: Floats
    hidden: Floats
    closed: Floats
    closed_by_asset: Floats
    overshoot: Floats
    fund_end: Floats
    fund_draw: Floats
    fund_exhausted: Array
    uncovered: Floats
    socialised: Floats
    deleveraged: Floats
    false_liquidations: Integers
    over_closed: Floats
    late_steps: Integers
    rounds_exhausted: Integers

    @property
    def paths(self) -> int:
        """Number of paths in the block."""
        return self.step.shape[1]

    @property
    def hit(self) -> Array:
        """(accounts, paths) whether liquidated, drawn where the path's nodes leave it open."""
        return self.step >= 0

    def any_hit(self, exists: Array) -> Floats:
        """Return (paths,) 1 where any of the (accounts,) that exist is liquidated, else 0."""
        return np.asarray(self.hit[exists].any(axis=0), np.float64)

    def liquidated_share(self, exists: Array) -> Floats:
        """Return (paths,) means of ``liquidated`` over the (accounts,) that exist.

        The path is the independent unit; accounts on one path are not.
        """
        # an empty sum over nobody, not an empty mean
        sums: Floats = self.liquidated[exists].sum(axis=0)
        return sums / max(int(exists.sum()), 1)

    def net_loss(self, exists: Array) -> Floats:
        """Return (paths,) sums of the losses of the (accounts,) that exist, USD."""
        sums: Floats = np.where(exists[:, None], self.loss, 0.0).sum(axis=0)
        return sums

    def total_loss(self, exists: Array) -> Floats:
        """Return (paths,) sums of max(loss, 0) over the (accounts,) that exist, USD."""
        return np.maximum(np.where(exists[:, None], self.loss, 0.0), 0.0).sum(axis=0)


def account_block(
    outcome: Any, ownership: Ownership, tolerance_usd: Floats, paths: int
) -> AccountBlock:
    """Add the pools of an ``engine.passage.Outcome`` up to accounts.

    Parameters
    ----------
    outcome
        (pools, paths) arrays; a padded block holds more paths than asked for.
    ownership
        Which pools belong to whom.
    tolerance_usd
        (pools,) the deficit above which a pool counts as bankrupt, USD.
    paths
        Paths to keep, from the first.
    """
    first, kept = ownership.first, slice(0, paths)
    deficit = _money(outcome.deficit, kept)
    equity = np.add.reduceat(_money(outcome.equity, kept), first, axis=0)
    account_step = _first_step(outcome.step, first, kept)
    called = np.logical_or.reduceat(_part(outcome.called, kept), first, axis=0)
    closed_by_asset = _money(outcome.closed_by_asset, kept)
    # prices know nothing of forced sales here, and nobody but the fund pays
    nothing, never = np.zeros(paths), np.zeros(paths, np.int64)
    return AccountBlock(
        step=account_step,
        liquidated=_weighted(account_step >= 0, outcome.survival, ownership, paths),
        called=_weighted(called, outcome.calm, ownership, paths),
        bankrupt=np.logical_or.reduceat(deficit > tolerance_usd[:, None], first, axis=0),
        loss=ownership.initial_equity[:, None] - equity,
        least_excess=_least_excess(outcome.least_excess, first, kept),
        equity=np.where(ownership.exists[:, None], equity, np.nan),
        hidden=np.broadcast_to(nothing, equity.shape),
        closed=_money(outcome.closed, kept).sum(axis=0),
        closed_by_asset=closed_by_asset,
        overshoot=np.broadcast_to(nothing, closed_by_asset.shape),
        fund_end=_money(outcome.fund, kept),
        fund_draw=_money(outcome.drawn, kept),
        fund_exhausted=_part(outcome.exhausted, kept),
        uncovered=_money(outcome.uncovered, kept),
        socialised=nothing,
        deleveraged=nothing,
        false_liquidations=never,
        over_closed=nothing,
        late_steps=never,
        rounds_exhausted=never,
    )


def variant_blocks(
    outcome: Any,
    ownership: Ownership,
    reserve_start: Floats,
    *,
    steps: int,
    variants: int,
    paths: int,
) -> tuple[AccountBlock, ...]:
    """Add the pools of an ``engine.cascade.CascadeOutcome`` up to accounts, variant by variant.

    Parameters
    ----------
    outcome
        (..., columns) arrays; path p of variant v stands in column v * columns / variants + p, and
        a padded block holds more paths than asked for.
    ownership
        Which pools belong to whom.
    reserve_start
        (accounts,) reserves at the start, USD.
    steps
        Steps of the horizon; there is one look more than steps.
    variants
        Number of variants.
    paths
        Paths of each variant to keep, from the first.
    """
    padded = outcome.fund.shape[0] // variants
    starts = range(0, variants * padded, padded)
    return tuple(
        _variant_block(outcome, ownership, reserve_start, steps + 1, slice(start, start + paths))
        for start in starts
    )


def _variant_block(
    outcome: Any, ownership: Ownership, reserve_start: Floats, looks: int, kept: slice
) -> AccountBlock:
    """Return the block of the columns that are kept."""
    fates, tally, first = outcome.fates, outcome.tally, ownership.first
    step = _first_step(fates.step, first, kept)
    equity = np.add.reduceat(_money(outcome.equity, kept), first, axis=0)
    called = np.logical_or.reduceat(_part(fates.called, kept), first, axis=0)
    closed_by_asset = _money(tally.closed, kept)
    drawn_from_reserve = reserve_start[:, None] - _money(outcome.reserve, kept)
    return AccountBlock(
        step=step,
        liquidated=(step >= 0).astype(np.float64),
        called=called.astype(np.float64),
        bankrupt=np.logical_or.reduceat(_part(fates.bankrupt, kept), first, axis=0),
        loss=ownership.initial_equity[:, None] - equity + drawn_from_reserve,
        least_excess=_least_excess(fates.least_excess, first, kept),
        equity=np.where(ownership.exists[:, None], equity, np.nan),
        hidden=_part(fates.hidden, kept)[first] / looks,
        closed=closed_by_asset.sum(axis=0),
        closed_by_asset=closed_by_asset,
        overshoot=_money(tally.overshoot, kept),
        fund_end=_money(outcome.fund, kept),
        fund_draw=_money(tally.drawn, kept),
        fund_exhausted=_part(tally.exhausted, kept),
        uncovered=_money(tally.uncovered, kept),
        socialised=_money(tally.socialised, kept),
        deleveraged=_money(tally.deleveraged, kept),
        false_liquidations=_count(tally.false_liquidations, kept),
        over_closed=_money(tally.over_closed, kept),
        late_steps=_count(tally.late_steps, kept),
        rounds_exhausted=_count(tally.rounds_exhausted, kept),
    )


def _part(numbers: Any, kept: slice) -> Array:
    """Return (..., kept columns) as one contiguous copy: the device's layout may be any."""
    return np.ascontiguousarray(np.asarray(numbers)[..., kept])


def _money(numbers: Any, kept: slice) -> Floats:
    return _part(numbers, kept).astype(np.float64)


def _count(numbers: Any, kept: slice) -> Integers:
    return _part(numbers, kept).astype(np.int64)


def _first_step(steps: Any, first: Integers, kept: slice) -> Integers:
    """Return (accounts, paths) the first of the pools' (pools, columns) steps; -1 for never."""
    never = np.iinfo(np.int32).max
    step = _part(steps, kept)
    earliest = np.minimum.reduceat(np.where(step < 0, never, step), first, axis=0)
    return np.where(earliest == never, -1, earliest)


def _weighted(hits: Array, log_weight: Any, ownership: Ownership, paths: int) -> Floats:
    """Return hits as numbers, replaced by one minus the survival weight where there is one."""
    weights = np.asarray(log_weight)[:, :paths]
    numbers = hits.astype(np.float64)
    if weights.shape[0]:
        alone = ownership.bridged_pool >= 0
        chosen = weights[ownership.bridged_pool[alone]].astype(np.float64)
        numbers[alone] = -np.expm1(chosen)
    return numbers


def _least_excess(least: Any, first: Integers, kept: slice) -> Floats:
    values = _money(least, kept)
    if not values.shape[0]:
        return values
    lowest = np.minimum.reduceat(values, first, axis=0)
    return np.where(np.isinf(lowest), np.nan, lowest)
