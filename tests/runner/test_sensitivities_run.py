"""Sensitivities of a run against the derivatives of closed forms, and what a run says of them."""

from __future__ import annotations

import csv
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
import xarray as xr
from scipy.stats import norm

from stress.market import Constant
from stress.result.assemble import assemble
from stress.runner.analyses.sensitivities import chosen_accounts, sensitivities
from stress.runner.measured import nothing_measured
from stress.runner.prepare import prepare
from stress.runner.spread import Spread
from stress.scenario.load import load_scenario
from stress.scenario.schema import Scenario
from tests.reference import barrier

analysis = sys.modules["stress.runner.analyses.sensitivities"]

PRICE, VOLATILITY, YEARS = 100.0, 0.8, 2 / 365
RATE, FEE, QUANTITY = 0.01, 0.004, 10.0
LEVELS = (0.95, 0.99)

LEVERAGES = {"long-30": 30.0, "long-15": 15.0, "short-20": -20.0, "short-12": -12.0}
SAFE = "long-1"
"""Its own money many times over: what it loses is the fall of the price."""


def scenario(folder: Path, market: dict[str, Any] | None = None, **simulation: Any) -> Scenario:
    rows = {**LEVERAGES, SAFE: 0.2}
    with (folder / "a.csv").open("w", encoding="utf-8", newline="") as file:
        cash = [(name, QUANTITY * PRICE / abs(leverage)) for name, leverage in rows.items()]
        csv.writer(file).writerows([("account", "cash"), *cash])
    with (folder / "p.csv").open("w", encoding="utf-8", newline="") as file:
        held = [(name, "BTC", np.sign(each) * QUANTITY, PRICE) for name, each in rows.items()]
        csv.writer(file).writerows([("account", "asset", "quantity", "entry_price"), *held])
    changed = {
        "name": "closed-forms",
        "simulation": {
            "paths": 64,
            "horizon": "2d",
            "step": "6h",
            "precision": "float64",
            "confidence": 0.999,
            "levels": list(LEVELS),
            **simulation,
        },
        "analysis": {"sensitivities": True, "curves": False},
        "market": {
            "assets": ["BTC"],
            "price": {"BTC": PRICE},
            "volatility": {"BTC": VOLATILITY},
            **(market or {}),
        },
        "book": {"accounts": "a.csv", "positions": "p.csv"},
        "venue": {"fee": FEE, "tiers": {"default": [{"floor": 0, "rate": RATE}]}},
    }
    return load_scenario(changed, base=folder)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> xr.DataTree:
    """What a run adds to its result, without the run."""
    job = prepare(scenario(tmp_path_factory.mktemp("book")))
    measured, spread = nothing_measured(job), Spread.over(jax.devices()[:1], 64)
    findings, labels, said = sensitivities(job, measured, spread)
    labels = {**labels, "asset": job.setting.assets, "other_asset": job.setting.assets}
    labels["level"] = job.request.levels
    return assemble([findings], labels, {}, {}, {"sensitivities": said})


def closed(
    leverage: float, cash: float = 1.0, size: float = 1.0, volatility: float = 0.0, rate: float = 0
) -> dict[str, float]:
    """Return what one position comes to, its cash and size multiplied, volatility and rate raised.

    The price is a martingale, and a pool that is hit is closed at its barrier: nothing but the fee
    is lost on average.
    """
    side = np.sign(leverage)
    wallet = cash * QUANTITY * PRICE / abs(leverage)
    quantity = side * size * QUANTITY
    hit = (PRICE * quantity - wallet) / (quantity - (RATE + rate) * abs(quantity))
    chance = barrier.continuous(PRICE, hit, VOLATILITY + volatility, 0.0, YEARS)
    return {
        "liquidation_probability": chance,
        "expected_loss": FEE * abs(quantity) * hit * chance,
    }


CHANGES = {
    "collateral": ("cash", 0.01),
    "size": ("size", 0.01),
    "volatility": ("volatility", 0.01),
    "maintenance": ("rate", 0.001),
}


@pytest.mark.parametrize("by", CHANGES)
def test_derivatives_of_the_closed_form(found: xr.DataTree, by: str) -> None:
    data, (name, unit) = found["sensitivities"].to_dataset(), CHANGES[by]
    at = 1.0 if unit == 0.01 and name in ("cash", "size") else 0.0
    for row, leverage in enumerate(LEVERAGES.values()):
        value = partial(closed, leverage)
        up, down = value(**{name: at + 1e-5}), value(**{name: at - 1e-5})
        for measured in ("liquidation_probability", "expected_loss"):
            wanted = unit * (up[measured] - down[measured]) / 2e-5
            low, high = data[f"{measured}_by_{by}_interval"].values[row].reshape(2)
            assert low < wanted < high, (measured, leverage)
            assert high - low < 0.6 * abs(wanted) or measured == "expected_loss"


