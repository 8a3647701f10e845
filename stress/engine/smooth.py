"""First passage as a smooth function of books and market: its derivatives, path by path.

Given the nodes of a path, a pool is hit in step i with the bridge's crossing probability ``h_i``
(``engine.bridge``). So a path carries a whole distribution: hit in step i with the weight
``S_(i-1) h_i``, never hit with ``S_T``, where ``S_i = (1 - h_1) ... (1 - h_i)``. Probability and
expected loss are means over it, and smooth in collateral, sizes, rates, volatility and correlation:
the crossing probability ``exp(-2 x0 x1 / v)`` is 1 where an end x is 0, so what happens to a path
whose node passes the barrier is continuous, and Lipschitz with an integrable constant. The mean of
the derivative over paths with fixed normals is then the derivative of the mean (pathwise
derivatives: Glasserman 2003, section 7.2.2; the bridge as the conditioning that makes the indicator
of a barrier smooth: the same, section 7.2.3).

* **Probability** of an account: ``1 - S`` of its pools, multiplied.
* **Loss** at a hit as in ``engine.bridge``: the pool is closed where equity is the requirement, at
  its barrier, or at the point of the straight line between the nodes where the excess is 0, less
  the fee; coins are sold for what is then owed, and what is left of them is worth the marks at the
  horizon. A loss never hit is that at the horizon.
* **Shortfall** at a level a: ``E[(L - v)+] / (1 - a)`` at the fixed value at risk v (Rockafellar
  and Uryasev 2000; v is the minimiser, so that its own derivative drops out), each branch of the
  path with its own loss: not the mean loss of the path. Where losses fall together on v, as those
  of a pool with one liquidation price do, ``(L - v)+`` has the slope ``share`` there, such that the
  tail has just the mass ``1 - a``.

Pools of one account are taken as independent given the nodes. One pool's branches are met with the
other pools' survival, and with the losses of the hits that first passage draws for them; the
derivative by each pool in turn, others held, adds up to the whole.

Pools do not influence each other, so that one backward pass of the sum over pools holds the
derivatives of every pool by its own numbers. What all pools share (the market) goes forward.

Not in the derivatives: the jump of the bridge's variance where a position changes its maintenance
tier at a node (some tenths of a percent of v), and a jump of the price at the very end of the last
step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from stress.engine.block import Rules, Schedule
from stress.engine.panels import BREACH, Barrier, Panel, World, margins, over_slots
from stress.engine.passage import first_passage
from stress.engine.paths import walk
from stress.margin import in_breach
from stress.market import Inside, PriceModel, VaryingInside

__all__ = ["Aims", "Slopes", "smooth_slopes", "smooth_sums"]

Marks: TypeAlias = Callable[[jax.Array], jax.Array]
"""From (pools,) asset indices to (pools, paths or 1) marks, USD."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Aims:
    """Where the tails of the accounts' losses begin.

    Attributes
    ----------
    value
        (tails, pools) value at risk of each pool's account, USD.
    share
        (tails, pools) share of the losses that equal it which belong to the tail, 0 to 1.
    window
        (pools,) how far from it a loss is equal to it, USD: rounding.
    """

    value: jax.Array
    share: jax.Array
    window: jax.Array


class Own(NamedTuple):
    """What each pool has for itself, as changes from the book: 0, 1 and 0.

    Attributes
    ----------
    cash
        (pools,) USD more.
    size
        (slots, pools) what the quantity of a position is multiplied with, at its entry price.
    rate
        (slots, pools) what is added to the maintenance rate of each of its tiers.
    """

    cash: jax.Array
    size: jax.Array
    rate: jax.Array


class Slopes(NamedTuple):
    """Sums over a block of paths. F measures: probability, loss, then one tail after the other.

    Attributes
    ----------
    value
        (F, pools) of the probability that the account of the pool is liquidated, the loss of the
        pool, and ``(L - v)+`` of its account.
    mass
        (tails, pools) of the weights in the tail.
    cash, size, rate
        (F, pools), (F, slots, pools), (F, slots, pools) derivatives by ``Own`` of what stands in
        ``value``; those of an account's tail are the sums over its pools.
    shared
        (directions, F, pools) derivatives along directions of the model.
    summed
        (F, directions) the same of further directions, summed over all pools.
    """

    value: jax.Array
    mass: jax.Array
    cash: jax.Array
    size: jax.Array
    rate: jax.Array
    shared: jax.Array
    summed: jax.Array


