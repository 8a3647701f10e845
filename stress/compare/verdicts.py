"""What can be said of a difference, in a word."""

from __future__ import annotations

import numpy as np

from stress.result.comparison import Bounded, Verdict

__all__ = ["FEWEST", "ratio_of_widths", "settled", "verdict_of"]

FEWEST = 20
"""Paths on which two runs differ from which a normal interval of their mean difference is given, as
``stats.tail`` asks of a shortfall: from fewer, how large such a difference is is not known."""


_ROUNDING = 1e-6
"""Share of a number below which its difference is rounding, such as another processor's."""


def verdict_of(change: Bounded, scale: float = 0.0) -> Verdict:
    """Return what the interval of a difference says.

    Parameters
    ----------
    change
        With its interval.
    scale
        The numbers that it is a difference of, the larger one's size: an interval within a
        millionth of it around 0 says "the same".
    """
    if max(abs(change.lower), abs(change.upper)) <= _ROUNDING * scale:
        return "the same"
    if change.lower > 0:
        return "up"
    if change.upper < 0:
        return "down"
    return "no difference can be told"


def settled(
    change: Bounded, differing: int, scale: float, *, mean: bool
) -> tuple[Bounded, Verdict]:
    """Return a paired difference and its verdict, its interval only where paths can give one.

    Parameters
    ----------
    change
        With its interval.
    differing
        Paths on which the two runs differ.
    scale
        As in ``verdict_of``.
    mean
        Whether the interval is a normal one, which knows nothing where no path, or hardly any,
        differs; that of a probability knows.
    """
    if mean and differing < FEWEST:
        change = Bounded(change.estimate)
    if differing == 0:
        return change, "no path differs"
    if mean and differing < FEWEST:
        return change, "too few paths differ"
    return change, verdict_of(change, scale)


def ratio_of_widths(wide: Bounded, narrow: Bounded) -> float:
    """Return how many times as wide one interval is as another; NaN where that says nothing."""
    widths = [bound.upper - bound.lower for bound in (wide, narrow)]
    if not np.isfinite(widths).all() or min(widths) <= 0:
        return float("nan")
    return float(widths[0] / widths[1])
