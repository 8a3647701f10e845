"""Mixtures of Brownian drifts toward design points: what they should be, and what they will see.

A path is drawn from one of several laws, its component: under component c the Brownian motion
drifts toward a point ``z_c`` of the whitened terminal state, and what is random besides it (the
scale of Student's t, jumps) may be tilted. With shares alpha_c and the balance heuristic (Veach and
Guibas 1995; Owen and Zhou 2000) the likelihood ratio of a path at its liquidation is ``1 / q``,
with ``q = sum alpha_c l_c`` and ``l_c`` the density of component c over the model's. A share
alpha_0 without any drift bounds it by ``1 / alpha_0``.

To first order a pool is liquidated when its Brownian motion, projected on the direction of the
design point, first reaches the distance beta of that point. Of this half-space everything is known:
the probability, the law of the time given that it is reached, and where the Brownian motion then
stands. So the second moments of the estimates can be computed before the first path is drawn, for
the choice of the components, of their shares, and to say which accounts no component serves.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.special import log_ndtr, ndtri_exp

from stress.sampling.design_points import DesignPoints
from stress.types import Floats, Integers

__all__ = ["Components", "Scenes", "Served", "best_shares", "cover", "dealt", "served", "still"]

DEFENSIVE = 0.1
"""Least share of the component without drift."""

_CANDIDATES = 48
"""Points that are considered for each place of a cover."""
_FARTHEST = 3.0
"""Distance beyond which points are brought for the choice of a cover: what matters is direction."""
_SEED = 20_261_122
_POWER = 4.0
"""Power of the mean over accounts that stands for the largest of their second moments."""
_UPDATES = 200
_NUMBERS = 1 << 23
"""Most densities that are held at a time."""


@dataclass(frozen=True)
class Scenes:
    """Draws of what is random besides the Brownian motion, with the densities of its tilts.

    Attributes
    ----------
    variance
        (scenes,) variance of the Brownian motion over the horizon, as a multiple of the stated one.
    shift
        (scenes, assets) what jumps add to the whitened terminal state.
    ratio
        (scenes, tilts) density of each tilt over the model; tilt 0 is the model, 1.
    weight
        (scenes,) probabilities under the model, which add up to 1.
    """

    variance: Floats
    shift: Floats
    ratio: Floats
    weight: Floats


def still(assets: int) -> Scenes:
    """Return the one scene of a model with nothing random besides its Brownian motion."""
    return Scenes(np.ones(1), np.zeros((1, assets)), np.ones((1, 1)), np.ones(1))


@dataclass(frozen=True)
class Components:
    """The laws that paths are drawn from; the first is the model's own.

    Attributes
    ----------
    drift
        (drifts, assets) whitened terminal states z that the Brownian motion drifts toward; row 0 is
        0. Jumps are tilted along with it: their intensity is multiplied by ``exp(z . jump)``.
    cost
        (drifts,) log of ``E[exp(z . state)]``, with the state at the horizon, less its mean without
        jumps; ``|z|^2 / 2`` without jumps.
    kind
        (components, 2) the tilt and the drift of each, the first (0, 0).
    share
        (components,) shares of the paths, which add up to 1.
    """

    drift: Floats
    cost: Floats
    kind: Integers
    share: Floats

    @classmethod
    def alone(cls, assets: int) -> Components:
        """Return the model by itself."""
        return cls(np.zeros((1, assets)), np.zeros(1), np.zeros((1, 2), int), np.ones(1))

    def weight(self, tilts: int) -> Floats:
        """Return (tilts, drifts) the shares as a table."""
        table = np.zeros((tilts, len(self.drift)))
        table[self.kind[:, 0], self.kind[:, 1]] = self.share
        return table


@dataclass(frozen=True)
class Served:
    """What a mixture will see of the events that are liquidation near one design point each.

    Attributes
    ----------
    probability
        (points,) first-order probability.
    second
        (points,) second moment of the estimate on one path.
    """

    probability: Floats
    second: Floats


def cover(points: DesignPoints, most: int) -> Integers:
    """Return which design points, at most so many, the drifts lead to.

    All if there are few. Otherwise one by one the point that most lowers the predicted second
    moments of all: ``mean log + max log / 2`` over the points of the least over the chosen of ::

        M_jk = exp(|z_k|^2) Phi(-(beta_j + a_j z_k)) / Phi(-beta_j)^2

    the relative second moment for half-space j at the horizon under drift k.
    """
    if len(points.pool) <= most:
        return np.arange(len(points.pool))
    scale = np.minimum(1, _FARTHEST / points.distance)[:, None]
    z, direction = points.z * scale, points.direction
    distance = points.distance * scale[:, 0]
    alone = 2 * log_ndtr(-distance)
    rng = np.random.default_rng(_SEED)
    best = np.full(len(z), np.inf)
    chosen: list[int] = []
    while len(chosen) < most:
        worst = np.argsort(-best)[: _CANDIDATES // 2]
        tried = np.union1d(worst, rng.integers(0, len(z), _CANDIDATES // 2))
        reach = distance[:, None] + direction @ z[tried].T
        moment = (z[tried] ** 2).sum(axis=1) + log_ndtr(-reach) - alone[:, None]
        lower = np.minimum(best[:, None], moment)
        place = int((lower.mean(axis=0) + lower.max(axis=0) / 2).argmin())
        chosen.append(int(tried[place]))
        best = lower[:, place]
    return np.unique(chosen)


@dataclass(frozen=True)
class _Hits:
    """Draws, given that it happens, of where the paths stand when a half-space is reached.

    ``ratio`` (points, draws, tilts), ``place`` and ``shift`` (points, draws, assets), ``clock``
    (points, draws): the density of drift z is ``exp(z . place - |z|^2 clock / 2)`` times that of
    the jumps, ``exp(z . shift - cost + |z|^2 / 2)``; ``probability`` (points,).
    """

    ratio: Floats
    place: Floats
    shift: Floats
    clock: Floats
    probability: Floats

    def densities(self, components: Components) -> Floats:
        """Return (points, draws, components) densities over the model's."""
        drift = components.drift
        half = (drift**2).sum(axis=1) / 2
        exponent = (self.place + self.shift) @ drift.T - self.clock[..., None] * half
        exponent -= components.cost - half
        tilt, toward = components.kind.T
        with np.errstate(over="ignore"):
            densities: Floats = self.ratio[..., tilt] * np.exp(exponent)[..., toward]
        return densities


