"""Splitting against exact probabilities: tails, first passage, ties, discrete noise, impossible."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.special import ndtri
from scipy.stats import binom, kstest

from stress.sampling import splitting
from stress.sampling.splitting import Noise, Population, split, with_interval
from stress.types import Floats
from tests.reference import barrier

STEPS = 24
BOUND = 4.5
"""Standard errors."""

Score = Callable[[Noise], Floats]


def last(noise: Noise) -> Floats:
    """Return the standardised end of a Brownian motion."""
    return noise.normals[:, :, 0].sum(axis=1, dtype=np.float64) / np.sqrt(STEPS)


def highest(noise: Noise) -> Floats:
    """Return the standardised maximum of a Brownian motion over its steps."""
    walked = noise.normals[:, :, 0].cumsum(axis=1, dtype=np.float64)
    return walked.max(axis=1) / np.sqrt(STEPS)


def populations(
    score: Score, events: list[float], count: int, particles: int = 100, seed: int = 0
) -> list[Population]:
    levels = np.array(events)
    return [
        split(score, levels, (particles, STEPS, 1), np.random.default_rng((seed, one)), 20_000)
        for one in range(count)
    ]


def check_mean(found: list[Population], event: int, exact: float) -> None:
    """The mean over populations is exact within standard errors, and these are small."""
    estimates = np.array([of.probability[event] for of in found])
    error = estimates.std(ddof=1) / np.sqrt(len(estimates))
    assert error < 0.15 * exact
    assert abs(estimates.mean() - exact) < BOUND * error


def passage(event: float) -> float:
    """Return the exact P(maximum over 24 steps of W / sd > event)."""
    # of log prices without drift: volatility 1, and the drift that makes up for its half square
    return barrier.discrete(
        price=1.0, barrier=float(np.exp(event)), volatility=1.0, drift=0.5, years=1.0, checks=STEPS
    )


class TestExact:
    def test_normal_tail(self) -> None:
        events = [-float(ndtri(p)) for p in (1e-2, 1e-4, 1e-6)]
        found = populations(last, events, 150)
        for event, exact in enumerate((1e-2, 1e-4, 1e-6)):
            check_mean(found, event, exact)

    def test_first_passage(self) -> None:
        """Known paths, not known ends: the event is anywhere in time."""
        events = [2.0, 3.0, 4.0]
        found = populations(highest, events, 150)
        for event, level in enumerate(events):
            check_mean(found, event, passage(level))

    def test_ties(self) -> None:
        """Of a score of few values all that does not exceed the level is killed and counted."""
        events = [2.0, 3.0]
        found = populations(lambda noise: np.floor(2 * highest(noise)) / 2 + 0.1, events, 100)
        for event, level in enumerate(events):
            check_mean(found, event, passage(level))

    def test_numbers_of_keys(self) -> None:
        """Noise that is no normal: how many of the keys' numbers are in the top tenth."""

        def score(noise: Noise) -> Floats:
            return (noise.draws > 0.9 * 2**32).sum(axis=1).astype(np.float64)

        found = populations(score, [6.5, 9.5], 100)
        for event, level in enumerate((6, 9)):
            check_mean(found, event, float(binom.sf(level, STEPS, 0.1)))


class TestInterval:
    def covered(self, intervals: int, particles: int) -> float:
        """Return the share of intervals of 8 populations that hold P(W(1) > 4.265) = 1e-5."""
        event = -float(ndtri(1e-5))
        found = populations(last, [event], 8 * intervals, particles)
        estimates = np.array([of.probability[0] for of in found]).reshape(intervals, 8)
        bounds = np.array([with_interval(each.tolist(), 0.95)[1:] for each in estimates])
        return float(((bounds[:, 0] <= 1e-5) & (bounds[:, 1] >= 1e-5)).mean())

    def test_covers(self) -> None:
        assert self.covered(20, 96) >= 0.8

    @pytest.mark.slow
    def test_covers_as_often_as_it_says(self) -> None:
        assert 0.915 <= self.covered(250, 128) <= 0.99

    def test_shape(self) -> None:
        """Never negative, longer above than below, never above 1, and a point where all agree."""
        mean, lower, upper = with_interval([1e-6, 5e-6, 1e-7], 0.95)
        assert 0 < lower < mean < upper
        assert mean - lower < upper - mean
        assert with_interval([0.9, 0.2, 0.4], 0.95)[2] == 1.0
        assert with_interval([0.25, 0.25], 0.95) == (0.25, 0.25, 0.25)

    def test_nothing_found(self) -> None:
        mean, lower, upper = with_interval([0.0, 0.0], 0.95)
        assert (mean, lower) == (0.0, 0.0)
        assert np.isnan(upper)


