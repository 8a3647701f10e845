"""The largest size of one trade inside a cross account that keeps the plan for a trade.

"Risk one percent a trade" is meant of the account, but a position under cross margin stakes the
whole pool: what it costs is the loss of the account on the paths on which it brings the liquidation
about. Its expectation over all paths is held against the plan, and is worked out anew, with the
entire account around it, at every size that is tried. (Given that it happens, the loss is nearly
the whole account at any size: that number is told beside it and cannot be limited by size.)
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from stress.book.book import Book
from stress.book.display import pool_margins
from stress.book.pools import account_pools
from stress.book.setting import Setting
from stress.book.what_if import copies
from stress.decide.answer import Answer, Outcome
from stress.decide.changed import as_world, fresh_book, looks, traded
from stress.decide.leverage import START
from stress.decide.sizes import largest_sizes
from stress.decide.solve import probability_bounds
from stress.decide.task import Task
from stress.decide.trial import Kernels, worth
from stress.engine.block import Schedule
from stress.engine.cascade import cascade
from stress.measure.block import Ownership, variant_blocks
from stress.runner.overlays import build_environment
from stress.runner.plan import bytes_per_path, cascade_block
from stress.runner.prepare import build_market
from stress.scenario.schema import Scenario
from stress.stats.confidence import Confidence
from stress.types import Array, Floats, Integers, Mode
from stress.venue.build import build_holdings, build_rules, build_variant

__all__ = ["trade_size_answers"]

_TRADES = 12
"""Trades that are answered: the largest of each account that has most at stake."""

_SIZES = 2.0 ** (np.arange(-7, 7) * 2 / 3)
"""Multiples of the present size that are tried first, from 1/25 to 16, the present one among them.
The two brackets found, for the bound and for the estimate, share as many sizes in each later
round."""

_FINER = 2
"""Rounds inside the brackets: the steps from size to size are 59 %, then 6 %, then 0.7 %."""

_WELL_BEYOND = 1.06
"""Nearer to the first size that breaks the plan, one that keeps it is noise: what a liquidation
costs depends a little on the size."""

_WORST = 0.99
"""Level of the expected shortfall of the loss, given that the trade brings it about."""

_CROSS = "expected loss of the account through the trade, over its equity"
_ISOLATED = "P(liquidated by the horizon) on the plan's share of the equity as margin"


def trade_size_answers(task: Task) -> list[Answer]:
    """Return the largest notional of the trades at stake, under cross and under isolated margin.

    Parameters
    ----------
    task
        Its appetite states ``effective_risk_per_trade``, the plan; without it there is no answer.

    Returns
    -------
    For each trade, in USD of notional at the starting mark: the largest size up to which every size
    tried keeps the plan inside its cross account; and with the plan's share of the account's equity
    set aside as isolated margin, which no price can lose more than, the largest size with P(margin
    liquidated) at ``account_liquidation_probability``.
    """
    plan = task.appetite.effective_risk_per_trade
    if plan is None:
        return []
    main = task.scenario.book.mode
    world: Mode = "cross" if main == "isolated" else main
    trades = _trades(as_world(task.book, task.setting, world), task.setting)
    if not len(trades.position):
        return []
    task.say(
        f"trade-size: {len(trades.position)} trades on {task.scenario.simulation.paths:,} paths"
    )
    return [*_in_cross(task, trades, world, plan), *_in_isolation(task, trades, plan)]


@dataclass(frozen=True)
class _Trades:
    """The trades that are asked about.

    Attributes
    ----------
    book
        The world in which they are, as booked.
    account, position
        (trades,) indices.
    notional, equity
        (trades,) of the position, and of the whole account; USD.
    """

    book: Book
    account: Integers
    position: Integers
    notional: Floats
    equity: Floats


def _trades(book: Book, setting: Setting) -> _Trades:
    """Choose the largest cross position of each account that has most to lose by liquidation.

    What an account has at stake is its equity times about its P(liquidated) (``looks``).
    """
    pools = account_pools(book, "as-booked", setting.price, setting.haircut)
    at = pool_margins(book, pools, setting, setting.price)
    equity = np.bincount(pools.account, at.equity, len(book.accounts))
    notional = np.abs(book.quantity) * setting.price[book.position_asset]
    in_cross = np.where(np.isnan(book.margin), notional, 0.0)
    order = np.lexsort((in_cross, book.position_account))
    # the last of each account is its largest
    last = np.append(np.diff(book.position_account[order]) > 0, True)[: len(order)]
    largest = order[last]
    largest = largest[(in_cross[largest] > 0) & (equity[book.position_account[largest]] > 0)]
    owner = book.position_account[largest]
    stake = equity[owner] * looks(book, setting, "as-booked")[owner]
    chosen = largest[np.argsort(-stake, kind="stable")[:_TRADES]]
    account = book.position_account[chosen]
    return _Trades(book, account, chosen, notional[chosen], equity[account])


# --- under cross margin ---------------------------------------------------------------------------


def _in_cross(task: Task, trades: _Trades, world: Mode, plan: float) -> list[Answer]:
    count = len(trades.position)
    risks = _Risks.of(task, trades)
    tried = _Tried.nothing(count)
    sizes = np.broadcast_to(_SIZES, (count, len(_SIZES)))
    tried = tried.and_(sizes, risks.at(sizes))
    for _ in range(_FINER):
        half = len(_SIZES) // 2
        brackets = tried.bracket(tried.risk.upper, plan), tried.bracket(tried.risk.mean, plan)
        sizes = np.concatenate([_inside(*bracket, half) for bracket in brackets], axis=1)
        tried = tried.and_(sizes, risks.at(sizes))
    return [_answer(trades, tried, number, world, plan, risks) for number in range(count)]


class _Risk(NamedTuple):
    """The risk of trades at some sizes, (trades, sizes) each, as shares of the account's equity.

    Attributes
    ----------
    mean, lower, upper
        Expected loss of the account on the paths on which the trade brings its liquidation about,
        over all paths (0 on the others), and its one-sided bounds.
    paths
        How many paths these are.
    given, worst
        Mean and 99 % expected shortfall of the loss on them; NaN where there is none.
    """

    mean: Floats
    lower: Floats
    upper: Floats
    paths: Floats
    given: Floats
    worst: Floats


class _Tried(NamedTuple):
    """(trades, sizes) multiples of the present size, ascending, and the risk at them."""

    size: Floats
    risk: _Risk

    @classmethod
    def nothing(cls, trades: int) -> _Tried:
        none = np.zeros((trades, 0))
        return cls(none, _Risk(*[none] * len(_Risk._fields)))

    def and_(self, size: Floats, risk: _Risk) -> _Tried:
        """Return the same with further sizes."""
        sizes = np.concatenate([self.size, size], axis=1)
        order = np.argsort(sizes, axis=1, kind="stable")

        def sorted_(one: Floats, other: Floats) -> Floats:
            both: Floats = np.take_along_axis(np.concatenate([one, other], axis=1), order, axis=1)
            return both

        risks = [sorted_(*pair) for pair in zip(self.risk, risk, strict=True)]
        return _Tried(np.take_along_axis(sizes, order, axis=1), _Risk(*risks))

    def bracket(self, risk: Floats, plan: float) -> tuple[Floats, Floats]:
        """Return (trades,) the size before the first that breaks the plan, and that one.

        The least size on either side where the first or none does.
        """
        first = self.first(risk, plan)
        rows, last = np.arange(len(first)), self.size.shape[1] - 1
        return self.size[rows, np.maximum(first - 1, 0)], self.size[rows, np.minimum(first, last)]

    def first(self, risk: Floats, plan: float) -> Integers:
        """Return (trades,) the place of the first size that breaks the plan; behind all if none."""
        breaks = risk > plan
        return np.where(breaks.any(axis=1), breaks.argmax(axis=1), breaks.shape[1])


def _inside(low: Floats, high: Floats, count: int) -> Floats:
    """Return (trades, count) sizes inside brackets, evenly apart in logarithms."""
    share = np.arange(1, count + 1) / (count + 1)
    between: Floats = low[:, None] * (high / low)[:, None] ** share
    return between


@dataclass(frozen=True)
class _Risks:
    """The cascade without impact, for copies of the accounts: one a size of a trade."""

    kernels: Kernels
    task: Task
    setting: Setting
    trades: _Trades
    schedule: Schedule
    price: jax.Array
    confidence: Confidence

    @classmethod
    def of(cls, task: Task, trades: _Trades) -> _Risks:
        scenario, setting = task.scenario, task.setting
        simulation = scenario.simulation
        schedule = Schedule(
            steps=setting.steps,
            block=cascade_block(setting.steps),
            monitoring="step",
            precision=simulation.precision,
        )
        market = build_market(scenario, setting)
        kernels = Kernels(
            cascade,
            market,
            schedule,
            task.devices,
            simulation.paths,
            own=(0,),
            behind=(build_environment(scenario, setting, simulation.precision),),
        )
        # copies of an account must not take each other's positions
        venue = replace(setting.venue, impact="none", deleveraging="none")
        price = jax.device_put(setting.price.astype(simulation.precision))
        confidence = worth(market, task.appetite.confidence)
        apart = replace(setting, venue=venue)
        return cls(kernels, task, apart, trades, schedule, price, confidence)

    def at(self, sizes: Floats) -> _Risk:
        """Return the risk of (trades, sizes) multiples of the present sizes."""
        book, row = self._book(sizes)
        losses = self._losses(book, row)
        paths = losses.shape[1]
        fallen = losses > 0
        # a share above 1 is possible where a reserve was drawn
        scale = np.maximum(losses.max(axis=1), 1.0)
        mean, variance = losses.mean(axis=1), losses.var(axis=1, ddof=1)
        bounds = probability_bounds(mean / scale, variance / scale**2, paths, self.confidence)
        given = [_given(one[hit]) for one, hit in zip(losses, fallen, strict=True)]
        risk = (
            mean,
            bounds[:, 0] * scale,
            bounds[:, 1] * scale,
            fallen.sum(axis=1).astype(float),
            np.array([mean for mean, _ in given]),
            np.array([worst for _, worst in given]),
        )
        return _Risk(*(each.reshape(sizes.shape) for each in risk))

    def _book(self, sizes: Floats) -> tuple[Book, Integers]:
        """Return the copies, and (copies,) where the trade stands in each."""
        trades, book = self.trades, self.trades.book
        copied = copies(book, np.repeat(trades.account, sizes.shape[1]))
        before = [
            int(np.flatnonzero(book.position_account == account).searchsorted(position))
            for account, position in zip(trades.account, trades.position, strict=True)
        ]
        first = np.searchsorted(copied.position_account, np.arange(sizes.size))
        row = first + np.repeat(before, sizes.shape[1])
        factor = np.ones(len(copied.positions))
        factor[row] = sizes.reshape(-1)
        return traded(copied, self.setting.price, factor), row

    def _losses(self, book: Book, row: Integers) -> Floats:
        """Return (copies, paths) what each copy loses through its trade, a share of its equity."""
        setting, precision = self.setting, self.schedule.precision
        pools = account_pools(book, "as-booked", setting.price, setting.haircut)
        start = pool_margins(book, pools, setting, setting.price)
        ownership = Ownership.build(pools, start.equity)
        holdings, of_position = build_holdings(
            book,
            pools,
            setting,
            precision,
            deficit_counted=self.schedule.tolerance * start.notional,
            most_groups=0,
        )
        rules = build_rules(setting, (build_variant(setting, precision, "none"),), precision)
        seed = jnp.asarray(self.task.scenario.simulation.seed, jnp.uint32)
        per_path = bytes_per_path(
            pools=len(pools.cash),
            positions=len(of_position),
            assets=len(setting.assets),
            steps=self.schedule.block,
        )
        parts = []
        before = (self.price, holdings, rules, seed)
        for outcome, count in self.kernels.outcomes(before, per_path):
            (block,) = variant_blocks(
                outcome,
                ownership,
                book.reserve,
                steps=self.schedule.steps,
                variants=1,
                paths=count,
            )
            loser = np.asarray(outcome.fates.loser)[ownership.first, :count]
            through = (loser >= 0) & (of_position[loser] == row[:, None])
            parts.append(np.where(through, np.maximum(block.loss, 0.0), 0.0))
        losses: Floats = np.concatenate(parts, axis=1) / ownership.initial_equity[:, None]
        return losses


def _given(losses: Floats) -> tuple[float, float]:
    """Return mean and 99 % expected shortfall of losses; NaN of none."""
    if not len(losses):
        return np.nan, np.nan
    tail = max(int(np.ceil((1 - _WORST) * len(losses) - 1e-9)), 1)
    return float(losses.mean()), float(np.sort(losses)[-tail:].mean())


def _answer(
    trades: _Trades, tried: _Tried, number: int, world: Mode, plan: float, risks: _Risks
) -> Answer:
    """Return the answer of one trade in its cross account."""
    risk, scenario = tried.risk, risks.task.scenario
    paths, none = scenario.simulation.paths, np.zeros(1)
    first = int(tried.first(risk.upper, plan)[number])
    too_few = probability_bounds(none, none, paths, risks.confidence)[0, 1] > plan
    keeps = risk.upper[number] <= plan
    outcome: Outcome = "found"
    if too_few:
        outcome, first = "too few paths", 0
    elif _kept_beyond(tried.size[number], keeps, first).size:
        outcome = "not monotone"
    elif first == 0:
        outcome = "breached at the lowest value"
    elif first == len(keeps):
        outcome = "unbounded at the highest value"
    at = first - 1
    notional = float(trades.notional[number])
    estimate = int(tried.first(risk.mean, plan)[number])
    known = at >= 0
    return Answer(
        question="trade-size",
        kind="trade",
        subject=trades.book.positions[int(trades.position[number])],
        world=world,
        measure=_CROSS,
        threshold=plan,
        unit="USD",
        limit=notional * float(tried.size[number, at]) if known else np.nan,
        at_estimate=notional * float(tried.size[number, estimate - 1]) if estimate else np.nan,
        present=notional,
        risk=float(risk.mean[number, at]) if known else np.nan,
        risk_lower=float(risk.lower[number, at]) if known else np.nan,
        risk_upper=float(risk.upper[number, at]) if known else np.nan,
        outcome=outcome,
        paths=paths,
        note="; ".join(
            part
            for part in (
                _say_beyond(tried, number, keeps, first, notional),
                _words(tried, number, at),
                _note(scenario),
            )
            if part
        ),
    )


def _kept_beyond(size: Floats, keeps: Array, first: int) -> Floats:
    """Return the sizes well beyond the first that breaks the plan that keep it."""
    if first == len(size):
        return size[:0]
    return size[keeps & (size > _WELL_BEYOND * size[first])]


def _say_beyond(tried: _Tried, number: int, keeps: Array, first: int, notional: float) -> str:
    """Say which larger sizes keep the plan too; empty where none does."""
    beyond = notional * _kept_beyond(tried.size[number], keeps, first)
    if not len(beyond):
        return ""
    return f"sizes between {beyond.min():,.0f} and {beyond.max():,.0f} USD keep the plan too"


def _words(tried: _Tried, number: int, at: int) -> str:
    """Say what the trade costs as it is, and what it costs given that it happens."""
    now = int(np.argmin(np.abs(tried.size[number] - 1)))
    risk = tried.risk
    words = f"{risk.mean[number, now]:.2%} of the equity expected at the present size"
    place = at if at >= 0 and risk.paths[number, at] else now
    if not risk.paths[number, place]:
        return words
    where = "the limit" if place == at else "the present size"
    return (
        f"{words}; given that it happens, {risk.given[number, place]:.0%} "
        f"(99 % shortfall {risk.worst[number, place]:.0%}) at {where}"
    )


def _note(scenario: Scenario) -> str:
    venue, names = scenario.venue, []
    if venue.impact.kind != "none":
        names.append("without price impact")
    if venue.deleveraging.kind != "none":
        names.append(f"without {venue.deleveraging.kind} deficits")
    if scenario.simulation.monitoring != "step":
        names.append("looked at at the steps only")
    return ", ".join(names)


# --- with isolated margin -------------------------------------------------------------------------


def _in_isolation(task: Task, trades: _Trades, plan: float) -> list[Answer]:
    """Return the largest size of each trade whose margin is the plan's share of the equity.

    Without an appetite for liquidations any size keeps the plan: no more than the margin is lost.
    """
    setting, count = task.setting, len(trades.position)
    margin = plan * trades.equity
    asset = trades.book.position_asset[trades.position]
    side = np.sign(trades.book.quantity[trades.position])
    names = [trades.book.positions[row] for row in trades.position]
    everyone = np.arange(count)
    quantity = side * START * margin / setting.price[asset]
    alpha = task.appetite.account_liquidation_probability
    asked = [
        Answer(
            question="trade-size",
            kind="trade",
            subject=names[number],
            world="isolated",
            measure=_ISOLATED,
            threshold=plan if alpha is None else alpha,
            unit="USD",
            present=float(trades.notional[number]),
            outcome="unbounded at the highest value",
            note=f"it can lose no more than its margin of {margin[number]:,.0f} USD",
        )
        for number in everyone
    ]
    if alpha is None:
        return asked
    book = fresh_book(names, margin, everyone, asset, quantity, setting)
    found = largest_sizes(task, alpha, book, everyone, ("as-booked",))
    return [
        found.answered(number, one, float(START * margin[number]))
        for number, one in enumerate(asked)
    ]
