"""``python -m tests.truth``: the tables of the page "Validation".

Every row is a run as the tests of this folder make it, beside a truth that shares no code with the
program: closed forms, convolution, finite differences.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from tests import cascade_books, problems
from tests.engine import test_cascade_twin as twin
from tests.reference import cross_pair, jumps

from . import test_coverage, test_cross_pair, test_joint, test_single_position
from . import test_models_garch_regime as clustering
from . import test_models_jump_diffusion as jumping
from . import test_models_mixtures as mixing
from .books import values
from .pages import placed
from .problems import HORIZONS, PROBLEMS
from .scores import binomial_scores, weight_scores

Floats = NDArray[np.float64]
Lines = Iterator[str]

_STEPS = (2, 4, 8, 32)
_MODEL_PATHS = 20_000


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables that were asked for, and keep them in a page where one is named."""
    parser = argparse.ArgumentParser(prog="python -m tests.truth", description=__doc__)
    parser.add_argument("tables", nargs="*", metavar="TABLE", help=f"of {', '.join(TABLES)}; all")
    parser.add_argument("--into", type=Path, help="a Markdown page whose tables are replaced")
    asked = parser.parse_args(arguments)
    for name in asked.tables or TABLES:
        lines = "\n".join(TABLES[name]())
        print(lines, flush=True)
        if asked.into is not None:
            asked.into.write_text(placed(asked.into.read_text("utf-8"), name, lines), "utf-8")


def _table(heads: str, rows: Iterator[tuple[str, ...]]) -> Lines:
    columns = heads.split(", ")
    yield f"| {' | '.join(columns)} |"
    yield "|---|" + "--:|" * (len(columns) - 1)
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _percent(share: float) -> str:
    return f"{100 * share:.3f} %"


def _between(interval: Floats) -> str:
    return f"{100 * interval[0]:.3f} to {100 * interval[1]:.3f}"


def _of_scores(scores: Floats) -> str:
    size = float(np.abs(scores).max())
    square = float(np.mean(scores**2))
    return (
        f"Errors in standard errors: largest {size:.1f} of {scores.size}, mean "
        f"{float(scores.mean()):+.2f}, mean square {square:.2f} (of a right program about 1)."
    )


def one_position() -> Lines:
    """One position, watched continuously, against the reflection principle."""
    rows: list[tuple[str, ...]] = []
    scores: list[float] = []
    with TemporaryDirectory() as folder:
        for days in HORIZONS:
            place = Path(folder) / str(days)
            place.mkdir()
            asked = [problem for problem in PROBLEMS if problem.days == days]
            run = test_single_position.simulate(
                place,
                asked,
                fee=test_single_position.FEE,
                monitoring="bridge",
                paths=test_single_position.PATHS,
                steps=8,
                seed=test_single_position.SEED + days,
            )
            found, interval = run.estimate("liquidation_probability")
            truth = [problem.probability() for problem in asked]
            off = weight_scores(found, interval, truth)
            scores += off.tolist()
            for case, exact, value, ends, score in zip(
                asked, truth, found, interval, off, strict=True
            ):
                cells = (_percent(exact), _percent(value), _between(ends), f"{score:+.1f}")
                rows.append((case.name, *cells))
    yield from _table("case, exact, estimate, 95 % interval, standard errors", iter(rows))
    yield from ("", _of_scores(np.array(scores)))


def looks() -> Lines:
    """One position, looked at 24 times in a week, against repeated convolution."""
    cases, paths = test_single_position.WEEK, test_single_position.PATHS // 2
    with TemporaryDirectory() as folder:
        run = test_single_position.simulate(
            Path(folder),
            cases,
            fee=test_single_position.FEE,
            monitoring="step",
            paths=paths,
            steps=24,
            seed=test_single_position.SEED + 300,
        )
    found, interval = run.estimate("liquidation_probability")
    truth = np.array([problem.discrete(24) for problem in cases])
    scores = binomial_scores(found, truth, paths)
    rows = (
        (
            case.name,
            _percent(case.probability()),
            _percent(exact),
            _percent(value),
            _between(ends),
            f"{score:+.1f}",
        )
        for case, exact, value, ends, score in zip(
            cases, truth, found, interval, scores, strict=True
        )
    )
    heads = "case, watched continuously, exact at 24 looks, estimate, 95 % interval"
    yield from _table(f"{heads}, standard errors", rows)
    yield from ("", _of_scores(scores))


