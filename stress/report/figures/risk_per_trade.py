"""What a trade was planned to lose against what its account loses when it goes wrong."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
import xarray as xr
from numpy.typing import NDArray

from stress.report.figures.shares import share
from stress.report.figures.style import (
    BLACK,
    BLUE,
    GroupStyle,
    blank,
    dots,
    label,
    name_axis,
    rows_height,
)
from stress.report.read import Array, dataset, estimates, has_values, labels, numbers
from stress.report.text import shown

__all__ = ["MOST_TRADES", "planned", "risk_per_trade", "riskiest_trades"]

MOST_TRADES = 20


def planned(tree: xr.DataTree) -> Array:
    """Return the planned risk of the positions, NaN where there is none."""
    data = dataset(tree, "positions")
    if "planned_risk" in data:
        return numbers(data, "planned_risk")
    return np.full(data.sizes["position"], np.nan)


def riskiest_trades(
    tree: xr.DataTree, most: int | None = MOST_TRADES, name: str = "effective_risk_mean"
) -> NDArray[np.intp]:
    """Return the positions that lose most beyond their plan, then those without a plan.

    ``most`` is how many, None for all that have an effective risk; ``name`` is its variable.
    """
    effective = numbers(dataset(tree, "positions"), name)
    beyond = effective - planned(tree)
    order = np.lexsort((-np.nan_to_num(effective), -np.nan_to_num(beyond), np.isnan(beyond)))
    return order[~np.isnan(effective[order])][:most]


def risk_per_trade(tree: xr.DataTree) -> go.Figure:
    """Draw mean effective risk with its interval, and the planned risk, one row a position."""
    data, order = dataset(tree, "positions"), riskiest_trades(tree)
    names, mean = (
        labels(data, "position", order),
        estimates(data, "effective_risk_mean").take(order),
    )
    rows, plan = np.arange(len(order), dtype=np.float64), planned(tree)[order]
    figure = blank(rows_height(len(order), more=110))
    figure.add_trace(
        dots(
            mean,
            rows,
            name="effective risk, mean",
            style=GroupStyle(BLUE, "solid", "circle"),
            hover=[f"{label(name)}: {share(mean.at(row))}" for row, name in enumerate(names)],
            legend=True,
        )
    )
    if has_values(tree, "positions", "planned_risk"):
        figure.add_trace(
            go.Scatter(
                x=plan,
                y=rows,
                mode="markers",
                name="planned risk",
                marker={"color": BLACK, "symbol": "line-ns-open", "size": 12, "line_width": 2.5},
                hovertext=[
                    f"{label(name)}, planned: {shown('percent', float(one))}"
                    for name, one in zip(names, plan, strict=True)
                ],
                hoverinfo="text",
            )
        )
    figure.update_xaxes(
        title_text="share of equity lost (%)",
        tickformat="~%",
        rangemode="tozero",
    )
    figure.update_yaxes(title_text="position", **name_axis(names))
    return figure
