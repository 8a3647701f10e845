"""The liquidation ladder: by hand, against a plain loop, and against the margin display."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as examples

from stress.book.book import Book
from stress.book.display import margin_display
from stress.book.ladder import MOVES, Ladder, ladder_notices, liquidation_ladder
from stress.book.pools import account_pools
from stress.book.setting import Setting
from stress.scenario.build import build_setting
from stress.types import MODES, Mode
from tests.strategies import KINDS, Account, Row, as_book, books, random_book, write_book

DEPTH = {"ONE": 5_000.0, "TWO": 2e6, "TEN": 100_000.0, "ODD": 40_000.0}
START = int(np.flatnonzero(MOVES == 0)[0])
ONE, TWO, TEN, ODD = range(4)


@pytest.fixture(scope="module")
def setting(tmp_path_factory: pytest.TempPathFactory) -> Setting:
    """Return the four assets; ONE costs 128, of which a 64th is required up to 65,536 dollars."""
    folder = tmp_path_factory.mktemp("ladder")
    changes = {"venue.impact.depth_1pct": DEPTH}
    return build_setting(write_book(folder, {"a": Account(1.0, [one(1.0)])}, changes))


def one(quantity: float, **more: float) -> Row:
    return {"asset": "ONE", "quantity": quantity, "entry_price": 128.0, **more}


def place(move: float) -> int:
    """Return the place of a move that the ladder shows, as a user would look it up."""
    (found,) = np.flatnonzero(move == MOVES)
    return int(found)


def ladder_of(accounts: dict[str, Account], setting: Setting, mode: Mode = "as-booked") -> Ladder:
    return liquidation_ladder(as_book(accounts), setting, mode)


class TestMoves:
    def test_symmetric(self) -> None:
        np.testing.assert_array_equal(MOVES, -MOVES[::-1])
        assert (MOVES[0], MOVES[-1]) == (-0.5, 0.5)

    def test_shown(self) -> None:
        for percent in (1, 2, 5, 10, 20, 50):
            assert {-percent / 100, percent / 100} <= set(MOVES.tolist())

    def test_no_gap_between_windows(self) -> None:
        """One percent more of the mark there reaches the next move."""
        falls, rises = MOVES[: START + 1], MOVES[START:]
        assert ((1 + falls[1:]) * 0.99 - 1 <= falls[:-1] + 1e-12).all()
        assert ((1 + rises[:-1]) * 1.01 - 1 >= rises[1:] - 1e-12).all()


TWO_ACCOUNTS = {"long": Account(1_000.0, [one(100.0)]), "short": Account(400.0, [one(-50.0)])}


class TestTwoAccounts:
    """A long that -800/12,600 liquidates, a short that 300/6,500 does.

    Long 100 with 1,000: 1,000 + 12,800 m = 200 (1 + m). Short 50 with 400: 400 - 6,400 m = 100
    (1 + m).
    """

    def test_notional(self, setting: Setting) -> None:
        ladder = ladder_of(TWO_ACCOUNTS, setting)
        falls, rises = MOVES < -800 / 12_600, MOVES > 300 / 6_500
        expected = np.where(falls, 12_800 * (1 + MOVES), np.where(rises, 6_400 * (1 + MOVES), 0))
        np.testing.assert_allclose(ladder.liquidated_notional[ONE], expected, rtol=1e-13)
        assert ladder.liquidated_notional[ONE, place(-0.06)] == 0
        assert ladder.liquidated_notional[ONE, place(-0.07)] == pytest.approx(11_904)
        assert ladder.liquidated_notional[ONE, place(0.045)] == 0
        assert ladder.liquidated_notional[ONE, place(0.05)] == pytest.approx(6_720)

    def test_accounts(self, setting: Setting) -> None:
        ladder = ladder_of(TWO_ACCOUNTS, setting)
        expected = (MOVES < -800 / 12_600) | (MOVES > 300 / 6_500)
        np.testing.assert_array_equal(ladder.accounts[ONE], expected)
        assert ladder.accounts.dtype.kind == "i"

    def test_nobody_holds_the_others(self, setting: Setting) -> None:
        ladder = ladder_of(TWO_ACCOUNTS, setting)
        assert not ladder.liquidated_notional[TWO:].any()
        assert not ladder.accounts[TWO:].any()
        assert not ladder.reproduction_number_along[TWO:].any()

    def test_market_of_one_asset(self, setting: Setting) -> None:
        """Where all that is held is ONE, the market is ONE."""
        ladder = ladder_of(TWO_ACCOUNTS, setting)
        np.testing.assert_allclose(
            ladder.market_liquidated_notional, ladder.liquidated_notional[ONE], rtol=1e-12
        )
        np.testing.assert_array_equal(ladder.market_accounts, ladder.accounts[ONE])

    def test_number_along(self, setting: Setting) -> None:
        """Only windows with an account in them count: a percent below 0.94 is 0.9306."""
        ladder = ladder_of(TWO_ACCOUNTS, setting)
        expected = np.zeros(len(MOVES))
        for move in (-0.055, -0.06):
            expected[place(move)] = 12_800 * (1 + move) * 0.99 / 5_000
        for move in (0.0375, 0.04, 0.0425, 0.045):
            expected[place(move)] = 6_400 * (1 + move) * 1.01 / 5_000
        np.testing.assert_allclose(ladder.reproduction_number_along[ONE], expected, rtol=1e-13)
        assert ladder.reproduction_number_along[ONE, place(-0.06)] == pytest.approx(2.382336)
        assert ladder.reproduction_number[ONE] == 0


class TestNextPercent:
    def test_fall(self, setting: Setting) -> None:
        """Cash 300 breaks at -100/12,600: 100 at 126.72 are sold into 5,000."""
        ladder = ladder_of({"a": Account(300.0, [one(100.0)])}, setting)
        assert ladder.reproduction_number_fall[ONE] == pytest.approx(12_672 / 5_000, rel=1e-13)
        assert ladder.reproduction_number_rise[ONE] == 0
        assert ladder.reproduction_number[ONE] == ladder.reproduction_number_fall[ONE]
        assert ladder.reproduction_number_along[ONE, START] == ladder.reproduction_number[ONE]

    def test_rise(self, setting: Setting) -> None:
        """A short of 50 with 150 breaks at 50/6,500: 50 at 129.28 are bought."""
        ladder = ladder_of({"a": Account(150.0, [one(-50.0)])}, setting)
        assert ladder.reproduction_number_rise[ONE] == pytest.approx(6_464 / 5_000, rel=1e-13)
        assert ladder.reproduction_number_fall[ONE] == 0
        assert ladder.reproduction_number[ONE] == ladder.reproduction_number_rise[ONE]

    def test_larger_of_the_two(self, setting: Setting) -> None:
        """The long's sale is the larger one, the short's purchase the other side."""
        accounts = {"a": Account(300.0, [one(100.0)]), "b": Account(150.0, [one(-50.0)])}
        ladder = ladder_of(accounts, setting)
        assert ladder.reproduction_number_fall[ONE] == pytest.approx(2.5344)
        assert ladder.reproduction_number_rise[ONE] == pytest.approx(1.2928)
        assert ladder.reproduction_number[ONE] == ladder.reproduction_number_fall[ONE]

    def test_sales_less_purchases(self, setting: Setting) -> None:
        """A pool that ONE's fall breaks through its coins buys back its short: 12,672 - 5,068.8.

        Short 40 (5,120 dollars, 80 required) against 100 coins, 12,160 after haircut: a fall by a
        percent gains 51.2, loses 121.6 and frees 0.8, and there are 50 to spare.
        """
        hedged = Account(80.0 + 50.0 - 12_160.0, [one(-40.0)], [{"asset": "ONE", "quantity": 100}])
        long = Account(300.0, [one(100.0)])
        both = ladder_of({"a": long, "b": hedged}, setting)
        assert both.reproduction_number_fall[ONE] == pytest.approx((12_672 - 5_068.8) / 5_000)
        # alone it buys into the fall, which feeds nothing
        alone = ladder_of({"b": hedged}, setting)
        assert alone.accounts[ONE, place(-0.01)] == 1
        assert alone.reproduction_number_fall[ONE] == 0

    def test_in_breach_at_the_start(self, setting: Setting) -> None:
        """They are liquidated whatever happens next; the ladder has them at the move 0."""
        accounts = {"a": Account(199.0, [one(100.0)]), "b": Account(300.0, [one(100.0)])}
        ladder = ladder_of(accounts, setting)
        assert ladder.reproduction_number[ONE] == pytest.approx(2.5344)
        assert ladder.accounts[ONE, START] == 1
        assert ladder.liquidated_notional[ONE, START] == pytest.approx(12_800)
        # a rise of 1/12,600 saves it
        assert ladder.accounts[ONE, place(0.005)] == 0
        # and no window further up finds it again
        assert not ladder.reproduction_number_along[ONE, START + 1 :].any()

    def test_in_breach_at_the_start_saved_on_the_way(self, setting: Setting) -> None:
        """A hedge that a fall saves and a deeper one breaks again was liquidated before either.

        Long 66,560 dollars, in the second tier until -1/65, short 64,000 in the first: 4 dollars
        short of its 2,056, it gains 520 dollars a unit down to there and loses as much below.
        """
        ladder = ladder_of({"a": Account(2_052.0, [one(520.0), one(-500.0)])}, setting)
        for move, broken in ((0.0, 1), (-0.0075, 1), (-0.01, 0), (-0.0225, 0), (-0.025, 1)):
            assert ladder.accounts[ONE, place(move)] == broken
        assert not ladder.reproduction_number_along[ONE].any()

    def test_at_its_requirement(self, setting: Setting) -> None:
        """Exactly there a pool is safe, and the next percent breaks it."""
        ladder = ladder_of({"a": Account(200.0, [one(100.0)])}, setting)
        assert ladder.accounts[ONE, START] == 0
        assert ladder.accounts[ONE, place(-0.005)] == 1
        assert ladder.reproduction_number[ONE] == pytest.approx(2.5344)

    def test_every_pool_falls_into_a_window(self, setting: Setting) -> None:
        """Longs that break anywhere down to -49 percent make a number above 0 somewhere."""
        for margin in np.linspace(201.0, 6_400.0, 97):
            ladder = ladder_of({"a": Account(float(margin), [one(100.0)])}, setting)
            assert ladder.reproduction_number_along[ONE].max() > 0, margin

    def test_no_depth(self, setting: Setting) -> None:
        """Without depth there is no number; all else stays."""
        depth = np.array([np.nan, *setting.venue.depth_1pct[1:]])
        blind = replace(setting, venue=replace(setting.venue, depth_1pct=depth))
        accounts = {"a": Account(300.0, [one(100.0)])}
        ladder, known = ladder_of(accounts, blind), ladder_of(accounts, setting)
        for numbers in (
            ladder.reproduction_number_fall,
            ladder.reproduction_number_rise,
            ladder.reproduction_number,
            ladder.reproduction_number_along,
        ):
            assert np.isnan(numbers[ONE]).all()
            assert not np.isnan(numbers[TWO:]).any()
        np.testing.assert_array_equal(ladder.liquidated_notional, known.liquidated_notional)


class TestWhoMoves:
    def test_whole_pool(self, setting: Setting) -> None:
        """ONE breaks the pool; what it holds in TEN is TEN's business, and the market's."""
        ten = {"asset": "TEN", "quantity": -0.4, "entry_price": 2_500.0}
        ladder = ladder_of({"a": Account(310.0, [one(100.0), ten])}, setting)
        # 310 + 12,800 m = 200 (1 + m) + 10
        assert ladder.accounts[ONE, place(-0.01)] == 1
        assert ladder.liquidated_notional[ONE, place(-0.01)] == pytest.approx(12_672)
        # 310 - 1,000 m = 210 + 10 m at 100 / 1,010
        assert ladder.accounts[TEN, place(0.09)] == 0
        assert ladder.liquidated_notional[TEN, place(0.1)] == pytest.approx(1_100)
        # together: 310 + 11,800 m = 210 (1 + m)
        assert ladder.market_liquidated_notional[place(-0.01)] == pytest.approx(0.99 * 13_800)

    def test_falling_coins(self, setting: Setting) -> None:
        """ODD backs ONE: its fall liquidates the account, and nothing of ODD is a position.

        Coins of 1,000 after a haircut of a half, 800 of them to spare: gone at -80 percent of
        nothing shown, so half of them are borrowed: 1,000 m = -300.
        """
        coins = [{"asset": "ODD", "quantity": 2_000 / 0.37}]
        ladder = ladder_of({"a": Account(-500.0, [one(100.0)], coins)}, setting)
        np.testing.assert_array_equal(ladder.accounts[ODD], MOVES < -0.3)
        assert not ladder.liquidated_notional[ODD].any()
        assert not ladder.reproduction_number_along[ODD].any()
        # ONE alone: 300 + 12,600 m; both: 300 + 13,600 m
        np.testing.assert_array_equal(ladder.accounts[ONE], MOVES < -300 / 12_600)
        np.testing.assert_array_equal(ladder.market_accounts, MOVES < -300 / 13_600)

    def test_coins_of_the_same_asset(self, setting: Setting) -> None:
        """A long and its collateral fall together, after a haircut of a twentieth.

        10 coins are 1,216; 300 to spare go by (12,800 + 1,216 - 200) m.
        """
        coins = [{"asset": "ONE", "quantity": 10.0}]
        ladder = ladder_of({"a": Account(500.0 - 1_216.0, [one(100.0)], coins)}, setting)
        np.testing.assert_array_equal(ladder.accounts[ONE], MOVES < -300 / 13_816)

    def test_an_account_counts_once(self, setting: Setting) -> None:
        """Its cross pool and an isolated position both break: two notionals, one account."""
        account = Account(300.0, [one(100.0), one(10.0, margin=25.0)])
        ladder = ladder_of({"idle": Account(5.0), "a": account, "b": account}, setting)
        assert ladder.accounts[ONE, place(-0.02)] == 2
        assert ladder.liquidated_notional[ONE, place(-0.02)] == pytest.approx(2 * 0.98 * 14_080)
        assert ladder.market_accounts[place(-0.02)] == 2

    def test_modes(self, setting: Setting) -> None:
        """Long and short of one asset: hedged under cross margin, both at risk under isolated."""
        accounts = {"a": Account(600.0, [one(100.0), one(-100.0)])}
        cross = ladder_of(accounts, setting, "cross")
        isolated = ladder_of(accounts, setting, "isolated")
        assert not cross.accounts[ONE].any()
        # 300 each: the long at -100/12,600, the short at 100/13,000
        np.testing.assert_array_equal(
            isolated.accounts[ONE], (MOVES < -100 / 12_600) | (MOVES > 100 / 13_000)
        )
        assert isolated.reproduction_number_rise[ONE] == pytest.approx(12_928 / 5_000)

    def test_no_counterpart(self, setting: Setting) -> None:
        """An account that has none holds nothing in that world."""
        ladder = ladder_of({"a": Account(-1.0, [one(100.0)])}, setting, "isolated")
        assert not ladder.accounts.any()
        assert not ladder.market_accounts.any()

    def test_nobody_has_a_position(self, setting: Setting) -> None:
        ladder = ladder_of({"a": KINDS["idle"](np.random.default_rng(3))}, setting)
        assert not ladder.accounts.any()
        assert not ladder.market_liquidated_notional.any()
        assert not ladder.reproduction_number.any()

    def test_tiers(self, setting: Setting) -> None:
        """A rise takes a short into another tier: 65,536 dollars at a 64th, the rest at a 32nd."""
        accounts = {"a": Account(1_024.0 + 7_000.0, [one(-512.0)])}
        # 7,000 - 65,536 m = 2,048 m at 7,000/67,584
        np.testing.assert_array_equal(
            ladder_of(accounts, setting).accounts[ONE], MOVES > 7_000 / 67_584
        )


@examples(max_examples=10, deadline=None)
@given(accounts=books(kinds=("cross_several", "mixed", "broken", "wide"), copies=2))
def test_a_deeper_fall_liquidates_more_longs(setting: Setting, accounts: dict) -> None:
    """Longs backed by cash: whatever breaks at a move breaks at every deeper one."""
    for account in accounts.values():
        account.coins = []
        for position in account.positions:
            position["quantity"] = abs(position["quantity"])
    for mode in MODES:
        ladder = ladder_of(accounts, setting, mode)
        assert (np.diff(ladder.accounts, axis=1) <= 0).all()
        assert (np.diff(ladder.market_accounts) <= 0).all()
        assert not ladder.reproduction_number_rise.any()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", sorted({*KINDS} - {"idle"}))
def test_the_margin_display_agrees(setting: Setting, kind: str, mode: Mode) -> None:
    """A pool is in breach beyond its positions' liquidation price, and not before it."""
    compared = 0
    for account in random_book(31, [kind], copies=6).values():
        book = as_book({"a": account})
        ladder = liquidation_ladder(book, setting, mode)
        display = margin_display(book, setting, mode)
        assert ladder.market_accounts[START] == display.in_breach[0]
        held = [asset for asset in range(4) if asset in book.position_asset]
        assert ladder.accounts[held, START].any() == display.in_breach[0]
        if display.in_breach[0]:
            continue
        for asset in held:
            mine = book.position_asset == asset
            distance, is_long = display.liquidation_distance[mine], book.quantity[mine] > 0
            # NaN, no price, is beyond every move
            low = np.nanmax(distance[is_long], initial=-1.0)
            high = np.nanmin(distance[~is_long], initial=np.inf)
            beyond, broken = (low > MOVES) | (high < MOVES), ladder.accounts[asset] > 0
            assert broken[beyond].all()
            compared += beyond.any()
            # coins of the asset or a hedge may break a pool on the side without a price
            both = is_long.any() and not is_long.all()
            if mode == "isolated" or not (both or asset in book.coin_asset):
                np.testing.assert_array_equal(broken, beyond)
    assert compared > 0 or kind == "broken"


