"""Tests of forecasts against printed statistics, by hand, and their size by simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom, binomtest

from stress.stats.coverage_tests import (
    acerbi_szekely,
    christoffersen,
    exact_binomial,
    holm,
    independence_statistic,
    kupiec,
    poisson_binomial,
    simulated_p_value,
    traffic_light,
    transitions,
)


class TestKupiec:
    """Unconditional coverage."""

    @pytest.mark.parametrize(
        ("trials", "exceedances", "probability", "statistic"),
        [
            (250, 0, 0.01, 5.025168),
            (250, 2, 0.01, 0.108435),
            (250, 5, 0.01, 1.956810),
            (250, 7, 0.01, 5.496990),
            (250, 10, 0.01, 12.955491),
            (500, 12, 0.01, 7.110710),
            (1000, 4, 0.001, 5.099373),
        ],
    )
    def test_printed_statistics(
        self, trials: int, exceedances: int, probability: float, statistic: float
    ) -> None:
        """To the last digit printed."""
        assert kupiec(exceedances, trials, probability).statistic == pytest.approx(
            statistic, abs=5e-7
        )

    def test_p_value_of_the_chi_squared_law(self) -> None:
        """3.841459 is its 95 % point."""
        counts = range(30)
        for count in counts:
            found = kupiec(count, 250, 0.05)
            assert (found.p_value < 0.05) == (found.statistic > 3.841458820694124)

    def test_as_expected_is_zero(self) -> None:
        """The statistic vanishes at the stated probability."""
        assert kupiec(5, 500, 0.01).statistic == pytest.approx(0, abs=1e-12)

    def test_all_exceeded(self) -> None:
        """-2 n log p."""
        assert kupiec(10, 10, 0.01).statistic == pytest.approx(-20 * np.log(0.01))


class TestExactBinomial:
    """The two-sided p-value that needs no large sample."""

    @pytest.mark.parametrize("hits", [0, 1, 2, 3, 7, 12, 40])
    def test_against_another_implementation(self, hits: int) -> None:
        """SciPy's, which searches instead of summing."""
        other = binomtest(hits, 250, 0.03).pvalue
        assert exact_binomial(hits, 250, 0.03) == pytest.approx(other, rel=1e-9)

    def test_by_hand(self) -> None:
        """Three coins: no head has probability 1/8, and so has no tail."""
        assert exact_binomial(0, 3, 0.5) == pytest.approx(0.25)
        assert exact_binomial(1, 3, 0.5) == pytest.approx(1.0)

    @pytest.mark.parametrize(("trials", "probability"), [(250, 0.01), (100, 0.05), (730, 0.01)])
    def test_size(self, trials: int, probability: float) -> None:
        """A right forecast is refused in at most 5 of 100 cases, exactly computed."""
        law = binom.pmf(np.arange(trials + 1), trials, probability)
        likely = np.flatnonzero(law > 1e-12)
        refused = [
            count for count in likely if exact_binomial(int(count), trials, probability) < 0.05
        ]
        assert 0 < law[refused].sum() < 0.05


class TestPoissonBinomial:
    """Counts of unlike events."""

    def test_like_events_are_binomial(self) -> None:
        """The same p-value as the binomial law's."""
        for hits in (0, 2, 9):
            assert poisson_binomial(hits, np.full(40, 0.1)) == pytest.approx(
                exact_binomial(hits, 40, 0.1), rel=1e-9
            )

    def test_by_hand(self) -> None:
        """Of probabilities 0.5 and 0.2: none 0.4, one 0.5, both 0.1."""
        assert poisson_binomial(2, np.array([0.5, 0.2])) == pytest.approx(0.1)
        assert poisson_binomial(0, np.array([0.5, 0.2])) == pytest.approx(0.5)
        assert poisson_binomial(1, np.array([0.5, 0.2])) == pytest.approx(1.0)

    def test_certain_events(self) -> None:
        """What cannot happen has a p-value of zero."""
        assert poisson_binomial(1, np.array([1.0, 1.0])) == 0.0


class TestChristoffersen:
    """Independence and conditional coverage."""

    @pytest.mark.parametrize(
        ("counts", "independence", "both"),
        [
            ((489, 5, 5, 0), 0.101216, 0.101237),
            ((487, 4, 4, 4), 24.462808, 26.013275),
            ((985, 7, 7, 1), 3.856656, 4.290397),
        ],
    )
    def test_printed_statistics(
        self, counts: tuple[int, ...], independence: float, both: float
    ) -> None:
        """To the last digit printed; the series has exactly these transitions."""
        exceeded = _series(counts)
        assert transitions(exceeded).tolist() == list(counts)
        found = christoffersen(exceeded, 0.01)
        assert found.independence == pytest.approx(independence, abs=5e-7)
        assert found.conditional_coverage == pytest.approx(both, abs=5e-7)

    def test_no_exceedance(self) -> None:
        """Says nothing about clustering."""
        found = christoffersen(np.zeros(100, bool), 0.01)
        assert found.independence == 0.0
        assert found.simulated_p_value == 1.0

    def test_clusters_are_found(self) -> None:
        """Ten in a row among a thousand."""
        exceeded = np.zeros(1000, bool)
        exceeded[400:410] = True
        assert christoffersen(exceeded, 0.01).simulated_p_value < 0.001

    def test_many_series_at_once(self) -> None:
        """Statistics broadcast over further axes."""
        random = np.random.default_rng(1)
        exceeded = random.random((200, 5)) < 0.1
        together = independence_statistic(transitions(exceeded))
        one = [independence_statistic(transitions(column)) for column in exceeded.T]
        assert together == pytest.approx(np.array(one), rel=1e-12)

    def test_size(self) -> None:
        """Independent series are refused in about 5 of 100 cases, by simulation."""
        random = np.random.default_rng(2)
        refused = [
            christoffersen(random.random(250) < 0.05, 0.05).simulated_p_value < 0.05
            for _ in range(1000)
        ]
        # four standard errors of 1,000 draws, and at most 5 % because the statistic is discrete
        assert 0.02 < np.mean(refused) < 0.05 + 4 * np.sqrt(0.05 * 0.95 / 1000)


