"""What a small change of the market or of the venue's rates does to the accounts' probability."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from stress.report.figures.style import STYLES, GroupStyle, blank, dots, name_axis, rows_height, say
from stress.report.read import Estimates, dataset, estimates, has_values, labels, largest

__all__ = ["sensitivities"]

_MOST = 12
"""Assets that are drawn for each kind of change: those that change most."""


def sensitivities(tree: xr.DataTree) -> go.Figure:
    """Draw the change of the mean liquidation probability for each shared change, in rows."""
    drawn = list(_drawn(tree))
    names = [name for _, _, rows, _ in drawn for name in rows]
    figure, first = blank(rows_height(len(names))), 0
    for kind, style, rows, these in drawn:
        written = say("difference", "", these)
        figure.add_trace(
            dots(
                these,
                np.arange(first, first + len(rows), dtype=np.float64),
                name=kind,
                style=style,
                hover=[f"{row}: {said}" for row, said in zip(rows, written, strict=True)],
                legend=True,
            )
        )
        first += len(rows)
    figure.update_yaxes(**name_axis(names))
    figure.update_xaxes(
        title_text="change of the mean liquidation probability (%)", tickformat="+~%", zeroline=True
    )
    return figure


def _drawn(tree: xr.DataTree) -> Iterator[tuple[str, GroupStyle, list[str], Estimates]]:
    """Yield kind, style, row names and points of each kind of change that there is."""
    data = dataset(tree, "sensitivities")
    kinds = (
        ("volatility", "volatility 0.01 higher"),
        ("maintenance", "maintenance rate 10 basis points higher"),
    )
    for (by, words), style in zip(kinds, STYLES, strict=False):
        name = f"mean_liquidation_probability_by_{by}"
        if has_values(tree, "sensitivities", name):
            these = estimates(data, name)
            order = largest(np.abs(these.value), _MOST)
            yield words, style, labels(data, "asset", order), these.take(order)
    name = "mean_liquidation_probability_by_correlation"
    if has_values(tree, "sensitivities", name):
        these = estimates(data, name)
        one = Estimates(*(part[None] for part in (these.value, these.lower, these.upper)))
        yield "correlations 0.01 higher", STYLES[len(kinds)], ["all pairs"], one
