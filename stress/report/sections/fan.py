"""The margin ratio over time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import xarray as xr

from stress.report import figures
from stress.report.read import dataset, has_values, numbers
from stress.report.section import Content, Drawing, Section
from stress.report.text import joined, level_name, plural

__all__ = ["SECTION"]


def _applies(tree: xr.DataTree) -> bool:
    return has_values(tree, "fan", "margin_ratio_quantile")


def _content(tree: xr.DataTree) -> Content:
    scope = _scope(tree["fan"].attrs)
    quantiles = joined([level_name(q) for q in sorted(numbers(dataset(tree, "fan"), "quantile"))])
    return Content(
        lead=(
            "Maintenance margin over equity: at 1 an account is liquidated, at the warning level "
            f"it gets a margin call. {scope}".strip(),
        ),
        figures=(
            Drawing(
                "margin-ratio-fan",
                figures.margin_ratio_fan(tree),
                f"Margin ratio over time by group: quantiles {quantiles} over accounts and paths. "
                "The axis is logarithmic and ends at 2; a liquidated account counts as infinite "
                f"and is drawn there. {scope}".strip(),
            ),
        ),
    )


def _scope(attributes: Mapping[Any, Any]) -> str:
    """Return of what the fan is: it needs every account at many times, and so takes a sample."""
    parts = {"paths": "path", "accounts": "account"}
    known = [plural(attributes[key], noun) for key, noun in parts.items() if key in attributes]
    return f"Computed on {joined(known)} only." if known else ""


SECTION = Section("fan", "Margin ratio over time", _applies, _content)