def _series(counts: tuple[int, ...]) -> np.ndarray:
    """Return a series with these transitions: it begins and ends with no."""
    n00, n01, _, n11 = counts
    # one long run holds every repetition, the others are single
    series = [0]
    for run in range(n01):
        series += [1] * (1 + n11 * (run == 0)) + [0]
    return np.array([0] * n00 + series, bool)


class TestTrafficLight:
    """The Basel zones."""

    @pytest.mark.parametrize(
        ("exceedances", "zone"),
        [(0, "green"), (4, "green"), (5, "yellow"), (9, "yellow"), (10, "red"), (30, "red")],
    )
    def test_zones_of_a_year(self, exceedances: int, zone: str) -> None:
        """Of 250 days at 99 %."""
        assert traffic_light(exceedances, 250, 0.01) == zone


class TestAcerbiSzekely:
    """Their second test of expected shortfall."""

    def test_by_hand(self) -> None:
        """Two of ten losses beyond, together 1.25 times what is expected: 1 - 1.25."""
        loss = np.zeros(10)
        loss[:2] = (2.0, 3.0)
        found = acerbi_szekely(loss, np.ones(10), np.full(10, 2.0), 0.2)
        assert found == pytest.approx(1 - (2.0 + 3.0) / (10 * 0.2 * 2.0))

    def test_right_shortfalls_are_not_refused(self) -> None:
        """Size of the simulated test with normal losses, known quantile and shortfall."""
        random = np.random.default_rng(3)
        value, shortfall, windows = 1.6448536269514722, 2.062712807507265, 250
        null = acerbi_szekely(
            random.standard_normal((windows, 4000)),
            np.full((windows, 1), value),
            np.full((windows, 1), shortfall),
            0.05,
        )
        assert null.mean() == pytest.approx(0.0, abs=0.02)
        loss = random.standard_normal((windows, 600))
        statistics = acerbi_szekely(
            loss, np.full((windows, 1), value), np.full((windows, 1), shortfall), 0.05
        )
        refused = np.mean([simulated_p_value(one, null) < 0.05 for one in statistics])
        assert refused == pytest.approx(0.05, abs=4 * np.sqrt(0.05 * 0.95 / 600))

    def test_heavier_losses_are_refused(self) -> None:
        """Losses half as large again are beyond what the forecast says."""
        random = np.random.default_rng(4)
        args = (np.full((250, 1), 1.6448536), np.full((250, 1), 2.0627128), 0.05)
        null = acerbi_szekely(random.standard_normal((250, 4000)), *args)
        worse = float(acerbi_szekely(1.5 * random.standard_normal((250, 1)), *args)[0])
        assert worse < 0
        assert simulated_p_value(worse, null) < 0.01


class TestHolm:
    """Several tests at once."""

    def test_by_hand(self) -> None:
        """0.01 x 3, 0.02 x 2, and the last not below the one before."""
        assert holm(np.array([0.02, 0.01, 0.03])) == pytest.approx([0.04, 0.03, 0.04])

    def test_never_over_one(self) -> None:
        """Adjusted values are probabilities."""
        assert holm(np.array([0.6, 0.9])).tolist() == [1.0, 1.0]

    def test_missing_tests_do_not_count(self) -> None:
        """NaN is no member of the family."""
        found = holm(np.array([0.01, np.nan, 0.04]))
        assert found[[0, 2]] == pytest.approx([0.02, 0.04])
        assert np.isnan(found[1])

    def test_error_rate_of_the_family(self) -> None:
        """Any refusal among ten right hypotheses in at most 5 of 100 families."""
        p_values = np.random.default_rng(5).random((4000, 10))
        wrong = np.mean([(holm(row) < 0.05).any() for row in p_values])
        assert 0.03 < wrong < 0.05 + 4 * np.sqrt(0.05 * 0.95 / 4000)


class TestSimulatedPValue:
    """Against simulations of the statistic itself."""

    def test_extremes_and_middle(self) -> None:
        """Twice the smaller tail, the statistic counted in."""
        null = np.arange(99.0)
        assert simulated_p_value(-1.0, null) == pytest.approx(0.02)
        assert simulated_p_value(200.0, null) == pytest.approx(0.02)
        assert simulated_p_value(49.0, null) == 1.0
