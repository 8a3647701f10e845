"""How a model's constants move with the market's parameters: volatilities and correlations.

A step's covariance root is ``D R`` with ``D = diag(volatility sqrt(dt))`` and ``R`` the symmetric
root of the correlation C. Its derivative along a change dC solves ``R dR + dR R = dC``: in the
eigenbasis of C, where R is ``diag(r)``, ``dR_ij = dC_ij / (r_i + r_j)`` (Higham 2008, Functions of
Matrices, section 6.2). Any other root has the same law; paths that follow the symmetric one are the
paths of the run.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from stress.market.gbm import symmetric_root
from stress.types import Array, Floats

__all__ = ["Directions", "correlation_directions", "root_derivative", "volatility_directions"]

_SINGULAR = 1e-7
"""Sum of two eigenvalues of a root below which a change between them has no derivative."""


class Directions(NamedTuple):
    """Derivatives of the constants of a model with normal steps.

    Attributes
    ----------
    mean
        (directions, assets) of the mean log return of a step.
    covariance_root
        (directions, assets, assets) of the root of its covariance; 0 where it has no derivative.
    exists
        (directions,) whether it has one.
    """

    mean: Floats
    covariance_root: Floats
    exists: Array


def volatility_directions(volatility: Floats, correlation: Floats, years: float) -> Directions:
    """Return the derivatives by each asset's annual volatility, at an unchanged drift.

    Parameters
    ----------
    volatility
        (assets,) annual.
    correlation
        (assets, assets) positive semi-definite.
    years
        Length of a step.
    """
    count = len(volatility)
    each = np.eye(count)
    root = each[:, :, None] * (np.sqrt(years) * symmetric_root(correlation))[None]
    return Directions(-np.diag(volatility * years), root, np.ones(count, bool))


def correlation_directions(
    volatility: Floats, correlation: Floats, years: float, changes: Floats
) -> Directions:
    """Return the derivatives along changes of the correlation.

    Parameters
    ----------
    changes
        (directions, assets, assets) symmetric, with a diagonal of 0.
    """
    found = [root_derivative(correlation, change) for change in changes]
    exists = np.array([np.isfinite(root).all() for root in found], bool)
    deviation = volatility * np.sqrt(years)
    roots = np.array(found).reshape(changes.shape)
    roots = np.where(exists[:, None, None], deviation[:, None] * roots, 0.0)
    return Directions(np.zeros(changes.shape[:2]), roots, exists)


def root_derivative(correlation: Floats, change: Floats) -> Floats:
    """Return the derivative of the symmetric root along a symmetric change.

    NaN where the correlation is singular and the change leads out of its range: the root's slope is
    infinite there.
    """
    values, vectors = np.linalg.eigh(correlation)
    root = np.sqrt(np.clip(values, 0.0, None))
    inner = vectors.T @ change @ vectors
    sums = root[:, None] + root
    flat = sums < _SINGULAR
    stuck = flat & (np.abs(inner) > _SINGULAR)
    slope = np.where(flat, 0.0, inner) / np.where(flat, 1.0, sums)
    return np.asarray(vectors @ np.where(stuck, np.nan, slope) @ vectors.T)
