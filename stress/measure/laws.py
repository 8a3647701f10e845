"""Two laws of price impact side by side on the same paths."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stress.measure.block import AccountBlock
from stress.measure.kept import merge
from stress.measure.moments import Moments
from stress.measure.ratio import RatioOfSums
from stress.measure.tail import UpperTail
from stress.measure.world import Findings, Grouping, Request
from stress.types import Floats

__all__ = ["LawMeasure"]

_PROBABILITIES = ("liquidation_probability", "fund_exhaustion_probability")
_MEANS = ("expected_total_loss", "expected_cascade_loss", "expected_uncovered_loss")


class LawMeasure:
    """The headlines of a world under each of several laws.

    Parameters
    ----------
    laws
        How many.
    grouping
        The accounts of the world.
    request
        Levels, confidence and the number of paths to come.
    """

    KEPT = ("moments", "difference", "multiplier", "tail")

    def __init__(self, laws: int, grouping: Grouping, request: Request) -> None:
        self.grouping, self.request = grouping, request
        self.moments = {name: Moments.init(laws) for name in (*_PROBABILITIES, *_MEANS)}
        self.difference = {name: Moments.init() for name in self.moments}
        self.multiplier = RatioOfSums(laws)
        self.tail = UpperTail(
            laws,
            request.paths,
            request.levels,
            request.confidence,
            "float64",
            keep=request.keep(min(request.levels)),
        )

    def update(self, laws: Sequence[AccountBlock], without: AccountBlock) -> None:
        """Add one block of paths under every law, and without impact."""
        exists = self.grouping.exists
        total = np.stack([block.total_loss(exists) for block in laws])
        cascade = total - without.total_loss(exists)
        columns: dict[str, Floats] = {
            "liquidation_probability": np.stack([of.liquidated_share(exists) for of in laws]),
            "fund_exhaustion_probability": np.stack([of.fund_exhausted for of in laws]),
            "expected_total_loss": total,
            "expected_cascade_loss": cascade,
            "expected_uncovered_loss": np.stack([of.uncovered for of in laws]),
        }
        for name, numbers in columns.items():
            self.moments[name].update(numbers.astype(np.float64))
            self.difference[name].update(numbers[-1].astype(np.float64) - numbers[0])
        closed = np.stack([block.closed for block in laws])
        self.multiplier.update(closed, np.broadcast_to(without.closed, closed.shape))
        self.tail.update(cascade)

    def merge(self, other: LawMeasure) -> None:
        """Add what was measured on later paths."""
        merge(self, other)

    def finish(self) -> Findings:
        """Return the estimates, the law first, and paired differences, last law minus first."""
        confidence, moments = self.request.confidence, self.moments
        at_risk, shortfall = self.tail.finish()
        return {
            "impact": {
                **{name: moments[name].finish_probability(confidence) for name in _PROBABILITIES},
                **{name: moments[name].finish_mean(confidence) for name in _MEANS},
                **{
                    f"{name}_difference": apart.finish_mean(confidence)
                    for name, apart in self.difference.items()
                },
                "cascade_loss_value_at_risk": at_risk,
                "cascade_loss_expected_shortfall": shortfall,
                "cascade_multiplier": self.multiplier.finish(confidence),
            }
        }
