"""Regimes and GARCH against exact moments, laws of a chain, and first passage by quadrature.

Every case is simulated alone, with a seed of its own: all assets of a market share its regime and
its mixing variable, so that accounts of one run do not err independently.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.typing import NDArray

from stress.engine.passage import first_passage
from stress.market.garch import Garch
from stress.market.regime import RegimeSwitching
from stress.runner.prepare import prepare
from stress.scenario.load import load_scenario
from tests.market.states import stepped
from tests.reference import barrier
from tests.reference.clusters import Gjr, gjr_moments, gjr_passage, occupation, regime_passage

from .books import book_of
from .problems import YEAR, Problem
from .scores import binomial_scores, check_each, check_standard_normal

Floats = NDArray[np.float64]

PATHS = 200_000
WIDTH = 250
"""Paths that are followed together."""
SEED = 20_261_122
DAY = 1 / YEAR


# --- moments of GARCH ----------------------------------------------------------------------------


def _gjr(number: int) -> Gjr:
    """Return weights of a day, some of them asymmetric, some far from where they end."""
    rng = np.random.default_rng(number)
    alpha, gamma = rng.uniform(0.02, 0.1), rng.uniform(-0.02, 0.1)
    persistence = rng.uniform(0.5, 0.95)
    variance = rng.uniform(0.3, 1.2) ** 2 * DAY
    return Gjr(
        variance=variance,
        first=variance * rng.uniform(0.3, 2.0),
        alpha=alpha,
        gamma=gamma,
        beta=persistence - alpha - gamma / 2,
        nu=rng.uniform(20.0, 60.0),
    )


CASES = [_gjr(number) for number in range(12)]
GARCH_NAMES = [f"garch {number}" for number in range(12)]
BARS = 8


def _model(case: Gjr, *, assets: int = 1, correlation: float = 0.0) -> Garch:
    """Return a market of a bar a step whose assets are all the same, without a mean."""
    every = np.ones(assets)
    volatility = np.sqrt(case.variance / DAY)
    return Garch.build(
        volatility=volatility * every,
        drift=volatility**2 / 2 * every,
        correlation=np.where(np.eye(assets) > 0, 1.0, correlation),
        step_years=DAY,
        bar_steps=1,
        precision="float64",
        degrees_of_freedom=case.nu,
        alpha=case.alpha * every,
        gamma=case.gamma * every,
        beta=case.beta * every,
        initial_volatility=np.sqrt(case.first / DAY) * every,
    )


def _score(sample: Floats, truth: float) -> float:
    return float((sample.mean() - truth) / (sample.std() / np.sqrt(sample.size)))


@pytest.fixture(scope="module")
def last_bars() -> list[tuple[Floats, Floats]]:
    """Return the demeaned returns of the last but one and the last bar of each case, (paths,)."""
    found = []
    for number, case in enumerate(CASES):
        _, returns, _ = stepped(_model(case), steps=BARS, paths=PATHS, seed=SEED + number)
        before, last = np.asarray(returns)[-2:, 0]
        found.append((before, last))
    return found


class TestGarchMoments:
    """At the eighth bar, where the start is not forgotten: exact, by recursion over bars."""

    def test_the_recursion_ends_at_the_closed_forms(self) -> None:
        """Bollerslev's variance and kurtosis, and the first autocorrelation of squares."""
        for case in CASES:
            far, closed = gjr_moments(case, 3_000), gjr_moments(case, None)
            np.testing.assert_allclose(
                [far.second, far.fourth, far.squares],
                [closed.second, closed.fourth, closed.squares],
                rtol=1e-10,
            )
        # gamma = 0, normal innovations: 3 (1 - p^2) / (1 - p^2 - 2 alpha^2)
        alpha, beta = 0.1, 0.8
        plain = Gjr(1.0, 1.0, alpha, 0.0, beta, 1e9)
        expected = 3 * (1 - 0.9**2) / (1 - 0.9**2 - 2 * alpha**2)
        moments = gjr_moments(plain, None)
        assert moments.kurtosis == pytest.approx(expected, rel=1e-6)
        # alpha (1 - alpha beta - beta^2) / (1 - 2 alpha beta - beta^2)
        correlation = (moments.squares - 1) / (moments.fourth - 1)
        expected = alpha * (1 - alpha * beta - beta**2) / (1 - 2 * alpha * beta - beta**2)
        assert correlation == pytest.approx(expected, rel=1e-6)

    def test_variance(self, last_bars: Sequence[tuple[Floats, Floats]]) -> None:
        scores = [
            _score(last**2, gjr_moments(case, BARS).second)
            for case, (_, last) in zip(CASES, last_bars, strict=True)
        ]
        check_standard_normal(np.array(scores), GARCH_NAMES)

    def test_fourth_moment(self, last_bars: Sequence[tuple[Floats, Floats]]) -> None:
        scores = [
            _score(last**4, gjr_moments(case, BARS).fourth)
            for case, (_, last) in zip(CASES, last_bars, strict=True)
        ]
        check_standard_normal(np.array(scores), GARCH_NAMES)

    def test_squares_of_neighbours(self, last_bars: Sequence[tuple[Floats, Floats]]) -> None:
        scores = [
            _score((before * last) ** 2, gjr_moments(case, BARS).squares)
            for case, (before, last) in zip(CASES, last_bars, strict=True)
        ]
        check_standard_normal(np.array(scores), GARCH_NAMES)

    def test_mean_and_asymmetry(self, last_bars: Sequence[tuple[Floats, Floats]]) -> None:
        """No mean, and ``E[e h'] = 0`` but for gamma: a fall is followed by a wilder bar."""
        scores = [_score(last, 0.0) for _, last in last_bars]
        check_standard_normal(np.array(scores), GARCH_NAMES)
        after = [
            _score(np.sign(before) * last**2, 0.0)
            for case, (before, last) in zip(CASES, last_bars, strict=True)
            if case.gamma > 0.05
        ]
        assert len(after) >= 3
        assert max(after) < -5.0

    def test_assets_share_the_mixing_variable(self) -> None:
        """First bar: ``E[e_a e_b] = r h``, ``E[e_a^2 e_b^2] = h^2 E[W^2] (1 + 2 r^2)``."""
        scores, correlations = [], (-0.6, 0.0, 0.5, 0.9)
        for number, correlation in enumerate(correlations):
            case = replace(CASES[number], nu=25.0)
            model = _model(case, assets=2, correlation=correlation)
            _, returns, _ = stepped(model, steps=1, paths=PATHS, seed=SEED + 50 + number)
            first, second = np.asarray(returns)[0]
            spread = case.kurtosis / 3
            expected = case.first**2 * spread * (1 + 2 * correlation**2)
            scores.append(_score(first * second, correlation * case.first))
            scores.append(_score((first * second) ** 2, expected))
        check_each(np.array(scores), [f"{r} {what}" for r in correlations for what in ("1", "2")])

    def test_unconditional(self) -> None:
        """After sixty bars the start is forgotten: stated variance, closed-form kurtosis."""
        case = Gjr(0.6**2 * DAY, 1.0 * DAY, 0.06, 0.06, 0.75, 30.0)
        assert case.persistence**60 < 1e-3
        _, returns, _ = stepped(_model(case), steps=60, paths=50_000, seed=SEED + 60)
        last = np.asarray(returns)[-1, 0]
        closed = gjr_moments(case, None)
        scores = [_score(last**2, closed.second), _score(last**4, closed.fourth)]
        check_each(np.array(scores), ["variance", "fourth moment"])


