"""Splitting from the file to the result: what it finds, what it replaces, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import stress
from stress.errors import InputError
from stress.measure.splitting import IN_EVENT, counts_beyond, fund_score
from stress.measure.world import SHARES
from stress.report.page import render
from stress.result.summary import summarise
from stress.runner.analyses.splitting import _doubt, _planned
from stress.runner.driven import Driven, can_be_driven
from stress.runner.prepare import prepare
from stress.runner.simulate import job_spread
from stress.sampling.splitting import Noise, Population, split, with_interval
from stress.types import Array, Floats
from tests.crowd import ACCOUNTS, crowd
from tests.reference import barrier

FUND = 300.0
"""Exhausted about once in two thousand days."""
PATHS = 24_000
RATE, FEE, HOURS, SIGMA = 0.005, 0.0005, 24, 0.7


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> xr.DataTree:
    scenario = crowd(
        tmp_path_factory.mktemp("crowd"),
        fund=FUND,
        paths=PATHS,
        estimator="splitting",
        changes={"limits": {"max_fund_exhaustion_probability": 0.5}},
    )
    return stress.run(scenario)


def plain_needs(paths: int) -> Floats:
    """Return what the fund is asked for on those of the paths on which anybody breaks.

    Written down without any of the engine: each long is closed whole at the first hour at which its
    equity is below its requirement.
    """
    random = np.random.default_rng(12)
    step = SIGMA * np.sqrt(1 / 365 / HOURS)
    walked = (step * random.standard_normal((paths, HOURS)) - step**2 / 2).cumsum(axis=1)
    price = 100 * np.exp(walked)
    # 13 times the cash breaks at 92.8 USD, and nobody before
    price = price[price.min(axis=1) < 93.0]
    cash, paths = 100.0 * 100.0 / np.linspace(4.0, 13.0, ACCOUNTS), len(price)
    asked, most = np.zeros(paths), np.zeros(paths)
    open_ = np.ones((paths, ACCOUNTS), bool)
    for hour in range(HOURS):
        notional = 100 * price[:, hour, None]
        equity = cash + notional - 10_000
        closes = open_ & (equity < RATE * notional)
        open_ &= ~closes
        owed = np.maximum(-(equity - FEE * notional), 0)
        asked -= np.where(closes, FEE * notional, 0).sum(axis=1)
        asked += np.where(closes, owed, 0).sum(axis=1)
        most = np.maximum(most, asked)
    return most


def numbers(tree: xr.DataTree, group: str, name: str) -> Array:
    return np.asarray(tree[group].to_dataset()[name].values)


def of_event(tree: xr.DataTree, name: str) -> xr.Dataset:
    return tree["diagnostics"].to_dataset().sel(event=name)


class TestWhatItFinds:
    def test_the_fund(self, tree: xr.DataTree) -> None:
        """The interval holds what 400,000 plain paths give, and is shorter than the run's own."""
        exact = float((plain_needs(400_000) > FUND).sum()) / 400_000
        found = of_event(tree, "fund exhausted")
        assert bool(found["splitting_trusted"])
        lower, upper = found["splitting_probability_interval"].values
        noise = 3 * np.sqrt(exact / 400_000)
        assert lower < exact + noise
        assert upper > exact - noise
        plain = found["plain_probability_interval"].values
        assert np.log(upper / lower) < np.log(plain[1] / plain[0])

    def test_half_of_the_accounts(self, tree: xr.DataTree) -> None:
        """More than half are liquidated when the eleventh barrier is passed, which is solvable."""
        found = of_event(tree, "more than 50% of accounts liquidated")
        leverage = np.sort(np.linspace(4.0, 13.0, ACCOUNTS))[::-1][ACCOUNTS // 2]
        level = 100.0 * (1 - 1 / leverage) / (1 - RATE)
        exact = barrier.discrete(100.0, level, SIGMA, 0.0, 1 / 365, HOURS)
        lower, upper = found["splitting_probability_interval"].values
        assert lower < exact < upper

    def test_seen_often_is_left_alone(self, tree: xr.DataTree) -> None:
        """What thirty plain paths saw stays plain, and is not asked for."""
        events = numbers(tree, "diagnostics", "event").tolist()
        assert not any("more than 1%" in event for event in events)
        share = numbers(tree, "paths", "liquidated_accounts") / ACCOUNTS
        for number, each in enumerate(SHARES):
            hits = (share > each).sum()
            if hits >= 30:
                plain = numbers(tree, "book", "liquidated_share_probability")[number]
                assert plain == pytest.approx(hits / len(share))


class TestResult:
    def test_takes_the_place_of_the_plain_one(self, tree: xr.DataTree) -> None:
        found = of_event(tree, "fund exhausted")
        better = float(found["splitting_probability"])
        assert float(numbers(tree, "book", "fund_exhaustion_probability")) == better
        assert summarise(tree)["fund_exhaustion_probability"]["estimate"] == better
        assert numbers(tree, "limits", "value").tolist() == [better]
        hits = numbers(tree, "paths", "fund_exhausted").sum()
        assert float(found["plain_probability"]) == hits / PATHS
        assert int(found["plain_hits"]) == hits

    def test_costs_what_it_says(self, tree: xr.DataTree) -> None:
        """About as many paths as the run has, for both scores together."""
        spent = numbers(tree, "diagnostics", "splitting_paths")
        assert 0.5 * PATHS < len(set(spent.tolist())) * spent.mean() < 1.3 * PATHS

    def test_report(self, tree: xr.DataTree) -> None:
        page = render(tree)
        assert "Rare events by splitting" in page
        assert "fund exhausted" in page


@pytest.fixture(scope="module")
def driven(tmp_path_factory: pytest.TempPathFactory) -> Driven:
    scenario = crowd(tmp_path_factory.mktemp("cascade"), feedback=True, fund=20.0)
    job = prepare(scenario)
    return Driven(job, job_spread(job), 64)


class TestFeedback:
    """The cascade, on a fund that is exhausted on one of a hundred days."""

    def test_agrees_with_plain_paths(self, driven: Driven) -> None:
        exists = np.ones(ACCOUNTS, bool)

        def score(noise: Noise) -> Floats:
            return np.concatenate(
                [fund_score(block, exists, 20.0, 3e4) for block in driven.blocks(noise)]
            )

        independent = Noise.drawn(6_000, *driven.shape, np.random.default_rng(1))
        plain = float((score(independent) > IN_EVENT).mean())
        assert 0.003 < plain < 0.05
        estimates = [
            float(
                split(
                    score,
                    np.array([IN_EVENT]),
                    (64, *driven.shape),
                    np.random.default_rng((2, number)),
                    5_000,
                ).probability[0]
            )
            for number in range(8)
        ]
        _, lower, upper = with_interval(estimates, 0.99)
        error = 2.6 * np.sqrt(plain / 6_000)
        assert lower < plain + error
        assert upper > plain - error

    def test_block_and_padding_change_nothing(self, driven: Driven) -> None:
        """A path's outcome is its own, whoever stands beside it and however many."""
        noise = Noise.drawn(70, *driven.shape, np.random.default_rng(5))
        whole = np.concatenate([block.fund_need for block in driven.blocks(noise)])
        some = noise.take(np.array([69, 3, 40]))
        part = np.concatenate([block.fund_need for block in driven.blocks(some)])
        np.testing.assert_array_equal(part, whole[[69, 3, 40]])


class TestVerdicts:
    def population(self, spent: int) -> Population:
        return Population(np.array([0.1]), np.array([9]), np.array([spent]), (), spent, 0.1)

    def test_plan(self) -> None:
        """At least 8 populations; more of them where they need not be larger; none too small."""
        small = _planned(self.population(640), 1, 10_000)
        assert (small.events, small.populations) == (1, 8)
        assert 64 <= small.particles < 512
        large = _planned(self.population(640), 1, 1_000_000)
        assert large.particles == 512
        assert large.populations > 100
        assert _planned(self.population(640), 1, 1_000).events == 0

    @pytest.mark.parametrize(
        ("estimates", "ancestors", "plain", "said"),
        [
            ([1e-4] * 7 + [np.nan], 9.0, (0.0, 1.0), "1 of 8 populations gave up"),
            ([1e-4] * 8, 2.5, (0.0, 1.0), "descend from 2.5 first particles"),
            ([1e-4] * 7 + [1e-2], 9.0, (0.0, 1.0), "the populations differ"),
            ([1e-4, 2e-4] * 4, 9.0, (0.01, 0.02), "contradicts the plain run"),
        ],
    )
    def test_what_is_not_trusted(
        self, estimates: list[float], ancestors: float, plain: tuple[float, float], said: str
    ) -> None:
        assert said in _doubt(estimates, ancestors, np.array(plain))

    def test_what_is_trusted(self) -> None:
        assert _doubt([1e-4, 2e-4] * 4, 9.0, np.array([0.0, 1e-3])) == ""

    def test_counts(self) -> None:
        """More than 10 percent of 20 accounts are 3; of 3 accounts every small share is 1."""
        for accounts in (3, 20, 1_000):
            for share, beyond in zip(
                SHARES, counts_beyond(np.array(SHARES), accounts), strict=True
            ):
                counts = np.arange(accounts + 1)
                np.testing.assert_array_equal(counts > beyond, counts / accounts > share)


class TestRefused:
    @pytest.mark.parametrize("model", ["given", "historical"])
    def test_paths_without_random_numbers(self, model: str, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        key = "file" if model == "given" else "history"
        changes = {"market": {"model": model, key: "file"}}
        with pytest.raises(InputError, match="moves the random numbers") as refused:
            crowd(tmp_path, changes=changes, estimator="splitting")
        assert refused.value.key == "simulation.estimator"
        assert "plain" in str(refused.value.remedy)

    def test_a_source_of_many_models(self) -> None:
        class Source:
            def block(self, numbers: object) -> None:
                return None

        assert not can_be_driven(Source())  # type: ignore[arg-type]
