"""Rare events of the whole book by splitting: the fund exhausted, many accounts liquidated.

What the plain run saw often enough stays as the plain run has it. For the rest each score (the
insurance fund, the number of liquidations) gets an equal share of as many further paths as the run
has. A small first population says which events can be reached and what that costs; it counts for
nothing else. From it follow the size and the number of the populations that count, so that neither
depends on what they find, and their mean is unbiased.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.random import Generator, SeedSequence, default_rng

from stress.measure.block import AccountBlock
from stress.measure.moments import Estimate
from stress.measure.splitting import IN_EVENT, counts_beyond, fund_score, liquidation_score
from stress.measure.world import SHARES, Findings
from stress.result.assemble import Labels
from stress.runner.driven import Driven, can_be_driven
from stress.runner.measured import Measured
from stress.runner.prepare import Job
from stress.runner.spread import Spread
from stress.sampling.splitting import Noise, Population, Score, split, with_interval
from stress.stats.probability import wilson
from stress.types import Array, Floats

__all__ = ["rare_events"]

_SEEN_OFTEN = 30
"""Hits of the plain run from which it is what is reported: 18 percent relative error and less."""

_PILOT, _PILOT_SHARE = 64, 0.25
"""Particles of the first population, and the share of the paths after which it gives up."""

_FEWEST, _LARGEST = 64, 512
"""Particles of a population at least and at most; of smaller ones too few come through to the end,
and with more paths than the largest take more populations make the interval better."""

_POPULATIONS = 8
"""Populations at least."""

_PATIENCE = 3.0
"""At so many times the paths that the first population lets expect another one gives up."""

_ANCESTORS, _RELATIVE_ERROR = 4.0, 0.4
"""An estimate is trusted if the hits of a population descend from so many first particles on
average, and if its relative standard error is at most this. Measured on the first passage of a
Brownian motion: with 3 ancestors intervals begin to miss too often."""

_DOUBT = 0.999
"""Confidence at which the interval of splitting and that of the plain run must meet."""

_STREAM = 0x73706C69
"""Sets these random numbers apart from those of anything else with the same seed."""


class _Event(NamedTuple):
    """A rare event: what it is, the number that its score exceeds, and hits of the plain run."""

    name: str
    beyond: float
    hits: int


@dataclass(frozen=True)
class _Target:
    """What one score leads to: nested events, the most likely one first.

    ``number`` is that of its random numbers, whatever else is asked for.
    """

    name: str
    number: int
    score: Callable[[AccountBlock], Floats]
    events: tuple[_Event, ...]


class _Plan(NamedTuple):
    """Populations that go after the first so many events, their size, and paths a particle."""

    events: int
    particles: int
    populations: int
    each: float


@dataclass(frozen=True)
class _Found:
    """What the populations of one target found.

    ``reached`` of its events were reached by the first population, the pilot. ``paths`` were
    simulated in all.
    """

    target: _Target
    reached: int
    plan: _Plan
    pilot: Population
    populations: tuple[Population, ...]
    paths: int


@dataclass(frozen=True)
class _Verdict:
    """What is to be said of one event; ``reason`` is empty where splitting is trusted."""

    event: _Event
    plain: Estimate
    estimate: Estimate
    ancestors: float
    reason: str


def rare_events(job: Job, measured: Measured, spread: Spread) -> tuple[Findings, dict[str, Labels]]:
    """Return the probabilities of what the plain run saw too rarely, and how they were found.

    Where an estimate is trusted it takes the place of the plain one in ``/book``; the plain one
    stays in ``/diagnostics``.

    Parameters
    ----------
    job, measured
        The run whose main numbers are there already.
    spread
        The devices, and at most how many paths each takes at a time.
    """
    confidence = job.request.confidence
    targets = _targets(job, measured)
    budget = job.scenario.simulation.paths // max(len(targets), 1)
    if not targets or not can_be_driven(job.market):
        return {}, {}
    driven = Driven(job, spread, max(budget // (4 * _POPULATIONS), _PILOT // 2))
    found = [_followed(target, driven, budget, job.scenario.simulation.seed) for target in targets]
    verdicts = [verdict for of in found for verdict in _judged(of, job.request.paths, confidence)]
    book = _better(job, measured, {of.event.name: of.estimate for of in verdicts if not of.reason})
    findings: Findings = {"book": {**book}, "diagnostics": _diagnostics(found, verdicts)}
    return findings, _labels(found, verdicts)


def _targets(job: Job, measured: Measured) -> list[_Target]:
    """Return what the plain run saw too rarely."""
    ownership, exists = job.main.ownership, job.main.grouping.exists
    paths = measured.worlds[job.main_mode].path_table.finish()
    accounts, fund = int(exists.sum()), job.setting.venue.fund
    capital = float(np.maximum(ownership.initial_equity[exists], 0.0).sum()) or 1.0
    exhausted = _Event("fund", IN_EVENT, int(paths["fund_exhausted"].sum()))
    share = paths["liquidated_accounts"] / max(accounts, 1)
    many = tuple(
        _Event(_share_name(each), float(beyond), int((share > each).sum()))
        for each, beyond in zip(SHARES, counts_beyond(np.array(SHARES), accounts), strict=True)
    )
    targets = (
        _Target("fund", 0, lambda of: fund_score(of, exists, fund, capital), (exhausted,)),
        _Target("liquidations", 1, lambda of: liquidation_score(of, exists, capital), many),
    )
    rare = (
        _Target(of.name, of.number, of.score, tuple(e for e in of.events if e.hits < _SEEN_OFTEN))
        for of in targets
    )
    return [target for target in rare if target.events]


def _share_name(share: float) -> str:
    return f"more than {share:.0%} of accounts liquidated"


# --- populations ----------------------------------------------------------------------------------


def _followed(target: _Target, driven: Driven, budget: int, seed: int) -> _Found:
    """Return what populations find that cost about ``budget`` paths in all."""

    def score(noise: Noise) -> Floats:
        return np.concatenate([target.score(block) for block in driven.blocks(noise)])

    events = np.array([event.beyond for event in target.events])
    most = int(_PILOT_SHARE * budget)
    pilot = _population(score, events, driven, _PILOT, _random(seed, target, 0), most)
    # nested: the events with an estimate are the first ones
    reached = int((pilot.probability > 0).sum())
    plan = _planned(pilot, reached, budget - pilot.paths)
    most = int(_PATIENCE * plan.particles * plan.each)
    populations = tuple(
        _population(
            score, events[: plan.events], driven, plan.particles, _random(seed, target, one), most
        )
        for one in range(1, plan.populations + 1)
    )
    paths = pilot.paths + sum(population.paths for population in populations)
    return _Found(target, reached, plan, pilot, populations, paths)


def _planned(pilot: Population, reached: int, paths: int) -> _Plan:
    """Return how many populations of which size so many paths are worth.

    They go after as many of the events that the first one reached as they are worth.
    """
    for events in range(reached, 0, -1):
        each = float(pilot.spent[events - 1]) / _PILOT
        particles = min(int(paths / (_POPULATIONS * each)), _LARGEST)
        if particles >= _FEWEST:
            populations = max(int(paths / (particles * each)), _POPULATIONS)
            return _Plan(events, particles, populations, each)
    return _Plan(0, 0, 0, 0.0)


def _population(
    score: Score, events: Floats, driven: Driven, particles: int, random: Generator, most: int
) -> Population:
    return split(score, events, (particles, *driven.shape), random, most)


def _random(seed: int, target: _Target, population: int) -> Generator:
    return default_rng(SeedSequence((seed, _STREAM, target.number, population)))


# --- verdicts -------------------------------------------------------------------------------------


def _judged(found: _Found, paths: int, confidence: float) -> list[_Verdict]:
    return [
        _verdict(found, number, paths, confidence) for number in range(len(found.target.events))
    ]


def _verdict(found: _Found, number: int, paths: int, confidence: float) -> _Verdict:
    """Return what is to be said of a target's event; ``paths`` are those of the plain run."""
    event = found.target.events[number]
    share = np.array(event.hits / paths)
    plain = Estimate(share, wilson(share, np.array(paths), confidence))
    if number >= found.plan.events:
        unknown = Estimate(np.array(np.nan), np.full(2, np.nan))
        return _Verdict(event, plain, unknown, np.nan, _not_followed(found, number))
    estimates = [float(of.probability[number]) for of in found.populations]
    ancestors = float(np.mean([of.ancestors[number] for of in found.populations]))
    value, *bounds = with_interval(estimates, confidence)
    estimate = Estimate(np.array(value), np.array(bounds))
    reason = _doubt(estimates, ancestors, wilson(share, np.array(paths), _DOUBT))
    return _Verdict(event, plain, estimate, ancestors, reason)


