"""With feedback against without, law against law, venue against leader: a few paths by hand."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stress.measure.block import AccountBlock
from stress.measure.cascade import CascadeMeasure, CausedLiquidations
from stress.measure.decisions import DecisionMeasure
from stress.measure.laws import LawMeasure
from stress.measure.world import Findings, Grouping, WorldMeasure
from tests.measure.blocks import (
    block,
    cascade_outcome,
    estimate,
    random_block,
    request,
    same,
    some_paths,
)

Z = 1.959963984540054
WORLD = Grouping(np.array([0, 1, 1]), 2, np.array([True, True, False]))
FED_BACK = block(
    [[1, 1, -1, -1], [2, -1, -1, 4], [1, 1, 1, 1]],
    [[30.0, 20.0, -5.0, 0.0], [8.0, 0.0, 1.0, 2.0], [99.0, 99.0, 99.0, 99.0]],
    closed=[300.0, 100.0, 0.0, 50.0],
)
WITHOUT = block(
    [[1, -1, -1, -1], [-1, -1, -1, 4], [-1, -1, -1, -1]],
    [[10.0, 20.0, -9.0, 0.0], [4.0, -3.0, 1.0, 3.0], [0.0, 0.0, 0.0, 0.0]],
    closed=[100.0, 0.0, 0.0, 50.0],
)
"""Total losses 38, 20, 1, 2 and 14, 20, 1, 3: cascade losses 24, 0, 0, -1."""


HALVES = (slice(0, 3), slice(3, None))


class TestCascade:
    """One world."""

    @pytest.fixture
    def found(self) -> Findings:
        measure = CascadeMeasure(WORLD, request(4))
        measure.update(FED_BACK, WITHOUT)
        return measure.finish()

    def test_paths(self, found: Findings) -> None:
        """The missing account counts in no loss; a multiplier needs something to divide by."""
        assert found["paths"]["cascade_loss"].tolist() == [24.0, 0.0, 0.0, -1.0]
        multiplier = found["paths"]["cascade_multiplier"]
        assert multiplier[[0, 3]].tolist() == [3.0, 1.0]
        assert np.isnan(multiplier[[1, 2]]).all()

    def test_book(self, found: Findings) -> None:
        """Mean, quantiles, ratio of sums."""
        mean = estimate(found, "book", "expected_cascade_loss")
        assert mean.value == pytest.approx(23 / 4)
        half = Z * np.std([24, 0, 0, -1], ddof=1) / 2
        assert mean.interval == pytest.approx([5.75 - half, 5.75 + half])
        at_risk = estimate(found, "book", "cascade_loss_value_at_risk")
        assert at_risk.value.tolist() == [0.0, 24.0]
        # the quantile at one half is 0, the mean excess 24 / 4, over one half
        shortfall = estimate(found, "book", "cascade_loss_expected_shortfall")
        assert shortfall.value[0] == pytest.approx(12.0)
        assert estimate(found, "book", "cascade_multiplier").value == pytest.approx(450 / 150)

    def test_accounts(self, found: Findings) -> None:
        """Changes are paired; the missing account is NaN."""
        without = estimate(found, "accounts", "liquidation_probability_without_feedback")
        assert without.value[:2].tolist() == [0.25, 0.25]
        change = estimate(found, "accounts", "liquidation_probability_change")
        assert change.value[:2].tolist() == [0.25, 0.25]
        half = Z * 0.5 / 2
        assert change.interval[0] == pytest.approx([0.25 - half, 0.25 + half])
        assert np.isnan(without.value[2]) and np.isnan(change.interval[2]).all()

    def test_merging(self) -> None:
        """Two measures as one; what is kept path by path to the digit."""
        fed_back, without = random_block(1, 3, 40), random_block(2, 3, 40)
        whole, first, second = (CascadeMeasure(WORLD, request(40)) for _ in range(3))
        whole.update(fed_back, without)
        for measure, half in zip((first, second), HALVES, strict=True):
            measure.update(some_paths(fed_back, half), some_paths(without, half))
        first.merge(second)
        same(first.finish(), whole.finish())
        known, found = (
            estimate(of.finish(), "book", "expected_cascade_loss") for of in (whole, first)
        )
        assert (found.value, *found.interval) == (known.value, *known.interval)

    def test_no_paths(self) -> None:
        found = CascadeMeasure(WORLD, request(4)).finish()
        assert np.isnan(estimate(found, "book", "expected_cascade_loss").value)
        assert np.isnan(estimate(found, "book", "cascade_multiplier").value)
        assert np.isnan(estimate(found, "book", "cascade_loss_value_at_risk").interval).all()
        assert len(found["paths"]["cascade_loss"]) == 0


class TestCaused:
    """Three pools: two of the first account, in group 0, one of the second, in group 1."""

    @pytest.fixture
    def fates(self) -> SimpleNamespace:
        """Return three variants of two paths, padded to three; the last is without impact."""
        fates = cascade_outcome(3, 2, 1, 9, groups=2, paths=3).fates
        fates.step[:, :3] = [[4, 5, 1], [6, -1, 1], [-1, 7, 1]]
        fates.step[:, 3:6] = 2
        fates.step[:, 6:] = [[-1, 5, -1], [-1, -1, -1], [-1, -1, -1]]
        fates.charge[0, :, 0] = [0.25, 0.75]
        fates.charge[1, :, 0] = [1.0, 0.0]
        fates.charge[0, :, 1] = [0.5, 0.5]  # happens without feedback too
        fates.charge[2, :, 1] = [0.5, 0.25]
        return fates

    def test_by_hand(self, fates: SimpleNamespace) -> None:
        """Path 0: both pools of group 0; path 1: that of group 1, a quarter of it nobody's."""
        measure = CausedLiquidations(np.array([0, 0, 1]), 2)
        measure.update(fates, without=2, variants=3, paths=2)
        found = measure.finish(0.95)
        caused = estimate(found, "groups", "caused_liquidations")
        assert caused.value == pytest.approx(np.array([[1.25, 0.75], [0.5, 0.25]]) / 2)
        everyone = estimate(found, "groups", "feedback_liquidations")
        assert everyone.value == pytest.approx([1.0, 0.5])
        half = Z * np.sqrt(2.0) / np.sqrt(2)
        assert everyone.interval[0] == pytest.approx([1 - half, 1 + half])

    def test_merging(self, fates: SimpleNamespace) -> None:
        whole, parts, rest = (CausedLiquidations(np.array([0, 0, 1]), 2) for _ in range(3))
        for measure in (whole, whole, parts, rest):
            measure.update(fates, without=2, variants=3, paths=2)
        parts.merge(rest)
        same(parts.finish(0.95), whole.finish(0.95))
        assert whole.caused.count == 4

    @settings(deadline=None)
    @given(seed=st.integers(0, 2**16), pools=st.integers(1, 6), paths=st.integers(1, 5))
    def test_one_by_one(self, seed: int, pools: int, paths: int) -> None:
        """Pool by pool, path by path."""
        generator = np.random.default_rng(seed)
        fates = cascade_outcome(pools, pools, 1, 12, groups=3, paths=6).fates
        fates.step[:] = generator.integers(-1, 2, fates.step.shape)
        fates.charge[:] = generator.random(fates.charge.shape)
        group = generator.integers(0, 3, pools)
        measure = CausedLiquidations(group, 3)
        measure.update(fates, without=1, variants=2, paths=paths)
        charged, everyone, market = np.zeros((3, 3)), np.zeros(3), np.zeros(3)
        for pool in range(pools):
            for path in range(paths):
                if fates.step[pool, path] < 0:
                    continue
                if fates.step[pool, 6 + path] < 0:
                    charged[group[pool]] += fates.charge[pool, :, path] / paths
                    everyone[group[pool]] += 1 / paths
                else:
                    market[group[pool]] += 1 / paths
        found = measure.finish(0.95)
        for name, known in (
            ("caused_liquidations", charged),
            ("feedback_liquidations", everyone),
            ("market_liquidations", market),
        ):
            assert estimate(found, "groups", name).value == pytest.approx(known, abs=1e-7), name

    def test_nothing_caused(self, fates: SimpleNamespace) -> None:
        """The venue against itself; and no paths at all."""
        measure = CausedLiquidations(np.array([0, 0, 1]), 2)
        assert np.isnan(estimate(measure.finish(0.95), "groups", "caused_liquidations").value).all()
        measure.update(fates, without=0, variants=3, paths=2)
        assert not estimate(measure.finish(0.95), "groups", "caused_liquidations").value.any()


