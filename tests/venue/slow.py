"""Some pools at some marks, drawn at random, and what a venue does with them one at a time."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from stress.margin import tier_amounts
from stress.venue.judged import Judged, Some, Tables, judge

__all__ = ["MARKS", "PAIRS", "SLOTS", "TAU", "pools", "required", "surplus", "tables"]

Floats = NDArray[np.float64]
SLOTS, PAIRS, TAU = 4, 16, 1e-9
MARKS = np.array([100.0, 2_500.0, 0.5])
FLOOR = np.array([[0.0, 2e4, 1e5], [0.0, 5e4, np.inf], [0.0, 1e3, 1e4]])
RATE = np.array([[0.01, 0.02, 0.1], [0.004, 0.05, 0.05], [0.02, 0.03, 0.2]])


def tables() -> Tables:
    """Return tiers of three assets; the second has two, padded to three."""
    amount = tier_amounts(FLOOR, RATE)
    return Tables(*(jnp.asarray(of) for of in (FLOOR, RATE, amount)))


def pools(seed: int, *, ties: bool = False) -> tuple[Some, Judged]:
    """Return pools in breach but above water, and how they look; empty slots among them.

    With ``ties`` all positions of a pool are the same.
    """
    rng = np.random.default_rng(seed)
    shape = (SLOTS, PAIRS)
    asset = rng.integers(len(MARKS), size=shape)
    if ties:
        asset = np.repeat(asset[:1], SLOTS, axis=0)
    mark = MARKS[asset]
    size = 10 ** rng.uniform(2.5, 5.5, shape) / mark
    entry = mark * rng.uniform(0.9, 1.1, shape)
    sign = rng.choice([-1.0, 1.0], shape)
    if ties:
        size, entry, sign = (np.repeat(of[:1], SLOTS, axis=0) for of in (size, entry, sign))
    open_ = rng.uniform(size=shape) < 0.8
    open_[rng.integers(SLOTS, size=PAIRS), np.arange(PAIRS)] = True
    quantity = sign * size * open_
    needed = required(asset, np.abs(quantity) * mark).sum(axis=0)
    target = needed * rng.uniform(0.0, 0.999, PAIRS)
    cash = target - (quantity * (mark - entry)).sum(axis=0)
    base = np.abs(quantity) * rng.uniform(1.0, 4.0, shape)
    none = np.zeros((0, PAIRS))
    some = Some(
        jnp.asarray(cash),
        jnp.asarray(asset, jnp.int32),
        *(jnp.asarray(of) for of in (quantity, entry, base)),
        jnp.asarray(none, jnp.int32),
        *(jnp.asarray(none) for _ in range(2)),
    )
    return some, judge(some, jnp.asarray(mark), jnp.asarray(none), tables())


def required(asset: Any, notional: Any) -> Any:
    """Return maintenance margins tier by tier: the part of a notional in each at its rate."""
    top = np.append(FLOOR[:, 1:], np.full((len(FLOOR), 1), np.inf), axis=1)
    total = np.zeros(np.shape(notional))
    for tier in range(FLOOR.shape[1]):
        low = FLOOR[asset, tier]
        some = notional > low
        part = np.minimum(notional, top[asset, tier]) - np.where(some, low, 0.0)
        total += np.where(some, RATE[asset, tier] * part, 0.0)
    return total


def surplus(pool: Judged, pair: int, closed: Floats, *, fee: float, buffer: float) -> float:
    """Return ``E - fee - (1 + buffer) MM`` of one pool after (slots,) units are closed."""
    mark, asset = np.asarray(pool.mark)[:, pair], np.asarray(pool.asset)[:, pair]
    left = np.maximum(np.asarray(pool.size)[:, pair] - closed, 0.0) * mark
    backed = float(pool.equity[pair]) - fee * float(closed @ mark)
    return backed - (1 + buffer) * float(required(asset, left).sum())
