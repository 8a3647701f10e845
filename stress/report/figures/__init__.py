"""Figures of a result. Each takes the tree and returns a Plotly figure; none is shown."""

from __future__ import annotations

from stress.report.figures.attribution import contributions
from stress.report.figures.bad_path import bad_path
from stress.report.figures.calibration_uncertainty import calibration_uncertainty
from stress.report.figures.cascade_distributions import (
    cascade_loss_distribution,
    cascade_multiplier_distribution,
    fund_draw_distribution,
)
from stress.report.figures.caused_liquidations import caused_liquidations
from stress.report.figures.correlation import correlation
from stress.report.figures.cross_against_isolated import (
    cross_against_isolated,
    cross_minus_isolated,
)
from stress.report.figures.impact_laws import impact_laws
from stress.report.figures.ladder import liquidation_ladder, market_ladder
from stress.report.figures.limit_curves import account_limit_curves, group_limit_curves
from stress.report.figures.liquidated_notional import liquidated_notional_by_time
from stress.report.figures.liquidation_by_time import liquidation_by_time
from stress.report.figures.liquidation_probability import (
    liquidation_probability,
    liquidation_probability_by_group,
    worst_accounts,
)
from stress.report.figures.loss_distribution import loss_distribution
from stress.report.figures.margin_ratio_fan import margin_ratio_fan
from stress.report.figures.net_position import net_position
from stress.report.figures.price_overshoot import price_overshoot
from stress.report.figures.ranked_accounts import ranked_accounts
from stress.report.figures.reverse_stress import reverse_stress
from stress.report.figures.risk_per_trade import risk_per_trade
from stress.report.figures.sensitivities import sensitivities
from stress.report.figures.typical_path import typical_path
from stress.report.figures.volatility import volatility

__all__ = [
    "account_limit_curves",
    "bad_path",
    "calibration_uncertainty",
    "cascade_loss_distribution",
    "cascade_multiplier_distribution",
    "caused_liquidations",
    "contributions",
    "correlation",
    "cross_against_isolated",
    "cross_minus_isolated",
    "fund_draw_distribution",
    "group_limit_curves",
    "impact_laws",
    "liquidated_notional_by_time",
    "liquidation_by_time",
    "liquidation_ladder",
    "liquidation_probability",
    "liquidation_probability_by_group",
    "loss_distribution",
    "margin_ratio_fan",
    "market_ladder",
    "net_position",
    "price_overshoot",
    "ranked_accounts",
    "reverse_stress",
    "risk_per_trade",
    "typical_path",
    "sensitivities",
    "volatility",
    "worst_accounts",
]
