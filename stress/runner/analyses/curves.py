"""Limit curves: liquidation probability over collateral and over size, from one more walk.

``engine.needs`` looks at every pool at every step, so the curves keep to some accounts and to some
of the run's paths. Path i is path i: at 1 the curves say of these accounts and paths what first
passage says.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import jax.numpy as jnp
import numpy as np

from stress.book.display import pool_margins
from stress.engine.needs import Needs, pool_needs
from stress.engine.panels import Panel, World
from stress.measure.curves import (
    MULTIPLES,
    AccountNeeds,
    Curve,
    CurveMeasure,
    account_needs,
)
from stress.measure.moments import Estimate
from stress.measure.world import Findings
from stress.result.assemble import Labels, prefixed
from stress.runner.fan import only_pools
from stress.runner.measured import Measured
from stress.runner.plan import device_count, path_blocks, time_block
from stress.runner.prepare import Job, WorldJob
from stress.runner.spread import Kernel, Models, Spread, Work, compiled, on_host
from stress.types import Array, Floats, Integers, Mode

__all__ = ["limit_curves"]

_BUDGET = 8e8
"""Slots of positions and coins times paths times steps: about 8 nanoseconds each on one core, most
of them spent on the tiers."""

_PATHS = 256, 1024
"""Paths at least, whatever they cost; and those for whose sake accounts are left out. More are
taken where the budget has room for them after all accounts."""

_GROUPS = 8
"""Most groups with a curve: those most often liquidated, as in other figures."""

_ACCOUNTS = 512
"""Most accounts of the groups together."""

_MOST_LIQUIDATED, _LARGEST = 3, 1
"""Accounts of each group with a curve of their own."""


@dataclass(frozen=True)
class _Sample:
    """The accounts that are looked at.

    Attributes
    ----------
    groups
        Indices of the groups with a curve.
    accounts
        (accounts,) indices, ascending.
    group
        (accounts,) place in ``groups`` of those that stand for their group, else -1.
    chosen
        Places in ``accounts`` of those with a curve of their own, by group.
    """

    groups: Integers
    accounts: Integers
    group: Integers
    chosen: Integers


def limit_curves(
    job: Job, measured: Measured, spread: Spread
) -> tuple[Findings, dict[str, Labels], dict[str, dict[str, str | int | float]]]:
    """Return the curves of all simulated worlds, their labels and what they rest on.

    Parameters
    ----------
    job, measured
        The run whose main numbers are there already: they say which accounts are looked at.
    spread
        The devices, and how many paths each takes at a time.
    """
    probability = measured.worlds[job.main_mode].by_account["liquidation"].mean
    slots = np.sum([_slots(world) for world in job.worlds.values()], axis=0)
    sample = _sample(job, probability, slots)
    paths = _paths(job, slots[sample.accounts].sum(), spread.width)
    curves = _measured(job, sample, paths, spread)
    found = {mode: _named(measure, job) for mode, measure in curves.items()}
    findings: dict[str, Any] = {"curves": {**found[job.main_mode], **_book(job, sample)}}
    for mode in job.scenario.worlds if job.scenario.book.compare else ():
        findings["curves"] |= prefixed({"curves": found[job.alias[mode]]}, mode)["curves"]
    labels: Labels = {
        "multiple": MULTIPLES,
        "group": np.array(job.book.groups, str)[sample.groups],
        "account": np.array(job.book.accounts, str)[sample.accounts[sample.chosen]],
    }
    said: dict[str, str | int | float] = {
        "paths": paths,
        "accounts": len(sample.accounts),
        "notes": "\n".join(_notes(job, findings["curves"])),
    }
    return findings, {"curves": labels}, {"curves": said}


def _slots(world: WorldJob) -> Floats:
    """Return (accounts,) the slots, padding and all, of each account's pools in one world."""
    by_panel = [
        np.full(panel.pools, panel.asset.shape[0] + panel.coin_asset.shape[0])
        for panel in world.world.panels
    ]
    pools = len(world.pools.cash)
    slots = np.concatenate(by_panel)[np.asarray(world.world.order)[:pools]]
    by_account: Floats = np.zeros(len(world.pools.exists))
    np.add.at(by_account, world.pools.account, slots)
    return by_account


