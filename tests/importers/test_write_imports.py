"""Imported rows become files: whole or not at all, and never over somebody else's."""

from __future__ import annotations

import errno
import os
import tomllib
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from stress.book.read import read_book
from stress.data.prices import read_prices
from stress.errors import InputError
from stress.importers.rows import (
    AccountRow,
    CollateralRow,
    ImportedBook,
    ImportedPrices,
    ImportedTiers,
    PositionRow,
    PriceRow,
    TierRow,
)
from stress.importers.write import write_book, write_prices, write_tiers

BOOK = ImportedBook(
    accounts=(AccountRow('a, "b"', 1_000.1), AccountRow("=cmd()", -5.5)),
    positions=(
        PositionRow('a, "b"', "BTC", 0.1 * 3, 60_000.0, leverage=10.0),
        PositionRow('a, "b"', "BTC", -0.2, 61_000.0, margin=0.0, position="hedge"),
        PositionRow("=cmd()", "BTC", 1e-8, 1e-7),
    ),
    collateral=(CollateralRow('a, "b"', "ETH", 2.5),),
    as_of=datetime(2026, 11, 22, 2, 0, tzinfo=timezone(timedelta(hours=1))),
    source="venue a by hand",
)


def snapshot(folder: Path) -> dict[str, str]:
    return {file.name: file.read_text() for file in folder.iterdir()}


def test_a_book_is_read_back_as_it_was(tmp_path: Path) -> None:
    files = write_book(BOOK, tmp_path / "new" / "folder")
    folder = tmp_path / "new" / "folder"
    names = ["book.toml", "accounts.csv", "positions.csv", "collateral.csv"]
    assert [file.name for file in files] == names
    assert sorted(snapshot(folder)) == sorted(names)
    cover = tomllib.loads((folder / "book.toml").read_text())
    assert cover == {
        "as_of": "2026-11-22T01:00:00Z",
        "source": "venue a by hand",
        "accounts": "accounts.csv",
        "positions": "positions.csv",
        "collateral": "collateral.csv",
    }
    read, _ = read_book(
        folder / "accounts.csv", folder / "positions.csv", folder / "collateral.csv", ["BTC", "ETH"]
    )
    assert read.accounts == ('a, "b"', "=cmd()")
    assert read.cash.tolist() == [1_000.1, -5.5]
    # three contracts of 0.1 are 0.3 coins, not what binary fractions make of them
    assert read.quantity.tolist() == [0.3, -0.2, 1e-8]
    assert read.entry_price.tolist() == [60_000.0, 61_000.0, 1e-7]
    assert read.margin.tolist()[1] == 0.0
    assert read.leverage.tolist()[0] == 10.0
    assert read.positions[1] == "hedge"
    assert read.coin_quantity.tolist() == [2.5]


def test_the_next_night_replaces_the_book_and_its_coins(tmp_path: Path) -> None:
    write_book(BOOK, tmp_path)
    tonight = replace(
        BOOK, collateral=(), as_of=datetime(2026, 11, 23, tzinfo=UTC), source="venue a by another"
    )
    write_book(tonight, tmp_path)
    assert sorted(snapshot(tmp_path)) == ["accounts.csv", "book.toml", "positions.csv"]
    cover = tomllib.loads((tmp_path / "book.toml").read_text())
    assert cover["as_of"] == "2026-11-23T00:00:00Z" and "collateral" not in cover


@pytest.mark.parametrize(
    ("file", "text", "rule"),
    [
        ("positions.csv", "account,asset,quantity,entry_price\n", "that no import wrote"),
        ("book.toml", 'source = "venue b by hand"', "the book of venue b, this is that of venue a"),
        ("book.toml", "source = ", "is not a book.toml"),
    ],
)
def test_another_book_is_not_overwritten(tmp_path: Path, file: str, text: str, rule: str) -> None:
    (tmp_path / file).write_text(text)
    with pytest.raises(InputError, match=rule):
        write_book(BOOK, tmp_path)
    assert snapshot(tmp_path) == {file: text}


def test_prices_and_tiers_may_stand_beside_a_book(tmp_path: Path) -> None:
    (tmp_path / "prices.csv").write_text("")
    write_book(BOOK, tmp_path)
    assert "book.toml" in snapshot(tmp_path)


