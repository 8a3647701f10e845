"""What is decided before the first weighted path: where to drift, how often, and what to expect."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

from stress.engine.weighted import Accounts, Mixture
from stress.runner.analyses.importance_tilts import Tilts, plain_model, tilts_of
from stress.runner.prepare import Job
from stress.sampling.design_points import DesignPoints, Terminal, design_points
from stress.sampling.mixture import Components, best_shares, cover, dealt, served
from stress.types import Array, Floats, Integers

__all__ = ["Design", "design", "mixture_of"]

MOST_DRIFTS = 256
"""Drifts of a mixture: beyond, they are chosen to serve all accounts."""
_PROBABILITIES = (1e-11, 0.25)
"""First-order probabilities of the design points that drifts lead to: the more common need none,
the rarer are not asked for."""
_SOLVED = 384
"""Design points for which shares are solved for, evenly among all where there are more."""
_FEWEST_PATHS = 8
"""Paths that a component gets at least, or none."""


@dataclass(frozen=True)
class Design:
    """What is decided before the first weighted path.

    Attributes
    ----------
    account
        (watched,) accounts that hold positions.
    points
        The design points.
    components, component
        The laws, and (paths,) each path's own.
    words
        (components,) what each is.
    probability, second
        (watched,) first-order probability and predicted second moment of the estimate on one path.
    nearest
        (watched,) the likeliest design point, -1 without one.
    kernel_accounts, mixture, tilts
        For the kernel.
    """

    account: Integers
    points: DesignPoints
    components: Components
    component: Integers
    words: tuple[str, ...]
    probability: Floats
    second: Floats
    nearest: Integers
    kernel_accounts: Accounts
    mixture: Mixture
    tilts: Tilts

    @property
    def predicted_hits(self) -> Floats:
        """(watched,) effective hits that the estimate will have, to first order."""
        seen = self.second > 0
        hits = len(self.component) * self.probability**2 / np.where(seen, self.second, 1)
        return np.where(seen, hits, 0.0)


def design(job: Job) -> Design:
    """Return the design of the weighted run of a job, which ``require_importance`` lets pass."""
    terminal, pools = _terminal(job)
    tilts = tilts_of(job, terminal, design_points(terminal))
    points = tilts.points
    owner = job.main.pools.account[pools]
    account = np.unique(owner)
    row = np.searchsorted(account, owner)[points.pool]
    tilt_count = tilts.scenes.ratio.shape[1]
    alone = Components.alone(len(terminal.price))
    likely = served(points, tilts.scenes, alone).probability
    least, most = _PROBABILITIES
    aimed = np.flatnonzero((likely >= least) & (likely <= most))
    chosen = aimed[cover(points.of(aimed), MOST_DRIFTS)]
    drift = np.concatenate([alone.drift, tilts.drift[chosen]])
    cost = np.concatenate([alone.cost, tilts.cost[chosen]])
    kind = _kinds(tilt_count, len(drift), every=tilts.every)
    solved = aimed[:: max(1, -(-len(aimed) // _SOLVED))]
    shares = best_shares(points.of(solved), tilts.scenes, drift, cost, kind)
    components, component = dealt(shares, job.scenario.simulation.paths, _FEWEST_PATHS)
    seen = served(points, tilts.scenes, components)
    watched = len(account)
    nearest = _nearest(row, likely, watched)
    return Design(
        account=account,
        points=points,
        components=components,
        component=component,
        words=_words(job, components, tilts, account[row], chosen),
        probability=_summed(row, seen.probability, watched),
        second=_summed(row, seen.second, watched),
        nearest=nearest,
        kernel_accounts=_kernel_accounts(job, pools, owner, account, points, nearest, tilts),
        mixture=mixture_of(components, tilt_count, np.dtype(job.schedule.precision)),
        tilts=tilts,
    )


def mixture_of(components: Components, tilts: int, dtype: Any) -> Mixture:
    """Return components as the kernel has them, with the shares of so many tilts."""
    of_kernel = (components.drift, components.cost, components.weight(tilts))
    return Mixture(*(jnp.asarray(each, dtype) for each in of_kernel))


def _summed(row: Integers, values: Floats, rows: int) -> Floats:
    return np.asarray(np.bincount(row, values, rows), float)


def _kinds(tilts: int, drifts: int, *, every: bool) -> Integers:
    """Return (components, 2) pairs of a tilt and a drift, the model itself first."""
    if every:
        return np.stack(np.divmod(np.arange(tilts * drifts), drifts), axis=1)
    drifting = np.stack([np.zeros(drifts, int), np.arange(drifts)], axis=1)
    tilting = np.stack([np.arange(1, tilts), np.zeros(tilts - 1, int)], axis=1)
    return np.concatenate([drifting, tilting])


def _nearest(row: Integers, likely: Floats, watched: int) -> Integers:
    """Return (watched,) the likeliest design point of each account, -1 where it has none."""
    nearest = np.full(watched, -1)
    order = np.argsort(likely, kind="stable")
    nearest[row[order]] = order
    return nearest


def _terminal(job: Job) -> tuple[Terminal, Integers]:
    """Return the excess at the horizon of the pools that have positions, and which these are."""
    model: Any = plain_model(job)
    book, setting, pools = job.book, job.setting, job.main.pools
    steps = job.schedule.steps
    held = np.flatnonzero(pools.pool_of_position >= 0)
    with_positions = np.unique(pools.pool_of_position[held])
    coins = np.flatnonzero(np.isin(pools.pool_of_coin, with_positions))
    pool = np.concatenate([pools.pool_of_position[held], pools.pool_of_coin[coins]])
    asset = np.concatenate([book.position_asset[held], book.coin_asset[coins]])
    kept = book.coin_quantity[coins] * (1 - setting.haircut[book.coin_asset[coins]])
    quantity = np.concatenate([book.quantity[held], kept])
    entry = np.concatenate([book.entry_price[held], np.zeros(len(coins))])
    is_position = np.arange(len(pool)) < len(held)
    rate = np.where(is_position[:, None], setting.requirement_rate[asset], 0)
    amount = np.where(is_position[:, None], setting.requirement_amount[asset], 0)
    order = np.argsort(pool, kind="stable")
    row = np.searchsorted(with_positions, pool[order])
    slot = np.arange(len(order)) - np.searchsorted(row, row)

    def placed(values: Array) -> Array:
        shape = (len(with_positions), int(slot.max(initial=0)) + 1, *values.shape[1:])
        table = np.zeros(shape, values.dtype)
        table[row, slot] = values[order]
        return table

    terminal = Terminal(
        price=setting.price,
        mean=np.asarray(model.mean, float) * steps,
        root=np.asarray(model.covariance_root, float) * np.sqrt(steps),
        cash=pools.cash[with_positions],
        asset=placed(asset),
        quantity=placed(quantity),
        entry=placed(entry),
        rate=placed(rate),
        amount=placed(amount),
    )
    return terminal, with_positions


def _kernel_accounts(
    job: Job,
    pools: Integers,
    owner: Integers,
    account: Integers,
    points: DesignPoints,
    nearest: Integers,
    tilts: Tilts,
) -> Accounts:
    """Return the accounts as the kernel has them: by the places of their pools in the panels."""
    row = np.searchsorted(account, owner)
    place, places = _places(job, pools)
    only, of_place, drawn = np.zeros(0, np.int32), np.zeros(0, np.int32), np.zeros(0, bool)
    several = np.bincount(row, minlength=len(account)) > 1
    if several.any():
        of_place, drawn = np.full(places, len(account), np.int32), np.zeros(places, bool)
        of_place[place] = row
        drawn[place] = several[row]
    else:
        only = np.zeros(len(account), np.int32)
        only[row] = place
    known = (nearest >= 0) & tilts.planes
    direction, distance = np.zeros((len(account), points.z.shape[1])), np.full(len(account), np.inf)
    direction[known] = points.direction[nearest[known]]
    distance[known] = points.distance[nearest[known]]
    dtype = np.dtype(job.schedule.precision)
    return Accounts(
        pool=jnp.asarray(only),
        owner=jnp.asarray(of_place),
        is_drawn=jnp.asarray(drawn),
        direction=jnp.asarray(direction, dtype),
        distance=jnp.asarray(distance, dtype),
    )


def _places(job: Job, pools: Integers) -> tuple[Integers, int]:
    """Return where pools are among those of the panels that have positions, and how many these are.

    The kernel leaves out panels without slots.
    """
    world = job.main.world
    sizes = np.array([panel.pools for panel in world.panels])
    has_slots = np.array([panel.asset.shape[0] > 0 for panel in world.panels])
    left_out = np.cumsum(np.where(has_slots, 0, sizes))
    place = np.asarray(world.order)[pools]
    place = place - left_out[np.searchsorted(np.cumsum(sizes), place, side="right")]
    return place, int(sizes[has_slots].sum())


def _words(
    job: Job,
    components: Components,
    tilts: Tilts,
    account: Integers,
    chosen: Integers,
) -> tuple[str, ...]:
    """Return what each component is, in words; each once."""
    names = {tuple(tilts.drift[one]): job.book.accounts[account[one]] for one in chosen}
    words, seen = [], dict[str, int]()
    for tilt, drift in components.kind:
        parts = [] if tilt == 0 else [tilts.words[tilt]]
        if drift > 0:
            parts.append(f"toward {names[tuple(components.drift[drift])]}")
        word = ", ".join(parts) or "as the model"
        seen[word] = seen.get(word, 0) + 1
        words.append(word if seen[word] == 1 else f"{word} ({seen[word]})")
    return tuple(words)
