"""What a report says, before anybody writes it: one document feeds HTML, JSON, Markdown and CSV."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import xarray as xr

from stress.report.read import Estimate, attribute
from stress.report.section import Cell, Content, Table, Verbatim
from stress.report.sections import SECTIONS
from stress.report.sections.previous import SECTION as PREVIOUS
from stress.report.sections.previous import previous_content
from stress.report.text import Shown
from stress.result.comparison import Comparison

__all__ = [
    "Anchored",
    "Document",
    "Heading",
    "document_of",
    "estimate_of",
    "made_of",
    "named_tables",
]

_MOST_ROWS = 500
"""Rows of one table, or points of one list: nobody reads more, and a page must stay small."""

_MOST_CHARACTERS = 100_000
"""Of a text that is shown as it is: a correlation of a thousand assets has millions."""


@dataclass(frozen=True)
class Heading:
    """What stands above the sections of a page."""

    title: str
    created: str
    source: str
    as_of: str


class Anchored(Protocol):
    """What has an anchor on the page and a heading."""

    @property
    def name(self) -> str:
        """The anchor, unique."""
        ...

    @property
    def title(self) -> str:
        """The heading."""
        ...


@dataclass(frozen=True)
class Document:
    """A heading and the sections under it, each with its content, in the order of the page."""

    heading: Heading
    parts: tuple[tuple[Anchored, Content], ...]


def document_of(tree: xr.DataTree, previous: Comparison | None = None) -> Document:
    """Return what the report of a result says: the sections that apply to it.

    Parameters
    ----------
    previous
        How the run differs from the one before it; it stands behind the headline.
    """
    heading = Heading(
        title=attribute(tree, "title") or "Stress test",
        created=attribute(tree, "created_at"),
        source=attribute(tree, "source"),
        as_of=attribute(tree, "as_of"),
    )
    parts: list[tuple[Anchored, Content]] = [
        (section, section.content(tree)) for section in SECTIONS if section.applies(tree)
    ]
    if previous is not None:
        parts.insert(1, (PREVIOUS, previous_content(previous)))
    return made_of(heading, parts)


def made_of(heading: Heading, parts: Iterable[tuple[Anchored, Content]]) -> Document:
    """Return a document no longer than a page may be: the worst stays, the result has the rest.

    Sections put the worst first, so the head of a long table, or list, is what is kept.
    """
    return Document(heading, tuple((section, _bounded(content)) for section, content in parts))


def _bounded(content: Content) -> Content:
    return replace(
        content,
        tables=tuple(map(_bounded_table, content.tables)),
        items=_bounded_items(content.items),
        verbatim=tuple(map(_bounded_text, content.verbatim)),
    )


def _bounded_table(table: Table) -> Table:
    rows = len(table.rows)
    if rows <= _MOST_ROWS:
        return table
    caption = f"{table.caption} (the first {_MOST_ROWS:,} of {rows:,}; result.nc has all)"
    return replace(table, caption=caption, rows=table.rows[:_MOST_ROWS])


def _bounded_items(items: tuple[str, ...]) -> tuple[str, ...]:
    left = len(items) - _MOST_ROWS
    return items if left <= 0 else (*items[:_MOST_ROWS], f"{left:,} more stand in result.nc.")


def _bounded_text(verbatim: Verbatim) -> Verbatim:
    size = len(verbatim.text)
    if size <= _MOST_CHARACTERS:
        return verbatim
    title = f"{verbatim.title}, the first {_MOST_CHARACTERS:,} of {size:,} characters"
    return Verbatim(f"{title}; result.nc has all", verbatim.text[:_MOST_CHARACTERS])


def named_tables(section: Anchored, content: Content) -> Iterator[tuple[str, Table]]:
    """Yield every table of a section with a name of its own, such as ``groups-1``."""
    for number, table in enumerate(content.tables, start=1):
        yield f"{section.name}-{number}", table


def estimate_of(cell: Cell) -> Estimate | None:
    """Return the number behind a cell with its interval; None where the cell is text."""
    if isinstance(cell, Shown):
        return cell.of
    if isinstance(cell, str):
        return None
    return cell if isinstance(cell, Estimate) else Estimate(float(cell))
