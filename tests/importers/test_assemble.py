"""Rows stand for contracts: what they are worth at any mark is what the contracts are worth."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stress.errors import InputError
from stress.importers.assemble import Choice, rows_of
from stress.importers.statement import Holding, Statement, Wallet

ALL = Choice()


def holding(**changes: Any) -> Holding:
    plain: dict[str, Any] = {
        "symbol": "BTC/USDT:USDT",
        "base": "BTC",
        "quote": "USDT",
        "settle": "USDT",
        "contracts": 1.0,
        "contract_size": 1.0,
        "entry_price": 50_000.0,
        "kind": "linear",
    }
    return Holding(**{**plain, **changes})


def inverse(**changes: Any) -> Holding:
    plain = {"symbol": "BTC/USD:BTC", "quote": "USD", "settle": "BTC", "kind": "inverse"}
    return holding(**{**plain, **changes})


def wallet(*holdings: Holding, pooled: bool = True, **balances: float) -> Statement:
    return Statement((Wallet(balances, holdings, pooled),))


positive = st.floats(1e-2, 1e6)


@given(
    contracts=positive,
    short=st.booleans(),
    entry=st.floats(10, 1e5),
    mark=st.floats(10, 1e5),
    coins=positive,
)
def test_an_inverse_contract_is_worth_the_same_at_every_mark(
    contracts: float, short: bool, entry: float, mark: float, coins: float
) -> None:
    signed = -contracts if short else contracts
    held = inverse(contracts=signed, contract_size=100.0, entry_price=entry)
    rows = rows_of("a", wallet(held, BTC=coins), ALL)
    (position,) = rows.positions
    worth = coins * mark + position.quantity * (mark - position.entry_price)
    # the venue's own: so many USD a contract, profit in coins, all valued at the mark
    venue = (coins + signed * 100.0 * (1 / entry - 1 / mark)) * mark
    scale = coins * mark + contracts * 100.0 * (1 + mark / entry)
    assert worth == pytest.approx(venue, abs=1e-9 * scale)
    assert rows.collateral[0].quantity == coins


@given(contracts=positive, size=st.floats(1e-4, 1e4), entry=positive, short=st.booleans())
def test_a_linear_contract_is_so_many_coins(
    contracts: float, size: float, entry: float, short: bool
) -> None:
    signed = -contracts if short else contracts
    held = holding(contracts=signed, contract_size=size, entry_price=entry)
    (position,) = rows_of("a", wallet(held, USDT=1.0), ALL).positions
    assert position.quantity == signed * size
    assert position.entry_price == entry


def test_labels_tell_positions_of_one_asset_apart() -> None:
    quarterly = "BTC/USDT:USDT-261225"
    held = (
        holding(),
        holding(contracts=-1.0),
        holding(contracts=-1.0, margin=10.0),
        holding(symbol=quarterly, contracts=-1.0, expiry="2026-12-25"),
        holding(symbol="ETH/USDT:USDT", base="ETH"),
    )
    rows = rows_of("a", wallet(*held, USDT=1.0), ALL)
    assert [row.position for row in rows.positions] == [
        "a/BTC long",
        "a/BTC/USDT:USDT short",
        "a/BTC/USDT:USDT short isolated",
        f"a/{quarterly} short",
        None,
    ]
    words = " ".join(rows.notices)
    assert f"{quarterly} (2026-12-25): delivered on that day" in words
    assert "BTC: held long and short" in words


def test_currencies_that_do_not_back_each_other_are_accounts_apart() -> None:
    held = (holding(symbol="BTC/USDC:USDC", settle="USDC", quote="USDC"), holding(), inverse())
    statement = wallet(*held, pooled=False, USDT=5.0, USDC=7.0, BTC=0.5, BNB=3.0)
    rows = rows_of("desk", statement, ALL)
    assert [(row.account, row.cash) for row in rows.accounts] == [
        ("desk", 5.0),
        ("desk BTC", 0.0),
        ("desk USDC", 7.0),
    ]
    assert [(row.account, row.asset, row.quantity) for row in rows.collateral] == [
        ("desk BTC", "BTC", 0.5)
    ]
    assert any("BNB back no position" in notice for notice in rows.notices)


def test_a_pool_adds_dollars_up_and_may_owe_them() -> None:
    (account,) = rows_of("a", wallet(holding(), USDT=-50.0, USDC=20.0, USD=5.0), ALL).accounts
    assert account.cash == -25.0


def test_a_wallet_without_positions_is_left_out_with_a_word() -> None:
    rows = rows_of("a", wallet(USDT=5.0), ALL)
    assert rows.accounts == () and "balances of USDT back no position" in rows.notices[0]


@pytest.mark.parametrize(
    ("name", "is_multiple"),
    [("1000PEPE", True), ("1MBABYDOGE", True), ("kPEPE", True), ("1INCH", False), ("1000X", False)],
)
def test_units_of_many_coins_are_said(name: str, is_multiple: bool) -> None:
    rows = rows_of("a", wallet(holding(base=name), USDT=1.0), ALL)
    assert rows.positions[0].asset == name
    assert any("unit of many coins" in notice for notice in rows.notices) is is_multiple


@pytest.mark.parametrize(
    ("held", "rule"),
    [
        (holding(kind=""), "neither a perpetual"),
        (holding(quote="BTC", symbol="ETH/BTC:BTC"), "is priced in BTC"),
        (holding(settle="ETH"), "settles in ETH"),
        (inverse(margin=0.1), "margin in coins"),
        (holding(margin=-5.0), "isolated margin of -5"),
        (holding(entry_price=0.0), "entry price of 0"),
        (holding(unfit="is odd"), "is odd"),
    ],
)
def test_what_cannot_be_a_row_is_refused_with_the_way_out(held: Holding, rule: str) -> None:
    statement = wallet(held, holding(), USDT=1.0)
    with pytest.raises(InputError, match=rule) as caught:
        rows_of("a", statement, ALL)
    assert f'--without "{held.symbol}"' in str(caught.value)


def test_debt_in_coins_is_refused() -> None:
    with pytest.raises(InputError, match="owes 2 ETH"):
        rows_of("a", wallet(holding(), USDT=1.0, ETH=-2.0), ALL)
