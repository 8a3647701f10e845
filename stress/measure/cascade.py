"""What feedback of forced sales on prices adds: the venue against the same without impact."""

from __future__ import annotations

from typing import Any

import numpy as np

from stress.measure.block import AccountBlock
from stress.measure.kept import merge
from stress.measure.moments import Estimate, Moments
from stress.measure.pathwise import PathTable, mean_over_paths, tail_over_paths
from stress.measure.ratio import RatioOfSums
from stress.measure.sparse import Sparse
from stress.measure.world import Findings, Grouping, Request
from stress.types import Array, Floats, Integers

__all__ = ["CascadeMeasure", "CausedLiquidations"]


class CascadeMeasure:
    """Losses, closes and liquidations with feedback against those without, path by path.

    Parameters
    ----------
    grouping
        The accounts of the world.
    request
        Levels and confidence.
    """

    KEPT = ("without", "change", "multiplier", "path_table")

    def __init__(self, grouping: Grouping, request: Request) -> None:
        accounts = len(grouping.member)
        self.grouping, self.request = grouping, request
        self.without = Moments.init(accounts)
        self.change = Moments.init(accounts)
        self.multiplier = RatioOfSums()
        self.path_table = PathTable("cascade_loss", "cascade_multiplier")

    def update(self, fed_back: AccountBlock, without: AccountBlock) -> None:
        """Add one block of paths, with feedback and without."""
        exists = self.grouping.exists
        divisor = np.where(without.closed > 0, without.closed, np.nan)
        one, other = fed_back.liquidations, without.liquidations
        self.without.update_sparse(other)
        self.change.update_rows(lambda some: one.rows(some) - other.rows(some), fed_back.paths)
        self.multiplier.update(fed_back.closed, without.closed)
        self.path_table.update(
            cascade_loss=fed_back.total_loss(exists) - without.total_loss(exists),
            cascade_multiplier=fed_back.closed / divisor,
        )

    def merge(self, other: CascadeMeasure) -> None:
        """Add what was measured on later paths."""
        merge(self, other)

    def finish(self) -> Findings:
        """Return the estimates; NaN for an account that does not exist."""
        request, paths = self.request, self.path_table.finish()
        confidence, loss = request.confidence, paths["cascade_loss"]
        at_risk, shortfall = tail_over_paths(loss, request.levels, confidence)
        without = self.without.finish_probability(confidence)
        change = self.change.finish_mean(confidence)
        exists = self.grouping.exists
        return {
            "accounts": {
                "liquidation_probability_without_feedback": without.only(exists),
                "liquidation_probability_change": change.only(exists),
            },
            "book": {
                "expected_cascade_loss": mean_over_paths(loss, confidence),
                "cascade_loss_value_at_risk": at_risk,
                "cascade_loss_expected_shortfall": shortfall,
                "cascade_multiplier": self.multiplier.finish(confidence),
            },
            "paths": dict(paths),
        }


class CausedLiquidations:
    """Liquidations that do not happen on the same path without feedback, and who is charged.

    The unit is the margin pool: an account with two isolated positions can have two. Each is
    charged to groups by the shares that the kernel noted at its first breach. They add up to 1, or
    to less where no forced flow had moved some of what the pool loses on.

    Parameters
    ----------
    pool_group
        (pools,) group of the owner.
    groups
        Number of groups.
    """

    KEPT = ("caused", "all", "market")

    def __init__(self, pool_group: Integers, groups: int) -> None:
        self.pool_group, self.groups = pool_group, groups
        self.caused = Moments.init(groups, groups)
        self.all = Moments.init(groups)
        self.market = Moments.init(groups)

    def update(self, fates: Any, *, without: int, variants: int, paths: int) -> None:
        """Add one block of paths.

        Parameters
        ----------
        fates
            A ``venue.holdings.Fates`` with charges; the main variant stands first.
        without, variants
            Number of the variant without impact; how many variants there are.
        paths
            Paths to keep, from the first.
        """
        steps = np.asarray(fates.step)
        start = without * (steps.shape[1] // variants)
        happens = Sparse.where(steps[:, :paths] >= 0)
        spared = steps[happens.account, start + happens.path] < 0
        caused = happens.only(spared)
        self.caused.update(self._charged(caused, np.asarray(fates.charge)))
        self.all.update(self._by_group(caused))
        self.market.update(self._by_group(happens.only(~spared)))

    def _charged(self, caused: Sparse, charge: Floats) -> Floats:
        """Return (groups, groups charged, paths) sums of (pools, groups, paths) shares."""
        pool, path, groups = caused.account, caused.path, self.groups
        cell = self.pool_group[pool] * caused.paths + path
        charged = np.empty((groups, groups, caused.paths))
        for group in range(groups):
            sums = np.bincount(cell, charge[pool, group, path], groups * caused.paths)
            charged[:, group] = sums.reshape(groups, caused.paths)
        return charged

    def _by_group(self, pools: Sparse) -> Floats:
        """Return (groups, paths) how many of the pools there are."""
        cell = self.pool_group[pools.account] * pools.paths + pools.path
        count = np.bincount(cell, minlength=self.groups * pools.paths)
        return count.reshape(self.groups, pools.paths).astype(np.float64)

    def merge(self, other: CausedLiquidations) -> None:
        """Add the liquidations of later paths."""
        merge(self, other)

    def finish(self, confidence: float) -> Findings:
        """Return mean numbers a path: (group, group charged), all of them, and the market's."""
        found: dict[str, Estimate | Array] = {
            "caused_liquidations": self.caused.finish_mean(confidence),
            "feedback_liquidations": self.all.finish_mean(confidence),
            "market_liquidations": self.market.finish_mean(confidence),
        }
        return {"groups": found}
