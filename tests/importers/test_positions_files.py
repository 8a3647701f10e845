"""Exported positions: each exchange's columns and habits, cash, and what is refused and how."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from stress.errors import InputError
from stress.importers.files.position_table import Stated
from stress.importers.files.positions_csv import read_positions
from stress.importers.rows import ImportedBook, PositionRow

AT = datetime(2026, 11, 22, 1, 0, tzinfo=UTC)

PLAIN = "account,asset,quantity,entry_price\na,BTC,1.5,60000\na,ETH,-2,2500\n"


def put(folder: Path, text: str, name: str = "book.csv", encoding: str = "utf-8") -> Path:
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


def read(folder: Path, text: str, encoding: str = "utf-8", **stated: Any) -> ImportedBook:
    options = {"as_of": AT, "cash": {"": 1_000.0}, **stated}
    return read_positions(put(folder, text, encoding=encoding), Stated(**options))


def refused(folder: Path, text: str, **stated: Any) -> str:
    with pytest.raises(InputError) as caught:
        read(folder, text, **stated)
    message = str(caught.value)
    assert "\n" not in message and len(message) < 600
    return message.partition("book.csv: ")[2] or message


def row(asset: str, quantity: float, entry: float, **more: Any) -> PositionRow:
    return PositionRow(more.pop("account", "book"), asset, quantity, entry, **more)


def test_a_plain_table(tmp_path: Path) -> None:
    book = read(tmp_path, PLAIN)
    assert book.positions == (
        row("BTC", 1.5, 60000.0, account="a"),
        row("ETH", -2.0, 2500.0, account="a"),
    )
    assert [(a.account, a.cash) for a in book.accounts] == [("a", 1000.0)]
    assert (book.as_of, book.source) == (AT, "account a by the file book.csv")
    assert book.notices == (
        "2 rows read; columns used: account as account, asset as symbol, quantity as quantity,"
        " entry_price as entry_price",
        "no column says cross or isolated: every position is cross",
    )


def test_binance_columns(tmp_path: Path) -> None:
    text = (
        "symbol,positionAmt,entryPrice,markPrice,unRealizedProfit,leverage,marginType,"
        "isolatedMargin,positionSide,notional,updateTime\n"
        "BTCUSDT,0.500,60000.0,61000.0,500.0,20,cross,0.00000000,BOTH,30500.0,1700000000000\n"
        "ETHUSDT,-2.000,2500.0,2600.0,-200.0,5,isolated,840.00000000,BOTH,-5200.0,1700000000000\n"
        "XRPUSDT,0.0,0.0,0.0,0.0,20,cross,0.0,BOTH,0,0\n"
    )
    book = read(tmp_path, text)
    assert book.positions == (
        row("BTC", 0.5, 60000.0, leverage=20.0),
        # the margin is stated with its loss of 200
        row("ETH", -2.0, 2500.0, margin=1040.0, leverage=5.0),
    )
    assert "rows of size 0 left out: 1" in book.notices


def test_hedge_mode_keeps_both_directions(tmp_path: Path) -> None:
    text = (
        "symbol,positionAmt,entryPrice,positionSide,marginType\n"
        "BTCUSDT,0.5,60000,LONG,cross\nBTCUSDT,-0.2,62000,SHORT,cross\n"
    )
    book = read(tmp_path, text)
    assert [(p.quantity, p.position) for p in book.positions] == [
        (0.5, "book/BTC long"),
        (-0.2, "book/BTC short"),
    ]
    assert "both directions are held of BTC; they stay two positions" in book.notices


OKX = (
    "instId,pos,posSide,avgPx,markPx,mgnMode,lever,margin,notionalUsd,upl,ccy\n"
    "BTC-USDT-SWAP,150,long,60000,61000,cross,10,,91500,1500,USDT\n"
    "ETH-USDT-SWAP,20,short,2500,2600,isolated,5,1000,5200,-200,USDT\n"
)


def test_okx_counts_contracts(tmp_path: Path) -> None:
    sizes = {"BTC": 0.01, "ETH-USDT-SWAP": 0.1}
    book = read(tmp_path, OKX, contract_size=sizes)
    assert book.positions == (
        row("BTC", 1.5, 60000.0, leverage=10.0),
        row("ETH", -2.0, 2500.0, margin=1000.0, leverage=5.0),
    )
    says = refused(tmp_path, OKX)
    assert says.startswith("row 1 (line 2), column pos: the size of")
    assert says.endswith("add --contract-size BTC=COINS; by the value of the row it is about 0.01")
    # a wrong one is seen in the value
    assert "the value 91,500" in refused(tmp_path, OKX, contract_size={**sizes, "BTC": 0.1})


def test_bybit_columns_with_units(tmp_path: Path) -> None:
    text = (
        "Contracts,Qty,Value,Entry Price,Mark Price,Liq. Price,Unrealized P&L,Side,Leverage\n"
        'BTCUSDT,0.5 BTC,"30,000.00 USDT","60,000.00","61,000.00",--,500.00 USDT,Buy,10.00x\n'
        'ETHUSDT,"2,000 ETH","5,000,000 USDT","2,500.00","2,600.00",--,"-200,000",Sell,Cross 5X\n'
    )
    book = read(tmp_path, text)
    assert book.positions == (
        row("BTC", 0.5, 60000.0, leverage=10.0),
        row("ETH", -2000.0, 2500.0, leverage=5.0),
    )
    assert "columns not used: Liq. Price" in book.notices


def test_bybit_numbers_its_modes(tmp_path: Path) -> None:
    text = (
        "symbol,side,size,avgPrice,tradeMode,positionBalance\n"
        "BTCUSDT,Buy,1,60000,0,0\nETHUSDT,Sell,2,2500,1,700\n"
    )
    assert [p.margin for p in read(tmp_path, text).positions] == [None, 700.0]


def test_htx_names_the_coin_beside_the_contract(tmp_path: Path) -> None:
    text = (
        "symbol,contract_code,volume,direction,cost_open,margin_mode,lever_rate,margin_asset\n"
        "BTC,BTC-USDT,1500,buy,60000,cross,10,USDT\n"
    )
    book = read(tmp_path, text, contract_size={"BTC-USDT": 0.001})
    assert book.positions == (row("BTC", 1.5, 60000.0, leverage=10.0),)
    inverse = text.replace("BTC-USDT", "BTC-USD")
    assert "can be an inverse contract" in refused(tmp_path, inverse)
    coin = text.replace("10,USDT", "10,BTC")
    assert "the contract settles in BTC" in refused(tmp_path, coin)


def test_a_stated_contract_size_holds_for_sizes_without_a_unit(tmp_path: Path) -> None:
    text = "symbol,size,entry,side\nBTCUSDT,12,60000,long\nBTCUSDT,0.5 BTC,60000,short\n"
    book = read(tmp_path, text, contract_size={"BTC": 0.01})
    assert [p.quantity for p in book.positions] == [0.12, -0.5]


def test_a_column_may_say_the_contract_size(tmp_path: Path) -> None:
    text = "symbol,contracts,contractSize,entryPrice,side\nBTC/USDT:USDT,12,0.01,60000,short\n"
    assert read(tmp_path, text).positions == (row("BTC", -0.12, 60000.0),)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_spreadsheet_in_german(tmp_path: Path, encoding: str) -> None:
    text = "Symbol;Size (BTC);Entry Price\nBTCUSDT;0,5;60.000,50\nBTCUSDT;-1.000;61.000,00\n"
    book = read(tmp_path, text, encoding=encoding)
    assert [(p.quantity, p.entry_price) for p in book.positions] == [
        (0.5, 60000.5),
        (-1000.0, 61000.0),
    ]
    assert "numbers read with a decimal comma" in book.notices


def test_decimals_that_nothing_decides_are_asked_for(tmp_path: Path) -> None:
    text = 'asset,size,entry price\nBTC,2,"60,000"\n'
    says = refused(tmp_path, text)
    assert says.startswith('row 1 (line 2), column entry price: "60,000" can be read')
    assert read(tmp_path, text, decimal=".").positions[0].entry_price == 60000.0
    assert read(tmp_path, text, decimal=",").positions[0].entry_price == 60.0


@pytest.mark.parametrize(
    ("word", "sign"),
    [("long", 1), ("Short", -1), ("BUY", 1), ("sell", -1), ("多", 1), ("空", -1), ("", 1)],
)
def test_sides_are_words(tmp_path: Path, word: str, sign: int) -> None:
    book = read(tmp_path, f"coin,side,size,entry\nBTC,{word},2,60000\n")
    assert book.positions[0].quantity == 2 * sign
    # a short of -2 is one of 2
    negative = f"coin,side,size,entry\nBTC,{word},-2,60000\n"
    if word.casefold() in ("short", "sell", "空", ""):
        assert read(tmp_path, negative).positions[0].quantity == -2.0
    else:
        assert "and the size negative" in refused(tmp_path, negative)


def test_long_for_want_of_a_side_is_said(tmp_path: Path) -> None:
    book = read(tmp_path, "coin,size,entry\nBTC,2,60000\n")
    assert "no side is said and no size is negative: every position is long" in book.notices


@pytest.mark.parametrize(
    ("header", "cells", "says"),
    [
        ("coin,size,entry", "BTC,,60000", "column size: the cell is empty"),
        ("coin,size,entry", "BTC,two,60000", 'must be a number, got "two"'),
        ("coin,size,entry", "BTC,2 %,60000", '"2 %" is a percentage; name the right column'),
        ("coin,size,entry", "BTC,2000 USDT,60000", "the size is in USDT, not in coins"),
        ("coin,size,entry", "BTC,2 ETH,60000", 'the size is in "ETH", the contract is one of BTC'),
        ("coin,size,entry", "BTC,2,0", "column entry: must be above 0, got 0"),
        ("coin,size,entry", "BTC,2,-", "column entry: must be above 0, got nothing"),
        ("coin,size,entry", "BTC,2,0.04 BTC", '"0.04 BTC" is not in dollars'),
        ("coin,size,entry", "BTC,1e99,1e99999", "must be a number"),
        ("coin,size,entry", ",2,60000", "column coin"),
        ("coin,size,entry", "BTC-27JUN25,2,60000", "is a dated contract"),
        ("coin,size,entry,side", "BTC,2,60000,up", '"up" is no side'),
        ("coin,size,entry,leverage", "BTC,2,60000,high", '"high" is no leverage'),
        ("coin,size,entry,margin", "BTC,2,60000,900", "say --margin-mode cross or --margin-mode"),
        ("coin,size,entry,margin mode", "BTC,2,60000,half", '"half" is no margin mode'),
        ("coin,size,entry,margin mode", "BTC,2,60000,isolated", "no column is known as its margin"),
        ("coin,size,entry,margin mode,margin", "BTC,2,60000,isolated,-1", "must not be negative"),
        ("coin,size,entry,margin mode,margin used", "BTC,2,60000,isolated,9", "nothing says how"),
        ("coin,size,entry,mark price,value", "BTC,2,60000,60000,1200", "the value 1,200; if"),
        ("coin,size,entry,mark price,upl", "BTC,2,60000,50000,20000", "a long from 60000 to 50000"),
        ("account,coin,size,entry", '"a\nb",BTC,2,60000', "cannot be the name of an account"),
        ("size,entry", "2,60000", "no column is known as the symbol"),
        ("coin,entry", "BTC,60000", "no column is known as the quantity"),
        ("coin,size", "BTC,2", "no column is known as the entry_price"),
        ("coin,size,size,entry", "BTC,2,2,60000", "columns 2 and 3 could both be the quantity"),
        ("symbol,closed vol.,entry price", "BTC,2,60000", "a history of closed positions"),
        ("coin,size,entry", "BTC,0,60000", "holds no open position"),
    ],
)
def test_what_is_not_understood_is_refused(
    tmp_path: Path, header: str, cells: str, says: str
) -> None:
    assert says in refused(tmp_path, f"{header}\n{cells}\n")


def test_columns_can_be_named(tmp_path: Path) -> None:
    text = "what,how much,cost\nBTC,2,60000\n"
    columns = {"symbol": "what", "quantity": "how much", "entry_price": "cost"}
    assert read(tmp_path, text, columns=columns).positions == (row("BTC", 2.0, 60000.0),)
    assert 'has no column "price"' in refused(tmp_path, text, columns={"entry_price": "price"})
    assert 'no field "colour"' in refused(tmp_path, text, columns={"colour": "cost"})


def test_one_mode_for_all_and_contracts_left_out(tmp_path: Path) -> None:
    text = "coin,size,entry,margin used,upl\nBTC,2,60000,900,-100\nBTC-27JUN25,1,1,1,0\n"
    stated = {"without": ("BTC-27JUN25",)}
    book = read(tmp_path, text, margin_mode="isolated", **stated)
    assert book.positions == (row("BTC", 2.0, 60000.0, margin=1000.0),)
    assert "left out as asked: BTC-27JUN25" in book.notices
    assert read(tmp_path, text, margin_mode="cross", **stated).positions[0].margin is None


def test_the_moment_is_in_the_file_or_stated(tmp_path: Path) -> None:
    text = "snapshot,coin,size,entry\n2026-02-04T09:34:27Z,BTC,2,60000\n"
    moment = datetime(2026, 2, 4, 9, 34, 27, tzinfo=UTC)
    assert read(tmp_path, text, as_of=None).as_of == moment
    assert read(tmp_path, text).as_of == AT
    twice = text + "2026-02-05T09:34:27Z,ETH,2,2500\n"
    assert "row 2 (line 3), column snapshot: is of" in refused(tmp_path, twice, as_of=None)
    assert "add --as-of" in refused(tmp_path, PLAIN, as_of=None)


def test_cash_by_account(tmp_path: Path) -> None:
    text = "account,coin,size,entry\na,BTC,2,60000\nb=c,ETH,1,2500\n"
    book = read(tmp_path, text, cash={"a": 1.0, "b=c": -2.0})
    assert [(a.account, a.cash) for a in book.accounts] == [("a", 1.0), ("b=c", -2.0)]
    assert "nothing says what cash backs the cross positions of b=c" in refused(
        tmp_path, text, cash={"a": 1.0}
    )
    assert "--cash: the file has 2 accounts: a, b=c; write --cash ACCOUNT=USD" in refused(
        tmp_path, text
    )
    assert '--cash: the file has no account "d"' in refused(tmp_path, text, cash={"d": 1.0})


def test_isolated_positions_alone_need_no_cash(tmp_path: Path) -> None:
    text = "coin,size,entry,margin mode,margin\nBTC,2,60000,isolated,900\n"
    book = read(tmp_path, text, cash={})
    assert book.accounts[0].cash == 0.0
    assert "book: cash 0, as each of its positions has a margin of its own" in book.notices


HELD = (
    "account,coin,size,entry,mark price,margin mode,margin\n"
    "a,BTC,2,60000,61000,cross,\na,ETH,-4,2500,2400,isolated,3000\n"
)


@pytest.mark.parametrize(
    ("column", "amount", "cash"),
    [
        ("cash", 50_000, 50_000.0),
        ("wallet balance", 50_000, 47_000.0),
        # less the profits of 2000 and 400
        ("equity", 50_000, 44_600.0),
    ],
)
def test_balances_become_cash(tmp_path: Path, column: str, amount: float, cash: float) -> None:
    balances = put(tmp_path, f'account,{column}\na,"{amount:,.2f}"\nidle,7.00\n', "balances.csv")
    book = read(tmp_path, HELD, cash={}, balances=balances)
    assert [(a.account, a.cash) for a in book.accounts] == [("a", cash), ("idle", 7.0)]


def test_coins_become_collateral(tmp_path: Path) -> None:
    balances = put(tmp_path, "coin,wallet balance\nUSDT,5000\nUSDC,500\nBTC,0.5\nETH,0\n", "b.csv")
    book = read(tmp_path, HELD, cash={}, balances=balances)
    assert book.accounts[0].cash == 2_500.0
    assert [(c.account, c.asset, c.quantity) for c in book.collateral] == [("a", "BTC", 0.5)]
    assert "USDC, USDT counted as dollars at par" in book.notices


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("account,what\na,1\n", "no column is known as a balance"),
        ("account,cash\na,1\na,2\n", '"a" has a balance of USD above already'),
        ("account,cash\na,x\n", 'must be a number, got "x"'),
        ("account,cash\na,5%\n", "is a percentage"),
        ("account,coin,wallet balance\na,BTC,-1\n", "a coin is owed"),
        ("account,coin,equity\na,BTC,1\n", "a coin's equity can include profit"),
        ("account,coin,cash\na,,1\n", "is no currency"),
        ('account,cash\n"",1\n', "cannot be the name of an account"),
    ],
)
def test_balances_that_are_not_understood(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(InputError) as caught:
        read(tmp_path, HELD, cash={}, balances=put(tmp_path, text, "balances.csv"))
    assert says in str(caught.value)


def test_an_equity_without_marks_is_no_cash(tmp_path: Path) -> None:
    balances = put(tmp_path, "equity\n50000\n", "balances.csv")
    says = refused(tmp_path, PLAIN, cash={}, balances=balances)
    assert "the equity of a includes a profit that the file does not say" in says


@pytest.mark.parametrize(
    "name", ["=cmd|' /C calc'!A0", "../../etc/passwd", "<script>alert(1)</script>", 'a"b', "@x"]
)
def test_names_are_only_names(tmp_path: Path, name: str) -> None:
    quoted = name.replace('"', '""')
    book = read(tmp_path, f'account,coin,size,entry\n"{quoted}",BTC,2,60000\n')
    assert book.accounts[0].account == name
