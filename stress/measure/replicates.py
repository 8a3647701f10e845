"""Means of replicates: paths of one replicate depend on each other, replicates do not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit
from scipy.stats import chi2

from stress.measure.block import AccountBlock
from stress.measure.moments import Estimate, Moments
from stress.measure.world import WorldMeasure
from stress.stats.tail import order_rank
from stress.types import Array, Floats

__all__ = ["QUANTITIES", "PlainMoments", "ReplicateMeasure", "Replicates", "variance_ratio"]

QUANTITIES = (
    "mean liquidation probability",
    "any liquidation probability",
    "expected total loss",
    "expected shortfall",
)
"""Numbers of the whole book; the last is of the total loss, at the highest level."""

_ROUNDING = 1e-9
"""Share of a mean below which deviations from it are rounding."""


class Replicates:
    """Means of replicates of as many paths each, and their moments.

    Parameters
    ----------
    size
        Paths of a replicate, a power of two.
    shape
        Of the numbers of one path.
    """

    def __init__(self, size: int, *shape: int) -> None:
        self.size = size
        self.means = Moments.init(*shape)
        self._sum, self._paths = np.zeros(shape), 0

    def update(self, numbers: Floats) -> Floats:
        """Add (..., paths) numbers of the next paths, whole replicates or a part of one.

        Returns
        -------
        (..., replicates) means of those that are complete now.
        """
        shape, paths = numbers.shape[:-1], numbers.shape[-1]
        if paths >= self.size:
            means: Floats = numbers.reshape(*shape, paths // self.size, self.size).mean(axis=-1)
        else:
            self._sum = self._sum + numbers.sum(axis=-1)
            self._paths += paths
            if self._paths < self.size:
                return np.zeros((*shape, 0))
            means = (self._sum / self.size)[..., None]
            self._sum, self._paths = np.zeros(shape), 0
        self.means.update(means)
        return means

    def finish(self, confidence: float) -> Estimate:
        """Return the mean with its t-interval over the replicates."""
        moments = self.means
        width = float(stdtrit(moments.count - 1, (1 + confidence) / 2))
        half = width * np.sqrt(moments.variance / moments.count)
        return Estimate(moments.mean, np.stack([moments.mean - half, moments.mean + half], axis=-1))


@dataclass(frozen=True)
class PlainMoments:
    """What independent paths say of the numbers that replicates are compared in.

    Attributes
    ----------
    paths
        How many there are.
    book_mean, book_variance
        (quantities,) in the order of ``QUANTITIES``, and their variances between paths.
    account_mean, account_variance
        (accounts,) the same of liquidation.
    quantile, level
        Of the total loss. With the quantile given, the expected shortfall is a mean over paths, of
        ``quantile + (loss - quantile)+ / (1 - level)`` (Rockafellar and Uryasev 2000).
    exists
        (accounts,) whether an account counts.
    """

    paths: int
    book_mean: Floats
    book_variance: Floats
    account_mean: Floats
    account_variance: Floats
    quantile: float
    level: float
    exists: Array

    @classmethod
    def of(cls, world: WorldMeasure, level: float) -> PlainMoments:
        """Return it of a world of the plain run."""
        total = world.path_table.finish()["total_loss"]
        account = world.by_account["liquidation"]
        rank = int(order_rank(np.array(len(total)), level))
        quantile = float(np.partition(total, rank - 1)[rank - 1])
        shortfall = _excess(total, quantile, level)
        book = [world.book["liquidation"], world.book["any"]]
        means = [*(float(of.mean) for of in book), total.mean(), shortfall.mean()]
        variances = [*(float(of.variance) for of in book), *(_spread(total), _spread(shortfall))]
        return cls(
            paths=len(total),
            book_mean=np.array(means),
            book_variance=np.array(variances),
            account_mean=account.mean,
            account_variance=account.variance,
            quantile=quantile,
            level=level,
            exists=world.grouping.exists,
        )

    def of_paths(self, block: AccountBlock) -> Floats:
        """Return the (quantities, paths) numbers of a block of paths."""
        total = block.total_loss(self.exists)
        share, hit = block.liquidated_share(self.exists), block.any_hit(self.exists)
        return np.stack([share, hit, total, _excess(total, self.quantile, self.level)])


def _excess(total: Floats, quantile: float, level: float) -> Floats:
    beyond: Floats = quantile + np.maximum(total - quantile, 0.0) / (1 - level)
    return beyond


def _spread(numbers: Floats) -> float:
    return float(numbers.var(ddof=1)) if len(numbers) > 1 else 0.0


class ReplicateMeasure:
    """The numbers of the book and of each account, as means of replicates.

    Parameters
    ----------
    plain
        What the plain paths said.
    size
        Paths of a replicate.
    keeps_accounts
        Whether every account's mean in every replicate is kept, which ``median_ratio`` needs where
        replicates are few.
    """

    def __init__(self, plain: PlainMoments, size: int, *, keeps_accounts: bool = False) -> None:
        self.plain, self.size = plain, size
        self.book = Replicates(size, len(QUANTITIES))
        self.account = Replicates(size, len(plain.account_mean))
        self._means: list[Floats] = []
        self._keeps_accounts = keeps_accounts
        self._account_means: list[Floats] = []

    def update(self, block: AccountBlock) -> None:
        """Add the next paths."""
        self._means.append(self.book.update(self.plain.of_paths(block)))
        means = self.account.update(block.liquidations.dense())
        if self._keeps_accounts:
            self._account_means.append(means)

    def book_ratios(self, confidence: float) -> Estimate:
        """Return (quantities,) variances of plain paths over those of as many of these."""
        means = np.concatenate(self._means, axis=1)
        return variance_ratio(self.plain.book_variance, means, self.size, confidence)

    @property
    def account_ratios(self) -> Floats:
        """(accounts,) the same of each account; NaN where one of the two is 0."""
        means = self.account.means
        return _ratio(self.plain.account_variance, means.mean, means.variance, self.size)

    def median_ratio(self, counted: Array, confidence: float) -> Estimate:
        """Return the median over the (accounts,) that count of their ratios.

        Where the means of accounts were kept, the interval is that of its logarithm by the
        jackknife over replicates: a replicate at a time is left out of all accounts, for these are
        alike on one path (Efron and Tibshirani 1993, chapter 11). Elsewhere it is that of the mean
        liquidation probability's ratio, which is known no better.
        """
        counted = counted & np.isfinite(self.account_ratios)
        if not counted.any():
            return Estimate(np.array(np.nan), np.full(2, np.nan))
        median = float(np.median(self.account_ratios[counted]))
        if not self._keeps_accounts:
            whole = self.book_ratios(confidence)
            return Estimate(np.array(median), median * whole.interval[0] / whole.value[0])
        means = np.concatenate(self._account_means, axis=1)[counted]
        plain, count = self.plain.account_variance[counted], means.shape[1]
        logs = np.empty(count)
        for left_out in range(count):
            others = np.delete(means, left_out, axis=1)
            found = _ratio(plain, others.mean(axis=1), others.var(axis=1, ddof=1), self.size)
            logs[left_out] = np.log(np.nanmedian(found))
        error = np.sqrt((count - 1) * logs.var())
        width = float(stdtrit(count - 1, (1 + confidence) / 2))
        return Estimate(np.array(median), median * np.exp(width * error * np.array([-1.0, 1.0])))


def _ratio(plain: Floats, mean: Floats, variance: Floats, size: int) -> Floats:
    # what differs by rounding only does not vary
    known = (plain > 0) & (variance > (_ROUNDING * mean) ** 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(known, plain / (size * variance), np.nan)


def variance_ratio(plain: Floats, means: Floats, size: int, confidence: float) -> Estimate:
    """Return how many plain paths tell as much as one of these.

    The interval is that of the variance of the means: a chi-square law with as many degrees of
    freedom as their kurtosis leaves them, ``2 n / (kurtosis - 1)``, at most n - 1 (O'Neill 2014,
    "Some useful moment results in sampling problems"). The plain variance rests on many more paths
    and counts as known.

    Parameters
    ----------
    plain
        (quantities,) variance between plain paths.
    means
        (quantities, replicates) means of replicates.
    size
        Paths of a replicate.
    confidence
        Between 0 and 1.
    """
    count = means.shape[1]
    apart = means - means.mean(axis=1, keepdims=True)
    second = (apart**2).mean(axis=1)
    variance = second * count / max(count - 1, 1)
    ratio = _ratio(plain, means.mean(axis=1), variance, size)
    with np.errstate(divide="ignore", invalid="ignore"):
        kurtosis = (apart**4).mean(axis=1) / second**2
        freedom = np.clip(2 * count / (kurtosis - 1), 1, max(count - 1, 1))
    tails = np.array([(1 - confidence) / 2, (1 + confidence) / 2])
    bounds = ratio[:, None] * chi2.ppf(tails, freedom[:, None]) / freedom[:, None]
    return Estimate(ratio, bounds)
