"""The written specification of a result: every variable, its dimensions, unit and meaning.

``result.assemble`` refuses to build anything that is not listed here, and a test compares a whole
result with this list, so the list is true. An *estimate* comes with a second variable
``<name>_interval`` that has one more dimension, ``bound`` (``lower``, ``upper``), at the scenario's
``confidence``. The interval holds sampling error only. Where the market's parameters were drawn
too, ``<name>_calibration_interval`` holds their error, and ``<name>_combined_interval`` both.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["BOUNDS", "DIMENSIONS", "GROUPS", "SCHEMA_VERSION", "WORLD_PREFIX", "Variable", "find"]

SCHEMA_VERSION = "1"

BOUNDS = ("lower", "upper")

DIMENSIONS = (
    "path",
    "event",
    "way",
    "score",
    "stage",
    "component",
    "step",
    "account",
    "account_byte",
    "position",
    "asset",
    "other_asset",
    "group",
    "other_group",
    "limit",
    "answer",
    "remedy",
    "law",
    "decision",
    "part",
    "left_out",
    "sampler",
    "quantity",
    "level",
    "quantile",
    "share",
    "move",
    "multiple",
    "bin",
    "edge",
    "row",
    "place",
    "bound",
)
"""Every dimension, in the order in which a variable carries them, but for ``step``, which stands
behind the label whose curve it is where every label has one. ``step`` is thinned, but in
``replay``, and holds days since the start; ``account``, ``position``, ``asset``, ``group``,
``limit``, ``law`` (of price impact), ``decision`` (who decides), ``part`` (of the total loss),
``left_out`` (an account), ``sampler`` and ``quantity`` (of quasi-random paths), ``event`` (of
reverse stress, where ``way`` is one of several to it, or a rare one of splitting),
``score`` (what splitting climbs, in numbered stages), ``component`` (of the laws of weighted
paths) and ``row`` (a timestamp of the
history) hold labels, ``move`` signed shares of a mark, ``multiple`` what the present collateral or
size is multiplied with."""

WORLD_PREFIX = ("cross_", "isolated_", "as_booked_")
"""A variable of a compared world has the name of the main world's variable behind its prefix."""


@dataclass(frozen=True)
class Variable:
    """One variable of the result.

    Attributes
    ----------
    dims
        Dimensions, in the order of ``DIMENSIONS``.
    units
        ``"1"`` for shares and probabilities, ``"USD"``, ``"days"``, ``"count"``; empty for labels.
    meaning
        One sentence: becomes ``long_name``.
    estimate
        Whether an interval stands beside it.
    compared
        Whether each compared world repeats it under its prefix.
    """

    dims: tuple[str, ...]
    units: str
    meaning: str
    estimate: bool = False
    compared: bool = False


def _estimate(*dims: str, units: str, meaning: str, compared: bool = True) -> Variable:
    return Variable(dims, units, meaning, estimate=True, compared=compared)


def _calibrated(name: str, *dims: str, units: str, meaning: str) -> dict[str, Variable]:
    """Return the intervals of a variable that only a run with calibration draws has."""
    return {
        f"{name}_calibration_interval": Variable(
            (*dims, "bound"),
            units,
            f"calibration interval of: {meaning}; what other parameters, as likely as those "
            "estimated, give on the same normals",
        ),
        f"{name}_combined_interval": Variable(
            (*dims, "bound"), units, f"interval of sampling and calibration error of: {meaning}"
        ),
    }


_ACCOUNTS = {
    "group": Variable(("account",), "", "group label of the account"),
    "liquidation_probability": _estimate(
        "account", units="1", meaning="probability of being liquidated by the horizon"
    ),
    **_calibrated(
        "liquidation_probability",
        "account",
        units="1",
        meaning="probability of being liquidated by the horizon",
    ),
    "liquidation_estimator": Variable(
        ("account",), "", "how the liquidation probability is estimated: importance, quasi or plain"
    ),
    "liquidation_probability_by_step": _estimate(
        "account",
        "step",
        units="1",
        meaning="probability of being liquidated by a time",
        compared=False,
    ),
    "liquidation_probability_at_closes": _estimate(
        "account",
        units="1",
        meaning="liquidation probability if the lows and highs of the steps' bars were not seen",
        compared=False,
    ),
    "bankruptcy_probability": _estimate(
        "account", units="1", meaning="probability of leaving a deficit"
    ),
    "margin_call_probability": _estimate(
        "account",
        units="1",
        meaning="probability that the margin ratio of one of its pools reaches the warning level",
    ),
    "expected_loss": _estimate(
        "account", units="USD", meaning="mean loss of equity over the horizon; negative is a gain"
    ),
    "value_at_risk": _estimate(
        "account", "level", units="USD", meaning="quantile of the loss at a level"
    ),
    "expected_shortfall": _estimate(
        "account", "level", units="USD", meaning="mean loss beyond the quantile at a level"
    ),
    "liquidation_time_quantile": _estimate(
        "account",
        "quantile",
        units="days",
        meaning="quantile of the time to liquidation given liquidation; NaN below 30 liquidations",
        compared=False,
    ),
    "hidden_distress": _estimate(
        "account",
        units="1",
        meaning="share of looks at which the cross pool is above the warning while every position "
        "looks healthy by itself",
        compared=False,
    ),
    "liquidation_probability_without_feedback": _estimate(
        "account",
        units="1",
        meaning="liquidation probability on the same paths if forced sales moved no price",
        compared=False,
    ),
    "liquidation_probability_change": _estimate(
        "account",
        units="1",
        meaning="liquidation probability with feedback minus without, paired by path",
        compared=False,
    ),
    "initial_equity": Variable(("account",), "USD", "equity at the start, coins after haircut"),
    "initial_margin_ratio": Variable(
        ("account",), "1", "largest maintenance margin over equity of the account's pools"
    ),
    "effective_leverage": Variable(("account",), "1", "gross notional over equity at the start"),
    "cross_minus_isolated": _estimate(
        "account",
        units="1",
        meaning="liquidation probability under cross minus under isolated margin, paired by path",
        compared=False,
    ),
}

