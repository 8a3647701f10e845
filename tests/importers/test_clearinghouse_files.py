"""Clearinghouse states from files: equity to the last digit, every packing, and what is refused."""

from __future__ import annotations

import json
from copy import deepcopy
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from stress.errors import InputError
from stress.importers.files.clearinghouse import looks_like_json, read_clearinghouse
from stress.importers.rows import ImportedBook

MS = 1_770_000_000_000
"""2026-02-02 02:40:00 UTC."""

AT = datetime(2026, 2, 2, 2, 40, tzinfo=UTC)

MARKS = {"BTC": 60_000.0, "ETH": 2_500.0, "SOL": 150.0}


def entry(coin: str, size: float, price: float, raw: float | None = None) -> dict[str, Any]:
    """Return a position as the exchange writes it; with ``raw`` it is isolated."""
    leverage: dict[str, Any] = {"type": "cross", "value": 20}
    if raw is not None:
        leverage = {"type": "isolated", "value": 3, "rawUsd": str(raw)}
    position = {
        "coin": coin,
        "szi": str(size),
        "leverage": leverage,
        "entryPx": str(price),
        "positionValue": str(abs(size) * MARKS[coin]),
        "unrealizedPnl": str(size * (MARKS[coin] - price)),
        "liquidationPx": None,
    }
    return {"type": "oneWay", "position": position}


def state(*entries: dict[str, Any], raw: float = 10_000.0) -> dict[str, Any]:
    """Return a whole reply: a cross pool of so much raw USD, and the sums that go with it."""
    signed = {True: 0.0, False: 0.0}
    gross = 0.0
    for item in entries:
        position = item["position"]
        value = float(position["positionValue"])
        gross += value
        is_cross = position["leverage"]["type"] == "cross"
        signed[is_cross] += value if float(position["szi"]) > 0 else -value
    return {
        "marginSummary": {"totalNtlPos": str(gross)},
        "crossMarginSummary": {
            "accountValue": str(raw + signed[True]),
            "totalRawUsd": str(raw),
        },
        "assetPositions": list(entries),
        "time": MS,
    }


WHALE = state(entry("BTC", -1.5, 61_000.0), entry("ETH", 4.0, 2_400.25), raw=90_000.0)


def put(folder: Path, content: Any, name: str = "state.json") -> Path:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
    return path


def read(folder: Path, content: Any, **options: Any) -> ImportedBook:
    return read_clearinghouse(put(folder, content), **options)