def _not_followed(found: _Found, number: int) -> str:
    """Say why no population was sent after an event."""
    pilot = found.pilot
    if number >= found.reached:
        return (
            f"not reached: the first population came to where the probability is about "
            f"{pilot.weight:.1g} and gave up after {pilot.paths:,} paths; raise simulation.paths"
        )
    needed = pilot.paths + _POPULATIONS * _FEWEST * int(pilot.spent[number]) // _PILOT
    return (
        f"too few paths: {_POPULATIONS} populations of {_FEWEST} particles take about "
        f"{needed:,} for this score; raise simulation.paths"
    )


def _doubt(estimates: Sequence[float], ancestors: float, plain: Floats) -> str:
    """Say why an estimate is not to be trusted; nothing where it is.

    ``plain`` holds the bounds that the plain run allows.
    """
    unfinished = int(np.isnan(estimates).sum())
    if unfinished:
        return f"not resolved: {unfinished} of {len(estimates)} populations gave up on the way"
    if ancestors < _ANCESTORS:
        return (
            f"not resolved: the hits of a population descend from {ancestors:.1f} first particles "
            f"on average, fewer than {_ANCESTORS:g}; raise simulation.paths"
        )
    error = float(np.std(estimates, ddof=1) / np.sqrt(len(estimates)) / np.mean(estimates))
    if error > _RELATIVE_ERROR:
        return (
            f"not resolved: the populations differ, a relative standard error of {error:.0%}; "
            "raise simulation.paths"
        )
    _, lower, upper = with_interval(estimates, _DOUBT)
    if lower > plain[1] or upper < plain[0]:
        return "not resolved: it contradicts the plain run"
    return ""