def _sample(job: Job, probability: Floats, slots: Floats) -> _Sample:
    """Return the accounts that are looked at.

    Those that stand for a group are spaced evenly over its accounts in the order of their
    liquidation probability: their mean is then near that of all, where a random sample's is not.
    """
    grouping = job.main.grouping
    often = np.bincount(grouping.member, np.where(grouping.exists, probability, 0), grouping.groups)
    often = np.where(grouping.accounts > 0, often / np.maximum(grouping.accounts, 1), -1.0)
    groups = np.sort(np.argsort(-often, kind="stable")[:_GROUPS])
    groups = groups[grouping.accounts[groups] > 0]
    ranked = [_ranked(grouping.member == group, grouping.exists, probability) for group in groups]
    notional = _notional(job)
    chosen = [_chosen(accounts, notional) for accounts in ranked]
    room = _BUDGET / (job.schedule.steps * min(job.scenario.simulation.paths, _PATHS[1]))
    room -= slots[np.concatenate(chosen)].sum()
    each = _even([len(accounts) for accounts in ranked], room / max(slots.mean(), 1))
    spaced = [
        accounts[((np.arange(count) + 0.5) * len(accounts) / count).astype(int)]
        for accounts, count in zip(ranked, each, strict=True)
    ]
    accounts = np.unique(np.concatenate([*spaced, *chosen]))
    group = np.full(len(accounts), -1)
    for place, members in enumerate(spaced):
        group[np.searchsorted(accounts, members)] = place
    return _Sample(groups, accounts, group, np.searchsorted(accounts, np.concatenate(chosen)))


def _ranked(member: Array, exists: Array, probability: Floats) -> Integers:
    """Return a group's accounts that exist, most often liquidated first."""
    accounts = np.flatnonzero(member & exists)
    return accounts[np.argsort(-probability[accounts], kind="stable")]


def _chosen(ranked: Integers, notional: Floats) -> Integers:
    """Return the accounts of a group that have a curve of their own, each once."""
    largest = ranked[np.argsort(-notional[ranked], kind="stable")[:_LARGEST]]
    return np.array(list(dict.fromkeys([*ranked[:_MOST_LIQUIDATED], *largest])))


