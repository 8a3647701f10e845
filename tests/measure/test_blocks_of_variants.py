"""Pools of a kernel's outcome added up to accounts, for both engines."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from stress.measure.block import Ownership, account_block, variant_blocks
from stress.measure.detail import DetailMeasure
from tests.measure.blocks import cascade_outcome, random_block

OWNERSHIP = Ownership(
    first=np.array([0, 2, 3]),
    bridged_pool=np.array([-1, 2, 3]),
    exists=np.array([True, True, False]),
    initial_equity=np.array([100.0, 50.0, 0.0]),
)
"""The first account has a cross pool and an isolated position; the last one does not exist."""
RESERVE = np.array([10.0, 0.0, 0.0])


@pytest.fixture
def outcome() -> SimpleNamespace:
    """Return two variants of two paths, padded to three, of four pools and two assets."""
    outcome = cascade_outcome(4, 3, 2, 6)
    fates, tally = outcome.fates, outcome.tally
    # columns: own 0 1 (2), other 3 4 (5)
    fates.step[0] = [7, -1, 9, -1, 4, 9]
    fates.step[1] = [3, -1, 9, -1, 5, 9]
    fates.called[1, 3] = True
    fates.bankrupt[2, 4] = True
    fates.hidden[0] = [5, 0, 9, 0, 10, 9]
    fates.hidden[1] = 11
    fates.least_excess[:2] = [[4, 3, 0, np.inf, 1, 0], [-2, np.inf, 0, np.inf, 5, 0]]
    outcome.equity[0] = [60, 70, 0, 80, 90, 0]
    outcome.equity[1] = [5, 5, 0, 0, 0, 0]
    outcome.equity[2] = [40, 60, 0, 50, 50, 0]
    outcome.reserve[0] = [4, 10, 0, 10, 0, 0]
    outcome.fund[:] = [1, 2, 9, 3, 4, 9]
    tally.closed[:] = [[10, 20, 9, 30, 40, 9], [1, 2, 9, 3, 4, 9]]
    tally.drawn[:] = [1, 0, 9, 0, 7, 9]
    tally.late_steps[:] = [0, 2, 9, 0, 3, 9]
    return outcome


def test_variants(outcome: SimpleNamespace) -> None:
    """Each variant's own columns, without the padding."""
    own, other = variant_blocks(outcome, OWNERSHIP, RESERVE, steps=10, variants=2, paths=2)
    assert own.paths == other.paths == 2
    assert own.step.tolist() == [[3, -1], [-1, -1], [-1, -1]]
    assert other.step.tolist() == [[-1, 4], [-1, -1], [-1, -1]]
    assert own.liquidated.tolist() == [[1, 0], [0, 0], [0, 0]]
    assert other.called[0].tolist() == [1, 0]
    assert other.bankrupt.tolist() == [[False, False], [False, True], [False, False]]
    # 100 + 10 at the start, 60 + 5 + 4 at the end; then 110 - 75 - 10
    assert own.loss.tolist() == [[41, 25], [10, -10], [0, 0]]
    assert other.loss[0].tolist() == [20, 20]
    assert own.total_loss(OWNERSHIP.exists).tolist() == [51, 25]
    assert own.equity[:2].tolist() == [[65, 75], [40, 60]]
    assert np.isnan(own.equity[2]).all()
    # eleven looks, of which the cross pool alone counts
    assert own.hidden[0] == pytest.approx([5 / 11, 0])
    assert other.hidden[0] == pytest.approx([0, 10 / 11])
    assert own.least_excess[0].tolist() == [-2, 3]
    assert np.isnan(other.least_excess[0, 0])
    assert np.isnan(own.least_excess[1]).all()
    assert own.closed_by_asset.tolist() == [[10, 20], [1, 2]]
    assert other.closed.tolist() == [33, 44]
    assert (own.fund_end.tolist(), other.fund_draw.tolist()) == ([1, 2], [0, 7])
    assert other.late_steps.tolist() == [0, 3]
    assert own.late_steps.dtype == np.int64
    assert own.loss.dtype == own.closed.dtype == np.float64


