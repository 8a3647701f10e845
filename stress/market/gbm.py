"""Correlated geometric Brownian motion.

``dS_a / S_a = drift_a dt + volatility_a dW_a``, ``E[S_T] = S_0 exp(drift T)``; the log return of a
step of length ``dt`` is normal with mean ``(drift - volatility^2 / 2) dt`` and covariance
``volatility_a volatility_b correlation_ab dt`` (Black and Scholes 1973; Glasserman 2003, section
3.2.3).
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from stress.pytree import register_part
from stress.types import Floats, Precision

__all__ = ["GeometricBrownianMotion", "log_drift", "matrix_product", "symmetric_root"]

_FEW = 32
"""Most columns of a matrix whose products are summed one after the other; with more a library's
product is faster."""


@register_part
@dataclass(frozen=True)
class GeometricBrownianMotion:
    """The model's constants for one step, in the precision of the run.

    Attributes
    ----------
    mean
        (assets,) mean of the log return of a step.
    covariance_root
        (assets, assets) symmetric root of the covariance of the log returns of a step.
    """

    mean: jax.Array
    covariance_root: jax.Array

    @classmethod
    def build(
        cls,
        *,
        volatility: Floats,
        drift: Floats,
        correlation: Floats,
        step_years: float,
        precision: Precision,
    ) -> GeometricBrownianMotion:
        """Return the model from annual parameters.

        Parameters
        ----------
        volatility, drift
            (assets,) annual, a year has 365 days.
        correlation
            (assets, assets) positive semi-definite.
        step_years
            Length of a step in years.
        precision
            Floating point type of the paths.
        """
        deviation = volatility * np.sqrt(step_years)
        root = deviation[:, None] * symmetric_root(correlation)
        mean = log_drift(volatility, drift, step_years)
        dtype = jnp.dtype(precision)
        return cls(jnp.asarray(mean, dtype), jnp.asarray(root, dtype))

    @property
    def assets(self) -> int:
        """Number of assets."""
        return self.mean.shape[0]

    def init(self, paths: jax.Array) -> tuple[()]:
        """Return the state at time 0: there is none."""
        return ()

    def step(
        self, state: tuple[()], normals: jax.Array, keys: jax.Array
    ) -> tuple[tuple[()], jax.Array]:
        """Return the state and the (assets, paths) log return of one step."""
        shock = matrix_product(self.covariance_root, normals)
        return state, self.mean[:, None] + shock


def log_drift(volatility: Floats, drift: Floats, years: float) -> Floats:
    """Return (assets,) the mean log return over a time, ``drift - volatility^2 / 2`` a year.

    What every model but ``jump-diffusion``, which compensates its jumps, has for a mean.
    """
    return (drift - volatility**2 / 2) * years


def matrix_product(matrix: jax.Array, columns: jax.Array) -> jax.Array:
    """Return (rows, columns) the product of a matrix and columns, in full precision.

    Products of up to 32 terms are summed from the first to the last. A library's product sums in an
    order that depends on how many columns there are and where one stands among them; here a path's
    digits do not know how many others are simulated with it.
    """
    if matrix.shape[1] > _FEW:
        # "highest": a GPU's reduced-precision matrix units must not change a liquidation
        return jnp.matmul(matrix, columns, precision="highest")
    total = matrix[:, :1] * columns[:1]
    for term in range(1, matrix.shape[1]):
        total = total + matrix[:, term, None] * columns[term, None]
    return total


def symmetric_root(correlation: Floats) -> Floats:
    """Return the symmetric root R of a positive semi-definite matrix, R R = correlation.

    The symmetric root is unique, so that neither the sign convention of a LAPACK build nor a
    singular correlation (where Cholesky fails) changes a path.
    """
    values, vectors = np.linalg.eigh(correlation)
    return (vectors * np.sqrt(np.clip(values, 0.0, None))) @ vectors.T
