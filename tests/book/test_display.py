"""The margin display on accounts that can be worked out by hand."""

from __future__ import annotations

from math import inf

import numpy as np
import pytest

from stress.book.display import MarginDisplay, margin_display, net_positions, pool_margins
from stress.book.pools import account_pools
from stress.book.setting import Setting
from stress.book.venue import VenueSetting
from stress.margin import tier_amounts
from stress.types import Mode
from tests.strategies import Account, as_book

ASSETS = ("A", "B", "C")
PRICE = np.array([100.0, 50.0, 10.0])
VENUE = VenueSetting(
    order="largest-loss",
    amount="all",
    step_fraction=0.25,
    buffer=0.05,
    rounds=8,
    impact="none",
    impact_coefficient=1.0,
    adv=np.full(3, np.nan),
    depth_1pct=np.full(3, np.nan),
    permanent=0.3,
    relaxation_years=1 / 8_760,
    depth_elasticity=0.0,
    fund=0.0,
    funding_rate=np.zeros(3),
    funding_steps=0,
    deleveraging="none",
    decision="leader",
    latency=0,
    lag=0,
    shard=np.zeros(3, np.int64),
)
"""A display knows nothing of it."""


def setting(*, haircut: float = 0.0, level: float | None = None) -> Setting:
    """Return three assets: 1 percent, from 10,000 dollars on 2 percent; C has a haircut."""
    floors, rates = np.tile([0.0, 10_000.0], (3, 1)), np.tile([0.01, 0.02], (3, 1))
    amounts = tier_amounts(floors, rates)
    requirement = (rates, amounts)
    if level is not None:
        requirement = (np.full((3, 1), level), np.zeros((3, 1)))
    return Setting(
        assets=ASSETS,
        price=PRICE,
        volatility=np.full(3, 0.5),
        drift=np.zeros(3),
        correlation=np.eye(3),
        haircut=np.array([0.0, 0.0, haircut]),
        tier_floor=floors,
        tier_rate=rates,
        tier_amount=amounts,
        requirement_rate=requirement[0],
        requirement_amount=requirement[1],
        fee=0.005,
        warning=0.8,
        step_years=1 / 365,
        horizon_years=7 / 365,
        steps=7,
        venue=VENUE,
    )


def row(asset: str, quantity: float, entry: float, **more: float) -> dict[str, object]:
    return {"asset": asset, "quantity": quantity, "entry_price": entry, **more}


def shown(
    account: Account,
    venue: Setting | None = None,
    mode: Mode = "as-booked",
    **moves: float,
) -> MarginDisplay:
    """Return the display of one account after moves of its assets."""
    venue = venue or setting()
    marks = PRICE * (1 + np.array([moves.get(asset, 0.0) for asset in ASSETS]))
    return margin_display(as_book({"account": account}, ASSETS), venue, mode, marks)


def close(found: np.ndarray, *expected: float) -> None:
    np.testing.assert_allclose(found, expected, rtol=1e-13)


PAIR = Account(500.0, [row("A", 10.0, 90.0), row("B", -10.0, 55.0)])
"""Profits of 100 and 50, notionals of 1,000 and 500, maintenance margins of 10 and 5."""