def refused(folder: Path, content: Any, **options: Any) -> str:
    with pytest.raises(InputError) as caught:
        read(folder, content, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def changed(reply: dict[str, Any], *path: Any, to: Any) -> dict[str, Any]:
    """Return a copy of a reply with one value changed; None takes it out."""
    copy = deepcopy(reply)
    place: Any = copy
    for key in path[:-1]:
        place = place[key]
    if to is None:
        del place[path[-1]]
    else:
        place[path[-1]] = to
    return copy


def test_equity_at_the_mark_is_that_of_the_reply(tmp_path: Path) -> None:
    book = read(tmp_path, WHALE, account="whale")
    (account,) = book.accounts
    equity = account.cash + sum(
        row.quantity * (MARKS[row.asset] - row.entry_price) for row in book.positions
    )
    stated = float(WHALE["crossMarginSummary"]["accountValue"])
    assert equity == pytest.approx(stated, rel=1e-12)
    assert account.cash == 90_000.0 - 1.5 * 61_000.0 + 4.0 * 2_400.25
    assert [(row.asset, row.quantity, row.leverage) for row in book.positions] == [
        ("BTC", -1.5, 20),
        ("ETH", 4.0, 20),
    ]
    assert book.as_of == AT
    assert book.source == "hyperliquid whale by clearinghouse states in state.json"
    assert book.notices == ("1 account, 2 positions read, 0 of them isolated",)


def test_an_isolated_margin_is_what_was_put_in(tmp_path: Path) -> None:
    book = read(tmp_path, state(entry("SOL", -10.0, 140.0, raw=1_900.0)))
    (row,) = book.positions
    # what the exchange owes it less what it owes: 1900 - 10 x 140, and its loss since is 100
    assert (row.margin, row.entry_price) == (500.0, 140.0)
    assert row.margin + row.quantity * (150.0 - row.entry_price) == 1_900.0 - 10.0 * 150.0
    assert book.accounts[0].cash == 10_000.0


def test_profit_taken_out_of_an_isolated_position_moves_its_entry(tmp_path: Path) -> None:
    book = read(tmp_path, state(entry("SOL", 10.0, 100.0, raw=-1_200.0)))
    (row,) = book.positions
    # 1000 - 1200 was put in: a table cannot say so, the same worth at every price can be said
    assert (row.margin, row.entry_price) == (300.0, 150.0)
    says = refused(tmp_path, state(entry("SOL", 10.0, 100.0, raw=-1_600.0)))
    assert "the isolated position is worth -100.00 USD" in says


@pytest.mark.parametrize(
    "packed",
    [
        {"user": "0xab", "state": WHALE},
        {"address": "0xab", **WHALE},
        {"0xab": WHALE},
        [["0xab", WHALE]],
        [{"user": "0xab", "clearinghouseState": WHALE}],
        {"channel": "webData2", "data": {"user": "0xab", "clearinghouseState": WHALE}},
    ],
)
def test_a_user_stands_beside_the_reply_in_many_ways(tmp_path: Path, packed: Any) -> None:
    book = read(tmp_path, packed)
    assert [row.account for row in book.accounts] == ["0xab"]
    assert len(book.positions) == 2


def test_many_users_in_one_json_or_in_lines(tmp_path: Path) -> None:
    other = changed(state(entry("SOL", 1.0, 150.0)), "time", to=MS - 3_600_000)
    lines = "\n".join(json.dumps({"user": u, "state": s}) for u, s in (("a", WHALE), ("b", other)))
    whole = read(tmp_path, {"a": WHALE, "b": other})
    assert read(tmp_path, lines + "\n\n") == whole
    assert [row.account for row in whole.accounts] == ["a", "b"]
    assert whole.source == "hyperliquid accounts by clearinghouse states in state.json"
    # the oldest counts: a limit on the age must see it
    assert whole.as_of == datetime(2026, 2, 2, 1, 40, tzinfo=UTC)
    assert "the states are up to 1:00:00 apart; as_of is that of the oldest" in whole.notices


def test_an_account_without_positions_stays_and_size_zero_goes(tmp_path: Path) -> None:
    idle = state(entry("BTC", 0.0, 60_000.0), raw=5.0)
    book = read(tmp_path, {"a": WHALE, "idle": idle})
    assert (book.accounts[1].account, book.accounts[1].cash) == ("idle", 5.0)
    assert "1 position of size 0 left out" in book.notices
    assert "holds no open position of 1 account" in refused(tmp_path, {"idle": idle})


def test_a_contract_is_left_out_as_asked(tmp_path: Path) -> None:
    book = read(tmp_path, WHALE, without=("ETH", "DOGE"))
    assert [row.asset for row in book.positions] == ["BTC"]
    assert "left out as asked: ETH" in book.notices


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "holds no reply"),
        ("{", "line 1: is not JSON"),
        ("[" * 100_000, "nested too deep"),
        ("9" * 5_000, "line 1: is not JSON"),
        ({"balances": [{"coin": "USDC"}]}, 'holds no reply with "assetPositions"'),
        ([WHALE, WHALE], "item 1: one reply of several does not say whose it is"),
        ([["a", WHALE], ["a", WHALE]], 'user "a" stands in item 1 already'),
        ({"user": "a\u202e", "state": WHALE}, "cannot be the name of an account"),
        ({"user": "\ud800", "state": WHALE}, "cannot be the name of an account"),
        ({"user": "x" * 10_000_000, "state": WHALE}, "cannot be the name of an account"),
        (changed(WHALE, "time", to=None), "add --as-of"),
        (changed(WHALE, "time", to=MS // 1000), "time must be unix time in ms"),
        (changed(WHALE, "crossMarginSummary", to=None), 'has no "crossMarginSummary"'),
        (changed(WHALE, "assetPositions", 1, to=None), "positions add up to 90,000.00 USD"),
        (changed(WHALE, "crossMarginSummary", "totalRawUsd", to="0"), "worth -80,000.00 USD"),
        (changed(WHALE, "assetPositions", 0, to=7), 'position 1: has no "position"'),
        (changed(WHALE, "assetPositions", 0, "type", to="hedge"), 'of the type "hedge"'),
        *(
            (changed(WHALE, "assetPositions", 0, "position", key, to=value), says)
            for key, value, says in (
                ("szi", "many", 'szi must be a number, got "many"'),
                ("szi", True, "szi must be a number"),
                ("entryPx", "0", "entryPx must be above 0"),
                ("entryPx", "1e300", "entryPx must be a number"),
                ("coin", "a\nb", "is no name"),
                ("coin", 7, "is no name"),
                ("leverage", "20", 'has no "leverage"'),
                ("leverage", {"type": "both", "value": 2}, "must be cross or isolated"),
            )
        ),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_reply_that_is_not_whole_is_refused(tmp_path: Path, content: Any, says: str) -> None:
    message = refused(tmp_path, content)
    assert says in message
    assert len(message) < 500


def test_a_moment_can_be_stated(tmp_path: Path) -> None:
    book = read(tmp_path, changed(WHALE, "time", to=None), as_of=AT)
    assert book.as_of == AT


def test_json_is_known_by_how_it_begins(tmp_path: Path) -> None:
    assert looks_like_json(put(tmp_path, WHALE))
    assert not looks_like_json(put(tmp_path, "symbol,size\nBTC,1\n"))
