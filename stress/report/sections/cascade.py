"""What forced flow adds: the multiplier, the fund, prices, and the accounts that it takes along."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from stress.report import figures
from stress.report.figures.price_overshoot import overshooting_assets
from stress.report.figures.shares import share
from stress.report.read import (
    dataset,
    estimates,
    has,
    has_values,
    labels,
    largest,
    numbers,
)
from stress.report.section import Cell, Column, Content, Drawing, Section, Table
from stress.report.sections.measures import COUNT, Measure, is_above_zero, measure_rows
from stress.report.text import level_name, plural, shown

__all__ = ["SECTION"]

_MOST_ACCOUNTS = 20

_MEASURES: tuple[Measure, ...] = (
    ("Cascade multiplier", "ratio", "cascade_multiplier"),
    ("Expected cascade loss", "money", "expected_cascade_loss"),
    ("Expected liquidated notional", "money", "expected_liquidated_notional"),
    ("Expected number of liquidated accounts", COUNT, "expected_liquidated_accounts"),
    ("Insurance fund exhausted", "probability", "fund_exhaustion_probability"),
    ("Expected fund draw", "money", "expected_fund_draw"),
    ("Fund draw, value at risk", "money", "fund_draw_value_at_risk"),
    ("Expected deleveraged notional", "money", "expected_deleveraged_notional"),
    ("Expected socialised loss", "money", "expected_socialised_loss"),
    ("Expected uncovered loss", "money", "expected_uncovered_loss"),
)

_STARTING: tuple[Measure, ...] = (
    ("Depth, 1 %", "money", "depth_1pct"),
    ("Reproduction number", "ratio", "reproduction_number"),
)
"""What is known of an asset before anything is simulated."""

_CHANGE = "liquidation_probability_change"


_FEEDBACK = (
    "A liquidation is an order: it moves the price, and the price liquidates others. Every path "
    "was run with and without that feedback; the difference is the cascade."
)
_NO_FEEDBACK = (
    "Forced orders move no price in this scenario, so nothing is liquidated by feedback. What is "
    "closed, and who pays for what collateral does not cover:"
)


def _applies(tree: xr.DataTree) -> bool:
    return _has_feedback(tree) or has_values(tree, "book", "expected_fund_draw")


def _has_feedback(tree: xr.DataTree) -> bool:
    return has(tree, "book", "expected_cascade_loss")


def _overshoots(tree: xr.DataTree) -> bool:
    """Say whether forced flow carries any mark anywhere."""
    if not has(tree, "assets", "price_overshoot_mean"):
        return False
    return bool((numbers(dataset(tree, "assets"), "price_overshoot_mean") > 0).any())


def _warnings(tree: xr.DataTree) -> tuple[str, ...]:
    if not is_above_zero(tree, "book", "rounds_exhausted_probability"):
        return ()
    often = estimates(dataset(tree, "book"), "rounds_exhausted_probability").at()
    return (
        f"On {shown('probability', often)} of the paths a step ran out of rounds while pools were "
        "still to be closed; what was left went on in the next step, at its prices. A "
        "higher venue.rounds_per_step shows whether that matters.",
    )


def _spread(tree: xr.DataTree) -> tuple[Drawing, ...]:
    """Return how the multiplier and the fund's draw spread over the paths."""
    found = []
    if _has_distribution(tree, "cascade_multiplier"):
        counted = int(np.nansum(numbers(dataset(tree, "distribution"), "cascade_multiplier_paths")))
        found.append(
            Drawing(
                "cascade-multiplier",
                figures.cascade_multiplier_distribution(tree),
                "Notional closed with feedback over notional closed without, on the same path: "
                f"{plural(counted, 'path')} on which anything is closed without feedback. The "
                "solid line is the ratio of the sums over all paths.",
            )
        )
    draws = not has(tree, "book", "expected_fund_draw") or is_above_zero(
        tree, "book", "expected_fund_draw"
    )
    if draws and _has_distribution(tree, "fund_draw"):
        found.append(
            Drawing(
                "fund-draw",
                figures.fund_draw_distribution(tree),
                "What the insurance fund pays for deficits on a path, before the fees that it "
                "takes in.",
            )
        )
    return tuple(found)


def _has_distribution(tree: xr.DataTree, name: str) -> bool:
    return has_values(tree, "distribution", f"{name}_edges", f"{name}_paths")


def _drawings(tree: xr.DataTree) -> tuple[Drawing, ...]:
    found = list(_spread(tree))
    if has_values(tree, "course", "liquidated_notional_quantile"):
        found.append(
            Drawing(
                "liquidated-notional",
                figures.liquidated_notional_by_time(tree),
                "Notional liquidated by a time. Solid: the median over paths, shaded between "
                f"quantiles ({_quantiles(tree)}). Dashed: the mean, shaded its interval.",
            )
        )
    if _overshoots(tree):
        found.append(
            Drawing(
                "price-overshoot",
                figures.price_overshoot(tree),
                "How far forced flow carries a mark from its fundamental price at the worst moment "
                f"of a path. Lines are intervals of the mean.{_cut(tree)}",
            )
        )
    return tuple(found)


