"""One bad path, replayed."""

from __future__ import annotations

import numpy as np
import xarray as xr

from stress.report import figures
from stress.report.figures.bad_path import replayed_assets
from stress.report.read import dataset, has, has_values, labels, numbers
from stress.report.section import Content, Drawing, Section
from stress.report.text import days, joined, plural, shown

__all__ = ["SECTION"]


def _applies(tree: xr.DataTree) -> bool:
    return has_values(tree, "replay", "mark", "fundamental_price")


def _number(tree: xr.DataTree) -> int | None:
    """Return the number of the path, None where the result does not say it."""
    number = dataset(tree, "replay").attrs.get("path")
    return None if number is None else int(number)


def _loss(tree: xr.DataTree) -> float:
    """Return the path's total loss, NaN where the result holds no such path."""
    number = _number(tree)
    if number is None or not has(tree, "paths", "total_loss"):
        return float("nan")
    losses = numbers(dataset(tree, "paths"), "total_loss")
    return float(losses[number]) if 0 <= number < len(losses) else float("nan")


def _which(tree: xr.DataTree) -> str:
    number, loss = _number(tree), _loss(tree)
    named = "This path" if number is None else f"Path {number:,}"
    lost = f", a total loss of {shown('money', loss)}" if np.isfinite(loss) else ""
    return (
        f"{named} stands at the 99th percentile of total loss{lost}: of a hundred paths about one "
        "is worse. It is one path, an example and no estimate."
    )


def _course(tree: xr.DataTree) -> str:
    """Say what had happened by the end of the path."""
    data, said = dataset(tree, "replay"), []
    if has_values(tree, "replay", "liquidated_accounts"):
        fallen = float(np.nan_to_num(numbers(data, "liquidated_accounts")[-1]))
        said.append(f"{plural(fallen, 'account')} liquidated")
    if has_values(tree, "replay", "liquidated_notional"):
        closed = float(numbers(data, "liquidated_notional")[-1])
        said.append(f"{shown('money', closed)} of positions closed")
    if has_values(tree, "replay", "fund"):
        fund = numbers(data, "fund")
        before, after = shown("money", float(fund[0])), shown("money", float(fund[-1]))
        said.append(f"the insurance fund at {after} after {before}")
    end = f"{float(numbers(data, 'step')[-1]):.3g}"
    return f"After {days(end)}: {joined(said)}." if said else ""


def _content(tree: xr.DataTree) -> Content:
    data = dataset(tree, "replay")
    drawn, total = replayed_assets(tree), data.sizes["asset"]
    names = joined(labels(data, "asset", drawn))
    apart = numbers(data, "mark") != numbers(data, "fundamental_price")
    some = len(drawn) < total and apart.any()
    which = f"{names}, which forced flow moves furthest" if some else names
    return Content(
        lead=tuple(filter(None, (_which(tree), _course(tree)))),
        figures=(
            Drawing(
                "bad-path",
                figures.bad_path(tree),
                f"Solid: the marks of {which}; dotted: their fundamental prices, which know "
                "nothing of the accounts. Both are 100 at the fundamental price of the start. "
                "Below: accounts and notional liquidated so far, and what the insurance fund "
                "holds.",
            ),
        ),
    )


SECTION = Section("replay", "One bad path", _applies, _content)
