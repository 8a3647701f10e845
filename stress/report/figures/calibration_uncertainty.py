"""The riskiest accounts with the error of the paths and that of the parameters."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from stress.report.figures.style import (
    BLUE,
    VERMILLION,
    GroupStyle,
    blank,
    dots,
    label,
    name_axis,
    rows_height,
    say,
)
from stress.report.read import Estimates, dataset, estimates, labels, largest, numbers

__all__ = ["calibration_uncertainty"]

_MOST = 30
_APART = 0.14


def calibration_uncertainty(tree: xr.DataTree) -> go.Figure:
    """Draw the liquidation probability of the riskiest accounts with both intervals."""
    data, name = dataset(tree, "accounts"), "liquidation_probability"
    sampling = estimates(data, name)
    order = largest(sampling.value, _MOST)
    bounds = numbers(data, f"{name}_calibration_interval")
    # where every draw lies on one side of the estimate the bar begins at it
    calibration = Estimates(
        sampling.value,
        np.minimum(bounds[..., 0], sampling.value),
        np.maximum(bounds[..., 1], sampling.value),
    )
    names = labels(data, "account", order)
    rows = np.arange(len(order), dtype=np.float64)
    figure = blank(rows_height(len(order)))
    for title, these, style, offset in (
        ("sampling error", sampling, GroupStyle(BLUE, "solid", "circle"), -_APART),
        ("calibration error", calibration, GroupStyle(VERMILLION, "dash", "square"), _APART),
    ):
        taken = these.take(order)
        hover = [
            f"{label(account)}, {title}: {text}"
            for account, text in zip(names, say("probability", "", taken), strict=True)
        ]
        figure.add_trace(
            dots(taken, rows + offset, name=title, style=style, hover=hover, legend=True)
        )
    figure.update_yaxes(title_text="account", **name_axis(names))
    figure.update_xaxes(
        title_text="liquidation probability (%)", tickformat="~%", rangemode="tozero"
    )
    return figure
