"""First passage of margin pools along given marks: slow, plain loops, to compare a fast one with.

Every pool is judged by itself at every node of every path. Time 0 is the first node. Money is in
quote currency, quantities are in units of the asset, longs positive.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Tiers = list[tuple[float, float]]  # (rate, amount)
Position = tuple[int, float, float, Tiers]  # asset, signed quantity, entry price, tiers
Coin = tuple[int, float, float]  # asset, quantity, haircut


@dataclass
class PlainPool:
    """Collateral and the positions that it backs."""

    cash: float
    positions: list[Position] = field(default_factory=list)
    coins: list[Coin] = field(default_factory=list)


@dataclass
class PlainOutcome:
    """What became of every pool on every path; arrays (path, pool) unless said otherwise.

    ``step``: node of the first breach, 0 the start, -1 never. ``deficit``: owed after the closing.
    ``least_excess``: NaN for a pool without positions. ``closed_notional``: (path, pool, asset).
    """

    step: NDArray[np.int64]
    bankrupt: NDArray[np.bool_]
    deficit: Floats
    equity_end: Floats
    margin_call: NDArray[np.bool_]
    least_excess: Floats
    closed_notional: Floats


def has_position(pool: PlainPool) -> bool:
    """Whether any position of the pool is open."""
    return any(quantity != 0.0 for _, quantity, _, _ in pool.positions)


def unrealised(pool: PlainPool, marks: Floats) -> float:
    """``sum q (M - entry)``; marks (asset,)."""
    total = 0.0
    for asset, quantity, entry, _ in pool.positions:
        total += quantity * (float(marks[asset]) - entry)
    return total


def coins_value(coins: list[Coin], marks: Floats) -> float:
    """``sum quantity M (1 - haircut)``; marks (asset,)."""
    total = 0.0
    for asset, quantity, haircut in coins:
        total += quantity * float(marks[asset]) * (1.0 - haircut)
    return total


def equity(pool: PlainPool, marks: Floats) -> float:
    """``E = cash + coins after haircut + unrealised profit``; marks (asset,)."""
    return pool.cash + coins_value(pool.coins, marks) + unrealised(pool, marks)


def notional(pool: PlainPool, marks: Floats) -> float:
    """``N = sum |q| M``; marks (asset,)."""
    total = 0.0
    for asset, quantity, _, _ in pool.positions:
        total += abs(quantity) * float(marks[asset])
    return total


def position_margin(size: float, tiers: Tiers, trigger: float | None) -> float:
    """``max_k (rate_k n - amount_k)`` for a notional n, or ``level n`` with that trigger."""
    if trigger is not None:
        return trigger * size
    return max(rate * size - amount for rate, amount in tiers)


def maintenance(pool: PlainPool, marks: Floats, trigger: float | None) -> float:
    """Sum of ``position_margin`` over the pool's positions; marks (asset,)."""
    total = 0.0
    for asset, quantity, _, tiers in pool.positions:
        total += position_margin(abs(quantity) * marks[asset], tiers, trigger)
    return total


def excess(pool: PlainPool, marks: Floats, trigger: float | None) -> float:
    """``E - MM``; marks (asset,)."""
    return equity(pool, marks) - maintenance(pool, marks, trigger)


def in_breach(pool: PlainPool, marks: Floats, tau: float, trigger: float | None) -> bool:
    """Whether the pool has a position and ``E < MM - tau N``; marks (asset,)."""
    if not has_position(pool):
        return False
    required = maintenance(pool, marks, trigger) - tau * notional(pool, marks)
    return equity(pool, marks) < required


def close_whole(pool: PlainPool, marks: Floats, fee: float) -> tuple[float, list[Coin], float]:
    """Cash, coins and deficit after every position is closed at ``marks`` (asset,).

    ``cash += sum q (M - entry) - fee sum |q| M``; a debt is covered by coins in file order, sold at
    their marks without haircut, as few as it takes; what is still owed is the deficit.
    """
    cash = pool.cash + unrealised(pool, marks) - fee * notional(pool, marks)
    left: list[Coin] = []
    for asset, quantity, haircut in pool.coins:
        sold = 0.0
        if cash < 0.0:
            owed = -cash
            if quantity * marks[asset] <= owed:
                sold = quantity
                cash += quantity * marks[asset]
            else:
                sold = owed / marks[asset]
                cash = 0.0
        left.append((asset, quantity - sold, haircut))
    deficit = max(-cash, 0.0)
    return max(cash, 0.0), left, deficit


