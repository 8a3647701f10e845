"""What looking at the closes alone finds: the lower bound beside that of the worst of each bar."""

from __future__ import annotations

from stress.measure.block import AccountBlock
from stress.measure.kept import merge
from stress.measure.moments import Moments
from stress.measure.world import Findings, Grouping

__all__ = ["ClosesMeasure"]


class ClosesMeasure:
    """Liquidation probabilities of accounts that are looked at at the end of each step only.

    Parameters
    ----------
    grouping
        The accounts of the world.
    """

    KEPT = ("account", "book")

    def __init__(self, grouping: Grouping) -> None:
        self.exists = grouping.exists
        self.account = Moments.init(len(grouping.member))
        self.book = Moments.init()

    def update(self, block: AccountBlock) -> None:
        """Add one block of paths, looked at at the closes."""
        self.account.update_sparse(block.liquidations)
        self.book.update(block.liquidated_share(self.exists))

    def merge(self, other: ClosesMeasure) -> None:
        """Add what was measured on later paths."""
        merge(self, other)

    def finish(self, confidence: float) -> Findings:
        """Return the probabilities; NaN for an account that does not exist in this world."""
        account = self.account.finish_probability(confidence).only(self.exists)
        name = "liquidation_probability_at_closes"
        return {
            "accounts": {name: account},
            "book": {name: self.book.finish_probability(confidence)},
        }
