"""From a price history to annualised volatilities and a shrunk correlation.

Volatility: sample standard deviation of one-bar log returns, mean removed, times the square root of
the bars in 365 days. Its standard error is that of a standard deviation of independent draws of any
law with a fourth moment, ``se(s) = s sqrt((kurtosis - 1) / (4 n))`` (delta method on the variance
of the sample variance, Cramer, Mathematical Methods of Statistics, 1946, section 27.4); with normal
returns it is the familiar ``s / sqrt(2 n)``. Returns of one asset that cluster in calm and wild
spells carry less information than independent ones, so the true error is larger.

Correlation: Ledoit and Wolf, "A well-conditioned estimator for large-dimensional covariance
matrices", Journal of Multivariate Analysis 88 (2004), applied to standardised returns, so that its
target is the identity and the result has a unit diagonal.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stress.data.prices import PriceHistory, Times
from stress.errors import InputError
from stress.types import Floats, Integers

__all__ = ["LEAST_RETURNS", "YEAR", "Calibration", "calibrate"]

LEAST_RETURNS = 30
"""Fewest returns from which anything is estimated: below it the standard error of a volatility is
over an eighth of it even for normal returns, and the formula for it is itself out of its depth."""

YEAR = np.timedelta64(365, "D")
"""Crypto markets trade every day, so a year is 365 days."""

_LEAST_EIGENVALUE = 1e-8
"""Below this a correlation cannot be told from a singular one in float32 arithmetic."""

_FLAT = 1e-12
"""A standard deviation of log returns below this is rounding: prices are constant or exactly
exponential in time."""


@dataclass(frozen=True)
class Calibration:
    """What a price history says about a geometric Brownian motion.

    Attributes
    ----------
    history
        The history that was used, after the choice of assets and dates.
    price
        (assets,) each asset's last close, USD.
    volatility, standard_error
        (assets,) annualised over 365 days, of log returns, from each asset's own whole history.
    correlation
        (assets, assets) positive definite, unit diagonal.
    bar
        The commonest spacing of timestamps; only returns across exactly one bar are used.
    observations, gaps
        (assets,) returns used; spacings that were not one bar.
    first, last
        (assets,) first and last timestamp of each asset, UTC.
    common_observations
        Bars on which every asset has a return, from which the correlation comes.
    shrinkage
        Weight of the identity in the correlation, between 0 and 1.
    least_eigenvalue
        Of the correlation.
    """

    history: PriceHistory
    price: Floats
    volatility: Floats
    standard_error: Floats
    correlation: Floats
    bar: np.timedelta64
    observations: Integers
    gaps: Integers
    first: Times
    last: Times
    common_observations: int
    shrinkage: float
    least_eigenvalue: float

    @property
    def assets(self) -> tuple[str, ...]:
        """Assets in the order of every array."""
        return self.history.assets


def calibrate(history: PriceHistory) -> Calibration:
    """Estimate volatilities and correlation.

    Raises
    ------
    InputError
        An asset with constant prices or with fewer than 30 returns; fewer than 30 bars on which all
        assets have returns; a correlation that is singular; scikit-learn is not installed.
    """
    bar = bar_interval(history)
    returns, gaps = one_bar_returns(history, bar)
    observations = np.isfinite(returns).sum(axis=0)
    _refuse_short(history, observations, gaps, bar)
    volatility, error = annualised_volatility(history, returns, bar)
    common = common_returns(history, returns)
    correlation, shrinkage, least = shrunk_correlation(history, common)
    first, last = _span(history)
    return Calibration(
        history=history,
        price=_last_closes(history),
        volatility=volatility,
        standard_error=error,
        correlation=correlation,
        bar=bar,
        observations=observations,
        gaps=gaps,
        first=first,
        last=last,
        common_observations=len(common),
        shrinkage=shrinkage,
        least_eigenvalue=least,
    )


def bar_interval(history: PriceHistory) -> np.timedelta64:
    """Return the commonest spacing between an asset's consecutive closes, over all assets.

    Of equally common spacings the shortest.
    """
    spacings = [
        np.diff(history.timestamps[np.isfinite(close)]) for close in np.transpose(history.close)
    ]
    values, counts = np.unique(np.concatenate(spacings), return_counts=True)
    if not len(values):
        raise InputError(
            "no asset has two closes, so there is no return to measure",
            file=history.source,
            remedy="give a longer history or widen --since and --until",
        )
    return np.timedelta64(values[np.argmax(counts)])


def one_bar_returns(history: PriceHistory, bar: np.timedelta64) -> tuple[Floats, Integers]:
    """Log returns across exactly one bar.

    Returns
    -------
    returns
        (times, assets), at the bar's end; NaN where the asset has no close one bar earlier.
    gaps
        (assets,) spacings of consecutive closes that were not one bar.
    """
    returns = np.full(history.close.shape, np.nan)
    gaps = np.zeros(len(history.assets), dtype=np.int64)
    for column in range(len(history.assets)):
        rows = np.flatnonzero(np.isfinite(history.close[:, column]))
        regular = np.diff(history.timestamps[rows]) == bar
        steps = np.diff(np.log(history.close[rows, column]))
        returns[rows[1:][regular], column] = steps[regular]
        gaps[column] = np.count_nonzero(~regular)
    return returns, gaps


def annualised_volatility(
    history: PriceHistory, returns: Floats, bar: np.timedelta64
) -> tuple[Floats, Floats]:
    """Return the (assets,) annualised volatilities and their standard errors; NaNs are left out."""
    count = np.isfinite(returns).sum(axis=0)
    centred = returns - np.nanmean(returns, axis=0)
    deviation = np.sqrt(np.nansum(centred**2, axis=0) / (count - 1))
    for asset, value in zip(history.assets, deviation, strict=True):
        if value < _FLAT:
            raise _constant(history, asset)
    second = np.nanmean(centred**2, axis=0)
    kurtosis = np.nanmean(centred**4, axis=0) / second**2
    volatility = deviation * np.sqrt(YEAR / bar)
    # a kurtosis is at least 1; rounding may leave that of a two-valued return a little below
    return volatility, volatility * np.sqrt(np.maximum(kurtosis - 1, 0.0) / (4 * count))


def common_returns(history: PriceHistory, returns: Floats) -> Floats:
    """Return the (bars, assets) returns of the bars on which every asset has one."""
    common = returns[np.isfinite(returns).all(axis=1)]
    if len(common) < LEAST_RETURNS:
        first, last = _span(history)
        late, early = int(np.argmax(first)), int(np.argmin(last))
        raise InputError(
            f"only {len(common)} bars on which all {len(history.assets)} assets have a return, a"
            f" correlation needs {LEAST_RETURNS}: {history.assets[late]} begins last, at"
            f" {_day(first[late])}, and {history.assets[early]} ends first, at {_day(last[early])}",
            file=history.source,
            remedy="leave that asset out with --assets, or move --since and --until",
        )
    return common


def shrunk_correlation(history: PriceHistory, common: Floats) -> tuple[Floats, float, float]:
    """Ledoit-Wolf correlation of the common returns.

    Parameters
    ----------
    common
        (bars, assets) returns without NaN.

    Returns
    -------
    correlation, shrinkage, least_eigenvalue
        (assets, assets), symmetric with a unit diagonal; the weight of the identity in it; its
        least eigenvalue.
    """
    if common.shape[1] == 1:
        return np.ones((1, 1)), 0.0, 1.0
    deviation = common.std(axis=0)
    if deviation.min() < _FLAT:
        raise _constant(history, history.assets[int(np.argmin(deviation))])
    # dividing by the same count as Ledoit and Wolf's sample covariance makes its diagonal 1, and
    # with it the target of the shrinkage the identity
    shrunk, shrinkage = _ledoit_wolf((common - common.mean(axis=0)) / deviation)
    scale = np.sqrt(np.diag(shrunk))
    correlation = shrunk / np.outer(scale, scale)
    correlation = (correlation + correlation.T) / 2
    np.fill_diagonal(correlation, 1.0)
    least = float(np.linalg.eigvalsh(correlation)[0])
    if least < _LEAST_EIGENVALUE:
        raise _singular(history, correlation, least)
    return correlation, shrinkage, least


def _ledoit_wolf(standardised: Floats) -> tuple[Floats, float]:
    try:
        # an optional dependency, and slow to import: only this function needs it
        from sklearn.covariance import ledoit_wolf
    except ImportError as error:
        raise InputError(
            "scikit-learn is needed to estimate a correlation and is not installed",
            remedy="pip install 'margin-stress[calibrate]'",
        ) from error
    shrunk, shrinkage = ledoit_wolf(standardised, assume_centered=True)
    return np.asarray(shrunk, dtype=np.float64), float(shrinkage)


def _refuse_short(
    history: PriceHistory, observations: Integers, gaps: Integers, bar: np.timedelta64
) -> None:
    for column, asset in enumerate(history.assets):
        closes = history.close[np.isfinite(history.close[:, column]), column]
        if len(closes) > 1 and closes.min() == closes.max():
            raise _constant(history, asset)
        if observations[column] < LEAST_RETURNS:
            raise InputError(
                f"asset {asset} has {observations[column]} returns across one bar of {say(bar)}"
                f" ({len(closes)} closes, {gaps[column]} gaps), needed are {LEAST_RETURNS}",
                file=history.source,
                key="column close",
                remedy="give a longer history, or leave the asset out with --assets",
            )


def _constant(history: PriceHistory, asset: str) -> InputError:
    return InputError(
        f"the price of {asset} does not vary, so it has no volatility to estimate",
        file=history.source,
        key="column close",
        remedy="leave the asset out with --assets, or give a history that trades",
    )


def _singular(history: PriceHistory, correlation: Floats, least: float) -> InputError:
    off_diagonal = np.abs(correlation - np.eye(len(correlation)))
    one, other = np.unravel_index(int(np.argmax(off_diagonal)), correlation.shape)
    return InputError(
        f"the correlation is singular (least eigenvalue {least:.1e}): {history.assets[one]} and"
        f" {history.assets[other]} move as one (correlation {correlation[one, other]:.6f})",
        file=history.source,
        key="column close",
        remedy="leave one of the two out with --assets",
    )


def _span(history: PriceHistory) -> tuple[Times, Times]:
    rows = [np.flatnonzero(np.isfinite(close)) for close in np.transpose(history.close)]
    first = history.timestamps[[row[0] for row in rows]]
    last = history.timestamps[[row[-1] for row in rows]]
    return first, last


def _last_closes(history: PriceHistory) -> Floats:
    return np.array([close[np.isfinite(close)][-1] for close in np.transpose(history.close)])


def _day(moment: np.datetime64) -> str:
    return str(moment.astype("datetime64[D]"))


def say(bar: np.timedelta64) -> str:
    """Return a bar in the largest unit that divides it, e.g. ``1d``, ``5min``, ``90s``."""
    milliseconds = int(bar / np.timedelta64(1, "ms"))
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1_000)):
        if milliseconds % size == 0:
            return f"{milliseconds // size}{unit}"
    return f"{milliseconds}ms"
