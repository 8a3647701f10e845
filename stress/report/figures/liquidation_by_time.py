"""The probability of having been liquidated by a time, group by group."""

from __future__ import annotations

import plotly.graph_objects as go
import xarray as xr

from stress.report.figures.style import band, blank, group_styles, label, say
from stress.report.read import Estimates, dataset, estimates, labels, numbers

__all__ = ["liquidation_by_time"]


def liquidation_by_time(tree: xr.DataTree) -> go.Figure:
    """Draw the share of each group's accounts liquidated by a time, with its interval."""
    data = dataset(tree, "groups")
    name = "liquidation_probability_by_step"
    curves, time, groups = estimates(data, name), numbers(data, "step"), labels(data, "group")
    figure = blank(400)
    for group, style in group_styles(tree).items():
        row = groups.index(group)
        these = Estimates(curves.value[row], curves.lower[row], curves.upper[row])
        figure.add_traces(band(time, these.lower, these.upper, colour=style.colour, name=group))
        figure.add_trace(
            go.Scatter(
                x=time,
                y=these.value,
                mode="lines",
                name=label(group),
                legendgroup=group,
                line={"color": style.colour, "dash": style.dash, "width": 2},
                hovertext=[
                    f"{label(group)} by day {day:.3g}: {text}"
                    for day, text in zip(time, say("probability", "", these), strict=True)
                ],
                hoverinfo="text",
            )
        )
    figure.update_xaxes(title_text="time since the start (days)", rangemode="tozero")
    figure.update_yaxes(
        title_text="accounts liquidated by then (%)", tickformat="~%", rangemode="tozero"
    )
    return figure
