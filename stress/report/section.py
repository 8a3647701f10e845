"""What a section of the report is made of. A section is one file in ``sections``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import xarray as xr

from stress.report.read import Estimate
from stress.report.text import Kind, Shown

__all__ = [
    "Cell",
    "Column",
    "Content",
    "Drawing",
    "Headline",
    "Link",
    "Section",
    "Table",
    "Verbatim",
]

Cell: TypeAlias = Estimate | float | str | Shown
"""``Shown`` is written already, for a column whose cells are of several kinds."""


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes
    ----------
    title
        Heading, with the unit where the cells do not say it.
    kind
        How its cells are written; an ``Estimate`` gets its interval under the number.
    """

    title: str
    kind: Kind = "text"


@dataclass(frozen=True)
class Table:
    """Columns and rows of raw values: the page writes them, so that sorting sees the numbers.

    Attributes
    ----------
    caption
        What the rows are; stands above the table.
    sorted_by
        The column by which the rows already stand, which makes the headings sort; None: they don't.
    descending
        The direction in which they stand.
    """

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    sorted_by: int | None = None
    descending: bool = True


@dataclass(frozen=True)
class Drawing:
    """A Plotly figure with the name of its element, and the sentence that stands under it."""

    name: str
    figure: Any
    caption: str


@dataclass(frozen=True)
class Headline:
    """One number in large type, with its interval."""

    label: str
    kind: Kind
    estimate: Estimate


@dataclass(frozen=True)
class Link:
    """A way to a file beside the page; ``address`` is relative and quoted as addresses are."""

    text: str
    address: str


@dataclass(frozen=True)
class Verbatim:
    """Text shown as it is, folded away."""

    title: str
    text: str


@dataclass(frozen=True)
class Content:
    """What stands in a section, in this order."""

    lead: tuple[str, ...] = ()
    links: tuple[Link, ...] = ()
    headlines: tuple[Headline, ...] = ()
    warnings: tuple[str, ...] = ()
    figures: tuple[Drawing, ...] = ()
    tables: tuple[Table, ...] = ()
    notes: tuple[str, ...] = ()
    items: tuple[str, ...] = ()
    verbatim: tuple[Verbatim, ...] = ()


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes
    ----------
    name
        Anchor on the page, unique.
    title
        Heading.
    applies
        Whether the result holds what the section shows.
    content
        Reads the result; called only where the section applies.
    """

    name: str
    title: str
    applies: Callable[[xr.DataTree], bool]
    content: Callable[[xr.DataTree], Content]
