"""One position a pool against closed forms: probabilities, margin calls, losses and times.

The bridge of a log price between two looks is exact, so its probabilities are unbiased for any
number of steps and every deviation is sampling error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from numpy.typing import NDArray
from scipy.integrate import quad
from scipy.stats import lognorm

import stress
from tests.reference import barrier, plain

from .books import Asset, Owner, Position, book_of, values, write_book
from .problems import FLAT, HORIZONS, LADDER, PROBLEMS, WARNING, YEAR, Lognormal, Problem, Tiers
from .scores import binomial_scores, check_each, check_standard_normal, mean_scores, weight_scores

Floats = NDArray[np.float64]

PATHS = 200_000
FEE = 0.002
"""Below every rate of the table: a pool closed at its requirement keeps something."""
HIGH_FEE = 0.02
"""Above the rates of the lower tiers: a pool closed there owes."""
SEED = 20_261_120
WEEK = [problem for problem in PROBLEMS if problem.days == 7]
NAMES = [problem.name for problem in PROBLEMS]


@dataclass(frozen=True)
class Run:
    """A result and the problems that its accounts are, in order."""

    problems: Sequence[Problem]
    tree: xr.DataTree

    def estimate(self, name: str) -> tuple[Floats, Floats]:
        """Return a variable of the accounts and its interval."""
        return values(self.tree, "accounts", name)


def simulate(folder: Path, problems: Sequence[Problem], *, fee: float, **simulation: object) -> Run:
    """Run some problems of one horizon as a user would."""
    return Run(problems, stress.run(book_of(folder, problems, fee=fee, **simulation)))


@pytest.fixture(scope="module")
def bridged(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    """Every problem at 200,000 paths and 8 steps; a seed of its own for each horizon."""
    return [
        simulate(
            tmp_path_factory.mktemp(f"bridge-{days}"),
            [problem for problem in PROBLEMS if problem.days == days],
            fee=FEE,
            monitoring="bridge",
            paths=PATHS,
            steps=8,
            seed=SEED + days,
        )
        for days in HORIZONS
    ]


def together(parts: Sequence[Floats]) -> Floats:
    """Return the scores of all horizons as one sample."""
    return np.concatenate(list(parts))


class TestProblems:
    """The table itself."""

    def test_it_covers_what_it_should(self) -> None:
        """Long and short, 3x to 50x, 1 to 30 days, tiers, drift, probabilities .001 to .95."""
        assert len(set(NAMES)) == len(PROBLEMS) >= 24
        probabilities = [problem.probability() for problem in PROBLEMS]
        assert 1e-3 <= min(probabilities) < 2e-3
        assert 0.9 < max(probabilities) <= 0.95
        assert {problem.side for problem in PROBLEMS} == {"long", "short"}
        assert {problem.tiers for problem in PROBLEMS} == {FLAT, LADDER}
        leverages = [problem.leverage for problem in PROBLEMS]
        assert (min(leverages), max(leverages)) == (3, 50)
        assert (HORIZONS[0], HORIZONS[-1]) == (1, 30)
        assert any(problem.drift > 0 for problem in PROBLEMS)
        assert any(problem.drift < 0 for problem in PROBLEMS)

    @pytest.mark.parametrize("problem", PROBLEMS, ids=NAMES)
    def test_loss_of_a_fair_price_is_the_fee(self, problem: Problem) -> None:
        """Without drift a stopped position gains nothing: all that is lost is the fee."""
        if problem.drift:
            rising = Problem(**{**problem.__dict__, "drift": 0.0})
            assert problem.expected_loss(FEE) != pytest.approx(rising.expected_loss(FEE))
            problem = rising
        paid = FEE * problem.size * problem.barrier() * problem.probability()
        assert problem.expected_loss(FEE) == pytest.approx(paid, rel=1e-9)

    def test_lognormal_tail(self) -> None:
        """Quantile and shortfall against SciPy's distribution and a quadrature."""
        case = Lognormal(100.0, 0.8, 0.3, 30 / YEAR)
        deviation = 0.8 * np.sqrt(case.years)
        scale = 100.0 * np.exp((0.3 - 0.32) * case.years)
        price = lognorm(deviation, scale=scale)
        assert case.value_at_risk(0.95) == pytest.approx(100.0 - price.ppf(0.05), rel=1e-12)
        mass, _ = quad(lambda s: (100.0 - s) * price.pdf(s), 0.0, price.ppf(0.05))
        assert case.expected_shortfall(0.95) == pytest.approx(mass / 0.05, rel=1e-8)


