"""Events on paths, and what prices did given them."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import ndtr
from scipy.stats import norm

from stress.measure.typical_path import FEWEST, Event, EventMeasure, happened, typical_paths
from tests.measure.blocks import block
from tests.reference.barrier import continuous

Floats = NDArray[np.float64]

SIGMA, YEARS, STEPS, PATHS = 0.7, 0.02, 8, 40_000
BARRIER = 0.93


@pytest.fixture(scope="module")
def crossing() -> tuple[Floats, NDArray[np.bool_]]:
    """Return (paths, times, 1) log prices of a martingale, and whether each meets the barrier.

    Between two nodes by the probability of a bridge, drawn: the law is that of continuous time.
    """
    rng = np.random.default_rng(17)
    years = YEARS / STEPS
    noise = rng.standard_normal((PATHS, STEPS))
    levels = (SIGMA * np.sqrt(years) * noise - SIGMA**2 / 2 * years).cumsum(axis=1)
    nodes = np.concatenate([np.zeros((PATHS, 1)), levels], axis=1) - np.log(BARRIER)
    below = (nodes[:, 1:] <= 0) | (nodes[:, :-1] <= 0)
    touch = np.exp(-2 * nodes[:, :-1] * nodes[:, 1:] / (SIGMA**2 * years))
    hit = (below | (rng.random(touch.shape) < touch)).any(axis=1)
    return levels[:, :, None], hit


def mean_price_given_crossing(years: float) -> float:
    """Return E[S at a time | the barrier is met by the end], by quadrature over S at that time.

    Given the price x at that time it was met before with the bridge's probability (below the
    barrier for sure), and if not, will be with that of the rest of the time.
    """
    log, deviation = np.log(BARRIER), SIGMA * np.sqrt(years)
    x = np.linspace(-9, 9, 40_001) * deviation - SIGMA**2 / 2 * years
    density = norm.pdf(x, -(SIGMA**2) / 2 * years, deviation)
    before = np.where(x <= log, 1.0, np.exp(-2 * log * (log - x) / deviation**2))
    left = YEARS - years
    away, spread = x - log, SIGMA * np.sqrt(left)
    later = ndtr((-away + SIGMA**2 / 2 * left) / spread)
    later += np.exp(away) * ndtr((-away - SIGMA**2 / 2 * left) / spread)
    meets = before + (1 - before) * np.where(x <= log, 0.0, later)
    return float((np.exp(x) * meets * density).sum() / (meets * density).sum())


class TestAgainstAMartingaleThatMeetsABarrier:
    def test_the_mean_path_is_that_of_quadrature(
        self, crossing: tuple[Floats, NDArray[np.bool_]]
    ) -> None:
        levels, hit = crossing
        found = typical_paths(levels, hit[None], (0.5,), 0.999)
        for step in (1, 3, 6):
            expected = mean_price_given_crossing(YEARS * step / STEPS) - 1
            low, high = found.mean.interval[0, step - 1, 0]
            assert low <= expected <= high
            assert high - low < 0.01

    def test_the_mean_at_the_end_is_the_barrier(
        self, crossing: tuple[Floats, NDArray[np.bool_]]
    ) -> None:
        """A martingale stopped at the barrier is worth the barrier from there on."""
        levels, hit = crossing
        found = typical_paths(levels, hit[None], (0.5,), 0.999)
        low, high = found.mean.interval[0, -1, 0]
        assert low <= BARRIER - 1 <= high
        # the unconditional mean is far outside
        assert high < -0.05

    def test_as_many_paths_meet_it_as_the_closed_form_says(
        self, crossing: tuple[Floats, NDArray[np.bool_]]
    ) -> None:
        chance = continuous(1.0, BARRIER, SIGMA, 0.0, YEARS)
        error = np.sqrt(chance * (1 - chance) / PATHS)
        assert abs(crossing[1].mean() - chance) < 4 * error


def test_quantiles_are_order_statistics_of_the_paths_with_the_event() -> None:
    levels = np.log1p(np.arange(100.0) / 100)[:, None, None]
    happens = np.zeros((1, 100), bool)
    happens[0, 10:60] = True
    found = typical_paths(levels, happens, (0.02, 0.5, 1.0), 0.95)
    assert found.paths.tolist() == [50]
    assert found.quantile[0, 0, 0] == pytest.approx([0.10, 0.34, 0.59])
    assert found.mean.value[0, 0, 0] == pytest.approx(0.345)


def test_of_too_few_paths_nothing_is_told() -> None:
    levels = np.zeros((100, 3, 2))
    happens = np.zeros((2, 100), bool)
    happens[0, : FEWEST - 1] = True
    happens[1, :FEWEST] = True
    found = typical_paths(levels, happens, (0.5,), 0.95)
    assert found.paths.tolist() == [FEWEST - 1, FEWEST]
    assert np.isnan(found.mean.value[0]).all()
    assert np.isnan(found.mean.interval[0]).all()
    assert np.isnan(found.quantile[0]).all()
    assert (found.mean.value[1] == 0).all()


EVENTS = (
    Event("the second", "account", account=1),
    Event("half of them", "accounts", share=0.5),
    Event("half the notional", "notional", share=0.5),
    Event("the fund", "fund"),
)
NOTIONAL = np.array([6.0, 2.0, 1.0, 50.0])
EXISTS = np.array([True, True, True, False])
STEP = np.array([[-1, 3, -1, -1, 2], [4, -1, -1, 1, 2], [-1, -1, -1, 0, -1], [-1, -1, 5, -1, -1]])


def test_who_does_not_exist_does_not_count() -> None:
    found = happened(EVENTS, NOTIONAL, EXISTS, block(STEP))
    assert found.tolist() == [
        [True, False, False, True, True],
        [False, False, False, True, True],
        [False, True, False, False, True],
        [True, True, True, True, True],
    ]


def test_exactly_the_share_is_not_more_than_it() -> None:
    half = (Event("half", "accounts", share=0.5),)
    step = np.array([[1, 1], [-1, 1], [1, 1], [-1, -1]])
    assert happened(half, np.ones(4), np.ones(4, bool), block(step)).tolist() == [[False, True]]


def test_blocks_add_up_to_the_whole() -> None:
    whole = EventMeasure(EVENTS, NOTIONAL, EXISTS)
    whole.update(block(STEP))
    first, second = (EventMeasure(EVENTS, NOTIONAL, EXISTS) for _ in range(2))
    first.update(block(STEP[:, :2]))
    second.update(block(STEP[:, 2:]))
    first.merge(second)
    assert np.array_equal(first.finish(), whole.finish())
    assert EventMeasure(EVENTS, NOTIONAL, EXISTS).finish().shape == (4, 0)
