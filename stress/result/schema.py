"""The written specification of a result: every variable, its dimensions, unit and meaning.

``result.assemble`` refuses to build anything that is not listed here, and a test compares a whole
result with this list, so the list is true. An *estimate* comes with a second variable
``<name>_interval`` that has one more dimension, ``bound`` (``lower``, ``upper``), at the scenario's
``confidence``. The interval holds sampling error only.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["BOUNDS", "DIMENSIONS", "GROUPS", "SCHEMA_VERSION", "WORLD_PREFIX", "Variable", "find"]

SCHEMA_VERSION = "1"

BOUNDS = ("lower", "upper")

DIMENSIONS = (
    "path",
    "step",
    "account",
    "position",
    "asset",
    "other_asset",
    "group",
    "other_group",
    "limit",
    "level",
    "quantile",
    "share",
    "bin",
    "edge",
    "bound",
)
"""Every dimension, in the order in which a variable carries them, but for ``step``, which stands
behind the label whose curve it is. ``step`` is thinned and holds days since the start; ``account``,
``position``, ``asset``, ``group`` and ``limit`` hold labels."""

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


_ACCOUNTS = {
    "group": Variable(("account",), "", "group label of the account"),
    "liquidation_probability": _estimate(
        "account", units="1", meaning="probability of being liquidated by the horizon"
    ),
    "liquidation_probability_by_step": _estimate(
        "account",
        "step",
        units="1",
        meaning="probability of being liquidated by a time",
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
    "uncovered_loss": Variable(
        ("path",), "USD", "deficits that nobody's collateral covered", compared=True
    ),
}

_ASSETS = {
    "price": Variable(("asset",), "USD", "mark at the start"),
    "volatility": Variable(("asset",), "1", "annualised volatility, 365 days"),
    "drift": Variable(("asset",), "1", "annual drift"),
    "correlation": Variable(("asset", "other_asset"), "1", "correlation of log returns"),
    "net_position": Variable(("asset",), "USD", "sum of signed notionals at the start"),
    "gross_position": Variable(("asset",), "USD", "sum of absolute notionals at the start"),
    "liquidated_notional_mean": _estimate(
        "asset", units="USD", meaning="mean over paths of the notional closed", compared=False
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
    "liquidated_share_probability": _estimate(
        "share", units="1", meaning="probability that more than a share of accounts is liquidated"
    ),
    "expected_total_loss": _estimate(
        units="USD", meaning="mean over paths of the sum of max(loss, 0) over accounts"
    ),
    "expected_net_loss": _estimate(units="USD", meaning="mean over paths of the summed loss"),
    "expected_uncovered_loss": _estimate(units="USD", meaning="mean over paths of the deficits"),
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
    "where": Variable(("limit",), "", "account or group that attains a maximum; else empty"),
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

_DISTRIBUTION = {
    "total_loss_edges": Variable(("edge",), "USD", "edges of the bins of total loss"),
    "total_loss_paths": Variable(("bin",), "count", "paths in each bin of total loss"),
    "net_loss_edges": Variable(("edge",), "USD", "edges of the bins of net loss"),
    "net_loss_paths": Variable(("bin",), "count", "paths in each bin of net loss"),
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
    "uncovered_loss": Variable(("path",), "USD", "deficits that nobody's collateral covered"),
    "mark_end": Variable(("path", "asset"), "USD", "mark at the end of the path"),
    "closed_notional": Variable(
        ("path", "asset"), "USD", "quantity times traded price of market closes"
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
    "margin": _MARGIN,
    "fan": _FAN,
    "distribution": _DISTRIBUTION,
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