@partial(jax.jit, static_argnames=("schedule",))
def smooth_slopes(
    model: PriceModel,
    price: jax.Array,
    world: World,
    rules: Rules,
    aims: Aims,
    owner: jax.Array | None,
    seed: jax.Array,
    paths: jax.Array,
    directions: Any,
    further: Any,
    *,
    schedule: Schedule,
) -> Slopes:
    """Return measures and their derivatives, summed over one block of paths.

    Every pool is followed at every step: keep to some hundred pools.

    Parameters
    ----------
    model, price, rules, seed, paths
        As in ``first_passage``.
    world
        Pools with barriers, as dealt for bridge monitoring.
    aims
        In the order of the pools, whose number it states.
    owner
        (pools,) number of the account of each pool; None where no account has two pools that can
        be liquidated.
    directions, further
        Pytrees like the model, each leaf with one more axis in front: ways in which its constants
        move together. The first give derivatives pool by pool, the second their sums.
    schedule
        Static; its monitoring is ``"bridge"``.
    """
    rest = _siblings(model, price, world, rules, owner, seed, paths, schedule, aims)
    slots = max(panel.quantity.shape[0] for panel in world.panels)
    pools, dtype = aims.window.shape[0], price.dtype
    nothing, ones = jnp.zeros((slots, pools), dtype), jnp.ones((slots, pools), dtype)
    own = Own(jnp.zeros((pools,), dtype), ones, nothing)
    still, held = _no_move(directions, dtype), _no_move(further, dtype)

    def measures(own: Own, moves: jax.Array, more: jax.Array) -> tuple[jax.Array, jax.Array]:
        moved = _moved(_moved(model, directions, moves), further, more)
        changed = _changed(world, own)
        return smooth_sums(moved, price, changed, rules, aims, rest, seed, paths, schedule=schedule)

    value, pull, mass = jax.vjp(
        lambda own, more: measures(own, still, more), own, held, has_aux=True
    )
    each = jnp.eye(value.shape[0], dtype=dtype)[:, :, None] + jnp.zeros((1, *value.shape), dtype)
    by_own, summed = jax.vmap(pull)(each)

    def along(one: jax.Array) -> jax.Array:
        return jax.jvp(lambda moves: measures(own, moves, held)[0], (still,), (one,))[1]

    shared = jnp.zeros((0, *value.shape), dtype)
    if still.size:
        shared = jax.vmap(along)(jnp.eye(still.size, dtype=dtype))
    return Slopes(value, mass, by_own.cash, by_own.size, by_own.rate, shared, summed)


class _Rest(NamedTuple):
    """What the other pools of each pool's account do, (pools, paths) each.

    ``survival`` is the probability that none of them is hit, ``loss`` what they lose, USD.
    """

    survival: jax.Array
    loss: jax.Array


def _siblings(
    model: PriceModel,
    price: jax.Array,
    world: World,
    rules: Rules,
    owner: jax.Array | None,
    seed: jax.Array,
    paths: jax.Array,
    schedule: Schedule,
    aims: Aims,
) -> _Rest | None:
    """Return what is drawn for the other pools of every account; None where there are none."""
    if owner is None:
        return None
    pools = aims.window.shape[0]
    (outcome,), _ = first_passage(model, price, (world,), rules, seed, paths, schedule=schedule)
    # a pool that is surely hit: what is left of it must not divide the others
    survival = jnp.maximum(outcome.survival[:pools], -80)
    marks = price[:, None]
    start = _collected(world, [_equity(panel, lambda a: marks[a]) for panel in world.panels], pools)
    loss = start - outcome.equity[:pools]

    def of_others(numbers: jax.Array) -> jax.Array:
        return jax.ops.segment_sum(numbers, owner, num_segments=pools)[owner] - numbers

    return _Rest(jnp.exp(of_others(survival)), of_others(loss))


