"""How much has been liquidated by a time."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from stress.report.figures.style import BLUE, VERMILLION, band, blank
from stress.report.read import Array, dataset, estimates, has, numbers
from stress.report.text import level_name, money_unit, shown

__all__ = ["liquidated_notional_by_time"]


def liquidated_notional_by_time(tree: xr.DataTree) -> go.Figure:
    """Draw the notional liquidated by a time: bands of quantiles over paths, middle and mean."""
    data = dataset(tree, "course")
    time, order = numbers(data, "step"), np.argsort(numbers(data, "quantile"))
    quantiles = numbers(data, "quantile")[order]
    curves = numbers(data, "liquidated_notional_quantile")[:, order]
    unit, suffix = money_unit(float(np.nanmax(np.abs(curves), initial=0)))
    figure = blank(380)
    for outer in range(len(quantiles) // 2):
        low, high = curves[:, outer] / unit, curves[:, len(quantiles) - 1 - outer] / unit
        figure.add_traces(band(time, low, high, colour=BLUE, name="quantiles"))
    for index, quantile in enumerate(quantiles):
        figure.add_trace(_quantile(time, curves[:, index], unit, float(quantile)))
    if has(tree, "course", "liquidated_notional_mean"):
        mean = estimates(data, "liquidated_notional_mean")
        low, high = mean.lower / unit, mean.upper / unit
        figure.add_traces(band(time, low, high, colour=VERMILLION, name="mean"))
        figure.add_trace(
            go.Scatter(
                x=time,
                y=mean.value / unit,
                mode="lines",
                name="mean",
                legendgroup="mean",
                line={"color": VERMILLION, "dash": "dash", "width": 2},
                hovertext=[
                    f"day {day:.3g}, mean: {shown('money', mean.at(index))}"
                    for index, day in enumerate(time)
                ],
                hoverinfo="text",
            )
        )
    figure.update_xaxes(title_text="time since the start (days)", rangemode="tozero")
    figure.update_yaxes(title_text=f"liquidated by then (${suffix})", rangemode="tozero")
    return figure


def _quantile(time: Array, curve: Array, unit: float, quantile: float) -> go.Scatter:
    middle = abs(quantile - 0.5) < 1e-9
    name = "median" if middle else f"quantile {level_name(quantile)}"
    return go.Scatter(
        x=time,
        y=curve / unit,
        mode="lines",
        name=name,
        showlegend=middle,
        legendgroup="quantiles",
        line={"color": BLUE, "width": 2 if middle else 1},
        hovertext=[
            f"day {day:.3g}, {name}: {shown('money', float(value))}"
            for day, value in zip(time, curve, strict=True)
        ],
        hoverinfo="text",
    )
