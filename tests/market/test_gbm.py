"""Geometric Brownian motion against its theory, at stated statistical bounds."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import kstest

from stress.engine.block import Schedule
from stress.engine.paths import price_paths
from stress.market.gbm import GeometricBrownianMotion, matrix_product, symmetric_root

PRICE = np.array([100.0, 60_000.0, 0.4])
VOLATILITY = np.array([0.3, 0.8, 1.5])
DRIFT = np.array([0.5, 0.0, -1.0])
CORRELATION = np.array([[1.0, 0.7, -0.3], [0.7, 1.0, 0.2], [-0.3, 0.2, 1.0]])
STEPS = 6
STEP_YEARS = 30 / 365
PATHS = 60_000
SEED = 111
BOUND = 4.5
"""Standard errors: 7 in a million on both sides, some fifty times in this file."""


def build(correlation: np.ndarray = CORRELATION) -> GeometricBrownianMotion:
    return GeometricBrownianMotion.build(
        volatility=VOLATILITY,
        drift=DRIFT,
        correlation=correlation,
        step_years=STEP_YEARS,
        precision="float64",
    )


def simulated(correlation: np.ndarray = CORRELATION) -> np.ndarray:
    """Return (paths, steps + 1, assets) prices."""
    schedule = Schedule(steps=STEPS, block=STEPS, monitoring="step", precision="float64")
    paths = price_paths(
        build(correlation),
        jnp.asarray(PRICE),
        jnp.asarray(SEED, jnp.uint32),
        jnp.arange(PATHS, dtype=jnp.uint32),
        schedule=schedule,
    )
    return np.asarray(paths)


@pytest.fixture(scope="module")
def prices() -> np.ndarray:
    return simulated()


@pytest.fixture(scope="module")
def returns(prices: np.ndarray) -> np.ndarray:
    """Return (paths, steps, assets) log returns of single steps."""
    return np.diff(np.log(prices), axis=1)


class TestConstants:
    def test_mean_and_root(self) -> None:
        """The mean carries the convexity, the root squares to the covariance of a step."""
        model = build()
        np.testing.assert_allclose(model.mean, (DRIFT - VOLATILITY**2 / 2) * STEP_YEARS, rtol=1e-14)
        covariance = VOLATILITY[:, None] * VOLATILITY * CORRELATION * STEP_YEARS
        root = np.asarray(model.covariance_root)
        np.testing.assert_allclose(root @ root.T, covariance, rtol=1e-12)

    @pytest.mark.parametrize("precision", ["float32", "float64"])
    def test_precision(self, precision: str) -> None:
        model = GeometricBrownianMotion.build(
            volatility=VOLATILITY,
            drift=DRIFT,
            correlation=CORRELATION,
            step_years=STEP_YEARS,
            precision=precision,
        )
        assert model.mean.dtype == model.covariance_root.dtype == precision


class TestRoot:
    @pytest.mark.parametrize(
        "correlation",
        [
            np.eye(3),
            CORRELATION,
            np.ones((3, 3)),
            np.array([[1.0, -1.0], [-1.0, 1.0]]),
            np.array([[1.0, 0.6, 0.8], [0.6, 1.0, 0.0], [0.8, 0.0, 1.0]]),
        ],
        ids=["identity", "regular", "all-one", "opposite", "singular"],
    )
    def test_symmetric_and_a_root(self, correlation: np.ndarray) -> None:
        """Singular matrices have one too; Cholesky would fail or choose."""
        root = symmetric_root(correlation)
        np.testing.assert_allclose(root, root.T, atol=1e-15)
        np.testing.assert_allclose(root @ root, correlation, atol=1e-14)
        assert np.linalg.eigvalsh(root).min() > -1e-12

    def test_rounding_below_zero(self) -> None:
        """What the checks of a scenario forgive: an eigenvalue a little below 0."""
        correlation = np.array([[1.0, 1.0 + 1e-9], [1.0 + 1e-9, 1.0]])
        root = symmetric_root(correlation)
        assert np.isfinite(root).all()
        np.testing.assert_allclose(root @ root, correlation, atol=1e-8)

    def test_a_singular_correlation_moves_as_one(self) -> None:
        """Assets that are one asset have one shock, those that are opposites the opposite one."""
        correlation = np.array([[1.0, 1.0, -1.0], [1.0, 1.0, -1.0], [-1.0, -1.0, 1.0]])
        steps = np.diff(np.log(simulated(correlation)[:500]), axis=1)
        mean = (DRIFT - VOLATILITY**2 / 2) * STEP_YEARS
        shocks = (steps - mean) / (VOLATILITY * np.sqrt(STEP_YEARS))
        np.testing.assert_allclose(shocks[..., 1], shocks[..., 0], atol=1e-7)
        np.testing.assert_allclose(shocks[..., 2], -shocks[..., 0], atol=1e-7)


class TestProduct:
    @pytest.mark.parametrize("precision", ["float32", "float64"])
    @pytest.mark.parametrize("size", [1, 4, 17, 32])
    def test_digits_know_no_other_columns(self, size: int, precision: str) -> None:
        """Neither how many there are nor where one stands: what a library's product does not."""
        rng = np.random.default_rng(SEED)
        matrix = jnp.asarray(rng.normal(size=(size, size)), precision)
        columns = rng.normal(size=(size, 300)).astype(precision)
        product = jax.jit(matrix_product)
        together = np.asarray(product(matrix, jnp.asarray(columns)))
        np.testing.assert_allclose(
            together, np.asarray(matrix) @ columns, atol=1e-5 if precision == "float32" else 1e-13
        )
        for width in (1, 3, 16, 64):
            for first in (0, 5):
                part = slice(first, first + width)
                alone = product(matrix, jnp.asarray(columns[:, part]))
                np.testing.assert_array_equal(alone, together[:, part])

    def test_many_assets(self) -> None:
        """Those that a library multiplies; in full precision."""
        rng = np.random.default_rng(SEED)
        matrix, columns = rng.normal(size=(50, 50)), rng.normal(size=(50, 64))
        found = matrix_product(jnp.asarray(matrix), jnp.asarray(columns))
        np.testing.assert_allclose(found, matrix @ columns, atol=1e-12)


