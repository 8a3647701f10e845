"""The walk: at every origin each model forecasts what it cannot know, and what came is kept beside.

Nothing behind an origin reaches a forecast: parameters come from the bars up to the last refit, the
state from those up to the origin.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from stress.backtest.books import Exposure, exposures, groups, liquidated, needs
from stress.backtest.forecast import SIDES, Forecast, forecast, losses, window_returns
from stress.backtest.forecasters import CONDITIONAL, Forecaster, estimate, simulate
from stress.backtest.load import Task
from stress.backtest.plan import SLOW, Plan
from stress.errors import InputError
from stress.types import Array, Floats, Integers, ModelName

__all__ = ["DRAWS", "Came", "Said", "came", "walk"]

DRAWS = 4_000
"""Simulated histories of the test period by which statistics without a known law are judged: the
smallest two-sided p-value is then 0.0005, below 0.05 even after Holm over a hundred."""

_JOINT_DRAWS = 200
"""Paths a window of which joint tails are read."""


class Counter(Protocol):
    """What is told how far the walk is."""

    def update(self, done: int) -> None:
        """Note that so many forecasts are made."""


@dataclass(frozen=True)
class Came:
    """What happened.

    Attributes
    ----------
    returns
        (windows, series) simple returns.
    log_returns
        (windows, assets).
    need, need_bound
        (liquidation windows, books) what each book needed at closes, and at most if it was also
        looked at in between; None without highs and lows.
    """

    returns: Floats
    log_returns: Floats
    need: Floats
    need_bound: Floats | None


@dataclass(frozen=True)
class Said:
    """What one model said.

    Attributes
    ----------
    value_at_risk, expected_shortfall
        (windows, sides, levels, series).
    shortfall_null
        (draws, sides, levels, series) Acerbi and Szekely's Z2 of simulated test periods.
    joint
        (windows x draws, assets) simulated log returns, as many of each window.
    liquidation
        (liquidation windows, books, leverages) probabilities.
    liquidations_null
        (draws, groups, leverages) liquidations in simulated test periods, in windows that do not
        overlap.
    problems
        Refits that failed, a sentence each; the parameters before were kept.
    """

    value_at_risk: Floats
    expected_shortfall: Floats
    shortfall_null: Floats
    joint: Floats
    liquidation: Floats
    liquidations_null: Integers
    problems: tuple[str, ...]


def came(task: Task, plan: Plan) -> Came:
    """Return what happened in the windows of the walk."""
    history, table = task.history, task.table
    close = history.close
    relative = close[plan.origins + plan.window] / close[plan.origins]
    starts = plan.origins[: plan.liquidations]
    bars = starts[:, None] + np.arange(plan.liquidation_window + 1)
    books = exposures(task.assets, table.templates)
    base = close[starts][:, None]

    def along(prices: Floats) -> Floats:
        """Return (windows, bars + 1, assets) relative prices that begin at the close."""
        path = prices[bars] / base
        path[:, 0] = 1.0
        return path

    bound = None
    if history.high is not None and history.low is not None:
        # a bar without extremes has its close
        low, high = np.fmin(history.low, close), np.fmax(history.high, close)
        bound = needs(books, along(low), table.notional, task.requirement, highest=along(high))
    return Came(
        window_returns(relative),
        np.log(relative),
        needs(books, along(close), table.notional, task.requirement),
        bound,
    )


def walk(
    task: Task, plan: Plan, model: ModelName, progress: Counter, done: int
) -> Said | InputError:
    """Return what a model said at every origin, or why it could not be estimated at the first.

    Parameters
    ----------
    progress, done
        What is told of every origin, and what it was told before.
    """
    notes = _Notes(task, plan)
    returns = np.diff(np.log(task.history.close), axis=0)
    one: Forecaster | None = None
    said: Forecast | None = None
    estimated = -1
    for number, (origin, refit) in enumerate(zip(plan.origins, plan.refits, strict=True)):
        if refit != estimated:
            estimated = int(refit)
            slow = model in SLOW and plan.slow_refits[number] != refit
            try:
                one, said = estimate(task, plan, estimated, model, one if slow else None), None
            except InputError as error:
                if one is None:
                    return error
                notes.problems.append(
                    f"{model} could not be estimated at {task.history.timestamps[estimated]}Z: "
                    f"{error}"
                )
        assert one is not None
        if said is None or model in CONDITIONAL:
            # a return of row r is that from the close of r to the next one
            source = one.at(returns[one.row : origin])
            said = _forecast(task, plan, simulate(source, task, plan, number * task.table.paths))
        notes.take(number, said)
        progress.update(done + number + 1)
    return notes.finish()


def _forecast(task: Task, plan: Plan, relative: Floats) -> Forecast:
    table = task.table
    return forecast(
        relative,
        window=plan.window,
        liquidation_window=plan.liquidation_window,
        levels=table.levels,
        books=exposures(task.assets, table.templates),
        notional=table.notional,
        requirement=task.requirement,
    )


class _Notes:
    """What is kept of the forecasts of one model, window by window."""

    def __init__(self, task: Task, plan: Plan) -> None:
        table = task.table
        self._task, self._plan = task, plan
        self._random = np.random.default_rng([task.seed, 20_000_103])
        self._books = exposures(task.assets, table.templates)
        self._group = _membership(self._books)
        shape = (len(SIDES), len(table.levels), len(task.assets) + 1)
        windows = len(plan.origins)
        self._value = np.full((windows, *shape), np.nan)
        self._shortfall = np.full((windows, *shape), np.nan)
        self._null = np.zeros((DRAWS, *shape))
        self._joint = np.empty((windows, _JOINT_DRAWS, len(task.assets)), np.float32)
        leverages = len(table.leverages)
        self._liquidation = np.full((plan.liquidations, len(self._books), leverages), np.nan)
        self._counts = np.zeros((DRAWS, self._group.shape[1], leverages), np.int64)
        self.problems: list[str] = []

    def take(self, number: int, said: Forecast) -> None:
        """Keep the forecast of a window."""
        table = self._task.table
        self._value[number] = said.value_at_risk
        self._shortfall[number] = said.expected_shortfall
        # paths of windows are independent: one of each makes a simulated test period
        chosen = self._random.integers(0, len(said.returns), DRAWS)
        loss = losses(said.returns[chosen]).swapaxes(0, 1)[:, :, None]
        beyond = np.where(loss > said.value_at_risk, loss, 0.0)
        self._null += beyond / said.expected_shortfall
        self._joint[number] = np.log1p(said.returns[chosen[:_JOINT_DRAWS], :-1])
        if number < self._plan.liquidations:
            hit = liquidated(said.need, table.leverages)
            self._liquidation[number] = hit.mean(axis=0)
            if number % self._plan.stride == 0:
                drawn = hit.swapaxes(1, 2).astype(np.float32) @ self._group
                self._counts += drawn[chosen].swapaxes(1, 2).astype(np.int64)

    def finish(self) -> Said:
        """Return everything."""
        tail = 1 - np.asarray(self._task.table.levels)[:, None]
        return Said(
            self._value,
            self._shortfall,
            1 - self._null / (len(self._plan.origins) * tail),
            self._joint.reshape(-1, self._joint.shape[-1]),
            self._liquidation,
            self._counts,
            tuple(self.problems),
        )


def _membership(books: Sequence[Exposure]) -> Array:
    """Return (books, groups) of 0 and 1."""
    names = groups(books)
    return np.array([[book.group == name for name in names] for book in books], np.float32)
