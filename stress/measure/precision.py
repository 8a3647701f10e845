"""How wide the headline intervals are beside their estimates, and whether that is narrow enough."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf, isfinite, nan

__all__ = ["JUDGED", "Precision", "Three", "judge_precision", "paths_needed", "relative_error"]

Three = tuple[float, float, float]
"""An estimate and its bounds: value, lower, upper."""

JUDGED: Mapping[str, str] = {
    "liquidation_probability": "the mean liquidation probability",
    "any_liquidation_probability": "the probability of any liquidation",
    "expected_total_loss": "the expected total loss",
    "expected_cascade_loss": "the expected cascade loss",
}
"""Estimates of the whole book that ``simulation.max_relative_error`` judges, and their names.

What a run is made for. Not among them: quantiles and shortfalls, which need other numbers of paths,
and what is rare on purpose, such as an exhausted fund: a limit judges those.
"""


@dataclass(frozen=True)
class Precision:
    """The relative errors of a run beside the largest that is allowed.

    Attributes
    ----------
    threshold
        Largest half-width of an interval over its estimate.
    found
        That ratio by the name of the estimate; infinite where the estimate is 0 and its interval
        is not, or where there is no bound.
    """

    threshold: float
    found: Mapping[str, float]

    @property
    def exceeding(self) -> tuple[str, ...]:
        """The estimates that are not known well enough."""
        return tuple(name for name, error in self.found.items() if not error <= self.threshold)


def judge_precision(threshold: float, estimates: Mapping[str, Three | None]) -> Precision:
    """Judge the estimates of ``JUDGED`` that a run has.

    Parameters
    ----------
    threshold
        Largest half-width of an interval over its estimate, above 0.
    estimates
        By name; None, or no such name, where the run could not have one: a cascade loss needs
        feedback.
    """
    found = {
        name: relative_error(*three)
        for name in JUDGED
        if (three := estimates.get(name)) is not None
    }
    return Precision(threshold, found)


def relative_error(value: float, lower: float, upper: float) -> float:
    """Return half the width of an interval over the size of its estimate.

    Returns
    -------
    0 where the interval has no width, whatever the estimate; infinity where the estimate is 0 and
    the interval has one: nothing that was seen is a scale, and only more paths, or another
    estimator, would give one.
    """
    half = (upper - lower) / 2
    if not (isfinite(value) and isfinite(half)):
        return inf
    if half == 0:
        return 0.0
    return half / abs(value) if value else inf


def paths_needed(paths: int, error: float, threshold: float) -> float:
    """Return about how many paths would keep the threshold: intervals narrow by the square root.

    NaN where the error is infinite, because nothing is known of the scale then.
    """
    return paths * (error / threshold) ** 2 if isfinite(error) else nan
