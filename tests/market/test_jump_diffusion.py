"""Jump diffusion: what jumps, when and how far, and how it adds up to the stated variance."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import chisquare, expon, kstest, norm, poisson

from stress.market.gbm import GeometricBrownianMotion
from stress.market.jump_diffusion import DoubleExponentialSizes, JumpDiffusion, NormalSizes
from tests.market.states import stepped

VOLATILITY = np.array([0.5, 0.8, 1.2])
DRIFT = np.array([0.5, 0.0, -1.0])
CORRELATION = np.array([[1.0, 0.7, 0.3], [0.7, 1.0, 0.4], [0.3, 0.4, 1.0]])
EXPOSURE = np.array([1.0, 1.5, -0.5])
RATE = np.array([20.0, 10.0, 0.0, 40.0])
NORMAL = NormalSizes(np.array([-0.04, 0.0, 0.0, 0.02]), np.array([0.04, 0.05, 0.0, 0.06]))
DOUBLE = DoubleExponentialSizes(
    np.array([0.3, 0.5, 0.5, 0.9]), np.array([0.03, 0.04, 0.1, 0.05]), np.full(4, 0.03)
)
LAWS = {"merton": NORMAL, "kou": DOUBLE}
STEP_YEARS = 1 / 1_200
"""For bars of four steps."""
STEPS, PATHS = 12, 20_000
COMMON: dict[str, Any] = {
    "volatility": VOLATILITY,
    "drift": DRIFT,
    "correlation": CORRELATION,
    "step_years": STEP_YEARS,
    "precision": "float64",
}
BOUND = 4.5


def build(name: str = "merton", **changes: Any) -> JumpDiffusion:
    numbers = {"rate": RATE, "exposure": EXPOSURE, "sizes": LAWS[name], **COMMON, **changes}
    return JumpDiffusion.build(**numbers)


Drawn = tuple[JumpDiffusion, Any, np.ndarray, np.ndarray]


@pytest.fixture(scope="module", params=LAWS)
def drawn(request: pytest.FixtureRequest) -> Drawn:
    """Return a model, its states, and log returns and normals, (steps, assets, paths)."""
    model = build(request.param)
    states, returns, normals = stepped(model, steps=STEPS, paths=PATHS, seed=4)
    return model, states, np.asarray(returns), np.asarray(normals)


def bars(model: JumpDiffusion, states: Any) -> tuple[np.ndarray, ...]:
    """Return when, process and size of each bar's jumps, (slots, bars * paths)."""
    return tuple(
        np.moveaxis(np.asarray(leaf)[:: model.bar_steps], 0, 1).reshape(leaf.shape[1], -1)
        for leaf in states[1:]
    )


