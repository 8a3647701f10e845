"""How a venue decides against a leader who sees the marks of the moment, on the same paths."""

from __future__ import annotations

import numpy as np

from stress.measure.block import AccountBlock
from stress.measure.kept import merge
from stress.measure.moments import Estimate, Moments
from stress.measure.world import Findings, Grouping
from stress.types import Array, Floats

__all__ = ["DecisionMeasure"]

_PROBABILITIES = ("liquidation_probability", "any_liquidation_probability")
_MEANS = ("expected_total_loss", "expected_uncovered_loss", "expected_liquidated_notional")
_CASCADE = "expected_cascade_loss"


class DecisionMeasure:
    """The headlines of a world under a leader and under the venue's own rule, and differences.

    Parameters
    ----------
    grouping
        The accounts of the world.
    with_cascade
        Whether both rules were simulated without impact too, which a cascade loss needs.
    """

    KEPT = ("each", "difference")

    def __init__(self, grouping: Grouping, *, with_cascade: bool) -> None:
        self.grouping = grouping
        self.means = (*_MEANS, _CASCADE) if with_cascade else _MEANS
        names = (*_PROBABILITIES, *self.means)
        self.each = {name: Moments.init(2) for name in names}
        self.difference = {name: Moments.init() for name in names}

    def update(
        self,
        leader: AccountBlock,
        venue: AccountBlock,
        without: tuple[AccountBlock, AccountBlock] | None = None,
    ) -> None:
        """Add one block of paths; ``without`` is the leader's and the venue's without impact."""
        pairs = np.stack([self._headlines(block) for block in (leader, venue)], axis=1)
        names = (*_PROBABILITIES, *_MEANS)
        columns = dict(zip(names, pairs, strict=True))
        if without is not None:
            exists = self.grouping.exists
            spared = np.stack([block.total_loss(exists) for block in without])
            columns[_CASCADE] = columns["expected_total_loss"] - spared
        for name, moments in self.each.items():
            moments.update(columns[name])
            self.difference[name].update(columns[name][1] - columns[name][0])

    def _headlines(self, block: AccountBlock) -> Floats:
        """Return (names, paths), the names in the order of the lists above."""
        exists = self.grouping.exists
        return np.stack(
            [
                block.liquidated_share(exists),
                block.any_hit(exists),
                block.total_loss(exists),
                block.uncovered,
                block.closed,
            ]
        )

    def merge(self, other: DecisionMeasure) -> None:
        """Add what was measured on later paths."""
        merge(self, other)

    def finish(self, confidence: float) -> Findings:
        """Return (leader, venue) estimates, and paired differences, venue minus leader."""
        found: dict[str, Estimate | Array] = {}
        for name in _PROBABILITIES:
            found[name] = self.each[name].finish_probability(confidence)
        for name in self.means:
            found[name] = self.each[name].finish_mean(confidence)
        for name, moments in self.difference.items():
            found[f"{name}_difference"] = moments.finish_mean(confidence)
        return {"decision": found}
