"""Jump diffusion: Brownian motion, jumps of the whole market, and jumps of single assets.

The log price moves as ``dX = nu dt + L dB + exposure dJ_0 + dJ`` with independent compound Poisson
processes: J_0, common to all assets, and in J one of each. Their sizes are normal (Merton 1976,
Option pricing when underlying stock returns are discontinuous) or double exponential (Kou 2002, A
jump-diffusion model for option pricing). The total variance is the stated one: ``L L' = D C D -
rate_0 E[J_0^2] exposure exposure' - diag(rate_a E[J_a^2])`` with D the volatilities and C the
correlation. The jumps are compensated, ``nu_a = drift_a - (L L')_aa / 2 - sum of rate (E[exp(jump
of a)] - 1)``, so that ``E[S_T] = S_0 exp(drift T)``.

All processes together are one Poisson process, whose jumps belong to each in proportion to its
rate. The number in a bar of some steps is drawn by inverse CDF, up to one that is exceeded with
probability 1e-10; each jump falls on a step of the bar, all alike, and is added at its end. In
between the price is a Brownian motion: at the grid points the law is exact.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import pdtrc

from stress.market import Inside
from stress.market.gbm import matrix_product, symmetric_root
from stress.market.mixing import fine_uniform
from stress.pytree import register_part
from stress.types import Floats, Precision

__all__ = ["DoubleExponentialSizes", "JumpDiffusion", "JumpSizes", "NormalSizes"]

_SLACK = -1e-9
"""Least eigenvalue, relative to the largest variance, that is forgiven as rounding."""

_WANTED = 0.25
"""Mean number of jumps in a bar: as few slots as possible, and few draws."""
_LONGEST = 1 << 20
"""Most steps of a bar; where jumps are rarer than that, a bar has fewer of them."""
_MOST = 100.0
"""Most jumps a step on average: beyond, they are a diffusion, and slow."""
_NEGLIGIBLE = 1e-10
"""Probability of more jumps in a bar than there are slots."""


class JumpSizes(Protocol):
    """A law of the sizes of jumps, process by process; its numbers are (processes,) arrays."""

    def square(self) -> Floats:
        """Return (processes,) E[J^2]; on the host."""
        ...

    def growth(self, exposure: Floats) -> Floats:
        """Return E[exp(exposure J)] - 1, (..., processes) as the exposure is; on the host."""
        ...

    def draw(self, key: jax.Array, process: jax.Array) -> jax.Array:
        """Return (slots,) sizes of jumps of the (slots,) processes."""
        ...


@register_part
@dataclass(frozen=True)
class NormalSizes:
    """Merton's: normal with ``mean`` and ``deviation``."""

    mean: jax.Array | Floats
    deviation: jax.Array | Floats

    def square(self) -> Floats:
        """Return (processes,) E[J^2]."""
        return np.asarray(self.mean) ** 2 + np.asarray(self.deviation) ** 2

    def growth(self, exposure: Floats) -> Floats:
        """Return (..., processes) E[exp(exposure J)] - 1."""
        mean, deviation = np.asarray(self.mean), np.asarray(self.deviation)
        return np.expm1(exposure * mean + (exposure * deviation) ** 2 / 2)

    def draw(self, key: jax.Array, process: jax.Array) -> jax.Array:
        """Return (slots,) sizes of jumps of the (slots,) processes."""
        mean, deviation = jnp.asarray(self.mean), jnp.asarray(self.deviation)
        normal = jax.random.normal(key, process.shape, jnp.float32).astype(mean.dtype)
        return mean[process] + deviation[process] * normal


@register_part
@dataclass(frozen=True)
class DoubleExponentialSizes:
    """Kou's: up with ``up_probability`` by an exponential of mean ``up_mean``, or else down."""

    up_probability: jax.Array | Floats
    up_mean: jax.Array | Floats
    down_mean: jax.Array | Floats

    def square(self) -> Floats:
        """Return (processes,) E[J^2]."""
        up = np.asarray(self.up_probability)
        return 2 * (up * np.asarray(self.up_mean) ** 2 + (1 - up) * np.asarray(self.down_mean) ** 2)

    def growth(self, exposure: Floats) -> Floats:
        """Return (..., processes) E[exp(exposure J)] - 1, inf where a side's mean reaches 1."""
        up = np.asarray(self.up_probability)
        rise, fall = exposure * np.asarray(self.up_mean), -exposure * np.asarray(self.down_mean)
        finite = np.maximum(rise, fall) < 1
        rise, fall = np.where(finite, rise, 0.0), np.where(finite, fall, 0.0)
        # E[exp(k E)] - 1 = k / (1 - k) of an exponential of mean k
        return np.where(finite, up * rise / (1 - rise) + (1 - up) * fall / (1 - fall), np.inf)

    def draw(self, key: jax.Array, process: jax.Array) -> jax.Array:
        """Return (slots,) sizes of jumps of the (slots,) processes."""
        up_mean, down_mean = jnp.asarray(self.up_mean), jnp.asarray(self.down_mean)
        share = jnp.asarray(self.up_probability).astype(jnp.float32)
        side, tail = fine_uniform(key, (2, *process.shape))
        size = -jnp.log(tail).astype(up_mean.dtype)
        return jnp.where(side < share[process], up_mean[process], -down_mean[process]) * size


