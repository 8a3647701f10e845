"""The law of the market's move up to some time, as reverse stress needs it: normals and a jump.

Exact where the model is driven by normals of one covariance: geometric Brownian motion, also under
overlays. A student-t model is one with a random scale common to all assets, which changes no
direction, only how likely a distance is. A jump diffusion is taken apart into kinds of market: no
jump, or one jump of one process. Every other model is described by the mean and the covariance of
its simulated paths at the horizon, and its distances are those of Mahalanobis (Breuer, Jandacka,
Rheinberger and Summer 2009, How to find plausible, severe, and useful stress scenarios).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.special import ndtr

from stress.market import PriceModel
from stress.market.gbm import GeometricBrownianMotion, symmetric_root
from stress.market.jump_diffusion import JumpDiffusion, NormalSizes
from stress.market.overlay import Laid, Overlaid
from stress.market.student_t import StudentT
from stress.types import Floats, Integers

__all__ = ["Jump", "Kind", "Law", "Scale", "law_of", "sampled_law"]

_DRAWS = 1 << 16
"""Draws of the mean scale of several bars: its tail is good to a few percent at 1 in 1,000."""
_FEWEST_PER_ASSET = 10
"""Sampled paths an asset from which their covariance is used."""


@dataclass(frozen=True)
class Jump:
    """The one jump of a kind of market.

    ``rate`` is in jumps a step; ``exposure`` is (assets,); ``location``, ``scale`` and ``tail`` as
    in ``engine.reverse.Noise``.
    """

    rate: float
    exposure: Floats
    location: float = 0.0
    scale: float = 0.0
    tail: float = 0.0


@dataclass(frozen=True)
class Scale:
    """The common scale of a student-t model.

    Attributes
    ----------
    coordinate, log_quantile
        (points,) Laplace coordinates (``market.mixing``), and log W there.
    bar_steps
        Steps that share a W.
    """

    coordinate: Floats
    log_quantile: Floats
    bar_steps: int

    def means(self, steps: int) -> tuple[Floats, Floats]:
        """Return values of the mean of W over so many steps, and their weights.

        Exact, a sum over the table, within one bar; draws from a fixed seed where there are more.
        """
        if steps <= self.bar_steps:
            weight = np.exp(-np.abs(self.coordinate))
            return np.exp(self.log_quantile), weight / weight.sum()
        rng = np.random.default_rng(0)
        total, left = np.zeros(_DRAWS), steps
        while left > 0:
            drawn = rng.laplace(size=_DRAWS)
            wild = np.exp(np.interp(drawn, self.coordinate, self.log_quantile))
            total += wild * min(left, self.bar_steps)
            left -= self.bar_steps
        return total / steps, np.full(_DRAWS, 1 / _DRAWS)


@dataclass(frozen=True)
class Kind:
    """One kind of market: log prices are a mean, normal noise, and perhaps one jump at the end.

    Attributes
    ----------
    name
        ``"normal"``, ``"student-t"``, ``"no jump"``, ``"common jump"``, ``"jump of BTC"``,
        ``"sampled"``.
    mean
        (steps, assets) mean log return of each step, overlays included.
    covariance
        (maps, assets, assets) covariances of the log returns of a step.
    which
        (steps,) row of ``covariance`` of each step.
    jump
        The jump; None without one.
    scale
        The common scale; None without one.
    known
        Whether the probability of a distance is known.
    """

    name: str
    mean: Floats
    covariance: Floats
    which: Integers
    jump: Jump | None = None
    scale: Scale | None = None
    known: bool = True

    @property
    def assets(self) -> int:
        """Number of assets."""
        return self.mean.shape[1]

    def mean_at(self, step: int) -> Floats:
        """Return (assets,) the log prices after a step without noise."""
        return self.mean[:step].sum(axis=0)

    def root_at(self, step: int) -> Floats:
        """Return (assets, assets) the symmetric root of the covariance up to a step."""
        counts = np.bincount(self.which[:step], minlength=len(self.covariance))
        return symmetric_root(np.einsum("m,mab->ab", counts, self.covariance))

    def push(self, step: int, moved: Floats) -> Floats:
        """Return (maps, assets) what each step adds on the way to a place.

        The mean of the noise given where it is after ``step`` steps: with one covariance a straight
        line.

        Parameters
        ----------
        moved
            (assets,) where, without mean and jump.
        """
        root = self.root_at(step)
        pull = np.linalg.pinv(root @ root, rcond=1e-12, hermitian=True) @ moved
        return np.einsum("mab,b->ma", self.covariance, pull)

    def probability(self, distance: Floats, step: int) -> Floats:
        """Return the probability of a move at least so far in one direction by a step.

        Of a kind with a jump: that there is one, times that of the rest; what else the market does
        is left out. NaN where it is not known.
        """
        distance = np.asarray(distance, np.float64)
        if not self.known:
            return np.full_like(distance, np.nan)
        if self.scale is None:
            chance = ndtr(-distance)
        else:
            mean, weight = self.scale.means(step)
            chance = (ndtr(-distance[..., None] / np.sqrt(mean)) * weight).sum(axis=-1)
        return chance * (-np.expm1(-self.jump.rate * step) if self.jump is not None else 1.0)


@dataclass(frozen=True)
class Law:
    """The kinds of market that a model is made of, and what a reader is told of it."""

    kinds: tuple[Kind, ...]
    words: str


def law_of(model: PriceModel, steps: int, assets: tuple[str, ...]) -> Law | None:
    """Return the law of a model over so many steps; None where only its paths can tell."""
    if not isinstance(model, Overlaid):
        return _bare_law(model, steps, assets)
    law = _bare_law(model.model, steps, assets)
    if law is None:
        return None
    return replace(law, kinds=tuple(_overlaid(kind, model.laid) for kind in law.kinds))


def sampled_law(levels: Floats, steps: int) -> Law | None:
    """Return the law as (paths, assets) simulated log prices at the horizon describe it.

    None where there are too few paths for their covariance.
    """
    paths, assets = levels.shape
    if paths < _FEWEST_PER_ASSET * assets + 1:
        return None
    values = levels.astype(np.float64)
    covariance = np.atleast_2d(np.cov(values, rowvar=False)) / steps
    mean = np.broadcast_to(values.mean(axis=0) / steps, (steps, assets))
    kind = Kind("sampled", mean, covariance[None], np.zeros(steps, np.int64), known=False)
    words = (
        "The model is not driven by normals of one covariance: distances are in standard "
        "deviations of its simulated moves to the horizon, and how likely one is, is only counted "
        "on the paths."
    )
    return Law((kind,), words)


def _bare_law(model: PriceModel, steps: int, assets: tuple[str, ...]) -> Law | None:
    if isinstance(model, GeometricBrownianMotion):
        words = "The move is normal: the probability of a distance is exact."
        return Law((_kind("normal", model, steps),), words)
    if isinstance(model, StudentT):
        mixing = model.mixing
        kind = _kind("student-t", model, steps)
        scale = Scale(mixing.coordinate, _host(mixing.log_quantile), model.bar_steps)
        words = (
            "The move is normal given a scale that all assets share: the scale changes no "
            "direction, and the probability of a distance is averaged over it."
        )
        return Law((replace(kind, scale=scale),), words)
    if isinstance(model, JumpDiffusion):
        words = (
            "The move is normal, with or without one jump: the probability is that of this kind of "
            "market and this distance, other jumps left out."
        )
        return Law(_jumping(model, steps, assets), words)
    return None


def _kind(name: str, model: Any, steps: int) -> Kind:
    """Return the kind of a model with one mean and one covariance a step."""
    mean, root = _host(model.mean), _host(model.covariance_root)
    every = np.broadcast_to(mean, (steps, len(mean)))
    return Kind(name, every, (root @ root.T)[None], np.zeros(steps, np.int64))


def _jumping(model: JumpDiffusion, steps: int, assets: tuple[str, ...]) -> tuple[Kind, ...]:
    calm = _kind("no jump", model, steps)
    shares = np.diff(_host(model.shares), prepend=0.0)
    beyond = _host(model.exceeding)
    # the first is 1 - exp(-mean number in a bar)
    total = -np.log1p(-beyond[0]) / model.bar_steps if len(beyond) else 0.0
    kinds = [calm]
    for process, share in enumerate(shares):
        if share * total <= 0:
            continue
        alone = np.zeros(len(assets))
        if process:
            alone[process - 1] = 1.0
        exposure = alone if process else _host(model.exposure)
        name = f"jump of {assets[process - 1]}" if process else "common jump"
        jumps = _sizes(model, process, float(share * total), exposure)
        kinds += [replace(calm, name=name, jump=jump) for jump in jumps]
    return tuple(kinds)


def _sizes(model: JumpDiffusion, process: int, rate: float, exposure: Floats) -> list[Jump]:
    """Return the jumps of a process: one, or one a side."""
    sizes: Any = model.sizes
    if isinstance(sizes, NormalSizes):
        location, scale = _host(sizes.mean)[process], _host(sizes.deviation)[process]
        return [Jump(rate, exposure, location=float(location), scale=float(scale))]
    up = float(_host(sizes.up_probability)[process])
    rise, fall = float(_host(sizes.up_mean)[process]), float(_host(sizes.down_mean)[process])
    sides = [Jump(rate * up, exposure, tail=rise), Jump(rate * (1 - up), exposure, tail=-fall)]
    return [side for side in sides if side.rate > 0]


def _overlaid(kind: Kind, laid: Laid) -> Kind:
    """Return the kind under overlays: maps act on the noise, moves are added."""
    steps, assets = kind.mean.shape
    mean, move, around = kind.mean, _host(laid.move)[:steps], _host(laid.mean)
    twist = _host(laid.twists)
    if not len(twist):
        return replace(kind, mean=mean + move)
    which = np.asarray(laid.twist)[:steps].astype(np.int64)
    turned = np.eye(assets) + twist
    mean = mean + np.einsum("sab,sb->sa", twist[which], mean - around) + move
    covariance = np.einsum("mab,bc,mdc->mad", turned, kind.covariance[0], turned)
    return replace(kind, mean=mean, covariance=covariance, which=which)


def _host(numbers: Any) -> Floats:
    return np.asarray(numbers, np.float64)
