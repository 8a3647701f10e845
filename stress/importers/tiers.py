"""Maintenance margin tiers of an exchange, as a scenario writes them.

A scenario's rate holds for what is above its floor. Some venues charge a tier's rate on the whole
position, so that the requirement jumps where a tier begins. No convex table can jump: the rows then
give the venue's requirement at the upper end of each tier, and less inside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby
from math import isfinite
from typing import Any

from stress.errors import InputError
from stress.importers.contracts import contracts_of
from stress.importers.exchange import Connection
from stress.importers.rows import ImportedTiers, TierRow
from stress.importers.statement import asset_of
from stress.importers.venue import Ladder, Rung, Venue

__all__ = ["import_tiers", "tier_rows"]

_WHOLE = (
    "the venue's rate holds for the whole position: the rows give its requirement at the upper end"
    " of each tier, and less inside it"
)


def import_tiers(
    venue: Venue, connection: Connection, assets: Sequence[str], version: str
) -> ImportedTiers:
    """Read the tiers of some assets.

    Parameters
    ----------
    version
        Of the software that read them, for the source.

    Raises
    ------
    InputError, MissingInputError
        An asset has no contract or no tiers there; or as ``Connection.ask`` does.
    """
    as_of = datetime.fromtimestamp(connection.now_ms / 1000, UTC)
    markets = contracts_of(connection, assets)
    ladders, notices = connection.reading(lambda: venue.ladders(connection, markets))
    rows = [
        row
        for market, ladder in zip(markets, ladders, strict=True)
        for row in tier_rows(_name(venue, market), asset_of(market), ladder)
    ]
    whole = (_WHOLE,) if any(ladder.whole for ladder in ladders) else ()
    return ImportedTiers(tuple(rows), as_of, f"{venue.name} by {version}", (*whole, *notices))


def _name(venue: Venue, market: Mapping[str, Any]) -> str:
    return f"{venue.name} {market['symbol']}"


def tier_rows(contract: str, asset: str, ladder: Ladder) -> list[TierRow]:
    """Return the rows of an asset; tiers of one rate are one row.

    Parameters
    ----------
    contract
        What messages call it.
    """
    rungs = sorted(ladder.rungs, key=lambda rung: rung.floor)
    if not rungs:
        rule = "the exchange gives no tiers"
        raise InputError(rule, key=contract, remedy="leave the asset out of --assets")
    rates = _marginal(rungs) if ladder.whole else [(rung.floor, rung.rate) for rung in rungs]
    return [
        TierRow(asset, next(tiers)[0], rate)
        for rate, tiers in groupby(rates, key=lambda tier: tier[1])
    ]


def _marginal(rungs: Sequence[Rung]) -> list[tuple[float, float]]:
    """Return floors, and rates that add up to the requirement at the upper end of each tier.

    A tier begins where the one before ends: sizes are counted in contracts, and between two of them
    there is nothing. A rate that would fall is held, which asks for no less than the venue does.
    """
    floor, required, rate = rungs[0].floor, 0.0, 0.0
    tiers = []
    for rung in rungs:
        if rung.cap <= floor:
            # said twice
            continue
        tiers.append((floor, rate := max(rate, _rate(rung, floor, required))))
        required += rate * (rung.cap - floor)
        floor = rung.cap
    return tiers


def _rate(rung: Rung, floor: float, required: float) -> float:
    if not isfinite(rung.cap):
        # ever nearer to its own rate as the position grows
        return rung.rate
    # ten digits: a quotient of binary fractions has more than a venue ever meant
    return round((rung.rate * rung.cap - required) / (rung.cap - floor), 10)
