"""Curves over multiples of collateral and size: counted by hand, monotone, and they cover."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import ndtr

from stress.measure.curves import MULTIPLES, AccountNeeds, CurveMeasure, account_needs
from stress.measure.moments import Moments
from stress.stats.confidence import Confidence, shared
from stress.stats.probability import exact_probability_interval

Floats = NDArray[np.float64]


def test_the_grid_holds_the_present() -> None:
    assert MULTIPLES[0] == 1 / 16
    assert MULTIPLES[16] == 1.0
    assert MULTIPLES[-1] == 16.0
    np.testing.assert_allclose(np.diff(np.log(MULTIPLES)), np.log(2) / 4)


class TestAccountNeeds:
    """Two accounts of two pools and one, two paths."""

    FIRST = np.array([0, 2])
    SHORTFALL = np.array([[-50.0, 30.0], [-np.inf, -np.inf], [-10.0, 5.0]])
    SIZE = np.array([[2.0, 0.7], [np.inf, np.inf], [1.5, 0.9]])

    def needs(self, equity: list[float], *, strict: bool = False) -> AccountNeeds:
        held = np.array(equity)
        return account_needs(self.SHORTFALL, self.SIZE, self.FIRST, held, strict=strict)

    def test_by_hand(self) -> None:
        """100 of equity that 30 more would save: 1.3 times; that 50 less would do: 0.5 times."""
        found = self.needs([100.0, 0.0, 20.0])
        np.testing.assert_allclose(found.collateral, [[0.5, 1.3], [0.5, 1.25]])
        np.testing.assert_array_equal(found.size, [[2.0, 0.7], [1.5, 0.9]])

    def test_the_worst_pool_counts(self) -> None:
        found = account_needs(
            self.SHORTFALL, self.SIZE, np.array([0]), np.array([100.0, 0.0, 20.0]), strict=False
        )
        np.testing.assert_allclose(found.collateral, [[0.5, 1.3]])
        np.testing.assert_array_equal(found.size, [[1.5, 0.7]])

    def test_no_multiple_of_nothing_helps(self) -> None:
        found = self.needs([100.0, 0.0, 0.0])
        np.testing.assert_array_equal(found.collateral[1], np.inf)
        np.testing.assert_array_equal(found.size[1], 0.0)
        # a pool without positions needs nothing, whatever it has
        np.testing.assert_array_equal(found.collateral[0], [0.5, 1.3])

    def test_exactly_enough(self) -> None:
        """At the steps that survives; a bridge that touches 0 is hit."""
        shortfall, size = np.zeros((1, 1)), np.ones((1, 1))
        for strict in (False, True):
            found = account_needs(shortfall, size, np.array([0]), np.array([9.0]), strict=strict)
            assert (found.collateral > 1.0).all() == strict


def measured(collateral: Floats, size: Floats, group: list[int], chosen: list[int]) -> CurveMeasure:
    measure = CurveMeasure(np.array(group), max(group) + 1, np.array(chosen))
    measure.update(AccountNeeds(collateral, size))
    return measure


def test_counted_by_hand() -> None:
    """Four paths; liquidated below the least multiple, and above the largest."""
    collateral = np.array([[0.4, 0.9, 1.0, 3.0], [-np.inf, -np.inf, np.inf, 0.2]])
    size = 1 / np.maximum(collateral, 1e-9)
    measure = measured(collateral, size, [0, 0], [1])
    found = measure.collateral.finish(0.95)
    by_hand = (MULTIPLES[None, :, None] < collateral[:, None]).mean(axis=2)
    np.testing.assert_allclose(found.by_account.value[0], by_hand[1])
    np.testing.assert_allclose(found.by_group.value[0], by_hand.mean(axis=0))
    # at what is held now, exactly enough is enough
    assert by_hand[0, 16] == 0.25
    np.testing.assert_array_equal(found.accounts, [2])
    larger = measure.size.finish(0.95)
    np.testing.assert_allclose(larger.by_account.value[0], found.by_account.value[0, ::-1])


def test_who_is_not_known_is_left_out() -> None:
    """Of the curve over size; the others make the group's."""
    collateral = np.array([[0.5, 2.0], [0.5, 2.0], [0.5, 2.0]])
    size = np.array([[np.nan, np.nan], [2.0, 0.5], [np.nan, np.nan]])
    measure = measured(collateral, size, [0, 0, 1], [0, 1])
    found = measure.size.finish(0.95)
    np.testing.assert_array_equal(found.accounts, [1, 0])
    assert np.isnan(found.by_group.value[1]).all()
    assert np.isnan(found.by_group.interval[1]).all()
    assert np.isnan(found.by_account.value[0]).all()
    np.testing.assert_array_equal(found.by_group.value[0], found.by_account.value[1])
    np.testing.assert_array_equal(measure.collateral.finish(0.95).accounts, [2, 1])


