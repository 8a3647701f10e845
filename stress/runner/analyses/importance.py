"""Rare liquidations: beside the plain run, one of as many paths that drift toward each of them.

The design is made from the accounts alone, before a path is drawn (``sampling``): where each is
liquidated most likely, which drifts and tilts lead there, how many paths each gets, and what the
estimates will be worth. The run estimates every account's probability in the main world. An account
gets the new estimate only where nothing speaks against it; the plain estimate is kept beside it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

from stress.engine.weighted import weighted_passage
from stress.errors import InputError
from stress.market.gbm import GeometricBrownianMotion
from stress.market.jump_diffusion import JumpDiffusion
from stress.market.student_t import StudentT
from stress.market.tilted import TiltedModel
from stress.measure.importance import FEWEST_HITS, Weighed, WeightedMeasure, controls_of
from stress.measure.moments import Estimate, Moments
from stress.measure.world import Findings
from stress.runner.analyses.importance_design import Design, design
from stress.runner.analyses.importance_tilts import (
    MOST_JUMPS,
    Maker,
    expected_jumps,
    plain_model,
)
from stress.runner.measured import Measured
from stress.runner.plan import path_blocks
from stress.runner.prepare import Job
from stress.runner.spread import Models, Spread, Work, compiled, on_host
from stress.stats.confidence import shared
from stress.stats.probability import normal_quantile
from stress.types import Array, Floats, Integers

__all__ = [
    "WeightedSource",
    "importance",
    "require_importance",
    "weigh",
    "weighted_blocks",
    "weighted_source",
]

FIRST = 1 << 31
"""Number of the first weighted path: no plain path has it."""
_CONTRADICTION = 0.999
"""Confidence, for all accounts together, of intervals of both runs that must meet."""


def require_importance(job: Job) -> None:
    """Refuse what weighted paths cannot follow.

    Raises
    ------
    InputError
        Feedback, controls or late settlement; highs and lows; a market that is not one of the three
        models whose densities are known, or lies under overlays.
    """
    key = "simulation.estimator"
    if job.main.cascade is not None:
        raise InputError(
            '"importance" estimates first passage, and this scenario needs the cascade',
            key=key,
            remedy='use "plain" or "splitting", or take impact, controls, funding and partial '
            "closing out of the scenario",
        )
    if not (job.main.pools.pool_of_position >= 0).any():
        raise InputError(
            '"importance" has nothing to look for: no account holds a position',
            key=key,
            remedy='use "plain"',
        )
    if job.schedule.monitoring == "extremes":
        raise InputError(
            '"importance" cannot see the highs and lows of bars',
            key=key,
            remedy='use "plain", or monitoring = "bridge" or "step"',
        )
    model = plain_model(job)
    if not isinstance(model, (GeometricBrownianMotion, StudentT, JumpDiffusion)):
        under = " under [[stress]]" if job.scenario.stress else ""
        raise InputError(
            f'"importance" knows no densities of the market "{job.scenario.market.model}"{under}',
            key=key,
            remedy='use "plain", or market.model = "gbm", "student-t" or "jump-diffusion" without '
            "[[stress]]",
        )
    if isinstance(model, JumpDiffusion):
        jumps = float(expected_jumps(model, job.schedule.steps).sum())
        if jumps > MOST_JUMPS:
            raise InputError(
                f'"importance" draws at most {MOST_JUMPS:g} jumps a path on average, this market '
                f"has {jumps:.4g}",
                key=key,
                remedy='use "plain", or a shorter horizon',
            )


def importance(
    job: Job, measured: Measured, spread: Spread
) -> tuple[Findings, dict[str, Array], dict[str, str | int | float]]:
    """Return what the weighted run finds, the labels of its components, and what is said of it."""
    require_importance(job)
    start = time.perf_counter()
    plan = design(job)
    designed = time.perf_counter() - start
    weighed = weigh(job, plan, spread)
    paths = len(plan.component)
    findings = _findings(job, measured, plan, weighed)
    labels = {"component": np.asarray(plan.words, str)}
    return (
        findings,
        labels,
        {
            "importance_paths": paths,
            "importance_components": len(plan.words),
            "importance_defensive_share": float(plan.components.share[0]),
            "importance_design_seconds": designed,
            "importance_seconds": time.perf_counter() - start,
        },
    )


@dataclass(frozen=True)
class WeightedSource:
    """Gives each block of weighted paths its model: the components of its paths."""

    plan: Design
    maker: Maker

    def block(self, numbers: Integers) -> TiltedModel:
        """Return the model of the paths with these numbers; what is padded repeats."""
        component = self.plan.component[(numbers - np.uint32(FIRST)) % len(self.plan.component)]
        return self.maker(*self.plan.components.kind[component].T)


def weighted_source(job: Job, plan: Design) -> WeightedSource:
    """Return what gives blocks of weighted paths their models, with the draws of the job's seed."""
    seed = jnp.asarray(job.scenario.simulation.seed, jnp.uint32)
    return WeightedSource(plan, plan.tilts.prepared(plan.components, seed))


