"""How a venue closes pools, what that does to prices, and who pays: settings of the cascade."""

from __future__ import annotations

from dataclasses import dataclass

from stress.types import Amount, DecisionKind, Deleveraging, Floats, ImpactKind, Integers, Order

__all__ = ["VenueSetting"]


@dataclass(frozen=True)
class VenueSetting:
    """The venue's rules beyond requirement and fee. A is the number of assets, money in USD.

    Attributes
    ----------
    order, amount
        Which positions of a pool in breach are closed first, and how much in one round.
    step_fraction
        Share of a position that ``step`` closes in a round, above 0 and at most 1.
    buffer
        Share of the maintenance margin that ``restore`` leaves above it, at least 0.
    rounds
        Most rounds of look, close and settle in a step, at least 1.
    impact
        The law by which forced flow moves the mark.
    impact_coefficient
        Y of the square-root law: a day's volume moves the price by Y daily volatilities.
    adv
        (A,) USD traded a day.
    depth_1pct
        (A,) USD that move the price one percent. Where only one of ``adv`` and ``depth_1pct`` is
        stated the other is such that both laws agree on a move of one percent; NaN in both where
        neither is.
    permanent
        Share of a flow whose impact never decays, 0 to 1.
    relaxation_years
        Time in which the rest decays by a factor e, in years of 365 days.
    depth_elasticity
        Power by which depth falls as realised volatility rises over the stated one; 0: constant.
    fund
        Insurance fund at the start.
    funding_rate
        (A,) share of notional that longs pay at the end of every interval, shorts receive.
    funding_steps
        Steps of a funding interval; 0 where there is no funding.
    deleveraging
        What happens to a deficit that the fund does not pay.
    decision
        Whether one leader judges the pools, or shards by asset.
    latency
        Age in steps of the marks that a leader sees.
    lag
        Age in steps of the marks that a shard sees of the other shards' assets.
    shard
        (A,) index of each asset's shard, 0 to the number of shards less one; all 0 under a leader.
    """

    order: Order
    amount: Amount
    step_fraction: float
    buffer: float
    rounds: int
    impact: ImpactKind
    impact_coefficient: float
    adv: Floats
    depth_1pct: Floats
    permanent: float
    relaxation_years: float
    depth_elasticity: float
    fund: float
    funding_rate: Floats
    funding_steps: int
    deleveraging: Deleveraging
    decision: DecisionKind
    latency: int
    lag: int
    shard: Integers
