"""The command from a price file to a calibration file, and every refusal on its way."""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stress
from stress.calibrate.command import calibrate_command
from stress.cli import main
from stress.errors import InputError
from stress.scenario.load import load_scenario

BARS = 200


def price_rows(bars: int = BARS, assets: tuple[str, ...] = ("BTC", "ETH", "SOL")) -> list[str]:
    draws = np.random.default_rng(17).standard_normal((bars, len(assets)))
    draws[:, 1:] = 0.7 * draws[:, :1] + 0.7 * draws[:, 1:]
    closes = 100 * np.exp(np.cumsum(0.04 * draws, axis=0))
    days = np.datetime64("2024-01-01") + np.arange(bars)
    return [
        f"{day},{asset},{close!r}"
        for day, row in zip(days, closes.tolist(), strict=True)
        for asset, close in zip(assets, row, strict=True)
    ]


def write(folder: Path, rows: list[str], header: str = "timestamp,asset,close") -> Path:
    path = folder / "prices.csv"
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def quickly(*names: Any, **options: Any) -> int:
    """Calibrate no more than what all models share."""
    return calibrate_command(*names, models=["gbm"], **options)


def refusal(capsys: pytest.CaptureFixture[str], prices: Path, *options: str) -> str:
    """The one line that a refused calibration says; nothing may be left behind."""
    before = sorted(prices.parent.iterdir())
    code = main(["calibrate", str(prices), "-o", str(prices.parent / "out.toml"), *options])
    assert code == 2
    assert sorted(prices.parent.iterdir()) == before
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert "Traceback" not in said.err
    return said.err


def test_the_file_holds_estimates_and_where_they_come_from(tmp_path: Path) -> None:
    rows = price_rows()
    # SOL begins on day 51, BTC misses day 31, one row stands twice, two rows are exchanged
    rows = [row for i, row in enumerate(rows) if not (i % 3 == 2 and i < 150) and i != 90]
    rows = [rows[1], rows[0], *rows[2:], rows[-1]]
    rows[2], rows[4] = rows[4], rows[2]
    prices = write(tmp_path, rows)
    assert calibrate_command(prices, tmp_path / "out.toml") == 0

    text = (tmp_path / "out.toml").read_text(encoding="utf-8")
    found = tomllib.loads(text)
    assert list(found) == [
        *("schema_version", "as_of", "assets", "correlation", "price", "volatility"),
        *("volatility_standard_error", "models", "standard_errors", "fits", "calibration"),
    ]
    assert found["schema_version"] == 1
    assert found["as_of"] == "2024-07-18T00:00:00Z"
    assert sorted(found["assets"]) == ["BTC", "ETH", "SOL"]
    matrix = np.array(found["correlation"])
    assert matrix.shape == (3, 3)
    np.testing.assert_array_equal(np.diag(matrix), 1)
    assert set(found["price"]) == set(found["volatility"]) == set(found["assets"])
    # 0.04 a day is 0.76 a year
    assert found["volatility"]["BTC"] == pytest.approx(0.04 * 365**0.5, rel=0.2)
    assert 0.02 < found["volatility_standard_error"]["BTC"] < 0.06

    source = found["calibration"]
    assert source["package"] == f"margin-stress {stress.__version__}"
    assert source["source"] == str(prices.resolve())
    assert source["sha256"] == hashlib.sha256(prices.read_bytes()).hexdigest()
    assert source["bar_interval"] == "1d"
    assert source["first_timestamp"] == "2024-01-01T00:00:00Z"
    assert source["last_timestamp"] == "2024-07-18T00:00:00Z"
    assert source["observations"] == {"BTC": 197, "ETH": 199, "SOL": 149}
    assert source["first"]["SOL"] == "2024-02-20T00:00:00Z"
    assert source["gaps"] == {"BTC": 1, "ETH": 0, "SOL": 0}
    assert source["duplicates_dropped"] == {"BTC": 0, "ETH": 0, "SOL": 1}
    assert source["rows_out_of_order"] == 1
    assert source["common_observations"] == 149
    assert 0 < source["shrinkage"] < 1
    assert source["least_eigenvalue"] == pytest.approx(np.linalg.eigvalsh(matrix)[0], rel=1e-9)
    assert set(source["method"]) >= {"volatility", "correlation"}


