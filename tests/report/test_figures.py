"""Figures on their own, as a notebook uses them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest
import xarray as xr

import stress.report
from stress.errors import InputError
from stress.report import figures
from stress.report.figures.bad_path import replayed_assets
from stress.report.figures.caused_liquidations import feedback_groups
from stress.report.figures.risk_per_trade import riskiest_trades

from .cascade_sample import cascade_tree, change
from .sample import sample_tree

UNITS = ("(%)", "($", "(days)", "(log scale)", "(percentage points)", "(ratio)", "(start = 100)")
DRAWN = sorted(
    set(figures.__all__) - {"account_limit_curves", "group_limit_curves", "sensitivities"}
)
"""Figures of what every run has: the others are drawn by the tests of their sections."""

UNITLESS = ("group", "account", "asset", "position", "measure", "margin ratio")


@pytest.fixture(scope="module")
def tree() -> xr.DataTree:
    return cascade_tree(40)


def _axes(figure: go.Figure) -> list[Any]:
    found = figure.to_dict()["layout"]
    return [found[name] for name in found if name.startswith(("xaxis", "yaxis"))]


@pytest.mark.parametrize("name", DRAWN)
def test_axes_say_what_they_measure_and_in_which_unit(name: str, tree: xr.DataTree) -> None:
    figure = getattr(figures, name)(tree)
    assert isinstance(figure, go.Figure)
    titles = [axis.get("title", {}).get("text", "") for axis in _axes(figure)]
    # Panels over one another share the lowest one's title.
    shared = sum(axis.get("matches") is not None for axis in _axes(figure))
    assert sum(not title for title in titles) <= shared
    for title in filter(None, titles):
        assert any(unit in title for unit in UNITS) or title.startswith(UNITLESS), title


@pytest.mark.parametrize("name", DRAWN)
def test_figures_have_no_title_of_their_own(name: str, tree: xr.DataTree) -> None:
    assert getattr(figures, name)(tree).layout.title.text is None


def test_figures_are_reached_through_the_report(tree: xr.DataTree) -> None:
    assert stress.report.figures is figures
    assert stress.report.figures.liquidation_probability(tree).data


def test_intervals_are_drawn_from_the_estimate(tree: xr.DataTree) -> None:
    (worst,) = figures.worst_accounts(tree, accounts=1).data
    found = tree["accounts"].to_dataset()
    row = int(np.argmax(found["liquidation_probability"].values))
    value = float(found["liquidation_probability"][row])
    lower, upper = found["liquidation_probability_interval"].values[row]
    assert worst.x[0] == value
    assert worst.error_x.array[0] == pytest.approx(upper - value)
    assert worst.error_x.arrayminus[0] == pytest.approx(value - lower)


def test_a_name_is_shown_not_obeyed() -> None:
    tree = sample_tree(3, names=["<a href='x'>one</a>"])
    figure = figures.worst_accounts(tree)
    assert "&lt;a href='x'&gt;one&lt;/a&gt;" in figure.layout.yaxis.ticktext
    assert not any("<a" in text for trace in figure.data for text in trace.hovertext)


def test_names_cut_to_the_same_text_keep_their_rows() -> None:
    figure = figures.worst_accounts(sample_tree(2, names=["a" * 40 + "1", "a" * 40 + "2"]))
    assert len(set(figure.layout.yaxis.ticktext)) == 1
    rows = sorted(float(row) for trace in figure.data for row in trace.y)
    assert rows == [0, 1]


@pytest.mark.parametrize("draw", [figures.cross_against_isolated, figures.cross_minus_isolated])
def test_without_a_compared_world_the_way_out_is_named(
    draw: Callable[[xr.DataTree], go.Figure],
) -> None:
    with pytest.raises(InputError, match="compare"):
        draw(sample_tree(3, compare=False))


def test_liquidated_accounts_are_drawn_at_the_ceiling_of_the_fan(tree: xr.DataTree) -> None:
    assert np.isinf(tree["fan"].to_dataset()["margin_ratio_quantile"].values).any()
    heights = np.concatenate([trace.y for trace in figures.margin_ratio_fan(tree).data])
    assert np.isfinite(heights).all()
    assert heights.max() == 2


def test_groups_keep_their_colour_on_every_figure(tree: xr.DataTree) -> None:
    by_time = {trace.name: trace.line.color for trace in figures.liquidation_by_time(tree).data}
    ranked = {trace.name: trace.line.color for trace in figures.ranked_accounts(tree).data}
    cross = {trace.name: trace.marker.color for trace in figures.cross_against_isolated(tree).data}
    for group in ("hedged", "basket", "directional"):
        assert by_time[group] == ranked[group] == cross[group]


def test_losses_that_are_all_alike_are_drawn() -> None:
    tree = sample_tree(3)
    found = tree["distribution"].to_dataset()
    found["total_loss_edges"][:] = 0.0
    tree["distribution"] = xr.DataTree(found)
    bars = figures.loss_distribution(tree, "total").data[0]
    assert (np.asarray(bars.width) > 0).all()


def test_the_bad_path_starts_at_one_hundred_and_shows_the_assets_that_move_most() -> None:
    tree = cascade_tree(9)
    replay = tree["replay"].to_dataset()
    replay["mark"] = replay["fundamental_price"].copy()
    replay["mark"][5:, 3] *= 0.9
    tree["replay"] = xr.DataTree(replay)
    assert replayed_assets(tree)[0] == 3
    prices = [trace for trace in figures.bad_path(tree).data if trace.y[0] is not None][:8]
    assert all(trace.y[0] == pytest.approx(100) for trace in prices)
    mark, fundamental = (np.asarray(trace.y) for trace in prices[:2])
    assert mark[4] == pytest.approx(fundamental[4])
    assert mark[-1] == pytest.approx(0.9 * fundamental[-1])


def test_a_long_bad_path_is_thinned_with_both_ends() -> None:
    tree = cascade_tree(9)
    replay = tree["replay"].to_dataset().drop_vars("step")
    many = replay.isel(step=np.repeat(np.arange(replay.sizes["step"]), 100))
    tree["replay"] = xr.DataTree(many.assign_coords(step=np.linspace(0, 7, many.sizes["step"])))
    last = figures.bad_path(tree).data[-1]
    assert len(last.x) <= 400
    assert (last.x[0], last.x[-1]) == (0, 7)


def test_both_laws_have_a_mark_in_every_row_with_its_interval(tree: xr.DataTree) -> None:
    linear, root = figures.impact_laws(tree).data
    assert (linear.name, root.name) == ("linear", "square-root")
    found = tree["impact"].to_dataset()
    unit = float(found["expected_cascade_loss"][1]) / root.x[0]
    upper = found["expected_cascade_loss_interval"].values[1, 1]
    assert root.x[0] + root.error_x.array[0] == pytest.approx(upper / unit)
    assert len(linear.x) == len(root.x) == 1 + 2 * 2


def test_whose_flow_stands_in_the_columns(tree: xr.DataTree) -> None:
    (heat,) = figures.caused_liquidations(tree).data
    order = feedback_groups(tree)
    caused = tree["groups"].to_dataset()["caused_liquidations"].values
    assert np.array_equal(heat.z, caused[np.ix_(order, order)])


def test_trades_are_ranked_by_what_they_lose_beyond_their_plan() -> None:
    tree = cascade_tree(4)
    change(tree, "positions", planned_risk=np.array([0.01, 0.3, np.nan, 0.01]))
    change(tree, "positions", effective_risk_mean=np.array([0.05, 0.31, 0.9, np.nan]))
    assert riskiest_trades(tree).tolist() == [0, 1, 2]
    assert figures.risk_per_trade(tree).data[0].x.tolist() == [0.05, 0.31, 0.9]
