"""Accounts of exchanges become the book that the exchanges describe; ccxt's own parsing runs."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from stress.cli import main
from tests.importers.replay import NOW_MS, Replay, replay

EXCHANGES = ("binance", "okx", "htx", "bybit", "hyperliquid")


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as text:
        return list(csv.DictReader(text))


def imported(folder: Path, name: str, *options: str) -> int:
    return main(["import", "positions", "--exchange", name, "-o", str(folder), *options])


def positions(folder: Path) -> list[tuple[Any, ...]]:
    return [
        (
            row["account"],
            row["asset"],
            float(row["quantity"]),
            float(row["entry_price"]),
            float(row["margin"]) if row.get("margin") else None,
        )
        for row in rows(folder / "positions.csv")
    ]


def cash(folder: Path) -> dict[str, float]:
    return {row["account"]: float(row["cash"]) for row in rows(folder / "accounts.csv")}


def coins(folder: Path) -> list[tuple[str, str, float]]:
    file = folder / "collateral.csv"
    found = rows(file) if file.exists() else []
    return [(row["account"], row["asset"], float(row["quantity"])) for row in found]


def refused(capsys: pytest.CaptureFixture[str]) -> str:
    message = capsys.readouterr().err
    assert message.count("\n") == 1 and message.startswith("margin-stress: error: ")
    return message


def test_binance_in_single_asset_mode_keeps_currencies_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replay("binance", monkeypatch)
    assert imported(tmp_path, "binance") == 0
    assert positions(tmp_path) == [
        ("main", "BTC", 0.5, 60_000.0, None),
        ("main", "BTC", -0.2, 62_000.0, None),
        ("main", "BTC", -0.1, 63_000.0, None),
        ("main", "1000PEPE", 250_000.0, 0.012, None),
        # what stands behind it alone is the isolated wallet, not the margin with its profit
        ("main USDC", "ETH", 2.0, 2_500.0, 1_000.0),
        # 300 contracts of 100 USD at 60,000
        ("main BTC", "BTC", -0.5, 60_000.0, None),
    ]
    # the cross wallet, without the 500 of profit and without the isolated wallet
    assert cash(tmp_path) == {"main": 20_000.5, "main USDC": 5_000.0, "main BTC": 0.0}
    assert coins(tmp_path) == [("main BTC", "BTC", 1.25)]
    labels = [row["position"] for row in rows(tmp_path / "positions.csv")]
    assert labels[:3] == [
        "main/BTC long",
        "main/BTC/USDT:USDT short",
        "main/BTC/USDT:USDT-261225 short",
    ]


def test_binance_in_multi_assets_mode_pools_currencies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exchange = replay("binance", monkeypatch)
    exchange.replies["GET /fapi/v1/multiAssetsMargin"]["multiAssetsMargin"] = True
    assert imported(tmp_path, "binance") == 0
    assert cash(tmp_path) == {"main": 25_000.5, "main BTC": 0.0}
    assert coins(tmp_path) == [("main", "BNB", 3.0), ("main BTC", "BTC", 1.25)]


def test_a_coin_that_is_no_margin_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    exchange = replay("binance", monkeypatch)
    exchange.replies["GET /fapi/v1/multiAssetsMargin"]["multiAssetsMargin"] = True
    assets = exchange.replies["GET /fapi/v3/account"]["assets"]
    next(row for row in assets if row["asset"] == "BNB")["marginAvailable"] = False
    assert imported(tmp_path, "binance") == 0
    assert coins(tmp_path) == [("main BTC", "BTC", 1.25)]
    assert "main: BNB is not margin here and is left out" in capsys.readouterr().err


def test_a_position_that_binance_lists_and_nobody_read_is_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The library drops what it cannot read without a word; the account's own list tells."""
    exchange = replay("binance", monkeypatch)
    del exchange.replies["GET /fapi/v3/positionRisk"][0]["entryPrice"]
    assert imported(tmp_path, "binance") == 5
    assert "the account lists 5 open positions, 4 were read" in refused(capsys)
    assert list(tmp_path.iterdir()) == []


