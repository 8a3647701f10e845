"""The measures of a world once more, slowly: keep everything, then average, sort and count."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np

from stress.measure.block import Ownership
from stress.measure.moments import Estimate
from stress.measure.world import Grouping, Request
from stress.stats.probability import mean_interval, probability_interval, wilson
from stress.stats.tail import expected_shortfall, value_at_risk
from stress.types import Array, Floats

__all__ = ["Plain", "Seen", "plain_world", "random_outcome", "random_ownership", "seen"]


@dataclass(frozen=True)
class Seen:
    """(accounts, paths) what became of accounts; ``closed`` is (paths,)."""

    step: Array
    liquidated: Floats
    called: Floats
    bankrupt: Floats
    loss: Floats
    closed: Floats


def random_ownership(generator: np.random.Generator, accounts: int) -> tuple[Ownership, int]:
    """Return accounts of one to three pools, and how many pools there are.

    Some accounts have positions in one pool only, some do not exist.
    """
    pools = generator.integers(1, 4 if generator.random() < 0.7 else 2, accounts)
    first = np.concatenate([[0], pools.cumsum()[:-1]])
    alone = first + generator.integers(0, pools)
    ownership = Ownership(
        first=first,
        bridged_pool=np.where(generator.random(accounts) < 0.4, -1, alone),
        exists=generator.random(accounts) < 0.8,
        initial_equity=generator.normal(size=accounts),
    )
    return ownership, int(pools.sum())


def random_outcome(
    generator: np.random.Generator, pools: int, paths: int, *, often: float, bridged: bool
) -> SimpleNamespace:
    """Return what first passage might say: pools that are liquidated so often, by step 10."""
    shape = (pools, paths)
    hit = generator.random(shape) < often

    def where_hit() -> Floats:
        return np.where(hit, generator.exponential(size=shape), 0).astype(np.float32)

    def log_weight() -> Floats:
        kind = generator.integers(0, 3, shape)
        logs = np.where(kind == 0, 0.0, np.where(kind == 1, -np.inf, generator.normal(size=shape)))
        return np.minimum(logs, 0.0).astype(np.float32)[: pools if bridged else 0]

    return SimpleNamespace(
        step=np.where(hit, generator.integers(0, 11, shape), -1).astype(np.int32),
        called=hit | (generator.random(shape) < 0.2),
        # few values, so that there are ties
        equity=generator.normal(size=shape).round(1).astype(np.float32),
        deficit=where_hit(),
        closed=where_hit(),
        closed_by_asset=generator.exponential(size=(2, paths)).astype(np.float32),
        survival=log_weight(),
        calm=log_weight(),
        least_excess=np.zeros((0, paths), np.float32),
        fund=np.zeros(paths, np.float32),
        drawn=generator.exponential(size=paths).astype(np.float32),
        exhausted=generator.random(paths) < 0.3,
        fund_need=np.zeros(paths, np.float32),
        uncovered=generator.exponential(size=paths).astype(np.float32),
    )


def seen(outcome: SimpleNamespace, ownership: Ownership, tolerance: Floats) -> Seen:
    """Add pools up to accounts, one account and one path after the other."""
    pools, paths = outcome.step.shape
    ends = [*ownership.first[1:], pools]
    step = np.full((len(ends), paths), -1)
    liquidated, called, bankrupt, loss = np.zeros((4, len(ends), paths))
    for account, own in enumerate(map(range, ownership.first, ends)):
        bridge = ownership.bridged_pool[account]
        for path in range(paths):
            steps = [int(outcome.step[pool, path]) for pool in own if outcome.step[pool, path] >= 0]
            step[account, path] = min(steps, default=-1)
            liquidated[account, path] = bool(steps)
            called[account, path] = any(outcome.called[pool, path] for pool in own)
            if len(outcome.survival) and bridge >= 0:
                survival, calm = outcome.survival[bridge, path], outcome.calm[bridge, path]
                liquidated[account, path] = 1 - np.exp(float(survival))
                called[account, path] = 1 - np.exp(float(calm))
            bankrupt[account, path] = any(
                outcome.deficit[pool, path] > tolerance[pool] for pool in own
            )
            equity = sum(float(outcome.equity[pool, path]) for pool in own)
            loss[account, path] = ownership.initial_equity[account] - equity
    closed = outcome.closed.astype(float).sum(axis=0)
    return Seen(step, liquidated, called, bankrupt, loss, closed)


@dataclass(frozen=True)
class Plain:
    """What a world's measure must say, by group and name, of some variables."""

    accounts: dict[str, Estimate]
    groups: dict[str, Estimate]
    book: dict[str, Estimate]
    paths: dict[str, Array]


