"""The sections of the report in the order in which they stand on the page.

A new section is one file here with a ``SECTION``, and its name in the list.
"""

from __future__ import annotations

from stress.report.section import Section
from stress.report.sections import (
    accounts,
    cross_isolated,
    fan,
    groups,
    headline,
    limits,
    losses,
    market,
    positions,
    provenance,
    riskiest,
    time,
    worlds,
)

__all__ = ["SECTIONS"]

SECTIONS: tuple[Section, ...] = (
    headline.SECTION,
    limits.SECTION,
    groups.SECTION,
    accounts.SECTION,
    riskiest.SECTION,
    time.SECTION,
    cross_isolated.SECTION,
    worlds.SECTION,
    fan.SECTION,
    losses.SECTION,
    positions.SECTION,
    market.SECTION,
    provenance.SECTION,
)
