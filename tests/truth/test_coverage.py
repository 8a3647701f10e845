"""Two hundred seeds: the 95 % intervals cover the truth about as often as they say.

Between 90.5 % and 99 % of 200 is what a true coverage of 95 % gives but for one time in three
hundred. The upper end is not asked of intervals that are conservative by construction: Wilson's
where a handful of hits is expected, whose coverage jumps with the count (Brown, Cai and DasGupta
2001). The order statistics of a quantile are conservative too, but by less than a percent at these
ranks; they are held to both ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from stress.measure.moments import Estimate
from stress.runner.prepare import prepare
from stress.runner.progress import Silent
from stress.runner.simulate import measure
from stress.scenario.load import with_options
from stress.scenario.schema import Scenario
from stress.stats.probability import wilson
from tests.reference import barrier

from .books import Asset, Owner, Position, write_book
from .problems import FLAT, YEAR, Lognormal

Floats = NDArray[np.float64]

pytestmark = pytest.mark.slow

SEEDS = range(1_000, 1_200)
PATHS, STEPS, DAYS = 2_000, 4, 7
PRICE, SIZE, VOLATILITY, CORRELATION = 100.0, 10.0, 0.8, 0.8
LEVERAGES = (20.0, 14.0, 10.0, 8.0, 6.0)
"""Longs on five correlated assets, one a group of accounts."""
RARE = 3.3
"""Leverage of an account with three hits to expect."""
LEVEL = 0.95
FEWEST, MOST = 0.905, 0.99

PAID = Lognormal(PRICE, VOLATILITY, 0.0, DAYS / YEAR)
"""A fully paid long, which no price liquidates: its loss has no lump."""


def probability(leverage: float) -> float:
    """P(a long of that leverage is liquidated), watched continuously."""
    level = barrier.liquidation_price("long", PRICE, SIZE, PRICE * SIZE / leverage, FLAT)
    return barrier.continuous(PRICE, level, VOLATILITY, 0.0, DAYS / YEAR)


TRUTH = np.array([probability(leverage) for leverage in LEVERAGES])


def build(folder: Path) -> Scenario:
    """Return five correlated longs, a rare one and a paid one."""
    leverages = {f"{leverage:g}x": leverage for leverage in (*LEVERAGES, RARE)}
    owners = [
        Owner(
            name,
            PRICE * SIZE / leverage,
            (Position(name, SIZE, PRICE),),
            group="rare" if leverage == RARE else "correlated",
        )
        for name, leverage in leverages.items()
    ]
    owners.append(Owner("paid", 2 * PRICE, (Position("paid", 1.0, PRICE),), group="paid"))
    assets = [Asset(owner.name, VOLATILITY) for owner in owners]
    correlation = np.full((len(assets), len(assets)), CORRELATION)
    np.fill_diagonal(correlation, 1.0)
    return write_book(
        folder,
        assets,
        owners,
        correlation=correlation,
        monitoring="bridge",
        days=DAYS,
        steps=STEPS,
        paths=PATHS,
        levels=[LEVEL],
    )


@dataclass(frozen=True)
class Sample:
    """Estimates and intervals over the seeds: (seeds, ...) and (seeds, ..., 2)."""

    value: Floats
    interval: Floats

    def coverage(self, truth: Floats | float) -> Floats:
        """Return the share of seeds whose interval holds the truth, (...)."""
        low, high = self.interval[..., 0], self.interval[..., 1]
        return np.asarray(((low <= truth) & (truth <= high)).mean(axis=0))


Runs = dict[tuple[str, str], Sample]

WANTED = (
    ("accounts", "liquidation_probability"),
    ("accounts", "liquidation_probability_by_step"),
    ("accounts", "value_at_risk"),
    ("accounts", "expected_shortfall"),
    ("accounts", "expected_loss"),
    ("groups", "liquidation_probability"),
    ("groups", "liquidation_probability_by_step"),
    ("book", "liquidation_probability"),
)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """Run every seed."""
    return all_seeds(tmp_path_factory.mktemp("coverage"))


def all_seeds(folder: Path) -> Runs:
    """Run every seed but label no result; JAX compiles for the first one only."""
    scenario = build(folder)
    found: dict[tuple[str, str], list[Estimate]] = {key: [] for key in WANTED}
    for seed in SEEDS:
        measured = measure(prepare(with_options(scenario, seed=seed)), Silent())
        findings = measured.worlds["as-booked"].finish()
        for group, name in WANTED:
            estimate = findings[group][name]
            assert isinstance(estimate, Estimate)
            found[group, name].append(estimate)
    return {
        key: Sample(np.array([e.value for e in some]), np.array([e.interval for e in some]))
        for key, some in found.items()
    }


def check(coverage: Floats, most: float = MOST) -> None:
    """Fail where a coverage is not what an honest 95 % gives."""
    assert np.all(coverage >= FEWEST), coverage
    assert np.all(coverage <= most), coverage


class TestProbability:
    """One account."""

    def test_from_weights(self, runs: Runs) -> None:
        """Wilson's interval at the number of trials that the weights' variance makes them worth."""
        sample = runs["accounts", "liquidation_probability"]
        check(sample.coverage(np.array([*TRUTH, probability(RARE), 0.0]))[: len(TRUTH)])

    def test_from_hits(self, runs: Runs) -> None:
        """Wilson's interval of a count."""
        sample = runs["accounts", "liquidation_probability_by_step"]
        at_end = Sample(sample.value[..., -1], sample.interval[..., -1, :])
        check(at_end.coverage(np.array([*TRUTH, probability(RARE), 0.0]))[: len(TRUTH)])

    def test_few_hits(self, runs: Runs) -> None:
        """Three hits to expect: never fewer than promised, more is allowed."""
        rare = probability(RARE)
        assert 2.0 < rare * PATHS < 4.0
        for name in ("liquidation_probability", "liquidation_probability_by_step"):
            sample = runs["accounts", name]
            place = (slice(None), len(TRUTH)) + ((-1,) if name.endswith("step") else ())
            check(Sample(sample.value[place], sample.interval[place]).coverage(rare), most=1.0)