def test_the_table_names_every_asset_and_the_path(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    quickly(write(tmp_path, price_rows()), tmp_path / "out.toml")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[:4]] == ["asset", "BTC", "ETH", "SOL"]
    assert re.search(r"0\.\d{4}-0\.\d{4} +199 +0", lines[1])
    assert lines[-1] == str(tmp_path / "out.toml")


def test_json_says_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prices = write(tmp_path, price_rows())
    quickly(prices, tmp_path / "out.toml", as_json=True)
    found = json.loads(capsys.readouterr().out)
    file = tomllib.loads((tmp_path / "out.toml").read_text(encoding="utf-8"))
    assert found["file"] == str(tmp_path / "out.toml")
    for asset in file["assets"]:
        low, high = found["assets"][asset]["volatility_interval"]
        assert found["assets"][asset]["volatility"] == file["volatility"][asset]
        assert low < file["volatility"][asset] < high
    assert found["shrinkage"] == file["calibration"]["shrinkage"]


def test_the_same_history_gives_the_same_bytes(tmp_path: Path) -> None:
    prices = write(tmp_path, price_rows())
    for name in ("one.toml", "other.toml"):
        quickly(prices, tmp_path / name)
    assert (tmp_path / "one.toml").read_bytes() == (tmp_path / "other.toml").read_bytes()


def test_assets_and_dates_are_chosen(tmp_path: Path) -> None:
    prices = write(tmp_path, price_rows())
    quickly(
        prices, tmp_path / "o.toml", assets=["SOL", "BTC"], since="2024-02-01", until="2024-05-31"
    )
    found = tomllib.loads((tmp_path / "o.toml").read_text(encoding="utf-8"))
    assert found["assets"] == ["SOL", "BTC"]
    assert found["as_of"] == "2024-05-31T00:00:00Z"
    assert found["calibration"]["observations"] == {"SOL": 120, "BTC": 120}


def test_until_a_day_takes_that_whole_day(tmp_path: Path) -> None:
    hours = np.datetime64("2024-01-01T00:00") + np.arange(96) * np.timedelta64(1, "h")
    closes = np.exp(np.cumsum(0.01 * np.random.default_rng(1).standard_normal(96)))
    rows = [f"{hour}Z,BTC,{close:.6f}" for hour, close in zip(hours, closes, strict=True)]
    quickly(write(tmp_path, rows), tmp_path / "o.toml", until="2024-01-02")
    found = tomllib.loads((tmp_path / "o.toml").read_text(encoding="utf-8"))
    assert found["as_of"] == "2024-01-02T23:00:00Z"


def test_an_asset_that_ends_early_is_noted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [row for row in price_rows() if not (",ETH," in row and row > "2024-06")]
    quickly(write(tmp_path, rows), tmp_path / "o.toml")
    assert "note: ETH ends at 2024-05-31T00:00:00Z, 48 days before" in capsys.readouterr().out
    found = tomllib.loads((tmp_path / "o.toml").read_text(encoding="utf-8"))
    assert len(found["calibration"]["notes"]) == 1


def test_an_asset_with_an_odd_name_survives_the_file(tmp_path: Path) -> None:
    quickly(write(tmp_path, price_rows(60, ("1000.PEPE", "a b"))), tmp_path / "o.toml")
    found = tomllib.loads((tmp_path / "o.toml").read_text(encoding="utf-8"))
    assert set(found["volatility"]) == {"1000.PEPE", "a b"}


