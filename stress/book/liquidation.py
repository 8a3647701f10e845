"""The prices at which a pool is liquidated, one asset moving and the others standing still."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from stress.margin import liquidation_price, maintenance
from stress.types import Floats

__all__ = ["Holding", "safe_interval", "safe_intervals"]


@dataclass(frozen=True)
class Holding:
    """What one pool holds in one asset, and the excess of everything else in it.

    Attributes
    ----------
    rest
        Excess (equity minus maintenance margin) of the rest of the pool, USD, this asset's
        positions and coins counted as nothing.
    quantity, entry
        (positions,) signed quantities and entry prices.
    rate, amount
        (positions, tiers) requirement of each.
    coins
        Coins of the asset after haircut, in units.
    """

    rest: float
    quantity: Floats
    entry: Floats
    rate: Floats
    amount: Floats
    coins: float

    def at_ratio(self, ratio: float) -> Holding:
        """Return the holding whose breach is this one's reaching a margin ratio."""
        return replace(self, rate=self.rate / ratio, amount=self.amount / ratio)

    def excess(self, price: Floats) -> Floats:
        """Return the pool's excess at (n,) prices of the asset: concave and piecewise linear."""
        mark = np.asarray(price, float)[:, None]
        size = np.abs(self.quantity)
        required = maintenance(size * mark, self.rate, self.amount)
        profit = self.quantity * (mark - self.entry)
        return self.rest + (profit - required).sum(axis=1) + self.coins * mark[:, 0]


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


def safe_interval(holding: Holding) -> tuple[float, float]:
    """Return the open interval of prices in which the pool's excess is not negative.

    The excess is concave and linear between the prices at which a position enters another tier, so
    it has at most one root on each side of its maximum: both are found exactly on their segment.

    Returns
    -------
    (low, high) in USD; ``low`` is 0 where no fall liquidates, ``high`` is inf where no rise does,
    and both are NaN where the pool is in breach at every price.
    """
    knots = _knots(holding)
    # beyond the last knot the excess is linear: one more point gives its slope, and one of the size
    # of a price gives all its digits
    beyond = 2.0 * max(knots[-1] if knots.size else 0.0, holding.entry.max())
    points = np.concatenate([[0.0], knots, [beyond]])
    excess = holding.excess(points)
    slope = np.diff(excess) / np.diff(points)
    best = int(np.argmax(excess))
    rising_for_ever = slope[-1] > 0
    if excess[best] < 0 and not rising_for_ever:
        return np.nan, np.nan
    low = 0.0 if excess[0] >= 0 else _root(points, excess, slope, rising=True)
    high = np.inf if slope[-1] >= 0 else _root(points, excess, slope, rising=False)
    return low, high


def _knots(holding: Holding) -> Floats:
    """Return the sorted positive prices at which some position passes from tier to tier."""
    size = np.abs(holding.quantity)
    rate_step = np.diff(holding.rate, axis=1)
    amount_step = np.diff(holding.amount, axis=1)
    real = rate_step > 0
    floors = np.where(real, amount_step, 0.0) / np.where(real, rate_step, 1.0)
    prices = np.where(
        real & (size > 0)[:, None], floors / np.where(size > 0, size, 1.0)[:, None], 0
    )
    return np.unique(prices[prices > 0])


def _root(points: Floats, excess: Floats, slope: Floats, *, rising: bool) -> float:
    """Return the root on the segment where the excess passes 0 upward or downward."""
    if rising:
        safe = np.flatnonzero(excess >= 0)
        segment = int(safe[0]) - 1 if safe.size else len(slope) - 1
    else:
        segment = int(np.flatnonzero(excess >= 0)[-1])
        segment = min(segment, len(slope) - 1)
    return float(points[segment] - excess[segment] / slope[segment])
