"""What besides a drift makes rare liquidations common: wild bars of Student's t, and large jumps.

A tilt makes one event happen that lies beyond a threshold, drawn from the model's own law there
(``market.tilted`` has the densities). Which thresholds there are follows from what the accounts
need; the shares of the paths that each gets are solved for on ``Scenes``, draws of the model that
see what is rare.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.special import ndtr, ndtri

from stress.sampling.design_points import DesignPoints, Terminal
from stress.sampling.mixture import Scenes
from stress.types import Array, Floats, Integers

__all__ = [
    "DoubleExponentialLaw",
    "JumpClasses",
    "Jumps",
    "NormalLaw",
    "SizeLaw",
    "bar_scenes",
    "bar_thresholds",
    "dominating",
    "jump_classes",
    "jump_scenes",
]

_SCENES = 2_048
_SEED = 20_261_122
_APART = 1.5
"""Distance between the thresholds of bars, in Laplace's coordinate: so much rarer is ``e^-1.5``."""
_FURTHEST = 21.0
"""Last threshold: a draw of the model reaches 22.9."""
_LARGE = 500.0
"""Largest exponent."""
_TURNS, _BISECTIONS = 12, 40
_COMFORT = 1.5
"""Deviations of a wild bar's own that a design point should be away, to be reached easily."""


def bar_thresholds(
    distance: Floats, coordinate: Floats, log_quantile: Floats, share: float
) -> Floats:
    """Return (tilts,) thresholds of the wild bar in Laplace's coordinate; that of tilt 0 is 0.

    Parameters
    ----------
    distance
        (points,) of the design points.
    coordinate, log_quantile
        (points of the table,) log W by Laplace coordinate.
    share
        Of the horizon that one bar takes.
    """
    furthest = float(distance.max(initial=0.0))
    wanted = np.log(max((furthest / _COMFORT) ** 2 / share, 1.0))
    last = float(np.interp(wanted, log_quantile, coordinate))
    steps = np.arange(_APART / 2, min(last, _FURTHEST), _APART)
    return np.concatenate([[0.0], steps])


def bar_scenes(
    threshold: Floats, coordinate: Floats, log_quantile: Floats, share: Floats, assets: int
) -> Scenes:
    """Return scenes of bars with W of their own.

    Parameters
    ----------
    threshold
        (tilts,) as ``bar_thresholds`` returns them.
    coordinate, log_quantile
        (points of the table,) log W by Laplace coordinate.
    share
        (bars,) of the horizon.
    """
    rng = np.random.default_rng(_SEED)
    drawn = rng.laplace(size=(_SCENES, len(share)))
    tilt = np.arange(_SCENES) % len(threshold)
    wild = rng.choice(len(share), _SCENES, p=share)
    beyond = threshold[tilt] + rng.standard_exponential(_SCENES)
    rows = np.arange(_SCENES)
    drawn[rows, wild] = np.where(tilt > 0, beyond, drawn[rows, wild])
    variance = np.exp(np.interp(drawn, coordinate, log_quantile)) @ share
    is_beyond = drawn[:, None] >= threshold[:, None]
    ratio = 2 * np.exp(threshold) * (is_beyond @ share)
    ratio[:, 0] = 1.0
    return _weighted(variance, np.zeros((_SCENES, assets)), ratio)


def _weighted(variance: Floats, shift: Floats, ratio: Floats) -> Scenes:
    """Return scenes that were drawn from every tilt in turn, with their weights."""
    weight = 1 / ratio.mean(axis=1)
    return Scenes(variance, shift, ratio, weight / weight.sum())


class SizeLaw(Protocol):
    """The law of the sizes of one process's jumps."""

    def tail(self, threshold: Floats, side: int) -> Floats:
        """Return (...) probabilities of a size above (side 1) or below (side -1) a threshold."""
        ...

    def threshold(self, tail: float, side: int) -> float:
        """Return the threshold beyond which a share of the sizes lies."""
        ...

    def draw(self, rng: np.random.Generator, count: int) -> Floats:
        """Return (count,) sizes."""
        ...

    def draw_beyond(self, rng: np.random.Generator, threshold: float, side: int) -> float:
        """Return one size beyond a threshold."""
        ...

    def growth(self, eta: Floats) -> tuple[Floats, Floats]:
        """Return (...) E[exp(eta J)], inf where there is none, and its slope."""
        ...

    def tilted(self, eta: float) -> SizeLaw:
        """Return the law whose density is multiplied by exp(eta J)."""
        ...