BAD: dict[str, tuple[list[str], list[str]]] = {
    "zero": (["2024-08-01,ETH,0"], ["row 601", "column close", "ETH", "positive"]),
    "time": (["soon,ETH,1"], ["row 601", "column timestamp", '"soon"']),
    "zones": (["2024-08-01T00:00Z,ETH,1"], ["row 601", "one way", "row 1"]),
    "twice": (["2024-01-01,BTC,1"], ["row 601", "row 1,", "BTC", "keep one"]),
    "short": (["2024-01-01,XRP,1", "2024-01-02,XRP,2"], ["XRP has 1 returns", "--assets"]),
    "constant": (
        [f"{day},XRP,5" for day in np.datetime64("2024-01-01") + np.arange(50)],
        ["XRP does not vary", "--assets"],
    ),
    "unit": (
        [
            f"{day},XRP,{90000 + i % 7 if i > 20 else 5 + i % 7}"
            for i, day in enumerate(np.datetime64("2024-01-01") + np.arange(50))
        ],
        ["XRP moves by a factor of", "2024-01-22"],
    ),
    "late": (
        [
            f"{day},XRP,{5 + i % 7}"
            for i, day in enumerate(np.datetime64("2024-07-10") + np.arange(50))
        ],
        ["only 8 bars", "XRP begins last", "--assets", "--since"],
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_history_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    rows, parts = BAD[name]
    text = refusal(capsys, write(tmp_path, [*price_rows(), *rows]))
    for part in ("prices.csv", *parts):
        assert part in text


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (["--assets", "BTC,eth"], ["--assets", 'did you mean "ETH"?']),
        (["--since", "spring"], ["--since", '"spring"', "2024-01-31"]),
        (["--until", "1/2/2024"], ["--until", '"1/2/2024"']),
        (["--since", "2024-03-01", "--until", "2024-02-01"], ["--since", "after --until"]),
        (["--since", "2030-01-01"], ["no price of BTC", "--since", "2024-07-18"]),
        (["--since", "2024-07-10"], ["BTC has 8 returns", "longer history"]),
        (["--models", "garch,student"], ["--models", '"student"', 'did you mean "student-t"?']),
        (["--models", ","], ["--models", "no model"]),
        (["--models", "garch", "--until", "2024-03-01"], ["garch cannot", "--models"]),
    ],
)
def test_a_bad_option_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], parts: list[str]
) -> None:
    text = refusal(capsys, write(tmp_path, price_rows()), *options)
    for part in parts:
        assert part in text


def test_a_missing_column_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = refusal(capsys, write(tmp_path, ["2024-01-01,BTC,1"], "timestamp,asset,price"))
    assert "prices.csv" in text
    assert "column" in text


def test_an_absent_price_file_is_exit_code_5(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["calibrate", str(tmp_path / "none.csv"), "-o", str(tmp_path / "out.toml")])
    assert code == 5
    assert "none.csv" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_scenario_takes_its_market_from_the_file(tmp_path: Path) -> None:
    quickly(write(tmp_path, price_rows()), tmp_path / "market.toml")
    (tmp_path / "accounts.csv").write_text("account,cash\na,100\n")
    (tmp_path / "positions.csv").write_text("account,asset,quantity,entry_price\na,ETH,1,100\n")
    scenario = load_scenario(
        {
            "name": "calibrated",
            "market": {"assets": ["ETH", "BTC"], "calibration": "market.toml"},
            "book": {"accounts": "accounts.csv", "positions": "positions.csv"},
            "venue": {"tiers": {"default": [{"floor": 0, "rate": 0.01}]}},
        },
        base=tmp_path,
    )
    found = tomllib.loads((tmp_path / "market.toml").read_text(encoding="utf-8"))
    assert scenario.market.volatility["ETH"] == found["volatility"]["ETH"]
    assert scenario.market.price["BTC"] == found["price"]["BTC"]
    order = [found["assets"].index(asset) for asset in ("ETH", "BTC")]
    expected = np.array(found["correlation"])[np.ix_(order, order)]
    np.testing.assert_array_equal(scenario.market.correlation, expected)


def test_an_output_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    prices = write(tmp_path, price_rows())
    for output in (tmp_path / "none" / "o.toml", tmp_path):
        with pytest.raises(InputError, match="cannot be written") as caught:
            quickly(prices, output)
        assert str(output) in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["prices.csv"]


def test_the_price_file_is_not_overwritten(tmp_path: Path) -> None:
    prices = write(tmp_path, price_rows())
    before = prices.read_bytes()
    with pytest.raises(InputError, match="overwrite the price file"):
        quickly(prices, prices)
    assert prices.read_bytes() == before
