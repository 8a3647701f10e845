"""Halts and thin markets: the cascade against its plain twin, latency and shards included."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.cascade_books import STEPS, Case, plain_book, plain_venue, price_paths
from tests.engine.cascading import compare, follow
from tests.reference.cascade import PlainVenue, simulate

VARIANTS = (
    ("square-root", ("leader", 1, 1)),
    ("linear", ("sharded", 1, 3)),
    ("none", ("leader", 1, 1)),
)
PROMPT = (("linear", ("leader", 0, 1)), ("square-root", ("leader", 0, 1)))
CASES = {
    "late": (Case(controls="both", elasticity=0.6, funding=4, rounds=2), VARIANTS),
    "prompt": (Case(amount="step", backstop="auto-deleverage", controls="top-ups"), PROMPT),
}
BOOKS = 6


def stressed(venue: PlainVenue, seed: int) -> PlainVenue:
    """Return the venue with halts of one to seven steps, and depth that falls and recovers.

    A halt may begin at the start, and bridges several time blocks of the kernel.
    """
    rng = np.random.default_rng([seed, 3])
    first = int(rng.integers(0, 4)) if seed % 2 else 0
    halted = {*range(first, first + int(rng.integers(1, 3)))}
    again = int(rng.integers(8, 14))
    halted |= {*range(again, again + int(rng.integers(1, 8)))}
    depth = {
        step: rng.uniform(0.05, 1.5, len(venue.tiers)).tolist()
        for step in range(STEPS + 1)
        if rng.uniform() < 0.6
    }
    return replace(venue, halted=frozenset(halted), liquidity=depth)


@pytest.mark.parametrize("name", ["late", pytest.param("prompt", marks=pytest.mark.slow)])
def test_kernel_equals_twin(name: str) -> None:
    """With the watch that a halt lets go stale; and something happens in the step after it."""
    case, variants = CASES[name]
    rules = [replace(case, impact=law, decision=decision) for law, decision in variants]
    after_halt = late = 0
    for seed in range(BOOKS):
        venues = [stressed(plain_venue(rule), seed) for rule in rules]
        book, prices = plain_book(seed, case), price_paths(seed)
        found = follow(book, venues, prices, everyone=False)
        for variant, venue in enumerate(venues):
            twins = [simulate(book, venue, path) for path in prices.tolist()]
            compare(found, variant, twins)
            begins = {step + 1 for step in venue.halted} - venue.halted
            steps = np.array([twin.liquidation_step for twin in twins])
            assert not np.isin(steps, list(venue.halted)).any()
            after_halt += np.isin(steps, list(begins)).sum()
            late += sum(twin.late_steps for twin in twins)
    assert after_halt > 20
    assert (late > 0) == (name == "late")


@pytest.mark.slow
def test_a_market_that_is_not_stressed() -> None:
    """Depth of one and no halts give the digits of a kernel that is told nothing."""
    case, variants = CASES["prompt"]
    rules = [replace(case, impact=law, decision=decision) for law, decision in variants]
    venues = [plain_venue(rule) for rule in rules]
    book, prices = plain_book(1, case), price_paths(1)
    told, untold = (
        follow(book, venues, prices, everyone=False, stressed=told).outcome
        for told in (True, False)
    )
    np.testing.assert_array_equal(told.fates.step, untold.fates.step)
    np.testing.assert_allclose(told.equity, untold.equity, rtol=1e-12, atol=1e-6)
    np.testing.assert_allclose(told.marks, untold.marks, rtol=1e-12)
