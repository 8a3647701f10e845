"""A made-up result: the shape of the written specification, numbers from a seeded generator.

The numbers are plausible, not simulated; what the report shows is checked against them, not they.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from stress.result.schema import BOUNDS, Variable, find

__all__ = ["GROUPS", "LIMITS", "Array", "SampleGroup", "sample_tree"]

Array = NDArray[np.float64]

GROUPS = ("hedged", "basket", "directional")

# name: (value, half width, threshold, breached, resolved, where)
LIMITS: dict[str, tuple[float, float, float, bool, bool, str]] = {
    "max_account_liquidation_probability": (0.21, 0.03, 0.05, True, True, "account-0001"),
    "max_uncovered_loss": (90_000.0, 30_000.0, 100_000.0, False, False, ""),
    "max_expected_shortfall": (1.2e6, 0.2e6, 5e6, False, True, ""),
}

_CROSS = {"hedged": -5.0, "basket": -3.0, "directional": -2.0}
_ISOLATED = {"hedged": -1.8, "basket": -2.8, "directional": -2.0}
_LEVELS = np.array([0.95, 0.99])
_QUANTILES = np.array([0.05, 0.5, 0.95])
_PATHS, _HORIZON, _STEPS = 4_000, 7.0, 41


@dataclass
class SampleGroup:
    """Variables of one group of the tree, put in one at a time."""

    name: str
    coords: dict[str, Any]
    variables: dict[str, xr.Variable] = field(default_factory=dict)

    def known(self, name: str) -> Variable:
        return find(self.name, name)

    def put(self, name: str, values: Any) -> None:
        known = self.known(name)
        attrs = {"units": known.units, "long_name": known.meaning}
        self.variables[name] = xr.Variable(known.dims, values, attrs)

    def estimate(self, name: str, value: Any, lower: Any, upper: Any) -> None:
        self.put(name, value)
        known = self.known(name)
        bounds = np.stack([lower, upper], axis=-1)
        self.variables[f"{name}_interval"] = xr.Variable((*known.dims, "bound"), bounds)

    def hits(self, name: str, probability: Any, rng: np.random.Generator) -> None:
        """Put a probability as it would be estimated from the paths, with Wilson's interval."""
        hits = rng.binomial(_PATHS, np.clip(probability, 0, 1))
        self.estimate(name, *_wilson(hits / _PATHS))

    def calibrated(self, name: str) -> None:
        """Give a variable that is there the intervals that calibration draws bring."""
        value = np.asarray(self.variables[name].values, dtype=np.float64)
        for error, width in (("calibration", 0.2), ("combined", 0.25)):
            bounds = np.stack([value * (1 - width), value * (1 + width)], axis=-1)
            bounds = np.minimum(bounds, 1) if "probability" in name else bounds
            self.put(f"{name}_{error}_interval", bounds)

    def around(self, name: str, value: Any, relative: float) -> None:
        value = np.asarray(value, dtype=np.float64)
        half = relative * np.abs(value)
        self.estimate(name, value, value - half, value + half)

    def dataset(self, attrs: dict[str, Any] | None = None) -> xr.Dataset:
        dims = {dim for variable in self.variables.values() for dim in variable.dims}
        coords = {name: values for name, values in self.coords.items() if name in dims}
        if "bound" in dims:
            coords["bound"] = list(BOUNDS)
        return xr.Dataset(self.variables, coords, attrs)


def _wilson(share: Array, z: float = 1.96) -> tuple[Array, Array, Array]:
    centre = (share + z * z / (2 * _PATHS)) / (1 + z * z / _PATHS)
    spread = share * (1 - share) / _PATHS + z * z / (4 * _PATHS**2)
    half = z * np.sqrt(spread) / (1 + z * z / _PATHS)
    return share, np.maximum(centre - half, 0), np.minimum(centre + half, 1)


def _members(accounts: int, groups: Sequence[str]) -> NDArray[np.str_]:
    return np.array([groups[index % len(groups)] for index in range(accounts)])


def _chances(
    member: NDArray[np.str_], centres: dict[str, float], rng: np.random.Generator
) -> Array:
    logit = np.array([centres.get(group, -2.5) for group in member])
    return 1 / (1 + np.exp(-logit - 1.2 * rng.standard_normal(len(member))))


