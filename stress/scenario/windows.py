"""Historical windows: there are no more paths than the history has windows."""

from __future__ import annotations

import numpy as np

from stress.calibrate.rows import cross_sections, windows
from stress.data.prices import read_prices
from stress.scenario.checks import steps
from stress.scenario.durations import duration_seconds
from stress.scenario.schema import Scenario

__all__ = ["with_as_many_paths_as_windows"]


def with_as_many_paths_as_windows(scenario: Scenario) -> Scenario:
    """Return a complete scenario whose paths are at most the windows of its history.

    Other models than ``historical`` leave it as it is.

    Raises
    ------
    InputError
        The history cannot be used for this time grid.
    """
    market, table = scenario.market, scenario.market.historical
    if market.model != "historical" or table is None or market.history is None:
        return scenario
    rows = cross_sections(
        read_prices(market.history).choose(market.assets),
        _milliseconds(scenario.simulation.step),
        remove_wicks=table.remove_wicks,
    )
    stride = None if table.stride is None else _milliseconds(table.stride)
    found = windows(rows, steps(scenario), starts=table.starts, stride=stride)
    paths = min(scenario.simulation.paths, len(found.first))
    simulation = scenario.simulation.model_copy(update={"paths": paths})
    return scenario.model_copy(update={"simulation": simulation})


def _milliseconds(duration: str) -> np.timedelta64:
    return np.timedelta64(round(duration_seconds(duration) * 1000), "ms")
