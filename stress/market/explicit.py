"""Price models all of whose draws are continuous functions of given normals.

A key's draw is a hash: the nearest keys give quite other jumps. Whoever wants to move a path a
little needs what the model draws besides its normals as normals too. The extra ones stand behind
those of the assets, in rows of their own, and reach the model's law by its quantiles; what is drawn
has the model's law exactly, but is not what the model draws from a key.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import log_ndtr, ndtr
from scipy.special import pdtrc

from stress.market import Inside, PriceModel, inside
from stress.market.garch import Garch
from stress.market.gbm import matrix_product
from stress.market.jump_diffusion import DoubleExponentialSizes, JumpDiffusion, NormalSizes
from stress.market.mixing import Mixing
from stress.market.overlay import Overlaid
from stress.market.skewed_t import SkewedT
from stress.market.student_t import StudentT
from stress.pytree import register_part

__all__ = ["explicit"]

_NEGLIGIBLE = 1e-10
"""Probability of more jumps in a step than there is room for, as in the model."""

_MOST = 400
"""More jumps in a step than the model allows."""


def explicit(model: PriceModel) -> tuple[PriceModel, int]:
    """Return the model with its draws as normals, and how many more rows of normals it takes.

    A model that has no such form is returned as it is, with none: it goes on drawing from its keys.
    """
    if isinstance(model, Overlaid):
        within, rows = explicit(model.model)
        return replace(model, model=within), rows
    if isinstance(model, StudentT | SkewedT | Garch):
        # which draws as a Mixing does, and is none
        carried: Any = _CarriedMixing(model.mixing)
        return ExplicitMixing(replace(model, mixing=carried)), 1
    if isinstance(model, JumpDiffusion):
        jumps = ExplicitJumps.of(model)
        return jumps, jumps.rows
    return model, 0


# --- a mixing variable ----------------------------------------------------------------------------


@register_part
@dataclass(frozen=True)
class _CarriedMixing:
    """The law of a mixing variable, drawn from "keys" whose first word is a normal's bits."""

    law: Mixing

    def draw(self, keys: jax.Array) -> jax.Array:
        """Return (paths,) W at the probabilities of the normals that the keys carry."""
        words = jax.random.key_data(keys)[:, 0]
        normal = jax.lax.bitcast_convert_type(words, jnp.float32)
        # the coordinate is -log of twice the tail, with the sign of the side
        size = -(jnp.float32(np.log(2)) + log_ndtr(-jnp.abs(normal)))
        return self.law.at(jnp.where(normal < 0, -size, size))


@register_part
@dataclass(frozen=True)
class ExplicitMixing:
    """A model with a mixing variable, which the last row of normals gives.

    ``model`` draws from a ``_CarriedMixing``.
    """

    model: Any

    @property
    def assets(self) -> int:
        """Number of assets."""
        return int(self.model.assets)

    @property
    def covariance_root(self) -> jax.Array:
        """(assets, assets) that of the model."""
        root: jax.Array = self.model.covariance_root
        return root

    def init(self, paths: jax.Array) -> Any:
        """Return the state at time 0."""
        return self.model.init(paths)

    def step(self, state: Any, normals: jax.Array, keys: jax.Array) -> tuple[Any, jax.Array]:
        """Return the state and the log return; ``normals`` is (assets + 1, paths)."""
        bits = jax.lax.bitcast_convert_type(normals[-1].astype(jnp.float32), jnp.uint32)
        data = jnp.stack([bits, jnp.zeros_like(bits)], axis=1)
        carrying = jax.random.wrap_key_data(data, impl="threefry2x32")
        stepped: tuple[Any, jax.Array] = self.model.step(state, normals[:-1], carrying)
        return stepped

    def inside(self, state: Any) -> Inside:
        """Return what the step was like inside: the model's."""
        return inside(self.model, state)


# --- jumps ----------------------------------------------------------------------------------------


class _Jumped(NamedTuple):
    """``jump`` (assets, paths) at the end of the last step."""

    jump: jax.Array


