"""Stale input: what is judged, by which clock, and what is said."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import stress
from stress.cli import main
from stress.errors import InputError, StaleInputError
from stress.scenario.freshness import SKEW, Dated, check_freshness, spoken
from stress.scenario.load import load_scenario
from stress.scenario.resolve import resolved_toml

NOW = datetime(2026, 11, 22, 1, 0, tzinfo=UTC)
BOOK = """
as_of = "{moment}"
source = "by hand"
accounts = "accounts.csv"
positions = "positions.csv"
collateral = "collateral.csv"
"""


def limited(case: Any, table: str, max_age: str, as_of: str | None) -> Path:
    """Write the scenario with an age limited in one of its tables."""
    case.set(f"{table}.max_age", max_age)
    if as_of is not None:
        case.set(f"{table}.as_of", as_of)
    elif table == "market":
        # the book of the scenario states none
        case.drop("market.as_of")
    path: Path = case.write()
    return path


@pytest.mark.parametrize("table", ["market", "book"])
@pytest.mark.parametrize(
    ("as_of", "max_age", "fresh"),
    [
        ("2026-11-20T13:00:00Z", "36h", True),
        ("2026-11-20T12:59:59Z", "36h", False),
        ("2026-11-22T00:00:00+09:00", "10h", True),
        ("2026-11-22T00:00:00+09:00", "9.5h", False),
        ("2026-11-15", "1w", False),
        ("2026-11-22T01:04:59Z", "1s", True),
    ],
)
def test_an_age_is_measured_to_the_second(
    table: str, as_of: str, max_age: str, fresh: bool, case: Any
) -> None:
    scenario = load_scenario(limited(case, table, max_age, as_of))
    if fresh:
        check_freshness(scenario, now=NOW)
        return
    with pytest.raises(StaleInputError) as caught:
        check_freshness(scenario, now=NOW)
    assert caught.value.exit_code == 5


@given(
    age=st.floats(min_value=-SKEW.total_seconds(), max_value=1e9),
    hours=st.integers(min_value=1, max_value=100_000),
)
def test_stale_is_what_is_older_than_allowed(age: float, hours: int) -> None:
    dated = Dated("book", "the book", NOW - timedelta(seconds=age), f"{hours}h", None)
    # a moment has microseconds
    assert dated.is_stale(NOW) == (round(age, 6) > 3_600 * hours)


def test_what_is_said_of_a_stale_book(case: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """What, how old, how much is allowed, where it stands, the way out: one line and exit 5."""
    path = limited(case, "book", "12h", "2020-01-01T00:00:00Z")
    assert main(["validate", str(path)]) == 5
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert f"{path}: book.max_age: the book is of 2020-01-01T00:00:00Z, " in err
    assert ' days old, at most "12h" is allowed; import the book again, or state a longer' in err


@pytest.mark.parametrize("command", ["margin", "ladder", "run", "limits"])
def test_whatever_reads_the_inputs_refuses_stale_ones(
    command: str,
    case: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    case.set("appetite", {"confidence": 0.95, "account_liquidation_probability": 0.05})
    path = limited(case, "market", "12h", "2020-01-01T00:00:00Z")
    before = set(tmp_path.rglob("*"))
    assert main([command, str(path)]) == 5
    assert "the prices are of 2020-01-01T00:00:00Z" in capsys.readouterr().err
    assert set(tmp_path.rglob("*")) == before


def test_python_refuses_them_too(case: Any) -> None:
    path = limited(case, "book", "12h", "2020-01-01T00:00:00Z")
    with pytest.raises(StaleInputError, match="the book is of"):
        stress.run(path)


@pytest.mark.parametrize("table", ["market", "book"])
def test_an_age_needs_a_moment(table: str, case: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", str(limited(case, table, "12h", None))]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert f"{table}.max_age: there is no {table}.as_of to measure an age from; state" in err


@pytest.mark.parametrize("max_age", ["0h", "12", "12m", 12, -1, True])
def test_an_age_is_a_duration(max_age: Any, case: Any) -> None:
    case.set("book.max_age", max_age)
    case.set("book.as_of", "2026-11-22T00:00:00Z")
    with pytest.raises(InputError, match="max_age"):
        load_scenario(case.write())


def test_the_future_is_refused(case: Any) -> None:
    """A moment ahead of the clock is no fresh one: one of the two is wrong, exit code 2."""
    scenario = load_scenario(limited(case, "book", "12h", "2026-11-22T01:05:01Z"))
    with pytest.raises(InputError, match="5 minutes after this machine's clock") as caught:
        check_freshness(scenario, now=NOW)
    assert caught.value.exit_code == 2
    assert "correct the moment, or the clock" in str(caught.value)


def test_without_a_limit_nobody_looks_at_the_clock(case: Any) -> None:
    case.set("market.as_of", "1999-01-01T00:00:00Z")
    case.set("book.as_of", "2999-01-01T00:00:00Z")
    check_freshness(load_scenario(case.write()))


class TestWhereTheMomentComesFrom:
    def test_the_file_beside_the_tables(self, case: Any) -> None:
        path = limited(case, "book", "12h", None)
        beside = case.folder / "book.toml"
        beside.write_text(BOOK.format(moment="2026-11-20T01:00:00Z"))
        scenario = load_scenario(path)
        with pytest.raises(StaleInputError, match=r"48\.0 hours old") as caught:
            check_freshness(scenario, now=NOW)
        assert caught.value.file == beside

    def test_what_the_scenario_states_goes_before_it(self, case: Any) -> None:
        path = limited(case, "book", "12h", "2026-11-22T00:00:00Z")
        (case.folder / "book.toml").write_text(BOOK.format(moment="2026-11-20T01:00:00Z"))
        check_freshness(load_scenario(path), now=NOW)

    def test_the_calibration(self, case: Any) -> None:
        case.use_calibration()
        path = limited(case, "market", "30d", None)
        with pytest.raises(StaleInputError, match="of 2026-01-01T00:00:00Z") as caught:
            check_freshness(load_scenario(path), now=NOW)
        assert str(caught.value.file).endswith("calibration.toml")

    def test_one_dead_feed_among_many(self, case: Any) -> None:
        """The calibration is of its newest bar; an asset's price may be older, and is judged."""
        case.use_calibration()
        old = "\n[calibration.last]\nETH = '2026-11-14T00:00:00Z'\nBTC = '2026-11-22T00:00:00Z'\n"
        name = "calibration.toml"
        text = case.files[name].replace("2026-01-01", "2026-11-22")
        case.files[name] = text.partition("calibration =")[0] + old
        path = limited(case, "market", "36h", None)
        with pytest.raises(StaleInputError, match="the price of ETH is of 2026-11-14"):
            check_freshness(load_scenario(path), now=NOW)
        # a price that the scenario states is not the calibration's
        case.set("market.price", {"ETH": 2_600.0})
        check_freshness(load_scenario(case.write()), now=NOW)


