"""Stationary block bootstrap of whole cross-sections (Politis and Romano 1994).

Every bar of a path is a bar of the history, with the returns of all assets that it had; blocks of
consecutive bars keep the clustering of volatility. Nothing is drawn that has not happened: the
worst bar is the worst of the history.
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from stress.market import Inside
from stress.market.gbm import symmetric_root
from stress.market.resampled import BarInside, InBar, RowDraw, rows_at
from stress.pytree import register_part
from stress.types import Floats, Precision

__all__ = ["BlockBootstrap"]


@register_part
@dataclass(frozen=True)
class BlockBootstrap:
    """The rows of a history and how they are drawn, in the precision of the run.

    Attributes
    ----------
    returns
        (rows, assets) log returns of a bar.
    deviation
        (rows, assets) standard deviations of a step inside each bar.
    draw
        Which row is next.
    bar
        The inside of a bar.
    """

    returns: jax.Array
    deviation: jax.Array
    draw: RowDraw
    bar: BarInside

    @classmethod
    def build(
        cls,
        *,
        returns: Floats,
        deviation: Floats,
        correlation: Floats,
        bar_steps: int,
        block: float,
        precision: Precision,
    ) -> BlockBootstrap:
        """Return the model of a history.

        Parameters
        ----------
        returns
            (rows, assets) log returns of consecutive bars, with the mean that they shall have.
        deviation
            (rows, assets) standard deviation of the log returns inside each bar, of a whole bar;
            not read where a bar is one step.
        correlation
            (assets, assets) of the log returns inside a bar, positive semi-definite.
        bar_steps
            Steps in a bar.
        block
            Mean length of a block in bars, at least 1.
        precision
            Floating point type of the paths.
        """
        dtype = jnp.dtype(precision)
        return cls(
            returns=jnp.asarray(returns, dtype),
            deviation=jnp.asarray(deviation / np.sqrt(bar_steps), dtype),
            draw=RowDraw.build(len(returns), block),
            bar=BarInside(jnp.asarray(symmetric_root(correlation), dtype), bar_steps),
        )

    @property
    def assets(self) -> int:
        """Number of assets."""
        return self.returns.shape[1]

    @property
    def covariance_root(self) -> jax.Array:
        """(assets, assets) root of the mean covariance inside a step; NaN where a bar is a step."""
        return self.bar.covariance_root(jnp.sqrt(jnp.mean(self.deviation**2, axis=0)))

    def init(self, paths: jax.Array) -> InBar:
        """Return the state at time 0."""
        zeros = jnp.zeros(paths.shape, jnp.int32)
        nothing = jnp.zeros((self.assets, *paths.shape), self.returns.dtype)
        return InBar(zeros, zeros, nothing, nothing)

    def step(self, state: InBar, normals: jax.Array, keys: jax.Array) -> tuple[InBar, jax.Array]:
        """Return the state and the (assets, paths) log return of one step."""

        def begin() -> tuple[jax.Array, ...]:
            row = self.draw.next(state.row, state.step[0] == 0, keys)
            return row, rows_at(self.returns, row), rows_at(self.deviation, row)

        row, left, deviation = self.bar.begins(state.step, begin, state[1:])
        log_return = self.bar.walk(state.step, left, deviation, normals)
        return InBar(state.step + 1, row, left - log_return, deviation), log_return

    def inside(self, state: InBar) -> Inside:
        """Return what the step was like inside: the bar's own variance, no jump."""
        root = self.bar.covariance_root(state.deviation)
        return Inside(root, jnp.zeros((self.assets, 1), root.dtype))
