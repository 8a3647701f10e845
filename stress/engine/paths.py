"""Price paths: the normals of each path's own stream, the model's returns, their running sum."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp

from stress.engine.block import Schedule
from stress.keys import MARKET, MODEL, path_keys, step_keys, step_normals
from stress.market import PriceModel

__all__ = ["Walk", "price_paths", "walk"]

Walk: TypeAlias = tuple[Any, jax.Array]
"""The model's state, and log prices relative to the start, (assets, paths)."""

Leg: TypeAlias = tuple[jax.Array, Any]
"""Log prices relative to the start at the end of each step of a time block, (steps, assets, paths),
and what was looked at there, (steps, ...)."""


def _nothing(state: Any) -> None:
    return None


def walk(
    model: PriceModel,
    seed: jax.Array,
    paths: jax.Array,
    schedule: Schedule,
    look: Callable[[Any], Any] = _nothing,
) -> tuple[Walk, Callable[[Walk, jax.Array], tuple[Walk, Leg]]]:
    """Return the start of a walk and the function that takes it through one time block.

    The function maps ``(walk, block number)`` to ``(walk, leg)``.

    Parameters
    ----------
    look
        What is wanted of the model's state after each step besides prices.
    """
    dtype = jnp.dtype(schedule.precision)
    keys = path_keys(seed, MARKET, paths)
    # a key is used once: what the model draws for itself has a stream of its own
    model_keys = path_keys(seed, MODEL, paths)
    assets = model.assets

    def advance(state: Walk, number: jax.Array) -> tuple[Walk, Leg]:
        steps = number * schedule.block + jnp.arange(schedule.block) + 1
        normals = step_normals(keys, steps, assets).astype(dtype)

        # step by step, not as a product with a triangle of ones: its rounding would depend on
        # where a block begins, and so on the horizon
        def one_step(walked: Walk, draw: tuple[jax.Array, ...]) -> tuple[Walk, Leg]:
            model_state, level = walked
            normal, key, moves = draw
            model_state, log_return = model.step(model_state, normal, key)
            level = level + jnp.where(moves, log_return, 0)
            return (model_state, level), (level, look(model_state))

        moving = steps <= schedule.steps
        return jax.lax.scan(one_step, state, (normals, step_keys(model_keys, steps), moving))

    start = (model.init(paths), jnp.zeros((assets, paths.shape[0]), dtype))
    return start, advance


@partial(jax.jit, static_argnames=("schedule",))
def price_paths(
    model: PriceModel,
    price: jax.Array,
    seed: jax.Array,
    paths: jax.Array,
    *,
    schedule: Schedule,
) -> jax.Array:
    """Return (paths, steps + 1, assets) prices in USD, time 0 included.

    Parameters
    ----------
    model
        Price model in the schedule's precision.
    price
        (assets,) prices at the start, USD.
    seed, paths
        Seed and (paths,) path numbers, unsigned 32-bit.
    """
    start, advance = walk(model, seed, paths, schedule)
    _, (levels, _) = jax.lax.scan(advance, start, jnp.arange(schedule.blocks))
    levels = levels.reshape(-1, *levels.shape[2:])[: schedule.steps]
    now = jnp.broadcast_to(price[:, None], levels.shape[1:])
    nodes = jnp.concatenate([now[None], price[None, :, None] * jnp.exp(levels)])
    return jnp.transpose(nodes, (2, 0, 1))