class TestCross:
    def test_account(self) -> None:
        display = shown(PAIR)
        close(display.equity, 650.0)
        close(display.maintenance_margin, 15.0)
        close(display.gross_notional, 1_500.0)
        close(display.margin_ratio, 15 / 650)
        close(display.margin_level, 650 / 1_500)
        close(display.excess, 635.0)
        close(display.effective_leverage, 1_500 / 650)
        assert not display.in_breach[0]
        assert not display.hidden_distress[0]

    def test_liquidation_prices(self) -> None:
        """Each with the other standing still: of the 635 the long has 90 itself, the short 45.

        Long: 545 + 10 (M - 90) = 0.1 M at 355 / 9.9. Short: 590 + 10 (55 - M) = 0.1 M at
        1,140 / 10.1.
        """
        display = shown(PAIR)
        close(display.liquidation_price, 355 / 9.9, 1_140 / 10.1)
        close(display.liquidation_distance, 3.55 / 9.9 - 1, 22.8 / 10.1 - 1)
        close(display.notional, 1_000.0, 500.0)

    def test_breach_is_where_it_says(self) -> None:
        """A mark just inside the liquidation price is safe, one just beyond it is not."""
        for asset, position in (("A", 0), ("B", 1)):
            move = float(shown(PAIR).liquidation_distance[position])
            for share, expected in ((1 - 1e-6, False), (1 + 1e-6, True)):
                display = shown(PAIR, **{asset: move * share})
                assert display.in_breach[0] == expected
                assert (display.margin_ratio[0] > 1) == expected

    def test_after_a_shock(self) -> None:
        """A falls by a fifth to 80: profits of -100 and 50, notionals 800 and 500, MM 8 and 5."""
        display = shown(PAIR, A=-0.2)
        close(display.equity, 450.0)
        close(display.maintenance_margin, 13.0)
        close(display.margin_ratio, 13 / 450)
        close(display.effective_leverage, 1_300 / 450)
        # the long's price does not move with its own mark, the short's does: 442 of the pool's
        # 437 excess + 5 stand behind 10 (55 - M) = 0.1 M
        close(display.liquidation_price, 355 / 9.9, (437 - 45 + 550) / 10.1)
        close(display.liquidation_distance, 355 / 9.9 / 80 - 1, 942 / 10.1 / 50 - 1)

    def test_tiers(self) -> None:
        """Notional 20,000: 1 percent of the first 10,000, 2 of the rest; price in its tier.

        1,000 + 200 (M - 100) = 4 M - 100 at 18,900 / 196, where the notional is above 10,000.
        """
        display = shown(Account(1_000.0, [row("A", 200.0, 100.0)]))
        close(display.maintenance_margin, 300.0)
        close(display.liquidation_price, 18_900 / 196)

    def test_margin_level_trigger(self) -> None:
        """The level stands in the place of the rates: 650 against 0.2 of 1,500."""
        display = shown(PAIR, setting(level=0.2))
        close(display.maintenance_margin, 300.0)
        close(display.margin_ratio, 300 / 650)
        close(display.margin_level, 650 / 1_500)
        # of the 350 the long has 100 - 200 itself: 450 + 10 (M - 90) = 2 M at 450 / 8
        close(display.liquidation_price[:1], 450 / 8)

    def test_two_positions_on_one_asset(self) -> None:
        """They share a price: 50 + 2 (M - 100) + (M - 70) = 0.03 M at 220 / 2.97."""
        display = shown(Account(50.0, [row("A", 2.0, 100.0), row("A", 1.0, 70.0)]))
        close(display.liquidation_price, 220 / 2.97, 220 / 2.97)

    def test_coins_of_the_same_asset(self) -> None:
        """Ten coins after a haircut of a half fall with the long: 5 M + 20 (M - 10) = 0.2 M."""
        account = Account(0.0, [row("C", 20.0, 10.0)], [{"asset": "C", "quantity": 10.0}])
        display = shown(account, setting(haircut=0.5))
        close(display.equity, 50.0)
        close(display.liquidation_price, 200 / 24.8)

    def test_hedge_mode(self) -> None:
        """A long that a shorter short leaves net long: a fall liquidates, no rise does."""
        display = shown(Account(20.0, [row("A", 2.0, 100.0), row("A", -1.0, 100.0)]))
        # 20 + (M - 100) = 0.03 M
        close(display.liquidation_price[:1], 80 / 0.97)
        assert np.isnan(display.liquidation_price[1])

    def test_no_liquidation_price(self) -> None:
        """A long that is paid for cannot be liquidated."""
        display = shown(Account(1_000.0, [row("A", 10.0, 100.0)]))
        assert np.isnan(display.liquidation_price[0])
        assert np.isnan(display.liquidation_distance[0])


