"""Weighted paths against exact probabilities down to 1e-8: no bias, and intervals that hold them.

All seeds of a book share one compiled kernel. Where the answer is exact in continuous time (one
position; bridges) nothing but sampling error is left; where the bridge is linearised (a cross pair)
its bias is.
"""

from __future__ import annotations

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binom

from stress.engine.weighted import Mixture, _balance, _log_density
from stress.market.jump_diffusion import JumpDiffusion
from stress.market.student_t import StudentT
from stress.market.tilted import Footprint
from stress.scenario.schema import Scenario
from tests.engine.weighing import Weighing, leverage_for
from tests.reference import cross_pair, jumps, mixtures
from tests.truth.books import Asset, Owner, Position, book_of, correlated_pairs, write_book
from tests.truth.problems import YEAR, Problem
from tests.truth.scores import check_each
from tests.truth.test_models_jump_diffusion import Case, case, laws

Floats = NDArray[np.float64]

STEPS = 24
RARE = (1e-3, 1e-5, 1e-8)
SIDES = (("long", 0.6), ("short", 0.9))


def check(
    weighing: Weighing, truth: Floats, accounts: slice = slice(None), least: float = 0.9
) -> None:
    """Check that means over seeds have no bias, and that intervals of 95 % hold the truth.

    Parameters
    ----------
    accounts
        Of which this is asked.
    least
        Coverage that is asked for in the long run; what so many intervals may fall short of it by
        chance, once in a thousand, is forgiven.
    """
    error = np.sqrt((weighing.error**2).mean(axis=0) / len(weighing.seeds))
    score = ((weighing.value.mean(axis=0) - truth) / error)[accounts]
    check_each(score, [str(number) for number in range(len(score))])
    covered = weighing.covers(truth)[:, accounts]
    assert covered.sum() >= binom.ppf(1e-3, covered.size, least)


def rare_problems() -> list[Problem]:
    """Return a long and a short of each probability, a day long."""
    return [
        Problem(
            f"{side} {probability:g}",
            side,  # type: ignore[arg-type]
            leverage_for(side, probability, volatility, 1),
            volatility,
            1,
        )
        for probability in RARE
        for side, volatility in SIDES
    ]


def pair_of(probability: float) -> cross_pair.CrossPair:
    """Return a pair without a constant that is liquidated with a probability within a day."""

    def pair(short: float) -> cross_pair.CrossPair:
        return cross_pair.CrossPair((1.0, -short), 1 - short, (0.6, 0.8), 0.8, 1 / YEAR)

    low, high = 0.5, 0.98
    for _ in range(50):
        middle = (low + high) / 2
        rarer = cross_pair.ratio_case(pair(middle)) < probability
        low, high = (middle, high) if rarer else (low, middle)
    return pair(low)


def exact_book(folder: Path) -> tuple[Scenario, Floats]:
    """Write a book whose probabilities are closed forms, and return these too.

    Single positions; an account with two positions on one asset, which is liquidated when the
    nearer barrier is hit; pairs of two assets without a constant.
    """
    problems, pairs = rare_problems(), [pair_of(probability) for probability in RARE]
    assets = [
        *(Asset(problem.name, problem.volatility) for problem in problems),
        *(Asset(f"{n}{leg}", sigma) for n in range(3) for leg, sigma in (("a", 0.6), ("b", 0.8))),
    ]
    near, far = (leverage_for("long", probability, 0.6, 1) for probability in (1e-4, 5e-5))
    two = tuple(
        Position(assets[0].name, size, margin=100 * size / leverage)
        for size, leverage in ((30.0, near), (50.0, far))
    )
    owners = [
        *(Owner(p.name, p.equity, (Position(p.name, p.quantity),)) for p in problems),
        Owner("two", 0.0, two),
    ]
    for number, pair in enumerate(pairs):
        legs = (assets[6 + 2 * number + leg].name for leg in range(2))
        held = tuple(Position(leg, q) for leg, q in zip(legs, pair.quantities, strict=True))
        owners.append(Owner(f"pair {number}", 100 * pair.wallet, held))
    scenario = write_book(
        folder,
        assets,
        owners,
        correlation=correlated_pairs([0.0, 0.0, 0.0, 0.8, 0.8, 0.8], len(assets)),
        days=1,
        steps=STEPS,
        paths=2_048,
        monitoring="bridge",
        precision="float64",
    )
    return scenario, np.array([*(problem.probability() for problem in problems), 1e-4, *RARE])


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [12, 50])
def test_closed_forms_watched_all_the_time(tmp_path: Path, seeds: int) -> None:
    """A pair's bridge is linearised: it is off by less than a percent.

    Half-spaces know these answers: what densities are worth is seen where they say less, at looks.
    """
    scenario, truth = exact_book(tmp_path)
    weighing = Weighing.of(scenario, seeds)
    assert truth[:6] == pytest.approx(np.repeat(RARE, 2), rel=1e-6)
    check(weighing, truth, slice(7))
    assert weighing.value[:, 7:].mean(axis=0) == pytest.approx(truth[7:], rel=0.01)
    # a barrier is almost a half-space: next to nothing is left to chance
    ratio = truth * (1 - truth) / (weighing.error**2).mean(axis=0) / weighing.paths
    assert (ratio * truth)[:6].min() > 30


