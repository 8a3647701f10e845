"""Price files in every usual shape give the same bars; what can be read two ways is refused."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from stress.errors import InputError
from stress.importers.files.prices_csv import StatedPrices, read_price_files
from stress.importers.rows import ImportedPrices

DAYS = (datetime(2024, 1, 31, tzinfo=UTC), datetime(2024, 2, 1, tzinfo=UTC))

OPENS = (1_706_659_200, 1_706_745_600)
"""The same in seconds."""


def put(folder: Path, text: str | bytes, name: str = "BTCUSDT-1d.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def read(folder: Path, text: str | bytes, name: str = "BTCUSDT-1d.csv", **stated: Any) -> Any:
    return read_price_files([put(folder, text, name)], StatedPrices(**stated))


def refused(*words: Path | str, **stated: Any) -> str:
    with pytest.raises(InputError) as caught:
        read_price_files(words, StatedPrices(**stated))
    message = str(caught.value)
    assert "\n" not in message and len(message) < 600
    return message


def closes(prices: ImportedPrices) -> list[tuple[datetime, str, float]]:
    return [(bar.timestamp, bar.asset, bar.close) for bar in prices.bars]


BTC = [(DAYS[0], "BTC", 42_000.5), (DAYS[1], "BTC", 43_000.0)]


def kline(unit: int) -> str:
    """Two klines as Binance's public data has them, times in so many parts of a second."""
    return "".join(
        f"{at * unit},41000.0,44000.0,40000.0,{close},12.5,{(at + 86_400) * unit - 1},525000.0,9,"
        "6.0,252000.0,0\n"
        for at, close in zip(OPENS, (42_000.5, 43_000.0), strict=True)
    )


@pytest.mark.parametrize("unit", [10**3, 10**6])
def test_klines_without_a_header(tmp_path: Path, unit: int) -> None:
    prices = read(tmp_path, kline(unit))
    assert closes(prices) == BTC
    bar = prices.bars[0]
    assert (bar.open, bar.high, bar.low, bar.volume) == (41000.0, 44000.0, 40000.0, 12.5)


def test_klines_with_the_header_of_futures(tmp_path: Path) -> None:
    header = (
        "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,"
        "taker_buy_quote_volume,ignore\n"
    )
    named, plain = (read(tmp_path, text) for text in (header + kline(1000), kline(1000)))
    assert named.bars == plain.bars


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("long.csv", "timestamp,asset,close\n2024-01-31,BTC,42000.5\n2024-02-01,BTC,43000\n"),
        ("wide.csv", "date,BTCUSDT\n2024-01-31,42000.5\n2024-02-01,43000\n"),
        ("frame.csv", ",BTC\n2024-01-31,42000.5\n2024-02-01,43000\n"),
        ("BTC-USD.csv", "Date,Close\n2024-01-31,42000.5\n2024-02-01,43000\n"),
        ("BTC.csv", "Date;Price\n31.01.2024;42.000,50\n01.02.2024;43.000,00\n"),
        ("BINANCE_BTCUSDT, 1D.csv", f"time,close\n{OPENS[0]},42000.5\n{OPENS[1]},43000\n"),
        ("btcusdt_1d.csv", f"ts,close\n{OPENS[0]}000000000,42000.5\n{OPENS[1]}000000000,43000\n"),
        ("BTC Historical Data.csv", 'Date,Price\n01/31/2024,"42,000.5"\n02/01/2024,"43,000.0"\n'),
        (
            "Binance_BTCUSDT_d.csv",
            "https://www.CryptoDataDownload.com\n"
            "Unix,Date,Symbol,Open,High,Low,Close,Volume BTC,Volume USDT,tradecount\n"
            f"{OPENS[1]}000,2024-02-01,BTCUSDT,42000,43500,41000,43000,7,301000,5\n"
            f"{OPENS[0]},2024-01-31,BTCUSDT,42000,43500,41000,42000.5,8,336004,5\n",
        ),
        (
            "BTC-USD-2.csv",
            "Date,Open,High,Low,Close,Adj Close,Volume\n"
            "2024-01-31,42000,43500,41000,42000.5,42000.5,999\n"
            "2024-02-01,null,null,null,null,null,null\n"
            "2024-02-01,42000,43500,41000,43000,43000,999\n",
        ),
    ],
)
def test_the_same_history_in_other_shapes(tmp_path: Path, name: str, text: str) -> None:
    assert sorted(closes(read(tmp_path, text, name))) == BTC