class TestLaws:
    """The second law is the same as no impact."""

    @pytest.fixture
    def found(self) -> Findings:
        measure = LawMeasure(2, WORLD, request(4))
        measure.update((FED_BACK, WITHOUT), WITHOUT)
        return measure.finish()

    def test_by_hand(self, found: Findings) -> None:
        value = estimate(found, "impact", "liquidation_probability").value
        assert value == pytest.approx([4 / 8, 2 / 8])
        assert estimate(found, "impact", "expected_total_loss").value == pytest.approx(
            [61 / 4, 38 / 4]
        )
        assert estimate(found, "impact", "expected_cascade_loss").value == pytest.approx([5.75, 0])
        assert estimate(found, "impact", "cascade_multiplier").value == pytest.approx([3, 1])
        at_risk = estimate(found, "impact", "cascade_loss_value_at_risk")
        assert at_risk.value.tolist() == [[0.0, 24.0], [0.0, 0.0]]
        assert estimate(found, "impact", "fund_exhaustion_probability").value.tolist() == [1, 0.5]
        assert estimate(found, "impact", "expected_uncovered_loss").value.tolist() == [2, 0.5]

    def test_agrees_with_the_world(self, found: Findings) -> None:
        """The same numbers as of the world itself, digit by digit."""
        cascade = CascadeMeasure(WORLD, request(4))
        cascade.update(FED_BACK, WITHOUT)
        world = WorldMeasure(WORLD, 1, request(4), feedback=True)
        world.update(FED_BACK)
        book = {**world.finish()["book"], **cascade.finish()["book"]}
        for name in found["impact"]:
            if name.endswith("_difference"):
                continue
            known, law = estimate({"book": book}, "book", name), estimate(found, "impact", name)
            assert np.array_equal(law.value[0], known.value), name
            assert np.array_equal(law.interval[0], known.interval), name

    def test_differences_are_the_last_law_less_the_first(self, found: Findings) -> None:
        for name in ("expected_total_loss", "expected_cascade_loss", "liquidation_probability"):
            each = estimate(found, "impact", name)
            apart = estimate(found, "impact", f"{name}_difference")
            assert np.isclose(apart.value, each.value[1] - each.value[0], rtol=1e-12), name

    def test_merging(self) -> None:
        blocks = [random_block(seed, 3, 40) for seed in range(3)]
        whole, first, second = (LawMeasure(2, WORLD, request(40)) for _ in range(3))
        whole.update(blocks[:2], blocks[2])
        for measure, half in zip((first, second), HALVES, strict=True):
            *laws, without = (some_paths(of, half) for of in blocks)
            measure.update(laws, without)
        first.merge(second)
        same(first.finish(), whole.finish())

    def test_no_paths(self) -> None:
        found = LawMeasure(2, WORLD, request(4)).finish()
        assert all(
            np.isnan(estimate(found, "impact", name).value).all() for name in found["impact"]
        )


