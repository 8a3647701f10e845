"""Results in memory whose truth is known: accounts that one price liquidates at barriers of theirs.

The log price is a Brownian motion without drift, so an account whose barrier lies b below the start
is liquidated with probability 2 Phi(-b / s), s the standard deviation at the horizon (reflection
principle). The running minimum is drawn exactly.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tomli_w
import xarray as xr
from scipy.stats import norm

from stress.measure.moments import Estimate, Moments
from stress.measure.pathwise import mean_over_paths, probability_over_paths, tail_over_paths

__all__ = ["SCENARIO", "barrier_tree", "hit_probability", "path_tree", "with_attributes"]

SCENARIO: dict[str, Any] = {
    "name": "barriers",
    "simulation": {"paths": 1, "seed": 0, "precision": "float64", "monitoring": "step"},
    "market": {"model": "gbm", "assets": ["ONE"], "price": {"ONE": 100.0}},
    "book": {"accounts": "/data/accounts.csv", "positions": "/data/positions.csv"},
}

_LEVELS = np.array([0.9])


def hit_probability(barrier: Any) -> Any:
    """Return how likely a path falls to a barrier, in standard deviations below its start."""
    return 2 * norm.cdf(-np.asarray(barrier))


def minima(seed: int, paths: int) -> np.ndarray:
    """Return the lowest point of each path, in standard deviations; path i is path i."""
    draws = np.random.default_rng(seed).random((paths, 2))
    end = norm.ppf(draws[:, 0])
    return (end - np.sqrt(end**2 - 2 * np.log(draws[:, 1]))) / 2


def barrier_tree(
    barriers: Mapping[str, float],
    *,
    seed: int,
    paths: int,
    cash: float = 1_000.0,
    **more: Any,
) -> xr.DataTree:
    """Return a run in which each account loses its cash where the path falls to its barrier."""
    lowest = minima(seed, paths)
    hit = lowest[None, :] <= -np.array(list(barriers.values()))[:, None]
    loss = cash * hit.sum(axis=0)
    book = {"/data/accounts.csv": _digest(barriers), "/data/positions.csv": "0" * 64}
    more.setdefault("inputs", book)
    return path_tree(hit, list(barriers), seed=seed, loss=loss.astype(float), **more)


def _digest(barriers: Mapping[str, float]) -> str:
    return hashlib.sha256(repr(list(barriers.items())).encode()).hexdigest()


def path_tree(
    hit: Any,
    accounts: Sequence[str],
    *,
    seed: int = 0,
    loss: Any = None,
    groups: Sequence[str] = (),
    limits: Mapping[str, float] | None = None,
    inputs: Mapping[str, str] | None = None,
    scenario: Mapping[str, Any] | None = None,
    positions: Mapping[str, float] | None = None,
    confidence: float = 0.95,
    bits: bool = True,
    **attributes: Any,
) -> xr.DataTree:
    """Return a result with the given liquidations (accounts, paths) and losses (paths,)."""
    hit = np.asarray(hit, bool)
    paths = hit.shape[1]
    loss = np.asarray(hit.sum(axis=0) if loss is None else loss, float)
    member = np.array(list(groups) or ["all"] * len(accounts))
    names = list(dict.fromkeys(member.tolist()))
    data = {
        "/": xr.Dataset(attrs=_root(scenario, inputs, seed, paths, len(accounts), confidence)),
        "/accounts": _accounts(hit, accounts, member, confidence),
        "/groups": _groups(hit, member, names, confidence),
        "/book": _book(hit, loss, confidence),
        "/paths": xr.Dataset(
            {
                "liquidated_accounts": ("path", hit.sum(axis=0)),
                "total_loss": ("path", loss),
                "fund_exhausted": ("path", np.zeros(paths, bool)),
            }
        ),
        "/assets": xr.Dataset(coords={"asset": ["ONE"]}),
        "/positions": _positions(positions or {f"{name}/ONE": 1.0 for name in accounts}),
    }
    if bits:
        packed = np.packbits(hit, axis=0).T
        data["/liquidations"] = xr.Dataset({"liquidated": (("path", "account_byte"), packed)})
    if limits:
        data["/limits"] = _limits(limits, hit, confidence)
    data["/"].attrs |= attributes
    return xr.DataTree.from_dict(data, name="margin-stress")


def with_attributes(tree: xr.DataTree, **attributes: Any) -> xr.DataTree:
    """Return the same with other root attributes."""
    other = tree.copy()
    other.attrs = {**tree.attrs, **attributes}
    return other


def _root(
    scenario: Mapping[str, Any] | None,
    inputs: Mapping[str, str] | None,
    seed: int,
    paths: int,
    accounts: int,
    confidence: float,
) -> dict[str, Any]:
    content = {**(SCENARIO if scenario is None else scenario)}
    content["simulation"] = {**content.get("simulation", {}), "paths": paths, "seed": seed}
    content["inputs"] = dict(inputs or {})
    return {
        "title": "barriers",
        "source": "margin-stress 0.1.0",
        "schema_version": "1",
        "created_at": "2026-01-02T03:04:05Z",
        "as_of": "",
        "scenario_toml": tomli_w.dumps(content),
        "scenario_sha256": "0" * 64,
        "seed": seed,
        "paths": paths,
        "accounts": accounts,
        "steps": 10,
        "step_seconds": 300.0,
        "confidence": confidence,
        "monitoring": "step",
        "market_model": content["market"]["model"],
        "mode": "as-booked",
        "jax_version": "0.10.2",
        "platform": "cpu",
        "device_kind": "cpu",
        "design_effect": 1.0,
    }


def _with_interval(name: str, dims: tuple[str, ...], found: Estimate) -> dict[str, Any]:
    return {
        name: (dims, np.asarray(found.value)),
        f"{name}_interval": ((*dims, "bound"), np.asarray(found.interval)),
    }


def _probability(numbers: Any, confidence: float) -> Estimate:
    moments = Moments.init(len(numbers))
    moments.update(np.asarray(numbers, float))
    return moments.finish_probability(confidence)


def _accounts(hit: Any, accounts: Sequence[str], member: Any, confidence: float) -> xr.Dataset:
    found = _with_interval("liquidation_probability", ("account",), _probability(hit, confidence))
    equity = np.arange(1.0, len(accounts) + 1) * 1_000
    return xr.Dataset(
        {**found, "group": ("account", member), "initial_equity": ("account", equity)},
        {"account": list(accounts)},
    )


def _groups(hit: Any, member: Any, names: Sequence[str], confidence: float) -> xr.Dataset:
    shares = np.array([hit[member == name].mean(axis=0) for name in names])
    found = _with_interval("liquidation_probability", ("group",), _probability(shares, confidence))
    some = _probability(shares > 0, confidence)
    found |= _with_interval("any_liquidation_probability", ("group",), some)
    return xr.Dataset(found, {"group": list(names)})


def _book(hit: Any, loss: Any, confidence: float) -> xr.Dataset:
    at_risk, shortfall = tail_over_paths(loss, tuple(_LEVELS), confidence)
    share = hit.mean(axis=0)
    found = {
        **_with_interval("liquidation_probability", (), probability_over_paths(share, confidence)),
        **_with_interval(
            "any_liquidation_probability", (), probability_over_paths(share > 0, confidence)
        ),
        **_with_interval("expected_total_loss", (), mean_over_paths(loss, confidence)),
        **_with_interval("total_loss_value_at_risk", ("level",), at_risk),
        **_with_interval("total_loss_expected_shortfall", ("level",), shortfall),
        **_with_interval(
            "fund_exhaustion_probability",
            (),
            probability_over_paths(np.zeros(len(loss)), confidence),
        ),
    }
    return xr.Dataset(found, {"level": _LEVELS})


def _positions(positions: Mapping[str, float]) -> xr.Dataset:
    quantity = np.array(list(positions.values()), float)
    return xr.Dataset(
        {"quantity": ("position", quantity), "notional": ("position", 100 * np.abs(quantity))},
        {"position": list(positions)},
    )


def _limits(limits: Mapping[str, float], hit: Any, confidence: float) -> xr.Dataset:
    worst = float(hit.mean(axis=1).max())
    value, threshold = np.full(len(limits), worst), np.array(list(limits.values()))
    return xr.Dataset(
        {
            "value": ("limit", value),
            "value_interval": (("limit", "bound"), np.stack([value, value], axis=-1)),
            "threshold": ("limit", threshold),
            "breached": ("limit", value > threshold),
            "resolved": ("limit", np.ones(len(limits), bool)),
            "where": ("limit", [""] * len(limits)),
        },
        {"limit": list(limits)},
    )
