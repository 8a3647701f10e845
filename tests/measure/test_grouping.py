"""Sums over groups, joint events and paired differences, with accounts that do not exist."""

from __future__ import annotations

import numpy as np
import pytest

from stress.measure.paired import PairedMeasure
from stress.measure.world import Findings, Grouping, WorldMeasure
from tests.measure.blocks import block, estimate, request, same, sparse

MEMBER = np.array([1, 0, 1, 2, 0])
EXISTS = np.array([True, True, False, False, True])
NUMBERS = np.array([[1.0, 2.0], [3.0, 4.0], [50.0, 60.0], [70.0, 80.0], [5.0, 8.0]])


class TestGrouping:
    """Accounts of one group need not stand together."""

    def test_sums_and_means(self) -> None:
        """Missing accounts count neither above nor below the line; a group of them is NaN."""
        grouping = Grouping(MEMBER, 3, EXISTS)
        assert grouping.accounts.tolist() == [2, 1, 0]
        assert grouping.sum(NUMBERS).tolist() == [[8.0, 12.0], [1.0, 2.0], [0.0, 0.0]]
        numbers = sparse(NUMBERS)
        assert grouping.sum_sparse(numbers).tolist() == grouping.sum(NUMBERS).tolist()
        mean = grouping.mean_sparse(numbers)
        assert mean[:2].tolist() == [[4.0, 6.0], [1.0, 2.0]]
        assert np.isnan(mean[2]).all()

    def test_nan_of_a_missing_account_stays_out(self) -> None:
        """What a missing account holds is not looked at."""
        numbers = np.where(EXISTS[:, None], NUMBERS, np.nan)
        assert np.array_equal(
            Grouping(MEMBER, 3, EXISTS).sum(numbers), Grouping(MEMBER, 3, EXISTS).sum(NUMBERS)
        )


STEPS = np.array(
    [
        # paths 0 to 4
        [3, -1, 2, -1, 5],  # a, group 0
        [-1, -1, 4, -1, 5],  # b, group 1
        [1, 1, 1, 1, 1],  # c, group 1, missing
        [-1, 9, -1, -1, 5],  # d, group 1
    ]
)
WORLD = Grouping(np.array([0, 1, 1, 1]), 2, np.array([True, True, False, True]))
LOSSES = np.array(
    [
        [1.0, -2.0, 3.0, 4.0, 5.0],
        [0.0, 0.0, 2.0, 0.0, 2.0],
        [90.0, 90.0, 90.0, 90.0, 90.0],
        [-1.0, 1.0, -1.0, 1.0, 1.0],
    ]
)


@pytest.fixture
def found() -> Findings:
    """Measure five paths in two blocks."""
    measure = WorldMeasure(WORLD, 1, request(5))
    measure.update(block(STEPS[:, :2], LOSSES[:, :2]))
    measure.update(block(STEPS[:, 2:], LOSSES[:, 2:]))
    return measure.finish()


