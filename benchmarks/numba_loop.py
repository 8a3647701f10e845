"""The hand-tuned contender: parallel loops compiled by numba, see ``numba_kernels``.

Two rows: paths alone, and the whole. Its liquidations are compared with the plain kernel's, on the
project's own paths, before anything is timed.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from benchmarks import numba_kernels
from benchmarks.jobs import block_marks, blocks, ready, size_of
from benchmarks.plain import first_breaches, same_but_for_rounding
from benchmarks.row import Row, clocked, timed
from stress.runner.prepare import Job
from stress.types import TOLERANCE

__all__ = ["row"]

CHECKED = 64
"""Paths whose liquidations are compared."""


def row(name: str, size: dict[str, Any], only_paths: bool = False) -> Row:
    """Measure paths, or paths and accounts.

    Raises
    ------
    AssertionError
        If an account is liquidated at another step than by the plain kernel, and rounding does not
        explain it.
    """
    of = size_of(size)
    job = ready(of)
    market, book, tiers = market_of(job), book_of(job), tiers_of(job)
    fee = np.float32(job.setting.fee)
    begun = time.perf_counter()
    if only_paths:
        numba_kernels.only_paths(1, 2, of.steps, market)
    else:
        numba_kernels.along_own_paths(1, 2, of.steps, market, book, tiers, fee)
    compiling = time.perf_counter() - begun
    share = float("nan") if only_paths else _checked(job)

    def run() -> None:
        if only_paths:
            numba_kernels.only_paths(1, of.paths, of.steps, market)
        else:
            numba_kernels.along_own_paths(1, of.paths, of.steps, market, book, tiers, fee)

    return timed(
        name,
        clocked(run),
        note="paths only" if only_paths else "breaches and equities, no measures",
        paths=of.paths,
        each=of.assets * of.steps,
        accounts=0 if only_paths else of.accounts * of.steps,
        compile_seconds=compiling,
        liquidated=share,
    )


def market_of(job: Job) -> Any:
    """Return prices, and mean and lower triangular root of a step's log return, float32."""
    setting, years = job.setting, job.setting.step_years
    mean = (setting.drift - setting.volatility**2 / 2) * years
    deviation = setting.volatility * np.sqrt(years)
    root = deviation[:, None] * np.linalg.cholesky(setting.correlation)
    return np.float32(setting.price), np.float32(mean), np.float32(root)


def book_of(job: Job) -> Any:
    """Return positions account by account: first rows, assets, quantities; and starting equities.

    A start is cash less what the positions cost at their entry prices.
    """
    book = job.book
    owner, accounts = book.position_account, len(book.accounts)
    order = np.argsort(owner, kind="stable")
    first = np.searchsorted(owner[order], np.arange(accounts + 1)).astype(np.int32)
    paid = np.bincount(owner, book.quantity * book.entry_price, accounts)
    asset = book.position_asset[order].astype(np.int32)
    return first, asset, np.float32(book.quantity[order]), np.float32(book.cash - paid)


def tiers_of(job: Job) -> Any:
    """Return (assets, tiers) floors, rates and amounts, and the tolerance of a breach."""
    setting = job.setting
    arrays = (setting.tier_floor, setting.requirement_rate, setting.requirement_amount)
    return (*(np.float32(array) for array in arrays), np.float32(TOLERANCE["float32"]))


def _checked(job: Job) -> float:
    """Compare with the plain kernel on the project's paths; return the share liquidated."""
    numbers = next(blocks(CHECKED))
    marks = np.ascontiguousarray(np.asarray(block_marks(job, numbers)).transpose(0, 2, 1))
    fee = np.float32(job.setting.fee)
    given = np.ascontiguousarray(marks[:, :, 1:])
    steps, _ = numba_kernels.along_given_paths(given, book_of(job), tiers_of(job), fee)
    same_but_for_rounding(job, marks, steps, first_breaches(job, marks).T)
    return float((steps >= 0).mean())
