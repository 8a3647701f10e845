"""Random streams: who draws what, from which key, at which counter.

A path's key is ``fold_in(fold_in(key(seed), stream), path)``. Its normals are functions of that key
and of a counter, (step, pair of assets), as in Salmon, Moraes, Dror and Shaw (2011), "Parallel
random numbers: as easy as 1, 2, 3": one block of Threefry-2x32 with 20 rounds gives two words, the
transform of Box and Muller (1958) two normals. A normal thus depends on the seed, the stream, its
path, its step and its asset, and on nothing else, so that neither the chunk nor the number of
paths, of assets or of steps changes it. What a model draws besides comes from ``fold_in(path's key,
step)`` and ``jax.random``.

Rounds, logarithm, sine and cosine are written out, as polynomials of Cephes in single precision
(Moshier 1989): XLA makes one loop of them, where JAX's own Threefry is a loop of rounds on a CPU
and its normals are five times slower. Normals are always drawn in float32 and cast afterwards.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

__all__ = ["BRIDGE", "MARKET", "MODEL", "path_keys", "step_keys", "step_normals", "threefry"]

MARKET = 0
"""Stream of the normals that drive the price model."""
BRIDGE = 1
"""Stream of the Brownian bridges between two steps."""
MODEL = 2
"""Stream of what a price model draws besides its normals."""

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
"""Of Threefry-2x32, four rounds each in turn (Salmon et al. 2011, table 2)."""
_PARITY = 0x1BD11BDA
"""Skein's constant: the third word of a key of zeros."""
_SLAB = 8
"""Steps drawn at once; no number depends on it."""

_LOGARITHM = (
    7.0376836292e-2,
    -1.1514610310e-1,
    1.1676998740e-1,
    -1.2420140846e-1,
    1.4249322787e-1,
    -1.6668057665e-1,
    2.0000714765e-1,
    -2.4999993993e-1,
    3.3333331174e-1,
)
"""``(log(1 + m) - m + m^2 / 2) / m^3``, ``sqrt(1/2) < 1 + m < sqrt(2)``; Cephes, ``logf``."""
_SINE = (-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1)
"""``(sin(x) - x) / x^3`` in x^2, ``|x| < pi / 4``; Cephes, ``sinf``."""
_COSINE = (2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2)
"""``(cos(x) - 1 + x^2 / 2) / x^4`` in x^2, the same."""


def path_keys(seed: int | jax.Array, stream: int, paths: jax.Array) -> jax.Array:
    """Return one key a path, (paths,), of a stream.

    Parameters
    ----------
    seed
        The scenario's seed, 0 to 2^32 - 1.
    stream
        ``MARKET``, ``BRIDGE`` or ``MODEL``.
    paths
        (paths,) path numbers, unsigned 32-bit.
    """
    # named explicitly because draws of other generators change under ``vmap`` or sharding
    root = jax.random.fold_in(jax.random.key(seed, impl="threefry2x32"), stream)
    return jax.vmap(jax.random.fold_in, in_axes=(None, 0))(root, paths)


def step_keys(keys: jax.Array, steps: jax.Array) -> jax.Array:
    """Return (steps, paths) keys: each path's key folded with each step number."""
    over_paths = jax.vmap(jax.random.fold_in, in_axes=(0, None))
    return jax.vmap(over_paths, in_axes=(None, 0))(keys, steps)


