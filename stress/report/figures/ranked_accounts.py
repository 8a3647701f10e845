"""Every account's liquidation probability, the accounts of each group ranked from worst to best."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from stress.report.figures.style import MOST_POINTS, band, blank, group_styles, label
from stress.report.read import dataset, estimates, labels, largest, thin
from stress.report.text import shown

__all__ = ["ranked_accounts"]


def ranked_accounts(tree: xr.DataTree) -> go.Figure:
    """Draw probability against rank, as a share of the group's accounts, one curve a group."""
    data = dataset(tree, "accounts")
    probability, groups = estimates(data, "liquidation_probability"), labels(data, "group")
    member = np.array(groups, dtype=object)
    styles = group_styles(tree)
    figure = blank(380)
    for group, style in styles.items():
        mine = np.flatnonzero(member == group)
        ranked = mine[largest(probability.value[mine], len(mine))]
        if not len(ranked):
            continue
        kept = thin(len(ranked), MOST_POINTS // len(styles))
        these, rank = probability.take(ranked[kept]), (kept + 1) / len(ranked)
        names = labels(data, "account", ranked[kept])
        figure.add_traces(band(rank, these.lower, these.upper, colour=style.colour, name=group))
        figure.add_trace(
            go.Scatter(
                x=rank,
                y=these.value,
                mode="lines+markers" if len(ranked) <= 40 else "lines",
                name=label(group),
                legendgroup=group,
                line={"color": style.colour, "dash": style.dash, "width": 2},
                marker={"symbol": style.symbol, "size": 6},
                hovertext=[
                    f"{label(name)}, number {place + 1:,} of {len(ranked):,} in "
                    f"{label(group)}: {shown('probability', probability.at(account))}"
                    for name, place, account in zip(names, kept, ranked[kept], strict=True)
                ],
                hoverinfo="text",
            )
        )
    figure.update_xaxes(
        title_text="accounts of the group, worst first (%)", tickformat="~%", range=[-0.01, 1.01]
    )
    figure.update_yaxes(
        title_text="liquidation probability (%)", tickformat="~%", rangemode="tozero"
    )
    return figure
