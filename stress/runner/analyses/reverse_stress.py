"""Reverse stress: what kills us? The most likely moves of the market, and the typical paths.

For each event (``runner.reverse_events``) the move of the market that is the most likely one to
bring it about, in prices of every asset, with its distance in standard deviations and its
likelihood; further answers where there are other ways. The engine judges every answer: the event
happens when the market walks to it, and at the next smaller move that was tried it does not.
Beside them what prices did on the run's own paths on which the event happened.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

from stress.engine.reverse import levels_at
from stress.measure.moments import Estimate, Moments
from stress.measure.typical_path import FEWEST, Event, EventMeasure, typical_paths
from stress.measure.world import Findings
from stress.result.assemble import Labels
from stress.runner.analyses.reverse_answers import ANSWERS, Answer, answers
from stress.runner.analyses.reverse_law import Law, law_of, sampled_law
from stress.runner.measured import Measured
from stress.runner.prepare import Job
from stress.runner.spread import Models, Spread, Work, compiled, on_host
from stress.types import Array, Floats, Integers

__all__ = ["reverse_stress"]

_SAMPLED = 4_096
"""First paths of the run that directions are counted on, and an unknown law is taken from."""
_TOLD = 1_024
"""Most paths of one event that its typical path rests on: the first ones."""
_HELD = 1 << 25
"""Most log prices that are held, of paths, times and assets."""

_NO_ANSWER = (
    "The model is not driven by normals of one covariance, and there are too few paths to describe "
    "its moves by: no most likely move is given."
)


@dataclass(frozen=True)
class _Seen:
    """Paths that were simulated once more.

    ``numbers`` (paths,); ``levels`` (paths, times, assets) log prices relative to the start;
    ``steps`` (times,); ``sample`` how many of the first paths are the run's first ones.
    """

    numbers: Integers
    levels: Floats
    steps: Integers
    sample: int


def reverse_stress(
    job: Job, measured: Measured, spread: Spread
) -> tuple[Findings, Mapping[str, Labels], Mapping[str, Mapping[str, str | int | float]]]:
    """Return findings, labels and attributes of the group ``reverse_stress``.

    Parameters
    ----------
    job, measured, spread
        A run whose paths have been measured, ``measured.events`` among it.
    """
    watched = measured.events
    assert watched is not None
    happens = watched.finish()
    seen = _seen(job, spread, happens)
    law = law_of(job.model, job.schedule.steps, job.setting.assets)
    if law is None:
        law = sampled_law(seen.levels[: seen.sample, -1], job.schedule.steps)
    found = [] if law is None else answers(job, spread, watched, law, seen.steps)
    findings = {
        **_events(job, measured, watched, happens),
        **_answered(job, found, seen, len(watched.events)),
        **_typical(job, seen, happens),
    }
    labels = {
        "event": np.array([event.name for event in watched.events], dtype=str),
        "way": np.arange(1, ANSWERS + 1),
        "step": np.concatenate([[0], seen.steps]) * job.request.grid.step_days,
    }
    said = _said(job, law, seen, watched.events)
    return {"reverse_stress": findings}, {"reverse_stress": labels}, {"reverse_stress": said}


def _seen(job: Job, spread: Spread, happens: Array) -> _Seen:
    """Simulate the first paths of the run, and the first ones of every event, once more."""
    schedule, assets = job.fan_schedule, len(job.setting.assets)
    steps = np.minimum(np.arange(1, schedule.blocks + 1) * schedule.block, schedule.steps)
    room = max(_HELD // (len(steps) * assets), spread.width)
    sample = min(_SAMPLED, happens.shape[1], room)
    chosen = [np.arange(sample)]
    each = min(_TOLD, (room - sample) // max(len(happens), 1))
    chosen += [np.flatnonzero(row)[:each] for row in happens]
    numbers = np.unique(np.concatenate(chosen))
    models = Models(job.market, spread)
    seed = jnp.asarray(job.scenario.simulation.seed, jnp.uint32)
    (kernel,) = compiled(Work(levels_at, spread, models, (seed,), schedule))
    levels = np.empty((len(numbers), len(steps), assets), np.float32)
    for first in range(0, len(numbers), spread.width):
        some = numbers[first : first + spread.width]
        padded = np.resize(some, spread.width).astype(np.uint32)
        outcomes = kernel(models.block(padded), padded)
        joined = np.concatenate([on_host(each) for each in outcomes], axis=2)
        levels[first : first + len(some)] = np.moveaxis(joined[:, :, : len(some)], 2, 0)
    return _Seen(numbers, levels, steps, sample)


def _events(
    job: Job, measured: Measured, watched: EventMeasure, happens: Array
) -> dict[str, Estimate | Array]:
    """Return what the events are and how often they happened."""
    moments = Moments.init(len(happens))
    moments.update(happens.astype(np.float64))
    estimate = moments.finish_probability(job.request.confidence)
    # the run's own number of an account, which under bridges is not a count
    world = measured.worlds[job.main_mode]
    own = world.by_account["liquidation"].finish_probability(job.request.confidence)
    for row, event in enumerate(watched.events):
        if event.kind == "account":
            estimate.value[row] = own.value[event.account]
            estimate.interval[row] = own.interval[event.account]
    names = [
        job.book.accounts[event.account] if event.account >= 0 else "" for event in watched.events
    ]
    return {
        "kind": np.array([event.kind for event in watched.events], dtype=str),
        "account": np.array(names, dtype=str),
        "simulated_probability": estimate,
        "event_paths": happens.sum(axis=1),
    }


def _answered(
    job: Job, found: list[Answer], seen: _Seen, events: int
) -> dict[str, Estimate | Array]:
    """Return the answers, NaN where there is none."""
    shape = (events, ANSWERS)
    numbers = {
        name: np.full(shape, np.nan)
        for name in ("distance", "likelihood", "relative_likelihood", "day")
    }
    move = np.full((*shape, len(job.setting.assets)), np.nan)
    beyond, interval = np.full(shape, np.nan), np.full((*shape, 2), np.nan)
    market = np.full(shape, "", dtype="<U64")
    for answer in found:
        place = answer.event, answer.place
        numbers["distance"][place] = answer.distance
        numbers["likelihood"][place] = answer.likelihood
        numbers["relative_likelihood"][place] = answer.relative_likelihood
        numbers["day"][place] = answer.move.step * job.request.grid.step_days
        move[place] = np.expm1(answer.log_prices)
        market[place] = answer.move.kind.name
        counted = _direction(job, answer, seen)
        beyond[place], interval[place] = counted.value, counted.interval
    return {
        **numbers,
        "market_move": move,
        "market": market.astype(str),
        "direction_probability": Estimate(beyond, interval),
    }


def _direction(job: Job, answer: Answer, seen: _Seen) -> Estimate:
    """Return the share of the run's first paths that move at least so far in the direction."""
    time = int(np.searchsorted(seen.steps, answer.move.step))
    normal = answer.normal
    along = seen.levels[: seen.sample, time].astype(np.float64) @ normal
    moments = Moments.init()
    moments.update((along >= normal @ answer.log_prices).astype(np.float64))
    return moments.finish_probability(job.request.confidence)


def _typical(job: Job, seen: _Seen, happens: Array) -> dict[str, Estimate | Array]:
    """Return mean and quantiles of the prices given each event, the start included."""
    told = happens[:, seen.numbers]
    # the first ones only: later paths are here because of other events
    told &= told.cumsum(axis=1) <= _TOLD
    start = np.zeros_like(seen.levels[:, :1])
    levels = np.concatenate([start, seen.levels], axis=1)
    found = typical_paths(levels, told, job.request.quantiles, job.request.confidence)
    return {
        "typical_paths": found.paths,
        "typical_move_mean": found.mean,
        "typical_move_quantile": found.quantile,
    }


def _said(
    job: Job, law: Law | None, seen: _Seen, events: tuple[Event, ...]
) -> dict[str, str | int | float]:
    said: dict[str, Any] = {
        "law": law.words if law is not None else _NO_ANSWER,
        "sampled_paths": seen.sample,
        "fewest_paths": FEWEST,
        "feedback": "yes" if job.main.cascade is not None else "no",
    }
    if not any(event.kind == "fund" for event in events):
        said["fund"] = "The scenario states no insurance fund: how it is exhausted is not asked."
    return said
