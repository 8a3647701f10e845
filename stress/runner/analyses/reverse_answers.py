"""From the search to answers: judged by the engine, sorted by likelihood, told apart."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from stress.measure.typical_path import Event, EventMeasure
from stress.runner.analyses.reverse_law import Kind, Law
from stress.runner.analyses.reverse_search import (
    Sought,
    field_of,
    improved,
    points,
    start_directions,
)
from stress.runner.analyses.reverse_trial import Move, Trial, nearest
from stress.runner.prepare import Job
from stress.runner.spread import Spread
from stress.types import Array, Floats, Integers

__all__ = ["ANSWERS", "Answer", "answers"]

ANSWERS = 3
"""Most answers to one question."""
_ACCOUNTS = 1_024
"""Most accounts, evenly spaced, among which a share of the book is looked for. The engine judges
the whole book."""
_LEAST = 1e-2
"""Least likelihood, relative to the best answer's, of one that is told."""
_FURTHER = 2.0
"""The same in standard deviations beyond it, where the likelihood is not known."""
_APART = np.cos(np.radians(25.0))
"""Moves that point less apart than this, each asset in its own deviations, are one answer."""
_LOOKS = 4
"""Turning points of an overlay's mean path at which a move may end, besides the horizon."""
_FIRST_RADII = np.geomspace(0.5, 9.0, 8)
_NEAR_RADII = np.array([0.8, 0.9, 0.96, 0.99])
_FUND_ANGLES = (0.35, 0.15)
"""Of the search for the fund, which only the engine can judge: radii in standard deviations, then
in units of the best one, and tilts of its direction in radians."""
_OTHERS, _TRIED = np.linspace(0.05, 1.0, 8), 16
"""Radii at which the ways of one event are tried for the others, in units of the widest, besides
those at which they bring their own about; how many at most."""


@dataclass(frozen=True)
class Answer:
    """One way to an event.

    Attributes
    ----------
    event
        Index of the event.
    move
        The way.
    distance
        Standard deviations at which the engine says that the event happens.
    likelihood
        Probability of a move at least so far in its direction; NaN where it is not known.
    place
        0 for the most likely answer of the event, and so on.
    relative_likelihood
        To that of the most likely answer.
    """

    event: int
    move: Move
    distance: float
    likelihood: float
    place: int = 0
    relative_likelihood: float = float("nan")

    @property
    def log_prices(self) -> Floats:
        """(assets,) log prices relative to the start at the end of the way."""
        return self.move.log_prices(self.distance)

    @property
    def normal(self) -> Floats:
        """(assets,) normal, in log prices, of the plane through the move that halves the market.

        Moves beyond it are those at least so far in this direction.
        """
        root = self.move.kind.root_at(self.move.step)
        normal: Floats = np.linalg.pinv(root, rcond=1e-6, hermitian=True) @ self.move.direction[:-1]
        if not normal.any() and self.move.kind.jump is not None:
            normal = self.move.kind.jump.exposure * np.sign(self.log_prices)
        return normal


def answers(
    job: Job, spread: Spread, watched: EventMeasure, law: Law, times: Integers
) -> list[Answer]:
    """Return the answers to all events, those of one event from the most likely one on.

    Parameters
    ----------
    times
        (times,) steps at which a move may end, the horizon last.
    """
    events = watched.events
    found = _accounts(job, events, law, times)
    shares = _shares(job, watched, law, times)
    found += shares
    trial = Trial(job, spread, events, watched.notional, law.kinds[0])
    funds = [row for row, event in enumerate(events) if event.kind == "fund"]
    for row in funds:
        found += _fund(trial, row, law, times, [move for _, move, _ in shares])
    judged = _judged(trial, found)
    if job.main.cascade is not None:
        judged += _judged(trial, _others_ways(trial, judged, len(events)))
    return [
        answer
        for event in range(len(events))
        for answer in _told(job, [one for one in judged if one.event == event])
    ]


_Found: TypeAlias = tuple[int, Move, float]
"""Event, move, and the radius at which the search thinks that it happens."""


def _looks(kind: Kind, times: Integers) -> list[int]:
    """Return the steps at which a move may end: the horizon, and where an overlay's mean turns."""
    path = np.concatenate([np.zeros((1, kind.assets)), kind.mean.cumsum(axis=0)[times - 1]])
    change = np.diff(path, axis=0)
    turns = ((change[1:] * change[:-1]) < 0).any(axis=1)
    # the widest turns first
    size = np.where(turns, np.abs(np.diff(change, axis=0)).max(axis=1), 0.0)
    widest = np.argsort(-size, kind="stable")[:_LOOKS]
    chosen = times[:-1][np.sort(widest[size[widest] > 0])]
    return [*chosen.tolist(), int(times[-1])]


def _accounts(job: Job, events: tuple[Event, ...], law: Law, times: Integers) -> list[_Found]:
    rows = [row for row, event in enumerate(events) if event.kind == "account"]
    if not rows:
        return []
    owners = np.array([events[row].account for row in rows])
    kept = np.zeros(len(job.book.accounts), bool)
    kept[owners] = True
    # the field has them in file order
    weight = (np.sort(owners)[:, None] == owners[None]).astype(np.float64)
    sought = Sought(field_of(job, kept), weight, np.full(len(rows), 0.5), annealed=False)
    return _searched(sought, np.array(rows), law.kinds, times)


