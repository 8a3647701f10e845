"""Bars come page by page, each once, none that still runs, in coins of one side of each trade."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stress.cli import main
from stress.data.prices import PriceHistory, read_prices
from stress.importers.venues import VENUES
from tests.importers.replay import NOW_MS, Asked, replay

HOUR = 3_600_000
LAST = NOW_MS // HOUR * HOUR
"""Beginning of the bar that still runs."""


class Market:
    """Hourly bars of a market as an exchange would serve them, asked by its own parameters."""

    def __init__(self, bars: int, listed: int = 0, lost: tuple[int, ...] = ()) -> None:
        every = range(LAST - bars * HOUR, LAST + HOUR, HOUR)
        self.moments = [moment for moment in every if moment >= listed and moment not in lost]

    def between(self, first: int, last: int) -> list[int]:
        return [moment for moment in self.moments if first <= moment <= last]

    def binance(self, asked: Asked) -> Any:
        told = asked.parameters
        found = self.between(int(told["startTime"]), int(told["endTime"]))[: int(told["limit"])]
        return [[m, *prices(m), "7.5", m + HOUR - 1, "0", 1, "0", "0", "0"] for m in found]

    def okx(self, asked: Asked) -> Any:
        told = asked.parameters
        found = self.between(int(told["before"]) + 1, int(told["after"]) - 1)
        # the newest first, and of older ones no more than a hundred whatever was asked for
        newest = found[::-1][: min(int(told["limit"]), 100)]
        rows = [[str(m), *prices(m), "750", "7.5", "450000", "1"] for m in newest]
        return {"code": "0", "msg": "", "data": rows}

    def htx(self, asked: Asked) -> Any:
        told = asked.parameters
        assert "size" not in told, "HTX ignores from and to where a size is given"
        found = self.between(int(told["from"]) * 1000, int(told["to"]) * 1000)
        assert len(found) <= 2000
        rows = [
            {**dict(zip(("open", "high", "low", "close"), prices(m), strict=True)),
             "id": m // 1000, "amount": "15", "vol": "15000", "count": 1}
            for m in found
        ]  # fmt: skip
        return {"status": "ok", "ch": "market.BTC-USDT.kline.60min", "data": rows, "ts": NOW_MS}

    def bybit(self, asked: Asked) -> Any:
        told = asked.parameters
        found = self.between(int(told["start"]), int(told["end"]))[::-1][: int(told["limit"])]
        rows = [[str(m), *prices(m), "7.5", "450000"] for m in found]
        result = {"category": "linear", "symbol": "BTCUSDT", "list": rows}
        return {"retCode": 0, "retMsg": "OK", "result": result, "time": NOW_MS}

    def hyperliquid(self, asked: Asked) -> Any:
        told: Any = asked.parameters["req"]
        # one more than was asked for, as an exchange may give
        found = [*self.between(told["startTime"], told["endTime"]), LAST]
        assert len(found) <= 501
        names = ("o", "h", "l", "c")
        rows = [dict(zip(names, prices(m), strict=True)) for m in found]
        return [
            {**row, "t": m, "T": m + HOUR - 1, "s": "BTC", "i": "1h", "v": "7.5", "n": 1}
            for m, row in zip(found, rows, strict=True)
        ]


PATHS = {
    "binance": "GET /fapi/v1/klines",
    "okx": "GET /api/v5/market/",
    "htx": "GET /linear-swap-ex/market/history/kline",
    "bybit": "GET /v5/market/kline",
    "hyperliquid": "POST /info candleSnapshot",
}


def prices(moment: int) -> list[str]:
    """Open, high, low and close, different in every hour."""
    close = 60_000 + (moment // HOUR) % 1000
    return [str(close - 5), str(close + 20), str(close - 30), str(close)]


def history(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, market: Market, bars: int
) -> PriceHistory:
    exchange = replay(name, monkeypatch)
    exchange.made[PATHS[name]] = getattr(market, name)
    since = np.datetime64(LAST - bars * HOUR, "ms")
    words = ["--exchange", name, "--assets", "BTC", "--since", f"{since}Z", "-o", str(folder)]
    assert main(["import", "prices", *words]) == 0
    return read_prices(folder / "prices.csv")


@pytest.mark.parametrize("name", list(VENUES))
def test_every_finished_bar_comes_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    bars = 2 * VENUES[name].bars + 30
    found = history(tmp_path, monkeypatch, name, Market(bars + 500), bars)
    first = np.datetime64(LAST - bars * HOUR, "ms")
    expected = first + np.arange(bars) * np.timedelta64(1, "h")
    assert (found.timestamps == expected).all()
    moments = found.timestamps.astype(np.int64).tolist()
    assert found.close[:, 0].tolist() == [float(prices(moment)[3]) for moment in moments]
    assert found.low is not None and found.low[0, 0] == found.close[0, 0] - 30
    # coins, and at HTX half of what it counts on both sides
    assert found.volume is not None and (found.volume == 7.5).all()
    assert found.duplicates.tolist() == [0] and found.out_of_order == 0


@pytest.mark.parametrize("name", ["binance", "okx"])
def test_a_listing_in_the_middle_begins_there_and_gaps_are_said(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
) -> None:
    listed = LAST - 150 * HOUR
    market = Market(400, listed, lost=(LAST - 20 * HOUR, LAST - 21 * HOUR))
    found = history(tmp_path, monkeypatch, name, market, 400)
    assert found.timestamps[0] == np.datetime64(listed, "ms")
    assert len(found.timestamps) == 148
    assert "BTC: bars missing since 2025-11-16 02:00 UTC: 2" in capsys.readouterr().err


def test_bars_that_contradict_themselves_keep_their_close(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    market = Market(40)

    def odd(asked: Asked) -> Any:
        bars = market.binance(asked)
        bars[3][3] = str(float(bars[3][4]) + 1)  # a low above the close
        bars[5][2] = None  # no high
        bars[7][4] = "0"  # no close: the bar is missing
        bars[9][5] = "-1"  # no volume
        return bars

    replay("binance", monkeypatch).made[PATHS["binance"]] = odd
    since = f"{np.datetime64(LAST - 40 * HOUR, 'ms')}Z"
    words = ["--exchange", "binance", "--assets", "BTC", "--since", since, "-o", str(tmp_path)]
    assert main(["import", "prices", *words]) == 0
    found = read_prices(tmp_path / "prices.csv")
    assert len(found.timestamps) == 39
    assert found.low is not None and found.volume is not None
    assert np.flatnonzero(np.isnan(found.low[:, 0])).tolist() == [3, 5]
    assert np.flatnonzero(np.isnan(found.volume[:, 0])).tolist() == [8]
    told = capsys.readouterr().err
    assert "BTC: bars missing since 2025-11-20 16:00 UTC: 1" in told
    assert (
        "BTC: bars that keep the close alone, as low and high do not hold it or the open: 2" in told
    )


def test_no_bar_at_all_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    replay("bybit", monkeypatch).made[PATHS["bybit"]] = Market(0, LAST * 2).bybit
    command = ["import", "prices", "--exchange", "bybit", "--assets", "BTC", "-o", str(tmp_path)]
    assert main(command) == 2
    assert "bybit gave no bar of BTC/USDT:USDT" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--assets", "BTTC"], 'did you mean "BTC"?'),
        (["--assets", "BTC", "--bar", "7m"], "no bars of 7m"),
        (["--assets", "BTC", "--since", "2030-01-01"], "no bar of 1h has ended since"),
    ],
)
def test_what_does_not_exist_is_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    complaint: str,
) -> None:
    replay("binance", monkeypatch)
    assert main(["import", "prices", "--exchange", "binance", "-o", str(tmp_path), *words]) == 2
    assert complaint in capsys.readouterr().err
