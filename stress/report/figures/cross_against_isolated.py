"""Cross and isolated margin on the same paths: account by account, and the paired difference."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
import xarray as xr
from numpy.typing import NDArray

from stress.errors import InputError
from stress.report.figures.style import (
    BLUE,
    GREY,
    MOST_POINTS,
    GroupStyle,
    blank,
    dots,
    drawn_groups,
    group_styles,
    label,
    legend_order,
    name_axis,
    rows_height,
    say,
)
from stress.report.read import Array, Estimates, dataset, estimates, has, labels, largest, thin
from stress.report.text import shown

__all__ = ["cross_against_isolated", "cross_minus_isolated"]

_MOST_GROUPS = 30


def _both_worlds(tree: xr.DataTree, group: str, *names: str) -> xr.Dataset:
    if not has(tree, group, *names):
        raise InputError(
            "the result holds no cross beside isolated world",
            key="book.compare",
            remedy='run the scenario with compare = ["cross", "isolated"]',
        )
    return dataset(tree, group)


def _diagonal(top: float) -> go.Scatter:
    return go.Scatter(
        x=[0, top],
        y=[0, top],
        mode="lines",
        name="equal under both",
        line={"color": GREY, "dash": "dot", "width": 1.5},
        hoverinfo="skip",
    )


def _kept(higher: Array) -> NDArray[np.intp]:
    """Return the accounts that are drawn, by the higher of their two probabilities."""
    ranked = largest(higher, len(higher))
    worst, others = ranked[: MOST_POINTS // 2], ranked[MOST_POINTS // 2 :]
    return np.concatenate([worst, others[thin(len(others), MOST_POINTS // 2)]])


def _points(
    isolated: Estimates, cross: Estimates, *, name: str, hover: list[str], style: GroupStyle
) -> go.Scatter:
    return go.Scatter(
        x=isolated.value,
        y=cross.value,
        mode="markers",
        name=label(name),
        marker={"color": style.colour, "symbol": style.symbol, "size": 6, "opacity": 0.55},
        hovertext=hover,
        hoverinfo="text",
    )


def cross_against_isolated(tree: xr.DataTree) -> go.Figure:
    """Draw each account's probability under cross against that under isolated margin.

    Points under the diagonal are safer under cross margin. Of more than 2,000 accounts the worst
    1,000 under either mode are drawn, and 1,000 spread evenly over the ranks of the others.
    """
    names = ("isolated_liquidation_probability", "cross_liquidation_probability")
    data = _both_worlds(tree, "accounts", *names)
    isolated, cross = (estimates(data, name) for name in names)
    higher = np.maximum(isolated.value, cross.value)
    kept = _kept(higher)
    accounts, groups = labels(data, "account"), labels(data, "group")
    styles = group_styles(tree)
    drawn = np.array(drawn_groups(groups, styles))
    # Down to one in a thousand the axes still open, so that a book without liquidations draws.
    top = max(1.05 * float(np.max(higher[kept], initial=0)), 1e-3)
    figure = blank(460)
    figure.add_trace(_diagonal(top))
    for name, style in legend_order(drawn[kept].tolist(), styles).items():
        chosen = kept[drawn[kept] == name]
        hover = [
            f"{label(accounts[index])} ({label(groups[index])})"
            f"<br>cross {shown('probability', cross.at(index))}"
            f"<br>isolated {shown('probability', isolated.at(index))}"
            for index in chosen
        ]
        points = isolated.take(chosen), cross.take(chosen)
        figure.add_trace(_points(*points, name=name, hover=hover, style=style))
    _axes(figure, top)
    return figure


def _axes(figure: go.Figure, top: float) -> None:
    axis = {"tickformat": "~%", "range": [-0.02 * top, top], "constrain": "domain"}
    figure.update_xaxes(
        title_text="isolated margin: liquidation probability (%)", constraintoward="left", **axis
    )
    figure.update_yaxes(
        title_text="cross margin: liquidation probability (%)", scaleanchor="x", **axis
    )


def cross_minus_isolated(tree: xr.DataTree) -> go.Figure:
    """Draw each group's paired difference in liquidation probability, with its interval."""
    data = _both_worlds(tree, "groups", "cross_minus_isolated")
    found, names = estimates(data, "cross_minus_isolated"), labels(data, "group")
    order = np.flatnonzero(~np.isnan(found.value))[:_MOST_GROUPS]
    points = Estimates(*(100 * part[order] for part in (found.value, found.lower, found.upper)))
    hover = [
        f"{label(names[index])}: {text}"
        for index, text in zip(order, say("difference", "", found.take(order)), strict=True)
    ]
    figure = blank(rows_height(len(order), more=80))
    rows = np.arange(len(order), dtype=np.float64)
    style = GroupStyle(BLUE, "solid", "circle")
    figure.add_trace(dots(points, rows, name="", style=style, hover=hover, legend=False))
    figure.add_vline(x=0, line={"color": GREY, "width": 1.5})
    figure.update_xaxes(title_text="cross minus isolated (percentage points)", rangemode="tozero")
    figure.update_yaxes(title_text="group", **name_axis([names[index] for index in order]))
    return figure