@pytest.mark.parametrize("file", ["book.toml", "accounts.csv", "positions.csv", "collateral.csv"])
def test_a_full_disk_leaves_the_old_book_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    write_book(BOOK, tmp_path)
    before = snapshot(tmp_path)
    real = Path.write_text

    def full(self: Path, *arguments: object, **keywords: object) -> int:
        if file in self.name and self.parent == tmp_path:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(self, *arguments, **keywords)  # type: ignore[arg-type]

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(InputError, match="No space left on device"):
        write_book(replace(BOOK, positions=BOOK.positions[1:]), tmp_path)
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"accounts": (AccountRow("a", -5.0),), "collateral": ()}, "accounts.csv: row 1"),
        ({"accounts": (AccountRow("a", 1e300),), "collateral": ()}, "accounts.csv: row 1"),
        ({"positions": (PositionRow("b", "BTC", 1.0, 1.0),)}, "positions.csv: row 1"),
        ({"positions": (PositionRow("a", "BTC", float("nan"), 1.0),)}, "positions.csv: row 1"),
        ({"collateral": (CollateralRow("a", "BTC", -1.0),)}, "collateral.csv: row 1"),
    ],
)
def test_what_a_run_would_refuse_is_not_written(
    tmp_path: Path, change: dict[str, Any], rule: str
) -> None:
    plain = {
        "accounts": (AccountRow("a", 5.0),),
        "positions": (PositionRow("a", "BTC", 1.0, 1.0, margin=1.0),),
        "collateral": (),
    }
    book = replace(BOOK, **{**plain, **change})
    with pytest.raises(InputError, match=rule):
        write_book(book, tmp_path / "book")
    assert not (tmp_path / "book").exists()


def test_a_book_without_a_position_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="venue a holds no open position"):
        write_book(replace(BOOK, positions=()), tmp_path / "book")
    assert not (tmp_path / "book").exists()


def test_prices_are_read_back_in_order_of_time(tmp_path: Path) -> None:
    first = datetime(2026, 11, 22, tzinfo=UTC)
    bars = tuple(
        PriceRow(first + timedelta(hours=hour), asset, 10.0 + hour, 10.0, 20.0, 5.0, volume)
        for asset, volume in (("ETH", None), ("BTC", 2.5))
        for hour in (1, 0)
    )
    file = write_prices(ImportedPrices(bars, "venue by hand"), tmp_path)
    lines = file.read_text().splitlines()
    assert lines[0] == "timestamp,asset,open,high,low,close,volume"
    assert [line.split(",")[:2] for line in lines[1:3]] == [
        ["2026-11-22T00:00:00Z", "BTC"],
        ["2026-11-22T00:00:00Z", "ETH"],
    ]
    history = read_prices(file)
    assert history.out_of_order == 0
    assert history.close.tolist() == [[10.0, 10.0], [11.0, 11.0]]


def test_columns_that_nobody_knows_are_left_out(tmp_path: Path) -> None:
    moment = datetime(2026, 11, 22, tzinfo=UTC)
    bars = (PriceRow(moment, "BTC", 1.0), PriceRow(moment + timedelta(days=1), "BTC", 2.0))
    file = write_prices(ImportedPrices(bars, "venue by hand"), tmp_path)
    assert file.read_text().splitlines()[0] == "timestamp,asset,close"


def test_tiers_are_a_table_that_says_of_when_it_is(tmp_path: Path) -> None:
    tiers = ImportedTiers(
        (TierRow("BTC", 0, 0.004), TierRow("BTC", 3e5, 0.005), TierRow("1000 X", 0, 0.01)),
        datetime(2026, 11, 22, tzinfo=UTC),
        "venue by hand",
        ("a note\nof two lines",),
    )
    text = write_tiers(tiers, tmp_path).read_text()
    assert text.startswith("# as_of 2026-11-22T00:00:00Z, source venue by hand\n# a note of two ")
    assert tomllib.loads(text)["venue"]["tiers"] == {
        "BTC": [{"floor": 0, "rate": 0.004}, {"floor": 300_000, "rate": 0.005}],
        "1000 X": [{"floor": 0, "rate": 0.01}],
    }


@pytest.mark.parametrize(
    ("rows", "rule"),
    [
        ([(1_000, 0.01)], "begins at 1000"),
        ([(0, 0.02), (1_000, 0.01)], "falls from 0.02 to 0.01"),
        ([(0, 0.01), (0, 0.02)], "floor 0 follows 0"),
        ([(0, 1.5)], "is not a share"),
        ([(0, 0.01), (float("inf"), 0.02)], "is not a share"),
    ],
)
def test_tiers_that_no_scenario_takes_are_refused(
    tmp_path: Path, rows: list[tuple[float, float]], rule: str
) -> None:
    tiers = tuple(TierRow("BTC", floor, rate) for floor, rate in rows)
    moment = datetime(2026, 11, 22, tzinfo=UTC)
    with pytest.raises(InputError, match=rule):
        write_tiers(ImportedTiers(tiers, moment, "venue by hand"), tmp_path)
    assert list(tmp_path.iterdir()) == []
