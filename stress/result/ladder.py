"""The liquidation ladder under the names of the result."""

from __future__ import annotations

from stress.book.book import Book
from stress.book.ladder import liquidation_ladder
from stress.book.setting import Setting
from stress.measure.world import Findings
from stress.types import Mode

__all__ = ["ladder_findings"]


def ladder_findings(book: Book, setting: Setting, mode: Mode) -> Findings:
    """Return the groups ``ladder`` and ``assets``, the ladder's part of it, of a world.

    The labels of the dimension ``move`` are ``book.ladder.MOVES``.
    """
    ladder = liquidation_ladder(book, setting, mode)
    return {
        "assets": {
            "depth_1pct": ladder.depth,
            "reproduction_number": ladder.reproduction_number,
        },
        "ladder": {
            "liquidated_notional": ladder.liquidated_notional,
            "accounts": ladder.accounts,
            "market_liquidated_notional": ladder.market_liquidated_notional,
            "market_accounts": ladder.market_accounts,
            "reproduction_number_along": ladder.reproduction_number_along,
            "reproduction_number_fall": ladder.reproduction_number_fall,
            "reproduction_number_rise": ladder.reproduction_number_rise,
        },
    }
