"""Student t returns: the law of the mixing variable, and one draw of it for all assets of a bar."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import chi2, kstest

from stress.keys import MODEL, path_keys
from stress.market import Inside, VaryingInside
from stress.market.gbm import GeometricBrownianMotion
from stress.market.mixing import Mixing, fine_uniform
from stress.market.student_t import StudentT
from tests.market.states import stepped

VOLATILITY = np.array([0.3, 0.8, 1.5])
DRIFT = np.array([0.5, 0.0, -1.0])
CORRELATION = np.array([[1.0, 0.7, -0.3], [0.7, 1.0, 0.2], [-0.3, 0.2, 1.0]])
STEP_YEARS = 1 / 365
STEPS, BAR, PATHS = 6, 3, 1_000
BOUND = 4.5
COMMON: dict[str, Any] = {
    "volatility": VOLATILITY,
    "drift": DRIFT,
    "correlation": CORRELATION,
    "step_years": STEP_YEARS,
}


def build(degrees_of_freedom: float = 4.0, **changes: Any) -> StudentT:
    numbers = {**COMMON, "bar_steps": BAR, "precision": "float64", **changes}
    return StudentT.build(degrees_of_freedom=degrees_of_freedom, **numbers)


def keys(count: int, seed: int = 5) -> jax.Array:
    return path_keys(jnp.asarray(seed, jnp.uint32), MODEL, jnp.arange(count, dtype=jnp.uint32))


class TestMixing:
    @pytest.mark.parametrize("freedom", [2.01, 2.5, 4.0, 10.0, 1e3, 1e6])
    def test_table(self, freedom: float) -> None:
        """Between two points: within 4e-5 of W, by the distribution function itself."""
        table = np.asarray(
            Mixing.build(degrees_of_freedom=freedom, precision="float64").log_quantile
        )
        assert (np.diff(table) > 0).all()
        coordinate = np.linspace(-23, 23, len(table))
        middle = (coordinate[1:] + coordinate[:-1]) / 2
        value = (freedom - 2) / np.exp((table[1:] + table[:-1]) / 2)
        tail = np.exp(-np.abs(middle)) / 2
        # where chi-squared is small W is large
        found = np.where(middle > 0, chi2.cdf(value, freedom), chi2.sf(value, freedom))
        # a step of the coordinate is one of the tail's logarithm
        away = np.abs(np.log(found / tail)) * np.diff(table) / np.diff(coordinate)
        assert away.max() < 4e-5

    @pytest.mark.parametrize("freedom", [2.5, 4.0, 100.0])
    def test_draws(self, freedom: float) -> None:
        """Kolmogorov and Smirnov at 1e-5; both tails, of one in two thousand."""
        count = 200_000
        mixing = Mixing.build(degrees_of_freedom=freedom, precision="float64")
        variable = (freedom - 2) / np.asarray(mixing.draw(keys(count)))
        assert kstest(variable, chi2(freedom).cdf).pvalue > 1e-5
        for probability in (5e-4, 1 - 5e-4):
            below = np.mean(variable < chi2.ppf(probability, freedom))
            error = np.sqrt(5e-4 / count)
            assert abs(below - probability) < 4 * error

    def test_precision(self) -> None:
        """The draws of both precisions are the same numbers, but for rounding."""
        single, double = (
            Mixing.build(degrees_of_freedom=3.0, precision=precision).draw(keys(1_000))
            for precision in ("float32", "float64")
        )
        assert (single.dtype, double.dtype) == (jnp.float32, jnp.float64)
        np.testing.assert_allclose(single, double, rtol=3e-6)

    def test_uniforms_are_never_zero(self) -> None:
        """And finer near zero than a float32 uniform of 23 bits."""
        drawn = np.asarray(fine_uniform(keys(1)[0], (4_000_000,)))
        assert drawn.dtype == np.float32
        assert 0 < drawn.min() < 1e-6
        assert drawn.max() <= 1
        small = drawn[drawn < 1e-4]
        assert len(np.unique(small)) > 0.99 * len(small)
        assert kstest(drawn[:200_000], "uniform").pvalue > 1e-5


class TestModel:
    def test_constants(self) -> None:
        model = build()
        np.testing.assert_allclose(model.mean, (DRIFT - VOLATILITY**2 / 2) * STEP_YEARS, rtol=1e-14)
        covariance = VOLATILITY[:, None] * VOLATILITY * CORRELATION * STEP_YEARS
        root = np.asarray(model.covariance_root)
        np.testing.assert_allclose(root @ root.T, covariance, rtol=1e-12)
        assert model.assets == 3
        assert build(precision="float32").mean.dtype == jnp.float32

    def test_one_draw_a_bar_for_all_assets(self) -> None:
        """What is not the mean is a normal shock times one number a path and bar."""
        model = build()
        states, returns, normals = stepped(model, steps=STEPS, paths=PATHS, seed=3)
        shock = np.einsum("ab,sbp->sap", model.covariance_root, normals)
        scale = (np.asarray(returns) - np.asarray(model.mean)[:, None]) / shock
        np.testing.assert_allclose(
            scale, np.sqrt(np.asarray(states.mixing))[:, None] * np.ones((3, 1)), rtol=1e-8
        )
        bars = np.asarray(states.mixing).reshape(-1, BAR, PATHS)
        assert (bars == bars[:, :1]).all()
        ranks = bars[:, 0].argsort(axis=1).argsort(axis=1)
        assert abs(np.corrcoef(ranks)[0, 1]) < BOUND / np.sqrt(PATHS)
        assert len(np.unique(bars[:, 0])) == 2 * PATHS

    def test_inside(self) -> None:
        """The root squares to W times the covariance; nothing jumps."""
        model = build()
        assert isinstance(model, VaryingInside)
        states, _, _ = stepped(model, steps=STEPS, paths=PATHS, seed=3)
        last = jax.tree.map(lambda leaf: leaf[-1], states)
        inside = model.inside(last)
        assert isinstance(inside, Inside)
        found = np.einsum("abp,cbp->pac", inside.root, inside.root)
        covariance = VOLATILITY[:, None] * VOLATILITY * CORRELATION * STEP_YEARS
        expected = np.asarray(last.mixing)[:, None, None] * covariance
        np.testing.assert_allclose(found, expected, rtol=1e-10)
        np.testing.assert_array_equal(inside.jump, np.zeros((3, 1)))

    def test_many_degrees_of_freedom_are_a_brownian_motion(self) -> None:
        """Step by step, since the normals are the same."""
        _, found, _ = stepped(build(1e6), steps=STEPS, paths=PATHS, seed=3)
        gbm = GeometricBrownianMotion.build(**COMMON, precision="float64")
        _, expected, _ = stepped(gbm, steps=STEPS, paths=PATHS, seed=3)
        mean = np.asarray(gbm.mean)[:, None]
        np.testing.assert_allclose(np.asarray(found) - mean, np.asarray(expected) - mean, rtol=5e-3)
