"""Skewed t returns: the variable that makes a bar wild also moves its mean, so crashes are heavier.

In standard deviations of a bar's log return, ``X = b (V - EV) + sqrt(V) Z'`` with ``V ~
InvGamma(nu/2, nu/2)`` common to all assets, ``EV = nu / (nu - 2)``, ``var V = 2 nu^2 / ((nu - 2)^2
(nu - 4))`` and ``Cov Z' = (C - var V b b') / EV``, so that X has mean 0 and the stated correlation
C: the skewed t of the generalised hyperbolic family (Demarta and McNeil 2005, section 4; McNeil,
Frey and Embrechts 2015, Quantitative Risk Management, section 6.2.3). Where ``b < 0`` the left tail
falls like ``x^(-nu/2)`` and the right one exponentially; with ``b = 0`` it is the Student t. It is
written here with ``W = V / EV``, of mean 1: ``X = b EV (W - 1) + sqrt(W) Z``, ``Cov Z = C - var V b
b'``.

Inside a bar the part ``b EV (W - 1)`` is spread evenly over its steps; Z is Brownian. The mean log
return is ``drift - volatility^2 / 2`` a year.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np

from stress.market import Inside
from stress.market.gbm import log_drift, matrix_product, symmetric_root
from stress.market.mixing import Mixing
from stress.market.student_t import Mixed, in_bar
from stress.pytree import register_part
from stress.types import Floats, Precision

__all__ = ["SkewedT"]

_SLACK = -1e-9
"""Least eigenvalue of a correlation that is forgiven as rounding."""


@register_part
@dataclass(frozen=True)
class SkewedT:
    """The model's constants for one step, in the precision of the run.

    Attributes
    ----------
    mean
        (assets,) mean of the log return of a step.
    slope
        (assets,) move of that mean per unit of ``W - 1``.
    covariance_root
        (assets, assets) symmetric root of the covariance of a step's log returns where W is 1.
    mixing
        Law of W.
    bar_steps
        Steps that share a W.
    """

    mean: jax.Array
    slope: jax.Array
    covariance_root: jax.Array
    mixing: Mixing
    bar_steps: int = field(metadata={"static": True})

    @classmethod
    def build(
        cls,
        *,
        volatility: Floats,
        drift: Floats,
        correlation: Floats,
        degrees_of_freedom: float,
        skewness: Floats,
        step_years: float,
        bar_steps: int,
        precision: Precision,
    ) -> SkewedT:
        """Return the model from annual parameters.

        Parameters
        ----------
        volatility, drift
            (assets,) annual, a year has 365 days; ``volatility`` is the standard deviation of the
            whole return of a bar, annualised.
        correlation
            (assets, assets) of the log returns of a bar, positive semi-definite.
        degrees_of_freedom
            Above 4.
        skewness
            (assets,) b, in standard deviations of a bar's return.
        step_years
            Length of a step in years.
        bar_steps
            Steps that share a W.
        precision
            Floating point type of the paths.

        Raises
        ------
        ValueError
            The skewed part alone varies more than the stated correlation allows.
        """
        centre = degrees_of_freedom / (degrees_of_freedom - 2)
        spread = 2 * centre**2 / (degrees_of_freedom - 4)
        rest = correlation - spread * skewness[:, None] * skewness
        least = float(np.linalg.eigvalsh(rest)[0])
        if least < _SLACK:
            raise ValueError(
                "the skewed part varies more than the returns do: correlation less "
                f"{spread:.4g} times the product of the skewnesses has an eigenvalue of {least:.4g}"
                "; bring skewness nearer to 0 or alike between correlated assets, or raise "
                "degrees_of_freedom"
            )
        deviation = volatility * np.sqrt(step_years)
        root = deviation[:, None] * symmetric_root(rest)
        mean = log_drift(volatility, drift, step_years)
        # a bar's deviation over its number of steps
        slope = skewness * centre * deviation / np.sqrt(bar_steps)
        dtype = jnp.dtype(precision)
        return cls(
            mean=jnp.asarray(mean, dtype),
            slope=jnp.asarray(slope, dtype),
            covariance_root=jnp.asarray(root, dtype),
            mixing=Mixing.build(degrees_of_freedom=degrees_of_freedom, precision=precision),
            bar_steps=bar_steps,
        )

    @property
    def assets(self) -> int:
        """Number of assets."""
        return self.mean.shape[0]

    def init(self, paths: jax.Array) -> Mixed:
        """Return the state at time 0."""
        return Mixed(jnp.zeros(paths.shape, jnp.int32), jnp.ones(paths.shape, self.mean.dtype))

    def step(self, state: Mixed, normals: jax.Array, keys: jax.Array) -> tuple[Mixed, jax.Array]:
        """Return the state and the (assets, paths) log return of one step."""
        state = in_bar(state, self.mixing, self.bar_steps, keys)
        shock = matrix_product(self.covariance_root, normals)
        mean = self.mean[:, None] + self.slope[:, None] * (state.mixing - 1)[None]
        return state, mean + jnp.sqrt(state.mixing)[None] * shock

    def inside(self, state: Mixed) -> Inside:
        """Return what the step that ended in this state was like inside."""
        root = jnp.sqrt(state.mixing)[None, None] * self.covariance_root[:, :, None]
        return Inside(root, jnp.zeros((self.assets, 1), root.dtype))
