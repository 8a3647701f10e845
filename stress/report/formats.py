"""The files of a report: one document, written in the formats that are asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import xarray as xr

from stress.data.files import atomically
from stress.report.data import json_text
from stress.report.document import Document, document_of
from stress.report.markdown import markdown_text
from stress.report.page import html_text
from stress.report.tables import csv_files
from stress.result.comparison import Comparison
from stress.types import ReportFormat

__all__ = ["TABLES", "write_formats"]

TABLES = "tables"
"""Folder of the CSV files beside the other formats."""

_TEXTS: dict[str, tuple[str, Callable[[Document], str]]] = {
    "html": ("report.html", html_text),
    "json": ("report.json", json_text),
    "md": ("report.md", markdown_text),
}


def write_formats(
    tree: xr.DataTree,
    folder: Path,
    formats: Sequence[ReportFormat],
    previous: Comparison | None = None,
) -> tuple[Path, ...]:
    """Write the report of a result into a folder; each file is whole or not there.

    Parameters
    ----------
    formats
        ``html``, ``json`` and ``md`` are a file each, ``report.html`` and so on; ``csv`` is a
        folder ``tables`` with a file a table, and ``index.csv`` that says what each holds.
    previous
        How the run differs from the one before it.

    Returns
    -------
    Each format's file, or folder, in the order asked for.

    Raises
    ------
    OSError
        If the folder cannot be written to.
    """
    document = document_of(tree, previous)
    return tuple(_write(document, folder, name) for name in formats)


def _write(document: Document, folder: Path, name: ReportFormat) -> Path:
    if name == "csv":
        for file, text in csv_files(document).items():
            _put(folder / TABLES / file, text)
        return folder / TABLES
    file, writer = _TEXTS[name]
    return _put(folder / file, writer(document))


def _put(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    atomically(path, lambda part: part.write_text(text, encoding="utf-8", newline=""))
    return path
