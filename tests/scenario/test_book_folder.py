"""A folder of a book instead of the scenario's own, and the moment that stands beside a book."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from stress.errors import InputError, MissingInputError
from stress.scenario.build import load_book
from stress.scenario.load import load_scenario
from stress.scenario.resolve import resolved_toml
from tests.strategies import random_book, write_book

MOMENT = datetime(2026, 11, 22, 1, tzinfo=UTC)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A scenario with its own book, resolved: its tables stand there with their hashes."""
    own = tmp_path / "own"
    own.mkdir()
    scenario = write_book(own, random_book(1, ("cross_several",)), {"book.compare": ["isolated"]})
    (own / "scenario.toml").write_text(resolved_toml(scenario), "utf-8")
    return own / "scenario.toml"


@pytest.fixture
def tonight(tmp_path: Path) -> Path:
    """Another book, without coins, as an importer writes one."""
    folder = tmp_path / "tonight"
    folder.mkdir()
    (folder / "accounts.csv").write_text("account,cash\nalice,1000\n")
    (folder / "positions.csv").write_text("account,asset,quantity,entry_price\nalice,ONE,10,128\n")
    return folder


def test_tables(file: Path, tonight: Path) -> None:
    """The tables and their hashes go, how the book is run stays."""
    before, after = load_scenario(file), load_scenario(file, book=tonight)
    assert after.book.accounts == tonight / "accounts.csv"
    assert after.book.collateral is None and before.book.collateral is not None
    assert (after.book.mode, after.book.compare) == (before.book.mode, before.book.compare)
    assert after.market == before.market and after.venue == before.venue
    assert load_book(after)[0].accounts == ("alice",)
    assert set(before.inputs) and not after.inputs
    assert str(tonight / "positions.csv") in resolved_toml(after)


def test_moment(file: Path, tonight: Path) -> None:
    """It is the other book's: that of the scenario's own would be wrong."""
    text = file.read_text("utf-8").replace("[book]", "[book]\nas_of = 2020-01-01T00:00:00Z")
    file.write_text(text, "utf-8")
    assert load_scenario(file).book.as_of == datetime(2020, 1, 1, tzinfo=UTC)
    assert load_scenario(file, book=tonight).book.as_of is None
    (tonight / "book.toml").write_text('as_of = "2026-11-22T01:00:00Z"\nsource = "by hand"\n')
    assert load_scenario(file, book=tonight).book.as_of == MOMENT


def test_moment_beside(file: Path) -> None:
    """Without ``book.as_of`` the ``book.toml`` counts that names this very table."""
    beside = file.parent / "book.toml"
    beside.write_text("as_of = 2026-11-22T01:00:00Z\n")
    assert load_scenario(file).book.as_of == MOMENT
    beside.write_text('as_of = 2026-11-22T01:00:00Z\naccounts = "others.csv"\n')
    assert load_scenario(file).book.as_of is None


def test_names_in_the_book_file(file: Path, tonight: Path) -> None:
    (tonight / "accounts.csv").rename(tonight / "clients.csv")
    with pytest.raises(MissingInputError, match=r"tonight: --book: holds no accounts\.csv"):
        load_scenario(file, book=tonight)
    (tonight / "book.toml").write_text(
        'as_of = 2026-11-22T01:00:00Z\naccounts = "clients.csv"\npositions = "positions.csv"\n'
    )
    assert load_scenario(file, book=tonight).book.accounts == tonight / "clients.csv"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("as_of = 2026-11-22T01:00:00Z\ncollateral = 'coins.csv'\n", "coins.csv does not exist"),
        ("source = 'by hand'\n", "book.toml: as_of: is missing"),
        ("as_of = 'tonight'\n", "book.toml: as_of: must be a date and time"),
        ("as_of = 2026-11-22T01:00:00Z\nacounts = 'a.csv'\n", "did you mean"),
        ("as_of = [", "book.toml: is not TOML"),
    ],
)
def test_book_file_that_is_wrong(file: Path, tonight: Path, content: str, words: str) -> None:
    (tonight / "book.toml").write_text(content)
    with pytest.raises(InputError) as found:
        load_scenario(file, book=tonight)
    assert words in str(found.value) and "\n" not in str(found.value)


def test_no_folder(file: Path, tonight: Path) -> None:
    for place in (tonight / "accounts.csv", tonight / "nowhere"):
        with pytest.raises(MissingInputError, match="--book: is not a folder"):
            load_scenario(file, book=place)
    (tonight / "accounts.parquet").write_text("")
    with pytest.raises(InputError, match=r"holds accounts\.csv and accounts\.parquet"):
        load_scenario(file, book=tonight)


def test_a_scenario_without_a_book(file: Path, tonight: Path) -> None:
    """It may be written for any book; a ``[book]`` that is none is still refused."""
    head, _, rest = file.read_text("utf-8").partition("[inputs]")[0].partition("[book]")
    file.write_text(head + "[" + rest.partition("\n[")[2], "utf-8")
    assert load_scenario(file, book=tonight).book.positions == tonight / "positions.csv"
    file.write_text("book = 5\n" + head, "utf-8")
    with pytest.raises(InputError, match="book: must be a table"):
        load_scenario(file, book=tonight)
