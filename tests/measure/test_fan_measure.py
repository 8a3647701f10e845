"""The fan of margin ratios against NumPy's quantiles, within the width of its bins."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stress.measure.fan import FanMeasure
from stress.measure.world import Grouping

WIDTH = 10 ** (1 / 100) - 1
"""Of a bin, as a share of the ratio: 2.3 percent."""
QUANTILES = (0.05, 0.5, 0.95)


def grouping() -> Grouping:
    """Return five accounts in two groups, the fourth missing."""
    exists = np.array([True, True, True, False, True])
    return Grouping(np.array([0, 1, 0, 1, 1]), 2, exists)


def ratios(paths: int) -> np.ndarray:
    """Return (times, pools, paths) ratios over six pools, of which the second account has two."""
    generator = np.random.default_rng(20_261_122)
    return generator.lognormal(-2.0, 0.8, size=(3, 6, paths))


FIRST = np.array([0, 1, 3, 4, 5])
"""Each account's first pool."""


def test_quantiles() -> None:
    """An account counts by the largest of its pools, a missing one not at all."""
    sample = ratios(400)
    fan = FanMeasure(grouping(), 3)
    fan.update(sample, FIRST)
    found = fan.finish(QUANTILES)
    assert found.shape == (2, 3, 3)
    second = np.maximum(sample[:, 1], sample[:, 2])
    by_group = [
        np.concatenate([sample[:, 0], sample[:, 3]], axis=1),
        np.concatenate([second, sample[:, 5]], axis=1),
    ]
    for group, members in enumerate(by_group):
        known = np.quantile(members, QUANTILES, axis=1, method="inverted_cdf").T
        assert np.all(np.abs(found[group] / known - 1) < 0.51 * WIDTH)


def test_blocks_and_merging() -> None:
    """Counts add up to the same."""
    sample = ratios(300)
    whole, parts, other = (FanMeasure(grouping(), 3) for _ in range(3))
    whole.update(sample, FIRST)
    parts.update(sample[..., :100], FIRST)
    other.update(sample[..., 100:], FIRST)
    parts.merge(other)
    assert np.array_equal(whole.counts, parts.counts)
    assert (whole.paths, parts.paths) == (300, 300)
    assert np.array_equal(whole.finish(QUANTILES), parts.finish(QUANTILES))


def test_liquidated_and_idle_accounts() -> None:
    """Infinite for the liquidated, 0 for an account without positions."""
    everybody = Grouping(np.array([0, 1]), 2, np.ones(2, bool))
    fan = FanMeasure(everybody, 1)
    one = np.array([[[0.2, 0.2, np.inf, np.inf], [0.0, 0.0, 0.0, 0.0]]])
    fan.update(one, np.array([0, 1]))
    found = fan.finish((0.25, 0.5, 0.75))
    assert found[0, 0, 0] == pytest.approx(0.2, rel=WIDTH)
    assert found[0, 0, 1] == pytest.approx(0.2, rel=WIDTH)
    assert found[0, 0, 2] == np.inf
    assert found[1, 0].tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("quantile", [0.07, 0.29, 0.57])
def test_a_whole_rank_is_not_rounded_up(quantile: float) -> None:
    """The quantile of a hundred distinct ratios is the one of that rank."""
    fan = FanMeasure(Grouping(np.array([0]), 1, np.ones(1, bool)), 1)
    values = 10 ** (-2.995 + 0.02 * np.arange(100))
    fan.update(values[None, None], np.array([0]))
    rank = round(100 * quantile)
    assert fan.finish((quantile,))[0, 0, 0] == pytest.approx(values[rank - 1], rel=WIDTH)


EDGES = 10 ** np.linspace(-3, 1, 401)


@given(
    st.lists(
        st.one_of(
            st.floats(0, 2.0**6, width=32),
            st.sampled_from([0.0, np.inf, 1e-30, 1e30]),
            st.sampled_from([float(np.float32(edge)) for edge in EDGES]),
            st.sampled_from([float(np.nextafter(np.float32(edge), 0)) for edge in EDGES]),
        ),
        min_size=1,
        max_size=20,
    )
)
def test_bins(numbers: list[float]) -> None:
    """Each ratio belongs above all edges that it is not below, at and beside edges too."""
    fan = FanMeasure(Grouping(np.array([0]), 1, np.ones(1, bool)), 1)
    ratio = np.array(numbers, np.float32)
    fan.update(ratio[None, None], np.array([0]))
    known = np.zeros(402, int)
    for number in numbers:
        known[(number >= EDGES).sum()] += 1
    assert np.array_equal(fan.counts[0, 0], known)


def test_a_sample_of_accounts() -> None:
    """Some accounts only: their groups, their pools, and groups of which nobody is among them."""
    fan = FanMeasure(Grouping(np.array([2, 0]), 3, np.ones(2, bool)), 3)
    sample = ratios(50)[:, [1, 2, 5]]
    fan.update(sample, np.array([0, 2]))
    assert fan.counts.sum(axis=2).tolist() == [[50] * 3, [0] * 3, [50] * 3]
    median = np.quantile(sample[:, 2], 0.5, axis=1, method="inverted_cdf")
    assert fan.finish((0.5,))[0, :, 0] == pytest.approx(median, rel=WIDTH)