def _no_move(directions: Any, dtype: Any) -> jax.Array:
    leaves = jax.tree.leaves(directions)
    return jnp.zeros((leaves[0].shape[0] if leaves else 0,), dtype)


def _moved(model: Any, directions: Any, moves: jax.Array) -> Any:
    """Return the model with its constants moved so far along each direction."""
    if not moves.size:
        return model

    def move(leaf: jax.Array, along: jax.Array) -> jax.Array:
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            return leaf
        step = jnp.einsum("d,d...->...", moves, along, precision="highest")
        return leaf + step.astype(leaf.dtype)

    return jax.tree.map(move, model, directions)


def _changed(world: World, own: Own) -> World:
    """Return the world with every pool's own numbers changed."""
    parts = zip(*(_dealt(world, numbers) for numbers in own), strict=True)
    panels = [
        _changed_panel(panel, Own(*part)) for panel, part in zip(world.panels, parts, strict=True)
    ]
    return replace(world, panels=tuple(panels))


def _changed_panel(panel: Panel, own: Own) -> Panel:
    slots = panel.quantity.shape[0]
    changed = replace(
        panel,
        cash=panel.cash + own.cash,
        quantity=panel.quantity * own.size[:slots],
        rate=panel.rate + own.rate[:slots, :, None],
    )
    if panel.barrier is None:
        return changed
    return replace(changed, barrier=_follows(changed, panel.barrier))


def _follows(panel: Panel, barrier: Barrier) -> Barrier:
    """Return the barriers with the derivative that keeps the excess at them 0.

    One step of Newton's from where they are, which is no step, but whose derivative is that of the
    implicit function: minus that of the excess over its slope. What no price liquidates stays at
    the price 1, with the side 0.
    """
    at = barrier.log_price[BREACH]
    exists = jnp.isfinite(at)
    at = jnp.where(exists, at, 0)
    mark = jnp.exp(at)[:, None]
    here = _read(panel, lambda asset: jnp.broadcast_to(mark, (asset.shape[0], 1)), ())
    slope = jax.lax.stop_gradient(here.slope[:, 0])
    exists = exists & (slope * barrier.side > 0)
    excess = here.excess[:, 0]
    step = (excess - jax.lax.stop_gradient(excess)) / jnp.where(exists, slope, 1)
    moved = jnp.where(exists, at - step, 0)
    return Barrier(barrier.asset, moved[None], jnp.where(exists, barrier.side, 0))


def _dealt(world: World, numbers: jax.Array) -> list[jax.Array]:
    """Return (..., pools) numbers panel by panel, 0 for what only fills a panel."""
    pools = numbers.shape[-1]
    room = sum(panel.pools for panel in world.panels)
    places = jnp.zeros((*numbers.shape[:-1], room), numbers.dtype)
    places = places.at[..., world.order[:pools]].set(numbers)
    parts, first = [], 0
    for panel in world.panels:
        parts.append(places[..., first : first + panel.pools])
        first += panel.pools
    return parts


def _collected(world: World, parts: Sequence[jax.Array], pools: int) -> jax.Array:
    """Return (pools, ...) what the panels have, in the order of the pools."""
    return jnp.concatenate(parts)[world.order[:pools]]


class _Node(NamedTuple):
    """A panel's pools at one node, (pools, paths) each.

    Attributes
    ----------
    excess
        USD; of a panel with barriers the distance of the log price from them.
    exposure
        (assets, pools, paths) what the excess moves by with each asset's log price, USD; of no size
        where there are barriers.
    """

    excess: jax.Array
    exposure: jax.Array


class _Reading(NamedTuple):
    """Excess, its slope by all log prices together and its exposures, as in ``_Node``."""

    excess: jax.Array
    slope: jax.Array
    exposure: jax.Array


