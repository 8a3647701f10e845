"""The table ``[backtest]``: the walk through a history, and what is forecast on the way."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, Field

from stress.scenario.fields import (
    Ascending,
    Duration,
    FilePath,
    Filled,
    Fraction,
    Moment,
    Positive,
    Table,
    refuse,
)
from stress.types import ModelName

__all__ = ["MODELS", "TEMPLATES", "Backtest", "Template"]

Template: TypeAlias = Literal["directional", "pair", "basket"]

TEMPLATES: tuple[Template, ...] = ("directional", "pair", "basket")

MODELS: tuple[ModelName, ...] = (
    "gbm",
    "student-t",
    "skewed-t",
    "jump-diffusion",
    "garch",
    "regime",
    "bootstrap",
    "filtered-historical",
    "historical",
)
"""The models that are tested if none are named: all that can be estimated."""


def _distinct(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if names.count(name) > 1:
            raise refuse(f'"{name}" stands there twice', "name each once")
    return names


def _estimable(names: tuple[str, ...]) -> tuple[str, ...]:
    if "given" in names:
        raise refuse('"given" cannot be tested: it is not estimated from a history', "remove it")
    return _distinct(names)


def _ascending(values: tuple[float, ...]) -> tuple[float, ...]:
    if sorted(set(values)) != list(values):
        raise refuse("leverages must ascend", "sort the list and write each value once")
    return values


class Backtest(Table):
    """A walk-forward test of price models and of liquidation forecasts."""

    history: FilePath | None = Field(
        default=None,
        description="path of a CSV or Parquet file with the columns timestamp, asset, close "
        "[, open, high, low, volume]; market.history if not given",
    )
    first: Moment = Field(
        description="timestamp of the first bar that is forecast, such as 2023-01-01; what lies "
        "before is only learned from",
        examples=["2023-01-01"],
    )
    last: Moment | None = Field(
        default=None,
        description="timestamp of the last bar that is used; the history's last if not given",
    )
    refit: Duration = Field(
        default="30d", description='time between two estimates of the parameters, such as "30d"'
    )
    refit_slow: Duration = Field(
        default="360d",
        description='time between two estimates of the jumps of "jump-diffusion", which take a '
        "hundred times as long; in between they keep pace with the volatility",
    )
    lookback: Duration | None = Field(
        default=None,
        description="how far back an estimate looks; to the beginning of the history if not given",
    )
    window: Duration = Field(
        default="1d",
        description='time that a return is forecast over, a whole number of bars, such as "1d"; '
        "windows do not overlap",
    )
    liquidation_window: Duration = Field(
        default="7d",
        description="time within which a book of a template may be liquidated, a whole number of "
        'bars, such as "7d"; one begins at the end of every window',
    )
    models: Annotated[Filled[ModelName], AfterValidator(_estimable)] = Field(
        default=MODELS, description="the price models to test; all that are estimated by default"
    )
    levels: Ascending = Field(
        default=(0.95, 0.99),
        description="levels of value at risk and expected shortfall, ascending, between 0 and 1",
    )
    paths: int = Field(
        default=4_096, ge=100, le=1_000_000, description="price paths a forecast, at least 100"
    )
    templates: Annotated[Filled[Template], AfterValidator(_distinct)] = Field(
        default=TEMPLATES,
        description='books that are forecast: "directional" (long and short, each asset alone), '
        '"pair" (long the first asset, short each other one), "basket" (long, and short, all)',
    )
    leverages: Annotated[Filled[Positive], AfterValidator(_ascending)] = Field(
        default=(3.0, 5.0, 10.0),
        description="gross notional over the wallet of the templates, ascending, above 0",
    )
    notional: Positive = Field(
        default=10_000.0, description="gross notional of a template's book, USD, above 0"
    )
    maintenance_rate: Fraction = Field(
        default=0.005,
        description="maintenance margin rate of assets for which venue.tiers has none",
    )
