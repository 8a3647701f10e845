"""What bridge monitoring draws: as often as the weights say, once for all pools, at the barrier."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stress.runner.prepare import Job, prepare
from tests.engine.following import PATHS, Floats, follow, gross, plain_pools
from tests.reference import plain
from tests.strategies import PRICE, Account, random_book, write_book

SEED = 51
BLOCKS = 200


def prepared(folder: Path, accounts: dict[str, Account], horizon: str = "240h") -> Job:
    changes = {
        "simulation.monitoring": "bridge",
        "simulation.seed": SEED,
        "simulation.horizon": horizon,
    }
    return prepare(write_book(folder, accounts, changes))


@pytest.mark.slow
def test_frequencies(tmp_path: Path) -> None:
    """Given a path's nodes a pool is hit with probability one minus its weight, and called alike.

    The standardised sum over paths is close to normal for every pool that is hit often enough.
    """
    job = prepared(tmp_path, random_book(SEED))
    score, variance = np.zeros((2, 2, len(job.main.pools.cash)))
    for number in range(BLOCKS):
        found = follow(job, first=number * PATHS).outcome
        drawn = np.stack([found.step >= 0, found.called])
        expected = -np.expm1(np.stack([found.survival, found.calm]))
        score += (drawn - expected).sum(axis=2)
        variance += (expected * (1 - expected)).sum(axis=2)
    certain = variance < 1e-9
    assert (np.abs(score[certain]) < 1e-6).all()
    often = variance > 10
    assert often.sum() > 20
    standardised = score[often] / np.sqrt(variance[often])
    # two tails at 4.5: 7e-6, some forty times
    assert np.abs(standardised).max() < 4.5
    assert abs(standardised.mean()) < 0.7


def rungs() -> dict[str, Account]:
    """Return longs of one asset from 2x to 80x, and shorts likewise."""
    return {
        f"{name}-{number}": Account(
            float(PRICE["TWO"] / leverage),
            [{"asset": "TWO", "quantity": side, "entry_price": PRICE["TWO"]}],
        )
        for name, side in (("long", 1.0), ("short", -1.0))
        for number, leverage in enumerate(np.geomspace(2.0, 80.0, 8))
    }


@pytest.fixture
def ladder(tmp_path: Path) -> tuple[Job, dict[str, Account]]:
    accounts = rungs()
    return prepared(tmp_path, accounts), accounts


def test_long_and_short_take_opposite_ends(tmp_path: Path) -> None:
    """What pushes a price down in a step pushes longs to their end, and shorts away from theirs.

    Of a long and a short of which one step takes each with less than even odds it takes one at
    most. By independent draws it would take both now and then.
    """
    job = prepared(tmp_path, rungs(), horizon="6h")
    both = by_chance = 0.0
    for number in range(100):
        found = follow(job, block=1, first=number * PATHS).outcome
        odds = -np.expm1(found.survival).reshape(2, 8, 1, PATHS)
        hit = (found.step >= 0).reshape(2, 8, 1, PATHS)
        long, short = odds[0], odds[1].swapaxes(0, 1)
        even = (long < 0.5) & (short < 0.5)
        both += (even & hit[0] & hit[1].swapaxes(0, 1)).sum()
        by_chance += (even * long * short).sum()
    assert both == 0
    assert by_chance > 50


def test_pools_on_one_side_share_one_extreme(ladder: tuple[Job, dict[str, Account]]) -> None:
    """Whoever is further from liquidation is never hit alone, nor earlier."""
    job, _ = ladder
    alone = 0
    for number in range(20):
        step = follow(job, first=number * PATHS).outcome.step
        when = np.where(step < 0, job.schedule.steps + 1, step).reshape(2, 8, PATHS)
        assert (when[:, :-1] >= when[:, 1:]).all()
        alone += (when[:, :-1] > when[:, 1:]).sum()
    assert alone > 0


def test_closed_at_the_barrier(ladder: tuple[Job, dict[str, Account]]) -> None:
    """A hit pool trades at its liquidation price, keeps the requirement there less the fee."""
    job, accounts = ladder
    pools = plain_pools(accounts)
    found = follow(job).outcome
    for number, pool in enumerate(pools):
        hit = found.step[number] >= 0
        (price,) = plain.liquidation_marks(pool, 1, len(PRICE), None)
        marks = np.full(len(PRICE), price)
        closed = plain.notional(pool, marks)
        kept = plain.maintenance(pool, marks, None) - job.setting.fee * closed
        np.testing.assert_allclose(found.closed[number], np.where(hit, closed, 0), rtol=1e-9)
        np.testing.assert_allclose(found.equity[number][hit], max(kept, 0.0), atol=1e-6)
        np.testing.assert_allclose(found.deficit[number][hit], max(-kept, 0.0), atol=1e-6)
        assert (found.deficit[number][~hit] == 0).all()
    assert (found.step >= 0).any(axis=1).sum() > 8


def test_exactly_at_the_requirement(tmp_path: Path) -> None:
    """Safe at the start, and sure to be hit in the first step, with weight and draw agreeing."""
    job = prepared(tmp_path, random_book(SEED))
    owner = job.book.accounts.index("at_requirement-0")
    (pool,) = np.flatnonzero(job.main.pools.account == owner)
    found = follow(job).outcome
    assert (found.step[pool] == 1).all()
    np.testing.assert_allclose(np.exp(found.survival[pool]), 0, atol=1e-9)
    assert found.called[pool].all()
    np.testing.assert_allclose(found.closed[pool], 128.0, rtol=1e-9)


def test_what_no_price_liquidates_is_never_hit(tmp_path: Path) -> None:
    """A long that is paid for is safe in the longest steps, where a linearised bridge is not.

    So is a short that its own coin outweighs. The long of 1.01x is there to show that others are
    hit in such steps.
    """
    price = PRICE["ODD"]
    long = {"asset": "ODD", "quantity": 1.0, "entry_price": price}
    short = {"asset": "ODD", "quantity": -1.0, "entry_price": price}
    accounts = {
        "paid": Account(price, [long]),
        "more-than-paid": Account(2 * price, [long]),
        "outweighed": Account(0.0, [short], [{"asset": "ODD", "quantity": 4.0}]),
        "almost-paid": Account(price / 1.01, [long]),
    }
    changes = {
        "simulation.monitoring": "bridge",
        "simulation.seed": SEED,
        "simulation.horizon": "480d",
        "simulation.step": "60d",
    }
    found = follow(prepare(write_book(tmp_path, accounts, changes))).outcome
    assert (found.step[:3] == -1).all()
    assert (found.survival[:3] == 0).all()
    assert not found.called[:3].any()
    assert (found.survival[3] < -1e-6).any()


def test_closing_in_general(tmp_path: Path) -> None:
    """Whatever a hit pool holds, its deficit and its equity come from what it was closed for."""
    accounts = random_book(SEED)
    job = prepared(tmp_path, accounts)
    found = follow(job).outcome
    scale: Floats = gross(plain_pools(accounts), job.setting.price)
    hit = found.step >= 0
    assert (found.closed[hit] > 0).all()
    assert (found.closed[~hit] == 0).all()
    assert (found.deficit[~hit] == 0).all()
    assert (found.equity[hit] >= 0).all()
    np.testing.assert_allclose(
        found.closed_by_asset.sum(axis=0) / scale.sum(),
        found.closed.sum(axis=0) / scale.sum(),
        rtol=0,
        atol=1e-12,
    )
