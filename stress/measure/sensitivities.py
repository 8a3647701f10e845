"""Sensitivities of accounts: derivatives of block after block of paths become estimates.

Paths are gathered in batches, in their order. A batch gives one estimate of each derivative; their
mean is the estimate, and their spread its interval, Student's t with one degree of freedom less
than there are batches (Glasserman 2003, appendix A; Law 2015, section 9.5.3).

The derivative of an expected shortfall is taken at an estimated value at risk v. Its error moves
the derivative in the first order, by the quantile's own derivative v' for every unit of mass that
the tail has too much, so that a batch counts as ``(T - v' (M - m)) / m``: T is its derivative of
``E(L - v)+``, M its mass of the tail, m the mass wanted (the influence function of a tail mean;
Hong and Liu 2009, theorem 2, where it appears as ``L' - v'``). v' is read off a second, thinner
tail: the difference of the two T over that of the two M.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from scipy.special import stdtrit

from stress.measure.moments import Estimate
from stress.stats.confidence import design_effect
from stress.stats.tail import order_rank
from stress.types import Array, Floats, Integers

__all__ = ["BATCHES", "Owners", "SensitivityMeasure", "Tails", "batch_interval", "tails_of"]

BATCHES = 16
"""The least for a t-interval that does not hang on its degrees of freedom: its quantile is 2.13 at
95 percent, and 1.96 for any number."""

_FEWEST_BATCHES = 8
"""Batches that a probability must be spread over for its derivatives to be stated: the squared sum
over the sum of squares. With fewer, a handful of paths makes it up: a relative error above a
quarter."""

_FEWEST_BEYOND = 20
"""Paths beyond a value at risk from which the derivatives of its shortfall are stated."""

MEASURES = ("liquidation_probability", "expected_loss", "expected_shortfall")

PERCENT, POINT, BASIS_POINTS = 0.01, 0.01, 0.001
"""What derivatives are stated for: 1 % of equity or size; 0.01 of annual volatility or of
correlation; 10 basis points of a maintenance rate."""


class Owners(NamedTuple):
    """Which pools and positions belong to whom.

    Attributes
    ----------
    pool
        (pools,) account of each; ascending.
    equity
        (pools,) at the start, USD.
    position
        (positions,) account of each.
    position_pool, position_slot, position_asset
        (positions,) the pool of each, -1 where it has none, its number in the pool, its asset.
    isolated
        (positions,) whether it has a margin of its own.
    accounts, assets
        How many there are.
    """

    pool: Integers
    equity: Floats
    position: Integers
    position_pool: Integers
    position_slot: Integers
    position_asset: Integers
    isolated: Array
    accounts: int
    assets: int

    def summed(self, numbers: Floats) -> Floats:
        """Return (..., accounts) sums of (..., pools) numbers, pool after pool."""
        return _summed(numbers, self.pool, self.accounts)

    def average(self, numbers: Floats) -> Floats:
        """Return (..., accounts) means of (..., pools) numbers over each account's pools."""
        return self.summed(numbers) / np.bincount(self.pool, minlength=self.accounts)

    def of_positions(self, numbers: Floats) -> Floats:
        """Return (..., positions) of (..., slots, pools) numbers; NaN for one without a pool."""
        pool = np.maximum(self.position_pool, 0)
        found = numbers[..., self.position_slot, pool]
        return np.where(self.position_pool >= 0, found, np.nan)

    def by_asset(self, numbers: Floats) -> Floats:
        """Return (..., accounts, assets) sums of (..., positions) numbers, NaN left out."""
        cell = self.position * self.assets + self.position_asset
        total = _summed(np.nan_to_num(numbers), cell, self.accounts * self.assets)
        return total.reshape(*numbers.shape[:-1], self.accounts, self.assets)

    @property
    def holds(self) -> Array:
        """(accounts,) whether there is a position that can be liquidated."""
        held = self.position[self.position_pool >= 0]
        return np.bincount(held, minlength=self.accounts) > 0

    @property
    def shares(self) -> Floats:
        """(pools,) what each pool gets of one dollar for the account: in proportion to its equity.

        To the first pool, the cross pool, where none has positive equity.
        """
        positive = np.maximum(self.equity, 0.0)
        whole = self.summed(positive)[self.pool]
        is_first = np.diff(self.pool, prepend=-1) > 0
        return np.where(whole > 0, positive / np.where(whole > 0, whole, 1.0), is_first)


class Tails(NamedTuple):
    """Where tails of the accounts' losses begin: each level's, then a thinner one of each level.

    Attributes
    ----------
    value
        (2 levels, accounts) USD.
    share
        (2 levels, accounts) share of the losses equal to it that belong to the tail.
    """

    value: Floats
    share: Floats


