"""Quasi-random paths in a whole run: closed forms, what is replaced, and when nothing is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

import stress
from stress.errors import InputError
from stress.measure.moments import Estimate
from stress.pytree import register_part
from stress.report.page import render
from stress.report.sections import quasi as section
from stress.runner.analyses.quasi import quasi
from stress.runner.driven import Driven
from stress.runner.measured import nothing_measured
from stress.runner.prepare import prepare
from stress.runner.simulate import job_spread
from stress.sampling.splitting import Noise
from stress.scenario.load import load_scenario
from tests.reference.barrier import continuous, liquidation_price

RATE, CASH, PRICE, VOLATILITY = 0.005, 1_000.0, 100.0, 0.9
LEVERAGE = (8.0, 12.0, -11.0)
"""Two longs and a short, one position each."""


def scenario_of(folder: Path, **simulation: Any) -> dict[str, Any]:
    """Write the book and return the scenario, as its file would hold it."""
    labels = [f"account-{number}" for number in range(len(LEVERAGE))]
    owners = "".join(f"{label},{CASH}\n" for label in labels)
    (folder / "accounts.csv").write_text("account,cash\n" + owners)
    held = (
        f"{label},ONE,{leverage * CASH / PRICE},{PRICE}\n"
        for label, leverage in zip(labels, LEVERAGE, strict=True)
    )
    (folder / "positions.csv").write_text("account,asset,quantity,entry_price\n" + "".join(held))
    return {
        "name": "quasi",
        "simulation": {
            "paths": 2_048,
            "horizon": "7d",
            "step": "12h",
            "seed": 5,
            "precision": "float64",
            "monitoring": "bridge",
            "estimator": "quasi",
            **simulation,
        },
        "market": {
            "model": "gbm",
            "assets": ["ONE"],
            "price": {"ONE": PRICE},
            "volatility": {"ONE": VOLATILITY},
            "correlation": [[1.0]],
        },
        "book": {
            "accounts": str(folder / "accounts.csv"),
            "positions": str(folder / "positions.csv"),
        },
        "venue": {
            "amount": "all",
            "tiers": {"default": [{"floor": 0, "rate": RATE}]},
            "impact": {"kind": "none"},
        },
        "analysis": {"curves": False},
    }


def exact(leverage: float) -> float:
    side = "long" if leverage > 0 else "short"
    quantity = abs(leverage) * CASH / PRICE
    barrier = liquidation_price(side, PRICE, quantity, CASH, [(0.0, RATE)])
    return continuous(PRICE, barrier, VOLATILITY, 0.0, 7 / 365)


@pytest.fixture(scope="module")
def scenario(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return scenario_of(tmp_path_factory.mktemp("book"))


@pytest.fixture(scope="module")
def tree(scenario: Mapping[str, Any]) -> xr.DataTree:
    return stress.run(scenario)


def by_quantity(tree: xr.DataTree, name: str, **where: str) -> dict[str, Any]:
    found = tree["diagnostics"][name].sel(**where)
    return dict(zip(map(str, found["quantity"].values), found.values, strict=True))


def test_sobol_points_help_a_smooth_case(tree: xr.DataTree) -> None:
    """The weights of the bridge make the probabilities smooth in the normals."""
    assert tree["diagnostics"].attrs["quasi_sampler"] == "sobol"
    ratios = by_quantity(tree, "quasi_variance_ratio", sampler="sobol")
    assert ratios["mean liquidation probability"] > 3
    assert ratios["median over accounts"] > 3
    low, high = tree["diagnostics"]["quasi_variance_ratio_interval"].values[1, 0]
    assert 1 < low < ratios["mean liquidation probability"] < high


def test_intervals_hold_the_closed_form_and_are_shorter(tree: xr.DataTree) -> None:
    accounts, plain = tree["accounts"], tree["diagnostics"]["plain_liquidation_probability"]
    assert list(accounts["liquidation_estimator"].values) == ["quasi"] * 3
    known = np.array([exact(leverage) for leverage in LEVERAGE])
    for low, high, truth in zip(
        *accounts["liquidation_probability_interval"].values.T, known, strict=True
    ):
        assert low < truth < high
    assert not np.array_equal(accounts["liquidation_probability"], plain)
    width = np.ptp(accounts["liquidation_probability_interval"].values, axis=1)
    wider = np.ptp(tree["diagnostics"]["plain_liquidation_probability_interval"].values, axis=1)
    assert (width < 0.7 * wider).all()
    low, high = tree["book"]["liquidation_probability_interval"].values
    assert low < known.mean() < high


def test_what_is_replaced_and_what_stays(tree: xr.DataTree, scenario: Mapping[str, Any]) -> None:
    """The plain run beside it is the plain run; tails and times stay its own."""
    simulation = {**scenario["simulation"], "estimator": "plain"}
    plain = stress.run({**scenario, "simulation": simulation})
    kept, known = by_quantity(tree, "quasi_plain"), plain["book"]
    assert kept["expected total loss"] == float(known["expected_total_loss"])
    assert kept["expected shortfall"] == float(known["total_loss_expected_shortfall"][-1])
    xr.testing.assert_identical(
        tree["diagnostics"]["plain_liquidation_probability"].drop_attrs(),
        plain["accounts"]["liquidation_probability"]
        .rename("plain_liquidation_probability")
        .drop_attrs(),
    )
    for group, name in (
        ("book", "total_loss_expected_shortfall"),
        ("accounts", "liquidation_probability_by_step"),
        ("paths", "total_loss"),
    ):
        xr.testing.assert_identical(tree[group][name], plain[group][name])
    replaced = by_quantity(tree, "quasi_replaces")
    estimate = by_quantity(tree, "quasi_estimate")
    assert replaced["mean liquidation probability"]
    assert not replaced["expected shortfall"]
    for quantity, name in (
        ("mean liquidation probability", "liquidation_probability"),
        ("any liquidation probability", "any_liquidation_probability"),
        ("expected total loss", "expected_total_loss"),
    ):
        expected = estimate[quantity] if replaced[quantity] else kept[quantity]
        assert float(tree["book"][name]) == expected


@register_part
@dataclass(frozen=True)
class Deaf:
    """A market that hears nothing of its normals: what it draws comes from its keys."""

    root: jax.Array

    @property
    def assets(self) -> int:
        return 1

    @property
    def covariance_root(self) -> jax.Array:
        return self.root

    def init(self, paths: jax.Array) -> tuple[()]:
        return ()

    def step(
        self, state: tuple[()], normals: jax.Array, keys: jax.Array
    ) -> tuple[tuple[()], jax.Array]:
        own = jax.vmap(lambda key: jax.random.normal(key, (1,), jnp.float64))(keys)
        return state, self.root @ own.T


def test_plain_where_nothing_helps(scenario: Mapping[str, Any]) -> None:
    simulation = {**scenario["simulation"], "monitoring": "step"}
    other = load_scenario({**scenario, "simulation": simulation})
    market = Deaf(jnp.full((1, 1), VOLATILITY * (12 / 8760) ** 0.5, jnp.float64))
    job = prepare(other, market)
    spread = job_spread(job)
    measured = nothing_measured(job)
    plain = Noise.drawn(2_048, job.schedule.steps, 1, np.random.default_rng(0))
    for block in Driven(job, spread, 256).blocks(plain):
        measured.worlds[job.main_mode].update(block)
    found, _, said = quasi(job, measured, spread)
    assert said["diagnostics"]["quasi_sampler"] == "plain"
    assert list(found) == ["diagnostics"]
    ratio = found["diagnostics"]["quasi_variance_ratio"]
    assert isinstance(ratio, Estimate)
    # all losses of the worst paths are the same here: nothing to compare
    known = np.isfinite(ratio.value)
    assert known.sum() == 8
    assert (ratio.interval[known, 0] < 1).all()


def test_too_few_paths(scenario: Mapping[str, Any]) -> None:
    simulation = {**scenario["simulation"], "paths": 255}
    with pytest.raises(InputError, match="need 256 or more"):
        stress.run({**scenario, "simulation": simulation})


@pytest.mark.slow
def test_intervals_cover_over_seeds(scenario: Mapping[str, Any]) -> None:
    """Of 100 seeds at 95 percent fewer than 88 come once in a thousand times."""
    covered, known = np.zeros(len(LEVERAGE)), np.array([exact(of) for of in LEVERAGE])
    for seed in range(100):
        simulation = {**scenario["simulation"], "seed": seed}
        accounts = stress.run({**scenario, "simulation": simulation})["accounts"]
        low, high = accounts["liquidation_probability_interval"].values.T
        covered += (low < known) & (known < high)
    assert (covered >= 88).all(), covered


def _said(tree: xr.DataTree) -> str:
    content = section.SECTION.content(tree)
    cells = (str(cell) for table in content.tables for row in table.rows for cell in row)
    return " ".join([*content.lead, *cells])


def test_the_report_says_what_was_measured(tree: xr.DataTree) -> None:
    said = _said(tree)
    assert "Scrambled Sobol points were chosen: 2,048 further paths in 16" in said
    assert "mean liquidation probability" in said
    assert "any liquidation probability" in said
    render(tree)


def test_the_report_says_that_nothing_helps(tree: xr.DataTree) -> None:
    other = tree.copy()
    other["diagnostics"].attrs["quasi_sampler"] = "plain"
    assert "Nothing helps for sure" in _said(other)
    assert len(section.SECTION.content(other).tables) == 1