def plain_world(seen: Seen, grouping: Grouping, request: Request) -> Plain:
    """Estimate from everything at once."""
    exists, there = grouping.exists, np.flatnonzero(grouping.exists)
    members = [[a for a in there if grouping.member[a] == g] for g in range(grouping.groups)]
    hit = seen.step >= 0
    total = np.maximum(seen.loss[there], 0).sum(axis=0)
    any_hit = np.array([hit[own].any(axis=0) for own in members])
    both = any_hit[:, None] & any_hit[None]
    by_step = np.stack([hit & (seen.step <= shown) for shown in request.grid.shown], axis=1)
    level = request.confidence
    return Plain(
        accounts={
            "liquidation_probability": _probability(seen.liquidated, level).only(exists),
            "margin_call_probability": _probability(seen.called, level).only(exists),
            "bankruptcy_probability": _probability(seen.bankrupt, level).only(exists),
            "expected_loss": _mean(seen.loss, level).only(exists),
            "value_at_risk": _tail(seen.loss, request, value_at_risk).only(exists),
            "expected_shortfall": _tail(seen.loss, request, expected_shortfall).only(exists),
            "liquidation_probability_by_step": _hits(by_step, level).only(exists),
        },
        groups={
            "liquidation_probability": _probability(_means(seen.liquidated, members), level),
            "liquidation_probability_by_step": _probability(_means(by_step, members), level),
            "any_liquidation_probability": _probability(any_hit, level),
            "joint_liquidation_probability": _probability(both, level),
            "expected_loss": _mean(
                np.stack([seen.loss[own].sum(axis=0) for own in members]), level
            ),
        },
        book={
            "liquidation_probability": _probability(
                seen.liquidated[there].sum(axis=0) / max(len(there), 1), level
            ),
            "any_liquidation_probability": _probability(hit[there].any(axis=0), level),
            "expected_total_loss": _mean(total, level),
        },
        paths={
            "liquidated_accounts": hit[there].sum(axis=0),
            "liquidated_notional": seen.closed,
            "total_loss": total,
            "net_loss": seen.loss[there].sum(axis=0),
        },
    )


def _means(numbers: Array, members: list[list[int]]) -> Floats:
    """Return means over the accounts of each group; NaN of an empty one."""
    nobody = np.full(numbers.shape[1:], np.nan)
    return np.stack([numbers[own].mean(axis=0) if own else nobody for own in members])


def _spread(numbers: Array) -> Floats:
    paths = numbers.shape[-1]
    return numbers.var(axis=-1, ddof=1) if paths > 1 else np.zeros(numbers.shape[:-1])


def _mean(numbers: Array, level: float) -> Estimate:
    mean, paths = numbers.mean(axis=-1), numbers.shape[-1]
    return Estimate(mean, mean_interval(mean, _spread(numbers), paths, level))


def _probability(numbers: Array, level: float) -> Estimate:
    numbers = numbers.astype(float)
    mean, paths = numbers.mean(axis=-1), numbers.shape[-1]
    return Estimate(mean, probability_interval(mean, _spread(numbers), paths, level))


def _hits(hits: Array, level: float) -> Estimate:
    share = hits.mean(axis=-1)
    return Estimate(share, wilson(share, np.array(float(hits.shape[-1])), level))


def _tail(loss: Floats, request: Request, estimate: object) -> Estimate:
    assert callable(estimate)
    descending = np.sort(loss, axis=1)[:, ::-1]
    found = [
        estimate(descending, loss.shape[1], level, request.confidence) for level in request.levels
    ]
    values, intervals = zip(*found, strict=True)
    return Estimate(np.stack(values, axis=1), np.stack(intervals, axis=1))
