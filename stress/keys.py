"""Random streams: who draws what, from which key.

The key of a draw is ``fold_in(fold_in(fold_in(key(seed), stream), path), step)``: a path's digits
depend on the seed, the stream, its own number and the step, and on nothing else, so neither the
chunk, the number of paths nor the horizon changes them. Threefry is named explicitly because draws
of other generators change under ``vmap`` or sharding. Normals are always drawn in float32 and cast
afterwards: float32 and float64 draws of one key are different numbers.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

__all__ = ["BRIDGE", "MARKET", "MODEL", "path_keys", "step_keys", "step_normals"]

MARKET = 0
"""Stream of the normals that drive the price model."""
BRIDGE = 1
"""Stream of the Brownian bridges between two steps."""
MODEL = 2
"""Stream of what a price model draws besides its normals."""


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
    root = jax.random.fold_in(jax.random.key(seed, impl="threefry2x32"), stream)
    return jax.vmap(jax.random.fold_in, in_axes=(None, 0))(root, paths)


def step_keys(keys: jax.Array, steps: jax.Array) -> jax.Array:
    """Return (steps, paths) keys: each path's key folded with each step number."""
    over_paths = jax.vmap(jax.random.fold_in, in_axes=(0, None))
    return jax.vmap(over_paths, in_axes=(None, 0))(keys, steps)


def step_normals(keys: jax.Array, steps: jax.Array, count: int) -> jax.Array:
    """Return (steps, count, paths) independent standard normals in float32."""
    draw = jax.vmap(jax.vmap(lambda key: jax.random.normal(key, (count,), jnp.float32)))
    return jnp.swapaxes(draw(step_keys(keys, steps)), 1, 2)
