"""The search for the nearest points of noise at which accounts, or a share of them, are in breach.

From many starts the design-point iteration (``engine.reverse``) finds the neighbourhood; a search
over directions, with the distance to the event along each as its objective, finishes: that needs
no derivative, which tiers and the minimum over pools do not have everywhere, and it leaves saddle
points.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import jax.numpy as jnp
import numpy as np

from stress.book.display import pool_margins
from stress.book.pools import account_pools
from stress.book.what_if import only_accounts
from stress.engine.deal import build_world
from stress.engine.reverse import Field, Noise, crossings, design_points
from stress.runner.analyses.reverse_law import Kind
from stress.runner.prepare import Job
from stress.types import Array, Floats

__all__ = ["Point", "Sought", "field_of", "improved", "points", "start_directions"]

_HARD = np.full(24, 1.0)
"""Temperatures for a single account: nothing to anneal."""
_ANNEALED = np.geomspace(0.3, 0.01, 36)
"""Temperatures for a share of the book, in shares of the notional: from far all accounts pull, near
the boundary only those about to fall."""
_START = 2.0
"""Length of a start, in standard deviations."""
_KEPT = 4
"""Neighbourhoods of one event that are searched to the end."""
_FURTHEST = 12.0
"""Standard deviations beyond which nothing is looked for: less likely than 1 in 10^32."""
_COARSE = np.linspace(0.0, 1.5, 16)
_FINE = np.linspace(0.9, 1.02, 16)
"""Radii of a ray that are looked at, in units of the radius that is thought to be right."""
_COLUMNS = 256
"""Rays that are looked at together: one shape to compile, however many there are."""
_ANGLES = 0.35 * 0.5 ** np.arange(8)
"""Tilts of a search over directions, in radians."""
_MOST_AXES = 16
"""Axes that are tilted or started along: of more, so many random ones, or the widest."""
_APART = np.cos(np.radians(20.0))


@dataclass(frozen=True)
class Sought:
    """Events of one field of accounts: ``weight`` (accounts, events), ``threshold`` (events,)."""

    field: Field
    weight: Floats
    threshold: Floats
    annealed: bool


@dataclass(frozen=True)
class Point:
    """A point of noise at which an event begins.

    Attributes
    ----------
    event
        Index of the event.
    direction
        (assets + 1,) unit vector of noise, the jump's coordinate last.
    radius
        How far it is along it, in standard deviations.
    """

    event: int
    direction: Floats
    radius: float


def field_of(job: Job, kept: Array) -> Field:
    """Return the (accounts,) kept accounts of the main world, in file order."""
    book, setting = only_accounts(job.book, kept), job.setting
    pools = account_pools(book, job.main_mode, setting.price, setting.haircut)
    world = build_world(book, pools, setting, job.schedule.precision, "step")
    notional = pool_margins(book, pools, setting, setting.price).notional
    rounded = len(world.order)
    owner = np.full(rounded, len(book.accounts), np.int32)
    owner[: len(notional)] = pools.account
    held = np.zeros(rounded, job.schedule.precision)
    held[: len(notional)] = notional
    return Field(world, jnp.asarray(owner), jnp.asarray(held), job.price)


def _noise_at(kind: Kind, step: int, dtype: str) -> Noise:
    """Return the noise of a kind of market up to a step, on the device."""
    jump = kind.jump
    exposure = np.zeros(kind.assets) if jump is None else jump.exposure
    law = (0.0, 0.0, 0.0) if jump is None else (jump.location, jump.scale, jump.tail)
    numbers: Any = (kind.mean_at(step), kind.root_at(step), exposure, *law)
    return Noise(*(jnp.asarray(np.asarray(number, dtype)) for number in numbers))


def start_directions(kind: Kind, step: int) -> Floats:
    """Return (starts, assets + 1) unit vectors: single assets, common factors, at random.

    A single asset moves the others along as correlation has it: its own direction is the likeliest
    way for it to move.
    """
    root = kind.root_at(step)
    size = np.linalg.norm(root, axis=1)
    widest = np.argsort(-size, kind="stable")[:_MOST_AXES]
    alone = root[widest[size[widest] > 0]]
    factors = np.linalg.eigh(root)[1][:, ::-1].T[:3]
    rng = np.random.default_rng(0)
    some = np.concatenate([alone, factors, rng.standard_normal((4, kind.assets))])
    some = some / np.linalg.norm(some, axis=1, keepdims=True)
    both = np.concatenate([some, -some])
    if kind.jump is None:
        return np.column_stack([both, np.zeros(len(both))])
    tilted = [np.column_stack([both, np.full(len(both), side)]) for side in (-1.0, 1.0)]
    alone_jumps = np.zeros((2, kind.assets + 1))
    alone_jumps[:, -1] = (-1.0, 1.0)
    return _unit(np.concatenate([*tilted, alone_jumps]))


def points(sought: Sought, kind: Kind, step: int) -> list[Point]:
    """Return the nearest points of each event, several where there are several ways to it."""
    noise = _noise_at(kind, step, str(sought.field.price.dtype))
    reach = _reach_of(sought, noise)
    found = []
    starts = start_directions(kind, step)
    events = np.repeat(np.arange(sought.weight.shape[1]), len(starts))
    ends = _walked(sought, noise, np.tile(starts, (sought.weight.shape[1], 1)), events)
    length = np.linalg.norm(ends, axis=1)
    usable = np.isfinite(length) & (length > 1e-6) & (length <= _FURTHEST)
    aim = np.where(usable[:, None], ends, np.tile(starts, (sought.weight.shape[1], 1)))
    length = np.where(usable, length, _FURTHEST / 1.5)
    radius = reach(_unit(aim), events, length[None] * _COARSE[:, None])
    kept = []
    for event in range(sought.weight.shape[1]):
        mine = np.flatnonzero((events == event) & np.isfinite(radius))
        if (radius[mine] == 0).any():
            # the market's mean is enough: no noise at all
            found.append(Point(event, starts[0], 0.0))
            continue
        kept += [(event, one) for one in _distinct(_unit(aim), radius, mine, _KEPT)]
    if not kept:
        return found
    owner, row = np.array(kept).T
    # one shape, however many there are
    room = _KEPT * sought.weight.shape[1]
    padded = np.resize(np.arange(len(row)), room)

    def distance(direction: Floats, candidate: Array, near: Floats) -> Floats:
        return reach(direction, owner[padded[candidate]], near[None] * _FINE[:, None])

    direction, least = improved(distance, _unit(aim)[row[padded]], radius[row[padded]], kind)
    return found + [
        Point(int(owner[one]), direction[one], float(least[one])) for one in range(len(row))
    ]


def improved(
    distance: Callable[[Floats, Array, Floats], Floats],
    direction: Floats,
    radius: Floats,
    kind: Kind,
    angles: Sequence[float] | Floats = _ANGLES,
) -> tuple[Floats, Floats]:
    """Tilt directions as long as that brings their event nearer; return them and their distances.

    Parameters
    ----------
    distance
        ``(directions, candidates, guesses) -> distances``: how far the event of each candidate is
        along a direction; inf where it does not come.
    direction, radius
        (candidates, assets + 1), (candidates,) where to begin, and how far the event is there.
    kind
        The kind of market: without a jump its coordinate is left alone.
    angles
        One round each, in radians, descending.
    """
    free = direction.shape[1] - (kind.jump is None)
    rng = np.random.default_rng(1)
    for angle in angles:
        axes = np.zeros((min(free, _MOST_AXES), direction.shape[1]))
        if free <= _MOST_AXES:
            axes[:, :free] = np.eye(free)
        else:
            axes[:, :free] = rng.standard_normal((_MOST_AXES, free))
            axes = _unit(axes)
        tilts = np.tan(angle) * np.concatenate([axes, -axes])
        tried = _unit(direction[:, None] + tilts[None])
        flat = tried.reshape(-1, direction.shape[1])
        candidate = np.repeat(np.arange(len(direction)), len(tilts))
        found = distance(flat, candidate, radius[candidate]).reshape(len(direction), -1)
        best = found.argmin(axis=1)
        here = np.arange(len(direction))
        better = found[here, best] < radius * (1 - 1e-6)
        direction = np.where(better[:, None], tried[here, best], direction)
        radius = np.where(better, found[here, best], radius)
    return direction, radius


def _walked(sought: Sought, noise: Noise, starts: Floats, events: Array) -> Floats:
    """Return (columns, assets + 1) where the iteration ends from each start."""
    dtype = sought.field.price.dtype
    temperature = _ANNEALED if sought.annealed else _HARD
    ends = design_points(
        noise,
        sought.field,
        jnp.asarray(sought.weight[:, events].astype(dtype)),
        jnp.asarray(sought.threshold[events].astype(dtype)),
        jnp.asarray((_START * starts).T.astype(dtype)),
        jnp.asarray(temperature.astype(dtype)),
    )
    return np.asarray(ends, np.float64).T


_Reach: TypeAlias = Callable[[Floats, Array, Floats], Floats]


def _reach_of(sought: Sought, noise: Noise) -> _Reach:
    """Return what says how far the events are along directions.

    ``(directions, events, radii) -> distances``; of the (radii, directions) that are looked at,
    distances are between two, or inf.
    """

    def reach(direction: Floats, events: Array, radii: Floats) -> Floats:
        parts = []
        for first in range(0, len(direction), _COLUMNS):
            some = slice(first, min(first + _COLUMNS, len(direction)))
            crossed = _crossed(sought, noise, direction[some], radii[:, some])
            here = events[some]
            parts.append(_weighted_rank(crossed, sought.weight[:, here], sought.threshold[here]))
        return np.concatenate(parts)

    return reach


def _crossed(sought: Sought, noise: Noise, direction: Floats, radii: Floats) -> Floats:
    """Return (accounts, directions) the radii of ``engine.reverse.crossings``."""
    dtype, more = sought.field.price.dtype, _COLUMNS - len(direction)
    crossed = crossings(
        noise,
        sought.field,
        jnp.asarray(np.pad(direction.T, ((0, 0), (0, more))).astype(dtype)),
        jnp.asarray(np.pad(radii, ((0, 0), (0, more))).astype(dtype)),
        accounts=len(sought.weight),
    )
    return np.asarray(crossed, np.float64)[:, : len(direction)]


def _weighted_rank(crossed: Floats, weight: Floats, threshold: Floats) -> Floats:
    """Return (columns,) the radius at which the accounts in breach weigh more than a threshold."""
    order = np.argsort(crossed, axis=0, kind="stable")
    running = np.take_along_axis(weight, order, axis=0).cumsum(axis=0)
    enough = running > threshold
    first = enough.argmax(axis=0)
    radius = np.take_along_axis(crossed, np.take_along_axis(order, first[None], 0), 0)[0]
    return np.where(enough.any(axis=0), radius, np.inf)


def _distinct(direction: Floats, radius: Floats, among: Array, most: int) -> list[int]:
    """Return the nearest of some candidates that point apart from one another."""
    chosen: list[int] = []
    for one in among[np.argsort(radius[among], kind="stable")].tolist():
        if all(direction[one] @ direction[other] < _APART for other in chosen):
            chosen.append(one)
        if len(chosen) == most:
            break
    return chosen


def _unit(vectors: Floats) -> Floats:
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.where(length > 0, length, 1.0)
