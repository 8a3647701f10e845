"""What the scenario lays over the price model, in words with its numbers."""

from __future__ import annotations

import xarray as xr

from stress.report.read import sentences
from stress.report.section import Content, Section
from stress.report.text import plural

__all__ = ["SECTION"]


def _applies(tree: xr.DataTree) -> bool:
    return bool(sentences(tree, "stress"))


def _content(tree: xr.DataTree) -> Content:
    overlays = sentences(tree, "stress")
    return Content(
        lead=(
            f"On every path {plural(len(overlays), 'overlay')} act on top of what the price model "
            "does. Probabilities on this page are given that this happens."
            if len(overlays) > 1
            else "On every path one overlay acts on top of what the price model does. "
            "Probabilities on this page are given that this happens.",
        ),
        items=overlays,
    )


SECTION = Section("stress", "Stress", _applies, _content)
