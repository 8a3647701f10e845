"""What can be tilted of a job's market: drifts of the Brownian motion, wild bars, jumps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import pdtrc

from stress.market import Constant, PriceModel
from stress.market.gbm import GeometricBrownianMotion
from stress.market.jump_diffusion import DoubleExponentialSizes, JumpDiffusion, NormalSizes
from stress.market.student_t import StudentT
from stress.market.tilted import (
    Beyond,
    JumpLaws,
    TiltedGBM,
    TiltedJumps,
    TiltedModel,
    TiltedStudentT,
)
from stress.runner.prepare import Job
from stress.sampling.design_points import DesignPoints, Terminal
from stress.sampling.importance_tilts import (
    DoubleExponentialLaw,
    JumpClasses,
    Jumps,
    NormalLaw,
    SizeLaw,
    bar_scenes,
    bar_thresholds,
    dominating,
    jump_classes,
    jump_scenes,
)
from stress.sampling.mixture import Components, Scenes, served, still
from stress.types import Floats, Integers

__all__ = ["MOST_JUMPS", "Maker", "Tilts", "expected_jumps", "plain_model", "tilts_of"]

MOST_JUMPS = 200.0
"""Mean number of jumps of a path under any of its laws, at most."""
_MOST_SLOTS, _NEGLIGIBLE = 400, 1e-10
"""Most jumps of a path that are drawn, and the probability of more that is forgiven."""


Maker: TypeAlias = Callable[[Integers, Integers], TiltedModel]
"""Returns the price model of a block of paths from their (paths,) tilts and drifts."""


@dataclass(frozen=True)
class Tilts:
    """What is random besides the Brownian motion, as the design and as the kernel need it.

    Attributes
    ----------
    points
        The design points with all that is random taken into account.
    drift, cost
        (points, assets), (points,) the drift that leads to each, and what ``Components`` calls so.
    scenes
        Of what is random besides.
    words
        (tilts,) what each tilt is.
    every
        Whether tilts go with every drift, or with none.
    planes
        Whether the probability of half-spaces is known.
    prepared
        Returns what makes the models of blocks, from the components and the seed.
    """

    points: DesignPoints
    drift: Floats
    cost: Floats
    scenes: Scenes
    words: tuple[str, ...]
    every: bool
    planes: bool
    prepared: Callable[[Components, jax.Array], Maker]


def plain_model(job: Job) -> PriceModel | None:
    """Return the price model where it is the same for all paths and nothing lies over it."""
    return job.market.model if isinstance(job.market, Constant) else None


def tilts_of(job: Job, terminal: Terminal, points: DesignPoints) -> Tilts:
    """Return what can be tilted of the job's market besides its Brownian motion."""
    model, steps = plain_model(job), job.schedule.steps
    if isinstance(model, StudentT):
        return _bar_tilts(job, model, points)
    if isinstance(model, JumpDiffusion):
        return _jump_tilts(job, model, terminal, points)
    assert isinstance(model, GeometricBrownianMotion)
    own, dtype = model, np.dtype(job.schedule.precision)

    def prepared(components: Components, seed: jax.Array) -> Maker:
        def of_block(tilt: Integers, drift: Integers) -> TiltedModel:
            return TiltedGBM(own, jnp.asarray(components.drift[drift].T, dtype), steps)

        return of_block

    return Tilts(
        points=points,
        drift=points.z,
        cost=points.distance**2 / 2,
        scenes=still(own.assets),
        words=("no tilt",),
        every=True,
        planes=True,
        prepared=prepared,
    )


def _bar_tilts(job: Job, model: StudentT, points: DesignPoints) -> Tilts:
    steps, dtype = job.schedule.steps, np.dtype(job.schedule.precision)
    first = np.arange(0, steps, model.bar_steps)
    share = np.minimum(steps - first, model.bar_steps) / steps
    table = model.mixing.coordinate, np.asarray(model.mixing.log_quantile, float)
    threshold = bar_thresholds(points.distance, *table, float(share.max()))
    # in the precision of the coordinates, so that what is drawn beyond one counts as beyond it
    beyond = jnp.asarray(threshold, jnp.float32)

    def prepared(components: Components, seed: jax.Array) -> Maker:
        def of_block(tilt: Integers, drift: Integers) -> TiltedModel:
            target = jnp.asarray(components.drift[drift].T, dtype)
            return TiltedStudentT(model, target, jnp.asarray(tilt, jnp.int32), beyond, seed, steps)

        return of_block

    return Tilts(
        points=points,
        drift=points.z,
        cost=points.distance**2 / 2,
        scenes=bar_scenes(threshold, *table, share, model.assets),
        words=(
            "no wild bar",
            *(f"a bar as wild as one in {2 * np.exp(x):.2g}" for x in threshold[1:]),
        ),
        every=True,
        planes=True,
        prepared=prepared,
    )


