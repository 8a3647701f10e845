"""Filtered historical simulation against a plain twin, and the filter against its recursion."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from stress.calibrate.filter import filtered, settled_constant
from stress.engine.block import Schedule
from stress.engine.paths import price_paths
from stress.errors import InputError
from stress.market.resampled import drawn_rows
from stress.runner.resampling import resampling_source
from tests.market.histories import clock, history, market

SEED = 9
BARS, PATHS = 12, 64
RETURNS = (
    np.random.default_rng(11).standard_t(5, (400, 2))
    * 0.02
    * np.exp(0.4 * np.sin(np.arange(400) / 15))[:, None]
)
WEIGHTS = {
    "alpha": {"A": 0.05, "B": 0.1},
    "gamma": {"A": 0.04, "B": 0.0},
    "beta": {"A": 0.9, "B": 0.8},
}
ALPHA, GAMMA, BETA = (np.array(list(each.values())) for each in WEIGHTS.values())
VARIANCE = 0.6**2 / 365


def found_rows() -> Any:
    return filtered(RETURNS, variance=np.full(2, VARIANCE), alpha=ALPHA, gamma=GAMMA, beta=BETA)


class TestFilter:
    def test_against_a_loop(self) -> None:
        """The residuals are returns over the recursion's deviation, which leaves variance 1."""
        found = found_rows()
        shocks = RETURNS - RETURNS.mean(axis=0)
        constant = settled_constant(shocks, ALPHA, GAMMA, BETA)
        variance, raw = np.mean(shocks**2, axis=0), []
        for shock in shocks:
            raw.append(shock / np.sqrt(variance))
            weight = ALPHA + GAMMA * (shock < 0)
            variance = constant + weight * shock**2 + BETA * variance
        raw_array = np.array(raw)
        np.testing.assert_allclose((raw_array**2).mean(axis=0), 1.0, rtol=1e-9)
        expected = (raw_array - raw_array.mean(axis=0)) / raw_array.std(axis=0)
        np.testing.assert_allclose(found.residuals, expected, atol=1e-10)
        np.testing.assert_allclose(found.latest, variance, rtol=1e-10)

    @pytest.mark.parametrize("stated", [0.3, 1.0, 3.0])
    def test_the_level_is_that_of_the_day(self, stated: float) -> None:
        """Whatever mean variance the market states, the filter finds what made the history."""
        random = np.random.default_rng(5)
        omega, alpha, beta = 4e-6, 0.05, 0.94
        truth, returns = omega / 0.01, []
        for normal in random.standard_normal(3_000):
            returns.append(np.sqrt(truth) * normal)
            truth = omega + alpha * returns[-1] ** 2 + beta * truth
        found = filtered(
            np.array(returns)[:, None],
            variance=np.array([stated * omega / 0.01]),
            alpha=np.array([alpha]),
            gamma=np.array([0.0]),
            beta=np.array([beta]),
        )
        np.testing.assert_allclose(found.latest, truth, rtol=0.05)

    def test_moments(self) -> None:
        residuals = found_rows().residuals
        np.testing.assert_allclose(residuals.mean(axis=0), 0.0, atol=1e-14)
        np.testing.assert_allclose(residuals.var(axis=0), 1.0, rtol=1e-13)

    def test_the_recursion_on_its_residuals_has_the_stated_variance(self) -> None:
        """E[h] = omega + (alpha + gamma k + beta) E[h], k the residuals' own."""
        found = found_rows()
        below = np.where(found.residuals < 0, found.residuals**2, 0).mean(axis=0)
        mean = found.omega / (1 - ALPHA - GAMMA * below - BETA)
        np.testing.assert_allclose(mean, VARIANCE, rtol=1e-6)

    def test_a_beta_too_large_is_lowered(self) -> None:
        """Nearly all of the second moment is below zero: gamma counts nearly whole."""
        found = filtered(
            crashes(),
            variance=np.array([VARIANCE]),
            alpha=np.array([0.01]),
            gamma=np.array([0.3]),
            beta=np.array([0.83]),
        )
        below = np.where(found.residuals < 0, found.residuals**2, 0).mean(axis=0)
        np.testing.assert_allclose(0.01 + 0.3 * below + found.beta, 0.999, rtol=1e-6)
        assert found.beta[0] < 0.75
        mean = found.omega / (1 - 0.01 - 0.3 * below - found.beta)
        np.testing.assert_allclose(mean, VARIANCE, rtol=1e-3)

    def test_what_has_no_mean_is_refused(self) -> None:
        with pytest.raises(ValueError, match=r"must be below 0\.999"):
            filtered(
                crashes(),
                variance=np.array([VARIANCE]),
                alpha=np.array([0.1]),
                gamma=np.array([1.0]),
                beta=np.array([0.0]),
            )


