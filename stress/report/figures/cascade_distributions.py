"""What a cascade adds, path by path: its loss, its multiplier and what the fund pays."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from stress.report.figures.style import BLUE, GREY, ORANGE, VERMILLION, blank, translucent
from stress.report.read import Array, dataset, estimates, has, numbers
from stress.report.text import Kind, level_name, money_unit, shown

__all__ = [
    "cascade_loss_distribution",
    "cascade_multiplier_distribution",
    "fund_draw_distribution",
    "money_distribution",
]

_DASHES = ("solid", "dash", "dot", "dashdot")


def cascade_loss_distribution(tree: xr.DataTree) -> go.Figure:
    """Draw the paths by what feedback adds to their total loss, with its tail measures."""
    return money_distribution(tree, "cascade_loss", "loss that feedback adds")


def fund_draw_distribution(tree: xr.DataTree) -> go.Figure:
    """Draw the paths by what the insurance fund pays on them."""
    return money_distribution(tree, "fund_draw", "paid by the insurance fund")


def cascade_multiplier_distribution(tree: xr.DataTree) -> go.Figure:
    """Draw the paths by their cascade multiplier, with the ratio of sums as a line."""
    data, book = dataset(tree, "distribution"), dataset(tree, "book")
    edges = numbers(data, "cascade_multiplier_edges")
    figure, top = _bars(edges, numbers(data, "cascade_multiplier_paths"), 1.0, "ratio")
    figure.add_trace(_line(1.0, top, "without feedback: 1", GREY, "dot"))
    if "cascade_multiplier" in book:
        ratio = estimates(book, "cascade_multiplier").at()
        text = f"ratio of sums: {shown('ratio', ratio)}"
        figure.add_trace(_line(ratio.value, top, text, VERMILLION, "solid"))
    figure.update_xaxes(title_text="cascade multiplier (ratio)")
    return figure


def money_distribution(tree: xr.DataTree, name: str, title: str) -> go.Figure:
    """Draw the paths by an amount of money, with its value at risk and expected shortfall."""
    data = dataset(tree, "distribution")
    edges = numbers(data, f"{name}_edges")
    unit, suffix = money_unit(float(np.nanmax(np.abs(edges), initial=0)))
    figure, top = _bars(edges, numbers(data, f"{name}_paths"), unit, "money")
    figure.add_traces(_levels(tree, name, unit, top))
    figure.update_xaxes(title_text=f"{title} (${suffix})")
    return figure


def _bars(edges: Array, paths: Array, unit: float, kind: Kind) -> tuple[go.Figure, float]:
    """Return a histogram on a logarithmic axis, because the tail holds few paths, and its top."""
    scaled, width = edges / unit, np.diff(edges / unit)
    top = max(1.5 * float(np.nanmax(paths, initial=1)), 10.0)
    figure = blank(360)
    figure.add_trace(
        go.Bar(
            x=(scaled[:-1] + scaled[1:]) / 2,
            y=paths,
            # All paths alike make one bin without width, which would be drawn as nothing.
            width=np.where(width > 0, width, 1.0),
            marker={"color": translucent(BLUE, 0.65), "line": {"width": 0}},
            name="paths",
            showlegend=False,
            hovertext=[
                f"{count:,.0f} paths between {shown(kind, float(low))} and "
                f"{shown(kind, float(high))}"
                for count, low, high in zip(paths, edges[:-1], edges[1:], strict=True)
            ],
            hoverinfo="text",
        )
    )
    figure.update_yaxes(
        title_text="paths (log scale)", type="log", range=[np.log10(0.5), np.log10(top)], dtick=1
    )
    return figure, top


def _levels(tree: xr.DataTree, name: str, unit: float, top: float) -> list[go.Scatter]:
    """Return a line at each level's value at risk and expected shortfall, where there are any."""
    book, lines = dataset(tree, "book"), []
    for short, measure, colour in (
        ("VaR", "value_at_risk", VERMILLION),
        ("ES", "expected_shortfall", ORANGE),
    ):
        if not has(tree, "book", f"{name}_{measure}"):
            continue
        these = estimates(book, f"{name}_{measure}")
        for index, level in enumerate(numbers(book, "level")):
            text = f"{short} {level_name(level)}: {shown('money', these.at(index))}"
            dash = _DASHES[index % len(_DASHES)]
            lines.append(_line(float(these.value[index]) / unit, top, text, colour, dash))
    return lines


def _line(x: float, top: float, text: str, colour: str, dash: str) -> go.Scatter:
    return go.Scatter(
        x=[x, x],
        y=[0.5, top],
        mode="lines",
        name=text,
        line={"color": colour, "dash": dash, "width": 2},
        hovertext=text,
        hoverinfo="text",
    )