@register_part
@dataclass(frozen=True)
class ExplicitJumps:
    """A jump diffusion, step by step: how many jumps, and of each the process and the size.

    The number of jumps of a bar, dealt to its steps at random, is a Poisson number in each step.

    Attributes
    ----------
    model
        The model.
    exceeding
        (slots,) float32, the probability of more than 0, 1, ... jumps in a step.
    """

    model: JumpDiffusion
    exceeding: jax.Array

    @classmethod
    def of(cls, model: JumpDiffusion) -> ExplicitJumps:
        """Return the model with its draws as normals."""
        # the mean of a number is the sum of the probabilities that it is exceeded
        mean = float(np.asarray(model.exceeding, np.float64).sum()) / model.bar_steps
        exceeding = pdtrc(np.arange(_MOST), mean) if mean > 0 else np.zeros(0)
        return cls(model, jnp.asarray(exceeding[exceeding > _NEGLIGIBLE], jnp.float32))

    @property
    def rows(self) -> int:
        """Rows of normals behind those of the assets: the number, processes, sizes."""
        slots = self.exceeding.shape[0]
        return 1 + 2 * slots if slots else 0

    @property
    def assets(self) -> int:
        """Number of assets."""
        return self.model.assets

    @property
    def covariance_root(self) -> jax.Array:
        """(assets, assets) that of the model."""
        return self.model.covariance_root

    def init(self, paths: jax.Array) -> _Jumped:
        """Return the state at time 0."""
        return _Jumped(jnp.zeros((self.assets, *paths.shape), self.model.mean.dtype))

    def step(
        self, state: _Jumped, normals: jax.Array, keys: jax.Array
    ) -> tuple[_Jumped, jax.Array]:
        """Return the state and the log return; ``normals`` is (assets + rows, paths)."""
        model, assets = self.model, self.assets
        shock = matrix_product(model.covariance_root, normals[:assets])
        jump = self._jump(normals[assets:]) if self.rows else jnp.zeros_like(shock)
        return _Jumped(jump), model.mean[:, None] + shock + jump

    def inside(self, state: _Jumped) -> Inside:
        """Return what the step that ended in this state was like inside."""
        return Inside(self.model.covariance_root[:, :, None], state.jump)

    def _jump(self, normals: jax.Array) -> jax.Array:
        """Return the (assets, paths) sum of a step's jumps."""
        model, slots = self.model, self.exceeding.shape[0]
        number, kind, size = normals[0], normals[1 : 1 + slots], normals[1 + slots :]
        there = ndtr(number.astype(jnp.float32))[None] < self.exceeding[:, None]
        above = ndtr(kind.astype(jnp.float32))[None] > model.shares[:-1, None, None]
        process = above.sum(axis=0, dtype=jnp.int32)
        extent = jnp.where(there, _sizes(model.sizes, process, size), 0)
        total = jnp.zeros((self.assets, normals.shape[1]), extent.dtype)
        own = jnp.arange(1, self.assets + 1, dtype=jnp.int32)[:, None]
        # one after the other, so that the sum is the same whatever the number of paths
        for slot in range(slots):
            common = jnp.where(process[slot] == 0, extent[slot], 0)[None]
            alone = jnp.where(process[slot][None] == own, extent[slot][None], 0)
            total = total + model.exposure[:, None] * common + alone
        return total


def _sizes(law: object, process: jax.Array, normals: jax.Array) -> jax.Array:
    """Return (slots, paths) sizes of jumps of some processes at the normals' probabilities."""
    if isinstance(law, NormalSizes):
        return jnp.asarray(law.mean)[process] + jnp.asarray(law.deviation)[process] * normals
    assert isinstance(law, DoubleExponentialSizes)  # the two laws that there are
    up = jnp.asarray(law.up_probability)[process]
    below, beyond = jnp.log(1 - up), jnp.log(up)
    # up above the quantile of 1 - up, down below it; each tail as a share of its side
    falls = log_ndtr(normals) < below
    rise = jnp.asarray(law.up_mean)[process] * (beyond - log_ndtr(-normals))
    fall = jnp.asarray(law.down_mean)[process] * (log_ndtr(normals) - below)
    return jnp.where(falls, fall, jnp.maximum(rise, 0))
