"""A slow twin of weighted paths: their densities and what they say of single positions.

It takes what was drawn (prices, W of bars, jumps) and computes in NumPy and SciPy how likely each
law of the mixture makes it, and what becomes of every position.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp, ndtr
from scipy.stats import expon, laplace, norm

from stress.engine.block import Schedule
from stress.engine.paths import walk
from stress.engine.weighted import Mixture, _log_density
from stress.keys import BRIDGE, path_keys, step_normals
from stress.market.jump_diffusion import NormalSizes
from stress.market.student_t import StudentT
from stress.market.tilted import TiltedJumps, TiltedStudentT
from stress.runner.analyses.importance import FIRST, weighted_source
from stress.runner.analyses.importance_design import Design
from stress.runner.analyses.importance_tilts import expected_jumps
from tests.engine.weighing import Raw, Weighing
from tests.truth.problems import Problem

__all__ = ["LOOKED_AT", "NUMBERS", "STEPS", "Known", "liquidated_by_twin", "sign_of"]

Floats = NDArray[np.float64]

STEPS = 4
LOOKED_AT = 192
"""Paths of the first run whose every step the twin follows."""
NUMBERS = np.arange(LOOKED_AT, dtype=np.uint32) + np.uint32(FIRST)


class Traced(NamedTuple):
    """What paths do.

    ``level`` (steps, assets, paths) log prices over the start; ``jump`` likewise, what fell at the
    end of each step; the model's last ``state``; ``log_density`` (1 + steps, paths) of the mixture
    by the kernel, before the first step and after each.
    """

    level: Any
    jump: Any
    state: Any
    log_density: Any


@partial(jax.jit, static_argnames=("schedule",))
def traced(
    model: Any, mixture: Mixture, seed: jax.Array, paths: jax.Array, *, schedule: Schedule
) -> Traced:
    """Follow paths and keep every step."""

    def look(state: Any) -> tuple[jax.Array, jax.Array]:
        foot = model.footprint(state)
        return foot.jump, _log_density(mixture, foot)

    start, advance = walk(model, seed, paths, schedule, look)
    (state, _), (level, (jump, density)) = jax.lax.scan(advance, start, jnp.arange(schedule.blocks))
    level, jump, density = (
        of.reshape(schedule.blocks * schedule.block, *of.shape[2:])[: schedule.steps]
        for of in (level, jump, density)
    )
    opening = look(start[0])[1][None]
    return Traced(level, jump, state, jnp.concatenate([opening, density]))


@dataclass(frozen=True)
class Known:
    """A book whose probabilities are known, and its weighted paths.

    Attributes
    ----------
    weighing
        Its runs.
    plan
        Their design.
    owners
        What the first accounts hold, a pool each: problems, and the indices of their assets.
    truth
        (accounts,) their probabilities.
    """

    weighing: Weighing
    plan: Design
    owners: list[list[tuple[Problem, int]]]
    truth: Floats

    @cached_property
    def runs(self) -> list[Raw]:
        """One for each seed."""
        return self.weighing.raw(self.plan)

    @property
    def tilted(self) -> Any:
        """Model of the paths that are looked at."""
        return weighted_source(self.weighing.job, self.plan).block(NUMBERS)

    @property
    def model(self) -> Any:
        """The model itself."""
        return self.weighing.job.model

    @property
    def root(self) -> Floats:
        """(assets, assets) that of a step."""
        return np.asarray(self.model.covariance_root)

    @property
    def component(self) -> NDArray[np.int64]:
        """(paths,) components of the paths that are looked at."""
        return np.asarray(self.plan.component[:LOOKED_AT])

    @cached_property
    def traced(self) -> Traced:
        """The paths that are looked at."""
        seed, schedule = jnp.uint32(0), self.weighing.job.schedule
        found = traced(self.tilted, self.plan.mixture, seed, NUMBERS, schedule=schedule)
        return jax.tree.map(np.asarray, found)

    @property
    def jump(self) -> Floats:
        """(steps, assets, paths) what fell at the end of each step."""
        return self.traced.jump if self.traced.jump.size else np.zeros_like(self.traced.level)

    @cached_property
    def noise(self) -> tuple[Floats, Floats]:
        """(steps, assets, paths) normals that the model itself would have needed to go there, and
        (steps, paths) W of the steps.
        """
        model = self.model
        returned = np.diff(self.traced.level, axis=0, prepend=0.0) - self.jump
        scale = np.ones((STEPS, LOOKED_AT))
        if isinstance(model, StudentT):
            scale = self.traced.state.mixing[np.arange(STEPS) // model.bar_steps]
        away = returned - np.asarray(model.mean)[:, None]
        white = np.linalg.solve(self.root[None], away)
        return white / np.sqrt(scale)[:, None], scale

    def shift(self, drift: Floats) -> Floats:
        """Return (steps, assets, paths) by how much drifts, (assets, paths), move the normals."""
        scale = self.noise[1]
        return np.asarray((np.sqrt(STEPS * scale) / scale.sum(axis=0))[:, None] * drift[None])

    @cached_property
    def log_density(self) -> Floats:
        """(1 + steps, paths) of the mixture, by the twin."""
        components = self.plan.components
        found = []
        for tilt, drift in components.kind:
            toward = np.repeat(components.drift[drift][:, None], LOOKED_AT, axis=1)
            noise, shift = self.noise[0], self.shift(toward)
            ratio = (norm.logpdf(noise - shift) - norm.logpdf(noise)).sum(axis=1)
            ratio = np.concatenate([np.zeros((1, LOOKED_AT)), ratio.cumsum(axis=0)])
            found.append(ratio + self._log_tilt(tilt, drift))
        return np.asarray(logsumexp(found, axis=0, b=components.share[:, None, None]))

    def _log_tilt(self, tilt: int, drift: int) -> Floats:
        """Return (1 + steps, paths) densities of what is random besides the Brownian motion."""
        if isinstance(self.tilted, TiltedStudentT):
            return self._log_wild_bar(tilt)
        if isinstance(self.tilted, TiltedJumps):
            return self._log_more_jumps(tilt) if tilt else self._log_other_jumps(drift)
        return np.zeros((1 + STEPS, LOOKED_AT))

    def _log_wild_bar(self, tilt: int) -> Floats:
        """All bars are drawn first: one, by its length, beyond a threshold."""
        if tilt == 0:
            return np.zeros((1 + STEPS, LOOKED_AT))
        threshold = self.tilted.threshold[tilt]
        tail = laplace.sf(np.float64(threshold))
        beyond = self.noise[1] >= np.asarray(self.model.mixing.at(threshold))
        with np.errstate(divide="ignore"):
            return np.log(np.tile(beyond.mean(axis=0) / tail, (1 + STEPS, 1)))

    @property
    def fallen(self) -> tuple[Any, Any, NDArray[np.bool_]]:
        """Return process and size of the jumps, (slots, paths), and (1 + steps, slots, paths)
        whether each has fallen by then.
        """
        state = self.traced.state
        by = np.arange(1 + STEPS)[:, None, None]
        return state.process, state.size, (state.process >= 0) & (state.when < by)

    def _size_density(self, law: int, process: Any, size: Any) -> Floats:
        """Return the density of sizes under the law that draws them; law 0 is the model's."""
        sizes, at = self.tilted.laws.sizes, (law, np.maximum(process, 0))
        if isinstance(sizes, NormalSizes):
            mean, deviation = (np.asarray(of)[at] for of in (sizes.mean, sizes.deviation))
            with np.errstate(divide="ignore", invalid="ignore"):
                return np.asarray(norm.pdf(size, mean, deviation))
        up, rise, fall = (
            np.asarray(of)[at] for of in (sizes.up_probability, sizes.up_mean, sizes.down_mean)
        )
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            above, below = up / rise * np.exp(-size / rise), (1 - up) / fall * np.exp(size / fall)
        return np.asarray(np.where(size > 0, above, below), float)

    def _tail(self, process: int, side: int, threshold: float) -> float:
        """Return the probability that a size lies beyond a threshold."""
        law = [float(np.asarray(of)[0, process]) for of in jax.tree.leaves(self.tilted.laws.sizes)]
        if len(law) == 2:
            return float(norm.sf(side * threshold, side * law[0], law[1]))
        share, mean = (law[0], law[1]) if side > 0 else (1 - law[0], law[2])
        return float(share * expon.sf(side * threshold, scale=mean))

    @cached_property
    def _expected(self) -> Floats:
        return np.asarray(expected_jumps(self.model, STEPS), float)

    def numbers(self, drift: int) -> Floats:
        """Return (processes,) mean numbers of jumps that drift along.

        Given by densities alone: ``E[exp(eta J)]`` is the factor between ``exp(eta x) f(x)`` and
        the density that sizes are drawn from, here at one size.
        """
        loading = np.column_stack([self.model.exposure, np.eye(len(self.root))])
        whitened = np.linalg.solve(self.root * np.sqrt(STEPS), loading)
        eta = self.plan.components.drift[drift] @ whitened
        process, size = np.arange(len(eta)), np.full(len(eta), 0.05)
        grown = np.exp(eta * size) * self._size_density(0, process, size)
        return np.asarray(grown / self._size_density(drift, process, size) * self._expected)

    def _log_other_jumps(self, drift: int) -> Floats:
        """Poisson processes of other intensities and sizes (Janossy densities)."""
        process, size, fallen = self.fallen
        there = np.maximum(process, 0)
        rates = self.numbers(drift), self._expected
        with np.errstate(divide="ignore", invalid="ignore"):
            each = np.log(rates[0][there] * self._size_density(drift, process, size))
            each = each - np.log(rates[1][there] * self._size_density(0, process, size))
        fewer = (rates[0].sum() - rates[1].sum()) * np.arange(1 + STEPS) / STEPS
        return np.asarray(np.where(fallen, each, 0).sum(axis=1) - fewer[:, None])

    def _log_more_jumps(self, tilt: int) -> Floats:
        """One jump more, at any step alike, drawn beyond the threshold.

        It may be any of those seen, beside the others as the model has them, or still to come.
        """
        process, size, fallen = self.fallen
        beyond = jax.tree.map(lambda of: np.asarray(of)[tilt], self.tilted.beyond)
        own = (process == beyond.process) & (beyond.side * (size - beyond.threshold) >= 0)
        tail = self._tail(int(beyond.process), int(beyond.side), float(beyond.threshold))
        density = self._size_density(0, process, size)
        with np.errstate(divide="ignore", invalid="ignore"):
            as_added = density / tail / STEPS
            as_usual = self._expected[beyond.process] / STEPS * density
            seen = np.where(fallen & own, as_added / as_usual, 0).sum(axis=1)
            return np.log(seen + (1 - np.arange(1 + STEPS) / STEPS)[:, None])


