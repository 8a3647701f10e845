"""Numbers of single paths, kept for the per-path table and for what needs all of them."""

from __future__ import annotations

import numpy as np

from stress.measure.moments import Estimate, Moments
from stress.measure.tail import UpperTail
from stress.stats.tail import order_rank
from stress.types import Array, Floats, Precision

__all__ = [
    "PathTable",
    "Sample",
    "mean_over_paths",
    "probability_over_paths",
    "tail_over_paths",
]


class PathTable:
    """Columns of one number a path.

    Parameters
    ----------
    names
        Of the columns.
    """

    KEPT = ("_parts",)

    def __init__(self, *names: str) -> None:
        self._parts: dict[str, list[Array]] = {name: [] for name in names}

    def update(self, **columns: Array) -> None:
        """Add (paths,) numbers of one block of paths to some of the columns."""
        for name, numbers in columns.items():
            self._parts[name].append(numbers)

    def merge(self, other: PathTable) -> None:
        """Add the numbers of later paths."""
        for name, parts in other._parts.items():
            self._parts[name].extend(parts)

    def finish(self) -> dict[str, Array]:
        """Return (paths,) numbers by name."""
        return {
            name: np.concatenate(parts) if parts else np.zeros(0)
            for name, parts in self._parts.items()
        }


class Sample:
    """All numbers of a few rows, for quantiles that no tail can give: memory grows with the paths.

    Parameters
    ----------
    rows
        How many.
    dtype
        Floating point type of what is kept.
    """

    KEPT = ("_parts",)

    def __init__(self, rows: int, dtype: Precision) -> None:
        self.rows, self.dtype = rows, dtype
        self._parts: list[Floats] = []

    def update(self, numbers: Floats) -> None:
        """Add (rows, paths) numbers."""
        self._parts.append(numbers.astype(self.dtype))

    def merge(self, other: Sample) -> None:
        """Add the numbers of other paths."""
        self._parts.extend(other._parts)

    def finish(self, quantiles: tuple[float, ...]) -> Floats:
        """Return (rows, quantiles) order statistics of rank ceil(paths * quantile).

        NaN where there is no path.
        """
        found = np.full((self.rows, len(quantiles)), np.nan)
        for row in range(self.rows if self._parts else 0):
            ascending = np.sort(np.concatenate([part[row] for part in self._parts]))
            for number, quantile in enumerate(quantiles if len(ascending) else ()):
                rank = int(order_rank(np.array(len(ascending)), quantile))
                found[row, number] = ascending[rank - 1]
        return found


def mean_over_paths(numbers: Array, confidence: float) -> Estimate:
    """Return the mean of (paths,) numbers with its normal interval."""
    return _moments(numbers).finish_mean(confidence)


def probability_over_paths(hits: Array, confidence: float) -> Estimate:
    """Return the share of (paths,) hits with Wilson's interval."""
    return _moments(hits).finish_probability(confidence)


def _moments(numbers: Array) -> Moments:
    moments = Moments.init()
    moments.update(numbers.astype(np.float64))
    return moments


def tail_over_paths(
    losses: Array, levels: tuple[float, ...], confidence: float
) -> tuple[Estimate, Estimate]:
    """Return value at risk and expected shortfall of (paths,) losses, (levels,) each."""
    tail = UpperTail(1, len(losses), levels, confidence, "float64")
    tail.update(losses[None])
    at_risk, shortfall = tail.finish()
    return (
        Estimate(at_risk.value[0], at_risk.interval[0]),
        Estimate(shortfall.value[0], shortfall.interval[0]),
    )
