"""Weighted paths against a slow twin: densities and estimates path by path, and plain means.

Control variates absorb an error that they share with the accounts: most of this does without them.
An estimate has no bias only where paths are drawn from the laws, and their densities are these
laws': both are checked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from numpy.typing import NDArray

from stress.keys import MARKET, path_keys, step_normals
from stress.market import PriceModel
from stress.market.jump_diffusion import JumpDiffusion
from stress.market.student_t import StudentT
from stress.market.tilted import TiltedJumps, TiltedStudentT
from stress.runner.analyses.importance_design import Design, mixture_of
from stress.sampling.mixture import dealt
from tests.engine.weighed_twin import (
    LOOKED_AT,
    NUMBERS,
    STEPS,
    Known,
    liquidated_by_twin,
    sign_of,
)
from tests.engine.weighing import Weighing, leverage_for
from tests.reference import cross_pair, jumps, mixtures
from tests.truth.books import Asset, Owner, Position, book_of, write_book
from tests.truth.problems import YEAR, Problem
from tests.truth.scores import check_each
from tests.truth.test_models_jump_diffusion import Case, case, laws

Floats = NDArray[np.float64]

PATHS, SEEDS = 4_096, 6
SIMULATION: dict[str, Any] = {
    "steps": STEPS,
    "paths": PATHS,
    "monitoring": "bridge",
    "precision": "float64",
}


def gbm(folder: Path) -> Known:
    """Single positions; two pools of one account on different assets; a pair, last."""
    single = (("long", 1e-3), ("short", 1e-5), ("long", 1e-8))
    problems = [
        Problem(f"{p:g}", side, leverage_for(side, p, 0.6, 1), 0.6, 1)  # type: ignore[arg-type]
        for side, p in single
    ]
    often = [
        Problem(side, side, leverage_for(side, 0.2, 0.6, 1), 0.6, 1) for side in ("long", "short")
    ]
    apart = (
        Position(name, p.quantity, margin=p.equity) for name, p in zip("01", often, strict=True)
    )
    pair = cross_pair.CrossPair((1.0, -0.9), 0.1, (0.6, 0.8), 0.8, 1 / YEAR)
    legs = (Position(leg, q) for leg, q in zip("34", pair.quantities, strict=True))
    names = "01234"
    correlation = np.eye(len(names))
    correlation[3, 4] = correlation[4, 3] = 0.8
    scenario = write_book(
        folder,
        [Asset(name, 0.8 if name == "4" else 0.6) for name in names],
        [
            *(
                Owner(f"single {name}", p.equity, (Position(name, p.quantity),))
                for name, p in zip(names, problems, strict=False)
            ),
            Owner("apart", 0.0, tuple(apart)),
            Owner("pair", 100 * pair.wallet, tuple(legs)),
        ],
        correlation=correlation,
        days=1,
        **SIMULATION,
    )
    either = 1 - float(np.prod([1 - each.probability() for each in often]))
    owners = [[(each, asset)] for asset, each in enumerate(problems)]
    owners.append([(each, asset) for asset, each in enumerate(often)])
    weighing = Weighing.of(scenario, SEEDS)
    return Known(weighing, weighing.design, owners, np.array([*(p for _, p in single), either]))


def student_t(folder: Path) -> Known:
    """A week of two bars, the second a third as long as the first."""
    cases = (("long", 2.0, 0.4), ("long", 1.3, 0.2), ("short", 1.6, 0.4))
    problems = [
        Problem(f"{side} {leverage:g}x", side, leverage, volatility, 7)  # type: ignore[arg-type]
        for side, leverage, volatility in cases
    ]
    model = StudentT.build(
        volatility=np.array([problem.volatility for problem in problems]),
        drift=np.zeros(3),
        correlation=np.eye(3),
        degrees_of_freedom=4.0,
        step_years=7 / YEAR / STEPS,
        bar_steps=3,
        precision="float64",
    )
    truth = []
    for problem in problems:
        distance = sign_of(problem) * float(np.log(problem.price / problem.barrier()))
        drift = -sign_of(problem) * problem.volatility**2 / 2
        bars = (problem.years * 3 / 4, problem.years / 4)
        truth.append(mixtures.passage_of_two(distance, drift, problem.volatility, 4.0, bars))
    return alone(folder, problems, model, np.array(truth))


LARGE_JUMPS = (
    case("long", 2, 0.6, 2, jumps.Merton(-0.3, 0.1)),
    case("short", 2, 0.6, 3, jumps.Merton(0.2, 0.08)),
    case("long", 3, 0.6, 3, jumps.Merton(-0.2, 0.1)),
)
KOU = (
    case("long", 2, 0.5, 15, jumps.Kou(0.4, 0.06, 0.054)),
    case("long", 1.5, 0.6, 30, jumps.Kou(0.4, 0.07, 0.063)),
    case("short", 1.3, 0.7, 10, jumps.Kou(0.4, 0.08, 0.072)),
)


def jumping(folder: Path, cases: tuple[Case, ...], common: float = 0.0) -> Known:
    """Three in four paths have one large jump more; drifts get next to nothing.

    ``common`` jumps a year of the whole market: beside these the probabilities are not known.
    """
    model = JumpDiffusion.build(
        volatility=np.array([each.problem.volatility for each in cases]),
        drift=np.zeros(len(cases)),
        correlation=np.eye(len(cases)),
        rate=np.array([common, *(each.rate for each in cases)]),
        exposure=np.array([1.0, 0.8, 1.2]),
        sizes=laws([cases[0].sizes, *(each.sizes for each in cases)]),
        step_years=7 / YEAR / STEPS,
        precision="float64",
    )
    truth = np.full(len(cases), np.nan)
    if common == 0:
        truth = np.array([jumps.scheme(*each.terms, STEPS, bridge=True) for each in cases])
    known = alone(folder, [each.problem for each in cases], model, truth)
    # every tilt there is, also those that the design gives nothing
    laws_count = len(known.plan.components.drift)
    tilts = np.arange(1, known.plan.mixture.weight.shape[0])
    toward = np.stack([np.zeros(laws_count, int), np.arange(laws_count)], axis=1)
    kind = np.concatenate([toward, np.stack([tilts, np.zeros(len(tilts), int)], axis=1)])
    share = np.repeat([0.05 / (laws_count - 1), 0.75 / len(tilts)], [laws_count, len(tilts)])
    share[0] = 0.2
    return replace(known, plan=with_shares(known, kind, share))


def alone(folder: Path, problems: list[Problem], model: PriceModel, truth: Floats) -> Known:
    """Return a book of single positions, an asset each."""
    scenario = book_of(folder, problems, fee=0.0, **SIMULATION)
    weighing = Weighing.of(scenario, SEEDS, model)
    owners = [[(each, asset)] for asset, each in enumerate(problems)]
    return Known(weighing, weighing.design, owners, truth)


def with_shares(known: Known, kind: NDArray[np.int64], share: Floats) -> Design:
    """Return the design with other components of the same drifts and tilts."""
    plan = known.plan
    asked = replace(plan.components, kind=kind, share=share)
    components, component = dealt(asked, PATHS, 1)
    assert len(components.share) == len(share)
    mixture = mixture_of(components, plan.mixture.weight.shape[0], "float64")
    return replace(plan, components=components, component=component, mixture=mixture)


MAKERS: dict[str, Callable[[Path], Known]] = {
    "gbm": gbm,
    "student-t": student_t,
    "merton": partial(jumping, cases=LARGE_JUMPS),
    "kou": partial(jumping, cases=KOU, common=5.0),
}


@pytest.fixture(scope="module")
def known_as(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Known]:
    """Make each book once."""
    return cache(lambda name: MAKERS[name](tmp_path_factory.mktemp(name)))


@pytest.mark.parametrize("name", MAKERS)
def test_densities_are_those_of_the_laws(name: str, known_as: Callable[[str], Known]) -> None:
    """At the start and after every step, of every path: what a stopped path is divided by."""
    known = known_as(name)
    assert np.ptp(known.log_density[1:]) > 3
    assert known.traced.log_density == pytest.approx(known.log_density, rel=0, abs=1e-10)


@pytest.mark.parametrize("name", MAKERS)
def test_paths_are_drawn_from_the_laws(name: str, known_as: Callable[[str], Known]) -> None:
    """Normals are the path's own, moved by the drift; bars and jumps are those of the tilt."""
    known = known_as(name)
    components = known.plan.components
    tilt, drift = components.kind[known.component].T
    keys = path_keys(jnp.uint32(0), MARKET, jnp.asarray(NUMBERS))
    own = np.asarray(step_normals(keys, jnp.arange(STEPS) + 1, len(known.root)), float)
    moved = own + known.shift(components.drift[drift].T)
    assert known.noise[0] == pytest.approx(moved, rel=0, abs=1e-9)
    model = known.tilted
    if isinstance(model, TiltedStudentT):
        wild = known.traced.state.mixing >= np.asarray(model.model.mixing.at(model.threshold))[tilt]
        assert wild.any(axis=0)[tilt > 0].all()
    if isinstance(model, TiltedJumps):
        _, _, fallen = known.fallen
        added = fallen[-1, -1]
        assert np.array_equal(added, tilt > 0)
        for law in range(len(components.drift)):
            expected = known.numbers(law)
            assert np.asarray(model.laws.exceeding)[law].sum() == pytest.approx(
                expected.sum(), rel=1e-5
            )
            shares = expected.cumsum() / expected.sum()
            assert np.asarray(model.laws.shares)[law] == pytest.approx(shares, abs=1e-5)


