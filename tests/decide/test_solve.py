"""The search for limits, on paths whose own limits are known, without a simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import binom

from stress.decide.solve import (
    TOLERANCE,
    Criterion,
    Search,
    binomial_bounds,
    first_guess,
    probability_bounds,
)
from stress.decide.trial import Tally
from stress.stats.confidence import Confidence

Floats = NDArray[np.float64]

LOWEST, HIGHEST = 1 / 64, 64.0


def known(limits: Floats) -> tuple[Search, list[Floats]]:
    """Return a search over (units, paths) values up to which each path is not liquidated."""
    units, paths = limits.shape
    asked: list[Floats] = []

    def trial(values: Floats) -> Tally:
        asked.append(values)
        hits = (limits < values[:, None]).sum(axis=1)
        mean = hits / paths
        return Tally(hits, mean, mean * (1 - mean) * paths / (paths - 1))

    criterion = Criterion(0.05, np.full(units, 0.95), 1.0, paths, np.ones(units, bool))
    return Search(trial, criterion, np.full(units, LOWEST), np.full(units, HIGHEST)), asked


def most_hits(paths: int, alpha: float, confidence: float) -> int:
    """Largest count c with P(Binomial(paths, alpha) <= c) at most 1 - confidence; -1 if none."""
    counts = np.arange(paths + 1)
    return int((binom.cdf(counts, paths, alpha) <= 1 - confidence).sum()) - 1


def test_bounds_are_those_of_clopper_and_pearson() -> None:
    # printed in tables: 10 hits in 1,000, two-sided 95 percent
    assert binomial_bounds(np.array(10), 1_000, 0.975) == pytest.approx(
        [0.00480551, 0.01831325], abs=1e-8
    )
    assert binomial_bounds(np.array(0), 1_000, 0.975) == pytest.approx([0, 0.00368208], abs=1e-8)
    assert binomial_bounds(np.array(1_000), 1_000, 0.975)[1] == 1.0


def test_a_design_effect_makes_hits_and_paths_count_for_less() -> None:
    plain = binomial_bounds(np.array(5), 100, 0.95)
    assert binomial_bounds(np.array(20), 400, Confidence(0.95, 4.0)) == pytest.approx(plain)
    shares = probability_bounds(np.array(0.1), np.array(0.01), 400, Confidence(0.95, 4.0))
    assert shares[1] > probability_bounds(np.array(0.1), np.array(0.01), 400, 0.95)[1]


@pytest.mark.parametrize(("alpha", "fewest"), [(0.05, 59), (0.01, 299), (0.001, 2_995)])
def test_fewest_paths_are_those_of_wilks(alpha: float, fewest: int) -> None:
    def can(paths: int) -> bool:
        one = np.ones(1, bool)
        return bool(Criterion(alpha, np.array([0.95]), 1.0, paths, one).can_be_kept[0])

    assert can(fewest) and not can(fewest - 1)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(60, 700))
def test_limits_are_order_statistics_of_the_paths(seed: int, paths: int) -> None:
    generator = np.random.default_rng(seed)
    scale = np.exp(generator.uniform(-2, 2, 20))[:, None]
    limits = np.sort(scale / (0.01 + np.abs(generator.standard_t(3, (20, paths)))), axis=1)
    search, asked = known(limits)
    guess = np.exp(generator.uniform(-3, 3, 20))
    certified, estimated = search.run(guess, np.ones(20, bool))
    for found, count in ((certified, most_hits(paths, 0.05, 0.95)), (estimated, paths // 20)):
        next_path = limits[:, count]
        inside = (next_path > LOWEST * 1.01) & (next_path < HIGHEST)
        # half a percent below the first path that may not be liquidated, and never above it
        assert (found.value[inside] <= next_path[inside]).all()
        assert (found.value[inside] * (1 + TOLERANCE) >= next_path[inside]).all()
        again = (limits < found.value[:, None]).sum(axis=1)
        assert (found.tally.hits == again)[inside].all()
    assert certified.monotone.all()
    assert (certified.bounds[~certified.breached, 1] <= 0.05).all()
    assert len(asked) < 40


def test_ends_of_the_range_are_outcomes() -> None:
    limits = np.array([[LOWEST / 2] * 100, [HIGHEST * 2] * 100, [1.0] * 100])
    found, _ = known(limits)[0].run(np.ones(3), np.ones(3, bool))
    assert found.breached.tolist() == [True, False, False]
    assert found.unbounded.tolist() == [False, True, False]
    assert np.isnan(found.value[0])
    assert found.value[1] == HIGHEST
    assert 1 / (1 + TOLERANCE) <= found.value[2] <= 1


def test_who_is_not_asked_is_tried_at_the_lowest_value_only() -> None:
    search, asked = known(np.full((2, 100), 3.0))
    search.run(np.array([1.0, 1.0]), np.array([True, False]))
    assert {values[1] for values in asked} == {LOWEST}


def test_fewer_liquidations_at_a_larger_value_are_said() -> None:
    paths, criterion = 100, Criterion(0.05, np.array([0.95]), 1.0, 100, np.ones(1, bool))

    def trial(values: Floats) -> Tally:
        # between 1 and 2 a hedge is too small, beyond 4 it is too large
        hits = np.where(values < 1, 0, np.where(values < 2, 30, np.where(values < 4, 1, 50)))
        return Tally(hits, hits / paths, np.zeros(1))

    lowest, highest = np.array([LOWEST]), np.array([HIGHEST])
    found, _ = Search(trial, criterion, lowest, highest).run(np.array([3.0]), np.ones(1, bool))
    upward, _ = Search(trial, criterion, lowest, highest).run(np.array([1.5]), np.ones(1, bool))
    # from above the dip looks like a limit: nobody looked underneath. From inside it is seen.
    assert found.value[0] == pytest.approx(4, rel=TOLERANCE)
    assert upward.value[0] == pytest.approx(1, rel=TOLERANCE)
    falling, _ = Search(
        lambda values: Tally((100 / values).astype(int), np.zeros(1), np.zeros(1)),
        criterion,
        lowest,
        highest,
    ).run(np.array([3.0]), np.ones(1, bool))
    assert not falling.monotone[0]


def test_first_guess_is_where_the_likely_risk_is_the_aim() -> None:
    guess = first_guess(
        lambda values: values / 10, np.full(2, LOWEST), np.full(2, HIGHEST), np.array([0.05, 3.0])
    )
    assert guess == pytest.approx([0.5, 30.0], rel=0.005)
