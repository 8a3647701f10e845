"""Tables: what a file may look like, and how each bad cell is named."""

from __future__ import annotations

import os
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stress.data.tables import LARGEST_NUMBER, SMALLEST_NUMBER, Table, read_table, suggestion
from stress.errors import InputError, MissingInputError


def csv(folder: Path, content: str | bytes) -> Path:
    path = folder / "table.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def read(folder: Path, content: str | bytes) -> Table:
    return read_table(csv(folder, content), ("name", "value"), ("extra",))


@pytest.mark.parametrize(
    "content",
    [
        "name,value\na,1\nb,-2.5e3\n",
        "name,value\na,1\nb,-2.5e3",
        "\ufeffname,value\r\na,1\r\nb,-2.5e3\r\n",
        "\n\nname, value \n\n a ,1\n\nb, -2.5e3\n",
        '"name","value"\n"a","1"\n"b","-2500"\n',
        "value,name\n1,a\n-2500.0,b\n",
    ],
)
def test_the_ways_to_write_a_csv(content: str, tmp_path: Path) -> None:
    table = read(tmp_path, content)
    assert table.rows == 2
    assert table.text("name") == ["a", "b"]
    np.testing.assert_array_equal(table.numbers("value"), [1, -2500])
    assert not table.has("extra")
    assert table.text("extra", default="-") == ["-", "-"]
    assert np.isnan(table.numbers("extra", optional=True)).all()


def test_text_keeps_commas_quotes_and_leading_zeros(tmp_path: Path) -> None:
    table = read(tmp_path, 'name,value\n"a, ""b""",1\n007,2\nj\u00f6rg,3\n')
    assert table.text("name") == ['a, "b"', "007", "j\u00f6rg"]


def test_rows_and_lines_are_counted_apart(tmp_path: Path) -> None:
    table = read(tmp_path, 'name,value\n"two\nlines",1\n\nb,oops\n')
    with pytest.raises(InputError, match=r"table\.csv: row 2 \(line 5\), column value: must be a"):
        table.numbers("value")
    with pytest.raises(InputError, match=r"row 2 \(line 4\): the row has 1 cells, the header 2"):
        read(tmp_path, "name,value\na,1\n\nb\n")


