"""GJR-GARCH against a plain twin; its moments stand in tests/truth."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stress.market import Inside, VaryingInside
from stress.market.garch import Garch
from stress.market.gbm import symmetric_root
from tests.market.states import drawn_keys, stepped

VOLATILITY = np.array([0.6, 0.9, 0.3])
DRIFT = np.array([0.3, -0.2, 0.0])
CORRELATION = np.array([[1.0, 0.6, -0.2], [0.6, 1.0, 0.1], [-0.2, 0.1, 1.0]])
STEP_YEARS = 1 / 365 / 4
BAR = 4
ALPHA, GAMMA = np.array([0.1, 0.05, 0.15]), np.array([0.1, -0.05, 0.0])
BETA = np.array([0.8, 0.9, 0.6])
INITIAL = np.array([0.9, 0.9, 0.1])
SEED = 5
STEPS, PATHS = 5 * BAR, 200


def build(**other: Any) -> Garch:
    stated: dict[str, Any] = {
        "volatility": VOLATILITY,
        "drift": DRIFT,
        "correlation": CORRELATION,
        "step_years": STEP_YEARS,
        "bar_steps": BAR,
        "precision": "float64",
        "degrees_of_freedom": 5.0,
        "alpha": ALPHA,
        "gamma": GAMMA,
        "beta": BETA,
        "initial_volatility": INITIAL,
    }
    return Garch.build(**{**stated, **other})


class TestTwin:
    def test_returns(self) -> None:
        """Step by step and path by path, in plain NumPy, from the same draws."""
        model, steps, paths = build(), STEPS, PATHS
        _, returns, normals = stepped(model, steps=STEPS, paths=PATHS, seed=SEED)
        returns, normals = np.asarray(returns), np.asarray(normals)
        keys = drawn_keys(paths, steps, SEED)
        root = symmetric_root(CORRELATION)
        mean = (DRIFT - VOLATILITY**2 / 2) * STEP_YEARS
        bar_years = BAR * STEP_YEARS
        omega = VOLATILITY**2 * bar_years * (1 - ALPHA - GAMMA / 2 - BETA)
        variance = np.repeat((INITIAL**2 * bar_years)[:, None], paths, axis=1)
        for bar in range(5):
            first = bar * BAR
            mixing = np.asarray(model.mixing.draw(keys[first]))
            earned = np.zeros_like(variance)
            for step in range(first, min(first + BAR, steps)):
                shock = np.sqrt(variance * mixing / BAR) * (root @ normals[step])
                np.testing.assert_allclose(returns[step], mean[:, None] + shock, atol=1e-14)
                earned += shock
            weight = np.where(earned < 0, (ALPHA + GAMMA)[:, None], ALPHA[:, None])
            variance = omega[:, None] + weight * earned**2 + BETA[:, None] * variance

    def test_without_weights_it_is_a_student_t(self) -> None:
        """Constant variance: what is left is the mixing of each interval."""
        nothing = np.zeros(3)
        model = build(alpha=nothing, gamma=nothing, beta=nothing, initial_volatility=VOLATILITY)
        states, _, _ = stepped(model, steps=STEPS, paths=PATHS, seed=SEED)
        expected = np.broadcast_to((VOLATILITY**2 * BAR * STEP_YEARS)[:, None], (STEPS, 3, PATHS))
        np.testing.assert_allclose(states.variance, expected, rtol=1e-14)

    def test_single_precision(self) -> None:
        double, single = (
            stepped(build(precision=precision), steps=STEPS, paths=PATHS, seed=SEED)
            for precision in ("float64", "float32")
        )
        assert single[1].dtype == jnp.float32
        np.testing.assert_allclose(single[1], double[1], rtol=1e-3, atol=2e-6)
        np.testing.assert_allclose(single[0].variance, double[0].variance, rtol=1e-4)

    def test_inside(self) -> None:
        """After a step the state still says what the step was like, the last of a bar too."""
        model = build()
        assert isinstance(model, VaryingInside)
        states, returns, normals = stepped(model, steps=STEPS, paths=PATHS, seed=SEED)
        for step in range(STEPS):
            found = model.inside(jax.tree.map(lambda leaf, step=step: leaf[step], states))
            assert isinstance(found, Inside)
            moved = np.einsum("abp,bp->ap", found.root, normals[step])
            np.testing.assert_allclose(model.mean[:, None] + moved, returns[step], atol=1e-15)
            np.testing.assert_array_equal(found.jump, np.zeros((3, 1)))

    def test_typical_root_is_unconditional(self) -> None:
        root = np.asarray(build().covariance_root)
        expected = VOLATILITY[:, None] * VOLATILITY * CORRELATION * STEP_YEARS
        np.testing.assert_allclose(root @ root.T, expected, rtol=1e-12)


class TestState:
    def test_variance_lives_on_its_interval(self) -> None:
        states, _, _ = stepped(build(), steps=STEPS, paths=PATHS, seed=SEED)
        for leaf in (states.variance, states.deviation):
            by_bar = np.asarray(leaf).reshape(5, BAR, 3, PATHS)
            assert (by_bar == by_bar[:, :1]).all()
        assert (np.diff(by_bar[:, 0], axis=0) != 0).all()

    def test_paths_stand_last(self) -> None:
        state = build().init(jnp.arange(7, dtype=jnp.uint32))
        assert {leaf.shape[-1] for leaf in jax.tree.leaves(state)} == {7}

    def test_first_interval(self) -> None:
        states, _, _ = stepped(build(), steps=STEPS, paths=PATHS, seed=SEED)
        expected = np.broadcast_to((INITIAL**2 * BAR * STEP_YEARS)[:, None], (3, PATHS))
        np.testing.assert_allclose(states.variance[0], expected, rtol=1e-14)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"beta": np.array([0.8, 0.975, 0.6])}, "below 1"),
        ({"gamma": np.array([-0.2, 0.0, 0.0])}, "at least 0"),
        ({"alpha": np.array([-0.1, 0.0, 0.0])}, "at least 0"),
    ],
)
def test_weights_are_checked(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        build(**changes)
