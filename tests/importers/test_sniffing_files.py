"""What files are made of: encodings, delimiters, numbers, moments and names, and every refusal."""

from __future__ import annotations

import gzip
import io
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from stress.errors import InputError, MissingInputError
from stress.importers.files.moments import moment, read_moments
from stress.importers.files.numerals import decimal_mark, numeral
from stress.importers.files.sniffing import label, read_sheet, squeezed
from stress.importers.files.symbols import asset_of, pair_of

TABLE = "name,size\nβ,1\nb,2\n"
ROWS = (("β", "1"), ("b", "2"))


def put(folder: Path, content: str | bytes, name: str = "t.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def refused(folder: Path, content: str | bytes) -> str:
    with pytest.raises(InputError) as caught:
        read_sheet(put(folder, content))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def zipped(**members: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in members.items():
            archive.writestr(zipfile.ZipInfo(name), text)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        TABLE.encode(),
        TABLE.encode("utf-8-sig"),
        TABLE.encode("utf-16"),
        ("\ufeff" + TABLE).encode("utf-16-be"),
        TABLE.replace("\n", "\r\n").encode(),
        TABLE.replace(",", ";").encode(),
        TABLE.replace(",", "\t").encode("utf-16"),
        TABLE.replace(",", " | ").encode(),
        gzip.compress(TABLE.encode(), mtime=0),
        zipped(a=TABLE),
        b"sep=;\n" + TABLE.replace(",", ";").encode(),
        b"https://www.CryptoDataDownload.com\n" + TABLE.encode(),
        b"# made by hand, today\n\n" + TABLE.encode(),
        "name,size,\nβ,1,\nb,2,\n".encode(),
        '"name","size"\n"β","1"\n\n ,\n"b",2\n'.encode(),
    ],
)
def test_a_table_is_the_same_however_it_is_packed(tmp_path: Path, content: bytes) -> None:
    sheet = read_sheet(put(tmp_path, content))
    assert sheet.header == ("name", "size")
    assert sheet.rows == ROWS


def test_an_error_names_row_line_and_column(tmp_path: Path) -> None:
    sheet = read_sheet(put(tmp_path, '# a\nname,size\n\n"two\nlines",1\nb,2\n'))
    assert str(sheet.error(1, 1, "is wrong", "mend it")).endswith(
        "t.csv: row 2 (line 6), column size: is wrong; mend it"
    )


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "the file is empty"),
        ("# only a comment\n", "the file is empty"),
        ("name,size\n", "no rows"),
        ("name,size\na,1\nb\n", "row 2 (line 3): the row has 1 cells"),
        ("name,size\na\0,1\n", "line 2: holds a NUL character"),
        ("name,size\na,1\n".encode("utf-16-le"), "NUL"),
        (b"name\nM\xfcller\n", "line 2: is not UTF-8 text"),
        (b"\xff\xfea", "is not UTF-16 text"),
        (b"PAR1...", "Parquet"),
        (gzip.compress(TABLE.encode(), mtime=0)[:-9], "cannot be unpacked"),
        (zipped(a=TABLE, b=TABLE), "an archive of 2 files"),
        (zipped(a=TABLE)[:-30], "cannot be unpacked"),
        (zipped(**{"[Content_Types].xml": "", "x": ""}), "Excel workbook"),
        ('name,size\n"a"b,1\n', "line 2: is not a table"),
    ],
)
def test_what_is_no_table_is_refused_in_one_line(
    tmp_path: Path, content: str | bytes, says: str
) -> None:
    assert says in refused(tmp_path, content)


def test_a_cell_of_ten_megabytes_is_refused(tmp_path: Path) -> None:
    says = refused(tmp_path, f"name,size\n{'x' * 10_000_000},1\n")
    assert "line 2: is not a table: field larger" in says
    assert len(says) < 300


def test_an_absent_file_is_missing(tmp_path: Path) -> None:
    with pytest.raises(MissingInputError, match="does not exist"):
        read_sheet(tmp_path / "absent.csv")
    for name in ("a\0b", "x" * 5000, str(tmp_path)):
        with pytest.raises(InputError, match="cannot be read"):
            read_sheet(name)


