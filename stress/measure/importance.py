"""What a run of weighted paths says of each account: its probability, and whether to believe it.

Paths are dealt to components (``sampling.mixture``) in fixed numbers, so that the spread between
components is no error: variances are those inside components. The estimates are compared with what
is known to be 0 in the mean, by least squares on the same paths (Glasserman 2003, Monte Carlo
methods in financial engineering, section 4.1): the densities of parts of the mixture (Owen and Zhou
2000, Safe and effective importance sampling) and the half-space of each account.

The interval is normal for the logarithm of the probability. It holds only where the sample saw
enough: an estimate is *resolved* with at least 50 effective hits ``(sum Y)^2 / sum Y^2`` of which
none is more than a twentieth of the sum.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from stress.measure.moments import Estimate
from stress.stats.probability import normal_quantile
from stress.types import Array, Floats, Integers

__all__ = ["FEWEST_HITS", "LARGEST_SHARE", "Weighed", "WeightedMeasure", "controls_of"]

FEWEST_HITS = 50.0
"""Effective hits below which an interval of weighted hits does not cover."""
LARGEST_SHARE = 0.05
"""Share of an estimate that its largest weight may make up."""

_PATHS_PER_CONTROL = 40
"""Paths that each shared control variate needs: the bias of least squares is of the order of their
number over that of the paths."""
_RANK = 1e-7
"""Relative eigenvalue below which combinations of control variates are constants."""


@dataclass(frozen=True)
class Weighed:
    """What the weighted paths say, (accounts,) each.

    Attributes
    ----------
    probability
        Of being liquidated by the horizon, with its interval; NaN where nothing was hit.
    variance
        Of the estimate on one path: its square error times the number of paths.
    effective_hits
        ``(sum Y)^2 / sum Y^2``.
    largest_share
        Largest ``Y`` over ``sum Y``; 1 where nothing was hit.
    resolved
        Whether the interval holds.
    component_hits
        (components,) mean number of accounts liquidated on the paths of each component.
    """

    probability: Estimate
    variance: Floats
    effective_hits: Floats
    largest_share: Floats
    resolved: Array
    component_hits: Floats

    def worth(self, paths: int) -> Floats:
        """Return (accounts,) how many plain paths would tell as much: the effective sample size."""
        p = self.probability.value
        with np.errstate(invalid="ignore", divide="ignore"):
            return paths * p * (1 - p) / self.variance


class WeightedMeasure:
    """Sums over weighted paths, block by block in their order, in float64.

    Parameters
    ----------
    accounts
        Number of accounts.
    count
        (components,) paths of each component.
    controls
        Rows of ``Weighted.balance`` that estimates are compared with.
    """

    def __init__(self, accounts: int, count: Integers, controls: Integers) -> None:
        width, components = len(controls), len(count)
        self._count, self._controls = count, controls
        self._hits = np.zeros(components)
        self._largest = np.zeros(accounts)
        self._square = np.zeros((3, accounts))
        self._across = np.zeros((2, width, accounts))
        self._between = np.zeros((width, width))
        self._sums = tuple(np.zeros((components, rows)) for rows in (accounts, accounts, width))

    def update(self, block: Any, component: Integers) -> None:
        """Add one block of paths.

        Parameters
        ----------
        block
            ``engine.weighted.Weighted`` on the host, at least as wide as ``component``.
        component
            (paths,) component of each path that counts.
        """
        kept = slice(len(component))
        # (paths, rows): sums by component add whole rows
        hit, plane = (
            np.ascontiguousarray(of[:, kept].T, np.float64)
            for of in (block.liquidated, block.beyond)
        )
        control = np.ascontiguousarray(block.balance[self._controls, kept].T, np.float64)
        np.add.at(self._hits, component, block.hits[kept].astype(np.float64))
        np.maximum(self._largest, hit.max(axis=0, initial=0.0), out=self._largest)
        for row, pair in enumerate(((hit, hit), (hit, plane), (plane, plane))):
            self._square[row] += np.einsum("pa,pa->a", *pair)
        for row, of in enumerate((hit, plane)):
            self._across[row] += control.T @ of
        self._between += control.T @ control
        for total, of in zip(self._sums, (hit, plane, control), strict=True):
            np.add.at(total, component, of)

    def finish(self, confidence: float) -> Weighed:
        """Return the estimates with their intervals."""
        paths = int(self._count.sum())
        hit, plane, control = (of.sum(axis=0) / paths for of in self._sums)
        value, variance = self._compared(hit, plane, control)
        square = self._square[0]
        seen = square > 0
        with np.errstate(invalid="ignore", divide="ignore"):
            effective = np.where(seen, (paths * hit) ** 2 / np.where(seen, square, 1), 0.0)
            largest = np.where(seen, self._largest / (paths * hit), 1.0)
            half = normal_quantile(confidence) * np.sqrt(variance / paths) / value
            interval = np.stack([value * np.exp(-half), np.minimum(value * np.exp(half), 1)], -1)
        positive = seen & (value > 0) & (value < 1) & (variance > 0)
        value, interval = (
            np.where(positive, value, np.nan),
            np.where(positive[:, None], interval, np.nan),
        )
        return Weighed(
            probability=Estimate(value, interval),
            variance=np.where(positive, variance, np.nan),
            effective_hits=effective,
            largest_share=largest,
            resolved=positive & (effective >= FEWEST_HITS) & (largest < LARGEST_SHARE),
            component_hits=self._hits / self._count,
        )

    def _compared(self, hit: Floats, plane: Floats, control: Floats) -> tuple[Floats, Floats]:
        """Return (accounts,) estimates and their variances a path, from the means of the parts.

        First the shared control variates are taken out of everything, then the account's half-space
        out of what is left.
        """
        paths = int(self._count.sum())
        products = [np.array(each) for each in self._square]
        inverse, rank = _inverse(self._between - self._within(2, 2))
        across = [self._across[row] - self._within(2, row) for row in range(2)]
        slopes = [inverse @ each for each in across]
        for row, (one, other) in enumerate(((0, 0), (0, 1), (1, 1))):
            products[row] -= self._within(one, other) + (across[one] * slopes[other]).sum(axis=0)
        hits, both, planes = products
        useful = planes > 0
        share = np.where(useful, both / np.where(useful, planes, 1), 0.0)
        value = hit - control @ slopes[0] - share * (plane - control @ slopes[1])
        freedom = max(paths - len(self._count) - rank - 1, 1)
        return value, np.maximum(hits - share * both, 0) / freedom

    def _within(self, one: int, other: int) -> Floats:
        """Return what products of two kinds of sums come to from the components' means alone.

        (accounts,) of hits and half-spaces, (controls, accounts) or (controls, controls) otherwise.
        """
        first, second = self._sums[one], self._sums[other] / self._count[:, None]
        if one == 2:
            products: Floats = first.T @ second
            return products
        return np.einsum("ca,ca->a", first, second)


def _inverse(matrix: Floats) -> tuple[Floats, int]:
    """Return the inverse of a covariance outside its null space, and its rank."""
    if not matrix.size:
        return matrix, 0
    scale = np.sqrt(np.maximum(np.diag(matrix), np.finfo(float).tiny))
    values, vectors = np.linalg.eigh(matrix / np.outer(scale, scale))
    kept = values > _RANK * max(values[-1], 1.0)
    part = vectors[:, kept] / scale[:, None]
    return (part / values[kept]) @ part.T, int(kept.sum())


def controls_of(share: Floats, paths: int) -> Integers:
    """Return which (rows,) parts of a mixture are worth comparing with, by their shares.

    The largest, as many as so many paths bear; none of no share, nor what has all of it.
    """
    most = paths // _PATHS_PER_CONTROL
    order = np.argsort(-share, kind="stable")
    order = order[(share[order] > 0) & (share[order] < 1)]
    return np.sort(order[:most])
