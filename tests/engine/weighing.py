"""Books whose liquidation probabilities are known although rare, and runs of their weights.

Shared by the tests of weighted paths: one job is compiled for all seeds and all questions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from stress.market import PriceModel
from stress.measure.importance import Weighed
from stress.runner.analyses.importance import weigh, weighted_blocks
from stress.runner.analyses.importance_design import Design, design
from stress.runner.prepare import Job, prepare
from stress.runner.simulate import job_spread
from stress.scenario.schema import Scenario
from tests.truth.problems import Problem

__all__ = ["Raw", "Weighing", "leverage_for"]

Floats = NDArray[np.float64]


def leverage_for(side: str, probability: float, volatility: float, days: int) -> float:
    """Return the leverage of a position that is liquidated with this probability."""
    low, high = 1.05, 60.0
    for _ in range(50):
        middle = float(np.sqrt(low * high))
        found = Problem("", side, middle, volatility, days).probability()  # type: ignore[arg-type]
        low, high = (middle, high) if found < probability else (low, middle)
    return float(np.sqrt(low * high))


@dataclass(frozen=True)
class Raw:
    """Plain means over weighted paths: nothing is compared with anything.

    ``liquidated`` (accounts, paths), ``balance`` (parts, paths), ``component`` (paths,).
    """

    liquidated: Floats
    balance: Floats
    component: NDArray[np.int64]

    def error(self, rows: Floats) -> Floats:
        """Return (rows,) standard errors of means of (rows, paths): paths are dealt in strata."""
        variance = np.zeros(len(rows))
        for one in np.unique(self.component):
            own = rows[:, self.component == one]
            variance += own.shape[1] * own.var(axis=1, ddof=1)
        return np.sqrt(variance) / len(self.component)


@dataclass(frozen=True)
class Weighing:
    """A job, run with many seeds.

    Attributes
    ----------
    job
        Ready to run.
    seeds
        Of the runs.
    """

    job: Job
    seeds: Sequence[int]

    @classmethod
    def of(cls, scenario: Scenario, seeds: int, market: PriceModel | None = None) -> Weighing:
        """Return so many runs of a scenario."""
        return cls(prepare(scenario, market), range(seeds))

    @cached_property
    def design(self) -> Design:
        """What all runs share."""
        return design(self.job)

    @cached_property
    def runs(self) -> list[Weighed]:
        """One for each seed."""
        spread = job_spread(self.job)
        return [weigh(self._with_seed(seed), self.design, spread) for seed in self.seeds]

    def raw(self, plan: Design) -> list[Raw]:
        """Return the weighted paths themselves of a design, for each seed."""
        spread = job_spread(self.job)
        found = []
        for seed in self.seeds:
            blocks = list(weighted_blocks(self._with_seed(seed), plan, spread))
            liquidated, balance = (
                np.concatenate(
                    [getattr(block, name)[:, : len(own)] for block, own in blocks], axis=1
                )
                for name in ("liquidated", "balance")
            )
            component = np.concatenate([own for _, own in blocks])
            found.append(Raw(liquidated, balance, component))
        return found

    def _with_seed(self, seed: int) -> Job:
        scenario = self.job.scenario
        simulation = scenario.simulation.model_copy(update={"seed": seed})
        return replace(self.job, scenario=scenario.model_copy(update={"simulation": simulation}))

    @property
    def paths(self) -> int:
        """Paths of a run."""
        return len(self.design.component)

    @cached_property
    def value(self) -> Floats:
        """(seeds, accounts) estimates."""
        return np.array([run.probability.value for run in self.runs])

    @cached_property
    def error(self) -> Floats:
        """(seeds, accounts) standard errors that the runs state."""
        return np.sqrt(np.array([run.variance for run in self.runs]) / self.paths)

    def covers(self, truth: Floats) -> NDArray[np.bool_]:
        """Return (seeds, accounts) whether the intervals hold the truth."""
        interval = np.array([run.probability.interval for run in self.runs])
        return (interval[..., 0] <= truth) & (truth <= interval[..., 1])