def _hits(points: DesignPoints, scenes: Scenes, draws: int) -> _Hits:
    """Draw so many hits of the half-space of each point, evenly over their law.

    A Brownian motion of variance v reaches b by the horizon with probability ``2 Phi(-b / sqrt v)``
    and then at the share ``b^2 / (v Z^2)`` of its clock, Z normal beyond ``b / sqrt v``
    (reflection).
    """
    rng = np.random.default_rng(_SEED)
    direction, count = points.direction, len(points.pool)
    deviation = np.sqrt(scenes.variance)
    left = (points.distance[:, None] - direction @ scenes.shift.T) / deviation
    log_hit = np.minimum(np.log(2) + log_ndtr(-left), 0)
    joint = np.exp(log_hit) * scenes.weight
    probability = joint.sum(axis=1)
    scene = _evenly(joint / np.maximum(probability, np.finfo(float).tiny)[:, None], draws)
    here = np.take_along_axis(left, scene, axis=1)
    uniform = (rng.permuted(np.tile(np.arange(draws), (count, 1)), axis=1) + 0.5) / draws
    beyond = -ndtri_exp(np.log(uniform) + log_ndtr(-np.maximum(here, 0)))
    ahead = here > 0
    clock = np.where(ahead, (here / np.maximum(beyond, 1e-12)) ** 2, uniform)
    spread = rng.standard_normal((count, draws, direction.shape[1]))
    along = (spread * direction[:, None]).sum(axis=2)
    # where jumps alone lead beyond, the Brownian motion is free, also along the direction
    along = np.where(ahead, np.sqrt(clock) * along - here, 0.0)
    spread = np.sqrt(clock)[..., None] * spread - along[..., None] * direction[:, None]
    return _Hits(
        ratio=scenes.ratio[scene],
        place=spread / deviation[scene][..., None],
        shift=scenes.shift[scene],
        clock=clock / scenes.variance[scene],
        probability=probability,
    )


