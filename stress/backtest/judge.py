"""Forecasts held against what came: tests, adjusted for how many there are, and their verdicts.

A verdict is a failure where the p-value, adjusted by Holm over the assets (or over the groups of
books), is below 1 - confidence. The portfolio is one test and not adjusted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stress.backtest.books import exposures, groups, liquidated
from stress.backtest.forecast import losses
from stress.backtest.load import Task
from stress.backtest.plan import Plan
from stress.backtest.walk import Came, Said
from stress.stats.coverage_tests import (
    acerbi_szekely,
    christoffersen,
    holm,
    kupiec,
    poisson_binomial,
    simulated_p_value,
    traffic_light,
)
from stress.stats.forecast_scores import (
    Reliability,
    block_length,
    block_weights,
    brier,
    co_exceedance,
    exceedances_per_row,
    ratio_interval,
    reliability,
)
from stress.types import Array, Floats, Integers

__all__ = [
    "BINS",
    "TAIL",
    "TAILS",
    "CoverageTests",
    "JointTails",
    "Liquidations",
    "co_exceedances",
    "judge_coverage",
    "judge_liquidations",
    "realised_tails",
]

TAIL = 0.05
"""Probability of a joint tail: each asset beyond its own quantile of this."""

TAILS = ("lower", "upper")

BINS = (0.0, 0.01, 0.03, 0.1, 0.2, 0.4, 0.6, 0.8, 0.97, 1.0)
"""Edges of the bins of a reliability diagram: fine where liquidations are rare or certain."""

_REPLICATIONS = 2_000

PASSES = "passes"


@dataclass(frozen=True)
class CoverageTests:
    """Tests of one model's quantiles and shortfalls, all (sides, levels, series).

    Attributes
    ----------
    exceedances
        How often the loss was beyond the quantile.
    kupiec_statistic, kupiec_p_value, exact_p_value
        Unconditional coverage, by the chi-squared and by the binomial law.
    independence_statistic, independence_p_value, independence_simulated_p_value
        Christoffersen's, by the chi-squared law and by simulation.
    conditional_coverage_statistic, conditional_coverage_p_value
        Both together.
    shortfall_statistic, shortfall_p_value
        Acerbi and Szekely's Z2 and its p-value by simulation.
    exact_adjusted, independence_adjusted, shortfall_adjusted
        Holm's p-values over the assets; the portfolio's own.
    zone
        Basel's traffic light.
    coverage_verdict, independence_verdict, shortfall_verdict
        Words: ``passes`` or what is wrong.
    """

    exceedances: Integers
    kupiec_statistic: Floats
    kupiec_p_value: Floats
    exact_p_value: Floats
    independence_statistic: Floats
    independence_p_value: Floats
    independence_simulated_p_value: Floats
    conditional_coverage_statistic: Floats
    conditional_coverage_p_value: Floats
    shortfall_statistic: Floats
    shortfall_p_value: Floats
    exact_adjusted: Floats
    independence_adjusted: Floats
    shortfall_adjusted: Floats
    zone: Array
    coverage_verdict: Array
    independence_verdict: Array
    shortfall_verdict: Array


def judge_coverage(task: Task, happened: Came, said: Said) -> CoverageTests:
    """Return the tests of one model."""
    loss = losses(happened.returns).swapaxes(0, 1)[:, :, None]
    exceeded = loss > said.value_at_risk
    windows = len(exceeded)
    shape = exceeded.shape[1:]
    numbers = {name: np.full(shape, np.nan) for name in _NUMBERS}
    zone = np.empty(shape, object)
    for place in np.ndindex(*shape):
        tail = 1 - task.table.levels[place[1]]
        hits = exceeded[(slice(None), *place)]
        count = int(hits.sum())
        coverage, clustering = kupiec(count, windows, tail), christoffersen(hits, tail)
        statistic = float(
            acerbi_szekely(
                loss[:, place[0], 0, place[2]],
                said.value_at_risk[(slice(None), *place)],
                said.expected_shortfall[(slice(None), *place)],
                tail,
            )
        )
        null = said.shortfall_null[(slice(None), *place)]
        row = (*coverage, *clustering, statistic, simulated_p_value(statistic, null))
        for name, value in zip(_NUMBERS, row, strict=True):
            numbers[name][place] = value
        zone[place] = traffic_light(count, windows, tail)
    found = exceeded.sum(axis=0)
    adjusted = {name: _adjusted(numbers[key]) for name, key in _ADJUSTED.items()}
    alpha = 1 - task.confidence
    expected = windows * (1 - np.asarray(task.table.levels))[:, None]
    return CoverageTests(
        exceedances=found,
        **numbers,
        **adjusted,
        zone=zone.astype(str),
        coverage_verdict=_verdict(
            adjusted["exact_adjusted"] < alpha, found > expected, "too many", "too few"
        ),
        independence_verdict=_verdict(
            adjusted["independence_adjusted"] < alpha, np.full(shape, True), "clustered", ""
        ),
        shortfall_verdict=_verdict(
            adjusted["shortfall_adjusted"] < alpha,
            numbers["shortfall_statistic"] < _centre(said.shortfall_null),
            "too low",
            "too high",
        ),
    )


_NUMBERS = (
    "kupiec_statistic",
    "kupiec_p_value",
    "exact_p_value",
    "independence_statistic",
    "independence_p_value",
    "conditional_coverage_statistic",
    "conditional_coverage_p_value",
    "independence_simulated_p_value",
    "shortfall_statistic",
    "shortfall_p_value",
)
"""In the order of ``Coverage``, ``Clustering`` and the shortfall's two."""