class TestBridge:
    """Continuous monitoring at 200,000 paths."""

    def test_probability_from_weights(self, bridged: list[Run]) -> None:
        """Compare survival weights with the reflection principle."""
        scores = together(
            [
                weight_scores(
                    *run.estimate("liquidation_probability"),
                    [problem.probability() for problem in run.problems],
                )
                for run in bridged
            ]
        )
        check_standard_normal(scores, NAMES)

    def test_probability_from_hits(self, bridged: list[Run]) -> None:
        """Hits drawn from the bridges, which everything but these probabilities is made of."""
        scores = together(
            [
                binomial_scores(
                    run.estimate("liquidation_probability_by_step")[0][:, -1],
                    [problem.probability() for problem in run.problems],
                    PATHS,
                )
                for run in bridged
            ]
        )
        check_standard_normal(scores, NAMES)

    def test_weights_are_worth_more_than_hits(self, bridged: list[Run]) -> None:
        """A weight is a conditional probability of a hit: its interval is the narrower one."""
        for run in bridged:
            weight = np.ptp(run.estimate("liquidation_probability")[1], axis=-1)
            hit = np.ptp(run.estimate("liquidation_probability_by_step")[1][:, -1], axis=-1)
            assert np.all(weight < 0.97 * hit)

    def test_margin_call(self, bridged: list[Run]) -> None:
        """A margin call is the passage of another barrier, at a requirement larger by 1 / 0.8."""
        scores = together(
            [
                weight_scores(
                    *run.estimate("margin_call_probability"),
                    [problem.probability(WARNING) for problem in run.problems],
                )
                for run in bridged
            ]
        )
        check_standard_normal(scores, NAMES)

    def test_expected_loss(self, bridged: list[Run]) -> None:
        """Pools are closed at the barrier itself: the mean loss is a closed form, fee included."""
        scores = together(
            [
                mean_scores(
                    *run.estimate("expected_loss"),
                    [problem.expected_loss(FEE) for problem in run.problems],
                )
                for run in bridged
            ]
        )
        check_standard_normal(scores, NAMES)

    def test_nobody_owes_where_the_requirement_covers_the_fee(self, bridged: list[Run]) -> None:
        """Watched continuously, a close leaves requirement less fee, which is positive here."""
        for run in bridged:
            assert np.all(run.estimate("bankruptcy_probability")[0] == 0.0)

    @pytest.mark.slow
    def test_one_step(self, tmp_path: Path) -> None:
        """One step of a week is as unbiased as eight, here in float64."""
        run = simulate(
            tmp_path,
            WEEK,
            fee=FEE,
            monitoring="bridge",
            precision="float64",
            paths=50_000,
            steps=1,
            seed=SEED + 100,
        )
        truth = [problem.probability() for problem in WEEK]
        names = [problem.name for problem in WEEK]
        check_standard_normal(weight_scores(*run.estimate("liquidation_probability"), truth), names)
        hits = run.estimate("liquidation_probability_by_step")[0][:, -1]
        check_standard_normal(binomial_scores(hits, truth, 50_000), names)


TIMED_PATHS, TIMED_STEPS = 50_000, 32
NEARLY_SURE = 0.9999
"""Confidence of the timed run: all of its intervals hold the truth."""