def weigh(job: Job, plan: Design, spread: Spread) -> Weighed:
    """Run the weighted paths of a design and return what they say of each watched account."""
    weight = np.asarray(plan.mixture.weight, float)
    shares = np.concatenate([weight.sum(axis=0), weight.sum(axis=1)])
    count = np.bincount(plan.component, minlength=len(plan.words))
    controls = controls_of(shares, len(plan.component))
    measure = WeightedMeasure(len(plan.account), count, controls)
    for block, component in weighted_blocks(job, plan, spread):
        measure.update(block, component)
    return measure.finish(job.request.confidence)


def weighted_blocks(job: Job, plan: Design, spread: Spread) -> Iterator[tuple[Any, Integers]]:
    """Run the weighted paths of a design.

    Yields
    ------
    ``engine.weighted.Weighted`` of a block of paths, on the host, and the component of each path
    that counts, in the order of the paths.
    """
    seed = jnp.asarray(job.scenario.simulation.seed, jnp.uint32)
    models = Models(weighted_source(job, plan), spread)
    work = Work(
        function=weighted_passage,
        spread=spread,
        models=models,
        before=(job.price, job.main.world, plan.kernel_accounts, plan.mixture, seed),
        schedule=job.schedule,
    )
    (kernel,) = compiled(work)

    def parts(started: list[Any], first: int, kept: int) -> Iterator[tuple[Any, Integers]]:
        for outcome, own in zip(started, spread.counts(kept), strict=True):
            yield on_host(outcome), plan.component[first : first + own]
            first += own

    # one block is simulated while the one before it is read
    waiting: tuple[list[Any], int, int] | None = None
    for numbers, kept in path_blocks(len(plan.component), spread.width):
        own = numbers + np.uint32(FIRST)
        started = kernel(models.block(own), own)
        if waiting is not None:
            yield from parts(*waiting)
        waiting = (started, int(numbers[0]), kept)
    if waiting is not None:
        yield from parts(*waiting)


def _findings(job: Job, measured: Measured, plan: Design, weighed: Weighed) -> Findings:
    """Return both estimates of every account, which one is reported, and why."""
    moments = measured.worlds[job.main_mode].by_account["liquidation"]
    exists, confidence = job.main.pools.exists, job.request.confidence
    plain = moments.finish_probability(confidence).only(exists)
    paths = len(plan.component)

    def of_all(values: Floats, missing: float) -> Floats:
        full = np.full((len(exists), *values.shape[1:]), missing)
        full[plan.account] = values
        return full

    found = weighed.probability
    p = Estimate(of_all(found.value, np.nan), of_all(found.interval, np.nan))
    error = of_all(weighed.variance / paths, np.nan)
    covered = of_all(plan.predicted_hits, 0.0)
    served = (of_all(weighed.resolved.astype(float), 0.0) > 0) & (covered >= FEWEST_HITS)
    trusted = served & _meets(p, moments, confidence) & exists
    used = trusted & (np.diff(p.interval)[:, 0] < np.diff(plain.interval)[:, 0])
    with np.errstate(invalid="ignore", divide="ignore"):
        score = (p.value - moments.mean) / np.sqrt(error + moments.variance / moments.count)
    distance, has_point = np.full(len(plan.account), np.nan), plan.nearest >= 0
    distance[has_point] = plan.points.distance[plan.nearest[has_point]]
    return {
        "accounts": {
            "liquidation_probability": Estimate(
                np.where(used, p.value, plain.value),
                np.where(used[:, None], p.interval, plain.interval),
            ),
            "liquidation_estimator": np.where(used, "importance", "plain"),
        },
        "diagnostics": {
            "plain_liquidation_probability": plain,
            "importance_liquidation_probability": p,
            "importance_trusted": trusted,
            "importance_effective_sample_size": of_all(weighed.worth(paths), np.nan),
            "importance_effective_hits": of_all(weighed.effective_hits, 0.0),
            "importance_largest_weight_share": of_all(weighed.largest_share, np.nan),
            "importance_predicted_effective_hits": covered,
            "importance_design_point_distance": of_all(distance, np.nan),
            "importance_plain_score": np.where(p.value > 1e-3, score, np.nan),
            "importance_component_paths": np.bincount(plan.component, minlength=len(plan.words)),
            "importance_component_hits": weighed.component_hits,
        },
    }


def _meets(p: Estimate, plain: Moments, confidence: float) -> Array:
    """Return (accounts,) whether wide intervals of both runs meet.

    So wide that all do, in all but one of a thousand runs.
    """
    certain = shared(_CONTRADICTION, len(p.value))
    low, high = plain.finish_probability(certain).interval.T
    wider = normal_quantile(certain) / normal_quantile(confidence)
    with np.errstate(invalid="ignore", over="ignore"):
        # the interval is even in the logarithm, but where it would reach beyond 1
        factor = (p.value / p.interval[:, 0]) ** wider
        return np.asarray((p.value / factor <= high) & (p.value * factor >= low))