def crashes() -> Any:
    """Return returns of which every fortieth is a crash, and the others nothing."""
    crash = np.full((400, 1), 0.001)
    crash[::40] = -0.3
    return crash


class TestModel:
    @pytest.mark.parametrize(("step", "bar_steps"), [("1d", 1), ("6h", 4)])
    def test_against_a_twin(self, step: str, bar_steps: int) -> None:
        """Bar by bar and path by path in plain NumPy; bars are sums of their steps."""
        source = resampling_source(
            market("filtered-historical", block=2.0, **WEIGHTS),
            clock(step, steps=BARS * bar_steps),
            history(RETURNS),
        )
        numbers, seed = jnp.arange(PATHS, dtype=jnp.uint32), jnp.asarray(SEED, jnp.uint32)
        steps = BARS * bar_steps
        schedule = Schedule(steps=steps, block=steps, monitoring="step", precision="float64")
        prices = price_paths(source.model, jnp.ones(2), seed, numbers, schedule=schedule)
        moved = np.diff(np.log(np.asarray(prices)), axis=1)
        moved = moved.reshape(PATHS, BARS, bar_steps, 2).sum(axis=2)
        assert source.draw is not None
        rows = np.asarray(drawn_rows(source.draw, seed, numbers, bars=BARS, bar_steps=bar_steps))
        found = found_rows()
        for path in range(PATHS):
            variance = found.latest
            for bar in range(BARS):
                shock = np.sqrt(variance) * found.residuals[rows[bar, path]]
                np.testing.assert_allclose(moved[path, bar], shock - VARIANCE / 2, atol=1e-12)
                weight = ALPHA + GAMMA * (shock < 0)
                variance = found.omega + weight * shock**2 + BETA * variance

    def test_the_first_volatility_may_be_stated(self) -> None:
        source = resampling_source(
            market("filtered-historical", initial_volatility={"B": 1.2}, **WEIGHTS),
            clock("6h"),
            history(RETURNS),
        )
        expected = [found_rows().latest[0], 1.2**2 / 365]
        np.testing.assert_allclose(source.model.initial, expected, rtol=1e-12)
        # and with it the typical root of a step, by the correlation of residuals
        root = np.asarray(source.model.covariance_root)
        correlation = np.corrcoef(found_rows().residuals.T)
        spread = np.sqrt(expected) / 2
        np.testing.assert_allclose(
            root @ root.T, spread[:, None] * correlation * spread, rtol=1e-10
        )

    def test_the_variance_inside_a_bar_is_that_of_the_path(self) -> None:
        source = resampling_source(
            market("filtered-historical", **WEIGHTS), clock("6h"), history(RETURNS)
        )
        state = source.model.init(jnp.arange(3, dtype=jnp.uint32))
        state = state._replace(variance=jnp.asarray([[1e-4, 4e-4, 9e-4]] * 2))
        root, jump = source.model.inside(state)
        for path, variance in enumerate([1e-4, 4e-4, 9e-4]):
            one = np.asarray(root[:, :, path])
            np.testing.assert_allclose(np.diag(one @ one.T), variance / 4, rtol=1e-12)
        assert not np.asarray(jump).any()

    def test_weights_that_explode_are_lowered_and_said(self) -> None:
        weights = {"alpha": {"A": 0.01}, "gamma": {"A": 0.3}, "beta": {"A": 0.83}}
        source = resampling_source(
            market("filtered-historical", 1, **weights), clock(), history(crashes())
        )
        assert any(one.startswith("beta is lowered") for one in source.notices)

    def test_weights_that_explode_whatever_beta_name_their_table(self) -> None:
        weights = {"alpha": {"A": 0.1}, "gamma": {"A": 1.0}, "beta": {"A": 0.0}}
        with pytest.raises(InputError, match=r"market\.filtered-historical"):
            resampling_source(
                market("filtered-historical", 1, **weights), clock(), history(crashes())
            )
