"""Replies that are broken in any way end with a documented exit code and one line."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from stress.book.read import read_book
from stress.cli import main
from stress.data.tables import read_table
from stress.importers.venues import VENUES
from tests.importers.replay import replay

ANY = ("quantity", "entry_price", "margin", "leverage", "position")

_ODD = (
    None,
    "",
    "abc",
    "-1",
    0,
    1e308,
    -1,
    True,
    [],
    {},
    [None],
    {"a": []},
    "nan",
    "1e999",
    "\x00",
)


def places(reply: Any) -> list[tuple[Any, Any]]:
    """Every container of a reply with every key of it."""
    if isinstance(reply, dict):
        found = [(reply, key) for key in reply]
    elif isinstance(reply, list):
        found = [(reply, index) for index in range(len(reply))]
    else:
        return []
    return found + [place for holder, key in found for place in places(holder[key])]


def broken(reply: Any, chance: random.Random) -> Any:
    """Return a copy in which a value is odd, gone or there twice, or the whole of it is odd."""
    copy = json.loads(json.dumps(reply))
    found = places(copy)
    if not found or chance.random() < 0.05:
        return chance.choice(_ODD)
    holder, key = chance.choice(found)
    way = chance.random()
    if way < 0.3:
        del holder[key]
    elif way < 0.4 and isinstance(holder, list):
        holder.append(holder[key])
    else:
        holder[key] = chance.choice(_ODD)
    return copy


def fuzzed(
    folder: Path,
    patch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    seed: int,
) -> None:
    chance = random.Random(seed)
    exchange = replay(name, patch)
    # a broken reply may lead to a question that nobody foresaw
    exchange.knows_all = False
    for _ in range(chance.choice((1, 1, 3))):
        question = chance.choice(list(exchange.replies))
        exchange.replies[question] = broken(exchange.replies[question], chance)
    kind = chance.choice(("positions", "positions", "tiers"))
    options = ["--assets", "BTC"] if kind == "tiers" else []
    code = main(["import", kind, "--exchange", name, "-o", str(folder / "out"), *options])
    told = capsys.readouterr().err
    assert code in (0, 2, 5), (seed, told)
    assert "Traceback" not in told, seed
    if code == 0 and kind == "positions":
        read_again(folder / "out")
    if code:
        assert told.count("\n") == 1 and told.startswith("margin-stress: error: "), (seed, told)
        assert not (folder / "out").exists(), seed


def read_again(folder: Path) -> None:
    """Whatever was written is a book."""
    tables = [folder / f"{name}.csv" for name in ("accounts", "positions", "collateral")]
    collateral = tables[2] if tables[2].exists() else None
    found = [read_table(file, ("account", "asset"), ANY) for file in tables[1:] if file.exists()]
    assets = sorted({asset for table in found for asset in table.text("asset")})
    read_book(tables[0], tables[1], collateral, assets)


@pytest.mark.parametrize("name", list(VENUES))
def test_broken_replies_end_with_a_documented_code_and_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
) -> None:
    for seed in range(10):
        fuzzed(tmp_path / str(seed), monkeypatch, capsys, name, seed)


@pytest.mark.slow
@pytest.mark.parametrize("name", list(VENUES))
def test_many_broken_replies_do(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
) -> None:
    for seed in range(10, 400):
        fuzzed(tmp_path / str(seed), monkeypatch, capsys, name, seed)
