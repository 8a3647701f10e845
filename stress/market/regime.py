"""Markov switching between regimes of volatility and correlation.

A regime holds for an interval. At the beginning of each the next one is drawn from the row of the
present one in the transition matrix, the first from the initial distribution; in regime k the log
return of a step is normal with mean ``(drift - volatility^2 / 2) dt`` and covariance
``volatility_ka volatility_kb correlation_kab dt`` (Hamilton 1989, with a chain that the prices do
not depend on). The mean is the same in all regimes: only the spread switches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from stress.market import Inside
from stress.market.gbm import log_drift, matrix_product, symmetric_root
from stress.pytree import register_part
from stress.types import Floats, Precision

__all__ = ["RegimeSwitching", "Switching"]

_SCALE = 2**31
"""Probabilities as integers: 31 random bits lie below ``p * 2^31`` with a probability that is off
by at most 2.4e-10, and never or always where p is 0 or 1."""


class Switching(NamedTuple):
    """Which regime each path is in.

    Attributes
    ----------
    step
        (paths,) steps taken; the same for all, one a path as every state is.
    regime
        (paths,) number of the regime of the interval; one beyond the last before the start.
    """

    step: jax.Array
    regime: jax.Array


@register_part
@dataclass(frozen=True)
class RegimeSwitching:
    """The model's constants for one step, in the precision of the run.

    Attributes
    ----------
    mean
        (assets,) mean of the log return of a step, in every regime.
    roots
        (regimes, assets, assets) symmetric roots of the covariance of a step.
    covariance_root
        (assets, assets) the same of the whole, from the total volatility and correlation.
    thresholds
        (regimes + 1, regimes - 1) cumulative probabilities of the next regime times 2^31, one row a
        present regime; the last row is that of the start.
    bar_steps
        Steps in an interval.
    """

    mean: jax.Array
    roots: jax.Array
    covariance_root: jax.Array
    thresholds: jax.Array
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
        volatilities: Floats,
        correlations: Sequence[Floats],
        transition: Floats,
        initial: Floats,
    ) -> RegimeSwitching:
        """Return the model from annual parameters.

        Parameters
        ----------
        volatility, drift
            (assets,) annual, a year has 365 days; ``volatility`` is the total one, around which the
            mean is set.
        correlation
            (assets, assets) the total one.
        step_years
            Length of a step in years.
        bar_steps
            Steps in an interval, through which a regime holds.
        precision
            Floating point type of the paths.
        volatilities
            (regimes, assets) annual.
        correlations
            (regimes, assets, assets) positive semi-definite.
        transition
            (regimes, regimes) probabilities of the next regime, one row a present one.
        initial
            (regimes,) probabilities of the first regime.

        Raises
        ------
        ValueError
            If probabilities are negative or do not sum to 1.
        """
        chances = np.vstack([transition, initial])
        if (chances < 0).any() or not np.allclose(chances.sum(axis=1), 1.0, rtol=0, atol=1e-6):
            raise ValueError("probabilities of the regimes must be at least 0 and sum to 1")
        deviations = np.asarray(volatilities) * np.sqrt(step_years)
        roots = [
            deviation[:, None] * symmetric_root(np.asarray(matrix))
            for deviation, matrix in zip(deviations, correlations, strict=True)
        ]
        whole = (volatility * np.sqrt(step_years))[:, None] * symmetric_root(correlation)
        dtype = jnp.dtype(precision)
        return cls(
            mean=jnp.asarray(log_drift(volatility, drift, step_years), dtype),
            roots=jnp.asarray(np.stack(roots), dtype),
            covariance_root=jnp.asarray(whole, dtype),
            thresholds=jnp.asarray(_thresholds(chances), jnp.uint32),
            bar_steps=bar_steps,
        )

    @property
    def assets(self) -> int:
        """Number of assets."""
        return self.mean.shape[0]

    def init(self, paths: jax.Array) -> Switching:
        """Return the state at time 0: no regime yet."""
        before = jnp.full(paths.shape, self.roots.shape[0], jnp.int32)
        return Switching(jnp.zeros(paths.shape, jnp.int32), before)

    def step(
        self, state: Switching, normals: jax.Array, keys: jax.Array
    ) -> tuple[Switching, jax.Array]:
        """Return the next state and the (assets, paths) log return of one step."""
        regime = jax.lax.cond(
            state.step[0] % self.bar_steps == 0,
            lambda: self._next(state.regime, keys),
            lambda: state.regime,
        )
        # every regime's shock, of which one is kept: for a few regimes less than a root a path
        shock = matrix_product(self.roots[0], normals)
        for number in range(1, self.roots.shape[0]):
            other = matrix_product(self.roots[number], normals)
            shock = jnp.where(regime == number, other, shock)
        return Switching(state.step + 1, regime), self.mean[:, None] + shock

    def inside(self, state: Switching) -> Inside:
        """Return the roots of the regimes that the step was in."""
        roots = jnp.moveaxis(self.roots[state.regime], 0, 2)
        return Inside(roots, jnp.zeros((self.assets, 1), roots.dtype))

    def _next(self, regime: jax.Array, keys: jax.Array) -> jax.Array:
        """Return the (paths,) regimes of the interval that begins."""
        bits = jax.vmap(lambda key: jax.random.bits(key, (), jnp.uint32))(keys) >> 1
        # as a sum of comparisons: the number of cumulative probabilities that are passed
        passed = bits[:, None] >= self.thresholds[regime]
        return passed.sum(axis=1, dtype=jnp.int32)


def _thresholds(chances: Floats) -> Floats:
    """Return (rows, regimes - 1) cumulative probabilities times 2^31, rounded."""
    cumulative = np.cumsum(chances / chances.sum(axis=1, keepdims=True), axis=1)[:, :-1]
    return np.rint(np.clip(cumulative, 0.0, 1.0) * _SCALE)
