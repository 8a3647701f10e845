"""What a stress scenario lays over a price model: moves, and maps of the returns around their mean.

The log return r of step t becomes ``r + (map_t - 1) (r - mean) + shift_t + jump_t``. Maps multiply
volatilities and change correlations, shifts spread a move or a drift over steps, jumps fall at once
at the end of a step. The wrapped model walks on as if nothing happened: its state does not see the
overlay, and outside of it the returns are the model's to the last digit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from stress.market import Inside, ModelSource
from stress.market.gbm import matrix_product, symmetric_root
from stress.market.wrapped import Along, Wrapped
from stress.pytree import register_part
from stress.types import Floats, Integers, Precision

__all__ = ["Laid", "Overlaid", "OverlaidSource", "Steps", "correlation_map", "lay"]


class Steps(NamedTuple):
    """Overlays as plain arrays, step t in row t - 1.

    Attributes
    ----------
    mean
        (assets,) mean of the model's log return of a step, around which maps act.
    shift, jump
        (steps, assets) what is added to the log return of each step: in the course of it, and at
        its end.
    maps
        (maps, assets, assets) the maps that differ from one, each once; none where none does.
    which
        (steps,) row of ``maps`` of each step, -1 where returns stay what they are.
    """

    mean: Floats
    shift: Floats
    jump: Floats
    maps: Floats
    which: Integers


class Laid(NamedTuple):
    """The same on the device, in the precision of the run.

    ``move`` (steps, assets) is shift and jump together. ``jump`` has no rows where nothing falls at
    once. ``twists`` (1 + maps, assets, assets) are maps less one, the first zero; none at all where
    no step has a map. ``twist`` (steps,) is the row of each step.
    """

    mean: jax.Array
    move: jax.Array
    jump: jax.Array
    twists: jax.Array
    twist: jax.Array


@register_part
@dataclass(frozen=True)
class Overlaid(Wrapped):
    """A price model under overlays.

    Attributes
    ----------
    laid
        The overlays.
    """

    laid: Laid

    def step(self, state: Along, normals: jax.Array, keys: jax.Array) -> tuple[Along, jax.Array]:
        """Return the next state and the (assets, paths) log return of one step."""
        own, log_return = self.model.step(state.own, normals, keys)
        after = Along(own, state.step + 1)
        around = log_return - self.laid.mean[:, None]
        moved = self._row(self.laid.move, after)[:, None]
        return after, log_return + self._twisted(after, around) + moved

    def inside(self, state: Along) -> Inside:
        """Return what the step was like inside: the model's root and jump through the map."""
        root, jump = super().inside(state)
        columns = root.reshape(root.shape[0], -1)
        root = root + self._twisted(state, columns).reshape(root.shape)
        jump = jump + self._twisted(state, jump)
        if self.laid.jump.shape[0]:
            # one column for all paths would say that no step of this model has a jump
            jump = jnp.broadcast_to(jump + self._jump(state), (self.assets, *state.step.shape))
        return Inside(root, jump)

    def extremes(self, state: Along) -> tuple[jax.Array, jax.Array]:
        """Return the logs of the step's low and high relative to the price at its end.

        They are the model's, as far away as volatility is multiplied, seen from behind the jump.
        """
        low, high = super().extremes(state)
        jump = self._jump(state)
        if self.laid.twists.shape[0]:
            wider = 1 + jnp.diagonal(self._row(self.laid.twists, state, self.laid.twist))[:, None]
            low, high = low * wider, high * wider
        return jnp.minimum(low - jump, 0), jnp.maximum(high - jump, 0)

    def _jump(self, state: Along) -> jax.Array:
        """Return (assets, 1) what the overlays add to the log return at the end of the step."""
        if not self.laid.jump.shape[0]:
            return jnp.zeros((self.assets, 1), self.laid.move.dtype)
        return self._row(self.laid.jump, state)[:, None]

    def _twisted(self, state: Along, returns: jax.Array) -> jax.Array:
        """Return what the step's map adds to (assets, columns) returns around their mean."""
        if not self.laid.twists.shape[0]:
            return jnp.zeros_like(returns)
        twist = self._row(self.laid.twists, state, self.laid.twist)
        return matrix_product(twist, returns)

    def _row(self, table: jax.Array, state: Along, index: jax.Array | None = None) -> jax.Array:
        """Return a table's row of the step that ended here; beyond the horizon the last."""
        place = jnp.minimum(state.step[0], self.laid.move.shape[0]) - 1
        return table[place if index is None else index[place]]


@dataclass(frozen=True)
class OverlaidSource:
    """The models of another source under the same overlays."""

    source: ModelSource
    laid: Laid

    def block(self, numbers: Integers) -> Overlaid:
        """Return the model of the paths with these numbers."""
        return Overlaid(self.source.block(numbers), self.laid)


def lay(steps: Steps, precision: Precision) -> Laid:
    """Return overlays in the precision of a run."""
    dtype = jnp.dtype(precision)
    size = len(steps.mean)
    twists = np.zeros((0, size, size))
    if len(steps.maps):
        twists = np.concatenate([np.zeros((1, size, size)), steps.maps - np.eye(size)])
    return Laid(
        mean=jnp.asarray(steps.mean, dtype),
        move=jnp.asarray(steps.shift + steps.jump, dtype),
        jump=jnp.asarray(steps.jump if steps.jump.any() else steps.jump[:0], dtype),
        twists=jnp.asarray(twists, dtype),
        twist=jnp.asarray(steps.which + 1, jnp.int32),
    )


def correlation_map(deviation: Floats, usual: Floats, wanted: Floats) -> Floats:
    """Return the map under which returns have another correlation and the same variances.

    ``D R' R^-1 D^-1`` with D the deviations and R, R' the symmetric roots of the two correlations:
    what comes in with covariance ``D R R D`` goes out with ``D R' R' D``.

    Parameters
    ----------
    deviation
        (assets,) standard deviations of the returns, in any unit.
    usual
        (assets, assets) correlation that they have, positive definite.
    wanted
        (assets, assets) correlation that they get, positive semi-definite.
    """
    turned = np.linalg.solve(symmetric_root(usual), symmetric_root(wanted)).T
    return deviation[:, None] * turned / deviation