_POSITIONS = {
    "account": Variable(("position",), "", "account that holds the position"),
    "asset": Variable(("position",), "", "asset of the position"),
    "quantity": Variable(("position",), "units of the asset", "signed quantity"),
    "notional": Variable(("position",), "USD", "absolute quantity times mark at the start"),
    "planned_risk": Variable(
        ("position",),
        "1",
        "margin as an isolated counterpart over the account's starting equity; NaN without one",
    ),
    "effective_risk_mean": _estimate(
        "position",
        units="1",
        meaning="mean loss of the account, as a share of its starting equity, on paths on which "
        "the position is the largest loser of a pool at its liquidation; NaN without any",
    ),
    "effective_risk_shortfall": _estimate(
        "position",
        units="1",
        meaning="mean of the largest 1 % of these losses",
    ),
    "effective_risk_paths": Variable(
        ("position",), "count", "number of these paths", compared=True
    ),
    "liquidation_price": Variable(
        ("position",), "USD", "mark at which the pool is liquidated, other marks unchanged"
    ),
    "liquidation_distance": Variable(
        ("position",), "1", "move of the mark to the liquidation price, as a share of the mark"
    ),
}

_PATHS = {
    "liquidated_accounts": Variable(
        ("path",), "count", "accounts liquidated on the path", compared=True
    ),
    "liquidated_notional": Variable(
        ("path",), "USD", "notional closed by liquidation at trade prices", compared=True
    ),
    "total_loss": Variable(("path",), "USD", "sum over accounts of max(loss, 0)", compared=True),
    "net_loss": Variable(("path",), "USD", "sum over accounts of the loss", compared=True),
    "uncovered_loss": Variable(("path",), "USD", "deficits that nobody paid", compared=True),
    "fund_draw": Variable(
        ("path",), "USD", "what the insurance fund paid, gross of fees", compared=True
    ),
    "fund_exhausted": Variable(
        ("path",), "", "a deficit was not paid in full out of the fund", compared=True
    ),
    "fund_need": Variable(
        ("path",),
        "USD",
        "starting fund that the path needs: the most by which deficits exceeded fees, and with "
        "auto-deleveraging what else it must be able to promise; at least that where others paid "
        "for an empty fund",
        compared=True,
    ),
    "cascade_loss": Variable(
        ("path",),
        "USD",
        "total loss minus the total loss if forced sales moved no price",
        compared=True,
    ),
    "cascade_multiplier": Variable(
        ("path",),
        "1",
        "notional closed over the notional closed if forced sales moved no price; NaN where that "
        "is 0",
    ),
    "socialised_loss": Variable(
        ("path",), "USD", "deficits that positions in profit paid", compared=True
    ),
    "deleveraged_notional": Variable(
        ("path",),
        "USD",
        "notional that changed hands at bankruptcy prices, outside the market",
        compared=True,
    ),
    "false_liquidations": Variable(
        ("path",), "count", "decisions to close something of a pool that is not in breach"
    ),
    "over_closed_notional": Variable(
        ("path",), "USD", "notional that shards chose to close beyond what a leader would"
    ),
    "late_steps": Variable(
        ("path",), "count", "pools in breach at the first look of a step on which nobody acted"
    ),
    "rounds_exhausted": Variable(
        ("path",), "count", "steps after whose last round a pool was still to be dealt with"
    ),
}

_ASSETS = {
    "price": Variable(("asset",), "USD", "mark at the start"),
    "volatility": Variable(("asset",), "1", "annualised volatility, 365 days"),
    "drift": Variable(("asset",), "1", "annual drift"),
    "correlation": Variable(("asset", "other_asset"), "1", "correlation of log returns"),
    "net_position": Variable(("asset",), "USD", "sum of signed notionals at the start"),
    "gross_position": Variable(("asset",), "USD", "sum of absolute notionals at the start"),
    "depth_1pct": Variable(
        ("asset",), "USD", "flow that moves the mark by one percent; NaN where none is stated"
    ),
    "reproduction_number": Variable(
        ("asset",),
        "1",
        "net forced flow of the next percent of a fall or rise over the depth, the larger of both; "
        "above 1 a cascade feeds itself",
    ),
    "liquidated_notional_mean": _estimate(
        "asset", units="USD", meaning="mean over paths of the notional closed", compared=False
    ),
    "price_overshoot_mean": _estimate(
        "asset",
        units="1",
        meaning="mean over paths of the largest move of the log mark by forced flow",
        compared=False,
    ),
    "price_overshoot_quantile": Variable(
        ("asset", "quantile"),
        "1",
        "quantile over paths of the largest move of the log mark by forced flow",
    ),
}