def plain_step(
    paths: Floats,
    pools: list[PlainPool],
    fee: float,
    tau: float,
    warning: float,
    trigger: float | None = None,
) -> PlainOutcome:
    """First breach of each pool at the nodes of each path (``step`` monitoring).

    ``paths``: marks (path, time, asset), the start included. ``fee``: share of the notional closed.
    ``warning``: a margin call is ``MM >= warning E`` with positions open, at any node up to and
    including the breach. ``trigger``: None for the tier tables, or the margin level. Pools do not
    influence each other.
    """
    count, _, assets = paths.shape
    shape = (count, len(pools))
    outcome = PlainOutcome(
        step=np.full(shape, -1, dtype=np.int64),
        bankrupt=np.zeros(shape, dtype=np.bool_),
        deficit=np.zeros(shape),
        equity_end=np.zeros(shape),
        margin_call=np.zeros(shape, dtype=np.bool_),
        least_excess=np.full(shape, np.nan),
        closed_notional=np.zeros((*shape, assets)),
    )
    for p in range(count):
        for k, pool in enumerate(pools):
            _follow(outcome, p, k, pool, paths[p], fee, tau, warning, trigger)
    return outcome


def _follow(
    outcome: PlainOutcome,
    p: int,
    k: int,
    pool: PlainPool,
    path: Floats,
    fee: float,
    tau: float,
    warning: float,
    trigger: float | None,
) -> None:
    """Writes into ``outcome`` what becomes of pool k along path p, marks (time, asset)."""
    outcome.equity_end[p, k] = equity(pool, path[-1])
    if not has_position(pool):
        return
    for t, marks in enumerate(path):
        margin = maintenance(pool, marks, trigger)
        here = equity(pool, marks) - margin
        if t == 0 or here < outcome.least_excess[p, k]:
            outcome.least_excess[p, k] = here
        if margin >= warning * equity(pool, marks):
            outcome.margin_call[p, k] = True
        if in_breach(pool, marks, tau, trigger):
            outcome.step[p, k] = t
            break
    if outcome.step[p, k] < 0:
        return
    marks = path[outcome.step[p, k]]
    cash, coins, deficit = close_whole(pool, marks, fee)
    for asset, quantity, _, _ in pool.positions:
        outcome.closed_notional[p, k, asset] += abs(quantity) * marks[asset]
    outcome.deficit[p, k] = deficit
    outcome.bankrupt[p, k] = deficit > tau * notional(pool, path[0])
    outcome.equity_end[p, k] = cash + coins_value(coins, path[-1])


def exposures(pool: PlainPool, marks: Floats, trigger: float | None) -> Floats:
    """``(dE/dM_a - dMM/dM_a) M_a``, slope of the active tier; marks and result (asset,)."""
    result = np.zeros(marks.size)
    for asset, quantity, haircut in pool.coins:
        result[asset] += quantity * (1.0 - haircut) * marks[asset]
    for asset, quantity, _, tiers in pool.positions:
        size = abs(quantity) * marks[asset]
        rate = trigger
        if rate is None:
            rate = max(tiers, key=lambda tier: tier[0] * size - tier[1])[0]
        result[asset] += (quantity - rate * abs(quantity)) * marks[asset]
    return result


def variance_rate(
    pool: PlainPool,
    marks: Floats,
    volatilities: Floats,
    correlation: Floats,
    trigger: float | None,
) -> float:
    """Variance of the excess a year, ``sum_ab g_a R_ab g_b`` with ``g_a = exposure_a sigma_a``."""
    slopes = exposures(pool, marks, trigger)
    total = 0.0
    for a in range(marks.size):
        for b in range(marks.size):
            moved = slopes[a] * volatilities[a] * slopes[b] * volatilities[b]
            total += moved * correlation[a, b]
    return total


def only_asset(pool: PlainPool) -> int | None:
    """The asset of a pool whose positions are of one asset and side, with no coin of another."""
    open_positions = [position for position in pool.positions if position[1] != 0.0]
    assets = {position[0] for position in open_positions}
    assets |= {coin[0] for coin in pool.coins if coin[1] != 0.0}
    sides = {position[1] > 0.0 for position in open_positions}
    if len(assets) == 1 and len(sides) == 1:
        return assets.pop()
    return None


