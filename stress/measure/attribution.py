"""Who and what the total loss is made of: accounts in the worst paths, and parts of every path's.

The total loss of a path is the sum of max(loss, 0) over accounts, so an account's part of it is its
own loss, and 0 where it gains. Its Euler contribution to the expected shortfall needs the worst
paths, which are known when the last path is in: of every path that may still be among them the
losses of all accounts are kept, as ``measure.tail`` keeps each account's own tail.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from heapq import heappush, heapreplace
from typing import NamedTuple

import numpy as np

from stress.book.book import Book
from stress.book.pools import Pools
from stress.measure.block import AccountBlock, Rows
from stress.measure.kept import Arrays
from stress.measure.moments import Estimate, Moments
from stress.measure.sparse import account_slices
from stress.measure.world import Findings, Grouping, Request
from stress.stats.euler import euler_contributions, worst_first
from stress.stats.tail import tail_size
from stress.types import Array, Floats, Integers

__all__ = [
    "PARTS",
    "AttributionMeasure",
    "Borne",
    "Exposure",
    "Steps",
    "WorstPaths",
    "left_out_findings",
    "loss_parts",
]

PARTS = ("market", "impact", "fees", "paid by the fund", "paid by winners", "uncovered")
"""Parts of the total loss. The last three lessen it: deficits that somebody else bears."""

_CELLS = 1 << 25
"""Most losses of accounts on the worst paths that are kept, 256 MB: of larger books only those of
groups are."""

_TOGETHER = 1 << 21
"""Losses that contributions are worked out of at a time: copies stay small beside all of them."""


class Borne(NamedTuple):
    """What a block of paths cost whom, (paths,) each, USD.

    Attributes
    ----------
    total
        Sum of max(loss, 0) over the accounts.
    fees
        Paid on liquidations.
    fund, winners, nobody
        Deficits of bankrupt pools: paid by the insurance fund, by other accounts' profits, not at
        all.
    """

    total: Floats
    fees: Floats
    fund: Floats
    winners: Floats
    nobody: Floats

    @classmethod
    def of(cls, block: AccountBlock, fees: Floats, exists: Array) -> Borne:
        """Return it for the (accounts,) that exist."""
        total = block.total_loss(exists)
        return cls(total, fees, block.fund_draw, block.socialised, block.uncovered)

    @property
    def by_prices(self) -> Floats:
        """(paths,) what prices took: the loss without fees, and without others' help."""
        return self.total - self.fees + (self.fund + self.winners + self.nobody)


def loss_parts(own: Borne, calm: Borne) -> Floats:
    """Split the total loss of each path into what prices took, fees, and what others bear.

    An account whose pools leave deficits loses less than prices took from it. So what prices took
    is the total loss, less fees, plus deficits. Without impact that is the market's part; what it
    is more with impact, on the same path, is the impact's.

    Parameters
    ----------
    own, calm
        The paths, and the same paths without impact; the same where there is none.

    Returns
    -------
    (parts, paths) in the order of ``PARTS``, USD; they add up to ``own.total``.
    """
    market = calm.by_prices
    impact = own.by_prices - market
    return np.stack([market, impact, own.fees, -own.fund, -own.winners, -own.nobody])


class Steps(NamedTuple):
    """The pools that are liquidated on one path, and the steps of it, (pools,) each."""

    pool: Integers
    step: Integers


_NO_STEPS = Steps(np.zeros(0, np.int64), np.zeros(0, np.int64))
_LOWEST = (-np.inf, -np.inf)