_GROUPS = {
    "accounts": Variable(("group",), "count", "accounts in the group"),
    "liquidation_probability": _estimate(
        "group", units="1", meaning="liquidation probability, mean over the group's accounts"
    ),
    "liquidation_probability_by_step": _estimate(
        "group",
        "step",
        units="1",
        meaning="share of the group's accounts liquidated by a time, mean over paths",
    ),
    "any_liquidation_probability": _estimate(
        "group", units="1", meaning="probability that at least one account is liquidated"
    ),
    "joint_liquidation_probability": _estimate(
        "group",
        "other_group",
        units="1",
        meaning="probability that both groups have a liquidation on one path",
        compared=False,
    ),
    "expected_loss": _estimate(
        "group", units="USD", meaning="mean over paths of the group's net loss"
    ),
    "caused_liquidations": _estimate(
        "group",
        "other_group",
        units="count",
        meaning="pools of the group liquidated on a path that would not be if forced sales moved "
        "no price, as charged to the other group's share of the flow; mean over paths",
        compared=False,
    ),
    "market_liquidations": _estimate(
        "group",
        units="count",
        meaning="pools of the group liquidated on a path that would be without feedback too; mean "
        "over paths",
        compared=False,
    ),
    "feedback_liquidations": _estimate(
        "group",
        units="count",
        meaning="pools of the group liquidated on a path that would not be if forced sales moved "
        "no price; mean over paths",
        compared=False,
    ),
    "cross_minus_isolated": _estimate(
        "group",
        units="1",
        meaning="mean liquidation probability, cross minus isolated, paired by path",
        compared=False,
    ),
}

_BOOK = {
    "liquidation_probability": _estimate(
        units="1", meaning="liquidation probability, mean over accounts"
    ),
    "any_liquidation_probability": _estimate(
        units="1", meaning="probability that at least one account is liquidated"
    ),
    **_calibrated(
        "liquidation_probability", units="1", meaning="liquidation probability, mean over accounts"
    ),
    **_calibrated(
        "any_liquidation_probability",
        units="1",
        meaning="probability that at least one account is liquidated",
    ),
    **_calibrated(
        "expected_total_loss",
        units="USD",
        meaning="mean over paths of the sum of max(loss, 0) over accounts",
    ),
    **_calibrated(
        "total_loss_value_at_risk",
        "level",
        units="USD",
        meaning="quantile of the total loss over paths at a level",
    ),
    "liquidated_share_probability": _estimate(
        "share", units="1", meaning="probability that more than a share of accounts is liquidated"
    ),
    "liquidation_probability_at_closes": _estimate(
        units="1",
        meaning="liquidation probability, mean over accounts, if the lows and highs of the steps' "
        "bars were not seen",
        compared=False,
    ),
    "expected_total_loss": _estimate(
        units="USD", meaning="mean over paths of the sum of max(loss, 0) over accounts"
    ),
    "expected_net_loss": _estimate(units="USD", meaning="mean over paths of the summed loss"),
    "expected_uncovered_loss": _estimate(
        units="USD", meaning="mean over paths of the deficits that nobody paid"
    ),
    "expected_liquidated_notional": _estimate(
        units="USD", meaning="mean over paths of the notional closed"
    ),
    "expected_liquidated_accounts": _estimate(
        units="count", meaning="mean over paths of the number of accounts liquidated"
    ),
    "fund_exhaustion_probability": _estimate(
        units="1", meaning="probability that a deficit is not paid in full out of the fund"
    ),
    "expected_fund_draw": _estimate(
        units="USD", meaning="mean over paths of what the fund pays, gross of fees"
    ),
    "fund_draw_value_at_risk": _estimate(
        "level",
        units="USD",
        meaning="quantile of the fund draw over paths at a level",
        compared=False,
    ),
    "expected_cascade_loss": _estimate(
        units="USD",
        meaning="mean over paths of the total loss minus that if forced sales moved no price",
    ),
    "cascade_loss_value_at_risk": _estimate(
        "level",
        units="USD",
        meaning="quantile of the cascade loss over paths at a level",
        compared=False,
    ),
    "cascade_loss_expected_shortfall": _estimate(
        "level",
        units="USD",
        meaning="mean cascade loss beyond the quantile at a level",
        compared=False,
    ),
    "cascade_multiplier": _estimate(
        units="1",
        meaning="notional closed over the notional closed if forced sales moved no price, both "
        "summed over paths",
        compared=False,
    ),
    "expected_socialised_loss": _estimate(
        units="USD",
        meaning="mean over paths of the deficits that positions in profit paid",
        compared=False,
    ),
    "expected_deleveraged_notional": _estimate(
        units="USD",
        meaning="mean over paths of the notional that changed hands by deleveraging",
        compared=False,
    ),
    "expected_false_liquidations": _estimate(
        units="count",
        meaning="mean over paths of the number of false liquidations",
        compared=False,
    ),
    "expected_over_closed_notional": _estimate(
        units="USD", meaning="mean over paths of the notional over-closed", compared=False
    ),
    "expected_late_steps": _estimate(
        units="count", meaning="mean over paths of the number of late steps", compared=False
    ),
    "rounds_exhausted_probability": _estimate(
        units="1",
        meaning="probability of a step after whose last round a pool is still to be dealt with",
        compared=False,
    ),
    "total_loss_value_at_risk": _estimate(
        "level", units="USD", meaning="quantile of the total loss over paths at a level"
    ),
    "total_loss_expected_shortfall": _estimate(
        "level", units="USD", meaning="mean total loss beyond the quantile at a level"
    ),
    "net_loss_value_at_risk": _estimate(
        "level", units="USD", meaning="quantile of the net loss over paths at a level"
    ),
    "net_loss_expected_shortfall": _estimate(
        "level", units="USD", meaning="mean net loss beyond the quantile at a level"
    ),
    "uncovered_loss_value_at_risk": _estimate(
        "level", units="USD", meaning="quantile of the uncovered loss over paths at a level"
    ),
    "cross_minus_isolated": _estimate(
        units="1",
        meaning="mean liquidation probability, cross minus isolated, paired by path",
        compared=False,
    ),
    "cross_minus_isolated_any": _estimate(
        units="1",
        meaning="probability of any liquidation, cross minus isolated, paired by path",
        compared=False,
    ),
}

