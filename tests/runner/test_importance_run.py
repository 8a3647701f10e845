"""A whole run with weighted paths: what it reports of whom, and what it refuses."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr
from numpy.typing import NDArray

import stress
from benchmarks.importance import documented_job
from stress.errors import InputError
from stress.measure.importance import FEWEST_HITS, Weighed
from stress.report.sections.importance import SECTION
from stress.result.schema import GROUPS
from stress.runner.analyses import importance_design
from stress.runner.analyses.importance import weigh, weighted_blocks
from stress.runner.analyses.importance_design import Design, design
from stress.runner.prepare import Job, prepare
from stress.runner.simulate import job_spread
from stress.scenario.schema import Scenario
from tests.strategies import random_book, write_book

Floats = NDArray[np.float64]

KINDS = (
    "cross_coins",
    "mixed",
    "idle",
    "broken",
)


@pytest.fixture(scope="module")
def scenario(tmp_path_factory: pytest.TempPathFactory) -> Scenario:
    """A random book of all kinds of pools for ten days in six-hour steps."""
    changes = {
        "simulation.estimator": "importance",
        "simulation.monitoring": "bridge",
        "simulation.precision": "float64",
        "simulation.paths": 3_072,
        # a kernel of their own that would be compiled
        "analysis": {"curves": False},
    }
    folder = tmp_path_factory.mktemp("importance")
    return write_book(folder, random_book(17, KINDS, 4), changes)


@pytest.fixture(scope="module")
def tree(scenario: Scenario) -> xr.DataTree:
    return stress.run(scenario)


def check_agreement(tree: xr.DataTree) -> None:
    """Check the weighted paths against the plain ones, account by account."""
    data = tree["diagnostics"]
    score = data["importance_plain_score"].to_numpy()
    resolved = data["importance_effective_hits"].to_numpy() >= FEWEST_HITS
    compared = np.isfinite(score) & resolved
    assert compared.sum() >= 6
    assert np.abs(score[compared]).max() < 3.5
    assert (score[compared] ** 2).mean() < 2.5


def test_it_agrees_with_the_plain_run(tree: xr.DataTree) -> None:
    """Tiers, coins, several pools of an account."""
    check_agreement(tree)


def test_without_drift_it_is_the_plain_run(
    scenario: Scenario, tree: xr.DataTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All paths as the model has them weigh 1: the plain run's paths, bridges and draws.

    An account with one pool has its survival weights, one with several what was drawn.
    """
    # the package has a function of the module's name
    module = import_module("stress.runner.analyses.importance")
    monkeypatch.setattr(module, "FIRST", 0)
    job = prepare(scenario)
    plan = design(job)
    weight = np.zeros(plan.mixture.weight.shape)
    weight[0, 0] = 1.0
    still = replace(
        plan,
        component=np.zeros_like(plan.component),
        mixture=plan.mixture._replace(weight=jnp.asarray(weight)),
    )
    blocks = list(weighted_blocks(job, still, job_spread(job)))
    found = np.concatenate([block.liquidated[:, : len(own)] for block, own in blocks], axis=1)
    plain = tree["diagnostics"]["plain_liquidation_probability"].to_numpy()[plan.account]
    assert ((plain > 0) & (plain < 1)).sum() >= 5
    assert found.mean(axis=1) == pytest.approx(plain, rel=1e-9, abs=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["gbm", "student-t", "jump-diffusion"])
@pytest.mark.parametrize("monitoring", ["step", "bridge"])
def test_every_model_agrees_with_the_plain_run(tmp_path: Path, monitoring: str, model: str) -> None:
    changes: dict[str, Any] = {"market.model": model}
    if model == "student-t":
        # eight steps of six hours in a bar
        changes["market.student-t"] = {"interval": "2d"}
    book = random_book(17, KINDS, 4)
    simulation = {"estimator": "importance", "monitoring": monitoring, "paths": 50_000}
    changes |= {f"simulation.{key}": value for key, value in simulation.items()}
    check_agreement(stress.run(write_book(tmp_path, book, changes)))


def test_everything_is_there_and_labelled(tree: xr.DataTree) -> None:
    data = tree["diagnostics"]
    named = {name for name in GROUPS["diagnostics"] if name.startswith("importance_")}
    assert named <= set(data.data_vars)
    assert data.attrs["importance_paths"] == 3_072
    assert int(data["importance_component_paths"].sum()) == 3_072
    labels = data["component"].to_numpy().tolist()
    assert labels[0] == "as the model"
    assert len(set(labels)) == len(labels) == data.attrs["importance_components"]


