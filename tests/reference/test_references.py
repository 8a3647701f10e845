"""The references themselves: against published forms, known values and one another."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.integrate import quad
from scipy.special import log_ndtr

from . import barrier, cross_pair, joint, plain

Floats = NDArray[np.float64]

DAY = 1.0 / 365.0
RATE = 0.005
ONE_TIER = [(0.0, RATE)]
TIERS = [(0.0, 0.004), (50.0, 0.01), (200.0, 0.05)]
BETA = 0.5825971579390107  # -zeta(1/2)/sqrt(2 pi), Broadie, Glasserman and Kou 1997, theorem 1.1


def long_at(leverage: float) -> float:
    """Liquidation price of a long of 1 at price 1."""
    return barrier.liquidation_price("long", 1.0, 1.0, 1.0 / leverage, ONE_TIER)


def short_at(leverage: float) -> float:
    """Liquidation price of a short of 1 at price 1."""
    return barrier.liquidation_price("short", 1.0, -1.0, 1.0 / leverage, ONE_TIER)


def amounts(tiers: list[tuple[float, float]]) -> plain.Tiers:
    """(floor, rate) as (rate, amount)."""
    deductions = barrier.tier_amounts(tiers)
    return [(rate, amount) for (_, rate), amount in zip(tiers, deductions, strict=True)]


class TestLiquidationPrice:
    """``barrier.liquidation_price``."""

    def test_one_tier(self) -> None:
        """With a wallet of 1/L: (1 - 1/L)/(1 - m) and (1 + 1/L)/(1 + m)."""
        assert long_at(10.0) == pytest.approx(0.9 / 0.995, rel=1e-15)
        assert short_at(10.0) == pytest.approx(1.1 / 1.005, rel=1e-15)

    def test_fully_paid_long_has_none(self) -> None:
        """A long whose wallet covers its entry cannot be liquidated."""
        assert barrier.liquidation_price("long", 100.0, 1.0, 100.0, TIERS) == 0.0

    @given(
        side=st.sampled_from(["long", "short"]),
        entry=st.floats(1.0, 1e3),
        quantity=st.floats(0.01, 100.0),
        share=st.floats(0.02, 0.9),
    )
    def test_excess_is_zero_there(
        self, side: str, entry: float, quantity: float, share: float
    ) -> None:
        """The excess vanishes at the price in whatever tier it lies, and only there."""
        wallet = share * entry * quantity
        signed = quantity if side == "long" else -quantity
        price = barrier.liquidation_price(side, entry, quantity, wallet, TIERS)  # type: ignore[arg-type]
        pool = plain.PlainPool(wallet, [(0, signed, entry, amounts(TIERS))])
        left = plain.excess(pool, np.array([price]), None)
        assert abs(left) < 1e-11 * quantity * (price + entry)
        assert plain.liquidation_marks(pool, 0, 1, None) == pytest.approx([price], rel=1e-11)


class TestContinuous:
    """``barrier.continuous``."""

    def test_known_value(self) -> None:
        """A 10x long, sigma .6, one day: 12 digits, found by quadrature and finite differences."""
        value = barrier.continuous(1.0, long_at(10.0), 0.6, 0.0, DAY)
        assert value == pytest.approx(0.00146886720639, rel=1e-11)

    @pytest.mark.parametrize("level", [0.9, 0.97, 1.02, 1.2, 0.4, 2.5])
    @pytest.mark.parametrize("drift", [-3.0, 0.0, 0.5])
    def test_integrates_the_density(self, level: float, drift: float) -> None:
        """The probability is the integral of the density, relatively, however small."""
        years = 7.0 * DAY
        integral, _ = quad(
            lambda t: float(barrier.passage_density(1.0, level, 0.7, drift, t)),
            0.0,
            years,
            epsabs=0.0,
            epsrel=1e-11,
            limit=400,
        )
        value = barrier.continuous(1.0, level, 0.7, drift, years)
        assert value == pytest.approx(integral, rel=1e-9)

    def test_extremes(self) -> None:
        """At the barrier 1; without a barrier 0; far away tiny but not lost."""
        assert barrier.continuous(1.0, 1.0, 0.5, 0.0, DAY) == 1.0
        assert barrier.continuous(1.0, 0.0, 0.5, 0.0, DAY) == 0.0
        assert 0.0 < barrier.continuous(1.0, 0.4, 0.5, 0.0, DAY) < 1e-250

    def test_is_a_distribution_in_time(self) -> None:
        """It rises with the horizon, to 1 where the drift leads to the barrier."""
        values = [barrier.continuous(1.0, 0.8, 0.6, -1.0, years) for years in (0.01, 0.1, 1, 50)]
        assert np.all(np.diff(values) > 0.0)
        assert values[-1] == pytest.approx(1.0, abs=1e-9)


class TestDiscrete:
    """``barrier.discrete`` and ``barrier.discrete_transform``."""

    def test_known_value(self) -> None:
        """A 10x long looked at hourly for a day, and its continuity correction.

        Broadie, Glasserman and Kou 1997: the barrier of the continuous formula moves away from the
        price by beta sigma sqrt(dt).
        """
        level, hours = long_at(10.0), 24
        value = barrier.discrete(1.0, level, 0.6, 0.0, DAY, hours)
        assert value == pytest.approx(0.0010324547, rel=1e-7)
        away = level * np.exp(-BETA * 0.6 * np.sqrt(DAY / hours))
        corrected = barrier.continuous(1.0, float(away), 0.6, 0.0, DAY)
        assert corrected == pytest.approx(0.00096817, rel=1e-5)

    @pytest.mark.parametrize("checks", [1, 2, 7, 24, 168])
    @pytest.mark.parametrize(
        ("level", "drift", "years"),
        [(0.9, 0.0, 7 * DAY), (1.08, 2.0, 30 * DAY), (1.08, -2.0, 30 * DAY), (0.99, 1.0, 1.0)],
    )
    def test_two_methods_agree(self, checks: int, level: float, drift: float, years: float) -> None:
        """Convolution on the line and Hilbert transforms in Fourier space share nothing."""
        terms = (1.0, level, 0.8, drift, years, checks)
        assert barrier.discrete(*terms) == pytest.approx(
            barrier.discrete_transform(*terms), abs=1e-12
        )

    def test_minute_checks(self) -> None:
        """1440 checks, both methods."""
        terms = (1.0, long_at(10.0), 0.6, 0.0, DAY, 1440)
        assert barrier.discrete(*terms) == pytest.approx(
            barrier.discrete_transform(*terms), abs=1e-12
        )

    def test_one_check_is_the_end(self) -> None:
        """One check asks where the price ends: a normal probability."""
        nu, deviation = 0.4 - 0.18, 0.6 * np.sqrt(7 * DAY)
        for level, side in ((0.9, 1.0), (1.1, -1.0)):
            z = side * (np.log(level) - nu * 7 * DAY) / deviation
            expected = np.exp(log_ndtr(z))
            value = barrier.discrete(1.0, level, 0.6, 0.4, 7 * DAY, 1)
            assert value == pytest.approx(expected, rel=1e-13)

    def test_rises_towards_continuous(self) -> None:
        """More checks find more, never more than there is, and the gap falls with root n."""
        limit = barrier.continuous(1.0, 0.9, 0.6, 0.0, 7 * DAY)
        counts = (32, 128, 512)
        gaps = [limit - barrier.discrete(1.0, 0.9, 0.6, 0.0, 7 * DAY, n) for n in counts]
        assert min(gaps) > 0.0
        assert gaps[0] / gaps[1] == pytest.approx(2.0, rel=0.1)
        assert gaps[1] / gaps[2] == pytest.approx(2.0, rel=0.05)

    def test_distribution_by_check(self) -> None:
        """The k-th entry is the probability of k checks at the same spacing."""
        by_check = barrier.discrete_distribution(1.0, 1.1, 0.6, 0.3, 7 * DAY, 28)
        assert by_check[11] == pytest.approx(
            barrier.discrete(1.0, 1.1, 0.6, 0.3, 3 * DAY, 12), rel=1e-12
        )


def corridor_series(
    price: float, low: float, high: float, sigma: float, drift: float, years: float
) -> float:
    """P(leaving the corridor) by the sine series with Girsanov's factor, unlike the images.

    ``P(stay) = e^{-a x0 - nu^2 T/(2 sigma^2)} sum_n (2/D) sin(n pi x0/D) e^{-(n pi sigma/D)^2 T/2}
    int_0^D e^{a x} sin(n pi x/D) dx`` with ``a = nu/sigma^2``.
    """
    width, start, nu = np.log(high / low), np.log(price / low), drift - sigma**2 / 2.0
    a, wave = nu / sigma**2, np.arange(1, 400) * np.pi / width
    ends = 1.0 - np.cos(wave * width) * np.exp(a * width)
    integral = wave * ends / (a**2 + wave**2)
    decay = np.exp(-((wave * sigma) ** 2) * years / 2.0)
    total = np.sum(np.sin(wave * start) * decay * integral) * 2.0 / width
    return float(1.0 - total * np.exp(-a * start - nu**2 * years / (2.0 * sigma**2)))


class TestCorridor:
    """``barrier.corridor``."""

    @pytest.mark.parametrize("drift", [-2.0, 0.0, 3.0])
    @pytest.mark.parametrize("years", [7 * DAY, 60 * DAY, 1.0])
    def test_images_and_sines_agree(self, drift: float, years: float) -> None:
        """Two expansions of the same kernel."""
        terms = (1.0, 0.85, 1.25, 0.6, drift, years)
        assert barrier.corridor(*terms) == pytest.approx(corridor_series(*terms), abs=1e-12)

    def test_far_side_drops_out(self) -> None:
        """With one side out of reach the corridor is one barrier."""
        for low, high, near in ((0.9, 1e6, 0.9), (1e-6, 1.1, 1.1)):
            value = barrier.corridor(1.0, low, high, 0.6, 0.4, 7 * DAY)
            assert value == pytest.approx(
                barrier.continuous(1.0, near, 0.6, 0.4, 7 * DAY), abs=1e-13
            )

    def test_between_the_bounds(self) -> None:
        """More than either side alone, less than their sum."""
        value = barrier.corridor(1.0, 0.9, 1.1, 0.6, 0.0, 7 * DAY)
        sides = [barrier.continuous(1.0, side, 0.6, 0.0, 7 * DAY) for side in (0.9, 1.1)]
        assert max(sides) < value < sum(sides)

    def test_outside_has_left(self) -> None:
        """A price that is not inside has left."""
        assert barrier.corridor(1.0, 1.0, 1.2, 0.6, 0.0, DAY) == 1.0


class TestJoint:
    """``joint.joint``: 7 days, sigma .6 and .8, maintenance rate .005, driftless prices."""

    def week(self, barriers: tuple[float, float], rho: float) -> joint.Joint:
        """The common setting."""
        return joint.joint((1.0, 1.0), barriers, (0.6, 0.8), (0.0, 0.0), rho, 7 * DAY)

    def test_known_negative_correlation(self) -> None:
        """Two 10x longs, rho -.5: the kernel of Metzler 2010, confirmed by finite differences."""
        value = self.week((long_at(10.0), long_at(10.0)), -0.5)
        expected = (0.23873494, 0.38355322, 0.58213165, 0.04015651)
        assert value == pytest.approx(expected, abs=6e-9)

    @pytest.mark.parametrize(
        ("barriers", "both", "either"),
        [
            ((long_at(10.0), long_at(10.0)), 0.200389, 0.421899),
            ((long_at(10.0), short_at(10.0)), 0.016642, None),
            ((long_at(20.0), short_at(20.0)), 0.303147, 0.965019),
        ],
    )
    def test_known_high_correlation(
        self, barriers: tuple[float, float], both: float, either: float | None
    ) -> None:
        """Longs and shorts at rho .8, six digits."""
        value = self.week(barriers, 0.8)
        assert value.both == pytest.approx(both, abs=6e-7)
        if either is not None:
            assert value.any == pytest.approx(either, abs=6e-7)

    @pytest.mark.parametrize("levels", [(0.9, 0.85), (0.9, 1.2), (1.1, 0.8), (1.1, 1.3)])
    @pytest.mark.parametrize("years", [DAY, 30 * DAY, 1.0])
    def test_independence(self, levels: tuple[float, float], years: float) -> None:
        """At rho = 0, with drifts, both is the product of the one-asset probabilities."""
        value = joint.joint((1.0, 1.0), levels, (0.6, 0.8), (0.5, -0.9), 0.0, years)
        assert value.both == pytest.approx(value.first * value.second, abs=1e-11)

    @pytest.mark.parametrize("rho", [-0.9, -0.3, 0.5, 0.95])
    @pytest.mark.parametrize("years", [DAY, 30 * DAY, 1.0])
    def test_closed_series_without_log_drift(self, rho: float, years: float) -> None:
        """A price drift of sigma^2/2 leaves no log drift: quadrature against the closed series."""
        sigma = (0.6, 0.8)
        drifts = (sigma[0] ** 2 / 2.0, sigma[1] ** 2 / 2.0)
        value = joint.joint((1.0, 1.0), (0.9, 1.2), sigma, drifts, rho, years)
        distances = (-np.log(0.9) / sigma[0], np.log(1.2) / sigma[1])
        start = joint.wedge(distances, (0.0, 0.0), -rho)
        closed = joint.neither_without_drift(start, years)
        assert 1.0 - value.any == pytest.approx(closed, abs=1e-11)

    def test_far_second_leaves_the_first(self) -> None:
        """With the second barrier out of reach, any is the one-asset probability."""
        value = joint.joint((1.0, 1.0), (0.9, 1e-3), (0.6, 0.8), (0.3, 0.0), 0.7, 7 * DAY)
        assert value.any == pytest.approx(value.first, abs=1e-11)
        assert value.both == pytest.approx(0.0, abs=1e-11)

    def test_near_perfect_correlation(self) -> None:
        """Same asset twice, nearly: the nearer barrier decides any, the further one both."""
        value = joint.joint((1.0, 1.0), (0.9, 0.85), (0.6, 0.6), (0.0, 0.0), 0.9999, 7 * DAY)
        assert value.any == pytest.approx(value.first, abs=1e-6)
        assert value.both == pytest.approx(value.second, abs=1e-6)

    def test_opposite_barriers_of_one_asset_are_a_corridor(self) -> None:
        """A long and a short on nearly one asset: any is leaving the corridor."""
        value = joint.joint((1.0, 1.0), (0.9, 1.1), (0.6, 0.6), (0.2, 0.2), 0.999999, 7 * DAY)
        left = barrier.corridor(1.0, 0.9, 1.1, 0.6, 0.2, 7 * DAY)
        assert value.any == pytest.approx(left, abs=2e-4)

    def test_order_does_not_matter(self) -> None:
        """Swapping the assets swaps the answer."""
        one = joint.joint((1.0, 2.0), (0.9, 2.3), (0.6, 0.8), (0.3, -0.2), 0.6, 7 * DAY)
        two = joint.joint((2.0, 1.0), (2.3, 0.9), (0.8, 0.6), (-0.2, 0.3), 0.6, 7 * DAY)
        assert one.both == pytest.approx(two.both, abs=1e-12)

    def test_one_already_there(self) -> None:
        """A barrier at the price has been reached."""
        value = joint.joint((1.0, 1.0), (1.0, 0.9), (0.6, 0.8), (0.0, 0.0), 0.5, DAY)
        assert (value.first, value.any) == (1.0, 1.0)
        assert value.both == pytest.approx(value.second, abs=1e-15)


def ratio_pair(correlation: float, years: float) -> cross_pair.CrossPair:
    """Long 1 and short .8 with a wallet equal to the net notional, so that c0 = 0."""
    return cross_pair.CrossPair((1.0, -0.8), 0.2, (0.6, 0.8), correlation, years)


class TestCrossPair:
    """``cross_pair.ratio_case`` and ``cross_pair.pde``."""

    def test_known_ratio_case(self) -> None:
        """Rho .8, 30 days: 12 digits of the closed form."""
        value = cross_pair.ratio_case(ratio_pair(0.8, 30 * DAY))
        assert value == pytest.approx(0.107644274431, abs=6e-13)

    @pytest.mark.parametrize(
        ("correlation", "years"), [(0.8, 30 * DAY), (0.8, 7 * DAY), (-0.5, 7 * DAY), (0.3, DAY)]
    )
    def test_pde_meets_the_closed_form(self, correlation: float, years: float) -> None:
        """Finite differences against the ratio case."""
        pair = ratio_pair(correlation, years)
        assert cross_pair.pde(pair) == pytest.approx(
            cross_pair.ratio_case(pair), rel=5e-6, abs=2e-10
        )

    @pytest.mark.parametrize(
        ("quantities", "wallet", "expected"),
        [((1.0, -1.0), 0.1, 0.193192), ((1.0, 1.0), 0.2, 0.289480)],
    )
    def test_known_pairs(
        self, quantities: tuple[float, float], wallet: float, expected: float
    ) -> None:
        """A hedged and a same-side pair, rho .8, 7 days: six digits by other coordinates."""
        pair = cross_pair.CrossPair(quantities, wallet, (0.6, 0.8), 0.8, 7 * DAY)
        assert cross_pair.pde(pair) == pytest.approx(expected, abs=6e-7)

    @pytest.mark.parametrize("quantities", [(1.0, 1e-8), (-1.0, 1e-8), (1e-8, -1.0)])
    def test_vanishing_position(self, quantities: tuple[float, float]) -> None:
        """A second position of no size leaves one barrier of one asset."""
        pair = cross_pair.CrossPair(quantities, 0.1, (0.6, 0.8), 0.7, 7 * DAY, drifts=(0.3, -0.5))
        held = int(abs(quantities[1]) == 1.0)
        level = long_at(10.0) if quantities[held] > 0.0 else short_at(10.0)
        expected = barrier.continuous(
            1.0, level, pair.volatilities[held], pair.drifts[held], pair.years
        )
        assert cross_pair.pde(pair) == pytest.approx(expected, abs=1e-6)

    def test_order_and_units_do_not_matter(self) -> None:
        """Swapping the assets, or counting one in other units, changes nothing."""
        one = cross_pair.CrossPair((1.0, -0.7), 0.15, (0.6, 0.8), 0.5, 7 * DAY, drifts=(0.2, 0.4))
        two = cross_pair.CrossPair(
            quantities=(-0.007, 1.0),
            wallet=0.15,
            volatilities=(0.8, 0.6),
            correlation=0.5,
            years=7 * DAY,
            prices=(100.0, 1.0),
            entries=(100.0, 1.0),
            drifts=(0.4, 0.2),
        )
        assert cross_pair.pde(one) == pytest.approx(cross_pair.pde(two), rel=1e-5)

    def test_ends(self) -> None:
        """In breach at the start: 1. Fully paid longs: 0. Neither asks for a grid."""
        breached = cross_pair.CrossPair((1.0, 1.0), 0.005, (0.6, 0.8), 0.5, DAY)
        paid = cross_pair.CrossPair((1.0, 1.0), 2.0, (0.6, 0.8), 0.5, DAY)
        assert cross_pair.pde(breached) == 1.0
        assert cross_pair.pde(paid) == 0.0

    def test_ratio_case_refuses_others(self) -> None:
        """The closed form needs c0 = 0."""
        pair = cross_pair.CrossPair((1.0, -1.0), 0.1, (0.6, 0.8), 0.8, 7 * DAY)
        with pytest.raises(ValueError, match="c0 = 0"):
            cross_pair.ratio_case(pair)


def follow(
    pool: plain.PlainPool,
    marks: list[list[float]],
    *,
    fee: float = 0.01,
    warning: float = 0.8,
    trigger: float | None = None,
) -> plain.PlainOutcome:
    """One pool on one path."""
    return plain.plain_step(np.array([marks]), [pool], fee, 1e-9, warning, trigger)


class TestPlainStep:
    """``plain.plain_step`` on accounts worked out by hand."""

    def test_long_falls_through(self) -> None:
        """Long 1 from 100 with 10: liquidated below 90.909; at 90 nothing is left but the fee."""
        pool = plain.PlainPool(10.0, [(0, 1.0, 100.0, [(0.01, 0.0)])])
        outcome = follow(pool, [[100.0], [95.0], [90.0], [120.0]])
        assert outcome.step[0, 0] == 2
        assert outcome.deficit[0, 0] == pytest.approx(0.9)
        assert outcome.bankrupt[0, 0]
        assert outcome.equity_end[0, 0] == 0.0
        assert outcome.least_excess[0, 0] == pytest.approx(-0.9)
        assert outcome.margin_call[0, 0]
        assert outcome.closed_notional[0, 0, 0] == pytest.approx(90.0)

    def test_survivor(self) -> None:
        """The same long that stays above: no breach, equity at the end, no call at ratio .19."""
        pool = plain.PlainPool(10.0, [(0, 1.0, 100.0, [(0.01, 0.0)])])
        outcome = follow(pool, [[100.0], [95.0], [103.0]])
        assert outcome.step[0, 0] == -1
        assert outcome.equity_end[0, 0] == pytest.approx(13.0)
        assert outcome.least_excess[0, 0] == pytest.approx(4.05)
        assert not outcome.margin_call[0, 0]
        assert not outcome.bankrupt[0, 0]
        assert outcome.closed_notional.sum() == 0.0

    def test_call_without_breach(self) -> None:
        """At 91.1 the ratio is .911/1.1, above the warning of .8 and below 1."""
        pool = plain.PlainPool(10.0, [(0, 1.0, 100.0, [(0.01, 0.0)])])
        outcome = follow(pool, [[100.0], [91.1]])
        assert outcome.step[0, 0] == -1
        assert outcome.margin_call[0, 0]

    def test_breach_at_the_start(self) -> None:
        """The starting state is judged as well."""
        pool = plain.PlainPool(0.5, [(0, -1.0, 100.0, [(0.01, 0.0)])])
        outcome = follow(pool, [[100.0], [50.0]], fee=0.0)
        assert outcome.step[0, 0] == 0
        assert outcome.equity_end[0, 0] == pytest.approx(0.5)
        assert not outcome.bankrupt[0, 0]

    def test_requirement_met_exactly_is_safe(self) -> None:
        """E = MM is no breach; a margin ratio of 1 is a call."""
        pool = plain.PlainPool(0.5, [(0, 1.0, 2.0, [(0.25, 0.0)])])
        outcome = follow(pool, [[2.0]])
        assert outcome.step[0, 0] == -1
        assert outcome.least_excess[0, 0] == 0.0
        assert outcome.margin_call[0, 0]

    def test_coins_pay_the_debt_in_file_order(self) -> None:
        """A debt of 11 takes all of the first coin (6) and half of the second (10)."""
        tiers = [(0.01, 0.0)]
        pool = plain.PlainPool(0.0, [(0, 1.0, 100.0, tiers)], [(1, 3.0, 0.5), (2, 1.0, 0.2)])
        outcome = follow(pool, [[100.0, 2.0, 10.0], [89.0, 2.0, 10.0], [1.0, 9.0, 20.0]], fee=0.0)
        assert outcome.step[0, 0] == 1
        assert outcome.deficit[0, 0] == 0.0
        assert not outcome.bankrupt[0, 0]
        assert outcome.equity_end[0, 0] == pytest.approx(0.5 * 20.0 * 0.8)

    def test_margin_level_trigger(self) -> None:
        """With a level of .05 the same long is closed below 94.74, though its tier asks .01."""
        pool = plain.PlainPool(10.0, [(0, 1.0, 100.0, [(0.01, 0.0)])])
        marks = [[100.0], [94.0], [90.0]]
        assert follow(pool, marks, trigger=0.05).step[0, 0] == 1
        assert follow(pool, marks).step[0, 0] == 2

    def test_pool_without_positions(self) -> None:
        """Collateral alone is never in breach, called or in excess of anything."""
        outcome = follow(plain.PlainPool(1.0, [], [(0, 2.0, 0.25)]), [[4.0], [2.0]])
        assert outcome.step[0, 0] == -1
        assert not outcome.margin_call[0, 0]
        assert np.isnan(outcome.least_excess[0, 0])
        assert outcome.equity_end[0, 0] == pytest.approx(4.0)

    def test_finds_the_discrete_probability(self) -> None:
        """Random paths, four looks: within four standard errors of the convolution."""
        generator = np.random.default_rng(20240)
        count, looks, years = 8000, 4, 7 * DAY
        steps = generator.standard_normal((count, looks)) * 0.6 * np.sqrt(years / looks)
        logs = np.cumsum(steps - 0.18 * years / looks, axis=1)
        marks = np.exp(np.concatenate([np.zeros((count, 1)), logs], axis=1))[:, :, None]
        pool = plain.PlainPool(0.1, [(0, 1.0, 1.0, [(RATE, 0.0)])])
        outcome = plain.plain_step(marks, [pool], 0.0, 1e-9, 0.8)
        expected = barrier.discrete(1.0, long_at(10.0), 0.6, 0.0, years, looks)
        error = np.sqrt(expected * (1.0 - expected) / count)
        assert abs(np.mean(outcome.step[:, 0] >= 0) - expected) < 4.0 * error

    @given(
        cash=st.floats(-50.0, 50.0),
        quantity=st.floats(-2.0, 2.0),
        coins=st.lists(st.tuples(st.just(1), st.floats(0.1, 5.0), st.floats(0.0, 0.5)), max_size=3),
        mark=st.floats(20.0, 200.0),
    )
    @settings(max_examples=60)
    def test_closing_creates_nothing(
        self, cash: float, quantity: float, coins: list[plain.Coin], mark: float
    ) -> None:
        """Net worth falls by the fee and rises by the deficit; coins go only as far as needed."""
        pool = plain.PlainPool(cash, [(0, quantity, 100.0, [(0.01, 0.0)])], coins)
        marks, fee = np.array([mark, 7.0]), 0.002
        left_cash, left, deficit = plain.close_whole(pool, marks, fee)
        before = cash + plain.unrealised(pool, marks) + 7.0 * sum(coin[1] for coin in coins)
        after = left_cash + 7.0 * sum(coin[1] for coin in left) - deficit
        assert after == pytest.approx(before - fee * plain.notional(pool, marks), abs=1e-9)
        if deficit > 0.0:
            assert sum(coin[1] for coin in left) == 0.0
        if left_cash > 0.0:
            assert left == coins


def one_step_grid(
    sigma: float, drift: float, years: float, count: int = 1601
) -> tuple[Floats, Floats]:
    """Paths of one step on a grid of normals (path, 2, 1), and the normal weights (path,)."""
    normals = np.linspace(-8.0, 8.0, count)
    weights = np.exp(-(normals**2) / 2.0)
    ends = np.exp((drift - sigma**2 / 2.0) * years + sigma * np.sqrt(years) * normals)
    return np.stack([np.ones(count), ends], axis=1)[:, :, None], weights / weights.sum()


class TestPlainBridge:
    """``plain.plain_bridge``."""

    @pytest.mark.parametrize("quantity", [1.0, -1.0])
    @pytest.mark.parametrize("tiers", [[(0.0, 0.005)], [(0.0, 0.004), (0.85, 0.02), (1.06, 0.1)]])
    def test_one_asset_is_exact_in_one_step(
        self, quantity: float, tiers: list[tuple[float, float]]
    ) -> None:
        """The mean weight of a single step is the survival probability of the exact formula."""
        years, drift = 7 * DAY, 0.4
        pool = plain.PlainPool(0.1, [(0, quantity, 1.0, amounts(tiers))])
        marks, mass = one_step_grid(0.6, drift, years)
        weights = plain.plain_bridge(marks, [pool], years, np.array([0.6]), np.eye(1), 1e-9)
        side = "long" if quantity > 0.0 else "short"
        level = barrier.liquidation_price(side, 1.0, 1.0, 0.1, tiers)  # type: ignore[arg-type]
        expected = 1.0 - barrier.continuous(1.0, level, 0.6, drift, years)
        assert mass @ weights[:, -1, 0] == pytest.approx(expected, abs=1e-5)
        assert np.all(weights[:, 0, 0] == 1.0)

    def test_coin_of_the_same_asset_moves_the_barrier(self) -> None:
        """.04 + .06 S .5 + (S - 1) = .005 S has its root at .96/1.025; still exact."""
        years = 7 * DAY
        pool = plain.PlainPool(0.04, [(0, 1.0, 1.0, [(RATE, 0.0)])], [(0, 0.06, 0.5)])
        marks, mass = one_step_grid(0.6, 0.0, years)
        weights = plain.plain_bridge(marks, [pool], years, np.array([0.6]), np.eye(1), 1e-9)
        expected = 1.0 - barrier.continuous(1.0, 0.96 / 1.025, 0.6, 0.0, years)
        assert mass @ weights[:, -1, 0] == pytest.approx(expected, abs=2e-5)

    def test_covered_short_has_no_barrier(self) -> None:
        """A short of 1 backed by 2 coins cannot be liquidated: weight 1 everywhere."""
        pool = plain.PlainPool(0.1, [(0, -1.0, 1.0, [(RATE, 0.0)])], [(0, 2.0, 0.1)])
        marks = np.array([[[1.0], [0.5], [3.0], [9.0]]])
        pool.cash = -0.5  # equity at price S: -.5 + 1.8 S + 1 - S
        weights = plain.plain_bridge(marks, [pool], DAY, np.array([0.6]), np.eye(1), 1e-9)
        assert np.all(weights == 1.0)

    def test_two_barriers_are_left_to_the_excess(self) -> None:
        """A short of 1 held by 1.01 coins can lie between two barriers: .4 and 1.075."""
        tiers = [(0.005, 0.0), (0.05, 0.045)]
        pool = plain.PlainPool(-1.002, [(0, -1.0, 1.0, tiers)], [(0, 1.01, 0.0)])
        assert plain.liquidation_marks(pool, 0, 1, None) == pytest.approx([0.4, 1.075])
        marks = np.array([[[0.8], [1.02]]])
        weights = plain.plain_bridge(marks, [pool], DAY, np.array([0.6]), np.eye(1), 1e-9)
        slopes = np.array([0.005 * 0.8, -0.04 * 1.02]) * 0.6
        crossed = np.exp(-2.0 * 0.002 * 0.0022 / (DAY * np.mean(slopes**2)))
        assert weights[0, -1, 0] == pytest.approx(1.0 - crossed, rel=1e-9)

    def test_pair_is_near_the_exact_value(self) -> None:
        """The linearised bridge of the hedged pair: a few percent low in one step of 7 days."""
        years, sigma, rho = 7 * DAY, np.array([0.6, 0.8]), 0.8
        normals = np.linspace(-6.0, 6.0, 49)
        first, second = (grid.ravel() for grid in np.meshgrid(normals, normals))
        mass = np.exp(-(first**2 + second**2) / 2.0)
        moves = np.stack([first, rho * first + np.sqrt(1.0 - rho**2) * second], axis=1)
        ends = np.exp(-(sigma**2) * years / 2.0 + sigma * np.sqrt(years) * moves)
        marks = np.stack([np.ones_like(ends), ends], axis=1)
        tiers = [(RATE, 0.0)]
        pool = plain.PlainPool(0.1, [(0, 1.0, 1.0, tiers), (1, -1.0, 1.0, tiers)])
        correlation = np.array([[1.0, rho], [rho, 1.0]])
        weights = plain.plain_bridge(marks, [pool], years, sigma, correlation, 1e-9)
        value = 1.0 - (mass / mass.sum()) @ weights[:, -1, 0]
        assert value / 0.193192 - 1.0 == pytest.approx(-0.053, abs=0.003)

    def test_weight_is_zero_from_the_breach_on(self) -> None:
        """A node in breach ends it, whatever follows; before, each step multiplies."""
        pool = plain.PlainPool(0.1, [(0, 1.0, 1.0, [(RATE, 0.0)])])
        marks = np.array([[[1.0], [0.95], [0.85], [1.2]]])
        weights = plain.plain_bridge(marks, [pool], DAY, np.array([0.6]), np.eye(1), 1e-9)[0, :, 0]
        distances = np.log(np.array([1.0, 0.95]) / long_at(10.0))
        crossed = np.exp(-2.0 * distances[0] * distances[1] / (0.36 * DAY))
        assert weights == pytest.approx([1.0, 1.0 - crossed, 0.0, 0.0], rel=1e-12)

    def test_pool_without_positions_survives(self) -> None:
        """Collateral alone has weight 1."""
        marks = np.array([[[1.0], [0.01]]])
        pool = plain.PlainPool(0.0, [], [(0, 1.0, 0.1)])
        weights = plain.plain_bridge(marks, [pool], DAY, np.array([0.6]), np.eye(1), 1e-9)
        assert np.all(weights == 1.0)
