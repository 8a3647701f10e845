"""Everything that is measured of one world, block by block.

What is returned carries the names of ``result.schema`` and the shapes that it states, so that
assembling a result only labels them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stress.measure.block import AccountBlock
from stress.measure.moments import Estimate, Moments
from stress.measure.tail import UpperTail
from stress.measure.timing import LiquidationTimes, TimeGrid
from stress.types import Array, Floats, Integers, Precision

__all__ = ["Findings", "Grouping", "Request", "WorldMeasure"]

Findings = dict[str, dict[str, Estimate | Array]]
"""Result group -> variable -> estimate or plain array."""

SHARES = (0.01, 0.05, 0.10, 0.25, 0.50)
"""Shares of accounts whose joint liquidation is given a probability."""


@dataclass(frozen=True)
class Request:
    """What a run asks of its measures.

    ``levels``, ``quantiles`` and ``confidence`` as in the scenario, the number of ``paths`` to
    come, the time ``grid`` and the ``precision`` of what is stored.
    """

    levels: tuple[float, ...]
    quantiles: tuple[float, ...]
    confidence: float
    paths: int
    grid: TimeGrid
    precision: Precision


class Grouping:
    """Sums over the accounts of each group.

    Parameters
    ----------
    account_group
        (accounts,) index of the group.
    groups
        Number of groups.
    exists
        (accounts,) accounts that count in this world; the others are left out of sums and means.
    """

    def __init__(self, account_group: Integers, groups: int, exists: Array) -> None:
        self.groups = groups
        self.member = account_group
        self.exists = exists
        self.accounts = np.bincount(account_group[exists], minlength=groups)
        self._order = np.argsort(account_group, kind="stable")
        self._first = np.searchsorted(account_group[self._order], np.arange(groups))

    def sum(self, numbers: Floats) -> Floats:
        """Return (groups, paths) sums of (accounts, paths) numbers."""
        counted = np.where(self.exists[:, None], numbers, 0)
        return np.add.reduceat(counted[self._order], self._first, axis=0)

    def mean(self, numbers: Floats) -> Floats:
        """Return (groups, paths) means of (accounts, paths) numbers; NaN for an empty group."""
        with np.errstate(invalid="ignore"):
            return self.sum(numbers) / self.accounts[:, None].astype(float)


class WorldMeasure:
    """Probabilities, losses, times and joint events of one world.

    Parameters
    ----------
    grouping
        The groups of its accounts.
    assets
        Number of assets.
    request
        Levels, confidence, paths and time grid.
    """

    def __init__(self, grouping: Grouping, assets: int, request: Request) -> None:
        accounts, groups = len(grouping.member), grouping.groups
        self.grouping, self.request = grouping, request
        self.by_account = {
            name: Moments.init(accounts)
            for name in ("liquidation", "margin_call", "bankruptcy", "loss")
        }
        self.by_group = {
            "liquidation": Moments.init(groups),
            "any": Moments.init(groups),
            "loss": Moments.init(groups),
            "by_step": Moments.init(groups, len(request.grid.shown)),
        }
        self.book = {name: Moments.init() for name in ("liquidation", "any")}
        self.closed_by_asset = Moments.init(assets)
        self.joint = np.zeros((groups, groups))
        self.tail = UpperTail(
            accounts, request.paths, request.levels, request.confidence, request.precision
        )
        self.times = LiquidationTimes(accounts, request.grid)
        self.path_table: dict[str, list[Floats]] = {}

    def update(self, block: AccountBlock) -> None:
        """Add one block of paths."""
        grouping, exists = self.grouping, self.grouping.exists
        for name, numbers in (
            ("liquidation", block.liquidated),
            ("margin_call", block.called),
            ("bankruptcy", block.bankrupt.astype(float)),
            ("loss", block.loss),
        ):
            self.by_account[name].update(numbers)
        hit = block.hit & exists[:, None]
        any_hit = (grouping.sum(hit.astype(float)) > 0).astype(float)
        self.by_group["liquidation"].update(grouping.mean(block.liquidated))
        self.by_group["any"].update(any_hit)
        self.by_group["loss"].update(grouping.sum(block.loss))
        self.by_group["by_step"].update(self._share_by_step(block))
        self.joint += any_hit @ any_hit.T
        self.book["liquidation"].update(_mean_over_accounts(block.liquidated, exists))
        self.book["any"].update(hit.any(axis=0).astype(float))
        self.closed_by_asset.update(block.closed_by_asset)
        self.tail.update(block.loss)
        self.times.update(np.where(exists[:, None], block.step, -1))
        self._record(block, hit)

    def _share_by_step(self, block: AccountBlock) -> Floats:
        """Return (groups, shown steps, paths) shares of accounts liquidated by each shown step."""
        grouping, shown = self.grouping, self.request.grid.shown
        account, path = np.nonzero(block.hit & grouping.exists[:, None])
        when = np.searchsorted(shown, block.step[account, path])
        shape = (grouping.groups, len(shown), block.paths)
        cell = np.ravel_multi_index((grouping.member[account], when, path), shape)
        counts = np.bincount(cell, minlength=int(np.prod(shape))).reshape(shape)
        with np.errstate(invalid="ignore"):
            return counts.cumsum(axis=1) / grouping.accounts[:, None, None].astype(float)

    def _record(self, block: AccountBlock, hit: Array) -> None:
        loss = np.where(self.grouping.exists[:, None], block.loss, 0.0)
        for name, numbers in (
            ("liquidated_accounts", hit.sum(axis=0)),
            ("liquidated_notional", block.closed),
            ("total_loss", np.maximum(loss, 0.0).sum(axis=0)),
            ("net_loss", loss.sum(axis=0)),
            ("uncovered_loss", block.deficit),
        ):
            self.path_table.setdefault(name, []).append(numbers)

    def merge(self, other: WorldMeasure) -> None:
        """Add what was measured on later paths."""
        for mine, theirs in (
            (self.by_account, other.by_account),
            (self.by_group, other.by_group),
            (self.book, other.book),
        ):
            for name, moments in mine.items():
                moments.merge(theirs[name])
        self.closed_by_asset.merge(other.closed_by_asset)
        self.joint += other.joint
        self.tail.merge(other.tail)
        self.times.merge(other.times)
        for name, parts in other.path_table.items():
            self.path_table.setdefault(name, []).extend(parts)

    def finish(self) -> Findings:
        """Return all estimates, by result group and variable name."""
        paths = {name: np.concatenate(parts) for name, parts in self.path_table.items()}
        return {
            "accounts": self._finish_accounts(),
            "groups": self._finish_groups(),
            "book": self._finish_book(paths),
            "assets": {"liquidated_notional_mean": self._mean(self.closed_by_asset)},
            "paths": dict(paths),
        }

    def _mean(self, moments: Moments) -> Estimate:
        return moments.finish_mean(self.request.confidence)

    def _probability(self, moments: Moments) -> Estimate:
        return moments.finish_probability(self.request.confidence)

    def _finish_accounts(self) -> dict[str, Estimate | Array]:
        request, moments = self.request, self.by_account
        at_risk, shortfall = self.tail.finish()
        found: dict[str, Estimate | Array] = {
            "liquidation_probability": self._probability(moments["liquidation"]),
            "liquidation_probability_by_step": self.times.by_step(
                moments["liquidation"].count, request.confidence
            ),
            "bankruptcy_probability": self._probability(moments["bankruptcy"]),
            "margin_call_probability": self._probability(moments["margin_call"]),
            "expected_loss": self._mean(moments["loss"]),
            "value_at_risk": at_risk,
            "expected_shortfall": shortfall,
            "liquidation_time_quantile": self.times.quantiles(
                request.quantiles, request.confidence
            ),
        }
        return {name: _only(estimate, self.grouping.exists) for name, estimate in found.items()}

    def _finish_groups(self) -> dict[str, Estimate | Array]:
        moments, trials = self.by_group, self.by_group["any"].count
        share = self.joint / max(trials, 1)
        joint = Moments(trials, share, trials * share * (1 - share))
        return {
            "accounts": self.grouping.accounts,
            "liquidation_probability": self._probability(moments["liquidation"]),
            "liquidation_probability_by_step": self._probability(moments["by_step"]),
            "any_liquidation_probability": self._probability(moments["any"]),
            "joint_liquidation_probability": self._probability(joint),
            "expected_loss": self._mean(moments["loss"]),
        }

    def _finish_book(self, paths: dict[str, Floats]) -> dict[str, Estimate | Array]:
        found: dict[str, Estimate | Array] = {
            "liquidation_probability": self._probability(self.book["liquidation"]),
            "any_liquidation_probability": self._probability(self.book["any"]),
            "liquidated_share_probability": self._probability(self._shares(paths)),
        }
        for loss in ("total_loss", "net_loss", "uncovered_loss"):
            whole = Moments.init()
            whole.update(paths[loss])
            found[f"expected_{loss}"] = self._mean(whole)
            at_risk, shortfall = self._tail_of(paths[loss])
            found[f"{loss}_value_at_risk"] = at_risk
            if loss != "uncovered_loss":
                found[f"{loss}_expected_shortfall"] = shortfall
        return found

    def _shares(self, paths: dict[str, Floats]) -> Moments:
        """Return moments of "more than a share of the accounts is liquidated", (shares,)."""
        accounts = max(int(self.grouping.exists.sum()), 1)
        share = paths["liquidated_accounts"] / accounts
        beyond = Moments.init(len(SHARES))
        beyond.update((share > np.array(SHARES)[:, None]).astype(float))
        return beyond

    def _tail_of(self, losses: Floats) -> tuple[Estimate, Estimate]:
        request = self.request
        tail = UpperTail(1, len(losses), request.levels, request.confidence, "float64")
        tail.update(losses[None])
        at_risk, shortfall = tail.finish()
        return (
            Estimate(at_risk.value[0], at_risk.interval[0]),
            Estimate(shortfall.value[0], shortfall.interval[0]),
        )


def _mean_over_accounts(numbers: Floats, exists: Array) -> Floats:
    """Return (paths,) means: the path is the independent unit, accounts on one path are not."""
    return numbers[exists].mean(axis=0) if exists.any() else np.zeros(numbers.shape[1])


def _only(estimate: Estimate | Array, exists: Array) -> Estimate | Array:
    """Put NaN in place of accounts that do not exist in the world."""
    if exists.all() or not isinstance(estimate, Estimate):
        return estimate
    value, interval = estimate.value.astype(float), estimate.interval.astype(float)
    value[~exists], interval[~exists] = np.nan, np.nan
    return Estimate(value, interval)