def _read(panel: Panel, mark: Marks, assets: tuple[int, ...]) -> _Reading:
    """Return excess and exposures of every pool of a panel.

    The slope of a position is its quantity less its size times the rate of its tier.

    Parameters
    ----------
    assets
        The assets whose exposures are wanted apart.
    """

    def onto(total: _Reading, asset: jax.Array, excess: jax.Array, slope: jax.Array) -> _Reading:
        apart = total.exposure
        if assets:
            numbers = jnp.asarray(assets, jnp.int32)[:, None, None]
            apart = apart + jnp.where(asset[None, :, None] == numbers, slope[None], 0)
        return _Reading(total.excess + excess, total.slope + slope, apart)

    def add_position(total: _Reading, slot: tuple[jax.Array, ...]) -> tuple[_Reading, None]:
        asset, quantity, entry, rate, amount = slot
        here, size = mark(asset), jnp.abs(quantity)[:, None]
        notional = size * here
        required, held = rate[:, :1] * notional - amount[:, :1], rate[:, :1] + 0 * notional
        for tier in range(1, rate.shape[1]):
            other = rate[:, tier, None] * notional - amount[:, tier, None]
            held = jnp.where(other > required, rate[:, tier, None], held)
            required = jnp.maximum(required, other)
        profit = quantity[:, None] * (here - entry[:, None])
        slope = (quantity[:, None] - size * held) * here
        return onto(total, asset, profit - required, slope), None

    def add_coin(total: _Reading, slot: tuple[jax.Array, ...]) -> tuple[_Reading, None]:
        asset, quantity, haircut = slot
        value = (quantity * (1 - haircut))[:, None] * mark(asset)
        return onto(total, asset, value, value), None

    columns = mark(jnp.zeros(panel.pools, jnp.int32)).shape[1]
    zero = jnp.zeros((panel.pools, columns), panel.cash.dtype)
    apart = jnp.zeros((len(assets), *zero.shape), zero.dtype)
    start = _Reading(zero + panel.cash[:, None], zero, apart)
    positions = (panel.asset, panel.quantity, panel.entry, panel.rate, panel.amount)
    total = over_slots(add_position, start, positions)
    return over_slots(add_coin, total, (panel.coin_asset, panel.coin_quantity, panel.coin_haircut))


def _node(panel: Panel, marks: jax.Array) -> _Node:
    """Return a panel's pools at (assets, paths) marks."""
    if panel.barrier is not None:
        asset, log_price, side = panel.barrier
        distance = side[:, None] * (jnp.log(marks[asset]) - log_price[0][:, None])
        return _Node(distance, jnp.zeros((0, *distance.shape), distance.dtype))
    read = _read(panel, lambda asset: marks[asset], tuple(range(marks.shape[0])))
    return _Node(read.excess, read.exposure)


def _variance(panel: Panel, root: jax.Array, before: _Node, after: _Node) -> jax.Array:
    """Return (pools, paths or 1) the variance of the excess inside a step."""
    if panel.barrier is not None:
        own = root[panel.barrier.asset]
        squares = (own**2).sum(axis=1)
        return squares[:, None] if root.ndim == 2 else squares
    sums = "ak,anp->knp" if root.ndim == 2 else "akp,anp->knp"
    both = [jnp.einsum(sums, root, node.exposure, precision="highest") for node in (before, after)]
    return ((both[0] ** 2).sum(axis=0) + (both[1] ** 2).sum(axis=0)) / 2


def _touch(panel: Panel, root: jax.Array, before: _Node, after: _Node) -> jax.Array:
    """Return (pools, paths) probabilities of a hit inside a step, given both ends."""
    start, end = before.excess, after.excess
    variance = jnp.broadcast_to(_variance(panel, root, before, after), end.shape)
    inside = (start > 0) & (end > 0)
    # what is divided is finite in every branch, or its derivative would be NaN
    product = jnp.where(inside, start * end, 0)
    touches = jnp.exp(-2 * product / jnp.where(variance > 0, variance, 1))
    touched = jnp.where(inside, jnp.where(variance > 0, touches, 0), 1)
    if panel.barrier is not None:
        touched = jnp.where(panel.barrier.side[:, None] != 0, touched, 0)
    return touched


