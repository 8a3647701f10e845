"""The market and the venue as arrays, in the order of the assets."""

from __future__ import annotations

from dataclasses import dataclass

from stress.book.venue import VenueSetting
from stress.types import Floats

__all__ = ["Setting"]


@dataclass(frozen=True)
class Setting:
    """Market and venue as float64 arrays. A is the number of assets, K of tiers.

    Attributes
    ----------
    assets
        (A,) names.
    price
        (A,) starting price, USD per unit.
    volatility, drift
        (A,) per year of 365 days.
    correlation
        (A, A) of the log returns, symmetric, unit diagonal, positive semi-definite.
    haircut
        (A,) share of a coin's value that is no collateral.
    tier_floor, tier_rate, tier_amount
        (A, K) maintenance tiers: notional from which each holds (USD), rate, amount (USD). Shorter
        tables repeat their last tier with an infinite floor, which changes no maximum. An asset
        without tiers, held as collateral only, has rate 0.
    requirement_rate, requirement_amount
        (A, K) what the trigger holds equity against: the tiers, or (A, 1) the margin level and 0.
    fee
        Liquidation fee, share of the notional closed.
    warning
        Margin ratio of the margin call.
    step_years, horizon_years
        One step and the whole horizon, in years of 365 days.
    steps
        Number of steps.
    venue
        How the venue closes, what forced flow does, and who pays: the settings of the cascade.
    """

    assets: tuple[str, ...]
    price: Floats
    volatility: Floats
    drift: Floats
    correlation: Floats
    haircut: Floats
    tier_floor: Floats
    tier_rate: Floats
    tier_amount: Floats
    requirement_rate: Floats
    requirement_amount: Floats
    fee: float
    warning: float
    step_years: float
    horizon_years: float
    steps: int
    venue: VenueSetting