class TestDraws:
    def test_bars_are_of_some_steps(self, drawn: Drawn) -> None:
        """Long enough to draw rarely, short enough to hold few jumps."""
        model, _, _, _ = drawn
        assert model.bar_steps == int(0.25 / (RATE.sum() * STEP_YEARS)) == 4
        assert 6 < len(model.exceeding) < 10

    def test_number(self, drawn: Drawn) -> None:
        """Poisson, by chi-squared; the slots end where nothing is left."""
        model, states, _, _ = drawn
        when, _, _ = bars(model, states)
        count = (when >= 0).sum(axis=0)
        law = poisson(RATE.sum() * STEP_YEARS * model.bar_steps)
        found = np.bincount(count, minlength=4)
        expected = law.pmf(np.arange(4)) * count.size
        found, expected = found[:4].copy(), expected.copy()
        expected[3], found[3] = law.sf(2) * count.size, (count > 2).sum()
        assert chisquare(found, expected * found.sum() / expected.sum()).pvalue > 1e-5
        assert law.sf(len(model.exceeding)) < 1e-10
        np.testing.assert_allclose(
            model.exceeding, law.sf(np.arange(len(model.exceeding))), rtol=1e-6
        )

    def test_moments_in_time(self, drawn: Drawn) -> None:
        """Every step of a bar is as likely."""
        model, states, _, _ = drawn
        when, _, _ = bars(model, states)
        assert when.max() == model.bar_steps - 1
        assert chisquare(np.bincount(when[when >= 0])).pvalue > 1e-5

    def test_processes(self, drawn: Drawn) -> None:
        """In proportion to their rates; never one without jumps."""
        model, states, _, _ = drawn
        when, process, _ = bars(model, states)
        found = np.bincount(process[when >= 0], minlength=4)
        assert found[2] == 0
        expected = RATE / RATE.sum() * found.sum()
        some = RATE > 0
        assert chisquare(found[some], expected[some]).pvalue > 1e-5

    def test_sizes(self, drawn: Drawn) -> None:
        """The law of each process, by Kolmogorov and Smirnov."""
        model, states, _, _ = drawn
        when, process, size = bars(model, states)
        for number in (0, 1, 3):
            sample = size[(when >= 0) & (process == number)]
            assert len(sample) > 1_500
            if isinstance(model.sizes, NormalSizes):
                law = norm(NORMAL.mean[number], NORMAL.deviation[number])
                assert kstest(sample, law.cdf).pvalue > 1e-5
                continue
            chance = DOUBLE.up_probability[number]
            score = (np.mean(sample > 0) - chance) / np.sqrt(chance * (1 - chance) / len(sample))
            assert abs(score) < BOUND
            up, down = expon(scale=DOUBLE.up_mean[number]), expon(scale=DOUBLE.down_mean[number])
            assert kstest(sample[sample > 0], up.cdf).pvalue > 1e-5
            assert kstest(-sample[sample < 0], down.cdf).pvalue > 1e-5


class TestReturns:
    def test_a_step(self, drawn: Drawn) -> None:
        """Mean, Brownian part, and what jumps in this step: ``inside`` says which is which."""
        model, states, returns, normals = drawn
        shock = np.einsum("ab,sbp->sap", model.covariance_root, normals)
        loading = np.column_stack([EXPOSURE, np.eye(3)])
        for step in range(STEPS):
            state = jax.tree.map(lambda leaf, step=step: leaf[step], states)
            falls = np.asarray(state.when) == step % model.bar_steps
            jump = np.zeros((3, PATHS))
            for slot in range(len(falls)):
                moved = loading[:, np.asarray(state.process)[slot]] * np.asarray(state.size)[slot]
                jump += np.where(falls[slot], moved, 0.0)
            root, found = model.inside(state)
            np.testing.assert_allclose(found, jump, atol=1e-15)
            assert (jump != 0).any()
            np.testing.assert_array_equal(root[..., 0], model.covariance_root)
            smooth = np.asarray(model.mean)[:, None] + shock[step]
            np.testing.assert_allclose(returns[step], smooth + jump, atol=1e-14)

    def test_covariance(self, drawn: Drawn) -> None:
        """Total: the stated one, jumps included; with the standard error of a mean of products."""
        _, _, returns, _ = drawn
        total = returns.sum(axis=0)
        total = total - total.mean(axis=1, keepdims=True)
        products = total[:, None] * total[None]
        expected = VOLATILITY[:, None] * VOLATILITY * CORRELATION * STEP_YEARS * STEPS
        scores = (products.mean(axis=2) - expected) / (products.std(axis=2) / np.sqrt(PATHS))
        assert np.abs(scores).max() < BOUND

    def test_expected_price(self, drawn: Drawn) -> None:
        """Jumps are compensated: ``E[S_T] = S_0 exp(drift T)``."""
        _, _, returns, _ = drawn
        price = np.exp(returns.sum(axis=0))
        expected = np.exp(DRIFT * STEP_YEARS * STEPS)
        scores = (price.mean(axis=1) - expected) / (price.std(axis=1) / np.sqrt(PATHS))
        assert np.abs(scores).max() < BOUND

    def test_independent_bars(self, drawn: Drawn) -> None:
        """Squares of a step and of the next do not go together, within a bar or across."""
        _, _, returns, _ = drawn
        squares = (returns - returns.mean(axis=2, keepdims=True)) ** 2
        for step in range(STEPS - 1):
            pair = np.corrcoef(squares[step, 0], squares[step + 1, 0])[0, 1]
            assert abs(pair) < 6 / np.sqrt(PATHS)


