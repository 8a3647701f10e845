"""Quasi-random and antithetic paths where they were measured to help.

A pilot runs both on the scenario as it is and compares their variance with that of the plain run at
equal numbers of paths. The better one, if any helps, is run with as many paths as the plain run,
and takes the place of the plain estimate of the numbers that the pilot says it helps. Everything
else stays with the plain paths: quantiles and tails need paths that are independent.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple, TypeAlias

import jax.numpy as jnp
import numpy as np

from stress.errors import InputError
from stress.measure.moments import Estimate
from stress.measure.replicates import QUANTITIES, PlainMoments, ReplicateMeasure
from stress.measure.world import Findings
from stress.result.assemble import Labels
from stress.runner.driven import Driven, can_be_driven
from stress.runner.measured import Measured
from stress.runner.prepare import Job
from stress.runner.spread import Spread
from stress.sampling.quasi import Directions, antithetic_noise, sobol_noise
from stress.sampling.splitting import Noise
from stress.stats.confidence import shared
from stress.types import Array, Floats

__all__ = ["REPLICATES", "Sampler", "quasi", "require_quasi"]

Sampler: TypeAlias = Literal["antithetic", "sobol"]

REPLICATES = 16
"""Independent scrambles."""

_SAMPLERS: tuple[Sampler, ...] = ("antithetic", "sobol")

_PILOT_SHARE = 8
"""The pilot of each takes one in so many of the run's paths."""

_FEWEST_POINTS = 16
"""Points of a scramble below which nothing is to be gained."""

_FEWEST_HITS = 50
"""Plain hits, and misses, that a probability needs: of rarer ones most replicates see none, and a
t-interval covers too little."""

_MEDIAN = "median over accounts"

_PILOT, _RUN = 0, 1

_BOOK = {
    "mean liquidation probability": "liquidation_probability",
    "any liquidation probability": "any_liquidation_probability",
    "expected total loss": "expected_total_loss",
}
"""The numbers that may be replaced; of the expected shortfall only the ratio is told."""


class _Pilot(NamedTuple):
    """What a sampler's pilot measured: (quantities,) ratios, the median last, and by account."""

    ratios: Estimate
    by_account: Floats

    @property
    def helps(self) -> Array:
        """(quantities,) whether the ratio of what may be replaced is above 1 for sure."""
        known = np.array([quantity in _BOOK for quantity in QUANTITIES] + [True])
        return known & (self.ratios.interval[:, 0] > 1)


def require_quasi(job: Job) -> None:
    """Refuse a market whose paths are not made of random numbers, and too few paths.

    Raises
    ------
    InputError
        Such a market, or fewer than 256 paths.
    """
    key = "simulation.estimator"
    if not can_be_driven(job.market):
        raise InputError(
            "this market's paths are given, so nothing can draw them in another way",
            key=key,
            remedy='use "plain"',
        )
    if job.scenario.simulation.paths < REPLICATES * _FEWEST_POINTS:
        raise InputError(
            f"quasi-random paths need {REPLICATES * _FEWEST_POINTS} or more",
            key="simulation.paths",
            remedy=f'raise it, or use {key} = "plain"',
        )


def quasi(
    job: Job, measured: Measured, spread: Spread
) -> tuple[Findings, dict[str, Labels], dict[str, dict[str, str | int | float]]]:
    """Return the numbers that other paths estimate better, and what was measured of both samplers.

    Parameters
    ----------
    job, measured
        The run whose main numbers are there already.
    spread
        The devices, and at most how many paths each takes at a time.
    """
    runs = _Runs(job, measured, spread)
    pilots = {sampler: runs.pilot(sampler) for sampler in _SAMPLERS}
    chosen = _chosen(pilots)
    # with calibration draws the plain numbers stay: their error was found on plain paths
    replaced, estimate = np.zeros(len(QUANTITIES) + 1, bool), _unknown(len(QUANTITIES) + 1)
    findings: Findings = {}
    if chosen is not None:
        found = runs.whole(chosen)
        estimate = _with_median(found.book.finish(runs.confidence))
        replaced = runs.replaced(pilots[chosen]) & (measured.calibration is None)
        findings = runs.better(found, pilots[chosen], replaced)
    findings["diagnostics"] = {
        "quasi_variance_ratio": _stacked([pilots[sampler].ratios for sampler in _SAMPLERS]),
        "quasi_plain": _with_median(runs.plain_book()),
        "quasi_estimate": estimate,
        "quasi_replaces": replaced,
        "plain_liquidation_probability": runs.plain_accounts(),
    }
    labels = {"sampler": _SAMPLERS, "quantity": (*QUANTITIES, _MEDIAN)}
    said: dict[str, str | int | float] = {
        "quasi_sampler": chosen or "plain",
        "quasi_replicates": {"sobol": REPLICATES, "antithetic": runs.paths // 2}.get(
            chosen or "", 0
        ),
        "quasi_paths": runs.paths if chosen else 0,
        "quasi_pilot_paths": runs.pilot_paths,
        "quasi_coordinates": len(runs.directions),
    }
    return findings, {"diagnostics": labels}, {"diagnostics": said}


def _chosen(pilots: dict[Sampler, _Pilot]) -> Sampler | None:
    """Return the sampler with the larger product of the ratios that help; none if none does."""

    def score(sampler: Sampler) -> float:
        helps = pilots[sampler].helps
        return float(np.log(pilots[sampler].ratios.value[helps]).sum())

    best = max(pilots, key=score)
    return best if pilots[best].helps.any() else None


