"""The engine as judge: whether an event really happens when the market walks to a point.

Candidates are the paths of a block, so that one call judges as many as a block has paths. The rule
is that of the run: first passage at the steps, or the whole cascade with its feedback.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import jax.numpy as jnp
import numpy as np
from scipy.special import log_ndtr

from stress.engine.cascade import cascade
from stress.engine.deal import build_world
from stress.engine.passage import first_passage
from stress.engine.reverse import Straight
from stress.measure.block import AccountBlock, account_block, variant_blocks
from stress.measure.typical_path import Event, happened
from stress.runner.analyses.reverse_law import Kind
from stress.runner.prepare import Job
from stress.runner.spread import Kernel, Models, Spread, Work, compiled, on_host
from stress.types import Array, Floats, Integers
from stress.venue.build import build_rules, build_variant

__all__ = ["Move", "Trial", "nearest"]

_WIDE = np.array([0.25, 0.5, 0.75, 0.9, 0.97, 0.999, 1.01, 1.2])
"""Radii that are tried first, in units of the one that the search found."""
_ROUNDS = 5
"""Rounds of a line search: each divides what is open by nine."""
_GROWTH = 1.8
"""By how much the next radii are larger where none was enough."""


@dataclass(frozen=True)
class Move:
    """A move of the market by a step, under one kind of market.

    Attributes
    ----------
    kind, step
        The kind of market, and the last step of the way.
    direction
        (assets + 1,) unit vector of noise.
    """

    kind: Kind
    step: int
    direction: Floats

    def parts(self, radius: float) -> tuple[Floats, Floats]:
        """Return (assets,) what the noise adds to the log prices, and what the jump adds."""
        point = radius * self.direction
        moved = self.kind.root_at(self.step) @ point[:-1]
        return moved, jump_size(self.kind, float(point[-1]))

    def log_prices(self, radius: float) -> Floats:
        """Return (assets,) log prices relative to the start at the end of the way."""
        moved, jumped = self.parts(radius)
        return self.kind.mean_at(self.step) + moved + jumped


def jump_size(kind: Kind, normal: float) -> Floats:
    """Return (assets,) what the jump of a kind of market adds to log prices."""
    jump = kind.jump
    if jump is None:
        return np.zeros(kind.assets)
    size = jump.location + jump.scale * normal - jump.tail * float(log_ndtr(-normal))
    return jump.exposure * size


class _Ways:
    """The price models of blocks of candidates; those behind the last one only walk the mean.

    Parameters
    ----------
    kind
        The kind of market of all moves.
    moves, radii
        The first paths' ways.
    width
        Paths that all devices simulate together.
    dtype
        Of the run.
    """

    def __init__(
        self, kind: Kind, moves: list[Move], radii: Floats, width: int, dtype: Any
    ) -> None:
        self._kind, self._dtype = kind, dtype
        self._push = np.zeros((len(kind.covariance), kind.assets, width))
        self._jump, self._last = np.zeros((kind.assets, width)), np.ones(width, np.int32)
        for path, (move, radius) in enumerate(zip(moves, radii, strict=True)):
            moved, self._jump[:, path] = move.parts(float(radius))
            self._push[:, :, path] = kind.push(move.step, moved)
            self._last[path] = move.step

    def block(self, numbers: Integers) -> Straight:
        """Return the model of the paths with these numbers."""
        kind, number = self._kind, numbers.astype(np.int64)
        return Straight(
            mean=jnp.asarray(kind.mean.astype(self._dtype)),
            push=jnp.asarray(self._push[:, :, number].astype(self._dtype)),
            which=jnp.asarray(kind.which.astype(np.int32)),
            jump=jnp.asarray(self._jump[:, number].astype(self._dtype)),
            last=jnp.asarray(self._last[number]),
        )


class Trial:
    """The engine of a job's main world, compiled for moves of the market.

    Parameters
    ----------
    job, spread
        The run.
    events
        What is looked for.
    notional
        (accounts,) gross notional at the start, USD.
    kind
        A kind of market; all have its shapes.
    """

    def __init__(
        self, job: Job, spread: Spread, events: tuple[Event, ...], notional: Floats, kind: Kind
    ) -> None:
        self._job, self._spread, self._events = job, spread, events
        self._notional = notional
        self._kernel = self._compiled(kind)

    @property
    def width(self) -> int:
        """Moves that are judged together."""
        return self._spread.width

    def _compiled(self, kind: Kind) -> Kernel:
        job = self._job
        seed = jnp.asarray(job.scenario.simulation.seed, jnp.uint32)
        models = Models(self._ways(kind, [], np.zeros(0)), self._spread)
        if job.main.cascade is None:
            # nothing is drawn between the nodes of a way
            schedule = replace(job.schedule, monitoring="step", least_excess=False)
            passage = (job.price, (self._world(),), job.rules, seed)
            return compiled(Work(first_passage, self._spread, models, passage, schedule))[0]
        venue, precision = job.setting.venue, job.schedule.precision
        own = build_variant(job.setting, precision, venue.impact)
        rules = build_rules(job.setting, (own,), precision)
        before = (job.price, job.main.cascade.holdings, rules, seed)
        schedule = replace(job.schedule, least_excess=False)
        behind = (job.environment,)
        return compiled(Work(cascade, self._spread, models, before, schedule, 1, behind))[0]

    def _ways(self, kind: Kind, moves: list[Move], radii: Floats) -> _Ways:
        return _Ways(kind, moves, radii, self.width, self._job.price.dtype)

    def _world(self) -> Any:
        job = self._job
        if job.schedule.monitoring != "bridge":
            return job.main.world
        # pools of one barrier have panels of their own there
        pools, precision = job.main.pools, job.schedule.precision
        return build_world(job.book, pools, job.setting, precision, "step")

    def happens(self, moves: list[Move], radii: Floats) -> Array:
        """Return (events, moves) whether each event happens on the way to each point."""
        found = np.zeros((len(self._events), len(moves)), bool)
        # one kind a call: its mean and its maps are the same for all paths
        for kind in {id(move.kind): move.kind for move in moves}.values():
            mine = [row for row, move in enumerate(moves) if move.kind is kind]
            for first in range(0, len(mine), self.width):
                some = mine[first : first + self.width]
                found[:, some] = self._judged(
                    kind, [moves[row] for row in some], radii[np.array(some)]
                )
        return found

    def _judged(self, kind: Kind, moves: list[Move], radii: Floats) -> Array:
        numbers = np.arange(self.width, dtype=np.uint32)
        model = Models(self._ways(kind, moves, radii), self._spread).block(numbers)
        own = () if self._job.main.cascade is None else (0,)
        outcomes = self._kernel(model, numbers, *own)
        counts = self._spread.counts(len(moves))
        blocks = [
            self._block(on_host(outcome), count)
            for outcome, count in zip(outcomes, counts, strict=True)
            if count
        ]
        exists = self._job.main.pools.exists
        found = [happened(self._events, self._notional, exists, block) for block in blocks]
        return np.concatenate(found, axis=1)

    def _block(self, outcome: Any, count: int) -> AccountBlock:
        job, main = self._job, self._job.main
        if main.cascade is None:
            ((pools,), _) = outcome
            pools = pools.of(len(main.pools.cash))
            return account_block(pools, main.ownership, main.tolerance_usd, count)
        (block,) = variant_blocks(
            outcome,
            main.ownership,
            job.book.reserve,
            steps=job.schedule.steps,
            variants=1,
            paths=count,
        )
        return block


def nearest(
    trial: Trial,
    moves: list[Move],
    events: Integers,
    guess: Floats,
    *,
    wide: Floats = _WIDE,
    rounds: int = _ROUNDS,
) -> Floats:
    """Return (moves,) the least radius at which the engine says that a move's event happens.

    It is a radius at which it does, and the next smaller one that was tried is one at which it does
    not; inf where none was found.

    Parameters
    ----------
    events
        (moves,) index of the event of each move.
    guess
        (moves,) radius where it is thought to be.
    wide
        First radii, in units of the guess.
    rounds
        Of the line search.
    """
    lower, upper = np.zeros(len(moves)), np.full(len(moves), np.inf)
    radii = guess[:, None] * wide
    for _ in range(rounds if moves else 0):
        flat = [move for move in moves for _ in range(radii.shape[1])]
        happens = trial.happens(flat, radii.reshape(-1))
        own = happens[np.repeat(events, radii.shape[1]), np.arange(len(flat))].reshape(radii.shape)
        first = np.where(own.any(axis=1), own.argmax(axis=1), radii.shape[1])
        bounds = np.column_stack([lower, radii, upper])
        here = np.arange(len(moves))
        lower, upper = bounds[here, first], bounds[here, first + 1]
        inner = np.linspace(0, 1, radii.shape[1] + 2)[1:-1]
        outer = _GROWTH ** (np.arange(radii.shape[1]) / 2 + 0.5)
        room = np.where(np.isinf(upper), 0.0, upper) - lower
        radii = np.where(
            np.isinf(upper)[:, None], lower[:, None] * outer, lower[:, None] + room[:, None] * inner
        )
    return upper