def liquidation_marks(
    pool: PlainPool, asset: int, assets: int, trigger: float | None
) -> list[float]:
    """The positive marks of ``asset`` at which the excess of a one-asset pool is 0, rising.

    The excess is linear between the marks at which a position changes its tier; a line through the
    two ends of each piece gives its root, the last piece has no upper end.
    """
    kinks = {0.0}
    for _, quantity, _, tiers in pool.positions:
        for rate, amount in tiers:
            for other_rate, other_amount in tiers:
                if other_rate > rate and quantity != 0.0:
                    size = (other_amount - amount) / (other_rate - rate)
                    kinks.add(size / abs(quantity))
    edges = sorted(mark for mark in kinks if mark >= 0.0)
    edges.append(2.0 * edges[-1] + 1.0)
    values = [_excess_at(pool, asset, assets, mark, trigger) for mark in edges]
    roots = []
    for i in range(len(edges) - 1):
        slope = (values[i + 1] - values[i]) / (edges[i + 1] - edges[i])
        if slope == 0.0:
            continue
        root = edges[i] - values[i] / slope
        last = i == len(edges) - 2
        if root > edges[i] and (last or root <= edges[i + 1]):
            roots.append(root)
    return roots


def _excess_at(
    pool: PlainPool, asset: int, assets: int, mark: float, trigger: float | None
) -> float:
    """The excess of a pool that depends on one asset, at that asset's ``mark``."""
    marks = np.zeros(assets)
    marks[asset] = mark
    return excess(pool, marks, trigger)


def crossing_survival(start: float, end: float, variance: float) -> float:
    """P(a Brownian bridge from ``start`` to ``end`` stays above 0), ``1 - exp(-2 x0 x1 / v)``.

    0 where an end is not positive. Source: reflection principle; Glasserman 2003, Monte Carlo
    Methods in Financial Engineering, section 6.4.
    """
    if start <= 0.0 or end <= 0.0:
        return 0.0
    if variance <= 0.0:
        return 1.0
    return -math.expm1(-2.0 * start * end / variance)


def plain_bridge(
    paths: Floats,
    pools: list[PlainPool],
    dt: float,
    volatilities: Floats,
    correlation: Floats,
    tau: float,
    trigger: float | None = None,
    scale: Floats | None = None,
    arrivals: Floats | None = None,
) -> Floats:
    """Weight with which each pool has survived until each node: (path, time, pool).

    ``paths``: marks (path, time, asset); ``dt``: years between nodes; ``volatilities``: (asset,) a
    year; ``correlation``: (asset, asset). Between nodes the excess is a Brownian bridge of variance
    dt times the mean of ``variance_rate`` at the two ends; a pool of one asset and one barrier uses
    the log price, whose bridge is exact, with variance ``sigma^2 dt``. The weight is 0 from the
    first node that is in breach.

    Where steps differ: ``scale`` (path, step) is what the volatilities are multiplied by in a step;
    ``arrivals`` (path, step, asset) are the marks at its end before it jumps to the next node.
    """
    count, nodes, _ = paths.shape
    weights = np.ones((count, nodes, len(pools)))
    scale = np.ones((count, nodes - 1)) if scale is None else scale
    arrivals = paths[:, 1:] if arrivals is None else arrivals
    for p in range(count):
        for k, pool in enumerate(pools):
            if has_position(pool):
                weights[p, :, k] = _weights_along(
                    paths[p],
                    arrivals[p],
                    pool,
                    dt * scale[p] ** 2,
                    volatilities,
                    correlation,
                    tau,
                    trigger,
                )
    return weights


def _weights_along(
    path: Floats,
    arrivals: Floats,
    pool: PlainPool,
    dt: Floats,
    volatilities: Floats,
    correlation: Floats,
    tau: float,
    trigger: float | None,
) -> Floats:
    """Survival weight of one pool at the nodes of one path, marks (time, asset); (time,).

    ``dt`` (step,): years of the usual volatility that a step is worth.
    """
    asset = only_asset(pool)
    barriers = [] if asset is None else liquidation_marks(pool, asset, path.shape[1], trigger)
    weights = np.zeros(len(path))
    weight = 1.0
    for t, marks in enumerate(path):
        if in_breach(pool, marks, tau, trigger):
            break
        if t > 0:
            weight *= _between(
                path[t - 1],
                arrivals[t - 1],
                pool,
                asset,
                barriers,
                float(dt[t - 1]),
                volatilities,
                correlation,
                trigger,
            )
            if excess(pool, marks, trigger) <= 0.0:
                weight = 0.0
        weights[t] = weight
    return weights


