"""The whole venue under changed books, funds and tier tables, on the same price paths.

Path i is the same path in every run, so that two books differ by their positions only (common
random numbers). Only what a limit needs is read of a path: whether the fund was exhausted, what it
would have had to hold, and what pools left in deficits. A kernel is compiled once for all books of
one structure. Where no feedback is asked for first passage is run, which gives the same answer.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from scipy.sparse import csr_matrix

from stress.book.book import Book
from stress.decide.task import Task
from stress.engine.cascade import cascade
from stress.engine.passage import first_passage
from stress.runner.passage import check_monitoring
from stress.runner.prepare import CascadeJob, Job, prepare
from stress.runner.simulate import job_spread
from stress.runner.spread import Kernel, Models, Spread, Work, compiled
from stress.scenario.appetite import Question
from stress.scenario.schema import Scenario
from stress.stats.confidence import Confidence
from stress.types import Array, Floats, Integers

__all__ = ["Cascades", "Classes", "Run", "share_of"]

_CASCADES: tuple[Question, ...] = (
    "fund",
    "book-scale",
    "open-interest",
    "concentration",
    "maintenance-rate",
)
"""The questions that share the budget, in the order in which they are asked."""


@dataclass(frozen=True)
class Run:
    """What became of the fund on some paths; money in USD.

    Attributes
    ----------
    numbers
        (paths,) of the paths.
    exhausted
        (paths,) whether a deficit was not paid in full out of the fund.
    need
        (paths,) the fund at the start that the path needs.
    owed
        (classes, paths) deficits by class of the pools that left them; one class unless asked.
    is_complete
        Whether these are all paths that were asked for: time, or the hits allowed, may be up.
    """

    numbers: Integers
    exhausted: Array
    need: Floats
    owed: Floats
    is_complete: bool = True

    @property
    def paths(self) -> int:
        """Number of paths."""
        return len(self.numbers)

    @property
    def hits(self) -> int:
        """Paths on which the fund is exhausted."""
        return int(self.exhausted.sum())


@dataclass(frozen=True)
class Classes:
    """Pools by class: ``of_pool`` (pools,) indices below ``count``."""

    of_pool: Integers
    count: int

    def sums(self, numbers: Array) -> Floats:
        """Return (classes, paths) sums of (pools, paths) numbers, each path by itself."""
        pools = len(self.of_pool)
        members = csr_matrix(
            (np.ones(pools), (self.of_pool, np.arange(pools))), shape=(self.count, pools)
        )
        sums: Floats = members @ np.ascontiguousarray(numbers[:pools], np.float64)
        return sums


_Raw: TypeAlias = tuple[Array, Array, Array]


class Cascades:
    """The main world of a scenario's venue, for one changed book after the other.

    Attributes
    ----------
    paths
        Number of paths of the scenario.
    width
        Paths that are simulated together.
    """

    def __init__(self, task: Task) -> None:
        self._scenario = main_world_only(task.scenario)
        self.job = prepare(self._scenario, book=task.book)
        check_monitoring(self.job)
        self.paths = task.scenario.simulation.paths
        self._spread = job_spread(self.job, task.devices)
        self._models = Models(self.job.market, self._spread)
        self._kernels: dict[Any, Any] = {}
        # before the first question asks for its share of the time
        self._kernel(self.job)

    @classmethod
    def of(cls, task: Task) -> Cascades:
        """Return those of a task: all its questions share what was compiled."""
        if "cascades" not in task.kept:
            task.kept["cascades"] = cls(task)
        made: Cascades = task.kept["cascades"]
        return made

    @property
    def width(self) -> int:
        """Paths that are simulated together."""
        return self._spread.width

    def confidence(self, wanted: float) -> Confidence:
        """Return a confidence that knows what the market's paths are worth."""
        known = self.job.request.confidence
        effect = known.design_effect if isinstance(known, Confidence) else 1.0
        return Confidence(wanted, effect)

    def prepared(self, book: Book, scenario: Scenario | None = None) -> Job:
        """Return the job of a changed book, in the same market.

        Parameters
        ----------
        scenario
            With another venue, instead of the task's.
        """
        scenario = self._scenario if scenario is None else main_world_only(scenario)
        job = prepare(scenario, market=self.job.market, book=book)
        # the market's overlays are laid over it already, and would be once more
        return replace(job, market=self.job.market)

    def run(
        self,
        job: Job,
        numbers: Integers,
        *,
        until: float,
        most: int | None = None,
        classes: Classes | None = None,
    ) -> Run:
        """Follow a job's book along some paths.

        Parameters
        ----------
        job
            Of ``prepared``.
        numbers
            (paths,) numbers of the paths, in any order.
        until
            Of ``time.monotonic``: no block of paths is begun after it.
        most
            Stop when the fund was exhausted on more paths than this.
        classes
            Of the pools, whose deficits are told apart.
        """
        kernel, own = self._kernel(job), int(job.main.cascade is not None)
        # a kernel tells more pools than there are
        classes = classes or Classes(np.zeros(len(job.main.pools.cash), np.int64), 1)
        parts: list[_Raw] = []
        hits = done = 0
        for outcome, count in self._outcomes(kernel, numbers, until, own):
            parts.append(_read(outcome, count, classes))
            done += count
            hits += int(parts[-1][0].sum())
            if most is not None and hits > most:
                break
        parts.insert(0, (np.zeros(0, bool), np.zeros(0), np.zeros((classes.count, 0))))
        exhausted, need, owed = (np.concatenate(each, axis=-1) for each in zip(*parts, strict=True))
        return Run(numbers[:done], exhausted, need, owed, done == len(numbers))

    def _kernel(self, job: Job) -> Kernel:
        """Return the kernel for a job, compiled when its structure first comes up."""
        work = _work(job, self._spread, self._models)
        leaves, structure = jax.tree.flatten((work.before, work.behind))
        shapes = tuple((leaf.shape, str(leaf.dtype)) for leaf in leaves)
        key = (work.function, structure, shapes, work.schedule)
        if key not in self._kernels:
            (self._kernels[key],) = compiled(work)
        before, behind = self._spread.share((work.before, work.behind))
        kernel: Kernel = replace(self._kernels[key], before=before, behind=behind)
        return kernel

    def _outcomes(
        self, kernel: Kernel, numbers: Integers, until: float, own: int
    ) -> Iterator[tuple[Any, int]]:
        """Yield a kernel's outcomes, device by device, and how many paths of each count."""
        waiting = None
        for first in range(0, len(numbers), self.width):
            if time.monotonic() >= until:
                break
            some = numbers[first : first + self.width].astype(np.uint32)
            # a block is filled up with paths that do not count
            padded = np.append(some, np.full(self.width - len(some), some[-1]))
            started = kernel(self._models.block(padded), padded, *(0,) * own), len(some)
            if waiting is not None:
                yield from self._counted(*waiting)
            waiting = started
        if waiting is not None:
            yield from self._counted(*waiting)

    def _counted(self, found: list[Any], count: int) -> Iterator[tuple[Any, int]]:
        for outcome, own in zip(found, self._spread.counts(count), strict=True):
            if own:
                yield outcome, own


