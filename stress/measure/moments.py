"""Mean and variance of a stream of numbers, merged exactly as they would be computed at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from stress.measure.sparse import Sparse, account_slices
from stress.stats.probability import mean_interval, probability_interval
from stress.types import Array, Floats

__all__ = ["Estimate", "Moments", "mean_and_squares"]


@dataclass(frozen=True)
class Estimate:
    """A number (...) and its interval (..., 2)."""

    value: Floats
    interval: Floats

    def only(self, exists: Array) -> Estimate:
        """Return the same with NaN in the rows that do not exist."""
        if exists.all():
            return self
        value, interval = self.value.astype(float), self.interval.astype(float)
        value[~exists], interval[~exists] = np.nan, np.nan
        return Estimate(value, interval)


@dataclass
class Moments:
    """Count, mean and sum of squared deviations over paths of an array of numbers.

    Blocks are merged in the order of their paths by the pairwise update of Chan, Golub and LeVeque
    (1979), so that the digits do not depend on how blocks are chunked.
    """

    KEPT: ClassVar = ("count", "mean", "squares")

    count: int
    mean: Floats
    squares: Floats

    @classmethod
    def init(cls, *shape: int) -> Moments:
        """Return the moments of nothing, for numbers of this shape."""
        return cls(0, np.zeros(shape), np.zeros(shape))

    def update(self, numbers: Floats) -> None:
        """Add (..., paths) numbers of one block of paths."""
        if numbers.shape[-1] == 0:
            return
        self.merge(Moments(numbers.shape[-1], *mean_and_squares(numbers)))

    def update_rows(self, rows: Callable[[slice], Floats], paths: int) -> None:
        """Add (rows, paths) numbers of one block, of which ``rows`` returns those of a slice."""
        if paths == 0:
            return
        mean, squares = np.empty_like(self.mean), np.empty_like(self.squares)
        for some in account_slices(len(mean)):
            mean[some], squares[some] = mean_and_squares(rows(some))
        self.merge(Moments(paths, mean, squares))

    def update_sparse(self, numbers: Sparse) -> None:
        """Add the (accounts, paths) numbers of one block of paths, most of which are 0."""
        paths = numbers.paths
        if paths == 0:
            return
        count = np.bincount(numbers.account, minlength=numbers.accounts)
        if numbers.number is None:
            # k ones among n numbers: the squares add up to k (n - k) / n
            self.merge(Moments(paths, count / paths, count * (paths - count) / paths))
            return
        mean = numbers.by_account() / paths
        deviation = numbers.number - mean[numbers.account]
        squares = np.bincount(numbers.account, deviation * deviation, numbers.accounts)
        self.merge(Moments(paths, mean, squares + (paths - count) * mean * mean))

    def merge(self, other: Moments) -> None:
        """Add the moments of later paths."""
        total = self.count + other.count
        if total == 0:
            return
        delta = other.mean - self.mean
        self.mean = self.mean + delta * (other.count / total)
        self.squares = self.squares + other.squares
        self.squares = self.squares + delta**2 * (self.count * other.count / total)
        self.count = total

    @property
    def variance(self) -> Floats:
        """Sample variance; 0 for one path."""
        return self.squares / max(self.count - 1, 1)

    def finish_mean(self, confidence: float) -> Estimate:
        """Return the mean with its normal interval; NaN of no paths."""
        if self.count == 0:
            return self._unknown()
        return Estimate(self.mean, mean_interval(self.mean, self.variance, self.count, confidence))

    def finish_probability(self, confidence: float) -> Estimate:
        """Return the mean of hits or weights as a probability with its interval."""
        if self.count == 0:
            return self._unknown()
        interval = probability_interval(self.mean, self.variance, self.count, confidence)
        return Estimate(self.mean, interval)

    def _unknown(self) -> Estimate:
        shape = self.mean.shape
        return Estimate(np.full(shape, np.nan), np.full((*shape, 2), np.nan))


def mean_and_squares(numbers: Floats) -> tuple[Floats, Floats]:
    """Return the mean of (..., paths) numbers and the sum of squared deviations from it."""
    mean = np.add.reduce(numbers, axis=-1, dtype=np.float64) / numbers.shape[-1]
    deviation = numbers - mean[..., None]
    return mean, np.einsum("...p,...p->...", deviation, deviation)
