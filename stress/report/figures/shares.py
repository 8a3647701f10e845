"""Shares and mean counts with their intervals, as every figure and section writes them."""

from __future__ import annotations

import math
from dataclasses import replace

from stress.report.read import Estimate
from stress.report.text import Shown, shown

__all__ = ["mean_count", "share"]

_POINTS = "\u00a0points"
_PERCENT = "\u00a0%"


def share(estimate: Estimate) -> Shown:
    """Write a share that may be negative or above one: ``3.1 % (2.9 to 3.3)``."""
    return replace(_without_sign(estimate, _PERCENT), of=estimate)


def mean_count(estimate: Estimate) -> Shown:
    """Write a mean number of things: ``1.23 (1.19 to 1.27)``."""
    hundredth = Estimate(*(number / 100 for number in estimate))
    return replace(_without_sign(hundredth, ""), of=estimate)


def _without_sign(estimate: Estimate, unit: str) -> Shown:
    """Write hundreds of a number with the digits that its interval allows, as a difference has."""
    if math.isnan(estimate.value):
        return shown("difference", estimate)
    text = shown("difference", estimate)
    return Shown(text.value.removeprefix("+").removesuffix(_POINTS) + unit, text.interval)