def _jump_tilts(job: Job, model: JumpDiffusion, terminal: Terminal, points: DesignPoints) -> Tilts:
    steps, dtype = job.schedule.steps, np.dtype(job.schedule.precision)
    exposure = np.concatenate([np.asarray(model.exposure, float)[None], np.eye(model.assets)])
    whitened = exposure @ np.linalg.pinv(terminal.root).T
    jumps = Jumps(expected_jumps(model, steps), whitened, _laws(model))
    alone = served(points, still(model.assets), Components.alone(model.assets)).probability
    diffusive = np.asarray(np.bincount(points.pool, alone, terminal.pools), float)
    classes = jump_classes(terminal, diffusive, exposure, jumps)
    drift, points = dominating(terminal, points, jumps)
    # what would make too many jumps is left to the others
    drift = np.where(jumps.number(drift).sum(axis=1, keepdims=True) <= MOST_JUMPS, drift, 0.0)
    beyond = Beyond(
        jnp.asarray(classes.process, jnp.int32),
        *(jnp.asarray(of, dtype) for of in (classes.side, classes.threshold, classes.expected)),
    )

    def prepared(components: Components, seed: jax.Array) -> Maker:
        laws = _jump_laws(jumps, components.drift, dtype)

        def of_block(tilt: Integers, drift: Integers) -> TiltedModel:
            law, more = (jnp.asarray(each, jnp.int32) for each in (drift, tilt))
            whiten = jnp.asarray(whitened.T, dtype)
            return TiltedJumps(model, whiten, laws, beyond, law, more, seed, steps)

        return of_block

    return Tilts(
        points=points,
        drift=drift,
        cost=jumps.cost(drift),
        scenes=jump_scenes(classes, jumps, drift),
        words=_jump_words(classes, job.setting.assets),
        every=False,
        planes=False,
        prepared=prepared,
    )


def _jump_laws(jumps: Jumps, drift: Floats, dtype: Any) -> JumpLaws:
    """Return the laws of the jumps under (drifts, assets) drifts, as the kernel has them."""
    number = jumps.number(drift)
    total = number.sum(axis=1)
    exceeding = pdtrc(np.arange(_MOST_SLOTS), total[:, None])
    slots = int((exceeding > _NEGLIGIBLE).sum(axis=1).max())
    shares = number.cumsum(axis=1) / np.maximum(total, np.finfo(float).tiny)[:, None]
    eta = drift @ jumps.whitened.T
    tilted = [[law.tilted(float(e)) for law, e in zip(jumps.laws, row, strict=True)] for row in eta]
    sizes: Any = NormalSizes
    names: tuple[str, ...] = ("mean", "deviation")
    if isinstance(jumps.laws[0], DoubleExponentialLaw):
        sizes, names = DoubleExponentialSizes, ("up_probability", "up_mean", "down_mean")
    numbers = (np.array([[getattr(law, name) for law in row] for row in tilted]) for name in names)
    return JumpLaws(
        drift=jnp.asarray(drift, dtype),
        exceeding=jnp.asarray(exceeding[:, :slots], jnp.float32),
        shares=jnp.asarray(shares, jnp.float32),
        sizes=sizes(*(jnp.asarray(each, dtype) for each in numbers)),
    )


def expected_jumps(model: JumpDiffusion, steps: int) -> Floats:
    """Return (processes,) the mean number of jumps over so many steps."""
    # sum of P(more than 0, 1, ... jumps) is the mean number
    bar = float(np.asarray(model.exceeding, float).sum())
    shares = np.diff(np.asarray(model.shares, float), prepend=0.0)
    return bar * shares * steps / model.bar_steps


def _laws(model: JumpDiffusion) -> tuple[SizeLaw, ...]:
    sizes: Any = model.sizes
    if isinstance(sizes, NormalSizes):
        normal = zip(*(np.asarray(of, float) for of in (sizes.mean, sizes.deviation)), strict=True)
        return tuple(NormalLaw(*map(float, each)) for each in normal)
    assert isinstance(sizes, DoubleExponentialSizes)
    both = (sizes.up_probability, sizes.up_mean, sizes.down_mean)
    columns = zip(*(np.asarray(of, float) for of in both), strict=True)
    return tuple(DoubleExponentialLaw(*map(float, each)) for each in columns)


def _jump_words(classes: JumpClasses, assets: tuple[str, ...]) -> tuple[str, ...]:
    words = ["no further jump"]
    for process, side, threshold in zip(
        classes.process[1:], classes.side[1:], classes.threshold[1:], strict=True
    ):
        whose = "of all assets" if process == 0 else f"of {assets[process - 1]}"
        words.append(f"a jump {whose} {'above' if side > 0 else 'below'} {threshold:+.3f}")
    return tuple(words)
