"""First passage under a mixture of laws, weighted back to the model's: probabilities that are rare.

Paths drift toward what liquidates each account (``market.tilted``, ``sampling.mixture``). With q_i
the density of the mixture over the model's, given the first i steps, the liquidation of an account
by step n is estimated without bias by ::

    Y = sum_i [prod_{l < i} (1 - h_l)] h_i / q_i

where h_i is the probability, given the nodes, that it is liquidated in step i: the bridge's
crossing probability, or 1 at the first breach at a node. The likelihood ratio is taken when the
account is liquidated; at the horizon it would carry the noise of all that happens afterwards.

An account's only pool with positions has its h as it is. Where an account has several, whether each
is hit is drawn, as first passage draws it, from normals that the pools share: their union then has
the right probability.

All pools are looked at, at every step: drifting paths are near the requirement of somebody.

Two kinds of numbers with mean 0 go along, to which estimates are compared (control variates): the
densities of single components over the mixture's, less 1; and the same estimate for the half-space
beyond each account's design point, whose probability given the clock is known, ``2 Phi(-beta /
sqrt(variance))``. Near a rare liquidation the half-space is nearly the account.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp, ndtr

from stress.engine.block import Schedule
from stress.engine.bridge import crossing, loading
from stress.engine.panels import BREACH, Panel, World, margins
from stress.engine.paths import walk
from stress.keys import BRIDGE, path_keys, step_normals
from stress.margin import in_breach
from stress.market.gbm import matrix_product
from stress.market.tilted import Footprint, TiltedModel

__all__ = ["Accounts", "Mixture", "Weighted", "weighted_passage"]


class Mixture(NamedTuple):
    """The laws of the paths.

    Attributes
    ----------
    drift
        (drifts, assets) whitened terminal states z drifted toward; row 0 is 0.
    cost
        (drifts,) ``log E[exp(z . place)]`` at the horizon; ``|z|^2 / 2`` without jumps.
    weight
        (tilts, drifts) shares of the paths; they add up to 1.
    """

    drift: jax.Array
    cost: jax.Array
    weight: jax.Array


class Accounts(NamedTuple):
    """Whose liquidation is estimated.

    Attributes
    ----------
    pool
        (accounts,) place of each account's only pool, in the concatenation of the world's panels
        that have positions; of no size where ``owner`` stands for it.
    owner
        (places,) the account of each place of that concatenation, ``accounts`` where it counts for
        nobody; of no size where no account has several pools.
    is_drawn
        (places,) whether the place's pool is one of several of its account; of no size likewise.
    direction, distance
        (accounts, assets), (accounts,) the nearest design point of each account, inf where it has
        none.
    """

    pool: jax.Array
    owner: jax.Array
    is_drawn: jax.Array
    direction: jax.Array
    distance: jax.Array


class Weighted(NamedTuple):
    """What one block of paths says.

    Attributes
    ----------
    liquidated
        (accounts, paths) Y, the mean of which is the probability of being liquidated.
    beyond
        (accounts, paths) the same for the half-spaces, less what it is in the mean.
    balance
        (drifts + tilts, paths) densities of the components that share a drift, and of those that
        share a tilt, over the mixture's, less 1.
    hits
        (paths,) mean number of accounts liquidated, given the nodes, not weighted.
    """

    liquidated: jax.Array
    beyond: jax.Array
    balance: jax.Array
    hits: jax.Array


class _Look(NamedTuple):
    """A panel's pools at a node, (pools, paths) each.

    ``excess`` is the distance to the requirement, in USD or, of a barrier, in the log price;
    ``variance`` that of its move in a step whose W is 1; ``move`` (pools, paths, assets) how it
    moves with each normal, (pools, 0, assets) where nobody asks.
    """

    excess: jax.Array
    variance: jax.Array
    move: jax.Array


class _Crossed(NamedTuple):
    """What happens to the pools in a step, (places, paths).

    ``probability`` of a hit, given the nodes; ``uniform`` what it is compared with where it is
    drawn, (0, paths) where nothing is.
    """

    probability: jax.Array
    uniform: jax.Array


class _Estimate(NamedTuple):
    """``survival`` and ``hit`` (rows, paths): the product and the sum so far."""

    survival: jax.Array
    hit: jax.Array

    def after(self, crossed: jax.Array, weight: jax.Array) -> _Estimate:
        """Return the estimate after a step with (rows, paths) crossing probabilities."""
        hit = self.hit + self.survival * crossed * weight[None]
        return _Estimate(self.survival * (1 - crossed), hit)


class _Along(NamedTuple):
    """What is carried from step to step.

    ``marks`` (assets, paths) USD; ``looks`` one a panel; the estimates of accounts and half-spaces;
    ``depth`` (accounts, paths) how far each half-space is still away; the last footprint.
    """

    marks: jax.Array
    looks: tuple[_Look, ...]
    accounts: _Estimate
    planes: _Estimate
    depth: jax.Array
    foot: Footprint


@partial(jax.jit, static_argnames=("schedule",))
def weighted_passage(
    model: TiltedModel,
    price: jax.Array,
    world: World,
    accounts: Accounts,
    mixture: Mixture,
    seed: jax.Array,
    paths: jax.Array,
    *,
    schedule: Schedule,
) -> Weighted:
    """Follow all pools along one block of paths of the mixture.

    Parameters
    ----------
    model
        Price model that drifts, in the schedule's precision; its arrays are those of these paths.
    price
        (assets,) marks at the start, USD.
    world
        The pools.
    accounts
        How they make accounts.
    mixture
        The laws of the paths; every density is over the model's.
    seed, paths
        Seed and (paths,) path numbers, unsigned 32-bit.
    schedule
        Static: steps, precision, ``step`` or ``bridge`` monitoring.
    """
    panels = tuple(panel for panel in world.panels if panel.asset.shape[0])
    start, advance = walk(model, seed, paths, schedule, model.footprint)
    bridge_keys = path_keys(seed, BRIDGE, paths)
    draws = accounts.is_drawn.size > 0 and schedule.monitoring == "bridge"

    def one_step(carry: _Along, seen: Any) -> tuple[_Along, None]:
        level, foot, normals, moves = seen
        marks = price[:, None] * jnp.exp(level)
        weight = jnp.exp(-_log_density(mixture, foot))
        arrival = marks * jnp.exp(-foot.jump) if foot.jump.size else marks
        crossed, looks = _crossed(
            panels, carry.looks, arrival, marks, foot, normals, model, schedule
        )
        hit = jnp.where(moves, _by_account(crossed, accounts), 0)
        depth = _depth(accounts, foot)
        scale = (foot.scale / schedule.steps)[None]
        planes = jnp.where(moves, crossing(carry.depth, depth, scale), 0)
        moved = _Along(
            marks=marks,
            looks=looks,
            accounts=carry.accounts.after(hit, weight),
            planes=carry.planes.after(planes, weight),
            depth=depth,
            foot=jax.tree.map(lambda new, old: jnp.where(moves, new, old), foot, carry.foot),
        )
        return moved, None

    def through_block(carry: tuple[Any, _Along], number: jax.Array) -> tuple[Any, None]:
        walked, along = carry
        walked, (levels, feet) = advance(walked, number)
        number = number.astype(jnp.int32)
        steps = number * schedule.block + jnp.arange(schedule.block, dtype=jnp.int32) + 1
        drawn = step_normals(bridge_keys, steps, price.shape[0] if draws else 0)
        normals = drawn.astype(levels.dtype)
        moves = steps <= schedule.steps
        return (walked, jax.lax.scan(one_step, along, (levels, feet, normals, moves))[0]), None

    opening = jnp.broadcast_to(price[:, None], (price.shape[0], paths.shape[0]))
    looks = tuple(_look(panel, opening, model, schedule, draws=draws) for panel in panels)
    broken = jnp.concatenate([_in_breach(panel, opening, schedule) for panel in panels])
    along = _at_start(opening, looks, broken, model.footprint(start[0]), accounts, mixture)
    (_, along), _ = jax.lax.scan(through_block, (start, along), jnp.arange(schedule.blocks))
    return Weighted(
        liquidated=along.accounts.hit,
        beyond=along.planes.hit - _known(accounts, mixture, along.foot),
        balance=_balance(mixture, along.foot),
        hits=(1 - along.accounts.survival).sum(axis=0),
    )


def _at_start(
    opening: jax.Array,
    looks: tuple[_Look, ...],
    broken: jax.Array,
    foot: Footprint,
    accounts: Accounts,
    mixture: Mixture,
) -> _Along:
    """Return what is carried after the look at t = 0; ``broken`` (places, paths) is 0 or 1."""
    nothing = jnp.zeros((accounts.distance.shape[0], opening.shape[1]), opening.dtype)
    untouched = _Estimate(jnp.ones_like(nothing), nothing)
    hit = _by_account(_Crossed(broken, nothing[:0]), accounts)
    return _Along(
        marks=opening,
        looks=looks,
        accounts=untouched.after(hit, jnp.exp(-_log_density(mixture, foot))),
        planes=untouched,
        depth=_depth(accounts, foot),
        foot=foot,
    )


def _log_densities(mixture: Mixture, foot: Footprint) -> jax.Array:
    """Return (drifts, paths) log densities of the drifts over no drift."""
    along = matrix_product(mixture.drift, foot.place / foot.variance[None])
    return along - mixture.cost[:, None] * (foot.clock / foot.variance)[None]


def _log_density(mixture: Mixture, foot: Footprint) -> jax.Array:
    """Return (paths,) log densities of the mixture over the model."""
    mass = matrix_product(mixture.weight.T, foot.ratio)
    return logsumexp(_log_densities(mixture, foot), axis=0, b=mass)


def _balance(mixture: Mixture, foot: Footprint) -> jax.Array:
    """Return (drifts + tilts, paths) densities of parts of the mixture over all of it, less 1."""
    weight, drifts = mixture.weight, _log_densities(mixture, foot)
    whole = _log_density(mixture, foot)[None]
    by_drift = jnp.exp(drifts - whole) * matrix_product(weight.T, foot.ratio)
    peak = drifts.max(axis=0, keepdims=True)
    tilts = matrix_product(weight, jnp.exp(drifts - peak))
    by_tilt = foot.ratio * tilts * jnp.exp(peak - whole)
    mass = jnp.concatenate([weight.sum(axis=0), weight.sum(axis=1)])[:, None]
    parts = jnp.concatenate([by_drift, by_tilt])
    return jnp.where(mass > 0, parts / jnp.where(mass > 0, mass, 1) - 1, 0)


def _depth(accounts: Accounts, foot: Footprint) -> jax.Array:
    """Return (accounts, paths) how far the half-spaces are away, in whitened deviations."""
    return accounts.distance[:, None] - matrix_product(accounts.direction, foot.place)


def _known(accounts: Accounts, mixture: Mixture, foot: Footprint) -> jax.Array:
    """Return (accounts, paths) the mean of the half-spaces' estimate, given the clock.

    The density of the clock alone is that of the tilts.
    """
    ratio = matrix_product(mixture.weight.sum(axis=1)[None], foot.ratio)
    return 2 * ndtr(-accounts.distance[:, None] / jnp.sqrt(foot.variance)[None]) / ratio


def _crossed(
    panels: tuple[Panel, ...],
    before: tuple[_Look, ...],
    arrival: jax.Array,
    marks: jax.Array,
    foot: Footprint,
    normals: jax.Array,
    model: TiltedModel,
    schedule: Schedule,
) -> tuple[_Crossed, tuple[_Look, ...]]:
    """Return what happens to the pools in a step, and the looks at its end.

    Parameters
    ----------
    arrival, marks
        (assets, paths) USD at the end of the step, before and after its jump.
    normals
        (assets, paths) that say who of several pools is hit; (0, paths) where nobody has several.
    """
    nobody = jnp.zeros((0, marks.shape[1]), marks.dtype)
    if schedule.monitoring == "step":
        broken = [_in_breach(panel, marks, schedule) for panel in panels]
        return _Crossed(jnp.concatenate(broken), nobody), before
    draws = normals.shape[0] > 0
    probability, uniform, looks = [], [nobody], []
    for panel, look in zip(panels, before, strict=True):
        end = _look(panel, arrival, model, schedule, draws=draws)
        variance = foot.scale[None] * (look.variance + end.variance) / 2
        touched = crossing(look.excess, end.excess, variance)
        after = end
        if foot.jump.size:
            # a jump is no bridge: who is in breach behind it is hit
            after = _look(panel, marks, model, schedule, draws=draws)
            touched = jnp.where(after.excess > 0, touched, 1)
        if draws:
            direction = look.move + end.move
            length = jnp.sqrt((direction**2).sum(axis=2))
            pushed = jnp.einsum("pna,an->pn", direction, normals, precision="highest")
            uniform.append(ndtr(pushed / jnp.where(length > 0, length, 1)))
        probability.append(touched)
        looks.append(after)
    return _Crossed(jnp.concatenate(probability), jnp.concatenate(uniform)), tuple(looks)


def _by_account(crossed: _Crossed, accounts: Accounts) -> jax.Array:
    """Return (accounts, paths) probabilities that one of an account's pools is hit in a step."""
    probability = crossed.probability
    if accounts.owner.size == 0:
        return probability[accounts.pool]
    if crossed.uniform.size:
        hit = (crossed.uniform < probability) | (probability >= 1)
        hit = hit.astype(probability.dtype)
        probability = jnp.where(accounts.is_drawn[:, None], hit, probability)
    count = accounts.distance.shape[0]
    # of several pools each is hit or not: the account's is the largest
    none = jnp.zeros((count, probability.shape[1]), probability.dtype)
    return none.at[accounts.owner].max(probability, mode="drop")