_LIMITS = {
    "value": Variable(("limit",), "", "estimate that the limit is judged by"),
    "value_interval": Variable(
        ("limit", "bound"), "", "its interval; Bonferroni over accounts or groups where a maximum"
    ),
    "threshold": Variable(("limit",), "", "declared limit"),
    "breached": Variable(("limit",), "", "estimate over the threshold"),
    "resolved": Variable(("limit",), "", "interval on one side of the threshold"),
    "where": Variable(("limit",), "", "account, group or asset that attains a maximum; else empty"),
}

_MARGIN = {
    "equity": Variable(("account",), "USD", "equity of all pools, coins after haircut"),
    "maintenance_margin": Variable(("account",), "USD", "maintenance margin of all pools"),
    "margin_ratio": Variable(("account",), "1", "largest ratio among the account's pools"),
    "margin_level": Variable(("account",), "1", "equity over gross notional; NaN without any"),
    "excess": Variable(("account",), "USD", "equity minus maintenance margin, least of its pools"),
    "gross_notional": Variable(("account",), "USD", "sum of absolute notionals"),
    "effective_leverage": Variable(("account",), "1", "gross notional over equity"),
    "hidden_distress": Variable(
        ("account",), "", "the cross pool is above the warning while every position looks healthy"
    ),
    "in_breach": Variable(("account",), "", "a pool is in breach at the start"),
}

_FAN = {
    "margin_ratio_quantile": Variable(
        ("group", "step", "quantile"),
        "1",
        "quantile over accounts and paths of the margin ratio; a liquidated account counts as inf",
    ),
}


def _by_law(units: str, meaning: str) -> tuple[Variable, Variable]:
    """Return what is estimated under each law of price impact, and the difference of the two."""
    return (
        _estimate("law", units=units, meaning=f"{meaning}, under a law", compared=False),
        _estimate(
            units=units,
            meaning=f"{meaning}: square-root law minus linear law, paired by path",
            compared=False,
        ),
    )


_IMPACT = {
    **{
        key: variable
        for name, both in {
            "liquidation_probability": _by_law("1", "liquidation probability, mean over accounts"),
            "fund_exhaustion_probability": _by_law(
                "1", "probability that a deficit is not paid in full out of the fund"
            ),
            "expected_total_loss": _by_law("USD", "mean over paths of the total loss"),
            "expected_cascade_loss": _by_law(
                "USD",
                "mean over paths of the total loss minus that if forced sales moved no price",
            ),
            "expected_uncovered_loss": _by_law(
                "USD", "mean over paths of the deficits that nobody paid"
            ),
        }.items()
        for key, variable in zip((name, f"{name}_difference"), both, strict=True)
    },
    "cascade_loss_value_at_risk": _estimate(
        "law",
        "level",
        units="USD",
        meaning="quantile of the cascade loss over paths at a level",
        compared=False,
    ),
    "cascade_loss_expected_shortfall": _estimate(
        "law",
        "level",
        units="USD",
        meaning="mean cascade loss beyond the quantile at a level",
        compared=False,
    ),
    "cascade_multiplier": _estimate(
        "law",
        units="1",
        meaning="notional closed over the notional closed if forced sales moved no price, both "
        "summed over paths",
        compared=False,
    ),
}


def _by_decision(units: str, meaning: str) -> tuple[Variable, Variable]:
    """Return what is estimated of each decision rule, and the difference of the two."""
    difference = f"{meaning}: the venue's own rule minus a leader without latency, paired by path"
    return (
        _estimate("decision", units=units, meaning=meaning, compared=False),
        _estimate(units=units, meaning=difference, compared=False),
    )