class Jumping(NamedTuple):
    """Where the bars are, and the jumps of this one.

    Attributes
    ----------
    step
        (paths,) number of the last step; the same for all, one a path as every state is.
    when
        (slots, paths) step of the bar at the end of which a jump falls; -1 for none.
    process
        (slots, paths) what jumps: 0 all assets, a + 1 asset a alone.
    size
        (slots, paths) of the log price.
    """

    step: jax.Array
    when: jax.Array
    process: jax.Array
    size: jax.Array


@register_part
@dataclass(frozen=True)
class JumpDiffusion:
    """The model's constants for one step, in the precision of the run.

    Attributes
    ----------
    mean
        (assets,) mean of a step's log return without jumps, compensation included.
    covariance_root
        (assets, assets) symmetric root of the covariance of a step's log returns without jumps.
    exposure
        (assets,) what a common jump is multiplied by.
    exceeding
        (slots,) probability of more than 0, 1, ... jumps in a bar.
    shares
        (processes,) probability that a jump belongs to this process or one before it.
    sizes
        Law of the sizes.
    bar_steps
        Steps whose jumps are drawn together.
    """

    mean: jax.Array
    covariance_root: jax.Array
    exposure: jax.Array
    exceeding: jax.Array
    shares: jax.Array
    sizes: JumpSizes
    bar_steps: int = field(metadata={"static": True})

    @classmethod
    def build(
        cls,
        *,
        volatility: Floats,
        drift: Floats,
        correlation: Floats,
        rate: Floats,
        exposure: Floats,
        sizes: JumpSizes,
        step_years: float,
        precision: Precision,
    ) -> JumpDiffusion:
        """Return the model from annual parameters.

        Parameters
        ----------
        volatility, drift
            (assets,) annual, a year has 365 days; ``volatility`` is that of the whole log return.
        correlation
            (assets, assets) of the whole log returns, positive semi-definite.
        rate
            (assets + 1,) jumps a year: common ones, then those of each asset alone.
        exposure
            (assets,) what a common jump is multiplied by.
        sizes
            Law of the sizes, in the order of ``rate``, in float64.
        step_years
            Length of a step in years.
        precision
            Floating point type of the paths.

        Raises
        ------
        ValueError
            The jumps alone vary more than the returns do, a jump's price has no mean, or there are
            very many jumps a step.
        """
        loading = np.column_stack([exposure, np.eye(len(exposure))])
        jumping = (loading * rate * sizes.square()) @ loading.T
        covariance = _diffusion(volatility, correlation, jumping)
        growth = _growth(rate, sizes.growth(loading))
        mean = (drift - np.diag(covariance) / 2 - growth) * step_years
        bar_steps, exceeding = _slots(float(rate.sum()) * step_years)
        shares = np.cumsum(rate) / rate.sum() if rate.sum() > 0 else np.ones(len(rate))
        dtype = jnp.dtype(precision)
        return cls(
            mean=jnp.asarray(mean, dtype),
            covariance_root=jnp.asarray(symmetric_root(covariance * step_years), dtype),
            exposure=jnp.asarray(exposure, dtype),
            exceeding=jnp.asarray(exceeding, jnp.float32),
            shares=jnp.asarray(shares, jnp.float32),
            sizes=jax.tree.map(lambda numbers: jnp.asarray(numbers, dtype), sizes),
            bar_steps=bar_steps,
        )

    @property
    def assets(self) -> int:
        """Number of assets."""
        return self.mean.shape[0]

    def init(self, paths: jax.Array) -> Jumping:
        """Return the state at time 0."""
        shape = (self.exceeding.shape[0], *paths.shape)
        nothing = jnp.zeros(shape, jnp.int32)
        start = jnp.zeros(paths.shape, jnp.int32)
        return Jumping(start, nothing - 1, nothing, jnp.zeros(shape, self.mean.dtype))

    def step(
        self, state: Jumping, normals: jax.Array, keys: jax.Array
    ) -> tuple[Jumping, jax.Array]:
        """Return the state and the (assets, paths) log return of one step."""
        # all paths are at the same step: a condition on one of them, and no draw in other steps
        begins = state.step[0] % self.bar_steps == 0
        draw = jax.vmap(self._draw, out_axes=1)
        jumps = jax.lax.cond(begins, lambda: draw(keys), lambda: state[1:])
        state = Jumping(state.step + 1, *jumps)
        shock = matrix_product(self.covariance_root, normals)
        return state, self.mean[:, None] + shock + self._jump(state)

    def inside(self, state: Jumping) -> Inside:
        """Return what the step that ended in this state was like inside."""
        return Inside(self.covariance_root[:, :, None], self._jump(state))

    def _draw(self, key: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Return when, process and size of the jumps of a bar of one path, (slots,) each."""
        slots = self.exceeding.shape
        number, moment, kind, extent = jax.random.split(key, 4)
        there = fine_uniform(number, ()) < self.exceeding
        step = jax.random.bits(moment, slots, jnp.uint32) % jnp.uint32(self.bar_steps)
        when = jnp.where(there, step.astype(jnp.int32), -1)
        # the last share is 1, which no draw is above
        above = fine_uniform(kind, slots)[None] > self.shares[:-1, None]
        process = above.sum(axis=0, dtype=jnp.int32)
        return when, process, self.sizes.draw(extent, process)

    def _jump(self, state: Jumping) -> jax.Array:
        """Return the (assets, paths) jump at the end of the last step."""
        now = (state.step - 1) % self.bar_steps
        process = jnp.where(state.when == now[None], state.process, -1)
        own = jnp.arange(1, self.assets + 1, dtype=jnp.int32)[:, None]

        def add(
            total: tuple[jax.Array, jax.Array], slot: tuple[jax.Array, jax.Array]
        ) -> tuple[tuple[jax.Array, jax.Array], None]:
            process, size = (each[None] for each in slot)
            of_all, alone = total
            of_all = of_all + jnp.where(process == 0, size, 0)
            return (of_all, alone + jnp.where(process == own, size, 0)), None

        # one after the other, so that the sum is the same whatever the number of paths
        zero = jnp.zeros((1, now.shape[0]), self.mean.dtype)
        nothing = jnp.zeros((self.assets, now.shape[0]), self.mean.dtype)
        of_all, alone = jax.lax.scan(add, (zero, nothing), (process, state.size), unroll=8)[0]
        return self.exposure[:, None] * of_all + alone


def _diffusion(volatility: Floats, correlation: Floats, jumping: Floats) -> Floats:
    """Return (assets, assets) the covariance a year that the jumps leave to the diffusion."""
    rest = volatility[:, None] * correlation * volatility - jumping
    least = float(np.linalg.eigvalsh(rest)[0])
    if least < _SLACK * float(np.max(volatility) ** 2):
        share = np.max(np.diag(jumping) / volatility**2)
        raise ValueError(
            "the jumps vary more than the returns do: they make up to "
            f"{share:.3g} of an asset's variance, and what they leave to the diffusion is no "
            f"covariance (least eigenvalue {least:.3g}); lower rates, sizes or exposures, or bring "
            "the exposures in line with the correlation"
        )
    return rest


def _growth(rate: Floats, growth: Floats) -> Floats:
    """Return (assets,) by how much a year's jumps raise the mean price, in logarithms.

    ``growth`` is (assets, processes), of one jump; of processes without jumps it does not matter.
    """
    summed = (rate * np.where(rate > 0, growth, 0.0)).sum(axis=1)
    if not np.isfinite(summed).all():
        raise ValueError(
            "the price after a jump has no mean: up_mean (down_mean, where an exposure is negative)"
            " times the exposure must be below 1"
        )
    return np.asarray(summed)


def _slots(mean: float) -> tuple[int, Floats]:
    """Return the steps of a bar, and (slots,) the probability of more than 0, 1, ... jumps in it.

    Parameters
    ----------
    mean
        Mean number of jumps in a step.
    """
    if mean > _MOST:
        raise ValueError(
            f"there are {mean:.4g} jumps a step on average, at most {_MOST:g} can be drawn; lower "
            "the rates or shorten simulation.step"
        )
    steps = int(np.clip(_WANTED / max(mean, _WANTED / _LONGEST), 1, _LONGEST))
    # Poisson: 100 jumps a step need 170 slots
    exceeding = pdtrc(np.arange(400), mean * steps) if mean > 0 else np.zeros(0)
    return steps, exceeding[exceeding > _NEGLIGIBLE]
