"""The section on small changes: what it says in words, whom it lists, where it has nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import xarray as xr

from stress.report import figures
from stress.report.sections import sensitivities
from tests.report.cascade_sample import change
from tests.report.sample import SampleGroup, sample_tree

ASSETS, POSITIONS = 6, 30


def with_sensitivities(accounts: int = 30) -> xr.DataTree:
    """Return the sample with sensitivities of its first ten accounts."""
    tree, rng = sample_tree(accounts), np.random.default_rng(4)
    names = [f"account-{number:04d}" for number in range(10)]
    assets = [str(name) for name in tree["assets"].to_dataset()["asset"].values]
    held = [f"position-{number}" for number in range(POSITIONS)]
    level = np.array([0.95, 0.99])
    coords = {"account": names, "position": held, "level": level}
    out = SampleGroup("sensitivities", {**coords, "asset": assets, "other_asset": assets})
    out.put("paths", 2_048)
    chance = np.linspace(0.02, 0.2, 10)
    out.around("liquidation_probability", chance, 0.05)
    dollars = {"expected_loss": 40.0, "expected_shortfall": 900.0, "liquidation_probability": 1e-3}
    for measure, size in dollars.items():
        more = (2,) if measure == "expected_shortfall" else ()
        if measure != "liquidation_probability":
            out.around(measure, 100 * size * np.ones((10, *more)), 0.05)
        for by, shape, sign in (
            ("collateral", (10,), -1.0),
            ("collateral_usd", (10,), -0.01),
            ("size", (POSITIONS,), 1.0),
            ("margin", (POSITIONS,), -1.0),
            ("maintenance", (10, ASSETS), 0.5),
            ("volatility", (10, ASSETS), 0.7),
            ("correlation", (10,), -0.2),
        ):
            value = sign * size * rng.uniform(0.5, 1.5, (*shape, *more))
            out.around(f"{measure}_by_{by}", value, 0.2)
        if not more:
            shared: dict[str, tuple[int, ...]] = {
                "maintenance": (ASSETS,),
                "volatility": (ASSETS,),
                "correlation": (),
                "pair": (ASSETS, ASSETS),
            }
            for by, dims in shared.items():
                out.around(f"mean_{measure}_by_{by}", size * rng.uniform(0.1, 1.0, dims), 0.2)
    said = {"steps": 32, "batches": 16, "accounts": 10, "accounts_of": accounts}
    tree["sensitivities"] = xr.DataTree(out.dataset(said))
    return tree


@pytest.fixture
def tree() -> xr.DataTree:
    return with_sensitivities()


def content(tree: xr.DataTree) -> Any:
    return sensitivities.SECTION.content(tree)


def test_the_first_sentence_says_what_is_computed(tree: xr.DataTree) -> None:
    lead = content(tree).lead
    assert "2,048 paths of 32 steps, of 10 accounts of 30" in lead[0]
    assert lead[1].startswith(
        "1 % more collateral lowers the liquidation probability of account-0009 by 0."
    )
    assert "+" not in lead[1]
    change(tree, "sensitivities", liquidation_probability_by_collateral=0.001)
    assert "raises the liquidation probability" in content(tree).lead[1]
    assert 'under "step"' in content(tree).notes[0]


def test_accounts_stand_beside_the_runs_own_number(tree: xr.DataTree) -> None:
    table = content(tree).tables[0]
    assert [row[0] for row in table.rows] == [f"account-{n:04d}" for n in range(9, -1, -1)]
    own = tree["accounts"].to_dataset()["liquidation_probability"].values[9]
    assert table.rows[0][2].value == pytest.approx(own)
    assert [column.title for column in table.columns][-1] == "Shortfall at 99\u00a0%"


def test_largest_changes_come_first(tree: xr.DataTree) -> None:
    positions, assets, pairs = content(tree).tables[1:]
    for table, most in ((positions, 20), (assets, ASSETS), (pairs, 15)):
        sizes = [abs(row[1].value) for row in table.rows]
        assert sizes == sorted(sizes, reverse=True)
        assert len(sizes) == most
    data = tree["sensitivities"].to_dataset()
    one, other = pairs.rows[0][0].split(", ")
    pair = data["mean_liquidation_probability_by_pair"].sel(asset=one, other_asset=other)
    assert float(pair) == pytest.approx(pairs.rows[0][1].value)


def test_figure(tree: xr.DataTree) -> None:
    figure = figures.sensitivities(tree)
    assert [trace.name for trace in figure.data] == [
        "volatility 0.01 higher",
        "maintenance rate 10 basis points higher",
        "correlations 0.01 higher",
    ]
    assert sum(len(trace.x) for trace in figure.data) == 2 * ASSETS + 1
    for trace in figure.data:
        assert (np.asarray(trace.error_x.array) > 0).all()
    assert "liquidation probability" in figure.layout.xaxis.title.text
    assert "points" in figure.data[0].hovertext[0]


def test_a_model_whose_market_has_no_parameters(tree: xr.DataTree) -> None:
    data = tree["sensitivities"].to_dataset()
    market = [
        name for name in data if any(by in str(name) for by in ("volatility", "correl", "pair"))
    ]
    left = data.drop_vars(market).assign_attrs(notice="Not by volatility.")
    tree["sensitivities"] = xr.DataTree(left)
    found = content(tree)
    assert found.warnings == ("Not by volatility.",)
    assert len(found.tables) == 3
    assert len(found.tables[2].columns) == 3


def test_there_are_none(tree: xr.DataTree) -> None:
    none = xr.Dataset({"paths": 0}, attrs={"notice": "No variance inside a step."})
    tree["sensitivities"] = xr.DataTree(none)
    found = content(tree)
    assert found.warnings == ("No variance inside a step.",)
    assert not found.tables and not found.figures
    assert not sensitivities.SECTION.applies(sample_tree(9))
