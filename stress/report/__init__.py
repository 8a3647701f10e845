"""A result becomes one HTML page, or a figure at a time: ``stress.report.figures``.

Names are looked up on first use, so that importing the package does not import Plotly.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__all__ = ["figures", "render", "write"]


def __getattr__(name: str) -> Any:
    if name == "figures":
        return import_module("stress.report.figures")
    if name in ("render", "write"):
        return getattr(import_module("stress.report.page"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
