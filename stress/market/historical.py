"""Historical windows: path i is window i of the history, bar by bar as it happened.

Nothing is drawn but, where the history is coarser than the step, what happens inside a bar.
Windows may overlap: paths are then not independent, and intervals must say so
(``stress.stats.confidence``).
"""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from stress.market import Inside
from stress.market.gbm import symmetric_root
from stress.market.resampled import BarInside, InBar, rows_at
from stress.pytree import register_part
from stress.types import Floats, Integers, Precision

__all__ = ["HistoricalWindows", "WindowsWithExtremes"]


@register_part
@dataclass(frozen=True)
class HistoricalWindows:
    """The rows of a history and where its windows begin, in the precision of the run.

    Attributes
    ----------
    returns
        (rows, assets) log returns of a bar.
    deviation
        (rows, assets) standard deviations of a step inside each bar.
    first
        (windows,) first row of each window. A path beyond the last window, which only pads a
        block, is the last one.
    bar
        The inside of a bar.
    """

    returns: jax.Array
    deviation: jax.Array
    first: jax.Array
    bar: BarInside

    @classmethod
    def build(
        cls,
        *,
        returns: Floats,
        deviation: Floats,
        correlation: Floats,
        first: Integers,
        bar_steps: int,
        precision: Precision,
    ) -> HistoricalWindows:
        """Return the model of a history; parameters as ``BlockBootstrap.build`` and above."""
        dtype = jnp.dtype(precision)
        return cls(
            returns=jnp.asarray(returns, dtype),
            deviation=jnp.asarray(deviation / np.sqrt(bar_steps), dtype),
            first=jnp.asarray(first, jnp.int32),
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
        """Return the state at time 0: before the first row of each path's window."""
        last = jnp.asarray(self.first.shape[0] - 1, paths.dtype)
        nothing = jnp.zeros((self.assets, *paths.shape), self.returns.dtype)
        steps = jnp.zeros(paths.shape, jnp.int32)
        return InBar(steps, self.first[jnp.minimum(paths, last)] - 1, nothing, nothing)

    def step(self, state: InBar, normals: jax.Array, keys: jax.Array) -> tuple[InBar, jax.Array]:
        """Return the state and the (assets, paths) log return of one step."""

        def begin() -> tuple[jax.Array, ...]:
            row = state.row + 1
            return row, rows_at(self.returns, row), rows_at(self.deviation, row)

        row, left, deviation = self.bar.begins(state.step, begin, state[1:])
        log_return = self.bar.walk(state.step, left, deviation, normals)
        return InBar(state.step + 1, row, left - log_return, deviation), log_return

    def inside(self, state: InBar) -> Inside:
        """Return what the step was like inside: the bar's own variance, no jump."""
        root = self.bar.covariance_root(state.deviation)
        return Inside(root, jnp.zeros((self.assets, 1), root.dtype))


@register_part
@dataclass(frozen=True)
class WindowsWithExtremes(HistoricalWindows):
    """Windows of a history that knows how far prices went inside each bar, a step long.

    Attributes
    ----------
    low, high
        (rows, assets) log of the bar's low and high over its close, low <= 0 <= high.
    """

    low: jax.Array
    high: jax.Array

    @classmethod
    def of(cls, windows: HistoricalWindows, low: Floats, high: Floats) -> WindowsWithExtremes:
        """Return the same windows with the (rows, assets) extremes of their bars."""
        dtype = windows.returns.dtype
        return cls(
            returns=windows.returns,
            deviation=windows.deviation,
            first=windows.first,
            bar=windows.bar,
            low=jnp.asarray(low, dtype),
            high=jnp.asarray(high, dtype),
        )

    def extremes(self, state: InBar) -> tuple[jax.Array, jax.Array]:
        """Return (assets, paths) log low and high of the step that ended, over its end."""
        return rows_at(self.low, state.row), rows_at(self.high, state.row)