def tails_of(loss: Floats, levels: tuple[float, ...], window: Floats) -> Tails:
    """Return the tails of a sample of losses.

    Parameters
    ----------
    loss
        (accounts, paths) USD.
    window
        (accounts,) how far from the value at risk a loss is equal to it, USD.
    """
    ordered, paths = np.sort(loss, axis=1), loss.shape[1]
    values, shares = [], []
    for mass in (*(1 - np.array(levels)), *(_thinner(1 - level, paths) for level in levels)):
        rank = int(order_rank(np.array(paths), 1 - mass))
        value = ordered[:, rank - 1]
        above = (loss > (value + window)[:, None]).mean(axis=1)
        equal = (np.abs(loss - value[:, None]) <= window[:, None]).mean(axis=1)
        values.append(value)
        shares.append(np.clip((mass - above) / np.maximum(equal, 1 / paths), 0.0, 1.0))
    return Tails(np.array(values), np.array(shares))


def _thinner(mass: float, paths: int) -> float:
    """Return a tail thinner by two standard errors of its mass, at least half of it."""
    return max(mass - 2 * np.sqrt(mass * (1 - mass) / paths), mass / 2)


def batch_interval(batches: Floats, confidence: float) -> Estimate:
    """Return the mean of (batches, ...) independent estimates with its t-interval."""
    count = len(batches)
    mean = batches.mean(axis=0)
    squares = ((batches - mean) ** 2).sum(axis=0) / (count - 1)
    error = np.sqrt(squares / count * design_effect(confidence))
    half = float(stdtrit(count - 1, 0.5 + confidence / 2)) * error
    return Estimate(mean, np.stack([mean - half, mean + half], axis=-1))


@dataclass
class SensitivityMeasure:
    """What ``engine.smooth`` finds, unit of paths after unit, in the order of the paths.

    Attributes
    ----------
    owners, tails
        Of the accounts.
    levels
        Levels of the expected shortfall.
    paths
        In each unit.
    known
        (directions,) whether the market's constants have each derivative: the volatility of every
        asset, then all correlations together, then each pair's (above the diagonal, row by row).
        None where the model states none.
    """

    owners: Owners
    tails: Tails
    levels: tuple[float, ...]
    paths: int
    known: Array | None
    units: list[list[Floats]] = field(default_factory=list)

    def update(self, slopes: Any) -> None:
        """Add one unit of paths: ``engine.smooth.Slopes`` as NumPy arrays."""
        self.units.append([np.asarray(part, dtype=np.float64) for part in slopes])

    def merge(self, other: SensitivityMeasure) -> None:
        """Add the units of later paths."""
        self.units += other.units

    def finish(self, confidence: float) -> dict[str, Estimate]:
        """Return the estimates by the names of the result.

        Raises
        ------
        ValueError
            If the units cannot be dealt to batches of one size.
        """
        value, mass, cash, size, rate, shared, summed = self._batches()
        owners = self.owners
        effects = _Effects(self, owners.average(value[:, 0]), owners.average(mass), confidence)
        found = self._values(effects, value)
        each = np.arange(owners.accounts)
        dollar = owners.summed(cash * owners.shares)
        equity = np.maximum(owners.summed(owners.equity), 0.0)
        found |= effects.of("collateral_usd", dollar, each)
        found |= effects.of("collateral", dollar * equity * PERCENT, each)
        found |= effects.of("size", owners.of_positions(size) * PERCENT, owners.position)
        found |= effects.of("margin", self._by_margin(cash), owners.position)
        rates = owners.by_asset(owners.of_positions(rate)) * BASIS_POINTS
        found |= effects.of("maintenance", rates, each) | effects.means("maintenance", rates)
        if self.known is not None:
            found |= self._of_market(effects, shared, summed, self.known)
        return found

    def _batches(self) -> list[Floats]:
        """Return the parts of all units as means over the paths of each batch, (batches, ...)."""
        together, left = divmod(len(self.units), BATCHES)
        if left or not together:
            raise ValueError(f"{len(self.units)} units of paths are no {BATCHES} equal batches")
        parts = (np.stack(part) for part in zip(*self.units, strict=True))
        return [
            part.reshape(BATCHES, together, *part.shape[1:]).sum(axis=1) / (together * self.paths)
            for part in parts
        ]

    def _values(self, effects: _Effects, value: Floats) -> dict[str, Estimate]:
        """Return the measures themselves, under bridges."""
        owners, levels = self.owners, len(self.levels)
        beyond = np.moveaxis(owners.average(value[:, 2 : 2 + levels]), 1, 2) / self.stated_mass
        shortfall = self.tails.value[:levels].T + beyond
        numbers = (effects.probability, owners.summed(value[:, 1]), shortfall)
        return {
            measure: batch_interval(number, effects.confidence)
            for measure, number in zip(MEASURES, numbers, strict=True)
        }

    @property
    def mass(self) -> Floats:
        """(levels, 1) mass of each level's tail."""
        return 1 - np.array(self.levels)[:, None]

    @property
    def stated_mass(self) -> Floats:
        """(levels,) the same, NaN where too few paths lie in the tail."""
        paths = self.paths * len(self.units)
        # a whole number but for rounding
        enough = self.mass[:, 0] * paths > _FEWEST_BEYOND - 1e-6
        return np.where(enough, self.mass[:, 0], np.nan)

    def _by_margin(self, cash: Floats) -> Floats:
        """Return (..., positions) for 1 % more equity of an isolated position; NaN of others."""
        owners = self.owners
        pool = np.maximum(owners.position_pool, 0)
        alone = owners.isolated & (owners.position_pool >= 0)
        more = np.where(alone, np.maximum(owners.equity[pool], 0.0) * PERCENT, np.nan)
        return cash[..., pool] * more

    def _of_market(
        self, effects: _Effects, shared: Floats, summed: Floats, known: Array
    ) -> dict[str, Estimate]:
        """Return what volatilities and correlations do.

        Parameters
        ----------
        shared
            (batches, assets + 1, measures, pools).
        summed
            (batches, measures, pairs), over all pools.
        """
        owners, each = self.owners, np.arange(self.owners.accounts)
        moved = np.moveaxis(owners.summed(shared), 1, 3) * POINT
        moved = np.where(known[: moved.shape[3]], moved, np.nan)
        volatility, correlation = moved[..., : owners.assets], moved[..., owners.assets]
        found = effects.of("volatility", volatility, each)
        found |= effects.means("volatility", volatility)
        found |= effects.of("correlation", correlation, each)
        found |= effects.means("correlation", correlation)
        row, column = np.triu_indices(owners.assets, 1)
        pairs = np.full((*summed.shape[:2], owners.assets, owners.assets), np.nan)
        pair = np.where(known[moved.shape[3] :], summed * POINT / owners.accounts, np.nan)
        pairs[..., row, column] = pairs[..., column, row] = pair
        return found | effects.means("pair", pairs[:, :, None])


