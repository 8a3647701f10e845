"""A comparison as text for a terminal: the sections of the page, columns aligned."""

from __future__ import annotations

from collections.abc import Sequence

from stress.compare.page import RUNS, parts_of, run_sentence
from stress.report.section import Cell, Table
from stress.report.text import Kind, shown
from stress.result.comparison import Comparison

__all__ = ["text_of"]

_MOST_ROWS = 12
"""Rows of a table that a terminal shows; the page and ``--json`` have more."""

_WIDEST = 44


def text_of(comparison: Comparison) -> str:
    """Return a comparison as text without a line break at the end."""
    runs = (comparison.one, comparison.other)
    lines = [_clean(run_sentence(name, run)) for name, run in zip(RUNS, runs, strict=True)]
    for part, content in parts_of(comparison):
        if part.name == "method":
            continue
        said = (*content.lead, *(f"Note: {warning}" for warning in content.warnings))
        lines += ["", part.title, *map(_clean, said)]
        for table in content.tables:
            lines += ["", *_table_lines(table)]
    return "\n".join(lines)


def _table_lines(table: Table) -> list[str]:
    """Return caption, headings and the first rows of a table."""
    heads = [column.title for column in table.columns]
    rows = [
        [_cell(cell, column.kind) for cell, column in zip(row, table.columns, strict=True)]
        for row in table.rows[:_MOST_ROWS]
    ]
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    right = [column.kind not in ("text", "verdict") for column in table.columns]
    aligned = [_aligned(row, widths, right) for row in (heads, *rows)]
    left = len(table.rows) - len(rows)
    return [f"  {table.caption}", *aligned, *([f"    and {left:,} more"] if left else [])]


def _aligned(cells: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    padded = [
        cell.rjust(width) if to_right else cell.ljust(width)
        for cell, width, to_right in zip(cells, widths, right, strict=True)
    ]
    return ("    " + "  ".join(padded)).rstrip()


def _cell(cell: Cell, kind: Kind) -> str:
    text = _clean(str(shown(kind, cell)))
    return text if len(text) <= _WIDEST else text[: _WIDEST - 1] + "\u2026"


def _clean(text: str) -> str:
    """Return text without what moves a terminal's cursor or changes its colours."""
    plain = text.replace("\u00a0", " ")
    return "".join(mark if mark.isprintable() else "\ufffd" for mark in plain)
