"""The calibration page: the history against every model, in one HTML file."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from stress.report.calibration.findings import CalibrationFindings
from stress.report.calibration.sections import SECTIONS
from stress.report.page import Heading, page_of, write_page

__all__ = ["render_calibration", "write_calibration_page"]


def render_calibration(found: CalibrationFindings) -> str:
    """Return the calibration page; it needs nothing from outside, as the report of a run."""
    heading = Heading(found.title, found.created, found.source, found.as_of)
    return page_of(heading, [(part, part.content(found)) for part in SECTIONS])


def write_calibration_page(found: CalibrationFindings, path: str | PathLike[str]) -> Path:
    """Write the page to ``path``, whole or not at all, and return the path."""
    return write_page(render_calibration(found), path)
