"""lrvx's liquidation engine on one path: the open peer that is nearest to this project.

``LiquidationEngine.on_marks`` is given the marks of every step, one path at a time, as a back-test
does. It finds the accounts in breach, closes, draws on the insurance fund, then deleverages. Its
rules are not quite these (found by trying version 0.11.0, whose sources are not public here): the
maintenance margin is one fraction, picked by a tier, of the notional of the whole account, without
tier amounts; it closes the position whose mark it was just told of, not the account; and prices
answer a liquidation only through an order book that it is given. Both sides therefore have one flat
rate here and no impact, and what is compared is who is liquidated first at which step.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import lrvx
import numpy as np

from benchmarks.jobs import block_marks, blocks, ready, size_of
from benchmarks.plain import first_breaches
from benchmarks.row import Row, clocked, timed
from stress.runner.prepare import Job
from stress.types import Array

__all__ = ["row"]

RATE = 0.01
FLAT = {"venue": {"tiers": {"default": [{"floor": 0, "rate": RATE}]}}}


def row(name: str, size: dict[str, Any]) -> Row:
    """Measure one path; who is liquidated when is compared with the plain kernel.

    Raises
    ------
    AssertionError
        If fewer than 99 in a hundred of the accounts that are liquidated are the same.
    """
    of = size_of(size)
    job = ready(of, changes=FLAT)
    numbers = next(blocks(1))
    marks = np.asarray(block_marks(job, numbers))[0].astype(float)
    expected = first_breaches(job, np.float32(marks.T[None]))[:, 0]
    found: list[Array] = []
    engines: list[Any] = []

    def run() -> float:
        # an engine has a past: each run has its own, made outside the clock
        engines[:] = [_engine(job)]
        return clocked(lambda: found.append(_walk(engines[0][0], marks, of.accounts)))()

    timing = timed(
        name,
        run,
        note="a given path; flat rate, no impact",
        paths=1,
        each=of.assets * of.steps,
        accounts=of.accounts * of.steps,
        liquidated=float((expected >= 0).mean()),
    )
    either = (found[0] >= 0) | (expected >= 0)
    same = (found[0] == expected)[either].mean() if either.any() else 1.0
    assert same >= 0.99, f"only {same:.1%} of the liquidations are the same"
    return replace(timing, note=f"{timing.note}; {same:.1%} of liquidations the same")


def _engine(job: Job) -> tuple[Any, list[Any]]:
    """Return an engine that holds the book, and the accounts, which it does not keep alive."""
    book = job.book
    engine = lrvx.LiquidationEngine()
    engine.add_tier(0.0, RATE)
    engine.set_liquidation_slippage_bps(1e4 * job.setting.fee)
    engine.set_insurance_fund_capital(250_000.0)
    engine.set_adl_enabled(True)
    accounts = [lrvx.Account(number, float(cash)) for number, cash in enumerate(book.cash)]
    for account in accounts:
        account.set_margin_mode("cross")
    rows = zip(
        book.position_account, book.position_asset, book.quantity, book.entry_price, strict=True
    )
    for owner, asset, quantity, entry in rows:
        accounts[owner].open_position(int(asset), float(quantity), float(entry))
    for account in accounts:
        engine.attach_account(account)
    return engine, accounts


def _walk(engine: Any, marks: Array, accounts: int) -> Array:
    """Return (accounts,) the step at which each was first liquidated, -1 never."""
    first = np.full(accounts, -1)
    for step, node in enumerate(marks.tolist()):
        for account in engine.on_marks(list(enumerate(node)))["liquidated"]:
            if first[account] < 0:
                first[account] = step
    return first
