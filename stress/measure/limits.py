"""Declared limits against what was estimated."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stress.measure.moments import Estimate
from stress.measure.world import WorldMeasure
from stress.scenario.schema import Limits
from stress.stats.confidence import shared
from stress.types import Array, Floats

__all__ = ["Judgement", "judge"]


@dataclass(frozen=True)
class Judgement:
    """One limit, the estimate that it is judged by with its bounds, and the verdict.

    ``where`` is the account, group or asset that attains a maximum.
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
    assets: tuple[str, ...] = (),
    reproduction_number: Floats | None = None,
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
    accounts, groups, assets
        Labels.
    reproduction_number
        (assets,) of the starting book, NaN where an asset's depth is not known.
    """
    judged = [*_accounts(limits, measure, accounts), *_groups(limits, measure, groups)]
    for name, variable in (
        ("max_expected_shortfall", "total_loss_expected_shortfall"),
        ("max_uncovered_loss", "uncovered_loss_value_at_risk"),
        ("max_fund_exhaustion_probability", "fund_exhaustion_probability"),
        ("max_fund_draw", "fund_draw_value_at_risk"),
    ):
        threshold, estimate = getattr(limits, name), book.get(variable)
        if threshold is not None:
            assert isinstance(estimate, Estimate), variable
            # where there are levels the highest is judged
            value = float(estimate.value.reshape(-1)[-1])
            lower, upper = estimate.interval.reshape(-1, 2)[-1]
            judged.append(Judgement(name, threshold, value, float(lower), float(upper)))
    return (*judged, *_reproduction(limits, assets, reproduction_number))


def _reproduction(
    limits: Limits, assets: tuple[str, ...], numbers: Floats | None
) -> list[Judgement]:
    """Judge the largest asset's number: it follows from the book alone and has no interval.

    Where no asset has one, neither the limit nor its breach is known: it stays unresolved.
    """
    name, threshold = "max_reproduction_number", limits.max_reproduction_number
    if threshold is None:
        return []
    known = np.array([]) if numbers is None else np.where(np.isnan(numbers), -np.inf, numbers)
    if not (known > -np.inf).any():
        return [Judgement(name, threshold, np.nan, np.nan, np.nan)]
    largest = int(np.argmax(known))
    value = float(known[largest])
    return [Judgement(name, threshold, value, value, value, assets[largest])]


def _accounts(limits: Limits, measure: WorldMeasure, accounts: tuple[str, ...]) -> list[Judgement]:
    """Judge the largest account's probability.

    The bounds are the largest of all accounts' bounds at the Bonferroni level: with the stated
    confidence no account's probability is above the upper one.
    """
    threshold = limits.max_account_liquidation_probability
    exists = measure.grouping.exists
    if threshold is None or not exists.any():
        return []
    each = shared(measure.request.confidence, int(exists.sum()))
    estimate = measure.by_account["liquidation"].finish_probability(each)
    worst = int(np.argmax(np.where(exists, estimate.value, -1.0)))
    lower, upper = estimate.interval[exists].max(axis=0)
    name, value = "max_account_liquidation_probability", float(estimate.value[worst])
    return [Judgement(name, threshold, value, float(lower), float(upper), accounts[worst])]


def _groups(limits: Limits, measure: WorldMeasure, groups: tuple[str, ...]) -> list[Judgement]:
    """Judge every named group, each at its share of the error."""
    name = "max_group_any_liquidation_probability"
    thresholds = limits.max_group_any_liquidation_probability
    each = shared(measure.request.confidence, len(thresholds))
    estimate = measure.by_group["any"].finish_probability(each)
    judged = []
    for group, threshold in thresholds.items():
        number = groups.index(group)
        lower, upper = estimate.interval[number]
        value = float(estimate.value[number])
        judged.append(
            Judgement(f"{name}.{group}", threshold, value, float(lower), float(upper), group)
        )
    return judged
