"""How near a path is to a rare event: the scores that splitting climbs.

A score says what is in the event, and among the others who is nearer. It rises continuously, so
that ties are rare: where the count that matters stands still, the loss of the whole book tells the
paths apart. A poor order costs accuracy, never truth (``sampling.splitting``).
"""

from __future__ import annotations

import numpy as np

from stress.measure.block import AccountBlock
from stress.types import Array, Floats

__all__ = ["IN_EVENT", "counts_beyond", "fund_score", "liquidation_score"]

IN_EVENT = float(np.finfo(np.float64).max)
"""Exceeded by the ``fund_score`` of a path on which the fund is exhausted, and of no other."""

_BELOW_ONE = 1 - 1e-9
"""Stays below one account when it is added to a million of them."""


def fund_score(block: AccountBlock, exists: Array, fund: float, capital: float) -> Floats:
    """Return how near each path is to exhausting the insurance fund.

    Infinite where a deficit was not paid in full. Else, where deficits exceeded fees, 1 plus the
    most by which they did as a share of the fund; and where they never did, the share that losses
    have in losses and capital.

    Parameters
    ----------
    block
        What became of the accounts.
    exists
        (accounts,) whose losses count.
    fund
        Its balance at the start, USD.
    capital
        Equity of all accounts at the start, USD, above 0.

    Returns
    -------
    (paths,) at least 0.
    """
    asked = 1 + block.fund_need / (fund if fund > 0 else capital)
    score = np.where(block.fund_need > 0, asked, _lost_share(block, exists, capital))
    return np.where(block.fund_exhausted, np.inf, score)


def liquidation_score(block: AccountBlock, exists: Array, capital: float) -> Floats:
    """Return how many of the accounts that exist are liquidated on each path, and a part of one.

    The part is the share that losses have in losses and capital.

    Parameters
    ----------
    block, exists, capital
        As in ``fund_score``.
    """
    part = np.minimum(_lost_share(block, exists, capital), _BELOW_ONE)
    return block.hits.of(exists).by_path() + part


def counts_beyond(shares: Floats, accounts: int) -> Floats:
    """Return the least ``liquidation_score`` that is more than each share of so many accounts.

    As numbers that such a score exceeds, and no score of fewer accounts.
    """
    counts = np.arange(accounts + 2)
    # the division and the comparison of ``measure.world``
    least = np.array([np.argmax(counts / max(accounts, 1) > share) for share in shares])
    return np.nextafter(least.astype(np.float64), 0.0)


def _lost_share(block: AccountBlock, exists: Array, capital: float) -> Floats:
    loss = block.total_loss(exists)
    return loss / (loss + capital)