class TestDecision:
    """The leader closes as ``WITHOUT`` does, the venue as ``FED_BACK``."""

    def test_by_hand(self) -> None:
        measure = DecisionMeasure(WORLD, with_cascade=True)
        measure.update(WITHOUT, FED_BACK, (WITHOUT, WITHOUT))
        found = measure.finish(0.95)
        for name, values in {
            "liquidation_probability": (2 / 8, 4 / 8),
            "any_liquidation_probability": (2 / 4, 3 / 4),
            "expected_total_loss": (38 / 4, 61 / 4),
            "expected_cascade_loss": (0, 23 / 4),
            "expected_uncovered_loss": (2 / 4, 8 / 4),
            "expected_liquidated_notional": (150 / 4, 450 / 4),
        }.items():
            assert estimate(found, "decision", name).value == pytest.approx(values), name
            difference = estimate(found, "decision", f"{name}_difference")
            assert difference.value == pytest.approx(values[1] - values[0]), name
        # shares of the two accounts: 1/2, 1/2, 0, 0 more
        half = Z * np.std([0.5, 0.5, 0, 0], ddof=1) / 2
        difference = estimate(found, "decision", "liquidation_probability_difference")
        assert difference.interval == pytest.approx([0.25 - half, 0.25 + half])

    def test_without_impact(self) -> None:
        """No cascade loss to speak of."""
        measure = DecisionMeasure(WORLD, with_cascade=False)
        measure.update(WITHOUT, FED_BACK)
        names = set(measure.finish(0.95)["decision"])
        assert "expected_total_loss_difference" in names
        assert not any("cascade" in name for name in names)

    def test_merging(self) -> None:
        blocks = [random_block(seed, 3, 40) for seed in range(4)]
        whole, first, second = (DecisionMeasure(WORLD, with_cascade=True) for _ in range(3))
        whole.update(blocks[0], blocks[1], (blocks[2], blocks[3]))
        for measure, half in zip((first, second), HALVES, strict=True):
            leader, venue, calm_leader, calm = (some_paths(of, half) for of in blocks)
            measure.update(leader, venue, (calm_leader, calm))
        first.merge(second)
        same(first.finish(0.95), whole.finish(0.95))


