"""The book from its tables: labels, defaults, CSV and Parquet alike. Refusals of single cells are
in tests/scenario/test_scenario_errors.py.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stress.book.read import read_book
from stress.errors import InputError, MissingInputError

ASSETS = ("BTC", "ETH")


def write(folder: Path, name: str, content: str) -> Path:
    path = folder / f"{name}.csv"
    path.write_text(content)
    return path


def test_a_book_keeps_file_order(tmp_path: Path) -> None:
    accounts = write(tmp_path, "accounts", "account,cash,group\nz,10,g\na,-5,h\nm,0,g\n")
    positions = write(
        tmp_path,
        "positions",
        "account,asset,quantity,entry_price,margin,leverage,position\n"
        "a,ETH,-1,2500,,5,hedge\nz,BTC,0.1,60000,500,,\na,BTC,0.2,61000,,,\n",
    )
    coins = write(tmp_path, "collateral", "account,asset,quantity\nm,ETH,2\nz,BTC,1\n")
    book, notices = read_book(accounts, positions, coins, ASSETS)
    assert book.accounts == ("z", "a", "m")
    assert book.cash.tolist() == [10, -5, 0]
    assert book.groups == ("g", "h")
    assert book.account_group.tolist() == [0, 1, 0]
    assert book.positions == ("hedge", "z/BTC", "a/BTC")
    assert book.position_account.tolist() == [1, 0, 1]
    assert book.position_asset.tolist() == [1, 0, 0]
    assert book.quantity.tolist() == [-1, 0.1, 0.2]
    assert book.entry_price.tolist() == [2500, 60000, 61000]
    np.testing.assert_array_equal(book.margin, [np.nan, 500, np.nan])
    np.testing.assert_array_equal(book.leverage, [5, np.nan, np.nan])
    assert book.coin_account.tolist() == [2, 0]
    assert book.coin_asset.tolist() == [1, 0]
    assert book.coin_quantity.tolist() == [2, 1]
    assert notices == ("1 account has no position and cannot be liquidated: m",)
    assert {book.cash.dtype, book.margin.dtype} == {np.dtype(np.float64)}
    assert book.position_asset.dtype == np.int64


def test_controls_are_read(tmp_path: Path) -> None:
    accounts = write(
        tmp_path,
        "accounts",
        "account,cash,reserve,top_up_trigger,top_up_target\na,1,500,0.8,0.5\nb,1,,,\nc,1,0,2,1\n",
    )
    positions = write(
        tmp_path,
        "positions",
        "account,asset,quantity,entry_price,stop_price\na,BTC,1,9,8\nb,BTC,1,9,\nc,BTC,-1,9,7\n",
    )
    book, notices = read_book(accounts, positions, None, ASSETS)
    assert book.reserve.tolist() == [500, 0, 0]
    np.testing.assert_array_equal(book.top_up_trigger, [0.8, np.nan, 2])
    np.testing.assert_array_equal(book.top_up_target, [0.5, np.nan, 1])
    np.testing.assert_array_equal(book.stop_price, [8, np.nan, 7])
    assert notices == ("1 account has a top_up_trigger but no reserve to draw from: c",)


def test_optional_columns_and_files_have_defaults(tmp_path: Path) -> None:
    accounts = write(tmp_path, "accounts", "cash,account\n1,a\n2,b\n")
    positions = write(
        tmp_path, "positions", "account,asset,quantity,entry_price\na,BTC,1,1\nb,BTC,1,1\n"
    )
    book, notices = read_book(accounts, positions, None, ASSETS)
    assert book.groups == ("all",)
    assert np.isnan(book.margin).all() and np.isnan(book.leverage).all()
    assert book.reserve.tolist() == [0, 0]
    assert np.isnan(book.top_up_trigger).all() and np.isnan(book.top_up_target).all()
    assert np.isnan(book.stop_price).all()
    assert book.coin_quantity.shape == (0,)
    assert notices == ()


def test_position_labels_are_made_unique(tmp_path: Path) -> None:
    accounts = write(tmp_path, "accounts", "account,cash\na,1\n")
    rows = ["a,BTC,1,1,", "a,BTC,1,1,a/BTC", "a,BTC,1,1,", "a,BTC,1,1,a/BTC#3", "a,BTC,1,1,"]
    positions = write(
        tmp_path,
        "positions",
        "\n".join(["account,asset,quantity,entry_price,position", *rows]) + "\n",
    )
    book, _ = read_book(accounts, positions, None, ASSETS)
    assert book.positions == ("a/BTC#2", "a/BTC", "a/BTC#4", "a/BTC#3", "a/BTC#5")


def test_debt_needs_a_cross_position(tmp_path: Path) -> None:
    accounts = write(tmp_path, "accounts", "account,cash\na,-1\n")
    isolated = "account,asset,quantity,entry_price,margin\na,BTC,1,1,0\n"
    with pytest.raises(InputError, match="without a cross position, got -1"):
        read_book(accounts, write(tmp_path, "positions", isolated), None, ASSETS)
    both = isolated + "a,ETH,1,1,\n"
    book, _ = read_book(accounts, write(tmp_path, "positions", both), None, ASSETS)
    assert book.cash.tolist() == [-1]
    # a margin of nothing is a margin: the position is isolated
    np.testing.assert_array_equal(book.margin, [0, np.nan])


def test_many_idle_accounts_are_one_notice(tmp_path: Path) -> None:
    rows = "".join(f"a{i},1\n" for i in range(10))
    accounts = write(tmp_path, "accounts", "account,cash\n" + rows)
    positions = write(tmp_path, "positions", "account,asset,quantity,entry_price\na0,BTC,1,1\n")
    _, notices = read_book(accounts, positions, None, ASSETS)
    assert notices == (
        "9 accounts have no position and cannot be liquidated: a1, a2, a3, a4, a5 and 4 more",
    )


def test_parquet_reads_like_csv(tmp_path: Path) -> None:
    tables = {
        "accounts": {"account": [17, 18], "cash": [1, 2]},
        "positions": {
            "account": [18, 17],
            "asset": pa.array(["BTC", "ETH"]).dictionary_encode(),
            "quantity": pa.array([0.5, -1.5], pa.float32()),
            "entry_price": [60_000, 2_500],
            "margin": [None, 7.5],
            "stop_price": pa.array([None, None], pa.float64()),
        },
    }
    files = []
    for name, columns in tables.items():
        files.append(tmp_path / f"{name}.parquet")
        pq.write_table(pa.table(columns), files[-1])
    from_parquet, _ = read_book(files[0], files[1], None, ASSETS)
    accounts = write(tmp_path, "accounts", "account,cash\n17,1\n18,2\n")
    positions = write(
        tmp_path,
        "positions",
        "account,asset,quantity,entry_price,margin\n18,BTC,0.5,60000,\n17,ETH,-1.5,2500,7.5\n",
    )
    from_csv, _ = read_book(accounts, positions, None, ASSETS)
    for name, value in vars(from_csv).items():
        np.testing.assert_array_equal(getattr(from_parquet, name), value, err_msg=name)


def test_a_missing_table_is_its_own_error(tmp_path: Path) -> None:
    accounts = write(tmp_path, "accounts", "account,cash\na,1\n")
    with pytest.raises(MissingInputError, match=r"nowhere\.csv: the file does not exist"):
        read_book(accounts, tmp_path / "nowhere.csv", None, ASSETS)
