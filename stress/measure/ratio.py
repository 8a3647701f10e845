"""A ratio of two sums over paths, with an interval."""

from __future__ import annotations

import numpy as np

from stress.measure.kept import merge
from stress.measure.moments import Estimate, Moments
from stress.stats.confidence import independent
from stress.stats.probability import normal_quantile
from stress.types import Floats

__all__ = ["RatioOfSums"]


class RatioOfSums:
    """The sum of one number over paths divided by the sum of another of the same paths.

    Neither number is negative. The interval is the delta method's: with means x of the denominator
    and R x of the numerator over n independent paths, the variance of the ratio is near that of
    ``numerator - R * denominator`` over n x^2, from the sample (Cochran, Sampling Techniques, 3rd
    edition 1977, section 2.11). It is short for few paths with anything to divide by.

    Parameters
    ----------
    shape
        Of the numbers of one path.
    """

    KEPT = ("_numerator", "_denominator", "_sum")

    def __init__(self, *shape: int) -> None:
        # the variance of the sum stands in for the covariance
        self._numerator, self._denominator, self._sum = (Moments.init(*shape) for _ in range(3))

    def update(self, numerator: Floats, denominator: Floats) -> None:
        """Add (..., paths) numbers of one block of paths."""
        self._numerator.update(numerator)
        self._denominator.update(denominator)
        self._sum.update(numerator + denominator)

    def merge(self, other: RatioOfSums) -> None:
        """Add the numbers of later paths."""
        merge(self, other)

    def finish(self, confidence: float) -> Estimate:
        """Return (...) ratios; NaN where the denominator is 0, bounds of one path NaN too."""
        mean, paths = self._denominator.mean, self._numerator.count
        divisor = np.where(mean > 0, mean, np.nan)
        ratio = self._numerator.mean / divisor
        above, below = self._numerator.variance, self._denominator.variance
        covariance = (self._sum.variance - above - below) / 2
        # the difference of what nearly cancels may round to below 0
        residual = np.maximum(above - 2 * ratio * covariance + ratio**2 * below, 0.0)
        error = np.sqrt(residual / max(independent(float(paths), confidence), 1)) / divisor
        half = normal_quantile(confidence) * (error if paths > 1 else np.full_like(error, np.nan))
        return Estimate(ratio, np.stack([np.maximum(ratio - half, 0.0), ratio + half], axis=-1))