def test_files_may_be_packed_or_in_utf_16(tmp_path: Path) -> None:
    assert closes(read(tmp_path, gzip.compress(kline(1000).encode()), "BTCUSDT-1d.csv.gz")) == BTC
    text = "Date\tPrice\n2024-01-31\t42000.5\n2024-02-01\t43000\n"
    assert closes(read(tmp_path, text.encode("utf-16"), "BTC.txt")) == BTC


def test_several_files_become_one_history(tmp_path: Path) -> None:
    first = put(tmp_path, kline(1000), "BTCUSDT-1d-2024-01.csv")
    again = put(tmp_path, kline(10**6), "BTCUSDT-1d-2024-02.csv")
    other = put(tmp_path, "date,price\n2024-01-31,2500\n2024-02-01,2600\n", "anything at all.csv")
    prices = read_price_files([first, again, f"ETH={other}"])
    assert {bar.asset for bar in prices.bars} == {"BTC", "ETH"}
    assert len(prices.bars) == 4
    assert "2 repeated bars left out" in prices.notices
    assert prices.notices[-1] == "2 assets: BTC, ETH; 2024-01-31 00:00 to 2024-02-01 00:00 UTC"
    assert prices.source == (
        "prices by the files BTCUSDT-1d-2024-01.csv, BTCUSDT-1d-2024-02.csv, anything at all.csv"
    )


def test_a_bar_that_is_said_twice_differently_is_refused(tmp_path: Path) -> None:
    first = put(tmp_path, kline(1000))
    other = put(tmp_path, "date,close\n2024-01-31,9\n2024-02-01,8\n", "BTC.csv")
    assert "BTC closes at 9, and at 42000.5 in an earlier row or file" in refused(first, other)


def test_bars_of_different_length_are_said(tmp_path: Path) -> None:
    hours = "date,ETH\n2024-01-31 00:00,1\n2024-01-31 01:00,1\n2024-01-31 02:00,1\n"
    prices = read_price_files([put(tmp_path, kline(1000)), put(tmp_path, hours, "eth.csv")])
    assert "bars differ: BTC every 1d, ETH every 1h" in prices.notices


def test_wide_cells_may_be_empty(tmp_path: Path) -> None:
    prices = read(tmp_path, "date,BTCUSDT,ETHUSDT\n2024-01-31,42000.5,\n2024-02-01,43000,2500\n")
    assert closes(prices) == [*BTC, (DAYS[1], "ETH", 2500.0)]
    assert "2 assets, wide; 1 cell without a close left out" in prices.notices[0]


def test_volume_is_taken_only_where_it_is_in_coins(tmp_path: Path) -> None:
    text = "date,close,volume\n2024-01-31,42000.5,7\n2024-02-01,43000,8\n"
    prices = read(tmp_path, text)
    assert prices.bars[0].volume is None
    assert "column volume left out, it can be in coins or in dollars" in prices.notices[0]
    assert read(tmp_path, text, columns={"volume": "volume"}).bars[0].volume == 7.0
    own = "timestamp,asset,close,volume\n2024-01-31,BTC,42000.5,7\n2024-02-01,BTC,43000,\n"
    assert [bar.volume for bar in read(tmp_path, own).bars] == [7.0, None]


def test_an_adjusted_close_wins_where_it_differs(tmp_path: Path) -> None:
    text = "Date,Open,Close,Adj Close\n2024-01-31,10,10,5\n2024-02-01,10,10,10\n"
    prices = read(tmp_path, text)
    assert [(bar.close, bar.open) for bar in prices.bars] == [(5.0, None), (10.0, None)]
    assert "the adjusted close differs from the close" in prices.notices[0]


