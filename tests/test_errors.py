"""Messages: one line that a terminal shows and does not obey, however long or wild the value."""

from __future__ import annotations

import pytest

from stress.errors import InputError, Interrupted, closest


@pytest.mark.parametrize(
    ("found", "shown"),
    [
        ("two\nlines\tand more", "two lines and more"),
        ("\x1b[2J", "\\x1b[2J"),
        ("\u202eback", "\\u202eback"),
        ("\udcff", "\\udcff"),
        ("caf\u00e9 \U0001f4a5", "caf\u00e9 \U0001f4a5"),
    ],
)
def test_a_message_is_one_printable_line(found: str, shown: str) -> None:
    error = InputError(f"must be nice, got {found}", file="a.toml", key="b", remedy="be nice")
    assert str(error) == f"a.toml: b: must be nice, got {shown}; be nice"
    assert str(Interrupted(found)) == shown


def test_a_long_message_keeps_both_ends() -> None:
    text = str(InputError("got " + "x" * 10_000_000, file="a.toml", remedy="shorten it"))
    assert len(text) < 1_600
    assert text.startswith("a.toml: got xxx")
    assert text.endswith("xxx; shorten it")


def test_a_like_name_is_found_among_the_first_ten_thousand() -> None:
    known = [f"account-{number}" for number in range(5_000)]
    assert closest("acount-7", known) == 'did you mean "account-7"?'
    assert closest("x" * 1_000_000, ["BTC"]) == "known: BTC"
