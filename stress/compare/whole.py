"""Differences of the numbers of the whole book."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import xarray as xr

from stress.compare.facts import bounded, group_of, numbers
from stress.compare.quantities import QUANTITIES, Quantity
from stress.compare.verdicts import ratio_of_widths, settled, verdict_of
from stress.result.comparison import Bounded, Difference, Pairing, Verdict
from stress.stats.confidence import Confidence
from stress.stats.differences import (
    paired_mean,
    paired_probability,
    paired_quantile,
    paired_shortfall,
    recovered_difference,
)
from stress.types import Floats

__all__ = ["book_differences", "correlation_of", "recovered"]


def book_differences(
    one: xr.DataTree, other: xr.DataTree, pairing: Pairing
) -> tuple[Difference, ...]:
    """Return the difference of every number that both runs have."""
    return tuple(
        _difference(quantity, level, one, other, pairing)
        for quantity in QUANTITIES
        for level in _levels(quantity, one, other)
    )


def _levels(quantity: Quantity, one: xr.DataTree, other: xr.DataTree) -> Iterator[float]:
    """Yield NaN for a number that both runs have, or the levels that both have it at."""
    books = [group_of(tree, "book") for tree in (one, other)]
    if not all(quantity.name in book for book in books):
        return
    if any("level" in book[quantity.name].dims for book in books):
        levels = [set(numbers(book, "level").tolist()) for book in books]
        yield from sorted(levels[0] & levels[1])
    else:
        yield float("nan")


def _difference(
    quantity: Quantity, level: float, one: xr.DataTree, other: xr.DataTree, pairing: Pairing
) -> Difference:
    before, after = (_reported(tree, quantity.name, level) for tree in (one, other))
    apart = recovered(before, after, correlation_of(pairing))
    scale = max(abs(before.estimate), abs(after.estimate))
    change, verdict = apart, verdict_of(apart)
    if pairing.how == "paired" and all(_has(tree, quantity.column) for tree in (one, other)):
        change, verdict = _paired(quantity, level, one, other, pairing, scale)
    elif pairing.shared == "everything":
        change, verdict = Bounded(0.0, 0.0, 0.0), "the same"
    # the widest level, or the only one, is what the first page has room for
    last = np.isnan(level) or level == max(_levels(quantity, one, other))
    return Difference(
        name=quantity.name,
        level=level,
        label=quantity.label,
        unit=quantity.unit,
        headline=quantity.headline and bool(last),
        one=before,
        other=after,
        change=change,
        verdict=verdict,
        narrower=ratio_of_widths(recovered(before, after), change)
        if pairing.how == "paired"
        else float("nan"),
    )


def _reported(tree: xr.DataTree, name: str, level: float) -> Bounded:
    """Return a number of the book as the run's own report gives it."""
    book = group_of(tree, "book")
    value, bounds = numbers(book, name), numbers(book, f"{name}_interval")
    if np.isnan(level):
        return bounded(value, bounds)
    place = int(np.flatnonzero(numbers(book, "level") == level)[0])
    return bounded(value[place], bounds[place])


def correlation_of(pairing: Pairing) -> float:
    """Return the correlation of two estimates that an interval of their difference allows for."""
    return 0.0 if pairing.how == "independent" else -1.0


def recovered(
    one: Bounded, other: Bounded, correlation: float = 0.0, stretch: float = 1.0
) -> Bounded:
    """Return a difference from two intervals, each ``stretch`` times as wide as it is."""
    sides = []
    for side in (one, other):
        value, bounds = np.array(side.estimate), np.array([side.lower, side.upper])
        sides.append((value, value + (bounds - value) * stretch))
    return bounded(*recovered_difference(*sides[0], *sides[1], correlation))


def _has(tree: xr.DataTree, column: str) -> bool:
    return column in group_of(tree, "paths")


def _paired(
    quantity: Quantity,
    level: float,
    one: xr.DataTree,
    other: xr.DataTree,
    pairing: Pairing,
    scale: float,
) -> tuple[Bounded, Verdict]:
    """Return the difference on the paths that both runs have."""
    before, after = (_column(tree, quantity, pairing.paths) for tree in (one, other))
    apart = before != after
    if pairing.shared == "everything" and not apart.any():
        return Bounded(0.0, 0.0, 0.0), "the same"
    confidence = Confidence(pairing.confidence, pairing.design_effect)
    if quantity.statistic == "any":
        hit, other_hit = before != 0, after != 0
        only = ((hit & ~other_hit).sum(), (other_hit & ~hit).sum())
        found = paired_probability(*only, pairing.paths, confidence)
        return settled(bounded(*found), int(sum(only)), scale, mean=False)
    if quantity.statistic == "value at risk":
        found = paired_quantile(before, after, level, confidence)
    elif quantity.statistic == "expected shortfall":
        found = paired_shortfall(before, after, level, confidence)
        # what happens below the quantile says nothing of the mean beyond it
        apart &= (before > np.quantile(before, level)) | (after > np.quantile(after, level))
    else:
        found = paired_mean(before, after, confidence)
    return settled(bounded(*found), int(apart.sum()), scale, mean=True)


def _column(tree: xr.DataTree, quantity: Quantity, paths: int) -> Floats:
    """Return (paths,) numbers whose mean, or whose tail, the quantity is."""
    found = numbers(group_of(tree, "paths"), quantity.column)[:paths]
    return found / _existing(tree) if quantity.statistic == "share" else found


def _existing(tree: xr.DataTree) -> int:
    """Return how many accounts exist in the main world."""
    data = group_of(tree, "accounts")
    if "liquidation_probability" not in data:
        return max(int(tree.attrs["accounts"]), 1)
    return max(int(np.isfinite(numbers(data, "liquidation_probability")).sum()), 1)