@pytest.fixture(scope="module")
def timed(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run the problems of a week at 32 steps, with a fee that some pools cannot pay."""
    return simulate(
        tmp_path_factory.mktemp("timed"),
        WEEK,
        fee=HIGH_FEE,
        monitoring="bridge",
        paths=TIMED_PATHS,
        steps=TIMED_STEPS,
        seed=SEED + 200,
        confidence=NEARLY_SURE,
        quantiles=[0.1, 0.5, 0.9],
    )


@pytest.fixture(scope="module")
def law() -> Floats:
    """P(liquidated by the end of each step) of the timed run, (problems, steps)."""
    ends = 7 / YEAR * np.arange(1, TIMED_STEPS + 1) / TIMED_STEPS
    return np.array([[problem.distribution(years) for years in ends] for problem in WEEK])


class TestTimes:
    """When, not only whether; and what is left."""

    def test_probability(self, timed: Run, law: Floats) -> None:
        """Weights, as with few steps."""
        estimate = timed.estimate("liquidation_probability")
        scores = weight_scores(*estimate, law[:, -1], NEARLY_SURE)
        check_standard_normal(scores, [problem.name for problem in WEEK])

    def test_term_structure(self, timed: Run, law: Floats) -> None:
        """The curve over the horizon is the distribution function of the first passage time."""
        curve = timed.estimate("liquidation_probability_by_step")[0]
        assert curve.shape == (len(WEEK), TIMED_STEPS + 1)
        assert np.all(curve[:, 0] == 0.0)
        expected = law * TIMED_PATHS
        counted = expected >= 20  # below, a count is not near a normal
        scores = binomial_scores(curve[:, 1:], law, TIMED_PATHS)[counted]
        # neighbours on a curve are nearly the same number: as many as there are, none is far
        assert np.max(np.abs(scores)) < 4.5
        assert np.mean(scores**2) < 2.0

    def test_quantiles_of_the_time(self, timed: Run, law: Floats) -> None:
        """Given liquidation, at the resolution of the steps: intervals at 99.99 % hold them."""
        found, interval = timed.estimate("liquidation_time_quantile")
        days = 7.0 * np.arange(1, TIMED_STEPS + 1) / TIMED_STEPS
        given = law / law[:, -1:]
        for column, level in enumerate((0.1, 0.5, 0.9)):
            truth = days[(given < level).sum(axis=1)]
            low, high = interval[:, column].T
            assert np.all((low <= truth * (1 + 1e-9)) & (truth <= high * (1 + 1e-9)))
            assert np.all((low <= found[:, column]) & (found[:, column] <= high))
            # and they say something: thousands of times pin the quantile to a few steps
            many = law[:, -1] > 0.1
            assert np.all((high - low)[many] <= 4 * days[0] * (1 + 1e-9))

    def test_who_cannot_pay_the_fee(self, timed: Run) -> None:
        """Bankrupt are those whose requirement at the barrier is below the fee, and all of them."""
        bankrupt = timed.estimate("bankruptcy_probability")[0]
        hits = timed.estimate("liquidation_probability_by_step")[0][:, -1]
        owes = np.array([problem.residual(HIGH_FEE) < 0 for problem in WEEK])
        assert 0 < owes.sum() < len(WEEK)
        assert np.allclose(bankrupt, np.where(owes, hits, 0.0), rtol=0, atol=1e-12)

    def test_loss_and_debt(self, timed: Run) -> None:
        """What a pool cannot pay is not its loss but somebody's: both means are closed forms."""
        truth = [problem.expected_loss(HIGH_FEE) for problem in WEEK]
        scores = mean_scores(*timed.estimate("expected_loss"), truth, NEARLY_SURE)
        check_standard_normal(scores, [problem.name for problem in WEEK])
        debt = [-min(p.residual(HIGH_FEE), 0.0) * p.probability() for p in WEEK]
        # the fund lives on the fees of the same closes, and they are more than the debts
        assert values(timed.tree, "book", "expected_uncovered_loss")[0] == 0
        mean, interval = values(timed.tree, "book", "expected_fund_draw")
        check_each(mean_scores(mean, interval, sum(debt), NEARLY_SURE)[None], ["debt"])

    def test_a_hit_is_closed_at_the_barrier(self, timed: Run) -> None:
        """Not at a node, nor between two: notional and debt are those of the hits, to rounding."""
        hits = timed.estimate("liquidation_probability_by_step")[0][:, -1]
        notional = values(timed.tree, "assets", "liquidated_notional_mean")[0]
        closed = [problem.size * problem.barrier() for problem in WEEK]
        assert notional == pytest.approx(hits * closed, rel=1e-5)
        debt = [-min(problem.residual(HIGH_FEE), 0.0) for problem in WEEK]
        paid, unpaid = (
            values(timed.tree, "book", name)[0]
            for name in ("expected_fund_draw", "expected_uncovered_loss")
        )
        assert paid + unpaid == pytest.approx(hits @ debt, rel=1e-5)


class TestSteps:
    """Looks at the grid points only, against repeated convolution."""

    def test_probability(self, tmp_path: Path) -> None:
        """24 looks in a week at 100,000 paths."""
        paths = PATHS // 2
        run = simulate(
            tmp_path, WEEK, fee=FEE, monitoring="step", paths=paths, steps=24, seed=SEED + 300
        )
        truth = [problem.discrete(24) for problem in WEEK]
        hits, interval = run.estimate("liquidation_probability")
        names = [problem.name for problem in WEEK]
        check_standard_normal(binomial_scores(hits, truth, paths), names)
        check_standard_normal(weight_scores(hits, interval, truth), names)
        at_end = run.estimate("liquidation_probability_by_step")[0][:, -1]
        assert np.allclose(at_end, hits, rtol=0, atol=1e-12)


STAIRS: Tiers = ((0.0, 0.004), (4_500.0, 0.01), (9_000.0, 0.03))
"""Floors that the positions below cross."""


@dataclass(frozen=True)
class OneAsset:
    """A pool of several positions and coins of one asset, with one liquidation price."""

    name: str
    cash: float
    positions: tuple[tuple[float, float], ...]  # quantity, entry
    coins: float
    haircut: float = 0.0
    tiers: Tiers = FLAT
    volatility: float = 0.7

    def level(self, ratio: float) -> float:
        """Return the only price at which the margin ratio is ``ratio``, found on the pieces."""
        demanded = [(floor, rate / ratio) for floor, rate in self.tiers]
        amounts = barrier.tier_amounts(demanded)
        table = [(rate, amount) for (_, rate), amount in zip(demanded, amounts, strict=True)]
        pool = plain.PlainPool(
            self.cash,
            [(0, quantity, entry, table) for quantity, entry in self.positions],
            [(0, self.coins, self.haircut)],
        )
        (root,) = plain.liquidation_marks(pool, 0, 1, None)
        return root

    def probability(self, days: float, ratio: float = 1.0) -> float:
        """P(it is reached), watched continuously, from a price of 100."""
        return barrier.continuous(100.0, self.level(ratio), self.volatility, 0.0, days / YEAR)


ONE_ASSET = (
    OneAsset("two-longs", 800.0, ((100.0, 100.0), (40.0, 104.0)), 1.0),
    OneAsset("netted-long", 600.0, ((150.0, 101.0), (-60.0, 97.0)), 2.0, 0.5, STAIRS),
    OneAsset("netted-short", 500.0, ((30.0, 95.0), (-120.0, 103.0)), 3.0, 0.0, STAIRS),
    OneAsset("shorts-with-profit", 0.0, ((-90.0, 110.0), (-10.0, 90.0)), 1.0, 0.1),
    OneAsset("longs-on-coins", 0.0, ((60.0, 100.0), (40.0, 101.0)), 12.0, 0.1),
    OneAsset("longs-in-debt", -500.0, ((50.0, 99.0), (50.0, 100.0)), 15.0, 0.2, STAIRS),
)
"""All of one width, two positions and a coin, so that one kernel holds them."""


def test_several_of_one_asset(tmp_path: Path) -> None:
    """Positions and coins of one asset have one barrier together, and the bridge stays exact."""
    assets = [
        Asset(case.name, case.volatility, tiers=case.tiers, haircut=case.haircut)
        for case in ONE_ASSET
    ]
    owners = [
        Owner(
            case.name,
            case.cash,
            tuple(Position(case.name, *held) for held in case.positions),
            coins=((case.name, case.coins),),
        )
        for case in ONE_ASSET
    ]
    scenario = write_book(
        tmp_path,
        assets,
        owners,
        days=3,
        steps=3,
        paths=50_000,
        seed=SEED + 400,
        monitoring="bridge",
    )
    tree = stress.run(scenario)
    names = [case.name for case in ONE_ASSET]
    for ratio, name in ((1.0, "liquidation_probability"), (WARNING, "margin_call_probability")):
        truth = [case.probability(3, ratio) for case in ONE_ASSET]
        assert 0.02 < min(truth) < max(truth) < 0.98
        check_standard_normal(weight_scores(*values(tree, "accounts", name), truth), names)
