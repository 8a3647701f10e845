"""Shipped scenarios are written with their files, and never over anything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stress.cli import main
from stress.errors import InputError
from stress.scenario import examples
from stress.scenario.examples import example_names, write_example


@pytest.mark.parametrize("name", example_names())
def test_a_shipped_scenario_is_valid_where_it_is_written(name: str, tmp_path: Path) -> None:
    written = write_example(name, tmp_path / "new" / "folder")
    assert written == tmp_path / "new" / "folder" / f"{name}.toml"
    assert main(["validate", str(written)]) == 0


@pytest.fixture
def home(case: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """One shipped scenario, two_books, with its data in a folder of its name."""
    data = case.folder / "home" / "two_books"
    data.mkdir(parents=True)
    case.use_calibration()
    for key in ("accounts", "positions", "collateral"):
        case.set(f"book.{key}", f"two_books/{key}.csv")
    case.set("market.calibration", "two_books/calibration.toml")
    case.files = {f"two_books/{name}": content for name, content in case.files.items()}
    case.folder = case.folder / "home"
    case.write().rename(case.folder / "two_books.toml")
    monkeypatch.setattr(examples, "_home", lambda: case.folder)
    return case


def test_an_example_comes_with_its_files(home: Any, tmp_path: Path) -> None:
    assert example_names() == ("two_books",)
    assert main(["example", "two_books", str(tmp_path / "mine")]) == 0
    written = sorted(
        str(file.relative_to(tmp_path / "mine")) for file in tmp_path.rglob("mine/**/*.*")
    )
    names = ("accounts.csv", "calibration.toml", "collateral.csv", "positions.csv")
    assert written == ["two_books.toml", *(f"two_books/{name}" for name in names)]
    assert main(["validate", str(tmp_path / "mine" / "two_books.toml")]) == 0


def test_an_example_overwrites_nothing(home: Any, tmp_path: Path) -> None:
    kept = tmp_path / "mine" / "two_books" / "positions.csv"
    kept.parent.mkdir(parents=True)
    kept.write_text("mine")
    with pytest.raises(InputError, match=r"positions\.csv: the file exists already; name another"):
        write_example("two_books", tmp_path / "mine")
    assert kept.read_text() == "mine"
    assert not (tmp_path / "mine" / "two_books.toml").exists()


def test_an_unknown_example_is_told_the_nearest(home: Any, tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match='no shipped scenario "two-books"; did you mean "two_books"'
    ):
        write_example("two-books", tmp_path)


def test_a_place_that_cannot_be_written_is_refused(home: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        write_example("two_books", tmp_path / "file")


def test_scenarios_that_share_tables_share_a_directory(tmp_path: Path) -> None:
    for name in ("fund_exhaustion", "fund_exhaustion_socialised"):
        assert write_example(name, tmp_path).is_file()
    (tmp_path / "fund_exhaustion" / "accounts.csv").write_text("mine")
    (tmp_path / "fund_exhaustion_socialised.toml").unlink()
    with pytest.raises(InputError, match="exists already"):
        write_example("fund_exhaustion_socialised", tmp_path)