# --- results --------------------------------------------------------------------------------------


def _better(job: Job, measured: Measured, trusted: dict[str, Estimate]) -> dict[str, Estimate]:
    """Return the variables of ``/book`` in which trusted estimates replace the plain ones."""
    better: dict[str, Estimate] = {}
    if "fund" in trusted:
        better["fund_exhaustion_probability"] = trusted["fund"]
    names = [_share_name(share) for share in SHARES]
    if set(names) & set(trusted):
        plain = measured.worlds[job.main_mode].finish()["book"]["liquidated_share_probability"]
        assert isinstance(plain, Estimate)
        value, interval = plain.value.copy(), plain.interval.copy()
        for number, name in enumerate(names):
            if name in trusted:
                value[number], interval[number] = trusted[name].value, trusted[name].interval
        better["liquidated_share_probability"] = Estimate(value, interval)
    return better


def _diagnostics(found: list[_Found], verdicts: list[_Verdict]) -> dict[str, Estimate | Array]:
    of_event = [of for of in found for _ in of.target.events]
    return {
        "plain_probability": _stacked([of.plain for of in verdicts]),
        "plain_hits": np.array([of.event.hits for of in verdicts]),
        "splitting_probability": _stacked([of.estimate for of in verdicts]),
        "splitting_trusted": np.array([not of.reason for of in verdicts]),
        "splitting_reason": np.array([of.reason for of in verdicts], dtype=str),
        "splitting_ancestors": np.array([of.ancestors for of in verdicts]),
        "splitting_populations": np.array([len(of.populations) for of in of_event]),
        "splitting_particles": np.array([of.plan.particles for of in of_event]),
        "splitting_paths": np.array([of.paths for of in of_event]),
        **_stages(found),
    }


def _stacked(estimates: list[Estimate]) -> Estimate:
    value = np.array([of.value for of in estimates])
    return Estimate(value, np.stack([of.interval for of in estimates]))


def _stages(found: list[_Found]) -> dict[str, Estimate | Array]:
    """Return (scores, stages) means over the populations that had a stage of this number."""
    names = ("level", "survival", "acceptance", "ancestors")
    shape = (len(found), _most_stages(found))
    means = {name: np.full(shape, np.nan) for name in names}
    for row, of in enumerate(found):
        for stage in range(shape[1]):
            there = [p.stages[stage] for p in _shown(of) if stage < len(p.stages)]
            for name in names if there else ():
                means[name][row, stage] = np.mean([getattr(one, name) for one in there])
    return {f"stage_{name}": of for name, of in means.items()}


def _shown(found: _Found) -> tuple[Population, ...]:
    """Return the populations whose stages are shown: the first one where there are no others."""
    return found.populations or (found.pilot,)


def _most_stages(found: list[_Found]) -> int:
    return max(len(population.stages) for of in found for population in _shown(of))


def _labels(found: list[_Found], verdicts: list[_Verdict]) -> dict[str, Labels]:
    return {
        "diagnostics": {
            "event": np.array([_words(of.event) for of in verdicts], dtype=str),
            "score": np.array([of.target.name for of in found], dtype=str),
            "stage": np.arange(1, _most_stages(found) + 1),
        }
    }


def _words(event: _Event) -> str:
    return "fund exhausted" if event.name == "fund" else event.name
