"""GJR-GARCH(1,1) of each asset, tied together by a correlation and a common mixing variable.

Over an interval ("bar") an asset's demeaned log return is ``e = sqrt(h W) x`` with ``x`` standard
normal and correlated as stated, ``W`` one draw for all assets, scaled inverse gamma of mean 1: so
``sqrt(W) x`` is multivariate t of unit variance. The next variance is

``h' = omega + (alpha + gamma 1[e < 0]) e^2 + beta h``

(Glosten, Jagannathan and Runkle 1993; constant conditional correlation, Bollerslev 1990), with
``omega = volatility^2 bar (1 - alpha - gamma / 2 - beta)``, so that ``E h`` tends to the stated
variance: the innovations are symmetric, and half of the squares come after a fall. The variance
lives on the interval; the steps inside share ``h W`` equally. ``correlation`` is that of the
innovations: that of the returns is a little smaller where the variances differ.
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

__all__ = ["Clustered", "Garch"]


class Clustered(NamedTuple):
    """Where each path's variance stands.

    Attributes
    ----------
    step
        (paths,) steps taken; the same for all, one a path as every state is.
    variance
        (assets, paths) ``h`` of the present interval.
    earned
        (assets, paths) demeaned log return of the interval so far.
    deviation
        (assets, paths) standard deviation of a step of the interval, ``sqrt(h W / steps)``.
    """

    step: jax.Array
    variance: jax.Array
    earned: jax.Array
    deviation: jax.Array


@register_part
@dataclass(frozen=True)
class Garch:
    """The model's constants, in the precision of the run.

    Attributes
    ----------
    mean
        (assets,) mean of the log return of a step.
    root
        (assets, assets) symmetric root of the correlation of the innovations.
    covariance_root
        (assets, assets) root of the unconditional covariance of a step.
    omega, alpha, gamma, beta
        (assets,) weights; ``omega`` is a variance of an interval.
    initial
        (assets,) variance of the first interval.
    mixing
        Law of W.
    bar_steps
        Steps in an interval.
    """

    mean: jax.Array
    root: jax.Array
    covariance_root: jax.Array
    omega: jax.Array
    alpha: jax.Array
    gamma: jax.Array
    beta: jax.Array
    initial: jax.Array
    mixing: Mixing
    bar_steps: int = field(metadata={"static": True})

    @classmethod
    def build(
        cls,
        *,
        volatility: Floats,
        drift: Floats,
        correlation: Floats,
        step_years: float,
        bar_steps: int,
        precision: Precision,
        degrees_of_freedom: float,
        alpha: Floats,
        gamma: Floats,
        beta: Floats,
        initial_volatility: Floats,
    ) -> Garch:
        """Return the model from annual parameters.

        Parameters
        ----------
        volatility, drift
            (assets,) annual, a year has 365 days; ``volatility`` is the unconditional one.
        correlation
            (assets, assets) positive semi-definite, of the innovations.
        step_years
            Length of a step in years.
        bar_steps
            Steps in an interval.
        precision
            Floating point type of the paths.
        degrees_of_freedom
            Of the innovations, above 2.
        alpha, gamma, beta
            (assets,) weights of the last square, of the last square of a fall, and of the last
            variance.
        initial_volatility
            (assets,) annual, of the first interval.

        Raises
        ------
        ValueError
            If a weight is negative, or they are so large that the variance has no mean.
        """
        lasting = 1 - alpha - gamma / 2 - beta
        if min(alpha.min(), (alpha + gamma).min(), beta.min()) < 0:
            raise ValueError("alpha, alpha + gamma and beta must be at least 0")
        if lasting.min() <= 0:
            raise ValueError("alpha + gamma / 2 + beta must be below 1")
        bar_years = step_years * bar_steps
        root = symmetric_root(correlation)
        dtype = jnp.dtype(precision)
        return cls(
            mean=jnp.asarray(log_drift(volatility, drift, step_years), dtype),
            root=jnp.asarray(root, dtype),
            covariance_root=jnp.asarray((volatility * np.sqrt(step_years))[:, None] * root, dtype),
            omega=jnp.asarray(volatility**2 * bar_years * lasting, dtype),
            alpha=jnp.asarray(alpha, dtype),
            gamma=jnp.asarray(gamma, dtype),
            beta=jnp.asarray(beta, dtype),
            initial=jnp.asarray(initial_volatility**2 * bar_years, dtype),
            mixing=Mixing.build(degrees_of_freedom=degrees_of_freedom, precision=precision),
            bar_steps=bar_steps,
        )

    @property
    def assets(self) -> int:
        """Number of assets."""
        return self.mean.shape[0]

    def init(self, paths: jax.Array) -> Clustered:
        """Return the state at time 0."""
        nothing = jnp.zeros((self.assets, *paths.shape), self.mean.dtype)
        steps = jnp.zeros(paths.shape, jnp.int32)
        return Clustered(steps, nothing + self.initial[:, None], nothing, nothing)

    def step(
        self, state: Clustered, normals: jax.Array, keys: jax.Array
    ) -> tuple[Clustered, jax.Array]:
        """Return the next state and the (assets, paths) log return of one step."""
        state = jax.lax.cond(
            state.step[0] % self.bar_steps == 0,
            lambda: self._next(state, keys),
            lambda: state,
        )
        shock = state.deviation * matrix_product(self.root, normals)
        after = state._replace(step=state.step + 1, earned=state.earned + shock)
        return after, self.mean[:, None] + shock

    def inside(self, state: Clustered) -> Inside:
        """Return the roots of the interval that the step was in."""
        root = self.root[:, :, None] * state.deviation[:, None, :]
        return Inside(root, jnp.zeros((self.assets, 1), root.dtype))

    def _next(self, state: Clustered, keys: jax.Array) -> Clustered:
        """Return the state at the beginning of an interval: its variance and its draw of W.

        From the return of the interval before, so that at the end of a step the state still says
        what the step was like inside.
        """
        weight = self.alpha[:, None] + jnp.where(state.earned < 0, self.gamma[:, None], 0)
        variance = self.omega[:, None] + weight * state.earned**2
        variance = variance + self.beta[:, None] * state.variance
        variance = jnp.where(state.step > 0, variance, state.variance)
        drawn = self.mixing.draw(keys)
        return Clustered(
            step=state.step,
            variance=variance,
            earned=jnp.zeros_like(state.earned),
            deviation=jnp.sqrt(variance * drawn[None] / self.bar_steps),
        )
