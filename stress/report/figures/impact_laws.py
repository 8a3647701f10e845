"""What a cascade costs under each law of price impact."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
import xarray as xr

from stress.report.figures.style import (
    BLUE,
    GREY,
    VERMILLION,
    GroupStyle,
    blank,
    dots,
    label,
    name_axis,
    rows_height,
    say,
)
from stress.report.read import Estimates, dataset, estimates, has, labels, numbers
from stress.report.text import level_name, money_unit

__all__ = ["impact_laws"]

_STYLES = (GroupStyle(BLUE, "solid", "circle"), GroupStyle(VERMILLION, "dash", "square"))
_APART = 0.14
"""How far the laws stand from the middle of their row, so that neither hides the other."""


def impact_laws(tree: xr.DataTree) -> go.Figure:
    """Draw mean, value at risk and expected shortfall of the cascade loss, a mark a law."""
    laws = labels(dataset(tree, "impact"), "law")
    names, values = _measures(tree)
    size = [part[np.isfinite(part)] for part in (values.value, values.lower, values.upper)]
    unit, suffix = money_unit(float(np.abs(np.concatenate(size)).max(initial=0)))
    figure = blank(rows_height(len(names), more=110))
    for place, (law, style) in enumerate(zip(laws, _STYLES, strict=False)):
        money = Estimates(*(part[:, place] for part in (values.value, values.lower, values.upper)))
        hover = [
            f"{name}, {label(law)}: {text}"
            for name, text in zip(names, say("money", "", money), strict=True)
        ]
        rows = np.arange(len(names), dtype=np.float64) + _APART * (2 * place - 1)
        scaled = Estimates(*(part / unit for part in (money.value, money.lower, money.upper)))
        figure.add_trace(dots(scaled, rows, name=label(law), style=style, hover=hover, legend=True))
    figure.update_xaxes(
        title_text=f"cascade loss (${suffix})", rangemode="tozero", zerolinecolor=GREY
    )
    figure.update_yaxes(**name_axis(names))
    figure.update_yaxes(title_text="measure")
    return figure


def _measures(tree: xr.DataTree) -> tuple[list[str], Estimates]:
    """Return the names of the rows, and the estimates as (rows, laws)."""
    data = dataset(tree, "impact")
    names, found = [], []
    if has(tree, "impact", "expected_cascade_loss"):
        mean = estimates(data, "expected_cascade_loss")
        names.append("mean")
        found.append((mean.value, mean.lower, mean.upper))
    for short, name in (
        ("VaR", "cascade_loss_value_at_risk"),
        ("ES", "cascade_loss_expected_shortfall"),
    ):
        if not has(tree, "impact", name):
            continue
        tail = estimates(data, name)
        for index, level in enumerate(numbers(data, "level")):
            names.append(f"{short} {level_name(level)}")
            found.append((tail.value[:, index], tail.lower[:, index], tail.upper[:, index]))
    return names, Estimates(*(np.array(part) for part in zip(*found, strict=True)))
