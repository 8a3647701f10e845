"""What the book holds net, asset by asset."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from stress.report.figures.assets import asset_bars, main_assets
from stress.report.figures.style import BLUE, VERMILLION, label
from stress.report.read import dataset, labels, numbers
from stress.report.text import money_unit, shown

__all__ = ["net_position"]


def net_position(tree: xr.DataTree) -> go.Figure:
    """Draw the sum of signed notionals by asset: longs to the right, shorts to the left."""
    data, order = dataset(tree, "assets"), main_assets(tree)
    names = labels(data, "asset", order)
    net, gross = numbers(data, "net_position")[order], numbers(data, "gross_position")[order]
    unit, suffix = money_unit(float(np.nanmax(np.abs(net), initial=0)))
    hover = [
        f"{label(name)}: net {shown('money', one)}, gross {shown('money', all_)}"
        for name, one, all_ in zip(names, net, gross, strict=True)
    ]
    colours = [BLUE if value >= 0 else VERMILLION for value in net]
    figure = asset_bars(names, net / unit, colours, hover)
    figure.update_xaxes(title_text=f"net position, long positive (${suffix})", zeroline=True)
    return figure
