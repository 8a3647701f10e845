"""Mean and variance of a stream of numbers, merged exactly as they would be computed at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stress.stats.probability import mean_interval, probability_interval
from stress.types import Array, Floats

__all__ = ["Estimate", "Moments"]


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
        mean = numbers.mean(axis=-1)
        squares = ((numbers - mean[..., None]) ** 2).sum(axis=-1)
        self.merge(Moments(numbers.shape[-1], mean, squares))

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
