"""What pydantic found wrong, as one line: file, dotted key, rule with value, remedy."""

from __future__ import annotations

import json
from collections.abc import Mapping
from os import PathLike
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from stress.data.tables import suggestion
from stress.errors import InputError

__all__ = ["shown", "validated"]

M = TypeVar("M", bound=BaseModel)

_RULES = {
    "bool_type": "must be true or false",
    "datetime_type": "must be a date and time",
    "dict_type": "must be a table",
    "finite_number": "must be finite",
    "float_type": "must be a number",
    "greater_than": "must be above {gt:g}",
    "greater_than_equal": "must be at least {ge:.12g}",
    "int_type": "must be a whole number",
    "invalid_key": "keys must be text",
    "less_than": "must be below {lt:.12g}",
    "less_than_equal": "must be at most {le:.12g}",
    "literal_error": "must be {expected}",
    "model_type": "must be a table",
    "path_type": "must be a path in quotes",
    "string_pattern_mismatch": "must be 64 hexadecimal digits",
    "string_type": "must be text in quotes",
    "too_short": "must not be empty",
    "trigger": 'must be "maintenance" or {{ margin_level = 0.15 }}',
    "tuple_type": "must be a list",
}


def validated(model: type[M], raw: object, file: str | PathLike[str] | None) -> M:
    """Validate what was read from a file.

    Raises
    ------
    InputError
        The first error that pydantic found, unknown keys first: a misspelt key also looks as if
        the right one were missing.
    """
    try:
        return model.model_validate(raw)
    except ValidationError as found:
        problems = _distinct(found.errors(include_url=False))
    problem = problems[0]
    more = len(problems) - 1
    key, rule, remedy = _told(model, raw, problem)
    if more:
        remedy += f" ({more} more error{'s' if more > 1 else ''} after this one)"
    raise InputError(rule, file=file, key=key, remedy=remedy) from None


def _distinct(problems: list[Any]) -> list[Any]:
    # a list whose only entry is wrong is also reported as empty
    places = [problem["loc"] for problem in problems]
    kept = [
        problem
        for problem, place in zip(problems, places, strict=True)
        if problem["type"] != "too_short"
        or not any(len(other) > len(place) and other[: len(place)] == place for other in places)
    ]
    return sorted(kept, key=lambda problem: problem["type"] != "extra_forbidden")


def _told(model: type[BaseModel], raw: object, problem: Any) -> tuple[str, str, str]:
    kind, context = problem["type"], problem.get("ctx", {})
    place = _place(raw, problem["loc"], missing=kind == "missing")
    tables, field = _meaning(model, place)
    key = _dotted(place)
    if kind == "rule":
        return key, context["rule"], context["remedy"]
    if kind == "missing":
        return key, "is missing", f"add it: {_described(field)}"
    if kind == "extra_forbidden":
        known = list(dict.fromkeys(name for table in tables for name in _fields(table)))
        return key, "unknown key", suggestion(str(place[-1]), known)
    rule = _RULES.get(kind, problem["msg"][:1].lower() + problem["msg"][1:]).format(**context)
    rule = rule.replace("'", '"') if kind == "literal_error" else rule
    return key, f"{rule}, got {shown(problem['input'])}", f"give: {_described(field)}"


def _place(raw: object, loc: tuple[str | int, ...], *, missing: bool) -> list[str | int]:
    """Return the location without the names that pydantic gives to branches of a union."""
    place: list[str | int] = []
    for depth, part in enumerate(loc):
        in_table = isinstance(raw, Mapping) and part in raw
        in_list = isinstance(raw, (list, tuple)) and isinstance(part, int) and part < len(raw)
        if in_table or in_list:
            raw = raw[part]  # type: ignore[index]
        if in_table or in_list or (missing and depth == len(loc) - 1):
            place.append(part)
    return place


def _dotted(place: list[str | int]) -> str:
    text = ""
    for part in place:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text or "the file"


def _meaning(
    model: type[BaseModel], place: list[str | int]
) -> tuple[list[type[BaseModel]], FieldInfo | None]:
    """Return the tables that hold the last part of a place, and the field that it belongs to."""
    tables, inner, field = [model], [model], None
    for part in place:
        owner = next((table for table in inner if part in _fields(table)), None)
        tables = inner
        # an asset or a number of a list stays inside its field
        if owner is not None:
            field = _fields(owner)[str(part)]
            inner = _models_in(field.annotation)
    return tables or [model], field


def _fields(table: type[BaseModel]) -> dict[str, FieldInfo]:
    """Return the fields of a table by their keys in the file."""
    return {field.alias or name: field for name, field in table.model_fields.items()}


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models_in(part)]


def _described(field: FieldInfo | None) -> str:
    if field is None or not field.description:
        return "value that the scenario file documents"
    example = field.examples[0] if field.examples else None
    return field.description + ("" if example is None else f", e.g. {shown(example)}")


def shown(value: object) -> str:
    """Return a value as the file would write it, at most 60 characters."""
    if isinstance(value, bool):
        text = str(value).lower()
    elif isinstance(value, str):
        # escapes what a terminal would obey or not show
        text = json.dumps(value, ensure_ascii=False)
    elif isinstance(value, Mapping):
        text = "a table"
    else:
        try:
            text = str(value).replace("'", '"')
        except ValueError:
            # Python refuses to print integers of thousands of digits
            text = "a number of thousands of digits"
    return text if len(text) <= 60 else text[:57] + "..."
