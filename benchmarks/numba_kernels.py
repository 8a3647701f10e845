"""The compiled loops of the numba contender: a path's prices, and every account along them.

Written to be hard to beat by a loop: normals come 32 at a time out of 16 interleaved xoshiro128++
generators and a Box-Muller transform of polynomials, prices lie with time contiguous, so that
every inner loop is over a whole number of vectors of steps, an account is left at its first breach,
and of the tiers only those are looked at that a position can reach on the path. Float32
throughout. Fast math without reassociation, infinities and NaN excluded: there are none.

The transforms are those of the Cephes library (Moshier, public domain): logf, sinf, cosf, expf.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange

__all__ = ["along_given_paths", "along_own_paths", "only_paths"]

CHUNK = 128
"""Steps taken together: the arrays of a chunk stay in a core's first cache."""
LANES = 16
FAST = {"contract", "nnan", "ninf", "nsz", "arcp"}

F = np.float32
U = np.uint32


@njit
def _seeded(seed: Any, path: Any) -> Any:
    """Return (4, lanes) states, from SplitMix64 of the seed and the path."""
    state = np.empty((4, LANES), np.uint32)
    word = np.uint64(seed) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(path)
    word *= np.uint64(0xD1342543DE82EF95)
    for lane in range(LANES):
        for row in range(0, 4, 2):
            word += np.uint64(0x9E3779B97F4A7C15)
            z = word
            z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            z = z ^ (z >> np.uint64(31))
            state[row, lane] = np.uint32(z & np.uint64(0xFFFFFFFF))
            state[row + 1, lane] = np.uint32(z >> np.uint64(32))
    return state


@njit
def _bits(state: Any, out: Any) -> None:
    """Write the next 32 bits of every lane (xoshiro128++, Blackman and Vigna 2021)."""
    for lane in range(LANES):
        a, b, c, d = state[0, lane], state[1, lane], state[2, lane], state[3, lane]
        total = U(a + d)
        out[lane] = U(U(U(total << U(7)) | U(total >> U(25))) + a)
        shifted = U(b << U(9))
        c = U(c ^ a)
        d = U(d ^ b)
        b = U(b ^ c)
        a = U(a ^ d)
        c = U(c ^ shifted)
        d = U(U(d << U(11)) | U(d >> U(21)))
        state[0, lane], state[1, lane], state[2, lane], state[3, lane] = a, b, c, d


@njit(fastmath=FAST)
def _normals(state: Any, first: Any, second: Any, real: Any, word: Any, out: Any) -> None:
    """Fill ``out``, a whole number of 2 x lanes; the others are scratch of one word a lane."""
    for start in range(0, out.size, 2 * LANES):
        _bits(state, first)
        _bits(state, second)
        for lane in range(LANES):
            real[lane] = (F(np.int32(first[lane] >> U(8))) + F(0.5)) * F(2.0**-24)
        for lane in range(LANES):
            bits = word[lane]
            # the mantissa in [sqrt(1/2), sqrt(2)), so that the logarithm is of a number near 1
            high = np.int32(bits + np.int32(0x3F800000 - 0x3F3504F3))
            power = F(np.int32(high >> np.int32(23)) - np.int32(127))
            word[lane] = np.int32(np.int32(high & np.int32(0x7FFFFF)) + np.int32(0x3F3504F3))
            x = real[lane] - F(1)
            y = F(7.0376836292e-2)
            y = y * x - F(1.1514610310e-1)
            y = y * x + F(1.1676998740e-1)
            y = y * x - F(1.2420140846e-1)
            y = y * x + F(1.4249322787e-1)
            y = y * x - F(1.6668057665e-1)
            y = y * x + F(2.0000714765e-1)
            y = y * x - F(2.4999993993e-1)
            y = y * x + F(3.3333331174e-1)
            logarithm = x - F(0.5) * x * x + y * x * x * x + power * F(0.6931471805599453)
            radius = np.sqrt(F(-2) * logarithm)

            turn = second[lane]
            quadrant = U(turn >> U(30))
            angle = (F(np.int32(U(turn << U(2)) >> U(8))) + F(0.5)) * F(2.0**-24) - F(0.5)
            angle *= F(np.pi / 2)
            square = angle * angle
            sine = F(-1.9515295891e-4)
            sine = sine * square + F(8.3321608736e-3)
            sine = sine * square - F(1.6666654611e-1)
            sine = sine * square * angle + angle
            cosine = F(2.443315711809948e-5)
            cosine = cosine * square - F(1.388731625493765e-3)
            cosine = cosine * square + F(4.166664568298827e-2)
            cosine = cosine * square * square - F(0.5) * square + F(1)
            swapped = (quadrant & U(1)) != U(0)
            sign = F(1) - F(np.int32(quadrant & U(2)))
            one = cosine if swapped else sine
            other = sine if swapped else cosine
            out[start + lane] = radius * sign * one
            out[start + LANES + lane] = radius * sign * other


