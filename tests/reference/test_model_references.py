"""The references of jump diffusions and mixtures, each against another way to the same number."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import dblquad, quad
from scipy.stats import chi2, norm
from scipy.stats import t as student

from tests.reference import jumps, mixtures
from tests.reference.barrier import log_first_passage

WEEK = 7 / 365
MERTON = jumps.Merton(-0.04, 0.06)
KOU = jumps.Kou(0.4, 0.04, 0.05)
LAWS = {"merton": MERTON, "kou": KOU}


@pytest.mark.parametrize("name", LAWS)
class TestJumps:
    @pytest.mark.parametrize("steps", [1, 5])
    def test_looks_by_convolution_and_by_transform(self, name: str, steps: int) -> None:
        case = (0.1, -0.2, 0.5, 45.0, LAWS[name], WEEK, steps)
        expected = jumps.transform(*case)
        assert jumps.scheme(*case, bridge=False) == pytest.approx(expected, abs=1e-8)

    def test_without_jumps(self, name: str) -> None:
        expected = float(np.exp(log_first_passage(0.1, -0.2, 0.5, WEEK)))
        case = (0.1, -0.2, 0.5, 0.0, LAWS[name], WEEK)
        assert jumps.scheme(*case, 3, bridge=True) == pytest.approx(expected, abs=1e-10)
        assert jumps.continuous(*case) == pytest.approx(expected, abs=1e-8)

    def test_the_scheme_converges(self, name: str) -> None:
        """From below, since a jump to the barrier waits for the end of its step; order one."""
        case = (0.1, -0.2, 0.5, 45.0, LAWS[name], WEEK)
        limit = jumps.continuous(*case)
        found = np.array([jumps.scheme(*case, steps, bridge=True) for steps in (2, 4, 8)])
        errors = limit - found
        assert (errors > 0).all()
        np.testing.assert_allclose(errors[:-1] / errors[1:], 2.0, atol=0.2)
        richardson = 2 * found[1:] - found[:-1]
        assert abs(richardson[1] - limit) < min(abs(richardson[0] - limit), 2e-3 * limit)

    def test_one_step_by_hand(self, name: str) -> None:
        """No jump and killed on the way, or jumps from where the way ended."""
        law = LAWS[name]
        distance, deviation = 0.08, 0.5 * np.sqrt(WEEK)

        def landing(end: float) -> float:
            """P(one jump leads from ``end`` to below 0)."""
            if name == "merton":
                return float(norm.cdf(-end, law.mean, law.deviation))
            return float((1 - law.up) * np.exp(-end / law.fall))

        def survivors(end: float) -> float:
            moved = norm.pdf(end, distance, deviation) - norm.pdf(-end, distance, deviation)
            return float(moved * (1 - landing(end)))

        # so rare that two jumps are negligible
        rate = 1e-4 / WEEK
        none = 2 * norm.cdf(distance / deviation) - 1
        one = quad(survivors, 0, 1, points=[distance], epsabs=1e-13)[0]
        expected = 1 - np.exp(-1e-4) * (none + 1e-4 * one)
        found = jumps.scheme(distance, 0.0, 0.5, rate, law, WEEK, 1, bridge=True)
        assert found == pytest.approx(expected, abs=1e-8)


class TestContinuousMerton:
    def test_is_stable_in_the_number_of_points(self) -> None:
        found = [jumps._equation(0.1, -0.2, 0.5, 45.0, MERTON, WEEK, n) for n in (140, 200)]
        assert found[0] == pytest.approx(found[1], abs=1e-9)


class TestMixtures:
    @pytest.mark.parametrize("degrees_of_freedom", [2.5, 4.0, 30.0, 1e4])
    def test_law(self, degrees_of_freedom: float) -> None:
        """Probabilities sum to 1, the mean is 1, and the distribution is that of chi-squared."""
        scales, weights = mixtures.mixing(degrees_of_freedom)
        assert weights.sum() == pytest.approx(1, abs=1e-10)
        if degrees_of_freedom > 3:
            assert weights @ scales == pytest.approx(1, abs=1e-7)
        value = chi2(degrees_of_freedom).expect(lambda x: np.exp(-x / degrees_of_freedom))
        ratio = (degrees_of_freedom - 2) / scales / degrees_of_freedom
        assert weights @ np.exp(-ratio) == pytest.approx(value, abs=1e-7)

    def test_student_t(self) -> None:
        """Marginals, and a sum of one, are SciPy's t scaled to variance 1."""
        for value, freedom in ((-0.4, 4.5), (-2.5, 5.0), (1.5, 8.0)):
            expected = student.cdf(value / np.sqrt((freedom - 2) / freedom), freedom)
            skewed = float(mixtures.skewed_below(value, 0.0, freedom))
            assert skewed == pytest.approx(expected, abs=1e-9)
            assert mixtures.sum_below(value, freedom, 1) == pytest.approx(expected, abs=1e-6)

    def test_both_below(self) -> None:
        """Against a double integral of the bivariate t density."""
        freedom, rho, ends = 4.0, 0.6, (-1.2, -0.8)
        scale = np.sqrt((freedom - 2) / freedom)

        def density(y: float, x: float) -> float:
            form = (x * x - 2 * rho * x * y + y * y) / (1 - rho**2)
            return float(
                (1 + form / freedom) ** (-freedom / 2 - 1) / (2 * np.pi * np.sqrt(1 - rho**2))
            )

        expected, _ = dblquad(density, -np.inf, ends[0] / scale, -np.inf, ends[1] / scale)
        found = mixtures.both_below(*ends, rho, freedom)
        assert found == pytest.approx(expected, abs=1e-7)

    def test_skewed_moments(self) -> None:
        """Mean 0 and variance 1, by integrating the distribution function."""
        grid = np.linspace(-60, 60, 3_001)
        middle = (grid[1:] + grid[:-1]) / 2
        mass = np.diff(mixtures.skewed_below(grid, -0.4, 12.0))
        assert mass @ middle == pytest.approx(0, abs=1e-4)
        assert mass @ middle**2 == pytest.approx(1, abs=1e-3)

    def test_passage_of_a_normal(self) -> None:
        """Very many degrees of freedom are none."""
        expected = float(np.exp(log_first_passage(0.1, -0.2, 0.5, WEEK)))
        assert mixtures.passage(0.1, -0.2, 0.5, 1e6, WEEK) == pytest.approx(expected, rel=1e-4)
