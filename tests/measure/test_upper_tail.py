"""The largest losses of a stream equal those of a full sort, whatever the blocks."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from stress.measure.tail import UpperTail
from stress.stats.tail import expected_shortfall, value_at_risk

LEVELS = (0.6, 0.9)
ROWS = 3


def sample(paths: int, seed: int) -> NDArray[np.float64]:
    """Return (rows, paths) losses with ties and both signs."""
    generator = np.random.default_rng(seed)
    return np.round(generator.normal(size=(ROWS, paths)), 1)


def expected(losses: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Estimate from a full sort."""
    ordered = np.sort(losses, axis=1)[:, ::-1]
    found = []
    for estimate in (value_at_risk, expected_shortfall):
        pairs = [estimate(ordered, losses.shape[1], level, 0.95) for level in LEVELS]
        found.append(np.stack([value for value, _ in pairs], axis=1))
        found.append(np.stack([interval for _, interval in pairs], axis=1))
    return found


def finished(tail: UpperTail) -> list[NDArray[np.float64]]:
    """Return the same of a tail."""
    at_risk, shortfall = tail.finish()
    return [at_risk.value, at_risk.interval, shortfall.value, shortfall.interval]


def fill(tail: UpperTail, losses: NDArray[np.float64], cuts: list[int]) -> None:
    """Add losses block by block."""
    edges = sorted({0, losses.shape[1], *(cut for cut in cuts if cut < losses.shape[1])})
    for low, high in pairwise(edges):
        tail.update(losses[:, low:high])


def check(found: list[NDArray[np.float64]], losses: NDArray[np.float64]) -> None:
    """Quantiles are the same digits; sums may round otherwise."""
    known = expected(losses)
    assert np.array_equal(found[0], known[0])
    assert np.array_equal(found[1], known[1])
    assert found[2] == pytest.approx(known[2], rel=1e-12, abs=1e-12)
    assert found[3] == pytest.approx(known[3], rel=1e-12, abs=1e-12)


@settings(deadline=None)
@given(
    paths=st.integers(2, 300),
    seed=st.integers(0, 2**16),
    cuts=st.lists(st.integers(1, 299), max_size=12),
)
def test_whatever_the_blocks(paths: int, seed: int, cuts: list[int]) -> None:
    """Cut anywhere, also into blocks larger than what is kept."""
    losses = sample(paths, seed)
    tail = UpperTail(ROWS, paths, LEVELS, 0.95, "float64")
    fill(tail, losses, cuts)
    check(finished(tail), losses)


@settings(deadline=None)
@given(
    paths=st.integers(2, 300),
    seed=st.integers(0, 2**16),
    place=st.integers(1, 299),
    cuts=st.lists(st.integers(1, 299), max_size=6),
)
def test_merged(paths: int, seed: int, place: int, cuts: list[int]) -> None:
    """Two tails of one run, each of its own paths, as one."""
    losses, place = sample(paths, seed), min(place, paths - 1)
    first, second = (UpperTail(ROWS, paths, LEVELS, 0.95, "float64") for _ in range(2))
    fill(first, losses[:, :place], cuts)
    fill(second, losses[:, place:], cuts)
    first.merge(second)
    check(finished(first), losses)


@settings(deadline=None)
@given(
    paths=st.integers(2, 300),
    seed=st.integers(0, 2**16),
    cuts=st.lists(st.integers(1, 299), max_size=6),
    share=st.sampled_from([0.01, 0.2, 0.9]),
)
def test_what_is_not_a_number_is_among_the_largest(
    paths: int, seed: int, cuts: list[int], share: float
) -> None:
    """As in a full sort, so that an undefined loss is seen."""
    losses = sample(paths, seed)
    losses[np.random.default_rng(seed).random(losses.shape) < share] = np.nan
    tail = UpperTail(ROWS, paths, LEVELS, 0.95, "float64")
    fill(tail, losses, cuts)
    for found, known in zip(finished(tail), expected(losses), strict=True):
        np.testing.assert_allclose(found, known, rtol=1e-12, atol=1e-12)


@settings(deadline=None)
@given(
    seed=st.integers(0, 2**16),
    edges=st.lists(st.integers(1, ROWS - 1), max_size=3),
    cuts=st.lists(st.integers(1, 199), max_size=4),
)
def test_some_rows_at_a_time(seed: int, edges: list[int], cuts: list[int]) -> None:
    """Rows know nothing of each other."""
    losses = sample(200, seed)
    tail = UpperTail(ROWS, 200, LEVELS, 0.95, "float64")
    for low, high in pairwise(sorted({0, 200, *cuts})):
        for first, last in pairwise(sorted({0, ROWS, *edges})):
            tail.update(losses[first:last, low:high], first)
    check(finished(tail), losses)


def test_memory_is_that_of_the_tail() -> None:
    """At 99 % a hundredth is needed, and little more is held."""
    paths = 50_000
    tail = UpperTail(2, paths, (0.99,), 0.95, "float32")
    losses = np.random.default_rng(3).normal(size=(2, paths))
    held = max(fill_and_measure(tail, part) for part in np.array_split(losses, 100, axis=1))
    assert held < 0.02 * paths * 2 * 4
    assert tail.finish()[0].value[:, 0] == pytest.approx(
        np.quantile(losses, 0.99, axis=1), rel=0.02
    )


def fill_and_measure(tail: UpperTail, part: NDArray[np.float64]) -> int:
    """Add a block and return the bytes that the tail holds."""
    tail.update(part)
    return sum(value.nbytes for value in vars(tail).values() if isinstance(value, np.ndarray))


def test_many_rows() -> None:
    """More rows than are worked on together."""
    losses = np.random.default_rng(4).normal(size=(5_000, 40))
    tail = UpperTail(5_000, 40, (0.9,), 0.95, "float64")
    tail.update(losses)
    assert np.array_equal(tail.finish()[0].value[:, 0], np.sort(losses, axis=1)[:, 35])