def plain_ladder(book: Book, setting: Setting, mode: Mode) -> dict[str, np.ndarray]:
    """Return the ladder by loops over moves and pools, walking through the tiers of positions."""
    pools = account_pools(book, mode, setting.price, setting.haircut)
    assets, count = len(setting.assets), len(pools.cash)

    def required(notional: float, asset: int) -> float:
        floors = [*setting.tier_floor[asset], np.inf]
        return sum(
            rate * (min(notional, floors[tier + 1]) - floors[tier])
            for tier, rate in enumerate(setting.tier_rate[asset])
            if notional > floors[tier]
        )

    def broken_pools(marks: list[float]) -> set[int]:
        broken = set()
        for pool in range(count):
            equity, needed, gross = pools.cash[pool], 0.0, 0.0
            for row in np.flatnonzero(pools.pool_of_position == pool):
                asset = book.position_asset[row]
                notional = abs(book.quantity[row]) * marks[asset]
                equity += book.quantity[row] * (marks[asset] - book.entry_price[row])
                needed += required(notional, asset)
                gross += notional
            for row in np.flatnonzero(pools.pool_of_coin == pool):
                asset = book.coin_asset[row]
                equity += book.coin_quantity[row] * marks[asset] * (1 - setting.haircut[asset])
            if gross > 0 and equity < needed - 1e-9 * gross:
                broken.add(pool)
        return broken

    def held(asset: int) -> set[int]:
        return {
            *pools.pool_of_position[book.position_asset == asset].tolist(),
            *pools.pool_of_coin[book.coin_asset == asset].tolist(),
        } - {-1}

    def value(asset: int, of: set[int], mark: float, *, signed: bool) -> float:
        rows = [
            book.quantity[row]
            for row in np.flatnonzero(book.position_asset == asset)
            if pools.pool_of_position[row] in of
        ]
        return sum(quantity if signed else abs(quantity) for quantity in rows) * mark

    def moved(asset: int, share: float) -> list[float]:
        return [
            price * (1 + share) if number == asset else price
            for number, price in enumerate(setting.price.tolist())
        ]

    start = broken_pools(setting.price.tolist())
    found = {
        name: np.zeros((assets, len(MOVES))) for name in ("notional", "accounts", "fall", "rise")
    }
    for asset in range(assets):
        for number, move in enumerate(MOVES.tolist()):
            marks = moved(asset, move)
            broken = broken_pools(marks)
            found["notional"][asset, number] = value(asset, broken, marks[asset], signed=False)
            found["accounts"][asset, number] = len(
                {pools.account[pool] for pool in broken & held(asset)}
            )
            for name, sign in (("fall", -1), ("rise", 1)):
                marks_next = moved(asset, (1 + move) * (1 + 0.01 * sign) - 1)
                fresh = broken_pools(marks_next) - broken - start
                flow = -sign * value(asset, fresh, marks_next[asset], signed=True)
                depth = setting.venue.depth_1pct[asset]
                found[name][asset, number] = max(flow, 0.0) / depth
    whole, owners = [], []
    for move in MOVES.tolist():
        marks = [price * (1 + move) for price in setting.price.tolist()]
        broken = broken_pools(marks)
        whole.append(
            sum(value(asset, broken, marks[asset], signed=False) for asset in range(assets))
        )
        owners.append(len({pools.account[pool] for pool in broken}))
    return {**found, "market": np.array(whole), "market_accounts": np.array(owners)}


