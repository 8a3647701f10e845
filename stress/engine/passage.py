"""First passage: when does each pool first breach on each path, without feedback on prices.

Pools do not influence each other, so each is followed until its first breach and then closed whole.
The excess of a pool (equity minus maintenance margin) is a concave, piecewise linear function of
the marks, increasing in the marks of longs and coins and decreasing in those of shorts. Time goes
in blocks of steps, and each block in three moves:

* **bound**: the excess at the worst corner of the box spanned by the block's lowest and highest
  marks is a lower bound of the excess anywhere in the block. A (pool, path) pair whose bound is
  safely positive cannot breach in the block and is left alone.
* **survivors**: the other pairs are gathered, some hundred at a time.
* **exact**: they are evaluated at every step, with the same sums in the same order as everywhere.

The bound is widened by more than the rounding of either evaluation, so the result is that of
evaluating every pool at every step.

Pools are looked at at the steps, between them too (``engine.bridge``), or at the worst marks of
each step's bar (``engine.bars``).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from stress.engine.bars import bar_verdict
from stress.engine.block import Block, Rules, Schedule
from stress.engine.bridge import bridge_verdict, may_cross
from stress.engine.fate import Closed, Fate, Verdict, close
from stress.engine.panels import Margins, Panel, World, margins, own_mark
from stress.engine.paths import Walk, walk
from stress.engine.survivors import Exact, each_survivor
from stress.engine.till import Purse, Till, empty_till, settle
from stress.keys import BRIDGE, path_keys, step_normals
from stress.margin import in_breach, margin_call
from stress.market import PriceModel, VaryingInside, WithExtremes

__all__ = ["Outcome", "first_passage"]


class Outcome(NamedTuple):
    """What became of the pools of one world, (pools, paths) in the order of ``Pools``.

    Attributes
    ----------
    step
        First breach; 0 is the start, -1 never.
    called
        Whether the margin ratio reached the warning level.
    equity
        At the horizon, USD, coins after haircut.
    deficit
        What the pool still owed after it was closed and its coins were sold, USD.
    closed
        Notional closed, USD.
    closed_by_asset
        (assets, paths) the same by asset.
    fund, drawn, uncovered
        (paths,) balance of the insurance fund at the horizon, what it paid, and what nobody paid,
        USD.
    exhausted
        (paths,) whether a deficit was not paid in full out of the fund.
    survival, calm
        Log probability, given the path's nodes, of no breach and of no margin call. No pools but
        under ``bridge`` monitoring.
    least_excess
        Least excess at any look while the pool was open, inf without positions. No pools unless
        the schedule asks for it.
    """

    step: jax.Array
    called: jax.Array
    equity: jax.Array
    deficit: jax.Array
    closed: jax.Array
    closed_by_asset: jax.Array
    fund: jax.Array
    drawn: jax.Array
    uncovered: jax.Array
    exhausted: jax.Array
    survival: jax.Array
    calm: jax.Array
    least_excess: jax.Array


class _Tracked(NamedTuple):
    """What is carried from block to block for one world."""

    fates: tuple[Fate, ...]
    traded: jax.Array
    purse: Purse


Carry: TypeAlias = tuple[Walk, jax.Array, tuple[_Tracked, ...]]


@partial(jax.jit, static_argnames=("schedule",))
def first_passage(
    model: PriceModel,
    price: jax.Array,
    worlds: tuple[World, ...],
    rules: Rules,
    seed: jax.Array,
    paths: jax.Array,
    *,
    schedule: Schedule,
) -> tuple[tuple[Outcome, ...], jax.Array]:
    """Follow all pools of all worlds along one block of paths.

    Parameters
    ----------
    model
        Price model in the schedule's precision.
    price
        (assets,) marks at the start, USD.
    worlds
        The worlds, which share the paths.
    rules
        Fee and warning level.
    seed, paths
        Seed and (paths,) path numbers, unsigned 32-bit.
    schedule
        Static: steps, monitoring, precision, what else to return.

    Returns
    -------
    outcomes
        One a world.
    mark_end
        (assets, paths) marks at the horizon, USD.
    """
    start, advance = walk(model, seed, paths, schedule, _look(model, schedule))
    bridge_keys = path_keys(seed, BRIDGE, paths)
    opening = jnp.broadcast_to(price[:, None], (price.shape[0], paths.shape[0]))

    def marks_at(levels: jax.Array) -> jax.Array:
        return price[None, :, None] * jnp.exp(levels)

    def through_block(carry: Carry, number: jax.Array) -> tuple[Carry, None]:
        walked, marks, tracked = carry
        walked, (levels, seen) = advance(walked, number)
        nodes = jnp.concatenate([marks[None], marks_at(levels)])
        steps = number * schedule.block + jnp.arange(schedule.block) + 1
        block = Block(
            marks=jnp.moveaxis(nodes, 0, 2),
            first=steps[0],
            valid=steps <= schedule.steps,
            bridge=_bridge_normals(bridge_keys, steps, price.shape[0], schedule),
            root=model.covariance_root,
        )
        block = _looked_into(block, model, levels, seen, marks_at, schedule)
        tracked = tuple(
            _follow(world, before, block, rules, schedule)
            for world, before in zip(worlds, tracked, strict=True)
        )
        return (walked, nodes[-1], tracked), None

    tracked = tuple(_at_start(world, opening, rules, schedule) for world in worlds)
    (_, marks, tracked), _ = jax.lax.scan(
        through_block, (start, opening, tracked), jnp.arange(schedule.blocks)
    )
    ends = zip(worlds, tracked, strict=True)
    return tuple(_collect(world, end, marks) for world, end in ends), marks


def _look(model: PriceModel, schedule: Schedule) -> Callable[[Any], Any]:
    """Return what is wanted of the model's state after each step."""
    if schedule.monitoring == "bridge" and isinstance(model, VaryingInside):
        return model.inside
    if schedule.monitoring == "extremes":
        assert isinstance(model, WithExtremes)  # the runner refuses others
        return model.extremes
    return lambda state: None