def test_okx_counts_contracts_and_pools_by_account_level(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exchange = replay("okx", monkeypatch)
    assert imported(tmp_path, "okx") == 0
    assert positions(tmp_path) == [
        ("main", "BTC", 0.25, 60_000.0, None),
        ("main", "BTC", -0.1, 62_000.0, 700.5),
        ("main", "BTC", -0.2, 60_000.0, None),
    ]
    assert cash(tmp_path) == {"main": 10_500.25}
    # SOL is switched off as collateral
    assert coins(tmp_path) == [("main", "BTC", 0.8)]
    exchange.replies["GET /api/v5/account/config"]["data"][0]["acctLv"] = "2"
    assert imported(tmp_path, "okx") == 0
    assert cash(tmp_path) == {"main": 10_500.25, "main BTC": 0.0}
    assert coins(tmp_path) == [("main BTC", "BTC", 0.8)]


def test_okx_equity_is_the_venues_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exchange = replay("okx", monkeypatch)
    imported(tmp_path, "okx")
    detail = exchange.replies["GET /api/v5/account/balance"]["data"][0]["details"][0]
    (_, _, quantity, entry, _), (_, _, short, shorted, margin), *_ = positions(tmp_path)
    assert margin is not None
    equity = cash(tmp_path)["main"] + quantity * (61_000 - entry)
    assert equity + margin + short * (61_000 - shorted) == pytest.approx(
        float(detail["cashBal"]) + float(detail["isoEq"]) + 250
    )


def test_htx_takes_profit_out_of_equity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replay("htx", monkeypatch)
    assert imported(tmp_path, "htx") == 0
    assert positions(tmp_path) == [
        ("main", "BTC", 0.25, 60_000.0, None),
        ("main", "ETH", -0.4, 2_500.0, None),
    ]
    assert cash(tmp_path) == {"main": 5_000.25}


def test_bybit_reads_every_page_kind_and_currency(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exchange = replay("bybit", monkeypatch)
    pages = "GET /v5/position/list linear USDT"
    exchange.replies[f"{pages} page2"]["result"]["list"][0].update(
        {"side": "Sell", "size": "3", "avgPrice": "2600"}
    )
    usdc = exchange.replies["GET /v5/position/list linear USDC"]["result"]
    second = {**usdc, "list": [{**usdc["list"][0], "positionIdx": 1, "size": "0.3"}]}
    more = {"retCode": 0, "retMsg": "OK", "result": second, "time": NOW_MS}
    exchange.replies["GET /v5/position/list linear USDC next"] = more
    usdc["nextPageCursor"] = "next"
    assert imported(tmp_path, "bybit") == 0
    assert positions(tmp_path) == [
        ("main", "BTC", 0.5, 60_000.0, None),
        ("main", "BTC", -0.2, 62_000.0, None),
        ("main", "ETH", -3.0, 2_600.0, None),
        ("main", "BTC", -0.1, 60_500.0, None),
        ("main", "BTC", 0.3, 60_500.0, None),
        # 12,000 USD whatever the smallest order is
        ("main", "BTC", 0.2, 60_000.0, None),
    ]
    assert cash(tmp_path) == {"main": 9_000.5}
    assert coins(tmp_path) == [("main", "BTC", 0.49)]
    assert f"{pages} page2" in exchange.questions


def test_bybit_isolated_margins_come_out_of_the_wallet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    exchange = replay("bybit", monkeypatch)
    exchange.replies["GET /v5/account/info"]["result"]["marginMode"] = "ISOLATED_MARGIN"
    for question, margins in {"linear USDT": (3_000, 1_250), "linear USDC": (600,)}.items():
        found = exchange.replies[f"GET /v5/position/list {question}"]["result"]["list"]
        for row, margin in zip(found, margins, strict=True):
            row["positionBalance"] = str(margin)
    # the inverse position says nothing of its margin
    assert imported(tmp_path, "bybit") == 2
    assert "BTC/USD:BTC is isolated, and the reply does not say its margin" in refused(capsys)
    assert imported(tmp_path, "bybit", "--without", "BTC/USD:BTC") == 0
    assert [row[4] for row in positions(tmp_path)] == [3_000.0, 1_250.0, 600.0]
    assert cash(tmp_path) == {"main": 3_750.5, "main USDC": 400.0}
    assert coins(tmp_path) == []


def test_bybit_classic_accounts_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    exchange = replay("bybit", monkeypatch)
    exchange.replies["GET /v5/account/info"]["result"]["unifiedMarginStatus"] = 1
    assert imported(tmp_path, "bybit") == 2
    assert "classic account" in refused(capsys)


def test_hyperliquid_equity_is_the_venues_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exchange = replay("hyperliquid", monkeypatch)
    assert imported(tmp_path, "hyperliquid") == 0
    assert positions(tmp_path) == [
        ("main", "BTC", 0.5, 60_000.0, None),
        ("main", "kPEPE", -100_000.0, 0.012, None),
        ("main", "ETH", 2.0, 2_500.0, 1_000.0),
    ]
    marks = {"BTC": 61_000.0, "kPEPE": 0.011}
    equity = cash(tmp_path)["main"] + sum(
        quantity * (marks[asset] - entry)
        for _, asset, quantity, entry, margin in positions(tmp_path)
        if margin is None
    )
    state = exchange.replies["POST /info clearinghouseState"]
    assert equity == pytest.approx(float(state["crossMarginSummary"]["accountValue"]))


@pytest.mark.parametrize("mode", ["unifiedAccount", "portfolioMargin"])
def test_hyperliquid_with_spot_behind_it_is_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    mode: str,
) -> None:
    exchange = replay("hyperliquid", monkeypatch)
    exchange.replies["POST /info userAbstraction"] = mode
    assert imported(tmp_path, "hyperliquid") == 2
    assert mode in refused(capsys)


def _isolated_at_htx(exchange: Replay) -> None:
    exchange.replies["GET /v5/trade/position/opens"]["data"][1]["margin_mode"] = "isolated"


def _coin_margined_at_htx(exchange: Replay) -> None:
    exchange.replies["POST /swap-api/v1/swap_position_info"]["data"] = [
        {
            "symbol": "BTC",
            "contract_code": "BTC-USD",
            "volume": "1.000000000000000000",
            "cost_open": "47150.000000000012353300",
            "lever_rate": "3",
            "position_margin": "0.000706963591375044",
            "direction": "buy",
            "profit_unreal": "0E-54",
            "profit_rate": "-7.86E-16",
            "last_price": "47150",
        }
    ]


def _option_at_okx(exchange: Replay) -> None:
    found = exchange.replies["GET /api/v5/account/positions"]["data"]
    option = {"instId": "BTC-USD-261225-70000-C", "instType": "OPTION", "posSide": "net"}
    found.append({**found[0], **option})


def _isolated_inverse_at_okx(exchange: Replay) -> None:
    found = exchange.replies["GET /api/v5/account/positions"]["data"][3]
    found.update(mgnMode="isolated", margin="0.02")


@pytest.mark.parametrize(
    ("name", "change", "symbol", "words"),
    [
        ("htx", _isolated_at_htx, "ETH/USDT:USDT", "does not say what backs it"),
        ("htx", _coin_margined_at_htx, "BTC/USD:BTC", "coin-margined"),
        ("okx", _option_at_okx, "BTC/USD:BTC-261225-70000-C", "neither a perpetual nor"),
        ("okx", _isolated_inverse_at_okx, "BTC/USD:BTC", "margin in coins"),
    ],
)
def test_what_no_book_can_hold_is_refused_in_words_and_can_be_left_out(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    change: Any,
    symbol: str,
    words: str,
) -> None:
    exchange = replay(name, monkeypatch)
    change(exchange)
    assert imported(tmp_path, name) == 2
    message = refused(capsys)
    assert symbol in message and words in message and f'--without "{symbol}"' in message
    assert list(tmp_path.iterdir()) == []
    assert imported(tmp_path, name, "--without", symbol) == 0
    assert f"left out as asked: {symbol}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "question", "size"),
    [
        ("okx", "GET /api/v5/account/positions", "pos"),
        ("htx", "GET /v5/trade/position/opens", "volume"),
        ("bybit", "GET /v5/position/list linear USDC", "size"),
        ("hyperliquid", "POST /info clearinghouseState", "szi"),
    ],
)
def test_a_position_without_a_size_is_no_closed_one(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    question: str,
    size: str,
) -> None:
    reply = replay(name, monkeypatch).replies[question]
    found = reply.get("data") or reply.get("assetPositions") or reply["result"]["list"]
    del found[0].get("position", found[0])[size]
    assert imported(tmp_path, name) == 2
    assert f'the reply has no number "{size}"' in refused(capsys)


