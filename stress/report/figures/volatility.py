"""The annualised volatility of the assets."""

from __future__ import annotations

import plotly.graph_objects as go
import xarray as xr

from stress.report.figures.assets import asset_bars, main_assets
from stress.report.figures.style import label
from stress.report.read import dataset, labels, numbers
from stress.report.text import shown

__all__ = ["volatility"]

_SLATE = "#5b6b7a"


def volatility(tree: xr.DataTree) -> go.Figure:
    """Draw the annualised volatility of each asset."""
    data, order = dataset(tree, "assets"), main_assets(tree)
    names = labels(data, "asset", order)
    values = numbers(data, "volatility")[order]
    hover = [
        f"{label(name)}: {shown('percent', value)} a year"
        for name, value in zip(names, values, strict=True)
    ]
    figure = asset_bars(names, values, [_SLATE] * len(names), hover)
    figure.update_xaxes(title_text="annualised volatility (%)", tickformat="~%")
    return figure
