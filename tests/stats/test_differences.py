"""Intervals of differences: published examples, coverage on known laws, and what must be exact."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import norm

from stress.stats.confidence import Confidence, shared
from stress.stats.differences import (
    paired_mean,
    paired_probability,
    paired_quantile,
    paired_shortfall,
    recovered_difference,
)
from stress.stats.probability import mean_interval, wilson
from stress.stats.tail import expected_shortfall

# Newcombe 1998, Statistics in Medicine 17, 873: table II, method 10, 95 % without continuity
# correction; his difference is the first minus the second
NEWCOMBE = [
    (56, 70, 48, 80, 0.0524, 0.3339),
    (9, 10, 3, 10, 0.1705, 0.8090),
    (6, 7, 2, 7, 0.0582, 0.8062),
    (5, 56, 0, 29, -0.0381, 0.1926),
    (0, 10, 0, 20, -0.1611, 0.2775),
    (0, 10, 0, 10, -0.2775, 0.2775),
    (10, 10, 0, 20, 0.6791, 1.0),
    (10, 10, 0, 10, 0.6075, 1.0),
]


@pytest.mark.parametrize(("hits", "trials", "hits_2", "trials_2", "lower", "upper"), NEWCOMBE)
def test_two_proportions_as_newcombe_published_them(
    hits: int, trials: int, hits_2: int, trials_2: int, lower: float, upper: float
) -> None:
    one, other = np.array(hits_2 / trials_2), np.array(hits / trials)
    value, bounds = recovered_difference(
        one,
        wilson(one, np.array(float(trials_2)), 0.95),
        other,
        wilson(other, np.array(float(trials)), 0.95),
    )
    assert value == other - one
    np.testing.assert_allclose(bounds, [lower, upper], atol=5.1e-5)


def test_normal_intervals_give_the_interval_of_a_difference_of_normals() -> None:
    """Half widths 3 and 4 add up to 5 where independent, to 7 at worst, to 1 at best."""
    for correlation, half in ((0.0, 5.0), (-1.0, 7.0), (1.0, 1.0)):
        value, bounds = recovered_difference(
            np.array(10.0),
            np.array([7.0, 13.0]),
            np.array(12.0),
            np.array([8.0, 16.0]),
            correlation,
        )
        assert value == 2.0
        np.testing.assert_allclose(bounds, [2 - half, 2 + half])


def test_what_has_no_bound_gives_none() -> None:
    _, bounds = recovered_difference(
        np.zeros(2),
        np.array([[-np.inf, 1.0], [np.nan, np.nan]]),
        np.ones(2),
        np.array([[0.0, np.inf], [0.0, 2.0]]),
        0.5,
    )
    assert bounds[0, 1] == np.inf
    assert np.isfinite(bounds[0, 0])
    assert np.isnan(bounds[1]).all()


class TestPaired:
    def test_probability_by_hand(self) -> None:
        """Of 100 paths 10 are hit in the other run only, none in the first only."""
        value, bounds = paired_probability(np.array(0), np.array(10), 100, 0.95)
        assert value == pytest.approx(0.10)
        none, ten = (wilson(np.array(share), np.array(100.0), 0.95) for share in (0.0, 0.1))
        lower = 0.10 - np.hypot(0.10 - ten[0], none[1])
        np.testing.assert_allclose(bounds, [lower, ten[1]])

    def test_probability_counts_as_a_multinomial(self) -> None:
        """Two shares of one sample are negatively correlated, by -sqrt(p q / ((1 - p)(1 - q)))."""
        _, bounds = paired_probability(np.array(300), np.array(400), 1000, 0.95)
        low, high = (wilson(np.array(share), np.array(1000.0), 0.95) for share in (0.3, 0.4))
        r = -np.sqrt(0.3 * 0.4 / (0.7 * 0.6))
        a, b = 0.4 - high[0], low[1] - 0.3
        assert bounds[0] == pytest.approx(0.1 - np.sqrt(a * a + b * b - 2 * r * a * b))

    def test_no_path_that_differs_leaves_an_interval(self) -> None:
        value, bounds = paired_probability(np.zeros(3, int), np.zeros(3, int), 1000, 0.95)
        assert (value == 0).all()
        np.testing.assert_allclose(bounds[:, 1], -bounds[:, 0])
        assert (bounds[:, 1] > 3 / 1000).all()
        _, exact = paired_probability(np.array(0), np.array(0), 1000, shared(0.95, 50), exact=True)
        assert exact[1] > bounds[0, 1]

    def test_everybody_hit_in_one_run_only(self) -> None:
        value, bounds = paired_probability(np.array(0), np.array(50), 50, 0.95)
        assert value == 1
        assert bounds[1] == 1
        assert 0.85 < bounds[0] < 1

    def test_a_run_and_itself(self) -> None:
        """Nothing is left of the sampling error of a difference that is 0 on every path."""
        loss = np.random.default_rng(1).lognormal(size=2_000)
        for value, bounds in (
            paired_mean(loss, loss, 0.95),
            paired_shortfall(loss, loss, 0.95, 0.95),
        ):
            assert value == 0
            np.testing.assert_array_equal(bounds, [0.0, 0.0])

    def test_a_constant_is_known_exactly(self) -> None:
        """What is 7 more on every path has a mean and a shortfall that are certainly 7 more."""
        loss = np.random.default_rng(1).integers(0, 1000, 2_000).astype(float)
        for value, bounds in (
            paired_mean(loss, loss + 7, 0.95),
            paired_shortfall(loss, loss + 7, 0.95, 0.95),
        ):
            assert value == pytest.approx(7)
            np.testing.assert_allclose(bounds, [7.0, 7.0])

    def test_shortfall_against_nothing_is_the_shortfall_s_own_interval(self) -> None:
        loss = np.random.default_rng(2).lognormal(size=2_000)
        value, bounds = paired_shortfall(np.zeros(2_000), loss, 0.95, 0.95)
        own, interval = expected_shortfall(np.sort(loss)[::-1], 2_000, 0.95, 0.95)
        assert value == own
        np.testing.assert_allclose(bounds, interval)

    def test_few_paths_beyond_give_no_bound(self) -> None:
        loss = np.random.default_rng(2).lognormal(size=300)
        _, bounds = paired_shortfall(loss, 2 * loss, 0.99, 0.95)
        assert list(bounds) == [-np.inf, np.inf]
        _, bounds = paired_quantile(loss, 2 * loss, 0.99, 0.95)
        assert bounds[1] == np.inf

    def test_losses_that_never_happen(self) -> None:
        value, bounds = paired_quantile(np.zeros(500), np.zeros(500), 0.95, 0.95)
        assert value == 0
        assert list(bounds) == [0.0, 0.0]

    def test_paths_that_resemble_each_other_count_for_less(self) -> None:
        """With a design effect of 4 every interval is about twice as wide."""
        random = np.random.default_rng(5)
        one = random.lognormal(size=4_000)
        other = one + 0.3 * random.lognormal(size=4_000)
        plain, worth_less = Confidence(0.95), Confidence(0.95, 4.0)
        for made in (
            lambda sure: paired_mean(one, other, sure),
            lambda sure: paired_shortfall(one, other, 0.95, sure),
            lambda sure: paired_quantile(one, other, 0.95, sure),
            lambda sure: paired_probability(np.array(400), np.array(800), 4_000, sure),
        ):
            narrow, wide = (np.ptp(made(sure)[1]) for sure in (plain, worth_less))
            assert 1.7 < wide / narrow < 2.4


def _covered(truth: float, bounds: Any, count: Any = 1) -> float:
    bounds = np.asarray(bounds)
    held = (bounds[..., 0] <= truth) & (truth <= bounds[..., 1])
    return float(np.average(held, weights=np.broadcast_to(count, held.shape)))


@pytest.mark.parametrize(
    ("trials", "only_one", "only_other", "least"),
    [(2_000, 0.08, 0.10, 0.943), (20_000, 0.001, 0.002, 0.943), (2_000, 0.0, 0.02, 0.943)],
)
def test_paired_probabilities_are_covered(
    trials: int, only_one: float, only_other: float, least: float
) -> None:
    """95 % of 10,000 samples, and as good as all of them at a confidence shared by 3,000."""
    law = [only_one, only_other, 1 - only_one - only_other]
    drawn = np.random.default_rng(11).multinomial(trials, law, size=10_000)
    found, count = np.unique(drawn[:, :2], axis=0, return_counts=True)
    truth = only_other - only_one
    _, bounds = paired_probability(found[:, 0], found[:, 1], trials, 0.95)
    assert least <= _covered(truth, bounds, count) < 0.975
    each = shared(0.95, 3_000)
    _, bounds = paired_probability(found[:, 0], found[:, 1], trials, each, exact=True)
    assert _covered(truth, bounds, count) >= 0.9997


@pytest.mark.parametrize(
    ("trials", "p", "q"), [((200, 200), 0.3, 0.25), ((20_000, 4_000), 0.002, 0.0005)]
)
def test_independent_probabilities_are_covered(trials: tuple[int, int], p: float, q: float) -> None:
    random = np.random.default_rng(12)
    shares = [
        random.binomial(n, share, 10_000) / n for n, share in zip(trials, (p, q), strict=True)
    ]
    bounds = [wilson(at, np.array(float(n)), 0.95) for at, n in zip(shares, trials, strict=True)]
    _, found = recovered_difference(shares[0], bounds[0], shares[1], bounds[1])
    assert 0.943 <= _covered(q - p, found) < 0.975


def _lognormal(mean: float, spread: float, level: float) -> tuple[float, float, float]:
    """Return mean, quantile and expected shortfall of exp(mean + spread Z)."""
    z = norm.ppf(level)
    whole = np.exp(mean + spread**2 / 2)
    beyond = whole * norm.cdf(spread - z) / (1 - level)
    return float(whole), float(np.exp(mean + spread * z)), float(beyond)


def _cover_losses(paths: int, level: float, alike: float, samples: int) -> Any:
    """Return the coverage, for (mean, quantile, shortfall), of two correlated lognormal losses."""
    random = np.random.default_rng(13)
    laws = ((0.0, 1.0), (0.05, 1.02))
    truth = np.subtract(_lognormal(*laws[1], level), _lognormal(*laws[0], level))
    held = np.zeros(3)
    for _ in range(samples):
        z, apart = random.standard_normal((2, paths))
        both = (z, alike * z + np.sqrt(1 - alike**2) * apart)
        one, other = (np.exp(m + s * x) for (m, s), x in zip(laws, both, strict=True))
        found = (
            paired_mean(one, other, 0.95),
            paired_quantile(one, other, level, 0.95),
            paired_shortfall(one, other, level, 0.95),
        )
        held += [_covered(t, bounds) for t, (_, bounds) in zip(truth, found, strict=True)]
    return held / samples


def test_paired_losses_are_covered() -> None:
    mean, quantile, shortfall = _cover_losses(2_000, 0.95, 0.9, 300)
    assert mean > 0.92
    # the two order-statistic intervals are skewed each in its own way: never too narrow
    assert quantile > 0.93
    assert shortfall > 0.91


@pytest.mark.slow
@pytest.mark.parametrize("alike", [0.0, 0.9, 0.999])
def test_paired_losses_are_covered_at_length(alike: float) -> None:
    """1,000 paths beyond the quantile; of lognormal losses that are nearly alike 100 give 92 %."""
    mean, quantile, shortfall = _cover_losses(20_000, 0.95, alike, 2_000)
    assert mean > 0.935
    assert quantile > 0.94
    assert shortfall > 0.925


def test_means_are_paired_as_their_differences() -> None:
    random = np.random.default_rng(3)
    one, other = random.normal(size=(2, 500))
    value, bounds = paired_mean(one, other, 0.9)
    apart = other - one
    assert value == pytest.approx(apart.mean())
    np.testing.assert_allclose(bounds, mean_interval(apart.mean(), apart.var(ddof=1), 500, 0.9))
