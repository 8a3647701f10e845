"""The most likely moves of the market that kill, asset by asset."""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go
import xarray as xr
from numpy.typing import NDArray
from plotly.subplots import make_subplots

from stress.report.figures.style import BLACK, STYLES, TEMPLATE, label, name_axis
from stress.report.read import Array, Estimate, dataset, labels, numbers
from stress.report.text import shown

__all__ = ["answered_events", "reverse_stress"]

_PANELS = 6
_ASSETS = 12
_ORDER = {"fund": 0, "accounts": 1, "notional": 2, "account": 3}
"""The whole book first, single accounts last."""
_WAYS = ("most likely", "second", "third")


def answered_events(tree: xr.DataTree) -> NDArray[np.intp]:
    """Return the positions of the events to which there is a way, those of the whole book first."""
    data = dataset(tree, "reverse_stress")
    answered = np.flatnonzero(np.isfinite(numbers(data, "distance")[:, 0]))
    kinds = labels(data, "kind")
    return np.array(sorted(answered, key=lambda row: _ORDER.get(kinds[row], 9)), dtype=np.intp)


def _shown_assets(move: Array) -> NDArray[np.intp]:
    """Return the assets that move most on any way of (ways, assets) moves, in file order."""
    most = np.nanmax(np.abs(move), axis=0)
    return np.sort(np.argsort(-most, kind="stable")[:_ASSETS])


def reverse_stress(tree: xr.DataTree) -> go.Figure:
    """Draw the move of every asset's price on each way to an event, one panel an event."""
    data, events = dataset(tree, "reverse_stress"), answered_events(tree)[:_PANELS]
    names, titles = labels(data, "asset"), labels(data, "event")
    move, likelihood = numbers(data, "market_move")[events], numbers(data, "likelihood")[events]
    rows = [_shown_assets(one) for one in move]
    room = [
        max(len(order) * (8 + 9 * _ways(one)), 60) for order, one in zip(rows, move, strict=True)
    ]
    height = sum(room) + 44 * len(events) + 70
    figure = make_subplots(
        rows=max(len(events), 1),
        cols=1,
        shared_xaxes=True,
        vertical_spacing=min(36 / height, 1 / max(len(events), 1) / 2),
        row_heights=room or None,
        subplot_titles=[label_of(titles[event]) for event in events],
    )
    for panel, (order, one) in enumerate(zip(rows, move, strict=True), start=1):
        for way in range(_ways(one)):
            bars = _bars(one[way, order], [names[asset] for asset in order], way, panel == 1)
            bars.hovertext = [
                f"{text}, likelihood {shown('probability', Estimate(likelihood[panel - 1, way]))}"
                for text in bars.hovertext
            ]
            figure.add_trace(bars, row=panel, col=1)
        axis: dict[str, Any] = name_axis([names[asset] for asset in order])
        figure.update_yaxes(axis | {"title_text": "asset"}, row=panel, col=1)
    figure.update_xaxes(tickformat="+~%", zeroline=True)
    figure.update_xaxes(
        title_text="move of the price from the start (%)", row=max(len(events), 1), col=1
    )
    figure.update_layout(
        template=TEMPLATE, height=height, barmode="group", legend_y=1 + 34 / height
    )
    figure.update_annotations(font={"size": 13, "color": BLACK}, x=0, xanchor="left")
    return figure


def label_of(event: str) -> str:
    """Return the name of an event whole, its markup shown instead of obeyed."""
    return " ".join(label(word) for word in event.split(" "))


def _ways(move: Array) -> int:
    """Return how many of (ways, assets) moves there are."""
    return int(np.isfinite(move).any(axis=1).sum())


def _bars(move: Array, names: list[str], way: int, legend: bool) -> go.Bar:
    name = f"{_WAYS[way]} way"
    return go.Bar(
        x=move,
        y=np.arange(len(names)),
        orientation="h",
        name=name,
        legendgroup=name,
        showlegend=legend or way > 0,
        marker={"color": STYLES[way].colour},
        hovertext=[
            f"{label(asset)}: {shown('percent', float(value))}, {name}"
            for asset, value in zip(names, move, strict=True)
        ],
        hoverinfo="text",
    )
