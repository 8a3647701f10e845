"""A connection reads, waits when asked to, says in one line what went wrong, and tells no keys."""

from __future__ import annotations

import builtins
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from stress.cli import main
from stress.errors import InputError, MissingInputError
from stress.importers.exchange import READS, Connection, connect
from stress.importers.keys import Keys, keys_of
from stress.importers.venues import VENUES
from tests.importers.replay import KEYS, Asked, replay

TOO_MANY = (429, {"code": -1003, "msg": "Too many requests; current limit is 2400 per minute."})


def opened() -> Connection:
    venue = VENUES["binance"]
    keys = keys_of(os.environ, "binance", venue.needed)
    return connect("binance", venue.client, venue.options, keys)


def after(failures: int, answer: Any, reply: Any) -> Callable[[Asked], Any]:
    """Answer so often with one thing, then with another; an exception is raised."""
    answers = iter([answer] * failures)

    def give(asked: Asked) -> Any:
        found = next(answers, reply)
        if isinstance(found, Exception):
            raise found
        return found

    return give


def test_too_many_requests_are_repeated_after_waits_that_double(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    exchange = replay("binance", monkeypatch)
    question = "GET /fapi/v1/multiAssetsMargin"
    exchange.made[question] = after(3, TOO_MANY, exchange.replies[question])
    reply = opened().ask("fapiPrivateGetMultiAssetsMargin")
    assert reply == {"multiAssetsMargin": False}
    assert exchange.slept == [1.0, 2.0, 4.0]


def test_too_many_requests_end_after_a_minute_as_a_missing_input(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    exchange = replay("binance", monkeypatch)
    exchange.made["GET"] = lambda asked: TOO_MANY
    with pytest.raises(MissingInputError, match="asks to wait, still after 63 seconds"):
        opened().ask("fapiPrivateGetMultiAssetsMargin")
    assert sum(exchange.slept) == 63


@pytest.mark.parametrize("name", list(VENUES))
def test_requests_are_spaced_as_each_exchange_wants(name: str) -> None:
    opened = connect(name, VENUES[name].client, VENUES[name].options)
    assert opened._client.enableRateLimit
    assert opened._client.rateLimit > 0


def test_a_lost_request_is_tried_three_times(monkeypatch: pytest.MonkeyPatch) -> None:
    exchange = replay("binance", monkeypatch)
    question = "GET /fapi/v1/multiAssetsMargin"
    lost = requests.exceptions.ConnectionError(f"reset, key {KEYS['KEY']}")
    exchange.made[question] = after(2, lost, exchange.replies[question])
    assert opened().ask("fapiPrivateGetMultiAssetsMargin")
    exchange.made[question] = after(9, lost, None)
    before = len(exchange.asked)
    with pytest.raises(MissingInputError, match="could not be reached"):
        opened().ask("fapiPrivateGetMultiAssetsMargin")
    assert len(exchange.asked) - before == 3


def test_an_exchange_out_of_reach_ends_with_5_and_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    exchange = replay("okx", monkeypatch)
    exchange.made["GET"] = after(99, requests.exceptions.Timeout("slow"), None)
    folder = tmp_path / "book"
    assert main(["import", "positions", "--exchange", "okx", "-o", str(folder)]) == 5
    message = capsys.readouterr().err
    assert message.startswith("margin-stress: error: okx: could not be reached")
    assert message.count("\n") == 1
    assert not folder.exists()


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        ((401, {"code": -2015, "msg": "Invalid API-key, IP, or permissions."}), "refuses the key"),
        ((400, {"code": -1021, "msg": "Timestamp ahead of the server's time."}), "clock"),
        ((400, {"code": -1121, "msg": "Invalid symbol."}), "Invalid symbol"),
    ],
)
def test_refusals_end_with_2(monkeypatch: pytest.MonkeyPatch, reply: Any, words: str) -> None:
    exchange = replay("binance", monkeypatch)
    exchange.made["GET /fapi/v1/multi"] = lambda asked: reply
    with pytest.raises(InputError, match=words) as caught:
        opened().ask("fapiPrivateGetMultiAssetsMargin")
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("question", "reply"),
    [
        ("GET /fapi/v1/exchangeInfo", {"symbols": [17]}),
        ("GET /fapi/v3/account", {"assets": [{"asset": "USDT"}]}),
    ],
)
def test_replies_that_are_not_as_documented_end_with_2(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    question: str,
    reply: Any,
) -> None:
    replay("binance", monkeypatch).replies[question] = reply
    assert main(["import", "positions", "--exchange", "binance", "-o", str(tmp_path)]) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1 and "Traceback" not in message


def test_only_what_reads_can_be_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    exchange = replay("binance", monkeypatch)
    for method in ("create_order", "cancel_all_orders", "withdraw", "transfer", "set_leverage"):
        with pytest.raises(PermissionError, match="only read"):
            opened().ask(method, "BTC/USDT:USDT")
    assert exchange.asked == []
    for read in READS - {"publicPostInfo"}:
        assert read.startswith(("fetch_", "load_")) or "Get" in read
        assert "Post" not in read


