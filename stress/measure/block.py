"""One block of paths as the measures see it: accounts by paths, in float64.

Both engines are brought to one shape here. First passage knows neither feedback nor a venue's
backstop: what it cannot have is 0. Liquidations and the like are few, so they are kept as a list of
places (``measure.sparse``); money is worked out for some accounts at a time, when a measure asks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from scipy.sparse import csr_matrix

from stress.book.pools import Pools
from stress.measure.sparse import Sparse, account_slices, sums_of_columns
from stress.types import Array, Floats, Integers

__all__ = ["AccountBlock", "Ownership", "Rows", "account_block", "variant_blocks"]

Rows: TypeAlias = Callable[[slice], Floats]
"""Returns the (accounts of the slice, paths) numbers of some accounts."""


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

    @property
    def accounts(self) -> int:
        """Number of accounts."""
        return len(self.first)

    def ends(self, pools: int) -> Integers:
        """Return (accounts,) the pool behind each account's last, of so many pools."""
        return np.append(self.first[1:], pools)

    def owners(self, pool: Integers, pools: int) -> Integers:
        """Return the accounts that own some pools, of so many."""
        if pools == self.accounts:
            return pool
        return np.repeat(np.arange(self.accounts), self.ends(pools) - self.first)[pool]

    def summed(self, numbers: Array, kept: slice) -> Rows:
        """Return what adds up the kept columns of (pools, columns) numbers, in float64."""
        ends = self.ends(len(numbers))

        def rows(some: slice) -> Floats:
            pools = slice(self.first[some.start], ends[some.stop - 1])
            part = np.ascontiguousarray(numbers[pools, kept], dtype=np.float64)
            if len(numbers) == self.accounts:
                return part
            starts = np.append(self.first[some], pools.stop) - pools.start
            ones, places = np.ones(len(part)), np.arange(len(part))
            added: Floats = csr_matrix((ones, places, starts)) @ part
            return added

        return rows