def test_any_number_of_paths_at_a_time() -> None:
    """A path's prices are the same digits whether it is simulated alone or with any others."""
    schedule = Schedule(steps=STEPS, block=4, monitoring="step", precision="float32")
    model = jax.tree.map(lambda numbers: numbers.astype(jnp.float32), build())
    start, seed = jnp.asarray(PRICE, jnp.float32), jnp.asarray(SEED, jnp.uint32)

    def prices(paths: np.ndarray) -> np.ndarray:
        numbers = jnp.asarray(paths, jnp.uint32)
        return np.asarray(price_paths(model, start, seed, numbers, schedule=schedule))

    together = prices(np.arange(200))
    for chosen in (np.array([7]), np.arange(16), np.arange(90)[::-1]):
        np.testing.assert_array_equal(prices(chosen), together[chosen])


class TestReturns:
    def test_mean(self, returns: np.ndarray) -> None:
        expected = (DRIFT - VOLATILITY**2 / 2) * STEP_YEARS
        error = VOLATILITY * np.sqrt(STEP_YEARS / (PATHS * STEPS))
        score = (returns.mean(axis=(0, 1)) - expected) / error
        assert np.abs(score).max() < BOUND

    def test_covariance(self, returns: np.ndarray) -> None:
        """The standard error of a sample covariance is sqrt((s11 s22 + s12^2) / n)."""
        expected = VOLATILITY[:, None] * VOLATILITY * CORRELATION * STEP_YEARS
        found = np.cov(returns.reshape(-1, 3).T)
        spread = np.diag(expected)[:, None] * np.diag(expected) + expected**2
        score = (found - expected) / np.sqrt(spread / (PATHS * STEPS))
        assert np.abs(score).max() < BOUND

    def test_independent_in_time(self, returns: np.ndarray) -> None:
        """No correlation between the steps of any two assets."""
        for lag in (1, 2):
            early = returns[:, :-lag] - returns[:, :-lag].mean(axis=(0, 1))
            late = returns[:, lag:] - returns[:, lag:].mean(axis=(0, 1))
            count = early.shape[0] * early.shape[1]
            together = np.einsum("psa,psb->ab", early, late) / count
            spread = early.std(axis=(0, 1))[:, None] * late.std(axis=(0, 1))
            assert (np.abs(together / spread) * np.sqrt(count)).max() < BOUND

    def test_normal(self, returns: np.ndarray) -> None:
        """Kolmogorov and Smirnov at 1e-5, asset by asset."""
        mean = (DRIFT - VOLATILITY**2 / 2) * STEP_YEARS
        standard = (returns - mean) / (VOLATILITY * np.sqrt(STEP_YEARS))
        for asset in range(3):
            assert kstest(standard[:, 0, asset], "norm").pvalue > 1e-5


class TestPrices:
    def test_start(self, prices: np.ndarray) -> None:
        np.testing.assert_array_equal(prices[:, 0], np.broadcast_to(PRICE, (PATHS, 3)))

    def test_expected_price(self, prices: np.ndarray) -> None:
        """E[S_t] = S_0 exp(drift t) at every step, with the lognormal's standard error."""
        years = STEP_YEARS * np.arange(1, STEPS + 1)[:, None]
        expected = PRICE * np.exp(DRIFT * years)
        error = expected * np.sqrt(np.expm1(VOLATILITY**2 * years) / PATHS)
        score = (prices[:, 1:].mean(axis=0) - expected) / error
        assert np.abs(score).max() < BOUND
