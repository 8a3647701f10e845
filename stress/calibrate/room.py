"""Parameters that go together: what the total covariance leaves to the rest of a model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from stress.calibrate.jump_diffusion import jump_covariance
from stress.calibrate.sample import Parameters
from stress.calibrate.skewed_t import admissible

__all__ = ["with_room"]

_MOST_JUMPS = 0.95
"""Most that jumps may take of the variance of any portfolio."""


def with_room(model: str, used: Parameters) -> tuple[Parameters, tuple[str, ...]]:
    """Return a model's parameters made to go together, and what was changed for it.

    A skewed t's skewness, and a jump diffusion's jumps, are part of the covariance that all models
    share: what they leave to the normal part must be positive definite.
    """
    if model == "skewed-t":
        return _skewness(used)
    if model == "jump-diffusion" and used.table.get("sizes", "merton") == "merton":
        return _jumps(used)
    return used, ()


def _skewness(used: Parameters) -> tuple[Parameters, tuple[str, ...]]:
    freedom = float(used.table["degrees_of_freedom"])
    share = admissible(used.numbers("skewness"), used.correlation, freedom)
    if share == 1:
        return used, ()
    skewness = {asset: share * value for asset, value in used.table["skewness"].items()}
    note = (
        f"skewness was lowered to {share:.3f} of the estimate, which the shared correlation has no"
        " room for"
    )
    return replace(used, table={**used.table, "skewness": skewness}), (note,)


def _jumps(used: Parameters) -> tuple[Parameters, tuple[str, ...]]:
    root = np.linalg.inv(np.linalg.cholesky(used.covariance))
    jumps = jump_covariance(used.assets, used.table) * used.years
    most = float(np.linalg.eigvalsh(root @ jumps @ root.T)[-1])
    if most <= _MOST_JUMPS:
        return used, ()
    share = _MOST_JUMPS / most
    table: dict[str, Any] = dict(used.table)
    if table.get("common"):
        table["common"] = {**table["common"], "rate": share * table["common"]["rate"]}
    table["own"] = {
        asset: {**own, "rate": share * own["rate"]} for asset, own in used.table["own"].items()
    }
    note = (
        f"jump rates were lowered to {share:.3f} of the estimates: with the shared volatility and"
        " correlation they left too little to the diffusion"
    )
    return replace(used, table=table), (note,)