class TestOthers:
    def test_in_breach(self) -> None:
        """Equity 5 against 10: the price to be saved at lies above the mark."""
        display = shown(Account(5.0, [row("A", 10.0, 100.0)]))
        assert display.in_breach[0]
        close(display.margin_ratio, 2.0)
        close(display.excess, -5.0)
        close(display.liquidation_price, 995 / 9.9)
        assert display.liquidation_distance[0] > 0
        assert not display.hidden_distress[0]

    def test_under_water(self) -> None:
        """Without equity the ratio and the leverage are infinite."""
        display = shown(Account(5.0, [row("A", 10.0, 100.0)]), A=-0.1)
        close(display.equity, -95.0)
        assert display.margin_ratio[0] == inf
        assert display.effective_leverage[0] == inf

    def test_at_the_requirement(self) -> None:
        display = shown(Account(10.0, [row("A", 10.0, 100.0)]))
        close(display.margin_ratio, 1.0)
        assert not display.in_breach[0]
        close(display.liquidation_price, 100.0)

    def test_without_positions(self) -> None:
        """Nothing can happen to it: ratio 0, no level, no leverage."""
        display = shown(Account(70.0, [], [{"asset": "C", "quantity": 3.0}]))
        close(display.equity, 100.0)
        close(display.margin_ratio, 0.0)
        close(display.excess, 100.0)
        close(display.effective_leverage, 0.0)
        assert np.isnan(display.margin_level[0])
        assert not display.in_breach[0]

    def test_cross_and_isolated(self) -> None:
        """Sums over the pools; ratio and excess of the pool that stands worst.

        The cross pool has 100 against 5, the isolated one 30 against 10.
        """
        account = Account(100.0, [row("B", 10.0, 50.0), row("A", 10.0, 100.0, margin=30.0)])
        display = shown(account)
        close(display.equity, 130.0)
        close(display.maintenance_margin, 15.0)
        close(display.margin_ratio, 1 / 3)
        close(display.excess, 20.0)
        close(display.liquidation_price, 400 / 9.9, 970 / 9.9)
        broken = shown(account, A=-0.03)
        assert broken.in_breach[0]
        close(broken.margin_ratio, inf)

    def test_idle_cash_is_no_cushion(self) -> None:
        """An isolated position does not see the cash beside it; nor does the excess."""
        display = shown(Account(1e6, [row("A", 10.0, 100.0, margin=30.0)]))
        close(display.excess, 20.0)
        close(display.margin_ratio, 1 / 3)

    def test_other_modes(self) -> None:
        """Isolated: 650 in proportion to 1,000 and 500; cross: an isolated margin joins."""
        display = shown(PAIR, mode="isolated")
        close(display.equity, 650.0)
        close(display.margin_ratio, 15 / 650)
        # margins of 1,300 / 3 - 100 and 650 / 3 - 50
        close(display.liquidation_price, (900 - 1_000 / 3) / 9.9, (550 + 500 / 3) / 10.1)
        single = Account(40.0, [row("A", 10.0, 100.0, margin=30.0)])
        close(shown(single, mode="cross").excess, 60.0)

    def test_counterparts_are_made_before_the_shock(self) -> None:
        """The margins are those of the start, whatever the marks shown."""
        display = shown(PAIR, mode="isolated", A=-0.2)
        # 1,300 / 3 - 200 against 8 is the worse of the two
        close(display.margin_ratio, 8 / (1_300 / 3 - 200))
        close(display.equity, 450.0)

    def test_no_counterpart(self) -> None:
        """Nothing to divide: nothing to show."""
        account = Account(50.0, [row("A", 10.0, 110.0)])
        display = shown(account, mode="isolated")
        for number in (
            display.equity,
            display.maintenance_margin,
            display.gross_notional,
            display.margin_ratio,
            display.margin_level,
            display.excess,
            display.effective_leverage,
            display.liquidation_price,
            display.planned_risk,
        ):
            assert np.isnan(number).all()
        assert not display.in_breach[0]

    def test_planned_risk(self) -> None:
        """Margins of the isolated counterpart over the equity: they add up where all have one."""
        display = shown(PAIR)
        close(display.planned_risk, (1_300 / 3 - 100) / 650, (650 / 3 - 50) / 650)

    def test_planned_risk_of_a_stop(self) -> None:
        """From the mark: the long risks 10 (100 - 93), the short's profit is locked in at 48."""
        long, short = PAIR.positions
        account = Account(500.0, [{**long, "stop_price": 93.0}, {**short, "stop_price": 48.0}])
        close(shown(account).planned_risk, 70 / 650, 0.0)
        # with the stop 2 dollars above its mark the short risks 20, and the long has none
        account = Account(500.0, [long, {**short, "stop_price": 52.0}])
        close(shown(account).planned_risk, (1_300 / 3 - 100) / 650, 20 / 650)
        # the marks shown are not those of the start
        close(shown(account, B=0.5).planned_risk, (1_300 / 3 - 100) / 650, 20 / 650)

    def test_planned_risk_of_a_stop_without_a_counterpart(self) -> None:
        """The cross pool owes 50, the isolated one has 80: a stop is all that can be told of A."""
        positions = [row("A", 10.0, 110.0), row("B", 10.0, 50.0, margin=80.0)]
        assert np.isnan(shown(Account(50.0, positions)).planned_risk).all()
        positions[0]["stop_price"] = 99.0
        close(shown(Account(50.0, positions)).planned_risk[:1], 10 / 30)
        assert np.isnan(shown(Account(50.0, positions)).planned_risk[1])
        # without positive equity it is a share of nothing
        assert np.isnan(shown(Account(-50.0, positions)).planned_risk).all()

    @pytest.mark.parametrize("mode", ["as-booked", "cross", "isolated"])
    def test_controls_are_apart_from_every_pool(self, mode: Mode) -> None:
        """Equity, ratios and prices are what they are without a reserve, top-up or stop."""
        controls = {"reserve": 1e6, "top_up_trigger": 0.8, "top_up_target": 0.5}
        positions = [{**position, "stop_price": 70.0} for position in PAIR.positions]
        plain, other = (
            shown(PAIR, mode=mode),
            shown(Account(500.0, positions, **controls), mode=mode),
        )
        for name in ("equity", "margin_ratio", "excess", "effective_leverage", "liquidation_price"):
            np.testing.assert_array_equal(getattr(other, name), getattr(plain, name), name)