_DECISION = {
    key: variable
    for name, both in {
        "liquidation_probability": _by_decision("1", "liquidation probability, mean over accounts"),
        "any_liquidation_probability": _by_decision(
            "1", "probability that at least one account is liquidated"
        ),
        "expected_total_loss": _by_decision("USD", "mean over paths of the total loss"),
        "expected_cascade_loss": _by_decision(
            "USD",
            "mean over paths of the total loss minus that if forced sales moved no price",
        ),
        "expected_uncovered_loss": _by_decision(
            "USD", "mean over paths of the deficits that nobody paid"
        ),
        "expected_liquidated_notional": _by_decision(
            "USD", "mean over paths of the notional closed"
        ),
    }.items()
    for key, variable in zip((name, f"{name}_difference"), both, strict=True)
}

_COURSE = {
    "liquidated_notional_mean": _estimate(
        "step",
        units="USD",
        meaning="mean over paths of the notional closed by a time",
        compared=False,
    ),
    "liquidated_notional_quantile": Variable(
        ("step", "quantile"), "USD", "quantile over paths of the notional closed by a time"
    ),
}

_REPLAY = {
    "mark": Variable(("step", "asset"), "USD", "mark at the end of the step"),
    "fundamental_price": Variable(
        ("step", "asset"), "USD", "what the mark would be if forced sales moved no price"
    ),
    "fund": Variable(("step",), "USD", "balance of the insurance fund at the end of the step"),
    "liquidated_accounts": Variable(("step",), "count", "accounts liquidated so far"),
    "liquidated_notional": Variable(("step",), "USD", "notional closed so far"),
}

_DISTRIBUTION = {
    "total_loss_edges": Variable(("edge",), "USD", "edges of the bins of total loss"),
    "total_loss_paths": Variable(("bin",), "count", "paths in each bin of total loss"),
    "net_loss_edges": Variable(("edge",), "USD", "edges of the bins of net loss"),
    "net_loss_paths": Variable(("bin",), "count", "paths in each bin of net loss"),
    "fund_draw_edges": Variable(("edge",), "USD", "edges of the bins of fund draw"),
    "fund_draw_paths": Variable(("bin",), "count", "paths in each bin of fund draw"),
    "cascade_loss_edges": Variable(("edge",), "USD", "edges of the bins of cascade loss"),
    "cascade_loss_paths": Variable(("bin",), "count", "paths in each bin of cascade loss"),
    "cascade_multiplier_edges": Variable(
        ("edge",), "1", "edges of the bins of the cascade multiplier"
    ),
    "cascade_multiplier_paths": Variable(
        ("bin",), "count", "paths in each bin of the cascade multiplier, of those that have one"
    ),
}

_LADDER = {
    "liquidated_notional": Variable(
        ("asset", "move"),
        "USD",
        "notional in the asset of the pools in breach after its mark alone has moved by a share",
    ),
    "accounts": Variable(
        ("asset", "move"), "count", "accounts that hold the asset and have such a pool"
    ),
    "market_liquidated_notional": Variable(
        ("move",), "USD", "notional of the pools in breach after all marks have moved by a share"
    ),
    "market_accounts": Variable(("move",), "count", "accounts with such a pool"),
    "reproduction_number_along": Variable(
        ("asset", "move"),
        "1",
        "reproduction number after a move: of one percent more, away from the start",
    ),
    "reproduction_number_fall": Variable(
        ("asset",), "1", "net forced sales by a fall of one percent over the depth, at least 0"
    ),
    "reproduction_number_rise": Variable(
        ("asset",), "1", "net forced purchases by a rise of one percent over the depth, at least 0"
    ),
}


def _curves(what: str, meaning: str) -> dict[str, Variable]:
    """Return the curves over multiples of what accounts hold, of groups and of accounts."""
    simultaneous = "all intervals of a curve hold together"
    return {
        f"liquidation_probability_by_{what}": _estimate(
            "group",
            "multiple",
            units="1",
            meaning=f"liquidation probability {meaning}, mean over the group's accounts that are "
            f"looked at; {simultaneous}",
        ),
        f"account_liquidation_probability_by_{what}": _estimate(
            "account",
            "multiple",
            units="1",
            meaning=f"liquidation probability {meaning}; {simultaneous}; NaN where not known",
        ),
        f"accounts_by_{what}": Variable(
            ("group",), "count", "accounts that the group's curve is a mean of", compared=True
        ),
    }


_CURVES = {
    **_curves("collateral", "if every pool had a multiple of its equity"),
    **_curves("size", "if every position had a multiple of its size, traded at the starting mark"),
    "account_group": Variable(("account",), "", "group label of the account"),
    "effective_leverage_by_size": Variable(
        ("account", "multiple"), "1", "gross notional at a multiple of the size over equity"
    ),
}

_LIQUIDATIONS = {
    "liquidated": Variable(
        ("path", "account_byte"),
        "1",
        "which accounts of the main world are liquidated on the path, a bit each: account i is bit "
        "7 - i % 8 of byte i // 8, as numpy.packbits packs them",
    ),
}