def test_least_excess_that_nobody_asked_for(outcome: SimpleNamespace) -> None:
    """The kernel returns no pools, the block no accounts."""
    outcome.fates.least_excess = np.full((0, 1), np.inf, np.float32)
    blocks = variant_blocks(outcome, OWNERSHIP, RESERVE, steps=10, variants=2, paths=2)
    assert [len(block.least_excess) for block in blocks] == [0, 0]


def first_passage(paths: int) -> SimpleNamespace:
    """Return an outcome of the other engine for the same pools."""
    pools = np.zeros((4, paths), np.float32)
    step = np.full((4, paths), -1, np.int32)
    step[1] = 6
    deficit = pools.copy()
    deficit[1] = [3.0, 0.5, 9.0]
    numbers = np.array([5.0, 6.0, 9.0], np.float32)
    return SimpleNamespace(
        step=step,
        called=step >= 0,
        equity=pools + 20.0,
        deficit=deficit,
        closed=pools + 1.0,
        closed_by_asset=np.ones((2, paths), np.float32),
        survival=np.zeros((0, paths), np.float32),
        calm=np.zeros((0, paths), np.float32),
        least_excess=np.zeros((0, paths), np.float32),
        fund=numbers,
        drawn=numbers / 2,
        exhausted=np.array([True, False, True]),
        fund_need=numbers / 8,
        uncovered=numbers / 4,
    )


def test_first_passage() -> None:
    """Fund and uncovered loss as the kernel says; what needs feedback is 0."""
    known = account_block(first_passage(3), OWNERSHIP, np.ones(4), 2)
    assert known.fund_end.tolist() == [5, 6]
    assert known.fund_draw.tolist() == [2.5, 3]
    assert known.fund_exhausted.tolist() == [True, False]
    assert known.fund_need.tolist() == [0.625, 0.75]
    assert known.uncovered.tolist() == [1.25, 1.5]
    assert known.bankrupt[0].tolist() == [True, False]
    assert known.step[0].tolist() == [6, 6]
    assert known.loss[0].tolist() == [60, 60]
    assert known.any_hit(OWNERSHIP.exists).tolist() == [1, 1]
    assert known.liquidated_share(OWNERSHIP.exists).tolist() == [0.5, 0.5]
    assert known.overshoot.shape == (2, 2)
    assert known.hidden.shape == (3, 2)
    for never in ("overshoot", "hidden", "socialised", "deleveraged", "over_closed"):
        assert not getattr(known, never).any()
    for counted in ("false_liquidations", "late_steps", "rounds_exhausted"):
        assert getattr(known, counted).tolist() == [0, 0]
        assert getattr(known, counted).dtype == np.int64


def test_nobody_exists() -> None:
    """No account, no share, no liquidation."""
    block = random_block(1, 3, 4)
    nobody = np.zeros(3, bool)
    assert not block.any_hit(nobody).any()
    assert not block.liquidated_share(nobody).any()
    assert not block.total_loss(nobody).any()


def test_detail(outcome: SimpleNamespace) -> None:
    """Every outcome of every path, counts as whole numbers, blocks one behind the other."""
    own, other = variant_blocks(outcome, OWNERSHIP, RESERVE, steps=10, variants=2, paths=2)
    detail, rest = DetailMeasure(), DetailMeasure()
    detail.update(own, np.array([[1.0, 2.0], [3.0, 4.0]]))
    rest.update(other, np.array([[5.0, 6.0], [7.0, 8.0]]))
    detail.merge(rest)
    found = detail.finish()["detail"]
    assert found["fund_end"].tolist() == [1, 2, 3, 4]
    assert found["late_steps"].tolist() == [0, 2, 0, 3]
    assert found["late_steps"].dtype.kind == found["false_liquidations"].dtype.kind == "i"
    assert found["mark_end"].tolist() == [[1, 3], [2, 4], [5, 7], [6, 8]]
    assert found["equity_end"][0, :2].tolist() == [65, 40]
    for name in ("socialised_loss", "deleveraged_notional", "over_closed_notional"):
        assert found[name].tolist() == [0, 0, 0, 0]