def _looked_into(
    block: Block,
    model: PriceModel,
    levels: jax.Array,
    seen: Any,
    marks_at: Callable[[jax.Array], jax.Array],
    schedule: Schedule,
) -> Block:
    """Return the block with what was ``seen`` of its steps: roots and jumps, or bars.

    ``levels`` are log prices, (steps, assets, paths), and ``marks_at`` makes marks of them, USD.
    """

    def marks(moved: jax.Array) -> jax.Array:
        return jnp.moveaxis(marks_at(levels + moved), 0, 2)

    if schedule.monitoring == "bridge" and isinstance(model, VaryingInside):
        # one column for all paths says that no step has a jump; of one path either may be meant
        if seen.jump.shape[2] < levels.shape[2]:
            return block._replace(root=seen.root)
        # beyond the horizon nothing moves
        jump = jnp.where(block.valid[:, None, None], seen.jump, 0)
        return block._replace(root=seen.root, arrivals=marks(-jump))
    if schedule.monitoring == "extremes":
        low, high = (jnp.where(block.valid[:, None, None], of, 0) for of in seen)
        return block._replace(bar=(marks(low), marks(high)))
    return block


def _bridge_normals(
    keys: jax.Array, steps: jax.Array, assets: int, schedule: Schedule
) -> jax.Array:
    """Return (assets, paths, steps) independent normals; of no size where nothing is bridged."""
    count = assets if schedule.monitoring == "bridge" else 0
    normals = step_normals(keys, steps, count).astype(jnp.dtype(schedule.precision))
    return jnp.moveaxis(normals, 0, 2)


def _at_start(world: World, opening: jax.Array, rules: Rules, schedule: Schedule) -> _Tracked:
    """Return the fates after the look at t = 0."""
    till = empty_till(jnp.zeros_like(opening), jnp.zeros((), jnp.int32), 1)
    fates = []
    for panel in world.panels:
        fate, till = _panel_at_start(panel, opening, till, rules, schedule)
        fates.append(fate)
    nothing = jnp.zeros_like(opening[0])
    purse = Purse(nothing + rules.fund, nothing, jnp.zeros(nothing.shape, bool), nothing)
    return _Tracked(tuple(fates), till.traded, settle(purse, till, rules.fee))


