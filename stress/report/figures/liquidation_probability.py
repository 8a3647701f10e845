"""Liquidation probability of the groups and of the accounts most at risk."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
import xarray as xr
from plotly.subplots import make_subplots

from stress.report.figures.style import (
    BLACK,
    BLUE,
    TEMPLATE,
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
from stress.report.read import dataset, estimates, labels, largest

__all__ = ["liquidation_probability", "liquidation_probability_by_group", "worst_accounts"]

_TITLE = "liquidation probability (%)"
_MOST_GROUPS = 30


def _group_traces(tree: xr.DataTree) -> tuple[list[go.Scatter], list[str]]:
    data = dataset(tree, "groups")
    means = estimates(data, "liquidation_probability")
    order = largest(means.value, _MOST_GROUPS)
    names = labels(data, "group", order)
    rows = np.arange(len(order), dtype=np.float64)
    traces = []
    for title, variable, style in (
        ("mean over the group's accounts", "liquidation_probability", BLUE),
        ("at least one account of the group", "any_liquidation_probability", BLACK),
    ):
        these = estimates(data, variable).take(order)
        symbol = GroupStyle(style, "solid", "circle" if style == BLUE else "diamond-open")
        hover = [
            f"{label(name)}, {title}: {text}"
            for name, text in zip(names, say("probability", "", these), strict=True)
        ]
        traces.append(dots(these, rows, name=title, style=symbol, hover=hover, legend=True))
    return traces, names


def _account_traces(tree: xr.DataTree, most: int) -> tuple[list[go.Scatter], list[str]]:
    data = dataset(tree, "accounts")
    probability = estimates(data, "liquidation_probability")
    order = largest(probability.value, most)
    names = labels(data, "account", order)
    groups, styles = labels(data, "group", order), group_styles(tree)
    drawn = drawn_groups(groups, styles)
    traces = []
    for name, style in legend_order(drawn, styles).items():
        rows = np.flatnonzero(np.array(drawn) == name)
        these = probability.take(order[rows])
        hover = [
            f"{label(names[row])} ({label(groups[row])}): {text}"
            for row, text in zip(rows, say("probability", "", these), strict=True)
        ]
        traces.append(
            dots(
                these,
                rows.astype(np.float64),
                name=label(name),
                style=style,
                hover=hover,
                legend=True,
            )
        )
    return traces, names


def liquidation_probability_by_group(tree: xr.DataTree) -> go.Figure:
    """Draw each group's mean liquidation probability and that of any liquidation in it."""
    traces, names = _group_traces(tree)
    figure = blank(rows_height(len(names), more=110))
    figure.add_traces(traces)
    figure.update_xaxes(title_text=_TITLE, tickformat="~%", rangemode="tozero")
    figure.update_yaxes(title_text="group", **name_axis(names))
    return figure


def worst_accounts(tree: xr.DataTree, *, accounts: int = 30) -> go.Figure:
    """Draw the accounts that are liquidated most often, with their intervals."""
    traces, names = _account_traces(tree, accounts)
    figure = blank(rows_height(len(names), more=110))
    figure.add_traces(traces)
    figure.update_xaxes(title_text=_TITLE, tickformat="~%", rangemode="tozero")
    figure.update_yaxes(title_text="account", **name_axis(names))
    return figure


def liquidation_probability(tree: xr.DataTree, *, accounts: int = 15) -> go.Figure:
    """Draw groups above and the worst accounts below, on one axis of probability."""
    groups, group_names = _group_traces(tree)
    worst, account_names = _account_traces(tree, accounts)
    heights = [max(len(group_names), 2), max(len(account_names), 2)]
    height = rows_height(sum(heights), more=190)
    figure = make_subplots(
        rows=2, cols=1, shared_xaxes=True, row_heights=heights, vertical_spacing=60 / height
    )
    for row, traces in ((1, groups), (2, worst)):
        figure.add_traces(traces, rows=[row] * len(traces), cols=[1] * len(traces))
    figure.update_layout(template=TEMPLATE, height=height)
    figure.update_xaxes(tickformat="~%", rangemode="tozero")
    figure.update_xaxes(title_text=_TITLE, row=2, col=1)
    figure.update_yaxes(title_text="group", row=1, col=1, **name_axis(group_names))
    figure.update_yaxes(title_text="account", row=2, col=1, **name_axis(account_names))
    return figure
