"""What the tables of the scenario file are made of: frozen tables, and types of their values."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, time
from itertools import pairwise
from pathlib import Path
from typing import Annotated, TypeAlias, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from stress.data.tables import LARGEST_NUMBER, LONGEST_LABEL, SMALLEST_NUMBER
from stress.scenario.durations import DURATION_PATTERN, DURATION_REMEDY, duration_seconds

__all__ = [
    "LARGEST_RATE",
    "MOST_ASSETS",
    "Ascending",
    "Assets",
    "Delay",
    "Duration",
    "FilePath",
    "Filled",
    "Fraction",
    "Inner",
    "List",
    "Matrix",
    "Moment",
    "Multiple",
    "Name",
    "NotNegative",
    "Positive",
    "Probability",
    "Rate",
    "Sha256",
    "Size",
    "Table",
    "checked_name",
    "quoted",
    "refuse",
]

T = TypeVar("T")


def refuse(rule: str, remedy: str) -> PydanticCustomError:
    """Return what a validator raises: the rule that a value breaks, and the way out."""
    # braces of a value must not be read as fields of the template, so the texts travel beside it
    return PydanticCustomError("rule", "rule", {"rule": rule, "remedy": remedy})


def quoted(text: str) -> str:
    """Return the beginning of a text as it may be printed."""
    # escapes what a terminal would obey or not show
    return json.dumps(text[:60], ensure_ascii=False)


def _duration(text: str) -> str:
    try:
        duration_seconds(text)
    except ValueError as error:
        raise refuse(f"{error}, got {quoted(text)}", DURATION_REMEDY) from None
    return text


def checked_name(text: str) -> str:
    """Return a name, or refuse it."""
    if not text or text != text.strip() or not text.isprintable():
        rule = f"a name has text and no blanks around it, got {quoted(text)}"
        raise refuse(rule, "correct the name")
    if len(text) > LONGEST_LABEL:
        rule = f"a name has at most {LONGEST_LABEL} characters, got {len(text):,}"
        raise refuse(rule, "shorten the name")
    return text


LARGEST_RATE = 1_000.0
"""Of what is a share, a multiple or a rate: 100,000 percent."""

MOST_ASSETS = 5_000
"""Of a market: a path draws as many normals a step, a correlation has the square of them."""


def _assets(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(names) > MOST_ASSETS:
        rule = f"a market has at most {MOST_ASSETS:,} assets, got {len(names):,}"
        raise refuse(rule, "leave out what nobody holds")
    for name in names:
        if names.count(name) > 1:
            raise refuse(f'asset "{name}" stands there twice', "name every asset once")
        if name == "default":
            rule = '"default" cannot be an asset, it serves unnamed assets in venue.tiers'
            raise refuse(rule, "give the asset another name")
    return names


def _ascending(values: tuple[float, ...]) -> tuple[float, ...]:
    for low, high in pairwise(values):
        if not low < high:
            rule = f"must ascend, got {high:g} after {low:g}"
            raise refuse(rule, "sort the list and write each value once")
    return values


def _moment(value: object) -> object:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            rule = f"must be a date and time, got {quoted(str(value))}"
            raise refuse(rule, 'write it like "2026-11-20T00:00:00Z"') from None
    elif isinstance(value, date) and not isinstance(value, datetime):
        value = datetime.combine(value, time())
    if isinstance(value, datetime) and value.tzinfo is None:
        value = value.replace(tzinfo=UTC)
    return value


def _path(value: object) -> object:
    if isinstance(value, str):
        if not value.strip() or "\0" in value:
            raise refuse(f"must name a file, got {quoted(value)}", "give the path of a file")
        return Path(value)
    return value


def _not_vanishing(value: float) -> float:
    if 0 < value < SMALLEST_NUMBER:
        rule = f"must be at least {SMALLEST_NUMBER:g}, got {value:g}"
        raise refuse(rule, "correct its exponent")
    return value


def _as_tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


# a long list of wrong entries is one error, not a million
List: TypeAlias = Annotated[tuple[T, ...], Field(fail_fast=True), BeforeValidator(_as_tuple)]
Filled: TypeAlias = Annotated[
    tuple[T, ...], Field(min_length=1, fail_fast=True), BeforeValidator(_as_tuple)
]

Duration: TypeAlias = Annotated[
    str, AfterValidator(_duration), Field(json_schema_extra={"pattern": DURATION_PATTERN})
]
Moment: TypeAlias = Annotated[
    datetime,
    BeforeValidator(_moment),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
FilePath: TypeAlias = Annotated[Path, BeforeValidator(_path)]
Name: TypeAlias = Annotated[str, AfterValidator(checked_name)]
Assets: TypeAlias = Annotated[Filled[Name], AfterValidator(_assets)]
Positive: TypeAlias = Annotated[
    float, Field(gt=0, le=LARGEST_NUMBER), AfterValidator(_not_vanishing)
]
NotNegative: TypeAlias = Annotated[
    float, Field(ge=0, le=LARGEST_NUMBER), AfterValidator(_not_vanishing)
]
# beyond a thousand no rate, multiple or return means anything, and its exponential is infinite
Rate: TypeAlias = Annotated[float, Field(ge=-LARGEST_RATE, le=LARGEST_RATE)]
Multiple: TypeAlias = Annotated[float, Field(gt=0, le=LARGEST_RATE), AfterValidator(_not_vanishing)]
Size: TypeAlias = Annotated[float, Field(ge=0, le=LARGEST_RATE), AfterValidator(_not_vanishing)]
Fraction: TypeAlias = Annotated[float, Field(ge=0, lt=1)]
Delay: TypeAlias = Annotated[int, Field(ge=0)]
Probability: TypeAlias = Annotated[float, Field(ge=0, le=1)]
Inner: TypeAlias = Annotated[float, Field(gt=0, lt=1)]
Ascending: TypeAlias = Annotated[Filled[Inner], AfterValidator(_ascending)]
Matrix: TypeAlias = List[List[float]]
Sha256: TypeAlias = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Table(BaseModel):
    """A table of the file: frozen, no unknown keys, no silent conversion, no NaN or infinity."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        # a hyphenated key of the file has an underscore in Python
        serialize_by_alias=True,
        validate_by_name=True,
        validate_by_alias=True,
    )