_DETAIL = {
    "equity_end": Variable(
        ("path", "account"), "USD", "equity of the account's pools at the end, without reserve"
    ),
    "liquidation_step": Variable(
        ("path", "account"), "count", "first step of a liquidation; 0 is the start, -1 never"
    ),
    "bankrupt": Variable(("path", "account"), "", "the account left a deficit"),
    "least_excess": Variable(
        ("path", "account"),
        "USD",
        "least equity minus maintenance margin of a pool with positions, over all looks",
    ),
    "fund_end": Variable(("path",), "USD", "balance of the insurance fund at the end"),
    "uncovered_loss": Variable(("path",), "USD", "deficits that nobody paid"),
    "socialised_loss": Variable(("path",), "USD", "deficits that positions in profit paid"),
    "deleveraged_notional": Variable(
        ("path",), "USD", "notional that changed hands at bankruptcy prices, outside the market"
    ),
    "false_liquidations": Variable(
        ("path",), "count", "decisions to close something of a pool that is not in breach"
    ),
    "over_closed_notional": Variable(
        ("path",), "USD", "notional that shards chose to close beyond what a leader would"
    ),
    "late_steps": Variable(
        ("path",), "count", "pools in breach at the first look of a step on which nobody acted"
    ),
    "mark_end": Variable(("path", "asset"), "USD", "mark at the end of the path"),
    "closed_notional": Variable(
        ("path", "asset"), "USD", "quantity times traded price of market closes"
    ),
}

_INFLUENCE = {
    "liquidation_probability": _estimate(
        "row",
        units="1",
        meaning="liquidation probability, mean over accounts, minus the same on the paths that "
        "never drew the row",
        compared=False,
    ),
    "liquidation_probability_share": Variable(
        ("row",), "1", "this influence as a share of the probability; NaN where that is 0"
    ),
    "any_liquidation_probability": _estimate(
        "row",
        units="1",
        meaning="probability of any liquidation minus the same on the paths that never drew the "
        "row",
        compared=False,
    ),
    "any_liquidation_probability_share": Variable(
        ("row",), "1", "this influence as a share of the probability; NaN where that is 0"
    ),
    "paths_using": Variable(("row",), "count", "paths that drew the row"),
    "effective_sample_size": Variable(("row",), "count", "paths that never drew the row"),
    "account_row": Variable(
        ("account", "place"), "", "timestamp of a row, the account's most influential first"
    ),
    "account_influence": _estimate(
        "account",
        "place",
        units="1",
        meaning="liquidation probability of the account minus the same on the paths that never "
        "drew that row; NaN where it is never liquidated",
        compared=False,
    ),
    "account_share": Variable(
        ("account", "place"), "1", "this influence as a share of the account's probability"
    ),
    "account_effective_sample_size": Variable(
        ("account", "place"), "count", "paths that never drew that row"
    ),
}

_LIMIT_VALUES = {
    "question": Variable(("answer",), "", "what is limited"),
    "kind": Variable(("answer",), "", "account, group, template, trade, asset, book or bracket"),
    "subject": Variable(("answer",), "", "which of them"),
    "world": Variable(("answer",), "", "margin mode that was simulated"),
    "measure": Variable(("answer",), "", "what the appetite is about, in words"),
    "threshold": Variable(("answer",), "", "the appetite for it, in its own unit"),
    "unit": Variable(("answer",), "", "unit of limit, at_estimate and present: x, USD or 1"),
    "limit": Variable(
        ("answer",),
        "",
        "largest (fund and maintenance rate: smallest) value whose upper confidence bound keeps "
        "the appetite; NaN where none is certified",
    ),
    "at_estimate": Variable(("answer",), "", "the same for the point estimate"),
    "present": Variable(("answer",), "", "the value as it is; NaN where nobody holds it"),
    "headroom": Variable(
        ("answer",), "1", "room between the present value and the limit, a share of the former"
    ),
    "risk": _estimate("answer", units="", meaning="the measure at the limit", compared=False),
    "verdict": Variable(
        ("answer",), "", "of the present value: within, over, not resolved, no present value"
    ),
    "outcome": Variable(("answer",), "", "how the search for the limit ended"),
    "paths": Variable(("answer",), "count", "paths that the answer rests on"),
    "note": Variable(("answer",), "", "what has to be said of it; empty where nothing has"),
}

_REMEDIES = {
    "account": Variable(("remedy",), "", "account above the appetite"),
    "kind": Variable(("remedy",), "", "top up, cut, hedge or isolate"),
    "what": Variable(("remedy",), "", "which position or asset"),
    "amount": Variable(("remedy",), "", "the least that keeps the appetite, in its unit"),
    "unit": Variable(("remedy",), "", "unit of amount"),
    "cost": Variable(("remedy",), "USD", "what it costs over the horizon"),
    "before": Variable(("remedy",), "1", "liquidation probability as it is"),
    "probability": _estimate(
        "remedy", units="1", meaning="liquidation probability with the remedy", compared=False
    ),
    "outcome": Variable(("remedy",), "", "how the search ended"),
    "cheapest": Variable(("remedy",), "", "the cheapest of the account's remedies that suffice"),
    "note": Variable(("remedy",), "", "what the simulation leaves out; empty where nothing"),
}

