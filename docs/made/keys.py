"""The pages of all keys of a scenario file and of a run's ``summary.json``, from their schemas."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from made.cells import code, described, grid
from stress.scenario.reserved import RESERVED

__all__ = ["scenario_keys", "summary_keys"]

_Node = Mapping[str, Any]


def scenario_keys(schema: _Node) -> str:
    """Return the page of all keys of a scenario file, table by table."""
    lines = [
        "# Scenario keys",
        "",
        "Made from the schema when this page was built; `margin-stress schema` prints it as "
        "[JSON Schema](scenario.schema.json), which editors can check a file with. A scenario is "
        "a TOML file. Paths in it are relative to the file. A key that is not known is an error, "
        "with the nearest known one; an amount of money is in USD, a rate or share is a number "
        "between 0 and 1, a time is a number with `s`, `min`, `h`, `d` or `w`.",
        "",
    ]
    if RESERVED:
        names = ", ".join(f"`{row.key}`" for row in RESERVED)
        lines += [f"Names that are kept for later, and refused until then: {names}.", ""]
    form = _Form(schema["$defs"], ("key", "value", "default", "what"))
    lines += _keys(_Place(schema, "", ""), form, 2)
    return "\n".join(lines)


def summary_keys(schema: _Node) -> str:
    """Return the page of all keys of a run's ``summary.json``."""
    tables = schema.get("$defs", {})
    form = _Form(tables, ("key", "value", "what"), by_name=True)
    lines = [
        "# Keys of summary.json",
        "",
        "Made from the schema when this page was built; `margin-stress schema --summary` prints it "
        "as [JSON Schema](summary.schema.json). Schedulers and dashboards read this file.",
        "",
        *_keys(_Place(schema, "", ""), form, 2),
    ]
    for name, table in tables.items():
        lines += _keys(_Place(table, name, name), form, 3)
    return "\n".join(lines)


class _Place(NamedTuple):
    """A table of a schema, its dotted path in a file (its anchor), and its heading."""

    table: _Node
    path: str
    title: str


class _Form(NamedTuple):
    """How a schema is written out.

    Attributes
    ----------
    defs
        The tables that it refers to, by name.
    heads
        The columns that are shown.
    by_name
        Whether a table that is referred to stands once, under its name, and not at each place.
    """

    defs: _Node
    heads: tuple[str, ...]
    by_name: bool = False

    def referred(self, node: _Node) -> tuple[str, _Node]:
        """Return the name and the table that a node refers to."""
        name = str(node["$ref"]).rpartition("/")[2]
        return name, self.defs[name]


_Kind = tuple[str, list[_Place]]
"""What a value is in words, and the tables that it may be."""


def _keys(place: _Place, form: _Form, level: int) -> Iterator[str]:
    """Yield the keys of a table and, behind them, the tables that it holds."""
    below: list[_Place] = []
    rows = []
    required = place.table.get("required", ())
    for key, node in place.table.get("properties", {}).items():
        full = f"{place.path}.{key}" if place.path else key
        kind, tables = _kind(node, form, full)
        below += tables
        cells = _key(key, full, kind, node, needed=key in required)
        rows.append([cells[head] for head in form.heads])
    heading, anchor = (f"`{place.title}`", place.path) if place.path else ("The file", "file")
    yield f"{'#' * level} {heading} {{ #{anchor} }}"
    yield ""
    about = (place.table.get("description") or "").partition("\n")[0]
    yield described(about, heading)
    yield ""
    yield from grid(form.heads, rows)
    for each in below:
        yield from _keys(each, form, 3 if place.path else 2)


def _key(key: str, full: str, kind: str, node: _Node, *, needed: bool) -> dict[str, str]:
    return {
        "key": f'<a id="key-{full}"></a>{code(key)}',
        "value": kind,
        "default": "**required**" if needed else _default(node.get("default"), kind),
        "what": described(node.get("description"), full),
    }


def _default(value: Any, kind: str) -> str:
    if value is None or value in ({}, []):
        return "none"
    if isinstance(value, dict):
        return "see there"
    text = json.dumps(value)
    return code(text.removesuffix(".0") if kind.startswith("number") else text)


def _kind(node: _Node, form: _Form, path: str) -> _Kind:
    for word in ("anyOf", "oneOf"):
        if word in node:
            return _either(node[word], form, path)
    if "$ref" in node:
        name, table = form.referred(node)
        if form.by_name:
            return f"[{name}](#{name})", []
        return f"[table](#{path})", [_Place(table, path, f"[{path}]")]
    if "enum" in node:
        return " or ".join(code(json.dumps(choice)) for choice in node["enum"]), []
    if "const" in node:
        return code(json.dumps(node["const"])), []
    return _plain(node, form, path)


def _either(nodes: Iterable[_Node], form: _Form, path: str) -> _Kind:
    words: list[str] = []
    tables: list[_Place] = []
    for node in nodes:
        kind, more = _kind(node, form, path)
        tables += more
        words += [kind] if kind not in words else []
    # of a key that may be left out the default says so; a summary has all its keys
    words = [word for word in words if word != "null" or form.by_name]
    return " or ".join(words), tables


def _plain(node: _Node, form: _Form, path: str) -> _Kind:
    kind = str(node.get("type", "anything"))
    if kind == "array":
        return _several(node.get("items", {}), form, path)
    if kind == "object":
        values = node.get("additionalProperties")
        if not isinstance(values, dict):
            return "table", []
        word, tables = _kind(values, form, path)
        named = [place._replace(title=f"[{path}] by name") for place in tables]
        return f"by name: {word}", named
    if kind == "string":
        return _text(node), []
    return "true or false" if kind == "boolean" else kind, []


def _text(node: _Node) -> str:
    if node.get("format") == "path":
        return "path"
    if node.get("format") == "date-time":
        return "date and time"
    return "time" if "(s|min|h|d|w)" in node.get("pattern", "") else "text"


def _several(items: _Node, form: _Form, path: str) -> _Kind:
    if "oneOf" in items:
        return _by_kind([form.referred(choice)[1] for choice in items["oneOf"]], path)
    word, tables = _kind(items, form, path)
    return f"list of {word}", [place._replace(title=f"[[{path}]]") for place in tables]


def _by_kind(tables: Iterable[_Node], path: str) -> _Kind:
    """Return tables that their key ``kind`` tells apart, each as a place of its own."""
    places = []
    for table in tables:
        kind = table["properties"]["kind"]["const"]
        places.append(_Place(table, f"{path}.{kind}", f'[[{path}]] kind = "{kind}"'))
    links = ", ".join(f"[{each.path.rpartition('.')[2]}](#{each.path})" for each in places)
    return f"tables: {links}", places
