"""A book through the kernel and through its plain twin, on the same marks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from stress.engine.block import Schedule
from stress.engine.passage import Outcome, first_passage
from stress.engine.paths import price_paths
from stress.runner.prepare import Job
from tests.reference import barrier, plain
from tests.strategies import HAIRCUT, TIERS, Account

__all__ = [
    "BLOCK",
    "PATHS",
    "Followed",
    "follow",
    "gross",
    "marks",
    "plain_pools",
    "pools_of_world",
    "schedule",
]

Floats = NDArray[np.float64]

PATHS = 16
BLOCK = 7
"""Steps a time block: does not divide the forty steps of a random book."""


class Followed(NamedTuple):
    """The kernel's outcome as NumPy arrays, and the (assets, paths) marks at the end."""

    outcome: Outcome
    mark_end: Floats


def schedule(job: Job, block: int = BLOCK) -> Schedule:
    """Return the job's schedule with another time block."""
    return replace(job.schedule, block=block)


def follow(job: Job, *, block: int = BLOCK, first: int = 0, detail: bool | None = None) -> Followed:
    """Follow ``PATHS`` paths from number ``first`` on through the job's main world."""
    chosen = schedule(job, block)
    if detail is not None:
        chosen = replace(chosen, least_excess=detail)
    (outcome,), mark_end = first_passage(
        job.model, job.price, (job.main.world,), job.rules, *_draws(job, first), schedule=chosen
    )
    pools = outcome.of(len(job.main.pools.cash))
    return Followed(jax.tree.map(np.asarray, pools), np.asarray(mark_end))


def marks(job: Job, *, block: int = BLOCK, first: int = 0) -> Floats:
    """Return the (paths, nodes, assets) marks of the same paths."""
    draws = _draws(job, first)
    return np.asarray(price_paths(job.model, job.price, *draws, schedule=schedule(job, block)))


def _draws(job: Job, first: int) -> tuple[jax.Array, jax.Array]:
    seed = jnp.asarray(job.scenario.simulation.seed, jnp.uint32)
    return seed, first + jnp.arange(PATHS, dtype=jnp.uint32)


def plain_pools(accounts: Mapping[str, Account]) -> list[plain.PlainPool]:
    """Return the margin pools of a book as booked: each cross pool, then what is isolated."""
    index = {asset: number for number, asset in enumerate(HAIRCUT)}

    def position(row: Mapping[str, Any]) -> plain.Position:
        named = TIERS.get(row["asset"], TIERS["default"])
        table = [(tier["floor"], tier["rate"]) for tier in named]
        amounts = barrier.tier_amounts(table)
        tiers = [(rate, amount) for (_, rate), amount in zip(table, amounts, strict=True)]
        return index[row["asset"]], row["quantity"], row["entry_price"], tiers

    pools = []
    for account in accounts.values():
        cross = [row for row in account.positions if "margin" not in row]
        coins = [(index[c["asset"]], c["quantity"], HAIRCUT[c["asset"]]) for c in account.coins]
        pools.append(plain.PlainPool(account.cash, [position(row) for row in cross], coins))
        pools += [
            plain.PlainPool(row["margin"], [position(row)])
            for row in account.positions
            if "margin" in row
        ]
    return pools


def pools_of_world(job: Job) -> list[plain.PlainPool]:
    """Return the margin pools of the job's main world, whichever it is."""
    book, held, setting = job.book, job.main.pools, job.setting
    pools = [plain.PlainPool(cash) for cash in held.cash.tolist()]
    for row in np.flatnonzero(held.pool_of_position >= 0):
        asset = int(book.position_asset[row])
        tiers = zip(setting.tier_rate[asset], setting.tier_amount[asset], strict=True)
        position = (asset, float(book.quantity[row]), float(book.entry_price[row]), list(tiers))
        pools[held.pool_of_position[row]].positions.append(position)
    for row in np.flatnonzero(held.pool_of_coin >= 0):
        asset = int(book.coin_asset[row])
        coin = (asset, float(book.coin_quantity[row]), float(setting.haircut[asset]))
        pools[held.pool_of_coin[row]].coins.append(coin)
    return pools


def gross(pools: list[plain.PlainPool], start: Floats) -> Floats:
    """Return what rounding is measured by, (pools, 1): all that a pool holds, at least 1 USD."""
    sizes = [
        max(plain.notional(pool, start) + abs(pool.cash) + plain.coins_value(pool.coins, start), 1)
        for pool in pools
    ]
    return np.array(sizes)[:, None]