_ADJUSTED = {
    "exact_adjusted": "exact_p_value",
    "independence_adjusted": "independence_simulated_p_value",
    "shortfall_adjusted": "shortfall_p_value",
}


def _centre(null: Floats) -> Floats:
    return np.median(null, axis=0)


def _adjusted(p_values: Floats) -> Floats:
    """Return Holm's p-values over the assets; the last series is the portfolio, alone."""
    adjusted = p_values.copy()
    for place in np.ndindex(*p_values.shape[:-1]):
        adjusted[place][:-1] = holm(p_values[place][:-1])
    return adjusted


def _verdict(fails: Array, high: Array, if_high: str, if_low: str) -> Array:
    return np.where(fails, np.where(high, if_high, if_low), PASSES).astype(str)


@dataclass(frozen=True)
class JointTails:
    """The realised co-exceedance, (tails,) and its (tails, 2) interval; NaN with one asset."""

    value: Floats
    interval: Floats


def realised_tails(task: Task, happened: Came) -> JointTails:
    """Return the co-exceedance of what happened, with a block-bootstrap interval."""
    returns = happened.log_returns
    windows, assets = returns.shape
    value, interval = np.full(len(TAILS), np.nan), np.full((len(TAILS), 2), np.nan)
    if assets > 1:
        weights = block_weights(windows, block_length(windows), _REPLICATIONS)
        for row in range(len(TAILS)):
            beyond = exceedances_per_row(returns, TAIL, upper=bool(row))
            both, one = co_exceedance(beyond, assets)
            value[row] = both.sum() / one.sum()
            interval[row] = ratio_interval(both, one, weights, task.confidence)
    return JointTails(value, interval)


def co_exceedances(said: Said) -> Floats:
    """Return (tails,) the co-exceedance that a model forecasts over all windows together."""
    assets = said.joint.shape[1]
    if assets < 2:
        return np.full(len(TAILS), np.nan)
    parts = []
    for row in range(len(TAILS)):
        beyond = exceedances_per_row(said.joint, TAIL, upper=bool(row))
        both, one = co_exceedance(beyond, assets)
        parts.append(both.sum() / one.sum())
    return np.array(parts)