def _accounts(
    names: Sequence[str],
    member: NDArray[np.str_],
    cross: Array,
    isolated: Array,
    compare: bool,
    rng: np.random.Generator,
) -> SampleGroup:
    step = np.linspace(0, _HORIZON, _STEPS)
    equity = np.exp(rng.normal(9, 1.5, len(names)))
    out = SampleGroup(
        "accounts",
        {"account": list(names), "level": _LEVELS, "quantile": _QUANTILES, "step": step},
    )
    out.put("group", member)
    out.hits("liquidation_probability", cross, rng)
    out.hits("liquidation_probability_at_closes", 0.8 * cross, rng)
    out.calibrated("liquidation_probability")
    if compare:
        for prefix, chance in (("cross_", cross), ("isolated_", isolated)):
            out.hits(f"{prefix}liquidation_probability", chance, rng)
        difference = cross - isolated
        out.estimate("cross_minus_isolated", difference, difference - 0.01, difference + 0.01)
    out.hits("margin_call_probability", np.minimum(1.8 * cross, 1), rng)
    out.hits("bankruptcy_probability", 0.05 * cross, rng)
    out.around("expected_loss", equity * (cross - 0.02), 0.1)
    for name in ("value_at_risk", "expected_shortfall"):
        out.around(name, np.outer(equity, [0.5, 0.8]), 0.05)
    out.put("initial_equity", equity)
    out.put("initial_margin_ratio", rng.uniform(0.01, 0.7, len(names)))
    out.put("effective_leverage", rng.uniform(1, 20, len(names)))
    return out


def _groups(
    groups: Sequence[str],
    member: NDArray[np.str_],
    cross: Array,
    isolated: Array,
    compare: bool,
    rng: np.random.Generator,
) -> SampleGroup:
    step = np.linspace(0, _HORIZON, _STEPS)
    out = SampleGroup("groups", {"group": list(groups), "other_group": list(groups), "step": step})
    mean = np.array([cross[member == group].mean() for group in groups])
    other = np.array([isolated[member == group].mean() for group in groups])
    size = np.array([(member == group).sum() for group in groups])
    out.put("accounts", size)
    any_ = 1 - (1 - mean) ** np.minimum(size, 8)
    worlds = [("", mean)] + ([("cross_", mean), ("isolated_", other)] if compare else [])
    for prefix, share in worlds:
        out.around(f"{prefix}liquidation_probability", share, 0.06)
        curve = np.outer(share, (step / _HORIZON) ** 1.4)
        out.around(f"{prefix}liquidation_probability_by_step", curve, 0.06)
        out.hits(f"{prefix}any_liquidation_probability", any_, rng)
    out.hits("joint_liquidation_probability", np.minimum.outer(any_, any_) * 0.9, rng)
    out.around("expected_loss", 1e5 * (mean - 0.05), 0.2)
    if compare:
        gap = mean - other
        out.estimate("cross_minus_isolated", gap, gap - 0.004, gap + 0.004)
    return out


def _book(cross: Array, isolated: Array, compare: bool, loss: Array) -> SampleGroup:
    out = SampleGroup("book", {"level": _LEVELS, "share": np.array([0.01, 0.05, 0.1])})
    worlds = [("", cross)] + ([("isolated_", isolated)] if compare else [])
    for prefix, chance in worlds:
        out.around(f"{prefix}liquidation_probability", chance.mean(), 0.05)
        out.around(f"{prefix}any_liquidation_probability", 1 - (1 - chance.mean()) ** 5, 0.02)
        out.around(f"{prefix}expected_total_loss", loss.mean(), 0.03)
        out.around(f"{prefix}expected_net_loss", loss.mean() / 8, 0.3)
        out.estimate(f"{prefix}expected_uncovered_loss", 0.0, 0.0, 1_800.0)
        for name in ("total_loss", "net_loss"):
            tail = np.quantile(loss, _LEVELS) - (3 * loss.mean() if name == "net_loss" else 0)
            out.around(f"{prefix}{name}_value_at_risk", tail, 0.04)
            out.around(f"{prefix}{name}_expected_shortfall", tail + 0.3 * abs(tail), 0.05)
        out.around(f"{prefix}uncovered_loss_value_at_risk", np.array([0.0, 12_345.0]), 0.2)
    out.around("liquidation_probability_at_closes", 0.8 * cross.mean(), 0.05)
    for name in ("liquidation_probability", "any_liquidation_probability"):
        out.calibrated(name)
    out.calibrated("expected_total_loss")
    out.calibrated("total_loss_value_at_risk")
    shares = np.array([0.4, 0.12, 0.0])
    out.estimate("liquidated_share_probability", *_wilson(shares))
    if compare:
        gap = float(np.mean(cross - isolated))
        out.estimate("cross_minus_isolated", gap, gap - 0.003, gap + 0.003)
        out.estimate("cross_minus_isolated_any", 0.001, -0.002, 0.004)
    return out


