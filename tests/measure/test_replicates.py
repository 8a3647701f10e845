"""Replicates of independent paths are worth what plain paths are: their ratio is 1."""

from __future__ import annotations

import numpy as np
import pytest

from stress.measure.block import AccountBlock
from stress.measure.replicates import QUANTITIES, PlainMoments, ReplicateMeasure
from stress.measure.world import Grouping, WorldMeasure
from tests.measure.blocks import block, request

ACCOUNTS, PATHS = 12, 512


def some_paths(random: np.random.Generator, paths: int) -> AccountBlock:
    """Return accounts that fall together: one factor a path and one an account."""
    factor = random.normal(size=paths) + random.normal(size=(ACCOUNTS, paths))
    fallen = factor > np.linspace(-0.5, 1.5, ACCOUNTS)[:, None]
    return block(np.where(fallen, 3, -1), np.where(fallen, 100.0, -5.0) * (1 + factor**2))


@pytest.fixture(scope="module")
def plain() -> PlainMoments:
    exists = np.ones(ACCOUNTS, bool)
    grouping = Grouping(np.zeros(ACCOUNTS, int), 1, exists)
    world = WorldMeasure(grouping, 1, request(20_480))
    random = np.random.default_rng(0)
    for _ in range(10):
        world.update(some_paths(random, 2_048))
    return PlainMoments.of(world, 0.9)


def measured(plain: PlainMoments, seed: int, size: int) -> ReplicateMeasure:
    random = np.random.default_rng(seed)
    found = ReplicateMeasure(plain, size, keeps_accounts=size > 2)
    for _ in range(PATHS // 128):
        found.update(some_paths(random, 128))
    return found


@pytest.mark.parametrize("size", [2, 32])
def test_ratios_of_independent_paths_are_one(plain: PlainMoments, size: int) -> None:
    covered, median, counted = np.zeros(len(QUANTITIES)), 0, np.ones(ACCOUNTS, bool)
    for seed in range(100):
        found = measured(plain, seed, size)
        ratios, middle = found.book_ratios(0.95), found.median_ratio(counted, 0.95)
        covered += (ratios.interval[:, 0] < 1) & (ratios.interval[:, 1] > 1)
        median += int(middle.interval[0] < 1 < middle.interval[1])
    # of 100 at 95 percent fewer than 86 come once in ten thousand times
    assert (covered >= 86).all(), covered
    assert median >= 86


def test_means_are_those_of_the_paths(plain: PlainMoments) -> None:
    found, random = measured(plain, 5, 32), np.random.default_rng(5)
    whole = [some_paths(random, 128) for _ in range(PATHS // 128)]
    hits = np.concatenate([of.hit for of in whole], axis=1)
    total = np.concatenate([of.total_loss(plain.exists) for of in whole])
    beyond = plain.quantile + np.maximum(total - plain.quantile, 0) / 0.1
    expected = [hits.mean(), hits.any(axis=0).mean(), total.mean(), beyond.mean()]
    np.testing.assert_allclose(found.book.means.mean, expected)
    np.testing.assert_allclose(found.account.means.mean, hits.mean(axis=1))


def test_the_plain_side_is_that_of_the_world(plain: PlainMoments) -> None:
    """With its own quantile the mean beyond it is the expected shortfall itself."""
    random = np.random.default_rng(0)
    whole = [some_paths(random, 2_048) for _ in range(10)]
    total = np.concatenate([of.total_loss(plain.exists) for of in whole])
    worst = np.sort(total)[::-1][:2_048]
    assert plain.book_mean[3] == pytest.approx(worst.mean(), rel=1e-9)
    assert plain.book_variance[2] == pytest.approx(total.var(ddof=1))
    assert plain.paths == 20_480


def test_no_account_counts(plain: PlainMoments) -> None:
    found = measured(plain, 1, 32)
    nobody = found.median_ratio(np.zeros(ACCOUNTS, bool), 0.95)
    assert np.isnan(nobody.value)
    assert np.isnan(nobody.interval).all()
