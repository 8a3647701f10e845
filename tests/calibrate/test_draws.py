"""Draws of parameters: their spread is the standard error, and they are always admissible."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from stress.calibrate.draws import drawn, drawn_correlation
from stress.calibrate.jump_diffusion import jump_covariance

ASSETS = ("A", "B", "C")
VOLATILITY = np.array([0.6, 0.8, 1.2])
CORRELATION = np.array([[1.0, 0.8, 0.5], [0.8, 1.0, 0.6], [0.5, 0.6, 1.0]])


def same(value: float) -> dict[str, float]:
    return dict.fromkeys(ASSETS, value)


TABLES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "gbm": ({}, {}),
    "student-t": (
        {"interval": "1d", "degrees_of_freedom": 2.3},
        {"degrees_of_freedom": 0.3},
    ),
    "skewed-t": (
        {"interval": "1d", "degrees_of_freedom": 5.0, "skewness": same(-0.2)},
        {"degrees_of_freedom": 0.8, "skewness": same(0.1)},
    ),
    "jump-diffusion": (
        {
            "sizes": "merton",
            "common": {"rate": 20.0, "mean": -0.04, "deviation": 0.08},
            "exposure": same(1.0),
            "own": {asset: {"rate": 20.0, "mean": 0.0, "deviation": 0.08} for asset in ASSETS},
        },
        {
            "common": {"rate": 10.0, "mean": 0.02, "deviation": 0.02},
            "own": {asset: {"rate": 10.0, "deviation": 0.02} for asset in ASSETS},
        },
    ),
    "garch": (
        {
            "interval": "1d",
            "degrees_of_freedom": 4.0,
            "alpha": same(0.08),
            "gamma": same(-0.02),
            "beta": same(0.92),
            "initial_volatility": same(0.7),
        },
        {
            "degrees_of_freedom": 0.3,
            "alpha": same(0.05),
            "gamma": same(0.1),
            "beta": same(0.05),
        },
    ),
    "regime": (
        {
            "interval": "1d",
            "states": [
                {"name": "calm", "volatility": same(0.5), "correlation": CORRELATION.tolist()},
                {"name": "stress", "volatility": same(1.2), "correlation": CORRELATION.tolist()},
            ],
            "transition": [[0.97, 0.03], [0.1, 0.9]],
            "initial": [0.9, 0.1],
        },
        {
            "states": [{"volatility": same(0.02)}, {"volatility": same(0.1)}],
            "transition": [[0.02, 0.02], [0.05, 0.05]],
        },
    ),
}


def one(model: str, seed: int) -> Any:
    table, errors = TABLES[model]
    return drawn(
        model,
        ASSETS,
        table,
        errors,
        volatility=VOLATILITY,
        volatility_error=0.1 * VOLATILITY,
        correlation=CORRELATION,
        observations=200.0,
        generator=np.random.default_rng(seed),
    )


def positive_definite(matrix: Any) -> bool:
    found = np.array(matrix)
    return bool(
        np.allclose(np.diag(found), 1.0)
        and np.array_equal(found, found.T)
        and np.linalg.eigvalsh(found)[0] > 0
    )


@pytest.mark.parametrize("model", TABLES)
def test_draws_are_admissible(model: str) -> None:
    before = repr(TABLES[model])
    for seed in range(200):
        found = one(model, seed)
        table = found.table
        assert (found.volatility > 0).all()
        assert positive_definite(found.correlation)
        assert table.keys() == TABLES[model][0].keys()
        covariance = found.correlation * np.outer(found.volatility, found.volatility)
        if model == "student-t":
            assert table["degrees_of_freedom"] > 2
        if model == "skewed-t":
            freedom = table["degrees_of_freedom"]
            skewness = np.array(list(table["skewness"].values()))
            variance = 2 * freedom**2 / ((freedom - 2) ** 2 * (freedom - 4))
            left = found.correlation - variance * np.outer(skewness, skewness)
            assert freedom > 4
            assert np.linalg.eigvalsh(left)[0] > 0
        if model == "jump-diffusion":
            assert np.linalg.eigvalsh(covariance - jump_covariance(ASSETS, table))[0] > 0
        if model == "garch":
            for asset in ASSETS:
                alpha, gamma, beta = (table[key][asset] for key in ("alpha", "gamma", "beta"))
                assert alpha >= 0
                assert alpha + gamma >= -1e-12
                assert 0 <= beta < 1
                assert alpha + gamma / 2 + beta < 0.9991
            assert table["initial_volatility"] == same(0.7)
        if model == "regime":
            moves = np.array(table["transition"])
            assert ((moves > 0) & (moves < 1)).all()
            np.testing.assert_allclose(moves.sum(axis=1), 1, rtol=1e-12)
            assert all(positive_definite(state["correlation"]) for state in table["states"])
            assert all(value > 0 for s in table["states"] for value in s["volatility"].values())
    assert repr(TABLES[model]) == before


def test_the_spread_of_draws_is_the_standard_error() -> None:
    volatility = np.array([one("gbm", seed).volatility for seed in range(2000)])
    np.testing.assert_allclose(np.log(volatility).std(axis=0), 0.1, rtol=0.06)
    np.testing.assert_allclose(np.median(volatility, axis=0), VOLATILITY, rtol=0.01)
    rates = [one("regime", seed).table["transition"][0][1] for seed in range(2000)]
    assert np.std(np.log(np.array(rates) / (1 - np.array(rates)))) == pytest.approx(
        0.02 / (0.03 * 0.97), rel=0.06
    )


def test_a_correlation_is_drawn_as_a_sample_of_that_size_would_give_it() -> None:
    generator = np.random.default_rng(5)
    found = np.array([drawn_correlation(CORRELATION, 100.0, generator) for _ in range(3000)])
    # Fisher: the inverse hyperbolic tangent has variance 1 / (n - 3), n vectors with known mean - 2
    spread = np.arctanh(found[:, 2, 0]).std()
    assert spread == pytest.approx(1 / np.sqrt(98), rel=0.05)
    assert np.median(found[:, 1, 0]) == pytest.approx(0.8, abs=0.01)


def test_what_has_no_error_stays() -> None:
    table, _ = TABLES["garch"]
    found = drawn(
        "garch",
        ASSETS,
        table,
        {},
        volatility=VOLATILITY,
        volatility_error=np.zeros(3),
        correlation=CORRELATION,
        observations=np.inf,
        generator=np.random.default_rng(1),
    )
    assert found.table == table
    np.testing.assert_array_equal(found.volatility, VOLATILITY)
    np.testing.assert_array_equal(found.correlation, CORRELATION)
    assert repr(one("garch", 4)) == repr(one("garch", 4))
