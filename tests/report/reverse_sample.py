"""The made-up reverse stress of a sample result."""

from __future__ import annotations

import numpy as np
import xarray as xr

from .sample import SampleGroup

__all__ = ["EVENTS", "reverse_part"]

EVENTS = (
    "account-0001 is liquidated",
    "more than 10 % of the accounts are liquidated",
    "the insurance fund is exhausted",
)


def reverse_part(tree: xr.DataTree) -> SampleGroup:
    """Return three events: two ways, one way, and none; typical paths of the first two."""
    assets = [str(name) for name in tree["assets"].to_dataset()["asset"].values]
    step, quantiles = np.linspace(0, 7, 9), np.array([0.05, 0.5, 0.95])
    coords = {"event": list(EVENTS), "way": [1, 2, 3], "asset": assets}
    out = SampleGroup("reverse_stress", {**coords, "step": step, "quantile": quantiles})
    distance = np.full((3, 3), np.nan)
    distance[0, :2], distance[1, 0] = (1.5, 2.0), 1.2
    told = np.isfinite(distance)
    likelihood = np.where(told, np.exp(-(np.nan_to_num(distance) ** 2)) / 2, np.nan)
    move = np.full((3, 3, len(assets)), np.nan)
    rng = np.random.default_rng(8)
    move[told] = rng.normal(0, 0.1, (3, len(assets)))
    mean = np.full((3, len(step), len(assets)), np.nan)
    mean[:2] = np.linspace(0, 1, len(step))[None, :, None] * move[told][:2, None]
    spread = np.array([-0.02, 0.0, 0.02]) * np.sqrt(step)[:, None, None]
    out.put("kind", ["account", "accounts", "fund"])
    out.put("account", ["account-0001", "", ""])
    out.around("simulated_probability", [0.2, 0.05, 0.0], 0.1)
    out.put("event_paths", [800, 200, 0])
    out.put("market_move", move)
    out.put("distance", distance)
    out.put("likelihood", likelihood)
    out.put("relative_likelihood", likelihood / likelihood[:, :1])
    out.around("direction_probability", likelihood, 0.1)
    out.put("day", np.where(told, 7.0, np.nan))
    out.put("market", np.where(told, "normal", ""))
    out.put("typical_paths", [800, 200, 0])
    out.around("typical_move_mean", mean, 0.1)
    out.put("typical_move_quantile", mean[..., None] + spread[None])
    return out