def crossing_of(known: Known, problem: Problem, asset: int) -> Floats:
    """Return (steps, paths) probabilities that a position is liquidated in each step."""
    side = sign_of(problem)
    level = np.concatenate([np.zeros((1, LOOKED_AT)), known.traced.level[:, asset]])
    away = side * (np.log(problem.price / problem.barrier()) + level)
    start, end = away[:-1], away[1:] - side * known.jump[:, asset]
    variance = known.noise[1] * (known.root[asset] ** 2).sum()
    touched = np.exp(-2 * np.maximum(start, 0) * np.maximum(end, 0) / variance)
    return np.where(away[1:] <= 0, 1.0, touched)


def sign_of(problem: Problem) -> float:
    return 1.0 if problem.side == "long" else -1.0


def liquidated_by_twin(known: Known, account: int) -> Floats:
    """Return (paths,) Y of an account; of several pools each is hit or not, as its normals say."""
    held = known.owners[account]
    hits = [crossing_of(known, *each) for each in held]
    if len(held) > 1:
        keys = path_keys(jnp.uint32(0), BRIDGE, jnp.asarray(NUMBERS))
        normals = np.asarray(step_normals(keys, jnp.arange(STEPS) + 1, len(known.root)), float)
        # independent assets: each pool has its asset's normal
        pushed = [sign_of(problem) * normals[:, asset] for problem, asset in held]
        hits = [(ndtr(z) < h).astype(float) for z, h in zip(pushed, hits, strict=True)]
    hit = np.max(hits, axis=0)
    survival = np.cumprod(np.concatenate([np.ones((1, LOOKED_AT)), 1 - hit[:-1]]), axis=0)
    return np.asarray((survival * hit * np.exp(-known.log_density[1:])).sum(axis=0))
