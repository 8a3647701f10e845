"""The made-up result of a run with feedback: the sample with the variables of the cascade in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from .reverse_sample import reverse_part
from .sample import Array, SampleGroup, sample_tree

__all__ = ["APPROXIMATES", "ASKED_FOR", "OTHER_LAW", "cascade_tree", "change"]

OTHER_LAW = (
    "The scenario states depth and no volume: the square-root law has the volume with which both "
    "laws move a price by one percent for the same order."
)
APPROXIMATES = ("Tiers are smoothed.", "One tier is closed in a round; the venue closes two.")

_LEVELS = np.array([0.95, 0.99])
_QUANTILES = np.array([0.5, 0.95, 0.99])
_LAWS = ("linear", "square-root")
_HORIZON, _STEPS = 7.0, 41


def change(tree: xr.DataTree, group: str, **values: Any) -> None:
    """Overwrite variables of a group; an estimate's bounds become its value."""
    data = tree[group].to_dataset()
    for name, value in values.items():
        array = np.broadcast_to(np.asarray(value, dtype=np.float64), data[name].shape)
        data[name] = (data[name].dims, array.copy())
        if f"{name}_interval" in data:
            bounds = np.stack([array, array], axis=-1)
            data[f"{name}_interval"] = (data[f"{name}_interval"].dims, bounds)
    tree[group] = xr.DataTree(data)


def cascade_tree(
    accounts: int = 60, *, decision: Sequence[str] = ("leader", "sharded"), **others: Any
) -> xr.DataTree:
    """Return the sample as if forced orders had moved prices; ``decision`` names what was run."""
    tree = sample_tree(accounts, **others)
    rng = np.random.default_rng(3)
    parts = [
        _accounts(tree, rng),
        _positions(tree, rng),
        _paths(tree, rng),
        _assets(tree, rng),
        _groups(tree, rng),
        _book(),
        _impact(),
        _distribution(rng),
        _course(),
        _replay(tree),
        _influence(tree, rng),
        reverse_part(tree),
        _attribution(tree, rng),
        _quasi(),
    ]
    if decision:
        parts.append(_decision(decision))
    for part in parts:
        found = part.dataset()
        if part.name in tree.children:
            old = tree[part.name].to_dataset()
            found = old.merge(found, compat="override")
        tree[part.name] = xr.DataTree(found)
    tree["impact"].attrs["other_law"] = OTHER_LAW
    tree["replay"].attrs["path"] = 1_234
    tree["diagnostics"].attrs |= {"quasi_sampler": "sobol", "quasi_replicates": 16}
    tree["diagnostics"].attrs |= {"quasi_paths": 4_096, "quasi_pilot_paths": 512}
    tree.attrs |= {
        "preset": "somewhere",
        "preset_title": "Somewhere, perpetuals",
        "preset_as_of": "2026-05-28",
        "preset_approximates": "\n".join(APPROXIMATES),
        "order": "largest-loss",
        "amount": "tier",
        "impact": "linear",
        "deleveraging": "auto-deleverage",
        "decision": decision[-1] if decision else "leader",
        "fund": 2e6,
    }
    return tree


def _labels(tree: xr.DataTree, dim: str, group: str) -> list[str]:
    return [str(label) for label in tree[group].to_dataset()[dim].values]


def _accounts(tree: xr.DataTree, rng: np.random.Generator) -> SampleGroup:
    names = _labels(tree, "account", "accounts")
    out = SampleGroup("accounts", {"account": names})
    with_feedback = tree["accounts"].to_dataset()["liquidation_probability"].values
    without = with_feedback * rng.uniform(0.6, 1.0, len(names))
    distress = np.where(rng.random(len(names)) < 0.2, rng.uniform(0, 0.3, len(names)), 0.0)
    out.around("hidden_distress", distress, 0.1)
    out.around("liquidation_probability_without_feedback", without, 0.05)
    out.around("liquidation_probability_change", with_feedback - without, 0.1)
    return out


def _attribution(tree: xr.DataTree, rng: np.random.Generator) -> SampleGroup:
    accounts, assets = _labels(tree, "account", "accounts"), _labels(tree, "asset", "assets")
    groups, left_out = _labels(tree, "group", "groups"), accounts[:2]
    parts = ("market", "impact", "fees", "paid by the fund", "paid by winners", "uncovered")
    coords = {"account": accounts, "asset": assets, "group": groups, "level": _LEVELS}
    out = SampleGroup("attribution", {**coords, "part": list(parts), "left_out": left_out})
    by_account = rng.exponential(2e4, (len(accounts), 1)) * np.array([1.0, 1.5])
    out.around("account_contribution", by_account, 0.1)
    out.around("group_contribution", rng.exponential(1e6, (len(groups), 2)), 0.1)
    out.around("asset_contribution", rng.normal(0, 1e6, (len(assets), 2)), 0.1)
    out.around("after_liquidation_contribution", [-2e5, -4e5], 0.1)
    out.around("loss_part", [5e5, 1e5, 2e4, -3e4, -1e4, -2e3], 0.1)
    out.around("others_loss", np.full(len(left_out), 4e5), 0.1)
    out.around("systemic_importance", np.linspace(9e4, -1e4, len(left_out)), 0.2)
    out.around("systemic_share", np.linspace(0.225, -0.025, len(left_out)), 0.2)
    return out


