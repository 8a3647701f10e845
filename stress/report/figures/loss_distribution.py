"""The distribution of the book's loss over paths, with value at risk and expected shortfall."""

from __future__ import annotations

from typing import Literal

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from stress.report.figures.style import BLUE, ORANGE, VERMILLION, blank, translucent
from stress.report.read import dataset, estimates, has, numbers
from stress.report.text import level_name, money_unit, shown

__all__ = ["loss_distribution"]

_DASHES = ("solid", "dash", "dot", "dashdot")
_TITLES = {
    "total": "total loss of the losing accounts",
    "net": "net loss, negative is a gain",
}


def _marks(tree: xr.DataTree, loss: str, unit: float, top: float) -> list[go.Scatter]:
    """Return a vertical line at each level's value at risk and expected shortfall."""
    book, lines = dataset(tree, "book"), []
    for short, variable, colour in (
        ("VaR", f"{loss}_loss_value_at_risk", VERMILLION),
        ("ES", f"{loss}_loss_expected_shortfall", ORANGE),
    ):
        if not has(tree, "book", variable):
            continue
        these = estimates(book, variable)
        for index, level in enumerate(numbers(book, "level")):
            text = f"{short} {level_name(level)}: {shown('money', these.at(index))}"
            lines.append(
                go.Scatter(
                    x=[these.value[index] / unit] * 2,
                    y=[0.5, top],
                    mode="lines",
                    name=text,
                    line={"color": colour, "dash": _DASHES[index % len(_DASHES)], "width": 2},
                    hovertext=text,
                    hoverinfo="text",
                )
            )
    return lines


def loss_distribution(tree: xr.DataTree, loss: Literal["total", "net"] = "total") -> go.Figure:
    """Draw the paths in each bin of the total or the net loss, on a logarithmic axis.

    The axis is logarithmic because the tail, which the marked measures speak of, holds few paths.
    """
    data = dataset(tree, "distribution")
    edges, paths = numbers(data, f"{loss}_loss_edges"), numbers(data, f"{loss}_loss_paths")
    unit, suffix = money_unit(float(np.nanmax(np.abs(edges), initial=0)))
    scaled = edges / unit
    width = np.diff(scaled)
    top = max(1.5 * float(np.nanmax(paths, initial=1)), 10.0)
    figure = blank(400)
    figure.add_trace(
        go.Bar(
            x=(scaled[:-1] + scaled[1:]) / 2,
            y=paths,
            # All paths alike make one bin without width, which would be drawn as nothing.
            width=np.where(width > 0, width, 1.0),
            marker={"color": translucent(BLUE, 0.65), "line": {"width": 0}},
            name="paths",
            showlegend=False,
            hovertext=[
                f"{count:,.0f} paths between {shown('money', low)} and {shown('money', high)}"
                for count, low, high in zip(paths, edges[:-1], edges[1:], strict=True)
            ],
            hoverinfo="text",
        )
    )
    figure.add_traces(_marks(tree, loss, unit, top))
    figure.update_xaxes(title_text=f"{_TITLES[loss]} (${suffix})")
    figure.update_yaxes(
        title_text="paths (log scale)", type="log", range=[np.log10(0.5), np.log10(top)], dtick=1
    )
    return figure
