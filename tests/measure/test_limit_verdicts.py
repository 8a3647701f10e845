"""Declared limits: kept, breached, or not resolved by so many paths."""

from __future__ import annotations

import numpy as np
import pytest

from stress.measure.limits import Judgement, judge
from stress.measure.moments import Estimate
from stress.measure.world import Grouping, WorldMeasure
from stress.scenario.schema import Limits
from stress.stats.probability import wilson
from tests.measure.blocks import block, request

PATHS = 1_000
ACCOUNTS, GROUPS = ("a", "b", "c", "d"), ("first", "second")
HITS = (10, 40, 900, 0)
"""Of a thousand; the third account does not exist."""


@pytest.fixture(scope="module")
def measure() -> WorldMeasure:
    """Measure a thousand paths: b's liquidations are the first forty, a's the last ten."""
    exists = np.array([True, True, False, True])
    grouping = Grouping(np.array([0, 0, 1, 1]), 2, exists)
    step = np.full((4, PATHS), -1)
    step[0, -HITS[0] :] = 3
    step[1, : HITS[1]] = 5
    step[2, : HITS[2]] = 1
    measured = WorldMeasure(grouping, 1, request(PATHS))
    measured.update(block(step))
    return measured


BOOK = {
    "total_loss_expected_shortfall": Estimate(
        np.array([50.0, 80.0]), np.array([[40.0, 60.0], [70.0, 90.0]])
    ),
    "uncovered_loss_value_at_risk": Estimate(
        np.array([0.0, 5.0]), np.array([[0.0, 1.0], [4.0, 6.0]])
    ),
    "fund_exhaustion_probability": Estimate(np.array(0.02), np.array([0.01, 0.03])),
    "fund_draw_value_at_risk": Estimate(
        np.array([0.0, 700.0]), np.array([[0.0, 0.0], [600.0, np.inf]])
    ),
}


def verdicts(measure: WorldMeasure, **limits: object) -> dict[str, Judgement]:
    """Judge some limits."""
    declared = Limits(**limits)  # type: ignore[arg-type]
    judged = judge(declared, measure, BOOK, ACCOUNTS, GROUPS)
    return {limit.name: limit for limit in judged}


class TestVerdict:
    """Three verdicts from an estimate and its bounds."""

    @pytest.mark.parametrize(
        ("threshold", "breached", "resolved"),
        [
            (0.30, False, True),
            (0.25, False, True),  # a bound at the threshold keeps it
            (0.22, False, False),
            (0.20, False, False),  # at the threshold is not over it
            (0.17, True, False),
            (0.15, True, False),
            (0.14, True, True),
        ],
    )
    def test_each(self, threshold: float, breached: bool, resolved: bool) -> None:
        """An estimate of .20 in .15 to .25."""
        limit = Judgement("limit", threshold=threshold, value=0.20, lower=0.15, upper=0.25)
        assert (limit.breached, limit.resolved) == (breached, resolved)


class TestAccounts:
    """The largest probability of any account."""

    def test_bounds_are_simultaneous(self, measure: WorldMeasure) -> None:
        """Three accounts exist: each gets a third of the error, at 98.33 %."""
        limit = verdicts(measure, max_account_liquidation_probability=0.1)[
            "max_account_liquidation_probability"
        ]
        assert limit.where == "b"
        assert limit.value == pytest.approx(0.04)
        known = wilson(np.array(0.04), np.array(1_000.0), 1 - 0.05 / 3)
        assert (limit.lower, limit.upper) == pytest.approx(known, rel=1e-12)
        alone = wilson(np.array(0.04), np.array(1_000.0), 0.95)
        assert limit.lower < alone[0] < alone[1] < limit.upper

    @pytest.mark.parametrize(
        ("threshold", "breached", "resolved"),
        [(0.06, False, True), (0.05, False, False), (0.03, True, False), (0.02, True, True)],
    )
    def test_verdicts(
        self, measure: WorldMeasure, threshold: float, breached: bool, resolved: bool
    ) -> None:
        """Kept, kept but unresolved, breached but unresolved, breached."""
        (limit,) = verdicts(measure, max_account_liquidation_probability=threshold).values()
        assert (limit.breached, limit.resolved) == (breached, resolved)

    def test_nobody_exists(self) -> None:
        """A world without accounts has no largest one."""
        nobody = Grouping(np.array([0]), 1, np.array([False]))
        empty = WorldMeasure(nobody, 1, request(2))
        empty.update(block([[-1, 2]]))
        assert (
            judge(Limits(max_account_liquidation_probability=0.1), empty, BOOK, ("a",), ("g",))
            == ()
        )


