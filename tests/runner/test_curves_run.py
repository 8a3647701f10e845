"""Limit curves of whole runs: against other runs and closed forms, and who is looked at."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from numpy.typing import NDArray

import stress
from stress.book.what_if import resized
from stress.measure.curves import MULTIPLES
from stress.result.schema import GROUPS, WORLD_PREFIX
from stress.runner.analyses import curves
from stress.runner.prepare import Job, prepare
from stress.runner.progress import Silent
from stress.runner.simulate import measure
from stress.scenario.load import load_scenario
from stress.scenario.schema import Scenario
from tests.reference import cross_pair
from tests.strategies import random_book, write_book
from tests.truth.books import Asset, Owner, Position, book_of, correlated_pairs
from tests.truth.books import write_book as write_truth
from tests.truth.problems import PROBLEMS, YEAR, Problem

Floats = NDArray[np.float64]

KINDS = ("cross_coins", "isolated_alone", "stated_leverage", "idle", "broken")
PRESENT = 16
"""Place of 1 among the multiples."""


def drawn(scenario: Scenario) -> Scenario:
    """Return the scenario with curves asked for."""
    return scenario.model_copy(
        update={"analysis": scenario.analysis.model_copy(update={"curves": True})}
    )


def small(folder: Path, **changes: Any) -> Scenario:
    named = {key.replace("__", "."): value for key, value in changes.items()}
    usual = {
        "book.compare": ["cross", "isolated"],
        "simulation.seed": 91,
        "simulation.paths": 150,
        # with all that other tests of the same shape compile
        "simulation.detail": True,
        "analysis.curves": True,
    }
    return write_book(folder, random_book(91, KINDS), {**usual, **named})


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> xr.DataTree:
    return stress.run(small(tmp_path_factory.mktemp("book")))


def test_at_present_the_curve_is_the_run(tree: xr.DataTree) -> None:
    """In every world, where all accounts and paths are looked at; so is every chosen account."""
    found = tree["curves"]
    assert found.attrs["paths"] == 150
    assert found.attrs["accounts"] == 10
    for world in ("", "cross_", "isolated_", "as_booked_"):
        for axis in ("collateral", "size"):
            curve = found[f"{world}liquidation_probability_by_{axis}"][:, PRESENT]
            known = found[f"{world}accounts_by_{axis}"] == tree["groups"]["accounts"]
            run = tree["groups"][f"{world}liquidation_probability"]
            np.testing.assert_allclose(curve[known], run[known], atol=1e-15)
        own = found[f"{world}account_liquidation_probability_by_collateral"][:, PRESENT]
        run = tree["accounts"][f"{world}liquidation_probability"].sel(account=found["account"])
        np.testing.assert_allclose(own, run, atol=1e-15)


def test_everything_specified_is_there(tree: xr.DataTree) -> None:
    """And in its dimensions, in every world that repeats it."""
    found = tree["curves"]
    specified = GROUPS["curves"]
    for name, spec in specified.items():
        prefixes = ("", *WORLD_PREFIX) if spec.compared else ("",)
        for prefix in prefixes:
            array = found[prefix + name]
            assert array.dims == spec.dims
            assert array.attrs["long_name"] == spec.meaning
            if spec.estimate:
                assert found[f"{prefix}{name}_interval"].dims == (*spec.dims, "bound")
    known = {f"{name}{end}" for name in specified for end in ("", "_interval")}
    for name in map(str, found.data_vars):
        assert name in known or any(name.removeprefix(of) in known for of in WORLD_PREFIX)
    np.testing.assert_array_equal(found["multiple"], MULTIPLES)


def test_curves_are_monotone_and_hold_their_bands(tree: xr.DataTree) -> None:
    found = tree["curves"]
    for name, array in found.data_vars.items():
        if "probability" not in str(name) or str(name).endswith("_interval"):
            continue
        sign = -1 if str(name).endswith("collateral") else 1
        value, interval = array.values, found[f"{name}_interval"].values
        known = ~np.isnan(value).any(axis=1)
        assert (sign * np.diff(value[known], axis=1) >= 0).all()
        assert (interval[known, :, 0] <= value[known] + 1e-12).all()
        assert (value[known] <= interval[known, :, 1] + 1e-12).all()


@pytest.mark.slow
def test_other_sizes_are_other_runs(tmp_path: Path, tree: xr.DataTree) -> None:
    """A multiple is traded at the starting marks: the profit so far stays what it is."""
    scenario = small(tmp_path)
    job = prepare(scenario)
    now = job.setting.price[job.book.position_asset]
    profit = job.book.quantity * (now - job.book.entry_price)
    isolated = ~np.isnan(job.book.margin)
    gained = np.where(isolated, 0, profit)
    entered = replace(
        job.book,
        entry_price=now,
        cash=job.book.cash + np.bincount(job.book.position_account, gained, len(job.book.accounts)),
        margin=job.book.margin + profit,
    )
    found, mixed = tree["curves"], 0
    for place in (4, 14, 18, 22):
        size = np.full(len(job.book.positions), MULTIPLES[place])
        other = prepare(scenario, book=resized(entered, size))
        run = measure(other, Silent()).worlds[other.main_mode]
        expected = run.by_group["liquidation"].mean
        curve = found["liquidation_probability_by_size"].values[:, place]
        known = ~np.isnan(curve)
        np.testing.assert_allclose(curve[known], expected[known], atol=1e-15)
        mixed += ((expected > 0.05) & (expected < 0.95)).sum()
    assert mixed > 2


def test_leverage_of_a_size(tree: xr.DataTree) -> None:
    """As many times the present one, NaN of an account without equity."""
    found, accounts = tree["curves"], tree["accounts"]
    present = accounts["effective_leverage"].sel(account=found["account"]).values
    equity = accounts["initial_equity"].sel(account=found["account"]).values
    leverage = found["effective_leverage_by_size"].values
    np.testing.assert_allclose(leverage[equity > 0], np.outer(present[equity > 0], MULTIPLES))
    assert np.isnan(leverage[equity <= 0]).all()


def test_not_asked_for(tmp_path: Path) -> None:
    assert "curves" not in stress.run(small(tmp_path, analysis__curves=False)).children


@pytest.mark.slow
def test_feedback_is_left_out(tmp_path: Path) -> None:
    """And said so: at 1 the curve is the run without price impact."""
    impact = {"kind": "linear", "depth_1pct": dict.fromkeys(("ONE", "TWO", "TEN", "ODD"), 1e5)}
    found = stress.run(small(tmp_path, venue__impact=impact, book__compare=[]))
    calm = found["accounts"]["liquidation_probability_without_feedback"]
    chosen = found["curves"]["account"]
    own = found["curves"]["account_liquidation_probability_by_collateral"][:, PRESENT]
    np.testing.assert_allclose(own, calm.sel(account=chosen), atol=1e-15)
    assert "price impact" in found["curves"].attrs["notes"]
    assert (found["accounts"]["liquidation_probability"] - calm).max() > 0.01


PROBABLE = tuple(
    problem for problem in PROBLEMS if problem.days == 7 and problem.leverage in (3, 10, 20, 8, 50)
)


def probability(problem: Problem) -> float:
    """Return the closed form, 1 where the position is in breach at once."""
    level = problem.barrier()
    breached = level >= problem.price if problem.side == "long" else level <= problem.price
    return 1.0 if breached else problem.probability()


def check_problems(tree: xr.DataTree) -> None:
    """Compare both curves of single positions with the closed form at every multiple."""
    found = tree["curves"]
    for problem in PROBABLE:
        for axis in ("collateral", "size"):
            name = f"account_liquidation_probability_by_{axis}"
            band = found[f"{name}_interval"].sel(account=problem.name).values
            for place, multiple in enumerate(MULTIPLES):
                if axis == "collateral":
                    other = replace(problem, leverage=problem.leverage / multiple)
                else:
                    other = replace(
                        problem,
                        leverage=problem.leverage * multiple,
                        notional=problem.notional * multiple,
                    )
                exact = probability(other)
                low, high = band[place] + np.array([-1e-12, 1e-12])
                assert low <= exact <= high, (problem.name, axis, multiple, exact)


@pytest.mark.parametrize("paths", [2_000, pytest.param(50_000, marks=pytest.mark.slow)])
def test_closed_forms(tmp_path: Path, paths: int) -> None:
    """Bridges of one position are exact for any number of steps: two days long, here."""
    scenario = book_of(
        tmp_path,
        PROBABLE,
        fee=0.0,
        paths=paths,
        steps=4,
        seed=4_711,
        # of a dozen curves together
        confidence=0.999,
        monitoring="bridge",
        precision="float64",
    )
    assert len(PROBABLE) >= 5
    check_problems(stress.run(drawn(scenario)))


@pytest.mark.slow
def test_cross_pair(tmp_path: Path) -> None:
    """Two assets in one pool against finite differences, at other collateral and other size."""
    pair = cross_pair.CrossPair((1.0, -1.0), 0.1, (0.6, 0.8), 0.8, 7 / YEAR)
    assets = [Asset("a", 0.6), Asset("b", 0.8)]
    held = (Position("a", 10.0), Position("b", -10.0))
    scenario = write_truth(
        tmp_path,
        assets,
        [Owner("pair", 100.0, held)],
        correlation=correlated_pairs([0.8], 2),
        monitoring="bridge",
        precision="float64",
        days=7,
        steps=64,
        paths=20_000,
        seed=5,
    )
    found = stress.run(drawn(scenario))["curves"]
    assert found.attrs["paths"] == 20_000
    for place in (12, 14, 16, 18, 20):
        multiple = float(MULTIPLES[place])
        exact = cross_pair.pde(replace(pair, wallet=0.1 * multiple))
        band = found["account_liquidation_probability_by_collateral_interval"].values[0, place]
        assert band[0] <= exact <= band[1], ("collateral", multiple, exact)
        sized = tuple(quantity * multiple for quantity in pair.quantities)
        exact = cross_pair.pde(replace(pair, quantities=sized))
        band = found["account_liquidation_probability_by_size_interval"].values[0, place]
        assert band[0] <= exact <= band[1], ("size", multiple, exact)


@pytest.fixture(scope="module")
def ranked() -> tuple[Job, Floats]:
    """Return a job with many accounts, and probabilities in any order."""
    job = prepare(load_scenario("scenarios/three_books.toml"))
    order = np.random.default_rng(3).permutation(len(job.book.accounts))
    return job, order / len(order)


class TestSample:
    """Who is looked at where the budget does not allow everybody."""

    def test_evenly(self, ranked: tuple[Job, Floats]) -> None:
        """As many of each group, at even ranks of the probability, and the budget is kept."""
        job, probability = ranked
        slots = np.sum([curves._slots(world) for world in job.worlds.values()], axis=0)
        sample = curves._sample(job, probability, slots)
        paths = curves._paths(job, slots[sample.accounts].sum(), 128)
        spent = slots[sample.accounts].sum() * paths * job.schedule.steps
        assert 0.5 * curves._BUDGET < spent < 1.3 * curves._BUDGET
        assert paths >= 896
        counts = np.bincount(sample.group[sample.group >= 0])
        assert np.ptp(counts) <= 1
        assert counts.min() > 10
        for place, group in enumerate(sample.groups):
            members = sample.accounts[sample.group == place]
            assert (job.book.account_group[members] == group).all()
            everybody = probability[job.book.account_group == group]
            assert abs(probability[members].mean() - everybody.mean()) < 0.01

    def test_chosen(self, ranked: tuple[Job, Floats]) -> None:
        """Three of each group that are liquidated most often, and the largest."""
        job, probability = ranked
        slots = np.sum([curves._slots(world) for world in job.worlds.values()], axis=0)
        sample = curves._sample(job, probability, slots)
        chosen = sample.accounts[sample.chosen]
        notional = curves._notional(job)
        for group in range(3):
            members = np.flatnonzero(job.book.account_group == group)
            own = set(chosen[job.book.account_group[chosen] == group])
            often = members[np.argsort(-probability[members])[:3]]
            assert own == {*often, members[np.argmax(notional[members])]}

    def test_shares(self) -> None:
        """A small group leaves its room to the others; one account is always taken."""
        assert curves._even([100, 3, 100], 43) == [20, 3, 20]
        assert curves._even([5, 5], 1_000) == [5, 5]
        assert curves._even([5, 5], 0) == [1, 1]

    def test_curves_of_a_sample(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tree: xr.DataTree
    ) -> None:
        """What is looked at of few says the same of them."""
        monkeypatch.setattr(curves, "_ACCOUNTS", 5)
        monkeypatch.setattr(curves, "_MOST_LIQUIDATED", 1)
        found = stress.run(small(tmp_path))["curves"]
        np.testing.assert_array_equal(found["accounts_by_collateral"], 1)
        name = "account_liquidation_probability_by_collateral"
        whole = tree["curves"][name].sel(account=found["account"])
        np.testing.assert_array_equal(found[name], whole)
