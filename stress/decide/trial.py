"""How often each account of a changed book is liquidated, on the scenario's own paths.

A trial is first passage and nothing else: prices know nothing of forced sales, and an account is
liquidated when one of its pools is first in breach. The kernel is compiled once; another book of
the same shape is only other numbers. Path ``i`` is path ``i`` of the run: two books are compared on
common random numbers, and a book that is not changed is liquidated on the very paths of the run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from stress.book.book import Book
from stress.book.pools import Pools, account_pools
from stress.decide.task import Task
from stress.engine.block import Rules, Schedule
from stress.engine.deal import build_world
from stress.engine.panels import World
from stress.engine.passage import first_passage
from stress.errors import InputError
from stress.market import ModelSource, knows_extremes
from stress.runner.device import device_memory
from stress.runner.plan import bytes_per_path, device_count, path_blocks, paths_together, time_block
from stress.runner.prepare import build_market
from stress.runner.resampling import resampling_of
from stress.runner.spread import Kernel, Models, Spread, Work, compiled, on_host
from stress.scenario.cascade import funding_steps
from stress.scenario.schema import Scenario
from stress.stats.confidence import Confidence
from stress.types import Array, Floats, Integers, Mode

__all__ = ["Kernels", "Tally", "Trial", "Units", "left_out", "worth"]


@dataclass(frozen=True)
class Units:
    """Whom a question is about: accounts, one by one or several together.

    Attributes
    ----------
    of_account
        (accounts,) index of the unit that each account of the trial's book belongs to.
    size
        (units,) number of accounts that exist in the world; a unit without any has no answer.
    """

    of_account: Integers
    size: Integers

    @classmethod
    def of(cls, of_account: Integers, exists: Array) -> Units:
        """Return the units of accounts that are numbered from 0 without gaps."""
        count = int(of_account.max(initial=-1)) + 1
        return cls(of_account, np.bincount(of_account[exists], minlength=count))

    @property
    def count(self) -> int:
        """Number of units."""
        return len(self.size)


@dataclass(frozen=True)
class Tally:
    """Liquidations on the paths of a trial.

    Attributes
    ----------
    hits
        (units,) pairs of an account and a path on which it is liquidated.
    mean, variance
        (units,) mean and sample variance over paths of the share of a unit's accounts that are.
    """

    hits: Integers
    mean: Floats
    variance: Floats

    def at(self, chosen: Array) -> Tally:
        """Return the tally of some units."""
        return Tally(self.hits[chosen], self.mean[chosen], self.variance[chosen])

    @classmethod
    def joined(cls, parts: Sequence[Tally]) -> Tally:
        """Return the tallies of several lots of units as one."""
        return cls(
            *(
                np.concatenate([getattr(part, name) for part in parts])
                for name in ("hits", "mean", "variance")
            )
        )


class Trial:
    """The scenario's paths and a kernel that runs any book of a shape over them.

    Attributes
    ----------
    paths
        Number of paths: those of the scenario.
    """

    def __init__(self, task: Task) -> None:
        scenario = task.scenario
        simulation = scenario.simulation
        self.paths = simulation.paths
        # a margin call is not asked for: at the ratio of a breach nobody is looked at for it alone
        self._setting = replace(task.setting, warning=1.0)
        self._market = build_market(scenario, task.setting)
        self._schedule = Schedule(
            steps=task.setting.steps,
            block=time_block(task.setting.steps),
            monitoring=simulation.monitoring,
            precision=simulation.precision,
        )
        _require_known(self._market, self._schedule, scenario)
        dtype = np.dtype(simulation.precision)
        self._price = jax.device_put(task.setting.price.astype(dtype))
        numbers: Any = (task.setting.fee, 1.0, 0.0)
        self._rules = jax.device_put(Rules(*np.asarray(numbers, dtype)))
        self._seed = jnp.asarray(simulation.seed, jnp.uint32)
        self._kernels = Kernels(
            first_passage, self._market, self._schedule, task.devices, simulation.paths
        )

    def confidence(self, wanted: float) -> Confidence:
        """Return a confidence that knows what the market's paths are worth."""
        return worth(self._market, wanted)

    def run(self, books: Mapping[Mode, Book], units: Mapping[Mode, Units]) -> dict[Mode, Tally]:
        """Run a book in each of some worlds over all paths.

        Parameters
        ----------
        books
            World -> the book whose counterpart there is simulated; all on the same paths.
        units
            World -> whose liquidations are counted together.
        """
        pools = {mode: self._pools(book, mode) for mode, book in books.items()}
        worlds = tuple(self._world(books[mode], pools[mode]) for mode in books)
        per_path = bytes_per_path(
            pools=sum(len(each.cash) for each in pools.values()),
            assets=len(self._setting.assets),
            steps=self._schedule.block,
        )
        before = (self._price, worlds, self._rules, self._seed)
        counters = {mode: _Counter.of(pools[mode], units[mode]) for mode in books}
        for (found, _), count in self._kernels.outcomes(before, per_path):
            for mode, outcome in zip(books, found, strict=True):
                counters[mode].update(outcome.step, count)
        return {mode: counter.finish(self.paths) for mode, counter in counters.items()}

    def _pools(self, book: Book, mode: Mode) -> Pools:
        return account_pools(book, mode, self._setting.price, self._setting.haircut)

    def _world(self, book: Book, pools: Pools) -> World:
        schedule = self._schedule
        return build_world(book, pools, self._setting, schedule.precision, schedule.monitoring)


