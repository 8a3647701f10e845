"""The distribution of the book's loss over paths, with value at risk and expected shortfall."""

from __future__ import annotations

from typing import Literal

import plotly.graph_objects as go
import xarray as xr

from stress.report.figures.cascade_distributions import money_distribution

__all__ = ["loss_distribution"]

_TITLES = {
    "total": "total loss of the losing accounts",
    "net": "net loss, negative is a gain",
}


def loss_distribution(tree: xr.DataTree, loss: Literal["total", "net"] = "total") -> go.Figure:
    """Draw the paths in each bin of the total or the net loss, on a logarithmic axis."""
    return money_distribution(tree, f"{loss}_loss", _TITLES[loss])
