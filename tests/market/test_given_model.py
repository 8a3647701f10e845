"""Given paths as a price model: the engine walks along them exactly, and draws nothing."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stress.engine.block import Schedule
from stress.engine.paths import price_paths
from stress.keys import path_keys
from stress.market import Constant, ModelSource
from stress.market.gbm import GeometricBrownianMotion
from stress.market.given import GivenPaths, GivenSource
from stress.types import Floats, Precision

PRICE = np.array([60_000.1, 0.37, 2_500.0])
PATHS = 8


def random_prices(steps: int, paths: int = PATHS, seed: int = 3) -> Floats:
    """Return (paths, steps + 1, assets) prices that wander far: 2 % a step."""
    moves = np.random.default_rng(seed).normal(0.0, 0.02, (paths, steps + 1, len(PRICE)))
    moves[:, 0] = 0.0
    return PRICE * np.exp(moves.cumsum(axis=1))


def arguments(paths: int, precision: Precision = "float64") -> tuple[jax.Array, ...]:
    price = jnp.asarray(PRICE, jnp.dtype(precision))
    return price, jnp.asarray(9, jnp.uint32), jnp.arange(paths, dtype=jnp.uint32)


def schedule(steps: int, block: int, precision: Precision = "float64") -> Schedule:
    return Schedule(steps=steps, block=block, monitoring="step", precision=precision)


def walked(prices: Floats, block: int, precision: Precision = "float64") -> np.ndarray:
    model = GivenPaths.build(prices, price=PRICE, precision=precision)
    plan = schedule(prices.shape[1] - 1, block, precision)
    return np.asarray(price_paths(model, *arguments(len(prices), precision), schedule=plan))


class TestRounding:
    @pytest.mark.parametrize("block", [64, 63, 2_000])
    def test_does_not_grow_with_the_steps(self, block: int) -> None:
        """Two units in the last place after two thousand steps: one of exp, one of the product."""
        prices = random_prices(2_000)
        error = np.abs(walked(prices, block) / prices - 1)
        assert error.max() < 1e-15
        assert (error[:, 0] == 0).all()

    def test_single_precision(self) -> None:
        prices = random_prices(2_000)
        found = walked(prices, 64, "float32")
        assert found.dtype == np.float32
        # a log of up to 2.5 rounds by 1.2e-7, the start and the products by 6e-8 each
        assert np.abs(found / prices - 1).max() < 5e-7

    def test_crashes(self) -> None:
        """Jumps by twelve orders of magnitude and back leave no trace."""
        prices = random_prices(40)
        prices[:, 10:20] *= 1e-12
        prices[:, 25:30] *= 1e6
        assert np.abs(walked(prices, 7) / prices - 1).max() < 1e-14

    def test_prices_are_the_files_after_a_start_that_rounds(self) -> None:
        """Marks are the given prices, not the given returns from the scenario's start."""
        prices = random_prices(5)
        prices[:, 0] *= 1 + 5e-7
        found = walked(prices, 5)
        np.testing.assert_allclose(found[:, 1:], prices[:, 1:], rtol=1e-15)
        np.testing.assert_array_equal(found[:, 0], np.broadcast_to(PRICE, found[:, 0].shape))


class TestModel:
    def test_protocol(self) -> None:
        model = GivenPaths.build(random_prices(4), price=PRICE, precision="float32")
        assert model.assets == 3
        assert model.levels.shape == (5, 3, PATHS)
        assert model.levels.dtype == jnp.float32
        assert model.covariance_root.shape == (3, 3)
        assert jnp.isnan(model.covariance_root).all()

    def test_state_has_paths_last(self) -> None:
        model = GivenPaths.build(random_prices(4), price=PRICE, precision="float64")
        state = model.init(jnp.arange(PATHS, dtype=jnp.uint32))
        assert {leaf.shape[-1] for leaf in jax.tree.leaves(state)} == {PATHS}

    def test_beyond_the_last_level_prices_stand_still(self) -> None:
        model = GivenPaths.build(random_prices(1), price=PRICE, precision="float64")
        paths = jnp.arange(PATHS, dtype=jnp.uint32)
        state, keys = model.init(paths), path_keys(1, 0, paths)
        normals = jnp.zeros((3, PATHS))
        state, first = model.step(state, normals, keys)
        state, second = model.step(state, normals, keys)
        np.testing.assert_allclose(first, model.levels[1], atol=1e-16)
        np.testing.assert_array_equal(second, 0.0)


def test_compiled_once_for_all_blocks() -> None:
    """The model is an argument of the kernel, not a part of it."""
    plan = schedule(6, 3)
    model, other = (
        GivenPaths.build(random_prices(6, seed=seed), price=PRICE, precision="float64")
        for seed in (1, 2)
    )
    kernel = price_paths.lower(model, *arguments(PATHS), schedule=plan).compile()
    found = np.asarray(kernel(other, *arguments(PATHS)))
    np.testing.assert_allclose(found, random_prices(6, seed=2), rtol=1e-15)


def test_draws_nothing() -> None:
    """The normals on offer are no part of the compiled kernel; those of a simulated model are."""
    simulated = GeometricBrownianMotion.build(
        volatility=np.ones(3),
        drift=np.zeros(3),
        correlation=np.eye(3),
        step_years=1e-4,
        precision="float64",
    )
    given = GivenPaths.build(random_prices(8), price=PRICE, precision="float64")

    def scrambles(model: Any) -> bool:
        """Whether the kernel holds the exclusive or of a random generator."""
        lowered = price_paths.lower(model, *arguments(PATHS), schedule=schedule(8, 4))
        return " xor(" in lowered.compile().as_text()

    assert scrambles(simulated)
    assert not scrambles(given)


class TestSources:
    def test_given(self) -> None:
        prices, asked = random_prices(4, paths=20), []

        def read(numbers: np.ndarray) -> np.ndarray:
            asked.append(numbers.tolist())
            return prices[numbers]

        source = GivenSource(read, PRICE, "float64")
        assert isinstance(source, ModelSource)
        first = source.block(np.arange(8, dtype=np.uint32))
        second = source.block(np.arange(8, 16, dtype=np.uint32))
        again = source.block(np.arange(8, dtype=np.uint32))
        assert asked == [[*range(8)], [*range(8, 16)], [*range(8)]]
        np.testing.assert_array_equal(first.levels, again.levels)
        np.testing.assert_allclose(
            second.levels, np.log(prices[8:16] / PRICE).transpose(1, 2, 0), atol=1e-15
        )

    def test_constant(self) -> None:
        model = GivenPaths.build(random_prices(4), price=PRICE, precision="float64")
        source = Constant(model)
        assert isinstance(source, ModelSource)
        assert source.block(np.arange(3)) is model
        assert not isinstance(model, ModelSource)
