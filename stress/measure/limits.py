"""Declared limits against what was estimated."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stress.measure.moments import Estimate
from stress.measure.world import WorldMeasure
from stress.scenario.schema import Limits
from stress.types import Array

__all__ = ["Judgement", "judge"]


@dataclass(frozen=True)
class Judgement:
    """One limit, the estimate that it is judged by with its bounds, and the verdict.

    ``where`` is the account or group that attains a maximum.
    """

    name: str
    threshold: float
    value: float
    lower: float
    upper: float
    where: str = ""

    @property
    def breached(self) -> bool:
        """Whether the estimate is over the threshold."""
        return self.value > self.threshold

    @property
    def resolved(self) -> bool:
        """Whether estimate and bounds lie on one side: more paths would not change the verdict."""
        return self.lower > self.threshold if self.breached else self.upper <= self.threshold


def judge(
    limits: Limits,
    measure: WorldMeasure,
    book: dict[str, Estimate | Array],
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
    judged = [*_accounts(limits, measure, accounts), *_groups(limits, measure, groups)]
    for name, variable in (
        ("max_expected_shortfall", "total_loss_expected_shortfall"),
        ("max_uncovered_loss", "uncovered_loss_value_at_risk"),
    ):
        threshold, estimate = getattr(limits, name), book[variable]
        if threshold is not None and isinstance(estimate, Estimate):
            lower, upper = estimate.interval[-1]
            judged.append(
                Judgement(name, threshold, float(estimate.value[-1]), float(lower), float(upper))
            )
    return tuple(judged)


def _accounts(limits: Limits, measure: WorldMeasure, accounts: tuple[str, ...]) -> list[Judgement]:
    """Judge the largest account's probability.

    The bounds are the largest of all accounts' bounds at the Bonferroni level: with the stated
    confidence no account's probability is above the upper one.
    """
    threshold = limits.max_account_liquidation_probability
    exists = measure.grouping.exists
    if threshold is None or not exists.any():
        return []
    shared = _bonferroni(measure.request.confidence, int(exists.sum()))
    estimate = measure.by_account["liquidation"].finish_probability(shared)
    worst = int(np.argmax(np.where(exists, estimate.value, -1.0)))
    lower, upper = estimate.interval[exists].max(axis=0)
    name, value = "max_account_liquidation_probability", float(estimate.value[worst])
    return [Judgement(name, threshold, value, float(lower), float(upper), accounts[worst])]


def _groups(limits: Limits, measure: WorldMeasure, groups: tuple[str, ...]) -> list[Judgement]:
    """Judge every named group, each at its share of the error."""
    name = "max_group_any_liquidation_probability"
    thresholds = limits.max_group_any_liquidation_probability
    shared = _bonferroni(measure.request.confidence, len(thresholds))
    estimate = measure.by_group["any"].finish_probability(shared)
    judged = []
    for group, threshold in thresholds.items():
        number = groups.index(group)
        lower, upper = estimate.interval[number]
        value = float(estimate.value[number])
        judged.append(
            Judgement(f"{name}.{group}", threshold, value, float(lower), float(upper), group)
        )
    return judged


def _bonferroni(confidence: float, statements: int) -> float:
    return 1 - (1 - confidence) / max(statements, 1)
