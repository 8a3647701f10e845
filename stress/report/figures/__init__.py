"""Figures of a result. Each takes the tree and returns a Plotly figure; none is shown."""

from __future__ import annotations

from stress.report.figures.correlation import correlation
from stress.report.figures.cross_against_isolated import (
    cross_against_isolated,
    cross_minus_isolated,
)
from stress.report.figures.liquidation_by_time import liquidation_by_time
from stress.report.figures.liquidation_probability import (
    liquidation_probability,
    liquidation_probability_by_group,
    worst_accounts,
)
from stress.report.figures.loss_distribution import loss_distribution
from stress.report.figures.margin_ratio_fan import margin_ratio_fan
from stress.report.figures.net_position import net_position
from stress.report.figures.ranked_accounts import ranked_accounts
from stress.report.figures.volatility import volatility

__all__ = [
    "correlation",
    "cross_against_isolated",
    "cross_minus_isolated",
    "liquidation_by_time",
    "liquidation_probability",
    "liquidation_probability_by_group",
    "loss_distribution",
    "margin_ratio_fan",
    "net_position",
    "ranked_accounts",
    "volatility",
    "worst_accounts",
]
