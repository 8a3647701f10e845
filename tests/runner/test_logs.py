"""Log lines: JSON, in UTC, of what happened; a log that fails does not end a run."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime, timedelta
from math import inf, nan
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stress.errors import InputError, StaleInputError
from stress.runner.logs import LOGGER, JsonLines, Logged, logged_to, tell
from stress.runner.progress import Silent
from stress.runner.unattended import unattended


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]


def never(text: str) -> None:
    raise AssertionError(text)


class TestLines:
    def test_time_level_event_and_fields(self, tmp_path: Path) -> None:
        file = tmp_path / "log.jsonl"
        before = datetime.now(UTC)
        with logged_to(file, never):
            tell("limit", level=logging.WARNING, value=nan, upper=inf, kept=False, page=tmp_path)
        (line,) = lines(file)
        moment = datetime.fromisoformat(line.pop("time"))
        assert moment.utcoffset() == timedelta(0)
        assert abs(moment - before) < timedelta(minutes=1)
        assert line == {
            "level": "warning",
            "event": "limit",
            "value": None,
            "upper": None,
            "kept": False,
            "page": str(tmp_path),
        }

    @given(st.text())
    def test_any_text_stays_on_its_line(self, text: str) -> None:
        record = logging.LogRecord("stress", logging.INFO, "", 0, "notice", None, None)
        record.fields = {"text": text}
        line = JsonLines().format(record)
        assert line.isascii() and line.splitlines() == [line]
        assert json.loads(line)["text"] == text

    def test_it_is_appended_to(self, tmp_path: Path) -> None:
        """One file holds every night; a line is there as soon as it is told."""
        file = tmp_path / "log.jsonl"
        for night in ("first", "second"):
            with logged_to(file, never):
                tell(night)
                assert lines(file)[-1]["event"] == night
        assert [line["event"] for line in lines(file)] == ["first", "second"]

    def test_without_a_file_nothing_is_written(self, capfd: pytest.CaptureFixture[str]) -> None:
        with logged_to(None, never):
            tell("notice", level=logging.ERROR, text="x")
        assert capfd.readouterr() == ("", "")

    def test_the_logger_is_left_as_it_was(self, tmp_path: Path) -> None:
        before = (list(LOGGER.handlers), LOGGER.level)
        with logged_to(tmp_path / "log", never):
            pass
        assert (LOGGER.handlers, LOGGER.level) == before


class TestFailures:
    @pytest.mark.parametrize("place", ["absent/log", "."])
    def test_a_file_that_cannot_be_opened_is_refused(self, place: str, tmp_path: Path) -> None:
        with (
            pytest.raises(InputError, match="--log: cannot be written to"),
            logged_to(tmp_path / place, never),
        ):
            raise AssertionError("nothing is run")

    def test_a_full_disk_is_said_once_and_the_run_goes_on(self) -> None:
        said: list[str] = []
        with logged_to("/dev/full", said.append):
            for _ in range(3):
                tell("notice")
        assert said == ["--log: /dev/full cannot be written to any more; the run goes on"]


class TestProgress:
    def test_chunks_are_told_but_not_each_of_many(self, tmp_path: Path) -> None:
        """The first, the last, and in between one a second; all are shown."""
        shown: list[int] = []

        class Shown(Silent):
            def update(self, done: int) -> None:
                shown.append(done)

        file = tmp_path / "log"
        with logged_to(file, never):
            progress = Logged(Shown(), "two-books", 640)
            for done in range(64, 641, 64):
                progress.update(done)
            progress.close()
        found = [line["done"] for line in lines(file)]
        assert found[0] == 64 and found[-1] == 640
        assert len(found) < 10
        assert {line["total"] for line in lines(file)} == {640}
        assert shown == list(range(64, 641, 64))


def test_a_failure_is_told_with_its_exit_code(tmp_path: Path) -> None:
    file = tmp_path / "log"
    with (
        pytest.raises(StaleInputError),
        unattended(log=file, on_finish="true", complain=never),
    ):
        raise StaleInputError("the book is 3 days old")
    found = [
        {k: v for k, v in line.items() if k not in ("time", "seconds")} for line in lines(file)
    ]
    assert found == [
        {"level": "info", "event": "command_began"},
        {
            "level": "error",
            "event": "failed",
            "exit_code": 5,
            "message": "the book is 3 days old",
        },
        {"level": "info", "event": "handed_on", "program": "true"},
        {"level": "info", "event": "command_finished", "exit_code": 5},
    ]
