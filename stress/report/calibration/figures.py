"""Figures of the calibration page: the history in black, one colour and dash a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import plotly.graph_objects as go
from scipy.special import ndtri

from stress.report.calibration.findings import CalibrationFindings, Spread
from stress.report.figures.style import (
    BLACK,
    BLUE,
    ORANGE,
    STYLES,
    VERMILLION,
    GroupStyle,
    band,
    blank,
    dots,
    name_axis,
    rows_height,
    say,
)
from stress.report.read import Array, Estimates
from stress.report.text import Kind, level_name
from stress.stats.facts import LAGS, LEVELS, ROLLING, ROLLING_LEVELS, WINDOWS

__all__ = [
    "autocorrelation",
    "co_exceedance",
    "return_quantiles",
    "rolling_volatility",
    "worst_falls",
]

_HISTORY = "history"

_BROWN = "#7a4a12"
_MODELS = tuple(
    replace(style, colour=_BROWN) if style.colour == BLACK else style for style in STYLES
)
"""Black is the history's."""


def return_quantiles(found: CalibrationFindings) -> go.Figure:
    """Draw quantiles of one-bar returns against those of a normal law, which is a straight line."""
    return _curves(
        found,
        "quantiles",
        ndtri(np.array(LEVELS)),
        [level_name(level) for level in LEVELS],
        ticks=(0.005, 0.025, 0.1, 0.5, 0.9, 0.975, 0.995),
        axes=("level of the quantile (normal scale)", "return (standard deviations)"),
    )


def rolling_volatility(found: CalibrationFindings) -> go.Figure:
    """Draw quantiles of the rolling volatility."""
    return _curves(
        found,
        "rolling",
        ndtri(np.array(ROLLING_LEVELS)),
        [level_name(level) for level in ROLLING_LEVELS],
        ticks=ROLLING_LEVELS,
        axes=(
            "level of the quantile (normal scale)",
            f"volatility of {ROLLING} bars over that of all",
        ),
    )


def autocorrelation(found: CalibrationFindings) -> go.Figure:
    """Draw the autocorrelation of absolute returns."""
    lags = np.arange(1.0, LAGS + 1)
    figure = _curves(
        found,
        "autocorrelation",
        lags,
        [f"lag {lag:g}" for lag in lags],
        ticks=(),
        axes=(f"lag (bars of {found.bar})", "autocorrelation of absolute returns"),
    )
    figure.update_yaxes(zeroline=True)
    return figure


def co_exceedance(found: CalibrationFindings) -> go.Figure:
    """Draw how often assets are in their tails together, lower and upper tail apart."""
    tails = (GroupStyle(VERMILLION, "solid", "circle"), GroupStyle(BLUE, "dash", "square"))
    figure = _rows(found, "co_exceedance", ("lower tail", "upper tail"), tails, "probability")
    figure.update_xaxes(
        title_text="in the tail, given that another asset is (%)",
        tickformat="~%",
        rangemode="tozero",
    )
    return figure


def worst_falls(found: CalibrationFindings) -> go.Figure:
    """Draw the worst fall over windows of some lengths in a history of this length."""
    styles = (
        GroupStyle(ORANGE, "solid", "circle"),
        GroupStyle(VERMILLION, "dash", "square"),
        GroupStyle(BLUE, "dot", "diamond"),
    )
    names = tuple(f"{bars} bar{'s' if bars > 1 else ''}" for bars in WINDOWS)
    figure = _rows(found, "worst", names, styles, "probability")
    figure.update_xaxes(title_text="worst fall (%)", tickformat="~%", rangemode="tozero")
    return figure


def _estimates(spread: Spread, fact: str) -> Estimates:
    parts = (spread.value, spread.lower, spread.upper)
    return Estimates(*(np.asarray(getattr(part, fact), np.float64) for part in parts))


def _curves(
    found: CalibrationFindings,
    fact: str,
    x: Array,
    names: Sequence[str],
    *,
    ticks: Sequence[float],
    axes: tuple[str, str],
) -> go.Figure:
    """Draw a fact along an axis: the history with a band, each model's median as a line."""
    figure = blank(440)
    history = _estimates(found.history, fact)
    figure.add_traces(band(x, history.lower, history.upper, colour=BLACK, name=_HISTORY))
    figure.add_trace(_line(x, history, names, _HISTORY, GroupStyle(BLACK, "solid", "circle")))
    for model, style in zip(found.models, _MODELS, strict=False):
        figure.add_trace(_line(x, _estimates(model.facts, fact), names, model.name, style))
    if ticks:
        figure.update_xaxes(
            tickvals=ndtri(np.array(ticks)).tolist(), ticktext=[level_name(tick) for tick in ticks]
        )
    figure.update_xaxes(title_text=axes[0])
    figure.update_yaxes(title_text=axes[1])
    return figure


def _line(
    x: Array, these: Estimates, names: Sequence[str], name: str, style: GroupStyle
) -> go.Scatter:
    is_history = name == _HISTORY
    return go.Scatter(
        x=x,
        y=these.value,
        mode="lines+markers" if is_history else "lines",
        name=name,
        legendgroup=name,
        line={"color": style.colour, "dash": style.dash, "width": 2.5 if is_history else 1.8},
        marker={"symbol": style.symbol, "size": 6},
        hovertext=[
            f"{name}, {point}: {text}"
            for point, text in zip(names, say("ratio", "", these), strict=True)
        ],
        hoverinfo="text",
    )


def _rows(
    found: CalibrationFindings,
    fact: str,
    kinds: Sequence[str],
    styles: Sequence[GroupStyle],
    kind: Kind,
) -> go.Figure:
    """Draw a fact of few numbers as rows of dots with their intervals: the history, then models."""
    named = [(_HISTORY, found.history), *((model.name, model.facts) for model in found.models)]
    figure = blank(rows_height(len(named), more=130))
    values = [_estimates(spread, fact) for _, spread in named]
    offsets = np.linspace(-0.2, 0.2, len(kinds))
    for number, (title, style) in enumerate(zip(kinds, styles, strict=True)):
        these = Estimates(
            *(
                np.array([getattr(row, part)[number] for row in values])
                for part in ("value", "lower", "upper")
            )
        )
        hover = [
            f"{name}, {title}: {text}"
            for (name, _), text in zip(named, say(kind, "", these), strict=True)
        ]
        rows = np.arange(len(named)) + offsets[number]
        figure.add_trace(dots(these, rows, name=title, style=style, hover=hover, legend=True))
    figure.update_yaxes(**name_axis([name for name, _ in named]))
    return figure
