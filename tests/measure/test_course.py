"""Closes through time, one path step by step, and the numbers that are kept path by path."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from stress.measure.block import Ownership
from stress.measure.course import CourseMeasure
from stress.measure.pathwise import (
    PathTable,
    Sample,
    mean_over_paths,
    probability_over_paths,
    tail_over_paths,
)
from stress.measure.replay import replay_findings
from tests.measure.blocks import cascade_outcome, estimate, same


class TestCourse:
    def test_ends_of_blocks(self) -> None:
        """Ten steps and the start, four nodes a block; the last block ends at the horizon."""
        assert CourseMeasure(10, 4).steps.tolist() == [3, 7, 10]
        assert CourseMeasure(11, 4).steps.tolist() == [3, 7, 11]
        assert CourseMeasure(3, 64).steps.tolist() == [3]

    def test_many_blocks_are_thinned(self) -> None:
        course = CourseMeasure(2_016, 16)
        assert len(course.steps) == 64
        assert (course.steps[0], course.steps[-1]) == (15, 2_016)
        rows = np.broadcast_to(np.arange(127.0)[:, None], (127, 3))
        course.update(rows, 2)
        found = course.finish((0.5,), 0.95)
        mean = estimate(found, "course", "liquidated_notional_mean").value
        assert (mean[0], mean[-1], len(mean)) == (0.0, 126.0, 64)

    def test_by_hand(self) -> None:
        course = CourseMeasure(7, 4)
        course.update(np.array([[0.0, 4.0, 9.0, 9.0], [3.0, 4.0, 9.0, 9.0]], np.float32), 2)
        course.update(np.array([[2.0, 9.0], [8.0, 9.0]], np.float32), 1)
        found = course.finish((0.05, 0.5, 0.95), 0.95)
        mean = estimate(found, "course", "liquidated_notional_mean")
        assert mean.value == pytest.approx([2.0, 5.0])
        half = 1.959963984540054 * 2 / np.sqrt(3)
        assert mean.interval[0] == pytest.approx([2 - half, 2 + half])
        quantile = found["course"]["liquidated_notional_quantile"]
        assert quantile.tolist() == [[0, 2, 4], [3, 4, 8]]

    def test_merging(self) -> None:
        closed = np.random.default_rng(1).exponential(size=(3, 50)).cumsum(axis=0)
        whole, first, second = (CourseMeasure(11, 4) for _ in range(3))
        whole.update(closed, 50)
        first.update(closed[:, :20], 20)
        second.update(closed[:, 20:], 30)
        first.merge(second)
        same(first.finish((0.1, 0.9), 0.95), whole.finish((0.1, 0.9), 0.95))

    def test_no_paths(self) -> None:
        found = CourseMeasure(11, 4).finish((0.5,), 0.95)
        assert np.isnan(found["course"]["liquidated_notional_quantile"]).all()
        assert np.isnan(estimate(found, "course", "liquidated_notional_mean").value).all()


def test_replay() -> None:
    """An account counts from the first liquidation of any of its pools on."""
    outcome = cascade_outcome(3, 2, 1, 2)
    outcome.fates.step[:, 1] = [2, 1, 0]
    outcome.replay = SimpleNamespace(
        marks=np.array([[9.0], [8.0], [7.0]], np.float32),
        fundamental=np.array([[9.0], [8.5], [8.0]], np.float32),
        fund=np.array([1.0, 2.0, 0.0], np.float32),
        closed=np.array([10.0, 20.0, 20.0], np.float32),
    )
    ownership = Ownership(np.array([0, 2]), np.array([-1, 2]), np.ones(2, bool), np.zeros(2))
    quiet = replay_findings(outcome, ownership, 0)["replay"]
    found = replay_findings(outcome, ownership, 1)["replay"]
    assert quiet["liquidated_accounts"].tolist() == [0, 0, 0]
    assert found["liquidated_accounts"].tolist() == [1, 2, 2]
    assert found["mark"].tolist() == [[9], [8], [7]]
    assert found["liquidated_notional"].tolist() == [10, 20, 20]
    assert found["fund"].dtype == np.float64


class TestPathwise:
    def test_table(self) -> None:
        """Columns keep their type; one that never came is empty."""
        table, rest = PathTable("hits", "loss", "never"), PathTable("hits", "loss", "never")
        table.update(hits=np.array([1, 2]), loss=np.array([0.5, 1.5]))
        rest.update(hits=np.array([3]))
        rest.update(loss=np.array([2.5]))
        table.merge(rest)
        found = table.finish()
        assert found["hits"].tolist() == [1, 2, 3]
        assert found["hits"].dtype.kind == "i"
        assert found["loss"].tolist() == [0.5, 1.5, 2.5]
        assert len(found["never"]) == 0

    def test_sample(self) -> None:
        """The order statistic that NumPy names the inverse of the distribution function."""
        numbers = np.random.default_rng(2).normal(size=(2, 101))
        sample, rest = Sample(2, "float64"), Sample(2, "float64")
        sample.update(numbers[:, :40])
        rest.update(numbers[:, 40:])
        sample.merge(rest)
        known = np.quantile(numbers, (0.1, 0.5, 0.99), axis=1, method="inverted_cdf").T
        assert np.array_equal(sample.finish((0.1, 0.5, 0.99)), known)

    def test_no_paths(self) -> None:
        """NaN throughout."""
        nothing = np.zeros(0)
        for found in (
            mean_over_paths(nothing, 0.95),
            probability_over_paths(nothing, 0.95),
            *tail_over_paths(nothing, (0.5, 0.99), 0.95),
        ):
            assert np.isnan(found.value).all()
            assert np.isnan(found.interval).all()
        sample = Sample(1, "float32")
        sample.update(np.zeros((1, 0)))
        assert np.isnan(sample.finish((0.5,))).all()
