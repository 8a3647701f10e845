"""What is not the same in what two runs were asked for: versions, platform, inputs, keys."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any, Literal

import xarray as xr

from stress.compare.facts import inputs_of, scenario_of
from stress.result.comparison import Change

__all__ = ["ABSENT", "changes", "scenario_changes"]

ABSENT = "not stated"
"""What stands for a key that one of the two scenarios does not have."""

_FACTS: tuple[tuple[Literal["version", "platform"], str, str], ...] = (
    ("version", "margin-stress", "source"),
    ("version", "form of the result", "schema_version"),
    ("version", "JAX", "jax_version"),
    ("platform", "platform", "platform"),
    ("platform", "device", "device_kind"),
)

_FEW = 8
"""Changed entries of a table, or entries of a list, that are told one by one."""

_LONGEST = 120
_DIGEST = 8


def changes(one: xr.DataTree, other: xr.DataTree) -> tuple[Change, ...]:
    """Return everything that is not the same, keys of the scenario last, in the file's order."""
    before, after = scenario_of(one), scenario_of(other)
    files = [inputs_of(one), inputs_of(other)]
    return (*_facts(one, other), *_inputs(before, after, *files), *scenario_changes(before, after))


def _facts(one: xr.DataTree, other: xr.DataTree) -> Iterator[Change]:
    for kind, name, attribute in _FACTS:
        pair = [str(tree.attrs.get(attribute, "")) or ABSENT for tree in (one, other)]
        if pair[0] != pair[1]:
            yield Change(kind, name, _cut(pair[0]), _cut(pair[1]))


def _inputs(
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    files: Mapping[str, str],
    other_files: Mapping[str, str],
) -> Iterator[Change]:
    """Yield the keys that name an input file, where the file or its content is another one."""
    named = [
        {key: value for key, value in _leaves(content) if str(value) in known}
        for content, known in ((before, files), (after, other_files))
    ]
    for key in dict.fromkeys([*named[0], *named[1]]):
        paths = [found.get(key) for found in named]
        digests = [
            known.get(path, "") if path else ""
            for path, known in zip(paths, (files, other_files), strict=True)
        ]
        if digests[0] != digests[1]:
            texts = [_file(path, digest) for path, digest in zip(paths, digests, strict=True)]
            yield Change("input", key, *texts)
        elif paths[0] != paths[1]:
            yield Change("input", key, _cut(str(paths[0])), f"{_cut(str(paths[1]))}, same content")


def _file(path: str | None, digest: str) -> str:
    if path is None:
        return ABSENT
    # windows or posix: the last part is what people call the file
    name = PurePath(path.replace("\\", "/")).name
    return _cut(f"{name}, SHA-256 {digest[:_DIGEST]}\u2026")


def scenario_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[Change, ...]:
    """Return the keys of two scenarios whose values differ, long tables in one line.

    Paths of input files are left to the inputs.
    """
    one, other = dict(_leaves(before)), dict(_leaves(after))
    files = {key for found in (one, other) for key, value in found.items() if _is_file(key, value)}
    tables: dict[str, list[str]] = {}
    for key in dict.fromkeys([*one, *other]):
        if key not in files and one.get(key) != other.get(key):
            tables.setdefault(_table_of(key), []).append(key)
    found: list[Change] = []
    for table, keys in tables.items():
        if len(keys) > _FEW:
            found.append(_summary(table, keys, one, other))
        else:
            found += [Change("scenario", key, _text(one, key), _text(other, key)) for key in keys]
    return tuple(found)


_FILES = ("accounts", "positions", "collateral", "calibration", "history", "file")
"""Last parts of the keys that name a file."""


def _is_file(key: str, value: object) -> bool:
    return key.rpartition(".")[2] in _FILES and isinstance(value, str)


def _leaves(node: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Yield dotted keys and values; long lists and lists of tables entry by entry."""
    if isinstance(node, Mapping):
        for name, value in node.items():
            yield from _leaves(value, f"{key}.{name}" if key else str(name))
    elif isinstance(node, list) and (len(node) > _FEW or any(_is_table(value) for value in node)):
        for place, value in enumerate(node):
            yield from _leaves(value, f"{key}[{place}]")
    else:
        yield key, node


def _is_table(value: object) -> bool:
    return isinstance(value, (dict, list))


def _table_of(key: str) -> str:
    """Return the table that a key is an entry of; every entry of a list counts to the list."""
    listed = key.partition("[")[0]
    return listed if listed != key else key.rpartition(".")[0]


def _text(found: Mapping[str, Any], key: str) -> str:
    if key not in found:
        return ABSENT
    value = found[key]
    if isinstance(value, list):
        return _cut("[" + ", ".join(_plain(entry) for entry in value) + "]")
    return _cut(_plain(value))


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "\u2026"


def _summary(
    table: str, keys: list[str], one: Mapping[str, Any], other: Mapping[str, Any]
) -> Change:
    """Return one line for many changed entries: how many, and which changed most."""
    entries = [f"{sum(key in found for key in keys):,}" for found in (one, other)]
    most = max(keys, key=lambda key: _distance(one.get(key), other.get(key)))
    name = most.removeprefix(table).lstrip(".")
    moved = f"{name} from {_text(one, most)} to {_text(other, most)}"
    return Change(
        "scenario",
        table or "the scenario",
        f"{entries[0]} of the entries that differ",
        _cut(f"{entries[1]}; {len(keys):,} differ, most of all {moved}"),
    )


def _distance(one: object, other: object) -> float:
    """Return how far two values are apart, relative to the larger; 1 where they are no numbers."""
    if not isinstance(one, (int, float)) or not isinstance(other, (int, float)):
        return 1.0
    scale = max(abs(one), abs(other))
    apart = abs(one - other) / scale if scale > 0 else 0.0
    return apart if math.isfinite(apart) else 1.0
