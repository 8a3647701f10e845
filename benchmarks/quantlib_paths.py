"""QuantLib's multi-path generator on the same grid of the same market: paths, and nothing else.

``GaussianMultiPathGenerator`` draws one path at a time on one thread in double precision: a
Mersenne twister, the inverse normal, and Euler steps of ``GeometricBrownianMotionProcess`` (the
cheapest of its processes; a step is arithmetic, not exact). Reading the prices out into Python,
which takes longer than making them, is not counted.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import QuantLib

from benchmarks.jobs import ready, size_of
from benchmarks.row import Row, clocked, timed
from stress.runner.prepare import Job

__all__ = ["row"]


def row(name: str, size: dict[str, Any]) -> Row:
    """Measure the generator."""
    of = size_of(size)
    generator = _generator(ready(of))

    def run() -> None:
        for _ in range(of.paths):
            generator.next()

    return timed(
        name,
        clocked(run),
        note="paths only, one thread, double precision",
        paths=of.paths,
        each=of.assets * of.steps,
    )


def _generator(job: Job) -> Any:
    setting = job.setting
    numbers = zip(setting.price, setting.drift, setting.volatility, strict=True)
    processes = [
        QuantLib.GeometricBrownianMotionProcess(float(price), float(drift), float(volatility))
        for price, drift, volatility in numbers
    ]
    together = QuantLib.StochasticProcessArray(processes, setting.correlation.tolist())
    times = np.linspace(0.0, setting.horizon_years, setting.steps + 1).tolist()
    uniform = QuantLib.UniformRandomSequenceGenerator(
        len(processes) * setting.steps, QuantLib.UniformRandomGenerator(1)
    )
    normal = QuantLib.GaussianRandomSequenceGenerator(uniform)
    return QuantLib.GaussianMultiPathGenerator(together, times, normal, False)
