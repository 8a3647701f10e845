"""Price models under another law than their own, which know what they did: for rare events.

A path has a component: its Brownian motion drifts so that at the horizon it stands, in the mean, at
a whitened terminal state z, and what else is random may be tilted. ``footprint`` says after each
step what the densities of all components over the model's depend on (``engine.weighted``).

With the clock ``C_i = sum W`` of the first i steps (W the variance of a step as a multiple of the
stated one; 1 unless the model mixes) and ``T = C_n``, the normals of a step are shifted by ``z
sqrt(n W) / T``: of all shifts that lead to z the likeliest, given the clock. The density is
``exp(z . A_i - |z|^2 c_i / 2)`` with ``A_i = (sqrt n / T) sum sqrt(W) Z`` and ``c_i = n C_i / T^2``
(Girsanov). Student's t draws all its W before the first step, so that T is known.

Tilts are built from events that are rare under the model and of which one is enough. **Student's
t**: one bar, drawn in proportion to its length, has a W beyond a threshold; the density is ``mean
over bars of 1{W_b beyond} / P(W beyond)``, a mixture over the bar of laws conditioned on it.
**Jumps**: one jump beyond a threshold is added at a step drawn evenly; the density after i steps
is ``N_i / (rate T P(beyond)) + 1 - i / n``, N_i the number of such jumps so far (Mecke's formula:
Last and Penrose 2017, Lectures on the Poisson process, theorem 4.1). Both bound every second moment
of an event that lies beyond the threshold, whatever the tails (Juneja and Shahabuddin 2002).

Where several jumps and the Brownian motion together do it, all of them drift: Esscher's transform
multiplies the law of a path by ``exp(z . Y_i - cost i / n)``, Y the whitened log return with its
jumps, less its mean without them. The Brownian motion drifts to z, jumps of process p come ``M_p =
E[exp(eta_p J)]`` times as often, ``eta_p = z . (whitened exposure)``, and their sizes have the
density multiplied by ``exp(eta_p J) / M_p``: another law of the same family.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jax.scipy.special import ndtr, ndtri

from stress.keys import MODEL, path_keys
from stress.market.gbm import GeometricBrownianMotion, matrix_product
from stress.market.jump_diffusion import DoubleExponentialSizes, JumpDiffusion, NormalSizes
from stress.market.mixing import fine_uniform, laplace
from stress.market.student_t import StudentT
from stress.pytree import register_part

__all__ = [
    "Beyond",
    "Footprint",
    "JumpLaws",
    "TiltedGBM",
    "TiltedJumps",
    "TiltedModel",
    "TiltedStudentT",
]

_BEFORE = 0
"""Number that is folded into a path's key for what is drawn before the first step: steps are
numbered from 1."""


class Footprint(NamedTuple):
    """What a path has done by the end of a step.

    Attributes
    ----------
    place
        (assets, paths) the Brownian motion, whitened: independent, of variance ``C_i / n``; with
        the jumps, whitened alike.
    variance
        (paths,) ``T / n``, its variance at the horizon; known from the start.
    clock
        (paths,) ``C_i / T``, the share of it that has passed.
    scale
        (paths,) W of the last step.
    jump
        (assets, paths) part of the last step's log return that fell at its end, (assets, 0) where
        no step has one.
    ratio
        (tilts, paths) density of each tilt over the model, given what has happened so far; row 0 is
        that of the model, 1.
    """

    place: jax.Array
    variance: jax.Array
    clock: jax.Array
    scale: jax.Array
    jump: jax.Array
    ratio: jax.Array


class TiltedModel(Protocol):
    """A price model that leaves footprints; its arrays are those of one block of paths."""

    @property
    def assets(self) -> int:
        """Number of assets."""
        ...

    @property
    def covariance_root(self) -> jax.Array:
        """(assets, assets) root of the covariance of a step whose W is 1, without jumps."""
        ...

    def init(self, paths: jax.Array) -> Any:
        """Return the state at time 0."""
        ...

    def step(self, state: Any, normals: jax.Array, keys: jax.Array) -> tuple[Any, jax.Array]:
        """Return the next state and the (assets, paths) log return."""
        ...

    def footprint(self, state: Any) -> Footprint:
        """Return what the paths in this state have done."""
        ...


def _before(seed: jax.Array, paths: jax.Array, count: int) -> jax.Array:
    """Return (count, paths) uniforms of what is drawn before the first step."""
    keys = jax.vmap(jax.random.fold_in, in_axes=(0, None))(path_keys(seed, MODEL, paths), _BEFORE)
    return jax.vmap(lambda key: fine_uniform(key, (count,)), out_axes=1)(keys)


class _Drifting(NamedTuple):
    """``step`` (paths,) number of the last step; ``place`` as in ``Footprint``."""

    step: jax.Array
    place: jax.Array


@register_part
@dataclass(frozen=True)
class TiltedGBM:
    """Geometric Brownian motion that drifts toward a state.

    Attributes
    ----------
    model
        The model.
    target
        (assets, paths) whitened terminal state that each path drifts toward.
    steps
        Number of steps of the horizon.
    """

    model: GeometricBrownianMotion
    target: jax.Array
    steps: int = field(metadata={"static": True})

    @property
    def assets(self) -> int:
        """Number of assets."""
        return self.model.assets

    @property
    def covariance_root(self) -> jax.Array:
        """(assets, assets) that of the model."""
        return self.model.covariance_root

    def init(self, paths: jax.Array) -> _Drifting:
        """Return the state at time 0."""
        return _Drifting(jnp.zeros(paths.shape, jnp.int32), jnp.zeros_like(self.target))

    def step(
        self, state: _Drifting, normals: jax.Array, keys: jax.Array
    ) -> tuple[_Drifting, jax.Array]:
        """Return the next state and the (assets, paths) log return."""
        per_step = self.steps**-0.5
        normals = normals + per_step * self.target
        _, log_return = self.model.step((), normals, keys)
        return _Drifting(state.step + 1, state.place + per_step * normals), log_return

    def footprint(self, state: _Drifting) -> Footprint:
        """Return what the paths in this state have done."""
        one = jnp.ones_like(state.place[0])
        passed = state.step.astype(one.dtype) / self.steps
        none = jnp.zeros((self.assets, 0), one.dtype)
        return Footprint(state.place, one, passed, one, none, one[None])


class _Mixed(NamedTuple):
    """State of ``TiltedStudentT``.

    ``step`` (paths,), ``place`` as in ``Footprint``, ``passed`` (paths,) the clock so far in steps;
    ``mixing`` (bars, paths) every bar's W, ``total`` (paths,) the clock at the horizon in steps,
    ``ratio`` (tilts, paths).
    """

    step: jax.Array
    place: jax.Array
    passed: jax.Array
    mixing: jax.Array
    total: jax.Array
    ratio: jax.Array


@register_part
@dataclass(frozen=True)
class TiltedStudentT:
    """Student's t with one wild bar, drifting toward a state.

    Attributes
    ----------
    model
        The model.
    target
        (assets, paths) whitened terminal state that each path drifts toward.
    tilt
        (paths,) index of each path's tilt; 0 is none.
    threshold
        (tilts,) Laplace coordinate beyond which the wild bar's W lies, at least 0
        (``market.mixing``); that of tilt 0 is not looked at.
    seed
        The scenario's.
    steps
        Number of steps of the horizon.
    """

    model: StudentT
    target: jax.Array
    tilt: jax.Array
    threshold: jax.Array
    seed: jax.Array
    steps: int = field(metadata={"static": True})

    @property
    def assets(self) -> int:
        """Number of assets."""
        return self.model.assets

    @property
    def covariance_root(self) -> jax.Array:
        """(assets, assets) that of the model."""
        return self.model.covariance_root

    @property
    def bars(self) -> int:
        """Number of bars; the last may be shorter."""
        return -(-self.steps // self.model.bar_steps)

    def init(self, paths: jax.Array) -> _Mixed:
        """Return the state at time 0: all bars are drawn."""
        bars, dtype = self.bars, self.target.dtype
        uniform = _before(self.seed, paths, 2 * bars + 2)
        coordinate = laplace(uniform[:bars], uniform[bars : 2 * bars])
        place, extra = uniform[2 * bars], -jnp.log(uniform[2 * bars + 1])
        # in proportion to the steps of a bar
        step = jnp.floor(place * self.steps).astype(jnp.int32)
        wild = jnp.minimum(step // self.model.bar_steps, bars - 1)
        is_wild = jnp.arange(bars, dtype=jnp.int32)[:, None] == wild[None]
        beyond = (self.threshold[self.tilt] + extra)[None]
        coordinate = jnp.where(is_wild & (self.tilt > 0)[None], beyond, coordinate)
        mixing = self.model.mixing.at(coordinate)
        first = jnp.arange(bars) * self.model.bar_steps
        length = jnp.minimum(self.steps - first, self.model.bar_steps).astype(dtype)
        nothing = jnp.zeros_like(mixing[0])
        return _Mixed(
            step=jnp.zeros(paths.shape, jnp.int32),
            place=jnp.zeros_like(self.target),
            passed=nothing,
            mixing=mixing,
            total=(length[:, None] * mixing).sum(axis=0),
            ratio=self._ratio(coordinate, length / self.steps),
        )

    def _ratio(self, coordinate: jax.Array, share: jax.Array) -> jax.Array:
        """Return (tilts, paths) densities, given every bar's coordinate and its share of time."""
        beyond = coordinate[None] >= self.threshold[:, None, None]
        # P(x beyond a threshold of at least 0) = exp(-threshold) / 2
        density = 2 * jnp.exp(self.threshold.astype(share.dtype))[:, None]
        mean = jnp.where(beyond, share[None, :, None], 0).sum(axis=1) * density
        return mean.at[0].set(1)

    def step(self, state: _Mixed, normals: jax.Array, keys: jax.Array) -> tuple[_Mixed, jax.Array]:
        """Return the next state and the (assets, paths) log return."""
        bar = jnp.minimum(state.step[0] // self.model.bar_steps, self.bars - 1)
        scale = state.mixing[bar]
        shift = (self.steps * scale) ** 0.5 / state.total
        moved = jnp.sqrt(scale)[None] * (normals + shift[None] * self.target)
        log_return = self.model.mean[:, None] + matrix_product(self.covariance_root, moved)
        return state._replace(
            step=state.step + 1,
            place=state.place + self.steps**-0.5 * moved,
            passed=state.passed + scale,
        ), log_return

    def footprint(self, state: _Mixed) -> Footprint:
        """Return what the paths in this state have done."""
        bar = jnp.clip((state.step[0] - 1) // self.model.bar_steps, 0, self.bars - 1)
        return Footprint(
            place=state.place,
            variance=state.total / self.steps,
            clock=state.passed / state.total,
            scale=state.mixing[bar],
            jump=jnp.zeros((self.assets, 0), state.place.dtype),
            ratio=state.ratio,
        )


class _Jumped(NamedTuple):
    """State of ``TiltedJumps``.

    ``step`` (paths,); ``place`` as in ``Footprint``; ``when``, ``process`` and ``size`` (slots,
    paths) of all jumps of the path, -1 where there is none; ``jump`` (assets, paths) of the last
    step; ``seen`` (tilts, paths) jumps beyond each threshold so far.
    """

    step: jax.Array
    place: jax.Array
    when: jax.Array
    process: jax.Array
    size: jax.Array
    jump: jax.Array
    seen: jax.Array


class Beyond(NamedTuple):
    """Jumps beyond a threshold, one class a tilt; tilt 0 is none, and no jump is in its class.

    Attributes
    ----------
    process
        (tilts,) 0 for jumps of all assets, a + 1 for those of asset a alone.
    side
        (tilts,) 1 for jumps above the threshold, -1 for jumps below it.
    threshold
        (tilts,) of the size; of Kou's law on the side of the jumps.
    expected
        (tilts,) mean number of such jumps over the horizon under the model.
    """

    process: jax.Array
    side: jax.Array
    threshold: jax.Array
    expected: jax.Array

    def holds(self, process: jax.Array, size: jax.Array) -> jax.Array:
        """Return (..., tilts, paths) whether (..., paths) jumps are in each class."""
        side = self.side[:, None]
        is_beyond = side * size[..., None, :] >= side * self.threshold[:, None]
        return is_beyond & (process[..., None, :] == self.process[:, None])


class JumpLaws(NamedTuple):
    """The laws of the jumps of a path, one for each drift; row 0 is the model's.

    Attributes
    ----------
    drift
        (laws, assets) the drifts.
    exceeding
        (laws, slots) probability of more than 0, 1, ... jumps over the horizon.
    shares
        (laws, processes) probability that a jump belongs to this process or one before it.
    sizes
        Of (laws, processes) numbers.
    """

    drift: jax.Array
    exceeding: jax.Array
    shares: jax.Array
    sizes: NormalSizes | DoubleExponentialSizes


@register_part
@dataclass(frozen=True)
class TiltedJumps:
    """A jump diffusion that drifts, jumps and all, toward a state, or has one jump more.

    Attributes
    ----------
    model
        The model.
    whiten
        (assets, processes) what a jump of size 1 adds to the whitened terminal state.
    laws
        Of the jumps.
    beyond
        The classes of jumps that are added.
    law, tilt
        (paths,) index of each path's law and of its class of jumps; 0 is the model, and none.
    seed
        The scenario's.
    steps
        Number of steps of the horizon.
    """

    model: JumpDiffusion
    whiten: jax.Array
    laws: JumpLaws
    beyond: Beyond
    law: jax.Array
    tilt: jax.Array
    seed: jax.Array
    steps: int = field(metadata={"static": True})

    @property
    def assets(self) -> int:
        """Number of assets."""
        return self.model.assets

    @property
    def covariance_root(self) -> jax.Array:
        """(assets, assets) that of the model."""
        return self.model.covariance_root

    def init(self, paths: jax.Array) -> _Jumped:
        """Return the state at time 0: all jumps are drawn."""
        slots = self.laws.exceeding.shape[1]
        uniform = _before(self.seed, paths, 4 * slots + 3)
        number, moment, extent = uniform[0], uniform[1], uniform[2]
        when, kind, side, tail = uniform[3:].reshape(4, slots, paths.shape[0])
        there = number[None] < self.laws.exceeding[self.law].T
        above = kind[:, None] > self.laws.shares[self.law][:, :-1].T[None]
        process = jnp.where(there, above.sum(axis=1, dtype=jnp.int32), -1)
        size = _sizes(self.laws.sizes, self.law, jnp.maximum(process, 0), side, tail)
        # the one more, where there is one
        more = jnp.where(self.tilt > 0, self.beyond.process[self.tilt], -1)
        how_large = _size_beyond(self.model.sizes, extent, self.tilt, self.beyond)
        dtype = self.model.mean.dtype
        nothing = jnp.zeros((self.assets, *paths.shape), dtype)
        return _Jumped(
            step=jnp.zeros(paths.shape, jnp.int32),
            place=nothing,
            when=self._step_of(jnp.concatenate([when, moment[None]])),
            process=jnp.concatenate([process, more[None]]),
            size=jnp.concatenate([size, jnp.where(self.tilt > 0, how_large, 0)[None]]),
            jump=nothing,
            seen=jnp.zeros((self.beyond.side.shape[0], *paths.shape), dtype),
        )

    def _step_of(self, uniform: jax.Array) -> jax.Array:
        """Return (...) the step at whose end a jump falls, counted from 0, all alike."""
        step = jnp.floor(uniform * self.steps).astype(jnp.int32)
        return jnp.minimum(step, self.steps - 1)

    def step(
        self, state: _Jumped, normals: jax.Array, keys: jax.Array
    ) -> tuple[_Jumped, jax.Array]:
        """Return the next state and the (assets, paths) log return."""
        per_step = self.steps**-0.5
        normals = normals + per_step * self.laws.drift[self.law].T
        shock = matrix_product(self.covariance_root, normals)
        processes = self.whiten.shape[1]
        zero = jnp.zeros((processes, state.place.shape[1]), state.place.dtype)
        which = jnp.arange(processes, dtype=jnp.int32)[:, None]

        # one slot after the other: (slots, tilts, paths) would be large
        def add(carry: tuple[jax.Array, jax.Array], slot: Any) -> tuple[Any, None]:
            moved, seen = carry
            when, process, size = slot
            process = jnp.where(when == state.step, process, -1)
            moved = moved + jnp.where(process[None] == which, size[None], 0)
            return (moved, seen + self.beyond.holds(process, size).astype(seen.dtype)), None

        slots = (state.when, state.process, state.size)
        (moved, seen), _ = jax.lax.scan(add, (zero, state.seen), slots, unroll=4)
        jump = self.model.exposure[:, None] * moved[:1] + moved[1:]
        place = state.place + per_step * normals + matrix_product(self.whiten, moved)
        after = state._replace(step=state.step + 1, place=place, jump=jump, seen=seen)
        return after, self.model.mean[:, None] + shock + jump

    def footprint(self, state: _Jumped) -> Footprint:
        """Return what the paths in this state have done."""
        one = jnp.ones_like(state.place[0])
        passed = state.step.astype(one.dtype) / self.steps
        ratio = state.seen / self.beyond.expected[:, None] + (1 - passed)[None]
        return Footprint(state.place, one, passed, one, state.jump, ratio.at[0].set(1))


def _sizes(
    sizes: Any, law: jax.Array, process: jax.Array, side: jax.Array, tail: jax.Array
) -> jax.Array:
    """Return (slots, paths) sizes of jumps from two uniforms each."""
    at = (law[None], process)
    if isinstance(sizes, NormalSizes):
        mean, deviation = (jnp.asarray(each)[at] for each in (sizes.mean, sizes.deviation))
        # Box and Muller (1958)
        angle = (2 * jnp.pi) * side.astype(mean.dtype)
        return mean + deviation * jnp.sqrt(-2 * jnp.log(tail).astype(mean.dtype)) * jnp.cos(angle)
    assert isinstance(sizes, DoubleExponentialSizes)
    up, down = (jnp.asarray(each)[at] for each in (sizes.up_mean, sizes.down_mean))
    share = jnp.asarray(sizes.up_probability)[at]
    return jnp.where(side.astype(share.dtype) < share, up, -down) * -jnp.log(tail).astype(up.dtype)


def _size_beyond(sizes: Any, uniform: jax.Array, tilt: jax.Array, beyond: Beyond) -> jax.Array:
    """Return (paths,) sizes of jumps, each drawn beyond the threshold of its tilt."""
    process, side = beyond.process[tilt], beyond.side[tilt]
    threshold = beyond.threshold[tilt]
    if isinstance(sizes, NormalSizes):
        mean, deviation = (jnp.asarray(each)[process] for each in (sizes.mean, sizes.deviation))
        # the tail below its threshold, where a normal's inverse has all its digits
        tail = ndtr(-side * (threshold - mean) / deviation)
        size = mean - side * deviation * ndtri(uniform.astype(tail.dtype) * tail)
        # rounding must not put it on the wrong side
        return jnp.where(side > 0, jnp.maximum(size, threshold), jnp.minimum(size, threshold))
    assert isinstance(sizes, DoubleExponentialSizes)
    up, down = (jnp.asarray(each)[process] for each in (sizes.up_mean, sizes.down_mean))
    extent = -jnp.log(uniform).astype(up.dtype)
    return threshold + side * jnp.where(side > 0, up, down) * extent
