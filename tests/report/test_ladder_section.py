"""The section and the figures of the liquidation ladder."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from stress.report import figures
from stress.report.figures.ladder import CURVES, riskiest_assets
from stress.report.sections.ladder import SECTION

from .sample import sample_tree


@pytest.fixture
def tree() -> xr.DataTree:
    """Return the sample: the first of six assets, BTC, feeds itself from the start."""
    return sample_tree(9)


def changed(tree: xr.DataTree, group: str, **scale: float) -> xr.DataTree:
    """Return the tree with variables of a group multiplied by a number."""
    data = tree[group].to_dataset()
    tree[group] = xr.DataTree(data.assign({name: data[name] * by for name, by in scale.items()}))
    return tree


def test_a_cascade_from_the_start_is_told_first(tree: xr.DataTree) -> None:
    (warning,) = SECTION.content(tree).warnings
    assert warning.startswith("A cascade feeds itself from the start")
    assert warning.endswith(" in BTC.")


def test_one_on_the_way_is_told_apart(tree: xr.DataTree) -> None:
    (warning,) = SECTION.content(changed(tree, "assets", reproduction_number=0.1)).warnings
    assert warning.startswith("A cascade feeds itself once the asset has moved")
    assert warning.endswith(" in BTC.")


def test_nothing_to_warn_of(tree: xr.DataTree) -> None:
    changed(tree, "assets", reproduction_number=0.1)
    assert SECTION.content(changed(tree, "ladder", reproduction_number_along=0.1)).warnings == ()


def test_without_depth_the_key_is_named(tree: xr.DataTree) -> None:
    changed(tree, "assets", reproduction_number=np.nan, depth_1pct=np.nan)
    content = SECTION.content(changed(tree, "ladder", reproduction_number_along=np.nan))
    (warning,) = content.warnings
    assert "venue.impact.depth_1pct" in warning
    # the assets then stand by what is liquidated
    most = tree["ladder"]["liquidated_notional"].max("move").values
    assert most[riskiest_assets(tree)].tolist() == sorted(most, reverse=True)


def test_the_table_shows_what_the_result_holds(tree: xr.DataTree) -> None:
    (table,) = SECTION.content(tree).tables
    titles = [column.title for column in table.columns]
    first = dict(zip(titles, table.rows[0], strict=True))
    ladder, assets = tree["ladder"], tree["assets"].sel(asset="BTC")
    assert first["Asset"] == "BTC"
    assert first["Depth, 1 %"] == float(assets["depth_1pct"])
    assert first["Reproduction number, rise"] == float(ladder["reproduction_number_rise"][0])
    along = ladder["reproduction_number_along"].sel(asset="BTC")
    assert first["Largest on the way"] == float(along.max())
    assert float(along.idxmax("move")) == 0.5
    assert first["After a move of"] == "+50\u00a0%"
    for title, move in (("\u221220", -0.2), ("+5", 0.05)):
        expected = float(ladder["liquidated_notional"].sel(asset="BTC", move=move))
        assert first[f"Liquidated at {title}\u00a0%"] == expected


def test_dots_stand_where_the_number_is_above_one(tree: xr.DataTree) -> None:
    dots = [trace for trace in figures.liquidation_ladder(tree).data if trace.mode == "markers"]
    assert len(dots) == 1
    along = tree["ladder"]["reproduction_number_along"].sel(asset="BTC")
    assert list(dots[0].x) == along["move"].values[along.values > 1].tolist()


def test_the_riskiest_assets_are_drawn() -> None:
    tree = sample_tree(3, assets=30)
    data = tree["ladder"].to_dataset()
    data["reproduction_number_along"][17] *= 1e3
    tree["ladder"] = xr.DataTree(data)
    curves = [trace for trace in figures.liquidation_ladder(tree).data if trace.mode == "lines"]
    assert len(curves) == CURVES
    assert curves[0].name == "A017"
    assert "6 riskiest of 30 assets are drawn" in SECTION.content(tree).figures[0].caption
