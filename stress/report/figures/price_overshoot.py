"""How far forced flow carries each asset's mark away from its fundamental price."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
import xarray as xr
from numpy.typing import NDArray

from stress.report.figures.assets import asset_bars
from stress.report.figures.shares import share
from stress.report.figures.style import BLACK, GREY, SKY, label
from stress.report.read import dataset, estimates, has, labels, largest, numbers
from stress.report.text import level_name, shown

__all__ = ["overshooting_assets", "price_overshoot"]

_MOST = 20


def overshooting_assets(tree: xr.DataTree) -> NDArray[np.intp]:
    """Return the positions of the assets that overshoot most on average, the furthest first."""
    return largest(numbers(dataset(tree, "assets"), "price_overshoot_mean"), _MOST)


def price_overshoot(tree: xr.DataTree) -> go.Figure:
    """Draw the mean overshoot of each asset with its interval, and its highest quantile."""
    data, order = dataset(tree, "assets"), overshooting_assets(tree)
    names, mean = labels(data, "asset", order), estimates(data, "price_overshoot_mean").take(order)
    hover = [
        f"{label(name)}: mean {share(mean.at(row))} of the price" for row, name in enumerate(names)
    ]
    figure = asset_bars(names, mean.value, [SKY] * len(names), hover)
    figure.update_traces(
        name="mean over paths",
        error_x={
            "type": "data",
            "symmetric": False,
            "array": mean.upper - mean.value,
            "arrayminus": mean.value - mean.lower,
            "color": BLACK,
            "thickness": 1.4,
            "width": 3,
        },
    )
    if has(tree, "assets", "price_overshoot_quantile"):
        figure.add_trace(_highest(data, order, names))
        figure.update_traces(showlegend=True)
        figure.update_layout(height=figure.layout.height + 40)
    figure.update_xaxes(
        title_text="overshoot of the mark (%)",
        tickformat="~%",
        rangemode="tozero",
        zerolinecolor=GREY,
    )
    return figure


def _highest(data: xr.Dataset, order: NDArray[np.intp], names: list[str]) -> go.Scatter:
    """Return the highest quantile over paths as a mark behind each bar."""
    last = int(numbers(data, "quantile").argmax())
    level = level_name(float(numbers(data, "quantile")[last]))
    values = numbers(data, "price_overshoot_quantile")[order, last]
    return go.Scatter(
        x=values,
        y=np.arange(len(names)),
        mode="markers",
        name=f"quantile {level} of the paths",
        marker={"color": BLACK, "symbol": "diamond-open", "size": 8},
        hovertext=[
            f"{label(name)}, quantile {level}: {shown('percent', float(value))}"
            for name, value in zip(names, values, strict=True)
        ],
        hoverinfo="text",
    )
