"""What a command tells at its end: to whom, what, and that nothing there changes how it ends."""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from stress.errors import InputError, Interrupted, StaleInputError
from stress.runner.on_finish import Outcome, hand_on, words_of
from stress.runner.unattended import Events, unattended

TOLD = """
import json, os, sys
told = {key: text for key, text in os.environ.items() if key.startswith("MARGIN_STRESS_")}
open(sys.argv[1], "w").write(json.dumps(told))
"""


def teller(folder: Path) -> tuple[str, Path]:
    """Return a command that writes down what it is told, and where it does."""
    file = folder / "told.json"
    script = folder / "tell it.py"
    script.write_text(TOLD)
    return shlex.join([sys.executable, str(script), str(file)]), file


def told(file: Path) -> dict[str, str]:
    found: dict[str, str] = json.loads(file.read_text())
    return {key.removeprefix("MARGIN_STRESS_"): text for key, text in found.items()}


@pytest.fixture
def complaints() -> list[str]:
    return []


def run_folder(folder: Path) -> Path:
    """Return a folder as a finished run leaves it."""
    made = folder / "a run"
    made.mkdir(parents=True)
    for name in ("report.html", "summary.json"):
        (made / name).write_text("")
    return made


class TestOutcome:
    def test_a_run(self, tmp_path: Path) -> None:
        folder = run_folder(tmp_path)
        environment = Outcome(3, "two-books", folder).environment()
        assert environment == {
            "MARGIN_STRESS_EXIT_CODE": "3",
            "MARGIN_STRESS_NAME": "two-books",
            "MARGIN_STRESS_FOLDER": str(folder),
            "MARGIN_STRESS_REPORT": str(folder / "report.html"),
            "MARGIN_STRESS_SUMMARY": str(folder / "summary.json"),
            "MARGIN_STRESS_ERROR": "",
        }

    def test_what_does_not_exist_is_empty(self, tmp_path: Path) -> None:
        environment = Outcome(75, "x", tmp_path / "removed", error="interrupted").environment()
        assert {key for key, text in environment.items() if not text} == {
            f"MARGIN_STRESS_{name}" for name in ("FOLDER", "REPORT", "SUMMARY")
        }

    def test_the_page_of_several_goes_first(self, tmp_path: Path) -> None:
        folder = run_folder(tmp_path)
        page = tmp_path / "pack.html"
        page.write_text("")
        environment = Outcome(0, "a, b", folder, page).environment()
        assert environment["MARGIN_STRESS_REPORT"] == str(page)


class TestHandingOn:
    def test_words_are_those_of_a_shell_and_nothing_is_expanded(
        self, tmp_path: Path, complaints: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """No shell stands between: what a shell would run, expand or redirect is text."""
        monkeypatch.chdir(tmp_path)
        script = "import sys; print(sys.argv[1:], file=open('words', 'w'))"
        odd = ["a b", "$HOME", "`id`", "*", ">out", ";", "'"]
        command = shlex.join([sys.executable, "-c", script, *odd])
        assert hand_on(words_of(command), {}) is None
        assert (tmp_path / "words").read_text() == f"{odd}\n"
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize(
        ("command", "rule"),
        [
            ("", "there is no command"),
            ("mail 'x", "no closing quotation"),
            ("no-such-program-anywhere x", 'there is no program "no-such-program-anywhere"'),
            ("/dev/null", "there is no program"),
        ],
    )
    def test_what_cannot_be_started_is_refused_before_the_run(
        self, command: str, rule: str, complaints: list[str]
    ) -> None:
        with (
            pytest.raises(InputError, match=rule) as caught,
            unattended(log=None, on_finish=command, complain=complaints.append),
        ):
            raise AssertionError("nothing is run")
        assert caught.value.exit_code == 2
        assert str(caught.value).startswith("--on-finish: ")

    @pytest.mark.parametrize(
        ("program", "said"),
        [
            ("raise SystemExit(7)", "ended with 7"),
            ("import os; os.kill(os.getpid(), 9)", "was ended by SIGKILL"),
            ("pass", None),
        ],
    )
    def test_how_it_ended(self, program: str, said: str | None) -> None:
        assert hand_on([sys.executable, "-c", program], {}) == said

    def test_it_may_not_take_for_ever(self, tmp_path: Path) -> None:
        """It is ended with all that it has started."""
        pid = tmp_path / "pid"
        script = f"sleep 600 & echo $! > {pid}; wait"
        said = hand_on(["/bin/sh", "-c", script], {}, patience=0.5)
        assert said == "was ended after 0.5 s"
        assert _gone(int(pid.read_text()))

    def test_an_interruption_ends_the_program_not_the_run(self, tmp_path: Path) -> None:
        """SIGTERM comes as KeyboardInterrupt: the run has its exit code by then."""
        # a shell lets what it starts in the background ignore Ctrl-C
        before = signal.signal(signal.SIGINT, signal.default_int_handler)

        def interrupt() -> None:
            deadline = time.monotonic() + 30
            while not (tmp_path / "started").exists() and time.monotonic() < deadline:
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGINT)

        threading.Thread(target=interrupt).start()
        script = f"touch {tmp_path / 'started'}; exec sleep 600"
        try:
            assert hand_on(["/bin/sh", "-c", script], {}) == "was ended by an interruption"
        finally:
            signal.signal(signal.SIGINT, before)

    def test_its_output_is_not_ours(self, capfd: pytest.CaptureFixture[str]) -> None:
        """Stdout may be JSON that somebody reads."""
        assert hand_on(["/bin/echo", "sent"], {}) is None
        assert capfd.readouterr() == ("", "sent\n")


