"""The GJR-GARCH filter that divides a history's returns by the volatility of their day.

``h' = omega + (alpha + gamma 1[e < 0]) e^2 + beta h`` (Glosten, Jagannathan and Runkle 1993) along
the rows of a history, with e its demeaned returns, and residuals ``z = e / sqrt(h)``.

Along the history omega is the constant at which residuals have variance 1, as at a maximum of the
likelihood: so h is the variance of the day. A constant from the mean variance of the history would
set the level of a filter near its bound of persistence by the wildest bars alone, and be off by a
factor. On simulated paths omega is that of the stated mean variance, to which h then returns.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from stress.calibrate.garch import filtered_variance
from stress.types import Floats

__all__ = ["FilteredRows", "filtered", "settled_constant"]

_ROUNDS = 8
"""Rounds in which beta and the residuals' skewness settle, where beta has to be lowered."""

_LEAST, _HALVINGS = 1e-14, 60
"""Least constant of a recursion, and steps in which the one that is sought is found."""


_MOST_LASTING = 0.999
"""Most persistence: weights estimated near 1 may exceed it on the residuals that they leave."""


class FilteredRows(NamedTuple):
    """What the filter found.

    Attributes
    ----------
    residuals
        (rows, assets) of mean 0 and variance 1.
    omega
        (assets,) at which the recursion on these residuals has the stated mean variance: of paths.
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
    the residuals that are drawn from. Where ``alpha + gamma k + beta`` is above 0.999, beta is
    lowered until it is not.

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
    lasting, below = beta, np.full(returns.shape[1], 0.5)
    for _ in range(_ROUNDS):
        news = alpha + gamma * below
        if (news >= _MOST_LASTING).any():
            asset = int(np.argmax(news))
            raise ValueError(
                f"alpha + gamma k of asset {asset} must be below {_MOST_LASTING:g}, is"
                f" {news[asset]:.6g} with the residuals' second moment below zero, k ="
                f" {below[asset]:.3g}"
            )
        before, lasting = lasting, np.minimum(beta, _MOST_LASTING - news)
        constant = settled_constant(shocks, alpha, gamma, lasting)
        variances = filtered_variance(shocks, alpha, gamma, lasting, omega=constant)
        residuals = shocks / np.sqrt(variances[:-1])
        residuals = residuals - residuals.mean(axis=0)
        residuals = residuals / residuals.std(axis=0)
        below = np.mean(np.where(residuals < 0, residuals**2, 0.0), axis=0)
        if (
            np.allclose(lasting, before, rtol=1e-9, atol=0)
            and (alpha + gamma * below + lasting < 1).all()
        ):
            break
    omega = variance * (1 - alpha - gamma * below - lasting)
    return FilteredRows(residuals, omega, lasting, variances[-1])


def settled_constant(shocks: Floats, alpha: Floats, gamma: Floats, beta: Floats) -> Floats:
    """Return the (assets,) constant of the recursion at which residuals have mean square 1.

    Parameters
    ----------
    shocks
        (bars, assets) log returns, their mean taken out.
    alpha, gamma, beta
        (assets,) of the recursion.
    """
    nothing = np.zeros(shocks.shape[1])
    # the variance is linear in the constant, and the mean square of residuals falls in it
    base = filtered_variance(shocks, alpha, gamma, beta, omega=nothing)[:-1]
    unit = filtered_variance(shocks, alpha, gamma, beta, omega=nothing + 1.0)[:-1] - base
    squares = shocks**2
    low, high = nothing + _LEAST, squares.mean(axis=0)
    for _ in range(_HALVINGS):
        middle = np.sqrt(low * high)
        wide = (squares / (base + middle * unit)).mean(axis=0) > 1
        low, high = np.where(wide, middle, low), np.where(wide, high, middle)
    return np.sqrt(low * high)