@dataclass(frozen=True)
class AccountBlock:
    """What became of the accounts of one world on one block of paths.

    Attributes
    ----------
    hits, hit_step
        Where an account is liquidated, drawn where the path's nodes leave it open, and (hits,) the
        step of the first liquidation among its pools.
    liquidations
        1 where liquidated; under ``bridge`` monitoring, for an account with one pool of positions,
        the probability of it given the path's nodes.
    calls
        The same for a margin call.
    bankruptcies
        Where a pool left a deficit.
    loss_of
        Equity and reserve at the start minus the same at the end, USD, negative for a gain.
    equity_of
        At the horizon, without reserve, USD; NaN without a counterpart.
    hidden_of
        Share of looks at which the cross pool was in hidden distress.
    least_excess_of
        USD, NaN where no pool ever held a position; None unless asked for.
    closed, closed_by_asset
        (paths,), (assets, paths) notional closed, USD.
    overshoot
        (assets, paths) largest absolute move of the log mark by forced flow.
    fund_end, fund_draw, fund_exhausted
        (paths,) the insurance fund at the horizon and what it paid, gross of fees, USD; whether a
        deficit was not paid in full out of it.
    fund_need
        (paths,) the fund at the start that this path needs, USD: the most that deficits exceeded
        fees; at least that where winners paid, or were deleveraged, for a fund that was empty.
    uncovered, socialised, deleveraged
        (paths,) deficits that nobody paid, deficits that winners paid, notional that changed hands
        by deleveraging, USD.
    false_liquidations, late_steps, rounds_exhausted
        (paths,) counts: liquidations of pools that are not in breach, pools in breach that nobody
        acted on, steps on which the rounds ran out.
    over_closed
        (paths,) notional that shards closed beyond what a leader would, USD.
    """

    hits: Sparse
    hit_step: Integers
    liquidations: Sparse
    calls: Sparse
    bankruptcies: Sparse
    loss_of: Rows
    equity_of: Rows
    hidden_of: Rows
    least_excess_of: Rows | None
    closed: Floats
    closed_by_asset: Floats
    overshoot: Floats
    fund_end: Floats
    fund_draw: Floats
    fund_exhausted: Array
    fund_need: Floats
    uncovered: Floats
    socialised: Floats
    deleveraged: Floats
    false_liquidations: Integers
    over_closed: Floats
    late_steps: Integers
    rounds_exhausted: Integers
    _totals: dict[bytes, Floats] = field(
        default_factory=dict, init=False, compare=False, repr=False
    )

    @property
    def paths(self) -> int:
        """Number of paths in the block."""
        return self.hits.paths

    @property
    def accounts(self) -> int:
        """Number of accounts."""
        return self.hits.accounts

    @cached_property
    def loss(self) -> Floats:
        """(accounts, paths) all losses at once."""
        return self._all(self.loss_of)

    @property
    def equity(self) -> Floats:
        """(accounts, paths) all equities at once."""
        return self._all(self.equity_of)

    @property
    def hidden(self) -> Floats:
        """(accounts, paths) all shares of hidden distress at once."""
        return self._all(self.hidden_of)

    @property
    def least_excess(self) -> Floats:
        """(accounts, paths) all least excesses at once; no accounts unless asked for."""
        known = self.least_excess_of
        return np.zeros((0, self.paths)) if known is None else self._all(known)

    @property
    def step(self) -> Integers:
        """(accounts, paths) first liquidation among the account's pools; -1 never."""
        step = np.full(self.accounts * self.paths, -1, np.int32)
        step[self.hits.cell] = self.hit_step
        return step.reshape(self.accounts, self.paths)

    @property
    def hit(self) -> Array:
        """(accounts, paths) whether liquidated, drawn where the path's nodes leave it open."""
        return self.hits.dense() > 0

    @property
    def liquidated(self) -> Floats:
        """(accounts, paths) all numbers of ``liquidations``."""
        return self.liquidations.dense()

    @property
    def called(self) -> Floats:
        """(accounts, paths) all numbers of ``calls``."""
        return self.calls.dense()

    @property
    def bankrupt(self) -> Array:
        """(accounts, paths) whether a pool left a deficit."""
        return self.bankruptcies.dense() > 0

    def _all(self, rows: Rows) -> Floats:
        numbers = np.empty((self.accounts, self.paths))
        for some in account_slices(self.accounts):
            numbers[some] = rows(some)
        return numbers

    def any_hit(self, exists: Array) -> Floats:
        """Return (paths,) 1 where any of the (accounts,) that exist is liquidated, else 0."""
        return (self.hits.of(exists).by_path() > 0).astype(np.float64)

    def liquidated_share(self, exists: Array) -> Floats:
        """Return (paths,) means of ``liquidations`` over the (accounts,) that exist.

        The path is the independent unit; accounts on one path are not.
        """
        # an empty sum over nobody, not an empty mean
        return self.liquidations.of(exists).by_path() / max(int(exists.sum()), 1)

    def total_loss(self, exists: Array) -> Floats:
        """Return (paths,) sums of max(loss, 0) over the (accounts,) that exist, USD."""
        # several measures ask
        known = exists.tobytes()
        if known not in self._totals:
            self._totals[known] = self._total_loss(exists)
        return self._totals[known]

    def _total_loss(self, exists: Array) -> Floats:
        total = np.zeros(self.paths)
        for some in account_slices(self.accounts):
            loss = np.maximum(self.loss_of(some), 0.0)
            loss[~exists[some]] = 0.0
            total += sums_of_columns(loss)
        return total


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
    kept = slice(0, paths)
    step = np.asarray(outcome.step)[:, kept]
    fallen = Sparse.where(step >= 0)
    pool, path = fallen.account, fallen.path
    hits, hit_step = _first_hits(fallen, step, ownership)
    # only what was closed leaves a deficit
    bankrupt = fallen.only(_at(outcome.deficit, pool, path) > tolerance_usd[pool])
    closed: Floats = np.bincount(path, _at(outcome.closed, pool, path), paths).astype(np.float64)
    called = Sparse.where(np.asarray(outcome.called)[:, kept])
    equity_of = ownership.summed(np.asarray(outcome.equity), kept)
    closed_by_asset = _money(outcome.closed_by_asset, kept)
    # prices know nothing of forced sales here, and nobody but the fund pays
    nothing, never = np.zeros(paths), np.zeros(paths, np.int64)
    return AccountBlock(
        hits=hits,
        hit_step=hit_step,
        liquidations=_weighted(hits, np.asarray(outcome.survival)[:, kept], ownership),
        calls=_weighted(
            _of_accounts(called, ownership), np.asarray(outcome.calm)[:, kept], ownership
        ),
        bankruptcies=_of_accounts(bankrupt, ownership),
        loss_of=lambda some: ownership.initial_equity[some, None] - equity_of(some),
        equity_of=_where_existing(equity_of, ownership),
        hidden_of=lambda some: np.zeros((some.stop - some.start, paths)),
        least_excess_of=_least_excess(np.asarray(outcome.least_excess), ownership, kept),
        closed=closed,
        closed_by_asset=closed_by_asset,
        overshoot=np.broadcast_to(nothing, closed_by_asset.shape),
        fund_end=_money(outcome.fund, kept),
        fund_draw=_money(outcome.drawn, kept),
        fund_exhausted=_part(outcome.exhausted, kept),
        fund_need=_money(outcome.fund_need, kept),
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
    fates, tally = outcome.fates, outcome.tally
    step = np.asarray(fates.step)[:, kept]
    hits, hit_step = _first_hits(Sparse.where(step >= 0), step, ownership)
    equity_of = ownership.summed(np.asarray(outcome.equity), kept)
    reserve, hidden = np.asarray(outcome.reserve)[:, kept], np.asarray(fates.hidden)[:, kept]
    closed_by_asset = _money(tally.closed, kept)

    def loss_of(some: slice) -> Floats:
        drawn_from_reserve = reserve_start[some, None] - reserve[some].astype(np.float64)
        lost: Floats = ownership.initial_equity[some, None] - equity_of(some)
        return lost + drawn_from_reserve

    return AccountBlock(
        hits=hits,
        hit_step=hit_step,
        liquidations=hits,
        calls=_of_accounts(Sparse.where(np.asarray(fates.called)[:, kept]), ownership),
        bankruptcies=_of_accounts(Sparse.where(np.asarray(fates.bankrupt)[:, kept]), ownership),
        loss_of=loss_of,
        equity_of=_where_existing(equity_of, ownership),
        hidden_of=lambda some: hidden[ownership.first[some]] / looks,
        least_excess_of=_least_excess(np.asarray(fates.least_excess), ownership, kept),
        closed=sums_of_columns(closed_by_asset),
        closed_by_asset=closed_by_asset,
        overshoot=_money(tally.overshoot, kept),
        fund_end=_money(outcome.fund, kept),
        fund_draw=_money(tally.drawn, kept),
        fund_exhausted=_part(tally.exhausted, kept),
        fund_need=_money(tally.need, kept),
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


def _at(numbers: Any, pool: Integers, path: Integers) -> Floats:
    """Return (places,) of (pools, columns) numbers, in float64."""
    return np.asarray(numbers)[pool, path].astype(np.float64)


def _count(numbers: Any, kept: slice) -> Integers:
    return _part(numbers, kept).astype(np.int64)


def _first_hits(fallen: Sparse, step: Integers, ownership: Ownership) -> tuple[Sparse, Integers]:
    """Return where accounts are liquidated, and the first of their pools' steps there.

    Parameters
    ----------
    fallen
        Where pools are liquidated.
    step
        (pools, paths) their steps.
    """
    when = step[fallen.account, fallen.path].astype(np.int64)
    if fallen.accounts == ownership.accounts:
        return fallen, when
    owner = ownership.owners(fallen.account, fallen.accounts)
    # in order of places and, within one, of steps
    later = int(when.max(initial=0)) + 1
    place, when = np.divmod(np.sort((owner * fallen.paths + fallen.path) * later + when), later)
    first = _distinct(place)
    return Sparse(ownership.accounts, fallen.paths, place[first]), when[first]


def _of_accounts(pooled: Sparse, ownership: Ownership) -> Sparse:
    """Return where any of an account's pools is; ``pooled`` has pools for accounts, and ones."""
    if pooled.accounts == ownership.accounts:
        return pooled
    owner = ownership.owners(pooled.account, pooled.accounts)
    place = np.sort(owner * pooled.paths + pooled.path)
    return Sparse(ownership.accounts, pooled.paths, place[_distinct(place)])


def _distinct(ascending: Integers) -> Array:
    """Return whether each is the first of its equals."""
    return np.diff(ascending, prepend=-1) > 0


def _weighted(hits: Sparse, log_weight: Floats, ownership: Ownership) -> Sparse:
    """Return hits as numbers, replaced by one minus the survival weight where there is one.

    ``log_weight`` is (pools, paths), of no pools where nothing is bridged.
    """
    pools = len(log_weight)
    if pools == 0:
        return hits
    open_ = Sparse.where(log_weight != 0)
    owner = ownership.owners(open_.account, pools)
    alone = ownership.bridged_pool[owner] == open_.account
    weights = -np.expm1(log_weight[open_.account[alone], open_.path[alone]].astype(np.float64))
    drawn = hits.cell[ownership.bridged_pool[hits.account] < 0]
    cell = np.concatenate([owner[alone] * hits.paths + open_.path[alone], drawn])
    number = np.concatenate([weights, np.ones(len(drawn))])
    order = np.argsort(cell, kind="stable")
    return Sparse(hits.accounts, hits.paths, cell[order], number[order])


def _where_existing(rows: Rows, ownership: Ownership) -> Rows:
    """Return the same with NaN for accounts that have no counterpart."""
    return lambda some: np.where(ownership.exists[some, None], rows(some), np.nan)


def _least_excess(least: Array, ownership: Ownership, kept: slice) -> Rows | None:
    """Return the least of the pools'; None where the kernel was not asked for it."""
    if not len(least):
        return None
    ends = ownership.ends(len(least))

    def rows(some: slice) -> Floats:
        start = ownership.first[some.start]
        values = _money(least[start : ends[some.stop - 1]], kept)
        lowest: Floats = np.minimum.reduceat(values, ownership.first[some] - start, axis=0)
        return np.where(np.isinf(lowest), np.nan, lowest)

    return rows