def _quasi() -> SampleGroup:
    quantities = ["mean liquidation probability", "expected total loss", "median over accounts"]
    samplers = ["antithetic", "sobol"]
    out = SampleGroup("diagnostics", {"sampler": samplers, "quantity": quantities})
    out.around("quasi_variance_ratio", [[1.4, 1.9, 1.2], [9.0, 21.0, 2.5]], 0.3)
    out.around("quasi_plain", [0.2, 4.0e5, np.nan], 0.02)
    out.around("quasi_estimate", [0.199, 4.1e5, np.nan], 0.005)
    out.put("quasi_replaces", [True, True, False])
    return out


def _positions(tree: xr.DataTree, rng: np.random.Generator) -> SampleGroup:
    names = _labels(tree, "position", "positions")
    out = SampleGroup("positions", {"position": names})
    paths = rng.integers(0, 200, len(names))
    plan = tree["positions"].to_dataset()["planned_risk"].values
    mean = np.where(paths > 0, plan * rng.uniform(0.8, 6.0, len(names)), np.nan)
    out.around("effective_risk_mean", mean, 0.2)
    out.around("effective_risk_shortfall", 2.5 * mean, 0.3)
    out.put("effective_risk_paths", paths)
    return out


def _paths(tree: xr.DataTree, rng: np.random.Generator) -> SampleGroup:
    out = SampleGroup("paths", {})
    loss = np.exp(rng.normal(12.5, 0.9, int(tree.attrs["paths"])))
    out.put("total_loss", loss)
    out.put("cascade_loss", 0.3 * loss)
    return out


def _assets(tree: xr.DataTree, rng: np.random.Generator) -> SampleGroup:
    names = _labels(tree, "asset", "assets")
    out = SampleGroup("assets", {"asset": names, "quantile": _QUANTILES})
    mean = rng.uniform(0.001, 0.04, len(names))
    out.around("price_overshoot_mean", mean, 0.1)
    out.put("price_overshoot_quantile", np.outer(mean, [0.6, 2.5, 5.0]))
    return out


def _groups(tree: xr.DataTree, rng: np.random.Generator) -> SampleGroup:
    names = _labels(tree, "group", "groups")
    out = SampleGroup("groups", {"group": names, "other_group": names})
    caused = rng.uniform(0, 0.4, (len(names), len(names)))
    out.around("caused_liquidations", caused, 0.1)
    out.around("feedback_liquidations", caused.sum(axis=1), 0.08)
    return out


def _book() -> SampleGroup:
    out = SampleGroup("book", {"level": _LEVELS})
    out.around("expected_cascade_loss", 120_000.0, 0.08)
    out.around("cascade_loss_value_at_risk", np.array([4e5, 9e5]), 0.05)
    out.around("cascade_loss_expected_shortfall", np.array([7e5, 1.4e6]), 0.06)
    out.around("cascade_multiplier", 1.42, 0.03)
    out.around("fund_exhaustion_probability", 0.013, 0.2)
    out.around("expected_fund_draw", 31_000.0, 0.1)
    out.around("fund_draw_value_at_risk", np.array([1.1e5, 1.9e6]), 0.1)
    out.around("expected_liquidated_notional", 5.2e6, 0.03)
    out.around("expected_liquidated_accounts", 4.31, 0.02)
    out.around("expected_socialised_loss", 0.0, 0.0)
    out.around("expected_deleveraged_notional", 8_000.0, 0.4)
    out.around("expected_false_liquidations", 0.37, 0.1)
    out.around("expected_over_closed_notional", 41_000.0, 0.2)
    out.around("expected_late_steps", 2.4, 0.1)
    out.around("rounds_exhausted_probability", 0.004, 0.4)
    return out


_SIDES: dict[str, tuple[float, float]] = {
    "liquidation_probability": (0.073, 0.081),
    "expected_total_loss": (405_000.0, 452_000.0),
    "expected_cascade_loss": (120_000.0, 167_000.0),
    "expected_uncovered_loss": (300.0, 900.0),
}


