"""By the command: from an exported file to a valid scenario, and to a history that calibrates."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from stress.book.read import read_book
from stress.cli import main
from stress.data.prices import read_prices

Run = Callable[..., tuple[int, str, str]]

BOOK = (
    "account,symbol,size,side,entry price,margin mode,margin\n"
    "\"=cmd|' /C calc'!A0\",BTCUSDT,0.1,long,60000,cross,\n"
    "../../up,ETHUSDT,2,short,2500,isolated,700\n"
    "<b>bold</b>,ETHUSDT,1,long,2400,cross,\n"
)

CASH = ("--cash", "=cmd|' /C calc'!A0=500", "--cash", "<b>bold</b>=900")

SCENARIO = """
name = "imported"
[simulation]
paths = 64
horizon = "1d"
step = "1h"
[market]
assets = ["BTC", "ETH"]
price = { BTC = 61_000.0, ETH = 2_450.0 }
volatility = { BTC = 0.5, ETH = 0.7 }
correlation = [[1.0, 0.8], [0.8, 1.0]]
[book]
accounts = "book/accounts.csv"
positions = "book/positions.csv"
[venue.tiers]
default = [ { floor = 0, rate = 0.02 } ]
"""


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs a command; it gives the exit code, stdout and stderr."""

    def call(*words: object) -> tuple[int, str, str]:
        code = main([str(word) for word in words])
        out, err = capsys.readouterr()
        return code, out, err

    return call


@pytest.fixture
def export(tmp_path: Path) -> Path:
    path = tmp_path / "export.csv"
    path.write_text(BOOK, encoding="utf-16")
    return path


def test_an_imported_book_is_valid(run: Run, tmp_path: Path, export: Path) -> None:
    folder = tmp_path / "book"
    stated = ("--as-of", "2026-11-22T01:00:00Z", *CASH)
    code, out, err = run("import", "positions", export, "-o", folder, *stated)
    assert code == 0, err
    assert out.startswith("3 accounts, 3 positions, 0 coins as of 2026-11-22 01:00:00 UTC,")
    assert "note: 3 rows read; columns used: account as account, symbol as symbol," in err
    assert {path.name for path in folder.iterdir()} == {
        "accounts.csv",
        "positions.csv",
        "book.toml",
    }
    # names with separators have made no file anywhere
    assert {path.name for path in tmp_path.iterdir()} == {"export.csv", "book"}
    (tmp_path / "s.toml").write_text(SCENARIO)
    code, out, err = run("validate", tmp_path / "s.toml")
    assert code == 0, err
    book, _ = read_book(folder / "accounts.csv", folder / "positions.csv", None, ["BTC", "ETH"])
    assert book.accounts == ("=cmd|' /C calc'!A0", "../../up", "<b>bold</b>")
    assert book.cash.tolist() == [500.0, 0.0, 900.0]
    assert book.quantity.tolist() == [0.1, -2.0, 1.0]


def test_tomorrows_file_replaces_todays_book(run: Run, tmp_path: Path, export: Path) -> None:
    stated = ("-o", tmp_path / "book", *CASH, "--as-of")
    assert run("import", "positions", export, *stated, "2026-11-22T01:00Z")[0] == 0
    later = shutil.copy(export, tmp_path / "export-2.csv")
    assert run("import", "positions", later, *stated, "2026-11-23T01:00Z")[0] == 0
    assert "2026-11-23" in (tmp_path / "book" / "book.toml").read_text()


def test_a_clearinghouse_state_by_the_command(run: Run, tmp_path: Path) -> None:
    position = {
        "coin": "BTC",
        "szi": "1.0",
        "leverage": {"type": "cross", "value": 5},
        "entryPx": "60000.0",
        "positionValue": "61000.0",
    }
    reply = {
        "marginSummary": {"totalNtlPos": "61000.0"},
        "crossMarginSummary": {"accountValue": "11000.0", "totalRawUsd": "-50000.0"},
        "assetPositions": [{"type": "oneWay", "position": position}],
        "time": 1_770_000_000_000,
    }
    state = tmp_path / "state.json"
    state.write_text(json.dumps(reply))
    words = ("import", "positions", state, "-o", tmp_path / "book", "--json")
    code, out, _ = run(*words, "--account", "whale")
    facts = json.loads(out)
    assert (code, facts["accounts"], facts["as_of"]) == (0, 1, "2026-02-02T02:40:00Z")
    with (tmp_path / "book" / "accounts.csv").open() as rows:
        assert list(csv.reader(rows)) == [["account", "cash"], ["whale", "10000"]]
    code, _, err = run(*words, "--cash", "5")
    assert (code, "--cash: a clearinghouse state says this itself" in err) == (2, True)


