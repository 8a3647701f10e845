"""Tests of forecasts: how often a quantile is exceeded, when, by how much; several at once.

Exceedances of a forecast quantile are Bernoulli draws with a known probability where the forecast
is right, independent where its windows do not overlap. Every p-value is two-sided: a forecast that
is too careful is as wrong as one that is too bold.

Sources: Kupiec, Journal of Derivatives 3 (1995); Christoffersen, International Economic Review 39
(1998); Basel Committee on Banking Supervision, "Supervisory framework for the use of backtesting"
(1996); Acerbi and Szekely, Risk (December 2014), their second test; Holm, Scandinavian Journal of
Statistics 6 (1979); Dufour, Journal of Econometrics 133 (2006), for simulated p-values.
"""

from __future__ import annotations

from functools import cache
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from scipy.special import xlogy
from scipy.stats import binom, chi2

from stress.types import Array, Floats, Integers

__all__ = [
    "Clustering",
    "Coverage",
    "Zone",
    "acerbi_szekely",
    "christoffersen",
    "exact_binomial",
    "holm",
    "independence_statistic",
    "kupiec",
    "poisson_binomial",
    "simulated_p_value",
    "traffic_light",
    "transitions",
]

Zone: TypeAlias = Literal["green", "yellow", "red"]

_YELLOW, _RED = 0.95, 0.9999
"""Cumulative probabilities at which the Basel zones begin."""

_REPLICATIONS = 10_000
"""Simulated sequences: a p-value of 0.05 is known to 0.002."""

_SIMULATED_AT_ONCE = 2_000_000

_TIE = 1e-9
"""Statistics of equal counts differ by rounding; closer than this they are equal."""


class Coverage(NamedTuple):
    """Whether exceedances are as many as they should be.

    Attributes
    ----------
    statistic
        Kupiec's likelihood ratio, chi-squared with one degree of freedom in large samples.
    p_value
        From that law.
    exact_p_value
        From the binomial law, valid for any number of trials.
    """

    statistic: float
    p_value: float
    exact_p_value: float


class Clustering(NamedTuple):
    """Whether an exceedance says anything about the next one.

    Attributes
    ----------
    independence, independence_p_value
        Christoffersen's likelihood ratio of a first-order chain over independence; chi-squared,
        one degree.
    conditional_coverage, conditional_coverage_p_value
        The sum with Kupiec's on the same transitions; two degrees.
    simulated_p_value
        Of the independence statistic, against independent sequences of the same length and
        probability: the chi-squared law is poor where exceedances are few.
    """

    independence: float
    independence_p_value: float
    conditional_coverage: float
    conditional_coverage_p_value: float
    simulated_p_value: float


def kupiec(exceedances: int, trials: int, probability: float) -> Coverage:
    """Return the test of unconditional coverage.

    Parameters
    ----------
    exceedances, trials
        How often the quantile was exceeded, in how many windows.
    probability
        Of an exceedance, between 0 and 1.
    """
    statistic = float(_coverage_ratio(np.array(exceedances), np.array(trials), probability))
    exact = exact_binomial(exceedances, trials, probability)
    return Coverage(statistic, float(chi2.sf(statistic, 1)), exact)


def exact_binomial(hits: int, trials: int, probability: float) -> float:
    """Return the two-sided p-value: the probability of all counts no likelier than this one."""
    return _no_likelier(binom.pmf(np.arange(trials + 1), trials, probability), hits)


def poisson_binomial(hits: int, probabilities: Floats) -> float:
    """Return the two-sided exact p-value of a count of independent events of unlike probability.

    Parameters
    ----------
    hits
        Number of events.
    probabilities
        (trials,) forecast probability of each.
    """
    law = np.ones(1)
    for probability in np.asarray(probabilities, np.float64):
        law = np.append(law * (1 - probability), 0.0) + np.append(0.0, law * probability)
    return _no_likelier(law, hits)


def christoffersen(exceeded: Array, probability: float) -> Clustering:
    """Return the tests of independence and of conditional coverage.

    Parameters
    ----------
    exceeded
        (windows,) whether each window in turn exceeded its quantile.
    probability
        Of an exceedance, between 0 and 1.
    """
    counts = transitions(exceeded)
    independence = float(independence_statistic(counts))
    hits, trials = counts[1] + counts[3], counts.sum()
    both = independence + float(_coverage_ratio(hits, trials, probability))
    null = _independent_sequences(len(exceeded), probability)
    # the null is sorted: how many are at least as large
    larger = len(null) - int(np.searchsorted(null, independence - _TIE))
    return Clustering(
        independence,
        float(chi2.sf(independence, 1)),
        both,
        float(chi2.sf(both, 2)),
        (larger + 1) / (len(null) + 1),
    )


