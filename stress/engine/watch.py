"""Which pools must be looked at: the others are certified safe as long as marks stay in a box.

Judging every pool on every path at every look would spend almost all its time on pools that are far
from anything. So the engine keeps a *watch*: a box of log marks, and the list of the (pool, column)
pairs that could breach, be called, top up or stop out somewhere in the box. For a listed pair it
keeps a linear lower bound of its excess over the box (the tier tables are convex: their chord lies
above them), so that a look costs a few multiplications a pair and only doubtful pairs are judged
exactly. When marks leave the box, or something else than a batch touches a pool, the watch is stale
and is made anew. All bounds are widened by more than rounding, so the answer is that of judging
every pool at every look. (Molecular dynamics does the same with neighbour lists: Verlet 1967.)
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from stress.engine.pairs import each_chunk, locate
from stress.margin import maintenance
from stress.venue.holdings import Fates, Holdings, Ledger, gather
from stress.venue.judged import judge
from stress.venue.rules import VenueRules

__all__ = ["HEALTHY", "Watch", "doubtful", "no_watch", "rebuild", "refresh"]

HEALTHY = 0.5
"""Margin ratio below which a position, valued as its isolated counterpart, looks healthy."""

_WORD = 32
"""Columns whose wanted pairs are counted together."""
_CHUNK = 4096
"""Listed pairs that are bounded at once."""
_JUDGED = 128
"""Pairs that are judged at once: few are doubtful at any look."""
_LISTED = 1024
"""Pairs that are listed at once."""
_EXACT = 1 << 14
"""Positions of as many pairs at most."""


_Sums: TypeAlias = tuple[jax.Array, jax.Array, jax.Array, jax.Array]


class Watch(NamedTuple):
    """The box and the list.

    Attributes
    ----------
    low, high
        (assets, columns) log marks, relative to the start, between which unlisted pools are safe.
    low_mark, high_mark
        (assets, columns) the same as marks, USD.
    stale
        Whether the watch must be made anew before the next look.
    length
        Number of listed pairs.
    pool, column
        (capacity,) the pairs, widest pools first.
    place
        (slots + coins, capacity) where the mark of each position and coin stands in the flattened
        (assets, columns) marks.
    slope, level
        (slots + coins, capacity), (capacity,) the bound: ``level + sum slope * mark``, USD; below 0
        the pair is judged.
    """

    low: jax.Array
    high: jax.Array
    low_mark: jax.Array
    high_mark: jax.Array
    stale: jax.Array
    length: jax.Array
    pool: jax.Array
    column: jax.Array
    place: jax.Array
    slope: jax.Array
    level: jax.Array


def no_watch(holdings: Holdings, box: jax.Array) -> Watch:
    """Return a stale watch for ``box``-shaped marks, (assets, columns)."""
    capacity = -(-holdings.pools * box.shape[1] // _CHUNK) * _CHUNK
    lines = holdings.slots + holdings.coin_rows.shape[0]
    return Watch(
        low=jnp.zeros_like(box),
        high=jnp.zeros_like(box),
        low_mark=jnp.zeros_like(box),
        high_mark=jnp.zeros_like(box),
        stale=jnp.ones((), bool),
        length=jnp.zeros((), jnp.int32),
        pool=jnp.zeros((capacity,), jnp.int32),
        column=jnp.zeros((capacity,), jnp.int32),
        place=jnp.zeros((lines, capacity), jnp.int32),
        slope=jnp.zeros((lines, capacity), box.dtype),
        level=jnp.zeros((capacity,), box.dtype),
    )


def exact_chunk(holdings: Holdings) -> int:
    """Return how many pairs are judged at once."""
    return _fitting(holdings, _JUDGED)


def _fitting(holdings: Holdings, most: int) -> int:
    return max(32, min(most, _EXACT // max(holdings.slots, 1)))


def rebuild(
    watch: Watch,
    holdings: Holdings,
    ledger: Ledger,
    fates: Fates,
    rules: VenueRules,
    box: tuple[jax.Array, jax.Array],
    price: jax.Array,
    *,
    tolerance: float,
    everyone: bool,
) -> Watch:
    """Return the watch of a new box.

    Parameters
    ----------
    box
        (assets, columns) lowest and highest log marks, relative to the start.
    price
        (assets,) marks at the start, USD.
    tolerance
        Relative tolerance of a breach.
    everyone
        List every pool that can be looked at, and judge it at every look.
    """
    low_mark, high_mark = (price[:, None] * jnp.exp(of) for of in box)
    wanted = _wanted(holdings, ledger, rules, low_mark, high_mark, tolerance, everyone)
    columns = wanted.shape[1]
    word = _WORD if columns % _WORD == 0 else columns
    words = wanted.reshape(-1, word)
    ends = jnp.cumsum(words.sum(axis=1, dtype=jnp.int32))
    empty = watch._replace(
        low=box[0],
        high=box[1],
        low_mark=low_mark,
        high_mark=high_mark,
        stale=jnp.zeros((), bool),
        length=jnp.where(ends.size, ends[-1], 0),
    )

    def enlist(watch: Watch, numbers: jax.Array, valid: jax.Array) -> Watch:
        place, bit = locate(words, ends, numbers)
        cell = place * word + bit
        pool, column = holdings.by_width[cell // columns], cell % columns
        slots = jnp.where(valid, numbers, watch.pool.shape[0])
        watch = watch._replace(
            pool=watch.pool.at[slots].set(pool, mode="drop"),
            column=watch.column.at[slots].set(column, mode="drop"),
        )
        return _draw_lines(
            watch, slots, pool, column, holdings, ledger, fates, rules, tolerance, everyone
        )

    return each_chunk(empty.length, _fitting(holdings, _LISTED), enlist, empty)


def refresh(
    watch: Watch,
    slots: jax.Array,
    holdings: Holdings,
    ledger: Ledger,
    fates: Fates,
    rules: VenueRules,
    *,
    tolerance: float,
    everyone: bool,
) -> Watch:
    """Return the watch with the bounds of some listed pairs drawn anew: they have traded.

    ``slots`` are places in the list, (pairs,); one beyond its end is dropped.
    """
    pool, column = watch.pool[slots], watch.column[slots]
    return _draw_lines(
        watch, slots, pool, column, holdings, ledger, fates, rules, tolerance, everyone
    )


def doubtful(
    watch: Watch, holdings: Holdings, views: jax.Array, slots: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Return the places of the pairs that must be judged, and how many there are.

    Parameters
    ----------
    views
        (views, assets, columns) all marks at which somebody may judge a pool, USD.
    slots
        (capacity,) array to write the places into.
    """
    flat = views.reshape(views.shape[0], -1)
    lines = jnp.asarray(watch.place.shape[0], jnp.int32)
    widest = jnp.asarray(holdings.slots, jnp.int32)
    width = (holdings.rows < holdings.asset.shape[0] - 1).sum(axis=0, dtype=jnp.int32)

    def look(
        found: tuple[jax.Array, jax.Array], numbers: jax.Array, valid: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        slots, count = found
        first = numbers[0]
        level = jax.lax.dynamic_slice_in_dim(watch.level, first, _CHUNK)

        def add_line(line: jax.Array, bounds: jax.Array) -> jax.Array:
            at = (line.astype(jnp.int32), first)
            place = jax.lax.dynamic_slice(watch.place, at, (1, _CHUNK))[0]
            slope = jax.lax.dynamic_slice(watch.slope, at, (1, _CHUNK))[0]
            return bounds + slope[None] * flat[:, place]

        bounds = jnp.broadcast_to(level[None], (flat.shape[0], _CHUNK))
        # pairs stand in the order of their widths: the first of a chunk is the widest
        here = width[watch.pool[first]]
        bounds = jax.lax.fori_loop(0, here, add_line, bounds)
        bounds = jax.lax.fori_loop(widest, lines, add_line, bounds)
        doubt = (bounds.min(axis=0) < 0) & valid
        rank = count + jnp.cumsum(doubt, dtype=jnp.int32) - 1
        slots = slots.at[jnp.where(doubt, rank, slots.shape[0])].set(numbers, mode="drop")
        return slots, count + doubt.sum(dtype=jnp.int32)

    return each_chunk(watch.length, _CHUNK, look, (slots, jnp.zeros((), jnp.int32)))


def _caution(holdings: Holdings, rules: VenueRules) -> jax.Array:
    """Return (pools,) the multiple of equity that is held against the requirement in bounds."""
    return jnp.minimum(jnp.minimum(rules.warning, holdings.trigger), 1)


def _wanted(
    holdings: Holdings,
    ledger: Ledger,
    rules: VenueRules,
    low: jax.Array,
    high: jax.Array,
    tolerance: float,
    everyone: bool,
) -> jax.Array:
    """Return (pools by width, columns) the pairs that the worst corner of a box does not clear.

    Profit less requirement of a long rises with its mark, because rates are below the caution (a
    pool for which they may not be is always watched), that of a short falls, and a coin's value
    rises: each position is worst at one end of its asset's range.
    """
    order = holdings.by_width
    corners = jnp.concatenate([low, high])
    corner = holdings.asset + jnp.where(holdings.quantity < 0, low.shape[0], 0)
    tables = rules.tables
    cash = ledger.cash[order]
    zero = jnp.zeros_like(cash)
    equity, required, turnover, stopped = cash, zero, zero, jnp.zeros(cash.shape, bool)

    for first, end, count in holdings.widths:
        rows = holdings.rows[first:end][:, order[:count]]

        def add_slot(sums: _Sums, row: jax.Array) -> tuple[_Sums, None]:
            equity, required, turnover, stopped = sums
            quantity, mark = ledger.quantity[row], corners[corner[row]]
            notional = jnp.abs(quantity) * mark
            profit = quantity * (mark - holdings.entry[row][:, None])
            asset = holdings.asset[row]
            need = maintenance(
                notional,
                tables.requirement_rate[asset][:, None, :],
                tables.requirement_amount[asset][:, None, :],
            )
            fires = jnp.sign(quantity) * (holdings.stop[row][:, None] - mark) >= 0
            added = (
                equity + profit,
                required + jnp.where(quantity != 0, need, 0),
                turnover + notional + jnp.abs(profit),
                stopped | (fires & (quantity != 0)) if holdings.has_stops else stopped,
            )
            return added, None

        part = (equity[:count], required[:count], turnover[:count], stopped[:count])
        part, _ = jax.lax.scan(add_slot, part, rows)
        equity, required, turnover, stopped = (
            jnp.concatenate([done, rest[count:]])
            for done, rest in zip(part, (equity, required, turnover, stopped), strict=True)
        )
    owes = (cash < 0) & (turnover == 0)
    for row in holdings.coin_rows:
        coin = row[order]
        worth = ledger.coins[coin] * low[holdings.coin_asset[coin]]
        equity = equity + worth * (1 - holdings.coin_haircut[coin])[:, None]
        turnover = turnover + jnp.where(turnover > 0, worth, 0)
    if everyone:
        return (turnover > 0) | owes
    slack = 4 * tolerance * (jnp.abs(cash) + 2 * turnover)
    caution = _caution(holdings, rules)[order][:, None]
    near = caution * equity - required < slack
    always = holdings.watch_always[order][:, None]
    return owes | ((turnover > 0) & (near | stopped | always))


def _draw_lines(
    watch: Watch,
    slots: jax.Array,
    pool: jax.Array,
    column: jax.Array,
    holdings: Holdings,
    ledger: Ledger,
    fates: Fates,
    rules: VenueRules,
    tolerance: float,
    everyone: bool,
) -> Watch:
    """Write the bounds of (pairs,) pools into places of the list."""
    some = gather(holdings, ledger, pool, column)
    low, high = watch.low_mark, watch.high_mark
    at = column[None]
    worst_coin = low[some.coin_asset, at]
    below = judge(some, low[some.asset, at], worst_coin, rules.tables)
    above = judge(some, high[some.asset, at], worst_coin, rules.tables)
    range_ = above.notional - below.notional
    chord = (above.required - below.required) / jnp.where(range_ > 0, range_, 1)

    has_positions = above.total_notional > 0
    may_hide = _may_hide(holdings, pool, low, high, at, rules) & has_positions
    watched = may_hide | ~fates.called[pool, column]
    caution = jnp.where(watched, jnp.minimum(rules.warning, 1), 1)
    if holdings.has_top_ups:
        can_draw = ledger.reserve[holdings.account[pool], column] > 0
        trigger = jnp.where(can_draw, holdings.trigger[pool], jnp.inf)
        caution = jnp.minimum(caution, trigger)

    kept = (below.required - chord * below.notional).sum(axis=0)
    at_entry = (some.quantity * some.entry).sum(axis=0)
    gross = jnp.abs(some.cash) + (below.size * some.entry).sum(axis=0) + 2 * above.total_notional
    level = caution * (some.cash - at_entry) - kept - 4 * tolerance * gross
    coin_slope = caution[None] * some.coin_quantity * (1 - some.coin_haircut)
    slope = jnp.concatenate([caution[None] * some.quantity - chord * below.size, coin_slope])

    always = holdings.watch_always[pool]
    if holdings.has_stops:
        stop = holdings.stop[holdings.rows[:, pool]]
        worst = jnp.where(some.quantity > 0, below.mark, above.mark)
        fires = (jnp.sign(some.quantity) * (stop - worst) >= 0) & (below.size > 0)
        always = always | fires.any(axis=0)
    if everyone:
        always = jnp.ones_like(always)
    level = jnp.where(has_positions, jnp.where(always, -jnp.inf, level), jnp.inf)
    owes = ~has_positions & (some.cash < 0)
    level = jnp.where(owes, -jnp.inf, level)
    slope = jnp.where((has_positions & ~always)[None], slope, 0)

    columns = watch.low.shape[1]
    place = jnp.concatenate([some.asset, some.coin_asset]) * columns + at
    return watch._replace(
        place=watch.place.at[:, slots].set(place, mode="drop"),
        slope=watch.slope.at[:, slots].set(slope, mode="drop"),
        level=watch.level.at[slots].set(level, mode="drop"),
    )


def _may_hide(
    holdings: Holdings,
    pool: jax.Array,
    low: jax.Array,
    high: jax.Array,
    at: jax.Array,
    rules: VenueRules,
) -> jax.Array:
    """Return (pairs,) whether all positions may look healthy by themselves somewhere in the box."""
    rows = holdings.rows[:, pool]
    quantity, asset = holdings.quantity[rows], holdings.asset[rows]
    best = jnp.where(quantity > 0, high[asset, at], low[asset, at])
    healthy = looks_healthy(holdings, rows, best, rules)
    return ~holdings.is_isolated[pool] & healthy


def looks_healthy(
    holdings: Holdings, rows: jax.Array, mark: jax.Array, rules: VenueRules
) -> jax.Array:
    """Return (pairs,) whether every position of a pool has a low ratio as isolated counterpart.

    Valued at (slots, pairs) marks without any close. An empty slot does not count; a position
    without counterpart does not look healthy.
    """
    quantity, asset = holdings.quantity[rows], holdings.asset[rows]
    notional = jnp.abs(quantity) * mark
    equity = holdings.counterpart[rows] + quantity * (mark - holdings.entry[rows])
    tables = rules.tables
    required = maintenance(
        notional, tables.requirement_rate[asset], tables.requirement_amount[asset]
    )
    healthy = (equity > 0) & (required < HEALTHY * equity)
    return (healthy | (quantity == 0)).all(axis=0)