@pytest.mark.parametrize("name", ["gbm", "student-t", "merton"])
def test_estimates_are_those_of_the_twin(name: str, known_as: Callable[[str], Known]) -> None:
    """Path by path: what survives, what is hit in each step, over the density at that moment."""
    known = known_as(name)
    found = known.runs[0].liquidated[:, :LOOKED_AT]
    for account in range(len(known.owners)):
        expected = liquidated_by_twin(known, account)
        assert (expected > 0).any()
        assert found[account] == pytest.approx(expected, rel=1e-9, abs=1e-30)


@pytest.mark.parametrize("name", ["gbm", "student-t", "merton"])
def test_plain_means_of_weighted_paths(name: str, known_as: Callable[[str], Known]) -> None:
    """Probabilities, and densities of parts of the mixture over all of it, of mean 1."""
    known = known_as(name)
    count, watched = len(known.truth), [*known.truth]
    for rows, truth in (("liquidated", watched), ("balance", None)):
        each = [getattr(run, rows)[:count] if truth else run.balance for run in known.runs]
        mean = np.mean([of.mean(axis=1) for of in each], axis=0)
        error = np.sqrt(
            np.mean([run.error(of) ** 2 for run, of in zip(known.runs, each, strict=True)], axis=0)
            / len(each)
        )
        random = error > 0
        off = mean - (np.array(truth) if truth else 0.0)
        assert np.abs(off[~random]).max(initial=0.0) < 1e-12
        check_each(off[random] / error[random], [str(n) for n in np.flatnonzero(random)])
        if truth:
            assert (error < 0.15 * np.array(truth)).all()


@pytest.mark.parametrize("name", ["gbm", "student-t"])
def test_comparison_leaves_no_bias(name: str, known_as: Callable[[str], Known]) -> None:
    """The same runs with their control variates: nearer to the truth, by what they say."""
    known = known_as(name)
    weighing, count = known.weighing, len(known.truth)
    error = np.sqrt((weighing.error[:, :count] ** 2).mean(axis=0) / SEEDS)
    score = (weighing.value[:, :count].mean(axis=0) - known.truth) / error
    check_each(score, [str(account) for account in range(count)])
    raw = [run.error(run.liquidated[:count]) for run in known.runs]
    assert (error < np.sqrt(np.mean(np.square(raw), axis=0) / SEEDS)).all()
