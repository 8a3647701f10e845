"""The sections of the report in the order in which they stand on the page.

A new section is one file here with a ``SECTION``, and its name in the list.
"""

from __future__ import annotations

from stress.report.section import Section
from stress.report.sections import (
    accounts,
    calibration_uncertainty,
    cascade,
    caused,
    cross_isolated,
    decision,
    extremes,
    fan,
    groups,
    headline,
    impact_laws,
    influence,
    ladder,
    limits,
    losses,
    market,
    positions,
    provenance,
    replay,
    risk_per_trade,
    riskiest,
    stress,
    time,
    venue,
    worlds,
)

__all__ = ["SECTIONS"]

SECTIONS: tuple[Section, ...] = (
    headline.SECTION,
    limits.SECTION,
    calibration_uncertainty.SECTION,
    cascade.SECTION,
    replay.SECTION,
    impact_laws.SECTION,
    caused.SECTION,
    decision.SECTION,
    groups.SECTION,
    accounts.SECTION,
    riskiest.SECTION,
    extremes.SECTION,
    time.SECTION,
    cross_isolated.SECTION,
    worlds.SECTION,
    fan.SECTION,
    losses.SECTION,
    risk_per_trade.SECTION,
    positions.SECTION,
    ladder.SECTION,
    market.SECTION,
    influence.SECTION,
    stress.SECTION,
    venue.SECTION,
    provenance.SECTION,
)
