"""What is worth knowing about a book before it is simulated."""

from __future__ import annotations

from pathlib import Path

import pytest

from stress.book.notices import starting_notices
from stress.scenario.build import build_setting, load_book
from tests.strategies import PRICE, Account, write_book


def stops(folder: Path, *positions: tuple[float, float]) -> str:
    """Return the notices of one account with (quantity, stop over mark) of ONE."""
    rows = [
        {"asset": "ONE", "quantity": size, "entry_price": 128.0, "stop_price": share * PRICE["ONE"]}
        for size, share in positions
    ]
    scenario = write_book(folder, {"a": Account(1e4, rows)})
    setting, (book, _) = build_setting(scenario), load_book(scenario)
    return " ".join(starting_notices(book, setting, ("as-booked",)))


@pytest.mark.parametrize(("size", "share"), [(1.0, 1.0), (1.0, 1.5), (-1.0, 1.0), (-1.0, 0.5)])
def test_a_stop_that_is_reached_at_once_is_said(size: float, share: float, tmp_path: Path) -> None:
    found = stops(tmp_path, (size, share), (size, 1.0 - 0.1 * size))
    assert "1 stop is reached at the starting mark" in found
    assert "closed at the first step: a/ONE" in found


@pytest.mark.parametrize(("size", "share"), [(1.0, 0.999), (-1.0, 1.001)])
def test_a_stop_on_its_own_side_is_not(size: float, share: float, tmp_path: Path) -> None:
    assert "stop" not in stops(tmp_path, (size, share))


def test_several_stops_are_one_notice(tmp_path: Path) -> None:
    assert "2 stops are reached" in stops(tmp_path, (1.0, 1.1), (1.0, 0.9), (-1.0, 0.9))


def test_a_book_without_stops_has_no_such_notice(tmp_path: Path) -> None:
    row = {"asset": "ONE", "quantity": 1.0, "entry_price": 128.0}
    scenario = write_book(tmp_path, {"a": Account(1e4, [row])})
    setting, (book, _) = build_setting(scenario), load_book(scenario)
    assert "stop" not in " ".join(starting_notices(book, setting, ("as-booked",)))