@dataclass(frozen=True)
class Liquidations:
    """Liquidation forecasts of one model against what happened.

    Attributes
    ----------
    mean_forecast, frequency, frequency_bound
        (groups, leverages) over all windows; the bound also looks at highs and lows, NaN without.
    brier, brier_interval
        (groups, leverages) and (groups, leverages, 2), over all windows, by block bootstrap.
    whole_brier, whole_brier_interval
        () and (2,) over everything.
    count, expected
        (groups, leverages) liquidations in windows that do not overlap, and their forecast number.
    count_p_value, count_adjusted
        Of the count against simulated test periods, which hold the dependence of books that share a
        window; Holm over groups and leverages.
    verdict
        (groups, leverages) words.
    book_p_value
        (books, leverages) exact p-value of each book's own count in windows that do not overlap.
    books_failing
        How many of those fail after Holm over all.
    reliability
        Of all forecasts.
    """

    mean_forecast: Floats
    frequency: Floats
    frequency_bound: Floats
    brier: Floats
    brier_interval: Floats
    whole_brier: float
    whole_brier_interval: Floats
    count: Integers
    expected: Floats
    count_p_value: Floats
    count_adjusted: Floats
    verdict: Array
    book_p_value: Floats
    books_failing: int
    reliability: Reliability


def judge_liquidations(task: Task, plan: Plan, happened: Came, said: Said) -> Liquidations:
    """Return the tests of one model's liquidation forecasts."""
    table, alpha = task.table, 1 - task.confidence
    books = exposures(task.assets, table.templates)
    names = groups(books)
    member = np.array([[book.group == name for book in books] for name in names], float)
    share = member / member.sum(axis=1, keepdims=True)

    def by_group(values: Array) -> Floats:
        """Return (windows, groups, leverages) means over the books of each group."""
        return np.einsum("gb,wbl->wgl", share, np.asarray(values, float))

    hit = liquidated(happened.need, table.leverages)
    bound = (
        hit
        if happened.need_bound is None
        else liquidated(np.maximum(happened.need_bound, happened.need), table.leverages)
    )
    score = brier(said.liquidation, hit)
    windows = len(hit)
    block = block_length(windows, plan.stride)
    weights = block_weights(windows, block, _REPLICATIONS)
    scores = by_group(score)
    whole = score.mean(axis=(1, 2))
    apart = slice(None, None, plan.stride)
    expected = np.einsum("gb,wbl->gl", member, said.liquidation[apart])
    count = np.einsum("gb,wbl->gl", member, hit[apart].astype(float)).astype(np.int64)
    p_value = np.array(
        [
            [simulated_p_value(float(count[g, x]), null[:, g, x]) for x in range(count.shape[1])]
            for null in (said.liquidations_null,)
            for g in range(len(count))
        ]
    )
    adjusted = holm(p_value.ravel()).reshape(p_value.shape)
    own = _own_counts(hit[apart], said.liquidation[apart])
    flat = (windows, -1)
    return Liquidations(
        mean_forecast=by_group(said.liquidation).mean(axis=0),
        frequency=by_group(hit).mean(axis=0),
        frequency_bound=by_group(bound).mean(axis=0)
        * (np.nan if happened.need_bound is None else 1.0),
        brier=scores.mean(axis=0),
        brier_interval=ratio_interval(scores, np.ones_like(scores), weights, task.confidence),
        whole_brier=float(whole.mean()),
        whole_brier_interval=ratio_interval(whole, np.ones(windows), weights, task.confidence),
        count=count,
        expected=expected,
        count_p_value=p_value,
        count_adjusted=adjusted,
        verdict=_verdict(adjusted < alpha, count > expected, "too many", "too few"),
        book_p_value=own,
        books_failing=int((holm(own.ravel()) < alpha).sum()),
        reliability=reliability(
            said.liquidation.reshape(flat),
            hit.reshape(flat),
            np.asarray(BINS),
            overlap=plan.stride,
            confidence=task.confidence,
        ),
    )


def _own_counts(hit: Array, forecast: Floats) -> Floats:
    """Return (books, leverages) exact p-values of the counts of (windows, books, leverages)."""
    found = np.empty(hit.shape[1:])
    for place in np.ndindex(*found.shape):
        column = (slice(None), *place)
        found[place] = poisson_binomial(int(hit[column].sum()), forecast[column])
    return found