class TestGroups:
    """Any liquidation in a group."""

    def test_each_gets_its_share_of_the_error(self, measure: WorldMeasure) -> None:
        """Two named groups: 97.5 % each. The missing account is in none."""
        judged = verdicts(
            measure, max_group_any_liquidation_probability={"second": 0.01, "first": 0.01}
        )
        first = judged["max_group_any_liquidation_probability.first"]
        assert first.value == pytest.approx(0.05)
        known = wilson(np.array(0.05), np.array(1_000.0), 0.975)
        assert (first.lower, first.upper) == pytest.approx(known, rel=1e-12)
        assert (first.breached, first.resolved, first.where) == (True, True, "first")
        second = judged["max_group_any_liquidation_probability.second"]
        assert (second.value, second.lower) == (0.0, 0.0)
        assert (second.breached, second.resolved) == (False, True)

    def test_one_group_shares_with_nobody(self, measure: WorldMeasure) -> None:
        """A single statement has the whole error."""
        (limit,) = verdicts(measure, max_group_any_liquidation_probability={"first": 0.5}).values()
        known = wilson(np.array(0.05), np.array(1_000.0), 0.95)
        assert (limit.lower, limit.upper) == pytest.approx(known, rel=1e-12)


class TestBook:
    """Losses of the whole book, at the highest level."""

    def test_highest_level(self, measure: WorldMeasure) -> None:
        """The last of the levels, its own interval, no place where it is attained."""
        judged = verdicts(measure, max_expected_shortfall=75.0, max_uncovered_loss=6.0)
        shortfall, uncovered = (
            judged["max_expected_shortfall"],
            judged["max_uncovered_loss"],
        )
        assert (shortfall.value, shortfall.lower, shortfall.upper) == (80.0, 70.0, 90.0)
        assert (shortfall.breached, shortfall.resolved, shortfall.where) == (True, False, "")
        assert (uncovered.value, uncovered.breached, uncovered.resolved) == (5.0, False, True)

    def test_fund(self, measure: WorldMeasure) -> None:
        """A probability without levels; a quantile whose upper bound no sample gives."""
        judged = verdicts(measure, max_fund_exhaustion_probability=0.025, max_fund_draw=1e6)
        exhaustion = judged["max_fund_exhaustion_probability"]
        assert (exhaustion.value, exhaustion.lower, exhaustion.upper) == (0.02, 0.01, 0.03)
        assert (exhaustion.breached, exhaustion.resolved) == (False, False)
        draw = judged["max_fund_draw"]
        assert (draw.value, draw.lower, draw.upper) == (700.0, 600.0, np.inf)
        assert (draw.breached, draw.resolved) == (False, False)

    def test_nothing_declared(self, measure: WorldMeasure) -> None:
        """No limits, no verdicts."""
        assert verdicts(measure) == {}


class TestReproduction:
    """The largest reproduction number of any asset: known without a path."""

    @pytest.mark.parametrize(("threshold", "breached"), [(0.8, False), (0.7, True), (0.75, False)])
    def test_largest(self, measure: WorldMeasure, threshold: float, breached: bool) -> None:
        """Assets without depth are left out; there is nothing to resolve."""
        numbers = np.array([0.2, np.nan, 0.75])
        declared = Limits(max_reproduction_number=threshold)
        (limit,) = judge(declared, measure, BOOK, ACCOUNTS, GROUPS, ("A", "B", "C"), numbers)
        assert (limit.value, limit.lower, limit.upper, limit.where) == (0.75, 0.75, 0.75, "C")
        assert (limit.breached, limit.resolved) == (breached, True)

    @pytest.mark.parametrize("numbers", [None, np.full(2, np.nan), np.zeros(0)])
    def test_unknown(self, measure: WorldMeasure, numbers: np.ndarray | None) -> None:
        """A limit that nothing can be said about is not passed in silence."""
        declared = Limits(max_reproduction_number=1.0)
        (limit,) = judge(declared, measure, BOOK, ACCOUNTS, GROUPS, ("A", "B"), numbers)
        assert (limit.breached, limit.resolved) == (False, False)
