"""A price model stepped as the engine steps it, with its state after every step."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from stress.keys import MARKET, MODEL, path_keys, step_keys, step_normals

__all__ = ["Stepped", "drawn_keys", "stepped"]

Stepped = tuple[Any, jax.Array, jax.Array]


def drawn_keys(paths: int, steps: int, seed: int | jax.Array) -> jax.Array:
    """Return the (steps, paths) keys that a model gets."""
    numbers = jnp.arange(paths, dtype=jnp.uint32)
    return step_keys(path_keys(seed, MODEL, numbers), jnp.arange(steps) + 1)


def stepped(model: Any, *, steps: int, paths: int, seed: int) -> Stepped:
    """Return states (steps, ...), log returns and normals, both (steps, assets, paths).

    Compiled once for models of one kind, and steps and paths of one number.
    """
    return _stepped(model, jnp.asarray(seed, jnp.uint32), steps=steps, paths=paths)


@partial(jax.jit, static_argnames=("steps", "paths"))
def _stepped(model: Any, seed: jax.Array, *, steps: int, paths: int) -> Stepped:
    numbers = jnp.arange(paths, dtype=jnp.uint32)
    at = jnp.arange(steps) + 1
    normals = step_normals(path_keys(seed, MARKET, numbers), at, model.assets)
    normals = normals.astype(model.mean.dtype)

    def one(state: Any, drawn: tuple[jax.Array, jax.Array]) -> tuple[Any, Any]:
        state, log_return = model.step(state, *drawn)
        return state, (state, log_return)

    drawn = (normals, drawn_keys(paths, steps, seed))
    states, returns = jax.lax.scan(one, model.init(numbers), drawn)[1]
    return states, returns, normals
