"""The tables ``market.<model>`` of the price models' own parameters.

``market.volatility`` and ``market.correlation`` are those of the log returns under every model,
annual and total: these tables say how the returns are distributed around that. A key that neither
the scenario nor its calibration states has the default given here (or, by asset, the one that
``complete`` fills in), so that the name of a model alone makes a scenario.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypeAlias, get_origin

from pydantic import Field

from stress.scenario.fields import (
    Duration,
    Fraction,
    List,
    Matrix,
    Moment,
    Multiple,
    Name,
    Probability,
    Rate,
    Size,
    Table,
)
from stress.types import JumpSizes

__all__ = [
    "MODEL_TABLES",
    "Bootstrap",
    "FilteredHistorical",
    "Garch",
    "Historical",
    "JumpDiffusion",
    "Jumps",
    "Regime",
    "RegimeState",
    "SkewedT",
    "StudentT",
    "by_asset",
    "chosen",
    "merged",
]

_INTERVAL = (
    'time that shares one draw, and from which the model was estimated, such as "1d"; a whole '
    "number of steps"
)


_JumpRate: TypeAlias = Annotated[float, Field(ge=0, le=1e6)]


class StudentT(Table):
    """Multivariate t: one mixing variable for all assets, drawn once an interval."""

    interval: Duration = Field(default="1d", description=_INTERVAL)
    degrees_of_freedom: Annotated[float, Field(gt=2, le=1e6)] = Field(
        default=4.0, description="degrees of freedom, above 2: the tail index of the returns"
    )


class SkewedT(Table):
    """Normal mean-variance mixture: the variable that widens the returns also moves their mean."""

    interval: Duration = Field(default="1d", description=_INTERVAL)
    degrees_of_freedom: Annotated[float, Field(gt=4, le=1e6)] = Field(
        default=6.0,
        description="degrees of freedom, above 4; the tail index on the heavy side is half of it",
    )
    skewness: dict[str, Rate] = Field(
        default={},
        description="by asset: move of the mean per unit of the mixing variable, in standard "
        "deviations of an interval's return; below 0 the crashes are heavier; -0.2 where not named",
    )


class Jumps(Table):
    """Jumps of the log price: how often, and how large."""

    rate: _JumpRate = Field(description="jumps a year, 0 to 1_000_000", examples=[15.0])
    mean: Rate | None = Field(
        default=None, description="merton: mean of a jump of the log price, such as -0.04"
    )
    deviation: Size | None = Field(
        default=None, description="merton: standard deviation of a jump of the log price"
    )
    up_probability: Probability | None = Field(
        default=None, description="kou: probability that a jump goes up, 0 to 1"
    )
    up_mean: Multiple | None = Field(
        default=None, description="kou: mean size of a jump up of the log price, above 0, below 1"
    )
    down_mean: Multiple | None = Field(
        default=None, description="kou: mean size of a jump down of the log price, above 0"
    )


class JumpDiffusion(Table):
    """Brownian motion with common and own jumps."""

    sizes: JumpSizes = Field(
        default="merton",
        description='law of the sizes: "merton" (normal) or "kou" (double exponential)',
    )
    common: Jumps | None = Field(
        default=None,
        description="jumps of the whole market; each moves an asset by its exposure times the size",
    )
    exposure: dict[str, Rate] = Field(
        default={},
        description="by asset: what a common jump is multiplied by; where not named, the asset's "
        "volatility over the mean volatility",
    )
    own: dict[str, Jumps] = Field(default={}, description="by asset: jumps of this asset alone")


class Garch(Table):
    """GJR-GARCH(1,1), t innovations with constant correlation; unconditional variance as stated."""

    interval: Duration = Field(default="1d", description=_INTERVAL)
    degrees_of_freedom: Annotated[float, Field(gt=2, le=1e6)] = Field(
        default=5.0, description="degrees of freedom of the innovations, above 2"
    )
    alpha: dict[str, Size] = Field(
        default={},
        description="by asset: weight of the last squared return, at least 0; 0.05 where not named",
    )
    gamma: dict[str, Rate] = Field(
        default={},
        description="by asset: further weight of it after a fall; alpha + gamma is at least 0; "
        "0.05 where not named",
    )
    beta: dict[str, Fraction] = Field(
        default={},
        description="by asset: weight of the last variance; alpha + gamma / 2 + beta is below 1; "
        "0.9 where not named",
    )
    initial_volatility: dict[str, Multiple] = Field(
        default={},
        description="by asset: volatility of the first interval, annualised; market.volatility "
        "where not named",
    )


class RegimeState(Table):
    """One regime."""

    name: Name = Field(description="name of the regime", examples=["calm"])
    volatility: dict[str, Multiple] = Field(
        description="volatility by asset in this regime, annualised", examples=[{"BTC": 0.5}]
    )
    correlation: Matrix = Field(
        default=(), description="correlation in this regime; market.correlation if not given"
    )


class Regime(Table):
    """Markov switching between regimes of volatility and correlation."""

    interval: Duration = Field(default="1d", description=_INTERVAL)
    states: List[RegimeState] = Field(
        default=(), description="the regimes, two or more, calmest first"
    )
    transition: Matrix = Field(
        default=(),
        description="probability of each regime in the next interval, one row a present regime; "
        "rows sum to 1",
    )
    initial: List[Probability] = Field(
        default=(),
        description="probability of each regime at the start; the stationary one if not given",
    )


class _Resampling(Table):
    """What the models that draw from market.history share."""

    demean: bool = Field(
        default=True,
        description="true: the history's mean return is taken out, and drift takes its place; "
        "false: it stays, and no drift may be stated",
    )
    remove_wicks: bool = Field(
        default=True,
        description="true: a close that jumps away for one bar and comes back is left out as a "
        "wick, by the rule of the calibration",
    )


class Bootstrap(_Resampling):
    """Stationary block bootstrap of whole cross-sections."""

    block: Annotated[float, Field(ge=1)] | None = Field(
        default=None,
        description="mean length of a block in bars of the history, at least 1; chosen by the rule "
        "of Politis and White if not given",
    )


class FilteredHistorical(_Resampling):
    """Residuals of a GARCH filter, resampled by whole rows and scaled by its variance."""

    block: Annotated[float, Field(ge=1)] = Field(
        default=1.0, description="mean length of a block of residual rows in bars, at least 1"
    )
    alpha: dict[str, Size] = Field(
        default={}, description="by asset, as in market.garch; 0.05 where not named"
    )
    gamma: dict[str, Rate] = Field(
        default={}, description="by asset, as in market.garch; 0.05 where not named"
    )
    beta: dict[str, Fraction] = Field(
        default={}, description="by asset, as in market.garch; 0.9 where not named"
    )
    initial_volatility: dict[str, Multiple] = Field(
        default={},
        description="by asset: volatility of the first bar, annualised; what the filter says at "
        "the end of the history where not named",
    )


class Historical(_Resampling):
    """Every path is a window of the history; there are as many paths as windows."""

    starts: List[Moment] = Field(
        default=(), description="moments at which windows begin; every stride if not given"
    )
    stride: Duration | None = Field(
        default=None,
        description="time between the beginnings of two rolling windows; one bar if not given",
    )


MODEL_TABLES: Mapping[str, type[Table]] = {
    "student-t": StudentT,
    "skewed-t": SkewedT,
    "jump-diffusion": JumpDiffusion,
    "garch": Garch,
    "regime": Regime,
    "bootstrap": Bootstrap,
    "filtered-historical": FilteredHistorical,
    "historical": Historical,
}
"""The table of each model that has one, by the model's name."""