def test_imported_prices_calibrate(run: Run, tmp_path: Path) -> None:
    rows = [f"{1 + day // 28:02}/{1 + day % 28:02}/2024" for day in range(120)]
    wide = "\n".join(
        f'{date};"{60_000 + 997 * (day * day % 13):,}.5";{2_500 + 41 * (day % 7)}'
        for day, date in enumerate(rows)
    )
    export = tmp_path / "two.csv"
    export.write_text("Date;BTCUSDT;ETH-USD\n" + wide + "\n")
    code, out, err = run("import", "prices", export, "-o", tmp_path / "prices")
    assert code == 0, err
    assert out.startswith("2 assets, 240 bars as of 2024-05-08 00:00:00 UTC, prices by the files")
    history = read_prices(tmp_path / "prices" / "prices.csv")
    assert history.close[:2].tolist() == [[60_000.5, 2_500.0], [60_997.5, 2_541.0]]
    words = (tmp_path / "prices" / "prices.csv", "-o", tmp_path / "market.toml")
    code, _, err = run("calibrate", *words, "--models", "gbm", "--no-page")
    assert code == 0, err
    code, out, _ = run("import", "prices", export, "-o", tmp_path / "p", "--assets", "ETH")
    assert out.startswith("1 asset, 120 bars")


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("positions", "absent.csv"), 5, "absent.csv: the file does not exist"),
        (("positions",), 2, "name one source"),
        (("positions", "export.csv", "--exchange", "okx"), 2, "name one source"),
        (("positions", "--exchange", "okx", "--decimal", ","), 2, "--decimal: is no option of"),
        (("positions", "export.csv", "--since", "2024-01-01"), 2, "--since: is no option of files"),
        (("positions", "export.csv", "export.csv"), 2, "2 files of positions are given"),
        (("positions", "export.csv", "--account", "a", "--account", "b"), 2, "--account: a file"),
        (("tiers", "export.csv"), 2, "tiers are not read from files"),
        (("prices", "export.csv"), 2, "no column is known as the timestamp"),
        (("prices", "absent.csv", "export.csv"), 5, "does not exist"),
        (("positions", "export.csv"), 2, "add --as-of"),
        (("positions", "export.csv", "--as-of", "03/04/2024"), 2, "--as-of: "),
        (("positions", "export.csv", "--column", "size"), 2, "--column: "),
        (("positions", "export.csv", "--column", "a=b", "--column", "a=c"), 2, "twice"),
        (("positions", "export.csv", "--cash", "much"), 2, '--cash: "much" is not NAME=NUMBER or'),
        (("positions", "export.csv", "--cash", "=5"), 2, "--cash: "),
        (("positions", "export.csv", "--cash", "5", "--cash", "6"), 2, "--cash: "),
        (("positions", "export.csv", "--contract-size", "0.1"), 2, "is not NAME=NUMBER;"),
        (("positions", "export.csv", "--contract-size", "BTC=-1"), 2, "must be above 0"),
        (("positions", "export.csv", "--contract-size", "BTC=nan"), 2, "is not NAME=NUMBER"),
        (
            ("positions", "export.csv", *CASH, "--as-of", "2026-11-22", "--assets", "BTC"),
            2,
            "../../up has a position in ETH, which --assets does not name",
        ),
    ],
)
def test_what_cannot_be_done_is_one_line(
    run: Run,
    tmp_path: Path,
    export: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    code: int,
    says: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    found, out, err = run("import", *words, "-o", "out")
    assert found == code, err
    assert says in err
    assert (err.count("\n"), out) == (1, "")
    assert {path.name for path in tmp_path.iterdir()} == {export.name}


def test_a_file_is_never_written_over_itself(run: Run, tmp_path: Path) -> None:
    own = tmp_path / "positions.csv"
    own.write_text(BOOK)
    words = ("--as-of", "2026-11-22", *CASH)
    code, _, err = run("import", "positions", own, "-o", tmp_path, *words)
    assert (code, "would overwrite the file that it reads" in err) == (2, True)
    assert own.read_text() == BOOK