class TestHiddenDistress:
    """A pool whose coins fall while its positions, each alone, look as healthy as ever."""

    ACCOUNT = Account(0.0, [row("A", 100.0, 100.0)], [{"asset": "C", "quantity": 100.0}])
    """Ten thousand dollars of A, one thousand of C behind them; 100 are required."""

    def test_before(self) -> None:
        display = shown(self.ACCOUNT)
        close(display.margin_ratio, 0.1)
        assert not display.hidden_distress[0]

    def test_falling_collateral(self) -> None:
        """C falls by 88 percent: 120 are left, the ratio is 5/6; alone the position has 0.1."""
        display = shown(self.ACCOUNT, C=-0.88)
        close(display.margin_ratio, 100 / 120)
        assert display.hidden_distress[0]
        assert not display.in_breach[0]

    def test_warning_not_reached(self) -> None:
        """At 87 percent the ratio is 10/13, below the warning of 0.8."""
        assert not shown(self.ACCOUNT, C=-0.87).hidden_distress[0]

    def test_position_shows_it_too(self) -> None:
        """Where A has fallen as well, the position alone is in trouble, and nothing is hidden.

        A at 91: a loss of 900 of the thousand, 91 required, 0.91 alone.
        """
        display = shown(self.ACCOUNT, A=-0.09, C=0.0)
        assert display.margin_ratio[0] > 0.8
        assert not display.hidden_distress[0]

    def test_isolated_has_none(self) -> None:
        assert not shown(self.ACCOUNT, mode="isolated", C=-0.9).hidden_distress[0]

    def test_a_sick_isolated_position_of_the_account_counts(self) -> None:
        """Every position of the account has to look healthy, the isolated ones too."""
        account = Account(
            0.0,
            [*self.ACCOUNT.positions, row("B", 10.0, 50.0, margin=9.0)],
            self.ACCOUNT.coins,
        )
        assert not shown(account, C=-0.88).hidden_distress[0]
        account.positions[1]["margin"] = 11.0
        assert shown(account, C=-0.88).hidden_distress[0]


def test_net_positions() -> None:
    book = as_book(
        {
            "one": Account(1e3, [row("A", 10.0, 90.0), row("B", -10.0, 55.0)]),
            "two": Account(1e3, [row("A", -4.0, 90.0, margin=50.0)]),
        },
        ASSETS,
    )
    net, gross = net_positions(book, setting())
    close(net, 600.0, -500.0, 0.0)
    close(gross, 1_400.0, 500.0, 0.0)


@pytest.mark.parametrize("mode", ["as-booked", "cross", "isolated"])
def test_pools_add_up(mode: Mode) -> None:
    """The display's sums are those of the pools."""
    accounts = {"one": PAIR, "two": TestHiddenDistress.ACCOUNT, "three": Account(5.0)}
    book, venue = as_book(accounts, ASSETS), setting()
    pools = account_pools(book, mode, PRICE, venue.haircut)
    at = pool_margins(book, pools, venue, PRICE)
    display = margin_display(book, venue, mode)
    for found, parts in (
        (display.equity, at.equity),
        (display.maintenance_margin, at.required),
        (display.gross_notional, at.notional),
    ):
        expected = np.bincount(pools.account, parts, minlength=3)
        np.testing.assert_allclose(found, expected, rtol=1e-13)