class TestBuild:
    @pytest.mark.parametrize("name", LAWS)
    def test_moments(self, name: str) -> None:
        """Against a quadrature of the density."""
        grid = np.linspace(-1.5, 1.5, 600_001)
        law = LAWS[name]
        for number in (0, 1, 3):
            if isinstance(law, NormalSizes):
                density = norm(law.mean[number], law.deviation[number]).pdf(grid)
            else:
                up = expon(scale=law.up_mean[number]).pdf(grid)
                down = expon(scale=law.down_mean[number]).pdf(-grid)
                chance = law.up_probability[number]
                density = chance * up + (1 - chance) * down
            width = grid[1] - grid[0]
            square = (density * grid**2).sum() * width
            assert law.square()[number] == pytest.approx(square, rel=1e-5)
            for exposure in (1.0, -0.5, 2.0):
                growth = (density * np.expm1(exposure * grid)).sum() * width
                found = law.growth(np.array([exposure]))[number]
                assert found == pytest.approx(growth, rel=1e-4)

    @pytest.mark.parametrize("name", LAWS)
    def test_no_jumps_are_a_brownian_motion(self, name: str) -> None:
        """Digit by digit, but for the root of another matrix."""
        model = build(name, rate=np.zeros(4))
        _, found, _ = stepped(model, steps=STEPS, paths=50, seed=4)
        gbm = GeometricBrownianMotion.build(**COMMON)
        covariance = np.asarray(gbm.covariance_root) @ np.asarray(gbm.covariance_root).T
        root = np.asarray(model.covariance_root)
        np.testing.assert_allclose(root @ root, covariance, rtol=1e-12)
        np.testing.assert_allclose(model.mean, gbm.mean, rtol=1e-13)
        _, _, normals = stepped(gbm, steps=STEPS, paths=50, seed=4)
        expected = np.asarray(gbm.mean)[:, None] + np.einsum("ab,sbp->sap", root, normals)
        np.testing.assert_allclose(found, expected, atol=1e-14)

    def test_rare_and_frequent_jumps(self) -> None:
        """Once in a million years; and twice a step, for which a bar is a step."""
        rare = build(rate=RATE * 1e-8)
        assert rare.bar_steps == 1 << 20
        frequent = build(rate=RATE * 40, sizes=NormalSizes(np.zeros(4), np.full(4, 0.01)))
        assert frequent.bar_steps == 1
        law = poisson(40 * RATE.sum() * STEP_YEARS)
        assert law.sf(len(frequent.exceeding)) < 1e-10

    def test_precision(self) -> None:
        model = build(precision="float32")
        floats = {leaf.dtype for leaf in jax.tree.leaves(model)}
        assert floats == {jnp.dtype("float32")}

    def test_more_variance_than_there_is(self) -> None:
        with pytest.raises(ValueError, match=r"jumps vary more than the returns do"):
            build(rate=RATE * 20)

    def test_exposures_against_the_correlation(self) -> None:
        """Little variance, but two assets that move together cannot jump apart."""
        twins = np.array([[1.0, 0.99, 0.0], [0.99, 1.0, 0.0], [0.0, 0.0, 1.0]])
        with pytest.raises(ValueError, match="in line with the correlation"):
            build(correlation=twins, exposure=np.array([1.0, -1.0, 0.0]))

    def test_a_jump_without_a_mean(self) -> None:
        """An exposure of 40 makes the mean rise 1.2; without jumps it does not matter."""
        wild = {"exposure": np.array([1.0, 40.0, 1.0]), "volatility": np.full(3, 200.0)}
        with pytest.raises(ValueError, match="no mean"):
            build("kou", **wild)
        assert build("kou", **wild, rate=np.zeros(4)).assets == 3

    def test_too_many_jumps(self) -> None:
        with pytest.raises(ValueError, match=r"101 jumps a step.*shorten simulation.step"):
            build(
                rate=np.array([101 / STEP_YEARS, 0.0, 0.0, 0.0]),
                sizes=NormalSizes(np.zeros(4), np.full(4, 1e-4)),
            )
