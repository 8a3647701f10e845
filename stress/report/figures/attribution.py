"""Who the worst losses are made of."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from stress.report.figures.style import (
    BLUE,
    GREY,
    ORANGE,
    VERMILLION,
    GroupStyle,
    blank,
    dots,
    name_axis,
    rows_height,
    say,
)
from stress.report.read import Array, Estimates, dataset, estimates, has_values, labels, largest
from stress.report.text import money_unit

__all__ = ["MOST_CONTRIBUTORS", "contributions"]

MOST_CONTRIBUTORS = 20
"""Accounts that are named: those with the largest contributions."""

_KINDS = (
    ("account", "accounts", GroupStyle(BLUE, "solid", "circle")),
    ("group", "groups", GroupStyle(VERMILLION, "dash", "square")),
    ("asset", "assets", GroupStyle(ORANGE, "dot", "diamond")),
)


def contributions(tree: xr.DataTree) -> go.Figure:
    """Draw Euler contributions at the highest level: the largest accounts, groups, assets."""
    kinds = [
        (title, style, *_ranked(tree, kind))
        for kind, title, style in _KINDS
        if has_values(tree, "attribution", f"{kind}_contribution")
    ]
    every = np.concatenate([these.value for _, _, _, these in kinds])
    unit, suffix = money_unit(float(np.nanmax(np.abs(every), initial=0)))
    names = [name for _, _, mine, _ in kinds for name in mine]
    figure, first = blank(rows_height(len(names), more=110)), 0
    for title, style, mine, these in kinds:
        hover = [
            f"{name}: {text}" for name, text in zip(mine, say("money", "", these), strict=True)
        ]
        parts = (these.value, these.lower, these.upper)
        scaled = Estimates(*(_drawn(part) / unit for part in parts))
        rows = np.arange(first, first + len(mine), dtype=np.float64)
        figure.add_trace(dots(scaled, rows, name=title, style=style, hover=hover, legend=True))
        first += len(mine)
    figure.update_xaxes(
        title_text=f"contribution to expected shortfall (${suffix})", zerolinecolor=GREY
    )
    figure.update_yaxes(**name_axis(names))
    figure.update_yaxes(title_text="account, group, asset")
    return figure


def _ranked(tree: xr.DataTree, kind: str) -> tuple[list[str], Estimates]:
    """Return names and contributions at the highest level, the largest first."""
    data = dataset(tree, "attribution")
    all_levels = estimates(data, f"{kind}_contribution")
    parts = (all_levels.value, all_levels.lower, all_levels.upper)
    last = Estimates(*(part[:, -1] for part in parts))
    order = largest(last.value, MOST_CONTRIBUTORS)
    return labels(data, kind, order), last.take(order)


def _drawn(bounds: Array) -> Array:
    """Return numbers without those that no line can be drawn to."""
    return np.where(np.isfinite(bounds), bounds, np.nan)