def test_a_parquet_file_has_rows_but_no_lines(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    pq.write_table(pa.table({"name": ["a", "b"], "value": [1.0, float("nan")]}), path)
    table = read_table(path, ("name", "value"))
    with pytest.raises(InputError, match='row 2, column value: must be finite, got "nan"'):
        table.numbers("value")


def test_parquet_types(tmp_path: Path) -> None:
    # the suffix does not matter, a Parquet file says what it is
    path = tmp_path / "table.csv"
    columns = {
        "whole": [1, 2],
        "decimal": [Decimal("1.5"), Decimal("2.5")],
        "text": ["3", " 4 "],
        "day": [date(2024, 1, 31), date(2024, 2, 1)],
        "moment": [datetime(2024, 1, 31, 8), datetime(2024, 2, 1)],
        "flag": [True, False],
        "half": [0.5, None],
    }
    pq.write_table(pa.table(columns), path)
    table = read_table(path, tuple(columns))
    assert table.numbers("whole").tolist() == [1, 2]
    assert table.numbers("decimal").tolist() == [1.5, 2.5]
    assert table.numbers("text").tolist() == [3, 4]
    assert table.text("text") == ["3", "4"]
    assert table.text("whole") == ["1", "2"]
    assert table.text("day") == ["2024-01-31", "2024-02-01"]
    assert table.text("moment")[0] == "2024-01-31T08:00:00"
    np.testing.assert_array_equal(table.numbers("half", optional=True), [0.5, np.nan])
    for column, method in (
        ("flag", table.numbers),
        ("flag", table.text),
        ("half", table.numbers),
        ("half", table.text),
        ("day", table.numbers),
    ):
        with pytest.raises(InputError, match=f"column {column}"):
            method(column)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("name,value\na,nan\n", 'must be finite, got "nan"; give a finite number'),
        ("name,value\na,-inf\n", 'must be finite, got "-inf"'),
        ("name,value\na,1e999\n", 'must be finite, got "1e999"'),
        ("name,value\na,\n", "the cell is empty; give a number"),
        ("name,value\na,  \n", "the cell is empty"),
        ('name,value\na,"1,5"\n', 'must be a number, got "1,5"; give a plain number'),
        ("name,value\na," + "x" * 99 + "\n", 'must be a number, got "' + "x" * 40 + r'\.\.\."'),
    ],
)
def test_a_bad_number_is_named(content: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"row 1 \(line 2\), column value: {words}"):
        read(tmp_path, content).numbers("value")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("nmae,value\na,1\n", 'header: unknown column "nmae"; did you mean "name"'),
        ("name,value,\na,1,\n", 'unknown column ""; known: name, value, extra'),
        ("name\na\n", 'column "value" is missing; add it; the columns are name, value, extra'),
        ("name,value,value\na,1,1\n", 'column "value" stands there twice'),
        ("name,value\n", "no rows"),
        ("", "the file is empty"),
        ("\n\n", "the file is empty"),
        ("name\tvalue\na\t1\n", "separate the columns with commas"),
        ("name,value\na,1,2\n", "the row has 3 cells, the header 2"),
        ("name,value\na,1\n".encode("utf-16"), "not UTF-8 text but UTF-16"),
        ("name,value\na,1\n".encode("utf-16-le"), "not UTF-8 text but UTF-16"),
        (b"name,value\na,\x00\n", "UTF-16 or binary"),
        (b"name,value\na,1\n\xff,2\n", "line 3: is not UTF-8 text; save it as CSV"),
        (b"PAR1 or not", "is not a Parquet file"),
    ],
)
def test_a_bad_file_is_named(content: str | bytes, words: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=words) as caught:
        read(tmp_path, content)
    assert "table.csv" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_absent_and_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match="does not exist") as caught:
        read_table(tmp_path / "nowhere.csv", ("name",))
    assert caught.value.exit_code == 5
    with pytest.raises(InputError, match="cannot be read") as other:
        read_table(tmp_path, ("name",))
    assert other.value.exit_code == 2


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=60) | st.text('name,value"\n\r\0 1a;', max_size=60))
def test_any_bytes_are_a_table_or_an_input_error(content: str | bytes, tmp_path: Path) -> None:
    try:
        table = read(tmp_path, content)
        table.text("name")
        table.numbers("value")
    except InputError as error:
        assert "\n" not in str(error)


def test_suggestions() -> None:
    assert suggestion("btc", ["ETH", "BTC"]) == 'did you mean "BTC"?'
    assert suggestion("alcie", ["alice", "bob"]) == 'did you mean "alice"?'
    assert suggestion("x", ["alice", "bob"]) == "known: alice, bob"
    many = [f"name{i}" for i in range(20)]
    assert suggestion("x", many).endswith("name7 and 12 more")


NUMBERS = st.floats(-LARGEST_NUMBER, LARGEST_NUMBER).filter(
    lambda value: value == 0 or abs(value) >= SMALLEST_NUMBER
) | st.integers(-(10**18), 10**18)
WRITTEN = (
    st.builds(str, NUMBERS) | st.builds("{:+}".format, NUMBERS) | st.sampled_from(["", " 1_0 "])
)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cells=st.lists(WRITTEN, min_size=1, max_size=6))
def test_columns_are_read_as_cells_are(cells: list[str], tmp_path: Path) -> None:
    """A whole column at once gives the digits that Python reads cell by cell."""
    rows = "".join(f"name{row % 2},{cell}\n" for row, cell in enumerate(cells))
    table = read(tmp_path, "name,value\n" + rows)
    expected = [float(cell) if cell else float("nan") for cell in cells]
    np.testing.assert_array_equal(table.numbers("value", optional=True), expected)
    assert table.cells("value") == [cell.strip() for cell in cells]
    names, index = table.numbered("name")
    assert [names[place] for place in index] == table.text("name")
    places = table.places("name", ["name1", "name0"], "unknown")
    np.testing.assert_array_equal(places, 1 - index)