class TestWorld:
    """Five paths worked out by hand."""

    def test_accounts(self, found: Findings) -> None:
        """Shares of the paths; NaN for the missing account."""
        value = estimate(found, "accounts", "liquidation_probability").value
        assert value[[0, 1, 3]] == pytest.approx([0.6, 0.4, 0.4])
        assert np.isnan(value[2])
        assert np.isnan(estimate(found, "accounts", "expected_shortfall").interval[2]).all()
        assert estimate(found, "accounts", "expected_loss").value[0] == pytest.approx(2.2)

    def test_groups(self, found: Findings) -> None:
        """Means over accounts and paths, any, both."""
        mean = estimate(found, "groups", "liquidation_probability").value
        assert mean == pytest.approx([0.6, 0.4])
        assert estimate(found, "groups", "any_liquidation_probability").value == pytest.approx(
            [0.6, 0.6]
        )
        joint = estimate(found, "groups", "joint_liquidation_probability").value
        assert joint == pytest.approx(np.array([[0.6, 0.4], [0.4, 0.6]]))
        assert estimate(found, "groups", "expected_loss").value == pytest.approx([2.2, 1.0])

    def test_by_step(self, found: Findings) -> None:
        """The share of a group by each of eleven steps."""
        curve = estimate(found, "groups", "liquidation_probability_by_step").value
        assert curve.shape == (2, 11)
        assert curve[0] == pytest.approx([0, 0, 0.2, 0.4, 0.4, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6])
        assert curve[1] == pytest.approx([0, 0, 0, 0, 0.1, 0.3, 0.3, 0.3, 0.3, 0.4, 0.4])

    def test_book(self, found: Findings) -> None:
        """Over the three accounts that exist."""
        mean = estimate(found, "book", "liquidation_probability").value
        assert mean == pytest.approx((3 + 2 + 2) / 15)
        assert estimate(found, "book", "any_liquidation_probability").value == pytest.approx(0.8)
        # more than half of three accounts: paths 2 and 4
        share = estimate(found, "book", "liquidated_share_probability").value
        assert share[-1] == pytest.approx(0.4)

    def test_paths(self, found: Findings) -> None:
        """Total loss leaves gains out, net loss does not; the missing account is in neither."""
        paths = found["paths"]
        assert paths["liquidated_accounts"].tolist() == [1, 1, 2, 0, 3]
        assert paths["total_loss"].tolist() == [1.0, 1.0, 5.0, 5.0, 8.0]
        assert paths["net_loss"].tolist() == [0.0, -1.0, 4.0, 5.0, 8.0]
        quantile = estimate(found, "book", "total_loss_value_at_risk").value
        assert quantile.tolist() == [5.0, 8.0]

    def test_merging(self, found: Findings) -> None:
        """Two measures of parts of the paths as one."""
        first, second = (WorldMeasure(WORLD, 1, request(5)) for _ in range(2))
        first.update(block(STEPS[:, :3], LOSSES[:, :3]))
        second.update(block(STEPS[:, 3:], LOSSES[:, 3:]))
        first.merge(second)
        same(first.finish(), found)

    def test_no_paths(self) -> None:
        """Nothing measured, nothing known, no error; merged with something it changes nothing."""
        empty = WorldMeasure(WORLD, 1, request(5)).finish()
        assert np.isnan(estimate(empty, "book", "expected_total_loss").value)
        assert np.isnan(estimate(empty, "book", "fund_draw_value_at_risk").value).all()
        assert np.isnan(estimate(empty, "accounts", "liquidation_probability").value).all()
        assert len(empty["paths"]["total_loss"]) == 0


def test_paired_differences() -> None:
    """Cross minus isolated on the same paths: 1 where only cross falls, -1 where only isolated."""
    isolated = np.where(STEPS >= 0, -1, 2)
    isolated[:, 4] = STEPS[:, 4]
    measure = PairedMeasure(WORLD)
    measure.update(block(STEPS[:, :3]), block(isolated[:, :3]))
    measure.update(block(STEPS[:, 3:]), block(isolated[:, 3:]))
    found = measure.finish(0.95)
    account = estimate(found, "accounts", "cross_minus_isolated")
    # a: +1 -1 +1 -1 0; b: -1 -1 +1 -1 0; d: -1 +1 -1 -1 0
    assert account.value[[0, 1, 3]] == pytest.approx([0.0, -0.4, -0.4])
    assert np.isnan(account.value[2])
    variance = np.var([1, -1, 1, -1, 0], ddof=1)
    half = 1.959963984540054 * np.sqrt(variance / 5)
    assert account.interval[0] == pytest.approx([-half, half])
    assert estimate(found, "groups", "cross_minus_isolated").value == pytest.approx([0.0, -0.4])
    assert estimate(found, "book", "cross_minus_isolated").value == pytest.approx(-0.8 / 3)
    # any of the three: cross 1 1 1 0 1, isolated 1 1 1 1 1
    assert estimate(found, "book", "cross_minus_isolated_any").value == pytest.approx(-0.2)