def _shares(job: Job, watched: EventMeasure, law: Law, times: Integers) -> list[_Found]:
    rows = [
        row for row, event in enumerate(watched.events) if event.kind in ("accounts", "notional")
    ]
    if not rows:
        return []
    existing = np.flatnonzero(watched.exists)
    count = min(len(existing), _ACCOUNTS)
    kept = np.zeros(len(watched.exists), bool)
    kept[existing[np.arange(count) * len(existing) // count]] = True
    by_notional = watched.notional[kept]
    columns = []
    for row in rows:
        event = watched.events[row]
        weight = by_notional if event.kind == "notional" else np.ones(count)
        columns.append(weight / weight.sum())
    threshold = np.array([watched.events[row].share for row in rows])
    sought = Sought(field_of(job, kept), np.column_stack(columns), threshold, annealed=True)
    # the jump of one asset alone takes no large part of a book
    kinds = tuple(kind for kind in law.kinds if not kind.name.startswith("jump of"))
    return _searched(sought, np.array(rows), kinds, times)


def _searched(
    sought: Sought, rows: Integers, kinds: tuple[Kind, ...], times: Integers
) -> list[_Found]:
    return [
        (int(rows[point.event]), Move(kind, step, point.direction), point.radius)
        for kind in kinds
        for step in _looks(kind, times)
        for point in points(sought, kind, step)
    ]


def _fund(trial: Trial, row: int, law: Law, times: Integers, others: list[Move]) -> list[_Found]:
    """Look for what exhausts the fund: along what kills the book, single assets and factors."""
    horizon = int(times[-1])
    moves = list(others)
    for kind in law.kinds:
        if not kind.name.startswith("jump of"):
            moves += [Move(kind, horizon, way) for way in start_directions(kind, horizon)]
    event = np.full(len(moves), row)
    reach = nearest(trial, moves, event, np.ones(len(moves)), wide=_FIRST_RADII, rounds=2)
    kept: list[int] = []
    for one in np.argsort(reach, kind="stable").tolist():
        way = moves[one].direction
        if np.isfinite(reach[one]) and all(way @ moves[two].direction < 0.9 for two in kept):
            kept.append(one)
        if len(kept) == ANSWERS:
            break
    found: list[_Found] = []
    for one in kept:
        move = moves[one]

        def distance(
            direction: Floats, candidate: Array, near: Floats, move: Move = move
        ) -> Floats:
            tried = [Move(move.kind, move.step, way) for way in direction]
            event = np.full(len(tried), row)
            return nearest(trial, tried, event, near, wide=_NEAR_RADII, rounds=1)

        way, radius = improved(
            distance, move.direction[None], reach[one][None], move.kind, _FUND_ANGLES
        )
        found.append((row, Move(move.kind, move.step, way[0]), float(radius[0])))
    return found


def _others_ways(trial: Trial, judged: list[Answer], events: int) -> list[_Found]:
    """Return the ways of other events that bring an event about sooner than its own.

    The search knows no feedback: what kills an account may be the fall of the others.
    """
    moves = [answer.move for answer in judged if answer.distance > 0]
    if not moves:
        return []
    radii = np.array([one.distance for one in judged if one.distance > 0])
    tried = np.sort(np.concatenate([_OTHERS * radii.max(), radii]))
    tried = np.unique(tried)[:: max(len(tried) // _TRIED, 1)]
    flat = [move for move in moves for _ in tried]
    happens = trial.happens(flat, np.tile(tried, len(moves)))
    happens = happens.reshape(events, len(moves), len(tried))
    reach = np.where(happens.any(axis=2), tried[happens.argmax(axis=2)], np.inf)
    found = []
    for event in range(events):
        own = min((one.distance for one in judged if one.event == event), default=np.inf)
        best = int(reach[event].argmin())
        if 0 < reach[event, best] < own * (1 - 1e-3):
            found.append((event, moves[best], float(reach[event, best])))
    return found


def _judged(trial: Trial, found: list[_Found]) -> list[Answer]:
    """Return what the engine confirms, at the least radius at which it does."""
    moves = [move for _, move, _ in found]
    events = np.array([event for event, _, _ in found], np.int64)
    guess = np.array([radius for _, _, radius in found])
    radius = np.where(guess > 0, np.inf, 0.0)
    some = np.flatnonzero(guess > 0)
    radius[some] = nearest(trial, [moves[one] for one in some], events[some], guess[some])
    return [
        Answer(event, move, float(far), float(move.kind.probability(far, move.step)))
        for (event, move, _), far in zip(found, radius, strict=True)
        if np.isfinite(far)
    ]


def _told(job: Job, found: list[Answer]) -> list[Answer]:
    """Return the most likely answers of one event that are moves of their own."""
    sampled = all(np.isnan(one.likelihood) for one in found)
    ranked = sorted(found, key=lambda one: one.distance if sampled else -one.likelihood)
    told: list[Answer] = []
    ways: list[Floats] = []
    for one in ranked:
        way = one.log_prices / np.maximum(job.setting.volatility, 1e-12)
        way = way / max(float(np.linalg.norm(way)), 1e-300)
        if any(way @ other > _APART for other in ways) or any(_is_same(one, two) for two in told):
            continue
        best = told[0] if told else one
        relative = one.likelihood / best.likelihood if best.likelihood > 0 else float("nan")
        if relative < _LEAST or (sampled and one.distance > best.distance + _FURTHER):
            break
        told.append(replace(one, place=len(told), relative_likelihood=relative))
        ways.append(way)
        if len(told) == ANSWERS:
            break
    return told


def _is_same(one: Answer, two: Answer) -> bool:
    """Return whether two ways are one noise, which ends at another time under an overlay."""
    alike = one.move.direction @ two.move.direction > _APART
    return one.move.kind is two.move.kind and bool(alike)