def test_debt_in_coins_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    exchange = replay("okx", monkeypatch)
    detail = exchange.replies["GET /api/v5/account/balance"]["data"][0]["details"][1]
    detail["cashBal"] = "-0.25"
    assert imported(tmp_path, "okx") == 2
    assert "owes 0.25 BTC" in refused(capsys)


def test_only_the_assets_of_the_market_are_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    replay("htx", monkeypatch)
    assert imported(tmp_path, "htx", "--assets", "BTC") == 2
    assert "ETH/USDT:USDT is of ETH, which --assets does not name" in refused(capsys)
    replay("okx", monkeypatch).replies["GET /api/v5/account/balance"]["data"][0]["details"][2][
        "collateralEnabled"
    ] = True
    assert imported(tmp_path, "okx", "--assets", "BTC") == 0
    assert coins(tmp_path) == [("main", "BTC", 0.8)]
    assert "40 SOL is not collateral here" in capsys.readouterr().err


def test_several_accounts_have_keys_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exchange = replay("htx", monkeypatch, accounts=("DESK_1", "DESK_2"))
    monkeypatch.setenv("MARGIN_STRESS_HTX_DESK_2_KEY", "another-key")
    assert imported(tmp_path, "htx", "--account", "desk 1", "--account", "desk-2") == 0
    assert cash(tmp_path) == {"desk 1": 5_000.25, "desk-2": 5_000.25}
    used = {asked.parameters.get("AccessKeyId") for asked in exchange.asked}
    assert {"another-key", "keyAbCd0123456789keyAbCd0123456789"} <= used