@pytest.mark.parametrize("name", list(VENUES))
def test_keys_stand_in_no_file_log_or_message(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    name: str,
) -> None:
    """With every log on, through the real transport down to the session, well and not."""
    exchange = replay(name, monkeypatch)
    caplog.set_level(logging.DEBUG)
    book = ["import", "positions", "--exchange", name, "-o", str(tmp_path / "book")]
    assert main(book) == 0
    sent = [f"{asked.url} {asked.headers} {asked.parameters}" for asked in exchange.asked]
    assert any(key in text for text in sent for key in KEYS.values())
    # an exchange may say back what it was told, in any kind of answer
    echo = " ".join(KEYS.values())
    first = exchange.asked[0].question
    for status in (200, 400, 401, 403, 418, 500):
        told = {"code": -1, "msg": echo, "retCode": 1, "retMsg": echo, "err_msg": echo}
        exchange.made[first] = lambda asked, status=status, told=told: (status, told)
        main([*book, "--json"])
    lost = requests.exceptions.ConnectionError(f"{exchange.asked[0].url} {echo}")
    exchange.made["GET"] = exchange.made["POST"] = after(999, lost, None)
    main(book)
    written = "".join(file.read_text() for file in tmp_path.rglob("*") if file.is_file())
    out, err = capfd.readouterr()
    for what, key in KEYS.items():
        for text in (written, out, err, caplog.text):
            assert key not in text, what
            assert key[:12] not in text, what


def test_signatures_and_questions_are_not_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    exchange = replay("binance", monkeypatch)
    signature = "0f" * 32
    told = f"no luck with https://x/y?timestamp=17&signature={signature} nor with {signature} today"
    exchange.made["GET"] = lambda asked: (400, {"code": -1121, "msg": told})
    with pytest.raises(InputError) as caught:
        opened().ask("fapiPrivateGetMultiAssetsMargin")
    message = str(caught.value)
    assert "no luck with https://x/y nor with *** today" in message
    assert "0f0f" not in message and "timestamp" not in message


def test_an_error_has_no_cause_that_would_be_printed_with_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    exchange = replay("binance", monkeypatch)
    exchange.made["GET"] = lambda asked: (401, {"code": -2015, "msg": KEYS["SECRET"]})
    with pytest.raises(InputError) as caught:
        opened().ask("fapiPrivateGetMultiAssetsMargin")
    assert caught.value.__suppress_context__
    assert KEYS["SECRET"] not in repr(caught.value)
    assert KEYS["SECRET"] not in repr(Keys(secret=KEYS["SECRET"]))


def test_keys_come_from_the_environment_alone() -> None:
    told = {"MARGIN_STRESS_OKX_DESK_1_KEY": " k ", "MARGIN_STRESS_OKX_DESK_1_SECRET": "s"}
    with pytest.raises(InputError, match="no MARGIN_STRESS_OKX_DESK_1_PASSWORD"):
        keys_of(told, "okx", ("key", "secret", "password"), "Desk 1")
    found = keys_of(told, "okx", ("key", "secret"), "Desk 1")
    assert (found.key, found.secret) == ("k", "s")
    with pytest.raises(InputError, match="no MARGIN_STRESS_OKX_KEY and no MARGIN_STRESS_OKX_SEC"):
        keys_of(told, "okx", ("key", "secret"))


def test_without_ccxt_one_line_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = builtins.__import__

    def absent(name: str, *rest: Any) -> Any:
        if name == "ccxt":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", absent)
    command = ["import", "prices", "--exchange", "okx", "--assets", "BTC", "-o", str(tmp_path)]
    assert main(command) == 2
    assert 'pip install "margin-stress[exchanges]"' in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["positions", "--exchange", "binanse"], 'did you mean "binance"?'),
        (["tiers", "--exchange", "okx"], "no asset is named"),
        (["tiers", "--exchange", "okx", "--assets", "BTC", "--account", "a"], "no meaning for"),
        (["prices", "--exchange", "okx", "--assets", "BTC", "--since", "soon"], "no timestamp"),
        (["positions", "--exchange", "okx", "--account", "a", "--account", "a"], "named twice"),
        (["positions", "--exchange", "okx"], "no MARGIN_STRESS_OKX_KEY"),
    ],
)
def test_what_is_asked_wrongly_ends_with_2_before_anything_is_sent(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    complaint: str,
) -> None:
    exchange = replay("okx", monkeypatch)
    for name in [name for name in os.environ if name.startswith("MARGIN_STRESS_OKX")]:
        monkeypatch.delenv(name)
    assert main(["import", *words, "-o", str(tmp_path / "book")]) == 2
    assert complaint.replace("no timestamp", "is not a timestamp") in capsys.readouterr().err
    assert exchange.asked == []