_ATTRIBUTION = {
    "loss_part": _estimate(
        "part",
        units="USD",
        meaning="part of the expected total loss: what prices took without impact, what impact "
        "added, fees, and deficits that others bear, which lessen it",
        compared=False,
    ),
    "account_contribution": _estimate(
        "account",
        "level",
        units="USD",
        meaning="Euler contribution of the account to the expected shortfall of the total loss",
        compared=False,
    ),
    "group_contribution": _estimate(
        "group",
        "level",
        units="USD",
        meaning="Euler contribution of the group to the expected shortfall of the total loss",
        compared=False,
    ),
    "asset_contribution": _estimate(
        "asset",
        "level",
        units="USD",
        meaning="Euler contribution of what losing accounts lost on the asset until they were "
        "liquidated, at prices without impact",
        compared=False,
    ),
    "after_liquidation_contribution": _estimate(
        "level",
        units="USD",
        meaning="Euler contribution of the rest: what followed a first liquidation, impact, fees, "
        "funding and deficits that others bear",
        compared=False,
    ),
    "others_loss": _estimate(
        "left_out",
        units="USD",
        meaning="expected total loss of all accounts but this one",
        compared=False,
    ),
    "systemic_importance": _estimate(
        "left_out",
        units="USD",
        meaning="expected total loss of the others minus the same on the same paths without this "
        "account",
        compared=False,
    ),
    "systemic_share": _estimate(
        "left_out",
        units="1",
        meaning="systemic importance as a share of the others' expected total loss",
        compared=False,
    ),
}

_REVERSE_STRESS = {
    "kind": Variable(
        ("event",), "", "account, accounts, notional (a share of the book) or fund (exhausted)"
    ),
    "account": Variable(("event",), "", "account that is liquidated; else empty"),
    "simulated_probability": _estimate(
        "event", units="1", meaning="probability of the event in the run", compared=False
    ),
    "event_paths": Variable(("event",), "count", "paths of the run on which it happens"),
    "market_move": Variable(
        ("event", "way", "asset"),
        "1",
        "move of the price from the start that brings the event about, most likely way first; NaN "
        "where there is no such way",
    ),
    "distance": Variable(
        ("event", "way"),
        "1",
        "how far the market moves, in standard deviations of the normals that drive it",
    ),
    "likelihood": Variable(
        ("event", "way"),
        "1",
        "probability that the market moves at least so far in this direction by the way's end, by "
        "the model's own law; NaN where it has none",
    ),
    "relative_likelihood": Variable(
        ("event", "way"), "1", "likelihood over that of the most likely way"
    ),
    "direction_probability": _estimate(
        "event",
        "way",
        units="1",
        meaning="share of the run's first paths that move at least so far in this direction by "
        "the way's end",
        compared=False,
    ),
    "day": Variable(("event", "way"), "days", "end of the way"),
    "market": Variable(("event", "way"), "", "kind of market: normal, or which jump it has"),
    "typical_paths": Variable(
        ("event",), "count", "paths with the event that the typical path rests on"
    ),
    "typical_move_mean": _estimate(
        "event",
        "step",
        "asset",
        units="1",
        meaning="mean move of the price from the start on the paths with the event; NaN of fewer "
        "than 30 paths",
        compared=False,
    ),
    "typical_move_quantile": Variable(
        ("event", "step", "asset", "quantile"), "1", "quantile of the same, time by time"
    ),
}

_SENSED = {
    "liquidation_probability": ("1", "liquidation probability", ()),
    "expected_loss": ("USD", "mean loss", ()),
    "expected_shortfall": ("USD", "mean loss beyond the quantile at a level", ("level",)),
}
"""What sensitivities are of: unit, words, further dimensions."""

_SENSED_BY: dict[str, tuple[tuple[str, ...], str]] = {
    "collateral": (
        ("account",),
        "one percent of the account's starting equity more in cash, to its pools in proportion",
    ),
    "collateral_usd": (("account",), "one dollar more in cash, to its pools in proportion"),
    "size": (("position",), "one percent more of the position, at its entry price"),
    "margin": (
        ("position",),
        "one percent of its starting equity more as margin of an isolated position, NaN for others",
    ),
    "maintenance": (
        ("account", "asset"),
        "a maintenance rate of the asset 10 basis points higher in every tier",
    ),
    "volatility": (("account", "asset"), "an annual volatility of the asset 0.01 higher"),
    "correlation": (("account",), "all correlations 0.01 higher"),
}
"""What sensitivities are by: dimensions, words."""

_OF_MARKET = ("maintenance", "volatility", "correlation")
"""What all accounts share."""

_SENSITIVITIES = {
    "paths": Variable((), "count", "paths that the sensitivities are of; 0 where there are none"),
    **{
        name: _estimate(
            "account",
            *more,
            units=units,
            meaning=f"{words} under continuous monitoring, without feedback",
            compared=False,
        )
        for name, (units, words, more) in _SENSED.items()
    },
    **{
        f"{name}_by_{by}": _estimate(
            *dims, *more, units=units, meaning=f"change of the {words} by {change}", compared=False
        )
        for name, (units, words, more) in _SENSED.items()
        for by, (dims, change) in _SENSED_BY.items()
    },
    **{
        f"mean_{name}_by_{by}": _estimate(
            *dims,
            units=_SENSED[name][0],
            meaning=f"change of the {_SENSED[name][1]}, mean over these accounts, by {change}",
            compared=False,
        )
        for name in ("liquidation_probability", "expected_loss")
        for by, (dims, change) in {
            **{by: (_SENSED_BY[by][0][1:], _SENSED_BY[by][1]) for by in _OF_MARKET},
            "pair": (("asset", "other_asset"), "the correlation of the two assets 0.01 higher"),
        }.items()
    },
}

