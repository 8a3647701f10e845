"""The time grid of a simulation, as the builders of price models see it."""

from __future__ import annotations

from dataclasses import dataclass

from stress.types import Precision

__all__ = ["Clock"]


@dataclass(frozen=True)
class Clock:
    """The time grid that a market is simulated on, and in which precision.

    Attributes
    ----------
    step_years
        Length of a step in years of 365 days.
    steps
        Number of steps.
    paths
        Number of paths; only given paths are refused for want of them.
    precision
        Floating point type of the paths.
    """

    step_years: float
    steps: int
    paths: int
    precision: Precision
