"""What is allowed and worth knowing about a book before anything is simulated."""

from __future__ import annotations

import numpy as np

from stress.book.book import Book
from stress.book.display import accounts_in_breach, net_positions
from stress.book.pools import account_pools
from stress.book.setting import Setting
from stress.errors import ending
from stress.types import Mode

__all__ = ["starting_notices"]

_BALANCED = 1e-6
"""Net over gross position within which an asset's book counts as balanced."""


def starting_notices(book: Book, setting: Setting, modes: tuple[Mode, ...]) -> tuple[str, ...]:
    """Return sentences on accounts in breach and stops reached at the start, and on the book.

    Parameters
    ----------
    book, setting
        The book, and the market and venue.
    modes
        The worlds that are run.
    """
    notices = []
    for mode in modes:
        pools = account_pools(book, mode, setting.price, setting.haircut)
        broken = np.flatnonzero(accounts_in_breach(book, pools, setting))
        if broken.size:
            names = ending([book.accounts[account] for account in broken])
            notices.append(
                f"{broken.size} of {len(book.accounts)} accounts are in breach at the start "
                f"({mode}) and are liquidated at once: {names}"
            )
        missing = [book.accounts[account] for account in np.flatnonzero(~pools.exists)]
        if missing:
            notices.append(
                f"{len(missing)} of {len(book.accounts)} accounts have no {mode} counterpart: the "
                f"cross pool has no positive equity to divide: {ending(missing)}"
            )
    return (*notices, *_stops(book, setting), *_imbalance(book, setting))


def _stops(book: Book, setting: Setting) -> tuple[str, ...]:
    """Return a sentence on stops on the wrong side of the starting mark."""
    # no comparison with NaN holds
    beyond = (setting.price[book.position_asset] - book.stop_price) * np.sign(book.quantity) <= 0
    reached = [book.positions[position] for position in np.flatnonzero(beyond)]
    if not reached:
        return ()
    what = "1 stop is" if len(reached) == 1 else f"{len(reached)} stops are"
    return (
        f"{what} reached at the starting mark (a long's at or above it, a short's at or below), so "
        f"that the position is closed at the first step: {ending(reached)}",
    )


def _imbalance(book: Book, setting: Setting) -> tuple[str, ...]:
    net, gross = net_positions(book, setting)
    uneven = np.flatnonzero(np.abs(net) > _BALANCED * gross)
    if not uneven.size:
        return ()
    largest = uneven[np.argsort(-np.abs(net[uneven]), kind="stable")]
    names = [f"{setting.assets[asset]} {net[asset]:+,.0f} USD" for asset in largest]
    return (
        f"longs and shorts do not balance in {uneven.size} of {len(setting.assets)} assets, as "
        f"they would in a venue's whole book; net position {ending(names)}",
    )