class WorstPaths:
    """The paths with the largest total losses so far, and the part of each row in them.

    Which paths are kept depends on losses and path numbers alone, not on blocks.

    Parameters
    ----------
    rows
        Number of parts (accounts or groups).
    keep
        How many paths are kept.
    """

    def __init__(self, rows: int, keep: int) -> None:
        self.keep = keep
        self._heap: list[tuple[float, int, int]] = []
        self._parts = np.zeros((keep, rows))
        self._steps: list[Steps | None] = [None] * keep
        self._seen = 0
        # what parts that were merged have left out ranks below this (total loss, - number)
        self._left_out = _LOWEST

    def update(self, total: Floats, first: int, part_of: Rows, steps: Array | None = None) -> None:
        """Add a block of paths.

        Parameters
        ----------
        total
            (paths,) total losses, USD.
        first
            Number of the first path; the others follow it.
        part_of
            Returns the (rows of the slice, paths) parts of some rows, USD.
        steps
            (pools, paths) first steps of liquidation, -1 where there is none.
        """
        slots, columns = self._places(total, first + np.arange(len(total)))
        self._seen += len(total)
        if not len(slots):
            return
        for some in account_slices(self._parts.shape[1]):
            self._parts[slots, some] = part_of(some)[:, columns].T
        for slot, column in zip(slots, columns, strict=True):
            if steps is not None:
                pool = np.flatnonzero(steps[:, column] >= 0)
                self._steps[slot] = Steps(pool, steps[pool, column])

    def _places(self, total: Floats, number: Integers) -> tuple[Integers, Integers]:
        """Return the slots that some of the paths take, and which paths those are."""
        taken: dict[int, int] = {}
        heap = self._heap
        floor = heap[0][0] if len(heap) == self.keep else -np.inf
        for column in np.flatnonzero(total >= floor):
            path = (float(total[column]), -int(number[column]))
            if len(heap) < self.keep:
                slot = len(heap)
                heappush(heap, (*path, slot))
            elif path > heap[0][:2]:
                slot = heap[0][2]
                heapreplace(heap, (*path, slot))
            else:
                continue
            taken[slot] = int(column)
        return np.array(list(taken), int), np.array(list(taken.values()), int)

    def arrays(self) -> Arrays:
        """Return what is kept: liquidated pools and their steps of one path after the other."""
        total, number, slot = self._columns()
        steps = [self._steps[place] or _NO_STEPS for place in slot]
        return {
            "total": total,
            "number": number,
            "parts": self._parts[slot],
            "lengths": np.array([len(of.pool) for of in steps], np.int64),
            "pool": np.concatenate([_NO_STEPS.pool, *(of.pool for of in steps)]),
            "step": np.concatenate([_NO_STEPS.step, *(of.step for of in steps)]),
            "seen": np.asarray(self._seen),
        }

    def restore(self, arrays: Mapping[str, Array]) -> None:
        """Take back what ``arrays`` returned."""
        slots, columns = self._places(arrays["total"], arrays["number"])
        self._parts[slots] = arrays["parts"][columns]
        ends = np.cumsum(arrays["lengths"])
        pools, steps = (np.split(arrays[name], ends[:-1]) for name in ("pool", "step"))
        for slot, column in zip(slots, columns, strict=True):
            self._steps[slot] = Steps(pools[column], steps[column])
        self._seen = arrays["seen"].item()

    def merge(
        self,
        other: WorstPaths,
        first: int,
        of_groups: Callable[[Floats], Floats] | None = None,
    ) -> None:
        """Add the worst of later paths, whose numbers there began at 0 and here begin at first.

        Parameters
        ----------
        of_groups
            Makes (groups, paths) of (accounts, paths) parts, where only the other has accounts.
        """
        total, number, slot = other._columns()
        slots, columns = self._places(total, number + first)
        parts = other._parts[slot[columns]]
        self._parts[slots] = parts if of_groups is None else of_groups(parts.T).T
        self._seen += other._seen
        if other._seen > other.keep:
            least, number_of_least, _ = other._heap[0]
            self._left_out = max(self._left_out, (least, number_of_least - first))
        for mine, column in zip(slots, columns, strict=True):
            self._steps[mine] = other._steps[slot[column]]

    def _columns(self) -> tuple[Floats, Integers, Integers]:
        """Return (paths,) total losses, numbers and slots of what is kept."""
        total, number, slot = zip(*self._heap, strict=True) if self._heap else ((), (), ())
        return np.array(total, float), -np.array(number, int), np.array(slot, int)

    def finish(self) -> tuple[Integers, Floats, Floats, list[Steps]]:
        """Return (paths,) numbers and total losses, (paths, rows) parts and the steps.

        The worst path first.

        Raises
        ------
        ArithmeticError
            If a part that was merged has left out what is among the worst of all.
        """
        total, number, slot = self._columns()
        if self._heap and self._left_out > self._heap[0][:2]:
            raise ArithmeticError("a part of the paths kept too few of its worst")
        order = worst_first(total, number)
        steps = [self._steps[place] or _NO_STEPS for place in slot[order]]
        return number[order], total[order], self._parts[slot[order]], steps