# --- occupation of regimes -----------------------------------------------------------------------

CHAINS = 12
CHAIN_NAMES = [f"chain {number}" for number in range(CHAINS)]
CHAIN_BARS = 10


def _chain(number: int) -> tuple[Floats, Floats]:
    """Return a transition matrix of three regimes, sticky or not, and an initial law."""
    rng = np.random.default_rng(100 + number)
    rows = rng.dirichlet(np.ones(3), 3) + rng.uniform(0, 4) * np.eye(3)
    return rows / rows.sum(axis=1, keepdims=True), rng.dirichlet(np.ones(3))


@pytest.fixture(scope="module")
def counts() -> list[Floats]:
    """Return how many bars each path of each chain spends in the last regime."""
    found = []
    for number in range(CHAINS):
        transition, initial = _chain(number)
        model = RegimeSwitching.build(
            volatility=np.ones(1),
            drift=np.zeros(1),
            correlation=np.eye(1),
            step_years=DAY,
            bar_steps=1,
            precision="float64",
            volatilities=np.ones((3, 1)),
            correlations=[np.eye(1)] * 3,
            transition=transition,
            initial=initial,
        )
        states, _, _ = stepped(model, steps=CHAIN_BARS, paths=PATHS, seed=SEED + 200 + number)
        found.append((np.asarray(states.regime) == 2).sum(axis=0).astype(float))
    return found


