"""What the figures by asset share: which assets are drawn, and bars in rows."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
import xarray as xr
from numpy.typing import NDArray

from stress.report.figures.style import blank, name_axis, rows_height
from stress.report.read import Array, dataset, largest, numbers

__all__ = ["MOST_ASSETS", "asset_bars", "main_assets"]

MOST_ASSETS = 40


def main_assets(tree: xr.DataTree) -> NDArray[np.intp]:
    """Return the positions of the assets that are drawn: those of largest gross position."""
    data = dataset(tree, "assets")
    if "gross_position" not in data:
        return np.arange(data.sizes["asset"])[:MOST_ASSETS]
    return largest(np.nan_to_num(numbers(data, "gross_position")), MOST_ASSETS)


def asset_bars(names: list[str], values: Array, colours: list[str], hover: list[str]) -> go.Figure:
    """Draw one bar an asset, the first on top."""
    figure = blank(rows_height(len(names), more=70))
    figure.add_trace(
        go.Bar(
            x=values,
            y=np.arange(len(names)),
            orientation="h",
            marker={"color": colours},
            hovertext=hover,
            hoverinfo="text",
        )
    )
    figure.update_yaxes(title_text="asset", **name_axis(names))
    return figure