def _panel_at_start(
    panel: Panel, opening: jax.Array, till: Till, rules: Rules, schedule: Schedule
) -> tuple[Fate, Till]:
    """Close the pools in breach at the starting marks; also return the till with their trades."""
    price = opening[:, :1]
    now = margins(panel, lambda asset, quantity: price[asset])
    broken = in_breach(*now, schedule.tolerance)
    called = margin_call(*now, rules.warning)
    excess = jnp.where(now.notional > 0, now.equity - now.required, jnp.inf)
    closed = close(panel, now, now.equity, price, rules.fee)
    nothing = jnp.zeros_like(now.equity)
    open_pool = Closed(panel.cash[:, None], panel.coin_quantity[:, :, None], nothing, nothing)

    def on_all_paths(leaf: jax.Array) -> jax.Array:
        return jnp.broadcast_to(leaf, (*leaf.shape[:-1], opening.shape[1]))

    def only_if(asked: bool, leaf: jax.Array) -> jax.Array:
        return leaf.astype(opening.dtype) if asked else jnp.zeros((0, 1), opening.dtype)

    bridged = schedule.monitoring == "bridge"
    fate = Fate(
        step=jnp.where(broken, 0, -1).astype(jnp.int32),
        called=called,
        closed=closed.where(broken, open_pool),
        # one exactly at its requirement is safe now, and hit in the first step
        survival=only_if(bridged, jnp.where(broken, -jnp.inf, 0.0)),
        calm=only_if(bridged, jnp.where(called, -jnp.inf, 0.0)),
        least_excess=only_if(schedule.least_excess, excess),
    )
    by_slot = jnp.where(broken[:, 0], jnp.abs(panel.quantity) * price[panel.asset, 0], 0)
    traded = jnp.zeros_like(price[:, 0]).at[panel.asset].add(by_slot)
    sells = (panel.coin_quantity > 0).any(axis=0)
    owed = jnp.where(broken, closed.deficit, 0)[:, 0]
    till = till._replace(
        traded=till.traded + traded[:, None],
        notional=till.notional + by_slot.sum(),
        owed=till.owed + jnp.where(sells, 0, owed).sum(),
        owed_late=till.owed_late + jnp.where(sells, owed, 0).sum(),
    )
    return jax.tree.map(on_all_paths, fate), till


def _follow(
    world: World,
    before: _Tracked,
    block: Block,
    rules: Rules,
    schedule: Schedule,
) -> _Tracked:
    """Take a world's pools through a time block: bound, survivors, exact."""
    exact, work = _exact(block, rules, schedule)
    fates, till = [], empty_till(before.traded, block.first, schedule.block)
    for panel, fate in zip(world.panels, before.fates, strict=True):
        # a pool without positions cannot breach: nothing to compile, nothing to run
        if panel.asset.shape[0]:
            wanted = _wanted(panel, fate, block, rules, schedule)
            fate, till = each_survivor(panel, fate, wanted, till, exact, work=work)
        fates.append(fate)
    return _Tracked(tuple(fates), till.traded, settle(before.purse, till, rules.fee))


def _exact(block: Block, rules: Rules, schedule: Schedule) -> tuple[Exact, int]:
    """Return what evaluates pairs at every step of a block, and the numbers it holds per pair."""
    assets, _, nodes = block.marks.shape
    if schedule.monitoring == "bridge":
        # loadings on every asset
        return partial(bridge_verdict, block=block, rules=rules), nodes * assets
    tolerance = schedule.tolerance
    if schedule.monitoring == "extremes":
        # which end of its bar is the worse one, of every asset
        exact = partial(bar_verdict, block=block, rules=rules, tolerance=tolerance)
        return exact, nodes * assets
    return partial(step_verdict, block=block, rules=rules, tolerance=tolerance), nodes


def _wanted(panel: Panel, fate: Fate, block: Block, rules: Rules, schedule: Schedule) -> jax.Array:
    """Return (pools, paths) the pairs that must be evaluated at every step of the block."""
    bridged = schedule.monitoring == "bridge"
    alive = fate.survival > -jnp.inf if bridged else fate.step < 0
    worst = _worst(panel, block.touched)
    if schedule.least_excess:
        return alive & (worst.notional > 0)
    slack = _slack(panel, worst, schedule.tolerance)
    if bridged:
        return alive & may_cross(panel, worst, slack, block, rules.warning)
    may_breach = worst.equity - worst.required < slack
    may_be_called = rules.warning * worst.equity - worst.required < slack
    return alive & (worst.notional > 0) & (may_breach | (~fate.called & may_be_called))