class Kernels:
    """A kernel of the engine for books of any shapes, over all paths of a scenario.

    Parameters
    ----------
    function, schedule
        The kernel and what it is specialised to.
    market
        Gives each block of paths its price model.
    devices
        That are used.
    paths
        Number of paths.
    own, behind
        Arguments of the kernel behind the path numbers, as ``runner.spread.Work`` has them.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        market: ModelSource,
        schedule: Schedule,
        devices: tuple[jax.Device, ...],
        paths: int,
        *,
        own: tuple[int, ...] = (),
        behind: tuple[Any, ...] = (),
    ) -> None:
        self._function, self._market, self._schedule = function, market, schedule
        self._devices, self._paths, self._own, self._behind = devices, paths, own, behind
        self._compiled: dict[Any, tuple[Kernel, Models]] = {}

    def outcomes(self, before: tuple[Any, ...], per_path: int) -> Iterator[tuple[Any, int]]:
        """Yield the outcome of each device's block and how many of its paths count, in order.

        Parameters
        ----------
        before
            Arguments of the kernel between the model and the paths. Other numbers of the same
            shapes compile nothing.
        per_path
            Bytes that one more path takes, as ``runner.plan.bytes_per_path`` returns them.
        """
        kernel, models = self._kernel(before, per_path)
        waiting = None
        for numbers, count in path_blocks(self._paths, kernel.spread.width):
            # the devices work on the next blocks while the host counts these
            started = kernel(models.block(numbers), numbers, *self._own), count
            if waiting is not None:
                yield from _counted(kernel.spread, *waiting)
            waiting = started
        if waiting is not None:
            yield from _counted(kernel.spread, *waiting)

    def _kernel(self, before: tuple[Any, ...], per_path: int) -> tuple[Kernel, Models]:
        leaves, structure = jax.tree.flatten(before)
        shape = structure, tuple((leaf.shape, leaf.dtype) for leaf in leaves)
        if shape not in self._compiled:
            spread = _spread(self._devices, self._paths, per_path)
            models = Models(self._market, spread)
            work = Work(
                self._function,
                spread,
                models,
                before,
                self._schedule,
                len(self._own),
                self._behind,
            )
            self._compiled[shape] = compiled(work)[0], models
        kernel, models = self._compiled[shape]
        return replace(kernel, before=kernel.spread.share(before)), models


def worth(market: ModelSource, wanted: float) -> Confidence:
    """Return a confidence that knows what a market's paths are worth."""
    drawn = resampling_of(market)
    return Confidence(wanted, drawn.design_effect if drawn else 1.0)


