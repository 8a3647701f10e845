"""Multivariate Student t returns with a common scale: all assets calm, or all wild, for a bar.

The log return of a bar (an interval of several steps) is ``mean + sqrt(W) Z``, with Z normal of the
stated covariance and one ``W = (nu - 2) / chi2_nu`` for all assets, of mean 1: a multivariate t
with nu degrees of freedom and the stated covariance. Its tails fall like ``x^-nu``, and assets are
in them together even where their correlation is 0 (Demarta and McNeil 2005, The t copula and
related copulas; McNeil, Frey and Embrechts 2015, Quantitative Risk Management, section 6.2). Inside
a bar the price is a Brownian motion with W times the variance. Bars are independent.

The mean log return is ``drift - volatility^2 / 2`` a year. ``E[S_T]`` does not exist under a t in
the log price: in a sample it is whatever the largest draw makes of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from stress.market import Inside
from stress.market.gbm import log_drift, matrix_product, symmetric_root
from stress.market.mixing import Mixing
from stress.pytree import register_part
from stress.types import Floats, Precision

__all__ = ["Mixed", "StudentT", "in_bar"]


class Mixed(NamedTuple):
    """Where the bars are, and how wild this one is.

    Attributes
    ----------
    step
        (paths,) number of the last step; the same for all, one a path as every state is.
    mixing
        (paths,) W of the bar that the last step is in.
    """

    step: jax.Array
    mixing: jax.Array


@register_part
@dataclass(frozen=True)
class StudentT:
    """The model's constants for one step, in the precision of the run.

    Attributes
    ----------
    mean
        (assets,) mean of the log return of a step.
    covariance_root
        (assets, assets) symmetric root of the covariance of the log returns of a step.
    mixing
        Law of W.
    bar_steps
        Steps that share a W.
    """

    mean: jax.Array
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
        step_years: float,
        bar_steps: int,
        precision: Precision,
    ) -> StudentT:
        """Return the model from annual parameters.

        Parameters
        ----------
        volatility, drift
            (assets,) annual, a year has 365 days; ``volatility`` is the standard deviation.
        correlation
            (assets, assets) of the log returns, positive semi-definite.
        degrees_of_freedom
            Above 2.
        step_years
            Length of a step in years.
        bar_steps
            Steps that share a W.
        precision
            Floating point type of the paths.
        """
        deviation = volatility * np.sqrt(step_years)
        root = deviation[:, None] * symmetric_root(correlation)
        mean = log_drift(volatility, drift, step_years)
        dtype = jnp.dtype(precision)
        return cls(
            mean=jnp.asarray(mean, dtype),
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
        return state, self.mean[:, None] + jnp.sqrt(state.mixing)[None] * shock

    def inside(self, state: Mixed) -> Inside:
        """Return what the step that ended in this state was like inside."""
        root = jnp.sqrt(state.mixing)[None, None] * self.covariance_root[:, :, None]
        return Inside(root, jnp.zeros((self.assets, 1), root.dtype))


def in_bar(state: Mixed, mixing: Mixing, bar_steps: int, keys: jax.Array) -> Mixed:
    """Return the state one step on, with a new W where a bar begins."""
    # all paths are at the same step: a condition on one of them, and no draw in other steps
    drawn = jax.lax.cond(
        state.step[0] % bar_steps == 0,
        lambda: mixing.draw(keys),
        lambda: state.mixing,
    )
    return Mixed(state.step + 1, drawn)
