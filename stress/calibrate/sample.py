"""What every estimator is given, and what every one returns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from stress.calibrate.gbm import YEAR, bar_interval, one_bar_returns
from stress.data.prices import PriceHistory
from stress.errors import InputError
from stress.types import Floats

__all__ = [
    "Estimate",
    "Parameters",
    "Sample",
    "by_asset",
    "covariance_from_score",
    "normal_log_density",
    "sample_of",
]


@dataclass(frozen=True)
class Sample:
    """Log returns across exactly one bar.

    Attributes
    ----------
    assets
        In the order of every array.
    returns
        (times, assets), NaN where an asset has none.
    common
        (bars, assets) those of the bars on which every asset has one, in the order of time.
    interval
        The bar as text, e.g. ``1d``.
    years
        The bar in years of 365 days.
    """

    assets: tuple[str, ...]
    returns: Floats
    common: Floats
    interval: str
    years: float

    def own(self, column: int) -> Floats:
        """Return the (bars,) returns of one asset's own history."""
        values = self.returns[:, column]
        return values[np.isfinite(values)]


@dataclass(frozen=True)
class Parameters:
    """A model with its numbers, per bar: what a density needs.

    Attributes
    ----------
    mean, deviation
        (assets,) of a bar's log return.
    correlation
        (assets, assets) of the log returns, positive definite.
    years
        The bar in years.
    table
        The model's own numbers, as in the scenario's table ``market.<model>``.
    """

    assets: tuple[str, ...]
    mean: Floats
    deviation: Floats
    correlation: Floats
    years: float
    table: Mapping[str, Any] = field(default_factory=dict)

    @property
    def covariance(self) -> Floats:
        """(assets, assets) of a bar's log returns."""
        return self.correlation * np.outer(self.deviation, self.deviation)

    def numbers(self, key: str) -> Floats:
        """Return one of the table's tables by asset as an (assets,) array."""
        return np.array([self.table[key][asset] for asset in self.assets], np.float64)


@dataclass(frozen=True)
class Estimate:
    """What one estimator found.

    Attributes
    ----------
    table, standard_errors
        Keys of the scenario's table of the model; the latter only of what was estimated.
    parameters
        With the mean and covariance that this model itself makes likeliest.
    scores
        (bars,) log densities of the common returns under ``parameters``.
    count
        Number of parameters that were estimated.
    notes
        One sentence each on what the history does not say.
    more
        Other numbers worth keeping, for the file.
    """

    table: dict[str, Any]
    standard_errors: dict[str, Any]
    parameters: Parameters
    scores: Floats
    count: int
    notes: tuple[str, ...] = ()
    more: Mapping[str, Any] = field(default_factory=dict)


def sample_of(history: PriceHistory, interval: str) -> Sample:
    """Return the returns of a history; ``interval`` is its bar as text."""
    bar = bar_interval(history)
    returns, _ = one_bar_returns(history, bar)
    return Sample(
        assets=history.assets,
        returns=returns,
        common=returns[np.isfinite(returns).all(axis=1)],
        interval=interval,
        years=float(bar / YEAR),
    )


def by_asset(assets: tuple[str, ...], values: Floats) -> dict[str, float]:
    """Return an (assets,) array as a table."""
    return dict(zip(assets, map(float, values), strict=True))


def normal_log_density(centred: Floats, covariance: Floats) -> Floats:
    """Return the (bars,) log densities of centred (bars, assets) normal vectors."""
    root = np.linalg.cholesky(covariance)
    white = np.linalg.solve(root, centred.T)
    size = len(covariance)
    log_root = np.log(np.diag(root)).sum()
    return -0.5 * (white**2).sum(axis=0) - log_root - 0.5 * size * np.log(2 * np.pi)


def covariance_from_score(score: Callable[[Floats], Floats], at: Floats, scale: Floats) -> Floats:
    """Return the inverse of the observed information.

    The information is minus the derivative of the log-likelihood's gradient, by central
    differences.

    Parameters
    ----------
    score
        From (parameters,) to the gradient of the log-likelihood, (parameters,).
    at
        The maximum.
    scale
        (parameters,) roughly what each is known to: differences are a tenth of it.
    """
    information = np.empty((len(at), len(at)))
    for row, step in enumerate(0.1 * scale):
        move = np.zeros(len(at))
        move[row] = step
        information[row] = (score(at - move) - score(at + move)) / (2 * step)
    information = (information + information.T) / 2
    # scaled before it is inverted: parameters differ by orders of magnitude
    unit = 1 / np.sqrt(np.maximum(np.abs(np.diag(information)), 1e-300))
    values, vectors = np.linalg.eigh(information * np.outer(unit, unit))
    # a direction that the history says nothing about is left with a very wide error
    values = np.maximum(values, 1e-8)
    return ((vectors / values) @ vectors.T) * np.outer(unit, unit)


def missing(package: str, purpose: str) -> InputError:
    """Return the refusal for want of an optional package."""
    return InputError(
        f"{package} is needed to {purpose} and is not installed",
        remedy="pip install 'margin-stress[calibrate]'",
    )