def _impact() -> SampleGroup:
    out = SampleGroup("impact", {"law": list(_LAWS), "level": _LEVELS})
    ratios = {"cascade_multiplier": (1.42, 1.61), "fund_exhaustion_probability": (0.013, 0.02)}
    for name, pair in (_SIDES | ratios).items():
        out.around(name, np.array(pair), 0.05)
    tail: Array = np.array([[4e5, 9e5], [6e5, 1.9e6]])
    for name, more in (
        ("cascade_loss_value_at_risk", 1.0),
        ("cascade_loss_expected_shortfall", 1.5),
    ):
        out.around(name, more * tail, 0.06)
    return out


def _decision(decision: Sequence[str]) -> SampleGroup:
    out = SampleGroup("decision", {"decision": list(decision)})
    more = {
        "any_liquidation_probability": (0.31, 0.33),
        "expected_liquidated_notional": (5.2e6, 5.9e6),
    }
    for name, pair in (_SIDES | more).items():
        out.around(name, np.array(pair[: len(decision)]), 0.05)
        out.around(f"{name}_difference", pair[1] - pair[0], 0.2)
    return out


def _distribution(rng: np.random.Generator) -> SampleGroup:
    out = SampleGroup("distribution", {})
    loss = np.where(rng.random(4_000) < 0.6, 0.0, np.exp(rng.normal(11.5, 1.2, 4_000)))
    for name, values in (
        ("cascade_loss", loss),
        ("cascade_multiplier", 1 + np.exp(rng.normal(-1.5, 0.8, 3_000))),
        ("fund_draw", np.where(loss > 4e5, loss / 3, 0)),
    ):
        counts, edges = np.histogram(values, bins=60)
        out.put(f"{name}_edges", edges)
        out.put(f"{name}_paths", counts)
    return out


def _course() -> SampleGroup:
    step = np.linspace(0, _HORIZON, _STEPS)
    out = SampleGroup("course", {"step": step, "quantile": np.array([0.05, 0.5, 0.95])})
    rising = 5e6 * (step / _HORIZON) ** 1.5
    out.put("liquidated_notional_quantile", np.outer(rising, [0.0, 0.7, 3.1]))
    out.around("liquidated_notional_mean", rising, 0.04)
    return out


def _replay(tree: xr.DataTree) -> SampleGroup:
    names = _labels(tree, "asset", "assets")
    step = np.linspace(0, _HORIZON, _STEPS)
    out = SampleGroup("replay", {"step": step, "asset": names})
    price = tree["assets"].to_dataset()["price"].values
    fall = 1 - 0.03 * step - 0.01 * np.sin(5 * step)
    fundamental = np.outer(fall, price)
    overshoot = np.outer(0.012 * np.clip(step - 2, 0, 3), np.linspace(1, 0.1, len(names)))
    out.put("fundamental_price", fundamental)
    out.put("mark", fundamental * np.exp(-overshoot))
    fallen = np.round(23 * np.clip((step - 2) / 3, 0, 1))
    out.put("liquidated_accounts", fallen.astype(np.int64))
    out.put("liquidated_notional", 4.1e5 * fallen)
    out.put("fund", 2e6 - 6e4 * fallen)
    return out


def _influence(tree: xr.DataTree, rng: np.random.Generator) -> SampleGroup:
    """Return rows of a history, of which one carries most."""
    names = _labels(tree, "account", "accounts")
    days = np.datetime_as_string(np.datetime64("2024-01-01") + np.arange(90))
    places = np.arange(1, 6)
    out = SampleGroup("influence", {"row": days, "account": names, "place": places})
    carried = 0.001 * rng.random(len(days))
    carried[40] = 0.05
    used = rng.integers(40, 80, len(days)).astype(float)
    for name, whole in (("liquidation_probability", 0.1), ("any_liquidation_probability", 0.12)):
        out.around(name, carried, 0.3)
        out.put(f"{name}_share", carried / whole)
    out.put("paths_using", used)
    out.put("effective_sample_size", 10_000 - used)
    hit = tree["accounts"].to_dataset()["liquidation_probability"].values > 0
    shape = (len(names), len(places))
    own = np.where(hit[:, None], 0.02 / places, np.nan)
    out.put("account_row", np.where(hit[:, None], days[40 + places], ""))
    out.around("account_influence", own, 0.3)
    out.put("account_share", own * 5)
    out.put(
        "account_effective_sample_size", np.where(hit[:, None], 9_950.0, np.full(shape, np.nan))
    )
    return out


ASKED_FOR = {
    "curves",
    "importance",
    "limit-values",
    "remedies",
    "sensitivities",
    "splitting",
}
"""Sections of what only some runs ask for, which the sample has not: their own tests look at them.
"""
