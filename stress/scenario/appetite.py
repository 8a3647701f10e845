"""The tables ``[appetite]``, what risk is declared to be bearable, and ``[analysis]``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, Field

from stress.errors import InputError
from stress.scenario.fields import (
    Filled,
    Inner,
    List,
    Name,
    NotNegative,
    Positive,
    Rate,
    Table,
    refuse,
)

__all__ = [
    "FROM_APPETITE",
    "NEEDS",
    "QUESTIONS",
    "Analysis",
    "Appetite",
    "Question",
    "Template",
    "with_limits_of_appetite",
]

Question: TypeAlias = Literal[
    "leverage",
    "trade-size",
    "open-interest",
    "book-scale",
    "fund",
    "maintenance-rate",
    "concentration",
    "remedies",
]

QUESTIONS: tuple[Question, ...] = (
    "leverage",
    "trade-size",
    "open-interest",
    "book-scale",
    "fund",
    "maintenance-rate",
    "concentration",
    "remedies",
)

NEEDS: dict[Question, str] = {
    "leverage": "account_liquidation_probability",
    "trade-size": "effective_risk_per_trade",
    "open-interest": "fund_exhaustion_probability",
    "book-scale": "fund_exhaustion_probability",
    "fund": "fund_exhaustion_probability",
    "maintenance-rate": "expected_uncovered_loss",
    "concentration": "fund_exhaustion_probability",
    "remedies": "account_liquidation_probability",
}
"""The key of ``[appetite]`` that each question is solved for."""

FROM_APPETITE = {
    "max_account_liquidation_probability": "account_liquidation_probability",
    "max_fund_exhaustion_probability": "fund_exhaustion_probability",
}
"""The keys of ``[limits]`` that may be taken from the appetite, and from which of its keys."""


def with_limits_of_appetite(raw: Mapping[str, Any], file: object = None) -> dict[str, Any]:
    """Return a scenario, read but not validated, whose limits say no "appetite" any more.

    Raises
    ------
    InputError
        A limit is taken from an appetite that does not state it.
    """
    limits, appetite = raw.get("limits"), raw.get("appetite")
    if not isinstance(limits, Mapping):
        return dict(raw)
    stated = appetite if isinstance(appetite, Mapping) else {}
    taken = {}
    for key, source in FROM_APPETITE.items():
        if limits.get(key) != "appetite":
            continue
        if source not in stated:
            raise InputError(
                f"is taken from the appetite, which states no {source}",
                file=None if file is None else str(file),
                key=f"limits.{key}",
                remedy=f"state appetite.{source}, or give a number",
            )
        taken[key] = stated[source]
    return {**raw, "limits": {**limits, **taken}} if taken else dict(raw)


def _distinct(names: tuple[Question, ...]) -> tuple[Question, ...]:
    for name in names:
        if names.count(name) > 1:
            raise refuse(f'"{name}" stands there twice', "name each question once")
    return names


def _distinct_names(templates: tuple[Template, ...]) -> tuple[Template, ...]:
    names = [template.name for template in templates]
    for name in names:
        if names.count(name) > 1:
            raise refuse(f'template "{name}" stands there twice', "give each a name of its own")
    return templates


def _not_all_zero(weights: dict[str, float]) -> dict[str, float]:
    if not any(weights.values()):
        raise refuse("weights must not all be 0", "give at least one asset a weight")
    return weights


class Template(Table):
    """A book that nobody holds yet, whose largest leverage is asked for."""

    name: Name = Field(description="name of the template", examples=["btc-eth-pair"])
    weights: Annotated[dict[str, Rate], AfterValidator(_not_all_zero)] = Field(
        description="share of the gross notional by asset, signed; only their ratios count",
        examples=[{"BTC": 1.0, "ETH": -1.0}],
    )
    collateral: Positive = Field(
        default=10_000.0,
        description="cash behind it in USD: tiers depend on the size; above 0",
    )


class Appetite(Table):
    """The risk that is bearable, and the limits that are solved for it."""

    confidence: Inner = Field(
        default=0.95,
        description="confidence with which a limit keeps the appetite, above 0 and below 1",
    )
    account_liquidation_probability: Inner | None = Field(
        default=None,
        description="highest probability that an account is liquidated by the horizon, between "
        "0 and 1",
    )
    effective_risk_per_trade: Inner | None = Field(
        default=None,
        description="highest effective risk of one trade, as a share of its account's equity, "
        "such as 0.01",
    )
    fund_exhaustion_probability: Inner | None = Field(
        default=None,
        description="highest probability that the insurance fund does not pay a deficit in full, "
        "between 0 and 1",
    )
    expected_uncovered_loss: Positive | None = Field(
        default=None,
        description="highest expected loss beyond bankruptcy, USD, above 0",
    )
    solve: Annotated[Filled[Question], AfterValidator(_distinct)] = Field(
        default=QUESTIONS, description="the questions that are answered, in this order"
    )
    template: Annotated[List[Template], AfterValidator(_distinct_names)] = Field(
        default=(), description="books that nobody holds yet"
    )
    capital_cost: NotNegative = Field(
        default=0.10,
        description="what cash costs its owner a year, a share of it: prices a top-up",
    )
    trading_cost: NotNegative = Field(
        default=0.001,
        description="what a trade costs, a share of its notional: prices a cut and a hedge",
    )


class Analysis(Table):
    """What a run works out besides the main numbers, on the same paths."""

    curves: bool = Field(
        default=True,
        description="true or false: liquidation probability as a curve over collateral and size",
    )
    sensitivities: bool = Field(
        default=False,
        description="true or false: what small changes of books and market do to the numbers",
    )
    reverse_stress: bool = Field(
        default=False,
        description="true or false: the most likely moves that liquidate, and typical paths to it",
    )
    leave_one_out: Annotated[int, Field(ge=0)] = Field(
        default=0,
        description="of so many accounts: what the others' loss would be without each, at least 0",
    )