def _in_breach(panel: Panel, marks: jax.Array, schedule: Schedule) -> jax.Array:
    """Return (pools, paths) 1 where a pool is in breach at a node, else 0."""
    now = margins(panel, lambda asset, quantity: marks[asset])
    return in_breach(*now, schedule.tolerance).astype(marks.dtype)


def _look(
    panel: Panel, marks: jax.Array, model: TiltedModel, schedule: Schedule, *, draws: bool
) -> _Look:
    """Look at the pools of a panel at a node; nothing is needed where the nodes are all there is.

    Parameters
    ----------
    marks
        (assets, paths) USD.
    draws
        Whether it matters which way each pool moves.
    """
    root, paths = model.covariance_root, marks.shape[1]
    nothing = jnp.zeros((panel.pools, 0, marks.shape[0]), marks.dtype)
    if schedule.monitoring == "step":
        return _Look(nothing[..., 0], nothing[..., 0], nothing)
    if panel.barrier is not None:
        asset, log_price, side = panel.barrier
        excess = side[:, None] * (jnp.log(marks)[asset] - log_price[BREACH][:, None])
        own = (side[:, None] * root[asset])[:, None]
        move = jnp.broadcast_to(own, (panel.pools, paths, marks.shape[0]))
    else:
        now = margins(panel, lambda asset, quantity: marks[asset])
        excess = now.equity - now.required
        assets = marks.shape[0]
        move = loading(
            panel, lambda asset: marks[asset], assets, lambda asset: root[asset][:, None]
        )
    return _Look(excess, (move**2).sum(axis=2), move if draws else nothing)