def two_accounts() -> Lines:
    """Two accounts on two assets, or one, against two-dimensional closed forms."""
    steps, paths = test_joint.RUNS[-1]
    with TemporaryDirectory() as folder:
        groups = "groups"
        tree = test_joint.run_pairs(Path(folder), steps, paths)
    together = values(tree, groups, "joint_liquidation_probability")[0]
    each = values(tree, groups, "any_liquidation_probability")[0]
    laws = [(law.any, law.both) for law in (pair.truth() for pair in test_joint.PAIRS)]
    ten = test_joint.LEVERAGES[0]
    laws.append(test_joint.corridor_truth(ten, ten)[:2])
    names = (*test_joint.NAMES, "long and short of one asset")
    rows, scores = [], []
    for number, (name, (either, both)) in enumerate(zip(names, laws, strict=True)):
        a, b = 2 * number, 2 * number + 1
        found = np.array([each[a] + each[b] - together[a, b], together[a, b]])
        off = binomial_scores(found, [either, both], paths)
        scores += off.tolist()
        cells = (_percent(either), _percent(found[0]), f"{off[0]:+.1f}")
        rows.append((name, *cells, _percent(both), _percent(found[1]), f"{off[1]:+.1f}"))
    heads = "pair, either: exact, estimate, standard errors"
    yield from _table(f"{heads}, both: exact, estimate, standard errors", iter(rows))
    yield from ("", _of_scores(np.array(scores)))


def cross_pairs() -> Lines:
    """One pool on two assets against finite differences, by the number of steps in a week."""
    pairs = test_cross_pair.PAIRS
    truth = np.array([cross_pair.pde(pair) for pair in pairs.values()])
    found = []
    with TemporaryDirectory() as folder:
        for steps in _STEPS:
            place = Path(folder) / str(steps)
            place.mkdir()
            found.append(test_cross_pair.run(place, steps))
    rows = (
        (
            name,
            _percent(truth[number]),
            *(
                f"{100 * (each.weights[number] / truth[number] - 1):+.2f} % "
                f"± {100 * each.errors[number] / truth[number]:.2f}"
                for each in found
            ),
        )
        for number, name in enumerate(pairs)
    )
    heads = ", ".join(f"{steps} steps" for steps in _STEPS)
    yield from _table(f"pool, exact, {heads}", rows)


def merton() -> Lines:
    """Merton's jumps against the exact law of the scheme."""
    return _jumps("merton")


def kou() -> Lines:
    """Kou's jumps against the exact law of the scheme."""
    return _jumps("kou")


def _jumps(name: str) -> Lines:
    cases = jumping.CASES[name]
    model = jumping.model_of(cases, jumping.STEPS)
    found = jumping.below_at_a_look(model, cases, jumping.SEED + len(name))
    exact = np.array([jumps.scheme(*each.terms, jumping.STEPS, bridge=False) for each in cases])
    scores = binomial_scores(found, exact, jumping.PATHS)
    rows = (
        (case.name, _percent(truth), _percent(value), f"{score:+.1f}")
        for case, truth, value, score in zip(cases, exact, found, scores, strict=True)
    )
    yield from _table("case, exact at 4 looks, estimate, standard errors", rows)
    yield from ("", _of_scores(scores))


def student_t() -> Lines:
    """Student's t within one bar against the closed form averaged over the mixing variable."""
    with TemporaryDirectory() as folder:
        found = mixing.passed(Path(folder), _MODEL_PATHS)
    scores = weight_scores(found.weights, found.intervals, found.truth)
    rows = (
        (problem.name, _percent(truth), _percent(value), _between(ends), f"{score:+.1f}")
        for (_, problem), truth, value, ends, score in zip(
            mixing.PASSAGES, found.truth, found.weights, found.intervals, scores, strict=True
        )
    )
    yield from _table("case, exact, estimate, 95 % interval, standard errors", rows)
    yield from ("", _of_scores(scores))