@dataclass(frozen=True)
class NormalLaw:
    """Merton's sizes: normal."""

    mean: float
    deviation: float

    def tail(self, threshold: Floats, side: int) -> Floats:
        """Return (...) probabilities of a size beyond a threshold."""
        away = side * (np.asarray(threshold) - self.mean)
        if self.deviation == 0:
            return np.where(away < 0, 1.0, 0.0)
        return np.asarray(ndtr(-away / self.deviation))

    def threshold(self, tail: float, side: int) -> float:
        """Return the threshold beyond which a share of the sizes lies."""
        return float(self.mean - side * self.deviation * ndtri(min(tail, 1 - 1e-9)))

    def draw(self, rng: np.random.Generator, count: int) -> Floats:
        """Return (count,) sizes."""
        return rng.normal(self.mean, self.deviation, count)

    def draw_beyond(self, rng: np.random.Generator, threshold: float, side: int) -> float:
        """Return one size beyond a threshold."""
        beyond = rng.random() * self.tail(np.asarray(threshold), side)
        return float(self.mean - side * self.deviation * ndtri(beyond))

    def growth(self, eta: Floats) -> tuple[Floats, Floats]:
        """Return (...) E[exp(eta J)] and its slope."""
        square = self.deviation**2
        grown = np.exp(np.minimum(eta * self.mean + eta**2 * square / 2, _LARGE))
        return grown, grown * (self.mean + eta * square)

    def tilted(self, eta: float) -> NormalLaw:
        """Return the law whose density is multiplied by exp(eta J)."""
        return NormalLaw(self.mean + eta * self.deviation**2, self.deviation)


@dataclass(frozen=True)
class DoubleExponentialLaw:
    """Kou's sizes: up with ``up_probability`` by an exponential, or else down."""

    up_probability: float
    up_mean: float
    down_mean: float

    def _side(self, side: int) -> tuple[float, float]:
        if side > 0:
            return self.up_probability, self.up_mean
        return 1 - self.up_probability, self.down_mean

    def tail(self, threshold: Floats, side: int) -> Floats:
        """Return (...) probabilities of a size beyond a threshold on that side of 0."""
        probability, mean = self._side(side)
        return np.asarray(probability * np.exp(-np.maximum(side * np.asarray(threshold), 0) / mean))

    def threshold(self, tail: float, side: int) -> float:
        """Return the threshold beyond which a share of the sizes lies, on that side of 0."""
        probability, mean = self._side(side)
        return float(side * mean * max(np.log(probability / tail), 0.0))

    def draw(self, rng: np.random.Generator, count: int) -> Floats:
        """Return (count,) sizes."""
        up = rng.random(count) < self.up_probability
        return np.where(up, self.up_mean, -self.down_mean) * rng.standard_exponential(count)

    def draw_beyond(self, rng: np.random.Generator, threshold: float, side: int) -> float:
        """Return one size beyond a threshold."""
        return float(threshold + side * self._side(side)[1] * rng.standard_exponential())

    def growth(self, eta: Floats) -> tuple[Floats, Floats]:
        """Return (...) E[exp(eta J)], inf where there is none, and its slope."""
        up, down = 1 - eta * self.up_mean, 1 + eta * self.down_mean
        finite = (up > 0) & (down > 0)
        up, down = np.where(finite, up, 1.0), np.where(finite, down, 1.0)
        share = self.up_probability
        grown = share / up + (1 - share) / down
        slope = share * self.up_mean / up**2 - (1 - share) * self.down_mean / down**2
        return np.where(finite, grown, np.inf), np.where(finite, slope, np.nan)

    def tilted(self, eta: float) -> DoubleExponentialLaw:
        """Return the law whose density is multiplied by exp(eta J)."""
        up, down = 1 - eta * self.up_mean, 1 + eta * self.down_mean
        rise, fall = self.up_probability / up, (1 - self.up_probability) / down
        return DoubleExponentialLaw(rise / (rise + fall), self.up_mean / up, self.down_mean / down)


@dataclass(frozen=True)
class JumpClasses:
    """Jumps beyond a threshold; class 0 is none.

    Attributes
    ----------
    process, side
        (classes,) what jumps, and 1 for sizes above the threshold or -1 for sizes below it.
    threshold
        (classes,) of the size.
    expected
        (classes,) mean number of such jumps over the horizon; 1 of class 0.
    """

    process: Integers
    side: Integers
    threshold: Floats
    expected: Floats

    def counted(self, process: Integers, size: Floats) -> Array:
        """Return (jumps, classes) whether jumps are in each class."""
        beyond = self.side * size[:, None] >= self.side * self.threshold
        return beyond & (process[:, None] == self.process)