class TestWorld:
    """What a world alone says of its backstop."""

    @pytest.fixture
    def eventful(self) -> AccountBlock:
        return block(
            [[1, 1, -1, -1], [2, -1, -1, 4], [1, 1, 1, 1]],
            hidden=[[0.5, 0.0, 0.0, 0.1], [0.0] * 4, [0.9] * 4],
            overshoot=[[0.04, 0.01, 0.0, 0.02]],
            fund_draw=[10.0, 4.0, 0.0, 6.0],
            fund_exhausted=[True, False, False, False],
            socialised=[4.0, 0.0, 0.0, 0.0],
            deleveraged=[0.0, 8.0, 0.0, 0.0],
            false_liquidations=[0, 2, 0, 0],
            over_closed=[0.0, 20.0, 0.0, 0.0],
            late_steps=[3, 0, 0, 1],
            rounds_exhausted=[0, 2, 0, 1],
        )

    def test_by_hand(self, eventful: AccountBlock) -> None:
        measure = WorldMeasure(WORLD, 1, request(4), feedback=True)
        measure.update(some_paths(eventful, HALVES[0]))
        measure.update(some_paths(eventful, HALVES[1]))
        found = measure.finish()
        for name, value in {
            "expected_liquidated_notional": 200.0,
            "expected_liquidated_accounts": 1.0,
            "expected_fund_draw": 5.0,
            "fund_exhaustion_probability": 0.25,
            "expected_socialised_loss": 1.0,
            "expected_deleveraged_notional": 2.0,
            "expected_false_liquidations": 0.5,
            "expected_over_closed_notional": 5.0,
            "expected_late_steps": 1.0,
            "rounds_exhausted_probability": 0.5,
        }.items():
            assert estimate(found, "book", name).value == pytest.approx(value), name
        draw = estimate(found, "book", "fund_draw_value_at_risk")
        assert draw.value.tolist() == [4.0, 10.0]
        hidden = estimate(found, "accounts", "hidden_distress")
        assert hidden.value[:2] == pytest.approx([0.15, 0.0])
        assert np.isnan(hidden.value[2])
        overshoot = estimate(found, "assets", "price_overshoot_mean")
        assert overshoot.value == pytest.approx([0.0175])
        assert found["assets"]["price_overshoot_quantile"].tolist() == [[0.01]]
        assert found["paths"]["late_steps"].tolist() == [3, 0, 0, 1]
        assert found["paths"]["late_steps"].dtype.kind == "i"
        assert found["paths"]["fund_exhausted"].dtype == bool

    def test_first_passage_says_less(self, eventful: AccountBlock) -> None:
        """What it cannot have is left out, not 0."""
        with_, without = (WorldMeasure(WORLD, 1, request(4), feedback=of) for of in (True, False))
        with_.update(eventful)
        without.update(eventful)
        more, less = with_.finish(), without.finish()
        assert set(more["paths"]) - set(less["paths"]) == {
            "socialised_loss",
            "deleveraged_notional",
            "false_liquidations",
            "over_closed_notional",
            "late_steps",
            "rounds_exhausted",
        }
        assert "fund_draw" in less["paths"]
        assert "fund_exhaustion_probability" in less["book"]
        assert not {"rounds_exhausted_probability", "expected_late_steps"} & set(less["book"])
        assert "hidden_distress" not in less["accounts"]
        assert set(less["assets"]) == {"liquidated_notional_mean"}

    def test_merging(self) -> None:
        blocks = random_block(8, 3, 40)
        whole, first, second = (
            WorldMeasure(WORLD, 1, request(40), feedback=True) for _ in range(3)
        )
        whole.update(blocks)
        first.update(some_paths(blocks, HALVES[0]))
        second.update(some_paths(blocks, HALVES[1]))
        first.merge(second)
        same(first.finish(), whole.finish())

    def test_no_paths(self) -> None:
        found = WorldMeasure(WORLD, 1, request(4), feedback=True).finish()
        assert np.isnan(found["assets"]["price_overshoot_quantile"]).all()
        assert np.isnan(estimate(found, "book", "rounds_exhausted_probability").value)
