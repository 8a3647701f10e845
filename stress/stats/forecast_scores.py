"""Scores of probability forecasts and of joint tails, with intervals by a block bootstrap.

Windows that overlap, and assets that share a window, are not independent trials: whole blocks of
windows are resampled, with everything that happened in them (Kuensch, Annals of Statistics 17,
1989; in a circle: Politis and Romano 1992), so that the intervals hold both dependences.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from stress.stats.blocks import block_rows
from stress.stats.probability import wilson
from stress.types import Array, Floats, Integers

__all__ = [
    "Reliability",
    "block_length",
    "block_weights",
    "brier",
    "co_exceedance",
    "exceedances_per_row",
    "ratio_interval",
    "reliability",
]

_SEED = 20_000_102


class Reliability(NamedTuple):
    """What became of forecasts of about the same probability.

    Attributes
    ----------
    forecasts
        (bins,) how many forecasts fell into each bin.
    mean_forecast, frequency
        (bins,) their mean, and the share of them that came true; NaN in an empty bin.
    interval
        (bins, 2) of the frequency.
    """

    forecasts: Integers
    mean_forecast: Floats
    frequency: Floats
    interval: Floats


def brier(forecast: Floats, outcome: Array) -> Floats:
    """Return the squared error of each probability forecast: 0 is perfect, 0.25 a coin's.

    Their mean is Brier's score (Monthly Weather Review 78, 1950), least on average for the true
    probability.
    """
    return (np.asarray(forecast, np.float64) - np.asarray(outcome, np.float64)) ** 2


def block_length(rows: int, overlap: int = 1) -> int:
    """Return the length of a block: the cube root of the rows, and at least twice an overlap."""
    return min(rows, max(round(rows ** (1 / 3)), 2 * overlap if overlap > 1 else 1))


def block_weights(rows: int, block: int, replications: int) -> Integers:
    """Return (replications, rows): how often each row stands in each resampled series.

    Blocks of ``block`` rows that follow each other, around the end to the beginning; the same on
    every call.
    """
    random = np.random.default_rng(_SEED)
    chosen = block_rows(rows, block, random, replications)
    chosen = chosen + rows * np.arange(replications)[:, None]
    return np.bincount(chosen.ravel(), minlength=rows * replications).reshape(replications, rows)


def ratio_interval(
    numerator: Floats, denominator: Floats, weights: Integers, confidence: float
) -> Floats:
    """Return (..., 2) the percentile interval of the sum of one column over that of another.

    Parameters
    ----------
    numerator, denominator
        (rows, ...) by window.
    weights
        (replications, rows) as ``block_weights`` returns them. A replication in which the
        denominator vanishes does not count; NaN where none is left.
    """
    above = np.tensordot(weights, numerator, axes=1)
    below = np.tensordot(weights, denominator, axes=1)
    ratio = np.where(below > 0, above / np.where(below > 0, below, 1.0), np.nan)
    side = (1 - confidence) / 2
    bounds = np.full((*ratio.shape[1:], 2), np.nan)
    known = ~np.isnan(ratio).all(axis=0)
    bounds[known] = np.nanquantile(ratio[:, known], [side, 1 - side], axis=0).T
    return bounds


def reliability(
    forecast: Floats, outcome: Array, edges: Floats, *, overlap: int, confidence: float
) -> Reliability:
    """Return observed frequencies in bins of the forecast probability.

    The interval is the wider, on each side, of the block bootstrap's and Wilson's at the number of
    windows that do not overlap: the bootstrap of a bin without a hit would say that it is sure.

    Parameters
    ----------
    forecast, outcome
        (windows, books) probability, and whether it happened; windows in order of time.
    edges
        (bins + 1,) ascending from 0 to 1; a bin holds its lower edge, the last one also its upper.
    overlap
        How many consecutive windows share a moment; 1 if none do.
    confidence
        Of the intervals.
    """
    bins = len(edges) - 1
    place = np.clip(np.searchsorted(edges, forecast, side="right") - 1, 0, bins - 1)
    member = place[..., None] == np.arange(bins)
    happened = np.asarray(outcome, bool)[..., None] & member
    count, hits = member.sum(axis=1), happened.sum(axis=1)
    total = count.sum(axis=0)
    some = np.maximum(total, 1)
    mean = (np.asarray(forecast)[..., None] * member).sum(axis=(0, 1)) / some
    frequency = hits.sum(axis=0) / some
    weights = block_weights(len(count), block_length(len(count), overlap), 1_000)
    resampled = ratio_interval(hits.astype(float), count.astype(float), weights, confidence)
    apart = np.maximum((count > 0).sum(axis=0) / overlap, 1.0)
    plain = wilson(frequency, apart, confidence)
    interval = np.stack(
        [
            np.fmin(resampled[:, 0], plain[:, 0]),
            np.fmax(resampled[:, 1], plain[:, 1]),
        ],
        axis=-1,
    )
    empty = total == 0
    mean, frequency = np.where(empty, np.nan, mean), np.where(empty, np.nan, frequency)
    interval[empty] = np.nan
    return Reliability(total, mean, frequency, interval)


def exceedances_per_row(values: Floats, probability: float, *, upper: bool) -> Integers:
    """Return how many columns lie beyond their own quantile in each row, (rows,).

    Parameters
    ----------
    values
        (rows, columns) returns.
    probability
        Of lying beyond, such as 0.05; each column's own sample quantile is the threshold, so that
        only the dependence counts.
    """
    side = -values if upper else values
    # the threshold is itself beyond: floor(n probability) rows a column, at least one
    rank = max(int(len(values) * probability + 1e-9), 1) - 1
    threshold = np.partition(side, rank, axis=0)[rank]
    return (side <= threshold).sum(axis=1)


def co_exceedance(beyond: Integers, columns: int) -> tuple[Floats, Floats]:
    """Return by row what the co-exceedance is the ratio of, summed over the rows.

    The ratio of sums is the chance that another column lies beyond its quantile, given that one
    does, averaged over pairs: the probability itself if they are independent, 1 if they fall as
    one.

    Parameters
    ----------
    beyond
        (rows,) how many columns lie beyond.
    columns
        How many there are, two or more.
    """
    return beyond * (beyond - 1.0), beyond * (columns - 1.0)
