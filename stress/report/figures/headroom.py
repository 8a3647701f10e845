"""Room between present values and the limits that keep the appetite."""

from __future__ import annotations

import html

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from stress.report.figures.style import BLUE, GREY, VERMILLION, blank, name_axis, rows_height
from stress.report.read import dataset, labels, numbers

__all__ = ["headroom"]

_MOST, _MOST_SINGLE = 24, 12


def headroom(tree: xr.DataTree) -> go.Figure | None:
    """Draw the room of ``/limit_values``, one bar a subject, accounts last; None without any."""
    data = dataset(tree, "limit_values")
    room = 100 * numbers(data, "headroom")
    ranked = np.argsort(room, kind="stable")[: int((~np.isnan(room)).sum())]
    if not len(ranked):
        return None
    kind, subject, world, question = (
        labels(data, name) for name in ("kind", "subject", "world", "question")
    )
    single = np.isin(np.array(kind)[ranked], ("account", "trade"))
    kept = np.concatenate([ranked[~single][:_MOST], ranked[single][:_MOST_SINGLE]])
    names = [f"{subject[index]}, {world[index]}" for index in kept]
    said = [
        f"{question[index]} of {kind[index]} {subject[index]}, {world[index]}" for index in kept
    ]
    figure = blank(rows_height(len(kept), more=80))
    figure.add_trace(
        go.Bar(
            # one far above the others would hide them
            x=np.minimum(room[kept], 300.0),
            y=np.arange(len(kept), dtype=np.float64),
            orientation="h",
            marker={"color": np.where(room[kept] < 0, VERMILLION, BLUE).tolist()},
            hovertext=[
                f"{html.escape(name, quote=False)}: {value:+.0f} %"
                for name, value in zip(said, room[kept], strict=True)
            ],
            hoverinfo="text",
            showlegend=False,
        )
    )
    figure.add_vline(x=0, line={"color": GREY, "width": 1.5})
    figure.update_xaxes(title_text="room, share of the present value (%)")
    figure.update_yaxes(title_text="subject", **name_axis(names))
    return figure