_DIAGNOSTICS = {
    "quasi_variance_ratio": _estimate(
        "sampler",
        "quantity",
        units="1",
        meaning="variance of plain paths over that of as many of the sampler, in a pilot",
        compared=False,
    ),
    "quasi_plain": _estimate(
        "quantity", units="", meaning="estimate of the plain paths", compared=False
    ),
    "quasi_estimate": _estimate(
        "quantity", units="", meaning="estimate of the chosen sampler; NaN if none", compared=False
    ),
    "quasi_replaces": Variable(
        ("quantity",), "", "the chosen sampler's estimate stands in the place of the plain one"
    ),
    "plain_probability": _estimate(
        "event", units="1", meaning="share of the plain paths in the event", compared=False
    ),
    "plain_hits": Variable(("event",), "count", "plain paths in the event"),
    "splitting_probability": _estimate(
        "event",
        units="1",
        meaning="probability of the event by splitting; NaN where no population was sent after it",
        compared=False,
    ),
    "splitting_trusted": Variable(
        ("event",), "", "splitting is trusted, and its estimate stands in /book"
    ),
    "splitting_reason": Variable(("event",), "", "why splitting is not trusted; empty where it is"),
    "splitting_ancestors": Variable(
        ("event",), "count", "first particles that a population's hits descend from, mean"
    ),
    "splitting_populations": Variable(("event",), "count", "independent populations"),
    "splitting_particles": Variable(("event",), "count", "particles of a population"),
    "splitting_paths": Variable(
        ("event",), "count", "paths simulated for all events of the same score"
    ),
    "stage_level": Variable(
        ("score", "stage"), "", "highest score that the stage killed, mean over populations"
    ),
    "stage_survival": Variable(("score", "stage"), "1", "share of the particles above it, mean"),
    "stage_acceptance": Variable(
        ("score", "stage"), "1", "share of the proposed moves that were taken, mean"
    ),
    "stage_ancestors": Variable(
        ("score", "stage"), "count", "first particles with a descendant after the stage, mean"
    ),
    "plain_liquidation_probability": _estimate(
        "account",
        units="1",
        meaning="probability of being liquidated by the horizon, of the plain paths",
        compared=False,
    ),
    "importance_liquidation_probability": _estimate(
        "account",
        units="1",
        meaning="probability of being liquidated by the horizon, of the weighted paths; NaN where "
        "they saw none",
        compared=False,
    ),
    "importance_trusted": Variable(
        ("account",),
        "",
        "the weighted estimate is resolved, its design covers the account, and the plain paths do "
        "not contradict it",
    ),
    "importance_effective_sample_size": Variable(
        ("account",), "count", "plain paths that would tell as much"
    ),
    "importance_effective_hits": Variable(
        ("account",), "count", "squared sum of the weights of liquidation over that of squares"
    ),
    "importance_largest_weight_share": Variable(
        ("account",), "1", "largest weight of a liquidation over their sum"
    ),
    "importance_predicted_effective_hits": Variable(
        ("account",), "count", "effective hits that the design expected; few where it covers badly"
    ),
    "importance_design_point_distance": Variable(
        ("account",),
        "1",
        "distance of the likeliest terminal state in liquidation, standard deviations",
    ),
    "importance_plain_score": Variable(
        ("account",),
        "1",
        "difference to the plain estimate in standard errors; NaN where the probability is below "
        "1e-3",
    ),
    "importance_component_paths": Variable(
        ("component",), "count", "weighted paths of the component"
    ),
    "importance_component_hits": Variable(
        ("component",), "count", "accounts liquidated on a path of the component, mean"
    ),
}

GROUPS: dict[str, dict[str, Variable]] = {
    "accounts": _ACCOUNTS,
    "positions": _POSITIONS,
    "paths": _PATHS,
    "assets": _ASSETS,
    "groups": _GROUPS,
    "book": _BOOK,
    "limits": _LIMITS,
    "attribution": _ATTRIBUTION,
    "limit_values": _LIMIT_VALUES,
    "remedies": _REMEDIES,
    "margin": _MARGIN,
    "fan": _FAN,
    "impact": _IMPACT,
    "decision": _DECISION,
    "course": _COURSE,
    "replay": _REPLAY,
    "distribution": _DISTRIBUTION,
    "ladder": _LADDER,
    "influence": _INFLUENCE,
    "reverse_stress": _REVERSE_STRESS,
    "diagnostics": _DIAGNOSTICS,
    "sensitivities": _SENSITIVITIES,
    "curves": _CURVES,
    "liquidations": _LIQUIDATIONS,
    "detail": _DETAIL,
}
"""Group name -> variable name -> specification."""


def find(group: str, name: str) -> Variable:
    """Return the specification of ``name`` in ``group``, a compared world's prefix allowed.

    Raises
    ------
    KeyError
        If the result has no such variable.
    """
    known = GROUPS[group]
    if name in known:
        return known[name]
    for prefix in WORLD_PREFIX:
        base = known.get(name.removeprefix(prefix)) if name.startswith(prefix) else None
        if base is not None and base.compared:
            return base
    raise KeyError(f"/{group} has no variable {name!r}")
