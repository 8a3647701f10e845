"""One path replayed: marks against fundamental prices, accounts falling, closes and the fund."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
import xarray as xr
from numpy.typing import NDArray
from plotly.subplots import make_subplots

from stress.report.figures.style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    PURPLE,
    TEMPLATE,
    VERMILLION,
    label,
)
from stress.report.read import Array, dataset, labels, largest, numbers, thin
from stress.report.text import money_unit, plural, shown

__all__ = ["MOST_PRICES", "bad_path", "replayed_assets"]

_COLOURS = (BLUE, VERMILLION, GREEN, PURPLE)
MOST_PRICES = len(_COLOURS)
"""Assets that are drawn: more pairs of curves are not told apart."""

_MOST_STEPS = 400

_LEVELS = (
    ("liquidated_accounts", "accounts", "count"),
    ("liquidated_notional", "notional", "money"),
    ("fund", "fund", "money"),
)


def replayed_assets(tree: xr.DataTree) -> NDArray[np.intp]:
    """Return the positions of the assets whose mark leaves its fundamental price furthest."""
    data = dataset(tree, "replay")
    mark, fundamental = numbers(data, "mark"), numbers(data, "fundamental_price")
    apart = np.abs(mark - fundamental) / np.where(fundamental > 0, fundamental, np.nan)
    furthest = np.nanmax(apart, axis=0, initial=0.0)
    held = np.isfinite(apart).any(axis=0)
    return largest(np.where(held, furthest, np.nan), MOST_PRICES)


def bad_path(tree: xr.DataTree) -> go.Figure:
    """Draw the replayed path in panels over one another, on one axis of time."""
    data, order = dataset(tree, "replay"), replayed_assets(tree)
    data = data.isel(step=thin(data.sizes["step"], _MOST_STEPS))
    levels = [row for row in _LEVELS if row[0] in data]
    rows = 1 + len(levels)
    heights = [300] + [130] * len(levels)
    height = sum(heights) + 110
    figure = make_subplots(
        rows=rows, cols=1, shared_xaxes=True, row_heights=heights, vertical_spacing=22 / height
    )
    figure.update_layout(template=TEMPLATE, height=height)
    traces = _prices(data, order)
    figure.add_traces(traces, rows=[1] * len(traces), cols=[1] * len(traces))
    figure.update_yaxes(title_text="price (start = 100)", row=1, col=1)
    time = numbers(data, "step")
    for row, (name, title, kind) in enumerate(levels, start=2):
        trace, axis = _level(time, numbers(data, name), title, kind)
        figure.add_trace(trace, row=row, col=1)
        figure.update_yaxes(title_text=axis, rangemode="tozero", row=row, col=1)
    figure.update_xaxes(title_text="time since the start (days)", row=rows, col=1)
    return figure


def _prices(data: xr.Dataset, order: NDArray[np.intp]) -> list[go.Scatter]:
    """Return mark and fundamental price of each asset, both over the fundamental at the start."""
    time, traces = numbers(data, "step"), [_key()]
    mark, fundamental = numbers(data, "mark"), numbers(data, "fundamental_price")
    for name, asset, colour in zip(labels(data, "asset", order), order, _COLOURS, strict=False):
        for prices, what, dash, width in (
            (mark[:, asset], "mark", "solid", 2.0),
            (fundamental[:, asset], "fundamental", "dot", 1.5),
        ):
            traces.append(
                go.Scatter(
                    x=time,
                    y=100 * prices / fundamental[0, asset],
                    mode="lines",
                    name=label(name),
                    showlegend=what == "mark",
                    line={"color": colour, "dash": dash, "width": width},
                    hovertext=[
                        f"{label(name)}, {what}, day {day:.3g}: {shown('price', float(price))}"
                        for day, price in zip(time, prices, strict=True)
                    ],
                    hoverinfo="text",
                )
            )
    return traces


def _key() -> go.Scatter:
    """Return the line of the legend that says what is dotted; it draws nothing."""
    line = {"color": GREY, "dash": "dot", "width": 1.5}
    return go.Scatter(
        x=[None], y=[None], mode="lines", name="fundamental price", line=line, hoverinfo="skip"
    )


def _level(time: Array, values: Array, title: str, kind: str) -> tuple[go.Scatter, str]:
    """Return a curve of levels at the ends of steps, and the title of its axis."""
    money = kind == "money"
    unit, suffix = money_unit(float(np.nanmax(np.abs(values), initial=0))) if money else (1.0, "")
    said = [
        str(shown("money", float(value))) if money else plural(float(value), "account")
        for value in values
    ]
    trace = go.Scatter(
        x=time,
        y=values / unit,
        mode="lines",
        showlegend=False,
        line={"color": BLACK, "width": 2, "shape": "hv"},
        hovertext=[f"{title}, day {day:.3g}: {text}" for day, text in zip(time, said, strict=True)],
        hoverinfo="text",
    )
    return trace, f"{title} (${suffix})" if money else title