def by_asset(table: type[Table]) -> tuple[str, ...]:
    """Return the keys of a table whose values are by asset."""
    fields = table.model_fields.items()
    return tuple(name for name, field in fields if get_origin(field.annotation) is dict)


_BY_ASSET = {key for table in MODEL_TABLES.values() for key in by_asset(table)}


def merged(stated: Mapping[str, Any], estimated: Mapping[str, Any]) -> dict[str, Any]:
    """Return a model's table with what it does not state taken from a calibration's.

    Entry by entry; values by asset are merged asset by asset, everything else whole.
    """
    both = {**estimated, **stated}
    for key in _BY_ASSET & both.keys():
        both[key] = {**estimated.get(key, {}), **stated.get(key, {})}
    return both


def chosen(table: Mapping[str, Any], assets: Sequence[str], known: Sequence[str]) -> dict[str, Any]:
    """Return a calibration's table as the estimates of some of its assets.

    Parameters
    ----------
    assets
        The assets wanted, in their order; those that are not known are left out of values by asset.
    known
        The assets of the calibration, in the order of its matrices.

    Raises
    ------
    KeyError
        A regime has a correlation, and an asset is not known.
    """
    found = dict(table)
    for key in _BY_ASSET & found.keys():
        found[key] = _of(assets, found[key])
    if "states" in found:
        found["states"] = tuple(_chosen_state(state, assets, known) for state in found["states"])
    return found


def _chosen_state(
    state: Mapping[str, Any], assets: Sequence[str], known: Sequence[str]
) -> dict[str, Any]:
    found = {**state, "volatility": _of(assets, state["volatility"])}
    rows = state.get("correlation")
    if rows:
        place = {asset: number for number, asset in enumerate(known)}
        order = [place[asset] for asset in assets]
        found["correlation"] = tuple(tuple(rows[i][j] for j in order) for i in order)
    return found


def _of(assets: Sequence[str], values: Mapping[str, Any]) -> dict[str, Any]:
    return {asset: values[asset] for asset in assets if asset in values}