def _equity(panel: Panel, mark: Marks) -> jax.Array:
    return margins(panel, lambda asset, quantity: mark(asset)).equity


def _left(
    panel: Panel, equity: jax.Array, notional: jax.Array, mark: Marks, end: Marks, fee: jax.Array
) -> jax.Array:
    """Return (pools, paths) what pools that are closed are worth at the horizon, USD.

    As ``engine.fate.close``: the fee is paid, coins are sold for what is owed, without haircut and
    in file order, and the rest of them is kept.

    Parameters
    ----------
    equity, notional
        (pools, paths) at the close, USD.
    mark, end
        Marks at the close and at the horizon.
    """
    coins = range(panel.coin_asset.shape[0])
    cash = equity - fee * notional
    for coin in coins:
        units = (panel.coin_quantity[coin] * (1 - panel.coin_haircut[coin]))[:, None]
        cash = cash - units * mark(panel.coin_asset[coin])
    owed, left = jnp.maximum(-cash, 0), jnp.maximum(cash, 0)
    for coin in coins:
        asset, quantity = panel.coin_asset[coin], panel.coin_quantity[coin][:, None]
        here = mark(asset)
        sold = jnp.minimum(owed / here, quantity)
        owed = jnp.maximum(owed - quantity * here, 0)
        after_haircut = (1 - panel.coin_haircut[coin])[:, None] * end(asset)
        left = left + (quantity - sold) * after_haircut
    return left


class _Standing(NamedTuple):
    """A panel's pools so far, (pools, paths): weights and sums over the branches that have ended.

    ``alive`` is the weight of those that go on; ``tail`` and ``mass`` are (tails, pools, paths).
    """

    alive: jax.Array
    loss: jax.Array
    tail: jax.Array
    mass: jax.Array


class _Pools(NamedTuple):
    """A panel with what is fixed for it.

    ``start`` (pools, 1) equity, ``open`` (pools, 1) whether it can be hit, ``other`` (pools, paths
    or 1) what the rest of its account loses.
    """

    panel: Panel
    aims: Aims
    start: jax.Array
    open: jax.Array
    other: jax.Array

    def leave(self, standing: _Standing, chance: jax.Array, loss: jax.Array) -> _Standing:
        """End the branch that is taken with this (pools, paths) chance, with a loss in USD."""
        weight = standing.alive * chance
        tail, mass = _tail(loss + self.other, self.aims)
        return _Standing(
            alive=standing.alive * (1 - chance),
            loss=standing.loss + weight * loss,
            tail=standing.tail + weight[None] * tail,
            mass=standing.mass + jax.lax.stop_gradient(weight[None] * mass),
        )


def _tail(loss: jax.Array, aims: Aims) -> tuple[jax.Array, jax.Array]:
    """Return (tails, pools, paths) ``(loss - v)+`` and whether a loss is in the tail.

    The second is also the slope of the first: on v itself a share between 0 and 1.
    """
    value, share = aims.value[:, :, None], aims.share[:, :, None]
    fixed = jax.lax.stop_gradient(loss)[None]
    above = fixed - value
    equal = jnp.abs(above) <= aims.window[None, :, None]
    mass = jnp.where(equal, share, (above > 0).astype(loss.dtype))
    return jnp.maximum(above, 0) + mass * (loss[None] - fixed), mass


class _Step(NamedTuple):
    """The market of one step.

    ``before`` and ``after`` (assets, paths) marks at its nodes, ``arrival`` those before its jump,
    None where there is none; ``root`` of its covariance, (assets, assets) or (..., paths);
    ``valid`` False beyond the horizon; ``end`` (assets, paths) marks at the horizon, those at the
    start if nobody has coins.
    """

    before: jax.Array
    after: jax.Array
    arrival: jax.Array | None
    root: jax.Array
    valid: jax.Array
    end: jax.Array


