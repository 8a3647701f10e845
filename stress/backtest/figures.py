"""Figures of a back-test: exceedances, joint tails, reliability. Each takes the tree."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from stress.report.figures.style import (
    BLACK,
    BLUE,
    GREY,
    STYLES,
    VERMILLION,
    GroupStyle,
    blank,
    dots,
    label,
    name_axis,
    rows_height,
    say,
)
from stress.report.read import Estimates, attribute, dataset, labels, numbers

__all__ = ["exceedance_ratio", "joint_tails", "reliability_diagram"]

_SIDES = {
    "long": GroupStyle(BLUE, "solid", "circle"),
    "short": GroupStyle(VERMILLION, "dash", "square"),
}
_TAILS = {"lower": _SIDES["long"], "upper": _SIDES["short"]}


def exceedance_ratio(tree: xr.DataTree, level: int) -> go.Figure:
    """Draw exceedances over their expected number at a level, a dot a series, a row a model."""
    data = dataset(tree, "coverage")
    models, series = labels(data, "model"), labels(data, "series")
    ratio = numbers(data, "exceedances")[:, :, level] / numbers(data, "expected")[level]
    figure = blank(rows_height(len(models), more=110))
    for column, (side, style) in enumerate(_SIDES.items()):
        rows = np.arange(len(models)) + (-0.14, 0.14)[column]
        figure.add_trace(
            go.Scatter(
                x=ratio[:, column].ravel(),
                y=np.repeat(rows, len(series)),
                mode="markers",
                name=side,
                marker={"color": style.colour, "symbol": style.symbol, "size": 7, "opacity": 0.6},
                hovertext=[
                    f"{label(model)}, {label(one)}, {side}: {value:.2f} times the expected number"
                    for model, row in zip(models, ratio[:, column], strict=True)
                    for one, value in zip(series, row, strict=True)
                ],
                hoverinfo="text",
            )
        )
    figure.add_vline(x=1, line={"color": BLACK, "width": 1})
    figure.update_xaxes(title_text="exceedances over expected", rangemode="tozero")
    figure.update_yaxes(**name_axis(models))
    return figure


def joint_tails(tree: xr.DataTree) -> go.Figure:
    """Draw forecast co-exceedances, a row a model, and the realised one with its interval."""
    data = dataset(tree, "joint_tails")
    models = labels(data, "model")
    rows = ["what happened", *models]
    forecast, realised = numbers(data, "forecast"), numbers(data, "realised")
    bounds = numbers(data, "realised_interval")
    figure = blank(rows_height(len(rows), more=110))
    for column, (tail, style) in enumerate(_TAILS.items()):
        blanks = np.full(len(models), np.nan)
        these = Estimates(
            np.append(realised[column], forecast[:, column]),
            np.append(bounds[column, 0], blanks),
            np.append(bounds[column, 1], blanks),
        )
        figure.add_vrect(
            x0=bounds[column, 0],
            x1=bounds[column, 1],
            fillcolor=style.colour,
            opacity=0.1,
            line_width=0,
        )
        figure.add_trace(
            dots(
                these,
                np.arange(len(rows), dtype=np.float64) + (-0.14, 0.14)[column],
                name=f"{tail} tail",
                style=style,
                hover=[
                    f"{label(row)}, {tail} tail: {text}"
                    for row, text in zip(rows, say("probability", "", these), strict=True)
                ],
                legend=True,
            )
        )
    figure.update_xaxes(title_text="co-exceedance at 5 % (%)", tickformat="~%", rangemode="tozero")
    figure.update_yaxes(**name_axis(rows))
    return figure


def reliability_diagram(tree: xr.DataTree) -> go.Figure:
    """Draw what share of forecasts of about the same probability came true, a curve a model.

    The scenario's own model stands in front with its intervals; the others are in the legend.
    """
    data = dataset(tree, "reliability")
    models, chosen = labels(data, "model"), attribute(tree, "model")
    mean, frequency = numbers(data, "mean_forecast"), numbers(data, "frequency")
    bounds, count = numbers(data, "frequency_interval"), numbers(data, "forecasts")
    first = chosen if chosen in models else models[0]
    figure = blank(460)
    figure.add_trace(
        go.Scatter(
            x=[0, 1],
            y=[0, 1],
            mode="lines",
            line={"color": GREY, "dash": "dot", "width": 1},
            name="right on average",
            hoverinfo="skip",
        )
    )
    for row, model in enumerate(models):
        style = STYLES[row % len(STYLES)]
        known = np.flatnonzero(count[row] > 0)
        figure.add_trace(
            go.Scatter(
                x=mean[row, known],
                y=frequency[row, known],
                mode="lines+markers",
                name=label(model),
                visible=True if model == first else "legendonly",
                line={"color": style.colour, "dash": style.dash, "width": 2},
                marker={"symbol": style.symbol, "size": 8},
                error_y={
                    "type": "data",
                    "symmetric": False,
                    "array": bounds[row, known, 1] - frequency[row, known],
                    "arrayminus": frequency[row, known] - bounds[row, known, 0],
                    "thickness": 1.4,
                    "width": 3,
                },
                hovertext=[
                    f"{label(model)}: {count[row, at]:,.0f} forecasts, mean {mean[row, at]:.1%}, "
                    f"came true {frequency[row, at]:.1%}"
                    for at in known
                ],
                hoverinfo="text",
            )
        )
    figure.update_xaxes(title_text="forecast probability (%)", tickformat="~%", range=[-0.02, 1.02])
    figure.update_yaxes(title_text="came true (%)", tickformat="~%", range=[-0.02, 1.02])
    return figure
