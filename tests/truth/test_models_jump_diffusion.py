"""Jump diffusions against the exact law of the scheme, whose convergence is that of references.

One position an account, an asset each, with jumps of its own: the accounts are independent. Few
steps, since the reference knows the scheme: Brownian inside a step, jumps at its end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from numpy.typing import NDArray

import stress
from stress.engine.block import Schedule
from stress.engine.paths import price_paths
from stress.market.jump_diffusion import DoubleExponentialSizes, JumpDiffusion, NormalSizes
from tests.reference import jumps

from .books import book_of, values
from .problems import YEAR, Problem
from .scores import binomial_scores, check_each, check_standard_normal, weight_scores

Floats = NDArray[np.float64]

PATHS = 200_000
STEPS = 4
DAYS = 7
SEED = 20_261_122


@dataclass(frozen=True)
class Case:
    """A position, and the jumps of its asset."""

    problem: Problem
    rate: float
    sizes: jumps.Sizes

    @property
    def name(self) -> str:
        """What tells it from the others."""
        return self.problem.name

    @property
    def terms(self) -> tuple[float, float, float, float, jumps.Sizes, float]:
        """Start, drift, volatility, rate and sizes of the distance to the barrier, and years."""
        problem = self.problem
        variance = problem.volatility**2 - self.rate * self.sizes.square
        drift = problem.drift - variance / 2 - self.rate * self.sizes.growth
        sign = 1.0 if problem.side == "long" else -1.0
        distance = sign * float(np.log(problem.price / problem.barrier()))
        sizes = self.sizes if problem.side == "long" else self.sizes.mirrored
        return distance, sign * drift, float(np.sqrt(variance)), self.rate, sizes, problem.years


def case(
    side: str, leverage: float, volatility: float, rate: float, sizes: jumps.Sizes, drift: float = 0
) -> Case:
    """Return a case named after what is in it."""
    name = f"{side}-{leverage:g}x-{volatility:g}-{rate:g}"
    problem = Problem(name, side, leverage, volatility, DAYS, drift=drift)  # type: ignore[arg-type]
    return Case(problem, rate, sizes)


MERTON = (
    case("long", 10, 0.6, 45, jumps.Merton(-0.04, 0.05)),
    case("short", 10, 0.6, 45, jumps.Merton(-0.04, 0.05)),
    case("long", 5, 0.5, 15, jumps.Merton(-0.06, 0.08)),
    case("short", 5, 0.8, 30, jumps.Merton(0.05, 0.06), drift=2.0),
    case("long", 3, 0.9, 10, jumps.Merton(-0.15, 0.1)),
    case("short", 3, 1.0, 6, jumps.Merton(0.2, 0.15)),
    case("long", 20, 0.4, 100, jumps.Merton(0.0, 0.03)),
    case("short", 20, 0.4, 30, jumps.Merton(0.01, 0.04), drift=-1.0),
    case("long", 8, 0.7, 300, jumps.Merton(-0.01, 0.03)),
    case("short", 8, 0.7, 52, jumps.Merton(0.03, 0.05)),
    case("long", 4, 1.2, 60, jumps.Merton(-0.05, 0.1), drift=-1.0),
    case("short", 6, 0.6, 20, jumps.Merton(-0.05, 0.09)),
)
KOU = (
    case("long", 10, 0.6, 45, jumps.Kou(0.4, 0.04, 0.05)),
    case("short", 10, 0.6, 45, jumps.Kou(0.4, 0.04, 0.05)),
    case("long", 5, 0.5, 15, jumps.Kou(0.3, 0.05, 0.07)),
    case("short", 5, 0.8, 30, jumps.Kou(0.7, 0.06, 0.04), drift=2.0),
    case("long", 3, 0.9, 10, jumps.Kou(0.1, 0.05, 0.15)),
    case("short", 3, 1.0, 6, jumps.Kou(0.9, 0.2, 0.05)),
    case("long", 20, 0.4, 100, jumps.Kou(0.5, 0.02, 0.02)),
    case("short", 20, 0.4, 30, jumps.Kou(0.5, 0.03, 0.04), drift=-1.0),
    case("long", 8, 0.7, 300, jumps.Kou(0.4, 0.02, 0.02)),
    case("short", 8, 0.7, 52, jumps.Kou(0.6, 0.05, 0.03)),
    case("long", 4, 1.2, 60, jumps.Kou(0.4, 0.06, 0.08), drift=-1.0),
    case("short", 6, 0.6, 20, jumps.Kou(0.3, 0.05, 0.08)),
)
CASES = {"merton": MERTON, "kou": KOU}


def laws(sizes: Sequence[jumps.Sizes]) -> NormalSizes | DoubleExponentialSizes:
    """Return the sizes of several processes as the model wants them."""
    if isinstance(sizes[0], jumps.Merton):
        return NormalSizes(*np.array([(each.mean, each.deviation) for each in sizes]).T)
    return DoubleExponentialSizes(*np.array([(one.up, one.rise, one.fall) for one in sizes]).T)


def model_of(cases: Sequence[Case], steps: int) -> JumpDiffusion:
    """Return the model of independent assets; common jumps there are none."""
    return JumpDiffusion.build(
        volatility=np.array([each.problem.volatility for each in cases]),
        drift=np.array([each.problem.drift for each in cases]),
        correlation=np.eye(len(cases)),
        rate=np.array([0.0, *(each.rate for each in cases)]),
        exposure=np.ones(len(cases)),
        sizes=laws([cases[0].sizes, *(each.sizes for each in cases)]),
        step_years=DAYS / YEAR / steps,
        precision="float64",
    )


def ends(case: Case) -> float:
    """Return the log of the barrier over the price."""
    return float(np.log(case.problem.barrier() / case.problem.price))


def below_at_a_look(model: JumpDiffusion, cases: Sequence[Case], seed: int) -> Floats:
    """Return the shares of paths that are beyond each case's barrier at a step, (cases,)."""
    schedule = Schedule(steps=STEPS, block=STEPS, monitoring="step", precision="float64")
    start = jnp.ones(len(cases))
    sides = np.array([1.0 if each.problem.side == "long" else -1.0 for each in cases])
    barriers = np.array([ends(each) for each in cases])
    hits = np.zeros(len(cases))
    for numbers in np.split(np.arange(PATHS, dtype=np.uint32), 4):
        key = jnp.asarray(seed, jnp.uint32)
        prices = price_paths(model, start, key, jnp.asarray(numbers), schedule=schedule)
        beyond = sides * (np.log(np.asarray(prices)) - barriers) < 0
        hits += beyond.any(axis=1).sum(axis=0)
    return hits / PATHS


