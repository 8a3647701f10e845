"""Cross minus isolated on the same paths: the pairing removes most of the sampling error."""

from __future__ import annotations

from stress.measure.block import AccountBlock
from stress.measure.kept import merge
from stress.measure.moments import Moments
from stress.measure.world import Findings, Grouping

__all__ = ["PairedMeasure"]


class PairedMeasure:
    """Differences of liquidation probabilities, cross minus isolated, path by path.

    Parameters
    ----------
    grouping
        Groups of the accounts that exist in both worlds.
    """

    KEPT = ("account", "group", "book", "any")

    def __init__(self, grouping: Grouping) -> None:
        self.grouping = grouping
        self.account = Moments.init(len(grouping.member))
        self.group = Moments.init(grouping.groups)
        self.book = Moments.init()
        self.any = Moments.init()

    def update(self, cross: AccountBlock, isolated: AccountBlock) -> None:
        """Add one block of paths of both worlds."""
        exists = self.grouping.exists
        one, other = cross.liquidations, isolated.liquidations
        self.account.update_rows(lambda some: one.rows(some) - other.rows(some), cross.paths)
        self.group.update(self.grouping.mean_sparse(one) - self.grouping.mean_sparse(other))
        self.book.update(cross.liquidated_share(exists) - isolated.liquidated_share(exists))
        self.any.update(cross.any_hit(exists) - isolated.any_hit(exists))

    def merge(self, other: PairedMeasure) -> None:
        """Add the differences on later paths."""
        merge(self, other)

    def finish(self, confidence: float) -> Findings:
        """Return the differences with their intervals; NaN for an account in one world only."""
        account = self.account.finish_mean(confidence)
        return {
            "accounts": {"cross_minus_isolated": account.only(self.grouping.exists)},
            "groups": {"cross_minus_isolated": self.group.finish_mean(confidence)},
            "book": {
                "cross_minus_isolated": self.book.finish_mean(confidence),
                "cross_minus_isolated_any": self.any.finish_mean(confidence),
            },
        }
