"""The kernel against the plain twin: random books, both triggers, both kinds of monitoring."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from stress.engine import deal, survivors
from stress.runner.prepare import Job, prepare
from stress.types import Mode
from tests.engine.following import (
    BLOCK,
    Floats,
    Followed,
    follow,
    gross,
    marks,
    plain_pools,
    pools_of_world,
)
from tests.reference import plain
from tests.strategies import (
    CORRELATION,
    KINDS,
    VOLATILITY,
    Account,
    books,
    random_book,
    seeds,
    write_book,
)

TAU = 1e-9
LEVEL = 0.03
"""Of the trigger by margin level: between the lowest and the highest rate of the tiers."""
SEEDS = (11, 12, 13, 14)
TRIGGERS = {"maintenance": None, "margin-level": LEVEL}


def prepared(
    folder: Path,
    accounts: dict[str, Account],
    *,
    level: float | None = None,
    mode: Mode = "as-booked",
    **simulation: Any,
) -> Job:
    changes: dict[str, Any] = {f"simulation.{key}": value for key, value in simulation.items()}
    changes["book.mode"] = mode
    if level is not None:
        changes["venue.trigger"] = {"margin_level": level}
    return prepare(write_book(folder, accounts, changes))


def check_step(
    job: Job, pools: list[plain.PlainPool], level: float | None = None, *, block: int = BLOCK
) -> Followed:
    """Compare everything that step monitoring says with the twin."""
    along = marks(job)
    twin = plain.plain_step(along, pools, job.setting.fee, TAU, job.setting.warning, level)
    followed = follow(job, block=block)
    found, scale = followed.outcome, gross(pools, along[0, 0])

    np.testing.assert_array_equal(followed.mark_end, along[:, -1].T)
    np.testing.assert_array_equal(found.step, twin.step.T)
    np.testing.assert_array_equal(found.called, twin.margin_call.T)
    bankrupt = found.deficit > job.main.tolerance_usd[:, None]
    np.testing.assert_array_equal(bankrupt, twin.bankrupt.T)
    check_money(found.equity, twin.equity_end.T, scale)
    check_money(found.deficit, twin.deficit.T, scale)
    check_money(found.closed, twin.closed_notional.sum(axis=2).T, scale)
    check_money(found.closed_by_asset, twin.closed_notional.sum(axis=1).T, scale.sum())
    if job.schedule.least_excess:
        least = np.where(np.isinf(found.least_excess), np.nan, found.least_excess)
        check_money(least, twin.least_excess.T, scale)
    return followed


def check_money(found: Floats, expected: Floats, scale: Floats) -> None:
    """Compare amounts in USD, relative to all that the pool holds."""
    np.testing.assert_allclose(found / scale, expected / scale, rtol=0, atol=1e-9)


@pytest.mark.parametrize("detail", [True, False], ids=["every-pool", "screened"])
@pytest.mark.parametrize("trigger", TRIGGERS)
def test_step(tmp_path: Path, trigger: str, detail: bool) -> None:
    liquidated = 0
    for seed in SEEDS:
        accounts = random_book(seed)
        job = prepared(tmp_path, accounts, level=TRIGGERS[trigger], seed=seed, detail=detail)
        followed = check_step(job, plain_pools(accounts), TRIGGERS[trigger])
        liquidated += (followed.outcome.step > 0).sum()
    # a comparison of books in which nothing happens would prove little
    assert liquidated > 100


@settings(max_examples=8, deadline=None)
@given(accounts=books(copies=2), seed=seeds)
def test_step_of_any_book(
    tmp_path_factory: pytest.TempPathFactory, accounts: dict[str, Account], seed: int
) -> None:
    folder = tmp_path_factory.mktemp("book")
    check_step(prepared(folder, accounts, seed=seed), plain_pools(accounts))


@pytest.mark.slow
def test_panels_of_every_width(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A larger book is dealt to panels by width, pools without positions and wide ones too."""
    monkeypatch.setattr(deal, "_SMALL", 0)
    monkeypatch.setattr(deal, "_PADDED", 0.0)
    accounts = random_book(SEEDS[0], tuple(KINDS))
    job = prepared(tmp_path, accounts, seed=SEEDS[0])
    widths = [(panel.asset.shape[0], panel.coin_asset.shape[0]) for panel in job.main.world.panels]
    assert widths == [(0, 2), (1, 0), (4, 1), (4, 2), (32, 0)]
    check_step(job, plain_pools(accounts))


