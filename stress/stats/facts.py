"""What returns of real markets have in common, measured alike on a history and on simulations.

Heavy tails, absolute returns that stay correlated, volatility that comes in spells, falls that come
together (Cont 2001). Every function takes (..., bars, assets) returns, so that a whole set of
simulated histories is measured at once, and means over assets or pairs are taken last.

Intervals of a history come from the circular block bootstrap (Politis and Romano 1992): blocks of
rows keep what hangs together, across assets and in time. A statistic that looks at several bars at
once (an autocorrelation, a rolling volatility) is a mean or a quantile of a series that has one
entry a bar; the entries are resampled, not the returns, so that no entry spans the joint of two
blocks (Kuensch 1989).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np

from stress.stats.blocks import block_rows
from stress.types import Array, Floats

__all__ = [
    "JUDGED",
    "LAGS",
    "LEVELS",
    "ROLLING",
    "ROLLING_LEVELS",
    "TAIL",
    "WINDOWS",
    "Facts",
    "absolute_autocorrelation",
    "block_length",
    "co_exceedance",
    "facts",
    "history_samples",
    "percentiles",
    "rolling_volatility",
    "worst_falls",
]

LEVELS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.975, 0.99, 0.995)
"""Levels of the quantiles of one-bar returns."""
LAGS = 30
"""Largest lag of the autocorrelation, bars."""
ROLLING = 30
"""Bars of a rolling volatility."""
ROLLING_LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
"""Levels of the quantiles of the rolling volatility."""
TAIL = 0.05
"""Share of bars that counts as an asset's tail in the co-exceedance."""
WINDOWS = (1, 7, 30)
"""Bars of the windows whose worst fall is looked for."""

_SHORT_LAGS = 10
JUDGED = (
    "1 % quantile of returns",
    "99 % quantile of returns",
    f"autocorrelation of absolute returns, mean of lags 1 to {_SHORT_LAGS}",
    "lower-tail co-exceedance",
    "lower-tail minus upper-tail co-exceedance",
)
"""The facts that a model is judged by; the last two need two assets."""


@dataclass(frozen=True)
class Facts:
    """Facts of one or many sets of returns; ... are the dimensions before (bars, assets).

    Attributes
    ----------
    quantiles
        (..., levels) quantiles of one-bar returns around their mean, in the standard deviations
        they are scaled by, mean over assets.
    autocorrelation
        (..., lags) of absolute returns around the mean, lags 1 to ``LAGS``, mean over assets.
    rolling
        (..., rolling levels) quantiles of the rolling volatility, in the same unit.
    co_exceedance
        (..., 2) in the lower and in the upper tail, mean over pairs; NaN of one asset.
    worst
        (..., windows) worst fall of a price over a window of bars around the mean return, a share
        of the price, mean over assets.
    judged
        (..., judged) the facts of ``JUDGED``.
    """

    quantiles: Floats
    autocorrelation: Floats
    rolling: Floats
    co_exceedance: Floats
    worst: Floats
    judged: Floats

    def through(self, change: Callable[[Floats], Floats]) -> Facts:
        """Return the same with every array changed, such as many samples to their quantile."""
        return Facts(*(change(getattr(self, field.name)) for field in fields(self)))


def facts(returns: Floats, scale: Floats) -> Facts:
    """Return the facts of (..., bars, assets) log returns.

    Parameters
    ----------
    returns
        Without NaN; each asset's mean is taken out, history by history.
    scale
        (assets,) standard deviations that quantiles and rolling volatilities are in units of.
    """
    centred = returns - returns.mean(axis=-2, keepdims=True)
    return _together(
        quantiles=_levels(centred / scale, LEVELS).mean(axis=-1),
        autocorrelation=absolute_autocorrelation(centred, LAGS).mean(axis=-1),
        rolling=_levels(rolling_volatility(centred / scale, ROLLING), ROLLING_LEVELS).mean(axis=-1),
        both=co_exceedance(centred, TAIL),
        worst=worst_falls(centred, WINDOWS).mean(axis=-1),
    )


def _together(
    *, quantiles: Floats, autocorrelation: Floats, rolling: Floats, both: Floats, worst: Floats
) -> Facts:
    judged = np.stack(
        [
            quantiles[..., LEVELS.index(0.01)],
            quantiles[..., LEVELS.index(0.99)],
            autocorrelation[..., :_SHORT_LAGS].mean(axis=-1),
            both[..., 0],
            both[..., 0] - both[..., 1],
        ],
        axis=-1,
    )
    return Facts(quantiles, autocorrelation, rolling, both, worst, judged)


def _levels(numbers: Floats, levels: tuple[float, ...]) -> Floats:
    """Return (..., levels, assets) quantiles over the rows of (..., rows, assets)."""
    return np.moveaxis(np.quantile(numbers, levels, axis=-2), 0, -2)


def absolute_autocorrelation(returns: Floats, lags: int) -> Floats:
    """Return the (..., lags, assets) autocorrelation of absolute returns, lags 1 to ``lags``."""
    size = np.abs(returns)
    size = size - size.mean(axis=-2, keepdims=True)
    bars = size.shape[-2]
    found = [
        (size[..., lag:, :] * size[..., : bars - lag, :]).sum(axis=-2) for lag in range(1, lags + 1)
    ]
    return np.stack(found, axis=-2) / (size**2).sum(axis=-2)[..., None, :]


