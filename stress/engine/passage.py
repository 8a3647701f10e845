"""First passage: when does each pool first breach on each path, without feedback on prices.

Pools do not influence each other, so each is followed until its first breach and then closed whole.
The excess of a pool (equity minus maintenance margin) is a concave, piecewise linear function of
the marks, increasing in the marks of longs and coins and decreasing in those of shorts. Time goes
in blocks of steps, and each in three moves:

* **bound** (``engine.lines``): a linear lower bound of the excess over the box spanned by the
  lowest and highest marks of some blocks together, a *leg*. A (pool, path) pair whose bound is
  positive can neither breach nor be called in the leg and is left alone.
* **survivors** (``engine.survivors``): the other pairs are gathered, some hundred at a time, and
  bounded again in each block by itself.
* **exact**: what is left is evaluated at every step of its block, with the same sums in the same
  order as everywhere.

The bound is widened by more than the rounding of either evaluation, so the result is that of
evaluating every pool at every step.

Pools are looked at at the steps, between them too (``engine.bridge``), or at the worst marks of
each step's bar (``engine.bars``).
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from stress.engine.bars import bar_verdict
from stress.engine.block import At, Leg, Rules, Schedule
from stress.engine.bridge import barrier_doubts, bridge_verdict, most_deviation
from stress.engine.fate import Closed, Fate, Verdict, close
from stress.engine.legs import Market, market_legs
from stress.engine.lines import NEGLIGIBLE, corners, draw_lines, in_doubt
from stress.engine.panels import Panel, World, margins, own_mark
from stress.engine.survivors import Doubt, Exact, each_survivor
from stress.engine.till import Purse, Till, empty_till, settle
from stress.margin import in_breach, margin_call
from stress.market import PriceModel

__all__ = ["Outcome", "first_passage"]


class Outcome(NamedTuple):
    """What became of the pools of one world, (pools, paths) in the order of ``World.order``.

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
    fund_need
        (paths,) the least balance at the start that pays every deficit, USD.
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
    fund_need: jax.Array
    survival: jax.Array
    calm: jax.Array
    least_excess: jax.Array

    def of(self, pools: int) -> Outcome:
        """Return the outcome of the first so many pools: ``World.order`` is rounded up."""
        return self._replace(**{name: getattr(self, name)[:pools] for name in _BY_POOL})


_BY_POOL = (
    "step",
    "called",
    "equity",
    "deficit",
    "closed",
    "survival",
    "calm",
    "least_excess",
)


class _Tracked(NamedTuple):
    """What is carried from block to block for one world."""

    fates: tuple[Fate, ...]
    traded: jax.Array
    purse: Purse


_Legs: TypeAlias = tuple[Market, tuple[_Tracked, ...]]


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
    legs = market_legs(model, price, seed, paths, schedule)

    def through_leg(carry: _Legs, number: jax.Array) -> tuple[_Legs, None]:
        market, tracked = carry
        market, leg = legs.advance(market, number)
        tracked = tuple(
            _follow(world, then, leg, price, rules, schedule)
            for world, then in zip(worlds, tracked, strict=True)
        )
        return (market, tracked), None

    tracked = tuple(_at_start(world, legs.start.marks, rules, schedule) for world in worlds)
    (market, tracked), _ = jax.lax.scan(through_leg, (legs.start, tracked), jnp.arange(legs.total))
    marks = market.marks
    ends = zip(worlds, tracked, strict=True)
    return tuple(_collect(world, end, marks) for world, end in ends), marks


def _at_start(world: World, opening: jax.Array, rules: Rules, schedule: Schedule) -> _Tracked:
    """Return the fates after the look at t = 0."""
    till = empty_till(jnp.zeros_like(opening), jnp.zeros((), jnp.int32), 1)
    fates = []
    for panel in world.panels:
        fate, till = _panel_at_start(panel, opening, till, rules, schedule)
        fates.append(fate)
    purse = Purse.full(rules.fund, opening.shape[1])
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
    leg: Leg,
    price: jax.Array,
    rules: Rules,
    schedule: Schedule,
) -> _Tracked:
    """Take a world's pools through a leg: bound, survivors, exact."""
    exact, work = _exact(leg, rules, schedule)
    fates, till = [], empty_till(before.traded, leg.first, leg.valid.size)
    for panel, fate in zip(world.panels, before.fates, strict=True):
        # a pool without positions cannot breach: nothing to compile, nothing to run
        if panel.asset.shape[0]:
            wanted, doubt = _bound(panel, leg, price, rules, schedule)
            fate, till = each_survivor(
                panel, fate, wanted & fate.is_followed, till, doubt, exact, work=work
            )
        fates.append(fate)
    return _Tracked(tuple(fates), till.traded, settle(before.purse, till, rules.fee))


