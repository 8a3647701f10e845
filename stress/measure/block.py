"""One block of paths as the measures see it: accounts by paths, in float64."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from stress.book.pools import Pools
from stress.types import Array, Floats, Integers

__all__ = ["AccountBlock", "Ownership", "account_block"]


@dataclass(frozen=True)
class Ownership:
    """How pools add up to accounts in one world.

    Attributes
    ----------
    first
        (accounts,) index of each account's first pool; pools stand in the order of accounts.
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
        (accounts, paths) USD, negative for a gain.
    deficit, closed
        (paths,) USD, sums over the book.
    closed_by_asset
        (assets, paths) USD.
    least_excess
        (accounts, paths) USD, NaN where no pool ever held a position; empty unless asked for.
    equity
        (accounts, paths) at the horizon, USD; NaN without a counterpart.
    """

    step: Integers
    liquidated: Floats
    called: Floats
    bankrupt: Array
    loss: Floats
    deficit: Floats
    closed: Floats
    closed_by_asset: Floats
    least_excess: Floats
    equity: Floats

    @property
    def paths(self) -> int:
        """Number of paths in the block."""
        return self.step.shape[1]

    @property
    def hit(self) -> Array:
        """(accounts, paths) whether liquidated, drawn where the path's nodes leave it open."""
        return self.step >= 0


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
    first = ownership.first
    never = np.iinfo(np.int32).max
    # one contiguous copy of each array: the device's layout may be any
    step = np.ascontiguousarray(np.asarray(outcome.step)[:, :paths])
    deficit = np.asarray(outcome.deficit)[:, :paths].astype(np.float64)
    earliest = np.minimum.reduceat(np.where(step < 0, never, step), first, axis=0)
    equity = np.add.reduceat(
        np.asarray(outcome.equity)[:, :paths].astype(np.float64), first, axis=0
    )
    account_step = np.where(earliest == never, -1, earliest)
    called = np.logical_or.reduceat(np.asarray(outcome.called)[:, :paths], first, axis=0)
    return AccountBlock(
        step=account_step,
        liquidated=_weighted(account_step >= 0, outcome.survival, ownership, paths),
        called=_weighted(called, outcome.calm, ownership, paths),
        bankrupt=np.logical_or.reduceat(deficit > tolerance_usd[:, None], first, axis=0),
        loss=ownership.initial_equity[:, None] - equity,
        deficit=deficit.sum(axis=0),
        closed=np.asarray(outcome.closed)[:, :paths].astype(np.float64).sum(axis=0),
        closed_by_asset=np.asarray(outcome.closed_by_asset)[:, :paths].astype(np.float64),
        least_excess=_least_excess(outcome.least_excess, first, paths),
        equity=np.where(ownership.exists[:, None], equity, np.nan),
    )


def _weighted(hits: Array, log_weight: Any, ownership: Ownership, paths: int) -> Floats:
    """Return hits as numbers, replaced by one minus the survival weight where there is one."""
    weights = np.asarray(log_weight)[:, :paths]
    numbers = hits.astype(np.float64)
    if weights.shape[0]:
        alone = ownership.bridged_pool >= 0
        chosen = weights[ownership.bridged_pool[alone]].astype(np.float64)
        numbers[alone] = -np.expm1(chosen)
    return numbers


def _least_excess(least: Any, first: Integers, paths: int) -> Floats:
    values = np.asarray(least)[:, :paths].astype(np.float64)
    if not values.shape[0]:
        return values
    lowest = np.minimum.reduceat(values, first, axis=0)
    return np.where(np.isinf(lowest), np.nan, lowest)