def _assets(count: int, rng: np.random.Generator) -> SampleGroup:
    names = ["BTC", "ETH", "SOL", "XRP"][:count] + [f"A{index:03d}" for index in range(4, count)]
    out = SampleGroup("assets", {"asset": names, "other_asset": names})
    factor = rng.uniform(0.5, 0.95, count)
    correlation = np.outer(factor, factor)
    np.fill_diagonal(correlation, 1)
    gross = np.sort(np.exp(rng.normal(14, 1.5, count)))[::-1]
    out.put("price", np.exp(rng.normal(2, 4, count)))
    out.put("volatility", rng.uniform(0.4, 1.4, count))
    out.put("drift", np.zeros(count))
    out.put("correlation", correlation)
    out.put("net_position", gross * rng.uniform(-0.4, 0.6, count))
    out.put("gross_position", gross)
    # of the first asset the next percent forces more than the depth, of the others a tenth of it
    depth = 0.06 * gross
    depth[0] = 0.003 * gross[0]
    out.put("depth_1pct", depth)
    out.put("reproduction_number", 0.006 * gross / depth)
    out.around("liquidated_notional_mean", 0.03 * gross, 0.08)
    return out


def _ladder(assets: Sequence[str], market: dict[str, xr.Variable]) -> SampleGroup:
    """Longs above shorts: the further a mark goes, the more; the first asset feeds itself."""
    move = np.arange(-50, 51) / 100
    out = SampleGroup("ladder", {"asset": list(assets), "move": move})
    gross, depth = market["gross_position"].values, market["depth_1pct"].values
    share = np.where(move < 0, 0.6, 0.4) * np.abs(move)
    marginal = np.outer(gross / depth, np.where(move < 0, 0.6, 0.4) * 0.01 * (1 + move))
    out.put("liquidated_notional", np.outer(gross, share * (1 + move)))
    out.put("accounts", np.outer(np.ones(len(assets)), np.round(20 * share)).astype(np.int64))
    out.put("market_liquidated_notional", gross.sum() * share * (1 + move))
    out.put("market_accounts", np.round(60 * share).astype(np.int64))
    out.put("reproduction_number_along", marginal)
    out.put("reproduction_number_fall", 0.006 * gross / depth)
    out.put("reproduction_number_rise", 0.004 * gross / depth)
    return out


def _positions(
    accounts: Sequence[str], assets: Sequence[str], rng: np.random.Generator
) -> SampleGroup:
    names = [f"{account}/{assets[index % len(assets)]}" for index, account in enumerate(accounts)]
    count = len(names)
    out = SampleGroup("positions", {"position": names})
    price, distance = np.exp(rng.normal(2, 4, count)), rng.uniform(-0.6, 0.6, count)
    distance[3::7] = np.nan
    out.put("account", list(accounts))
    out.put("asset", [assets[index % len(assets)] for index in range(count)])
    out.put("quantity", rng.normal(0, 30, count))
    out.put("notional", np.exp(rng.normal(10, 1, count)))
    out.put("planned_risk", rng.uniform(0.005, 0.05, count))
    out.put("liquidation_price", price * (1 + distance))
    out.put("liquidation_distance", distance)
    return out


def _margin(accounts: Sequence[str], rng: np.random.Generator) -> SampleGroup:
    out = SampleGroup("margin", {"account": list(accounts)})
    out.put("hidden_distress", rng.random(len(accounts)) < 0.05)
    out.put("in_breach", rng.random(len(accounts)) < 0.01)
    return out


def _fan(groups: Sequence[str]) -> SampleGroup:
    step = np.linspace(0, _HORIZON, _STEPS)
    centre = np.array([0.05, 0.15, 0.3])
    spread = 0.4 * np.sqrt(step)
    curves = np.empty((len(groups), _STEPS, len(_QUANTILES)))
    for index in range(len(groups)):
        middle = centre[index % len(centre)]
        for place, sign in enumerate((-1, 0.1, 1.6)):
            curves[index, :, place] = middle * np.exp(sign * spread)
    curves[curves > 1] = np.inf
    out = SampleGroup("fan", {"group": list(groups), "step": step, "quantile": _QUANTILES})
    out.put("margin_ratio_quantile", curves)
    return out


