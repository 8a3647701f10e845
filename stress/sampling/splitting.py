"""Adaptive multilevel splitting in the space of the noise that drives a path.

A particle is the whole noise of one path: its standard normals, and the numbers of the keys from
which a price model draws what is not normal. A population starts from the law of that noise. Each
stage kills the half of it with the lowest scores; in the place of each comes a survivor's copy that
is moved and moved again, each time to a proposal of Crank and Nicolson's kind that is taken if its
score stays above the highest score that was killed. Such a move keeps the law of the noise given a
score above that level. The product of the shares that survive, times the share of the last
population that is in the event, estimates the event's probability.

The estimate is unbiased whatever the number of particles, the moves and the score, ties included,
as long as everything that does not exceed the level is killed and counted (Cerou and Guyader 2007,
"Adaptive multilevel splitting for rare event analysis"; Brehier, Gazeau, Goudenege, Lelievre and
Rousset 2016, "Unbiasedness of some generalized adaptive multilevel splitting algorithms"). A poor
score and poor moves cost variance, and one population cannot see it: the few particles that came
through are relatives. So independent populations are the unit of every interval, and distinct
ancestors are counted.

In the space of standard normals this is subset simulation (Au and Beck 2001, "Estimation of small
failure probabilities in high dimensions by subset simulation"). The proposal is the preconditioned
one of Cotter, Roberts, Stuart and White (2013), "MCMC methods for functions", whose acceptance does
not fall with the number of steps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.random import Generator
from scipy.special import stdtrit

from stress.types import Array, Floats, Integers

__all__ = ["Noise", "Population", "Score", "Stage", "split", "with_interval"]

_KILLED = 0.5
"""Share of a population that a stage kills. On first passage of a Brownian motion at 1e-5 the
variance at equal cost is nearly the same from 0.25 to 0.75."""

_MOVES = 2
"""Proposals of each new particle: with one, copies stay so alike that the variance doubles at equal
cost; four cost what they bring."""

_WANTED = 0.45
"""Acceptance toward which the proposals are driven; on the same problem 0.35 and 0.6 were worse."""

_FIRST, _NARROWEST, _WIDEST = 0.5, 0.02, 1.0
"""Share of fresh noise in the first proposals, and its bounds."""


@dataclass(frozen=True)
class Noise:
    """What drives some paths.

    Attributes
    ----------
    normals
        (paths, steps, assets) independent and standard, float32.
    draws
        (paths, steps) for each step the number of the path of whose key a model draws what is not
        normal; unsigned 32-bit.
    bridge
        (paths,) numbers of the paths of whose keys is drawn what lies between steps; unsigned
        32-bit.
    """

    normals: Array
    draws: Integers
    bridge: Integers

    @classmethod
    def drawn(cls, paths: int, steps: int, assets: int, random: Generator) -> Noise:
        """Return independent noise of so many paths."""
        return cls(
            random.standard_normal((paths, steps, assets), dtype=np.float32),
            random.integers(0, 1 << 32, (paths, steps), dtype=np.uint32),
            random.integers(0, 1 << 32, paths, dtype=np.uint32),
        )

    def __len__(self) -> int:
        """Return the number of paths."""
        return len(self.bridge)

    def take(self, which: Array) -> Noise:
        """Return copies of the noise of some paths."""
        return Noise(self.normals[which], self.draws[which], self.bridge[which])

    def put(self, which: Array, other: Noise) -> None:
        """Write other noise over that of some paths."""
        self.normals[which] = other.normals
        self.draws[which] = other.draws
        self.bridge[which] = other.bridge

    def proposed(self, fresh: float, random: Generator) -> Noise:
        """Return ``rho z + fresh xi`` for each normal z, with xi fresh and rho^2 + fresh^2 = 1.

        Each number of a key is kept with probability rho. So everything that is drawn has the
        correlation rho with what it was, and the law of the noise is unchanged and reversible.
        """
        paths, steps, assets = self.normals.shape
        new = Noise.drawn(paths, steps, assets, random)
        kept = float(np.sqrt(1 - fresh**2))
        return Noise(
            np.float32(kept) * self.normals + np.float32(fresh) * new.normals,
            np.where(random.random(self.draws.shape) < kept, self.draws, new.draws),
            np.where(random.random(self.bridge.shape) < kept, self.bridge, new.bridge),
        )


Score: TypeAlias = Callable[[Noise], Floats]
"""``noise of some paths -> (paths,)`` numbers, the higher the nearer to the event; never NaN."""


class Stage(NamedTuple):
    """One stage of a population.

    Attributes
    ----------
    level
        Highest score that was killed.
    survival
        Share of the particles above it.
    acceptance
        Share of the proposals that were taken.
    ancestors
        How many of the first particles have a descendant after the stage.
    """

    level: float
    survival: float
    acceptance: float
    ancestors: int


@dataclass(frozen=True)
class Population:
    """What one population found.

    Attributes
    ----------
    probability
        (events,) estimates; NaN where it gave up before.
    ancestors
        (events,) how many of the first particles the hits descend from.
    spent
        (events,) paths simulated up to each event.
    stages
        In order.
    paths
        Simulated in all.
    weight
        Estimated probability of a score above the last level.
    """

    probability: Floats
    ancestors: Integers
    spent: Integers
    stages: tuple[Stage, ...]
    paths: int
    weight: float


class _Swarm:
    """The particles of a population with their scores, and what it costs to move them."""

    def __init__(self, score: Score, noise: Noise, random: Generator) -> None:
        self._score, self._noise, self._random = score, noise, random
        self.scores = score(noise)
        self.root = np.arange(len(noise))
        self.fresh, self.paths = _FIRST, len(noise)

    def ancestors(self, which: Array) -> int:
        """Return of how many first particles some are the descendants."""
        return len(np.unique(self.root[which]))

    def replace(self, dead: Array, level: float) -> float:
        """Replace the dead by moved copies of survivors above a level; return the acceptance.

        The share of fresh noise follows the acceptance from stage to stage, so that within a stage
        it does not depend on what is being moved.
        """
        lost, parents = np.flatnonzero(dead), self._parents(dead)
        copies, scores = self._noise.take(parents), self.scores[parents]
        taken = 0
        for _ in range(_MOVES):
            proposed = copies.proposed(self.fresh, self._random)
            new = self._score(proposed)
            above = new > level
            copies.put(above, proposed.take(above))
            scores[above] = new[above]
            taken += int(above.sum())
        self._noise.put(lost, copies)
        self.scores[lost], self.root[lost] = scores, self.root[parents]
        self.paths += _MOVES * len(lost)
        acceptance = taken / (_MOVES * len(lost))
        fresh = self.fresh * np.exp(acceptance - _WANTED)
        self.fresh = float(np.clip(fresh, _NARROWEST, _WIDEST))
        return acceptance

    def _parents(self, dead: Array) -> Integers:
        """Return a survivor for each of the dead: each as often as any other, but for one."""
        left = self._random.permutation(np.flatnonzero(~dead))
        return left[np.arange(int(dead.sum())) % len(left)]


def split(
    score: Score,
    events: Floats,
    shape: tuple[int, int, int],
    random: Generator,
    most_paths: int,
) -> Population:
    """Follow one population to the rarest of nested events.

    Parameters
    ----------
    score
        Simulates paths and scores them.
    events
        (events,) ascending; an event is that the score exceeds its number.
    shape
        Particles, at least 2; steps; assets.
    random
        Where all its random numbers come from.
    most_paths
        Where it gives up.
    """
    particles = shape[0]
    swarm = _Swarm(score, Noise.drawn(*shape, random), random)
    probability = np.full(len(events), np.nan)
    ancestors, spent = np.zeros(len(events), np.int64), np.zeros(len(events), np.int64)
    stages: list[Stage] = []
    weight, found, worst = 1.0, 0, max(int(_KILLED * particles), 1) - 1
    while True:
        level = float(np.partition(swarm.scores, worst)[worst])
        dead = swarm.scores <= level
        # the population before the first level that is beyond an event is the one that counts it;
        # where all particles tie, nobody is left to go on, and what is beyond is not reached
        while found < len(events) and (level >= events[found] or dead.all()):
            hits = swarm.scores > events[found]
            probability[found] = weight * hits.mean()
            ancestors[found], spent[found] = swarm.ancestors(hits), swarm.paths
            found += 1
        if found == len(events) or swarm.paths >= most_paths:
            return Population(probability, ancestors, spent, tuple(stages), swarm.paths, weight)
        survival = 1 - float(dead.mean())
        weight *= survival
        acceptance = swarm.replace(dead, level)
        everybody = np.ones(particles, bool)
        stages.append(Stage(level, survival, acceptance, swarm.ancestors(everybody)))


def with_interval(estimates: Sequence[float], confidence: float) -> tuple[float, float, float]:
    """Return the mean of independent populations' estimates, and its bounds.

    The interval is Student's on the logarithm, by the delta method: ``mean exp(-+ t s)`` with s the
    relative standard error of the mean and as many degrees of freedom as populations less one. A
    population's estimate is skewed to the right, nearly log-normal: so is the interval, and it is
    never negative. Of estimates that are all 0 nothing is known above: the upper bound is NaN.

    Parameters
    ----------
    estimates
        One a population, at least two.
    confidence
        Between 0 and 1.
    """
    numbers = np.asarray(estimates, np.float64)
    mean = float(numbers.mean())
    if mean == 0:
        return 0.0, 0.0, float("nan")
    error = numbers.std(ddof=1) / np.sqrt(len(numbers)) / mean
    half = float(stdtrit(len(numbers) - 1, 0.5 + confidence / 2)) * error
    return mean, float(mean * np.exp(-half)), float(min(mean * np.exp(half), 1.0))
