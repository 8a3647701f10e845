"""The GJR-GARCH filter that divides a history's returns by the volatility of their day.

``h' = omega + (alpha + gamma 1[e < 0]) e^2 + beta h`` (Glosten, Jagannathan and Runkle 1993) along
the rows of a history, with e its demeaned returns, and residuals ``z = e / sqrt(h)``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.signal import lfilter

from stress.types import Floats

__all__ = ["FilteredRows", "filtered"]

_ROUNDS = 8
"""Rounds in which omega and the residuals' skewness settle; each is some hundred times closer."""


_MOST_LASTING = 0.999
"""Most persistence: weights estimated near 1 may exceed it on the residuals that they leave."""


class FilteredRows(NamedTuple):
    """What the filter found.

    Attributes
    ----------
    residuals
        (rows, assets) of mean 0 and variance 1.
    omega
        (assets,) at which the recursion on these residuals has the stated mean variance.
    beta
        (assets,) weight of the last variance, lowered where it had to be.
    latest
        (assets,) variance of the bar behind the last row.
    """

    residuals: Floats
    omega: Floats
    beta: Floats
    latest: Floats


def filtered(
    returns: Floats, *, variance: Floats, alpha: Floats, gamma: Floats, beta: Floats
) -> FilteredRows:
    """Filter the rows of a history.

    The mean of h is ``omega / (1 - alpha - gamma k - beta)`` with k the residuals' second moment
    below zero, 1/2 where they are symmetric: omega is chosen so that it is the stated variance for
    the residuals that are drawn from. The filter starts at that variance. Where ``alpha + gamma k +
    beta`` is above 0.999, beta is lowered until it is not.

    Parameters
    ----------
    returns
        (rows, assets) log returns of consecutive bars.
    variance
        (assets,) mean variance of a bar.
    alpha, gamma, beta
        (assets,) of the recursion.

    Raises
    ------
    ValueError
        The recursion on these residuals has no mean whatever beta: alpha + gamma k is too large.
    """
    shocks = returns - returns.mean(axis=0)
    weight = alpha + gamma * (shocks < 0)
    below = np.full(returns.shape[1], 0.5)
    for _ in range(_ROUNDS):
        news = alpha + gamma * below
        if (news >= _MOST_LASTING).any():
            asset = int(np.argmax(news))
            raise ValueError(
                f"alpha + gamma k of asset {asset} must be below {_MOST_LASTING:g}, is"
                f" {news[asset]:.6g} with the residuals' second moment below zero, k ="
                f" {below[asset]:.3g}"
            )
        lasting = np.minimum(beta, _MOST_LASTING - news)
        omega = variance * (1 - news - lasting)
        variances = _variances(omega + weight * shocks**2, variance, lasting)
        residuals = shocks / np.sqrt(variances[:-1])
        residuals = residuals - residuals.mean(axis=0)
        residuals = residuals / residuals.std(axis=0)
        below = np.mean(np.where(residuals < 0, residuals**2, 0.0), axis=0)
    return FilteredRows(residuals, omega, lasting, variances[-1])


def _variances(news: Floats, start: Floats, beta: Floats) -> Floats:
    """Return (rows + 1, assets) of ``h' = news + beta h``, from (assets,) of the first row."""
    columns = [
        lfilter([1.0], [1.0, -decay], np.append(first, column))
        for first, column, decay in zip(start, news.T, beta, strict=True)
    ]
    return np.stack(columns, axis=1)