def _distribution(loss: Array) -> SampleGroup:
    out = SampleGroup("distribution", {})
    for name, values in (("total", loss), ("net", loss - 3 * loss.mean())):
        paths, edges = np.histogram(values, bins=60)
        out.variables[f"{name}_loss_edges"] = xr.Variable(("edge",), edges)
        out.variables[f"{name}_loss_paths"] = xr.Variable(("bin",), paths)
    return out


def _limits(names: Iterable[str]) -> SampleGroup:
    rows = {name: LIMITS[name] for name in names}
    out = SampleGroup("limits", {"limit": list(rows)})
    columns = [np.array(column) for column in zip(*rows.values(), strict=True)]
    value, half, threshold, breached, resolved, where = columns
    out.put("value", value)
    bounds = np.stack([value - half, value + half], axis=-1)
    out.variables["value_interval"] = xr.Variable(("limit", "bound"), bounds)
    out.put("threshold", threshold)
    out.put("breached", breached)
    out.put("resolved", resolved)
    out.put("where", where)
    return out


def _attributes(accounts: int, compare: bool) -> dict[str, Any]:
    return {
        "title": "Three books",
        "source": "margin-stress 0.1.0",
        "created_at": "2026-01-02T03:04:05Z",
        "as_of": "",
        "scenario_toml": 'name = "three-books"\n[simulation]\npaths = 4_000\n',
        "scenario_sha256": "0123456789abcdef" * 4,
        "seed": 7,
        "paths": _PATHS,
        "accounts": accounts,
        "steps": 2_016,
        "horizon_days": _HORIZON,
        "step_seconds": 300.0,
        "precision": "float32",
        "monitoring": "step",
        "confidence": 0.95,
        "mode": "cross",
        "compare": "isolated" if compare else "",
        "market_model": "gbm",
        "calibration_draws": 40,
        "trigger": "maintenance",
        "amount": "restore",
        "fee": 0.005,
        "warning": 0.8,
        "jax_version": "0.10.2",
        "platform": "cpu",
        "device_kind": "cpu",
        "duration_seconds": 41.234,
        "compile_seconds": 6.5,
        "account_path_steps_per_second": 4.1e8,
        "notices": "Two accounts start in breach.\nOne pool has no isolated counterpart.",
        "assumptions": "Prices are continuous between steps.\nA pool is closed whole.",
        "stress": "Shock, at 2d, at once: prices move: BTC -15 %.\n"
        "Volatility, from 2d over 6h: volatility of all assets is multiplied by 2.",
        "exit_code": 3,
    }


def sample_tree(
    accounts: int = 60,
    *,
    groups: Sequence[str] = GROUPS,
    assets: int = 6,
    compare: bool = True,
    limits: Iterable[str] = tuple(LIMITS),
    names: Sequence[str] = (),
    seed: int = 1,
) -> xr.DataTree:
    """Return a result of ``accounts`` accounts; ``names`` replaces the first account labels."""
    rng = np.random.default_rng(seed)
    groups = tuple(groups)[:accounts]
    labels = [f"account-{index:04d}" for index in range(accounts)]
    labels[: len(names)] = names
    member = _members(accounts, groups)
    cross, isolated = _chances(member, _CROSS, rng), _chances(member, _ISOLATED, rng)
    loss = np.exp(rng.normal(12.5, 0.9, _PATHS))
    market = _assets(assets, rng)
    found = [
        _accounts(labels, member, cross, isolated, compare, rng),
        _groups(groups, member, cross, isolated, compare, rng),
        _book(cross, isolated, compare, loss),
        market,
        _positions(labels, market.coords["asset"], rng),
        _margin(labels, rng),
        _distribution(loss),
        _ladder(market.coords["asset"], market.variables),
    ]
    data = {part.name: part.dataset() for part in found}
    data["fan"] = _fan(groups).dataset({"paths": 512})
    if limits := tuple(limits):
        data["limits"] = _limits(limits).dataset()
    root = xr.Dataset(attrs=_attributes(accounts, compare))
    return xr.DataTree.from_dict({"/": root} | {f"/{name}": part for name, part in data.items()})