@pytest.mark.parametrize(
    ("seeds", "paths"), [(12, 4_096), pytest.param(50, 8_192, marks=pytest.mark.slow)]
)
def test_one_position_looked_at_each_hour(tmp_path: Path, seeds: int, paths: int) -> None:
    """At discrete looks the probability is a convolution's, and half-spaces say less."""
    problems = rare_problems()
    scenario = book_of(
        tmp_path,
        problems,
        fee=0.0,
        steps=STEPS,
        paths=paths,
        monitoring="step",
        precision="float64",
    )
    truth = np.array([problem.discrete(STEPS) for problem in problems])
    check(Weighing.of(scenario, seeds), truth, least=0.88)


def student_problems() -> list[Problem]:
    """Return positions that only a wild week liquidates."""
    cases = (("long", 3.0, 0.5), ("long", 1.3, 0.2), ("short", 1.6, 0.4))
    return [
        Problem(f"{side} {leverage:g}x", side, leverage, volatility, 7)  # type: ignore[arg-type]
        for side, leverage, volatility in cases
    ]


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [12, 50])
def test_student_t(tmp_path: Path, seeds: int) -> None:
    """A week that is one bar, in three steps: the closed form averaged over its scale."""
    problems = student_problems()
    model = StudentT.build(
        volatility=np.array([problem.volatility for problem in problems]),
        drift=np.zeros(3),
        correlation=np.eye(3),
        degrees_of_freedom=4.0,
        step_years=7 / YEAR / 3,
        bar_steps=3,
        precision="float64",
    )
    scenario = book_of(
        tmp_path,
        problems,
        fee=0.0,
        steps=3,
        paths=4_096,
        monitoring="bridge",
        precision="float64",
    )
    truth = []
    for problem in problems:
        side = 1.0 if problem.side == "long" else -1.0
        distance = side * float(np.log(problem.price / problem.barrier()))
        drift = -side * problem.volatility**2 / 2
        truth.append(mixtures.passage(distance, drift, problem.volatility, 4.0, problem.years))
    assert min(truth) < 1e-6
    assert max(truth) > 1e-4
    check(Weighing.of(scenario, seeds, model), np.array(truth))


MERTON = (
    case("long", 3, 0.6, 15, jumps.Merton(-0.04, 0.05)),
    case("long", 2, 0.5, 15, jumps.Merton(-0.04, 0.06)),
    case("short", 2, 0.6, 30, jumps.Merton(0.02, 0.05)),
)
KOU = (
    case("long", 2, 0.5, 15, jumps.Kou(0.4, 0.06, 0.054)),
    case("long", 1.5, 0.6, 30, jumps.Kou(0.4, 0.07, 0.063)),
    case("short", 1.3, 0.7, 10, jumps.Kou(0.4, 0.08, 0.072)),
)


def check_jumps(folder: Path, cases: tuple[Case, ...], seeds: int, monitoring: str) -> None:
    """Check positions of a week in four steps against the exact law of the scheme."""
    model = JumpDiffusion.build(
        volatility=np.array([each.problem.volatility for each in cases]),
        drift=np.zeros(len(cases)),
        correlation=np.eye(len(cases)),
        rate=np.array([0.0, *(each.rate for each in cases)]),
        exposure=np.ones(len(cases)),
        sizes=laws([cases[0].sizes, *(each.sizes for each in cases)]),
        step_years=7 / YEAR / 4,
        precision="float64",
    )
    scenario = book_of(
        folder,
        [each.problem for each in cases],
        fee=0.0,
        steps=4,
        paths=4_096,
        monitoring=monitoring,
        precision="float64",
    )
    bridge = monitoring == "bridge"
    truth = np.array([jumps.scheme(*each.terms, 4, bridge=bridge) for each in cases])
    assert truth.min() < 1e-6
    check(Weighing.of(scenario, seeds, model), truth)


@pytest.mark.slow
def test_merton(tmp_path: Path) -> None:
    check_jumps(tmp_path, MERTON, 12, "bridge")


@pytest.mark.slow
@pytest.mark.parametrize("monitoring", ["step", "bridge"])
@pytest.mark.parametrize("cases", [MERTON, KOU], ids=["merton", "kou"])
def test_many_seeds_of_jumps(
    tmp_path: Path, cases: tuple[Case, ...], monitoring: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # what the reference follows ends where exponential tails still have 1e-7
    monkeypatch.setattr(jumps, "REACH", 25.0)
    check_jumps(tmp_path, cases, 50, monitoring)


def test_densities_do_not_overflow() -> None:
    """Far out the mixture is its nearest component, in single precision too."""
    drift = np.array([[0.0, 0.0], [30.0, 0.0], [0.0, -30.0]])
    cost, weight = (drift**2).sum(axis=1) / 2, np.array([[0.1, 0.4, 0.5]])
    mixture = Mixture(*(jnp.asarray(each, "float32") for each in (drift, cost, weight)))
    place = jnp.asarray([[40.0, 0.0, -40.0], [0.0, -40.0, 40.0]], "float32")
    one = jnp.ones(3, "float32")
    foot = Footprint(place, one, one, one, jnp.zeros((2, 0), "float32"), one[None])
    found, parts = jax.jit(lambda: (_log_density(mixture, foot), _balance(mixture, foot)))()
    expected = [np.log(0.4) + 30 * 40 - 450, np.log(0.5) + 30 * 40 - 450, np.log(0.1)]
    assert np.asarray(found) == pytest.approx(expected, rel=1e-6)
    assert np.isfinite(np.asarray(parts)).all()
