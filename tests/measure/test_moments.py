"""Means and variances of a stream: merged in any cut, they are those of the whole."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from stress.measure.moments import Moments

NUMBERS = arrays(np.float64, st.tuples(st.just(2), st.integers(2, 40)), elements=st.floats(-10, 10))


def blocks(numbers: np.ndarray, cuts: list[int]) -> list[np.ndarray]:
    """Cut the columns at the given places."""
    edges = sorted({0, numbers.shape[1], *(cut % numbers.shape[1] for cut in cuts)})
    return [numbers[:, low:high] for low, high in pairwise(edges)]


@settings(deadline=None)
@given(numbers=NUMBERS, cuts=st.lists(st.integers(0, 40), max_size=5))
def test_blocks_are_the_whole(numbers: np.ndarray, cuts: list[int]) -> None:
    """Block by block as at once, whatever the blocks."""
    moments = Moments.init(2)
    for part in blocks(numbers, cuts):
        moments.update(part)
    assert moments.count == numbers.shape[1]
    assert moments.mean == pytest.approx(numbers.mean(axis=1), rel=1e-12, abs=1e-12)
    assert moments.variance == pytest.approx(numbers.var(axis=1, ddof=1), rel=1e-11, abs=1e-11)


@settings(deadline=None)
@given(numbers=NUMBERS, cuts=st.lists(st.integers(0, 40), min_size=1, max_size=3))
def test_merging_is_the_whole(numbers: np.ndarray, cuts: list[int]) -> None:
    """Moments of parts, merged, as of the whole; merging nothing changes no digit."""
    total = Moments.init(2)
    for part in blocks(numbers, cuts):
        moments = Moments.init(2)
        moments.update(part)
        total.merge(moments)
    assert total.mean == pytest.approx(numbers.mean(axis=1), rel=1e-12, abs=1e-12)
    assert total.variance == pytest.approx(numbers.var(axis=1, ddof=1), rel=1e-11, abs=1e-11)
    before = (total.mean.copy(), total.squares.copy(), total.count)
    total.merge(Moments.init(2))
    assert np.array_equal(total.mean, before[0])
    assert np.array_equal(total.squares, before[1])
    assert total.count == before[2]


def test_a_large_offset_keeps_its_digits() -> None:
    """The variance of numbers near a billion, which a sum of squares would lose."""
    numbers = 1e9 + np.tile([0.0, 1.0], 500)
    moments = Moments.init()
    for part in np.split(numbers, 20):
        moments.update(part)
    assert moments.variance == pytest.approx(numbers.size / 4 / (numbers.size - 1), rel=1e-9)


def test_estimates() -> None:
    """A mean with its normal interval, hits with Wilson's."""
    moments = Moments.init()
    moments.update(np.repeat([1.0, 0.0], [10, 990]))
    found = moments.finish_probability(0.95)
    assert found.value == pytest.approx(0.01)
    assert found.interval == pytest.approx([0.00544075, 0.01830947], abs=5e-9)
    half = 1.959963984540054 * np.sqrt(0.01 * 0.99 / 999)
    assert moments.finish_mean(0.95).interval == pytest.approx([0.01 - half, 0.01 + half])


def test_nothing_and_one_path() -> None:
    """No paths: no error; one path: no variance."""
    empty = Moments.init(3)
    empty.merge(Moments.init(3))
    assert empty.count == 0
    one = Moments.init()
    one.update(np.array([4.0]))
    assert one.variance == 0.0
    assert np.isnan(one.finish_mean(0.95).interval).all()
