"""The tables of a report as CSV, for spreadsheets: numbers in full, labels that are no formulas.

A spreadsheet runs a cell that begins with ``=``, ``+``, ``-`` or ``@``, and an account may be
called so. Such a *label* gets an apostrophe in front, which is how a spreadsheet writes text; a
number is written as a number and gets none.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence

from stress.report.document import Document, estimate_of, named_tables
from stress.report.read import Estimate
from stress.report.section import Cell, Column, Table
from stress.report.text import MISSING, UNITS, Shown

__all__ = ["INDEX", "csv_files", "csv_text", "harmless"]

INDEX = "index.csv"

_LINE = "\r\n"

_MARK = "\ufeff"
"""Byte order mark: without it a spreadsheet reads names that are not ASCII as another encoding."""

# at the start, and behind whatever some language's spreadsheet takes for the next cell or line;
# the last four are the full-width forms, which Japanese and Chinese editions obey
_FORMULA = re.compile("(^|[;|\t\r\n])([^\\S\t\r\n]*)(?=[=+\\-@\uff1d\uff0b\uff0d\uff20])")
_BLANK = re.compile("^(?=[\t\r\n])")


def harmless(text: str) -> str:
    """Return a label so that no spreadsheet takes it, or a part of it, for a formula.

    What begins with ``= + - @`` (after blanks too), a tab or a carriage return gets an apostrophe
    in front, at the start of the label and behind a separator inside it.
    """
    return _BLANK.sub("'", _FORMULA.sub(r"\1'\2", text))


def csv_text(table: Table) -> str:
    """Return a table as CSV; a column with intervals becomes ``x``, ``x, lower`` and ``x, upper``.

    Probabilities are shares of 1, amounts USD, whatever the page shows; a number that does not
    exist is an empty cell, an infinite one ``inf``. Where a column holds numbers of several units
    a further column has them as the page shows them.
    """
    cells = [[row[place] for row in table.rows] for place in range(len(table.columns))]
    written = [_column(*pair) for pair in zip(table.columns, cells, strict=True)]
    heads = [head for heads, _ in written for head in heads]
    rows = [
        [cell for _, columns in written for cell in columns[row]] for row in range(len(table.rows))
    ]
    return _lines([heads, *rows])


def csv_files(document: Document) -> dict[str, str]:
    """Return the CSV of every table by file name, and ``index.csv``, which says what is where."""
    files, index = {}, [["file", "section", "table"]]
    for section, content in document.parts:
        for name, table in named_tables(section, content):
            files[f"{name}.csv"] = csv_text(table)
            index.append([f"{name}.csv", section.title, table.caption])
    return {INDEX: _lines(index), **files}


def _column(column: Column, cells: Sequence[Cell]) -> tuple[list[str], list[list[str | float]]]:
    """Return the headings that a column becomes, and for each row the cells under them."""
    found = [estimate_of(cell) for cell in cells]
    if not any(found):
        return [column.title], [[str(cell)] for cell in cells]
    unit = UNITS[column.kind]
    mixed = any(isinstance(cell, Shown) for cell in cells)
    intervals = any(_has_interval(estimate) for estimate in found)
    heads = [f"{column.title} [{unit}]" if unit else column.title]
    heads += [f"{column.title}, {bound}" for bound in ("lower", "upper") if intervals]
    heads += [f"{column.title}, as shown"] if mixed else []
    rows: list[list[str | float]] = []
    for cell, estimate in zip(cells, found, strict=True):
        numbers = estimate or Estimate(math.nan)
        row: list[str | float] = [*(numbers if intervals else numbers[:1])]
        if estimate is None and not mixed and cell != MISSING:
            row[0] = str(cell)
        rows.append([*row, *([str(cell)] if mixed else [])])
    return heads, rows


def _has_interval(estimate: Estimate | None) -> bool:
    return estimate is not None and not (math.isnan(estimate.lower) and math.isnan(estimate.upper))


def _lines(rows: Iterable[Sequence[str | float]]) -> str:
    lines = (",".join(map(_written, row)) + _LINE for row in rows)
    return _MARK + "".join(lines)


def _written(cell: str | float) -> str:
    """Write a cell: text in quotes, so that a separator in it separates nothing."""
    if isinstance(cell, str):
        return '"' + harmless(cell).replace('"', '""') + '"'
    return "" if math.isnan(cell) else repr(float(cell))