def _between(
    before: Floats,
    after: Floats,
    pool: PlainPool,
    asset: int | None,
    barriers: list[float],
    dt: float,
    volatilities: Floats,
    correlation: Floats,
    trigger: float | None,
) -> float:
    """Survival of one pool between two neighbouring nodes; marks (asset,).

    ``asset``: the only one of the pool, or None; ``barriers``: its liquidation marks then.
    """
    start, end = excess(pool, before, trigger), excess(pool, after, trigger)
    if start <= 0.0 or end <= 0.0:
        return 0.0
    if asset is not None and not barriers:
        return 1.0
    if asset is not None and len(barriers) == 1:
        start, end = (abs(math.log(marks[asset] / barriers[0])) for marks in (before, after))
        return crossing_survival(start, end, volatilities[asset] ** 2 * dt)
    rates = [
        variance_rate(pool, marks, volatilities, correlation, trigger) for marks in (before, after)
    ]
    return crossing_survival(start, end, dt * (rates[0] + rates[1]) / 2.0)


def corners(low: Floats, high: Floats) -> Iterator[Floats]:
    """All marks (asset,) at which each asset stands at its low or its high."""
    for ends in product(*zip(low.tolist(), high.tolist(), strict=True)):
        yield np.array(ends)


def plain_extremes(
    paths: Floats,
    lows: Floats,
    highs: Floats,
    pools: list[PlainPool],
    fee: float,
    tau: float,
    warning: float,
) -> PlainOutcome:
    """First breach of each pool at the worst corner of each step's bars.

    ``paths``: marks (path, time, asset), the start included, which is looked at as it is. ``lows``,
    ``highs``: marks (path, step, asset). All corners of a step are tried. A pool is closed at the
    corner at which its excess is least; what is left is worth what it is at the end of the path.
    """
    outcome = plain_step(paths[:, :1], pools, fee, tau, warning)
    for p in range(len(paths)):
        for k, pool in enumerate(pools):
            if has_position(pool) and outcome.step[p, k] < 0:
                _follow_bars(outcome, p, k, pool, lows[p], highs[p], fee, tau, warning)
            if outcome.step[p, k] < 0:
                outcome.equity_end[p, k] = equity(pool, paths[p, -1])
            elif outcome.step[p, k] == 0:
                cash, coins, _ = close_whole(pool, paths[p, 0], fee)
                outcome.equity_end[p, k] = cash + coins_value(coins, paths[p, -1])
            else:
                step = outcome.step[p, k] - 1
                worst = min(
                    corners(lows[p, step], highs[p, step]), key=lambda at: excess(pool, at, None)
                )
                cash, coins, outcome.deficit[p, k] = close_whole(pool, worst, fee)
                outcome.bankrupt[p, k] = outcome.deficit[p, k] > tau * notional(pool, paths[p, 0])
                outcome.equity_end[p, k] = cash + coins_value(coins, paths[p, -1])
                for asset, quantity, _, _ in pool.positions:
                    outcome.closed_notional[p, k, asset] += abs(quantity) * worst[asset]
    return outcome


def _follow_bars(
    outcome: PlainOutcome,
    p: int,
    k: int,
    pool: PlainPool,
    lows: Floats,
    highs: Floats,
    fee: float,
    tau: float,
    warning: float,
) -> None:
    """Writes into ``outcome`` when pool k breaches on path p, and whether it is called before."""
    for t, (low, high) in enumerate(zip(lows, highs, strict=True)):
        tried = list(corners(low, high))
        least = min(excess(pool, marks, None) for marks in tried)
        outcome.least_excess[p, k] = min(outcome.least_excess[p, k], least)
        for marks in tried:
            if maintenance(pool, marks, None) >= warning * equity(pool, marks):
                outcome.margin_call[p, k] = True
        if any(in_breach(pool, marks, tau, None) for marks in tried):
            outcome.step[p, k] = t + 1
            return