class TestMeanOverAccounts:
    """Paths are independent, accounts on one path are not."""

    def test_groups(self, runs: Runs) -> None:
        """The mean over five correlated accounts, from weights and from hits."""
        check(runs["groups", "liquidation_probability"].coverage([TRUTH.mean(), 0, 0])[0])
        sample = runs["groups", "liquidation_probability_by_step"]
        at_end = Sample(sample.value[:, 0, -1], sample.interval[:, 0, -1])
        check(at_end.coverage(TRUTH.mean()))

    def test_book(self, runs: Runs) -> None:
        """The mean over all seven accounts."""
        truth = (TRUTH.sum() + probability(RARE)) / 7
        check(runs["book", "liquidation_probability"].coverage(truth))

    def test_pooled_accounts_would_not_do(self, runs: Runs) -> None:
        """Five times as many trials of a binomial: an interval that fails the check above."""
        sample = runs["groups", "liquidation_probability_by_step"]
        mean = sample.value[:, 0, -1]
        pooled = wilson(mean, np.array(float(PATHS * len(TRUTH))), 0.95)
        assert Sample(mean, pooled).coverage(TRUTH.mean()) < FEWEST


class TestLoss:
    """The fully paid long, whose loss is that of a lognormal price."""

    PAID = -1

    def test_value_at_risk(self, runs: Runs) -> None:
        """Order statistics."""
        sample = runs["accounts", "value_at_risk"]
        paid = Sample(sample.value[:, self.PAID, 0], sample.interval[:, self.PAID, 0])
        check(paid.coverage(PAID.value_at_risk(LEVEL)))

    def test_expected_shortfall(self, runs: Runs) -> None:
        """The mean beyond the sample quantile, 100 observations."""
        sample = runs["accounts", "expected_shortfall"]
        paid = Sample(sample.value[:, self.PAID, 0], sample.interval[:, self.PAID, 0])
        check(paid.coverage(PAID.expected_shortfall(LEVEL)))

    def test_expected_loss(self, runs: Runs) -> None:
        """No drift and no fee: nobody expects to lose anything, liquidated or not."""
        check(runs["accounts", "expected_loss"].coverage(0.0))
