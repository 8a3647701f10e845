"""Estimates of every model against histories of a known law, and the densities they rest on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import scipy.stats
from scipy.integrate import quad

from stress.calibrate.fit import MODELS, fit
from stress.calibrate.garch import filtered_variance
from stress.calibrate.jump_diffusion import jump_covariance
from stress.calibrate.regime import filtered_probabilities
from stress.calibrate.sample import Parameters
from stress.calibrate.scores import SCORED, log_score
from stress.calibrate.student_t import t_log_density
from stress.errors import InputError
from stress.types import Floats
from tests.calibrate.histories import (
    ANNUAL,
    ASSETS,
    CASES,
    CORRELATION,
    DEVIATION,
    TRANSITION,
    clustered,
    history,
    normal,
    skewed,
    standardised,
    student,
    switching,
)

SMALL = Parameters(
    assets=("A",),
    mean=np.array([0.001]),
    deviation=np.array([0.04]),
    correlation=np.ones((1, 1)),
    years=1 / 365,
)
TABLES: dict[str, dict[str, Any]] = {
    "gbm": {},
    "student-t": {"degrees_of_freedom": 3.5},
    "skewed-t": {"degrees_of_freedom": 6.0, "skewness": {"A": -0.3}},
    "jump-diffusion": {
        "common": {"rate": 10.0, "mean": -0.05, "deviation": 0.08},
        "exposure": {"A": 0.7},
        "own": {},
    },
    "garch": {
        "degrees_of_freedom": 5.0,
        "alpha": {"A": 0.1},
        "gamma": {"A": 0.05},
        "beta": {"A": 0.8},
        "initial_volatility": {"A": 0.9},
    },
    "regime": {
        "states": [
            {"name": "calm", "volatility": {"A": 0.5}, "correlation": [[1.0]]},
            {"name": "stress", "volatility": {"A": 1.5}, "correlation": [[1.0]]},
        ],
        "transition": [[0.95, 0.05], [0.2, 0.8]],
        "initial": [0.3, 0.7],
    },
}


def test_every_model_has_a_case() -> None:
    assert TABLES.keys() == SCORED.keys()
    assert {*CASES, "gbm", "bootstrap", "filtered-historical"} == set(MODELS)


@pytest.mark.parametrize("model", TABLES)
def test_densities_integrate_to_one_with_the_stated_moments(model: Any) -> None:
    """One bar of one asset: total 1, the stated mean and, where it is stated, variance."""
    parameters = replace(SMALL, table=TABLES[model])

    def density(value: float) -> float:
        bar = np.array([[value]])
        return float(np.exp(log_score(model, bar, parameters, going_on=True)[0]))

    edges = [-5.0, -1.0, -0.3, -0.1, 0.0, 0.1, 0.3, 1.0, 5.0]
    moments = []
    for power in range(3):
        pieces = [
            quad(lambda x, k=power: density(x) * x**k, low, high, limit=200)[0]
            for low, high in zip(edges[:-1], edges[1:], strict=True)
        ]
        moments.append(sum(pieces))
    assert moments[0] == pytest.approx(1, abs=1e-6)
    assert moments[1] == pytest.approx(0.001, abs=2e-6)
    variance = {"garch": 0.9**2 / 365, "regime": (0.3 * 0.5**2 + 0.7 * 1.5**2) / 365}
    heavy = model in ("student-t", "skewed-t")
    assert moments[2] - moments[1] ** 2 == pytest.approx(
        variance.get(model, 0.04**2), rel=0.01 if heavy else 1e-4
    )


def test_the_t_density_is_scipys() -> None:
    generator = np.random.default_rng(2)
    values = generator.normal(size=(20, 3))
    scatter = CORRELATION * 1.3
    expected = scipy.stats.multivariate_t(shape=scatter, df=4.5).logpdf(values)
    np.testing.assert_allclose(t_log_density(values, scatter, 4.5), expected, rtol=1e-12)


def test_the_variance_filter_is_the_recursion() -> None:
    generator = np.random.default_rng(3)
    returns = 0.03 * generator.standard_normal((40, 2))
    returns[7, 1] = np.nan
    alpha, gamma, beta = np.array([0.1, 0.05]), np.array([0.05, -0.02]), np.array([0.8, 0.9])
    target = np.array([0.001, 0.002])
    found = filtered_variance(returns, alpha, gamma, beta, target=target, start=target)
    for asset in range(2):
        value = target[asset]
        omega = target[asset] * (1 - alpha[asset] - gamma[asset] / 2 - beta[asset])
        for bar in range(40):
            assert found[bar, asset] == pytest.approx(value, rel=1e-12)
            shock = returns[bar, asset]
            square = (alpha[asset] + gamma[asset] * (shock < 0)) * shock**2
            if np.isnan(shock):
                square = (alpha[asset] + gamma[asset] / 2) * value
            value = omega + square + beta[asset] * value
        assert found[40, asset] == pytest.approx(value, rel=1e-12)
    with pytest.raises(ValueError, match="omega or target"):
        filtered_variance(returns, alpha, gamma, beta)


def test_the_regime_filter_is_bayes_rule() -> None:
    """Against the sum over all 2^6 sequences of regimes."""
    generator = np.random.default_rng(4)
    returns = 0.04 * generator.standard_normal((6, 2))
    covariances = np.array([np.diag([0.001, 0.002]), np.array([[0.004, 0.003], [0.003, 0.005]])])
    initial, mean = np.array([0.6, 0.4]), np.array([0.001, -0.002])
    found = filtered_probabilities(returns, mean, covariances, TRANSITION, initial)
    laws = [scipy.stats.multivariate_normal(mean, covariance) for covariance in covariances]
    for bars in range(7):
        weight = np.zeros(2)
        for code in range(2 ** (bars + 1)):
            states = [(code >> bar) & 1 for bar in range(bars + 1)]
            chance = initial[states[0]]
            for before, after in zip(states[:-1], states[1:], strict=True):
                chance *= TRANSITION[before, after]
            for bar, state in enumerate(states[:-1]):
                chance *= laws[state].pdf(returns[bar])
            weight[states[-1]] += chance
        np.testing.assert_allclose(found[bars], weight / weight.sum(), rtol=1e-10)


@pytest.mark.parametrize("model", CASES)
def test_estimates_are_near_the_truth(model: str) -> None:
    """Wide sanity: two histories, no parameter off by five standard errors, most within two."""
    found = [standardised(CASES[model], seed, 700) for seed in (0, 1)]
    values = np.abs([value for one in found for value in one.values()])
    assert values.max() < 5
    assert np.mean(values < 2.5) >= 0.75


@pytest.fixture(scope="module")
def whole() -> Any:
    returns = clustered(np.random.default_rng(11), 500)
    volume = np.full((501, 3), 10.0)
    return returns, fit(history(returns, volume=volume))


def test_every_model_is_fitted_and_described(whole: Any) -> None:
    returns, found = whole
    assert found.skipped == {}
    assert set(found.fits) == set(MODELS)
    assert set(found.models) == set(MODELS) - {"gbm"}
    for model in SCORED:
        described = found.fits[model]
        likelihood, count = described["log_likelihood"], described["parameters"]
        assert described["aic"] == pytest.approx(2 * count - 2 * likelihood)
        assert described["bic"] == pytest.approx(count * np.log(500) - 2 * likelihood)
        scores = log_score(model, returns, found.parameters[model])
        assert described["log_likelihood_as_simulated"] == pytest.approx(scores.sum())
        # the gbm is within every one of the others but for the sample's own volatility
        assert likelihood > found.fits["gbm"]["log_likelihood"] - 1e-6
    close = history(returns).close
    expected = 10 * close[-30:].mean(axis=0)
    np.testing.assert_allclose(found.adv, expected, rtol=1e-12)


def test_clustered_returns_are_best_described_by_the_model_that_made_them(whole: Any) -> None:
    _, found = whole
    best = min(SCORED, key=lambda model: found.fits[model]["bic"])
    assert best == "garch"


@pytest.mark.parametrize(
    ("draw", "best"), [(normal, "gbm"), (student, "student-t"), (switching, "regime")]
)
def test_information_criteria_choose_the_law_of_the_history(draw: Any, best: str) -> None:
    names: Any = ["gbm", "student-t", "garch", "regime"]
    found = fit(history(draw(np.random.default_rng(6), 800)), names, remove_wicks=False)
    assert min(found.fits, key=lambda model: found.fits[model]["bic"]) == best


def test_a_filter_goes_on_where_the_history_ended(whole: Any) -> None:
    """Scores of the whole history are those of its first part and of the rest going on from it."""
    returns, found = whole
    for model in ("garch", "regime"):
        parameters = found.parameters[model]
        at = 300
        table = dict(parameters.table)
        if model == "garch":
            weights = [parameters.numbers(key) for key in ("alpha", "gamma", "beta")]
            variance = filtered_variance(
                returns[:at] - parameters.mean,
                *weights,
                target=parameters.deviation**2,
                start=np.nanmean((returns - parameters.mean) ** 2, axis=0),
            )[-1]
            volatility = np.sqrt(variance / parameters.years)
            table["initial_volatility"] = dict(zip(ASSETS, volatility.tolist(), strict=True))
        else:
            scale = parameters.years**0.5
            deviations = [
                np.array(list(state["volatility"].values())) * scale for state in table["states"]
            ]
            covariances = np.array(
                [
                    np.array(state["correlation"]) * np.outer(deviation, deviation)
                    for state, deviation in zip(table["states"], deviations, strict=True)
                ]
            )
            table["initial"] = filtered_probabilities(
                returns[:at], parameters.mean, covariances, np.array(table["transition"])
            )[-1].tolist()
        rest = log_score(model, returns[at:], replace(parameters, table=table), going_on=True)
        np.testing.assert_allclose(rest, log_score(model, returns, parameters)[at:], rtol=1e-9)


def test_what_is_simulated_fits_into_the_shared_covariance() -> None:
    found = fit(
        history(skewed(np.random.default_rng(8), 400)),
        ["skewed-t", "jump-diffusion"],
        remove_wicks=False,
    )
    covariance = found.correlation * np.outer(found.volatility, found.volatility)
    jumps = jump_covariance(ASSETS, found.models["jump-diffusion"])
    assert np.linalg.eigvalsh(covariance - jumps)[0] > 0
    table = found.models["skewed-t"]
    freedom = table["degrees_of_freedom"]
    skewness = np.array(list(table["skewness"].values()))
    variance = 2 * freedom**2 / ((freedom - 2) ** 2 * (freedom - 4))
    left = found.correlation - variance * np.outer(skewness, skewness)
    assert np.linalg.eigvalsh(left)[0] > 0


def test_one_asset_is_enough() -> None:
    returns = clustered(np.random.default_rng(12), 400)[:, :1]
    found = fit(history(returns, ("A",)))
    assert found.skipped == {}
    assert found.correlation.tolist() == [[1.0]]
    jumps = found.models["jump-diffusion"]
    assert jumps["own"]["A"]["rate"] == 0
    assert any("one asset" in note for note in found.fits["jump-diffusion"]["notes"])
    assert found.volatility[0] == pytest.approx(DEVIATION[0] * ANNUAL, rel=0.4)


def test_a_variance_that_does_not_return_is_pulled_back_and_said() -> None:
    """Integrated variance: alpha + beta = 1."""
    generator = np.random.default_rng(3)
    value, returns = 1e-3, np.empty((1200, 1))
    for bar in range(1200):
        returns[bar] = np.sqrt(value) * generator.standard_normal()
        value = 2e-6 + 0.12 * float(returns[bar, 0]) ** 2 + 0.88 * value
    found = fit(history(returns, ("A",)), ["garch"], remove_wicks=False)
    table = found.models["garch"]
    persistence = table["alpha"]["A"] + table["gamma"]["A"] / 2 + table["beta"]["A"]
    assert persistence <= 0.999 + 1e-12
    if persistence > 0.9989:
        assert "0.999" in found.fits["garch"]["notes"][0]


def refusal(returns: Floats, models: Any = None) -> str:
    with pytest.raises(InputError) as caught:
        fit(history(returns), models)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_a_short_history_leaves_models_out_and_says_so() -> None:
    returns = normal(np.random.default_rng(1), 60)
    found = fit(history(returns))
    assert set(found.fits) == {"gbm"}
    assert "60 common bars of 3 assets, needed are 100" in found.skipped["garch"]
    text = refusal(returns, ["garch"])
    assert "garch cannot be estimated: 60 common bars" in text
    assert "--models" in text
    assert "needed are 30" in refusal(returns[:20])


def test_a_wick_does_not_reach_the_estimates() -> None:
    returns = normal(np.random.default_rng(2), 300)
    returns[100, 0], returns[101, 0] = 9.3, -9.3
    found = fit(history(returns), ["gbm", "student-t"])
    assert [wick.asset for wick in found.cleaning.wicks] == ["A"]
    assert found.volatility[0] == pytest.approx(DEVIATION[0] * ANNUAL, rel=0.15)
    returns[101, 0] = 0.0
    assert "A moves by a factor of 1.09e+04" in refusal(returns)


@pytest.mark.parametrize(("package", "model"), [("arch", "garch"), ("arch.bootstrap", "bootstrap")])
def test_without_arch_the_remedy_is_the_extra(
    monkeypatch: pytest.MonkeyPatch, package: str, model: Any
) -> None:
    monkeypatch.setitem(__import__("sys").modules, package, None)
    with pytest.raises(InputError, match=r"arch is needed .* pip install 'margin-stress\[cal"):
        fit(history(normal(np.random.default_rng(1), 200)), [model])
