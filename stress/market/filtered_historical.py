"""Filtered historical simulation (Barone-Adesi, Giannopoulos and Vosper 1999).

The history's returns are divided by what a GJR-GARCH filter said of their volatility on the day;
rows of these residuals, all assets together, are drawn again and multiplied by the volatility that
the same recursion has reached on the path:

``e = sqrt(h) z``, ``h' = omega + (alpha + gamma 1[e < 0]) e^2 + beta h``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from stress.market import Inside
from stress.market.gbm import symmetric_root
from stress.market.resampled import BarInside, InBar, RowDraw, rows_at
from stress.pytree import register_part
from stress.types import Floats, Precision

__all__ = ["Filtered", "FilteredHistorical"]


class Filtered(NamedTuple):
    """Where the paths stand.

    Attributes
    ----------
    place
        In the bar.
    variance
        (assets, paths) h of that bar.
    residual
        (assets, paths) e of that bar.
    """

    place: InBar
    variance: jax.Array
    residual: jax.Array


@register_part
@dataclass(frozen=True)
class FilteredHistorical:
    """Residuals and the recursion of their variance, in the precision of the run.

    Attributes
    ----------
    residuals
        (rows, assets) z, of mean 0 and variance 1.
    mean
        (assets,) mean log return of a bar.
    omega, alpha, gamma, beta
        (assets,) of the recursion, of a bar.
    initial
        (assets,) h of the first bar.
    draw
        Which row is next.
    bar
        The inside of a bar.
    """

    residuals: jax.Array
    mean: jax.Array
    omega: jax.Array
    alpha: jax.Array
    gamma: jax.Array
    beta: jax.Array
    initial: jax.Array
    draw: RowDraw
    bar: BarInside

    @classmethod
    def build(
        cls,
        *,
        residuals: Floats,
        mean: Floats,
        omega: Floats,
        alpha: Floats,
        gamma: Floats,
        beta: Floats,
        initial: Floats,
        correlation: Floats,
        bar_steps: int,
        block: float,
        precision: Precision,
    ) -> FilteredHistorical:
        """Return the model; arrays as above, the rest as ``BlockBootstrap.build``."""
        dtype = jnp.dtype(precision)
        return cls(
            residuals=jnp.asarray(residuals, dtype),
            mean=jnp.asarray(mean, dtype),
            omega=jnp.asarray(omega, dtype),
            alpha=jnp.asarray(alpha, dtype),
            gamma=jnp.asarray(gamma, dtype),
            beta=jnp.asarray(beta, dtype),
            initial=jnp.asarray(initial, dtype),
            draw=RowDraw.build(len(residuals), block),
            bar=BarInside(jnp.asarray(symmetric_root(correlation), dtype), bar_steps),
        )

    @property
    def assets(self) -> int:
        """Number of assets."""
        return self.residuals.shape[1]

    @property
    def covariance_root(self) -> jax.Array:
        """(assets, assets) root of the covariance inside a step of the first bar.

        NaN where a bar is a step.
        """
        return self.bar.covariance_root(self._deviation(self.initial))

    def init(self, paths: jax.Array) -> Filtered:
        """Return the state at time 0."""
        zeros = jnp.zeros(paths.shape, jnp.int32)
        nothing = jnp.zeros((self.assets, *paths.shape), self.residuals.dtype)
        start = jnp.broadcast_to(self.initial[:, None], nothing.shape)
        return Filtered(InBar(zeros, zeros, nothing, nothing), start, nothing)

    def step(
        self, state: Filtered, normals: jax.Array, keys: jax.Array
    ) -> tuple[Filtered, jax.Array]:
        """Return the state and the (assets, paths) log return of one step."""
        place = state.place

        def begin() -> tuple[jax.Array, ...]:
            is_first = place.step[0] == 0
            row = self.draw.next(place.row, is_first, keys)
            variance = jnp.where(is_first, state.variance, self._next_variance(state))
            residual = jnp.sqrt(variance) * rows_at(self.residuals, row)
            left = self.mean[:, None] + residual
            return row, left, self._deviation(variance), variance, residual

        old = (*place[1:], state.variance, state.residual)
        row, left, deviation, variance, residual = self.bar.begins(place.step, begin, old)
        log_return = self.bar.walk(place.step, left, deviation, normals)
        place = InBar(place.step + 1, row, left - log_return, deviation)
        return Filtered(place, variance, residual), log_return

    def inside(self, state: Filtered) -> Inside:
        """Return what the step was like inside: the bar's own variance, no jump."""
        root = self.bar.covariance_root(self._deviation(state.variance))
        return Inside(root, jnp.zeros((self.assets, 1), root.dtype))

    def _next_variance(self, state: Filtered) -> jax.Array:
        fell = jnp.where(state.residual < 0, self.gamma[:, None], 0)
        weight = self.alpha[:, None] + fell
        news = self.omega[:, None] + weight * state.residual**2
        return news + self.beta[:, None] * state.variance

    def _deviation(self, variance: jax.Array) -> jax.Array:
        """Return the standard deviations of a step of a bar."""
        return jnp.sqrt(variance) * float(np.sqrt(1 / self.bar.steps))