class TestUnattended:
    def test_a_run_that_is_done(self, tmp_path: Path, complaints: list[str]) -> None:
        command, file = teller(tmp_path)
        with unattended(log=None, on_finish=command, complain=complaints.append) as events:
            assert events.ended(4) == 4
        assert told(file)["EXIT_CODE"] == "4"
        assert complaints == []

    @pytest.mark.parametrize(
        ("error", "code", "said"),
        [
            (InputError("no such thing", file="a.toml"), "2", "a.toml: no such thing"),
            (StaleInputError("old"), "5", "old"),
            (Interrupted("stopped"), "75", "stopped"),
            (KeyboardInterrupt(), "75", "interrupted"),
            (BrokenPipeError(), "141", "BrokenPipeError()"),
            (ZeroDivisionError("x"), "1", "ZeroDivisionError('x')"),
        ],
    )
    def test_a_run_that_fails(
        self, error: BaseException, code: str, said: str, tmp_path: Path, complaints: list[str]
    ) -> None:
        """The program is told all the same, and the error goes on."""
        command, file = teller(tmp_path)
        with (
            pytest.raises(type(error)),
            unattended(log=None, on_finish=command, complain=complaints.append),
        ):
            raise error
        assert (told(file)["EXIT_CODE"], told(file)["ERROR"]) == (code, said)

    def test_its_failure_is_said_and_changes_nothing(self, complaints: list[str]) -> None:
        with unattended(log=None, on_finish="false", complain=complaints.append) as events:
            events.ended(3)
        assert complaints == ["--on-finish: false ended with 1; the run ends with 3 all the same"]
        with (
            pytest.raises(StaleInputError),
            unattended(log=None, on_finish="false", complain=complaints.append),
        ):
            raise StaleInputError("old")
        assert "the run ends with 5" in complaints[1]


def test_of_several_scenarios_the_page_is_told_and_the_last_failure(tmp_path: Path) -> None:
    events, page = Events(), tmp_path / "tonight" / "index.html"
    for name in ("one", "two"):
        folder = run_folder(tmp_path / "tonight" / name)
        scenario: Any = SimpleNamespace(name=name, simulation=SimpleNamespace(paths=64, seed=0))
        events.began(scenario, folder)
    assert events.outcome.environment()["MARGIN_STRESS_FOLDER"] == str(folder)
    events.failed(StaleInputError("two is old"))
    page.write_text("")
    events.page(page)
    assert events.ended(5) == 5
    environment = events.outcome.environment()
    assert environment == {
        "MARGIN_STRESS_EXIT_CODE": "5",
        "MARGIN_STRESS_NAME": "one, two",
        "MARGIN_STRESS_FOLDER": str(page.parent),
        "MARGIN_STRESS_REPORT": str(page),
        "MARGIN_STRESS_SUMMARY": "",
        "MARGIN_STRESS_ERROR": "two is old",
    }


def _gone(pid: int) -> bool:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        if "Z" in Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0]:
            # dead, and waiting for whoever adopted it
            return True
        time.sleep(0.01)
    return False


def test_names_that_a_shell_would_obey_stay_text(tmp_path: Path, complaints: list[str]) -> None:
    command, file = teller(tmp_path)
    outcome: Any = Outcome(0, "$(touch hacked) `id`")
    assert hand_on(words_of(command), outcome.environment()) is None
    assert told(file)["NAME"] == "$(touch hacked) `id`"
    assert not (tmp_path / "hacked").exists()
