"""The prices at which a pool is liquidated, one asset moving and the others standing still."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from stress.margin import liquidation_price, maintenance
from stress.types import Floats, Integers

__all__ = ["common_intervals", "rows_by_size", "safe_intervals"]

_AT_ONCE = 1 << 20
"""Numbers of one kind that are looked at at once."""


def safe_intervals(
    rest: Floats, quantity: Floats, entry: Floats, rate: Floats, amount: Floats
) -> tuple[Floats, Floats]:
    """Return (low, high) for holdings of one position and no coins: closed form, all at once.

    Parameters and shapes as ``margin.liquidation_price``; ``low`` is 0 where no fall liquidates,
    ``high`` is inf where no rise does.
    """
    price = liquidation_price(rest, quantity, entry, rate, amount)
    is_long = quantity > 0
    return np.where(is_long, np.maximum(price, 0.0), 0.0), np.where(is_long, np.inf, price)


def common_intervals(
    rest: Floats, quantity: Floats, entry: Floats, rate: Floats, amount: Floats, coins: Floats
) -> tuple[Floats, Floats]:
    """Return the open intervals of prices in which pools' excess is not negative.

    The excess is concave and linear between the prices at which a position enters another tier, so
    it has at most one root on each side of its maximum: both are found exactly on their segment.

    Parameters
    ----------
    rest
        (holdings,) excess of everything else in the pool, USD, this asset's positions and coins
        counted as nothing.
    quantity, entry
        (holdings, positions) signed quantities and entry prices: as many positions of the asset in
        each.
    rate, amount
        (holdings, positions, tiers) requirement of each.
    coins
        (holdings,) coins of the asset after haircut, in units.

    Returns
    -------
    (holdings,) low and high in USD; ``low`` is 0 where no fall liquidates, ``high`` is inf where no
    rise does, and both are NaN where the pool is in breach at every price.
    """
    parts = (rest, quantity, entry, rate, amount, coins)
    held = max(1, rate.shape[1] * rate.shape[1] * rate.shape[2])
    low, high = np.empty(len(rest)), np.empty(len(rest))
    for start in range(0, len(rest), max(1, _AT_ONCE // held)):
        some = slice(start, start + max(1, _AT_ONCE // held))
        low[some], high[some] = _intervals(*(part[some] for part in parts))
    return low, high


def rows_by_size(group_of_row: Integers) -> Iterator[tuple[Integers, Integers]]:
    """Yield groups of as many rows together: (groups,) their numbers, (groups, size) their rows.

    Rows of a group stand in their order; a negative number is no group.
    """
    rows = np.flatnonzero(group_of_row >= 0)
    rows = rows[np.argsort(group_of_row[rows], kind="stable")]
    groups, begin, sizes = np.unique(group_of_row[rows], return_index=True, return_counts=True)
    for size in np.unique(sizes):
        mine = sizes == size
        yield groups[mine], rows[begin[mine][:, None] + np.arange(size)]


def _intervals(
    rest: Floats, quantity: Floats, entry: Floats, rate: Floats, amount: Floats, coins: Floats
) -> tuple[Floats, Floats]:
    knots = _knots(quantity, rate, amount)
    # beyond the last knot the excess is linear: one more point gives its slope, and one of the size
    # of a price gives all its digits
    beyond = 2.0 * np.maximum(knots.max(axis=1, initial=0.0), entry.max(axis=1))
    points = np.concatenate([np.zeros((len(rest), 1)), knots, beyond[:, None]], axis=1)
    marks = points[:, None, :]
    notional = np.abs(quantity)[:, :, None] * marks
    required = maintenance(notional, rate[:, :, None], amount[:, :, None])
    profit = quantity[:, :, None] * (marks - entry[:, :, None])
    excess = rest[:, None] + (profit - required).sum(axis=1) + coins[:, None] * points
    width = np.diff(points, axis=1)
    slope = np.where(width > 0, np.diff(excess, axis=1) / np.where(width > 0, width, 1.0), 0.0)

    def root(segment: Integers) -> Floats:
        """Return the root on the (holdings,) segments."""
        at = (np.arange(len(rest)), segment)
        level = slope[at] == 0
        moved = excess[at] / np.where(level, 1.0, slope[at])
        return np.where(level, np.nan, points[at] - moved)

    last, safe = points.shape[1] - 1, excess >= 0
    any_safe, endless = safe.any(axis=1), slope[:, -1]
    rising = np.where(any_safe, np.argmax(safe, axis=1) - 1, last - 1)
    falling = np.minimum(last - np.argmax(safe[:, ::-1], axis=1), last - 1)
    low = np.where(safe[:, 0], 0.0, root(np.maximum(rising, 0)))
    high = np.where(endless >= 0, np.inf, root(falling))
    never = ~any_safe & ~(endless > 0)
    return np.where(never, np.nan, low), np.where(never, np.nan, high)


def _knots(quantity: Floats, rate: Floats, amount: Floats) -> Floats:
    """Return (holdings, knots) ascending prices at which a position changes tier; 0 for none."""
    size = np.abs(quantity)[:, :, None]
    rate_step, amount_step = np.diff(rate, axis=2), np.diff(amount, axis=2)
    real = (rate_step > 0) & (size > 0)
    floors = np.where(real, amount_step, 0.0) / np.where(real, rate_step, 1.0)
    prices = np.where(real, floors / np.where(size > 0, size, 1.0), 0.0)
    return np.sort(np.maximum(prices, 0.0).reshape(len(quantity), -1), axis=1)
