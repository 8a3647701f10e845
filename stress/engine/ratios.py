"""Margin ratios of every pool along some paths: what the fan is drawn from."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp

from stress.engine.block import Schedule
from stress.engine.panels import World, margins
from stress.engine.paths import Walk, walk
from stress.margin import margin_ratio
from stress.market import PriceModel

__all__ = ["margin_ratios"]


@partial(jax.jit, static_argnames=("schedule",))
def margin_ratios(
    model: PriceModel,
    price: jax.Array,
    world: World,
    seed: jax.Array,
    paths: jax.Array,
    *,
    schedule: Schedule,
) -> jax.Array:
    """Return (blocks + 1, pools, paths) margin ratios at the start and after each time block.

    Pools stand in the world's order, which is rounded up. Liquidations are left out: the pools keep
    their positions. Parameters as ``first_passage``.
    """
    start, advance = walk(model, seed, paths, schedule)

    def ratios_at(marks: jax.Array) -> jax.Array:
        by_panel = [
            margin_ratio(*margins(panel, lambda asset, quantity: marks[asset]))
            for panel in world.panels
        ]
        return jnp.concatenate(by_panel)[world.order]

    def after_block(walked: Walk, number: jax.Array) -> tuple[Walk, jax.Array]:
        walked, (levels, _) = advance(walked, number)
        return walked, ratios_at(price[:, None] * jnp.exp(levels[-1]))

    _, ratios = jax.lax.scan(after_block, start, jnp.arange(schedule.blocks))
    opening = jnp.broadcast_to(price[:, None], (price.shape[0], paths.shape[0]))
    return jnp.concatenate([ratios_at(opening)[None], ratios])
