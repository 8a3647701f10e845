"""Liquidation probability as a curve over collateral and over size, from what paths ask of pools.

A path liquidates an account below one multiple of its collateral and above one multiple of its
size, so that one walk gives every point of both curves, on the same paths. The points are not
independent, and a reader looks at all of them: their intervals hold together (Bonferroni over the
grid). The probability is monotone in the multiple. That narrows the band, because what bounds one
point bounds those beside it; and between two points of the grid the probability lies between the
bounds of both, so that the band there is a step from the one to the other, not a slope.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix

from stress.measure.moments import Estimate, Moments
from stress.stats.confidence import shared
from stress.stats.probability import exact_probability_interval
from stress.types import Array, Floats, Integers

__all__ = ["MULTIPLES", "AccountNeeds", "Curve", "CurveMeasure", "account_needs"]

MULTIPLES: Floats = np.exp2(np.arange(-16, 17) / 4)
"""(points,) of the collateral and of the size there are: from 1/16 to 16, 1 among them."""


@dataclass(frozen=True)
class AccountNeeds:
    """What paths ask of accounts, (accounts, paths).

    Attributes
    ----------
    collateral
        The least multiple of its present equity with which the account survives the path, each of
        its pools with the same multiple; -inf without positions, inf where no multiple helps.
    size
        The largest multiple of its positions with which it survives; NaN where it is not known.
    """

    collateral: Floats
    size: Floats


def account_needs(
    shortfall: Floats, size: Floats, first: Integers, equity: Floats, *, strict: bool
) -> AccountNeeds:
    """Return what paths ask of accounts, which survive if all their pools do.

    A pool with positions whose equity is not positive is in breach, and no multiple of it helps.

    Parameters
    ----------
    shortfall, size
        (pools, paths) as ``engine.needs`` gives them.
    first
        (accounts,) each account's first pool; pools stand in the order of accounts.
    equity
        (pools,) at the start, USD.
    strict
        Whether a pool with exactly its need is liquidated, as under bridges.
    """
    held = shortfall > -np.inf
    broke = held & (equity <= 0)[:, None]
    positive = np.where(equity > 0, equity, 1.0)[:, None]
    multiple = 1 + np.asarray(shortfall, np.float64) / positive
    if strict:
        multiple = np.nextafter(multiple, np.inf)
    multiple = np.where(broke, np.inf, np.where(held, multiple, -np.inf))
    largest = np.where(broke, 0.0, np.asarray(size, np.float64))
    return AccountNeeds(np.maximum.reduceat(multiple, first), np.minimum.reduceat(largest, first))


@dataclass(frozen=True)
class Curve:
    """Probabilities over ``MULTIPLES``.

    Attributes
    ----------
    by_group
        (groups, points) mean over the accounts of each group that are looked at.
    by_account
        (chosen accounts, points).
    accounts
        (groups,) accounts that the first is a mean of.
    """

    by_group: Estimate
    by_account: Estimate
    accounts: Integers


class CurveMeasure:
    """Both curves of the accounts of one world.

    Parameters
    ----------
    group
        (accounts,) index of each account's group, -1 of one that stands for itself only.
    groups
        Number of groups.
    chosen
        (chosen accounts,) which of the accounts have a curve of their own.
    """

    def __init__(self, group: Integers, groups: int, chosen: Integers) -> None:
        self._chosen = chosen
        self.collateral = _Points(group, groups, chosen, falls=True)
        self.size = _Points(group, groups, chosen, falls=False)

    def update(self, needs: AccountNeeds) -> None:
        """Add one block of paths."""
        grid = MULTIPLES[None, :, None]
        self.collateral.update(grid < needs.collateral[:, None], ~np.isnan(needs.collateral))
        self.size.update(grid > needs.size[:, None], ~np.isnan(needs.size))


class _Points:
    """One curve of some accounts.

    ``falls``: whether the probability does, as the multiple grows.
    """

    def __init__(self, group: Integers, groups: int, chosen: Integers, *, falls: bool) -> None:
        self._group, self._groups, self._chosen, self._falls = group, groups, chosen, falls
        self._known = np.ones(len(group), bool)
        self.by_group = Moments.init(groups, len(MULTIPLES))
        self.by_account = Moments.init(len(chosen), len(MULTIPLES))

    def update(self, hit: Array, known: Array) -> None:
        """Add (accounts, points, paths) hits; (accounts, paths) whether they are known."""
        if hit.shape[2] == 0:
            return
        # an account's curve is known on all paths or on none
        self._known = known[:, 0]
        of_chosen = hit[self._chosen].astype(np.float64)
        self.by_account.update(of_chosen)
        self.by_group.update(self._sums(hit) / np.maximum(self._counts(), 1)[:, None, None])

    def _sums(self, hit: Array) -> Floats:
        counted = np.flatnonzero(self._counted())
        shape = (self._groups, len(self._group))
        member = csr_matrix((np.ones(len(counted)), (self._group[counted], counted)), shape=shape)
        sums: Floats = member @ hit.reshape(len(hit), -1).astype(np.float64)
        return sums.reshape(self._groups, *hit.shape[1:])

    def _counted(self) -> Array:
        return self._known & (self._group >= 0)

    def _counts(self) -> Integers:
        return np.bincount(self._group[self._counted()], minlength=self._groups)

    def finish(self, confidence: float) -> Curve:
        """Return the curve with simultaneous intervals."""
        each = shared(confidence, len(MULTIPLES))
        counts = self._counts()
        by_group = self._narrowed(_exact(self.by_group, each))
        by_account = self._narrowed(_exact(self.by_account, each))
        return Curve(by_group.only(counts > 0), by_account.only(self._known[self._chosen]), counts)

    def _narrowed(self, estimate: Estimate) -> Estimate:
        """Return the estimate with bounds that are as monotone as the truth."""
        lower, upper = estimate.interval[..., 0], estimate.interval[..., 1]
        if not self._falls:
            lower, upper = lower[:, ::-1], upper[:, ::-1]
        upper = np.minimum.accumulate(upper, axis=1)
        lower = np.maximum.accumulate(lower[:, ::-1], axis=1)[:, ::-1]
        if not self._falls:
            lower, upper = lower[:, ::-1], upper[:, ::-1]
        return Estimate(estimate.value, np.stack([lower, upper], axis=-1))


def _exact(moments: Moments, confidence: float) -> Estimate:
    """Return probabilities with intervals that hold in the tails too, where hits are few."""
    mean, trials = moments.mean, moments.count
    return Estimate(mean, exact_probability_interval(mean, moments.variance, trials, confidence))
