"""Whose forced flow liquidates whom."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
import xarray as xr
from numpy.typing import NDArray

from stress.report.figures.shares import mean_count
from stress.report.figures.style import BLACK, blank, label
from stress.report.read import dataset, estimates, labels, largest

__all__ = ["caused_liquidations", "feedback_groups"]

_MOST = 12
_MOST_WRITTEN = 6
"""Groups up to which the numbers are written into the cells: on a phone more do not fit."""

_SCALE = [[0.0, "#ffffff"], [1.0, "#f0a878"]]
"""Light enough for dark numbers in every cell."""


def feedback_groups(tree: xr.DataTree) -> NDArray[np.intp]:
    """Return the positions of the groups that feedback liquidates most of, most first."""
    return largest(estimates(dataset(tree, "groups"), "feedback_liquidations").value, _MOST)


def caused_liquidations(tree: xr.DataTree) -> go.Figure:
    """Draw who is liquidated (rows) by whose flow (columns) as a heat map."""
    data, order = dataset(tree, "groups"), feedback_groups(tree)
    these, names = (
        estimates(data, "caused_liquidations"),
        [label(name) for name in labels(data, "group", order)],
    )
    values = these.value[np.ix_(order, order)]
    cells = [[mean_count(these.at(row, column)) for column in order] for row in order]
    written = len(order) <= _MOST_WRITTEN
    figure = blank(100 + 34 * max(len(order), 3))
    figure.add_trace(
        go.Heatmap(
            z=values,
            zmin=0,
            zmax=float(np.nanmax(values, initial=0)) or 1.0,
            colorscale=_SCALE,
            text=[[cell.value for cell in row] for row in cells],
            texttemplate="%{text}" if written else None,
            textfont={"color": BLACK},
            xgap=1,
            ygap=1,
            showscale=not written,
            colorbar={"thickness": 8, "xpad": 4, "ypad": 0},
            hovertext=[
                [
                    f"{one} by the flow of {other}: {cell}"
                    for other, cell in zip(names, row, strict=True)
                ]
                for one, row in zip(names, cells, strict=True)
            ],
            hovertemplate="%{hovertext}<extra></extra>",
        )
    )
    ticks = {"tickvals": list(range(len(names))), "ticktext": names, "showgrid": False}
    figure.update_yaxes(
        title_text="group liquidated", range=[len(names) - 0.5, -0.5], zeroline=False, **ticks
    )
    figure.update_xaxes(
        title_text="group whose flow did it", tickangle=-90 if len(names) > 3 else 0, **ticks
    )
    figure.update_xaxes(zeroline=False)
    return figure
