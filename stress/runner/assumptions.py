"""The assumptions of a run in sentences: they stand in the result and in the report."""

from __future__ import annotations

from stress.runner.market_words import market_words
from stress.scenario.presets import load_preset
from stress.scenario.schema import MarginLevel, Scenario, Venue

__all__ = ["assumptions", "other_law"]

_WATCHED = {
    "step": "Pools are looked at every {step}; what happens in between is not seen.",
    "bridge": "Pools are watched without interruption: between two steps the excess follows a "
    "Brownian bridge.",
    "extremes": "Pools are looked at every {step} with every asset at the low or high of its bar, "
    "whichever is the worse for the pool: an upper bound, since the lows and highs of several "
    "assets need not have come together.",
}

_AMOUNTS = {
    "restore": "the least that brings equity to {buffer:g} times the maintenance margin is closed, "
    "position by position",
    "step": "{fraction:.0%} of the first position is closed in each round",
    "tier": "the first position is cut to the floor of its tier in each round",
    "position": "the first position is closed whole in each round",
    "all": "it is closed whole",
}

_BACKSTOPS = {
    "none": "What the insurance fund does not pay is uncovered loss.",
    "socialised": "What the insurance fund does not pay is taken from pools with unrealised "
    "profit, pro rata to it; the rest is uncovered loss.",
    "auto-deleverage": "Bankrupt positions that the insurance fund cannot carry are closed against "
    "the highest ranked winners at their bankruptcy price, before the market trades; what is "
    "still missing is uncovered loss.",
}


def assumptions(scenario: Scenario) -> tuple[str, ...]:
    """Return what a reader must know to judge the numbers of this scenario."""
    venue, simulation = scenario.venue, scenario.simulation
    watched = _WATCHED[simulation.monitoring].format(step=simulation.step)
    return (
        *market_words(scenario.market),
        *_stress(scenario),
        *_impact(venue),
        _liquidation(venue),
        f"The fee of {venue.fee:.2%} of the notional closed goes to the insurance fund, which "
        f"holds {venue.fund.balance:,.0f} USD at the start.",
        _BACKSTOPS[venue.deleveraging.kind],
        _decision(venue),
        watched,
        "Nobody hedges, withdraws or opens positions during the horizon; stop losses and top-ups "
        "act only where the book states them.",
        *_funding(venue),
        "A margin call is a margin ratio (maintenance margin over equity) of "
        f"{venue.warning:g} or more.",
        "Isolated counterparts divide a cross pool's starting equity among its positions; coins "
        "become cash at their starting value after haircut.",
        "The margin-ratio fan is drawn at prices without forced flow.",
        "A year has 365 days.",
        *_preset(venue),
    )


def other_law(scenario: Scenario) -> str:
    """Return how the law of impact that the scenario does not choose got its numbers."""
    impact = scenario.venue.impact
    stated = impact.depth_1pct if impact.kind == "square-root" else impact.adv
    other = "linear" if impact.kind == "square-root" else "square-root"
    if set(scenario.market.assets) <= set(stated):
        return f"The {other} law has the numbers that the scenario states for it."
    return (
        f"Where the scenario states no number for the {other} law, it has the one at which both "
        "laws agree on a move of one percent."
    )


def _stress(scenario: Scenario) -> tuple[str, ...]:
    if not scenario.stress:
        return ()
    kinds = ", ".join(f"{overlay.kind} at {overlay.at}" for overlay in scenario.stress)
    return (
        f"What the scenario states happens on top of that on every path: {kinds}. The numbers are "
        "answers to this stress, not probabilities of it.",
    )


def _impact(venue: Venue) -> tuple[str, ...]:
    impact = venue.impact
    if impact.kind == "none":
        return ("Forced sales do not move prices, so no liquidation causes another by its price.",)
    sentence = (
        f"Forced flow moves the mark by the {impact.kind} law; {impact.permanent:.0%} of a flow's "
        f"impact stays, the rest fades by a factor e in {impact.relaxation}."
    )
    shrinks = (
        f"Depth falls with realised volatility to the power {impact.depth_elasticity:g}, to no "
        "less than 2 % of its usual value."
    )
    return (sentence, shrinks) if impact.depth_elasticity else (sentence,)


def _liquidation(venue: Venue) -> str:
    if isinstance(venue.trigger, MarginLevel):
        rule = f"its margin level (equity over notional) is below {venue.trigger.margin_level:g}"
    else:
        rule = "its equity is below the maintenance margin of its tiers"
    how = _AMOUNTS[venue.amount].format(buffer=1 + venue.buffer, fraction=venue.step_fraction)
    order = "" if venue.amount == "all" else f", in the order {venue.order}"
    return (
        f"A pool is liquidated when {rule}; {how}{order}, at most {venue.rounds_per_step} rounds a "
        "step, and whole once its equity is negative."
    )


def _decision(venue: Venue) -> str:
    decision = venue.decision
    if decision.kind == "sharded":
        return (
            f"Shards judge pools on the marks of their own assets and on others' marks of "
            f"{decision.lag} steps ago, and close their own assets only."
        )
    late = f"marks of {decision.latency} steps ago" if decision.latency else "the same marks"
    return f"One leader judges every pool on {late}."


def _funding(venue: Venue) -> tuple[str, ...]:
    if venue.funding is None:
        return ("There is no funding.",)
    return (f"Funding is paid from cash every {venue.funding.interval}.",)


def _preset(venue: Venue) -> tuple[str, ...]:
    if venue.preset is None:
        return ()
    preset = load_preset(venue.preset)
    return (f"The preset {preset.title} of {preset.as_of} approximates the venue's rules.",)