@pytest.mark.parametrize("cell", ["1.1e18", "-1e300", "1e-31", "-1e-320"])
def test_a_size_that_does_not_exist_is_refused(cell: str, tmp_path: Path) -> None:
    table = read(tmp_path, f"name,value\na,1\nb,{cell}\n")
    with pytest.raises(InputError, match=r"row 2 \(line 3\), column value: must be 0, or from"):
        table.numbers("value")


@pytest.mark.parametrize(
    ("label", "rule"),
    [
        ("\x1b[31mred", "must be printable on one line, got '\\x1b[31mred'"),
        ("two\nlines", "must be printable on one line, got 'two\\nlines'"),
        ("\u202eback", "must be printable on one line, got '\\u202eback'"),
        ("x" * 201, "must have at most 200 characters, got 201"),
        ("x" * 100_000, "must have at most 200 characters, got 100,000"),
    ],
)
def test_a_label_that_no_terminal_or_table_should_show_is_refused(
    label: str, rule: str, tmp_path: Path
) -> None:
    table = read(tmp_path, f'name,value\nfine,1\n"{label}",2\n')
    with pytest.raises(InputError) as caught:
        table.text("name")
    assert f"row 2 (line {3 + label.count(chr(10))}), column name: {rule}" in str(caught.value)
    assert str(caught.value).isprintable()


def test_a_label_of_any_language_is_read(tmp_path: Path) -> None:
    labels = ["x" * 200, "caf\u00e9", "\u5e33\u6237", "\U0001f4a5", "=1", "a/b", "<b>"]
    rows = "".join(f'"{label}",1\n' for label in labels)
    assert read(tmp_path, "name,value\n" + rows).text("name") == labels


@pytest.mark.parametrize("kind", ["pipe", "zeros", "sparse"])
def test_what_never_ends_or_fills_all_memory_is_refused_unread(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "zeros":
        path.symlink_to("/dev/zero")
    else:
        with path.open("wb") as file:
            file.truncate(1 << 40)
    with pytest.raises(InputError, match=r"cannot be read: it (is no plain file|has 1,099)"):
        read_table(path, ("name",))


def test_the_first_unknown_name_is_named(tmp_path: Path) -> None:
    table = read(tmp_path, "name,value\na,1\nB,2\nc,3\n")
    with pytest.raises(
        InputError, match=r'row 2 \(line 3\), column name: no such, got "B"'
    ) as caught:
        table.places("name", ["a", "b"], "no such")
    assert 'did you mean "b"' in str(caught.value)


def test_empty_cells_read_as_the_default(tmp_path: Path) -> None:
    table = read(tmp_path, "name,value,extra\na,1,x\nb,2,\nc,3,all\n")
    assert table.text("extra", default="all") == ["x", "all", "all"]
    assert table.numbered("extra", default="all")[0] == ("x", "all")
    with pytest.raises(InputError, match=r"row 2 \(line 3\), column extra: the cell is empty"):
        table.text("extra")


def test_dictionaries_of_a_parquet_file(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    kinds = pa.array(["b", "a", None, "b"]).dictionary_encode()
    pq.write_table(pa.table({"name": kinds, "value": pa.array([1, 2, 3, 4], pa.int8())}), path)
    table = read_table(path, ("name", "value"))
    names, index = table.numbered("name", default="-")
    assert names == ("b", "a", "-")
    assert index.tolist() == [0, 1, 2, 0]
    assert table.text("value") == ["1", "2", "3", "4"]