def _worst(panel: Panel, marks: jax.Array) -> Margins:
    """Return margins at the worst corner of the box of a block's marks, (pools, paths).

    Profit less requirement of a long rises with its mark, because rates are below the warning level
    and hence below 1; that of a short falls, and a coin's value rises. So each slot is worst at the
    low or the high of its asset, and the sum over slots is nowhere in the box below the sum at
    those corners. The same holds for the warning level times equity, less requirement.
    """
    corners = jnp.stack([marks.min(axis=2), marks.max(axis=2)])
    return margins(panel, lambda asset, quantity: corners[(quantity < 0).astype(int), asset])


def _slack(panel: Panel, worst: Margins, tolerance: float) -> jax.Array:
    """Return more than the rounding of an excess: some units in the last place of its terms."""
    entries = (jnp.abs(panel.quantity) * panel.entry).sum(axis=0)
    gross = jnp.abs(panel.cash) + entries
    return 4 * tolerance * (gross[:, None] + worst.notional + jnp.abs(worst.equity))


def step_verdict(
    panel: Panel, paths: jax.Array, *, block: Block, rules: Rules, tolerance: float
) -> Verdict:
    """Evaluate pairs at every grid point of a block; close the pools that breach.

    Parameters
    ----------
    panel
        (pairs,) pools, one a pair.
    paths
        (pairs,) the pair's path, as an index into the block of paths.
    """
    marks = block.marks[:, :, 1:]
    now = margins(panel, lambda asset, quantity: marks[asset, paths])
    broken = in_breach(*now, tolerance)
    hit = broken.any(axis=1, keepdims=True)
    first = jnp.argmax(broken, axis=1)[:, None]
    open_steps = jnp.arange(broken.shape[1])[None] <= jnp.where(hit, first, broken.shape[1])
    called = margin_call(*now, rules.warning) & open_steps
    at_breach = marks[:, paths, first[:, 0]]
    then = margins(panel, lambda asset, quantity: own_mark(at_breach, asset))
    never = jnp.zeros_like(now.equity[:, :1])
    return Verdict(
        hit=hit,
        step=block.first + first,
        called=called.any(axis=1, keepdims=True),
        closed=close(panel, then, then.equity, at_breach, rules.fee),
        marks=at_breach,
        survival=never,
        calm=never,
        excess=jnp.where(open_steps, now.equity - now.required, jnp.inf).min(1, keepdims=True),
    )


def _collect(world: World, tracked: _Tracked, marks: jax.Array) -> Outcome:
    """Join the panels of a world and value what is left at the horizon."""
    fates = tracked.fates
    equity = [
        _equity_at_end(panel, fate, marks) for panel, fate in zip(world.panels, fates, strict=True)
    ]

    def joined(parts: list[jax.Array]) -> jax.Array:
        whole = jnp.concatenate(parts)
        return whole[world.order] if whole.shape[0] else whole

    return Outcome(
        step=joined([fate.step for fate in fates]),
        called=joined([fate.called for fate in fates]),
        equity=joined(equity),
        deficit=joined([fate.closed.deficit for fate in fates]),
        closed=joined([fate.closed.notional for fate in fates]),
        closed_by_asset=tracked.traded,
        fund=tracked.purse.fund,
        drawn=tracked.purse.drawn,
        uncovered=tracked.purse.uncovered,
        exhausted=tracked.purse.exhausted,
        survival=joined([fate.survival for fate in fates]),
        calm=joined([fate.calm for fate in fates]),
        least_excess=joined([fate.least_excess for fate in fates]),
    )


def _equity_at_end(panel: Panel, fate: Fate, marks: jax.Array) -> jax.Array:
    now = margins(panel, lambda asset, quantity: marks[asset])
    left = fate.closed.cash
    for coin in range(panel.coin_asset.shape[0]):
        after_haircut = (1 - panel.coin_haircut[coin])[:, None] * marks[panel.coin_asset[coin]]
        left = left + fate.closed.coins[coin] * after_haircut
    return jnp.where(fate.step >= 0, left, now.equity)
