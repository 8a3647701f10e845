"""Blocks of paths made by hand: who was liquidated when, and what it cost."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from stress.measure.block import AccountBlock, Rows
from stress.measure.moments import Estimate
from stress.measure.sparse import Sparse
from stress.measure.timing import TimeGrid
from stress.measure.world import Findings, Request
from stress.types import Floats

__all__ = [
    "block",
    "cascade_outcome",
    "estimate",
    "random_block",
    "request",
    "same",
    "some_paths",
    "sparse",
]


def block(
    step: ArrayLike, loss: ArrayLike | None = None, **changes: ArrayLike | None
) -> AccountBlock:
    """Return a block from (accounts, paths) first liquidations, -1 for never, and losses in USD.

    Every liquidation leaves a deficit of a dollar that nobody pays and closes a hundred dollars of
    the only asset; ``changes`` are other fields, accounts by paths where they are of accounts.
    """
    steps = np.asarray(step)
    hit = (steps >= 0).astype(float)
    losses = np.zeros(steps.shape) if loss is None else np.asarray(loss, float)
    paths = steps.shape[1]
    hits = Sparse.where(hit > 0)
    known = AccountBlock(
        hits=hits,
        hit_step=steps[hit > 0],
        liquidations=hits,
        calls=hits,
        bankruptcies=hits,
        loss_of=rows(losses),
        equity_of=rows(-losses),
        hidden_of=rows(np.zeros(steps.shape)),
        least_excess_of=None,
        closed=100.0 * hit.sum(axis=0),
        closed_by_asset=100.0 * hit.sum(axis=0)[None],
        overshoot=np.zeros((1, paths)),
        fund_end=np.zeros(paths),
        fund_draw=np.zeros(paths),
        fund_exhausted=hit.sum(axis=0) > 0,
        fund_need=hit.sum(axis=0),
        uncovered=hit.sum(axis=0),
        socialised=np.zeros(paths),
        deleveraged=np.zeros(paths),
        false_liquidations=np.zeros(paths, np.int64),
        over_closed=np.zeros(paths),
        late_steps=np.zeros(paths, np.int64),
        rounds_exhausted=np.zeros(paths, np.int64),
    )
    given: dict[str, Any] = {name: np.asarray(value) for name, value in changes.items()}
    for name in ("equity", "hidden", "least_excess"):
        if name in given:
            given[f"{name}_of"] = rows(given.pop(name))
    for name in ("liquidations", "calls", "bankruptcies"):
        if name in given:
            given[name] = sparse(given[name])
    return replace(known, **given)


def rows(numbers: Floats) -> Rows:
    """Return what gives the numbers of some accounts."""
    return lambda some: numbers[some]


def sparse(numbers: Floats) -> Sparse:
    """Return (accounts, paths) numbers without those that are 0."""
    return replace(Sparse.where(numbers != 0), number=numbers[numbers != 0])


OF_PATHS = (
    "closed",
    "closed_by_asset",
    "overshoot",
    "fund_end",
    "fund_draw",
    "fund_exhausted",
    "fund_need",
    "uncovered",
    "socialised",
    "deleveraged",
    "false_liquidations",
    "over_closed",
    "late_steps",
    "rounds_exhausted",
)


def some_paths(whole: AccountBlock, places: slice) -> AccountBlock:
    """Return some of a block's paths."""
    fields = {name: getattr(whole, name)[..., places] for name in OF_PATHS}
    for name in ("equity", "hidden"):
        fields[name] = getattr(whole, name)[:, places]
    if whole.least_excess_of is not None:
        fields["least_excess"] = whole.least_excess[:, places]
    for name in ("liquidations", "calls", "bankruptcies"):
        fields[name] = getattr(whole, name).dense()[:, places]
    return block(whole.step[:, places], whole.loss[:, places], **fields)


def random_block(seed: int, accounts: int, paths: int) -> AccountBlock:
    """Return a block of which every field that measures read is random."""
    generator = np.random.default_rng(seed)
    step = np.where(generator.random((accounts, paths)) < 0.4, 3, -1)
    money = generator.exponential(100.0, size=(7, paths))
    counts = generator.poisson(0.5, size=(3, paths))
    return block(
        step,
        generator.normal(scale=50.0, size=(accounts, paths)),
        closed=np.where(generator.random(paths) < 0.2, 0.0, money[0]),
        overshoot=generator.exponential(0.01, size=(1, paths)),
        least_excess=generator.normal(size=(accounts, paths)),
        hidden=generator.random((accounts, paths)),
        fund_end=money[1],
        fund_draw=money[2],
        fund_exhausted=generator.random(paths) < 0.3,
        fund_need=money[2] + money[3],
        uncovered=money[3],
        socialised=money[4],
        deleveraged=money[5],
        over_closed=money[6],
        false_liquidations=counts[0],
        late_steps=counts[1],
        rounds_exhausted=counts[2],
    )


def cascade_outcome(
    pools: int, accounts: int, assets: int, columns: int, *, groups: int = 0, paths: int = 1
) -> SimpleNamespace:
    """Return a cascade's outcome in which nothing happens, to be filled in."""
    money, number = np.zeros(columns, np.float32), np.zeros(columns, np.int32)
    fates = SimpleNamespace(
        step=np.full((pools, columns), -1, np.int32),
        called=np.zeros((pools, columns), bool),
        bankrupt=np.zeros((pools, columns), bool),
        loser=np.full((pools, columns), -1, np.int32),
        hidden=np.zeros((pools, columns), np.int32),
        least_excess=np.full((pools, columns), np.inf, np.float32),
        charge=np.zeros((pools, groups, paths), np.float32),
    )
    tally = SimpleNamespace(
        closed=np.zeros((assets, columns), np.float32),
        overshoot=np.zeros((assets, columns), np.float32),
        exhausted=np.zeros(columns, bool),
        **{
            name: money.copy()
            for name in ("drawn", "need", "uncovered", "socialised", "deleveraged", "over_closed")
        },
        **{
            name: number.copy() for name in ("false_liquidations", "late_steps", "rounds_exhausted")
        },
    )
    return SimpleNamespace(
        fates=fates,
        tally=tally,
        equity=np.zeros((pools, columns), np.float32),
        reserve=np.zeros((accounts, columns), np.float32),
        fund=money.copy(),
        marks=np.ones((assets, columns), np.float32),
    )


def estimate(found: Findings, group: str, name: str) -> Estimate:
    """Return an estimate by its names."""
    value = found[group][name]
    assert isinstance(value, Estimate)
    return value


def same(found: Findings, known: Findings) -> None:
    """Compare all estimates and arrays, rounding allowed in estimates only."""
    assert found.keys() == known.keys()
    for group, variables in known.items():
        assert found[group].keys() == variables.keys()
        for name, expected in variables.items():
            value = found[group][name]
            if isinstance(expected, Estimate):
                assert isinstance(value, Estimate)
                close = {"rtol": 1e-9, "atol": 1e-9, "equal_nan": True}
                assert np.allclose(value.value, expected.value, **close), name
                assert np.allclose(value.interval, expected.interval, **close), name
            else:
                assert np.array_equal(np.asarray(value), expected, equal_nan=True), name


def request(paths: int, steps: int = 10, confidence: float = 0.95) -> Request:
    """Return a request for so many paths of daily steps."""
    return Request(
        levels=(0.5, 0.9),
        quantiles=(0.5,),
        confidence=confidence,
        paths=paths,
        grid=TimeGrid.build(steps, 4, 1.0),
        precision="float64",
    )
