"""The liquidation ladder: what a move of one mark liquidates, before anything is simulated.

One asset's mark moves by a share, every other mark stands still, and each pool that holds the asset
is judged at the marks after the move: a jump, not a path. A pool in breach counts **whole**, as the
amount ``all`` closes it and as every amount does in the end if the move goes on; ``restore``,
``step``, ``tier`` and ``position`` plan less in their first round, so what the ladder says of them
is an upper bound. Coins that a closed pool would have to sell are not counted: whether it owes
anything depends on the prices it is closed at.

The reproduction number of an asset is forced flow over depth. Of the pools that stand safe, those
that the next one percent breaches sell what they are long in the asset and buy what they are short
of; if the net of it is more than the venue takes within one percent, it moves the mark by more than
the percent that caused it, and the cascade feeds itself. What the pools close in other assets, and
what that moves in turn, is not in the number of this one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from stress.book.book import Book
from stress.book.display import PoolMargins, pool_margins, required_margin
from stress.book.pools import Pools, account_pools
from stress.book.setting import Setting
from stress.errors import ending
from stress.margin import in_breach, maintenance
from stress.types import TOLERANCE, Array, Floats, Integers, Mode

__all__ = ["MOVES", "Ladder", "ladder_notices", "liquidation_ladder"]

_STEPS = np.concatenate([np.arange(21), np.arange(22, 201, 2)])
MOVES: Floats = np.concatenate([-_STEPS[:0:-1], _STEPS]) / 400
"""The moves shown, signed shares of the mark, to 50 percent either way: by a quarter of a percent
up to 5, where the highest leverages break, then by a half, so that one percent more of what is left
of the mark, which the reproduction number looks at, reaches the next move even at half the price.
Quotients of whole numbers: -0.01 is found as -0.01."""

_START = len(_STEPS) - 1
"""Place of the move 0."""

_AT_ONCE = 4096
"""Pools that are judged at every move at once."""

_NEXT = 0.01
"""The further move of the reproduction number: depth is stated within one percent."""


@dataclass(frozen=True)
class Ladder:
    """The ladder of a book. A is the number of assets, M of moves.

    Attributes
    ----------
    moves
        (M,) signed shares of the mark, ascending; ``MOVES``.
    liquidated_notional
        (A, M) notional in the asset of the pools in breach after the asset alone has moved, whole
        pools, at the marks after the move, USD. At the move 0: of those in breach at the start.
    accounts
        (A, M) accounts with such a pool among those that hold the asset, as a position or as coins.
    market_liquidated_notional, market_accounts
        (M,) the same where all assets move by the same share, in all assets together.
    depth
        (A,) USD that move the mark by one percent; NaN where none is stated.
    reproduction_number_fall, reproduction_number_rise
        (A,) net forced sales of the asset by the pools that a fall of one percent breaches, at the
        marks after it, over the depth; net forced purchases after a rise. Never below 0. Pools in
        breach at the start are liquidated whatever happens next and do not count. NaN without
        depth.
    reproduction_number
        (A,) the larger of the two.
    reproduction_number_along
        (A, M) the same number where the asset has moved already: of one percent more of the mark
        there, away from the start, and of the pools that are safe at the start and at the move. At
        the move 0 it is ``reproduction_number``.
    """

    moves: Floats
    liquidated_notional: Floats
    accounts: Integers
    market_liquidated_notional: Floats
    market_accounts: Integers
    depth: Floats
    reproduction_number_fall: Floats
    reproduction_number_rise: Floats
    reproduction_number: Floats
    reproduction_number_along: Floats


def liquidation_ladder(book: Book, setting: Setting, mode: Mode) -> Ladder:
    """Return the ladder of a book under a mode.

    Parameters
    ----------
    book, setting
        The book; prices, haircuts, tiers, and the depth of the venue.
    mode
        The world; counterparts are made at the starting prices.
    """
    pools = account_pools(book, mode, setting.price, setting.haircut)
    start = pool_margins(book, pools, setting, setting.price)
    depth = setting.venue.depth_1pct
    assets = len(setting.assets)
    notional, accounts = np.empty((assets, len(MOVES))), np.empty((assets, len(MOVES)), np.int64)
    fall, rise, along = np.empty(assets), np.empty(assets), np.empty((assets, len(MOVES)))
    for asset in range(assets):
        holders = _holders(book, pools, setting, start, asset)
        safe = _safe_moves(holders.in_breach, len(holders.pools), MOVES)
        notional[asset] = safe.beyond(holders.gross) * (1 + MOVES)
        accounts[asset] = _accounts(pools.account[holders.pools], safe)
        falling, rising = _forced_flow(holders, safe)
        falling, rising = falling / depth[asset], rising / depth[asset]
        fall[asset], rise[asset] = falling[-1], rising[0]
        worse = max(falling[-1], rising[0])
        along[asset] = np.concatenate([falling[:-1], [worse], rising[1:]])
    market_notional, market_accounts = _market(book, pools, setting, start)
    return Ladder(
        moves=MOVES,
        liquidated_notional=notional,
        accounts=accounts,
        market_liquidated_notional=market_notional,
        market_accounts=market_accounts,
        depth=depth,
        reproduction_number_fall=fall,
        reproduction_number_rise=rise,
        reproduction_number=np.maximum(fall, rise),
        reproduction_number_along=along,
    )


def ladder_notices(book: Book, setting: Setting, ladder: Ladder) -> tuple[str, ...]:
    """Return sentences on cascades that feed themselves, and on depth that is not stated."""
    notices = []
    now = np.flatnonzero(ladder.reproduction_number > 1)
    if now.size:
        worst = now[np.argsort(-ladder.reproduction_number[now], kind="stable")]
        named = [
            f"{setting.assets[asset]} {ladder.reproduction_number[asset]:.2f} on a "
            + _side(ladder, asset)
            for asset in worst
        ]
        notices.append(
            "a cascade feeds itself from the start, the reproduction number is above 1: "
            + ending(named)
        )
    ever = np.flatnonzero((ladder.reproduction_number_along > 1).any(axis=1))
    later = np.setdiff1d(ever, now)
    if later.size:
        nearest = later[np.argsort([abs(_onset(ladder, row)[0]) for row in later], kind="stable")]
        named = [
            f"{setting.assets[asset]} {number:.2f} after {move:+.1%}"
            for asset in nearest
            for move, number in [_onset(ladder, asset)]
        ]
        notices.append(
            f"a cascade feeds itself after a move, the reproduction number gets above 1: "
            f"{ending(named)}"
        )
    missing = np.isnan(ladder.depth) & np.isin(np.arange(len(setting.assets)), book.position_asset)
    if missing.any():
        names = [setting.assets[asset] for asset in np.flatnonzero(missing)]
        notices.append(
            f"no depth is stated for {ending(names)}, so there is no reproduction number; add "
            "venue.impact.depth_1pct (USD within one percent) or venue.impact.adv (USD a day)"
        )
    return tuple(notices)


def _side(ladder: Ladder, asset: int) -> str:
    fall, rise = ladder.reproduction_number_fall[asset], ladder.reproduction_number_rise[asset]
    return "fall" if fall >= rise else "rise"


def _onset(ladder: Ladder, asset: int) -> tuple[float, float]:
    """Return the move nearest to the start at which the number is above 1, and the number."""
    numbers = ladder.reproduction_number_along[asset]
    above = np.flatnonzero(numbers > 1)
    nearest = above[np.argmin(np.abs(ladder.moves[above]))]
    return float(ladder.moves[nearest]), float(numbers[nearest])


@dataclass(frozen=True)
class _Holders:
    """The pools that hold one asset, as positions or coins: a move of it changes no other.

    Attributes
    ----------
    pools
        (n,) indices of the pools, ascending.
    start
        Their margins at the starting prices.
    sizes, pool_of_size
        (rows,) notional of each of their positions in the asset at the start, USD, and its place in
        ``pools``, ascending.
    rate, amount
        (tiers,) requirement of the asset.
    gross, net
        (n,) absolute and signed notional in the asset at the start, USD.
    slope
        (n,) change of equity with the move, USD: positions, and coins after haircut.
    """

    pools: Integers
    start: PoolMargins
    sizes: Floats
    pool_of_size: Integers
    rate: Floats
    amount: Floats
    gross: Floats
    net: Floats
    slope: Floats

    def in_breach(self, rows: Integers, move: Floats) -> Array:
        """Return (rows,) whether the pools at these places are in breach, each after its move.

        Changes are added to the margins of the start, so that at the move 0 the answer is that of
        the margin display, to the last digit.
        """
        owner, size = _members(self.pool_of_size, rows, len(self.pools))
        sizes = self.sizes[size]
        added = maintenance(sizes * (1 + move[owner]), self.rate, self.amount)
        added -= maintenance(sizes, self.rate, self.amount)
        required = self.start.required[rows] + _sums(owner, added, len(rows))
        equity = self.start.equity[rows] + self.slope[rows] * move
        notional = self.start.notional[rows] + self.gross[rows] * move
        return in_breach(equity, required, notional, TOLERANCE["float64"])


class _SafeMoves(NamedTuple):
    """The moves after which a pool is not in breach, which stand together.

    Its excess is concave in the move: equity and notional are linear, what is required is convex.

    Attributes
    ----------
    first, last
        (pools,) places of the first and last of them; the number of moves and one less where there
        is none.
    moves
        Number of moves.
    """

    first: Integers
    last: Integers
    moves: int

    def beyond(self, weights: Floats) -> Array:
        """Return (moves,) sums of the (pools,) weights of the pools in breach, exactly 0 if none.

        Sums run from the far ends inward: nothing is added that is taken away again.
        """
        falls = np.bincount(self.first, weights, minlength=self.moves + 1)[:0:-1].cumsum()[::-1]
        rises = np.bincount(self.last, weights, minlength=self.moves)[:-1].cumsum()
        return falls + np.concatenate([[0.0], rises])


_Breach = Callable[[Integers, Floats], Array]
"""Whether the pools of (rows,) places are in breach, each after one of (rows,) moves."""


def _safe_moves(breach: _Breach, pools: int, moves: Floats) -> _SafeMoves:
    """Find where each pool is safe, among ``MOVES`` or as many others as ascending as they are.

    From a start that is safe both ends are found by bisection; a pool in breach at the start may be
    safe further on, and is judged everywhere.
    """
    everyone, last = np.arange(pools), len(moves) - 1
    broken = breach(everyone, np.full(pools, moves[_START]))
    low, high = np.zeros(pools, np.int64), np.full(pools, last)
    safe = everyone[~broken]
    low[safe] = _edge(breach, safe, moves, _START, 0)
    high[safe] = _edge(breach, safe, moves, _START, last)
    for rows in np.array_split(everyone[broken], 1 + broken.sum() // _AT_ONCE):
        at = breach(np.repeat(rows, last + 1), np.tile(moves, len(rows))).reshape(-1, last + 1)
        never = at.all(axis=1)
        low[rows] = np.where(never, last + 1, np.argmin(at, axis=1))
        high[rows] = np.where(never, last, last - np.argmin(at[:, ::-1], axis=1))
    return _SafeMoves(low, high, last + 1)


def _edge(breach: _Breach, rows: Integers, moves: Floats, start: int, end: int) -> Integers:
    """Return (rows,) the last place from ``start``, where all are safe, to ``end`` that is safe."""
    edge = np.full(len(rows), end)
    open_ = np.flatnonzero(breach(rows, np.full(len(rows), moves[end])))
    inside, outside = np.full(len(open_), start), np.full(len(open_), end)
    for _ in range(abs(end - start).bit_length()):
        between = (inside + outside) // 2 if end > start else -((-inside - outside) // 2)
        broken = breach(rows[open_], moves[between])
        inside = np.where(broken, inside, between)
        outside = np.where(broken, between, outside)
    edge[open_] = inside
    return edge


def _members(pool_of_row: Integers, pools: Integers, count: int) -> tuple[Integers, Integers]:
    """Return which of the asked pools each of their rows belongs to, and the rows' numbers.

    Parameters
    ----------
    pool_of_row
        (rows,) pool of each row, ascending.
    pools
        The pools asked for.
    count
        Number of all pools.
    """
    held = np.bincount(pool_of_row, minlength=count)
    begin = (np.cumsum(held) - held)[pools]
    held = held[pools]
    owner = np.repeat(np.arange(len(pools)), held)
    before = np.cumsum(held) - held
    return owner, np.arange(len(owner)) + (begin - before)[owner]


def _holders(
    book: Book, pools: Pools, setting: Setting, start: PoolMargins, asset: int
) -> _Holders:
    """Return the pools that hold an asset."""
    rows = np.flatnonzero((book.position_asset == asset) & (pools.pool_of_position >= 0))
    rows = rows[np.argsort(pools.pool_of_position[rows], kind="stable")]
    coins = np.flatnonzero((book.coin_asset == asset) & (pools.pool_of_coin >= 0))
    owners = np.union1d(pools.pool_of_position[rows], pools.pool_of_coin[coins])
    place = np.searchsorted(owners, pools.pool_of_position[rows])
    coin_place = np.searchsorted(owners, pools.pool_of_coin[coins])
    price = setting.price[asset]
    value = book.quantity[rows] * price
    collateral = book.coin_quantity[coins] * price * (1 - setting.haircut[asset])
    net = _sums(place, value, len(owners))
    return _Holders(
        pools=owners,
        start=PoolMargins(start.equity[owners], start.required[owners], start.notional[owners]),
        sizes=np.abs(value),
        pool_of_size=place,
        rate=setting.requirement_rate[asset],
        amount=setting.requirement_amount[asset],
        gross=_sums(place, np.abs(value), len(owners)),
        net=net,
        slope=net + _sums(coin_place, collateral, len(owners)),
    )


def _sums(place: Integers, values: Floats, count: int) -> Array:
    return np.bincount(place, values, minlength=count)


def _forced_flow(holders: _Holders, safe: _SafeMoves) -> tuple[Floats, Floats]:
    """Return what the next percent forces: net sales along the falls, purchases along the rises.

    Parameters
    ----------
    safe
        Where among ``MOVES`` the pools are safe. One in breach at the start does not count.

    Returns
    -------
    (_START + 1,) sales in USD at the moves up to 0, and as many purchases at those from 0 on.
    """
    rows = np.flatnonzero((safe.first <= _START) & (safe.last >= _START))
    flows = []
    for sign, ends, moves in (
        (-1, safe.first[rows], MOVES[: _START + 1][::-1]),
        (1, safe.last[rows], MOVES[_START:]),
    ):
        # places count from the start outward
        end = np.abs(ends - _START)
        further = (1 + moves) * (1 + sign * _NEXT) - 1
        begin = _first_broken(holders.in_breach, rows, further)
        # the excess is concave in the mark, so a pool that is safe at both was so all the way
        fresh = np.maximum(end - begin + 1, 0)
        owner = np.repeat(np.arange(len(rows)), fresh)
        place = begin[owner] + np.arange(len(owner)) - (np.cumsum(fresh) - fresh)[owner]
        sales = np.bincount(place, holders.net[rows][owner], minlength=len(moves)) * (1 + further)
        flows.append(np.maximum(sign * -sales, 0.0))
    return flows[0][::-1], flows[1]


def _first_broken(breach: _Breach, rows: Integers, moves: Floats) -> Integers:
    """Return (rows,) the first place among ever larger moves that is a breach, one behind if none.

    A pool is safe before the first of them.
    """
    begin = np.zeros(len(rows), np.int64)
    safe = np.flatnonzero(~breach(rows, np.full(len(rows), moves[0])))
    begin[safe] = _edge(breach, rows[safe], moves, 0, len(moves) - 1) + 1
    return begin


def _market(
    book: Book, pools: Pools, setting: Setting, start: PoolMargins
) -> tuple[Floats, Integers]:
    """Return (M,) notional of the pools in breach, and accounts, where all marks move alike."""
    count = len(pools.cash)
    rows = np.argsort(pools.pool_of_position, kind="stable")
    rows = rows[np.searchsorted(pools.pool_of_position[rows], 0) :]
    pool, size = pools.pool_of_position[rows], np.abs(book.quantity[rows])
    asset, price = book.position_asset[rows], setting.price[book.position_asset[rows]]
    kept = pools.pool_of_coin >= 0
    value = book.coin_quantity * ((1 - setting.haircut) * setting.price)[book.coin_asset]
    coins = np.bincount(pools.pool_of_coin[kept], value[kept], minlength=count)
    slope = coins + np.bincount(pool, book.quantity[rows] * price, minlength=count)

    def breach(asked: Integers, move: Floats) -> Array:
        owner, row = _members(pool, asked, count)
        notional = size[row] * (price[row] * (1 + move[owner]))
        each = required_margin(setting, asset[row], notional)
        equity = start.equity[asked] + slope[asked] * move
        required = _sums(owner, each, len(asked))
        return in_breach(equity, required, start.notional[asked] * (1 + move), TOLERANCE["float64"])

    safe = _safe_moves(breach, count, MOVES)
    return safe.beyond(start.notional) * (1 + MOVES), _accounts(pools.account, safe)


def _accounts(account: Integers, safe: _SafeMoves) -> Integers:
    """Return (moves,) numbers of accounts with a pool in breach; pools stand by account."""
    _, begin = np.unique(account, return_index=True)
    if not len(begin):
        return np.zeros(safe.moves, np.int64)
    # an account is safe where all its pools are
    first = np.maximum.reduceat(safe.first, begin)
    last = np.minimum.reduceat(safe.last, begin)
    never = first > last
    first, last = np.where(never, safe.moves, first), np.where(never, safe.moves - 1, last)
    broken = _SafeMoves(first, last, safe.moves).beyond(np.ones(len(begin)))
    return broken.astype(np.int64)