@pytest.mark.parametrize(
    ("cell", "decimal", "value", "unit"),
    [
        ("1234.5", ".", 1234.5, ""),
        ("1,234.5", ".", 1234.5, ""),
        ("1.234,5", ",", 1234.5, ""),
        ("1\u202f234,5", ",", 1234.5, ""),
        ("1'234'567.25", ".", 1234567.25, ""),
        ("1,234", ".", 1234.0, ""),
        ("1,234", ",", 1.234, ""),
        ("-0.5 BTC", ".", -0.5, "BTC"),
        ("0.5BTC", ".", 0.5, "BTC"),
        ("\u22121.5", ".", -1.5, ""),
        ("(1 234)", ".", -1234.0, ""),
        ("$42,000.10", ".", 42000.1, ""),
        ("-$3.5", ".", -3.5, ""),
        ("+12 %", ".", 12.0, "%"),
        ("5E-06", ".", 5e-6, ""),
        (".5", ".", 0.5, ""),
        ("12 Cont", ".", 12.0, "Cont"),
        ("3张", ".", 3.0, "张"),
    ],
)
def test_a_number_as_people_write_it(cell: str, decimal: str, value: float, unit: str) -> None:
    found = numeral(cell, decimal)
    assert (found.value, found.unit) == (value, unit)


@pytest.mark.parametrize(
    "cell",
    ["", "abc", "1,23,456", "1.2.3", "1 23", "0,123.4", "1e999", "nan", "inf", "1_000", "٣", "--1"],
)
def test_what_is_no_number_under_a_decimal_point(cell: str) -> None:
    with pytest.raises(ValueError):
        numeral(cell, ".")


@pytest.mark.parametrize(
    ("cells", "delimiter", "mark"),
    [
        (["1,234", "0.5"], ",", "."),
        (["1,234", "0,5"], ",", ","),
        (["1.234", "1.234,5"], ";", ","),
        (["1.234", "2.500"], ",", "."),
        (["12", "13"], ";", "."),
    ],
)
def test_other_rows_say_what_a_comma_is(
    tmp_path: Path, cells: list[str], delimiter: str, mark: str
) -> None:
    rows = "".join(f'"{cell}"{delimiter}x\n' for cell in cells)
    sheet = read_sheet(put(tmp_path, f"n{delimiter}m\n{rows}"))
    assert decimal_mark(sheet, [0], None) == mark


@pytest.mark.parametrize(("cell", "delimiter"), [("1,234", ","), ("1,234", ";"), ("1.234", ";")])
def test_a_number_that_can_be_two_is_refused(tmp_path: Path, cell: str, delimiter: str) -> None:
    sheet = read_sheet(put(tmp_path, f'n{delimiter}m\n"{cell}"{delimiter}x\n'))
    with pytest.raises(InputError, match=r"row 1 \(line 2\), column n: .* say which with --dec"):
        decimal_mark(sheet, [0], None)
    assert decimal_mark(sheet, [0], ",") == ","


NOON = datetime(2024, 1, 31, 12, 0, tzinfo=UTC)
DAY = datetime(2024, 1, 31, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2024-01-31T12:00:00Z", NOON),
        ("2024-01-31 12:00:00", NOON),
        ("2024-01-31 12:00:00.000 UTC", NOON),
        ("2024-01-31 14:00:00+02:00", NOON),
        ("2024-01-31T06:30:00-0530", NOON),
        ("2024/1/31 12:00", NOON),
        ("31/01/2024 12:00", NOON),
        ("01/31/2024 12:00:00 PM", NOON),
        ("31.01.2024 12:00", NOON),
        ("2024-01-31 12-PM", NOON),
        ("Jan 31, 2024 12:00 pm", NOON),
        ("31 January 2024, 12:00", NOON),
        ("31-Jan-2024", DAY),
        ("20240131", DAY),
        ("2024-01-31", DAY),
        ("2024-01-31 12:00:00 AM", DAY),
        ("1706702400", NOON),
        ("1706702400.0", NOON),
        ("1706702400000", NOON),
        ("1706702400000000", NOON),
        ("1706702400000000000", NOON),
    ],
)
def test_a_moment_as_exports_write_it(tmp_path: Path, text: str, at: datetime) -> None:
    sheet = read_sheet(put(tmp_path, f'when\tx\n"{text}"\t1\n'))
    assert read_moments(sheet, 0, None, None).values == (at,)


@pytest.mark.parametrize(
    "text",
    ["", "2024-13-01", "29/02/2023", "2024-01-31Z", "2024-01-31 25:00", "2024-01-31 12",
     "2024-01-31 10:00 EST", "31 Foo 2024", "31 m 2024", "45322", "13:00", "yesterday"],
)  # fmt: skip
def test_what_is_no_moment(text: str) -> None:
    with pytest.raises(ValueError):
        moment(text)


