"""The margin ratio over time as a fan of quantiles, one panel a group."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
import xarray as xr
from plotly.subplots import make_subplots

from stress.report.figures.style import (
    BLACK,
    ORANGE,
    TEMPLATE,
    VERMILLION,
    band,
    group_styles,
    label,
)
from stress.report.read import Array, attribute, dataset, labels, numbers
from stress.report.text import MISSING, level_name

__all__ = ["CEILING", "margin_ratio_fan"]

CEILING = 2.0
"""Where the axis ends: a liquidated account counts as infinite and is drawn there."""

_TICKS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, CEILING)


def _floor(ratios: Array) -> float:
    """Return the tick below the smallest positive ratio, where the logarithmic axis begins."""
    positive = ratios[np.isfinite(ratios) & (ratios > 0)]
    least = float(positive.min()) if positive.size else _TICKS[0]
    return max((tick for tick in _TICKS[:-2] if tick <= least), default=_TICKS[0])


def _spoken(ratio: float) -> str:
    if np.isnan(ratio):
        return MISSING
    return "liquidated" if np.isinf(ratio) else f"{ratio:.2f}"


def _quantile_traces(
    time: Array, ratios: Array, quantiles: Array, *, group: str, colour: str, floor: float
) -> list[go.Scatter]:
    """Return nested bands from the outermost pair of quantiles inwards, and the middle as a line.

    ``ratios`` is (steps, quantiles), quantiles ascending.
    """
    clipped = np.clip(ratios, floor, CEILING)
    count, traces = len(quantiles), []
    for outer in range(count // 2):
        low, high = clipped[:, outer], clipped[:, count - 1 - outer]
        traces += band(time, low, high, colour=colour, name=group)
    for index in range(count):
        middle = index == count // 2
        traces.append(
            go.Scatter(
                x=time,
                y=clipped[:, index],
                mode="lines",
                showlegend=False,
                line={"color": colour, "width": 2 if middle else 1},
                hovertext=[
                    f"{label(group)}, day {day:.3g}, quantile "
                    f"{level_name(quantiles[index])}: {_spoken(ratio)}"
                    for day, ratio in zip(time, ratios[:, index], strict=True)
                ],
                hoverinfo="text",
            )
        )
    return traces


def _levels(time: Array, warning: float, legend: bool) -> list[go.Scatter]:
    """Return the lines at which a margin call and a liquidation happen."""
    lines = [("liquidation (1)", 1.0, VERMILLION, "solid")]
    if np.isfinite(warning):
        lines.append((f"margin call ({warning:g})", warning, ORANGE, "dash"))
    return [
        go.Scatter(
            x=[time[0], time[-1]],
            y=[height, height],
            mode="lines",
            name=name,
            legendgroup=name,
            showlegend=legend,
            line={"color": colour, "dash": dash, "width": 1.5},
            hoverinfo="skip",
        )
        for name, height, colour, dash in lines
    ]


def margin_ratio_fan(tree: xr.DataTree) -> go.Figure:
    """Draw quantiles of the margin ratio over accounts and paths, on a clipped logarithmic axis."""
    data = dataset(tree, "fan")
    time, groups = numbers(data, "step"), labels(data, "group")
    order = np.argsort(numbers(data, "quantile"))
    quantiles = numbers(data, "quantile")[order]
    ratios = numbers(data, "margin_ratio_quantile")[..., order]
    drawn = {name: style for name, style in group_styles(tree).items() if name in groups}
    warning, floor = float(attribute(tree, "warning", "nan")), _floor(ratios)
    height = 110 + 180 * len(drawn)
    figure = make_subplots(
        rows=len(drawn),
        cols=1,
        shared_xaxes=True,
        vertical_spacing=34 / height,
        subplot_titles=[label(name) for name in drawn],
    )
    for row, (name, style) in enumerate(drawn.items(), start=1):
        traces = _quantile_traces(
            time,
            ratios[groups.index(name)],
            quantiles,
            group=name,
            colour=style.colour,
            floor=floor,
        )
        traces += _levels(time, warning, legend=row == 1)
        figure.add_traces(traces, rows=[row] * len(traces), cols=[1] * len(traces))
    _axes(figure, floor, rows=len(drawn))
    figure.update_layout(template=TEMPLATE, height=height, legend_y=1 + 34 / height)
    figure.update_annotations(font={"size": 13, "color": BLACK}, x=0, xanchor="left")
    return figure


def _axes(figure: go.Figure, floor: float, rows: int) -> None:
    ticks = [tick for tick in _TICKS if tick >= floor]
    figure.update_yaxes(
        type="log",
        range=[np.log10(floor), np.log10(1.1 * CEILING)],
        tickvals=ticks,
        ticktext=[f"{tick:g}" for tick in ticks[:-1]] + [f"\u2265 {CEILING:g}"],
        title_text="margin ratio",
    )
    figure.update_xaxes(title_text="time since the start (days)", row=rows, col=1)
