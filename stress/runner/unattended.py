"""A command that nobody watches: it logs as it goes, and says at its end how it went."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

from stress.errors import StressError, exit_code_of
from stress.runner.logs import Logged, logged_to, tell
from stress.runner.on_finish import Outcome, hand_on, words_of
from stress.runner.progress import Silent
from stress.scenario.schema import Scenario

__all__ = ["Events", "unattended"]


class Events:
    """What happens in a command: logged, and remembered as far as its end is told of it."""

    def __init__(self) -> None:
        self.outcome = Outcome(exit_code=0)
        self._names: list[str] = []

    def began(self, scenario: Scenario, folder: Path) -> None:
        """Note that a scenario is run into a folder."""
        self._names.append(scenario.name)
        self.outcome = replace(self.outcome, name=", ".join(self._names), folder=folder)
        tell(
            "run_began",
            name=scenario.name,
            folder=folder.absolute(),
            paths=scenario.simulation.paths,
            seed=scenario.simulation.seed,
        )

    def watched(self, shown: Silent, scenario: Scenario) -> Silent:
        """Return progress that is logged too."""
        return Logged(shown, scenario.name, scenario.simulation.paths)

    def finished(self, row: Mapping[str, Any], notices: Sequence[str]) -> None:
        """Note what came of a scenario.

        Parameters
        ----------
        row
            Its summary, with ``report``.
        notices
            What a reader should know.
        """
        name = row["name"]
        for notice in notices:
            tell("notice", level=logging.WARNING, name=name, text=notice)
        for limit in row["limits"]:
            kept = limit["resolved"] and not limit["breached"]
            level = logging.INFO if kept else logging.WARNING
            told = {key: value for key, value in limit.items() if key != "name"}
            tell("limit", level=level, name=name, limit=limit["name"], **told)
        tell(
            "run_finished",
            name=name,
            exit_code=row["exit_code"],
            report=row["report"],
            seconds=row["duration_seconds"],
        )

    def page(self, path: Path) -> None:
        """Note the page of several scenarios, which is then the one to look at."""
        self.outcome = replace(self.outcome, folder=path.parent, page=path)
        tell("page_written", page=path.absolute())

    def ended(self, code: int) -> int:
        """Note what the command ends with, and return it."""
        self.outcome = replace(self.outcome, exit_code=code)
        return code

    def failed(self, error: BaseException) -> None:
        """Note what ended the command before its time."""
        code = exit_code_of(error)
        if isinstance(error, StressError):
            said = str(error)
        else:
            said = "interrupted" if isinstance(error, KeyboardInterrupt) else repr(error)
        self.outcome = replace(self.outcome, exit_code=code, error=said)
        tell("failed", level=logging.ERROR, exit_code=code, message=said)


@contextmanager
def unattended(
    *,
    log: str | PathLike[str] | None,
    on_finish: str | None,
    complain: Callable[[str], None],
) -> Iterator[Events]:
    """Log what happens in the context, and hand on at its end how it ended, well or not.

    Parameters
    ----------
    log
        File that lines are appended to.
    on_finish
        Command that is handed the outcome.
    complain
        Called with a sentence where the log or the command fails, which changes nothing else.

    Raises
    ------
    InputError
        At once, if the file cannot be written to or there is no such program.
    """
    words = None if on_finish is None else words_of(on_finish)
    with logged_to(log, complain):
        events, start = Events(), time.monotonic()
        tell("command_began")
        try:
            yield events
        except BaseException as error:
            events.failed(error)
            raise
        finally:
            if words is not None:
                _hand_on(words, events.outcome, complain)
            seconds = round(time.monotonic() - start, 3)
            tell("command_finished", exit_code=events.outcome.exit_code, seconds=seconds)


def _hand_on(words: Sequence[str], outcome: Outcome, complain: Callable[[str], None]) -> None:
    wrong = hand_on(words, outcome.environment())
    if wrong is None:
        tell("handed_on", program=words[0])
        return
    tell("not_handed_on", level=logging.WARNING, program=words[0], why=wrong)
    complain(f"--on-finish: {words[0]} {wrong}; the run ends with {outcome.exit_code} all the same")