def _exact(leg: Leg, rules: Rules, schedule: Schedule) -> tuple[Exact, int]:
    """Return what evaluates pairs at every step of a block, and the numbers it holds per pair."""
    assets, _, _, steps = leg.marks.shape
    if schedule.monitoring == "bridge":
        # loadings on every asset
        return partial(bridge_verdict, leg=leg, rules=rules), steps * assets
    tolerance = schedule.tolerance
    if schedule.monitoring == "extremes":
        # which end of its bar is the worse one, of every asset
        exact = partial(bar_verdict, leg=leg, rules=rules, tolerance=tolerance)
        return exact, steps * assets
    return partial(step_verdict, leg=leg, rules=rules, tolerance=tolerance), steps


def _bound(
    panel: Panel, leg: Leg, price: jax.Array, rules: Rules, schedule: Schedule
) -> tuple[jax.Array, Doubt]:
    """Return (pools, paths) who may be called or breach in a leg, and what bounds its blocks."""
    low, high = leg.low.min(axis=2), leg.high.max(axis=2)
    if schedule.least_excess:
        everyone = (panel.quantity != 0).any(axis=0)

        def all_blocks(pools: jax.Array, some: Panel, paths: jax.Array) -> jax.Array:
            shape = (2, paths.shape[0], leg.low.shape[2])
            return jnp.broadcast_to(everyone[pools][None, :, None], shape)

        return jnp.broadcast_to(everyone[:, None], (panel.pools, low.shape[1])), all_blocks
    bridged, reach = schedule.monitoring == "bridge", None
    if bridged:
        deviations = (NEGLIGIBLE[schedule.precision] / 2) ** 0.5
        reach = deviations * most_deviation(leg.root)
        reach = jnp.broadcast_to(reach, leg.low.shape)
    if panel.barrier is not None:
        assert reach is not None  # only bridges ask for barriers
        return _bound_by_barriers(panel, leg, reach)
    lines = draw_lines(panel, price, rules.warning, tolerance=schedule.tolerance, bridged=bridged)
    furthest = None if reach is None else reach.max(axis=2)
    whole = corners(low, high, price[:, None], furthest)
    by_block = corners(leg.low, leg.high, price[:, None, None], reach)

    def doubt(pools: jax.Array, some: Panel, paths: jax.Array) -> jax.Array:
        return in_doubt(lines.take(pools).of_pairs(by_block, paths))

    return in_doubt(lines.of_call(whole)), doubt


def _bound_by_barriers(panel: Panel, leg: Leg, reach: jax.Array) -> tuple[jax.Array, Doubt]:
    """Return the same for pools that one price of one asset liquidates, under bridges."""
    barrier = panel.barrier
    assert barrier is not None
    whole = barrier_doubts(
        barrier,
        leg.low.min(axis=2)[barrier.asset],
        leg.high.max(axis=2)[barrier.asset],
        reach.max(axis=2)[barrier.asset],
    )
    has_positions = (panel.quantity != 0).any(axis=0)

    def doubt(pools: jax.Array, some: Panel, paths: jax.Array) -> jax.Array:
        assert some.barrier is not None
        here = (some.barrier.asset, paths)
        return barrier_doubts(some.barrier, leg.low[here], leg.high[here], reach[here])

    return whole.any(axis=0) & has_positions[:, None], doubt


def step_verdict(panel: Panel, at: At, *, leg: Leg, rules: Rules, tolerance: float) -> Verdict:
    """Evaluate pairs at every grid point of a block; close the pools that breach.

    Parameters
    ----------
    panel
        (pairs,) pools, one a pair.
    at
        (pairs,) the pair's path and block.
    """
    now = margins(panel, lambda asset, quantity: leg.ends(asset, at))
    broken = in_breach(*now, tolerance)
    hit = broken.any(axis=1, keepdims=True)
    first = jnp.argmax(broken, axis=1).astype(jnp.int32)[:, None]
    open_steps = jnp.arange(broken.shape[1], dtype=jnp.int32)[None] <= jnp.where(
        hit, first, broken.shape[1]
    )
    called = margin_call(*now, rules.warning) & open_steps
    at_breach = leg.marks[:, at.path, at.block, first[:, 0]]
    then = margins(panel, lambda asset, quantity: own_mark(at_breach, asset))
    never = jnp.zeros_like(now.equity[:, :1])
    return Verdict(
        hit=hit,
        step=leg.step(at, first),
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
        fund_need=tracked.purse.need,
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