def _spread(devices: tuple[jax.Device, ...], paths: int, per_path: int) -> Spread:
    memory = device_memory(devices[0])
    if devices[0].platform == "cpu":
        # they share the machine's
        memory //= len(devices)
    block = paths_together(devices[0].platform, memory, per_path)
    return Spread.over(devices[: device_count(paths, block, len(devices))], block)


def _counted(spread: Spread, found: list[Any], count: int) -> Iterator[tuple[Any, int]]:
    for outcome, own in zip(found, spread.counts(count), strict=True):
        if own:
            yield on_host(outcome), own


class _Counter:
    """Counts liquidations of the accounts of one world, block of paths by block."""

    def __init__(self, owner: Integers, units: Units) -> None:
        self._owner, self._units = owner, units
        self._together = units.size > 1
        # units of several accounts have shares between 0 and 1
        self._number = np.cumsum(self._together) - 1
        self._shared = int(self._together.sum())
        self._hits = np.zeros(units.count, np.int64)
        self._squares = np.zeros(self._shared)

    @classmethod
    def of(cls, pools: Pools, units: Units) -> _Counter:
        return cls(pools.account, units)

    def update(self, step: Array, count: int) -> None:
        """Add the first ``count`` paths of (pools or more, paths) first breaches."""
        pool, path = np.nonzero(step[: len(self._owner), :count] >= 0)
        owner = self._owner[pool]
        if len(self._owner) > len(self._units.of_account):
            # an account falls with the first of its pools
            owner, path = np.divmod(np.unique(owner * count + path), count)
        unit = self._units.of_account[owner]
        self._hits += np.bincount(unit, minlength=self._units.count)
        if self._shared:
            among = self._together[unit]
            place = self._number[unit[among]] * count + path[among]
            fallen = np.bincount(place, minlength=self._shared * count)
            self._squares += (fallen.reshape(self._shared, count).astype(float) ** 2).sum(axis=1)

    def finish(self, paths: int) -> Tally:
        size = np.maximum(self._units.size, 1)
        mean = self._hits / (paths * size)
        squares = self._hits / paths
        squares[self._together] = self._squares / (paths * size[self._together].astype(float) ** 2)
        variance = np.maximum(squares - mean**2, 0.0) * paths / max(paths - 1, 1)
        return Tally(self._hits, mean, variance)


def left_out(scenario: Scenario, book: Book) -> str:
    """Return what of a scenario a trial leaves out, as a sentence; empty where nothing is.

    What a breach leads to (how much is closed, at which price, who pays) changes nothing that
    comes before it, so only what acts before the first breach is named.
    """
    venue, names = scenario.venue, []
    if venue.impact.kind != "none":
        names.append("price impact")
    if venue.deleveraging.kind == "auto-deleverage":
        names.append("deleveraging")
    if funding_steps(scenario):
        names.append("funding")
    if venue.decision.kind != "leader" or venue.decision.latency:
        names.append("late or sharded decisions")
    if any(overlay.kind == "gap" for overlay in scenario.stress):
        names.append("the halt of a gap")
    if not np.isnan(book.stop_price).all():
        names.append("stop losses")
    if ((book.reserve > 0) & ~np.isnan(book.top_up_trigger)).any():
        names.append("top-ups")
    if not names:
        return ""
    return f"first passage: without {', '.join(names)}"


def _require_known(market: ModelSource, schedule: Schedule, scenario: Scenario) -> None:
    """Refuse a look between the steps of a market that does not say what happens there."""
    if schedule.monitoring == "step":
        return
    model = market.block(np.arange(64, dtype=np.uint32))
    known = (
        bool(jnp.isfinite(model.covariance_root).all())
        if schedule.monitoring == "bridge"
        else knows_extremes(model)
    )
    if not known:
        raise InputError(
            f'the market cannot be looked at between the steps, as "{schedule.monitoring}" asks',
            file=scenario.source,
            key="simulation.monitoring",
            remedy='use "step"',
        )