def test_the_measures_themselves(found: xr.DataTree) -> None:
    """Continuously monitored, though the run looks at the steps only."""
    data = found["sensitivities"].to_dataset()
    for row, leverage in enumerate(LEVERAGES.values()):
        for name, wanted in closed(leverage).items():
            low, high = data[f"{name}_interval"].values[row]
            assert low < wanted < high
    assert int(data["paths"]) == 8192


def test_shortfall_of_what_is_never_liquidated(found: xr.DataTree) -> None:
    """The shortfall of a lognormal loss: by volatility exactly, in proportion to size."""
    data, row = found["sensitivities"].to_dataset().isel(account=-1, position=-1), -1
    spread, beyond = np.sqrt(YEARS), 1 - np.array(LEVELS)
    deviation = VOLATILITY * spread
    low = norm.ppf(beyond) - deviation
    held = QUANTITY * PRICE
    shortfall = held * (1 - norm.cdf(low) / beyond)
    by_volatility = 0.01 * held * norm.pdf(low) * spread / beyond
    for name, wanted in {
        "expected_shortfall": shortfall,
        "expected_shortfall_by_volatility": by_volatility[None],
        "expected_shortfall_by_size": shortfall / 100,
        "expected_shortfall_by_collateral": 0 * shortfall,
    }.items():
        lower, upper = np.moveaxis(data[f"{name}_interval"].values, row, 0)
        assert (lower <= wanted).all() and (wanted <= upper).all(), name
        assert (upper - lower <= 0.4 * np.abs(wanted)).all(), name


def test_shortfall_of_what_is_often_liquidated(found: xr.DataTree) -> None:
    """All of its tail is one loss, that at its barrier: a dollar more is a dollar more lost."""
    data = found["sensitivities"].to_dataset()
    assert data["liquidation_probability"].values[0] > 0.05
    dollar = data["expected_shortfall_by_collateral_usd"].values[0]
    # at the barrier price the requirement is left, less the fee: it moves with the barrier
    wanted = 1 + (RATE - FEE) / (1 - RATE)
    np.testing.assert_allclose(dollar, wanted, rtol=1e-9)


def test_what_is_said(found: xr.DataTree) -> None:
    node = found["sensitivities"].to_dataset()
    assert node.attrs["accounts"] == node.attrs["accounts_of"] == 5
    assert node.attrs["steps"] == 8
    assert "notice" not in node.attrs
    assert list(node["account"].values) == [*LEVERAGES, SAFE]
    by_account = node["liquidation_probability_by_volatility"].values
    # too rare to say what it changes with, and nothing to the mean
    assert np.isnan(by_account[-1]).all() and not np.isnan(by_account[:-1]).any()
    mean = np.nan_to_num(by_account).mean(axis=0)
    np.testing.assert_allclose(
        node["mean_liquidation_probability_by_volatility"].values, mean, rtol=1e-12
    )
    # one asset has no correlation to change
    assert (node["liquidation_probability_by_correlation"].values[:-1] == 0).all()


def chosen(folder: Path, budget: int, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    job = prepare(scenario(folder))
    monkeypatch.setattr(analysis, "_BUDGET", budget)
    return chosen_accounts(job, np.array([0.1, 0.0, 0.4, 0.2, 0.0]), 1).tolist()


def test_accounts_are_chosen_by_risk_and_evenly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pool with a position is two units of work; the most at risk is there in any case."""
    assert chosen(tmp_path, 10, monkeypatch) == [0, 1, 2, 3, 4]
    assert chosen(tmp_path, 9, monkeypatch) == [0, 1, 2, 3]
    assert chosen(tmp_path, 3, monkeypatch) == [2]
    assert chosen(tmp_path, 1, monkeypatch) == [2]


def test_steps_are_as_long_as_the_law_allows(tmp_path: Path) -> None:
    """Under gbm whatever there is; else intervals of one variance keep whole steps."""
    heavy = {"model": "student-t", "student-t": {"degrees_of_freedom": 4, "interval": "1d"}}
    for market, steps in ((None, 32), (heavy, 40)):
        job = prepare(scenario(tmp_path, market, step="15min", horizon="5d"))
        source, count = analysis._grid(job)
        assert count == steps
        one, many = (each.block(np.arange(64)).covariance_root for each in (source, job.market))
        np.testing.assert_allclose(one[0, 0] ** 2 * steps, many[0, 0] ** 2 * 480, rtol=1e-12)
    model: Any = job.model
    shocked = replace(job, market=Constant(replace(model, mean=1 + model.mean)))
    assert analysis._grid(shocked)[1] == 480


def test_a_market_without_variance_inside_a_step(tmp_path: Path) -> None:
    """Is told, and the run goes on."""
    job = prepare(scenario(tmp_path))
    model: Any = job.model
    blind = replace(model, covariance_root=np.nan * model.covariance_root)
    spread = Spread.over(jax.devices(), 64)
    blind_job = replace(job, market=Constant(blind))
    found, labels, said = sensitivities(blind_job, nothing_measured(job), spread)
    assert set(found["sensitivities"]) == {"paths"}
    assert not labels
    assert "no variance inside a step" in str(said["notice"])