def _through(
    pools: _Pools, standing: _Standing, node: _Node, step: _Step, fee: jax.Array
) -> tuple[_Standing, _Node]:
    """Take a panel's pools through one step: the bridge, then the jump."""
    panel = pools.panel
    end = step.after if step.arrival is None else step.arrival
    arrived = _node(panel, end)
    can_be_hit = pools.open & step.valid
    chance = jnp.where(can_be_hit, _touch(panel, step.root, node, arrived), 0)
    mark = _mark_at_hit(panel, node, arrived, step.before, end)
    then = margins(panel, lambda asset, quantity: mark(asset))
    left = _left(panel, then.required, then.notional, mark, lambda asset: step.end[asset], fee)
    standing = pools.leave(standing, chance, pools.start - left)
    if step.arrival is None:
        return standing, arrived
    now = margins(panel, lambda asset, quantity: step.after[asset])
    fallen = (can_be_hit & (now.equity - now.required <= 0)).astype(chance.dtype)
    left = _left(
        panel,
        now.equity,
        now.notional,
        lambda asset: step.after[asset],
        lambda asset: step.end[asset],
        fee,
    )
    return pools.leave(standing, fallen, pools.start - left), _node(panel, step.after)


def _mark_at_hit(
    panel: Panel, start: _Node, end: _Node, here: jax.Array, there: jax.Array
) -> Marks:
    """Return the marks at a hit between two nodes, as ``engine.bridge`` has them."""
    if panel.barrier is not None:
        price = jnp.exp(panel.barrier.log_price[0])[:, None]
        return lambda asset: jnp.broadcast_to(price, (asset.shape[0], here.shape[1]))
    first, last = start.excess, jnp.abs(end.excess)
    whole = jnp.maximum(first, 0) + last
    share = jnp.where(first > 0, first / jnp.where(whole > 0, whole, 1), 0)
    return lambda asset: here[asset] + share * (there[asset] - here[asset])


def smooth_sums(
    model: PriceModel,
    price: jax.Array,
    world: World,
    rules: Rules,
    aims: Aims,
    rest: _Rest | None,
    seed: jax.Array,
    paths: jax.Array,
    *,
    schedule: Schedule,
) -> tuple[jax.Array, jax.Array]:
    """Return ``Slopes.value`` and ``Slopes.mass``; parameters as in ``smooth_slopes``.

    Differentiable by the model's constants and by everything in the panels.
    """
    opening = jnp.broadcast_to(price[:, None], (price.shape[0], paths.shape[0]))
    has_coins = any(panel.coin_asset.shape[0] for panel in world.panels)
    end = _last_marks(model, price, seed, paths, schedule) if has_coins else opening
    held = _held(world, aims, rest, price, schedule)
    fee = rules.fee
    standings = tuple(_at_start(pools, opening, end, fee, schedule.tolerance) for pools in held)
    nodes = tuple(_node(pools.panel, opening) for pools in held)
    start, advance = walk(model, seed, paths, schedule, _look(model))

    def one_step(carry: Any, seen: Any) -> tuple[Any, None]:
        before, nodes, standings = carry
        level, inside, valid = seen
        after = price[:, None] * jnp.exp(level)
        step = _Step(before, after, *_inside(model, price, level, inside, valid), valid, end)
        passed = [
            _through(pools, standing, node, step, fee)
            for pools, standing, node in zip(held, standings, nodes, strict=True)
        ]
        return (after, tuple(n for _, n in passed), tuple(s for s, _ in passed)), None

    def one_block(carry: Any, number: jax.Array) -> tuple[Any, None]:
        walked, tracked = carry
        walked, (levels, inside) = advance(walked, number)
        valid = number * schedule.block + jnp.arange(schedule.block) + 1 <= schedule.steps
        # backward: nothing is kept of a step but where it began
        body = jax.checkpoint(one_step, prevent_cse=False)
        return (walked, jax.lax.scan(body, tracked, (levels, inside, valid))[0]), None

    block = jax.checkpoint(one_block, prevent_cse=False)
    carry = (start, (opening, nodes, standings))
    (_, (marks, _, standings)), _ = jax.lax.scan(block, carry, jnp.arange(schedule.blocks))
    values, masses = [], []
    for pools, standing in zip(held, standings, strict=True):
        value, mass = _at_end(pools, standing, marks)
        values.append(value)
        masses.append(mass)
    count = aims.window.shape[0]
    survival, loss, *tails = (
        _collected(world, [value[kind] for value in values], count)
        for kind in range(2 + aims.value.shape[0])
    )
    if rest is not None:
        survival = survival * rest.survival
    mass = jnp.stack(
        [_collected(world, [each[tail] for each in masses], count) for tail in range(len(tails))]
    )
    return jnp.stack([1 - survival, loss, *tails]).sum(axis=2), mass.sum(axis=2)


