"""Keys and values of the scenario file that are not built yet: refused, never ignored.

Building a thing removes its rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from stress.errors import InputError

__all__ = ["RESERVED", "check_reserved"]


def _always(value: object) -> bool:
    return True


class Row(NamedTuple):
    """A dotted key, and which of its values are not built; the others are the schema's concern."""

    key: str
    refused: Callable[[object], bool] = _always


RESERVED: tuple[Row, ...] = (
    Row("market.gbm"),
    Row("market.given"),
)


def check_reserved(raw: Mapping[str, Any], file: object = None) -> None:
    """Refuse the first key of a scenario, read but not validated, that is not built yet.

    Raises
    ------
    InputError
        "... is not built yet; remove the key".
    """
    for key, refused in RESERVED:
        found, value = _look_up(raw, key)
        if found and refused(value):
            what = f'"{value}"' if isinstance(value, str) else "this key"
            rule = f"{what} is not built yet"
            name = None if file is None else str(file)
            raise InputError(rule, file=name, key=key, remedy=f"remove the key {key}")


def _look_up(raw: object, key: str) -> tuple[bool, object]:
    for part in key.split("."):
        if not isinstance(raw, Mapping) or part not in raw:
            return False, None
        raw = raw[part]
    return True, raw
