"""The page: sections and their figures in one HTML file that needs nothing from outside."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from os import PathLike
from pathlib import Path

import jinja2
import plotly.offline
import xarray as xr
from markupsafe import Markup, escape

from stress.data.files import atomically
from stress.report.document import (
    Anchored,
    Document,
    Heading,
    document_of,
    estimate_of,
    made_of,
    named_tables,
)
from stress.report.section import Cell, Column, Content, Drawing, Table
from stress.report.tables import csv_text
from stress.report.text import Shown, shown
from stress.result.comparison import Comparison

__all__ = ["Heading", "html_text", "page_of", "render", "write", "write_page"]

_HERE = Path(__file__).parent

_SHORT = 24

_FEWEST_SORTED = 3
"""Rows from which on a table that stands in no order of a column can be sorted."""

_CONFIG = {
    "responsive": True,
    "displayModeBar": False,
    "displaylogo": False,
    "scrollZoom": False,
}


@dataclass(frozen=True)
class _CellView:
    """A cell as it is written, with the number that it sorts by; empty where it has none."""

    shown: Shown
    key: str
    kind: str


def render(tree: xr.DataTree, previous: Comparison | None = None) -> str:
    """Return the report of a result as one HTML page.

    The page embeds Plotly's script once and makes no network request; its content security policy
    forbids any. Labels from the scenario and the book are escaped.
    """
    return html_text(document_of(tree, previous))


def page_of(heading: Heading, sections: Sequence[tuple[Anchored, Content]]) -> str:
    """Return a page of sections, each with its content."""
    return html_text(made_of(heading, sections))


def html_text(document: Document) -> str:
    """Return a document as one HTML page."""
    return _template().render(
        **asdict(document.heading),
        sections=document.parts,
        exports={
            name: csv_text(table)
            for section, content in document.parts
            for name, table in named_tables(section, content)
        },
        css=Markup(_text("page.css")),
        script=Markup(_text("page.js")),
        plotly=Markup(plotly.offline.get_plotlyjs()),
    )


def write(tree: xr.DataTree, path: str | PathLike[str]) -> Path:
    """Write the report to ``path``, whole or not at all, and return the path."""
    return write_page(render(tree), path)


def write_page(page: str, path: str | PathLike[str]) -> Path:
    """Write a page to ``path``, whole or not at all, and return the path."""
    target = Path(path)
    atomically(target, lambda part: part.write_text(page, encoding="utf-8", newline="\n"))
    return target


def _text(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"figure": _figure, "cell": _cell, "numeric": _numeric, "aria": _aria}
    environment.filters |= {"wrapping": _wrapping, "breakable": _breakable, "sorts": _sorts}
    environment.globals |= {"shown": shown, "named_tables": named_tables}
    return environment.from_string(_text("page.html.j2"))


def _figure(drawing: Drawing) -> Markup:
    """Return the element of a figure and the call that draws it."""
    # Without zoom a finger that lands on a figure still scrolls the page.
    drawing.figure.update_xaxes(fixedrange=True)
    drawing.figure.update_yaxes(fixedrange=True)
    # Plotly writes its data with <, > and / escaped, so no label can end the script.
    return Markup(
        drawing.figure.to_html(
            full_html=False,
            include_plotlyjs=False,
            include_mathjax=False,
            div_id=f"figure-{drawing.name}",
            config=_CONFIG,
        )
    )


def _cell(cell: Cell, column: Column) -> _CellView:
    estimate = estimate_of(cell) if _numeric(column) else None
    # A NaN has no key: it sorts behind everything else.
    key = "" if estimate is None or math.isnan(estimate.value) else repr(estimate.value)
    return _CellView(shown(column.kind, cell), key, column.kind)


def _numeric(column: Column) -> bool:
    return column.kind not in ("text", "verdict")


def _aria(table: Table, index: int) -> str:
    if table.sorted_by != index:
        return "none"
    return "descending" if table.descending else "ascending"


def _sorts(table: Table) -> bool:
    """Say whether headings sort a table: not where a column may hold numbers of several units."""
    alike = not any(isinstance(cell, Shown) for row in table.rows for cell in row)
    return table.sorted_by is not None or (alike and len(table.rows) >= _FEWEST_SORTED)


def _wrapping(text: str) -> str:
    """Return the class of a text cell: short names stay on one line, long ones may break."""
    return "short" if len(text) <= _SHORT else "long"


def _breakable(text: str) -> Markup:
    """Return escaped text that may break behind an underscore: keys have no spaces."""
    return escape(text).replace("_", Markup("_<wbr>"))
