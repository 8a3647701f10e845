"""Student t and skewed t against quadrature over the mixing variable.

Each case has a seed of its own: assets of one run share the mixing variable, cases must not.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import pytest
from numpy.typing import NDArray

import stress
from stress.engine.block import Schedule
from stress.engine.paths import price_paths
from stress.market import PriceModel
from stress.market.skewed_t import SkewedT
from stress.market.student_t import StudentT
from tests.reference import mixtures

from .books import book_of, values
from .problems import YEAR, Problem
from .scores import binomial_scores, check_standard_normal, mean_scores, weight_scores

Floats = NDArray[np.float64]

PATHS = 200_000
SEED = 20_261_123
DAY = 1 / YEAR


def returns(model: PriceModel, bars: int, seed: int) -> Floats:
    """Return (paths, bars, assets) log returns of a bar of two steps."""
    steps = 2 * bars
    schedule = Schedule(steps=steps, block=steps, monitoring="step", precision="float64")
    paths = jnp.arange(PATHS, dtype=jnp.uint32)
    start = jnp.ones(model.assets)
    prices = price_paths(model, start, jnp.asarray(seed, jnp.uint32), paths, schedule=schedule)
    return np.diff(np.log(np.asarray(prices)[:, ::2]), axis=1)


def student(degrees_of_freedom: float, correlation: float) -> StudentT:
    """Return a model of two assets whose bars have mean 0 and variance 1."""
    return StudentT.build(
        volatility=np.ones(2),
        drift=np.full(2, 0.5),
        correlation=np.array([[1.0, correlation], [correlation, 1.0]]),
        degrees_of_freedom=degrees_of_freedom,
        step_years=0.5,
        bar_steps=2,
        precision="float64",
    )


def skewed(degrees_of_freedom: float, skewness: tuple[float, float]) -> SkewedT:
    """Return a model of two assets of correlation .6 whose bars have mean 0 and variance 1."""
    return SkewedT.build(
        volatility=np.ones(2),
        drift=np.full(2, 0.5),
        correlation=np.array([[1.0, 0.6], [0.6, 1.0]]),
        degrees_of_freedom=degrees_of_freedom,
        skewness=np.array(skewness),
        step_years=0.5,
        bar_steps=2,
        precision="float64",
    )


TAILS = (
    (2.2, 0.0, -1.0, -1.0),
    (2.5, 0.8, -2.0, -2.0),
    (3.0, 0.5, -3.0, -1.0),
    (3.0, -0.7, -1.0, 0.5),
    (4.0, 0.0, -2.5, -2.5),
    (4.0, 0.8, -4.0, -3.0),
    (4.0, 0.95, -1.0, -1.5),
    (5.0, 0.3, -1.0, -2.0),
    (6.0, -0.2, -1.0, -1.0),
    (8.0, 0.6, -2.0, -2.0),
    (20.0, 0.4, -1.5, -2.0),
    (1e6, 0.5, -1.0, -1.5),
)
"""Degrees of freedom, correlation and two levels: from .0002 to .3."""


class TestStudentT:
    def test_joint_tails(self) -> None:
        """P(both below) of a bar, and of the next one, which is independent of it."""
        found, again, truth = [], [], []
        for number, (freedom, correlation, *levels) in enumerate(TAILS):
            bars = returns(student(freedom, correlation), 2, SEED + number)
            below = (bars < np.array(levels)).all(axis=2).mean(axis=0)
            found.append(below[0])
            again.append(below[1])
            truth.append(mixtures.both_below(*levels, correlation, freedom))
        names = [str(case) for case in TAILS]
        for share in (found, again):
            check_standard_normal(binomial_scores(np.array(share), truth, PATHS), names)

    def test_sums_of_bars(self) -> None:
        """P(the sum of three bars is below), by characteristic function."""
        cases = [
            (freedom, level)
            for freedom in (2.5, 3.0, 4.0, 6.0, 12.0)
            for level in (-6.0, -3.0, -1.0)
        ]
        found = []
        for number, freedom in enumerate((2.5, 3.0, 4.0, 6.0, 12.0)):
            total = returns(student(freedom, 0.0), 3, SEED + 100 + number).sum(axis=1)
            # one level an asset: the assets share W, but not their signs
            found += [np.mean(total[:, 0] < -6), np.mean(total[:, 1] < -3)]
            found.append(np.mean(total[:, 0] > 1))
        truth = [mixtures.sum_below(level, freedom, 3) for freedom, level in cases]
        names = [str(case) for case in cases]
        check_standard_normal(binomial_scores(np.array(found), truth, PATHS), names)


PASSAGES = (
    (3.0, Problem("long-10x-nu3", "long", 10, 0.6, 7)),
    (4.0, Problem("short-10x-nu4", "short", 10, 0.6, 7)),
    (2.5, Problem("long-5x-nu2.5", "long", 5, 0.8, 7)),
    (5.0, Problem("short-20x-nu5", "short", 20, 0.4, 7, drift=2.0)),
    (4.0, Problem("long-5x-nu4", "long", 5, 0.6, 7)),
    (6.0, Problem("long-3x-nu6", "long", 3, 1.2, 7, drift=-2.0)),
    (8.0, Problem("short-6x-nu8", "short", 6, 0.9, 7)),
    (3.5, Problem("long-20x-nu3.5", "long", 20, 0.3, 7)),
    (30.0, Problem("short-4x-nu30", "short", 4, 1.0, 7)),
    (4.5, Problem("long-8x-nu4.5", "long", 8, 0.7, 7, drift=1.0)),
)


class Passed(NamedTuple):
    """Of each passage the estimate from weights and its interval, that from hits, the truth."""

    weights: Floats
    intervals: Floats
    hits: Floats
    truth: Floats


def passed(folder: Path, paths: int) -> Passed:
    """Run every passage: a week that is one bar, in three steps; bridges are exact."""
    found, hits, truth = [], [], []
    for number, (freedom, problem) in enumerate(PASSAGES):
        place = folder / problem.name
        place.mkdir()
        scenario = book_of(
            place,
            [problem],
            fee=0.0,
            monitoring="bridge",
            precision="float64",
            steps=3,
            paths=paths,
            seed=SEED + 1_200 + number,
        )
        model = StudentT.build(
            volatility=np.array([problem.volatility]),
            drift=np.array([problem.drift]),
            correlation=np.eye(1),
            degrees_of_freedom=freedom,
            step_years=problem.years / 3,
            bar_steps=3,
            precision="float64",
        )
        tree = stress.run(scenario, market=model)
        found.append(values(tree, "accounts", "liquidation_probability"))
        by_step = values(tree, "accounts", "liquidation_probability_by_step")[0]
        hits.append(by_step[0, -1])
        side = 1.0 if problem.side == "long" else -1.0
        distance = side * float(np.log(problem.price / problem.barrier()))
        drift = side * (problem.drift - problem.volatility**2 / 2)
        truth.append(mixtures.passage(distance, drift, problem.volatility, freedom, problem.years))
    weights, intervals = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return Passed(weights, intervals, np.array(hits), np.array(truth))


@pytest.mark.slow
@pytest.mark.parametrize("paths", [20_000, PATHS], ids="{:,}".format)
def test_first_passage_within_one_bar(tmp_path: Path, paths: int) -> None:
    """The closed form averaged over W."""
    names = [problem.name for _, problem in PASSAGES]
    found = passed(tmp_path, paths)
    check_standard_normal(weight_scores(found.weights, found.intervals, found.truth), names)
    check_standard_normal(binomial_scores(found.hits, found.truth, paths), names)


SKEWED = ((4.5, -0.05), (5.0, -0.2), (6.0, -0.3), (8.0, -0.6), (12.0, 0.5), (30.0, -1.0))
"""Degrees of freedom and skewness; three levels each."""
LEVELS = (-4.0, -1.5, 1.0)


class TestSkewedT:
    def test_distribution(self) -> None:
        """P(a bar is below): heavy side, middle, light side; from bars of their own."""
        found, truth, names = [], [], []
        for number, (freedom, skewness) in enumerate(SKEWED):
            model = skewed(freedom, (skewness, skewness))
            bars = returns(model, 3, SEED + 300 + number)[..., 0]
            for bar, level in enumerate(LEVELS):
                found.append(np.mean(bars[:, bar] < level))
                truth.append(float(mixtures.skewed_below(level, skewness, freedom)))
                names.append(f"{freedom:g} {skewness:+g} below {level:g}")
        check_standard_normal(binomial_scores(np.array(found), truth, PATHS), names)

    def test_moments(self) -> None:
        """Mean, variance, covariance and third moment: ``b^3 mu_3(V) + 3 b var V sigma'^2``."""
        found, intervals, truth, names = [], [], [], []
        for number, (freedom, b) in enumerate(
            ((30.0, (-0.5, -0.3)), (40.0, (0.8, 0.4)), (60.0, (-1.0, -1.5)))
        ):
            bars = returns(skewed(freedom, b), 2, SEED + 400 + number)
            first, second = bars[..., 0].ravel(), bars[..., 1].ravel()
            # of V = InvGamma(a, a): a^k / ((a - 1) ... (a - k))
            a = freedom / 2
            raw = np.cumprod(a / (a - np.arange(1, 4)))
            variance = raw[1] - raw[0] ** 2
            third = raw[2] - 3 * raw[0] * raw[1] + 2 * raw[0] ** 3
            inner = (1 - variance * b[0] ** 2) / raw[0]
            moments = {
                "mean": (first, 0.0),
                "variance": (second**2, 1.0),
                "covariance": (first * second, 0.6),
                "skewness": (first**3, b[0] ** 3 * third + 3 * b[0] * variance * inner),
            }
            for name, (sample, expected) in moments.items():
                half = 1.959963984540054 * sample.std() / np.sqrt(sample.size)
                found.append(sample.mean())
                intervals.append((sample.mean() - half, sample.mean() + half))
                truth.append(expected)
                names.append(f"{name} {freedom:g}")
        scores = mean_scores(np.array(found), np.array(intervals), truth)
        check_standard_normal(scores, names)
