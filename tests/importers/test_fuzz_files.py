"""Whatever a file holds: it is read, or refused in one line of a readable length.

Good files of every kind have some cells, names or bytes changed, so that most of them are wrong in
one place only and each check is reached.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from math import isfinite
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stress.errors import InputError
from stress.importers.files.clearinghouse import read_clearinghouse
from stress.importers.files.position_table import Stated
from stress.importers.files.positions_csv import read_positions
from stress.importers.files.prices_csv import read_price_files

AT = datetime(2026, 11, 22, tzinfo=UTC)

FUZZ = settings(max_examples=120, deadline=None, derandomize=True)

CELLS = st.text(max_size=6) | st.sampled_from(
    [
        *(
            "",
            "-",
            "null",
            "0",
            "1",
            "-2",
            "0.5",
            "1e99",
            "1e-320",
            "1,234",
            "1.234,5",
            "5%",
            "nan",
        ),
        *("BTC", "BTCUSDT", "BTC-USD-SWAP", "ETHBTC", "0.5 BTC", "3 Cont", "long", "SHORT", "up"),
        *("cross", "isolated", "10x", "2024-01-31", "03/04/2024", "31/01/2024", "1706659200000"),
        *("=1+1", "../x", "<b>", '"', "'", "a\0", "\ud7ff", "\u202e", "٣", "\n", ";", "x" * 300),
    ]
)

POSITIONS = (
    "symbol,positionAmt,entryPrice,markPrice,unRealizedProfit,leverage,marginType,isolatedMargin\n"
    "BTCUSDT,0.5,60000,61000,500,20,cross,0\nETHUSDT,-2,2500,2600,-200,5,isolated,840\n",
    "account,instId,pos,posSide,avgPx,mgnMode,lever,margin,notionalUsd,ctVal,snapshot,ccy\n"
    "a,BTC-USDT-SWAP,150,long,60000,cross,10,,90000,0.01,2026-01-01,USDT\n"
    "b,ETH-USDT-SWAP,20,short,2500,isolated,5,1000,5000,0.1,2026-01-01,USDT\n",
    "coin,size,side,entry\nBTC,0.5 BTC,buy,$60000.5\nETH,2,sell,2500\n",
)

PRICES = (
    "timestamp,asset,open,high,low,close,volume\n"
    "2024-01-31,BTC,41,45,40,42.5,7\n2024-02-01,BTC,42,44,41,43,8\n",
    "date,BTCUSDT,ETH-USD\n31/01/2024,42.5,2.5\n01/02/2024,43,2.6\n",
    "1706659200000,41,44,40,42.5,12,1706745599999,5,9,6,2,0\n"
    "1706745600000,41,44,40,43.5,12,1706831999999,5,9,6,2,0\n",
    "Date,Close,Adj Close\n2024-01-31,10.5,5\n2024-02-01,10,10\n",
)

BALANCES = "account,coin,wallet balance\na,USDT,5000\na,BTC,0.5\nb,USDT,10\n"


@st.composite
def spoilt(draw: st.DrawFn, good: tuple[str, ...]) -> bytes:
    """Return a good file with at most three cells changed, in some encoding, perhaps cut short."""
    rows = [line.split(",") for line in draw(st.sampled_from(good)).splitlines()]
    own = [cell for row in rows for cell in row]
    for _ in range(draw(st.integers(0, 3))):
        row = rows[draw(st.integers(0, len(rows) - 1))]
        if row:
            row[draw(st.integers(0, len(row) - 1))] = draw(CELLS | st.sampled_from(own))
    delimiter = draw(st.sampled_from([",", ",", ",", ";", "\t"]))
    encoding = draw(st.sampled_from(["utf-8"] * 6 + ["utf-8-sig", "utf-16", "latin-1"]))
    content = "\n".join(delimiter.join(row) for row in rows).encode(encoding, "ignore")
    return content if draw(st.integers(0, 5)) else content[: draw(st.integers(0, len(content)))]


def read_or_refused(read: Callable[[], Any]) -> Any:
    """Return what was read, None where it was refused as it should be."""
    try:
        return read()
    except InputError as error:
        assert "\n" not in str(error)
        assert len(str(error)) < 2_000
        return None


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz") / "BTC.csv"


def check_book(book: Any) -> None:
    """What a table can hold, and nothing else."""
    if book is None:
        return
    names = {row.account for row in book.accounts}
    for row in book.positions:
        assert row.account in names
        assert row.quantity != 0
        assert row.entry_price > 0
        assert isfinite(row.quantity * row.entry_price)
        assert row.margin is None or 0 <= row.margin < 1e200
    assert all(isfinite(row.cash) for row in book.accounts)
    assert all(row.quantity > 0 for row in book.collateral)


@FUZZ
@given(content=spoilt(POSITIONS), mode=st.sampled_from([None, "isolated"]))
def test_positions(file: Path, content: bytes, mode: Any) -> None:
    file.write_bytes(content)
    cash = {name: 1.0 for name in ("a", "b") if name.encode() + b"," in content} or {"": 1.0}
    stated = Stated(as_of=AT, cash=cash, margin_mode=mode)
    check_book(read_or_refused(lambda: read_positions(file, stated)))


@FUZZ
@given(content=spoilt((BALANCES,)))
def test_balances(file: Path, content: bytes) -> None:
    balances = file.with_name("balances.csv")
    balances.write_bytes(content)
    file.write_text(POSITIONS[1])
    check_book(read_or_refused(lambda: read_positions(file, Stated(balances=balances))))


@FUZZ
@given(content=spoilt(PRICES))
def test_prices(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    prices = read_or_refused(lambda: read_price_files([file]))
    if prices is not None:
        assert all(0 < bar.close < 1e100 for bar in prices.bars)
        assert len({(bar.asset, bar.timestamp) for bar in prices.bars}) == len(prices.bars)


VALUES = st.sampled_from(
    [
        *("1", "-2.5", "0", "1e99", "-1e99", "1e-320", "1e400", "nan", "x", "", "\ud800", "a\0"),
        *(7, -1, None, True, [], {}, ["0xab", {}], {"assetPositions": []}, "=cmd", "../x"),
    ]
)


def one_position(coin: str, size: str, kind: str) -> dict[str, Any]:
    leverage = {"type": kind, "value": 3, "rawUsd": "1900"}
    position = {"coin": coin, "szi": size, "leverage": leverage, "entryPx": "140"}
    return {"type": "oneWay", "position": {**position, "positionValue": "1500"}}


STATE = {
    "user": "0xab",
    "marginSummary": {"totalNtlPos": "3000"},
    "crossMarginSummary": {"accountValue": "6500", "totalRawUsd": "5000"},
    "assetPositions": [one_position("BTC", "10", "cross"), one_position("SOL", "-10", "isolated")],
    "time": 1_770_000_000_000,
}


def spoil(draw: st.DrawFn, content: Any) -> Any:
    """Return a JSON value with one of its leaves, or a branch, replaced."""
    if not isinstance(content, (dict, list)) or not content or not draw(st.integers(0, 5)):
        return draw(VALUES)
    if isinstance(content, list):
        place = draw(st.integers(0, len(content) - 1))
        return [*content[:place], spoil(draw, content[place]), *content[place + 1 :]]
    key = draw(st.sampled_from(sorted(content)))
    return {**content, key: spoil(draw, content[key])}


@st.composite
def states(draw: st.DrawFn) -> str:
    """Return one good state or several, with at most two values changed."""
    content: Any = draw(st.sampled_from([STATE, [STATE, {**STATE, "user": "b"}], {"a": STATE}]))
    for _ in range(draw(st.integers(0, 2))):
        content = spoil(draw, content)
    text = json.dumps(content)
    return text[: draw(st.integers(0, len(text)))] if not draw(st.integers(0, 5)) else text


@FUZZ
@given(content=states() | st.text(max_size=30))
def test_clearinghouse_states(file: Path, content: str) -> None:
    file.write_text(content, "utf-8", "replace")
    check_book(read_or_refused(lambda: read_clearinghouse(file)))
