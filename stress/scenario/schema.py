"""The scenario file as frozen pydantic models; the JSON Schema is written from them.

A field's description says what it is and in which unit: it stands in the JSON Schema, and in the
message that refuses a value ("give: ...").
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    Discriminator,
    Field,
    PrivateAttr,
    Tag,
    WithJsonSchema,
)

from stress.scenario.appetite import Analysis, Appetite
from stress.scenario.backtest import Backtest
from stress.scenario.fields import (
    Ascending,
    Assets,
    Delay,
    Duration,
    FilePath,
    Filled,
    Fraction,
    Inner,
    List,
    Matrix,
    Moment,
    Multiple,
    Name,
    NotNegative,
    Positive,
    Probability,
    Rate,
    Sha256,
    Size,
    Table,
    checked_name,
    quoted,
    refuse,
)
from stress.scenario.models import (
    MODEL_TABLES,
    Bootstrap,
    FilteredHistorical,
    Garch,
    Historical,
    JumpDiffusion,
    Regime,
    SkewedT,
    StudentT,
)
from stress.scenario.overlays import Overlay
from stress.scenario.registered import known_model
from stress.types import (
    Amount,
    DecisionKind,
    Estimator,
    ImpactKind,
    Mode,
    ModelName,
    Monitoring,
    Order,
    Precision,
)
from stress.types import Deleveraging as DeleveragingKind

__all__ = [
    "BookFiles",
    "Calibration",
    "Limits",
    "MarginLevel",
    "Market",
    "Scenario",
    "Simulation",
    "Tier",
    "Venue",
    "drop_titles",
    "json_schema",
]


def _title(text: str) -> str:
    checked_name(text)
    if len(text) > 100 or text[0] in ".-" or any(mark in text for mark in '/\\:*?"<>|'):
        rule = f"must be usable as the name of a folder, got {quoted(text)}"
        raise refuse(rule, "use at most 100 letters, digits, blanks, dots, dashes")
    return text


def _distinct(modes: tuple[Mode, ...]) -> tuple[Mode, ...]:
    for mode in modes:
        if modes.count(mode) > 1:
            raise refuse(f'"{mode}" stands there twice', "name every world once")
    return modes


def _tier_table(tiers: tuple[Tier, ...]) -> tuple[Tier, ...]:
    if tiers[0].floor != 0:
        rule = f"the first tier must begin at floor 0, got {tiers[0].floor:g}"
        raise refuse(rule, "add a tier { floor = 0, rate = ... } in front")
    for low, high in pairwise(tiers):
        if not low.floor < high.floor:
            rule = f"floors must ascend, got {high.floor:g} after {low.floor:g}"
            raise refuse(rule, "sort the tiers by floor and write each floor once")
        if high.rate < low.rate:
            rule = (
                f"rates must not fall (a tier table is convex), got {high.rate:g} at floor "
                f"{high.floor:g} after {low.rate:g}"
            )
            raise refuse(rule, f"give floor {high.floor:g} a rate of at least {low.rate:g}")
    return tiers


def _shape(value: object) -> str | None:
    if isinstance(value, str):
        return "word"
    return "table" if isinstance(value, (dict, BaseModel)) else None


class Simulation(Table):
    """How the paths are simulated and what is read off them."""

    paths: int = Field(
        default=10_000, ge=1, le=2**31, description="number of price paths, 1 to 2_147_483_648"
    )
    horizon: Duration = Field(default="7d", description='time simulated, such as "7d"')
    step: Duration = Field(
        default="5min",
        description='time between two looks at the book, such as "5min"; divides the horizon',
    )
    seed: int = Field(
        default=0, ge=0, lt=2**32, description="seed of the random numbers, 0 to 4_294_967_295"
    )
    precision: Precision = Field(
        default="float32",
        description='"float32" or "float64", precision of everything after the draws',
    )
    monitoring: Monitoring = Field(
        default="step",
        description='"step" (breaches at the steps only), "bridge" (between them too) or '
        '"extremes" (at the lows and highs of the bars of a replayed history)',
    )
    confidence: Inner = Field(
        default=0.95, description="coverage of the intervals, above 0 and below 1, such as 0.95"
    )
    levels: Ascending = Field(
        default=(0.95, 0.99),
        description="levels of value at risk and expected shortfall, ascending, between 0 and 1",
    )
    quantiles: Ascending = Field(
        default=(0.05, 0.5, 0.95), description="quantiles reported, ascending, between 0 and 1"
    )
    detail: bool = Field(
        default=False, description="true or false: whether to keep every (path, account) outcome"
    )
    max_relative_error: Positive | None = Field(
        default=None,
        description="largest half-width of an interval over its estimate, above 0, such as 0.05, "
        "of the book's liquidation probabilities, expected total loss and expected cascade loss; "
        "a wider one is exit code 4",
    )
    estimator: Estimator = Field(
        default="plain",
        description='how paths are drawn: "plain" (independently), "importance" (also toward what '
        'liquidates each account), "splitting" (also in levels toward an exhausted fund and many '
        'liquidations) or "quasi" (as the best of plain, antithetic and quasi-random draws)',
    )


_Model: TypeAlias = Annotated[
    str,
    AfterValidator(known_model),
    WithJsonSchema({"anyOf": [{"enum": list(get_args(ModelName))}, {"type": "string"}]}),
]
"""A schema cannot know what is registered, but it can suggest what is built in."""


class Market(Table):
    """The price model, its assets and parameters."""

    model: _Model = Field(
        default="gbm",
        description='the price model: "gbm" (correlated geometric Brownian motion), "student-t", '
        '"skewed-t", "jump-diffusion", "garch", "regime", "bootstrap", "filtered-historical", '
        '"historical" (windows of market.history), "given" (the paths in market.file), or the '
        "name that another distribution registers",
    )
    assets: Assets = Field(
        description="names of the assets, each once; they order every list", examples=[["BTC"]]
    )
    price: dict[str, Positive] = Field(
        default={}, description="starting price by asset, USD per unit, above 0"
    )
    volatility: dict[str, Multiple] = Field(
        default={},
        description="volatility by asset, annualised over 365 days, above 0, such as 0.55",
    )
    drift: dict[str, Rate] = Field(
        default={},
        description="drift by asset, per year: E[S_T] = S_0 exp(drift T); 0 where not named",
    )
    correlation: Matrix = Field(
        default=(),
        description="correlation of the log returns, one row an asset, in the order of assets",
    )
    calibration: FilePath | None = Field(
        default=None,
        description="path of a calibration file, which gives price, volatility, drift and "
        "correlation where the scenario does not",
    )
    file: FilePath | None = Field(
        default=None,
        description='with the model "given": path of a netCDF file whose variable `price` (path, '
        "time, asset) holds fundamental prices, USD per unit, time 0 included",
    )
    history: FilePath | None = Field(
        default=None,
        description="path of a CSV or Parquet file with the columns timestamp, asset, close "
        "[, open, high, low, volume], which the resampling models draw from; it gives price, "
        "volatility and correlation where neither the scenario nor a calibration does",
    )
    parameters: dict[str, Any] = Field(
        default={}, description="what a registered model is told; its distribution says what it is"
    )
    as_of: Moment | None = Field(
        default=None,
        description="moment that the prices are of, such as 2026-11-20T00:00:00Z; that of the "
        "calibration where not given",
    )
    max_age: Duration | None = Field(
        default=None,
        description='how old the prices may be when a run begins, such as "36h", measured from '
        "as_of; older ones are refused with exit code 5",
    )
    student_t: StudentT | None = Field(
        default=None, alias="student-t", description='parameters of the model "student-t"'
    )
    skewed_t: SkewedT | None = Field(
        default=None, alias="skewed-t", description='parameters of the model "skewed-t"'
    )
    jump_diffusion: JumpDiffusion | None = Field(
        default=None,
        alias="jump-diffusion",
        description='parameters of the model "jump-diffusion"',
    )
    garch: Garch | None = Field(default=None, description='parameters of the model "garch"')
    regime: Regime | None = Field(default=None, description='parameters of the model "regime"')
    bootstrap: Bootstrap | None = Field(
        default=None, description='parameters of the model "bootstrap"'
    )
    filtered_historical: FilteredHistorical | None = Field(
        default=None,
        alias="filtered-historical",
        description='parameters of the model "filtered-historical"',
    )
    historical: Historical | None = Field(
        default=None, description='parameters of the model "historical"'
    )

    @property
    def table(self) -> Table | None:
        """The parameters of the model that is chosen; None where it has none."""
        # a registered model may have the name of another key
        return getattr(self, self.model.replace("-", "_")) if self.model in MODEL_TABLES else None


class BookFiles(Table):
    """The files of the book, and the worlds in which it is run."""

    accounts: FilePath = Field(
        description="path of a CSV or Parquet file with the columns account, cash [, group, "
        "reserve, top_up_trigger, top_up_target]; cash and reserve in USD",
        examples=["accounts.csv"],
    )
    positions: FilePath = Field(
        description="path of a CSV or Parquet file with the columns account, asset, quantity, "
        "entry_price [, margin, leverage, stop_price, position]",
        examples=["positions.csv"],
    )
    collateral: FilePath | None = Field(
        default=None,
        description="path of a CSV or Parquet file with the columns account, asset, quantity",
    )
    mode: Mode = Field(
        default="as-booked", description='the main world: "as-booked", "cross" or "isolated"'
    )
    compare: Annotated[List[Mode], AfterValidator(_distinct)] = Field(
        default=(), description="worlds run beside it on the same paths, each once"
    )
    as_of: Moment | None = Field(
        default=None,
        description="moment that the book is of, such as 2026-11-20T00:00:00Z; that of a "
        "book.toml beside its tables where not given",
    )
    max_age: Duration | None = Field(
        default=None,
        description='how old the book may be when a run begins, such as "12h", measured from '
        "as_of; an older one is refused with exit code 5",
    )


class MarginLevel(Table):
    """Liquidation by margin level: equity over notional."""

    margin_level: Annotated[float, Field(gt=0, lt=1)] = Field(
        description="equity over notional below which a pool is liquidated, above 0 and below 1",
        examples=[0.15],
    )


class Tier(Table):
    """One row of a maintenance margin table."""

    floor: NotNegative = Field(
        description="notional in USD above which the tier holds", examples=[0]
    )
    rate: Fraction = Field(
        description="maintenance margin rate, a share of notional, at least 0 and below 1",
        examples=[0.005],
    )


class Impact(Table):
    """How forced flow moves the mark."""

    kind: ImpactKind = Field(
        default="none",
        description='the law: "none" (forced flow does not move prices), "linear" (in the flow '
        'over depth_1pct) or "square-root" (of the flow over adv)',
    )
    coefficient: Multiple = Field(
        default=1.0,
        description="Y of the square-root law, about 1: flow of a day's volume moves the price by "
        "Y daily volatilities; above 0",
    )
    adv: dict[str, Positive] = Field(
        default={},
        description="volume by asset, USD a day, above 0; the square-root law needs it of every "
        "asset that is held, else it follows from depth_1pct",
    )
    depth_1pct: dict[str, Positive] = Field(
        default={},
        description="USD that move the price one percent, by asset, above 0; the linear law needs "
        "it of every asset that is held, else it follows from adv",
    )
    permanent: Probability = Field(
        default=0.3, description="share of forced flow whose impact does not decay, 0 to 1"
    )
    relaxation: Duration = Field(
        default="1h", description='time in which the rest decays by a factor e, such as "1h"'
    )
    depth_elasticity: Size = Field(
        default=0.0,
        description="power by which depth falls as realised volatility rises over the stated one, "
        "at least 0; 0: depth stays what it is",
    )


class Fund(Table):
    """The insurance fund."""

    balance: NotNegative = Field(
        default=0.0, description="what the fund holds at the start, USD, at least 0"
    )


class Funding(Table):
    """Payments between longs and shorts."""

    rate: dict[str, Rate] = Field(
        description="funding rate per interval by asset, a share of notional at the mark, longs "
        "pay positive; 0 where not named",
    )
    interval: Duration = Field(
        default="8h",
        description='time between two payments, a whole number of steps, such as "8h"',
    )


class Deleveraging(Table):
    """What happens to a deficit that nobody pays."""

    kind: DeleveragingKind = Field(
        default="none",
        description='"none" (it is recorded as uncovered loss), "socialised" (taken from the '
        'profits of others) or "auto-deleverage" (positions are closed against profitable ones '
        "at the bankruptcy price)",
    )


class Decision(Table):
    """Who judges the pools, on which marks."""

    kind: DecisionKind = Field(
        default="leader",
        description='"leader" (one process judges every pool on one set of marks) or "sharded" '
        "(each shard closes its own assets and sees the others' marks late)",
    )
    latency: Delay = Field(
        default=0, description="age of the marks that a leader sees, in steps, at least 0"
    )
    shards: dict[str, Annotated[int, Field(ge=0)]] = Field(
        default={},
        description="number of the shard of each asset, at least 0; sharded only, every asset",
    )
    lag: Delay = Field(
        default=0,
        description="age of the other shards' marks that a shard sees, in steps, at least 0",
    )


_Trigger: TypeAlias = Annotated[
    Annotated[Literal["maintenance"], Tag("word")] | Annotated[MarginLevel, Tag("table")],
    Discriminator(_shape, custom_error_type="trigger", custom_error_message="trigger"),
]
_TierTable: TypeAlias = Annotated[Filled[Tier], AfterValidator(_tier_table)]


class Venue(Table):
    """The rules of the venue."""

    preset: Name | None = Field(
        default=None,
        description='name of a preset, such as "binance-usdm", whose values hold where the '
        "scenario states none",
    )
    trigger: _Trigger = Field(
        default="maintenance",
        description='when a pool is liquidated: "maintenance" (equity below the maintenance margin '
        "of the tiers) or { margin_level = 0.15 } (equity below that share of notional)",
    )
    order: Order = Field(
        default="largest-loss",
        description='which positions of a pool in breach are closed first: "largest-loss", '
        '"largest-margin", "largest-notional", or "pro-rata" (all together)',
    )
    amount: Amount = Field(
        default="restore",
        description='how much is closed in a round: "restore" (the least that brings the pool '
        'back over its requirement), "step" (step_fraction of the first position), "tier" (the '
        'first position down to the tier below), "position" (the first) or "all"',
    )
    step_fraction: Annotated[float, Field(gt=0, le=1)] = Field(
        default=0.25,
        description='with amount = "step": share of the position closed in a round, above 0 and '
        "at most 1",
    )
    buffer: Size = Field(
        default=0.05,
        description='with amount = "restore": how far over the requirement a pool is brought, a '
        "share of it, at least 0",
    )
    rounds_per_step: int = Field(
        default=8,
        ge=1,
        le=10_000,
        description="most rounds of closing in a step, 1 to 10_000; what is left goes on in the "
        "next step",
    )
    warning: Annotated[float, Field(gt=0, le=1)] = Field(
        default=0.8, description="margin ratio of the margin call, above 0 and at most 1"
    )
    fee: Fraction = Field(
        default=0.005,
        description="liquidation fee, a share of notional closed, at least 0 and below 1",
    )
    haircut: dict[str, Fraction] = Field(
        default={},
        description="share of a coin's value that does not count as collateral, by asset, at least "
        "0 and below 1; 0 where not named",
    )
    tiers: dict[str, _TierTable] = Field(
        default={},
        description="maintenance margin tiers by asset; `default` serves the assets not named",
    )
    impact: Impact = Field(default=Impact(), description="how forced flow moves the mark")
    fund: Fund = Field(default=Fund(), description="the insurance fund")
    funding: Funding | None = Field(
        default=None, description="payments between longs and shorts; none where not given"
    )
    deleveraging: Deleveraging = Field(
        default=Deleveraging(), description="what happens to a deficit that nobody pays"
    )
    decision: Decision = Field(
        default=Decision(), description="who judges the pools, on which marks"
    )


_Appetite: TypeAlias = Annotated[
    Probability | None,
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "minimum": 0, "maximum": 1},
                {"const": "appetite"},
                {"type": "null"},
            ]
        }
    ),
]
"""A probability, or "appetite": that of ``[appetite]``, put in its place when the file is read."""


class Limits(Table):
    """Thresholds that the run is held against; each is optional."""

    max_account_liquidation_probability: _Appetite = Field(
        default=None,
        description='highest liquidation probability of any account, 0 to 1, or "appetite": '
        "that of [appetite]",
    )
    max_group_any_liquidation_probability: dict[str, Probability] = Field(
        default={},
        description="by group: highest probability that any of its accounts is liquidated, 0 to 1",
    )
    max_expected_shortfall: NotNegative | None = Field(
        default=None,
        description="highest expected shortfall of the book's total loss at levels[-1], USD",
    )
    max_uncovered_loss: NotNegative | None = Field(
        default=None, description="highest uncovered loss, its quantile at levels[-1], USD"
    )
    max_fund_exhaustion_probability: _Appetite = Field(
        default=None,
        description="highest probability that the insurance fund does not pay a deficit in full, "
        '0 to 1, or "appetite": that of [appetite]',
    )
    max_fund_draw: NotNegative | None = Field(
        default=None,
        description="highest draw on the insurance fund, its quantile at levels[-1], USD",
    )
    max_reproduction_number: NotNegative | None = Field(
        default=None,
        description="highest reproduction number of any asset: forced flow that one dollar of "
        "forced flow brings about, at least 0",
    )


class Scenario(Table):
    """A scenario, complete: what `load_scenario` returns has every default filled in.

    Two scenarios are equal when they ask for the same: where they were read from and the hashes
    of their inputs do not count.
    """

    name: Annotated[str, AfterValidator(_title)] = Field(
        description="name of the scenario and of its folder of results", examples=["two-books"]
    )
    simulation: Simulation = Field(default=Simulation(), description="how the paths are simulated")
    market: Market = Field(description="the price model, its assets and parameters")
    book: BookFiles = Field(description="the files of the book")
    venue: Venue = Field(default=Venue(), description="the rules of the venue")
    limits: Limits = Field(default=Limits(), description="thresholds that the run is held against")
    stress: List[Overlay] = Field(
        default=(), description="what happens on top of what the price model does, in this order"
    )
    appetite: Appetite | None = Field(
        default=None, description="the risk that is bearable: what `margin-stress limits` keeps"
    )
    analysis: Analysis = Field(
        default=Analysis(), description="what a run works out besides the main numbers"
    )
    backtest: Backtest | None = Field(
        default=None, description="what `margin-stress backtest` walks through; a run ignores it"
    )
    inputs: dict[str, Sha256] = Field(
        default={}, description="path of an input file to the SHA-256 that it must have"
    )
    _source: Path | None = PrivateAttr(None)

    @property
    def source(self) -> Path | None:
        """The file it was read from, for messages; None if there was none."""
        return self._source

    @property
    def worlds(self) -> tuple[Mode, ...]:
        """The main world and those that run beside it."""
        return (self.book.mode, *self.book.compare)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Scenario):
            return NotImplemented
        return self.model_dump(exclude={"inputs"}) == other.model_dump(exclude={"inputs"})


class Calibration(Table):
    """A market calibration file: estimates by asset, and where they come from."""

    schema_version: int = Field(default=1, ge=1, le=1, description="version of the file's form: 1")
    as_of: Moment | None = Field(default=None, description="moment of the prices")
    assets: Assets = Field(description="names of the assets, each once", examples=[["BTC"]])
    price: dict[str, Positive] = Field(
        default={}, description="price by asset, USD per unit, above 0"
    )
    volatility: dict[str, Multiple] = Field(
        default={}, description="volatility by asset, annualised over 365 days, above 0"
    )
    volatility_standard_error: dict[str, Size] = Field(
        default={}, description="standard error of the volatility by asset, at least 0"
    )
    drift: dict[str, Rate] = Field(default={}, description="drift by asset, per year")
    correlation: Matrix = Field(default=(), description="correlation, one row an asset")
    adv: dict[str, Positive] = Field(
        default={}, description="mean volume of the last 30 days by asset, USD a day, above 0"
    )
    models: dict[str, dict[str, Any]] = Field(
        default={}, description="by model: estimates of the keys of its table market.<model>"
    )
    standard_errors: dict[str, dict[str, Any]] = Field(
        default={}, description="by model: standard errors of the same keys"
    )
    fits: dict[str, dict[str, Any]] = Field(
        default={}, description="by model: log-likelihood, information criteria, observations"
    )
    calibration: dict[str, Any] = Field(default={}, description="where the estimates come from")


def json_schema() -> dict[str, Any]:
    """Return the scenario's JSON Schema (draft 2020-12)."""
    schema = Scenario.model_json_schema(mode="validation")
    # pydantic titles every field by its name, which says nothing that the key does not
    drop_titles(schema)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "margin-stress scenario",
        **schema,
    }


def drop_titles(node: object) -> None:
    """Remove the titles of a JSON Schema's nodes in place."""
    if isinstance(node, dict):
        if isinstance(node.get("title"), str):
            del node["title"]
        for child in node.values():
            drop_titles(child)
    elif isinstance(node, list):
        for child in node:
            drop_titles(child)