def test_accounts_that_stand_for_themselves_only() -> None:
    collateral = np.array([[0.5, 0.5], [4.0, 4.0]])
    measure = measured(collateral, 1 / collateral, [0, -1], [1])
    found = measure.collateral.finish(0.95)
    np.testing.assert_array_equal(found.accounts, [1])
    assert found.by_group.value[0, 16] == 0.0
    assert found.by_account.value[0, 16] == 1.0


def drawn(seed: int, paths: int, accounts: int = 4) -> AccountNeeds:
    """Return least multiples that are lognormal around one half, 1, ..., correlated by paths."""
    rng = np.random.default_rng(seed)
    common, own = rng.standard_normal((1, paths)), rng.standard_normal((accounts, paths))
    moved = 0.8 * common + 0.6 * own
    collateral = np.exp(np.log(0.5 * (1 + np.arange(accounts)))[:, None] + 0.7 * moved)
    return AccountNeeds(collateral, 1 / collateral)


def truth(accounts: int = 4) -> Floats:
    """Return (accounts, points) P(least multiple above a multiple)."""
    centre = np.log(0.5 * (1 + np.arange(accounts)))
    return np.asarray(ndtr((centre[:, None] - np.log(MULTIPLES)) / 0.7))


def test_blocks_add_up_and_bounds_are_monotone() -> None:
    """The band is never wider than Bonferroni's, and holds the estimate."""
    group, chosen = np.zeros(4, int), np.array([0, 3])
    whole, parts = CurveMeasure(group, 1, chosen), CurveMeasure(group, 1, chosen)
    needs = drawn(5, 96)
    whole.update(needs)
    for first in range(0, 96, 32):
        some = slice(first, first + 32)
        parts.update(AccountNeeds(needs.collateral[:, some], needs.size[:, some]))
    for name, sign in (("collateral", -1), ("size", 1)):
        one, other = getattr(whole, name).finish(0.95), getattr(parts, name).finish(0.95)
        for curve, again in ((one.by_group, other.by_group), (one.by_account, other.by_account)):
            np.testing.assert_allclose(curve.value, again.value, atol=1e-15)
            low, high = curve.interval[..., 0], curve.interval[..., 1]
            assert (low <= curve.value + 1e-12).all()
            assert (curve.value <= high + 1e-12).all()
            for of in (low, curve.value, high):
                assert (sign * np.diff(of, axis=-1) >= -1e-12).all()
        hits = MULTIPLES[:, None] < needs.collateral[0]
        moments = Moments.init(len(MULTIPLES))
        moments.update(hits.astype(float))
        each = exact_probability_interval(
            moments.mean, moments.variance, 96, shared(0.95, len(MULTIPLES))
        )
        widest = one.by_account.interval[0] if sign < 0 else one.by_account.interval[0, ::-1]
        assert (widest[:, 0] >= each[:, 0] - 1e-12).all()
        assert (widest[:, 1] <= each[:, 1] + 1e-12).all()


def test_paths_that_are_not_independent_widen_the_band() -> None:
    measure = CurveMeasure(np.zeros(4, int), 1, np.array([0]))
    measure.update(drawn(6, 200))
    plain = measure.collateral.finish(0.95).by_group.interval
    fewer = measure.collateral.finish(Confidence(0.95, 4.0)).by_group.interval
    inside = slice(11, 22)
    ratio = np.ptp(fewer[0, inside], axis=1) / np.ptp(plain[0, inside], axis=1)
    assert ((ratio > 1.4) & (ratio < 2.1)).all()


@pytest.mark.parametrize(
    ("paths", "repeats"), [(150, 400), pytest.param(1_000, 2_000, marks=pytest.mark.slow)]
)
def test_simultaneous_coverage(paths: int, repeats: int) -> None:
    """All 33 points of a curve lie in its band together in at least 95 of 100 samples."""
    exact = truth()
    missed = np.zeros(2)
    for seed in range(repeats):
        measure = CurveMeasure(np.zeros(4, int), 1, np.array([1]))
        measure.update(drawn(1_000 + seed, paths))
        found = measure.collateral.finish(0.95)
        for place, (band, true) in enumerate(
            ((found.by_account.interval[0], exact[1]), (found.by_group.interval[0], exact.mean(0)))
        ):
            missed[place] += ((true < band[:, 0]) | (true > band[:, 1])).any()
    share = missed / repeats
    # three standard errors of the share itself
    assert (share <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / repeats)).all(), share
