"""Euler contributions against closed forms, the worst paths of a stream, parts by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from stress.measure.attribution import (
    AttributionMeasure,
    Borne,
    Exposure,
    Steps,
    WorstPaths,
    left_out_findings,
    loss_parts,
)
from stress.measure.pathwise import tail_over_paths
from stress.measure.world import Grouping
from stress.stats.confidence import Confidence
from stress.stats.euler import euler_contributions, tail_weights
from stress.stats.tail import tail_size
from stress.types import Floats
from tests.measure.blocks import estimate, random_block, request, some_paths

WEIGHT = np.array([1.0, -0.5, 0.8])
DEVIATION = np.array([0.6, 0.8, 1.2]) / np.sqrt(365.0)
CORRELATION = np.array([[1.0, 0.8, 0.6], [0.8, 1.0, 0.65], [0.6, 0.65, 1.0]])


def gaussian_contributions(level: float) -> Floats:
    """Return what each line of a normal portfolio contributes: ``w_i (S w)_i / s  phi(z) / (1-a)``.

    McNeil, Frey and Embrechts, Quantitative Risk Management (2005), section 6.3.
    """
    covariance = np.outer(DEVIATION, DEVIATION) * CORRELATION
    spread = np.sqrt(WEIGHT @ covariance @ WEIGHT)
    return WEIGHT * (covariance @ WEIGHT) / spread * norm.pdf(norm.ppf(level)) / (1 - level)


def worst_of(losses: Floats, level: float, confidence: float) -> Floats:
    """Return the (kept, parts) worst of (paths, parts) losses, the worst first."""
    keep = tail_size(len(losses), level, confidence)
    return losses[np.argsort(-losses.sum(axis=1), kind="stable")[:keep]]


def shortfall(total: Floats, level: float, confidence: float = 0.95) -> tuple[float, Floats]:
    _, found = tail_over_paths(total, (level,), confidence)
    return float(found.value[0]), found.interval[0]


def test_the_closed_form_is_that_of_a_known_case() -> None:
    np.testing.assert_allclose(
        gaussian_contributions(0.99), [0.06409515, -0.03514251, 0.12699227], atol=5e-9
    )


def test_a_normal_portfolio() -> None:
    """The intervals of a linear portfolio cover the closed form as often as they should."""
    level, confidence, paths = 0.95, 0.95, 2_000
    exact, root = gaussian_contributions(level), np.linalg.cholesky(CORRELATION)
    covered, sums = np.zeros(3), np.zeros(3)
    for seed in range(200):
        normals = np.random.default_rng(seed).standard_normal((paths, 3))
        losses = (normals @ root.T) * DEVIATION * WEIGHT
        worst = worst_of(losses, level, confidence)
        value, bounds = euler_contributions(worst, paths, level, confidence)
        assert value.sum() == pytest.approx(shortfall(losses.sum(axis=1), level)[0], rel=1e-12)
        covered += (bounds[:, 0] <= exact) & (exact <= bounds[:, 1])
        sums += value
    # of 200 at 95 percent fewer than 180 come once in a thousand times
    assert (covered >= 180).all(), covered
    # the bias of so many paths is far below the error of one estimate
    np.testing.assert_allclose(sums / 200, exact, rtol=0.01)


def test_one_part_has_the_interval_of_the_expected_shortfall() -> None:
    losses = np.random.default_rng(1).standard_t(5, size=5_000)
    worst = worst_of(losses[:, None], 0.97, 0.95)
    value, bounds = euler_contributions(worst, 5_000, 0.97, 0.95)
    whole, interval = shortfall(losses, 0.97)
    assert value[0] == pytest.approx(whole, rel=1e-12)
    # the quantile stands for the mean of the paths around it
    np.testing.assert_allclose(bounds[0], interval, rtol=0.01)


@given(st.integers(1, 400), st.sampled_from([0.5, 0.8, 0.95, 0.99, 1 / 3]))
def test_weights_are_those_of_the_expected_shortfall(paths: int, level: float) -> None:
    losses = np.random.default_rng(paths).exponential(size=paths)
    weights = tail_weights(paths, level)
    assert weights.sum() == pytest.approx(1.0)
    assert weights.min() >= -1e-12
    worst = np.sort(losses)[::-1][: len(weights)]
    assert weights @ worst == pytest.approx(shortfall(losses, level)[0], rel=1e-9)


def test_what_few_paths_say_has_no_interval() -> None:
    losses = np.zeros((1_000, 2))
    losses[:, 0] = np.arange(1_000)[::-1]
    losses[:4, 1] = 1.0
    _, bounds = euler_contributions(losses[:100], 1_000, 0.95, 0.95)
    assert np.isfinite(bounds[0]).all()
    assert np.isnan(bounds[1]).all()
    _, bounds = euler_contributions(losses[:100], 1_000, 0.99, 0.95)
    np.testing.assert_array_equal(bounds[0], [-np.inf, np.inf])


def test_a_design_effect_widens_intervals() -> None:
    losses = np.random.default_rng(2).exponential(size=(2_000, 2))
    narrow, wide = (
        euler_contributions(worst_of(losses, 0.9, confidence), 2_000, 0.9, confidence)[1]
        for confidence in (0.95, Confidence(0.95, 4.0))
    )
    assert (np.ptp(wide, axis=1) > 1.8 * np.ptp(narrow, axis=1)).all()


def _fed(total: Floats, parts: Floats, sizes: list[int], keep: int) -> WorstPaths:
    worst, first = WorstPaths(len(parts), keep), 0
    for size in sizes:
        some = slice(first, first + size)
        steps = np.where(total[None, some] > 1.0, 3, -1)
        worst.update(total[some], first, lambda rows, some=some: parts[rows, some], steps)
        first += size
    return worst


@pytest.mark.parametrize("keep", [1, 7, 60])
def test_the_worst_paths_do_not_depend_on_blocks(keep: int) -> None:
    generator = np.random.default_rng(keep)
    # many ties: the smaller number stays
    total = np.round(generator.exponential(size=60), 1)
    parts = generator.random((5, 60))
    order = np.lexsort((np.arange(60), -total))[:keep]
    for sizes in ([60], [1] * 60, [13, 40, 7]):
        number, kept, found, steps = _fed(total, parts, sizes, keep).finish()
        np.testing.assert_array_equal(number, order)
        np.testing.assert_array_equal(kept, total[order])
        np.testing.assert_array_equal(found, parts[:, order].T)
        assert [len(of.pool) for of in steps] == list((total[order] > 1.0).astype(int))


def test_worst_paths_merge() -> None:
    generator = np.random.default_rng(5)
    total, parts = generator.exponential(size=40), generator.random((3, 40))
    whole = _fed(total, parts, [40], 6).finish()
    one = _fed(total[:25], parts[:, :25], [25], 6)
    one.merge(_fed(total[25:], parts[:, 25:], [15], 6), 25)
    merged = one.finish()
    for known, found in zip(whole[:3], merged[:3], strict=True):
        np.testing.assert_array_equal(found, known)


def test_parts_by_hand() -> None:
    """One bankrupt account with 100 of its own loses 130 to prices and 4 to fees: 34 too many.

    Without impact prices take 90 and fees are 2. The fund pays 20, winners 10, nobody 4.
    """
    own = Borne(*(np.array([amount]) for amount in (100.0, 4.0, 20.0, 10.0, 4.0)))
    calm = Borne(*(np.array([amount]) for amount in (92.0, 2.0, 0.0, 0.0, 0.0)))
    np.testing.assert_allclose(loss_parts(own, calm)[:, 0], [90, 40, 4, -20, -10, -4])


GROUPING = Grouping(np.array([0, 1, 1, 0]), 2, np.array([True, True, True, False]))


def _random(seed: int, paths: int) -> AttributionMeasure:
    """Return the measure of random blocks, in two pieces that are merged."""
    asked = request(paths)
    one, other = AttributionMeasure(GROUPING, asked), AttributionMeasure(GROUPING, asked)
    own, calm, fees = random_block(seed, 4, paths), random_block(seed + 1, 4, paths), np.ones(paths)
    for measure, some in ((one, slice(0, 30)), (other, slice(30, paths))):
        part = some_paths(own, some)
        measure.update(part, fees[some], (some_paths(calm, some), 2 * fees[some]))
    one.merge(other)
    return one


def test_the_parts_add_up_on_every_path() -> None:
    own, calm = random_block(3, 4, 50), random_block(4, 4, 50)
    exists, fees = GROUPING.exists, np.linspace(0, 5, 50)
    parts = loss_parts(Borne.of(own, fees, exists), Borne.of(calm, 2 * fees, exists))
    np.testing.assert_allclose(parts.sum(axis=0), own.total_loss(exists), rtol=0, atol=1e-12 * 1e4)


def test_a_measure_in_pieces() -> None:
    paths = 70
    found = _random(3, paths).finish()
    own = random_block(3, 4, paths)
    total = own.total_loss(GROUPING.exists)
    loss = np.where(GROUPING.exists[:, None], np.maximum(own.loss, 0), 0)
    order = np.argsort(-total, kind="stable")
    account = estimate(found, "attribution", "account_contribution")
    assert np.isnan(account.value[3]).all()
    for place, level in enumerate((0.5, 0.9)):
        weights = tail_weights(paths, level)
        expected = weights @ loss[:, order[: len(weights)]].T
        np.testing.assert_allclose(account.value[:3, place], expected[:3], rtol=1e-12)
        group = estimate(found, "attribution", "group_contribution").value[:, place]
        np.testing.assert_allclose(group, [expected[0], expected[1] + expected[2]], rtol=1e-12)
        assert group.sum() == pytest.approx(shortfall(total, level)[0], rel=1e-12)
    parts = estimate(found, "attribution", "loss_part")
    assert parts.value.sum() == pytest.approx(total.mean(), rel=1e-12)
    assert parts.value[2] == pytest.approx(1.0)


def test_large_books_are_told_apart_by_group() -> None:
    paths = 70
    own, asked = random_block(3, 4, paths), request(paths)
    small, large = AttributionMeasure(GROUPING, asked), AttributionMeasure(GROUPING, asked, cells=9)
    for measure in (small, large):
        measure.update(own, np.zeros(paths))
    assert not large.by_account
    assert "account_contribution" not in large.finish()["attribution"]
    one, other = (
        estimate(measure.finish(), "attribution", "group_contribution")
        for measure in (small, large)
    )
    np.testing.assert_allclose(other.value, one.value, rtol=1e-12)
    np.testing.assert_allclose(other.interval, one.interval, rtol=1e-9)


def test_what_is_lost_by_asset() -> None:
    """Two accounts: a long of two assets, closed at step 1, and a short with coins, that gains.

    Until step 1 the first loses 2 * 10 on the one and gains 3 * 1 on the other.
    """
    exposure = Exposure(
        account=np.array([0, 0, 1, 1]),
        asset=np.array([0, 1, 0, 1]),
        quantity=np.array([2.0, 3.0, -4.0, 5.0]),
        pool=np.array([0, 0, 1, -1]),
    )
    prices = np.array([[100.0, 10.0], [90.0, 11.0], [70.0, 20.0]])
    steps = Steps(np.array([0, 7]), np.array([1, 0]))
    first, both = np.array([True, False]), np.array([True, True])
    np.testing.assert_allclose(exposure.lost(prices, steps, first), [20.0, -3.0])
    np.testing.assert_allclose(exposure.lost(prices, steps, both), [20.0 - 120.0, -3.0 - 50.0])


def test_left_out_by_hand() -> None:
    others = np.array([[10.0, 20.0, 30.0], [0.0, 0.0, 0.0]])
    without = np.array([[9.0, 16.0, 29.0], [0.0, 0.0, 0.0]])
    found = left_out_findings(others, without, 0.95)
    importance = estimate(found, "attribution", "systemic_importance")
    assert importance.value[0] == pytest.approx(2.0)
    half = 1.959964 * np.sqrt(3.0) / np.sqrt(3.0)
    np.testing.assert_allclose(importance.interval[0], [2 - half, 2 + half], rtol=1e-6)
    share = estimate(found, "attribution", "systemic_share")
    assert share.value[0] == pytest.approx(0.1)
    # of 1 - 1, 4 - 2, 1 - 3 the sample variance is 4
    half = 1.959964 * np.sqrt(4.0 / 3.0) / 20
    np.testing.assert_allclose(share.interval[0], [0.1 - half, 0.1 + half], rtol=1e-6)
    assert np.isnan(share.value[1])
