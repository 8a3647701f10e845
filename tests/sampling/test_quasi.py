"""Sobol points in the leading coordinates of a path: the law stays, means converge faster."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest

from stress.measure.replicates import Replicates, variance_ratio
from stress.sampling.quasi import Directions, antithetic_noise, sobol_noise, sobol_normals
from stress.types import Floats

ROOT = np.linalg.cholesky(np.array([[1.0, 0.8, 0.3], [0.8, 1.5, 0.2], [0.3, 0.2, 0.7]]))
STEPS = 20


def walk(normals: Floats) -> Floats:
    """Return (paths, steps) walks of a portfolio of three assets."""
    return (normals @ ROOT.T @ np.array([1.0, -0.4, 0.7])).cumsum(axis=1) / STEPS**0.5


@given(st.integers(1, 40), st.integers(1, 4), st.integers(1, 200), st.integers(0, 99))
def test_the_change_of_coordinates_is_orthogonal(
    steps: int, assets: int, most: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    directions = Directions.of(steps, random.normal(size=(assets, assets)), most)
    assert len(directions) == min(most, steps * assets)
    known = directions.times.shape[1]
    np.testing.assert_allclose(directions.times.T @ directions.times, np.eye(known), atol=1e-12)
    np.testing.assert_allclose(directions.axes.T @ directions.axes, np.eye(assets), atol=1e-12)
    normals = random.normal(size=(3, steps, assets))
    own = directions.coordinates(normals)
    np.testing.assert_allclose(directions.replaced(normals, own), normals, atol=1e-12)
    other = random.normal(size=own.shape)
    changed = directions.replaced(normals, other)
    np.testing.assert_allclose(directions.coordinates(changed), other, atol=1e-12)
    # what is left keeps its size: both parts are at right angles
    np.testing.assert_allclose(
        (changed**2).sum(axis=(1, 2)) - (other**2).sum(axis=1),
        (normals**2).sum(axis=(1, 2)) - (own**2).sum(axis=1),
        atol=1e-9,
    )


def test_the_covariance_of_all_coordinates_is_the_identity() -> None:
    """With every coordinate replaced the normals are an orthogonal matrix times the coordinates."""
    directions = Directions.of(8, ROOT, 24)
    units = directions.replaced(np.zeros((24, 8, 3)), np.eye(24)).reshape(24, 24)
    np.testing.assert_allclose(units @ units.T, np.eye(24), atol=1e-13)
    np.testing.assert_allclose(units.T @ units, np.eye(24), atol=1e-13)


def test_coordinates_stand_by_the_variance_of_the_walk() -> None:
    """The singular values of the walk, from a decomposition that knows no closed form."""
    triangle = np.tril(np.ones((STEPS, STEPS)))
    exact = np.linalg.svd(np.kron(triangle, ROOT), compute_uv=False) ** 2
    directions = Directions.of(STEPS, ROOT, 12)
    units = directions.replaced(np.zeros((12, STEPS, 3)), np.eye(12))
    walks = np.cumsum(units @ ROOT.T, axis=1)
    np.testing.assert_allclose((walks**2).sum(axis=(1, 2)), exact[:12], rtol=1e-10)


def test_normals_are_standard() -> None:
    normals = sobol_normals(4_096, 40, (1, 2))
    assert np.abs(normals.mean(axis=0)).max() < 2e-3
    assert np.abs(normals.var(axis=0) - 1).max() < 5e-3
    for column in normals.T:
        # points of a net are more even than a sample: its distance is far below a sample's
        assert kstest(column, "norm").statistic < 1 / 1_000
    product = normals.T @ normals / len(normals)
    assert np.abs(product - np.eye(40)).max() < 0.05
    assert np.isfinite(sobol_normals(2, 3, (0,))).all()


def test_paths_have_the_law_of_plain_ones() -> None:
    directions = Directions.of(STEPS, ROOT, 30)
    noise = list(sobol_noise(directions, STEPS, seed=3, run=0, replicates=16, points=128))
    normals = np.concatenate([of.normals for of in noise]).astype(float)
    assert normals.shape == (2_048, STEPS, 3)
    flat = normals.reshape(len(normals), -1)
    assert kstest(flat.ravel(), "norm").pvalue > 1e-3
    error = 5 / len(flat) ** 0.5
    assert np.abs(flat.mean(axis=0)).max() < error
    assert np.abs(flat.T @ flat / len(flat) - np.eye(flat.shape[1])).max() < 1.5 * error
    numbers = np.concatenate([of.bridge for of in noise])
    assert len(np.unique(numbers)) == len(numbers)
    for of in noise:
        np.testing.assert_array_equal(of.draws, np.repeat(of.bridge[:, None], STEPS, axis=1))


@pytest.mark.parametrize(("replicates", "points"), [(16, 64), (3, 16), (2, 1_024)])
def test_a_replicate_is_the_same_however_paths_are_bundled(replicates: int, points: int) -> None:
    directions = Directions.of(4, np.eye(2), 5)
    noise = sobol_noise(directions, 4, seed=9, run=1, replicates=replicates, points=points)
    normals = np.concatenate([of.normals for of in noise])
    assert len(normals) == replicates * points
    alone = list(sobol_noise(directions, 4, seed=9, run=1, replicates=1, points=points))
    np.testing.assert_array_equal(np.concatenate([of.normals for of in alone]), normals[:points])
    others = sobol_noise(directions, 4, seed=9, run=0, replicates=1, points=points)
    assert (next(others).normals != normals[: min(points, 512)]).all()


def test_antithetic_pairs_sum_to_zero() -> None:
    noise = list(antithetic_noise(5, 2, seed=4, run=0, paths=1_100))
    normals = np.concatenate([of.normals for of in noise])
    assert normals.shape == (1_100, 5, 2)
    np.testing.assert_array_equal(normals[::2] + normals[1::2], 0.0)
    assert kstest(normals[::2].ravel(), "norm").pvalue > 1e-3


def means(values: Floats, size: int) -> Replicates:
    found = Replicates(size)
    # in blocks, as a run brings them
    for first in range(0, len(values), 64):
        found.update(values[first : first + 64])
    return found


def test_a_smooth_mean_converges_faster() -> None:
    """A call on the average of a walk: from 64 to 1,024 points its variance falls far below 1/n."""
    directions, ratios = Directions.of(STEPS, ROOT, 60), []
    plain = payoff(np.random.default_rng(0).normal(size=(40_000, STEPS, 3)))
    for points in (64, 1_024):
        noise = sobol_noise(directions, STEPS, seed=5, run=0, replicates=16, points=points)
        values = np.concatenate([payoff(of.normals.astype(float)) for of in noise])
        found = means(values, points)
        assert found.means.count == 16
        value, (low, high) = found.finish(0.999).value, found.finish(0.999).interval
        assert low < plain.mean() + 4 * plain.std() / 200
        assert high > plain.mean() - 4 * plain.std() / 200
        assert low < value < high
        ratios.append(plain.var(ddof=1) / (points * found.means.variance))
    assert ratios[0] > 5
    assert ratios[1] > 3 * ratios[0]


def payoff(normals: Floats) -> Floats:
    return np.maximum(walk(normals).mean(axis=1) + 0.1, 0.0)


def test_replicates_in_pieces() -> None:
    values = np.random.default_rng(1).normal(size=(2, 256))
    for size in (2, 64, 128):
        found = Replicates(size, 2)
        for first in range(0, 256, 64):
            found.update(values[:, first : first + 64])
        by_replicate = values.reshape(2, -1, size).mean(axis=2)
        np.testing.assert_allclose(found.means.mean, by_replicate.mean(axis=1))
        np.testing.assert_allclose(found.means.variance, by_replicate.var(axis=1, ddof=1))


def test_the_interval_is_that_of_student() -> None:
    found = Replicates(2)
    found.update(np.array([1.0, 3.0, 4.0, 4.0, 5.0, 7.0]))
    estimate = found.finish(0.95)
    assert estimate.value == pytest.approx(4.0)
    # means 2, 4, 6: 4.302653 standard errors with two degrees of freedom
    half = 4.302653 * 2 / 3**0.5
    np.testing.assert_allclose(estimate.interval, [4 - half, 4 + half], rtol=1e-6)


def test_intervals_of_ratios_cover() -> None:
    """Replicates of 4 independent paths: the ratio is 1."""
    covered, longer = 0, 0
    for seed in range(400):
        random = np.random.default_rng(seed)
        few = random.normal(size=(1, 16)) / 2
        many = random.exponential(size=(1, 2_000))
        low, high = variance_ratio(np.ones(1), few, 4, 0.95).interval[0]
        covered += low <= 1 <= high
        low, high = variance_ratio(np.ones(1), many, 1, 0.95).interval[0]
        longer += low <= 1 <= high
    assert 365 <= covered <= 394
    # heavy tails are known too late: a kurtosis from a sample is too small
    assert longer >= 350


def test_what_does_not_vary_has_no_ratio() -> None:
    found = variance_ratio(np.array([0.0, 1.0]), np.ones((2, 16)), 4, 0.95)
    assert np.isnan(found.value).all()
    assert np.isnan(found.interval).all()