class _Runs:
    """The main world on other paths, and what plain paths said of it."""

    def __init__(self, job: Job, measured: Measured, spread: Spread) -> None:
        self._job, self._world = job, measured.worlds[job.main_mode]
        self.confidence = job.request.confidence
        self.plain = PlainMoments.of(self._world, job.request.levels[-1])
        points = job.scenario.simulation.paths // REPLICATES
        self.paths = REPLICATES * _power_of_two(points)
        pilot = max(_power_of_two(points) // _PILOT_SHARE, _FEWEST_POINTS)
        self.pilot_paths = REPLICATES * pilot
        self._driven = Driven(job, spread, self.pilot_paths)
        self.directions = Directions.of(job.schedule.steps, _root(job))

    def pilot(self, sampler: Sampler) -> _Pilot:
        """Return what few paths of a sampler say."""
        is_sobol = sampler == "sobol"
        found = self._measure(sampler, _PILOT, self.pilot_paths, keeps_accounts=is_sobol)
        # one of many ratios is above 1 by chance: all intervals are to hold together
        each = shared(self.confidence, len(_SAMPLERS) * (len(QUANTITIES) + 1))
        median = found.median_ratio(self._counted(), each)
        return _Pilot(_joined(found.book_ratios(each), median), found.account_ratios)

    def whole(self, sampler: Sampler) -> ReplicateMeasure:
        """Return what as many paths as those of the plain run say."""
        return self._measure(sampler, _RUN, self.paths)

    def _measure(
        self, sampler: Sampler, run: int, paths: int, *, keeps_accounts: bool = False
    ) -> ReplicateMeasure:
        size = paths // REPLICATES if sampler == "sobol" else 2
        measure = ReplicateMeasure(self.plain, size, keeps_accounts=keeps_accounts)
        for noise in self._noise(sampler, run, paths):
            for block in self._driven.blocks(noise):
                measure.update(block)
        return measure

    def _noise(self, sampler: Sampler, run: int, paths: int) -> Iterator[Noise]:
        seed, (steps, assets) = self._job.scenario.simulation.seed, self._driven.shape
        if sampler == "antithetic":
            return antithetic_noise(steps, assets, seed=seed, run=run, paths=paths)
        points = paths // REPLICATES
        return sobol_noise(
            self.directions, steps, seed=seed, run=run, replicates=REPLICATES, points=points
        )

    def _counted(self) -> Array:
        """Return (accounts,) whether an account is hit, and spared, often enough."""
        return self._is_common(self.plain.account_mean) & self.plain.exists

    def _is_common(self, probability: Floats) -> Array:
        return np.minimum(probability, 1 - probability) * self.plain.paths >= _FEWEST_HITS

    def replaced(self, pilot: _Pilot) -> Array:
        """Return (quantities,) which numbers are replaced; the last stands for the accounts."""
        common = [*self._is_common(self.plain.book_mean[:2]), True, True, True]
        return pilot.helps & np.array(common)

    def better(self, found: ReplicateMeasure, pilot: _Pilot, replaced: Array) -> Findings:
        """Return the numbers that are replaced, under the names of the plain ones."""
        book = found.book.finish(self.confidence)
        better: Findings = {"book": {}}
        for place, quantity in enumerate(QUANTITIES):
            if replaced[place]:
                one = Estimate(book.value[place], book.interval[place])
                is_probability = place < 2
                better["book"][_BOOK[quantity]] = _within(one) if is_probability else one
        used = self._counted() & (pilot.by_account > 1) & replaced[-1]
        plain, other = self.plain_accounts(), _within(found.account.finish(self.confidence))
        better["accounts"] = {
            "liquidation_probability": Estimate(
                np.where(used, other.value, plain.value),
                np.where(used[:, None], other.interval, plain.interval),
            ),
            "liquidation_estimator": np.where(used, "quasi", "plain"),
        }
        return better

    def plain_accounts(self) -> Estimate:
        """Return the accounts' liquidation probabilities of the plain paths."""
        moments = self._world.by_account["liquidation"]
        return moments.finish_probability(self.confidence).only(self.plain.exists)

    def plain_book(self) -> Estimate:
        """Return the numbers of the book of the plain paths."""
        book = self._world.finish()["book"]
        names = (*_BOOK.values(), "total_loss_expected_shortfall")
        found: list[Any] = [book[name] for name in names]
        return Estimate(
            np.array([float(of.value.reshape(-1)[-1]) for of in found]),
            np.array([of.interval.reshape(-1, 2)[-1] for of in found]),
        )


def _within(estimate: Estimate) -> Estimate:
    """Return a probability's estimate with bounds between 0 and 1."""
    return Estimate(estimate.value, np.clip(estimate.interval, 0.0, 1.0))


def _unknown(count: int) -> Estimate:
    return Estimate(np.full(count, np.nan), np.full((count, 2), np.nan))


def _with_median(estimate: Estimate) -> Estimate:
    """Return the estimates of the book with nothing for the accounts behind them."""
    return _joined(estimate, _unknown(1))


def _joined(one: Estimate, other: Estimate) -> Estimate:
    return Estimate(np.append(one.value, other.value), np.vstack([one.interval, other.interval]))


def _stacked(estimates: list[Estimate]) -> Estimate:
    return Estimate(
        np.stack([of.value for of in estimates]), np.stack([of.interval for of in estimates])
    )


def _root(job: Job) -> Floats:
    """Return the root of the covariance of one step, the identity where none is stated."""
    root = np.asarray(jnp.asarray(job.model.covariance_root), np.float64)
    return root if np.isfinite(root).all() else np.eye(len(root))


def _power_of_two(count: int) -> int:
    return 1 << max(count, 1).bit_length() - 1
