"""Liquidation probability over multiples of collateral and of size, for groups and for accounts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, TypeAlias

import numpy as np
import plotly.graph_objects as go
import xarray as xr
from plotly.subplots import make_subplots

from stress.report.figures.style import (
    GREY,
    STYLES,
    TEMPLATE,
    GroupStyle,
    blank,
    label,
    say,
    translucent,
)
from stress.report.read import (
    Array,
    Estimates,
    dataset,
    estimates,
    labels,
    numbers,
    world_name,
    worlds,
)

__all__ = ["account_limit_curves", "group_limit_curves"]

Axis: TypeAlias = Literal["collateral", "size"]

_TITLES = {
    "collateral": "collateral, as a multiple of the present equity",
    "size": "size of all positions, as a multiple of the present one",
}
_PROBABILITY = "liquidated by the horizon (%)"
_DASHES = ("solid", "dash", "dot")
_COLUMNS = 3
_MULTIPLES = [2.0**power for power in range(-4, 5)]
_NAMES = ["1/16", "1/8", "1/4", "1/2", "1", "2", "4", "8", "16"]


def group_limit_curves(tree: xr.DataTree, axis: Axis) -> go.Figure:
    """Draw each group's liquidation probability over multiples, one dash a world.

    The band is simultaneous: between two points of the grid it is a step, because only that the
    probability is monotone is known there.
    """
    data = dataset(tree, "curves")
    multiple, figure = numbers(data, "multiple"), blank(440)
    for world, dash, curves in _worlds(tree, f"liquidation_probability_by_{axis}"):
        for row, group in enumerate(labels(data, "group")):
            style = GroupStyle(STYLES[row % len(STYLES)].colour, dash, "circle")
            name = f"{label(group)}, {world_name(world)}"
            these = _row(curves, row)
            figure.add_traces(_curve(multiple, multiple, these, axis, name, style, legend=True))
    figure.add_shape(_present(1.0))
    figure.update_xaxes(title_text=_TITLES[axis], **_multiples())
    figure.update_yaxes(title_text=_PROBABILITY, tickformat="~%", range=[0, 1.02])
    return figure


def account_limit_curves(tree: xr.DataTree, axis: Axis) -> go.Figure:
    """Draw the same of chosen accounts, one panel each; over size in terms of leverage."""
    data = dataset(tree, "curves")
    accounts = labels(data, "account")
    multiple, leverage = numbers(data, "multiple"), numbers(data, "effective_leverage_by_size")
    rows = -(-len(accounts) // _COLUMNS)
    titles = [
        f"{label(account)} ({label(group)})"
        for account, group in zip(accounts, labels(data, "account_group"), strict=True)
    ]
    figure = make_subplots(rows, _COLUMNS, subplot_titles=titles, shared_yaxes=True)
    figure.update_layout(template=TEMPLATE, height=60 + 210 * rows)
    figure.update_annotations(font_size=12)
    for number, (world, dash, curves) in enumerate(
        _worlds(tree, f"account_liquidation_probability_by_{axis}")
    ):
        style, name = GroupStyle(STYLES[number].colour, dash, "circle"), world_name(world)
        for place in range(len(accounts)):
            across = leverage[place] if axis == "size" else multiple
            if np.isnan(across).any():
                continue
            traces = _curve(
                across, multiple, _row(curves, place), axis, name, style, legend=place == 0
            )
            where = {"row": place // _COLUMNS + 1, "col": place % _COLUMNS + 1}
            for trace in traces:
                figure.add_trace(trace, **where)
            if number == 0:
                figure.add_shape(_present(across[multiple == 1.0][0]), **where)
    figure.update_xaxes(**(_leverages() if axis == "size" else _multiples()))
    title = "effective leverage" if axis == "size" else "multiple of equity"
    figure.update_xaxes(title_text=title, row=rows)
    figure.update_yaxes(tickformat="~%", range=[0, 1.05])
    figure.update_yaxes(title_text="liquidated (%)", col=1)
    return figure


def _worlds(tree: xr.DataTree, name: str) -> Iterator[tuple[str, str, Estimates]]:
    """Yield the mode, the dash and the curves of every world, the main one first."""
    data = dataset(tree, "curves")
    for dash, (mode, variable) in zip(_DASHES, worlds(tree, "curves", name).items(), strict=False):
        yield mode, dash, estimates(data, variable)


def _row(curves: Estimates, row: int) -> Estimates:
    return Estimates(curves.value[row], curves.lower[row], curves.upper[row])


def _curve(
    across: Array,
    multiple: Array,
    these: Estimates,
    axis: Axis,
    name: str,
    style: GroupStyle,
    *,
    legend: bool,
) -> list[go.Scatter]:
    """Return the band and the line of one curve; nothing where it is not known."""
    if np.isnan(these.value).any():
        return []
    hover = [
        f"{name} at {number:.3g} times: {text}"
        for number, text in zip(multiple, say("probability", "", these), strict=True)
    ]
    # falling: what bounds a point from above bounds all to its right; rising: all to its left
    held = {"collateral": ("vh", "hv"), "size": ("hv", "vh")}[axis]
    edge: dict[str, Any] = {
        "x": across,
        "mode": "lines",
        "legendgroup": name,
        "showlegend": False,
        "hoverinfo": "skip",
    }
    return [
        go.Scatter(y=these.lower, line={"width": 0, "shape": held[0]}, **edge),
        go.Scatter(
            y=these.upper,
            line={"width": 0, "shape": held[1]},
            fill="tonexty",
            fillcolor=translucent(style.colour, 0.15),
            **edge,
        ),
        go.Scatter(
            x=across,
            y=these.value,
            mode="lines+markers",
            name=name,
            legendgroup=name,
            showlegend=legend,
            line={"color": style.colour, "dash": style.dash, "width": 2},
            marker={"color": style.colour, "size": 4},
            hovertext=hover,
            hoverinfo="text",
        ),
    ]


def _present(at: float) -> dict[str, Any]:
    """Return the line at what is held now."""
    return {
        "type": "line",
        "x0": at,
        "x1": at,
        "y0": 0,
        "y1": 1,
        "line": {"color": GREY, "dash": "dot", "width": 1.5},
    }


def _multiples() -> dict[str, Any]:
    return {"type": "log", "tickmode": "array", "tickvals": _MULTIPLES, "ticktext": _NAMES}


def _leverages() -> dict[str, Any]:
    values = [digit * 10.0**power for power in range(-2, 5) for digit in (1, 3)]
    names = [f"{value:,.4g}" for value in values]
    return {"type": "log", "tickmode": "array", "tickvals": values, "ticktext": names}
