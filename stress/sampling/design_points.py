"""Design points: the likeliest terminal states in which a margin pool is at its requirement.

The log return over the horizon is ``mean + root z`` with z independent standard normals, so that
the density of a state falls with ``|z|``. A design point is a local minimum of ``|z|`` on the
surface on which the pool's excess is 0; its distance beta gives the first-order probability
``Phi(-beta)`` of ending beyond it, and about ``2 Phi(-beta)`` of ever having been there (Hasofer
and Lind 1974; Der Kiureghian 2005, First- and second-order reliability methods). It is found by the
iteration of Hasofer, Lind, Rackwitz and Fiessler with the step halved until a merit function falls
(Liu and Der Kiureghian 1991, Optimization algorithms for structural reliability).

A pool that only gains or only loses as prices rise has one such point or few; one with longs and
shorts may have several, and each is a way of its own to be liquidated. The search starts at many
places and keeps all that it finds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import log_ndtr

from stress.types import Array, Floats, Integers

__all__ = ["DesignPoints", "Terminal", "design_points"]

_ITERATIONS = 60
_HALVINGS = 8
_RADIUS = 3.0
"""Distance from the origin of the places at which the search starts."""
_RANDOM_STARTS = 8
_SEED = 20_261_122
"""Of the random starts: part of the method, not of a run."""
_TOGETHER = 1 << 14
"""Searches that are carried on at once."""
_FURTHEST = 60.0
"""Largest log return that is looked at: beyond, exponentials overflow."""
_CONVERGED = 1e-6
_SAME = 0.1
"""Points of a pool that are nearer to each other than so many deviations are one."""
_NEGLIGIBLE = np.log(1e-4)
"""Log of the share of a pool's probability below which a further point is not kept."""


@dataclass(frozen=True)
class Terminal:
    """The excess of pools as a function of the whitened log return over the horizon.

    Attributes
    ----------
    price
        (assets,) at the start, USD.
    mean, root
        (assets,), (assets, assets) of the log return over the horizon: ``mean + root z``.
    cash
        (pools,) USD.
    asset, quantity, entry
        (pools, slots) positions; coins are positions without entry price and requirement. An empty
        slot has quantity 0.
    rate, amount
        (pools, slots, tiers) requirement.
    """

    price: Floats
    mean: Floats
    root: Floats
    cash: Floats
    asset: Integers
    quantity: Floats
    entry: Floats
    rate: Floats
    amount: Floats

    @property
    def pools(self) -> int:
        """Number of pools."""
        return len(self.cash)

    def of(self, pools: Array) -> Terminal:
        """Return the same for some pools, which may repeat."""
        names = ("cash", "asset", "quantity", "entry", "rate", "amount")
        return replace(self, **{name: getattr(self, name)[pools] for name in names})

    def excess(self, z: Floats) -> tuple[Floats, Floats]:
        """Return the excess of each pool at its own state, USD, and its gradient.

        Parameters
        ----------
        z
            (pools, assets).

        Returns
        -------
        (pools,), (pools, assets).
        """
        excess, slope = self.after(self.mean + z @ self.root.T)
        return excess, np.einsum("ps,psa->pa", slope, self.root[self.asset])

    def after(self, move: Floats) -> tuple[Floats, Floats]:
        """Return the excess of each pool after its own log returns, and its slope, USD.

        Parameters
        ----------
        move
            (pools, assets).

        Returns
        -------
        (pools,), and (pools, slots) by the log price of each position.
        """
        move = np.clip(move, -_FURTHEST, _FURTHEST)
        mark = np.take_along_axis(self.price * np.exp(move), self.asset, axis=1)
        required = self.rate * (np.abs(self.quantity) * mark)[..., None] - self.amount
        tier = required.argmax(axis=2)[..., None]
        rate = np.take_along_axis(self.rate, tier, axis=2)[..., 0]
        held = np.take_along_axis(required, tier, axis=2)[..., 0]
        profit = self.quantity * (mark - self.entry)
        slope = (self.quantity - rate * np.abs(self.quantity)) * mark
        return self.cash + (profit - held).sum(axis=1), slope

    @property
    def has_one_side(self) -> Array:
        """(pools,) whether nothing is short, and so the pool loses only where prices fall."""
        return np.asarray((self.quantity >= 0).all(axis=1))


@dataclass(frozen=True)
class DesignPoints:
    """The design points of some pools, by pool and then by distance.

    Attributes
    ----------
    pool
        (points,) index of the pool.
    z
        (points, assets) the points.
    """

    pool: Integers
    z: Floats

    @property
    def distance(self) -> Floats:
        """(points,) beta, the distance from the origin."""
        return np.sqrt((self.z**2).sum(axis=1))

    @property
    def direction(self) -> Floats:
        """(points, assets) unit vectors."""
        return self.z / self.distance[:, None]

    def of(self, points: Array) -> DesignPoints:
        """Return some of the points."""
        return DesignPoints(self.pool[points], self.z[points])