def test_what_was_understood_is_said(tmp_path: Path) -> None:
    text = (
        "Date;Symbol;Price;Rank\n31/01/2024;BTCUSDT;42.000,50;1\n01/02/2024;BTCUSDT;43.000,00;1\n"
    )
    assert read(tmp_path, text, "a.csv").notices == (
        "a.csv: column Date is in the order day, month, year",
        "a.csv: 2 rows read, 2 bars; close is column Price; numbers read with a decimal comma",
        "a.csv: columns not used: Rank",
        "1 asset: BTC; 2024-01-31 00:00 to 2024-02-01 00:00 UTC",
    )


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("BTC.csv", "date,close\n03/04/2024,1\n04/05/2024,1\n", "can be two dates; say --date-ord"),
        ("BTC.csv", "date,close\n2024-01-31,0\n2024-02-01,1\n", 'above 0, got "0"'),
        ("BTC.csv", "date,close\n2024-01-31,-3\n2024-02-01,1\n", 'above 0, got "-3"'),
        ("BTC.csv", "date,close\n2024-01-31,x\n2024-02-01,1\n", 'must be a number, got "x"'),
        ("BTC.csv", "date,close\n2024-01-31,3%\n2024-02-01,1\n", '"3%" has a unit'),
        ("BTC.csv", "date,close\n,3\n2024-02-01,1\n", '"" is not a moment'),
        ("BTC.csv", "date,close\n2024-01-31,1\n", "1 bar of one moment: no history"),
        ("BTC.csv", 'date,close\n2024-01-31,"1,000"\n2024-02-01,"2,000"\n', "say which with --dec"),
        ("BTC.csv", "date,close,low\n2024-01-31,1,2\n2024-02-01,1,1\n", "the low 2 is above 1"),
        ("BTC.csv", "date,close,high\n2024-01-31,2,1\n2024-02-01,1,1\n", "the high 1 is below 2"),
        ("BTC.csv", "day,close\n2024-01-31,1\n", "no column is known as the timestamp"),
        ("BTC.csv", "date,open,high\n2024-01-31,1,1\n", "no column is known as the close"),
        ("BTC.csv", "date,BTC,Market Cap\n2024-01-31,1,1\n", "no column is known as the close"),
        ("a.csv", "date,BTC,BTCUSDT\n2024-01-31,1,1\n", "columns 2 and 3 are both BTC"),
        ("a.csv", "date,ETH/BTC\n2024-01-31,1\n", "is not priced in dollars but in BTC"),
        (
            "a.csv",
            "date,symbol,close\n2024-01-31,ETHBTC,1\n",
            "is not priced in dollars but in BTC",
        ),
        (
            "BTC.csv",
            "date,close,close\n2024-01-31,1,1\n",
            "columns 2 and 3 could both be the close",
        ),
        ("prices.csv", "date,close\n2024-01-31,1\n2024-02-01,1\n", "does not say of which asset"),
        ("ETHBTC-1d.csv", "date,close\n2024-01-31,1\n2024-02-01,1\n", "in dollars but in BTC"),
        ("BTC.csv", "1706659200,1,2,3\n1706659201,1,2,3\n", "has no header, and its 4 columns"),
        ("BTC.csv", "date,close\n1.70667E+09,1\n2024-02-01,1\n", "has lost its digits"),
    ],
)
def test_what_is_not_understood_is_refused(tmp_path: Path, name: str, text: str, says: str) -> None:
    assert says in refused(put(tmp_path, text, name))


def test_an_asset_can_be_stated(tmp_path: Path) -> None:
    path = put(tmp_path, "date,symbol,close\n2024-01-31,XBT,1\n2024-02-01,XBT,2\n")
    assert {bar.asset for bar in read_price_files([f"BTC={path}"]).bars} == {"BTC"}
    path = put(tmp_path, "date,symbol,close\n2024-01-31,XBT,1\n2024-02-01,ETH,2\n")
    assert 'holds more than one asset, "ETH" beside "XBT"' in refused(f"BTC={path}")
    equals = put(tmp_path, kline(1000), "BTC=1.csv")
    assert {bar.asset for bar in read_price_files([f"X={equals}"]).bars} == {"X"}
    assert "does not exist" in refused(tmp_path / "a=b.csv")


def test_dates_can_be_stated(tmp_path: Path) -> None:
    text = "date,close\n03/04/2024,1\n04/05/2024,1\n"
    assert read(tmp_path, text, date_order="MDY").bars[0].timestamp.month == 3
    assert read(tmp_path, text, date_order="DMY").bars[0].timestamp.month == 4
