"""The tables ``[[stress]]``: what happens on top of whatever the price model does.

Times are counted from the start of the run. A move without ``over`` falls at ``at``: the price of
that moment has it. Everything else acts from ``at`` on: on the steps that begin at ``at`` or later
and end within ``over`` or ``window``.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    WithJsonSchema,
)

from stress.scenario.durations import DURATION_PATTERN, DURATION_REMEDY, duration_seconds
from stress.scenario.fields import (
    LARGEST_RATE,
    Duration,
    Matrix,
    Multiple,
    Name,
    Probability,
    Rate,
    Table,
    quoted,
)
from stress.scenario.fields import refuse as refused

__all__ = [
    "Correlation",
    "Depeg",
    "Drift",
    "Gap",
    "Liquidity",
    "Move",
    "Overlay",
    "Shock",
    "Volatility",
]

_ZERO = "0s"


def _since(value: object) -> object:
    """Return a duration that may be zero: 0, "0s", "0min"."""
    return _ZERO if value == 0 and not isinstance(value, bool) else value


def _checked(text: str) -> str:
    if re.fullmatch(r"0+(\.0+)?(s|min|h|d|w)", text):
        return _ZERO
    try:
        duration_seconds(text)
    except ValueError as error:
        raise refused(f"{error}, got {quoted(text)}", f"{DURATION_REMEDY}, or 0") from None
    return text


Since: TypeAlias = Annotated[
    str,
    AfterValidator(_checked),
    BeforeValidator(_since),
    WithJsonSchema({"anyOf": [{"type": "string", "pattern": DURATION_PATTERN}, {"const": 0}]}),
]
"""A duration, or none: ``0``."""


def _shape(value: object) -> str | None:
    return "table" if isinstance(value, (dict, BaseModel)) else "number"


def _breadth(value: object) -> str | None:
    return "matrix" if isinstance(value, (list, tuple)) else "number"


ByAsset: TypeAlias = Annotated[
    Annotated[Multiple, Tag("number")] | Annotated[dict[str, Multiple], Tag("table")],
    Discriminator(_shape),
]
_Coefficient: TypeAlias = Annotated[float, Field(ge=-1, le=1)]
_Target: TypeAlias = Annotated[
    Annotated[_Coefficient, Tag("number")] | Annotated[Matrix, Tag("matrix")],
    Discriminator(_breadth),
]
_Return: TypeAlias = Annotated[float, Field(gt=-1, le=LARGEST_RATE)]

_AT = 'time of its beginning, from the start of the run, such as "2d"; a whole number of steps'
_WINDOW = 'how long it lasts, such as "6h"; to the end of the run if not given'
_BETA = (
    "an asset named in return: the assets not named move by beta times its log return, beta their "
    "correlation with it times their volatility over its"
)


class _Timed(Table):
    """What every overlay has."""

    at: Since = Field(description=_AT, examples=["2d"])


class _Moves(_Timed):
    """A stated move of prices."""

    over: Since = Field(
        default=_ZERO,
        description='time over which the move is spread evenly, such as "30min"; 0: it falls at '
        "`at`, at once",
    )
    returns: dict[str, _Return] = Field(
        alias="return",
        description="simple return by asset, above -1: -0.15 is a fall of 15 percent",
        examples=[{"BTC": -0.15}],
    )


class Shock(_Moves):
    """Prices move by stated returns, besides what the model does."""

    kind: Literal["shock"] = Field(description='"shock": prices move by stated returns')
    beta_to: Name | None = Field(default=None, description=_BETA)


class Depeg(_Moves):
    """A coin that backs positions loses its peg."""

    kind: Literal["depeg"] = Field(
        description='"depeg": coins held as collateral move by stated returns'
    )


class Gap(_Timed):
    """The venue halts: nobody is liquidated, tops up or is stopped, and prices go on elsewhere."""

    kind: Literal["gap"] = Field(
        description='"gap": a halt; the first look after it sees where prices went meanwhile'
    )
    over: Duration = Field(
        description='how long the halt lasts, such as "2h", one step or more', examples=["2h"]
    )
    returns: dict[str, _Return] = Field(
        default={},
        alias="return",
        description="simple return by asset within the halt, above -1, besides what the model does",
    )
    beta_to: Name | None = Field(default=None, description=_BETA)


class Volatility(_Timed):
    """Returns around their mean are multiplied; the expected price stays what it is."""

    kind: Literal["volatility"] = Field(
        description='"volatility": the model\'s returns around their mean are multiplied'
    )
    window: Duration | None = Field(default=None, description=_WINDOW)
    multiplier: ByAsset = Field(
        description="what volatility is multiplied by, above 0: a number for all assets, or by "
        "asset",
        examples=[2.0],
    )


class Liquidity(_Timed):
    """Depth is multiplied: forced flow moves prices as that much more flow would."""

    kind: Literal["liquidity"] = Field(description='"liquidity": depth is multiplied')
    window: Duration | None = Field(default=None, description=_WINDOW)
    multiplier: ByAsset = Field(
        description="what depth is multiplied by, above 0: a number for all assets, or by asset",
        examples=[0.1],
    )


class Correlation(_Timed):
    """Correlations go some of the way to a target; volatilities stay what they are."""

    kind: Literal["correlation"] = Field(
        description='"correlation": correlations go some of the way to a target'
    )
    window: Duration | None = Field(default=None, description=_WINDOW)
    target: _Target = Field(
        description="correlation of all pairs, -1 to 1, or a matrix in the order of market.assets",
        examples=[0.95],
    )
    weight: Probability = Field(
        default=1.0, description="how much of the way to the target, 0 to 1"
    )


class Drift(_Timed):
    """A drift besides the model's own."""

    kind: Literal["drift"] = Field(description='"drift": prices drift by a stated rate')
    window: Duration | None = Field(default=None, description=_WINDOW)
    rate: dict[str, Rate] = Field(
        description="rate by asset, per year, added to the drift of the log price",
        examples=[{"BTC": -1.0}],
    )


Move: TypeAlias = Shock | Depeg | Gap
"""The overlays that state returns."""

KINDS: tuple[type[Table], ...] = (Shock, Volatility, Correlation, Liquidity, Drift, Depeg, Gap)
_NAMES = tuple(kind.__name__.lower() for kind in KINDS)


def _kind(value: Any) -> str | None:
    kind = value.get("kind") if isinstance(value, dict) else getattr(value, "kind", None)
    return kind if kind in _NAMES else None


Overlay: TypeAlias = Annotated[
    Annotated[Shock, Tag("shock")]
    | Annotated[Volatility, Tag("volatility")]
    | Annotated[Correlation, Tag("correlation")]
    | Annotated[Liquidity, Tag("liquidity")]
    | Annotated[Drift, Tag("drift")]
    | Annotated[Depeg, Tag("depeg")]
    | Annotated[Gap, Tag("gap")],
    Discriminator(
        _kind,
        custom_error_type="rule",
        custom_error_message="rule",
        custom_error_context={
            "rule": "must be a table with a kind",
            "remedy": "set kind to " + ", ".join(f'"{name}"' for name in _NAMES[:-1]) + ' or "gap"',
        },
    ),
]
