"""Declared limits against what was estimated."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stress.measure.moments import Estimate, Moments
from stress.measure.world import WorldMeasure
from stress.scenario.schema import Limits
from stress.types import Floats

__all__ = ["Judgement", "judge"]


@dataclass(frozen=True)
class Judgement:
    """One limit: the estimate it is judged by, its interval, and the verdict.

    ``breached``: the estimate is over the threshold. ``resolved``: the interval does not straddle
    it, so more paths would not be expected to change the verdict. ``where`` is the account or group
    that attains a maximum.
    """

    name: str
    value: float
    lower: float
    upper: float
    threshold: float
    where: str = ""

    @property
    def breached(self) -> bool:
        """Whether the estimate is over the threshold."""
        return self.value > self.threshold

    @property
    def resolved(self) -> bool:
        """Whether estimate and interval lie on one side of the threshold."""
        return self.upper <= self.threshold or (self.breached and self.lower > self.threshold)

    @property
    def kept(self) -> bool:
        """Whether the upper bound is not over the threshold."""
        return self.upper <= self.threshold


def judge(
    limits: Limits,
    measure: WorldMeasure,
    book: dict[str, Estimate | Floats],
    accounts: tuple[str, ...],
    groups: tuple[str, ...],
) -> tuple[Judgement, ...]:
    """Judge every declared limit by the main world.

    Parameters
    ----------
    limits
        The scenario's thresholds.
    measure
        What was measured of the main world.
    book
        Its finished estimates of the whole book.
    accounts, groups
        Labels.
    """
    judged = []
    confidence = measure.request.confidence
    threshold = limits.max_account_liquidation_probability
    if threshold is not None:
        largest = _largest(measure.by_account["liquidation"], confidence, measure.grouping.exists)
        judged.append(
            Judgement(
                "max_account_liquidation_probability",
                *largest[1:],
                threshold=threshold,
                where=accounts[largest[0]],
            )
        )
    named = limits.max_group_any_liquidation_probability
    for group, threshold in named.items():
        # each of several simultaneous statements gets its share of the error
        shared = 1 - (1 - confidence) / len(named)
        estimate = measure.by_group["any"].finish_probability(shared)
        number = groups.index(group)
        judged.append(
            Judgement(
                f"max_group_any_liquidation_probability.{group}",
                float(estimate.value[number]),
                *map(float, estimate.interval[number]),
                threshold=threshold,
                where=group,
            )
        )
    for name, variable in (
        ("max_expected_shortfall", "total_loss_expected_shortfall"),
        ("max_uncovered_loss", "uncovered_loss_value_at_risk"),
    ):
        threshold = getattr(limits, name)
        estimate = book[variable]
        if threshold is not None and isinstance(estimate, Estimate):
            judged.append(
                Judgement(
                    name,
                    float(estimate.value[-1]),
                    *map(float, estimate.interval[-1]),
                    threshold=threshold,
                )
            )
    return tuple(judged)


def _largest(
    moments: Moments, confidence: float, exists: np.ndarray
) -> tuple[int, float, float, float]:
    """Return the account with the largest estimate, and the estimate with a bound for the maximum.

    The upper bound is the largest of all accounts' upper bounds at the Bonferroni level, so with the
    stated confidence no account's probability is above it; the lower bound likewise.
    """
    shared = 1 - (1 - confidence) / max(int(exists.sum()), 1)
    estimate = moments.finish_probability(shared)
    value = np.where(exists, estimate.value, -1.0)
    account = int(np.argmax(value))
    bounds = np.where(exists[:, None], estimate.interval, 0.0)
    return account, float(value[account]), *map(float, bounds.max(axis=0))