def _look(model: PriceModel) -> Callable[[Any], Inside | None]:
    if isinstance(model, VaryingInside):
        return model.inside
    return lambda state: None


def _inside(
    model: PriceModel, price: jax.Array, level: jax.Array, inside: Inside | None, valid: jax.Array
) -> tuple[jax.Array | None, jax.Array]:
    """Return the (assets, paths) marks before a step's jump, None without, and its root."""
    if inside is None:
        return None, model.covariance_root
    root = inside.root[:, :, 0] if inside.root.shape[2] == 1 else inside.root
    if inside.jump.shape[1] != level.shape[1]:
        return None, root
    # beyond the horizon nothing moves
    return price[:, None] * jnp.exp(level - jnp.where(valid, inside.jump, 0)), root


def _last_marks(
    model: PriceModel, price: jax.Array, seed: jax.Array, paths: jax.Array, schedule: Schedule
) -> jax.Array:
    """Return (assets, paths) marks at the horizon, which coins that are kept are worth."""
    start, advance = walk(model, seed, paths, schedule)

    def one_block(walked: Any, number: jax.Array) -> tuple[Any, None]:
        return advance(walked, number)[0], None

    (_, level), _ = jax.lax.scan(one_block, start, jnp.arange(schedule.blocks))
    return price[:, None] * jnp.exp(level)


def _held(
    world: World, aims: Aims, rest: _Rest | None, price: jax.Array, schedule: Schedule
) -> tuple[_Pools, ...]:
    """Return every panel with its aims and what it starts from."""
    value, share, window = (_dealt(world, each) for each in (aims.value, aims.share, aims.window))
    if rest is None:
        others = [jnp.zeros((panel.pools, 1), price.dtype) for panel in world.panels]
    else:
        others = [each.T for each in _dealt(world, rest.loss.T)]
    held = []
    for place, panel in enumerate(world.panels):
        now = margins(panel, lambda asset, quantity: price[asset][:, None])
        own = Aims(value[place], share[place], window[place])
        held.append(_Pools(panel, own, now.equity, now.notional > 0, others[place]))
    return tuple(held)


def _at_start(
    pools: _Pools, opening: jax.Array, end: jax.Array, fee: jax.Array, tolerance: float
) -> _Standing:
    """Return the standings after the look at t = 0, at which who is in breach is closed."""
    panel = pools.panel
    now = margins(panel, lambda asset, quantity: opening[asset])
    broken = in_breach(*now, tolerance).astype(opening.dtype)
    left = _left(panel, now.equity, now.notional, lambda a: opening[a], lambda a: end[a], fee)
    nothing = jnp.zeros_like(now.equity)
    tails = jnp.zeros((pools.aims.value.shape[0], *nothing.shape), nothing.dtype)
    standing = _Standing(nothing + 1, nothing, tails, tails)
    return pools.leave(standing, broken, pools.start - left)


def _at_end(
    pools: _Pools, standing: _Standing, marks: jax.Array
) -> tuple[list[jax.Array], jax.Array]:
    """Return [survival, loss, tails] of (pools, paths), and the mass, when all branches ended."""
    survival = standing.alive
    lost = pools.start - _equity(pools.panel, lambda asset: marks[asset])
    ended = pools.leave(standing, jnp.ones_like(survival), lost)
    return [survival, ended.loss, *ended.tail], ended.mass
