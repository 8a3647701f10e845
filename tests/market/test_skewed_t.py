"""Skewed t returns: what the mixing does to a bar, and what correlations leave room for."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest

from stress.market.skewed_t import SkewedT
from stress.market.student_t import StudentT
from tests.market.states import stepped

VOLATILITY = np.array([0.3, 0.8, 1.5])
DRIFT = np.array([0.5, 0.0, -1.0])
CORRELATION = np.array([[1.0, 0.7, -0.3], [0.7, 1.0, 0.2], [-0.3, 0.2, 1.0]])
SKEWNESS = np.array([-0.3, -0.2, 0.1])
STEP_YEARS = 1 / 365
STEPS, BAR, PATHS = 6, 3, 1_000
COMMON: dict[str, Any] = {
    "volatility": VOLATILITY,
    "drift": DRIFT,
    "correlation": CORRELATION,
    "step_years": STEP_YEARS,
    "bar_steps": BAR,
    "precision": "float64",
}


def build(
    degrees_of_freedom: float = 6.0, skewness: np.ndarray = SKEWNESS, **changes: Any
) -> SkewedT:
    numbers = {**COMMON, **changes}
    return SkewedT.build(degrees_of_freedom=degrees_of_freedom, skewness=skewness, **numbers)


def test_variance_of_a_bar() -> None:
    """The skewed and the normal part together have the stated covariance, ``var W = 2/(nu-4)``."""
    model = build()
    spread = 2 / (6.0 - 4.0)
    slope, root = np.asarray(model.slope), np.asarray(model.covariance_root)
    covariance = BAR**2 * spread * np.outer(slope, slope) + BAR * root @ root.T
    expected = VOLATILITY[:, None] * VOLATILITY * CORRELATION * STEP_YEARS * BAR
    np.testing.assert_allclose(covariance, expected, rtol=1e-12)
    np.testing.assert_allclose(model.mean, (DRIFT - VOLATILITY**2 / 2) * STEP_YEARS, rtol=1e-14)


def test_a_step() -> None:
    """The mean moves by the same in each step of a bar, the shock is scaled by sqrt(W)."""
    model = build()
    states, returns, normals = stepped(model, steps=STEPS, paths=PATHS, seed=3)
    wild = np.asarray(states.mixing)
    bars = wild.reshape(-1, BAR, PATHS)
    assert (bars == bars[:, :1]).all()
    assert (bars[0] != bars[1]).all()
    # b EV (W - 1) deviations of a bar, over its steps
    moved = SKEWNESS * 1.5 * VOLATILITY * np.sqrt(STEP_YEARS * BAR) / BAR
    expected = np.asarray(model.mean)[:, None] + moved[:, None] * (wild - 1)[:, None]
    shock = np.einsum("ab,sbp->sap", model.covariance_root, normals)
    expected = expected + np.sqrt(wild)[:, None] * shock
    np.testing.assert_allclose(returns, expected, rtol=1e-9, atol=1e-12)


def test_inside() -> None:
    """W times the covariance of the Brownian part; what is spread over the bar is no variance."""
    model = build()
    states, _, _ = stepped(model, steps=STEPS, paths=PATHS, seed=3)
    last = jax.tree.map(lambda leaf: leaf[-1], states)
    root, jump = model.inside(last)
    centre, freedom = 1.5, 6.0
    rest = CORRELATION - 2 * centre**2 / (freedom - 4) * np.outer(SKEWNESS, SKEWNESS)
    covariance = VOLATILITY[:, None] * VOLATILITY * rest * STEP_YEARS
    expected = np.asarray(last.mixing)[:, None, None] * covariance
    np.testing.assert_allclose(np.einsum("abp,cbp->pac", root, root), expected, rtol=1e-10)
    np.testing.assert_array_equal(jump, np.zeros((3, 1)))


def test_without_skewness_it_is_the_student_t() -> None:
    """Digit by digit: the draws are the same."""
    _, found, _ = stepped(build(5.0, np.zeros(3)), steps=STEPS, paths=PATHS, seed=3)
    student = StudentT.build(degrees_of_freedom=5.0, **COMMON)
    _, expected, _ = stepped(student, steps=STEPS, paths=PATHS, seed=3)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("freedom", "skewness"),
    [
        (6.0, [-0.7, -0.7, -0.7]),
        (4.01, [-0.1, -0.1, -0.1]),
        # alone each would do; two that move together cannot be skewed apart
        (6.0, [-0.4, 0.4, 0.0]),
    ],
)
def test_too_much_skewness(freedom: float, skewness: list[float]) -> None:
    with pytest.raises(ValueError, match=r"eigenvalue of -.*bring skewness nearer to 0"):
        build(freedom, np.array(skewness))


def test_as_much_as_there_is_room_for() -> None:
    """One asset whose skewed part is all of it: an eigenvalue of 0 that rounds below it."""
    model = build(
        6.0,
        np.array([-2 / 3]),
        volatility=np.ones(1),
        drift=np.zeros(1),
        correlation=np.eye(1),
    )
    assert abs(float(model.covariance_root[0, 0])) < 1e-7