@dataclass(frozen=True)
class _Effects:
    """From derivatives in batches to estimates.

    Attributes
    ----------
    measure
        Whose tails and levels they are of.
    probability
        (batches, accounts) of being liquidated.
    mass
        (batches, tails, accounts) of the accounts' tails.
    confidence
        Of the intervals.
    """

    measure: SensitivityMeasure
    probability: Floats
    mass: Floats
    confidence: float

    def of(self, name: str, slopes: Floats, account: Integers) -> dict[str, Estimate]:
        """Return every measure's estimate.

        Parameters
        ----------
        name
            What it is for.
        slopes
            (batches, measures and tails, rows, ...).
        account
            (rows,) whose row it is.
        """
        resolved = _behind(self._resolved[account], slopes.ndim - 3)
        chance = np.where(resolved, slopes[:, 0], np.nan)
        numbers = (chance, slopes[:, 1], self._shortfall(slopes, account))
        return {
            f"{measure}_by_{name}": batch_interval(number, self.confidence)
            for measure, number in zip(MEASURES, numbers, strict=True)
        }

    def means(self, name: str, slopes: Floats) -> dict[str, Estimate]:
        """Return the means over the accounts, (batches, measures, accounts, ...) given."""
        return {
            f"mean_{measure}_by_{name}": batch_interval(
                slopes[:, place].mean(axis=1), self.confidence
            )
            for place, measure in enumerate(MEASURES[:2])
        }

    @property
    def _resolved(self) -> Array:
        """(accounts,) whether enough batches make up the probability, if there is one at all."""
        squares = (self.probability**2).sum(axis=0)
        spread = self.probability.sum(axis=0) ** 2 / np.where(squares > 0, squares, 1.0)
        return (spread >= _FEWEST_BATCHES) | ~self.measure.owners.holds

    def _shortfall(self, slopes: Floats, account: Integers) -> Floats:
        """Return (batches, rows, ..., levels) the derivatives of the expected shortfalls."""
        count, more = len(self.measure.levels), slopes.ndim - 3
        tail, thinner = slopes[:, 2 : 2 + count], slopes[:, 2 + count :]
        mass, less = self.mass[:, :count, account], self.mass[:, count:, account]
        between = _behind((mass - less).mean(axis=0), more)
        quantile = (tail - thinner).mean(axis=0) / np.where(between > 0, between, np.inf)
        found = tail - quantile * _behind(mass - self.measure.mass, more)
        return np.moveaxis(found, 1, -1) / self.measure.stated_mass


def _summed(numbers: Floats, place: Integers, places: int) -> Floats:
    """Return (..., places) sums of (..., rows) numbers, in the order of the rows."""
    total = np.zeros((places, *numbers.shape[:-1]))
    np.add.at(total, place, np.moveaxis(numbers, -1, 0))
    return np.moveaxis(total, 0, -1)


def _behind(numbers: Array, axes: int) -> Array:
    """Return numbers with so many axes of length 1 behind them."""
    return numbers.reshape(*numbers.shape, *(1,) * axes)