_SIZES = np.geomspace(0.002, 3.0, 160)
"""Sizes of jumps that are tried for what a pool bears."""
_SOFT = 0.7
"""Share of the size needed from which on a jump helps: the Brownian motion may do the rest."""
_PER_DECADE = 2
"""Thresholds of one process and side for each factor ten of their probability."""
_RELEVANT = 0.02
"""A way to be liquidated that is rarer than this share of an account's likeliest gets no class."""
_RAREST = 1e-11
_MOST_CLASSES = 48
_LAWS = 64
"""Drifts whose jumps are among the scenes."""
_MOST_JUMPS = 1e4


def jump_classes(
    terminal: Terminal,
    diffusive: Floats,
    exposure: Floats,
    jumps: Jumps,
) -> JumpClasses:
    """Return the classes of single jumps that may liquidate a pool.

    Parameters
    ----------
    terminal
        The pools.
    diffusive
        (pools,) probability of being liquidated without jumps, to first order.
    exposure
        (processes, assets) what the log prices move by in a jump of size 1.
    jumps
        Over the horizon.
    """
    expected, laws = jumps.expected, jumps.laws
    kinds = [(p, s) for p in range(len(laws)) if expected[p] > 0 for s in (-1, 1)]
    need = [_needed(terminal, side * exposure[process]) for process, side in kinds]
    chance = [
        expected[process] * laws[process].tail(side * _SOFT * size, side)
        for (process, side), size in zip(kinds, need, strict=True)
    ]
    best = np.max([diffusive, *chance], axis=0)
    found: dict[tuple[int, int, int], int] = {}
    for (process, side), likely in zip(kinds, chance, strict=True):
        here = likely[(likely > np.maximum(_RELEVANT * best, _RAREST))]
        level = np.ceil(np.log10(here / expected[process]) * _PER_DECADE)
        for one, count in zip(*np.unique(level, return_counts=True), strict=True):
            found[process, side, int(one)] = int(count)
    kept = sorted(sorted(found, key=lambda key: (-found[key], key))[:_MOST_CLASSES])
    rows = [(0, 1, 0.0, 1.0)]
    for process, side, level in kept:
        threshold = laws[process].threshold(10 ** (level / _PER_DECADE), side)
        tail = float(laws[process].tail(np.asarray(threshold), side))
        rows.append((process, side, threshold, expected[process] * tail))
    what, where, beyond, mean = (np.array(column) for column in zip(*rows, strict=True))
    return JumpClasses(what, where, beyond, mean)


@dataclass(frozen=True)
class Jumps:
    """The jumps of a horizon.

    Attributes
    ----------
    expected
        (processes,) mean number of jumps.
    whitened
        (processes, assets) what a jump of size 1 adds to the whitened terminal state.
    laws
        Of the sizes, one a process.
    """

    expected: Floats
    whitened: Floats
    laws: tuple[SizeLaw, ...]

    def cost(self, z: Floats) -> Floats:
        """Return (n,) log E[exp(z . state)] of (n, assets) drifts."""
        eta = z @ self.whitened.T
        grown = np.stack([law.growth(eta[:, p])[0] for p, law in enumerate(self.laws)], axis=1)
        used = self.expected > 0
        jumps = (grown[:, used] - 1) @ self.expected[used]
        return np.asarray((z**2).sum(axis=1) / 2 + jumps)

    def mean(self, z: Floats) -> Floats:
        """Return (n, assets) the mean state under the (n, assets) drifts; NaN where none is."""
        eta = z @ self.whitened.T
        slope = np.stack([law.growth(eta[:, p])[1] for p, law in enumerate(self.laws)], axis=1)
        slope = np.where(self.expected > 0, slope, 0.0)
        return z + (slope * self.expected) @ self.whitened

    def number(self, z: Floats) -> Floats:
        """Return (n, processes) the mean number of jumps under the (n, assets) drifts."""
        eta = z @ self.whitened.T
        grown = np.stack([law.growth(eta[:, p])[0] for p, law in enumerate(self.laws)], axis=1)
        return np.where(self.expected > 0, grown, 0.0) * self.expected


