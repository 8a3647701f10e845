"""Liquidation through time."""

from __future__ import annotations

import xarray as xr

from stress.report import figures
from stress.report.figures.style import group_styles
from stress.report.read import dataset, has_values
from stress.report.section import Content, Drawing, Section

__all__ = ["SECTION"]


def _applies(tree: xr.DataTree) -> bool:
    return has_values(tree, "groups", "liquidation_probability_by_step")


def _content(tree: xr.DataTree) -> Content:
    drawn, total = len(group_styles(tree)), dataset(tree, "groups").sizes["group"]
    cut = f" The {drawn} worst of {total} groups are drawn." if drawn < total else ""
    return Content(
        lead=("When liquidations happen within the horizon.",),
        figures=(
            Drawing(
                "liquidation-by-time",
                figures.liquidation_by_time(tree),
                "Share of each group's accounts that have been liquidated by a time, mean over "
                f"paths. Shaded: intervals, each for its own time.{cut}",
            ),
        ),
    )


SECTION = Section("time", "Through time", _applies, _content)