class AttributionMeasure:
    """Parts of the total loss, and the accounts and groups behind its expected shortfall.

    Parameters
    ----------
    grouping
        The accounts of the world.
    request
        Levels, confidence and the number of paths to come.
    cells
        Most losses that are kept; more are kept by group.
    """

    KEPT = ("worst", "parts")

    def __init__(self, grouping: Grouping, request: Request, cells: int = _CELLS) -> None:
        self.grouping, self.request = grouping, request
        accounts = len(grouping.member)
        level = min(request.levels)
        # whatever a part keeps besides: a longer run keeps no fewer, so parts know no less
        least = tail_size(request.paths, level, request.confidence)
        self.by_account = accounts * least <= cells
        rows = accounts if self.by_account else grouping.groups
        self.worst = WorstPaths(rows, request.keep(level))
        self.parts = Moments.init(len(PARTS))

    def update(
        self,
        block: AccountBlock,
        fees: Floats,
        calm: tuple[AccountBlock, Floats] | None = None,
        steps: Array | None = None,
    ) -> None:
        """Add the next block of paths: they come in the order of their numbers.

        Parameters
        ----------
        block, fees
            What became of the accounts, and (paths,) liquidation fees in USD.
        calm
            The same without impact; None where there is none.
        steps
            (pools, paths) first steps of liquidation, -1 where there is none.
        """
        exists, first = self.grouping.exists, self.parts.count
        own = Borne.of(block, fees, exists)
        without = own if calm is None else Borne.of(*calm, exists)
        self.parts.update(loss_parts(own, without))
        self.worst.update(own.total, first, self._part_of(block), steps)

    def _part_of(self, block: AccountBlock) -> Rows:
        exists = self.grouping.exists

        def of_accounts(some: slice) -> Floats:
            loss = np.maximum(block.loss_of(some), 0.0)
            loss[~exists[some]] = 0.0
            return loss

        def of_groups(some: slice) -> Floats:
            by_group = np.zeros((self.grouping.groups, block.paths))
            for part in account_slices(block.accounts):
                by_group += self.grouping.sum_of(of_accounts(part), part)
            return by_group[some]

        return of_accounts if self.by_account else of_groups

    def merge(self, other: AttributionMeasure) -> None:
        """Add what was measured on later paths."""
        by_group = other.by_account and not self.by_account
        self.worst.merge(other.worst, self.parts.count, self.grouping.sum if by_group else None)
        self.parts.merge(other.parts)

    def finish(self) -> Findings:
        """Return the parts of the expected loss, and contributions by group and account."""
        _, _, parts, _ = self.worst.finish()
        found: dict[str, Estimate | Array] = {
            "loss_part": self.parts.finish_mean(self.request.confidence)
        }
        by_group = parts
        if self.by_account:
            by_group = self.grouping.sum(parts.T).T
            account = self.contributions(parts).only(self.grouping.exists)
            found["account_contribution"] = _not_negative(account)
        found["group_contribution"] = _not_negative(self.contributions(by_group))
        return {"attribution": found}

    def contributions(self, parts: Floats) -> Estimate:
        """Return (parts, levels) contributions of (worst paths, parts) to expected shortfall."""
        request, (paths, count) = self.request, parts.shape
        value = np.empty((count, len(request.levels)))
        interval = np.empty((*value.shape, 2))
        together = max(_TOGETHER // max(paths, 1), 1)
        for first in range(0, count, together):
            some = slice(first, first + together)
            for number, level in enumerate(request.levels):
                value[some, number], interval[some, number] = euler_contributions(
                    parts[:, some], self.parts.count, level, request.confidence
                )
        return Estimate(value, interval)


def _not_negative(estimate: Estimate) -> Estimate:
    """Return the estimate of what cannot be below 0."""
    return Estimate(estimate.value, np.maximum(estimate.interval, 0.0))


class Exposure(NamedTuple):
    """The positions and coins of a world, as what moves with the price of an asset.

    Attributes
    ----------
    account, asset
        (lines,) whose it is, and which asset moves it.
    quantity
        (lines,) signed units; of coins what the haircut leaves.
    pool
        (lines,) the pool that a position is in; -1 for coins, which are kept when positions are
        closed.
    """

    account: Integers
    asset: Integers
    quantity: Floats
    pool: Integers

    @classmethod
    def of(cls, book: Book, pools: Pools, haircut: Floats) -> Exposure:
        """Return that of a world; ``haircut`` is (assets,)."""
        held, kept = pools.pool_of_position >= 0, pools.pool_of_coin >= 0
        coins = book.coin_quantity * (1 - haircut[book.coin_asset])
        return cls(
            account=np.append(book.position_account[held], book.coin_account[kept]),
            asset=np.append(book.position_asset[held], book.coin_asset[kept]),
            quantity=np.append(book.quantity[held], coins[kept]),
            pool=np.append(pools.pool_of_position[held], np.full(int(kept.sum()), -1)),
        )

    def lost(self, prices: Floats, steps: Steps, losing: Array) -> Floats:
        """Return (assets,) what losing accounts lose on each asset until they are liquidated, USD.

        A position counts until its pool is first liquidated, at the path's own prices, before any
        impact and in the size it had at the start; all others and coins count to the horizon.

        Parameters
        ----------
        prices
            (steps + 1, assets) of one path, time 0 included, USD.
        steps
            The pools that are liquidated on it.
        losing
            (accounts,) whether an account's loss is above 0 on it.
        """
        until = np.full(int(self.pool.max(initial=-1)) + 2, len(prices) - 1)
        inside = steps.pool < len(until) - 1
        until[steps.pool[inside]] = steps.step[inside]
        # the last place stands for coins: -1
        fall = prices[0, self.asset] - prices[until[self.pool], self.asset]
        loss = np.where(losing[self.account], self.quantity * fall, 0.0)
        lost: Floats = np.bincount(self.asset, loss, prices.shape[1]).astype(np.float64)
        return lost


def left_out_findings(others: Floats, without: Floats, confidence: float) -> Findings:
    """Return how much of the others' loss disappears without each of some accounts.

    Both losses are of the same paths, so the difference has its own, smaller error. The interval of
    the share is the delta method's: with the share R, that of the mean of
    ``difference - R others``, over the mean of ``others``.

    Parameters
    ----------
    others, without
        (accounts left out, paths) total loss of all others, with the account there and without it,
        USD.
    confidence
        Between 0 and 1.
    """
    apart = others - without
    with_, difference = _mean_of(others, confidence), _mean_of(apart, confidence)
    divisor = np.where(with_.value > 0, with_.value, np.nan)
    share = difference.value / divisor
    residual = _mean_of(apart - share[:, None] * others, confidence)
    bounds = share[:, None] + residual.interval / divisor[:, None]
    return {
        "attribution": {
            "others_loss": with_,
            "systemic_importance": difference,
            "systemic_share": Estimate(share, bounds),
        }
    }


def _mean_of(numbers: Floats, confidence: float) -> Estimate:
    moments = Moments.init(len(numbers))
    moments.update(numbers)
    return moments.finish_mean(confidence)