def rolling_volatility(returns: Floats, window: int) -> Floats:
    """Return the (..., bars - window + 1, assets) standard deviations of windows of returns."""
    shape = (*returns.shape[:-2], 1, returns.shape[-1])
    sums, squares = (
        np.concatenate([np.zeros(shape), powers.cumsum(axis=-2)], axis=-2)
        for powers in (returns, returns**2)
    )
    mean = (sums[..., window:, :] - sums[..., :-window, :]) / window
    square = (squares[..., window:, :] - squares[..., :-window, :]) / window
    return np.sqrt(np.maximum(square - mean**2, 0.0) * window / (window - 1))


def co_exceedance(returns: Floats, share: float) -> Floats:
    """Return the (..., 2) co-exceedance in the lower and in the upper tail, mean over pairs.

    The probability that one asset is in its own tail of this share of bars given that another one
    is; ``share`` itself where assets are independent, 1 where they move as one. NaN of one asset.
    """
    assets = returns.shape[-1]
    if assets < 2:
        return np.full((*returns.shape[:-2], 2), np.nan)
    # as many bars in every tail: a share of a whole number of bars
    count = max(round(share * returns.shape[-2]), 1)
    low = np.partition(returns, count - 1, axis=-2)[..., count - 1, None, :]
    high = -np.partition(-returns, count - 1, axis=-2)[..., count - 1, None, :]
    return np.stack([_pairs(returns <= low, count), _pairs(returns >= high, count)], axis=-1)


def _pairs(beyond: Array, count: int) -> Floats:
    """Return (...,) the mean over pairs of bars beyond together, over the bars in a tail."""
    together = beyond.sum(axis=-1)
    assets = beyond.shape[-1]
    # k assets beyond on one bar are k (k - 1) / 2 pairs
    pairs = (together * (together - 1) / 2).sum(axis=-1)
    return pairs / (assets * (assets - 1) / 2) / count


def worst_falls(returns: Floats, windows: tuple[int, ...]) -> Floats:
    """Return the (..., windows, assets) worst fall over a window, as a share of the price."""
    shape = (*returns.shape[:-2], 1, returns.shape[-1])
    level = np.concatenate([np.zeros(shape), returns.cumsum(axis=-2)], axis=-2)
    worst = [
        (level[..., window:, :] - level[..., :-window, :]).min(axis=-2)
        if window < level.shape[-2]
        else np.full(level[..., 0, :].shape, np.nan)
        for window in windows
    ]
    return -np.expm1(np.stack(worst, axis=-2))


def block_length(bars: int) -> int:
    """Return the length of the bootstrap's blocks: the root of the number of bars, rounded up.

    Longer than the cube root that is best for means of weakly dependent series, because spells of
    volatility last for months.
    """
    return int(np.ceil(np.sqrt(bars)))


def history_samples(returns: Floats, scale: Floats, draws: int, seed: int) -> Facts:
    """Return the facts of block bootstraps of a history, (draws, ...) each.

    The worst falls are not resampled, they are NaN: the bootstrap of an extreme is inconsistent
    (Bickel and Freedman 1981).

    Parameters
    ----------
    returns
        (bars, assets) log returns of the history.
    scale
        (assets,) as in ``facts``.
    draws, seed
        Number of bootstraps, and of the random numbers.
    """
    random = np.random.default_rng(seed)
    centred = returns - returns.mean(axis=0)
    block = max(block_length(len(centred)), 2 * ROLLING)
    rolling = rolling_volatility(centred / scale, ROLLING)
    products = _lagged_products(centred)

    def entries(series: Floats) -> Floats:
        return series[block_rows(len(series), block, random, 1)[0]]

    def sample() -> Facts:
        taken = entries(centred)
        return _together(
            quantiles=_levels(taken / scale, LEVELS).mean(axis=-1),
            autocorrelation=_correlation(entries(products)),
            rolling=_levels(entries(rolling), ROLLING_LEVELS).mean(axis=-1),
            both=co_exceedance(taken, TAIL),
            worst=np.full(len(WINDOWS), np.nan),
        )

    samples = [sample() for _ in range(draws)]
    return Facts(
        *(np.stack([getattr(one, field.name) for one in samples]) for field in fields(Facts))
    )


def _lagged_products(centred: Floats) -> Floats:
    """Return (bars - LAGS, LAGS + 1, assets) products of absolute returns with later ones."""
    size = np.abs(centred)
    size = size - size.mean(axis=0)
    bars = len(size) - LAGS
    return np.stack([size[:bars] * size[lag : lag + bars] for lag in range(LAGS + 1)], axis=1)


def _correlation(products: Floats) -> Floats:
    """Return (lags,) autocorrelations from some bars' products, mean over assets."""
    mean = products.mean(axis=0)
    return (mean[1:] / mean[0]).mean(axis=-1)


def percentiles(samples: Facts, confidence: float) -> tuple[Facts, Facts]:
    """Return the lower and the upper bound of the central interval of (draws, ...) samples."""
    tail = (1 - confidence) / 2
    low = samples.through(lambda drawn: np.quantile(drawn, tail, axis=0))
    return low, samples.through(lambda drawn: np.quantile(drawn, 1 - tail, axis=0))
