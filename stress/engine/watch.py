"""Which pools must be looked at, and when: the others are certified safe until then.

Judging every pool on every path at every step would spend almost all its time on pools that are far
from anything. So for each span of steps the engine keeps a *watch*, in three steps, each of which
leaves fewer:

* the **bound** (``_near``): which (pool, path) pairs could breach, be called, top up or stop out
  anywhere in the box of the span's lowest and highest marks, widened by the room that impact has;
* the **list**: for each such pair in each column a linear lower bound of its excess in the box
  (``_draw``), and from it the first step at which the pair is *due* (``_due``);
* the **exact** judgement, in ``engine.rounds``, of pairs that are due and of no others.

The room that impact has holds what flow there is now, decaying or not, and some flow to come. When
a batch moves marks out of it, or something else than a batch touches the pools of a column, the
column is stale and is listed anew. All bounds are widened by more than rounding, so the answer is
that of judging every pool at every step. (Molecular dynamics does the same with neighbour lists:
Verlet 1967.)
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import jax
import jax.numpy as jnp

from stress.engine.pairs import each_chunk, locate, only_if
from stress.engine.span import Span
from stress.margin import maintenance
from stress.venue.holdings import Fates, Holdings, Ledger, gather
from stress.venue.judged import judge
from stress.venue.rules import VenueRules

__all__ = [
    "AS_LOADED",
    "HEALTHY",
    "TRADED",
    "Book",
    "Watch",
    "due_now",
    "exact_chunk",
    "list_all",
    "list_stale",
    "looks_healthy",
    "next_places",
    "no_watch",
    "refresh",
]

HEALTHY = 0.5
"""Margin ratio below which a position, valued as its isolated counterpart, looks healthy."""

AS_LOADED, TRADED, OVER = 0, 1, 2
"""A pool holds what it was loaded with; it has traded; nothing can happen to it any more."""

_WORD = 32
"""Paths whose wanted pairs are counted together."""
_CHUNK = 1024
"""Listed pairs that are asked at once whether they are due."""
_JUDGED = 64
"""Pairs that are judged at once: few are due at any look."""
_LISTED = 768
"""Pairs that are listed at once."""
_EXACT = 1 << 14
"""Positions of as many pairs at most."""
_UNROLLED = 8
"""Positions and coins of a pool whose lines are added without a loop."""


class Watch(NamedTuple):
    """The room and the list.

    Attributes
    ----------
    low, high
        (assets, columns) moves of the log marks by forced flow between which the list holds.
    stale
        (columns,) whether a column must be listed anew before its next look.
    touched
        (pools, columns) ``AS_LOADED``, ``TRADED`` or ``OVER``.
    length
        Number of listed pairs.
    pool, column, due
        (capacity,) the pairs, those of a column widest pools first, and the place in the span at
        which each must be judged next; beyond the last place if at none.
    waiting
        (block, columns) how many pairs of a column are due at a place.
    """

    low: jax.Array
    high: jax.Array
    stale: jax.Array
    touched: jax.Array
    length: jax.Array
    pool: jax.Array
    column: jax.Array
    due: jax.Array
    waiting: jax.Array


@dataclass(frozen=True)
class Book:
    """What the bounds of a watch are made from.

    ``price`` (assets,) marks at the start, USD; ``tolerance`` relative, of a breach; ``everyone``:
    every pool that can be looked at is due at every look.
    """

    price: jax.Array
    holdings: Holdings
    rules: VenueRules
    ledger: Ledger
    fates: Fates
    tolerance: float
    everyone: bool


def no_watch(holdings: Holdings, room: jax.Array, block: int) -> Watch:
    """Return a watch without a list for ``room``-shaped moves, (assets, columns)."""
    columns = room.shape[1]
    capacity = -(-holdings.pools * columns // _CHUNK) * _CHUNK
    return Watch(
        low=jnp.zeros_like(room),
        high=jnp.zeros_like(room),
        stale=jnp.zeros((columns,), bool),
        touched=jnp.full((holdings.pools, columns), AS_LOADED, jnp.int8),
        length=jnp.zeros((), jnp.int32),
        pool=jnp.zeros((capacity,), jnp.int32),
        column=jnp.zeros((capacity,), jnp.int32),
        due=jnp.full((capacity,), block, jnp.int32),
        waiting=jnp.zeros((block, columns), jnp.int32),
    )


def exact_chunk(holdings: Holdings) -> int:
    """Return how many pairs are judged at once."""
    return _fitting(holdings, _JUDGED)


def _fitting(holdings: Holdings, most: int) -> int:
    return max(32, min(most, _EXACT // max(holdings.slots, 1)))


# --- the list -------------------------------------------------------------------------------------


def list_all(
    watch: Watch, book: Book, span: Span, room: tuple[jax.Array, jax.Array], floor: jax.Array
) -> Watch:
    """Return the watch of all columns.

    Parameters
    ----------
    room
        (assets, columns) least and largest move of the log marks by forced flow.
    floor
        (columns,) the first place at which a column may look.
    """
    columns = watch.stale.shape[0]
    paths = span.low.shape[1]
    by_path = [of.reshape(of.shape[0], -1, paths) for of in room]
    box = span.low + by_path[0].min(axis=1), span.high + by_path[1].max(axis=1)
    wanted = _wanted(book, watch.touched, box)
    word = _WORD if paths % _WORD == 0 else paths
    words = wanted.reshape(-1, word)
    ends = jnp.cumsum(words.sum(axis=1, dtype=jnp.int32))
    variants = columns // paths
    empty = watch._replace(
        low=room[0],
        high=room[1],
        stale=jnp.zeros_like(watch.stale),
        length=jnp.zeros((), jnp.int32),
        waiting=jnp.zeros_like(watch.waiting),
    )

    def enlist(watch: Watch, numbers: jax.Array, valid: jax.Array) -> Watch:
        place, bit = locate(words, ends, numbers // variants)
        cell = place * word + bit
        pool = book.holdings.by_width[cell // paths]
        column = cell % paths + numbers % variants * paths
        return _append(watch, book, span, floor, pool, column, valid)

    count = jnp.where(ends.size, ends[-1], 0) * variants
    return each_chunk(count, _fitting(book.holdings, _LISTED), enlist, empty)


def list_stale(
    watch: Watch, book: Book, span: Span, room: tuple[jax.Array, jax.Array], floor: jax.Array
) -> Watch:
    """Return the watch with its stale columns listed anew, one by one, or all if they are many."""
    stale, pools = watch.stale, book.holdings.pools
    count = stale.sum(dtype=jnp.int32)
    crowded = watch.length + count * pools > watch.pool.shape[0]
    many = crowded | (count > max(4, stale.shape[0] // 16))

    def one_by_one(watch: Watch) -> Watch:
        low, high = (
            jnp.where(stale[None], new, old)
            for new, old in zip(room, (watch.low, watch.high), strict=True)
        )
        watch = _forget(watch._replace(low=low, high=high), watch.stale)

        def next_column(watch: Watch) -> Watch:
            column = jnp.argmax(watch.stale).astype(jnp.int32)
            watch = watch._replace(stale=watch.stale.at[column].set(False))
            return _list_column(watch, book, span, floor, column)

        return jax.lax.while_loop(lambda watch: watch.stale.any(), next_column, watch)

    watch = only_if(~many & (count > 0), one_by_one, watch)
    return only_if(many, lambda watch: list_all(watch, book, span, room, floor), watch)


def _forget(watch: Watch, columns: jax.Array) -> Watch:
    """Return the watch without the pairs of some columns."""
    never = watch.waiting.shape[0]

    def drop(due: jax.Array, numbers: jax.Array, valid: jax.Array) -> jax.Array:
        here = jax.lax.dynamic_slice_in_dim(due, numbers[0], _CHUNK)
        column = jax.lax.dynamic_slice_in_dim(watch.column, numbers[0], _CHUNK)
        kept = jnp.where(columns[column], never, here)
        return jax.lax.dynamic_update_slice_in_dim(due, kept, numbers[0], 0)

    due = each_chunk(watch.length, _CHUNK, drop, watch.due)
    return watch._replace(due=due, waiting=jnp.where(columns[None], 0, watch.waiting))


def _list_column(
    watch: Watch, book: Book, span: Span, floor: jax.Array, column: jax.Array
) -> Watch:
    path = column % span.low.shape[1]

    def of(by_column: jax.Array, at: jax.Array) -> jax.Array:
        return jax.lax.dynamic_slice_in_dim(by_column, at, 1, axis=1)

    box = of(span.low, path) + of(watch.low, column), of(span.high, path) + of(watch.high, column)
    one = book.ledger._replace(cash=of(book.ledger.cash, column))
    wanted = _wanted(replace(book, ledger=one), of(watch.touched, column), box)[:, 0]
    ends = jnp.cumsum(wanted, dtype=jnp.int32)

    def enlist(watch: Watch, numbers: jax.Array, valid: jax.Array) -> Watch:
        place = jnp.searchsorted(ends, numbers, side="right").astype(jnp.int32)
        pool = book.holdings.by_width[jnp.minimum(place, wanted.shape[0] - 1)]
        return _append(watch, book, span, floor, pool, jnp.full_like(pool, column), valid)

    return each_chunk(ends[-1], exact_chunk(book.holdings), enlist, watch)


def _append(
    watch: Watch,
    book: Book,
    span: Span,
    floor: jax.Array,
    pool: jax.Array,
    column: jax.Array,
    valid: jax.Array,
) -> Watch:
    """Return the watch with those of (pairs,) pairs that are due somewhere in the span."""
    block = watch.waiting.shape[0]
    valid = valid & (watch.touched[pool, column] != OVER)
    due = jnp.where(valid, _due(watch, book, span, floor, pool, column), block)
    kept = due < block
    rank = watch.length + jnp.cumsum(kept, dtype=jnp.int32) - 1
    slots = jnp.where(kept, rank, watch.pool.shape[0])
    return watch._replace(
        pool=watch.pool.at[slots].set(pool, mode="drop"),
        column=watch.column.at[slots].set(column, mode="drop"),
        due=watch.due.at[slots].set(due, mode="drop"),
        length=watch.length + kept.sum(dtype=jnp.int32),
        waiting=watch.waiting.at[due, column].add(1, mode="drop"),
    )


def refresh(
    watch: Watch,
    book: Book,
    span: Span,
    floor: jax.Array,
    at: jax.Array,
    slots: jax.Array,
) -> Watch:
    """Return the watch with some listed pairs due anew: they have been judged.

    Parameters
    ----------
    at
        (columns,) the places at which they were due.
    slots
        (pairs,) places in the list; one beyond its end is dropped.
    """
    block = watch.waiting.shape[0]
    pool, column = watch.pool[slots], watch.column[slots]
    valid = slots < watch.pool.shape[0]
    some = gather(book.holdings, book.ledger, pool, column)
    rows, coin_rows = book.holdings.rows[:, pool], book.holdings.coin_rows[:, pool]
    traded = (some.quantity != book.holdings.quantity[rows]).any(axis=0)
    traded = traded | (some.coin_quantity != book.holdings.coin_quantity[coin_rows]).any(axis=0)
    is_open = (some.quantity != 0).any(axis=0) | (some.cash < 0)
    state = jnp.where(is_open, TRADED, OVER).astype(jnp.int8)
    which = jnp.where(valid & traded, pool, book.holdings.pools)
    touched = watch.touched.at[which, column].set(state, mode="drop")
    due = _due(watch, book, span, floor, pool, column)
    before, after = (jnp.where(valid, of, block) for of in (at[column], due))
    waiting = watch.waiting.at[before, column].add(-1, mode="drop")
    return watch._replace(
        touched=touched,
        due=watch.due.at[slots].set(due, mode="drop"),
        waiting=waiting.at[after, column].add(1, mode="drop"),
    )


# --- who is due -----------------------------------------------------------------------------------


def next_places(watch: Watch) -> jax.Array:
    """Return (columns,) the next place at which a pair is due; -2 where none is."""
    block = watch.waiting.shape[0]
    places = jnp.arange(block, dtype=jnp.int32)[:, None]
    first = jnp.where(watch.waiting > 0, places, block).min(axis=0)
    return jnp.where(first < block, first, -2)


def due_now(watch: Watch, at: jax.Array, slots: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return the places in the list of the pairs that are due, and how many there are.

    Parameters
    ----------
    at
        (columns,) the place at which each column looks now; negative where it does not.
    slots
        (capacity,) array to write the places into.
    """

    def look(
        found: tuple[jax.Array, jax.Array], numbers: jax.Array, valid: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        slots, count = found
        due = jax.lax.dynamic_slice_in_dim(watch.due, numbers[0], _CHUNK)
        column = jax.lax.dynamic_slice_in_dim(watch.column, numbers[0], _CHUNK)
        is_due = (due == at[column]) & valid
        rank = count + jnp.cumsum(is_due, dtype=jnp.int32) - 1
        slots = slots.at[jnp.where(is_due, rank, slots.shape[0])].set(numbers, mode="drop")
        return slots, count + is_due.sum(dtype=jnp.int32)

    return each_chunk(watch.length, _CHUNK, look, (slots, jnp.zeros((), jnp.int32)))


# --- the bound ------------------------------------------------------------------------------------


def _caution(holdings: Holdings, rules: VenueRules) -> jax.Array:
    """Return (pools,) the multiple of equity that is held against the requirement in bounds."""
    return jnp.minimum(jnp.minimum(rules.warning, holdings.trigger), 1)


def _wanted(book: Book, touched: jax.Array, box: tuple[jax.Array, jax.Array]) -> jax.Array:
    """Return (pools by width, paths) the pairs that must be listed in some column of a path.

    Parameters
    ----------
    touched
        (pools, columns) states; columns are the paths, once for each variant.
    box
        (assets, paths) lowest and highest log marks in any column.
    """
    order, paths = book.holdings.by_width, box[0].shape[1]
    states = touched.reshape(touched.shape[0], -1, paths)
    as_loaded = (states == AS_LOADED).any(axis=1)[order]
    traded = (states == TRADED).any(axis=1)[order]
    return (as_loaded & _near(book, box)) | traded


def _near(book: Book, box: tuple[jax.Array, jax.Array]) -> jax.Array:
    """Return (pools by width, paths) pools as loaded that the worst corner of a box does not clear.

    With caution c, a pool is clear where ``c E - R >= slack`` for its equity E and requirement R.
    The requirement of a position is convex in its notional n, so between 0 and the largest notional
    of the box it lies below its chord, ``R <= r0 + k n``. With it ``c E - R`` is at least

        c (cash - sum q e) - sum r0 + sum (c q - k |q|) M + sum c (1 - h) u M,

    the last sum over coins. That is linear in the marks M, so that its least value in the box is
    taken asset by asset at one end of the range: the low one where the factor is positive.
    """
    holdings, rules, tolerance = book.holdings, book.rules, book.tolerance
    ends = jnp.concatenate([book.price[:, None] * jnp.exp(of) for of in box])
    assets, paths = box[0].shape
    order = holdings.by_width
    caution = _caution(holdings, rules)
    of_position = jnp.append(caution, 1)[holdings.pool]
    highest = ends[assets:].max(axis=1)
    size, asset = jnp.abs(holdings.quantity), holdings.asset
    most = size * highest[asset]
    rate, amount = rules.tables.requirement_rate[asset], rules.tables.requirement_amount[asset]
    at_least = maintenance(jnp.zeros_like(most), rate, amount)
    chord = (maintenance(most, rate, amount) - at_least) / jnp.where(most > 0, most, 1)
    factor = of_position * holdings.quantity - chord * size
    constant = jnp.where(size > 0, of_position * holdings.quantity * holdings.entry + at_least, 0)
    gross = jnp.where(size > 0, size * holdings.entry, 0) + 2 * most
    coin_factor = jnp.append(caution, 1)[holdings.coin_pool] * (
        holdings.coin_quantity * (1 - holdings.coin_haircut)
    )
    coin_most = holdings.coin_quantity * highest[holdings.coin_asset]

    def by_pool(of: jax.Array, rows: jax.Array) -> jax.Array:
        return of[rows].sum(axis=0)[order]

    cash = _least_cash(book, paths)[order]
    slack = by_pool(gross, holdings.rows) + 2 * by_pool(coin_most, holdings.coin_rows)
    level = caution[order][:, None] * cash - by_pool(constant, holdings.rows)[:, None]
    level = level - 4 * tolerance * (jnp.abs(cash) + slack[:, None])
    level = jnp.broadcast_to(level, (level.shape[0], paths))
    corner = asset + jnp.where(factor < 0, assets, 0)

    for first, end, count in holdings.widths:
        rows = holdings.rows[first:end][:, order[:count]]

        def add_slot(level: jax.Array, row: jax.Array) -> tuple[jax.Array, None]:
            return level + factor[row][:, None] * ends[corner[row]], None

        part, _ = jax.lax.scan(add_slot, level[:count], rows)
        level = jnp.concatenate([part, level[count:]])
    for row in holdings.coin_rows:
        coin = row[order]
        level = level + coin_factor[coin][:, None] * ends[holdings.coin_asset[coin]]
    has_positions = (size > 0)[holdings.rows[:, order]].any(axis=0)[:, None]
    always = _always(book, box)[order]
    if book.everyone:
        always = jnp.ones_like(always)
    return jnp.where(has_positions, (level < 0) | always, cash < 0)


def _least_cash(book: Book, paths: int) -> jax.Array:
    """Return (pools, 1 or paths) no more than the cash of a pool that has not traded."""
    rules = book.rules
    if rules.funding_steps or rules.backstop.socialises:
        cash = book.ledger.cash
        return cash.reshape(cash.shape[0], -1, paths).min(axis=1)
    # nothing else takes cash from a pool that does not trade
    return book.holdings.cash[:, None]


def _always(book: Book, box: tuple[jax.Array, jax.Array]) -> jax.Array:
    """Return (pools, 1 or paths) which pools must be listed: stops may fire, or no bound holds."""
    holdings = book.holdings
    always = holdings.watch_always[:, None]
    if not holdings.has_stops:
        return always
    ends = jnp.concatenate([book.price[:, None] * jnp.exp(of) for of in box])
    side = jnp.sign(holdings.quantity)[:, None]
    worst = ends[holdings.asset + jnp.where(holdings.quantity < 0, box[0].shape[0], 0)]
    wide = 1 + 4 * book.tolerance * side
    fires = side * (holdings.stop[:, None] * wide - worst) >= 0
    return always | fires[holdings.rows].any(axis=0)


# --- the lines ------------------------------------------------------------------------------------


class _Lines(NamedTuple):
    """Lower bounds of the excess of (pairs,) pairs, ``level + sum factor mark``, USD.

    ``factor`` (slots + coins, pairs) for fundamental marks, the worst impact of the room included;
    ``asset`` and ``end`` (slots + coins, pairs): which mark, 1 for the highest that is seen;
    ``stop`` (slots, pairs) as fundamental mark, no size where nobody has one; ``side`` its sign.
    """

    level: jax.Array
    factor: jax.Array
    asset: jax.Array
    end: jax.Array
    stop: jax.Array
    side: jax.Array


def _due(
    watch: Watch, book: Book, span: Span, floor: jax.Array, pool: jax.Array, column: jax.Array
) -> jax.Array:
    """Return (pairs,) the first place at which a pair must be judged; the block's length if none.

    That is where its line is below 0 at the marks of the place, or where a stop may fire.
    """
    lines = _draw(watch, book, span, pool, column)
    paths, block = span.low.shape[1], watch.waiting.shape[0]
    assets = span.low.shape[0]
    rows = span.marks.reshape(-1, block)
    end = lines.end if span.marks.shape[0] == 2 else 0
    row = (end * assets + lines.asset) * paths + (column % paths)[None]

    def add(bound: jax.Array, line: jax.Array) -> jax.Array:
        return bound + lines.factor[line][:, None] * rows[row[line]]

    bound = jnp.broadcast_to(lines.level[:, None], (pool.shape[0], block))
    count = row.shape[0]
    if count <= _UNROLLED:
        for line in range(count):
            bound = add(bound, jnp.asarray(line))
    else:
        bound = jax.lax.fori_loop(0, count, lambda line, bound: add(bound, line), bound)
    doubt = bound < 0
    for slot in range(lines.stop.shape[0]):
        side = lines.side[slot][:, None]
        doubt = doubt | (side * (lines.stop[slot][:, None] - rows[row[slot]]) >= 0)
    places = jnp.arange(block, dtype=jnp.int32)
    doubt = doubt & span.looks[None] & (places[None] >= floor[column][:, None])
    return jnp.where(doubt, places[None], block).min(axis=1)


def _draw(watch: Watch, book: Book, span: Span, pool: jax.Array, column: jax.Array) -> _Lines:
    """Return the lines of (pairs,) pools in the box of the span.

    Here the chord of a requirement runs between the ends of the box, and a pool that has been
    called, and cannot hide, is held against its requirement alone.
    """
    holdings, rules, tolerance = book.holdings, book.rules, book.tolerance
    some = gather(holdings, book.ledger, pool, column)
    at, path = column[None], (column % span.low.shape[1])[None]

    def ends(asset: jax.Array) -> tuple[jax.Array, jax.Array]:
        low = span.low[asset, path] + watch.low[asset, at]
        high = span.high[asset, path] + watch.high[asset, at]
        return book.price[asset] * jnp.exp(low), book.price[asset] * jnp.exp(high)

    low, high = ends(some.asset)
    coin_low, _ = ends(some.coin_asset)
    below = judge(some, low, coin_low, rules.tables)
    above = judge(some, high, coin_low, rules.tables)
    range_ = above.notional - below.notional
    chord = (above.required - below.required) / jnp.where(range_ > 0, range_, 1)

    has_positions = above.total_notional > 0
    may_hide = _may_hide(holdings, pool, low, high, rules) & has_positions
    watched = may_hide | ~book.fates.called[pool, column]
    caution = jnp.where(watched, jnp.minimum(rules.warning, 1), 1)
    if holdings.has_top_ups:
        can_draw = book.ledger.reserve[holdings.account[pool], column] > 0
        trigger = jnp.where(can_draw, holdings.trigger[pool], jnp.inf)
        caution = jnp.minimum(caution, trigger)

    kept = (below.required - chord * below.notional).sum(axis=0)
    at_entry = (some.quantity * some.entry).sum(axis=0)
    gross = jnp.abs(some.cash) + (below.size * some.entry).sum(axis=0) + 2 * above.total_notional
    level = caution * (some.cash - at_entry) - kept - 4 * tolerance * gross
    coin_slope = caution[None] * some.coin_quantity * (1 - some.coin_haircut)
    slope = jnp.concatenate([caution[None] * some.quantity - chord * below.size, coin_slope])

    side = jnp.sign(some.quantity)
    # a stop is held against the same end of the range as the excess
    crossed = (slope[: holdings.slots] * side < 0).any(axis=0)
    always = holdings.watch_always[pool] | (crossed & holdings.has_stops) | book.everyone
    level = jnp.where(has_positions, jnp.where(always, -jnp.inf, level), jnp.inf)
    owes = ~has_positions & (some.cash < 0)
    level = jnp.where(owes, -jnp.inf, level)
    slope = jnp.where((has_positions & ~always)[None], slope, 0)
    asset = jnp.concatenate([some.asset, some.coin_asset])
    end = (slope < 0).astype(jnp.int32)
    impact = jnp.exp(jnp.where(end > 0, watch.high[asset, at], watch.low[asset, at]))
    stop = jnp.zeros((0, 1), low.dtype)
    if holdings.has_stops:
        wide = 1 + 4 * tolerance * side
        stop = holdings.stop[holdings.rows[:, pool]] * wide / impact[: holdings.slots]
    return _Lines(level, slope * impact, asset, end, stop, side)


def _may_hide(
    holdings: Holdings, pool: jax.Array, low: jax.Array, high: jax.Array, rules: VenueRules
) -> jax.Array:
    """Return (pairs,) whether all positions may look healthy by themselves somewhere in the box.

    ``low`` and ``high`` are the (slots, pairs) ends of the box.
    """
    rows = holdings.rows[:, pool]
    best = jnp.where(holdings.quantity[rows] > 0, high, low)
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
