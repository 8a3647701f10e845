"""The stationary bootstrap against its theory, and the inside of a bar against Brownian bridges."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import kstest

from stress.engine.block import Schedule
from stress.engine.paths import price_paths
from stress.keys import MODEL, path_keys, step_keys
from stress.market.bootstrap import BlockBootstrap
from stress.market.gbm import GeometricBrownianMotion
from stress.market.resampled import RowDraw, _share_of, drawn_rows
from stress.runner.plan import time_block

BOUND = 4.5
"""Standard errors: 7 in a million on both sides, some thirty times in this file."""
SEED = 20
ROWS = 40


def history(rows: int = ROWS, assets: int = 2) -> np.ndarray:
    """Return (rows, assets) fat-tailed returns that cluster and move together."""
    rng = np.random.default_rng(7)
    wild = np.exp(0.5 * np.sin(np.arange(rows) / 3))[:, None]
    return 0.03 * wild * (rng.standard_t(4, (rows, 1)) + 0.5 * rng.standard_normal((rows, assets)))


def model(
    returns: np.ndarray | None = None,
    *,
    block: float = 1.0,
    bar_steps: int = 1,
    deviation: np.ndarray | None = None,
    correlation: np.ndarray | None = None,
    precision: str = "float64",
) -> BlockBootstrap:
    returns = history() if returns is None else returns
    size = returns.shape[1]
    return BlockBootstrap.build(
        returns=returns,
        deviation=np.zeros_like(returns) if deviation is None else deviation,
        correlation=np.eye(size) if correlation is None else correlation,
        bar_steps=bar_steps,
        block=block,
        precision=precision,
    )


def log_returns(
    of: object, steps: int, paths: int, *, first: int = 0, precision: str = "float64"
) -> np.ndarray:
    """Return (paths, steps, assets) log returns of single steps."""
    schedule = Schedule(
        steps=steps, block=time_block(steps), monitoring="step", precision=precision
    )
    prices = price_paths(
        of,
        jnp.ones(of.assets, precision),
        jnp.asarray(SEED, jnp.uint32),
        first + jnp.arange(paths, dtype=jnp.uint32),
        schedule=schedule,
    )
    return np.diff(np.log(np.asarray(prices)), axis=1)


def drawn(draw: RowDraw, bars: int, paths: int, bar_steps: int = 1) -> np.ndarray:
    """Return (bars, paths) rows."""
    numbers = jnp.arange(paths, dtype=jnp.uint32)
    seed = jnp.asarray(SEED, jnp.uint32)
    return np.asarray(drawn_rows(draw, seed, numbers, bars=bars, bar_steps=bar_steps))


class TestRows:
    @pytest.mark.parametrize("block", [1.0, 2.5, 12.0])
    def test_every_row_is_drawn_equally_often_at_every_bar(self, block: float) -> None:
        """Counts at the first and the last bar: chi-square in standard errors."""
        rows = drawn(RowDraw.build(ROWS, block), 6, 40_000)
        for bar in (0, 5):
            counts = np.bincount(rows[bar], minlength=ROWS)
            expected = rows.shape[1] / ROWS
            chi = ((counts - expected) ** 2 / expected).sum()
            assert abs(chi - (ROWS - 1)) / np.sqrt(2 * (ROWS - 1)) < BOUND

    @pytest.mark.parametrize("block", [2.0, 5.0])
    def test_blocks_have_geometric_lengths(self, block: float) -> None:
        """P(length > k) = (1 - 1 / block)^k; a new block may by chance go on where the old one was.

        Of lengths from the first bar, over independent paths.
        """
        bars = 12
        rows = drawn(RowDraw.build(ROWS, block), bars, 40_000)
        goes_on = np.diff(rows, axis=0) % ROWS == 1
        # a new row is the next one once in ROWS times
        stays = (1 - 1 / block) + 1 / block / ROWS
        alive = np.cumprod(goes_on, axis=0).mean(axis=1)
        expected = stays ** np.arange(1, bars)
        error = np.sqrt(expected * (1 - expected) / rows.shape[1])
        assert (np.abs(alive - expected) / error).max() < BOUND

    def test_blocks_run_on_behind_the_last_row(self) -> None:
        rows = drawn(RowDraw.build(5, 1e6), 20, 64)
        np.testing.assert_array_equal((rows[0] + np.arange(20)[:, None]) % 5, rows)

    def test_each_block_begins_anywhere(self) -> None:
        """With blocks of one bar the row says nothing about the next one."""
        rows = drawn(RowDraw.build(8, 1.0), 2, 64_000)
        table = np.zeros((8, 8))
        np.add.at(table, (rows[0], rows[1]), 1)
        expected = rows.shape[1] / 64
        chi = ((table - expected) ** 2 / expected).sum()
        assert abs(chi - 63) / np.sqrt(126) < BOUND

    @pytest.mark.parametrize("bar_steps", [1, 6])
    def test_the_rows_of_a_path_can_be_had_without_it(self, bar_steps: int) -> None:
        """``drawn_rows`` and the model draw the same."""
        returns = history()
        of = model(returns, block=3.0, bar_steps=bar_steps)
        found = log_returns(of, 5 * bar_steps, 50).reshape(50, 5, bar_steps, 2).sum(axis=2)
        rows = drawn(of.draw, 5, 50, bar_steps)
        np.testing.assert_allclose(found, returns[rows.T], atol=1e-12)

    @pytest.mark.parametrize("rows", [1, 7, 65_535, 65_536, 100_003, 2**31 - 1])
    def test_bits_become_rows_without_long_numbers(self, rows: int) -> None:
        bits = np.random.default_rng(2).integers(0, 2**32, 1_000, np.uint32)
        bits[:4] = [0, 1, 2**31, 2**32 - 1]
        expected = bits.astype(object) * rows // 2**32
        np.testing.assert_array_equal(_share_of(jnp.asarray(bits), rows), expected.astype(int))


class TestReturns:
    def test_cross_sections_stay_whole(self) -> None:
        """Every bar of every path is a row of the history, all assets of one moment."""
        returns = history(assets=3)
        found = log_returns(model(returns, block=4.0), 9, 200).reshape(-1, 3)
        apart = np.abs(found[:, None] - returns).max(axis=2)
        assert apart.min(axis=1).max() < 1e-12

    def test_mean_and_variance_are_the_samples(self) -> None:
        returns = history()
        found = log_returns(model(returns), 4, 50_000).reshape(-1, 2)
        mean, variance = returns.mean(axis=0), returns.var(axis=0)
        score = (found.mean(axis=0) - mean) / np.sqrt(variance / len(found))
        assert np.abs(score).max() < BOUND
        fourth = ((returns - mean) ** 4).mean(axis=0)
        spread = np.sqrt((fourth - variance**2) / len(found))
        assert (np.abs(((found - mean) ** 2).mean(axis=0) - variance) / spread).max() < BOUND

    def test_dependence_inside_blocks_is_kept(self) -> None:
        """E[x_0 x_k] = sum_j (1 - p)^j ... : of the circle's own, times the chance of one block.

        The lagged product of |x| on a path is that of the circular history times (1 - p)^k, plus
        the squared mean else.
        """
        size = np.abs(history())[:, 0]
        centred = size - size.mean()
        found = np.abs(log_returns(model(block=5.0), 4, 60_000)[..., 0]) - size.mean()
        for lag in (1, 3):
            circular = np.mean(centred * np.roll(centred, -lag))
            expected = (1 - 1 / 5) ** lag * circular
            product = found[:, 0] * found[:, lag]
            error = product.std() / np.sqrt(len(product))
            assert abs(product.mean() - expected) / error < BOUND

    def test_ten_sums_have_standard_errors_like_a_normal_sample(self) -> None:
        """The exact mean of exp(sum) of independent rows, in ten runs of other paths."""
        returns = history()[:, :1]
        bars, paths = 3, 4_000
        exact = np.exp(returns).mean() ** bars
        scores = []
        for run in range(10):
            found = log_returns(model(returns), bars, paths, first=run * paths).sum(axis=1)
            growth = np.exp(found[:, 0])
            scores.append((growth.mean() - exact) / (growth.std() / np.sqrt(paths)))
        assert kstest(scores, "norm").pvalue > 1e-3
        assert np.abs(scores).max() < BOUND


class TestInsideABar:
    STEPS = 6
    CORRELATION = np.array([[1.0, 0.7], [0.7, 1.0]])
    DEVIATION = np.array([0.05, 0.1])

    def one_row(self, bar_return: np.ndarray) -> BlockBootstrap:
        """A history of one bar."""
        return model(
            bar_return[None],
            bar_steps=self.STEPS,
            deviation=self.DEVIATION[None],
            correlation=self.CORRELATION,
        )

    def test_a_bar_ends_at_its_return(self) -> None:
        returns = history()
        of = model(
            returns,
            block=2.0,
            bar_steps=self.STEPS,
            deviation=np.full_like(returns, 0.2),
            correlation=self.CORRELATION,
        )
        found = log_returns(of, 4 * self.STEPS, 60).reshape(60, 4, self.STEPS, 2).sum(axis=2)
        np.testing.assert_allclose(found, returns[drawn(of.draw, 4, 60, self.STEPS).T], atol=1e-12)

    def test_levels_are_a_brownian_bridge(self) -> None:
        """Mean k R / n and covariance s (1 - t) D C D at steps s <= t of the bar."""
        target = np.array([0.04, -0.2])
        paths = 40_000
        levels = log_returns(self.one_row(target), self.STEPS, paths).cumsum(axis=1)[:, :-1]
        when = np.arange(1, self.STEPS) / self.STEPS
        mean = when[:, None] * target
        shape = np.minimum(when[:, None], when) - when[:, None] * when
        whole = self.DEVIATION[:, None] * self.CORRELATION * self.DEVIATION
        covariance = np.einsum("st,ab->satb", shape, whole).reshape(mean.size, mean.size)
        flat = levels.reshape(paths, -1)
        score = (flat.mean(axis=0) - mean.ravel()) / np.sqrt(np.diag(covariance) / paths)
        assert np.abs(score).max() < BOUND
        found = np.cov(flat.T)
        spread = np.outer(np.diag(covariance), np.diag(covariance)) + covariance**2
        assert (np.abs(found - covariance) / np.sqrt(spread / paths)).max() < BOUND
        # the squared distance of normals is chi-square
        centred = flat - mean.ravel()
        distance = ((centred @ np.linalg.inv(covariance)) * centred).sum(axis=1)
        assert kstest(distance, "chi2", args=(mean.size,)).pvalue > 1e-5

    def test_normal_bars_make_brownian_motion(self) -> None:
        """Normal bar returns with their own variance inside: hourly steps are independent again."""
        rng = np.random.default_rng(3)
        rows, deviation = 20_000, 0.1
        returns = rng.normal(0.0, deviation, (rows, 1))
        of = model(returns, bar_steps=4, deviation=np.full((rows, 1), deviation))
        found = log_returns(of, 8, 30_000)[..., 0]
        step = deviation / 2
        spread = np.sqrt(2 / found.size)
        # the rows are a sample themselves
        assert abs(found.var() / step**2 - 1) < BOUND * np.hypot(spread, np.sqrt(2 / rows) / 4)
        lagged = (found[:, :-1] * found[:, 1:]).mean(axis=0) / step**2
        assert np.abs(lagged).max() < BOUND * np.hypot(1 / np.sqrt(30_000), 1 / np.sqrt(rows) / 2)

    def test_the_variance_between_two_steps_is_that_of_the_row(self) -> None:
        """What a bridge between the nodes of a step is told."""
        returns = history()
        deviation = np.abs(history(assets=2)) + 0.01
        of = model(
            returns,
            block=2.0,
            bar_steps=3,
            deviation=deviation,
            correlation=self.CORRELATION,
        )
        rows = drawn(of.draw, 2, 5, 3)
        state = of.init(jnp.arange(5, dtype=jnp.uint32))
        keys = path_keys(jnp.asarray(SEED, jnp.uint32), MODEL, jnp.arange(5, dtype=jnp.uint32))
        for step in range(6):
            of_step = step_keys(keys, jnp.asarray([step + 1]))[0]
            state, _ = of.step(state, jnp.zeros((2, 5)), of_step)
            if step % 3 != 2:
                continue
            root, jump = of.inside(state)
            spread = deviation[rows[step // 3]] / np.sqrt(3)
            for path in range(5):
                expected = spread[path][:, None] * self.CORRELATION * spread[path]
                one = np.asarray(root[:, :, path])
                np.testing.assert_allclose(one @ one.T, expected, rtol=1e-12)
            assert not np.asarray(jump).any()

    def test_nothing_is_known_of_what_is_inside_a_step(self) -> None:
        assert np.isnan(model().covariance_root).all()
        known = np.asarray(self.one_row(np.zeros(2)).covariance_root)
        expected = self.DEVIATION[:, None] * self.CORRELATION * self.DEVIATION / self.STEPS
        np.testing.assert_allclose(known @ known.T, expected, rtol=1e-12)


class TestDigits:
    @pytest.mark.parametrize(("bar_steps", "precision"), [(1, "float64"), (5, "float32")])
    def test_of_a_path_are_its_own(self, bar_steps: int, precision: str) -> None:
        """Whatever the horizon and the paths beside it."""
        returns = history()
        of = model(
            returns,
            block=3.0,
            bar_steps=bar_steps,
            deviation=np.full_like(returns, 0.05),
            precision=precision,
        )
        long = log_returns(of, 40, 64, precision=precision)
        np.testing.assert_array_equal(log_returns(of, 13, 64, precision=precision), long[:, :13])
        later = log_returns(of, 40, 64, first=32, precision=precision)
        np.testing.assert_array_equal(later[:32], long[32:])
        assert long.dtype == precision

    def test_only_the_first_step_of_a_bar_draws_rows(self) -> None:
        """The draws stand behind a conditional: other steps do not pay for them."""
        of = model(bar_steps=12)
        paths = jnp.arange(4, dtype=jnp.uint32)
        keys = jax.random.split(jax.random.key(0), 4)
        traced = jax.make_jaxpr(of.step)(of.init(paths), jnp.zeros((2, 4)), keys)
        apart = {str(each.primitive): str(each) for each in traced.jaxpr.eqns}
        assert "random_bits" in apart.pop("cond")
        assert not any("random_bits" in text for text in apart.values())


def test_prices_cost_little_more_than_those_of_brownian_motion() -> None:
    """Nothing but rows is drawn beside the normals: of operations, not of seconds."""
    assets, steps = 16, 4
    rng = np.random.default_rng(1)
    returns = rng.normal(0, 0.03, (500, assets))
    of = model(returns, block=10.0, bar_steps=288, deviation=np.abs(returns), precision="float32")
    plain = GeometricBrownianMotion.build(
        volatility=np.full(assets, 0.7),
        drift=np.zeros(assets),
        correlation=np.eye(assets),
        step_years=1e-5,
        precision="float32",
    )

    def operations(one: object) -> float:
        schedule = Schedule(steps=steps, block=steps, monitoring="step", precision="float32")
        numbers = jnp.arange(64, dtype=jnp.uint32)
        seed = jnp.asarray(SEED, jnp.uint32)
        lowered = price_paths.lower(
            one, jnp.ones(assets, jnp.float32), seed, numbers, schedule=schedule
        )
        return float(lowered.compile().cost_analysis()["flops"])

    assert operations(of) < 1.5 * operations(plain)