@njit(fastmath=FAST)
def _exponential(level: Any, word: Any, price: Any) -> None:
    """Write ``price exp(level)`` of one asset's chunk back into ``level``; ``word`` is scratch."""
    real = word.view(np.float32)
    for step in range(CHUNK):
        x = level[step]
        power = np.int32(x * F(1.44269504088896341) + F(64.5)) - np.int32(64)
        rest = x - F(power) * F(0.693359375) + F(power) * F(2.12194440e-4)
        y = F(1.9875691500e-4)
        y = y * rest + F(1.3981999507e-3)
        y = y * rest + F(8.3334519073e-3)
        y = y * rest + F(4.1665795894e-2)
        y = y * rest + F(1.6666665459e-1)
        y = y * rest + F(5.0000001201e-1)
        level[step] = (y * rest * rest + rest + F(1)) * price
        word[step] = np.int32((power + np.int32(127)) << np.int32(23))
    for step in range(CHUNK):
        level[step] *= real[step]


@njit(fastmath=FAST)
def _path(seed: Any, path: Any, price: Any, mean: Any, root: Any, marks: Any) -> None:
    """Write the marks of a path, (assets, chunks x CHUNK), without time 0.

    ``mean`` (assets,) and ``root`` (assets, assets), lower triangular, are of a step's log return.
    """
    assets, nodes = marks.shape
    state = _seeded(seed, path)
    first, second = np.empty(LANES, np.uint32), np.empty(LANES, np.uint32)
    word = np.empty(LANES, np.int32)
    real = word.view(np.float32)
    powers = np.empty(CHUNK, np.int32)
    drawn = -(-(assets * CHUNK) // (2 * LANES)) * 2 * LANES
    flat = np.empty(drawn, np.float32)
    normal = flat[: assets * CHUNK].reshape(assets, CHUNK)
    moves = np.empty(CHUNK, np.float32)
    level = np.zeros(assets, np.float32)
    for start in range(0, nodes, CHUNK):
        _normals(state, first, second, real, word, flat)
        for asset in range(assets):
            for step in range(CHUNK):
                moves[step] = mean[asset]
            for other in range(asset + 1):
                weight = root[asset, other]
                for step in range(CHUNK):
                    moves[step] += weight * normal[other, step]
            now = level[asset]
            for step in range(CHUNK):
                now += moves[step]
                moves[step] = now
            level[asset] = now
            _exponential(moves, powers, price[asset])
            for step in range(CHUNK):
                marks[asset, start + step] = moves[step]


@njit(fastmath=FAST)
def _first_breach(
    account: Any,
    marks: Any,
    high: Any,
    steps: Any,
    first_row: Any,
    asset_of: Any,
    quantity: Any,
    start: Any,
    floor: Any,
    rate: Any,
    amount: Any,
    tolerance: Any,
    excess: Any,
    need: Any,
) -> Any:
    """Return the step of an account's first breach along a path, -1 if there is none.

    ``marks`` (assets, at least steps) and ``high`` (assets,), the highest mark of each; ``excess``
    and ``need`` are scratch of a chunk. An entry price is in the account's start already. A breach
    is an excess below ``-tolerance x notional``: the tolerance counts as so much less requirement.
    No array is sliced here: a slice counts a reference, and threads would wait for each other's
    counts.
    """
    begin, end = first_row[account], first_row[account + 1]
    for at in range(0, marks.shape[1], CHUNK):
        for step in range(CHUNK):
            excess[step] = start[account]
        for row in range(begin, end):
            asset = asset_of[row]
            held = quantity[row]
            size = abs(held)
            reached = 1
            while reached < floor.shape[1] and floor[asset, reached] <= size * high[asset]:
                reached += 1
            if reached == 1:
                slope = held - (rate[asset, 0] - tolerance) * size
                for step in range(CHUNK):
                    excess[step] += slope * marks[asset, at + step]
            else:
                slope = held + tolerance * size
                # tier by tier, because a loop over a variable number of tiers inside one over steps
                # is not vectorised
                base = rate[asset, 0] * size
                for step in range(CHUNK):
                    need[step] = base * marks[asset, at + step]
                for tier in range(1, reached):
                    base, less = rate[asset, tier] * size, amount[asset, tier]
                    for step in range(CHUNK):
                        need[step] = max(need[step], base * marks[asset, at + step] - less)
                for step in range(CHUNK):
                    excess[step] += slope * marks[asset, at + step] - need[step]
        broken = 0
        for step in range(CHUNK):
            broken += excess[step] < F(0)
        if broken > 0:
            for step in range(CHUNK):
                if excess[step] < F(0):
                    return at + step + 1 if at + step < steps else -1
    return -1


@njit(fastmath=FAST)
def _book_along(
    marks: Any, steps: Any, book: Any, tiers: Any, fee: Any, step: Any, equity: Any
) -> None:
    """Follow every account along one path; write steps of breach and equities at the horizon.

    An account that is liquidated is closed whole at its breach, less the ``fee``; below zero is its
    deficit.
    """
    first_row, asset_of, quantity, start = book
    floor, rate, amount, tolerance = tiers
    high = np.empty(marks.shape[0], np.float32)
    for asset in range(marks.shape[0]):
        most = marks[asset, 0]
        for node in range(1, marks.shape[1]):
            most = max(most, marks[asset, node])
        high[asset] = most
    excess, need = np.empty(CHUNK, np.float32), np.empty(CHUNK, np.float32)
    for account in range(step.size):
        hit = _first_breach(
            account,
            marks,
            high,
            steps,
            first_row,
            asset_of,
            quantity,
            start,
            floor,
            rate,
            amount,
            tolerance,
            excess,
            need,
        )
        node = hit - 1 if hit >= 0 else steps - 1
        paid = fee if hit >= 0 else F(0)
        total = start[account]
        for row in range(first_row[account], first_row[account + 1]):
            mark = marks[asset_of[row], node]
            total += quantity[row] * mark - paid * abs(quantity[row]) * mark
        step[account] = hit
        equity[account] = total


@njit(parallel=True)
def only_paths(seed: Any, paths: Any, steps: Any, market: Any) -> Any:
    """Return (paths, assets) prices at the horizon, all others written and left."""
    price, mean, root = market
    nodes = -(-steps // CHUNK) * CHUNK
    end = np.empty((paths, price.size), np.float32)
    for path in prange(paths):
        marks = np.empty((price.size, nodes), np.float32)
        _path(seed, path, price, mean, root, marks)
        end[path] = marks[:, steps - 1]
    return end


@njit(parallel=True)
def along_own_paths(
    seed: Any, paths: Any, steps: Any, market: Any, book: Any, tiers: Any, fee: Any
) -> Any:
    """Return (paths, accounts) steps of breach, -1 never, and equities at the horizon."""
    price, mean, root = market
    nodes = -(-steps // CHUNK) * CHUNK
    accounts = book[3].size
    step = np.empty((paths, accounts), np.int32)
    equity = np.empty((paths, accounts), np.float32)
    for path in prange(paths):
        marks = np.empty((price.size, nodes), np.float32)
        _path(seed, path, price, mean, root, marks)
        _book_along(marks, steps, book, tiers, fee, step[path], equity[path])
    return step, equity


@njit(parallel=True)
def along_given_paths(given: Any, book: Any, tiers: Any, fee: Any) -> Any:
    """Return the same for given marks (paths, assets, steps), without time 0."""
    paths, assets, steps = given.shape
    nodes = -(-steps // CHUNK) * CHUNK
    accounts = book[3].size
    step = np.empty((paths, accounts), np.int32)
    equity = np.empty((paths, accounts), np.float32)
    for path in prange(paths):
        marks = np.empty((assets, nodes), np.float32)
        for asset in range(assets):
            marks[asset, :steps] = given[path, asset]
            marks[asset, steps:] = given[path, asset, steps - 1]
        _book_along(marks, steps, book, tiers, fee, step[path], equity[path])
    return step, equity