def step_normals(keys: jax.Array, steps: jax.Array, count: int) -> jax.Array:
    """Return (steps, count, paths) independent standard normals in float32.

    At most 6.8 in size, which a normal exceeds once in 10^11 draws.

    Parameters
    ----------
    keys
        (paths,) as ``path_keys`` gives them.
    steps
        (steps,) step numbers, from 0 to 2^32 - 1.
    count
        Normals a step and path. Each is the same however many there are.
    """
    paths, pairs = keys.shape[0], -(-count // 2)
    slabs = -(-steps.shape[0] // _SLAB)
    first, second = (word[None, None] for word in _words_of(keys))
    pair = jnp.arange(pairs, dtype=jnp.uint32)[None, :, None]

    def draw(steps: jax.Array) -> jax.Array:
        step = steps[:, None, None]
        return _normal_pairs(*threefry(first, second, step, pair))

    padded = jnp.pad(steps.astype(jnp.uint32), (0, slabs * _SLAB - steps.shape[0]))
    # a loop, because both normals of a pair would be computed for each where XLA may merge their
    # drawing with what reads them apart
    drawn = jax.lax.map(draw, padded.reshape(slabs, _SLAB))
    drawn = drawn.reshape(slabs * _SLAB, pairs, paths)[: steps.shape[0]]
    both = jnp.stack([drawn.real, drawn.imag], axis=2)
    return both.reshape(steps.shape[0], 2 * pairs, paths)[:, :count]


def threefry(
    first: jax.Array, second: jax.Array, high: jax.Array, low: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Return the two words of Threefry-2x32 with 20 rounds; shapes broadcast, of equal rank.

    Parameters
    ----------
    first, second
        Words of the key, unsigned 32-bit.
    high, low
        Words of the counter.
    """
    key = (first, second, first ^ second ^ jnp.uint32(_PARITY))
    high, low = high + key[0], low + key[1]
    for group in range(5):
        for turn in _ROTATIONS[group % 2]:
            high = high + low
            low = high ^ ((low << jnp.uint32(turn)) | (low >> jnp.uint32(32 - turn)))
        high = high + key[(group + 1) % 3]
        low = low + key[(group + 2) % 3] + jnp.uint32(group + 1)
    return high, low


def _words_of(keys: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return the (paths,) words of keys."""
    data = jax.random.key_data(keys)
    return data[:, 0], data[:, 1]


def _normal_pairs(radial: jax.Array, angular: jax.Array) -> jax.Array:
    """Return two independent standard normals of two words, as real and imaginary part.

    Box and Muller (1958): ``sqrt(-2 log u) (cos t, sin t)``, u in (0, 1] with 32 bits, never 0. Two
    bits of the angle's word choose the quadrant; thirty, and a half behind them, so that t and -t
    are equally likely, the place in it.
    """
    uniform = (radial.astype(jnp.float32) + 0.5) * jnp.float32(2.0**-32)
    radius = jnp.sqrt(-2 * _logarithm(uniform))
    eighth = ((angular << jnp.uint32(2)) | jnp.uint32(2)).astype(jnp.int32)
    sine, cosine = _sine_and_cosine(eighth.astype(jnp.float32) * jnp.float32(np.pi / 4 * 2.0**-31))
    is_opposite = (angular >> jnp.uint32(31)) != 0
    is_turned = (angular & jnp.uint32(1 << 30)) != 0
    radius = jnp.where(is_opposite, -radius, radius)
    across, along = jnp.where(is_turned, sine, cosine), jnp.where(is_turned, cosine, sine)
    return jax.lax.complex(radius * across, radius * along)


def _logarithm(uniform: jax.Array) -> jax.Array:
    """Return the logarithm of float32 numbers in (0, 1], to 1e-7 of it."""
    bits = jax.lax.bitcast_convert_type(uniform, jnp.int32)
    # how often 2 is in the number, counted from sqrt(1/2)
    power = (bits - jnp.int32(0x3F3504F3)) >> 23
    rest = jax.lax.bitcast_convert_type(bits - (power << 23), jnp.float32) - 1
    near = rest + rest * rest * (rest * _polynomial(_LOGARITHM, rest) - 0.5)
    return power.astype(jnp.float32) * jnp.float32(np.log(2)) + near


def _sine_and_cosine(angle: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return both of float32 angles within an eighth of a turn, to 1e-7."""
    square = angle * angle
    sine = angle + angle * square * _polynomial(_SINE, square)
    cosine = 1 - 0.5 * square + square * square * _polynomial(_COSINE, square)
    return sine, cosine


def _polynomial(coefficients: tuple[float, ...], at: jax.Array) -> jax.Array:
    """Return a polynomial, the highest power first (Horner)."""
    value = jnp.full_like(at, coefficients[0])
    for coefficient in coefficients[1:]:
        value = value * at + coefficient
    return value