class TestEnds:
    def test_impossible(self) -> None:
        """All tie: nobody is left to go on, and the estimate is 0 without a division by it."""
        (found,) = populations(lambda noise: np.zeros(len(noise)), [1.0], 1)
        assert found.probability.tolist() == [0.0]
        assert found.stages == ()

    def test_gives_up(self) -> None:
        """An event that needs more paths than it may take has no estimate; nearer ones have."""
        events = np.array([1.0, 30.0])
        found = split(last, events, (64, STEPS, 1), np.random.default_rng(1), 3_000)
        assert found.probability[0] > 0
        assert np.isnan(found.probability[1])
        assert 3_000 <= found.paths < 3_200
        assert found.weight < 1e-6

    def test_at_once(self) -> None:
        """An event that is not rare costs the first population and no more."""
        (found,) = populations(last, [-1.0], 1)
        assert found.paths == found.spent[0] == 100
        assert 0.7 < found.probability[0] < 0.95

    def test_same_seed_same_digits(self) -> None:
        one, other = (populations(highest, [3.0], 2, seed=7) for _ in range(2))
        np.testing.assert_array_equal(one[0].probability, other[0].probability)
        assert one[0].stages == other[0].stages
        assert one[0].probability[0] != one[1].probability[0]


class TestDiagnostics:
    def test_stages(self) -> None:
        """Levels rise, half survive, moves are taken, and the ancestors become fewer."""
        (found,) = populations(highest, [4.0], 1)
        level, survival, acceptance, ancestors = zip(*found.stages, strict=True)
        assert (np.diff(level) > 0).all()
        # an unmoved copy ties with its parent, and both go together
        assert min(survival) > 0.4
        assert max(survival) <= 0.5
        assert min(acceptance) > 0.1
        assert (np.diff(ancestors) <= 0).all()
        assert 1 <= found.ancestors[0] <= ancestors[-1]
        assert found.weight == pytest.approx(np.prod(survival))
        killed = sum(100 - round(100 * share) for share in survival)
        assert found.paths == 100 + splitting._MOVES * killed

    def test_a_blind_score_shows(self) -> None:
        """A score that says nothing until the event: the few that come through are relatives."""

        def blind(noise: Noise) -> Floats:
            nowhere = noise.normals[:, 0, 0].astype(np.float64)
            return np.where(last(noise) > 3.5, 100.0, nowhere)

        found = populations(blind, [50.0], 8)
        assert np.mean([of.ancestors[0] for of in found]) < 4


class TestMoves:
    def test_law_and_correlation(self) -> None:
        """A proposal has the law of the noise, and the correlation rho with where it came from."""
        random = np.random.default_rng(3)
        noise = Noise.drawn(2_000, STEPS, 2, random)
        proposed = noise.proposed(0.6, random)
        assert kstest(proposed.normals.ravel(), "norm").pvalue > 1e-4
        assert kstest(proposed.draws.ravel() / 2**32, "uniform").pvalue > 1e-4
        together = np.corrcoef(noise.normals.ravel(), proposed.normals.ravel())[0, 1]
        assert together == pytest.approx(0.8, abs=0.01)
        assert (noise.draws == proposed.draws).mean() == pytest.approx(0.8, abs=0.01)
        assert (noise.bridge == proposed.bridge).mean() == pytest.approx(0.8, abs=0.05)

    def test_survivors_are_copied_evenly(self) -> None:
        """No survivor has two copies more than another."""
        swarm = splitting._Swarm(
            last, Noise.drawn(30, STEPS, 1, np.random.default_rng(2)), np.random.default_rng(4)
        )
        dead = np.arange(30) < 22
        copies = np.bincount(swarm._parents(dead), minlength=30)
        assert (copies[:22] == 0).all()
        assert set(copies[22:].tolist()) == {2, 3}