def _even(sizes: list[int], room: float) -> list[int]:
    """Return how many accounts of each group are looked at: as evenly as they have them.

    At least one, and all where there is room.
    """
    left, counts = min(room, float(_ACCOUNTS)), [0] * len(sizes)
    # a group that has less than its share leaves more to the others
    for waiting, place in zip(
        range(len(sizes), 0, -1), np.argsort(sizes, kind="stable"), strict=True
    ):
        counts[place] = min(sizes[place], max(int(left // waiting), 1))
        left -= counts[place]
    return counts


def _paths(job: Job, slots: float, width: int) -> int:
    """Return how many of the run's paths are walked: all, or whole blocks."""
    least, _ = _PATHS
    paths = job.scenario.simulation.paths
    fit = int(_BUDGET / max(job.schedule.steps * slots, 1))
    blocks = -(-max(min(fit, paths), least) // width)
    return min(blocks * width, paths)


def _notional(job: Job) -> Floats:
    """Return (accounts,) gross notionals at the start, USD."""
    book = job.book
    by_position = np.abs(book.quantity) * job.setting.price[book.position_asset]
    notional: Floats = np.zeros(len(book.accounts))
    np.add.at(notional, book.position_account, by_position)
    return notional


def _measured(job: Job, sample: _Sample, paths: int, spread: Spread) -> dict[Mode, CurveMeasure]:
    """Walk the paths and measure them, world by world."""
    spread = spread.fewer(device_count(paths, spread.block, spread.devices), spread.block)
    looked = [_Looked.of(job, world, sample.accounts) for world in job.worlds.values()]
    measures = {
        mode: CurveMeasure(sample.group, len(sample.groups), sample.chosen) for mode in job.worlds
    }
    models = Models(job.market, spread)
    (kernel,) = compiled(_work(job, spread, models, tuple(each.world for each in looked)))
    strict = job.schedule.monitoring == "bridge"
    for outcome in _walked(kernel, models, paths):
        for measure, each, needs in zip(measures.values(), looked, outcome, strict=True):
            measure.update(each.account_needs(needs, strict))
    return measures


def _walked(kernel: Kernel, models: Models, paths: int) -> Iterator[tuple[Needs, ...]]:
    """Yield what each device's paths ask of each world, in their order; one block ahead."""
    waiting = None
    for numbers, count in path_blocks(paths, kernel.spread.width):
        started = kernel(models.block(numbers), numbers), kernel.spread.counts(count)
        if waiting is not None:
            yield from _arrived(*waiting)
        waiting = started
    if waiting is not None:
        yield from _arrived(*waiting)


def _arrived(outcomes: list[Any], counts: list[int]) -> Iterator[tuple[Needs, ...]]:
    for outcome, own in zip(outcomes, counts, strict=True):
        worlds = on_host(outcome)
        yield tuple(Needs(of.shortfall[:, :own], of.size[:, :own]) for of in worlds)


def _work(job: Job, spread: Spread, models: Models, worlds: tuple[World, ...]) -> Work:
    # the cascade cuts time otherwise
    schedule = replace(job.schedule, block=time_block(job.schedule.steps), least_excess=False)
    seed = jnp.asarray(job.scenario.simulation.seed, jnp.uint32)
    return Work(
        function=pool_needs,
        spread=spread,
        models=models,
        before=(job.price, worlds, seed),
        schedule=schedule,
    )


@dataclass(frozen=True)
class _Looked:
    """The pools of one world that are looked at.

    ``world`` holds them at the starting marks, ``first`` is (accounts,) each account's first of
    them, ``exists`` (accounts,) whether it has them in this world, ``equity`` (pools,) USD at the
    start.
    """

    world: World
    first: Integers
    exists: Array
    equity: Floats

    @classmethod
    def of(cls, job: Job, world: WorldJob, accounts: Integers) -> _Looked:
        pools = np.flatnonzero(np.isin(world.pools.account, accounts))
        start = pool_margins(job.book, world.pools, job.setting, job.setting.price)
        return cls(
            _at_start(only_pools(world.world, pools, len(world.pools.cash)), job.setting.price),
            np.searchsorted(world.pools.account[pools], accounts),
            world.pools.exists[accounts],
            start.equity[pools],
        )

    def account_needs(self, needs: Needs, strict: bool) -> AccountNeeds:
        """Return what some paths ask of the accounts; NaN of one that is not in this world."""
        pools = len(self.equity)
        shortfall, size = (np.asarray(of, np.float64)[:pools] for of in needs)
        found = account_needs(shortfall, size, self.first, self.equity, strict=strict)
        here = self.exists[:, None]
        return AccountNeeds(*(np.where(here, of, np.nan) for of in (found.collateral, found.size)))


def _at_start(world: World, price: Floats) -> World:
    """Return the same pools with positions entered at the starting marks, their profit in cash.

    Nothing that happens to them changes; but a multiple of their size is one of what they hold
    now, as if the difference were traded at these marks, and leaves their equity as it is.
    """
    return replace(world, panels=tuple(_entered(panel, price) for panel in world.panels))


def _entered(panel: Panel, price: Floats) -> Panel:
    cash, quantity, entry = (
        np.asarray(of, np.float64) for of in (panel.cash, panel.quantity, panel.entry)
    )
    marks = np.where(quantity != 0, price[np.asarray(panel.asset)], 0.0)
    profit = (quantity * (marks - entry)).sum(axis=0)
    return replace(
        panel,
        cash=jnp.asarray(cash + profit, panel.cash.dtype),
        entry=jnp.asarray(marks, panel.entry.dtype),
    )


def _named(measure: CurveMeasure, job: Job) -> dict[str, Estimate | Array]:
    """Return the curves of one world under their names."""
    found: dict[str, Estimate | Array] = {}
    for name, points in (("collateral", measure.collateral), ("size", measure.size)):
        curve: Curve = points.finish(job.request.confidence)
        found[f"liquidation_probability_by_{name}"] = curve.by_group
        found[f"account_liquidation_probability_by_{name}"] = curve.by_account
        found[f"accounts_by_{name}"] = curve.accounts
    return found


def _book(job: Job, sample: _Sample) -> dict[str, Estimate | Array]:
    """Return what is known of the chosen accounts without a walk."""
    chosen = sample.accounts[sample.chosen]
    equity = job.main.ownership.initial_equity[chosen]
    with np.errstate(divide="ignore", invalid="ignore"):
        leverage = np.where(equity > 0, _notional(job)[chosen] / equity, np.nan)
    return {
        "account_group": np.array(job.book.groups, str)[job.book.account_group[chosen]],
        "effective_leverage_by_size": leverage[:, None] * MULTIPLES,
    }


def _notes(job: Job, found: dict[str, Estimate | Array]) -> Iterator[str]:
    """Yield what the curves leave out of this scenario."""
    if job.main.cascade is not None:
        yield (
            "The curves ask when a pool is first in breach at fundamental prices: price impact, "
            "controls, funding, halts, late decisions and what partial closes save are left out."
        )
    counts = (np.asarray(found[f"accounts_by_{name}"]) for name in ("collateral", "size"))
    missing = np.subtract(*counts).any()
    if missing:
        reason = "their cash is negative, so that a small size may be liquidated too"
        if job.schedule.monitoring == "bridge":
            reason += ", or between two steps their size is known only by a run of its own"
        yield f"Some accounts have no curve over size: {reason}."