def regime_garch() -> Lines:
    """Regime switching and GARCH against quadrature."""
    rows, scores = [], []
    with TemporaryDirectory() as folder:
        for name, truth, weights in clustering.regimes_and_clusters(Path(folder), _MODEL_PATHS):
            error = weights.std() / np.sqrt(weights.size)
            scores.append((weights.mean() - truth) / error)
            estimate = f"{_percent(weights.mean())} ± {100 * error:.3f}"
            rows.append((name, _percent(truth), estimate, f"{scores[-1]:+.1f}"))
    yield from _table("case, exact, estimate ± standard error, standard errors", iter(rows))
    yield from ("", _of_scores(np.array(scores)))


_COVERED: Mapping[str, tuple[str, str]] = {
    "probability of an account, bridge weights": ("accounts", "liquidation_probability"),
    "probability of an account, hits": ("accounts", "liquidation_probability_by_step"),
    "mean over five correlated accounts": ("groups", "liquidation_probability"),
    "mean over the book": ("book", "liquidation_probability"),
    "expected loss of an account": ("accounts", "expected_loss"),
    "value at risk, 95 %": ("accounts", "value_at_risk"),
    "expected shortfall, 95 %": ("accounts", "expected_shortfall"),
}


def coverage() -> Lines:
    """How often the 95 % intervals of 200 seeds hold the truth."""
    with TemporaryDirectory() as folder:
        runs = test_coverage.all_seeds(Path(folder))
    rows = (
        (name, str(shares.size), f"{100 * shares.min():.1f} %", f"{100 * shares.max():.1f} %")
        for name, key in _COVERED.items()
        for shares in [_covered(runs, *key)]
    )
    yield from _table("interval of, numbers, least coverage, most", rows)


def _covered(runs: test_coverage.Runs, group: str, name: str) -> Floats:
    sample = runs[group, name]
    truth = np.array([*test_coverage.TRUTH, test_coverage.probability(test_coverage.RARE), 0.0])
    correlated = len(test_coverage.TRUTH)
    if name.endswith("by_step"):
        sample = test_coverage.Sample(sample.value[..., -1], sample.interval[..., -1, :])
    if group == "book":
        return np.atleast_1d(sample.coverage(truth.sum() / truth.size))
    if group == "groups":
        return sample.coverage(np.array([truth[:correlated].mean(), 0, 0]))[:1]
    if name == "expected_loss":
        return sample.coverage(0.0)
    if name in ("value_at_risk", "expected_shortfall"):
        law = getattr(test_coverage.PAID, name)(test_coverage.LEVEL)
        paid = test_coverage.Sample(sample.value[:, -1, 0], sample.interval[:, -1, 0])
        return np.atleast_1d(paid.coverage(law))
    return sample.coverage(truth)[:correlated]


def twins() -> Lines:
    """How much is compared with programs that were written from the rules alone."""
    kinds = {"every change": twin.OFTEN, "`make test-slow`": range(len(twin.PLANS))}
    rows = []
    for name, numbers in kinds.items():
        plans = [twin.PLANS[number] for number in numbers]
        books = sum(len(plan.books) for plan in plans)
        runs = sum(len(plan.rules(case)) for plan in plans for case in plan.books)
        compared = runs * cascade_books.PATHS
        rows.append((name, f"{books:,}", f"{runs:,}", f"{compared:,}"))
    yield from _table("on, random books, books times rules, paths compared", iter(rows))
    yield from ("", f"{len(problems.PROBLEMS)} cascades are solved by hand (`tests/problems.py`).")


TABLES: Mapping[str, Callable[[], Lines]] = {
    "one-position": one_position,
    "looks": looks,
    "two-accounts": two_accounts,
    "cross-pairs": cross_pairs,
    "merton": merton,
    "kou": kou,
    "student-t": student_t,
    "regime-garch": regime_garch,
    "coverage": coverage,
    "twins": twins,
}


if __name__ == "__main__":
    # float64 is asked for by some of the problems
    import jax

    jax.config.update("jax_enable_x64", True)
    main()