@pytest.mark.parametrize("name", ["merton", pytest.param("kou", marks=pytest.mark.slow)])
def test_looks(name: str) -> None:
    """Twelve assets a law, seven days in four steps, looked at at each step."""
    cases = CASES[name]
    truth = [jumps.scheme(*each.terms, STEPS, bridge=False) for each in cases]
    hits = below_at_a_look(model_of(cases, STEPS), cases, SEED + len(name))
    check_standard_normal(binomial_scores(hits, truth, PATHS), [each.name for each in cases])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["merton", "kou"])
def test_bridges(tmp_path: Path, name: str) -> None:
    """An account an asset, continuously monitored: hits drawn, and survival weights."""
    cases = CASES[name]
    scenario = book_of(
        tmp_path,
        [each.problem for each in cases],
        fee=0.0,
        monitoring="bridge",
        precision="float64",
        steps=STEPS,
        paths=PATHS,
        seed=SEED + 2 * len(name),
    )
    tree = stress.run(scenario, market=model_of(cases, STEPS))
    truth = np.array([jumps.scheme(*each.terms, STEPS, bridge=True) for each in cases])
    assert 1e-3 < truth.min() < 2e-2
    assert truth.max() > 0.2
    names = [each.name for each in cases]
    hits = values(tree, "accounts", "liquidation_probability_by_step")[0][:, -1]
    check_standard_normal(binomial_scores(hits, truth, PATHS), names)
    estimate = values(tree, "accounts", "liquidation_probability")
    check_standard_normal(weight_scores(*estimate, truth), names)


@pytest.mark.parametrize("name", CASES)
def test_converges_to_continuous_time(name: str) -> None:
    """No simulation: what the law of the scheme is off by halves with the length of a step."""
    for each in CASES[name][:6]:
        limit = jumps.continuous(*each.terms)
        few, many = (jumps.scheme(*each.terms, steps, bridge=True) for steps in (4, 8))
        assert abs(few - limit) < 0.12 * limit
        assert (many - limit) / (few - limit) == pytest.approx(0.5, abs=0.08)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_many_steps_are_continuous_time(tmp_path: Path, name: str) -> None:
    """168 steps of an hour: what is left of the bias is below the error."""
    cases, steps = CASES[name], 168
    scenario = book_of(
        tmp_path,
        [each.problem for each in cases],
        fee=0.0,
        monitoring="bridge",
        precision="float64",
        steps=steps,
        paths=PATHS,
        seed=SEED + steps,
    )
    tree = stress.run(scenario, market=model_of(cases, steps))
    estimate = values(tree, "accounts", "liquidation_probability")
    truth = np.array([jumps.continuous(*each.terms) for each in cases])
    names = [each.name for each in cases]
    check_each(weight_scores(*estimate, truth), names)


def test_common_jumps() -> None:
    """Jumps of the market, exposures from -1 to 2: each account alone has its own exact law."""
    rate, sizes = 40.0, jumps.Merton(-0.04, 0.04)
    exposure = np.array([1.0, 0.5, 2.0, -1.0])
    problems = [
        Problem("one", "long", 10, 0.6, DAYS),
        Problem("half", "long", 12, 0.5, DAYS),
        Problem("double", "short", 5, 1.2, DAYS),
        Problem("against", "long", 10, 0.7, DAYS),
    ]
    volatility = np.array([problem.volatility for problem in problems])
    common = rate * sizes.square * np.outer(exposure, exposure) / np.outer(volatility, volatility)
    np.fill_diagonal(common, 1.0)
    model = JumpDiffusion.build(
        volatility=volatility,
        drift=np.zeros(4),
        correlation=common,
        rate=np.array([rate, 0.0, 0.0, 0.0, 0.0]),
        exposure=exposure,
        sizes=laws([sizes] * 5),
        step_years=DAYS / YEAR / STEPS,
        precision="float64",
    )
    cases = [
        Case(problem, rate, jumps.Merton(each * sizes.mean, abs(each) * sizes.deviation))
        for problem, each in zip(problems, exposure, strict=True)
    ]
    truth = [jumps.scheme(*each.terms, STEPS, bridge=False) for each in cases]
    hits = below_at_a_look(model, cases, SEED)
    check_each(binomial_scores(hits, truth, PATHS), [each.name for each in cases])