def _evenly(probability: Floats, draws: int) -> Integers:
    """Return (rows, draws) indices drawn by a systematic sample of each row's probabilities."""
    edges = probability.cumsum(axis=1)
    at = (np.arange(draws) + 0.5) / draws
    found = np.array([np.searchsorted(row, at * row[-1]) for row in edges])
    return np.minimum(found.reshape(len(edges), draws), probability.shape[1] - 1)


def _some(count: int, width: int) -> Iterator[slice]:
    for first in range(0, count, width):
        yield slice(first, min(first + width, count))


def served(points: DesignPoints, scenes: Scenes, components: Components, draws: int = 64) -> Served:
    """Return what a mixture will see of each design point's event."""
    width = max(1, _NUMBERS // (draws * len(components.share)))
    probability, second = np.zeros(len(points.pool)), np.zeros(len(points.pool))
    for some in _some(len(points.pool), width):
        hits = _hits(points.of(np.arange(some.start, some.stop)), scenes, draws)
        mixed = hits.densities(components) @ components.share
        probability[some] = hits.probability
        second[some] = hits.probability * (1 / mixed).mean(axis=1)
    return Served(probability, second)


def best_shares(
    points: DesignPoints,
    scenes: Scenes,
    drift: Floats,
    cost: Floats,
    kind: Integers,
    draws: int = 64,
) -> Components:
    """Return the components with the shares that make the largest relative second moment small.

    The mean over points of ``R_j^4``, ``R_j = E[1_j / q] / p_j^2``, stands for the largest. It is
    convex in the shares and minimised by multiplicative updates (Torsney 1977; Yu 2010, Monotonic
    convergence of a general algorithm for computing optimal designs) on draws of the half-spaces:
    no path is spent. The first component keeps at least ``DEFENSIVE``.

    Parameters
    ----------
    points
        Of the events that are to be seen.
    drift, cost, kind
        As ``Components`` has them.
    """
    rest = np.full(len(kind), 1 / len(kind))
    components = Components(drift, cost, kind, rest)
    if len(points.pool) == 0:
        return Components.alone(drift.shape[1])
    draws = int(np.clip(_NUMBERS // (len(points.pool) * len(kind)), 8, draws))
    hits = _hits(points, scenes, draws)
    densities = np.minimum(hits.densities(components), 1e30)
    for _ in range(_UPDATES):
        share = (1 - DEFENSIVE) * rest
        share[0] += DEFENSIVE
        mixed = densities @ share
        relative = (1 / mixed).mean(axis=1) / hits.probability
        importance = (relative / relative.max()) ** _POWER
        slope = (importance / relative / hits.probability)[:, None] / mixed**2
        gain = np.einsum("pd,pdc->c", slope, densities)
        # by a share of the exponent that keeps a convex power from overshooting
        rest = rest * (gain / (rest * gain).sum()) ** (1 / (1 + _POWER / 2))
        rest = rest / rest.sum()
    share = (1 - DEFENSIVE) * rest
    share[0] += DEFENSIVE
    return Components(drift, cost, kind, share)


def dealt(components: Components, paths: int, fewest: int) -> tuple[Components, Integers]:
    """Return the components with shares that are whole numbers of paths, and each path's own.

    A component with fewer than ``fewest`` paths gives them to the others.

    Parameters
    ----------
    paths
        Number of paths.

    Returns
    -------
    components
        Their shares are exactly what is dealt, which keeps the estimate unbiased.
    component
        (paths,) evenly mixed, so that any stretch of paths has nearly the shares of all.
    """
    kept = components.share * paths >= fewest
    kept[0] = True
    share = components.share[kept] / components.share[kept].sum()
    count = np.floor(share * paths).astype(int)
    short = np.argsort(-(share * paths - count), kind="stable")[: paths - count.sum()]
    count[short] += 1
    kept = np.flatnonzero(kept)[count > 0]
    count = count[count > 0]
    component = np.repeat(np.arange(len(count)), count)
    turn = np.concatenate([(np.arange(each) + 0.5) / each for each in count])
    order = np.lexsort((component, turn))
    used, drift = np.unique(components.kind[kept, 1], return_inverse=True)
    kind = np.stack([components.kind[kept, 0], drift], axis=1)
    exact = Components(components.drift[used], components.cost[used], kind, count / paths)
    return exact, component[order]
