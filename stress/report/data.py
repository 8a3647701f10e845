"""The report as JSON: its sentences and tables, every number with its interval."""

from __future__ import annotations

import json
import math
from typing import Any

from stress.report.document import Anchored, Document, estimate_of, named_tables
from stress.report.read import Estimate
from stress.report.section import Cell, Content, Headline, Table
from stress.report.text import UNITS, Shown, shown

__all__ = ["SCHEMA_VERSION", "json_text"]

SCHEMA_VERSION = 1
"""Raised when a program that reads the file would have to change."""


def json_text(document: Document) -> str:
    """Return the document as JSON.

    A number is ``{"value", "lower", "upper"}`` where it has an interval and stands by itself where
    it has none; what does not exist is null, an infinite number the text ``"Infinity"`` or
    ``"-Infinity"``, because JSON has no other. Shares and probabilities are shares of 1, amounts
    USD. A number that stands in a column of several units has its ``text`` beside it.
    """
    heading = document.heading
    content = {
        "schema_version": SCHEMA_VERSION,
        "title": heading.title,
        "created_at": heading.created,
        "source": heading.source,
        "as_of": heading.as_of or None,
        "sections": [
            {"name": section.name, "title": section.title, **_content(section, content)}
            for section, content in document.parts
        ],
    }
    return json.dumps(content, indent=1, allow_nan=False) + "\n"


def _content(section: Anchored, content: Content) -> dict[str, Any]:
    return {
        "lead": list(content.lead),
        "headlines": [_headline(headline) for headline in content.headlines],
        "warnings": list(content.warnings),
        "items": list(content.items),
        "figures": [
            {"name": drawing.name, "caption": drawing.caption} for drawing in content.figures
        ],
        "tables": [
            {"name": name, **_table(table)} for name, table in named_tables(section, content)
        ],
        "notes": list(content.notes),
        "verbatim": [{"title": part.title, "text": part.text} for part in content.verbatim],
    }


def _headline(headline: Headline) -> dict[str, Any]:
    return {
        "label": headline.label,
        "kind": headline.kind,
        "unit": UNITS[headline.kind] or None,
        "estimate": _number(headline.estimate),
        "text": str(shown(headline.kind, headline.estimate)),
    }


def _table(table: Table) -> dict[str, Any]:
    return {
        "caption": table.caption,
        "columns": [
            {"title": column.title, "kind": column.kind, "unit": UNITS[column.kind] or None}
            for column in table.columns
        ],
        "rows": [[_cell(cell) for cell in row] for row in table.rows],
    }


def _cell(cell: Cell) -> Any:
    estimate = estimate_of(cell)
    if estimate is None:
        return str(cell)
    if isinstance(cell, Shown):
        return {**_three(estimate), "text": str(cell)}
    return _number(estimate)


def _number(estimate: Estimate) -> Any:
    """Return a number with its bounds, or alone where it has none."""
    if math.isnan(estimate.lower) and math.isnan(estimate.upper):
        return _plain(estimate.value)
    return _three(estimate)


def _three(estimate: Estimate) -> dict[str, Any]:
    return {name: _plain(number) for name, number in estimate._asdict().items()}


def _plain(number: float) -> float | str | None:
    if math.isnan(number):
        return None
    if math.isinf(number):
        return "Infinity" if number > 0 else "-Infinity"
    return float(number)