@pytest.mark.parametrize(("seed", "mode"), [(41, "as-booked"), (42, "cross"), (43, "isolated")])
def test_a_plain_loop_agrees(setting: Setting, seed: int, mode: Mode) -> None:
    book = as_book(random_book(seed, copies=1))
    ladder, plain = liquidation_ladder(book, setting, mode), plain_ladder(book, setting, mode)
    np.testing.assert_allclose(ladder.liquidated_notional, plain["notional"], rtol=1e-11)
    np.testing.assert_array_equal(ladder.accounts, plain["accounts"])
    np.testing.assert_allclose(ladder.market_liquidated_notional, plain["market"], rtol=1e-11)
    np.testing.assert_array_equal(ladder.market_accounts, plain["market_accounts"])
    fall, rise = plain["fall"], plain["rise"]
    np.testing.assert_allclose(ladder.reproduction_number_fall, fall[:, START], rtol=1e-11)
    np.testing.assert_allclose(ladder.reproduction_number_rise, rise[:, START], rtol=1e-11)
    along = np.where(MOVES < 0, fall, np.where(MOVES > 0, rise, np.maximum(fall, rise)))
    np.testing.assert_allclose(ladder.reproduction_number_along, along, rtol=1e-11)
    assert (along > 0).any(axis=1).all()
    assert ladder.accounts.max() > ladder.accounts[:, START].max()