def design_points(terminal: Terminal) -> DesignPoints:
    """Return all design points that are found.

    A pool that is in breach at the start has none, nor one that no price liquidates.
    """
    pool, starts = _starts(terminal)
    found = [
        _search(terminal.of(pool[some]), starts[some]) for some in _slices(len(pool), _TOGETHER)
    ]
    z = np.concatenate([each for each, _ in found]) if found else starts
    converged = np.concatenate([each for _, each in found]) if found else np.zeros(0, bool)
    return _distinct(pool[converged], z[converged])


def _slices(count: int, width: int) -> Iterator[slice]:
    for first in range(0, count, width):
        yield slice(first, min(first + width, count))


def _starts(terminal: Terminal) -> tuple[Integers, Floats]:
    """Return (searches,) pools and the (searches, assets) places at which to start.

    The origin, from which the gradient leads, for all that are not in breach; for pools with a
    short a place beside it, both ends of every axis and random places.
    """
    assets = len(terminal.price)
    origin = np.zeros((terminal.pools, assets))
    safe = (terminal.excess(origin)[0] > 0) & (terminal.quantity != 0).any(axis=1)
    random = np.random.default_rng(_SEED).standard_normal((_RANDOM_STARTS, assets))
    random *= _RADIUS / np.sqrt((random**2).sum(axis=1, keepdims=True))
    axes = _RADIUS * np.eye(assets)
    # not the origin itself: a symmetric pool would be led to where it is only a saddle
    many = np.concatenate([random[:1] / 100, axes, -axes, random])
    one, several = (
        np.flatnonzero(safe & each) for each in (terminal.has_one_side, ~terminal.has_one_side)
    )
    pool = np.concatenate([one, np.repeat(several, len(many))])
    return pool, np.concatenate([origin[one], np.tile(many, (len(several), 1))])


def _search(terminal: Terminal, z: Floats) -> tuple[Floats, Array]:
    """Return where the searches of (n,) pools end, and which of them have found a point."""
    start, _ = terminal.excess(np.zeros_like(z))
    value, gradient = terminal.excess(z)
    for _ in range(_ITERATIONS):
        square = np.maximum((gradient**2).sum(axis=1), np.finfo(float).tiny)
        target = (((gradient * z).sum(axis=1) - value) / square)[:, None] * gradient
        step = np.clip(target, -1e3, 1e3) - z
        # larger than the multiplier |z| / |gradient|, so that the step leads downhill
        penalty = 2 * np.sqrt(np.maximum((z**2).sum(axis=1), 1) / square)
        before = (z**2).sum(axis=1) / 2 + penalty * np.abs(value)
        waiting = np.arange(len(z))
        share = 1.0
        for halving in range(_HALVINGS):
            tried = z[waiting] + share * step[waiting]
            there, slope = terminal.of(waiting).excess(tried)
            merit = (tried**2).sum(axis=1) / 2 + penalty[waiting] * np.abs(there)
            taken = (merit < before[waiting]) | (halving == _HALVINGS - 1)
            done = waiting[taken]
            z[done], value[done], gradient[done] = tried[taken], there[taken], slope[taken]
            waiting, share = waiting[~taken], share / 2
            if not len(waiting):
                break
        if np.abs(step).max(initial=0.0) < _CONVERGED:
            break
    length = np.sqrt((z**2).sum(axis=1) * (gradient**2).sum(axis=1))
    aligned = -(z * gradient).sum(axis=1) > (1 - 1e-4) * length
    return z, (np.abs(value) < 1e-4 * start) & aligned & (length > 0)


def _distinct(pool: Integers, z: Floats) -> DesignPoints:
    """Keep each point of a pool once, and only those that matter beside its nearest."""
    distance = np.sqrt((z**2).sum(axis=1))
    order = np.lexsort((distance, pool))
    pool, z, distance = pool[order], z[order], distance[order]
    kept: list[int] = []
    first = 0
    for index in range(len(pool)):
        if not kept or pool[kept[-1]] != pool[index]:
            first = len(kept)
            kept.append(index)
            continue
        nearest = distance[kept[first]]
        apart = np.sqrt(((z[kept[first:]] - z[index]) ** 2).sum(axis=1)).min()
        matters = log_ndtr(-distance[index]) > log_ndtr(-nearest) + _NEGLIGIBLE
        if matters and apart > _SAME:
            kept.append(index)
    chosen = np.array(kept, int)
    return DesignPoints(pool[chosen], z[chosen])