def _quantiles(tree: xr.DataTree) -> str:
    levels = sorted(numbers(dataset(tree, "course"), "quantile").tolist())
    pairs = [
        f"{level_name(levels[at])} to {level_name(levels[-1 - at])}"
        for at in range(len(levels) // 2)
    ]
    return ", ".join(pairs) or "none"


def _cut(tree: xr.DataTree) -> str:
    drawn, total = len(overshooting_assets(tree)), dataset(tree, "assets").sizes["asset"]
    return f" The {drawn} furthest of {total:,} assets are drawn." if drawn < total else ""


def _overshoot(tree: xr.DataTree) -> tuple[Table, ...]:
    if not _overshoots(tree):
        return ()
    data, order = dataset(tree, "assets"), overshooting_assets(tree)
    columns, parts = [Column("Asset"), Column("Overshoot, mean", "percent")], []
    mean = estimates(data, "price_overshoot_mean")
    if "price_overshoot_quantile" in data:
        levels, spread = numbers(data, "quantile"), numbers(data, "price_overshoot_quantile")
        for place in np.argsort(levels).tolist():
            columns.append(Column(f"Quantile {level_name(float(levels[place]))}", "percent"))
            parts.append(spread[:, place])
    for title, kind, name in _STARTING:
        if name in data:
            columns.append(Column(title, kind))
            parts.append(numbers(data, name))
    rows: list[tuple[Cell, ...]] = [
        (name, share(mean.at(asset)), *(float(part[asset]) for part in parts))
        for name, asset in zip(labels(data, "asset", order), order.tolist(), strict=True)
    ]
    return (Table("Price overshoot, the furthest first", tuple(columns), tuple(rows)),)


def _moved(tree: xr.DataTree) -> NDArray[np.intp]:
    """Return the accounts whose probability feedback changes most, the largest rise first."""
    change = estimates(dataset(tree, "accounts"), _CHANGE).value
    most = largest(np.abs(change), _MOST_ACCOUNTS)
    most = most[change[most] != 0]
    return most[np.argsort(-change[most], kind="stable")]


def _accounts(tree: xr.DataTree) -> tuple[Table, ...]:
    if not has_values(tree, "accounts", _CHANGE):
        return ()
    data, order = dataset(tree, "accounts"), _moved(tree)
    if not len(order):
        return ()
    columns = [Column("Account"), Column("Group"), Column("Change by feedback", "difference")]
    parts = [estimates(data, _CHANGE)]
    for title, name in (
        ("With feedback", "liquidation_probability"),
        ("Without", "liquidation_probability_without_feedback"),
    ):
        if name in data:
            columns.append(Column(title, "probability"))
            parts.append(estimates(data, name))
    names, groups = labels(data, "account", order), labels(data, "group", order)
    rows: list[tuple[Cell, ...]] = [
        (name, group, *(part.at(account) for part in parts))
        for name, group, account in zip(names, groups, order.tolist(), strict=True)
    ]
    total = data.sizes["account"]
    most = f"The {len(rows)} of {total:,} accounts" if len(rows) < total else "Accounts"
    caption = f"{most} whose liquidation probability feedback changes most"
    return (Table(caption, tuple(columns), tuple(rows), sorted_by=2),)


def _quiet(tree: xr.DataTree) -> tuple[str, ...]:
    """Say what did not happen, where an empty figure would."""
    found = []
    book = dataset(tree, "book")
    if "expected_fund_draw" in book and float(book["expected_fund_draw"]) == 0:
        found.append("The insurance fund paid nothing on any path.")
    if has_values(tree, "accounts", _CHANGE) and not len(_moved(tree)):
        found.append("Feedback changes the liquidation probability of no account.")
    if "cascade_multiplier" in book and np.isnan(float(book["cascade_multiplier"])):
        found.append(
            "Nothing is closed without feedback on any path, so there is no cascade multiplier."
        )
    return tuple(found)


def _content(tree: xr.DataTree) -> Content:
    rows = measure_rows(tree, "book", _MEASURES)
    columns = (Column("Measure"), Column("Estimate", "number"))
    return Content(
        lead=(_FEEDBACK if _has_feedback(tree) else _NO_FEEDBACK,),
        warnings=_warnings(tree),
        figures=_drawings(tree),
        tables=(
            Table("The cascade in numbers", columns, tuple(map(tuple, rows))),
            *_overshoot(tree),
            *_accounts(tree),
        ),
        notes=(
            *_quiet(tree),
            "Cascade multiplier: notional closed with feedback over notional closed without, sums "
            "over all paths. Cascade loss: total loss with feedback minus total loss without, on "
            "the same path; it is negative where a price that comes back saves more than it costs. "
            "Overshoot: the largest distance of the logarithms of mark and fundamental price, "
            "which is about its share of the price. Deleveraged: profitable positions of others "
            "closed against those that the fund could not pay for. Socialised: deficits taken from "
            "the profits of others. Uncovered: deficits that nobody paid.",
        ),
    )


SECTION = Section("cascade", "Cascade", _applies, _content)