class TestOccupation:
    """How many of ten bars a path spends in one of three regimes."""

    number = np.arange(CHAIN_BARS + 1.0)

    def laws(self) -> list[Floats]:
        return [occupation(*_chain(number), CHAIN_BARS, 2)[0] for number in range(CHAINS)]

    def test_mean(self, counts: Sequence[Floats]) -> None:
        scores = []
        for found, law in zip(counts, self.laws(), strict=True):
            mean = law @ self.number
            variance = law @ (self.number - mean) ** 2
            scores.append((found.mean() - mean) / np.sqrt(variance / PATHS))
        check_standard_normal(np.array(scores), CHAIN_NAMES)

    def test_variance(self, counts: Sequence[Floats]) -> None:
        scores = []
        for found, law in zip(counts, self.laws(), strict=True):
            mean = law @ self.number
            variance, fourth = (law @ (self.number - mean) ** k for k in (2, 4))
            error = np.sqrt((fourth - variance**2) / PATHS)
            scores.append((((found - mean) ** 2).mean() - variance) / error)
        check_standard_normal(np.array(scores), CHAIN_NAMES)

    def test_the_whole_law(self, counts: Sequence[Floats]) -> None:
        """Each count of each chain; all counts of a chain err together, so none alone is far."""
        scores = np.array(
            [
                binomial_scores(np.bincount(found.astype(int), minlength=11) / PATHS, law, PATHS)
                for found, law in zip(counts, self.laws(), strict=True)
            ]
        )
        assert np.abs(scores).max() < 4.5


# --- first passage -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Passage:
    """A position under a model, and P(it is liquidated), watched continuously."""

    problem: Problem
    table: Mapping[str, Any]
    truth: float


def _position(rng: np.random.Generator, days: int, lowest: float) -> Problem:
    side = "long" if rng.random() < 0.5 else "short"
    volatility = rng.uniform(0.4, 1.0)
    # about half of the cases have no mean log return, where time can be changed
    drift = volatility**2 / 2 + rng.choice([0.0, -3.0, 4.0], p=[0.5, 0.25, 0.25])
    leverage = float(np.exp(rng.uniform(np.log(lowest), np.log(25.0))))
    return Problem("only", side, leverage, volatility, days, drift=drift)


def _geometry(problem: Problem) -> tuple[float, float, int]:
    """Return distance to the log barrier, its drift in a day, and 1 for a long."""
    side = 1 if problem.side == "long" else -1
    distance = abs(float(np.log(problem.price / problem.barrier())))
    return distance, side * (problem.drift - problem.volatility**2 / 2) * DAY, side


DAYS = 4


def _regimes(number: int) -> Passage:
    rng = np.random.default_rng(300 + number)
    problem = _position(rng, DAYS, 2.5)
    volatilities = rng.uniform(0.25, 0.6), rng.uniform(0.8, 1.8)
    up, down = rng.uniform(0.05, 0.4, 2)
    transition = np.array([[1 - up, up], [down, 1 - down]])
    first = rng.uniform(0.0, 1.0)
    initial = np.array([first, 1 - first])
    distance, drift, _ = _geometry(problem)
    deviations = [volatility * np.sqrt(DAY) for volatility in volatilities]
    table = {
        "states": [
            {"name": name, "volatility": {"only": volatility}, "correlation": [[1.0]]}
            for name, volatility in zip(("calm", "wild"), volatilities, strict=True)
        ],
        "transition": transition.tolist(),
        "initial": initial.tolist(),
    }
    truth = regime_passage(distance, drift, deviations, transition, initial, DAYS)
    return Passage(problem, table, truth)


GARCH_DAYS = 2


def _clusters(number: int) -> Passage:
    rng = np.random.default_rng(400 + number)
    problem = _position(rng, GARCH_DAYS, 4.0)
    alpha, gamma, beta = rng.uniform(0.05, 0.4), rng.uniform(-0.05, 0.4), rng.uniform(0.1, 0.4)
    nu, first = rng.uniform(2.5, 12.0), rng.uniform(0.5, 1.2)
    distance, drift, side = _geometry(problem)
    case = Gjr(problem.volatility**2 * DAY, first**2 * DAY, alpha, gamma, beta, nu)
    weights = {"alpha": alpha, "gamma": gamma, "beta": beta, "initial_volatility": first}
    table = {
        "degrees_of_freedom": nu,
        **{key: {"only": value} for key, value in weights.items()},
    }
    return Passage(problem, table, gjr_passage(case, distance, drift, side, GARCH_DAYS))


def simulated(
    folder: Path, model: str, case: Passage, *, paths: int, steps: int, seed: int
) -> tuple[Floats, Floats]:
    """Return each path's probability of a liquidation given its nodes, and whether it was hit."""
    plain = book_of(folder, [case.problem], fee=0.0, monitoring="bridge", steps=steps)
    raw = plain.model_dump(exclude_none=True)
    raw["market"].update({"model": model, model: case.table})
    job = prepare(load_scenario(raw))
    worlds = tuple(world.world for world in job.worlds.values())
    weights, hits = [], []
    for first in range(0, paths, WIDTH):
        numbers = jnp.arange(first, first + WIDTH, dtype=jnp.uint32)
        arguments = (job.model, job.price, worlds, job.rules, jnp.asarray(seed, jnp.uint32))
        (pools,), _ = first_passage(*arguments, numbers, schedule=job.schedule)
        weights.append(-np.expm1(np.asarray(pools.survival[0], np.float64)))
        hits.append(np.asarray(pools.step[0]) >= 0)
    return np.concatenate(weights), np.concatenate(hits).astype(float)