class TestNotices:
    def test_nothing_to_say(self, setting: Setting) -> None:
        book = as_book({"a": Account(1e6, [one(1.0)])})
        assert ladder_notices(book, setting, liquidation_ladder(book, setting, "cross")) == ()

    def test_from_the_start(self, setting: Setting) -> None:
        book = as_book({"a": Account(150.0, [one(-50.0)])})
        (notice,) = ladder_notices(book, setting, liquidation_ladder(book, setting, "cross"))
        assert notice.endswith("is above 1: ONE 1.29 on a rise")

    def test_on_the_way(self, setting: Setting) -> None:
        """The move nearest to the start is named."""
        book = as_book(TWO_ACCOUNTS)
        (notice,) = ladder_notices(book, setting, liquidation_ladder(book, setting, "cross"))
        assert notice.endswith("gets above 1: ONE 1.34 after +3.8%")

    def test_missing_depth(self, setting: Setting) -> None:
        """Only of what is held as a position; the key is named."""
        venue = replace(setting.venue, depth_1pct=np.full(4, np.nan))
        blind = replace(setting, venue=venue)
        coins = [{"asset": "ODD", "quantity": 1.0}]
        book = as_book({"a": Account(300.0, [one(100.0)], coins)})
        (notice,) = ladder_notices(book, blind, liquidation_ladder(book, blind, "cross"))
        assert notice.startswith("no depth is stated for ONE, so")
        assert "venue.impact.depth_1pct" in notice
