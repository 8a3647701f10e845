"""Stylised facts of series whose facts are known."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.integrate import quad
from scipy.stats import norm

from stress.stats.blocks import block_rows
from stress.stats.facts import (
    LAGS,
    LEVELS,
    ROLLING,
    absolute_autocorrelation,
    block_length,
    co_exceedance,
    facts,
    history_samples,
    percentiles,
    rolling_volatility,
    worst_falls,
)

Floats = NDArray[np.float64]


def autoregressive(rng: np.random.Generator, size: int, weight: float) -> Floats:
    """Return positive numbers, the exponentials of a normal AR(1) of unit variance, (size,)."""
    level = np.empty(size)
    level[0] = rng.standard_normal()
    shocks = rng.standard_normal(size) * np.sqrt(1 - weight**2)
    for place in range(1, size):
        level[place] = weight * level[place - 1] + shocks[place]
    return np.exp(level)


def joint_tail(correlation: float, share: float) -> float:
    """Return P(X < q, Y < q) / share of a bivariate normal by quadrature."""
    bound = norm.ppf(share)
    root = np.sqrt(1 - correlation**2)

    def density(x: float) -> float:
        return float(norm.pdf(x) * norm.cdf((bound - correlation * x) / root))

    return quad(density, -12, bound, epsabs=1e-13)[0] / share


class TestAutocorrelation:
    def test_of_lognormal_volatility(self) -> None:
        """Signs do not matter: |r| = exp(AR(1)) has corr (e^(w^k) - 1) / (e - 1) at lag k."""
        rng = np.random.default_rng(1)
        weight, size = 0.9, 400_000
        sizes = np.stack([autoregressive(rng, size, weight) for _ in range(2)], axis=1)
        returns = sizes * rng.choice([-1.0, 1.0], sizes.shape)
        found = absolute_autocorrelation(returns, 20).mean(axis=-1)
        lags = np.arange(1, 21)
        expected = (np.exp(weight**lags) - 1) / (np.e - 1)
        np.testing.assert_allclose(found, expected, atol=0.03)

    def test_of_a_period(self) -> None:
        """A square wave of period 4: by hand, without the factor (n - k) / n of missing ends."""
        returns = np.tile([2.0, 2.0, 1.0, 1.0], 50)[:, None]
        found = absolute_autocorrelation(returns, 4)[:, 0]
        size = np.array([199, 198, 197, 196])
        np.testing.assert_allclose(found, [1 / 200, -198 / 200, -1 / 200, 196 / 200], atol=1e-12)
        assert (np.abs(found) <= size / 200 + 1e-12).all()

    def test_independent_bars_have_none(self) -> None:
        returns = np.random.default_rng(2).standard_normal((100, 2_000, 3))
        found = facts(returns, np.ones(3)).autocorrelation
        error = np.sqrt(1 / (2_000 * 300))
        assert found.shape == (100, LAGS)
        # the estimate of a mean costs -1 / n
        assert np.abs(found.mean(axis=0) + 1 / 2_000).max() < 4 * error


class TestCoExceedance:
    @pytest.mark.parametrize("correlation", [0.0, 0.5, 0.9])
    def test_of_a_bivariate_normal(self, correlation: float) -> None:
        rng = np.random.default_rng(3)
        matrix = [[1, correlation], [correlation, 1]]
        returns = rng.multivariate_normal([0, 0], matrix, (20, 20_000))
        found = co_exceedance(returns, 0.05)
        expected = joint_tail(correlation, 0.05)
        error = np.sqrt(expected / (0.05 * 400_000))
        np.testing.assert_allclose(found.mean(axis=0), expected, atol=5 * error)

    def test_as_one_and_against_each_other(self) -> None:
        one = np.random.default_rng(4).standard_normal((500, 1))
        np.testing.assert_array_equal(co_exceedance(np.hstack([one, one, one]), 0.05), [1.0, 1.0])
        np.testing.assert_array_equal(co_exceedance(np.hstack([one, -one]), 0.05), [0.0, 0.0])

    def test_mean_over_pairs(self) -> None:
        """Two assets as one and a third against both: one pair of three."""
        one = np.random.default_rng(5).standard_normal((500, 1))
        found = co_exceedance(np.hstack([one, one, -one]), 0.05)
        np.testing.assert_allclose(found, 1 / 3)

    def test_one_asset_has_none(self) -> None:
        assert np.isnan(facts(np.random.default_rng(6).normal(size=(100, 1)), np.ones(1)).judged[3])


class TestOthers:
    def test_quantiles_of_normals(self) -> None:
        rng = np.random.default_rng(7)
        returns = 0.04 * rng.standard_normal((50, 20_000, 2))
        found = facts(returns, np.full(2, 0.04)).quantiles.mean(axis=0)
        np.testing.assert_allclose(found, norm.ppf(LEVELS), atol=0.01)

    def test_rolling_volatility_is_that_of_each_window(self) -> None:
        returns = np.random.default_rng(8).standard_t(3, (3, 90, 2))
        found = rolling_volatility(returns, ROLLING)
        for first in (0, 31, 60):
            expected = returns[:, first : first + ROLLING].std(axis=1, ddof=1)
            np.testing.assert_allclose(found[:, first], expected, rtol=1e-10)
        assert found.shape == (3, 90 - ROLLING + 1, 2)

    def test_worst_falls(self) -> None:
        """By hand; a window that is longer than the history has no fall."""
        returns = np.log1p(np.array([0.1, -0.2, -0.1, 0.05]))[:, None]
        found = worst_falls(returns, (1, 2, 4, 5))[:, 0]
        np.testing.assert_allclose(found[:3], [0.2, 0.28, 1 - 1.1 * 0.8 * 0.9 * 1.05], atol=1e-12)
        assert np.isnan(found[3])

    def test_many_at_once_is_one_by_one(self) -> None:
        returns = np.random.default_rng(9).standard_t(4, (4, 200, 3))
        together = facts(returns, np.ones(3))
        for place in range(4):
            alone = facts(returns[place], np.ones(3))
            for name in alone.__dict__:
                found = getattr(together, name)[place]
                np.testing.assert_allclose(found, getattr(alone, name), rtol=1e-12)


class TestBootstrap:
    def test_rows(self) -> None:
        """Whole blocks of consecutive rows in a circle, every row equally often."""
        random = np.random.default_rng(10)
        rows = np.stack([block_rows(100, 7, random, 1)[0] for _ in range(4_000)])
        assert rows.shape == (4_000, 100)
        inside = np.diff(rows, axis=1)[:, np.arange(99) % 7 != 6]
        assert np.isin(inside, (1, -99)).all()
        counts = np.bincount(rows.ravel(), minlength=100)
        # a row's count is that of 15 blocks a draw, seven rows of each
        assert np.abs(counts / 4_000 - 1).max() < 5 * np.sqrt(7 / 4_000)
        assert block_length(100) == 10

    def test_coverage(self) -> None:
        """90 % intervals of a quantile and of a co-exceedance hold the truth as often as that."""
        rng = np.random.default_rng(11)
        matrix = [[1, 0.6], [0.6, 1]]
        truth = np.array([norm.ppf(0.05), joint_tail(0.6, 0.05)])
        hits = np.zeros(2)
        for number in range(80):
            returns = rng.multivariate_normal([0, 0], matrix, 600)
            low, high = percentiles(history_samples(returns, np.ones(2), 60, number), 0.9)
            place = LEVELS.index(0.05)
            bounds = [
                (low.quantiles[place], high.quantiles[place]),
                (low.co_exceedance[0], high.co_exceedance[0]),
            ]
            hits += [a <= value <= b for (a, b), value in zip(bounds, truth, strict=True)]
        # blocks of two months in 600 bars are few: the bootstrap is known to cover a little less
        assert (hits / 80 > 0.72).all()
        assert (hits / 80 < 0.99).all()

    def test_the_same_seed_gives_the_same(self) -> None:
        returns = np.random.default_rng(12).standard_normal((200, 2))
        one, other = (history_samples(returns, np.ones(2), 20, 5) for _ in range(2))
        np.testing.assert_array_equal(one.autocorrelation, other.autocorrelation)
        np.testing.assert_array_equal(one.quantiles, other.quantiles)
        assert np.isnan(one.worst).all()
