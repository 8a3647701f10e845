"""The assumptions of a run in sentences: they stand in the result and in the report."""

from __future__ import annotations

from stress.scenario.schema import MarginLevel, Scenario

__all__ = ["assumptions"]


def assumptions(scenario: Scenario) -> tuple[str, ...]:
    """Return what a reader must know to judge the numbers of this scenario."""
    venue, simulation = scenario.venue, scenario.simulation
    if isinstance(venue.trigger, MarginLevel):
        rule = f"its margin level (equity over notional) is below {venue.trigger.margin_level:g}"
    else:
        rule = "its equity is below the maintenance margin of its tiers"
    watched = (
        "Pools are watched without interruption: between two steps the excess follows a Brownian "
        "bridge."
        if simulation.monitoring == "bridge"
        else f"Pools are looked at every {simulation.step}; what happens in between is not seen."
    )
    return (
        "Prices follow correlated geometric Brownian motion with constant volatility: no jumps, no "
        "fat tails, no clustering. Real markets fall faster and more together.",
        "Forced sales do not move prices, so no liquidation causes another.",
        f"A pool is liquidated when {rule}; it is then closed whole at the marks of that moment, "
        f"with a fee of {venue.fee:.2%} of the notional closed.",
        "What a closed isolated position leaves stays with the account but no longer backs its "
        "cross pool.",
        "There is no insurance fund: what a closed pool owes beyond its coins is uncovered loss.",
        watched,
        "Nobody tops up, stops out, hedges or opens positions during the horizon; there is no "
        "funding.",
        "A margin call is a margin ratio (maintenance margin over equity) of "
        f"{venue.warning:g} or more.",
        "Isolated counterparts divide a cross pool's starting equity among its positions; coins "
        "become cash at their starting value after haircut.",
        "A year has 365 days.",
    )
