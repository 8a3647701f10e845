"""Numbers of the whole book that two runs are compared by, and where the result keeps them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from stress.result.comparison import Unit

__all__ = ["QUANTITIES", "Quantity", "Statistic"]

Statistic: TypeAlias = Literal["share", "any", "mean", "value at risk", "expected shortfall"]


@dataclass(frozen=True)
class Quantity:
    """One number of ``/book``, and what it is of the per-path table.

    Attributes
    ----------
    name, label
        Variable, and what people call it.
    unit
        Of it and of its difference.
    column, statistic
        Of ``/paths``: ``share`` is its mean over the number of accounts, ``any`` the probability
        that it is not 0.
    headline
        Whether it stands on the first page.
    """

    name: str
    label: str
    unit: Unit
    column: str
    statistic: Statistic
    headline: bool = False


def _mean(column: str, label: str, unit: Unit = "money", *, headline: bool = False) -> Quantity:
    return Quantity(f"expected_{column}", label, unit, column, "mean", headline)


def _tail(
    column: str, words: str, *, shortfall: bool = True, headline: bool = False
) -> list[Quantity]:
    at_risk = Quantity(
        f"{column}_value_at_risk", f"Value at risk of {words}", "money", column, "value at risk"
    )
    beyond = Quantity(
        f"{column}_expected_shortfall",
        f"Expected shortfall of {words}",
        "money",
        column,
        "expected shortfall",
        headline,
    )
    return [at_risk, beyond] if shortfall else [at_risk]


QUANTITIES: tuple[Quantity, ...] = (
    Quantity(
        "liquidation_probability",
        "Liquidation probability, mean over accounts",
        "probability",
        "liquidated_accounts",
        "share",
        headline=True,
    ),
    Quantity(
        "any_liquidation_probability",
        "At least one liquidation",
        "probability",
        "liquidated_accounts",
        "any",
        headline=True,
    ),
    _mean("total_loss", "Expected total loss", headline=True),
    *_tail("total_loss", "total loss", headline=True),
    _mean("cascade_loss", "Expected cascade loss", headline=True),
    *_tail("cascade_loss", "cascade loss", headline=True),
    _mean("net_loss", "Expected net loss"),
    *_tail("net_loss", "net loss"),
    Quantity(
        "fund_exhaustion_probability",
        "Insurance fund exhausted",
        "probability",
        "fund_exhausted",
        "any",
        headline=True,
    ),
    _mean("fund_draw", "Expected draw on the fund"),
    *_tail("fund_draw", "the draw on the fund", shortfall=False),
    _mean("uncovered_loss", "Expected uncovered loss", headline=True),
    *_tail("uncovered_loss", "uncovered loss", shortfall=False),
    _mean("liquidated_notional", "Expected notional liquidated"),
    _mean("liquidated_accounts", "Expected number of accounts liquidated", "count"),
    _mean("socialised_loss", "Expected socialised loss"),
    _mean("deleveraged_notional", "Expected notional deleveraged"),
    _mean("false_liquidations", "Expected number of false liquidations", "count"),
    _mean("over_closed_notional", "Expected notional over-closed"),
)