def main_world_only(scenario: Scenario) -> Scenario:
    """Return a scenario without compared worlds and details, which no limit needs."""
    return scenario.model_copy(
        update={
            "book": scenario.book.model_copy(update={"compare": ()}),
            "simulation": scenario.simulation.model_copy(update={"detail": False}),
        }
    )


def share_of(task: Task, question: Question) -> float:
    """Return how many seconds a question may take of what its budget has left.

    It shares alike with those that are asked after it; what one does not use is there for the next.
    """
    after = _CASCADES[_CASCADES.index(question) + 1 :]
    return task.budget.left / (1 + sum(later in task.appetite.solve for later in after))


def _work(job: Job, spread: Spread, models: Models) -> Work:
    """Return what is to be compiled: the venue itself, without what a run compares it with."""
    seed = jnp.asarray(job.scenario.simulation.seed, jnp.uint32)
    held = job.main.cascade
    if held is None:
        before: tuple[Any, ...] = (job.price, (job.main.world,), job.rules, seed)
        return Work(first_passage, spread, models, before, job.schedule)
    lean = _without_comparisons(held)
    before = (job.price, lean.holdings, lean.rules, seed)
    return Work(cascade, spread, models, before, job.schedule, own=1, behind=(job.environment,))


def _without_comparisons(held: CascadeJob) -> CascadeJob:
    return replace(
        held,
        # whose flow moved a price is not asked for
        holdings=replace(held.holdings, groups=0),
        rules=replace(held.rules, variants=held.rules.variants[:1]),
        variants=held.variants[:1],
    )


def _read(outcome: Any, count: int, classes: Classes) -> _Raw:
    """Return what ``Run`` holds of the first ``count`` paths of one device's outcome."""
    if isinstance(outcome, tuple) and not hasattr(outcome, "tally"):
        (pools,), _ = outcome
        exhausted, need, owed = pools.exhausted, pools.fund_need, pools.deficit
    else:
        exhausted, need = outcome.tally.exhausted, outcome.tally.need
        owed = outcome.fates.owed
    deficits = np.asarray(owed)[0][:, :count]
    return (
        np.array(np.asarray(exhausted)[0][:count]),
        np.asarray(need)[0][:count].astype(np.float64),
        classes.sums(deficits),
    )