@pytest.mark.slow
def test_pairs_in_several_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However few pairs are evaluated at once, all that must be are."""
    monkeypatch.setattr(survivors, "_BUDGET", 1)
    accounts = random_book(SEEDS[0])
    job = prepared(tmp_path, accounts, seed=SEEDS[0])
    # a block that no other test uses: another one would be compiled with the usual budget
    check_step(job, plain_pools(accounts), block=11)


@pytest.mark.parametrize("mode", ["cross", "isolated"])
def test_other_worlds(tmp_path: Path, mode: Mode) -> None:
    """Counterparts too, an account without one among them: it has no positions."""
    job = prepared(tmp_path, random_book(SEEDS[0]), seed=SEEDS[0], mode=mode)
    assert job.main.pools.exists.all() == (mode == "cross")
    check_step(job, pools_of_world(job))


def one_asset(pool: plain.PlainPool) -> int | None:
    """Return the only asset of a pool, whatever the sides of its positions.

    The twin takes the exact bridge for pools of one side only. A hedge in one asset with a single
    liquidation price has the same exact bridge, and the kernel takes it.
    """
    assets = {position[0] for position in pool.positions} | {coin[0] for coin in pool.coins}
    return assets.pop() if len(assets) == 1 and pool.positions else None


def check_bridge(job: Job, accounts: dict[str, Account], level: float | None) -> Followed:
    """Compare survival weights with the twin, and what is drawn with the weights."""
    along, pools = marks(job), plain_pools(accounts)
    weight = plain.plain_bridge(
        along,
        pools,
        job.setting.step_years,
        np.array(list(VOLATILITY.values())),
        np.array(CORRELATION),
        TAU,
        level,
    )
    at_nodes = plain.plain_step(along, pools, job.setting.fee, TAU, job.setting.warning, level)
    followed = follow(job)
    found = followed.outcome

    np.testing.assert_allclose(np.exp(found.survival), weight[:, -1].T, rtol=0, atol=1e-9)
    # a breach at a node is a hit, not later than there
    breached = at_nodes.step.T >= 0
    assert (found.step[breached] >= 0).all()
    assert (found.step <= at_nodes.step.T)[breached].all()
    assert (found.survival[breached] == -np.inf).all()
    # nothing is hit that cannot be, and what cannot survive is hit
    assert (found.survival[found.step >= 0] < 0).all()
    assert (found.step[found.survival == -np.inf] >= 0).all()
    # a margin call comes no later than a liquidation, and is no less likely
    assert (found.calm <= found.survival).all()
    assert found.called[found.step >= 0].all()
    assert found.called[at_nodes.margin_call.T].all()
    return followed


@pytest.mark.parametrize(
    "detail",
    # the screened answer is that of every pool: tests/engine/test_screening.py
    [True, pytest.param(False, marks=pytest.mark.slow)],
    ids=["every-pool", "screened"],
)
@pytest.mark.parametrize(
    "trigger", ["maintenance", pytest.param("margin-level", marks=pytest.mark.slow)]
)
def test_bridge(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trigger: str, detail: bool
) -> None:
    monkeypatch.setattr(plain, "only_asset", one_asset)
    uncertain = 0
    for seed in SEEDS:
        accounts = random_book(seed)
        job = prepared(
            tmp_path,
            accounts,
            level=TRIGGERS[trigger],
            seed=seed,
            detail=detail,
            monitoring="bridge",
        )
        survival = np.exp(check_bridge(job, accounts, TRIGGERS[trigger]).outcome.survival)
        uncertain += ((survival > 1e-6) & (survival < 1 - 1e-6)).sum()
    assert uncertain > 100
