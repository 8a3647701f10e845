"""Price models whose draws are given normals: the law of the model, and nothing from its keys."""

from __future__ import annotations

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import ks_2samp

from stress.engine.block import Schedule
from stress.engine.paths import price_paths
from stress.keys import MODEL, path_keys, step_keys
from stress.market import PriceModel
from stress.market.explicit import ExplicitJumps, explicit
from stress.market.jump_diffusion import DoubleExponentialSizes, JumpDiffusion
from stress.market.rekeyed import Rekeyed
from stress.market.steered import Steered
from stress.runner.prepare import prepare
from stress.types import Floats, Integers
from tests.market.models import model_scenario

PATHS, STEPS = 4096, 12
NUMBERS = np.arange(PATHS, dtype=np.uint32)
SCHEDULE = Schedule(STEPS, STEPS, "step", "float64")


def walked(model: PriceModel, seed: int = 3) -> Floats:
    """Return (paths, steps, assets) log returns."""
    price = jnp.ones(model.assets)
    prices = price_paths(model, price, jnp.uint32(seed), jnp.asarray(NUMBERS), schedule=SCHEDULE)
    return np.diff(np.log(np.asarray(prices)), axis=1)


def steered(model: PriceModel, rows: int) -> Steered:
    random = np.random.default_rng(8)
    return Steered(model, jnp.asarray(random.standard_normal((STEPS, model.assets + rows, PATHS))))


def kou() -> PriceModel:
    """Return a jump diffusion of two assets with many jumps of Kou's law."""
    return JumpDiffusion.build(
        volatility=np.array([0.9, 1.2]),
        drift=np.zeros(2),
        correlation=np.array([[1.0, 0.5], [0.5, 1.0]]),
        rate=np.array([100.0, 60.0, 500.0]),
        exposure=np.array([1.0, 0.5]),
        sizes=DoubleExponentialSizes(
            np.array([0.3, 0.0, 1.0]), np.array([0.02, 0.01, 0.02]), np.array([0.04, 0.03, 0.01])
        ),
        step_years=0.25 / 365,
        precision="float64",
    )


def named(name: str, folder: Path) -> PriceModel:
    if name == "kou":
        return kou()
    return prepare(model_scenario(folder, name, {"simulation.precision": "float64"})).model


@pytest.mark.parametrize(
    "name",
    [
        "student-t",
        "kou",
        pytest.param("garch", marks=pytest.mark.slow),
        pytest.param("skewed-t", marks=pytest.mark.slow),
        pytest.param("jump-diffusion", marks=pytest.mark.slow),
    ],
)
def test_law(name: str, tmp_path: Path) -> None:
    """Single returns and whole paths have the law of the model that draws from keys."""
    model = named(name, tmp_path)
    changed, rows = explicit(model)
    assert rows > 0
    own, other = walked(model), walked(steered(changed, rows))
    for asset in range(model.assets):
        singles = own[:, ::5, asset].ravel(), other[:, ::5, asset].ravel()
        wholes = own[:, :, asset].sum(axis=1), other[:, :, asset].sum(axis=1)
        # what the models differ in: how wild the path was
        wild = np.abs(own[:, :, asset]).max(axis=1), np.abs(other[:, :, asset]).max(axis=1)
        for one, another in (singles, wholes, wild):
            assert ks_2samp(one, another).pvalue > 1e-4
    together = [np.corrcoef(of.reshape(-1, model.assets).T) for of in (own, other)]
    np.testing.assert_allclose(together[0], together[1], atol=0.03)


def test_keys_do_not_matter(tmp_path: Path) -> None:
    changed, rows = explicit(named("student-t", tmp_path))
    model = steered(changed, rows)
    np.testing.assert_array_equal(walked(model, 3), walked(model, 4))


def test_numbers_of_jumps() -> None:
    """The number of jumps of a step is Poisson, at the least probabilities too."""
    model = kou()
    assert isinstance(model, JumpDiffusion)
    exceeding = np.asarray(ExplicitJumps.of(model).exceeding)
    mean = 660.0 * 0.25 / 365
    assert exceeding[0] == pytest.approx(-np.expm1(-mean), rel=1e-5)
    assert exceeding[1] == pytest.approx(1 - np.exp(-mean) * (1 + mean), rel=1e-5)
    assert exceeding[-1] > 1e-10


def test_a_model_without_draws_stays() -> None:
    model, rows = explicit(Steered(kou(), jnp.zeros((1, 2, 1))))
    assert rows == 0
    assert isinstance(model, Steered)


class TestRekeyed:
    """Own draws step by step from the keys of chosen paths."""

    def draws(self, model: PriceModel, numbers: Integers) -> Floats:
        keys = jnp.asarray(numbers, jnp.uint32)
        return walked(Rekeyed(model, jnp.uint32(3), keys))

    def test_own_numbers_change_nothing(self, tmp_path: Path) -> None:
        """With each path's own number in every step the digits are the model's."""
        model = named("regime", tmp_path)
        own = np.broadcast_to(NUMBERS, (STEPS, PATHS))
        np.testing.assert_array_equal(self.draws(model, own), walked(model))

    def test_only_the_step_changes(self) -> None:
        """Another number in one step gives that step another draw, and no other step."""
        model = kou()
        assert isinstance(model, JumpDiffusion)
        assert model.bar_steps == 1
        changed = np.broadcast_to(NUMBERS, (STEPS, PATHS)).copy()
        changed[4] += PATHS
        moved, own = self.draws(model, changed), walked(model)
        # log prices are sums: what follows differs by rounding
        others = np.arange(STEPS) != 4
        np.testing.assert_array_equal(moved[:, :4], own[:, :4])
        np.testing.assert_allclose(moved[:, others], own[:, others], atol=1e-12)
        assert (moved[:, 4] != own[:, 4]).any()

    def test_keys_are_the_engines(self) -> None:
        """The key of a step is that of ``keys.step_keys``."""
        seen = []

        class Spy:
            assets = 1
            covariance_root = jnp.eye(1)

            def init(self, paths: jax.Array) -> tuple[()]:
                return ()

            def step(
                self, state: tuple[()], normals: jax.Array, keys: jax.Array
            ) -> tuple[tuple[()], jax.Array]:
                seen.append(jax.random.key_data(keys))
                return (), normals

        numbers = jnp.asarray([[7, 9], [1, 2]], jnp.uint32)
        model = Rekeyed(Spy(), jnp.uint32(3), numbers)
        state = model.init(jnp.zeros(2, jnp.uint32))
        for _ in range(2):
            state, _ = model.step(state, jnp.zeros((1, 2)), jnp.zeros(2))
        for step in range(2):
            keys = path_keys(3, MODEL, numbers[step])
            expected = step_keys(keys, jnp.asarray([step + 1], jnp.uint32))[0]
            np.testing.assert_array_equal(seen[step], jax.random.key_data(expected))
