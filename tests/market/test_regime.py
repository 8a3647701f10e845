"""Regime switching against a plain twin, and its chain against its probabilities."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from stress.market import Inside, VaryingInside
from stress.market.gbm import symmetric_root
from stress.market.regime import RegimeSwitching
from tests.market.states import drawn_keys, stepped

VOLATILITY = np.array([0.6, 0.9])
DRIFT = np.array([0.3, -0.2])
CORRELATION = np.array([[1.0, 0.6], [0.6, 1.0]])
STEP_YEARS = 1 / 365 / 4
BAR = 4
VOLATILITIES = np.array([[0.4, 0.6], [0.9, 1.4], [1.8, 1.8]])
CORRELATIONS = [np.eye(2), CORRELATION, np.array([[1.0, -0.9], [-0.9, 1.0]])]
TRANSITION = np.array([[0.9, 0.1, 0.0], [0.25, 0.5, 0.25], [0.0, 0.3, 0.7]])
INITIAL = np.array([0.5, 0.2, 0.3])
SEED = 5
STEPS, PATHS = 10 * BAR, 300


def build(**other: Any) -> RegimeSwitching:
    stated: dict[str, Any] = {
        "volatility": VOLATILITY,
        "drift": DRIFT,
        "correlation": CORRELATION,
        "step_years": STEP_YEARS,
        "bar_steps": BAR,
        "precision": "float64",
        "volatilities": VOLATILITIES,
        "correlations": CORRELATIONS,
        "transition": TRANSITION,
        "initial": INITIAL,
    }
    return RegimeSwitching.build(**{**stated, **other})


def twin_regimes(steps: int, paths: int) -> np.ndarray:
    """Return (steps, paths) regimes: a loop over paths, from the same bits as fractions."""
    bits = jax.vmap(jax.vmap(lambda key: jax.random.bits(key, (), jnp.uint32)))(
        drawn_keys(paths, steps, SEED)
    )
    uniform = (np.asarray(bits) >> 1) / 2.0**31
    found = np.empty((steps, paths), int)
    for path in range(paths):
        chances = INITIAL
        for step in range(steps):
            if step % BAR == 0:
                here = np.searchsorted(np.cumsum(chances), uniform[step, path], side="right")
                chances = TRANSITION[here]
            found[step, path] = here
    return found


class TestTwin:
    def test_returns(self) -> None:
        """Step by step and path by path, in plain NumPy."""
        steps, paths = STEPS, PATHS
        states, returns, normals = stepped(build(), steps=STEPS, paths=PATHS, seed=SEED)
        regimes = twin_regimes(steps, paths)
        np.testing.assert_array_equal(states.regime, regimes)
        assert set(np.unique(regimes)) == {0, 1, 2}
        mean = (DRIFT - VOLATILITY**2 / 2) * STEP_YEARS
        roots = [
            np.diag(volatility) @ symmetric_root(correlation) * np.sqrt(STEP_YEARS)
            for volatility, correlation in zip(VOLATILITIES, CORRELATIONS, strict=True)
        ]
        drawn, expected = np.asarray(normals), np.empty(returns.shape)
        for step, path in np.ndindex(steps, paths):
            expected[step, :, path] = mean + roots[regimes[step, path]] @ drawn[step, :, path]
        np.testing.assert_allclose(returns, expected, atol=1e-15)

    def test_single_precision_is_in_the_same_regimes(self) -> None:
        """The draws are integers: no rounding sends a path to another regime."""
        double, single = (
            stepped(build(precision=precision), steps=STEPS, paths=PATHS, seed=SEED)
            for precision in ("float64", "float32")
        )
        np.testing.assert_array_equal(single[0].regime, double[0].regime)
        assert single[1].dtype == jnp.float32
        np.testing.assert_allclose(single[1], double[1], rtol=2e-5, atol=2e-8)

    def test_inside(self) -> None:
        """After a step the state still says which regime it was in."""
        model = build()
        assert isinstance(model, VaryingInside)
        states, _, _ = stepped(model, steps=STEPS, paths=PATHS, seed=SEED)
        last = jax.tree.map(lambda leaf: leaf[-1], states)
        found = model.inside(last)
        assert isinstance(found, Inside)
        assert found.root.shape == (2, 2, PATHS)
        for path in range(0, PATHS, 7):
            np.testing.assert_array_equal(found.root[..., path], model.roots[last.regime[path]])
        np.testing.assert_array_equal(found.jump, np.zeros((2, 1)))

    def test_typical_root_is_that_of_the_whole(self) -> None:
        root = np.asarray(build().covariance_root)
        expected = VOLATILITY[:, None] * VOLATILITY * CORRELATION * STEP_YEARS
        np.testing.assert_allclose(root @ root.T, expected, rtol=1e-12)


class TestChain:
    def test_holds_through_an_interval(self) -> None:
        states, _, _ = stepped(build(), steps=STEPS, paths=PATHS, seed=SEED)
        by_bar = np.asarray(states.regime).reshape(10, BAR, PATHS)
        assert (by_bar == by_bar[:, :1]).all()
        assert (np.diff(by_bar[:, 0], axis=0) != 0).any()

    def test_frequencies(self) -> None:
        """First regimes and transitions against their probabilities, in standard errors."""
        paths, bars = 20_000, 8
        states, _, _ = stepped(build(bar_steps=1), steps=bars, paths=paths, seed=SEED)
        regime = np.asarray(states.regime)
        rows = [(regime[0], INITIAL)]
        rows += [(regime[1:][regime[:-1] == k], TRANSITION[k]) for k in range(3)]
        for found, chances in rows:
            share = np.bincount(found.ravel(), minlength=3) / found.size
            error = np.sqrt(chances * (1 - chances) / found.size)
            assert (share[chances == 0] == 0).all()
            assert (np.abs(share - chances) <= 4.5 * error).all()

    def test_sure_transitions(self) -> None:
        """A chain without chance goes round: a probability of 1 is 1, and of 0 is 0."""
        model = build(
            bar_steps=1,
            transition=np.roll(np.eye(3), 1, axis=1),
            initial=np.array([0.0, 0.0, 1.0]),
        )
        states, _, _ = stepped(model, steps=7, paths=2_000, seed=SEED)
        expected = (2 + np.arange(7)) % 3
        np.testing.assert_array_equal(states.regime, np.repeat(expected[:, None], 2_000, axis=1))

    def test_last_bits(self) -> None:
        """The largest and the smallest draw stay inside the probabilities that are not 0."""
        model = build(
            transition=np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]),
        )
        limits = np.asarray(model.thresholds)
        for row, sure in enumerate((0, 1, 2)):
            for bits in (0, 2**31 - 1):
                assert (bits >= limits[row]).sum() == sure


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("initial", np.array([0.5, 0.6, 0.3])),
        ("initial", np.array([1.2, -0.2, 0.0])),
        ("transition", 0.9 * TRANSITION),
    ],
)
def test_probabilities_are_checked(key: str, value: np.ndarray) -> None:
    with pytest.raises(ValueError, match="sum to 1"):
        build(**{key: value})