def test_a_date_that_can_be_two_is_refused_unless_stated_or_decided(tmp_path: Path) -> None:
    alone = read_sheet(put(tmp_path, "when,x\n03/04/2024,1\n05/04/2024,1\n"))
    with pytest.raises(InputError, match=r"row 1 .*can be two dates; say --date-order DMY"):
        read_moments(alone, 0, None, None)
    stated = read_moments(alone, 0, None, "MDY")
    assert stated.values[0] == datetime(2024, 3, 4, tzinfo=UTC)
    decided = read_sheet(put(tmp_path, "when,x\n03/04/2024,1\n13/04/2024,1\n"))
    found = read_moments(decided, 0, None, None)
    assert found.values[0] == datetime(2024, 4, 3, tzinfo=UTC)
    assert found.notices == ("column when is in the order day, month, year",)
    both = read_sheet(put(tmp_path, "when,x\n04/13/2024,1\n13/04/2024,1\n"))
    with pytest.raises(InputError, match="day and month in different order"):
        read_moments(both, 0, None, None)


def test_a_column_is_written_one_way(tmp_path: Path) -> None:
    units = read_sheet(put(tmp_path, "when,x\n1706702400,1\n1706702400000,1\n"))
    assert read_moments(units, 0, None, None).notices == (
        "column when is unix time in ms and unix time in s",
    )
    for text in ("1706702400\n2024-01-31", "2024-01-31 10:00\n2024-01-31 10:00Z"):
        first, second = text.split("\n")
        sheet = read_sheet(put(tmp_path, f"when,x\n{first},1\n{second},1\n"))
        with pytest.raises(InputError, match=r"row 2 .* write the column one way"):
            read_moments(sheet, 0, None, None)


def test_digits_that_a_spreadsheet_took_are_missed(tmp_path: Path) -> None:
    sheet = read_sheet(put(tmp_path, "when,x\n1.70407E+12,1\n"))
    with pytest.raises(InputError, match="has lost its digits to a spreadsheet"):
        read_moments(sheet, 0, None, None)


@pytest.mark.parametrize(
    ("symbol", "asset"),
    [
        ("BTCUSDT", "BTC"),
        ("btcusdc", "BTC"),
        ("BTC-USDT-SWAP", "BTC"),
        ("BTC/USDT:USDT", "BTC"),
        ("BTC_USDT", "BTC"),
        ("BTCUSDT Perpetual", "BTC"),
        ("BTCPERP", "BTC"),
        ("1000PEPEUSDT", "1000PEPE"),
        ("PERPUSDT", "PERP"),
        ("BTC", "BTC"),
        ("btc", "BTC"),
        ("kPEPE", "kPEPE"),
        ("xyz:NVDA", "xyz:NVDA"),
        ("WBTC", "WBTC"),
        ("STETH", "STETH"),
        ("USDT", "USDT"),
        ("TUSD", "TUSD"),
    ],
)
def test_the_asset_of_a_symbol(symbol: str, asset: str) -> None:
    assert asset_of(symbol) == asset


@pytest.mark.parametrize(
    ("symbol", "says"),
    [
        ("BTCUSD_PERP", "inverse"),
        ("BTC-USD-SWAP", "inverse"),
        ("BTC-USD", "inverse"),
        ("BTCUSD", "inverse"),
        ("BTC/USD:BTC", "settles in BTC"),
        ("BTCUSDT_250328", "dated"),
        ("BTC-USDT-250328", "dated"),
        ("BTC-27JUN25", "dated"),
        ("BTC-27JUN25-60000-C", "dated"),
        ("ETH-BTC", "not priced in dollars but in BTC"),
        ("ETHBTC", "not priced in dollars but in BTC"),
        ("BTC-USDT-CW", "no name"),
        ("BTCUSDT Long 10X", "no name"),
        ("", "no name"),
        ("-USDT", "no name"),
    ],
)
def test_a_contract_that_is_none_of_ours(symbol: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        asset_of(symbol)


def test_a_price_in_dollars_may_be_in_plain_ones() -> None:
    assert pair_of("BTC-USD") == ("BTC", "USD")


def test_names() -> None:
    assert squeezed(" Liq. Price (USDT) ") == squeezed("liqPrice") == "liqprice"
    assert label(" =cmd|' /C calc'!A0 ") == "=cmd|' /C calc'!A0"
    for name in ("", " ", "a\nb", "a\0", "\ud800", "a\u202eb", "x" * 201):
        with pytest.raises(ValueError):
            label(name)