def test_what_is_reported_is_one_of_both_estimates(tree: xr.DataTree) -> None:
    """The weighted one where it is trusted and narrower; the plain one is kept beside it."""
    accounts, data = tree["accounts"], tree["diagnostics"]
    used = accounts["liquidation_estimator"].to_numpy() == "importance"
    trusted = data["importance_trusted"].to_numpy()
    assert used.any()
    assert (~used).any()
    assert (used <= trusted).all()
    for name in ("", "_interval"):
        reported, plain, weighted = (
            table[f"{kind}liquidation_probability{name}"].to_numpy()
            for table, kind in ((accounts, ""), (data, "plain_"), (data, "importance_"))
        )
        assert np.array_equal(reported[used], weighted[used])
        assert np.array_equal(reported[~used], plain[~used], equal_nan=True)
    widths = [
        np.diff(data[f"{kind}_liquidation_probability_interval"].to_numpy())[:, 0]
        for kind in ("importance", "plain")
    ]
    assert (widths[0][used] < widths[1][used]).all()


def test_nothing_is_claimed_of_who_cannot_be_served(tree: xr.DataTree) -> None:
    """Accounts without positions, and pools in breach at the start."""
    accounts, data = tree["accounts"], tree["diagnostics"]
    names = accounts["account"].to_numpy()
    for kind in ("idle", "broken"):
        here = np.char.startswith(names, kind)
        assert here.any()
        assert (accounts["liquidation_estimator"].to_numpy()[here] == "plain").all()
        assert not data["importance_trusted"].to_numpy()[here].any()


def test_the_report_says_it(tree: xr.DataTree) -> None:
    assert SECTION.applies(tree)
    content = SECTION.content(tree)
    assert "3,072 paths" in content.lead[0]
    (table,) = content.tables
    found = [row[1].value for row in table.rows]  # type: ignore[union-attr]
    assert found == sorted(found)


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"market.model": "garch"}, "knows no densities"),
        ({"stress": [{"kind": "volatility", "multiplier": 2.0, "at": "0d"}]}, "knows no dens"),
        ({"venue.amount": "restore", "simulation.monitoring": "step"}, "needs the cascade"),
    ],
)
def test_what_weighted_paths_cannot_follow_is_refused(
    tmp_path: Path, changes: dict[str, Any], rule: str
) -> None:
    asked = {"simulation.estimator": "importance", **changes}
    with pytest.raises(InputError, match=rule):
        stress.run(write_book(tmp_path, random_book(17, ("cross_single",), 1), asked))


def trusted(plan: Design, weighed: Weighed) -> NDArray[np.bool_]:
    """Return whom a run trusts that is not compared with plain paths."""
    return np.asarray(weighed.resolved & (plan.predicted_hits >= FEWEST_HITS))


def weighed_with(job: Job, drifts: int) -> tuple[Design, Weighed]:
    """Return the run of a job with at most so many drifts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(importance_design, "MOST_DRIFTS", drifts)
        plan = design(job)
    return plan, weigh(job, plan, job_spread(job))


def check_coverage(accounts: int, paths: int, drifts: int, least: float) -> None:
    """Check that everybody whom too few drifts miss is seen to be missed.

    Parameters
    ----------
    least
        Share of the accounts that is trusted with all drifts.
    """
    rng = np.random.default_rng(4)
    probability = 10 ** rng.uniform(-7, -4, accounts)
    job = documented_job(probability, accounts=accounts, paths=paths)
    plan, full = weighed_with(job, 256)
    poor_plan, poor = weighed_with(job, drifts)
    assert trusted(plan, full).mean() > least
    assert np.abs(np.log(full.probability.value / probability)).max() < 0.8
    off = np.abs(np.nan_to_num(poor.probability.value) / full.probability.value - 1)
    assert (off > 0.5).any()
    believed = trusted(poor_plan, poor)
    assert believed.any()
    assert off[believed].max() < 0.25


def test_whom_the_mixture_misses_is_not_trusted() -> None:
    check_coverage(16, 4_096, 2, 0.95)


@pytest.mark.slow
def test_two_thousand_accounts() -> None:
    """Probabilities from 1e-7 to 1e-4 in one run; few paths for so many accounts."""
    check_coverage(2_000, 20_000, 8, 0.2)