def transitions(exceeded: Array) -> Integers:
    """Return (4, ...) counts n00, n01, n10, n11 along the first axis: n01 is from no to yes."""
    before, after = np.asarray(exceeded[:-1], bool), np.asarray(exceeded[1:], bool)
    pairs = (~before & ~after, ~before & after, before & ~after, before & after)
    return np.stack([pair.sum(axis=0) for pair in pairs])


def independence_statistic(counts: Array) -> Floats:
    """Return Christoffersen's likelihood ratio of (4, ...) transition counts."""
    n00, n01, n10, n11 = np.asarray(counts, np.float64)
    chained = _log_likelihood(n00, n01) + _log_likelihood(n10, n11)
    independent = _log_likelihood(n00 + n10, n01 + n11)
    # never negative but for rounding
    return np.maximum(2 * (chained - independent), 0.0)


def traffic_light(exceedances: int, trials: int, probability: float) -> Zone:
    """Return the Basel zone: yellow from a cumulative probability of 95 %, red from 99.99 %.

    With 250 trials at 1 % green ends at 4 exceedances and red begins at 10.
    """
    below = float(binom.cdf(exceedances, trials, probability))
    return "red" if below >= _RED else "yellow" if below >= _YELLOW else "green"


def acerbi_szekely(
    loss: Floats, value_at_risk: Floats, expected_shortfall: Floats, probability: float
) -> Floats:
    """Return Acerbi and Szekely's Z2: 0 on average if right, negative if losses are worse.

    ``Z2 = 1 - sum_t L_t 1{L_t > VaR_t} / (T probability ES_t)``. It sees both how often and how far
    a quantile is exceeded.

    Parameters
    ----------
    loss, value_at_risk, expected_shortfall
        (windows, ...) realised losses and their forecasts, in one unit, losses positive.
    probability
        Of an exceedance, 1 - level.
    """
    beyond = np.where(loss > value_at_risk, loss, 0.0)
    return 1 - (beyond / expected_shortfall).sum(axis=0) / (len(loss) * probability)


def simulated_p_value(statistic: float, null: Array) -> float:
    """Return the two-sided p-value of a statistic against simulations of it under the forecast.

    Twice the smaller tail, the statistic counted among the simulations, at most 1.
    """
    lower = np.count_nonzero(null <= statistic + _TIE) + 1
    upper = np.count_nonzero(null >= statistic - _TIE) + 1
    return float(min(1.0, 2 * min(lower, upper) / (len(null) + 1)))


def holm(p_values: Floats) -> Floats:
    """Return Holm's adjusted p-values of a family of tests, (tests,), under any dependence.

    The chance that any true hypothesis has an adjusted value of at most alpha is at most alpha.
    NaN stays NaN and is no member of the family.
    """
    values = np.asarray(p_values, np.float64)
    adjusted = np.full(values.shape, np.nan)
    known = np.flatnonzero(~np.isnan(values))
    order = known[np.argsort(values[known], kind="stable")]
    weights = len(order) - np.arange(len(order))
    adjusted[order] = np.minimum(np.maximum.accumulate(weights * values[order]), 1.0)
    return adjusted


def _log_likelihood(misses: Floats, hits: Floats) -> Floats:
    """Return the greatest log-likelihood of Bernoulli draws; 0 where there are none."""
    trials = np.maximum(misses + hits, 1.0)
    return xlogy(hits, hits / trials) + xlogy(misses, misses / trials)


def _coverage_ratio(hits: Array, trials: Array, probability: float) -> Floats:
    misses = trials - hits
    stated = xlogy(hits, probability) + xlogy(misses, 1 - probability)
    return np.maximum(2 * (_log_likelihood(misses, hits) - stated), 0.0)


def _no_likelier(law: Floats, hits: int) -> float:
    # equal probabilities differ by rounding
    return float(min(1.0, law[law <= law[hits] * (1 + 1e-7)].sum()))


@cache
def _independent_sequences(trials: int, probability: float) -> Floats:
    """Return sorted independence statistics of independent sequences; the same on every call."""
    random = np.random.default_rng(20_000_101)
    at_once = max(1, _SIMULATED_AT_ONCE // max(trials, 1))
    parts = []
    for first in range(0, _REPLICATIONS, at_once):
        size = min(at_once, _REPLICATIONS - first)
        exceeded = random.random((trials, size), np.float32) < probability
        parts.append(independence_statistic(transitions(exceeded)))
    return np.sort(np.concatenate(parts))
