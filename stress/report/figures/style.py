"""Colours, template and small parts that every figure shares.

Colours follow the hues of Okabe and Ito, at lightnesses that stand out from white (3 to 1: WCAG
2.2, 1.4.11) and stay apart for colour-blind readers, which a test computes; groups differ by dash
and symbol as well, so that a page printed in grey still reads.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from stress.report.read import Array, Estimates, dataset, estimates, has, labels, largest
from stress.report.text import Kind, shown

__all__ = [
    "BLACK",
    "BLUE",
    "GREY",
    "MOST_POINTS",
    "ORANGE",
    "STYLES",
    "VERMILLION",
    "GroupStyle",
    "band",
    "blank",
    "dots",
    "drawn_groups",
    "group_styles",
    "label",
    "legend_order",
    "name_axis",
    "rows_height",
    "say",
    "translucent",
]

BLACK, GREY = "#1a1a1a", "#939393"
BLUE, VERMILLION, GREEN = "#0C438B", "#941E00", "#008144"
PURPLE, ORANGE, SKY = "#803A65", "#C08000", "#3195FF"

FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'

MOST_POINTS = 2_000
"""Markers and curve points in one figure: more are not seen apart, and the page must stay small."""

_MOST_GROUPS = 8
_LONGEST_LABEL = 22
_OTHERS = "other groups"

_AXIS = {
    "gridcolor": "#e6e6e6",
    "linecolor": GREY,
    "zerolinecolor": "#c4c4c4",
    "ticks": "outside",
    "tickcolor": GREY,
    "ticklen": 4,
    "automargin": True,
    "title": {"standoff": 8, "font": {"size": 13}},
}

TEMPLATE = go.layout.Template(
    layout={
        "font": {"family": FONT, "size": 12.5, "color": "#333333"},
        "colorway": [BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, BLACK],
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "margin": {"l": 8, "r": 12, "t": 8, "b": 8},
        "xaxis": _AXIS,
        "yaxis": _AXIS,
        # A drag on a phone scrolls the page instead of zooming a figure.
        "dragmode": False,
        "hovermode": "closest",
        "hoverlabel": {"bgcolor": "#ffffff", "bordercolor": GREY, "align": "left"},
        "legend": {
            "orientation": "h",
            "x": 0,
            "xanchor": "left",
            "y": 1.02,
            "yanchor": "bottom",
            "title": {"text": ""},
        },
        "bargap": 0.25,
    }
)


@dataclass(frozen=True)
class GroupStyle:
    """How a group of accounts is drawn, everywhere on the page."""

    colour: str
    dash: str
    symbol: str


STYLES = (
    GroupStyle(BLUE, "solid", "circle"),
    GroupStyle(VERMILLION, "dash", "square"),
    GroupStyle(GREEN, "dashdot", "diamond"),
    GroupStyle(PURPLE, "longdash", "triangle-up"),
    GroupStyle(ORANGE, "dot", "triangle-down"),
    GroupStyle(SKY, "longdashdot", "pentagon"),
    GroupStyle(BLACK, "solid", "x"),
    GroupStyle(GREY, "dash", "star"),
)


def group_styles(tree: xr.DataTree) -> dict[str, GroupStyle]:
    """Return label -> style of the groups that curves are drawn for, in file order.

    With more groups than can be told apart, those most often liquidated are taken.
    """
    data = dataset(tree, "groups")
    names = labels(data, "group")
    if len(names) > _MOST_GROUPS and has(tree, "groups", "liquidation_probability"):
        most = largest(estimates(data, "liquidation_probability").value, _MOST_GROUPS)
        names = [names[index] for index in sorted(most)]
    return dict(zip(names[:_MOST_GROUPS], STYLES, strict=False))


def drawn_groups(groups: Sequence[str], styles: dict[str, GroupStyle]) -> list[str]:
    """Return for each group the name it is drawn under: its own, or one for all without a style."""
    return [name if name in styles else _OTHERS for name in groups]


def legend_order(drawn: Sequence[str], styles: dict[str, GroupStyle]) -> dict[str, GroupStyle]:
    """Return the groups among ``drawn`` with their styles, in the order of every legend."""
    everything = {**styles, _OTHERS: GroupStyle(GREY, "dot", "circle-open")}
    return {name: style for name, style in everything.items() if name in set(drawn)}


def blank(height: int) -> go.Figure:
    """Return an empty figure in the shared style."""
    figure = go.Figure()
    figure.update_layout(template=TEMPLATE, height=height)
    return figure


def rows_height(rows: int, *, more: int = 90) -> int:
    """Return the height of a figure with one line of text per row; many rows fit a printed page."""
    return more + (24 if rows <= 30 else 18) * max(rows, 2)


def label(name: str) -> str:
    """Return a name for a figure: short, and its markup shown instead of obeyed."""
    short = name if len(name) <= _LONGEST_LABEL else name[: _LONGEST_LABEL - 1] + "\u2026"
    return html.escape(short, quote=False)


def say(kind: Kind, name: str, these: Estimates) -> list[str]:
    """Return hover labels: what it is, the number and its interval."""
    return [
        f"{name}: {shown(kind, these.at(index))}" if name else str(shown(kind, these.at(index)))
        for index in range(len(these.value))
    ]


def translucent(colour: str, opacity: float) -> str:
    """Return a hex colour as ``rgba(...)``."""
    red, green, blue = (int(colour[start : start + 2], 16) for start in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity})"


def name_axis(names: Sequence[str]) -> dict[str, Any]:
    """Return an axis with one row a name, the first on top.

    Rows stand at numbers, because two names that are cut to the same text would share a category.
    """
    return {
        "tickmode": "array",
        "tickvals": list(range(len(names))),
        "ticktext": [label(name) for name in names],
        "range": [len(names) - 0.4, -0.6],
        "showgrid": True,
        "zeroline": False,
    }


def dots(
    these: Estimates, rows: Array, *, name: str, style: GroupStyle, hover: list[str], legend: bool
) -> go.Scatter:
    """Return estimates as dots in rows, their intervals as lines."""
    return go.Scatter(
        x=these.value,
        y=rows,
        mode="markers",
        name=name,
        legendgroup=name,
        showlegend=legend,
        marker={"color": style.colour, "symbol": style.symbol, "size": 7},
        error_x={
            "type": "data",
            "symmetric": False,
            "array": these.upper - these.value,
            "arrayminus": these.value - these.lower,
            "color": style.colour,
            "thickness": 1.6,
            "width": 3,
        },
        hovertext=hover,
        hoverinfo="text",
    )


def band(x: Array, lower: Array, upper: Array, *, colour: str, name: str) -> list[go.Scatter]:
    """Return an interval along a curve as a shaded band without hover or legend."""
    # Gaps (NaN) are left out: Plotly would fill from the wrong curve.
    fine = ~(np.isnan(lower) | np.isnan(upper))
    if not fine.any():
        return []
    common: dict[str, Any] = {
        "mode": "lines",
        "line": {"width": 0},
        "legendgroup": name,
        "showlegend": False,
        "hoverinfo": "skip",
    }
    return [
        go.Scatter(x=x[fine], y=lower[fine], **common),
        go.Scatter(
            x=x[fine], y=upper[fine], fill="tonexty", fillcolor=translucent(colour, 0.2), **common
        ),
    ]
