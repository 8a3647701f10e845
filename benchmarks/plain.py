"""The plain JAX kernel: every account at every step of every path, nothing left out.

A scan over the steps carries the first breach of each account; positions of accounts with as many
positions stand side by side, so that nothing is padded. Marks are the project's own, so that the
liquidations can be compared one by one, and both cores work, each on paths of its own. What the
project reports besides (intervals, losses, times, tails, the fan) is not computed.
"""

from __future__ import annotations

import time
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.jobs import block_marks, blocks, ready, seed_of, size_of
from benchmarks.row import Row, clocked, timed
from stress.engine.passage import first_passage
from stress.engine.paths import price_paths
from stress.margin import maintenance
from stress.runner.device import use_all_cores
from stress.runner.prepare import Job
from stress.types import TOLERANCE, Array, Floats, Integers

__all__ = ["first_breaches", "row", "same_but_for_rounding"]


class Slots(NamedTuple):
    """Accounts with the same number of positions; arrays (positions, accounts, ...).

    ``cash`` (accounts,) is less what the positions cost at their entry prices; ``account`` is
    (accounts,) the row of each in the book.
    """

    account: Any
    cash: Any
    asset: Any
    quantity: Any
    rate: Any
    amount: Any


def slots_of(job: Job) -> tuple[Slots, ...]:
    """Return the accounts of a book in which every position is backed by its whole account."""
    book, setting = job.book, job.setting
    accounts, owner = len(book.accounts), book.position_account
    paid = np.bincount(owner, book.quantity * book.entry_price, accounts)
    order = np.argsort(owner, kind="stable")
    count = np.bincount(owner, minlength=accounts)
    first = np.concatenate([[0], count.cumsum()[:-1]])
    panels = []
    for width in np.unique(count[count > 0]):
        rows = np.flatnonzero(count == width)
        seat = order[first[rows] + np.arange(width)[:, None]]
        asset = book.position_asset[seat]
        panel = Slots(
            account=rows,
            cash=np.float32(book.cash[rows] - paid[rows]),
            asset=asset,
            quantity=np.float32(book.quantity[seat]),
            rate=np.float32(setting.requirement_rate[asset]),
            amount=np.float32(setting.requirement_amount[asset]),
        )
        panels.append(panel)
    return tuple(panels)


@partial(jax.jit, static_argnames="tolerance")
def plain(panels: tuple[Slots, ...], marks: Any, fee: Any, tolerance: float) -> Any:
    """Return of each panel (accounts, paths): the step of the first breach, and equity at the end.

    ``marks`` (nodes, assets, paths), time 0 first. An account is closed whole at its breach, less
    ``fee`` of its notional; below zero is its deficit.
    """

    def look(carry: Any, now: Any) -> Any:
        number, node = now
        looked = tuple(
            _look(panel, *of, number, node) for panel, of in zip(panels, carry, strict=True)
        )
        return looked, None

    def _look(panel: Slots, step: Any, left: Any, number: Any, node: Any) -> Any:
        equity = jnp.broadcast_to(panel.cash[:, None], step.shape)
        required = total = jnp.zeros_like(equity)
        for asset, held, rate, amount in zip(
            panel.asset, panel.quantity, panel.rate, panel.amount, strict=True
        ):
            mark = node[asset]
            size = jnp.abs(held)[:, None] * mark
            equity += held[:, None] * mark
            total += size
            required += maintenance(size, rate[:, None], amount[:, None])
        alive = step < 0
        broken = alive & (equity - required < -tolerance * total)
        left = jnp.where(broken, equity - fee * total, jnp.where(alive, equity, left))
        return jnp.where(broken, number, step), left

    paths = marks.shape[2]
    never = tuple(
        (jnp.full((len(panel.cash), paths), -1), jnp.zeros((len(panel.cash), paths), jnp.float32))
        for panel in panels
    )
    return jax.lax.scan(look, never, (jnp.arange(marks.shape[0]), marks))[0]


def row(name: str, size: dict[str, Any]) -> Row:
    """Measure paths and plain kernel; the liquidations of the first block are compared with ours.

    Raises
    ------
    AssertionError
        If an account is liquidated at another step and rounding does not explain it.
    """
    use_all_cores()
    of = size_of(size)
    job = ready(of)
    begun = time.perf_counter()
    devices = jax.local_devices()[: len(list(blocks(of.paths)))]
    kernels = [_OnDevice(job, device) for device in devices]
    first = next(blocks(of.paths))
    jax.block_until_ready([kernel(first) for kernel in kernels])
    compiling = time.perf_counter() - begun
    share = _checked(job, kernels[0](first), first)

    return timed(
        name,
        clocked(lambda: _over_devices(kernels, of.paths)),
        note="first breaches only, no measures",
        paths=of.paths,
        each=of.assets * of.steps,
        accounts=of.accounts * of.steps,
        compile_seconds=compiling,
        liquidated=share,
    )