@pytest.mark.parametrize("name", EXCHANGES)
def test_the_folder_says_of_when_and_whose_it_is_and_validates(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
) -> None:
    replay(name, monkeypatch)
    assert imported(tmp_path, name, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["as_of"] == "2025-11-22T08:30:00Z"
    assert told["source"].startswith(f"{name} main by ccxt ")
    assert NOW_MS == 1_763_800_200_000
    cover = (tmp_path / "book.toml").read_text()
    assert 'as_of = "2025-11-22T08:30:00Z"' in cover
    scenario = tmp_path / "scenario.toml"
    assets = ["BTC", "ETH", "BNB", "1000PEPE", "kPEPE"]
    table = ", ".join(f'"{asset}" = 1.0' for asset in assets)
    collateral = 'collateral = "collateral.csv"' if (tmp_path / "collateral.csv").exists() else ""
    identity = [[float(row == column) for column in assets] for row in assets]
    scenario.write_text(
        f"""
        name = "imported"
        [market]
        assets = {json.dumps(assets)}
        price = {{ {table} }}
        volatility = {{ {table} }}
        correlation = {identity}
        [book]
        accounts = "accounts.csv"
        positions = "positions.csv"
        {collateral}
        [venue]
        preset = "binance-usdm"
        """
    )
    assert main(["validate", str(scenario)]) == 0
