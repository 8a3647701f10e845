"""Reverse stress of whole runs: every answer is walked again by an engine that knows nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from numpy.typing import NDArray

import stress
from stress.book.display import margin_display
from stress.market.given import GivenPaths
from stress.result.schema import GROUPS
from stress.runner.prepare import prepare
from stress.runner.reverse_events import reverse_events
from stress.scenario.appetite import Analysis
from stress.scenario.schema import Scenario
from tests.market.models import model_scenario
from tests.strategies import random_book
from tests.truth.books import Asset, Owner, Position, write_book

Floats = NDArray[np.float64]

DAYS, STEPS, ASSETS = 4, 8, ("A", "B", "C")
VOLATILITY = {"A": 0.6, "B": 0.8, "C": 1.1}
MARKET = [Asset(name, volatility) for name, volatility in VOLATILITY.items()]
CORRELATION = np.array([[1.0, 0.8, 0.5], [0.8, 1.0, 0.6], [0.5, 0.6, 1.0]])
OWNERS = [
    # from 4 to 15 times their cash: one long in three, the others long one asset, short another
    Owner(
        f"owner-{row:02d}",
        100.0 * (1 + row % 4) / (4 + row),
        (
            Position("A" if row % 3 == 0 else "C", 1.0 + row % 4),
            *((Position("B", -0.5 - row % 2),) if row % 3 else ()),
        ),
    )
    for row in range(12)
]


def asked(folder: Path, fund: float = 0.0, **simulation: Any) -> Scenario:
    """Return the scenario of the book; with a fund there is feedback too."""
    keys = {"paths": 256, "seed": 5, "precision": "float64", "detail": True}
    scenario = write_book(
        folder,
        MARKET,
        OWNERS,
        correlation=CORRELATION,
        days=DAYS,
        steps=STEPS,
        **(keys | simulation),
    )
    changes: dict[str, Any] = {"analysis": Analysis(reverse_stress=True)}
    if fund:
        raw = scenario.venue.model_dump(exclude_unset=True)
        depth = dict.fromkeys(ASSETS, 2e4)
        raw |= {"fund": {"balance": fund}, "impact": {"kind": "linear", "depth_1pct": depth}}
        changes["venue"] = type(scenario.venue).model_validate(raw)
    return scenario.model_copy(update=changes)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> tuple[Scenario, xr.DataTree]:
    """Return a scenario of first passage, and its result."""
    scenario = asked(tmp_path_factory.mktemp("plain"))
    return scenario, stress.run(scenario)


@pytest.fixture(scope="module")
def cascading(tmp_path_factory: pytest.TempPathFactory) -> tuple[Scenario, xr.DataTree]:
    """Return the same with feedback and a fund."""
    scenario = asked(tmp_path_factory.mktemp("cascade"), fund=5.0)
    return scenario, stress.run(scenario)


def walked(scenario: Scenario, moves: Floats) -> xr.DataTree:
    """Return the run on paths that go straight, in logarithms, by (paths, assets) moves."""
    simulation = {"paths": len(moves), "detail": True}
    bare = scenario.model_copy(
        update={
            "simulation": scenario.simulation.model_copy(update=simulation),
            "analysis": scenario.analysis.model_copy(update={"reverse_stress": False}),
        }
    )
    job = prepare(bare)
    share = np.linspace(0, 1, job.schedule.steps + 1)[:, None]
    prices = job.setting.price * np.exp(share * np.log1p(moves)[:, None])

    class Source:
        def block(self, numbers: NDArray[np.integer[Any]]) -> GivenPaths:
            some = prices[np.minimum(numbers, len(prices) - 1)]
            return GivenPaths.build(some, price=job.setting.price, precision="float64")

    return stress.run(bare, market=Source())


def happens(tree: xr.DataTree, path: int, kind: str, account: str, share: float) -> bool:
    """Say whether an event happened on a path, from the detail of the run."""
    hit = tree["detail"]["liquidation_step"].values[path] >= 0
    if kind == "account":
        return bool(hit[list(tree["detail"]["account"].values).index(account)])
    if kind == "fund":
        return bool(tree["paths"]["fund_exhausted"].values[path])
    weight = np.ones(len(hit))
    if kind == "notional":
        weight = tree["margin"]["gross_notional"].values
    return bool(weight[hit].sum() > share * weight.sum())


def towards(move: Floats, share: float) -> Floats:
    """Return (moves, assets) moves with so much of the noise of each, and all of the mean."""
    volatility = np.array([VOLATILITY[asset] for asset in ASSETS])
    mean = -(volatility**2) / 2 * DAYS / 365
    return np.expm1(mean + share * (np.log1p(move) - mean))


def answered(tree: xr.DataTree) -> tuple[NDArray[np.intp], Floats]:
    """Return (answers, 2) event and way of the answers that need noise, and their moves."""
    found = tree["reverse_stress"].to_dataset()
    told = np.argwhere(found["distance"].values > 0)
    assert len(np.unique(told[:, 0])) >= found.sizes["event"] - 1
    return told, found["market_move"].values[tuple(told.T)]


def test_in_the_margin_display_it_happens_and_not_before(
    plain: tuple[Scenario, xr.DataTree],
) -> None:
    """Without feedback the display at the marks on the way says it too, and simulates nothing."""
    scenario, tree = plain
    job, found = prepare(scenario), tree["reverse_stress"].to_dataset()
    told, moves = answered(tree)
    events = reverse_events(job)
    assert [event.name for event in events] == found["event"].values.tolist()
    for (event, _), move in zip(told.tolist(), moves, strict=True):
        for end, expected in ((move, True), (towards(move[None], 0.99)[0], False)):
            hit = np.zeros(len(job.book.accounts), bool)
            for share in np.linspace(0, 1, job.schedule.steps + 1):
                marks = job.setting.price * np.exp(share * np.log1p(end))
                shown = margin_display(job.book, job.setting, job.main_mode, marks)
                hit |= shown.in_breach
            weight = np.ones(len(hit))
            if events[event].kind == "notional":
                weight = tree["margin"]["gross_notional"].values
            fell = hit[events[event].account]
            if events[event].kind != "account":
                fell = weight[hit].sum() > events[event].share * weight.sum()
            assert fell == expected


@pytest.mark.slow
def test_under_feedback_a_run_on_the_way_confirms_it(
    cascading: tuple[Scenario, xr.DataTree],
) -> None:
    scenario, tree = cascading
    found = tree["reverse_stress"].to_dataset()
    shares = [event.share for event in reverse_events(prepare(scenario))]
    told, move = answered(tree)
    kinds, accounts = found["kind"].values, found["account"].values
    assert "fund" in kinds[told[:, 0]]
    walks = walked(scenario, np.concatenate([move, towards(move, 0.99)]))
    for row, (event, _) in enumerate(told.tolist()):
        asks = str(kinds[event]), str(accounts[event]), shares[event]
        assert happens(walks, row, *asks)
        assert not happens(walks, len(told) + row, *asks)


@pytest.mark.parametrize("name", ["plain", pytest.param("cascading", marks=pytest.mark.slow)])
class TestEveryAnswer:
    def test_likelier_ways_come_first(self, name: str, request: pytest.FixtureRequest) -> None:
        _, tree = request.getfixturevalue(name)
        likelihood = tree["reverse_stress"]["likelihood"].values
        assert (np.diff(np.where(np.isnan(likelihood), -1.0, likelihood), axis=1) <= 0).all()
        relative = tree["reverse_stress"]["relative_likelihood"].values
        assert (np.isnan(relative[:, 0]) | (relative[:, 0] == 1.0)).all()
        assert relative[np.isfinite(likelihood)] == pytest.approx(
            (likelihood / likelihood[:, :1])[np.isfinite(likelihood)]
        )

    def test_the_paths_agree_with_the_law(self, name: str, request: pytest.FixtureRequest) -> None:
        """GBM: what is counted beyond the plane is what the normal says, in a wide interval."""
        scenario, tree = request.getfixturevalue(name)
        found = tree["reverse_stress"].to_dataset()
        likelihood = found["likelihood"].values
        counted = found["direction_probability"].values
        error = np.sqrt(likelihood * (1 - likelihood) / scenario.simulation.paths)
        told = np.isfinite(likelihood)
        assert (np.abs(counted - likelihood)[told] < 4 * error[told]).all()

    def test_an_event_is_at_least_as_likely_as_its_way(
        self, name: str, request: pytest.FixtureRequest
    ) -> None:
        _, tree = request.getfixturevalue(name)
        found = tree["reverse_stress"].to_dataset()
        upper = found["simulated_probability_interval"].values[:, 1]
        best = np.nan_to_num(found["likelihood"].values[:, 0])
        assert (best < upper + 0.05).all()

    def test_it_is_what_the_specification_says(
        self, name: str, request: pytest.FixtureRequest
    ) -> None:
        _, tree = request.getfixturevalue(name)
        found = tree["reverse_stress"].to_dataset()
        assert {str(key).removesuffix("_interval") for key in found} == set(
            GROUPS["reverse_stress"]
        )
        assert found["step"].values[0] == 0
        first = found["typical_move_mean"].values[:, 0]
        assert (first[np.isfinite(first)] == 0).all()


def test_the_events_are_those_of_the_run(plain: tuple[Scenario, xr.DataTree]) -> None:
    _, tree = plain
    found, paths = tree["reverse_stress"].to_dataset(), tree["paths"].to_dataset()
    kinds = [str(kind) for kind in found["kind"].values]
    row = kinds.index("accounts")
    hit = paths["liquidated_accounts"].values > 0.10 * tree["accounts"].sizes["account"]
    assert found["event_paths"].values[row] == hit.sum()
    names = list(tree["accounts"]["account"].values)
    for event in np.flatnonzero(found["kind"].values == "account"):
        account = names.index(str(found["account"].values[event]))
        own = tree["accounts"]["liquidation_probability"].values[account]
        assert found["simulated_probability"].values[event] == own


def test_the_typical_path_is_of_the_run_s_own_paths(plain: tuple[Scenario, xr.DataTree]) -> None:
    """At the horizon: the marks of the very paths on which it happened, from the detail."""
    _, tree = plain
    detail = tree["detail"].to_dataset()
    found = tree["reverse_stress"].to_dataset()
    move = detail["mark_end"].values / tree["assets"]["price"].values - 1
    names = list(detail["account"].values)
    checked = 0
    for event in np.flatnonzero(found["typical_paths"].values >= 30):
        if found["kind"].values[event] != "account":
            continue
        account = names.index(str(found["account"].values[event]))
        hit = detail["liquidation_step"].values[:, account] >= 0
        mean = found["typical_move_mean"].values[event, -1]
        assert mean == pytest.approx(move[hit].mean(axis=0), rel=1e-5, abs=1e-7)
        checked += 1
    assert checked


@pytest.mark.slow
def test_a_model_without_normals_answers_from_its_paths(tmp_path: Path) -> None:
    changes = {"analysis.reverse_stress": True, "simulation.paths": 192}
    book = random_book(11, ("cross_hedged",), copies=12)
    tree = stress.run(model_scenario(tmp_path, "historical", changes, book))
    found = tree["reverse_stress"].to_dataset()
    assert np.isnan(found["likelihood"].values).all()
    assert np.isfinite(found["distance"].values[:, 0]).any()
    assert "simulated moves" in found.attrs["law"]
    told = found["market"].values[np.isfinite(found["distance"].values)]
    assert set(told.tolist()) == {"sampled"}
