"""Simulated prices by themselves, for a look at the market or another program."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import xarray as xr

from stress.engine.block import Schedule
from stress.engine.paths import price_paths
from stress.market import ModelSource, PriceModel
from stress.runner.device import require_precision
from stress.runner.plan import path_block, path_blocks, time_block
from stress.runner.prepare import build_market
from stress.scenario.build import build_setting
from stress.scenario.load import with_options
from stress.scenario.schema import Scenario

__all__ = ["simulate_prices"]


def simulate_prices(
    scenario: Scenario,
    *,
    paths: int | None = None,
    market: PriceModel | ModelSource | None = None,
) -> xr.DataArray:
    """Return the prices that a run of the scenario uses, path by path.

    Parameters
    ----------
    scenario
        A loaded scenario.
    paths
        Number of paths; the scenario's where not given. Path i is the same whatever it is.
    market
        A price model, or a source of one a block of paths, used instead of the scenario's.

    Returns
    -------
    (path, time, asset) prices in USD; ``time`` is in days, time 0 included. All are in memory.

    Raises
    ------
    InputError
        If the number of paths is not positive, a file of given prices cannot be used, or float64
        is asked for while JAX computes in 32 bits.
    """
    scenario = with_options(scenario, paths=paths)
    require_precision(scenario.simulation.precision)
    setting = build_setting(scenario)
    dtype = jnp.dtype(scenario.simulation.precision)
    source = build_market(scenario, setting, market)
    price = jnp.asarray(setting.price, dtype)
    schedule = Schedule(
        steps=setting.steps,
        block=time_block(setting.steps),
        monitoring="step",
        precision=scenario.simulation.precision,
    )
    seed = jnp.asarray(scenario.simulation.seed, jnp.uint32)
    block = path_block(next(iter(price.devices())).platform)
    parts = [
        np.asarray(price_paths(source.block(numbers), price, seed, numbers, schedule=schedule))[
            :count
        ]
        for numbers, count in path_blocks(scenario.simulation.paths, block)
    ]
    days = 365.0 * setting.step_years * np.arange(setting.steps + 1)
    return xr.DataArray(
        np.concatenate(parts),
        {"time": days, "asset": list(setting.assets)},
        ("path", "time", "asset"),
        name="price",
        attrs={"units": "USD", "seed": scenario.simulation.seed},
    )
