"""Everything that is measured of one world, block by block.

What is returned carries the names of ``result.schema`` and the shapes that it states, so that
assembling a result only labels them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy.sparse import csr_matrix

from stress.measure.block import AccountBlock
from stress.measure.kept import merge
from stress.measure.moments import Estimate, Moments, mean_and_squares
from stress.measure.pathwise import (
    PathTable,
    Sample,
    mean_over_paths,
    probability_over_paths,
    tail_over_paths,
)
from stress.measure.sparse import Sparse, account_slices, sums_of_columns
from stress.measure.tail import UpperTail
from stress.measure.timing import LiquidationTimes, TimeGrid
from stress.stats.tail import tail_size
from stress.types import Array, Floats, Integers, Precision

__all__ = ["Findings", "Grouping", "Request", "WorldMeasure"]

Findings = dict[str, dict[str, Estimate | Array]]
"""Result group -> variable -> estimate or plain array."""

_EVERY_PATH = (
    "liquidated_accounts",
    "liquidated_notional",
    "total_loss",
    "net_loss",
    "uncovered_loss",
    "fund_draw",
    "fund_exhausted",
    "fund_need",
)
_WITH_FEEDBACK = (
    "socialised_loss",
    "deleveraged_notional",
    "false_liquidations",
    "over_closed_notional",
    "late_steps",
    "rounds_exhausted",
)
"""Columns of the per-path table, and those that first passage cannot have."""

SHARES = (0.01, 0.05, 0.10, 0.25, 0.50)
"""Shares of accounts whose joint liquidation is given a probability."""

_SURE = 1 - 1e-15
"""Confidence that a part of the paths keeps what the whole run needs of it."""

_CELLS = 1 << 22
"""Most counters of groups, times and paths held at a time."""


@dataclass(frozen=True)
class Request:
    """What a run asks of its measures.

    Attributes
    ----------
    levels, quantiles, confidence
        As in the scenario.
    paths
        The number of paths to come.
    grid
        Times at which liquidations are counted.
    precision
        Of what is stored.
    tails
        What becomes of the largest numbers: those of a whole ``"run"``, of a ``"part"`` that is
        merged into a run of any length, or ``"all"`` of such a part, which need not resemble the
        others.
    """

    levels: tuple[float, ...]
    quantiles: tuple[float, ...]
    confidence: float
    paths: int
    grid: TimeGrid
    precision: Precision
    tails: Literal["run", "part", "all"] = "run"

    def part(self, paths: int, *, alike: bool) -> Request:
        """Return what is asked of a part of the paths.

        Parameters
        ----------
        paths
            How many it has; not more than the run.
        alike
            Whether parts differ by chance only.
        """
        return replace(self, paths=paths, tails="part" if alike else "all")

    def keep(self, level: float) -> int:
        """Return how many of the largest numbers are kept for estimates at a level.

        A part of n paths keeps k such that more than k of a run's largest fall into it with a
        probability below 1e-15: of the K largest of T >= n paths their number is hypergeometric,
        K / T is largest for T = n, and the binomial law has the longer tail (Hoeffding 1963,
        theorem 4). Whoever merges parts sees it if that happens.
        """
        own = tail_size(self.paths, level, self.confidence)
        if self.tails == "run":
            return own
        if self.tails == "all":
            return self.paths
        return tail_size(self.paths, 1 - own / self.paths, _SURE)


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
        self._members = {
            some.start: _memberships(account_group[some], groups, exists[some])
            for some in account_slices(len(account_group))
        }

    def sum(self, numbers: Floats) -> Floats:
        """Return (groups, paths) sums of (accounts, paths) numbers."""
        sums = np.zeros((self.groups, numbers.shape[1]))
        for some in account_slices(len(self.member)):
            sums += self.sum_of(numbers[some], some)
        return sums

    def sum_of(self, numbers: Floats, some: slice) -> Floats:
        """Return (groups, paths) sums over the accounts of one of ``account_slices``."""
        sums: Floats = self._members[some.start] @ numbers
        return sums

    def sum_sparse(self, numbers: Sparse) -> Array:
        """Return (groups, paths) sums; whole numbers where only ones are added."""
        counted = numbers.of(self.exists)
        cell = self.member[counted.account] * numbers.paths + counted.path
        sums = np.bincount(cell, counted.number, self.groups * numbers.paths)
        return sums.reshape(self.groups, numbers.paths)

    def mean_sparse(self, numbers: Sparse) -> Floats:
        """Return (groups, paths) means of (accounts, paths) numbers; NaN for an empty group."""
        with np.errstate(invalid="ignore"):
            means: Floats = self.sum_sparse(numbers) / self.accounts[:, None]
        return means


def _memberships(group: Integers, groups: int, exists: Array) -> csr_matrix:
    """Return (groups, accounts) 1 where an account that exists is in a group."""
    account = np.flatnonzero(exists)
    shape = (groups, len(group))
    return csr_matrix((np.ones(len(account)), (group[account], account)), shape=shape)


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
    feedback
        Whether the cascade is the engine: what only it can have is measured.
    """

    KEPT = (
        "by_account",
        "by_group",
        "book",
        "closed_by_asset",
        "joint",
        "tail",
        "times",
        "path_table",
        "overshoot",
        "overshoots",
    )

    def __init__(
        self, grouping: Grouping, assets: int, request: Request, *, feedback: bool = False
    ) -> None:
        accounts, groups = len(grouping.member), grouping.groups
        self.grouping, self.request, self.feedback = grouping, request, feedback
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
            accounts,
            request.paths,
            request.levels,
            request.confidence,
            request.precision,
            keep=request.keep(min(request.levels)),
        )
        self.times = LiquidationTimes(accounts, request.grid)
        self._shown = request.grid.places(request.grid.shown)
        self.path_table = PathTable(*_EVERY_PATH, *(_WITH_FEEDBACK if feedback else ()))
        if feedback:
            self.by_account["hidden"] = Moments.init(accounts)
            self.overshoot = Moments.init(assets)
            self.overshoots = Sample(assets, request.precision)

    def update(self, block: AccountBlock) -> None:
        """Add one block of paths."""
        if block.paths == 0:
            return
        grouping, exists = self.grouping, self.grouping.exists
        self.by_account["liquidation"].update_sparse(block.liquidations)
        self.by_account["margin_call"].update_sparse(block.calls)
        self.by_account["bankruptcy"].update_sparse(block.bankruptcies)
        hits = grouping.sum_sparse(block.hits)
        any_hit = (hits > 0).astype(np.float64)
        self.by_group["liquidation"].update(grouping.mean_sparse(block.liquidations))
        self.by_group["any"].update(any_hit)
        self.joint += any_hit @ any_hit.T
        self.book["liquidation"].update(block.liquidated_share(exists))
        self.book["any"].update(block.any_hit(exists))
        self.closed_by_asset.update(block.closed_by_asset)
        self._add_times(block)
        self._record(block, hits.sum(axis=0), self._add_losses(block))
        if self.feedback:
            self._record_feedback(block)

    def _add_losses(self, block: AccountBlock) -> Floats:
        """Add the losses of accounts and groups; return (groups, paths) the latter."""
        mean, squares = np.empty(block.accounts), np.empty(block.accounts)
        by_group = np.zeros((self.grouping.groups, block.paths))
        for some in account_slices(block.accounts):
            loss = block.loss_of(some)
            mean[some], squares[some] = mean_and_squares(loss)
            by_group += self.grouping.sum_of(loss, some)
            self.tail.update(loss, some.start)
        self.by_account["loss"].merge(Moments(block.paths, mean, squares))
        self.by_group["loss"].update(by_group)
        return by_group

    def _add_times(self, block: AccountBlock) -> None:
        """Count when the accounts that exist are liquidated."""
        account, path, step = block.hits.account, block.hits.path, block.hit_step
        if not self.grouping.exists.all():
            exists = self.grouping.exists[account]
            account, path, step = account[exists], path[exists], step[exists]
        self.times.update(account, step)
        self.by_group["by_step"].merge(self._shares_by_step(account, path, step, block.paths))

    def _shares_by_step(
        self, account: Integers, path: Integers, step: Integers, paths: int
    ) -> Moments:
        """Return moments of (groups, shown steps) shares of accounts liquidated by each step."""
        grouping, shape = self.grouping, self.by_group["by_step"].mean.shape
        member, when = grouping.member[account], self._shown[step]
        total, squares = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        width = min(max(_CELLS // max(shape[0] * shape[1], 1), 1), paths)
        for first in range(0, paths, width):
            here = (path >= first) & (path < first + width) if width < paths else slice(None)
            by = _counts_by_step(member[here], when[here], path[here] - first, (*shape, width))
            total += by.sum(axis=2)
            squares += np.einsum("gsp,gsp->gs", by, by)
        accounts = grouping.accounts[:, None]
        with np.errstate(invalid="ignore"):
            mean = total / (accounts * paths)
            # whole numbers up to the division: accounts times paths may reach 3e9
            apart = (paths * squares - total * total) / (paths * accounts * accounts)
        return Moments(paths, mean, apart)

    def _record(self, block: AccountBlock, hits: Integers, loss: Floats) -> None:
        """Add to the per-path table; ``loss`` is (groups, paths)."""
        self.path_table.update(
            liquidated_accounts=hits,
            liquidated_notional=block.closed,
            total_loss=block.total_loss(self.grouping.exists),
            net_loss=sums_of_columns(loss),
            uncovered_loss=block.uncovered,
            fund_draw=block.fund_draw,
            fund_exhausted=block.fund_exhausted,
            fund_need=block.fund_need,
        )

    def _record_feedback(self, block: AccountBlock) -> None:
        self.by_account["hidden"].update_rows(block.hidden_of, block.paths)
        self.overshoot.update(block.overshoot)
        self.overshoots.update(block.overshoot)
        self.path_table.update(
            socialised_loss=block.socialised,
            deleveraged_notional=block.deleveraged,
            false_liquidations=block.false_liquidations,
            over_closed_notional=block.over_closed,
            late_steps=block.late_steps,
            rounds_exhausted=block.rounds_exhausted,
        )

    def merge(self, other: WorldMeasure) -> None:
        """Add what was measured on later paths."""
        self.joint += other.joint
        merge(self, other, besides=("joint",))

    def finish(self) -> Findings:
        """Return all estimates, by result group and variable name."""
        paths = self.path_table.finish()
        return {
            "accounts": self._finish_accounts(),
            "groups": self._finish_groups(),
            "book": self._finish_book(paths),
            "assets": self._finish_assets(),
            "paths": dict(paths),
        }

    def _mean(self, moments: Moments) -> Estimate:
        return moments.finish_mean(self.request.confidence)

    def _probability(self, moments: Moments) -> Estimate:
        return moments.finish_probability(self.request.confidence)

    def _finish_accounts(self) -> dict[str, Estimate | Array]:
        request, moments = self.request, self.by_account
        at_risk, shortfall = self.tail.finish()
        found: dict[str, Estimate] = {
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
        if self.feedback:
            found["hidden_distress"] = self._mean(moments["hidden"])
        return {name: estimate.only(self.grouping.exists) for name, estimate in found.items()}

    def _finish_assets(self) -> dict[str, Estimate | Array]:
        found: dict[str, Estimate | Array] = {
            "liquidated_notional_mean": self._mean(self.closed_by_asset)
        }
        if self.feedback:
            found["price_overshoot_mean"] = self._mean(self.overshoot)
            found["price_overshoot_quantile"] = self.overshoots.finish(self.request.quantiles)
        return found

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

    def _finish_book(self, paths: dict[str, Array]) -> dict[str, Estimate | Array]:
        confidence = self.request.confidence
        found: dict[str, Estimate | Array] = {
            "liquidation_probability": self._probability(self.book["liquidation"]),
            "any_liquidation_probability": self._probability(self.book["any"]),
            "liquidated_share_probability": self._probability(self._shares(paths)),
        }
        for column, numbers in paths.items():
            if column not in ("fund_exhausted", "fund_need", "rounds_exhausted"):
                found[f"expected_{column}"] = mean_over_paths(numbers, confidence)
        for column in ("total_loss", "net_loss", "uncovered_loss", "fund_draw"):
            at_risk, shortfall = tail_over_paths(paths[column], self.request.levels, confidence)
            found[f"{column}_value_at_risk"] = at_risk
            if column.startswith(("total", "net")):
                found[f"{column}_expected_shortfall"] = shortfall
        found["fund_exhaustion_probability"] = probability_over_paths(
            paths["fund_exhausted"], confidence
        )
        if self.feedback:
            found["rounds_exhausted_probability"] = probability_over_paths(
                paths["rounds_exhausted"] > 0, confidence
            )
        return found

    def _shares(self, paths: dict[str, Array]) -> Moments:
        """Return moments of "more than a share of the accounts is liquidated", (shares,)."""
        accounts = max(int(self.grouping.exists.sum()), 1)
        share = paths["liquidated_accounts"] / accounts
        beyond = Moments.init(len(SHARES))
        beyond.update((share > np.array(SHARES)[:, None]).astype(float))
        return beyond


def _counts_by_step(
    member: Integers, when: Integers, path: Integers, shape: tuple[int, int, int]
) -> Integers:
    """Return (groups, shown steps, paths) how many accounts are liquidated by each step."""
    cell = (member * shape[1] + when) * shape[2] + path
    counts = np.bincount(cell, minlength=shape[0] * shape[1] * shape[2])
    return counts.reshape(shape).cumsum(axis=1)
