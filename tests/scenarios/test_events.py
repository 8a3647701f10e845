"""The shipped events: they are valid, say what their documents say, and one of them runs."""

from __future__ import annotations

import csv
import tomllib
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stress
from stress.cli import main
from stress.scenario.examples import example_names
from stress.scenario.overlays import Depeg, Gap, Shock
from stress.scenario.schema import Scenario

ROOT = Path(__file__).resolve().parents[2]
EVENTS = ROOT / "scenarios" / "events"
NAMES = tuple(sorted(file.stem for file in EVENTS.glob("*.toml")))

HISTORICAL = {
    "2020-03-12": {"BTC": -0.5276, "ETH": -0.5436, "BNB": -0.5996, "ADA": -0.5253, "LINK": -0.5978},
    "2021-05-19": {"BTC": -0.3438, "ETH": -0.5919, "SOL": -0.5661, "DOGE": -0.5966},
    "2022-11-09": {"BTC": -0.1923, "ETH": -0.2670, "SOL": -0.6044, "LINK": -0.3064},
    "2024-08-05": {"BTC": -0.1990, "ETH": -0.2772, "SOL": -0.2463, "LINK": -0.3290},
    "2025-10-10": {"BTC": -0.1450, "SOL": -0.2600, "DOGE": -0.5000},
}
"""Worst fall within 24 hours (10 October 2025: of the event), as the files' sources say."""
OPEN_INTEREST = {
    "BTC": 0.63,
    "ETH": 0.69,
    "SOL": 1.52,
    "BNB": 3.95,
    "ADA": 4.66,
    "DOGE": 1.66,
    "LINK": 1.68,
}
"""Open interest over daily volume on Hyperliquid, 2026-02-03."""


def load(name: str) -> Scenario:
    return stress.load_scenario(EVENTS / f"{name}.toml")


def test_all_of_them_ship() -> None:
    hypothetical = {"depeg", "halt", "everything_together"}
    assert set(NAMES) == set(HISTORICAL) | hypothetical
    assert {f"events/{name}" for name in NAMES} <= set(example_names())


@pytest.mark.parametrize("name", NAMES)
def test_an_event_is_valid(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", str(EVENTS / f"{name}.toml")]) == 0
    warnings = capsys.readouterr().err.splitlines()
    assert [line.startswith("warning: longs and shorts do not balance") for line in warnings] == [
        True
    ]


@pytest.mark.parametrize("name", HISTORICAL)
def test_the_moves_add_up_to_what_is_documented(name: str) -> None:
    total: dict[str, float] = defaultdict(float)
    for overlay in load(name).stress:
        if isinstance(overlay, (Shock, Depeg, Gap)):
            for asset, move in overlay.returns.items():
                total[asset] += np.log1p(move)
    for asset, expected in HISTORICAL[name].items():
        assert np.expm1(total[asset]) == pytest.approx(expected, abs=2e-4), asset


@pytest.mark.parametrize("name", NAMES)
def test_every_event_says_where_its_numbers_come_from(name: str) -> None:
    text = (EVENTS / f"{name}.toml").read_text(encoding="utf-8")
    for block in text.split("[[stress]]")[1:]:
        assert 'kind = "' in block
    assert "Binance public market data" in text
    assert "The book is synthetic" in text
    documented = (ROOT / "docs" / "events.md").read_text(encoding="utf-8")
    assert f"`{name}`" in documented


@pytest.mark.parametrize("name", NAMES)
def test_the_venue_has_the_size_of_its_book(name: str) -> None:
    """Volume follows from what the book holds by the stated ratio, in two or three digits."""
    with (EVENTS / f"{name}.toml").open("rb") as file:
        said: dict[str, Any] = tomllib.load(file)
    held: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    with (EVENTS / said["book"]["positions"]).open(encoding="utf-8", newline="") as table:
        for row in csv.DictReader(table):
            notional = 100 * float(row["quantity"])
            held[row["asset"]][notional > 0] += abs(notional)
    for asset, sides in held.items():
        expected = max(sides) / OPEN_INTEREST[asset]
        assert said["venue"]["impact"]["adv"][asset] == pytest.approx(expected, rel=0.01), asset


@pytest.mark.slow
def test_an_event_runs() -> None:
    """The depeg in short, without impact: who keeps cash in the coin loses what the coin does."""
    scenario = load("depeg")
    simulation = scenario.simulation.model_copy(
        update={"horizon": "2h", "step": "30min", "paths": 8}
    )
    depeg = scenario.stress[0].model_copy(update={"at": "30min"})
    impact = scenario.venue.impact.model_copy(update={"kind": "none"})
    venue = scenario.venue.model_copy(update={"impact": impact})
    changes = {"simulation": simulation, "stress": (depeg,), "venue": venue}
    tree = stress.run(scenario.model_copy(update=changes))
    accounts = tree["accounts"].to_dataset()
    share = (accounts["expected_loss"] / accounts["initial_equity"]).to_series()
    with (EVENTS / "book" / "collateral.csv").open(encoding="utf-8", newline="") as table:
        owners = {row["account"] for row in csv.DictReader(table)}
    assert len(owners) == 240
    # 80 % of the cash in the coin, 5 % haircut, 35 % fall: 0.266 of 0.96, entries aside
    held = share.index.isin(owners)
    assert share[held].mean() - share[~held].mean() == pytest.approx(0.266 / 0.96, abs=0.02)
    assert tree.attrs["stress"] == "Depeg, from 30min over 30min: prices move: USDE -35 %."
