"""In which order positions are closed, as the rules say it in words."""

from __future__ import annotations

import numpy as np
import pytest

from stress.venue.orders import LargestLoss, LargestMargin, LargestNotional, Order, ProRata

from .slow import PAIRS, SLOTS, pools, required


@pytest.mark.parametrize(
    ("order", "quantity"),
    [
        (LargestLoss(), "profit"),
        (LargestMargin(), "required"),
        (LargestNotional(), "notional"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_order(order: Order, quantity: str) -> None:
    """Losers from the largest loss on, then winners from the smallest profit; else by size."""
    some, pool = pools(8)
    held, mark = np.asarray(some.quantity), np.asarray(pool.mark)
    known = {
        "profit": held * (mark - np.asarray(some.entry)),
        "required": -required(np.asarray(some.asset), np.abs(held) * mark),
        "notional": -np.abs(held) * mark,
    }[quantity]
    rank = np.asarray(order.rank(pool))
    assert rank.shape == (SLOTS, PAIRS) and not order.together
    for pair in range(PAIRS):
        open_ = np.flatnonzero(held[:, pair])
        by_rule = sorted(open_.tolist(), key=lambda slot: float(known[slot, pair]))
        assert sorted(open_.tolist(), key=lambda slot: float(rank[slot, pair])) == by_rule


def test_pro_rata_has_no_first() -> None:
    assert ProRata().together