def _over_devices(kernels: list[_OnDevice], paths: int) -> None:
    """Put all blocks of paths through kernels, one a device, as many at a time as there are."""
    waiting: list[Any] = []
    for turn, numbers in enumerate(blocks(paths)):
        if len(waiting) == len(kernels):
            jax.block_until_ready(waiting.pop(0))
        waiting.append(kernels[turn % len(kernels)](numbers))
    jax.block_until_ready(waiting)


class _OnDevice:
    """The plain kernel of a job on one device."""

    def __init__(self, job: Job, device: jax.Device) -> None:
        given = (job.model, job.price, seed_of(job), slots_of(job), np.float32(job.setting.fee))
        self._given = jax.device_put(given, device)
        self._device, self._job = device, job

    def __call__(self, numbers: Integers) -> Any:
        """Begin with a block of paths."""
        model, price, seed, panels, fee = self._given
        numbers = jax.device_put(numbers, self._device)
        marks = price_paths(model, price, seed, numbers, schedule=self._job.schedule)
        marks = jnp.transpose(marks, (1, 2, 0))
        return plain(panels, marks, fee, tolerance=TOLERANCE["float32"])


def first_breaches(job: Job, marks: Array) -> Array:
    """Return (accounts, paths) steps of breach along (paths, assets, nodes) marks."""
    panels, fee = slots_of(job), np.float32(job.setting.fee)
    found = plain(panels, marks.transpose(2, 1, 0), fee, tolerance=TOLERANCE["float32"])
    return _in_book_order(panels, found, len(job.book.accounts))


def _in_book_order(panels: tuple[Slots, ...], found: Any, accounts: int) -> Array:
    """Return (accounts, paths) steps of breach, -1 for accounts without positions."""
    steps = np.full((accounts, found[0][0].shape[1]), -1)
    for panel, (step, _) in zip(panels, found, strict=True):
        steps[panel.account] = step
    return steps


def _checked(job: Job, found: Any, numbers: Integers) -> float:
    """Compare with this project's kernel; return the share of pairs that are liquidated."""
    given = (job.market.block(numbers), job.price, (job.main.world,), job.rules, seed_of(job))
    (outcome,), _ = first_passage(*given, numbers, schedule=job.schedule)
    mine = _in_book_order(slots_of(job), found, len(job.book.accounts))
    outcome = outcome.of(len(job.book.accounts))
    marks = np.asarray(block_marks(job, numbers), float).transpose(0, 2, 1)
    same_but_for_rounding(job, marks, mine.T, np.asarray(outcome.step).T)
    return float((mine >= 0).mean())


def same_but_for_rounding(job: Job, marks: Floats, one: Array, other: Array) -> None:
    """Assert that two contenders liquidate the same accounts at the same steps.

    Where they differ, the earlier step must be one at which the excess, computed in float64, is
    nothing but rounding: within some units in the last place of the account's notional.

    Parameters
    ----------
    marks
        (paths, assets, nodes) USD, time 0 first.
    one, other
        (paths, accounts) steps of breach, -1 never.
    """
    never = marks.shape[2]
    first, second = (np.where(steps < 0, never, steps) for steps in (one, other))
    for path, account in np.argwhere(first != second):
        at = min(first[path, account], second[path, account])
        excess, notional = _excess(job, account, marks[path, :, at])
        assert abs(excess) < 3e-6 * notional, f"path {path}, account {account}, step {at}"


def _excess(job: Job, account: int, marks: Floats) -> tuple[float, float]:
    """Return an account's excess and notional at (assets,) marks, in float64."""
    book, setting = job.book, job.setting
    mine = book.position_account == account
    asset, quantity = book.position_asset[mine], book.quantity[mine]
    size = abs(quantity) * marks[asset]
    tiers = setting.requirement_rate[asset] * size[:, None] - setting.requirement_amount[asset]
    profit = quantity * (marks[asset] - book.entry_price[mine])
    excess = book.cash[account] + profit.sum() - tiers.max(axis=1).sum()
    return float(excess), float(size.sum())
