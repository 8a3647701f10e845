"""The correlation of the assets' log returns."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from stress.report.figures.assets import main_assets
from stress.report.figures.style import BLUE, VERMILLION, blank, label
from stress.report.read import dataset, labels, numbers

__all__ = ["correlation"]

_MOST_WRITTEN = 10
"""Assets up to which the correlations are written into the cells: on a phone more do not fit."""

_MOST_NAMED = 20
"""Assets up to which the columns are named as well as the rows."""

_DIVERGING = [[0.0, VERMILLION], [0.5, "#ffffff"], [1.0, BLUE]]


def correlation(tree: xr.DataTree) -> go.Figure:
    """Draw the correlation of log returns as a heat map."""
    data, order = dataset(tree, "assets"), main_assets(tree)
    names = [label(name) for name in labels(data, "asset", order)]
    matrix = numbers(data, "correlation")[np.ix_(order, order)]
    written = len(order) <= _MOST_WRITTEN
    figure = blank(90 + (30 * max(len(order), 3) if written else min(22 * len(order), 640)))
    figure.add_trace(
        go.Heatmap(
            z=np.round(matrix, 3),
            zmin=-1,
            zmax=1,
            colorscale=_DIVERGING,
            texttemplate="%{z:.2f}" if written else None,
            textfont={"size": 10},
            xgap=1,
            ygap=1,
            showscale=not written,
            colorbar={"thickness": 8, "tickvals": [-1, 0, 1], "xpad": 4, "ypad": 0},
            hovertext=[[f"{row} and {column}: " for column in names] for row in names],
            hovertemplate="%{hovertext}%{z:.2f}<extra></extra>",
        )
    )
    _axes(figure, names)
    return figure


def _axes(figure: go.Figure, names: list[str]) -> None:
    ticks = {"tickvals": list(range(len(names))), "ticktext": names, "showgrid": False}
    many = len(names) > _MOST_NAMED
    figure.update_yaxes(
        title_text="asset",
        range=[len(names) - 0.5, -0.5],
        tickfont={"size": 9 if many else 12},
        **ticks,
    )
    if many:
        figure.update_xaxes(title_text="asset, in the order of the rows", showticklabels=False)
    else:
        figure.update_xaxes(title_text="asset", tickangle=-90, **ticks)