def regimes_and_clusters(folder: Path, paths: int) -> Iterator[tuple[str, float, Floats]]:
    """Yield the name of each case below, its truth, and its paths' probabilities, (paths,)."""
    for model, build, steps, seed in (
        ("regime", _regimes, 2 * DAYS, SEED + 300),
        ("garch", _clusters, 4 * GARCH_DAYS, SEED + 400),
    ):
        for number in range(12):
            case = build(number)
            weights, _ = simulated(
                folder, model, case, paths=paths, steps=steps, seed=seed + number
            )
            yield f"{model} {number + 1}", case.truth, weights


def check_passage(
    folder: Path, model: str, build: Callable[[int], Passage], paths: int, steps: int, seed: int
) -> None:
    """Compare twelve cases: weights by their own errors, hits by the binomial's."""
    cases = [build(number) for number in range(12)]
    names = [f"{model} {number}" for number in range(12)]
    truth = np.array([case.truth for case in cases])
    assert 0.001 < truth.min() < 0.1
    assert 0.3 < truth.max() < 0.95
    assert {case.problem.side for case in cases} == {"long", "short"}
    weighed, counted = [], []
    for number, case in enumerate(cases):
        weights, hits = simulated(folder, model, case, paths=paths, steps=steps, seed=seed + number)
        weighed.append(_score(weights, case.truth))
        counted.append(float(binomial_scores(hits.mean(), case.truth, paths)))
        assert weights.std() < hits.std()
    check_standard_normal(np.array(weighed), names)
    check_standard_normal(np.array(counted), names)


@pytest.mark.slow
@pytest.mark.parametrize("paths", [20_000, PATHS])
class TestPassage:
    def test_regimes(self, tmp_path: Path, paths: int) -> None:
        """Four bars of two steps, two regimes."""
        check_passage(tmp_path, "regime", _regimes, paths, 2 * DAYS, SEED + 300)

    def test_garch(self, tmp_path: Path, paths: int) -> None:
        """Two bars of four steps; the second is as wild as the first leaves it."""
        check_passage(tmp_path, "garch", _clusters, paths, 4 * GARCH_DAYS, SEED + 400)


class TestReferences:
    """The quadratures against closed forms that they contain."""

    def test_one_regime(self) -> None:
        """A chain of two equal regimes is a geometric Brownian motion."""
        transition, initial = np.array([[0.9, 0.1], [0.2, 0.8]]), np.array([0.3, 0.7])
        deviation = 0.6 * np.sqrt(DAY)
        for drift in (0.0, -2.0, 3.0):
            found = regime_passage(
                0.09, (drift - 0.18) * DAY, [deviation] * 2, transition, initial, 4
            )
            expected = barrier.continuous(100.0, 100.0 * np.exp(-0.09), 0.6, drift, 4 * DAY)
            assert found == pytest.approx(expected, abs=1e-12)

    def test_time_change(self) -> None:
        """Without a mean only the total variance counts, and so the occupation of a regime."""
        transition, initial = np.array([[0.9, 0.1], [0.2, 0.8]]), np.array([0.3, 0.7])
        calm, wild, bars = 0.02, 0.06, 5
        law, _ = occupation(transition, initial, bars, 1)
        wild_bars = np.arange(bars + 1)
        volatility = np.sqrt((bars - wild_bars) * calm**2 + wild_bars * wild**2)
        given = [
            barrier.continuous(100.0, 100.0 * np.exp(-0.08), v, v**2 / 2, 1.0) for v in volatility
        ]
        found = regime_passage(0.08, 0.0, [calm, wild], transition, initial, bars)
        assert found == pytest.approx(float(law @ given), abs=1e-12)

    @pytest.mark.parametrize("side", [1, -1])
    def test_garch_without_weights(self, side: int) -> None:
        """Constant variance and nearly normal innovations: two bars are one of twice the length."""
        case = Gjr(0.03**2, 0.03**2, 0.0, 0.0, 0.9, 1e7)
        found = gjr_passage(case, 0.07, -0.002, side, 2)
        drift = -2 * 0.002 + 0.03**2
        expected = barrier.continuous(100.0, 100.0 * np.exp(-0.07), 0.03 * np.sqrt(2), drift, 1.0)
        assert found == pytest.approx(expected, rel=1e-5)


def test_draws_are_cheap_to_tell_apart() -> None:
    """Seeds that differ by one give other normals: the cases above are independent."""
    returns = [
        np.asarray(jax.device_get(stepped(_model(CASES[0]), steps=1, paths=64, seed=seed)[1]))
        for seed in (SEED, SEED + 1)
    ]
    assert (returns[0] != returns[1]).all()