def dominating(
    terminal: Terminal, points: DesignPoints, jumps: Jumps
) -> tuple[Floats, DesignPoints]:
    """Return the drifts under which pools with jumps are just liquidated in the mean.

    The likeliest way for all that is random together is the tilt z whose mean state ``mean(z)``
    lies on the surface of excess 0, and which points along the surface's normal there: the
    dominating point of large deviations (Ney 1983; Sadowsky and Bucklew 1990). It is looked for in
    turns, the length by bisection, the direction from the gradient, starting at the design points
    of the Brownian motion. Where the turns do not settle the drift is merely not the best.

    Returns
    -------
    drift
        (points, assets).
    points
        The foot, seen from the origin, of the surface's tangent plane at each dominating point.
    """
    pools = terminal.of(points.pool)
    direction = points.direction
    z = np.zeros_like(points.z)
    for _ in range(_TURNS):
        low, high = np.zeros(len(z)), np.full(len(z), points.distance.max(initial=0.0))
        for _ in range(_BISECTIONS):
            middle = (low + high) / 2
            state = jumps.mean(middle[:, None] * direction)
            lost = np.asarray(~np.isfinite(state).all(axis=1))
            excess = pools.excess(np.where(lost[:, None], 0.0, state))[0]
            beyond = lost | (excess <= 0)
            low, high = np.where(beyond, low, middle), np.where(beyond, middle, high)
        z = low[:, None] * direction
        state = jumps.mean(z)
        gradient = -pools.excess(state)[1]
        length = np.sqrt((gradient**2).sum(axis=1, keepdims=True))
        turned = direction + gradient / np.maximum(length, np.finfo(float).tiny)
        direction = turned / np.sqrt((turned**2).sum(axis=1, keepdims=True))
    away = np.maximum((direction * state).sum(axis=1, keepdims=True), 1e-3)
    return z, DesignPoints(points.pool, direction * away)


def _needed(terminal: Terminal, direction: Floats) -> Floats:
    """Return (pools,) the least multiple of a move at which each pool is in breach, else inf."""
    need = np.full(terminal.pools, np.inf)
    for size in _SIZES[::-1]:
        move = np.broadcast_to(terminal.mean + size * direction, (terminal.pools, len(direction)))
        need = np.where(terminal.after(move)[0] <= 0, size, need)
    return need


def jump_scenes(classes: JumpClasses, jumps: Jumps, drift: Floats) -> Scenes:
    """Return scenes of the jumps of a horizon.

    Every other scene is drawn under a tilt, by classes and by drifts in turn.

    Parameters
    ----------
    classes
        As ``jump_classes`` returns them.
    drift
        (drifts, assets) as ``dominating`` returns them.
    """
    rng = np.random.default_rng(_SEED)
    assets = jumps.whitened.shape[1]
    some = (
        drift[np.unique(np.linspace(0, len(drift) - 1, _LAWS).astype(int))] if len(drift) else drift
    )
    laws = np.concatenate([np.zeros((1, assets)), some])
    turns = len(laws) + len(classes.side) - 1
    turn = np.arange(_SCENES) % turns
    law, tilt = np.where(turn < len(laws), turn, 0), np.maximum(turn - len(laws) + 1, 0)
    scene: list[Array] = []
    process: list[Array] = []
    size: list[Array] = []
    number = jumps.number(laws)
    for index in range(len(laws)):
        here = np.flatnonzero(law == index)
        for kind, own in enumerate(jumps.laws):
            eta = float(laws[index] @ jumps.whitened[kind])
            count = rng.poisson(min(number[index, kind], _MOST_JUMPS), len(here))
            scene.append(np.repeat(here, count))
            process.append(np.full(count.sum(), kind))
            size.append(own.tilted(eta).draw(rng, int(count.sum())))
    added = np.flatnonzero(tilt)
    scene.append(added)
    process.append(classes.process[tilt[added]])
    size.append(
        np.array(
            [
                jumps.laws[classes.process[one]].draw_beyond(
                    rng, classes.threshold[one], classes.side[one]
                )
                for one in tilt[added]
            ]
        )
    )
    where, what, extent = (np.concatenate(each) for each in (scene, process, size))
    shift = np.zeros((_SCENES, assets))
    np.add.at(shift, where, extent[:, None] * jumps.whitened[what])
    ratio = np.zeros((_SCENES, len(classes.side)))
    np.add.at(ratio, where, classes.counted(what, extent).astype(float))
    ratio /= classes.expected
    ratio[:, 0] = 1.0
    # the Brownian part of a drift's cost is not in the jumps
    cost = jumps.cost(laws) - (laws**2).sum(axis=1) / 2
    by_law = np.exp(np.minimum(shift @ laws.T - cost, _LARGE))
    weight = turns / (by_law.sum(axis=1) + ratio[:, 1:].sum(axis=1))
    return Scenes(np.ones(_SCENES), shift, ratio, weight / weight.sum())
