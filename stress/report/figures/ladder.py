"""What a move of the marks liquidates: the riskiest assets alone, and all of them together."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
import xarray as xr
from numpy.typing import NDArray

from stress.report.figures.style import (
    BLACK,
    BLUE,
    GREEN,
    ORANGE,
    PURPLE,
    SKY,
    VERMILLION,
    blank,
    label,
)
from stress.report.read import Array, dataset, labels, numbers
from stress.report.text import MISSING, Shown, money_unit, plural, shown

__all__ = ["CURVES", "liquidation_ladder", "market_ladder", "riskiest_assets"]

_STYLES = (
    (BLUE, "solid"),
    (VERMILLION, "dash"),
    (GREEN, "dashdot"),
    (PURPLE, "longdash"),
    (ORANGE, "dot"),
    (SKY, "longdashdot"),
)
CURVES = len(_STYLES)
"""Assets that are drawn: more curves are not told apart."""


def riskiest_assets(tree: xr.DataTree) -> NDArray[np.intp]:
    """Return the positions of the assets, the largest reproduction number anywhere first.

    Assets without depth, or without forced flow, follow by the most that any move liquidates.
    """
    data = dataset(tree, "ladder")
    most = numbers(data, "liquidated_notional").max(axis=1)
    along = np.nan_to_num(numbers(data, "reproduction_number_along").max(axis=1), nan=-1.0)
    return np.lexsort((-np.nan_to_num(most, nan=-1.0), -along))


def liquidation_ladder(tree: xr.DataTree) -> go.Figure:
    """Draw the notional to be liquidated against the move of each of the riskiest assets.

    A dot stands where the reproduction number is above 1.
    """
    data = dataset(tree, "ladder")
    order = riskiest_assets(tree)[:CURVES]
    moves, names = numbers(data, "move"), labels(data, "asset", order)
    notional = numbers(data, "liquidated_notional")[order]
    along = numbers(data, "reproduction_number_along")[order]
    accounts = numbers(data, "accounts")[order]
    unit, suffix = money_unit(float(np.nanmax(notional, initial=0)))
    figure = blank(420)
    for row, (name, (colour, dash)) in enumerate(zip(names, _STYLES, strict=False)):
        hover = [
            f"{label(name)} {_percent(move)}: {shown('money', usd)}, {_accounts(many)}, "
            f"reproduction number {shown('ratio', number)}"
            for move, usd, many, number in zip(
                moves, notional[row], accounts[row], along[row], strict=True
            )
        ]
        figure.add_trace(_curve(moves, notional[row] / unit, hover, label(name), colour, dash))
        above = np.flatnonzero(along[row] > 1)
        if above.size:
            dots = _dots(moves[above], notional[row][above] / unit, colour)
            dots.update(hovertext=[hover[place] for place in above], legendgroup=label(name))
            figure.add_trace(dots)
    figure.update_xaxes(title_text="move of the asset alone (%)", tickformat="+~%")
    figure.update_yaxes(title_text=f"to be liquidated in the asset (${suffix})", rangemode="tozero")
    return figure


def market_ladder(tree: xr.DataTree) -> go.Figure:
    """Draw the notional to be liquidated where all assets move by the same share."""
    data = dataset(tree, "ladder")
    moves, notional = numbers(data, "move"), numbers(data, "market_liquidated_notional")
    unit, suffix = money_unit(float(np.nanmax(notional, initial=0)))
    hover = [
        f"all assets {_percent(move)}: {shown('money', usd)}, {_accounts(many)}"
        for move, usd, many in zip(moves, notional, numbers(data, "market_accounts"), strict=True)
    ]
    figure = blank(320)
    curve = _curve(moves, notional / unit, hover, "all assets", BLACK, "solid")
    figure.add_trace(curve.update(showlegend=False))
    figure.update_xaxes(title_text="move of all assets together (%)", tickformat="+~%")
    figure.update_yaxes(title_text=f"to be liquidated (${suffix})", rangemode="tozero")
    return figure


def _curve(x: Array, y: Array, hover: list[str], name: str, colour: str, dash: str) -> go.Scatter:
    return go.Scatter(
        x=x,
        y=y,
        mode="lines",
        name=name,
        legendgroup=name,
        line={"color": colour, "dash": dash, "width": 2},
        hovertext=hover,
        hoverinfo="text",
    )


def _dots(x: Array, y: Array, colour: str) -> go.Scatter:
    return go.Scatter(
        x=x,
        y=y,
        mode="markers",
        marker={"color": colour, "size": 7, "line": {"color": BLACK, "width": 1}},
        showlegend=False,
        hoverinfo="text",
    )


def _percent(move: float) -> Shown:
    text = shown("percent", float(move))
    return Shown(f"+{text.value}") if move > 0 else text


def _accounts(many: float) -> str:
    return MISSING if np.isnan(many) else plural(many, "account")
