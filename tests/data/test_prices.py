"""Reading price histories: what is accepted, what is counted, and what each refusal says."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stress.data.prices import read_prices
from stress.data.timestamps import parse_moment
from stress.errors import InputError, MissingInputError

DAYS = ("2024-01-01", "2024-01-02", "2024-01-03")


def write(
    folder: Path, rows: Sequence[str], header: str = "timestamp,asset,close", name: str = "p.csv"
) -> Path:
    path = folder / name
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def message(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        read_prices(path)
    text = str(caught.value)
    assert "\n" not in text
    assert str(path) in text
    assert caught.value.exit_code == 2
    return text


def test_tidy_rows_become_a_table_of_closes(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        [f"{DAYS[0]},ETH,10", f"{DAYS[0]},BTC,100", f"{DAYS[1]},BTC,101.5", f"{DAYS[2]},ETH,12"],
    )
    history = read_prices(path)
    assert history.assets == ("ETH", "BTC")
    assert history.source == path.resolve()
    assert history.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    np.testing.assert_array_equal(history.timestamps, np.array(DAYS, dtype="datetime64[ms]"))
    np.testing.assert_array_equal(history.close, [[10, 100], [np.nan, 101.5], [12, np.nan]])
    assert history.duplicates.tolist() == [0, 0]
    assert history.out_of_order == 0


def test_a_whole_bar_history_is_accepted(tmp_path: Path) -> None:
    header = "timestamp,asset,open,high,low,close,volume,source"
    rows = [f"{day},BTC,1,3,1,2,10,exchange" for day in DAYS]
    assert read_prices(write(tmp_path, rows, header)).close[:, 0].tolist() == [2, 2, 2]


def test_rows_out_of_order_are_sorted_and_counted(tmp_path: Path) -> None:
    rows = [f"{DAYS[2]},BTC,3", f"{DAYS[0]},ETH,1", f"{DAYS[0]},BTC,1", f"{DAYS[1]},BTC,2"]
    history = read_prices(write(tmp_path, rows))
    # only 3 -> 1 goes back in time; that ETH starts before the row above it is no disorder
    assert history.out_of_order == 1
    np.testing.assert_array_equal(history.close[:, 0], [1, 2, 3])


def test_repeated_rows_are_dropped_and_counted(tmp_path: Path) -> None:
    rows = [f"{DAYS[0]},BTC,1", f"{DAYS[0]},BTC,1.0", f"{DAYS[0]},BTC,1", f"{DAYS[1]},ETH,2"]
    history = read_prices(write(tmp_path, rows))
    assert history.duplicates.tolist() == [2, 0]
    assert history.close[0, 0] == 1


def test_contradicting_rows_are_both_named(tmp_path: Path) -> None:
    rows = [f"{DAYS[0]},BTC,100", f"{DAYS[1]},BTC,101", f"{DAYS[0]},ETH,5", f"{DAYS[0]},BTC,102"]
    text = message(write(tmp_path, rows))
    for part in ("row 4 (line 5)", "row 1,", "column close", "BTC", "102", "100", "keep one"):
        assert part in text


@pytest.mark.parametrize(
    ("cell", "found"),
    [
        *(("0", "got 0"), ("-3.5", "got -3.5"), ("nan", "got nan")),
        *(("inf", "got inf"), ("", "empty"), ("n/a", "got n/a")),
    ],
)
def test_a_close_that_is_no_price_is_refused(tmp_path: Path, cell: str, found: str) -> None:
    text = message(write(tmp_path, [f"{DAYS[0]},BTC,1", f"{DAYS[0]},ETH,{cell}"]))
    for part in ("row 2 (line 3)", "column close", "ETH", "positive", found, "remove the row"):
        assert part in text


@pytest.mark.parametrize("missing", ["timestamp", "asset", "close"])
def test_a_missing_column_is_named(tmp_path: Path, missing: str) -> None:
    columns = [name for name in ("timestamp", "asset", "close", "volume") if name != missing]
    text = message(write(tmp_path, [",".join("1" for _ in columns)], ",".join(columns)))
    assert f'"{missing}"' in text


def test_an_empty_asset_is_refused(tmp_path: Path) -> None:
    assert "column asset" in message(write(tmp_path, [f"{DAYS[0]},,1"]))


def test_one_timestamp_is_no_history(tmp_path: Path) -> None:
    text = message(write(tmp_path, [f"{DAYS[0]},BTC,1", f"{DAYS[0]},ETH,2"]))
    assert "only one timestamp" in text
    assert "2024-01-01" in text


def test_an_absent_file_is_another_exit_code(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError):
        read_prices(tmp_path / "none.csv")


@pytest.mark.parametrize(
    "texts",
    [
        ("2024-01-01", "2024-01-02"),
        ("2024-01-01 00:00", "2024-01-02T00:00:00.000"),
        ("2024-01-01T00:00:00Z", "2024-01-02 00:00:00+00:00"),
        ("2023-12-31T19:00:00-05:00", "2024-01-02T05:30+0530"),
        ("1704067200", "1704153600"),
        ("1704067200000", "1704153600000"),
        ("1704067200000000", "1704153600000000"),
    ],
)
def test_timestamps_in_every_accepted_form(tmp_path: Path, texts: tuple[str, str]) -> None:
    history = read_prices(write(tmp_path, [f"{text},BTC,{1 + i}" for i, text in enumerate(texts)]))
    np.testing.assert_array_equal(
        history.timestamps, np.array(["2024-01-01", "2024-01-02"], dtype="datetime64[ms]")
    )


@pytest.mark.parametrize(
    "text",
    [
        *("yesterday", "", "20240102", "01/02/2024", "2024-13-01", "2024-02-30", "2024", "NaT"),
        *("2024-01-01T25:00", "2024-01-01T00:00:00+99:00", "1704067200.5", "2024-01-01Z"),
    ],
)
def test_a_text_that_is_no_timestamp_is_refused(tmp_path: Path, text: str) -> None:
    refused = message(write(tmp_path, [f"{DAYS[0]},BTC,1", f"{text},BTC,1"]))
    assert "row 2 (line 3), column timestamp" in refused
    assert ("not a timestamp" in refused and f'"{text}"' in refused) or not text


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("2024-01-01T00:00:00Z", "2024-01-02T00:00:00"),
        ("2024-01-01", "2024-01-02T00:00:00+01:00"),
        ("1704067200", "2024-01-02"),
        ("1704067200", "1704153600000"),
    ],
)
def test_mixed_timestamps_are_refused(tmp_path: Path, one: str, other: str) -> None:
    text = message(write(tmp_path, [f"{one},BTC,1", f"{one},ETH,1", f"{other},BTC,1"]))
    for part in ("row 3 (line 4), column timestamp", "one way", one, other, "row 1"):
        assert part in text


def test_a_moment_keeps_milliseconds() -> None:
    moment, _ = parse_moment("2024-01-01T12:34:56.789+01:00")
    assert moment == np.datetime64("2024-01-01T11:34:56.789")


@pytest.mark.parametrize(
    "stamps",
    [
        pa.array([dt.datetime(2024, 1, day) for day in (1, 2)], pa.timestamp("us")),
        pa.array([dt.datetime(2024, 1, day) for day in (1, 2)], pa.timestamp("ms", tz="UTC")),
        pa.array([dt.date(2024, 1, day) for day in (1, 2)]),
        pa.array([1704067200000, 1704153600000]),
        pa.array(["2024-01-01", "2024-01-02"]),
    ],
    ids=["naive", "utc", "date", "unix", "text"],
)
def test_parquet_holds_timestamps_of_any_kind(tmp_path: Path, stamps: pa.Array) -> None:
    path = tmp_path / "p.parquet"
    closes = pa.array([1.0, 2.5])
    pq.write_table(pa.table({"timestamp": stamps, "asset": ["BTC", "BTC"], "close": closes}), path)
    history = read_prices(path)
    np.testing.assert_array_equal(
        history.timestamps, np.array(["2024-01-01", "2024-01-02"], dtype="datetime64[ms]")
    )
    np.testing.assert_array_equal(history.close[:, 0], [1.0, 2.5])


def test_choosing_assets_and_dates(tmp_path: Path) -> None:
    rows = [f"{day},{asset},{1 + i}" for i, day in enumerate(DAYS) for asset in ("BTC", "ETH")]
    history = read_prices(write(tmp_path, rows))
    chosen = history.choose(["ETH", "ETH"], np.datetime64(DAYS[1]), np.datetime64(DAYS[1]))
    assert chosen.assets == ("ETH",)
    assert chosen.close.tolist() == [[2.0]]
    assert history.choose().assets == ("BTC", "ETH")
    with pytest.raises(InputError, match=r'"eth" .* did you mean "ETH"\?'):
        history.choose(["eth"])
    with pytest.raises(InputError, match=r"no price of BTC, ETH between --since and --until"):
        history.choose(since=np.datetime64("2025-01-01"))


BAR = "timestamp,asset,open,high,low,close,volume"


def test_bars_become_tables_beside_the_closes(tmp_path: Path) -> None:
    rows = [f"{DAYS[0]},BTC,1,3,0.5,2,10", f"{DAYS[0]},ETH,5,,4,5,0", f"{DAYS[1]},BTC,2,2,2,2,"]
    history = read_prices(write(tmp_path, rows, BAR))
    nan = np.nan
    np.testing.assert_array_equal(history.open, [[1, 5], [2, nan]])
    np.testing.assert_array_equal(history.high, [[3, nan], [2, nan]])
    np.testing.assert_array_equal(history.low, [[0.5, 4], [2, nan]])
    np.testing.assert_array_equal(history.volume, [[10, 0], [nan, nan]])
    chosen = history.choose(["ETH"])
    np.testing.assert_array_equal(chosen.open, [[5]])
    np.testing.assert_array_equal(chosen.volume, [[0]])
    closes = read_prices(write(tmp_path, [f"{day},BTC,1" for day in DAYS], name="q.csv"))
    assert closes.open is closes.high is closes.low is closes.volume is None
    assert closes.choose(["BTC"]).high is None


@pytest.mark.parametrize(
    ("cells", "column", "parts"),
    [
        ("0,3,1,2,1", "open", ("open of BTC", "positive", "got 0")),
        ("1,-3,1,2,1", "high", ("high of BTC", "positive", "got -3")),
        ("1,3,1,2,-1", "volume", ("volume of BTC", "at least 0", "got -1")),
        ("1,3,1,2,inf", "volume", ("must be finite", "inf")),
        ("1,3,1,2,many", "volume", ("must be a number", "many")),
        ("2,3,1.5,1,1", "low", ("low of BTC, 1.5, is above its close, 1",)),
        ("1,3,1.5,2,1", "low", ("low of BTC, 1.5, is above its open, 1",)),
        ("1,1.5,1,2,1", "high", ("high of BTC, 1.5, is below its close, 2",)),
        ("4,3,1,2,1", "high", ("high of BTC, 3, is below its open, 4",)),
    ],
)
def test_a_bar_that_contradicts_itself_is_refused(
    tmp_path: Path, cells: str, column: str, parts: tuple[str, ...]
) -> None:
    text = message(write(tmp_path, [f"{DAYS[0]},BTC,1,1,1,1,1", f"{DAYS[1]},BTC,{cells}"], BAR))
    assert f"row 2 (line 3), column {column}" in text
    for part in parts:
        assert part in text


def test_rounding_of_a_bar_is_let_pass(tmp_path: Path) -> None:
    rows = [f"{day},BTC,1,1.9999999,1,2,1" for day in DAYS]
    assert read_prices(write(tmp_path, rows, BAR)).high is not None