class TestRepetition:
    def test_a_resolved_scenario_runs_again_whenever(
        self, case: Any, capsys: pytest.CaptureFixture[str]
    ) -> None:
        path = limited(case, "book", "12h", "2020-01-01T00:00:00Z")
        resolved = case.folder / "resolved.toml"
        resolved.write_text(resolved_toml(load_scenario(path)))
        again = load_scenario(resolved)
        assert again == load_scenario(path)
        assert again.book.max_age == "12h"
        assert main(["validate", str(resolved)]) == 0
        assert "  age     not judged: [inputs] names every file" in capsys.readouterr().out

    def test_one_file_without_a_hash_is_tonights(self, case: Any) -> None:
        path = limited(case, "book", "12h", "2020-01-01T00:00:00Z")
        text = resolved_toml(load_scenario(path))
        lines = [line for line in text.splitlines() if 'positions.csv" =' not in line]
        assert len(lines) == len(text.splitlines()) - 1
        path.write_text("\n".join(lines))
        with pytest.raises(StaleInputError):
            check_freshness(load_scenario(path))

    def test_a_resolved_scenario_on_tonights_book(self, case: Any, tmp_path: Path) -> None:
        """With another book it is no repetition, and the age of that book counts."""
        path = limited(case, "book", "12h", "2026-11-22T00:00:00Z")
        text = resolved_toml(load_scenario(path))
        path.write_text(text)
        tonight = tmp_path / "tonight"
        tonight.mkdir()
        for name in ("accounts.csv", "positions.csv", "collateral.csv"):
            (tonight / name).write_text(case.files[name])
        (tonight / "book.toml").write_text(BOOK.format(moment="2026-11-20T01:00:00Z"))
        with pytest.raises(StaleInputError, match="the book is of 2026-11-20"):
            check_freshness(load_scenario(path, book=tonight), now=NOW)


def test_validate_tells_the_ages(case: Any, capsys: pytest.CaptureFixture[str]) -> None:
    recent = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=2)
    case.set("book.as_of", recent.isoformat())
    case.set("book.max_age", "12h")
    path = str(case.write())
    assert main(["validate", path]) == 0
    assert "  age     the book is 2.0 hours old (of 20" in capsys.readouterr().out
    assert main(["validate", path, "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["ages"]
    assert (row["what"], row["max_age"]) == ("the book", "12h")
    assert row["hours"] == pytest.approx(2.0, abs=0.05)


@pytest.mark.parametrize("as_of", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_the_ends_of_the_calendar(
    as_of: str, case: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    path = limited(case, "book", "12h", as_of)
    assert main(["validate", str(path)]) in (2, 5)
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and as_of[:10] in err


def test_spans_are_said_in_a_unit_of_their_size() -> None:
    spans = {30: "30 seconds", 600: "10 minutes", 7_200: "2.0 hours", 345_600: "4.0 days"}
    assert {seconds: spoken(timedelta(seconds=seconds)) for seconds in spans} == spans
