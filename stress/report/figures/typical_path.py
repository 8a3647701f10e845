"""The typical way to fail: what prices did on the paths on which an event happened."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
import xarray as xr
from numpy.typing import NDArray
from plotly.subplots import make_subplots

from stress.report.figures.reverse_stress import label_of
from stress.report.figures.style import BLACK, STYLES, TEMPLATE, band, label
from stress.report.read import Estimates, dataset, estimates, labels, numbers
from stress.report.text import count, shown

__all__ = ["told_events", "typical_path"]

_PANELS = 4
_ASSETS = 3
_ORDER = {"fund": 0, "accounts": 1, "notional": 2, "account": 3}


def told_events(tree: xr.DataTree) -> NDArray[np.intp]:
    """Return the positions of the events with enough paths, those of the whole book first."""
    data = dataset(tree, "reverse_stress")
    told = np.isfinite(numbers(data, "typical_move_mean")).any(axis=(1, 2))
    kinds = labels(data, "kind")
    some = sorted(np.flatnonzero(told), key=lambda row: _ORDER.get(kinds[row], 9))
    return np.array(some, dtype=np.intp)


def typical_path(tree: xr.DataTree) -> go.Figure:
    """Draw mean price moves given each event, and the outer quantiles as bands.

    Of every event the assets are drawn whose mean moves furthest by the end.
    """
    data, events = dataset(tree, "reverse_stress"), told_events(tree)[:_PANELS]
    titles, paths = labels(data, "event"), numbers(data, "typical_paths")
    height = 90 + 230 * max(len(events), 1)
    figure = make_subplots(
        rows=max(len(events), 1),
        cols=1,
        shared_xaxes=True,
        vertical_spacing=36 / height,
        subplot_titles=[
            f"{label_of(titles[event])} ({count(paths[event])} paths)" for event in events
        ],
    )
    names = labels(data, "asset")
    mean, time = estimates(data, "typical_move_mean"), numbers(data, "step")
    chosen = [_furthest(mean.value[event]) for event in events]
    styles = dict(zip(dict.fromkeys(np.concatenate(chosen).tolist()), STYLES * 3, strict=False))
    drawn: set[int] = set()
    for panel, (event, assets) in enumerate(zip(events, chosen, strict=True), start=1):
        spread = np.sort(numbers(data, "typical_move_quantile")[event], axis=2)
        for asset in assets.tolist():
            colour, name = styles[asset].colour, label(names[asset])
            traces = band(time, spread[:, asset, 0], spread[:, asset, -1], colour=colour, name=name)
            traces.append(
                go.Scatter(
                    x=time,
                    y=mean.value[event, :, asset],
                    mode="lines",
                    name=name,
                    legendgroup=name,
                    showlegend=asset not in drawn,
                    line={"color": colour, "dash": styles[asset].dash, "width": 2},
                    hovertext=_hover(name, time, mean, event, asset),
                    hoverinfo="text",
                )
            )
            drawn.add(asset)
            figure.add_traces(traces, rows=[panel] * len(traces), cols=[1] * len(traces))
    figure.update_yaxes(title_text="move of the price (%)", tickformat="+~%")
    figure.update_xaxes(title_text="time since the start (days)", row=max(len(events), 1), col=1)
    figure.update_layout(template=TEMPLATE, height=height, legend_y=1 + 34 / height)
    figure.update_annotations(font={"size": 13, "color": BLACK}, x=0, xanchor="left")
    return figure


def _furthest(mean: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return the assets whose (steps, assets) mean ends furthest from the start."""
    return np.argsort(-np.abs(mean[-1]), kind="stable")[:_ASSETS]


def _hover(
    name: str, time: NDArray[np.float64], mean: Estimates, event: int, asset: int
) -> list[str]:
    return [
        f"{name}, day {day:.3g}: mean {shown('percent', float(mean.value[event, row, asset]))} "
        f"({shown('percent', float(mean.lower[event, row, asset]))} to "
        f"{shown('percent', float(mean.upper[event, row, asset]))})"
        for row, day in enumerate(time)
    ]
