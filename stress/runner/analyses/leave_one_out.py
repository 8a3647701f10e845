"""What the others would lose without an account, on the same paths: who matters in a cascade.

Each account that is left out is a run of its own on the venue as it is. Instead of being taken out
of the book, which would be another kernel, the account holds nothing: such a pool is never in
breach, sells nothing and pays nothing, so the others' losses are the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import jax.numpy as jnp
import numpy as np

from stress.engine.cascade import cascade
from stress.measure.attribution import left_out_findings
from stress.measure.block import AccountBlock, variant_blocks
from stress.measure.world import Findings
from stress.runner.measured import Measured
from stress.runner.plan import path_blocks
from stress.runner.prepare import CascadeJob, Job
from stress.runner.spread import Kernel, Models, Spread, Work, compiled, on_host
from stress.types import Floats, Integers
from stress.venue.build import build_rules, build_variant
from stress.venue.holdings import Holdings

__all__ = ["Runs", "leave_one_out", "most_exposed", "without_account"]


def leave_one_out(job: Job, measured: Measured, spread: Spread) -> tuple[Findings, tuple[str, ...]]:
    """Return the systemic importance of the accounts that sell most, and who these are.

    Parameters
    ----------
    job, measured
        The run whose main numbers are there already; its main world is a cascade.
    spread
        The devices, and how many paths each takes at a time.
    """
    accounts = most_exposed(job, measured, job.scenario.analysis.leave_one_out)
    if not len(accounts):
        return {}, ()
    runs = Runs.of(job, spread)
    total, own = runs.losses(runs.kernel, accounts)
    others = total - own
    without = np.stack([runs.losses_without(account) for account in accounts])
    found = left_out_findings(others, without, job.request.confidence)
    return found, tuple(job.book.accounts[account] for account in accounts)


def most_exposed(job: Job, measured: Measured, most: int) -> Integers:
    """Return the accounts with the largest notional at the start times probability of liquidation.

    About what an account is expected to throw on the market, which is how it harms others. At most
    so many, the largest first; none that holds nothing or was never liquidated.
    """
    book = job.book
    notional = np.abs(book.quantity) * job.setting.price[book.position_asset]
    gross = np.bincount(book.position_account, notional, len(book.accounts))
    world = measured.worlds[job.main_mode]
    probability = world.by_account["liquidation"].mean * world.grouping.exists
    expected = gross * probability
    order = np.argsort(-expected, kind="stable")[:most]
    return order[expected[order] > 0]


def without_account(holdings: Holdings, account: int) -> Holdings:
    """Return the holdings of a world in which one account holds nothing."""
    owns = np.asarray(holdings.account) == account
    # the empty rows at the end belong to nobody
    positions = np.append(owns, False)[np.asarray(holdings.pool)]
    coins = np.append(owns, False)[np.asarray(holdings.coin_pool)]
    long = np.asarray(holdings.quantity) > 0
    never = jnp.asarray(np.where(long, -np.inf, np.inf), holdings.stop.dtype)
    return replace(
        holdings,
        cash=jnp.where(owns, 0, holdings.cash),
        trigger=jnp.where(owns, jnp.inf, holdings.trigger),
        target=jnp.where(owns, jnp.inf, holdings.target),
        quantity=jnp.where(positions, 0, holdings.quantity),
        stop=jnp.where(positions, never, holdings.stop),
        coin_quantity=jnp.where(coins, 0, holdings.coin_quantity),
        reserve=holdings.reserve.at[account].set(0),
    )


@dataclass(frozen=True)
class Runs:
    """The venue of a job's main world as it is, compiled once for all runs.

    Attributes
    ----------
    job, held
        What is run, and the main world with no other variant of the venue.
    models, kernel
        As ``runner.spread`` compiles and calls it.
    """

    job: Job
    held: CascadeJob
    models: Models
    kernel: Kernel

    @classmethod
    def of(cls, job: Job, spread: Spread) -> Runs:
        """Compile the venue of a job for these devices."""
        assert job.main.cascade is not None  # the scenario is refused where none is needed
        setting, precision = job.setting, job.scenario.simulation.precision
        own = build_variant(setting, precision, setting.venue.impact)
        held = replace(
            job.main.cascade,
            holdings=replace(job.main.cascade.holdings, groups=0),
            rules=build_rules(setting, (own,), precision),
        )
        models = Models(job.market, spread)
        work = Work(
            function=cascade,
            spread=spread,
            models=models,
            before=(job.price, held.holdings, held.rules, _seed(job)),
            schedule=replace(job.schedule, least_excess=False),
            own=1,
            behind=(job.environment,),
        )
        (kernel,) = compiled(work)
        return cls(job, held, models, kernel)

    def losses(self, kernel: Kernel, accounts: Integers) -> tuple[Floats, Floats]:
        """Return (paths,) total losses and (accounts, paths) those of some accounts, USD."""
        exists = self.job.main.grouping.exists
        total, own = [], []
        for block in self._blocks(kernel):
            total.append(block.total_loss(exists))
            rows = [block.loss_of(slice(account, account + 1)) for account in accounts]
            own.append(np.maximum(np.concatenate([np.zeros((0, block.paths)), *rows]), 0.0))
        return np.concatenate(total), np.concatenate(own, axis=1)

    def losses_without(self, account: int) -> Floats:
        """Return (paths,) total losses of the others where one account holds nothing, USD."""
        job, spread = self.job, self.kernel.spread
        holdings = without_account(self.held.holdings, account)
        before = spread.share((job.price, holdings, self.held.rules, _seed(job)))
        others = job.main.grouping.exists.copy()
        others[account] = False
        kernel = replace(self.kernel, before=before)
        return np.concatenate([block.total_loss(others) for block in self._blocks(kernel)])

    def _blocks(self, kernel: Kernel) -> Iterator[AccountBlock]:
        """Yield every block of paths, in order."""
        waiting = None
        for numbers, count in path_blocks(self.job.scenario.simulation.paths, kernel.spread.width):
            # the devices work on the next blocks while the host measures these
            started = kernel(self.models.block(numbers), numbers, 0)
            if waiting is not None:
                yield from self._measured(*waiting)
            waiting = (started, count)
        if waiting is not None:
            yield from self._measured(*waiting)

    def _measured(self, started: list[object], count: int) -> Iterator[AccountBlock]:
        job = self.job
        for outcome, own in zip(started, self.kernel.spread.counts(count), strict=True):
            if own:
                yield from variant_blocks(
                    on_host(outcome),
                    job.main.ownership,
                    job.book.reserve,
                    steps=job.schedule.steps,
                    variants=1,
                    paths=own,
                )


def _seed(job: Job) -> jnp.ndarray:
    return jnp.asarray(job.scenario.simulation.seed, jnp.uint32)
